"""Markers whose item is gone: looked for once a day, watched for `orphan_grace`, then removed.

A marker that was Sonarr's before a rename keeps its folder from going. What it says is known to
history before it goes, so that the file stays proven under the name that it has now (ADR 12).
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.disk import marker
from mediapipe.disk.index import is_gone, list_folder, walk
from mediapipe.folders import our_marker
from mediapipe.holdings import Candidate, hold
from mediapipe.plan import Kept, clock, duration
from mediapipe.proofs import proof_of
from mediapipe.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from mediapipe.config import Config
    from mediapipe.disk.index import Folder, Identity
    from mediapipe.history import History
    from mediapipe.holdings import Holding
    from mediapipe.records import Proof
    from mediapipe.runner import Context

_SEEN = "marker"
_LOOKED = "markers looked through"
_EVERY = 86400.0
"""Seconds between two walks over the libraries for this alone."""


def find(context: Context) -> tuple[tuple[Candidate, ...], tuple[Kept, ...]]:
    """Give the markers that may go, one candidate for each folder, and those that have to wait."""
    config, history, now = context.config, context.history, context.now
    watched = {os.path.dirname(path) for path in history.sighted(_SEEN)}
    found = {path for folder in _read(watched) for path in _of(folder)}
    last = history.last(_LOOKED)
    if last is None or not 0 <= now - last < _EVERY:
        history.done(_LOOKED, now)
        if last is not None:
            found |= {path for folder in _everywhere(config) for path in _of(folder)}
    sightings = history.sight(_SEEN, found, now)
    wait = config.cleanup.orphan_grace
    ripe: dict[str, list[Holding]] = defaultdict(list)
    around = Surroundings(config)
    kept = []
    for path in sorted(found):
        seen = sightings[path]
        left = wait - (now - seen.first)
        if wait and (seen.runs < 2 or left > 0):  # noqa: PLR2004 - CONTRACT: two runs
            reason = (
                f"its item is gone since {clock(seen.first)}; if that stays so, it may go in "
                f"{duration(max(left, 0))}, by the second run at the earliest"
            )
            kept.append(Kept(path, reason))
        else:
            folder = os.path.dirname(path)
            ripe[folder].append(
                hold(path, _root_of(path, config), around, wanted=False, finished=False)
            )
    candidates = tuple(
        Candidate(f"markers {folder}", folder, None, "", tuple(holdings), kind="markers")
        for folder, holdings in ripe.items()
    )
    return candidates, tuple(kept)


def notice(listing: Mapping[str, Collection[str]], context: Context) -> None:
    """Watch the markers without item in folders that were read for another reason."""
    found = [path for folder, names in listing.items() for path in _without_item(folder, names)]
    context.history.notice(_SEEN, found, context.now)


def unknown_proofs(path: str, history: History) -> Iterator[tuple[Identity, Proof]]:
    """Give what a marker says and history does not know. Raises OSError."""
    found = marker.read(path)
    for entry in found.files if found else ():
        if found and found.objects(entry) and not history.proofs(entry.identity):
            yield entry.identity, proof_of(found, entry, path.removesuffix(marker.SUFFIX))


def _everywhere(config: Config) -> Iterator[Folder]:
    """List every folder in which an item may lie."""
    for library in config.libraries.values():
        yield from walk(library.root, [])
    yield from _read(layout.download_folders(config))


def _read(folders: Iterable[str]) -> Iterator[Folder]:
    for path in folders:
        try:
            yield list_folder(path)
        except OSError:  # it is gone, or another run sees more
            continue


def _of(folder: Folder) -> list[str]:
    names = {one.name for one in folder.files}
    names |= {os.path.basename(path) for path in (*folder.folders, *folder.odd)}
    return _without_item(folder.path, names)


def _without_item(folder: str, names: Collection[str]) -> list[str]:
    """Give the markers in a folder, ours or empty, whose item is not among the names in it."""
    alone = [
        name
        for name in names
        if name.endswith(marker.SUFFIX)
        and name != marker.SUFFIX
        and name.removesuffix(marker.SUFFIX) not in names
    ]
    if any(name.startswith(".") for name in alone):  # the names that are hashed are too long
        items = {os.path.basename(marker.marker_path(f"{folder}/{name}")) for name in names}
        alone = [name for name in alone if name not in items]
    return [path for name in alone if _is_alone(path := f"{folder}/{name}")]


def _is_alone(path: str) -> bool:
    """Whether it is a marker, and no other file that it speaks of lies beside it."""
    file = our_marker(path)
    if file is None or file.links > 1:
        return False
    folder = os.path.dirname(path)
    try:
        found = marker.read(path)
    except OSError:
        return False
    return found is None or all(is_gone(f"{folder}/{entry.path}") for entry in found.files)


def _root_of(path: str, config: Config) -> str:
    roots = (library.root for library in config.libraries.values())
    return next((root for root in roots if layout.inside(path, root)), config.paths.completed)
