"""Where things lie on this host and on the remote, as the configuration says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe.config import as_host
from mediapipe.disk import roots
from mediapipe.disk.mounts import is_disk, is_mount_point, mounts, why_shown_twice
from mediapipe.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mediapipe.config import Config, Library
    from mediapipe.disk.roots import Root
    from mediapipe.history import History


def address(remote: str, name: str) -> str:
    """Give the full remote name of an object: `b2:bucket` and `tv/x.mkv` → `b2:bucket/tv/x.mkv`."""
    return f"{remote}{name}" if remote.endswith((":", "/")) else f"{remote}/{name}"


def remote_folders(config: Config) -> tuple[str, ...]:
    """Give the folders on the remote that are ours: the libraries' and the uncategorized one."""
    ours = [library.remote for library in config.libraries.values()]
    return tuple(dict.fromkeys([*ours, config.upload.uncategorized_remote]))


def inside(path: str, folder: str) -> bool:
    """Whether a path lies strictly below a folder."""
    return path.startswith(folder + "/")


def category_folders(config: Config) -> dict[str, str]:
    """Give category name → its folder, as this host sees it."""
    path_map = config.qbittorrent.path_map
    return {name: as_host(path, path_map) for name, path in config.categories.items()}


def library_of(config: Config, category: str) -> Library | None:
    """Give the library that a category's downloads are imported into."""
    for library in config.libraries.values():
        if category and library.category == category:
            return library
    return None


def containers(config: Config) -> tuple[str, ...]:
    """Give the folders whose entries are uncategorized items.

    These are completed, and below it the folder of each category that no library belongs to.
    """
    completed = config.paths.completed
    folders = category_folders(config)
    without_library = {
        folder
        for name, folder in folders.items()
        if library_of(config, name) is None and inside(folder, completed)
    }
    with_library = {
        folder for name, folder in folders.items() if library_of(config, name) is not None
    }
    return (completed, *sorted(without_library - with_library - {completed}))


def download_folders(config: Config) -> tuple[str, ...]:
    """Give the folders whose entries are downloads, the deepest first.

    These are completed, and the category folders below it.
    """
    completed = config.paths.completed
    below = {path for path in category_folders(config).values() if inside(path, completed)}
    return (*sorted(below, key=lambda path: -path.count("/")), completed)


def item_of(path: str, config: Config) -> str:
    """Give the item that a path belongs to: below completed the entry it lies in, else itself."""
    return item_finder(config)(path)


def item_finder(config: Config) -> Callable[[str], str]:
    """Give `item_of` for many paths of one configuration."""
    starts = tuple(f"{folder}/" for folder in download_folders(config))
    known: dict[str, str] = {}  # folder → the item that all in it belongs to; empty: each is one

    def find(path: str) -> str:
        folder = path[: path.rfind("/") + 1]
        item = known.get(folder)
        if item is None:
            item = ""
            for start in starts:
                if folder.startswith(start):
                    first = folder[len(start) :].partition("/")[0]
                    item = start + first if first else ""
                    break
            known[folder] = item
        return item or path

    return find


def is_item_anyway(path: str, config: Config) -> bool:
    """Whether a download lies where uncategorized items lie."""
    homes = (folder for folder in download_folders(config) if inside(path, folder))
    return next(homes, "") in containers(config)


def reserved(config: Config) -> frozenset[str]:
    """Give the folders that are never an item and never removed, be they full or empty.

    These are the category folders, the roots, and all that they lie in.
    """
    folders = {*category_folders(config).values(), config.paths.completed}
    folders |= {library.root for library in config.libraries.values()}
    return frozenset(parent for folder in folders for parent in _upward(folder))


def _upward(path: str) -> Iterable[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def demand_mounts(config: Config) -> None:
    """Raise Unavailable unless every `require_mounts` is mounted."""
    if not config.paths.require_mounts:
        return
    table = mounts()
    for point in config.paths.require_mounts:
        if not is_mount_point(point, table):
            raise Unavailable(
                f"nothing is mounted at {point}",
                hint="[paths] require_mounts names it; nothing is decided without it",
            )


def on_servers(config: Config) -> tuple[str, ...]:
    """Give the roots that are on no disk of this host: who touches them may hang for ever."""
    roots = (*(one.root for one in config.libraries.values()), config.paths.completed)
    table = mounts()
    return tuple(root for root in roots if not is_disk(root, table))


def is_mounted(point: str) -> bool:
    """Whether something is mounted right at this path; what is there is not touched."""
    return is_mount_point(point, mounts())


def leads_into_mount(path: str, config: Config) -> bool:
    """Whether a path is a link into the mount of the remote; the mount is not touched."""
    try:
        return inside(os.readlink(path), config.rclone.mount_point)
    except (OSError, ValueError):
        return False


def survey(paths: Iterable[str], history: History) -> tuple[Root, ...]:
    """Look at roots, each against what history knows of it.

    Raises ConfigError where one of them leads into another or shows the same files: each would mark
    the other's, and one name of a file would count as two.
    """
    found = tuple(roots.inspect(path, history.root(path)) for path in paths)
    real = {one.path: os.path.realpath(one.path) for one in found if not one.trouble}
    for path, place in real.items():
        for other, another in real.items():
            if path != other and (place == another or inside(place, another)):
                raise ConfigError(
                    f"{path} leads into {other}: both are {place}"
                    if place == another
                    else f"{path} leads into {other}: it is {place}",
                    hint="give each root a folder of its own",
                )
    if twice := why_shown_twice(real.values(), mounts()):
        raise ConfigError(
            f"{twice} show the same files, by a bind mount",
            hint="take the mount away, or leave one of the two out of the configuration",
        )
    return found


def adopt(found: Iterable[Root], history: History) -> None:
    """Give each sound root its root file and remember it. Raises Unavailable."""
    for root in found:
        if root.trouble:
            continue
        try:
            history.remember_root(root.path, roots.adopt(root))
        except OSError as error:
            raise Unavailable(
                f"cannot write {root.path}/{roots.NAME}: {error.strerror}",
                hint="the job needs to write there: check owner, mode and the unit's sandbox",
            ) from None
