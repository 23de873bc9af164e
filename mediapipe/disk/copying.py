"""Copies one file, and compares two, so that what counts is what the disk gives back."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from mediapipe.disk.calls import clone, sync
from mediapipe.disk.index import file_from, same
from mediapipe.errors import Stale
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mediapipe.disk.index import File

BLOCK = 1 << 20
"""Bytes of one read: measured faster than sendfile(2) and copy_file_range(2)."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def reading(folder: int, name: str, file: File) -> Iterator[int]:
    """Open a file that must be the one that was seen, before and after. Raises Stale, OSError."""
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        _demand_same(descriptor, file)
        yield descriptor
        _demand_same(descriptor, file)
    finally:
        os.close(descriptor)


def _demand_same(descriptor: int, file: File) -> None:
    if not same(file_from(file.path, os.fstat(descriptor)), file):
        raise Stale(f"{shown(file.path)} changed while it was read")


def copy(
    source: int,
    folder: int,
    name: str,
    *,
    may_clone: bool,
    before: Callable[[], None],
    did: Callable[[int], None],
) -> bool:
    """Copy an open file to a new name with its times and mode; gives whether it was cloned.

    `before` is called where bytes have to be written, `did` with the bytes after each block.
    Nothing is durable yet. Raises OSError.
    """
    found = os.fstat(source)
    descriptor = os.open(name, _CREATE, 0o600, dir_fd=folder)
    try:
        cloned = may_clone and clone(source, descriptor)
        if not cloned:
            before()
            _write(source, descriptor, found.st_size, did)
        dress(descriptor, found)
    finally:
        os.close(descriptor)
    return cloned


def dress(descriptor: int, found: os.stat_result) -> None:
    """Give owner, mode and times of one file or folder to another, as far as that is possible.

    No file keeps the bits by which it would run as its owner.
    """
    kept = 0o777 if stat.S_ISREG(found.st_mode) else 0o3777
    # only root gives files away; FAT and its like know neither
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, found.st_uid, found.st_gid)
    with contextlib.suppress(PermissionError):
        os.fchmod(descriptor, found.st_mode & kept)
    os.utime(descriptor, ns=(found.st_atime_ns, found.st_mtime_ns))


def _write(source: int, target: int, size: int, did: Callable[[int], None]) -> None:
    """Copy what is data; holes stay holes."""
    view = memoryview(bytearray(min(BLOCK, size)))
    told = 0
    for start, end in segments(source, size):
        os.lseek(source, start, os.SEEK_SET)
        os.lseek(target, start, os.SEEK_SET)
        did(start - told)
        told = start
        while told < end and (count := os.readv(source, [view[: end - told]])):
            rest = view[:count]
            while rest:
                rest = rest[os.write(target, rest) :]
            told += count
            did(count)
    os.ftruncate(target, size)
    did(size - told)


def segments(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Give where an open file has data: from, to, in bytes."""
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
            end = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno != errno.EINVAL:
                raise
            start, end = position, size  # this file system tells of no holes
        yield start, end
        position = end


def is_equal(
    source: int, folder: int, name: str, did: Callable[[int], None], *, durable: bool = False
) -> bool:
    """Whether a file has the bytes of an open one, read again from the disk. Raises OSError.

    `durable` tells that it was synced already.
    """
    size = os.fstat(source).st_size
    target = os.open(name, _READ, dir_fd=folder)
    try:
        if os.fstat(target).st_size != size:
            return False
        if not durable:
            sync(target)
        # only what is written may be dropped; without this the cache would answer for the disk.
        # POSIX_FADV_SEQUENTIAL made this first reading three times as slow
        os.posix_fadvise(target, 0, 0, os.POSIX_FADV_DONTNEED)
        return _is_equal(source, target, size, did)
    finally:
        os.close(target)


def _is_equal(source: int, target: int, size: int, did: Callable[[int], None]) -> bool:
    # two bytearrays are compared by memcmp, memoryviews element by element
    one, two = bytearray(min(BLOCK, size)), bytearray(min(BLOCK, size))
    done = 0
    while done < size:
        if size - done < len(one):
            one, two = bytearray(size - done), bytearray(size - done)
        if not (_fill(source, one, done) and _fill(target, two, done)) or one != two:
            return False
        done += len(one)
        did(len(one))
    return True


def _fill(descriptor: int, block: bytearray, position: int) -> bool:
    """Read until the block is full; False where the file ends before."""
    view = memoryview(block)
    while view and (count := os.preadv(descriptor, [view], position)):
        view = view[count:]
        position += count
    return not view
