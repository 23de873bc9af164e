"""Items: what lies on disk and has no valid marker, found in one walk over each root."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.archives import volumes_of
from mediapipe.disk import marker
from mediapipe.disk.index import File, file_from, look, walk
from mediapipe.names import matcher
from mediapipe.plan import Kept, human

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mediapipe.config import Config
    from mediapipe.disk.index import Folder
    from mediapipe.records import Wanted


@dataclass(frozen=True)
class Item:
    """Something on disk without a valid marker: a library file, or an uncategorized item."""

    path: str
    base: str
    """The folder that the names of `files` are relative to."""
    prefix: str
    """The folder below the remote's root that stands for `base`."""
    files: Mapping[str, File]
    uncategorized: bool
    trouble: str = ""
    """Why it cannot be judged or stored as it is; empty where all is well."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files.values())

    @property
    def changed_ns(self) -> int:
        """When its newest file changed."""
        return max((file.changed_ns for file in self.files.values()), default=0)

    def remote_name(self, name: str) -> str:
        """Give the object's name for one of `files`."""
        return f"{self.prefix}/{name}"

    @cached_property
    def archives(self) -> Mapping[str, tuple[str, ...]]:
        """First volume → all volumes, of what will be extracted: uncategorized archives alone."""
        return volumes_of(self.files) if self.uncategorized else {}

    def first_volume(self, name: str) -> str | None:
        """Give the first volume of the archive that a file is a volume of, or None."""
        return self._firsts.get(name)

    @cached_property
    def _firsts(self) -> Mapping[str, str]:
        return {name: first for first, volumes in self.archives.items() for name in volumes}

    @property
    def place(self) -> str:
        """The remote name of the item as a whole: the object's, or the folder's."""
        own = os.path.relpath(self.path, self.base)
        return self.prefix if own == "." else f"{self.prefix}/{own}"

    def entry_path(self, name: str) -> str:
        """Give the path under which the marker knows one of `files` (CONTRACT: marker)."""
        path = self.files[name].path
        inside = layout.inside(path, self.path)
        return path[len(self.path) + 1 :] if inside else os.path.basename(path)


@dataclass(frozen=True)
class Upload:
    """Files of an item that will be uploaded as they are, proven and marked."""

    item: Item
    files: Mapping[str, File]
    """All of the item's, but for volumes of archives; empty where only the marker is missing."""
    remote: str
    reason: str
    kind: str = "upload"

    @property
    def path(self) -> str:
        """The item's path."""
        return self.item.path

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files.values())

    def details(self) -> dict[str, object]:
        """Give the remote name and the size in bytes."""
        return {"remote": self.remote, "size": self.size}

    def __str__(self) -> str:
        return f"upload {self.path} ({human(self.size)}) to {self.remote}: {self.reason}"


@dataclass(frozen=True)
class Extract:
    """An archive of an item that will be extracted, its members uploaded and proven."""

    item: Item
    first: str
    """Name of its first volume."""
    remote: str
    reason: str
    kind: str = "extract"

    @property
    def files(self) -> Mapping[str, File]:
        """Its volumes."""
        return {name: self.item.files[name] for name in self.item.archives[self.first]}

    @property
    def path(self) -> str:
        """The path of its first volume."""
        return self.item.files[self.first].path

    @property
    def size(self) -> int:
        """Bytes of all volumes."""
        return sum(file.size for file in self.files.values())

    def details(self) -> dict[str, object]:
        """Give the remote folder and the size of the volumes in bytes."""
        return {"remote": self.remote, "size": self.size}

    def __str__(self) -> str:
        return f"extract {self.path} ({human(self.size)}) to {self.remote}: {self.reason}"


@dataclass(frozen=True)
class World:
    """What `scan` found: pending items, and what could not be looked at."""

    items: tuple[Item, ...]
    kept: tuple[Kept, ...]
    unavailable: str


def scan(
    config: Config, sound: frozenset[str], trouble: str, wanted: Iterable[Wanted] = ()
) -> World:
    """Read the libraries, the uncategorized downloads and what cleanup wants, below sound roots."""
    unreadable: list[str] = []
    items: list[Item] = []
    for library in config.libraries.values():
        if library.root in sound:
            for folder in walk(library.root, unreadable):
                items.extend(_library_items(folder, library.root, library.remote, config))
    if config.paths.completed in sound:
        for container in layout.containers(config):
            if os.path.lexists(container):
                items.extend(_uncategorized(container, config, unreadable))
        for one in wanted:
            items.extend(_leftovers(one, config))
    kept = tuple(Kept(line.partition(": ")[0], f"unreadable: {line}") for line in unreadable)
    return World(tuple(items), kept, trouble)


def _library_items(folder: Folder, base: str, prefix: str, config: Config) -> Iterator[Item]:
    """Give the pending files of one library folder: each regular file is an item."""
    ignored, unfinished = matcher(config.upload.ignore), matcher(config.upload.unfinished)
    waiting = next((entry.name for entry in folder.files if unfinished(entry.name)), "")
    for entry in folder.files:
        if ignored(entry.name):
            continue
        name = entry.path[len(base) + 1 :]
        item = _item(entry.path, base, prefix, {name: entry}, uncategorized=False, waiting=waiting)
        if item is not None and not _marked(item, config):
            yield item


def _uncategorized(container: str, config: Config, unreadable: list[str]) -> Iterator[Item]:
    """Give the pending entries of a folder of uncategorized downloads: each entry is an item."""
    ignored, unfinished = matcher(config.upload.ignore), matcher(config.upload.unfinished)
    reserved = layout.reserved(config)
    prefix = config.upload.uncategorized_remote
    try:
        with os.scandir(container) as listing:
            entries = [entry for entry in listing if not ignored(entry.name)]
    except OSError as error:
        unreadable.append(f"{container}: {error.strerror}")
        return
    loose = {entry.name: entry for entry in entries if entry.is_file(follow_symlinks=False)}
    sets = volumes_of(loose)  # volumes that lie loose are one item, named by the first
    others = {name for first, volumes in sets.items() for name in volumes if name != first}
    for entry in entries:
        if entry.path in reserved or entry.name in others:
            continue
        trouble, files, waiting = "", {}, ""
        if entry.name in loose:
            files = {name: loose[name] for name in sets.get(entry.name, (entry.name,))}
            waiting = next((name for name in files if unfinished(name)), "")
        elif entry.is_dir(follow_symlinks=False):
            unread: list[str] = []
            for folder in walk(entry.path, unread):
                trouble = trouble or next((_why_odd(path) for path in folder.odd), "")
                waiting = waiting or next((f.name for f in folder.files if unfinished(f.name)), "")
                files |= {
                    file.path[len(container) + 1 :]: file
                    for file in folder.files
                    if not ignored(file.name)
                }
            trouble = trouble or next((f"unreadable: {line}" for line in unread), "")
        else:
            trouble = _why_odd(entry.path)
        place = (entry.path, container, prefix)
        item = _item(*place, files, uncategorized=True, waiting=waiting, trouble=trouble)
        if item is not None and not _marked(item, config):
            yield item


def _leftovers(wanted: Wanted, config: Config) -> Iterator[Item]:
    """Give what cleanup wants of one due torrent: an item for each entry that it lies in."""
    name = wanted.name.replace("/", "_").strip(".") or wanted.hash
    base, prefix = wanted.folder, f"{config.upload.uncategorized_remote}/{name}"
    if os.path.basename(base) == name:
        # named alike on both sides: torrents of one category folder share a child
        base, prefix = os.path.dirname(base), config.upload.uncategorized_remote
    groups: dict[str, dict[str, File]] = defaultdict(dict)
    for path in wanted.paths:
        try:
            found = look(path)
        except OSError:
            continue
        if found is not None and layout.inside(path, wanted.folder):
            groups[layout.item_of(path, config)][path[len(base) + 1 :]] = found
    for own, files in groups.items():
        item = Item(own, base, prefix, files, uncategorized=True)
        if not _marked(item, config):
            yield item


def _item(
    path: str,
    base: str,
    prefix: str,
    entries: Mapping[str, os.DirEntry[str]],
    *,
    uncategorized: bool,
    waiting: str,
    trouble: str = "",
) -> Item | None:
    try:
        files = {
            name: file_from(entry.path, entry.stat(follow_symlinks=False))
            for name, entry in entries.items()
        }
    except FileNotFoundError:
        return None  # it goes away at this very moment: the next pass sees what is there then
    except OSError as error:
        files, trouble = {}, f"unreadable: {error.strerror}"
    if waiting:
        trouble = f"{waiting} is not finished"
    return Item(path, base, prefix, files, uncategorized, trouble) if files or trouble else None


def _why_odd(path: str) -> str:
    return f"{os.path.basename(path)} is a link or a special file; only regular files are uploaded"


def _marked(item: Item, config: Config) -> bool:
    """Whether a marker proves the item under today's remote names."""
    if item.trouble:
        return False
    try:
        found = marker.read(marker.marker_path(item.path))
    except OSError:
        return False
    if found is None:
        return False
    by_path = {item.entry_path(name): name for name in item.files}
    return found.proves({path: item.files[name] for path, name in by_path.items()}) and all(
        _is_of_today(entry, item, by_path[entry.path], config) for entry in found.files
    )


def _is_of_today(entry: marker.Entry, item: Item, name: str, config: Config) -> bool:
    """Whether an entry names the objects as they would be named today."""
    remote = config.rclone.remote
    if entry.remote:
        return entry.remote == layout.address(remote, item.remote_name(name))
    place = layout.address(remote, item.place)
    return item.first_volume(name) is not None and all(
        one.remote == place or layout.inside(one.remote, place) for one in entry.extracted
    )
