"""The folder index: what folders looked like when all in them was found uploaded.

A disposable cache: the markers stay the only truth, and a pass without the index reads them all.
A folder whose ctime is what it was has the same names in it; ctime and never mtime, which restores
keep. What was written into a file without touching its folder is found by the daily full pass.
Nothing is imported here beyond what Python has loaded anyway, for the pass every two minutes.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME = "upload.index"
_FORMAT = 1
_TICK_NS = 2_000_000_000
"""A folder that changed so shortly before it was listed may change again within one tick of its
file system's clock, unseen: it is listed once more."""


class Stamp(NamedTuple):
    """What a folder looked like; ctime in ns, 0 where it is to be listed again in any case."""

    ctime_ns: int
    content: int
    """A sum over its files' inodes, sizes and mtimes: in a full pass it tells what changed."""


AGAIN = Stamp(0, 0)


class FolderIndex(NamedTuple):
    """The index as it is stored: three columns, one line for each folder."""

    facts: dict[str, Any]
    """What must still hold for it to be believed, and what was kept for good."""
    paths: list[str]
    ctimes: list[int]
    contents: list[int]

    def stamps(self) -> dict[str, Stamp]:
        """Give path → stamp."""
        return dict(zip(self.paths, map(Stamp, self.ctimes, self.contents), strict=True))


def read(path: str) -> FolderIndex | None:
    """Read the index; None where there is none, or where it is not whole or of another format."""
    try:
        with open(path, "rb") as file:
            head, _, body = file.read().partition(b"\n")
        facts = json.loads(head)
        if facts["format"] != _FORMAT or facts["crc"] != zlib.crc32(body):
            return None
        paths, ctimes, contents = body.split(b"\0\0")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return FolderIndex(
        facts,
        os.fsdecode(paths).split("\0") if paths else [],
        [*map(int, ctimes.split())],
        [*map(int, contents.split())],
    )


def write(path: str, facts: Mapping[str, object], stamps: Mapping[str, Stamp]) -> None:
    """Write the index in one piece. Raises OSError.

    It is not synced: what a power cut leaves is not whole, so it is not believed.
    """
    body = b"\0\0".join(
        [
            b"\0".join(map(os.fsencode, stamps)),
            b" ".join(b"%d" % one.ctime_ns for one in stamps.values()),
            b" ".join(b"%d" % one.content for one in stamps.values()),
        ]
    )
    head = json.dumps({**facts, "format": _FORMAT, "crc": zlib.crc32(body)})
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        file.write(head.encode() + b"\n" + body)
    os.rename(temporary, path)


def is_unchanged(index: FolderIndex) -> bool:
    """Whether every folder is surely what it was: one stat for each, and nothing else."""
    look = os.stat
    try:
        for path, ctime in zip(index.paths, index.ctimes, strict=True):
            if look(path).st_ctime_ns != ctime:
                return False
    except (OSError, ValueError):
        return False
    return True


def stamp(path: str, device: int, now_ns: int) -> Stamp:
    """Look at a folder before it is listed; `content` is still to be filled in.

    `device` is that of its root: what is mounted below it may have other habits, and is always
    listed again. Raises OSError.
    """
    found = os.stat(path)
    settled = now_ns - found.st_ctime_ns >= _TICK_NS and found.st_dev == device
    return Stamp(found.st_ctime_ns if settled else 0, 0)


def content(files: Iterable[os.DirEntry[str]]) -> int:
    """Sum up the regular files of a folder, markers included. Raises OSError."""
    total = 0
    for entry in files:
        found = entry.stat(follow_symlinks=False)
        total += hash((found.st_ino, found.st_size, found.st_mtime_ns))
    return total


def content_of(path: str) -> int:
    """Sum up a folder without listing it for any other use: the full pass is made of this."""
    with os.scandir(path) as entries:
        return content(entry for entry in entries if entry.is_file(follow_symlinks=False))


def file_stamp(path: str) -> list[int]:
    """Give what changes when a file is replaced or written. Raises OSError."""
    found = os.stat(path)
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
