"""The folders that a deletion may empty: what is in them, beside what, and which never go."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING

from mediapipe.disk import marker
from mediapipe.disk.index import File, look
from mediapipe.facts import fact, field
from mediapipe.layout import leads_into_mount
from mediapipe.names import matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from mediapipe.holdings import Candidate
    from mediapipe.surroundings import Surroundings

_HELD_OPEN = (".nfs", ".fuse_hidden")


@fact
class Folders:
    """The folders that deletions may empty, as they were read, and those that never go."""

    listing: Mapping[str, AbstractSet[str]]
    """Folder → names in it; a folder that could not be read is missing here."""
    reserved: frozenset[str]
    markers: Mapping[str, File] = field(default_factory=dict)
    """Item → its marker, as it was found beside a name or an item that may go."""
    absent: frozenset[str] = frozenset()
    """Names and items that surely are not there any more."""
    debris: Mapping[str, File] = field(default_factory=dict)
    """Path → a file that `ignore` matches: no part of an item, it goes with its folder."""


def read_folders(
    candidates: Iterable[Candidate], reserved: frozenset[str], around: Surroundings
) -> Folders:
    """Read the folders above every name that may go, and the markers beside them."""
    read = _Reading(around, {"", *reserved})
    by_folder: dict[str, dict[str, File | None]] = defaultdict(dict)
    for candidate in candidates:
        for holding in candidate.holdings:
            if holding.trouble:
                continue  # it stays, and may have a name that no disk can have
            for name in holding.names or (holding.path,):
                by_folder[name[: name.rfind("/")]].setdefault(name, holding.file)
    for folder, files in by_folder.items():
        read.up_from(folder)
        for name, file in files.items():
            read.item(name, file)
        inside = f"{folder}/"
        if (item := around.item_of(inside)) != inside:
            read.item(item, None)
    return Folders(read.listing, reserved, read.markers, frozenset(read.absent), read.debris)


class _Reading:
    """Reads each folder and each item once."""

    def __init__(self, around: Surroundings, done: set[str]) -> None:
        self.listing: dict[str, AbstractSet[str]] = {}
        self.markers: dict[str, File] = {}
        self.absent: set[str] = set()
        self.debris: dict[str, File] = {}
        self._around, self._done = around, done
        self._items: set[str] = set()
        self._ignored = matcher(around.config.upload.ignore)

    def up_from(self, folder: str) -> None:
        """Read a folder and those that it lies in."""
        while folder not in self._done:
            self._done.add(folder)
            if (found := self._around.names(folder)) is not None:
                self.listing[folder] = found
                self.debris |= _debris(folder, found, self._ignored)
            folder = folder[: folder.rfind("/")]

    def item(self, item: str, file: File | None) -> None:
        """See whether an item is there, and its marker; `file` is the item, if it is one."""
        if item in self._items:
            return
        self._items.add(item)
        around = self._around
        # where a file was seen there is no link
        may_lead = file is None and around.may_be_link(item)
        if around.is_absent(item) or (may_lead and leads_into_mount(item, around.config)):
            self.absent.add(item)
        beside = around.marker(item)
        if beside and (_is_as_old(beside, file) or may_go(beside)):
            self.markers[item] = beside


def _debris(folder: str, names: Iterable[str], ignored: Callable[[str], bool]) -> dict[str, File]:
    """Give the ignored files of a folder that may go with it.

    That is no marker, nothing with further links, and nothing that somebody still has open.
    """
    found = {}
    for name in names:
        if not name.endswith(marker.SUFFIX) and ignored(name) and not name.startswith(_HELD_OPEN):
            with contextlib.suppress(OSError):
                file = look(f"{folder}/{name}")
                if file is not None and file.links == 1:
                    found[file.path] = file
    return found


def _is_as_old(beside: File, file: File | None) -> bool:
    """Whether a marker bears the time of its file, to the nanosecond, as we make it.

    That spares a planning thousands of readings; each is read before it goes.
    """
    return file is not None and beside.mtime_ns == file.mtime_ns


def may_go(beside: File) -> bool:
    """Whether a marker may go with its item: ours, or an empty one."""
    try:
        return beside.size == 0 or marker.read(beside.path) is not None
    except OSError:
        return False


def our_marker(path: str) -> File | None:
    """Give a marker that may go with its item: ours, or an empty one."""
    try:
        file = look(path)
    except OSError:
        return None
    return file if file and may_go(file) else None
