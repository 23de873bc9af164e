"""Library media that no torrent holds: from usenet, from an old collection (`without_torrent`).

Only libraries that ask for it are walked, once an hour, and each file waits by our own clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe.companions import is_large, is_medium
from mediapipe.disk.index import look, walk
from mediapipe.holdings import Candidate, hold
from mediapipe.names import matcher
from mediapipe.plan import Kept, clock
from mediapipe.surroundings import Surroundings

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from mediapipe.claims import Claims
    from mediapipe.config import Config, Library
    from mediapipe.runner import Context

_LOOKED = "media without torrent looked for"
_EVERY = 3600.0
"""Seconds between two walks."""


def is_time(context: Context) -> bool:
    """Whether some library asks for it and was not walked within the hour."""
    last = context.history.last(_LOOKED)
    rests = last is not None and 0 <= context.now - last < _EVERY
    return not rests and any(True for _ in _asking(context.config))


def find(claims: Claims, context: Context) -> tuple[tuple[Candidate, ...], tuple[Kept, ...]]:
    """Give the media that waited long enough, the oldest first, and how many still wait."""
    history, now = context.history, context.now
    history.done(_LOOKED, now)
    ripe: list[tuple[float, Candidate]] = []
    around = Surroundings(context.config)
    kept = []
    for name, library, wait in _asking(context.config):
        unreadable: list[str] = []
        found = set(_media(library, claims, context.config, unreadable))
        kept += [Kept(line.partition(": ")[0], f"unreadable: {line}") for line in unreadable]
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
    return tuple(one for _first, one in sorted(ripe, key=lambda pair: (pair[0], pair[1].key))), (
        *kept,
    )


def _asking(config: Config) -> Iterator[tuple[str, Library, float]]:
    """Give name, library and seconds to wait of the libraries whose media may go so."""
    for name, library in config.libraries.items():
        if library.without_torrent != "keep" and library.after_delete != "keep":
            yield name, library, float(library.without_torrent)


def _media(
    library: Library, claims: Claims, config: Config, unreadable: list[str]
) -> Iterator[str]:
    ignored, unfinished = matcher(config.upload.ignore), matcher(config.upload.unfinished)
    numbers = {number for _device, number in claims.inodes}
    for folder in walk(library.root, unreadable):
        for entry in folder.files:
            if ignored(entry.name) or unfinished(entry.name):
                continue
            if (is_medium(entry.name) or is_large(entry.path)) and not _held(
                entry, claims, numbers
            ):
                yield entry.path


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
