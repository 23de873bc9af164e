"""Library media that no torrent holds: from usenet, from an old collection (`without_torrent`).

Libraries that ask for it are walked once an hour, and each file waits by our own clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe.companions import is_large, is_medium
from mediapipe.disk.index import look, walk
from mediapipe.facts import replace
from mediapipe.holdings import Candidate, hold
from mediapipe.judging import unproven
from mediapipe.names import matcher
from mediapipe.plan import Kept, clock
from mediapipe.records import Tally
from mediapipe.surroundings import Surroundings

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable, Iterator

    from mediapipe.claims import Claims
    from mediapipe.config import Config, Library
    from mediapipe.history import History
    from mediapipe.rules import Rules
    from mediapipe.runner import Context

_LOOKED = "media without torrent looked for"
_EVERY = 3600.0
"""Seconds between two walks."""
_COUNTED = "media that are kept counted"
_DAY = 86400.0


def due(context: Context) -> frozenset[str]:
    """Give the libraries whose media are to be looked at in this run.

    Those that ask for it once an hour; what the others keep is counted once a day, for the first
    time a day after the first run.
    """
    history, now = context.history, context.now
    asking = {name for name, one in context.config.libraries.items() if _wait(one) is not None}
    found: set[str] = set()
    for event, every, names, at_once in (
        (_LOOKED, _EVERY, asking, True),
        (_COUNTED, _DAY, context.config.libraries.keys() - asking, False),
    ):
        last = history.last(event)
        if last is None or not 0 <= now - last < every:
            if names:
                history.done(event, now)
            if last is not None or at_once:
                found |= names
    return frozenset(found)


def find(
    names: Collection[str], claims: Claims, context: Context
) -> tuple[tuple[Candidate, ...], tuple[Kept, ...]]:
    """Give the media of libraries that waited long enough, the oldest first, and what still waits.

    How much there is of each library is written down for `status`.
    """
    if not names:
        return (), ()
    history, now = context.history, context.now
    ripe: list[tuple[float, Candidate]] = []
    around = Surroundings(context.config)
    kept = []
    tallies = {one.subject: one for one in history.tallies("library")}
    for name, library in context.config.libraries.items():
        if name not in names:
            continue
        unreadable: list[str] = []
        wait = _wait(library)
        found: set[str] = set()
        files = size = 0
        for path, length in _media(library, claims, context.config, unreadable):
            files, size = files + 1, size + length
            if wait is not None:  # what is only counted fills no memory
                found.add(path)
        kept += [Kept(line.partition(": ")[0], f"unreadable: {line}") for line in unreadable]
        tallies[name] = Tally(name, files, size)
        if wait is None:
            continue
        waiting = []
        for path, seen in history.sight(f"library {name}", found, now).items():
            if seen.runs < 2 or now - seen.first < wait:  # noqa: PLR2004 - at least two runs
                waiting.append(seen.first + wait)
                continue
            holding = hold(path, library.root, around)
            one = Candidate(path, path, None, library.category, (holding,), kind="library")
            ripe.append((seen.first, one))
        if waiting:
            words = f"{len(waiting)} media that no torrent holds wait"
            kept.append(Kept(library.root, f"{words}; the first may go {clock(min(waiting))}"))
            tallies[name] = replace(tallies[name], moment=min(waiting))
    with history.together():
        history.tally("library", (tallies[name] for name in context.config.libraries
                                  if name in tallies))  # fmt: skip
    return tuple(one for _first, one in sorted(ripe, key=lambda pair: (pair[0], pair[1].key))), (
        *kept,
    )


def tell_unproven(candidates: Iterable[Candidate], rules: Rules, history: History) -> None:
    """Write down for `status` the downloads without torrent and proof: none of them goes."""
    found = []
    for candidate in candidates:
        if candidate.orphan:
            left = [one.file.size for one in unproven(candidate, rules) if one.file]
            if left:
                found.append(Tally(candidate.key, len(left), sum(left)))
    if set(found) != set(history.tallies("unproven")):
        with history.together():
            history.tally("unproven", found)


def _wait(library: Library) -> float | None:
    """Give the seconds after which media without torrent may go; None where they are kept."""
    if library.without_torrent == "keep" or library.after_delete == "keep":
        return None
    return float(library.without_torrent)


def _media(
    library: Library, claims: Claims, config: Config, unreadable: list[str]
) -> Iterator[tuple[str, int]]:
    """Give path and bytes of the media of a library that no torrent holds."""
    ignored, unfinished = matcher(config.upload.ignore), matcher(config.upload.unfinished)
    numbers = {number for _device, number in claims.inodes}
    for folder in walk(library.root, unreadable):
        for entry in folder.files:
            if ignored(entry.name) or unfinished(entry.name):
                continue
            if not (is_medium(entry.name) or is_large(entry.path)):
                continue
            if not _held(entry, claims, numbers):
                yield entry.path, _size(entry)


def _size(entry: os.DirEntry[str]) -> int:
    """Give the bytes of a file; 0 where one cannot look, since nothing is decided by it."""
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0


def _held(entry: os.DirEntry[str], claims: Claims, numbers: set[int]) -> bool:
    """Whether a torrent holds it; the number in the directory spares a look at most files."""
    if entry.path in claims.paths:
        return True
    if entry.inode() not in numbers:
        return False
    try:
        return bool(claims.of(entry.path, look(entry.path)))
    except OSError:
        return True
