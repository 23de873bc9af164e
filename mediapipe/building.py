"""Build the adapters from the configuration and its secrets."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from typing import TYPE_CHECKING

from mediapipe import app_tallies, latch, regular
from mediapipe.adapters.archives import Unarchiver
from mediapipe.adapters.jellyfin import Jellyfin
from mediapipe.adapters.mounted import Mounted
from mediapipe.adapters.rc import Mount
from mediapipe.adapters.rclone import Rclone
from mediapipe.adapters.sabnzbd import Sabnzbd
from mediapipe.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mediapipe.adapters.arr import Arr
    from mediapipe.adapters.arr_import import ArrImport
    from mediapipe.adapters.qbittorrent import Qbittorrent
    from mediapipe.config import ArrConfig, JellyfinConfig, SabnzbdConfig
    from mediapipe.ports import Listener
    from mediapipe.runner import Context
    from mediapipe.titles import ArrLibrary
    from mediapipe.units import SecretFile


def qbittorrent(context: Context, job: str, path: str) -> Qbittorrent:
    """Build the client of qBittorrent; raises ConfigError where its secret is not to be had.

    `path` is the configuration's.
    """
    from mediapipe.adapters.qbittorrent import Qbittorrent

    latch.demand_open(context, "qbittorrent", job, path)
    settings = context.config.qbittorrent
    return Qbittorrent(
        settings,
        secret(settings.password_file, "qbittorrent.password_file") if settings.username else "",
        secret(settings.api_key_file, "qbittorrent.api_key_file"),
    )


def rclone(context: Context, job: str, path: str) -> Rclone:
    """Build the remote; nothing is started."""
    latch.demand_open(context, "rclone", job, path)
    return Rclone(context.config.rclone, context.config.upload)


def unarchiver() -> Unarchiver:
    """Build what opens archives; nothing is started."""
    return Unarchiver()


def listeners(context: Context) -> tuple[Listener, ...]:
    """Build what is told of uploads, each behind the one that it sees the remote through.

    Nothing is read or sent yet: a secret that is not to be had is trouble of its listener alone.
    """
    config = context.config
    mount = Mount(config.rclone.rc_addr, context.state)
    if config.jellyfin is None:
        return (mount,)
    return (mount, jellyfin(config.jellyfin, config.rclone.mount_point))


def jellyfin(settings: JellyfinConfig, mount_point: str) -> Jellyfin:
    """Build the client of Jellyfin; its secret is read when it is needed."""
    key = functools.partial(secret, settings.api_key_file, "jellyfin.api_key_file")
    return Jellyfin(settings, mount_point, key)


def sabnzbd(settings: SabnzbdConfig) -> Sabnzbd:
    """Build the client of SABnzbd; raises ConfigError where its secret is not to be had."""
    return Sabnzbd(settings, secret(settings.api_key_file, "sabnzbd.api_key_file"))


def arr(name: str, settings: ArrConfig, *, waiting: bool = False) -> Arr:
    """Build the client of `[arr.NAME]`; it reads its key itself, and again where it is refused.

    Raises ConfigError where there can be none.
    """
    from mediapipe.adapters.arr import Arr

    key = f"arr.{name}.api_key_file"
    if not settings.api_key_file:
        raise ConfigError(f"{key} is blank", hint="its API knows nobody without a key")
    return Arr(name, settings, _file(settings.api_key_file, key), waiting=waiting)


def usenet(context: Context) -> Sabnzbd | None:
    """Build the client of SABnzbd; None where there is none, or no key for it is configured."""
    settings = context.config.sabnzbd
    return sabnzbd(settings) if settings and settings.api_key_file else None


def importer(context: Context, name: str) -> ArrImport:
    """Build what tells `[arr.NAME]` of downloads; as `arr`."""
    from mediapipe.adapters.arr_import import ArrImport

    return ArrImport(arr(name, context.config.arr[name]))


@contextlib.contextmanager
def arrs(context: Context, *, waiting: bool = False) -> Iterator[Callable[[str], Arr]]:
    """Give what builds the client of `[arr.NAME]`, once each; how they did goes to the history.

    What it gives raises ConfigError where there can be none.
    """
    built: dict[str, Arr] = {}

    @functools.cache
    def client(name: str) -> Arr:
        built[name] = arr(name, context.config.arr[name], waiting=waiting)
        return built[name]

    try:
        yield client
    finally:
        for name, app in built.items():
            with contextlib.suppress(sqlite3.Error):  # what was done has to be reported first
                app_tallies.add(name, vars(app.counters), app.left_alone, context)


@contextlib.contextmanager
def apps(context: Context) -> Iterator[Callable[[str], ArrLibrary]]:
    """Give the same as what tells of titles."""
    with arrs(context) as client:

        @functools.cache
        def library(name: str) -> ArrLibrary:
            from mediapipe.adapters.arr_library import Library

            return Library(client(name))

        yield library


def mounted(context: Context) -> Mounted:
    """Build what reads through the mount; nothing is read yet."""
    return Mounted(context.config.rclone.mount_point)


def secret(file: SecretFile, key: str) -> str:
    """Read a secret; blank where none is configured."""
    if not file:
        return ""
    path = _file(file, key)
    try:
        value = regular.read(path).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(
            f"{key}: cannot read {path}: {why}",
            hint="put the secret alone into it, readable for the user of the service",
        ) from None
    if not value:
        raise ConfigError(f"{key}: {path} is empty")
    return value


def _file(file: SecretFile, key: str) -> str:
    """Give the path of a secret that is configured."""
    path = file.path()
    if path is None:
        raise ConfigError(
            f"{key} = {file!r} is a credential, but $CREDENTIALS_DIRECTORY is not set",
            hint="start the systemd unit, or give an absolute path",
        )
    return path
