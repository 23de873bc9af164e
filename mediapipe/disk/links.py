"""The hard links of a set of inodes: where they are likely to be first, else by one walk."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING

from mediapipe.disk.index import list_names
from mediapipe.disk.mounts import mounts
from mediapipe.facts import fact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mediapipe.disk.index import File, Inode, Names

_PROBE = 64
"""Folders that are read before it is decided whether several threads read on."""
_COLD = 1
"""Blocks that came from a disk, per folder; what the kernel has in its cache costs none. A clock
would take a busy machine for a slow disk, and threads are slower where nothing is waited for."""
_THREADS = 8
_BATCH = 16
"""Folders that one thread reads at a time, so that handing them over costs little beside it."""


@fact
class Links:
    """The names found for each inode, and the folders that could not be read."""

    names: Mapping[Inode, tuple[str, ...]]
    unreadable: tuple[str, ...]


@fact
class _Seen:
    """What some folders had in them."""

    folders: list[str]
    hits: list[tuple[str, Inode]]
    """Names of files whose inode number is one of those that are searched; on any device."""
    unreadable: list[str]


class _Search:
    """What is found so far, and what is left to be found."""

    def __init__(self, wanted: Sequence[File]) -> None:
        self.left = {file.inode: file.links for file in wanted if file.links > 1}
        self.numbers = frozenset(number for _device, number in self.left)
        self.names: dict[Inode, list[str]] = defaultdict(list)
        self.unreadable: list[str] = []

    def take(self, hits: Iterable[tuple[str, Inode]]) -> None:
        for path, inode in hits:
            self.hit(path, inode)

    def hit(self, path: str, inode: Inode) -> None:
        expected = self.left.get(inode)
        if expected is not None:
            names = self.names[inode]
            names.append(path)
            if len(names) == expected:
                del self.left[inode]


def find_links(
    roots: Iterable[str],
    wanted: Sequence[File],
    likely: Iterable[str] = (),
    read: Callable[[str], Names] = list_names,
    where: Callable[[str], Inode] | None = None,
) -> Links:
    """Find every name below `roots` of the wanted files, by a walk that needs no stat.

    A directory entry tells its inode number for free; only what matches is confirmed by `lstat`
    (two file systems may use one number). The link count tells when all names are found: `likely`
    folders are read first, without what lies below them, and where that is enough no walk begins.
    It ends as soon as the counts are met. `read` lists a likely folder, and `where` gives its own
    device and inode; both raise OSError.
    """
    search = _Search(wanted)
    if search.left:
        _read_likely(search, likely, read, where or _folder_inode)
    if search.left:
        for inode in search.left:
            search.names.pop(inode, None)
        _walk(search, list(roots))
    names = {inode: tuple(found) for inode, found in search.names.items()}
    return Links(names, tuple(search.unreadable))


def _read_likely(
    search: _Search,
    likely: Iterable[str],
    read: Callable[[str], Names],
    where: Callable[[str], Inode],
) -> None:
    """Read folders once each, by whatever path they are named: a name must not count twice."""
    seen = set()
    # the list of a folder gives the number of what a mount hides, whatever path leads to it
    mounted = {os.path.basename(mount.point) for mount in mounts()}
    for folder in dict.fromkeys(likely):
        try:
            own = where(folder)
            if own in seen:
                continue
            listed = read(folder)
        except OSError:
            continue
        seen.add(own)
        for name, number in listed.numbers.items():
            # a subvolume of btrfs is listed with a number that a file beside it may have
            if number in search.numbers and name not in listed.folders and name not in listed.odd:
                path = f"{folder}/{name}"
                # what lies in a folder is on its device, but for what is mounted there
                inode: Inode | None = (own[0], number)
                if inode not in search.left or name in mounted:
                    inode = _inode_of(path)
                if inode:
                    search.hit(path, inode)


def _folder_inode(path: str) -> Inode:
    found = os.stat(path)
    return (found.st_dev, found.st_ino)


def _walk(search: _Search, pending: list[str]) -> None:
    before, count, probing = getrusage(RUSAGE_SELF).ru_inblock, 0, True
    while pending and search.left:
        # few at first, since the counts may soon be met
        size = max(1, min(count, _PROBE))
        some = pending[-size:]
        del pending[-size:]
        seen = _read(some, search.numbers)
        search.unreadable += seen.unreadable
        search.take(seen.hits)
        pending += seen.folders
        count += len(some)
        if probing and count >= _PROBE:
            probing = False
            if getrusage(RUSAGE_SELF).ru_inblock - before >= count * _COLD:
                _walk_cold(search, pending)
                return


def _walk_cold(search: _Search, pending: list[str]) -> None:
    """Go on with several threads: each waits for a disk, which can answer many at once."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_THREADS) as pool:
        while pending and search.left:
            some = pending[-_THREADS * _BATCH :]
            del pending[-_THREADS * _BATCH :]
            batches = [some[first : first + _BATCH] for first in range(0, len(some), _BATCH)]
            for seen in pool.map(lambda batch: _read(batch, search.numbers), batches):
                search.unreadable += seen.unreadable
                search.take(seen.hits)
                pending += seen.folders


def _read(folders: Sequence[str], numbers: AbstractSet[int]) -> _Seen:
    found = _Seen([], [], [])
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.inode() in numbers and (inode := _inode_of(entry.path)):
                        found.hits.append((entry.path, inode))
                    elif entry.is_dir(follow_symlinks=False):
                        found.folders.append(entry.path)
        except OSError as error:
            found.unreadable.append(f"{folder}: {error.strerror}")
    return found


def _inode_of(path: str) -> Inode | None:
    """Give the inode of a file, or None where it is something else, or out of sight."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None
