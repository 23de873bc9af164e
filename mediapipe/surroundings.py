"""What lies around the files of one planning: folders, markers and links, each read once."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.disk import marker
from mediapipe.disk.index import is_gone, list_names, look
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from mediapipe.config import Config
    from mediapipe.disk.index import File, Inode, Names
    from mediapipe.disk.marker import Marker


class Surroundings:
    """Remembers for one planning what it saw; whoever deletes looks again."""

    def __init__(self, config: Config) -> None:
        """Nothing is read yet."""
        self.config = config
        self.item_of = layout.item_finder(config)
        self._bases = layout.download_folders(config)
        self._elsewhere: dict[tuple[str, str], str] = {}
        self._links: dict[tuple[str, str], bool] = {}
        self._inodes: dict[str, Inode] = {}
        self._names: dict[str, AbstractSet[str] | None] = {}
        self._listings: dict[str, Names | OSError] = {}
        self._markers: dict[str, File | None] = {}
        self._said: dict[str, Marker | None] = {}
        self._libraries = [
            (layout.address(config.rclone.remote, library.remote) + "/", str(library.root))
            for library in config.libraries.values()
        ]

    def listing(self, folder: str) -> Names:
        """Give the names in a folder. Raises OSError where it cannot be read, or is not there."""
        found = self._listings.get(folder)
        if found is None:
            try:
                found = list_names(folder)
            except OSError as error:
                found = error
            self._listings[folder] = found
        if isinstance(found, OSError):
            raise found
        return found

    def names(self, folder: str) -> AbstractSet[str] | None:
        """Give the names in a folder; None where it cannot be read, or is not there."""
        found = self._names.get(folder)
        if found is None and folder not in self._names:
            try:
                found = self.listing(folder).numbers.keys()
            except OSError:
                found = None
            self._names[folder] = found
        return found

    def is_absent(self, path: str) -> bool:
        """Whether nothing has this name."""
        slash = path.rfind("/")
        names = self.names(path[:slash])
        return path[slash + 1 :] not in names if names is not None else is_gone(path)

    def may_be_link(self, path: str) -> bool:
        """Whether a link may have this name, which something has."""
        slash = path.rfind("/")
        try:
            return path[slash + 1 :] in self.listing(path[:slash]).odd
        except OSError:
            return True

    def marker(self, item: str) -> File | None:
        """Give the marker of an item as a file; None where there is none, or none can be seen."""
        if item in self._markers:
            return self._markers[item]
        path = marker.marker_path(item)
        found = None
        try:
            if not self.is_absent(path):
                found = look(path)
        except OSError:  # a folder, or out of reach: it says nothing
            found = None
        self._markers[item] = found
        return found

    def said(self, item: str) -> Marker | None:
        """Give what the marker of an item says; None where it is a mere claim, or there is none."""
        if item not in self._said:
            try:
                self._said[item] = marker.read(marker.marker_path(item))
            except OSError:
                self._said[item] = None
        return self._said[item]

    def items(self, name: str) -> Iterable[str]:
        """Give a name and the item that it lies in, each once."""
        item = self.item_of(name)
        return (name,) if item == name else (name, item)

    def why_elsewhere(self, path: str, root: str) -> str:
        """Tell where a link leads a path, or give an empty string. Raises OSError.

        The roots and the category folders may be links, as their owner wants; what lies below may
        not.
        """
        key = (path[: path.rfind("/")], root)
        if key not in self._elsewhere:
            base = next(one for one in (*self._bases, root) if layout.inside(path, one))
            self._elsewhere[key] = self._why_folder_elsewhere(key[0], base)
        return self._elsewhere[key]

    def _why_folder_elsewhere(self, folder: str, base: str) -> str:
        if not self._is_link_between(folder, base):
            return ""
        below = os.path.relpath(folder, base)
        straight = os.path.normpath(os.path.join(os.path.realpath(base), below))
        real = os.path.realpath(folder)
        return "" if real == straight else f"a link leads it to {shown(real)}"

    def _is_link_between(self, folder: str, base: str) -> bool:
        """Whether a folder, or one above it and below `base`, is a link."""
        if not layout.inside(folder, base):
            return False
        key = (folder, base)
        if key not in self._links:
            above = folder[: folder.rfind("/")]
            self._links[key] = self._is_link(folder) or self._is_link_between(above, base)
        return self._links[key]

    def _is_link(self, path: str) -> bool:
        """Whether a link has this name. Raises OSError where one could not look."""
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if stat.S_ISLNK(found.st_mode):
            return True
        self._inodes[path] = (found.st_dev, found.st_ino)
        return False

    def inode(self, folder: str) -> Inode:
        """Give what tells a folder from others, whatever its path is. Raises OSError."""
        known = self._inodes.get(folder)
        if known is None:
            found = os.stat(folder)
            known = self._inodes[folder] = (found.st_dev, found.st_ino)
        return known

    def likely_folders(self, places: Iterable[str]) -> Iterator[str]:
        """Give the library folders in which files lay when they were proven under these names."""
        for place in {place[: place.rfind("/") + 1] for place in places}:
            for start, root in self._libraries:
                if place.startswith(start):
                    folder = f"{root}/{place[len(start) :]}".rstrip("/")
                    with contextlib.suppress(OSError):  # then the walk tells, or what keeps it
                        straight = os.path.normpath(folder) == folder
                        if straight and not self.why_elsewhere(f"{folder}/", root):
                            yield folder
