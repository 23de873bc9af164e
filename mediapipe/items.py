"""Items: what lies on disk and has no valid marker, and what is done with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.archives import volumes_of
from mediapipe.facts import fact, field
from mediapipe.plan import Kept, human

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediapipe.disk.folder_index import Stamp
    from mediapipe.disk.index import File


@dataclass(frozen=True)  # a fact has no room for what is reckoned once and kept
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
    """Why it could not be looked at; empty where all is well."""
    refused: str = ""
    """Why it stays here until it is changed itself; empty where all is well."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files.values())

    @property
    def changed_ns(self) -> int:
        """When its newest file changed."""
        return max((file.changed_ns for file in self.files.values()), default=0)

    @property
    def home(self) -> str:
        """The folder that is listed again because of it."""
        return self.base if self.uncategorized else os.path.dirname(self.path)

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


@fact
class Upload:
    """Files of an item that will be uploaded as they are, proven and marked."""

    item: Item
    files: Mapping[str, File]
    """All of the item's, but for volumes of archives; empty where only the marker is missing."""
    remote: str
    reason: str
    copies: Mapping[str, str] = field(default_factory=dict)
    """Name → remote name of an object that was proven to hold the same file."""
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


@fact
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


@fact
class World:
    """What `scan` found: pending items, and what could not be looked at."""

    items: tuple[Item, ...]
    kept: tuple[Kept, ...]
    unavailable: str
    busy: Mapping[str, str] = field(default_factory=dict)
    """Item that qBittorrent is not done with → the reason."""
    done: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Item with archives → those of its files that need nothing any more."""
    copies: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Item → name → remote name of another object that was proven to hold the same file."""
    stamps: Mapping[str, Mapping[str, Stamp]] = field(default_factory=dict)
    """Scanned unit (a library's root, a folder of uncategorized items) → what its folders looked
    like, for the folder index."""
    left: frozenset[str] = frozenset()
    """Folders of what is pending and left to a later run."""
    refused: Mapping[str, tuple[Kept, ...]] = field(default_factory=dict)
    """Folder that was not listed again → what is refused there until it is changed itself."""
