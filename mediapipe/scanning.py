"""Find what is pending: one walk over each root, of the folders that changed since the last."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.archives import volumes_of
from mediapipe.disk import folder_index, marker
from mediapipe.disk.folder_index import AGAIN, Stamp
from mediapipe.disk.index import file_from, list_folder, look
from mediapipe.facts import fact, field
from mediapipe.items import Item, World
from mediapipe.names import matcher
from mediapipe.plan import Kept

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mediapipe.choosing import Choice
    from mediapipe.config import Config
    from mediapipe.disk.index import File, Folder
    from mediapipe.records import Wanted


@fact
class Memory:
    """What the pass before saw and what of it may be believed; empty where nothing may."""

    stamps: Mapping[str, Mapping[str, Stamp]] = field(default_factory=dict)
    """Scanned unit → folder → what it looked like."""
    refused: Mapping[str, tuple[Kept, ...]] = field(default_factory=dict)
    """Folder → what is refused there until it is changed itself."""
    full_at: float = 0.0
    """Epoch seconds of the last pass that was full."""
    full: bool = True
    """Whether each file is compared again with what it was when its marker was read."""
    program: Sequence[object] = ()
    """What decides how things are judged, as it was when this pass began."""


class _Walk:
    """Lists what changed below one root, and notes what every folder there looked like."""

    def __init__(
        self, root: str, before: Mapping[str, Stamp], now: float, unreadable: list[str]
    ) -> None:
        self.stamps: dict[str, Stamp] = {}
        self._root = root
        self._before = before
        self._now_ns = int(now * 1e9)
        self._unreadable = unreadable
        self._device = os.stat(root).st_dev if os.path.exists(root) else -1

    def folders(self, root: str, *, full: bool) -> Iterator[Folder]:
        """Give the folders to be looked through; parents first, but for those that are known."""
        pending = [*({root} - self._before.keys()), *self._changed(full=full)]
        links: set[str] = set()
        while pending:
            folder = self.listed(pending.pop())
            if folder is not None:
                yield folder
                pending += [one for one in folder.folders if one not in self._before]
                links |= self._before.keys() & folder.odd
        if links:  # what seemed unchanged below them is the same folder, seen through a link
            for path in list(self.stamps):
                if any(f"{path}/".startswith(f"{link}/") for link in links):
                    del self.stamps[path]

    def listed(self, path: str) -> Folder | None:
        """List one folder and note what it looked like before; None where it cannot be read."""
        try:
            mark = folder_index.settled_mark(path, self._device, self._now_ns)
            folder = list_folder(path)
        except OSError as error:
            self._note_unreadable(path, error)
            return None
        self.stamps[path] = AGAIN  # where something goes away at this very moment
        with contextlib.suppress(OSError):
            self.stamps[path] = (mark, folder_index.content(folder.files))
        return folder

    @contextlib.contextmanager
    def own_unreadable(self) -> Iterator[list[str]]:
        """Collect what cannot be read in the meantime apart from all else."""
        others, self._unreadable = self._unreadable, []
        try:
            yield self._unreadable
        finally:
            self._unreadable = others

    def _changed(self, *, full: bool) -> Iterator[str]:
        real = os.path.realpath(self._root)
        for path, before in self._before.items():
            try:
                unchanged = folder_index.is_as_it_was(path, before, full=full)
            except (FileNotFoundError, NotADirectoryError):
                continue  # where it is now, its parent will tell
            except OSError as error:
                if error.errno != errno.ELOOP:
                    self._note_unreadable(path, error)
                continue
            if unchanged:
                self.stamps[path] = before
            elif os.path.isdir(path) and os.path.realpath(path) == real + path[len(self._root) :]:
                yield path  # else a link leads there

    def _note_unreadable(self, path: str, error: OSError) -> None:
        self._unreadable.append(f"{path}: {error.strerror}")
        self.stamps[path] = AGAIN


def scan(
    config: Config,
    sound: frozenset[str],
    trouble: str,
    now: float,
    choice: Choice,
    wanted: Iterable[Wanted] = (),
    memory: Memory | None = None,
) -> World:
    """Read the libraries, the uncategorized downloads and what cleanup wants, below sound roots."""
    memory = memory or Memory()
    unreadable: list[str] = []
    stamps: dict[str, Mapping[str, Stamp]] = {}
    for library in config.libraries.values():
        if library.root in sound:
            walk = _Walk(library.root, memory.stamps.get(library.root, {}), now, unreadable)
            for folder in walk.folders(library.root, full=memory.full):
                choice.add(_library_items(folder, library.root, library.remote, config))
            stamps[library.root] = walk.stamps
    if config.paths.completed in sound:
        for container in layout.containers(config):
            if os.path.lexists(container):
                before = memory.stamps.get(container, {})
                if before and not memory.full and _rests(before):
                    stamps[container] = before
                    continue
                walk = _Walk(container, {}, now, unreadable)
                choice.add(_uncategorized(container, config, walk))
                stamps[container] = walk.stamps
        for one in wanted:
            choice.add(_leftovers(one, config))
    # what a folder that was not listed again holds and refuses is still so
    refused = {
        folder: lines
        for folder, lines in memory.refused.items()
        if any(_carried(folder, memory.stamps.get(unit, {}), seen) for unit, seen in stamps.items())
    }
    kept = [Kept(line.partition(": ")[0], f"unreadable: {line}") for line in unreadable]
    kept += [one for lines in refused.values() for one in lines]
    items, left = choice.items(), frozenset(choice.homes)
    kept += choice.left()
    return World(items, tuple(kept), trouble, stamps=stamps, refused=refused, left=left)


def _rests(before: Mapping[str, Stamp]) -> bool:
    """Whether every folder of uncategorized items is what it was: they are looked at as a whole."""
    try:
        return all(folder_index.mark(os.stat(path)) == one[0] for path, one in before.items())
    except OSError:
        return False


def _carried(folder: str, before: Mapping[str, Stamp], now: Mapping[str, Stamp]) -> bool:
    return folder in before and before[folder] is now.get(folder)


def _library_items(folder: Folder, base: str, prefix: str, config: Config) -> Iterator[Item]:
    """Give the pending files of one library folder: each regular file is an item."""
    ignored, refused = matcher(config.upload.ignore), _why_unfinished(folder.files, config)
    for entry in folder.files:
        if ignored(entry.name):
            continue
        item = Item(entry.path, base, prefix, {}, uncategorized=False, refused=refused)
        filled = _filled(item, {entry.path[len(base) + 1 :]: entry})
        if filled is not None and not _marked(filled, config):
            yield filled


def _uncategorized(container: str, config: Config, walk: _Walk) -> Iterator[Item]:
    """Give the pending entries of a folder of uncategorized downloads: each entry is an item."""
    listing = walk.listed(container)
    for item in _entries(container, listing, config, walk) if listing else ():
        if item is not None and not _marked(item, config):
            yield item


def _entries(container: str, listing: Folder, config: Config, walk: _Walk) -> Iterator[Item | None]:
    ignored, reserved = matcher(config.upload.ignore), layout.reserved(config)
    place = (container, config.upload.uncategorized_remote)
    loose = {entry.name: entry for entry in listing.files if not ignored(entry.name)}
    sets = volumes_of(loose)  # volumes that lie loose are one item, named by the first
    others = {name for first, volumes in sets.items() for name in volumes if name != first}
    for name in loose.keys() - others:
        files = {one: loose[one] for one in sets.get(name, (name,))}
        refused = _why_unfinished(files.values(), config)
        own = Item(f"{container}/{name}", *place, {}, uncategorized=True, refused=refused)
        yield _filled(own, files)
    for path in (*listing.folders, *listing.odd):
        if path in reserved or ignored(os.path.basename(path)):
            continue
        own = Item(path, *place, {}, uncategorized=True)
        odd = path in listing.odd
        yield replace(own, refused=_why_odd(path)) if odd else _folder_item(own, config, walk)


def _folder_item(item: Item, config: Config, walk: _Walk) -> Item | None:
    """Fill in all that lies in a folder, at any depth; what is unfinished makes it wait whole."""
    ignored = matcher(config.upload.ignore)
    files: dict[str, os.DirEntry[str]] = {}
    refused = ""
    with walk.own_unreadable() as unreadable:
        for folder in walk.folders(item.path, full=True):
            refused = refused or _why_unfinished(folder.files, config)
            refused = refused or next((_why_odd(odd) for odd in folder.odd), "")
            files |= {
                file.path[len(item.base) + 1 :]: file
                for file in folder.files
                if not ignored(file.name)
            }
    trouble = next((f"unreadable: {line}" for line in unreadable), "")
    return _filled(replace(item, trouble=trouble, refused=refused), files)


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


def _filled(item: Item, entries: Mapping[str, os.DirEntry[str]]) -> Item | None:
    """Fill in the files of an item; None where there is nothing, or nothing any more."""
    try:
        files = {
            name: file_from(entry.path, entry.stat(follow_symlinks=False))
            for name, entry in entries.items()
        }
    except FileNotFoundError:
        return None  # it goes away at this very moment: the next pass sees what is there then
    except OSError as error:
        return replace(item, trouble=f"unreadable: {error.strerror}")
    return replace(item, files=files) if files or item.trouble or item.refused else None


def _why_unfinished(files: Iterable[os.DirEntry[str]], config: Config) -> str:
    unfinished = matcher(config.upload.unfinished)
    return next((f"{one.name} is not finished" for one in files if unfinished(one.name)), "")


def _why_odd(path: str) -> str:
    return f"{os.path.basename(path)} is a link or a special file; only regular files are uploaded"


def _marked(item: Item, config: Config) -> bool:
    """Whether a marker proves the item under today's remote names."""
    if item.trouble or item.refused:
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
