"""The configuration, its secrets, and the folders and mounts of this host."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from mediapipe import layout, regular
from mediapipe.disk.mounts import is_mount_point, mounts, why_inodes_untrusted
from mediapipe.errors import Unavailable
from mediapipe.plan import human

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mediapipe.config import Config
    from mediapipe.doctor.findings import Notes
    from mediapipe.history import History
    from mediapipe.units import SecretFile

    Found = Callable[[str, str, str], None]

_LOW = 0.02
"""Share of a disk that is free, below which downloads and state soon fail."""


def examine_config(config: Config, notes: Notes) -> None:
    """Look at what a sound configuration may still get wrong."""
    with notes.looking("config", "libraries and apps") as found:
        for name, library in config.libraries.items():
            if library.arr and library.arr not in config.arr and library.after_delete == "delete":
                found(
                    f"libraries.{name}.arr names {library.arr!r}, which has no table "
                    f"[arr.{library.arr}]",
                    "it may download again what cleanup deleted",
                    f"add [arr.{library.arr}] with url and api_key_file",
                )
    with notes.looking("config", "secrets") as found:
        for key, file in _secrets(config):
            _secret(key, file, found)


def _secrets(config: Config) -> Iterator[tuple[str, SecretFile]]:
    yield "qbittorrent.password_file", config.qbittorrent.password_file
    yield "qbittorrent.api_key_file", config.qbittorrent.api_key_file
    yield "rclone.config_file", config.rclone.config_file
    yield "rclone.rc_htpasswd_file", config.rclone.rc_htpasswd_file
    yield "notify.urls_file", config.notify.urls_file
    if config.sabnzbd:
        yield "sabnzbd.api_key_file", config.sabnzbd.api_key_file
    if config.jellyfin:
        yield "jellyfin.api_key_file", config.jellyfin.api_key_file
    for name, app in config.arr.items():
        yield f"arr.{name}.api_key_file", app.api_key_file


def _secret(key: str, file: SecretFile, found: Found) -> None:
    path = file.path()
    if path is None:  # none is configured, or it is a credential that only its unit has
        return
    try:
        about = os.stat(path)
        os.close(regular.opener(path, os.O_RDONLY))
    except OSError as error:
        found(
            f"{key}: {path} cannot be read: {error.strerror}",
            "who runs the jobs has to read it",
            "make it readable for that user: who owns the state folder",
        )
        return
    if about.st_mode & stat.S_IROTH and not path.endswith(".xml"):
        found(
            f"{key}: everybody on this host can read {path}",
            "it holds a secret",
            f"chmod o-r {path}",
        )


def examine_mounts(
    config: Config, history: History, list_mount: Callable[[], object], notes: Notes
) -> None:
    """Look at the roots, at what has to be mounted, and at the room that is left.

    `list_mount` raises Unavailable where the mount of the remote lists no files.
    """
    table = mounts()
    for point in config.paths.require_mounts:
        with notes.looking("mounts", point) as found:
            if not is_mount_point(point, table):
                found(
                    "nothing is mounted there, and [paths] require_mounts names it",
                    "no job runs without it",
                    f"systemctl status {point} (its mount unit), or take it out",
                )
    roots = [config.paths.completed, *(one.root for one in config.libraries.values())]
    for root in layout.survey(roots, history):
        with notes.looking("mounts", root.path) as found:
            if root.trouble:
                found(
                    root.trouble,
                    "upload leaves it out, and cleanup deletes nothing at all without it",
                    "mount its disk, or make the folder, for the user who runs the jobs",
                )
            elif reason := why_inodes_untrusted(root.path, table):
                found(
                    reason,
                    "links cannot be told there, so cleanup keeps all of it",
                    "put it on a file system with inodes (ext4, xfs, btrfs, zfs)",
                )
            else:
                _room(root.path, found)
    if any(one.after_delete == "symlink" for one in config.libraries.values()):
        with notes.looking("mounts", config.rclone.mount_point) as found:
            try:
                list_mount()
            except Unavailable as error:
                found(
                    str(error),
                    "libraries have links into it: what was deleted here does not play",
                    "systemctl restart rclone-b2-mount",
                )


def _room(path: str, found: Found) -> None:
    about = os.statvfs(path)
    free, whole = about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize
    if whole and free < whole * _LOW:
        found(
            f"its disk has {human(free)} free of {human(whole)}",
            "downloads stop, and history.db cannot be written when its disk is full",
            "mediapipe cleanup --dry-run tells what is kept, and why",
        )
