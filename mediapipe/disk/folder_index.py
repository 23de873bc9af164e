"""The folder index: what folders looked like when all in them was found uploaded.

A disposable cache: the markers stay the only truth, and a pass without the index reads them all.
A folder whose ctime is what it was has the same names in it; ctime and never mtime, which restores
keep; with its inode number, since two folders of one tick may change places. What was written into
a file without touching its folder is found by the daily full pass.
Nothing is imported here beyond what Python has loaded anyway, for the pass every two minutes.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from itertools import islice

from mediapipe import regular

TYPE_CHECKING = False  # typing itself would be a tenth of all that the pass loads
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

NAME = "upload.index"
_FORMAT = 4
_LARGEST = (1 << 64) - 1
"""Marks are stored as 8 bytes each, in this machine's order: they are read with every pass."""
_TICK_NS = 2_000_000_000
"""A folder that changed so shortly before it was listed may change again within one tick of its
file system's clock, unseen: it is listed once more."""


Stamp = tuple[int, int]
"""What a folder looked like: its mark, 0 where it is to be listed again in any case; and a sum over
its files' inodes, sizes and mtimes, which tells in a full pass what changed."""
AGAIN: Stamp = (0, 0)


class FolderIndex:
    """The index as it is stored: columns of all folders, one tree after the other."""

    def __init__(
        self,
        facts: dict[str, Any],
        paths: list[bytes],
        marks: Sequence[int],
        contents: memoryview,
    ) -> None:
        """`facts` is what must still hold for it to be believed, and what was kept for good.

        `paths` are relative to the top of their tree: the kernel finds them faster so.
        """
        self.facts = facts
        self.trees: list[tuple[str, int]] = facts["trees"]
        self._paths = paths
        self._marks = marks
        self._contents = contents

    def stamps(self) -> dict[str, dict[str, Stamp]]:
        """Give tree → path → stamp."""
        rows = zip(
            map(os.fsdecode, self._paths),
            zip(self._marks, map(int, bytes(self._contents).split()), strict=True),
            strict=True,
        )
        return {
            top: {top if path == "." else f"{top}/{path}": one for path, one in islice(rows, count)}
            for top, count in self.trees
        }

    def is_unchanged(self) -> bool:
        """Whether every folder is surely what it was: one stat for each, and nothing else."""
        rows = zip(self._paths, self._marks, strict=True)
        try:
            here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for top, count in self.trees:
                    os.chdir(top)
                    for path, known in islice(rows, count):
                        found = os.stat(path)
                        if found.st_ctime_ns ^ found.st_ino != known:
                            return False
            finally:
                os.fchdir(here)
                os.close(here)
        except (OSError, ValueError):
            return False
        return True


def read(path: str) -> FolderIndex | None:
    """Read the index; None where there is none, or where it is not whole or of another format."""
    try:
        with open(path, "rb", opener=regular.itself) as file:
            raw = file.read()
        sealed = raw.index(b"\n") + 1
        head = raw.index(b"\n", sealed) + 1
        view = memoryview(raw)
        if raw[:sealed] != _seal(view[sealed:]):
            return None
        facts = json.loads(raw[sealed:head])
        marks, paths = (head + size for size in facts["sizes"])
        names = raw[marks:paths].split(b"\0") if marks < paths else []
        return FolderIndex(facts, names, view[head:marks].cast("Q"), view[paths:])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _seal(*sealed: bytes | memoryview) -> bytes:
    checksum = 0
    for part in sealed:
        checksum = zlib.crc32(part, checksum)
    return b"%d %s %d\n" % (_FORMAT, sys.byteorder.encode(), checksum)


def write(path: str, facts: Mapping[str, object], trees: Mapping[str, Mapping[str, Stamp]]) -> None:
    """Write the index in one piece. Raises OSError.

    It is not synced: what a power cut leaves is not whole, so it is not believed.
    """
    stamps = [one for tree in trees.values() for one in tree.values()]
    marks = b"".join(
        (one if 0 <= one <= _LARGEST else AGAIN[0]).to_bytes(8, sys.byteorder) for one, _ in stamps
    )
    paths = b"\0".join(
        os.fsencode(one[len(top) + 1 :] or ".") for top, tree in trees.items() for one in tree
    )
    contents = b" ".join(b"%d" % content for _, content in stamps)
    counts = [(top, len(tree)) for top, tree in trees.items()]
    sizes = (len(marks), len(marks) + len(paths))
    head = json.dumps({**facts, "trees": counts, "sizes": sizes}).encode()
    sealed = (head + b"\n", marks, paths, contents)  # in parts: it is large, and one is enough
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        file.writelines([_seal(*sealed), *sealed])
    os.rename(temporary, path)


def mark(found: os.stat_result) -> int:
    """Give what changes when a folder does, or when another one stands in its place."""
    return found.st_ctime_ns ^ found.st_ino


def settled_mark(path: str, device: int, now_ns: int) -> int:
    """Give a folder's mark before it is listed; 0 where it proves nothing.

    `device` is that of its root: what is mounted below it may have other habits. Raises OSError.
    """
    found = os.stat(path)
    settled = now_ns - found.st_ctime_ns >= _TICK_NS and found.st_dev == device
    return mark(found) if settled else 0


def content(entries: Iterable[os.DirEntry[str]]) -> int:
    """Sum up the regular files of a folder, markers included. Raises OSError."""
    total = 0
    for entry in entries:
        if entry.is_file(follow_symlinks=False):
            found = entry.stat(follow_symlinks=False)
            total += hash((found.st_ino, found.st_size, found.st_mtime_ns))
    return total


def is_as_it_was(path: str, before: Stamp, *, full: bool) -> bool:
    """Whether a folder is what it was; with `full` each file in it is held against that, too.

    Raises OSError. The daily pass is made of this: below an open folder names are found sooner.
    """
    if not full:
        return mark(os.stat(path)) == before[0]
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if mark(os.fstat(descriptor)) != before[0]:
            return False
        with os.scandir(descriptor) as entries:
            return content(entries) == before[1]
    finally:
        os.close(descriptor)


def file_stamp(path: str) -> list[int]:
    """Give what changes when a file is replaced or written. Raises OSError."""
    found = os.stat(path)
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
