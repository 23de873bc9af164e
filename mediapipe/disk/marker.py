"""The `.uploaded` marker: a note beside an item that says what was proven about it (CONTRACT)."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from typing import TYPE_CHECKING, Any

from mediapipe.facts import fact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediapipe.disk.index import File, Identity

SUFFIX = ".uploaded"
VERSION = 1
_NAME_MAX = 255
_CHARACTER_MAX = 4
"""Bytes of one character in UTF-8, at most."""
_MARKER_MAX = 64 << 20
"""Bytes: far above any marker that we write; more is not read into memory."""
_DECODER = json.JSONDecoder()
_FOREIGN_MAX = 4096
"""Bytes: what is larger and no marker of ours is somebody's data, never to be replaced."""


@fact
class Extracted:
    """An object that was extracted from an archive; size in bytes."""

    remote: str
    size: int
    sha1: str


@fact
class Entry:
    """What was proven about one file of the item. Sizes in bytes, times in ns."""

    path: str
    """The file's name for a file item, the path below the folder for a folder item."""
    inode: int
    size: int
    mtime_ns: int
    remote: str = ""
    """Full remote name; empty for the volumes of an archive, as is `sha1`."""
    sha1: str = ""
    readback: bool = False
    """Whether first, middle and last MiB were read back: above rclone's cutoff the remote's
    SHA-1 is a label that nobody checked."""
    extracted: tuple[Extracted, ...] = ()
    """For the first volume of an archive: all that came out of it."""
    part_of: str = ""
    """For the other volumes: the `path` of the first."""

    @property
    def identity(self) -> Identity:
        """The identity of the file that was proven."""
        return (self.inode, self.size, self.mtime_ns)


@fact
class Marker:
    """A marker as read: what it says need not be true of the disk of today."""

    item: str
    files: tuple[Entry, ...]

    def objects(self, entry: Entry) -> tuple[Extracted, ...]:
        """Give the objects that together hold the bytes of an entry's file."""
        if entry.remote:
            return (Extracted(entry.remote, entry.size, entry.sha1),)
        if not entry.part_of:
            return entry.extracted
        firsts = (one.extracted for one in self.files if one.path == entry.part_of)
        return next(firsts, ())

    def proves(self, files: Mapping[str, File]) -> bool:
        """Whether it has an entry of the same identity for every file, and for no other."""
        entries = {entry.path: entry.identity for entry in self.files}
        return bool(files) and entries == {path: file.identity for path, file in files.items()}


def marker_path(item: str) -> str:
    """Give the path of the marker of an item, hashed where the name would be too long."""
    name = item[item.rfind("/") + 1 :]
    # most names are short enough in whatever bytes; it is asked for thousands of files in a run
    if len(name) * _CHARACTER_MAX + len(SUFFIX) > _NAME_MAX:
        encoded = os.fsencode(name)
        if len(encoded) + len(SUFFIX) > _NAME_MAX:
            return f"{item[: len(item) - len(name)]}.{digest(encoded)[:16]}{SUFFIX}"
    return item + SUFFIX


def read(path: str) -> Marker | None:
    """Read a marker; None where there is none or where it is a mere claim (empty, foreign).

    Raises OSError where it could not be read.
    """
    try:
        # a fifo or a link in a marker's place must neither hang nor lead elsewhere
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", path)
        # one bare read: thousands of markers are read in a run, and each is short
        raw = b"" if found.st_size > _MARKER_MAX else os.read(descriptor, found.st_size)
    finally:
        os.close(descriptor)
    return _parse(raw)


def _parse(raw: bytes) -> Marker | None:
    try:
        text = raw.decode()
        data, end = _DECODER.raw_decode(text)
        if text[end:].strip():
            return None
        if data["version"] != VERSION:
            return None
        return Marker(str(data["item"]), tuple([_entry(entry) for entry in data["files"]]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _entry(data: dict[str, Any]) -> Entry:
    path, inode = _typed(data["path"], str), _typed(data["inode"], int)
    size, mtime_ns = _typed(data["size"], int), _typed(data["mtime_ns"], int)
    if "part_of" in data:
        return Entry(path, inode, size, mtime_ns, part_of=_typed(data["part_of"], str))
    if "extracted" in data:
        members = [
            Extracted(**{name: _typed(one[name], kind) for name, kind in _OBJECT.items()})
            for one in data["extracted"]
        ]
        return Entry(path, inode, size, mtime_ns, extracted=tuple(members))
    remote, sha1 = _typed(data["remote"], str), _typed(data["sha1"], str)
    return Entry(path, inode, size, mtime_ns, remote, sha1, data.get("readback", False) is True)


_OBJECT: dict[str, type] = {"remote": str, "size": int, "sha1": str}


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(value)
    if isinstance(value, str) and not value.isascii():
        os.fsencode(value)  # half a character is no name: UnicodeEncodeError, a ValueError
    return value


def why_not_replaceable(path: str) -> str:
    """Tell why what stands at a marker's path must not be replaced, or give an empty string.

    A torrent may hold a real file with such a name. Raises OSError where one could not look.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return ""
    if not stat.S_ISREG(found.st_mode):
        return "" if not stat.S_ISDIR(found.st_mode) else f"a folder stands at {path}; rename it"
    if found.st_size > _FOREIGN_MAX and read(path) is None:
        return f"a file that is no marker stands at {path}; rename it"
    if found.st_nlink > 1:
        return f"{path} has several links, so it is no marker; rename it"
    return ""


def write(item: str, entries: tuple[Entry, ...], uploaded_at: str) -> None:
    """Write an item's marker so that it is there wholly or not at all, also after a power cut.

    Its own mtime is set to the newest among its files. `uploaded_at` is ISO 8601 in UTC. Raises
    OSError.
    """
    path = marker_path(item)
    folder = os.path.dirname(path)
    data = {
        "version": VERSION,
        "item": os.path.basename(item),
        "uploaded_at": uploaded_at,
        "files": [_compact(entry) for entry in entries],
    }
    # the same temporary name each time: what a crash leaves, the next run writes over
    temporary = os.path.join(folder, f".mediapipe-{digest(os.fsencode(path))[:16]}.tmp")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o664)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(data).encode() + b"\n")
            file.flush()
            newest = max(entry.mtime_ns for entry in entries)
            os.utime(file.fileno(), ns=(newest, newest))
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(folder)


def digest(raw: bytes) -> str:
    """Give the SHA-1 of a few bytes, in hex."""
    import hashlib  # a pass that needs none is spared a library of its own

    return hashlib.sha1(raw, usedforsecurity=False).hexdigest()


def sync_folder(folder: str) -> None:
    """Make names that were added to or removed from a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _compact(entry: Entry) -> dict[str, object]:
    """Leave out what is empty: a null or blank hash must never stand in a marker."""
    from dataclasses import asdict  # most runs only read markers

    data = asdict(entry)
    optional = ("remote", "sha1", "readback", "extracted", "part_of")
    return {name: value for name, value in data.items() if value or name not in optional}
