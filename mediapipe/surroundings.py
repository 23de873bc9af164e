"""What lies around the files of one planning: folders, markers and links, each read once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.disk import marker
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mediapipe.config import Config
    from mediapipe.disk.index import File
    from mediapipe.records import Proof


class Surroundings:
    """Remembers for one planning what it saw; whoever deletes looks again."""

    def __init__(self, config: Config) -> None:
        """Nothing is read yet."""
        self.config = config
        self.item_of = layout.item_finder(config)
        self._bases = layout.download_folders(config)
        self._elsewhere: dict[tuple[str, str], str] = {}
        self._names: dict[str, frozenset[str] | None] = {}
        self._markers: dict[str, tuple[File, marker.Marker | None] | None] = {}
        self._libraries = [
            (layout.address(config.rclone.remote, library.remote) + "/", str(library.root))
            for library in config.libraries.values()
        ]

    def names(self, folder: str) -> frozenset[str] | None:
        """Give the names in a folder; None where it cannot be read, or is not there."""
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._names[folder] = None
        return self._names[folder]

    def is_absent(self, path: str) -> bool:
        """Whether nothing has this name."""
        folder, _, name = path.rpartition("/")
        names = self.names(folder)
        return name not in names if names is not None else not os.path.lexists(path)

    def marker(self, item: str) -> tuple[File, marker.Marker | None] | None:
        """Give the marker of an item as a file, and what it says: None where it is a mere claim.

        None in place of both where there is none, or where it cannot be read.
        """
        if item not in self._markers:
            path = marker.marker_path(item)
            try:
                self._markers[item] = None if self.is_absent(path) else marker.read_file(path)
            except OSError:
                self._markers[item] = None
        return self._markers[item]

    def items(self, name: str) -> Iterable[str]:
        """Give a name and the item that it lies in, each once."""
        item = self.item_of(name)
        return (name,) if item == name else (name, item)

    def why_elsewhere(self, path: str, root: str) -> str:
        """Tell where a link leads a path, or give an empty string. Raises OSError.

        The roots and the category folders may be links, as their owner wants; what lies below may
        not.
        """
        base = next(one for one in (*self._bases, root) if layout.inside(path, one))
        folder = os.path.dirname(path)
        key = (folder, base)
        if key not in self._elsewhere:
            below = os.path.relpath(folder, base)
            straight = os.path.normpath(os.path.join(os.path.realpath(base), below))
            real = os.path.realpath(folder)
            self._elsewhere[key] = "" if real == straight else f"a link leads it to {shown(real)}"
        return self._elsewhere[key]

    def likely_folders(self, proofs: Iterable[Proof]) -> Iterator[str]:
        """Give the library folders in which a file lay when it was proven."""
        for proof in proofs:
            for start, root in self._libraries:
                if proof.place.startswith(start):
                    path = f"{root}/{proof.place[len(start) :]}"
                    if os.path.normpath(path) == path and not self.why_elsewhere(path, root):
                        yield os.path.dirname(path)
