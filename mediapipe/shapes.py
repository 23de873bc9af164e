"""Where a download of SABnzbd's lies on this host, in whatever shape a failed rename left it.

Paths come from SABnzbd's history or from a file that a container wrote: nothing is believed that
does not hold on the disk, and nothing leads out of the folder of finished downloads.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from mediapipe.facts import fact
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mediapipe.config import SabnzbdConfig

UNPACK, REFUSED, ADMIN = "_UNPACK_", "_FAILED_", "__ADMIN__"
DEBRIS = (".nfs", ".fuse_hidden")
"""Beginnings of the names under which a share keeps a deleted file that is still open."""
DEFAULT = "*"
"""SABnzbd's category of jobs that have none."""
_COUNTED = re.compile(r"\.\d{1,3}$")


@fact
class Folder:
    """A job's folder as it was looked at; sizes in bytes."""

    path: str
    """Where it belongs, as this host sees it."""
    source: str = ""
    """What is to be moved, under the name of `path`; empty where nothing is."""
    identity: tuple[int, int, int] = (0, 0, 0)
    """Device, inode and mtime_ns of the source: it gets another one when something new begins."""
    size: int = 0
    changed: float = 0.0
    """Epoch seconds: when anything in it last changed."""
    copies: tuple[str, ...] = ()
    """What is left beside it: copies of what is moved that SABnzbd could not delete."""
    trouble: str = ""
    """Why it is left alone."""

    @property
    def there(self) -> bool:
        """Whether anything is there at all."""
        return bool(self.source or self.trouble)


@fact
class Tree:
    """What a folder holds: path below it → size in bytes, for all but folders and debris."""

    files: Mapping[str, int]
    changed: float
    """Epoch seconds."""


class WrongPathError(Exception):
    """A path that is not one of a finished job; says what would make it one."""


def base_of(category: str, settings: SabnzbdConfig) -> str:
    """Give the folder below `complete_dir` that a category's jobs lie in; empty for itself."""
    given = settings.category_folders.get(category)
    if given is None:
        given = "" if category in ("", DEFAULT) else category
    return given.strip("/")


def folder_of(storage: str, category: str, settings: SabnzbdConfig) -> str:
    """Give a job's folder below the folder of finished downloads. Raises WrongPathError."""
    named = shown(storage)
    plain = os.path.isabs(storage) and os.path.normpath(storage) == storage
    if not plain or not _is_name(storage):
        raise WrongPathError(f"{named} is no plain absolute path")
    if not storage.startswith(settings.complete_dir + "/"):
        raise WrongPathError(f"{named} is outside [sabnzbd] complete_dir, {settings.complete_dir}")
    below = storage[len(settings.complete_dir) + 1 :]
    base = base_of(category, settings)
    if below == base:
        raise WrongPathError(
            f"{named} is the whole folder of category {category}: in SABnzbd its folder ends in *, "
            "so that its jobs have none of their own; take the * away"
        )
    if base and not below.startswith(base + "/"):
        raise WrongPathError(
            f"{named} does not lie in {base}, where category {category} should: write its folder "
            "into [sabnzbd] category_folders"
        )
    name = below[len(base) + 1 if base else 0 :].partition("/")[0]
    folder = f"{base}/{name}" if base else name
    if why := why_no_job(folder, settings):
        raise WrongPathError(why)
    return folder


def _is_name(path: str) -> bool:
    """Whether a file system can have it: JSON can hold what no bytes stand for."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def why_no_job(folder: str, settings: SabnzbdConfig) -> str:
    """Tell why a folder below that of finished downloads is none of a finished job's."""
    name = folder.rpartition("/")[2]
    if name.startswith(UNPACK):
        return "SABnzbd unpacks it, or could not rename it; only its own folder is a job's"
    if name.startswith(REFUSED):
        return "SABnzbd failed to unpack it: retry or delete it there"
    if name == ADMIN or name.startswith("."):
        return f"{shown(name)} is no job"
    if any(one == folder or one.startswith(folder + "/") for one in bases(settings)):
        return f"{shown(folder)} is the folder of a category, or holds one"
    return ""


def bases(settings: SabnzbdConfig) -> tuple[str, ...]:
    """Give the folders below `complete_dir` that jobs lie in, of every category that is known."""
    known = [*settings.destinations, *settings.category_folders]
    return tuple(dict.fromkeys(base_of(one, settings) for one in known))


def look(storage: str, category: str, settings: SabnzbdConfig) -> Folder:
    """Look where a job's files are. Raises WrongPathError, and OSError where it cannot be seen."""
    folder = folder_of(storage, category, settings)
    path = _straight(folder, settings.host_complete_dir)
    name = os.path.basename(path)
    beside = os.path.join(os.path.dirname(path), UNPACK + name)
    nested = os.path.join(path, UNPACK + name)
    found = {place: read(place) for place in (path, nested, beside)}
    own = {key: size for key, size in found[path].files.items()
           if not key.startswith(f"{UNPACK}{name}/")}  # fmt: skip
    found[path] = Tree(own, found[path].changed)
    if os.path.lexists(os.path.join(path, ADMIN)):
        return Folder(path, trouble=f"it holds {ADMIN}: SABnzbd has not done with it")
    full = [place for place in found if found[place].files]
    if not full:
        if os.path.lexists(path):
            return Folder(path, trouble="it is empty, and so is everything beside it")
        return Folder(path)
    whole = [one for one in full if all(_holds(found[one], found[other]) for other in full)]
    if not whole:
        places = " and ".join(map(shown, full))
        return Folder(path, trouble=f"{places} differ, so which one is whole cannot be told")
    source = whole[0]
    if source == path and nested in full:
        return Folder(path, trouble=f"a second copy of it lies within it, in {shown(nested)}")
    if source == path and (why := _why_shared(storage, folder, path, settings)):
        return Folder(path, trouble=why)
    seen = os.lstat(source)
    return Folder(
        path,
        source,
        (seen.st_dev, seen.st_ino, seen.st_mtime_ns),
        sum(found[source].files.values()),
        max(found[one].changed for one in full),
        tuple(one for one in full if one != source),
    )


def _straight(folder: str, root: str) -> str:
    """Give a folder's path on this host; raises WrongPathError where a link leads elsewhere."""
    path: str = root
    for part in folder.split("/"):
        path = os.path.join(path, part)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return os.path.join(root, folder)
        if stat.S_ISLNK(mode):
            raise WrongPathError(f"{shown(path)} is a symbolic link, which may lead anywhere")
        if not stat.S_ISDIR(mode):
            raise WrongPathError(
                f"{shown(path)} is a file without a folder of its own: in SABnzbd the category's "
                "folder ends in *; take that away"
            )
    return path


def _why_shared(storage: str, folder: str, path: str, settings: SabnzbdConfig) -> str:
    """Tell why a folder may hold more than one job, or give an empty string.

    SABnzbd names what lies deeper only where each folder on the way holds nothing else; a sorter
    puts many jobs into one folder.
    """
    deeper = storage[len(settings.complete_dir) + len(folder) + 2 :].split("/")
    for part in filter(None, deeper):
        others = [one for one in os.listdir(path) if one != part and not one.startswith(DEBRIS)]
        if others:
            return (
                f"SABnzbd names {shown(part)} in it alone, so other jobs may lie there too: "
                "switch its sorter off"
            )
        path = os.path.join(path, part)
        if not os.path.isdir(path) or os.path.islink(path):
            break
    return ""


def read(path: str) -> Tree:
    """Read what a folder holds; nothing where it is not there. Links in it are not followed."""
    files: dict[str, int] = {}
    changed = 0.0
    waiting = [""]
    while waiting:
        below = waiting.pop()
        place = os.path.join(path, below) if below else path
        try:
            seen = os.lstat(place)
            if not stat.S_ISDIR(seen.st_mode):
                return Tree({}, 0.0)
            changed = max(changed, seen.st_ctime, seen.st_mtime)
            with os.scandir(place) as entries:
                for entry in entries:
                    name = f"{below}/{entry.name}" if below else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(name)
                    elif not entry.name.startswith(DEBRIS):
                        found = entry.stat(follow_symlinks=False)
                        files[name] = found.st_size
                        changed = max(changed, found.st_ctime, found.st_mtime)
        except FileNotFoundError:
            if below:
                raise
    return Tree(files, changed)


def _holds(one: Tree, other: Tree) -> bool:
    """Whether a folder holds every file of another, with its size."""
    return all(one.files.get(name) == size for name, size in other.files.items())


def stem(name: str) -> str:
    """Give what two jobs that could share a folder have in common: `X` of `X`, `X.1`, `x`."""
    return _COUNTED.sub("", name).casefold().strip(" .")


def works_on(name: str, busy: Iterable[str]) -> bool:
    """Whether one of the names of jobs under way could lie in a folder of this name."""
    plain = name.removeprefix(UNPACK).removeprefix(REFUSED)
    return stem(plain) in {stem(one) for one in busy}
