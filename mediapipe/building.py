"""Build the adapters from the configuration and its secrets."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from mediapipe import latch
from mediapipe.adapters.archives import Unarchiver
from mediapipe.adapters.jellyfin import Jellyfin
from mediapipe.adapters.mounted import Mounted
from mediapipe.adapters.qbittorrent import Qbittorrent
from mediapipe.adapters.rc import Mount
from mediapipe.adapters.rclone import Rclone
from mediapipe.errors import ConfigError

if TYPE_CHECKING:
    from mediapipe.ports import Listener
    from mediapipe.runner import Context
    from mediapipe.units import SecretFile


def qbittorrent(context: Context, job: str, path: str) -> Qbittorrent:
    """Build the client of qBittorrent; raises ConfigError where its secret is not to be had.

    `path` is the configuration's.
    """
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
    jellyfin = config.jellyfin
    if jellyfin is None:
        return (mount,)
    file = jellyfin.api_key_file
    key = functools.partial(secret, file, "jellyfin.api_key_file")
    return (mount, Jellyfin(jellyfin, config.rclone.mount_point, key))


def mounted(context: Context) -> Mounted:
    """Build what reads through the mount; nothing is read yet."""
    return Mounted(context.config.rclone.mount_point)


def secret(file: SecretFile, key: str) -> str:
    """Read a secret; blank where none is configured."""
    if not file:
        return ""
    path = file.path()
    if path is None:
        raise ConfigError(
            f"{key} = {file!r} is a credential, but $CREDENTIALS_DIRECTORY is not set",
            hint="start the systemd unit, or give an absolute path",
        )
    try:
        with open(path, encoding="utf-8") as stream:
            value = stream.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: cannot read {path}: {error}") from None
    if not value:
        raise ConfigError(f"{key}: {path} is empty")
    return value
