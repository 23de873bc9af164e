"""Files as facts: their identity, and one walk over a tree."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from mediapipe.facts import fact, field
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Identity = tuple[int, int, int]
"""(inode, size in bytes, mtime in ns): stays the same across reboots; device numbers do not."""
Inode = tuple[int, int]
"""(device, inode): the same file within one run."""


@fact
class File:
    """A regular file as `lstat` saw it; times in ns since the epoch, size in bytes."""

    path: str
    device: int
    number: int
    links: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @property
    def inode(self) -> Inode:
        """What tells two names of one file in one run."""
        return (self.device, self.number)

    @property
    def identity(self) -> Identity:
        """What markers and history know the file by."""
        return (self.number, self.size, self.mtime_ns)

    @property
    def changed_ns(self) -> int:
        """When it last changed: links and renames touch ctime alone, restores mtime alone."""
        return max(self.ctime_ns, self.mtime_ns)


def look(path: str) -> File | None:
    """Look at a file without following links.

    Gives None only where there surely is nothing. Raises OSError where one could not look, and
    where something other than a regular file stands there.
    """
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:  # NUL or half a character: no disk has such a name
        raise OSError(errno.EINVAL, "is no possible name", shown(path)) from None
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is no regular file", path)
    return file_from(path, found)


def is_there(path: str) -> bool:
    """Whether anything has this name, be it a link that leads nowhere.

    Raises OSError where one could not look: that is never the same as nothing.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError:
        raise OSError(errno.EINVAL, "is no possible name", shown(path)) from None
    return True


def is_gone(path: str) -> bool:
    """Whether surely nothing has this name; False where one could not look."""
    try:
        return not is_there(path)
    except OSError:
        return False


def file_from(path: str, found: os.stat_result) -> File:
    """Make a fact from a stat result."""
    return File(
        path,
        found.st_dev,
        found.st_ino,
        found.st_nlink,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def renamed(file: File, path: str) -> File:
    """Give a file as it is seen under another of its names."""
    if path == file.path:
        return file
    return File(path, file.device, file.number, file.links, file.size, file.mtime_ns, file.ctime_ns)


def same(now: File | None, planned: File) -> bool:
    """Whether a path still holds the file that was planned for.

    The number of links is left out: deleting one of two planned links changes it.
    """
    return now is not None and (now.device, now.identity) == (planned.device, planned.identity)


def fingerprint(files: Mapping[str, File]) -> str:
    """Give what changes when files do: a failure of the old ones says nothing of the new."""
    return repr(sorted((name, file.identity) for name, file in files.items()))


def is_empty(folder: str) -> bool:
    """Whether a folder surely has nothing in it; False where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return False


@fact
class Names:
    """What the own list of a folder says of what is in it."""

    numbers: Mapping[str, int]
    """Name → inode number, which need not be true of what is mounted there."""
    folders: frozenset[str]
    """Names of folders."""
    odd: frozenset[str]
    """Names that are neither regular files nor folders."""


def list_names(path: str) -> Names:
    """Give the names in one folder without looking at any of them. Raises OSError."""
    numbers: dict[str, int] = {}
    folders: list[str] = []
    odd: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            numbers[entry.name] = entry.inode()
            if entry.is_symlink() or not entry.is_file():
                kind = folders if entry.is_dir(follow_symlinks=False) else odd
                kind.append(entry.name)
    return Names(numbers, frozenset(folders), frozenset(odd))


@fact
class Folder:
    """One directory of a walk; `odd` are names that are neither regular files nor folders."""

    path: str
    files: list[os.DirEntry[str]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)


def list_folder(path: str) -> Folder:
    """List one directory without following links. Raises OSError."""
    folder = Folder(path)
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                folder.files.append(entry)
            elif entry.is_dir(follow_symlinks=False):
                folder.folders.append(entry.path)
            else:
                folder.odd.append(entry.path)
    return folder


def walk(root: str, unreadable: list[str]) -> Iterator[Folder]:
    """Go through a tree, parents first, without following links.

    A folder that cannot be read is appended to `unreadable` with its reason, and is no answer
    about what it holds.
    """
    pending = [root]
    while pending:
        path = pending.pop()
        try:
            folder = list_folder(path)
        except OSError as error:
            unreadable.append(f"{path}: {error.strerror}")
            continue
        yield folder
        # whoever consumes the walk may remove from `folders` what shall not be entered
        pending.extend(folder.folders)
