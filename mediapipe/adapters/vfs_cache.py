"""The cache of the mount: what rclone says of it, and what lies in its folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mediapipe.errors import ConfigError, Unavailable
from mediapipe.facts import fact

if TYPE_CHECKING:
    from mediapipe.adapters.rc import RemoteControl

_FULL = (3, "full")
"""CacheMode: in the others nothing stays that is read."""
_BLOCK = 512


@fact
class Item:
    """A file of which something is in the cache; sizes in bytes."""

    name: str
    """As the mount shows it, below the mount point."""
    held: int
    size: int


@fact
class Cache:
    """The cache as a whole; sizes in bytes."""

    path: str
    """The folder that mirrors the mount."""
    held: int
    """As rclone counted it within the last minute."""
    files: int
    largest: int | None
    """vfs_cache_max_size; None where it is not limited."""
    kept_free: int
    """vfs_cache_min_free_space."""
    full: bool
    """Whether rclone found no room on the disk."""

    def free(self) -> int:
        """Give what is free on its disk now, for who is not root; raises Unavailable."""
        try:
            found = os.statvfs(self.path)
        except OSError as error:
            raise Unavailable(f"cannot look at {self.path}: {error.strerror}") from None
        return found.f_bavail * found.f_frsize

    def items(self) -> tuple[Item, ...]:
        """Look at its files, by name: they have holes where nothing was read yet."""
        found = []
        for folder, folders, names in os.walk(self.path):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                try:
                    status = os.lstat(path)
                except FileNotFoundError:
                    continue  # rclone has just dropped it
                held = min(status.st_blocks * _BLOCK, status.st_size)
                found.append(Item(os.path.relpath(path, self.path), held, status.st_size))
        return tuple(found)


def ask(control: RemoteControl) -> Cache:
    """Ask rclone; raises as `RemoteControl.ask`, and ConfigError where it keeps nothing."""
    stats = control.ask("vfs/stats")
    try:
        disk, options = stats.get("diskCache"), stats["opt"]
        if disk is None or options["CacheMode"] not in _FULL:
            raise ConfigError(
                "the mount keeps no cache of what is read",
                hint='[rclone.mount] vfs_cache_mode = "full", then restart the mount',
            )
        return _cache(disk, options)
    except (KeyError, TypeError, ValueError):
        raise Unavailable("rclone's vfs/stats is none that we know") from None


def _cache(disk: dict[str, Any], options: dict[str, Any]) -> Cache:
    largest = int(options["CacheMaxSize"])
    return Cache(
        str(disk["path"]),
        int(disk["bytesUsed"]),
        int(disk["files"]),
        largest if largest >= 0 else None,
        max(int(options["CacheMinFreeSpace"]), 0),
        bool(disk["outOfSpace"]),
    )
