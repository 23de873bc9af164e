"""What a person means by a path: the name below the remote that it stands for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediapipe.config import Config


def here() -> str:
    """Give the current folder, or `/` where it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return "/"


def name_of(path: str, config: Config, here: str) -> str:
    """Give the name below the remote, "" for all of it; `here` is the current folder.

    A path may be a name below the remote or a full one, or lie below the mount point or in a
    library. A relative one counts from `here`, where that is such a place. Nothing is looked at.
    Raises UsageError for a path that is nowhere on the remote.
    """
    remote = layout.address(config.rclone.remote, "")
    if f"{path}/".startswith(remote):
        return _clean(path[len(remote) :], path)
    for root, folder in _places(config):
        place = os.path.normpath(os.path.join(here, path) if _within(here, root) else path)
        if _within(place, root):
            return _clean(f"{folder}/{place[len(root) :]}", path)
    if path.startswith("/"):
        raise UsageError(
            f"{path} lies neither below the mount nor in a library",
            hint=f"the mount is {config.rclone.mount_point}; or name it as on the remote: tv/Show",
        )
    return _clean(path, path)


def _within(path: str, folder: str) -> bool:
    return path == folder or layout.inside(path, folder)


def _places(config: Config) -> Iterator[tuple[str, str]]:
    yield config.rclone.mount_point, ""
    for library in config.libraries.values():
        yield library.root, library.remote


def _clean(name: str, path: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise UsageError(f"{path} must not go up with '..'")
    return "/".join(parts)
