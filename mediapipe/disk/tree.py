"""What a folder or a single file holds, seen through handles: no link can lead elsewhere."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Self

from mediapipe.disk.index import File, Inode, file_from
from mediapipe.errors import ActionFailed, Stale, Unavailable
from mediapipe.facts import fact
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LEFTOVERS = (".nfs", ".fuse_hidden")
"""Beginnings of the names that NFS and FUSE give to files which are deleted but still open."""
_DEEPEST = 100
"""Folders within each other: each takes a handle, of which a process has about a thousand."""


class Place:
    """A name in an open folder; the handle stays on this folder whatever becomes of its path."""

    def __init__(self, path: str) -> None:
        """Open the folder that holds `path`. Raises Unavailable where there is none."""
        self.path = path
        self.parent, _, self.name = path.rpartition("/")
        try:
            self.folder = self._open()
        except (FileNotFoundError, NotADirectoryError):
            raise Unavailable(
                f"there is no folder {shown(self.parent)}",
                hint="create it, or mount what belongs there",
            ) from None
        self._inode = inode_of(os.fstat(self.folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.folder)

    def look_again(self) -> None:
        """Forget what the kernel believes of the folder: open it anew, and read its names.

        Raises Stale where another folder stands there now, and OSError.
        """
        fresh = self._open()
        if inode_of(os.fstat(fresh)) != self._inode:
            os.close(fresh)
            raise Stale(f"{shown(self.parent)} is another folder now")
        os.close(self.folder)
        self.folder = fresh
        os.listdir(fresh)

    def other(self, name: str) -> str:
        """Give the path of another name in the same folder."""
        return f"{self.parent}/{name}"

    def look(self, name: str | None = None) -> os.stat_result | None:
        """Look at what stands under this name or another; None where there surely is nothing."""
        try:
            return os.stat(name or self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _open(self) -> int:
        return os.open(self.parent or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


@fact
class Tree:
    """A folder with all below it, or a single file. Paths are relative; "" is the top itself."""

    inode: Inode
    files: dict[str, File]
    folders: dict[str, Inode]
    """Parents first, the top among them; none for a single file."""
    left: tuple[str, ...] = ()
    """What was deleted but is still open somewhere: no part of the tree."""

    @property
    def is_folder(self) -> bool:
        return bool(self.folders)

    @property
    def size(self) -> int:
        """Bytes of all files, holes included."""
        return sum(file.size for file in self.files.values())

    @property
    def identity(self) -> tuple[object, ...]:
        """Give what stays the same until something is changed; links and modes do not count."""
        files = {path: (file.inode, file.identity) for path, file in self.files.items()}
        return files, self.folders

    @property
    def shape(self) -> tuple[dict[str, int], frozenset[str]]:
        """Names and sizes: what can be compared without reading."""
        return {path: file.size for path, file in self.files.items()}, frozenset(self.folders)


def inode_of(found: os.stat_result) -> Inode:
    """Give what tells two names of one thing."""
    return (found.st_dev, found.st_ino)


def scan(place: Place, name: str | None = None) -> Tree:
    """See all that stands under a name, without following links.

    Raises Stale where nothing is there, ActionFailed for what is neither file nor folder or lies
    on another file system, and OSError.
    """
    name = place.name if name is None else name
    top = place.look(name)
    if top is None:
        raise Stale(f"{shown(place.other(name))} is gone")
    found = Tree(inode_of(top), {}, {}, ())
    left: list[str] = []
    if stat.S_ISREG(top.st_mode):
        found.files[""] = file_from("", top)
    elif stat.S_ISDIR(top.st_mode):
        if os.fstat(place.folder).st_dev != top.st_dev:
            raise ActionFailed(f"{shown(place.other(name))} is a mount point: unmount it first")
        found.folders[""] = inode_of(top)
        with opened(place.folder, name) as folder:
            _scan_into(found, left, folder, place.other(name), "")
    else:
        raise ActionFailed(f"{shown(place.other(name))} is {_kind(top)}: it is not moved")
    return Tree(found.inode, found.files, found.folders, tuple(left))


def _scan_into(found: Tree, left: list[str], folder: int, top: str, path: str) -> None:
    for name in sorted(os.listdir(folder)):
        inner = f"{path}/{name}" if path else name
        entry = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if name.startswith(LEFTOVERS):
            left.append(inner)
        elif stat.S_ISREG(entry.st_mode):
            found.files[inner] = file_from(inner, entry)
        elif not stat.S_ISDIR(entry.st_mode):
            told = shown(f"{top}/{inner}")
            raise ActionFailed(f"{told} is {_kind(entry)}: remove it, then all can be moved")
        elif entry.st_dev != found.inode[0]:
            raise ActionFailed(f"{shown(f'{top}/{inner}')} is a mount point: unmount it first")
        elif inner.count("/") >= _DEEPEST:
            raise ActionFailed(f"{shown(top)} has more than {_DEEPEST} folders within each other")
        else:
            found.folders[inner] = inode_of(entry)
            with opened(folder, name) as lower:
                _scan_into(found, left, lower, top, inner)


def _kind(found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return "a symbolic link"
    return "neither a file nor a folder"


@contextlib.contextmanager
def opened(top: int, path: str) -> Iterator[int]:
    """Open a folder below an open one, step by step, through no link; "" is that one itself."""
    descriptor = os.dup(top)
    try:
        for name in path.split("/") if path else ():
            inner = os.open(name, FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def held(top: int, name: str, path: str) -> Iterator[tuple[int, str]]:
    """Open the folder that holds a path of the tree `name`; gives it, and the last name."""
    above, _, last = below(name, path).rpartition("/")
    with opened(top, above) as folder:
        yield folder, last


def below(name: str, path: str) -> str:
    """Give the path of something in the tree `name`, as seen from the folder above it."""
    return f"{name}/{path}" if path else name


def is_stuck(error: OSError) -> bool:
    """Whether the kernel may only believe something old of a folder, so that a fresh look helps."""
    return error.errno in (errno.EBUSY, errno.ESTALE, errno.ENOTEMPTY)
