"""What the audit knows of files that are gone: where they lay, and what holds them now."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe import audit, changes
from mediapipe.facts import fact, replace
from mediapipe.layout import inside
from mediapipe.records import Proven

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediapipe.audit import Line

_DELETIONS = ("delete-file", "delete-link")
UNKNOWN = -1
"""Size of an object that the audit does not tell."""


@fact
class Source:
    """A file as the audit knew it last; sizes in bytes, times in epoch seconds and ns."""

    path: str
    size: int
    inode: int
    mtime_ns: int | None
    objects: tuple[Proven, ...]
    """The object; of an archive all of its members; empty where nothing was uploaded."""
    archive: bool
    since: float
    """When it was deleted, or uploaded."""
    reason: str
    names: tuple[str, ...] = ()
    """Other names of the same file that were deleted, too."""

    @property
    def file(self) -> tuple[object, ...]:
        """What two names of one file have in common."""
        return (self.inode, self.size, self.mtime_ns, self.objects)


def find(state: str, place: str) -> tuple[Source, ...]:
    """Find what was deleted at a path or below it; the newest line of each path counts.

    A path that no deletion names, but an upload, is found by that. Raises OSError.
    """
    found: dict[str, Source] = {}
    for line in audit.read(state):
        for source in _sources(line, place) if line else ():
            found[source.path] = source
    gone = {source.path for source in found.values()}
    files = {source.file for source in found.values() if source.objects}
    names: dict[tuple[object, ...], dict[str, None]] = {key: {} for key in files}
    for line in audit.read(state) if files else ():
        other = _deleted(line) if line else None
        if other is not None and other.file in names:
            names[other.file][other.path] = None
    return tuple(
        replace(one, names=tuple(name for name in names.get(one.file, ()) if name != one.path))
        for path in sorted(gone)
        for one in [found[path]]
    )


def _sources(line: Line, place: str) -> list[Source]:
    source = _deleted(line)
    if source is not None:
        hit = source.path == place or inside(source.path, place)
        names = (source.path, *(one.remote for one in source.objects))
        return [source] if hit and _is_plain(source.path) and all(map(_is_name, names)) else []
    # what a person deleted is known from its upload; below a folder that may have been on purpose
    files = line.get("files")
    return [
        _source(one, line)
        for one in (files if isinstance(files, list) else ())
        if isinstance(one, dict) and one.get("path") == place
    ]


def _is_plain(path: str) -> bool:
    """Whether a path is one that a disk has, without detours that lead out of where it is put."""
    return path == os.path.normpath(path) and path[:1] == "/" != path[1:2]


def _is_name(text: str) -> bool:
    """Whether a text can be a name: half a character is in none."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _deleted(line: Line) -> Source | None:
    if line.get("action") not in _DELETIONS or not isinstance(line.get("path"), str):
        return None
    return _source(line, line)


def _source(fields: Mapping[str, object], line: Line) -> Source:
    members, remote = fields.get("objects"), fields.get("remote")
    archive = isinstance(members, list)
    objects: tuple[Proven, ...] = ()
    if isinstance(members, list):
        objects = tuple(_proven(one) for one in members if isinstance(one, dict))
    elif isinstance(remote, str):
        objects = (_proven(fields),)
    mtime_ns = fields.get("mtime_ns")
    return Source(
        str(fields["path"]),
        _number(fields.get("size"), 0),
        _number(fields.get("inode"), 0),
        changes.whole(mtime_ns),
        objects,
        archive,
        changes.moment(line),
        str(line.get("reason") or ""),
    )


def _proven(fields: Mapping[str, object]) -> Proven:
    return Proven(
        str(fields.get("remote") or ""),
        _number(fields.get("size"), UNKNOWN),
        str(fields.get("sha1") or ""),
        str(fields.get("file_id") or ""),
    )


def _number(value: object, unknown: int) -> int:
    known = changes.whole(value)
    return unknown if known is None else known
