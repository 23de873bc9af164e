"""The configuration: every key that may stand in it, with its type and its default.

These classes are the one place where that is stated; `config_load` checks a file against them.
They are plain facts, so that a pass every two minutes pays for no library (ADR 0002).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mediapipe import places
from mediapipe.facts import fact, field
from mediapipe.units import AbsPath, Seconds, SecretFile, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

_seconds = Seconds.parse
_size = Size.parse


@fact
class Paths:
    completed: AbsPath = AbsPath("/var/lib/qBittorrent/completed")
    extracted: AbsPath = AbsPath("/var/lib/qBittorrent/extracted")
    state: AbsPath = AbsPath(places.STATE)
    require_mounts: tuple[AbsPath, ...] = ()


@fact
class QbittorrentConfig:
    url: str = "http://127.0.0.1:8080"
    username: str = ""
    password_file: SecretFile = SecretFile("")
    api_key_file: SecretFile = SecretFile("")
    timeout: Seconds = _seconds("10s")
    path_map: dict[AbsPath, AbsPath] = field(default_factory=dict)


@fact
class Library:
    root: AbsPath
    remote: str
    category: str = ""
    arr: str = ""
    after_delete: Literal["delete", "symlink", "keep"] = "delete"
    without_torrent: Literal["keep"] | Seconds = "keep"


@fact
class MountConfig:
    vfs_cache_mode: str = "full"
    vfs_cache_max_size: Size = _size("150G")
    vfs_cache_max_age: Seconds = _seconds("7d")
    vfs_cache_min_free_space: Size = _size("20G")
    dir_cache_time: Seconds = _seconds("1m")
    buffer_size: Size = _size("16M")
    vfs_read_ahead: Size = _size("1G")
    vfs_read_chunk_size: Size = _size("16M")
    vfs_read_chunk_streams: int = 4
    vfs_fast_fingerprint: bool = True
    allow_other: bool = True
    extra_args: tuple[str, ...] = ()


@fact
class RcloneConfig:
    remote: str = "b2:entertainment-netmount"
    binary: str = "rclone"
    config_file: SecretFile = SecretFile("")
    mount_point: AbsPath = AbsPath("/media/b2")
    rc_addr: str = "127.0.0.1:5572"
    rc_htpasswd_file: SecretFile = SecretFile("")
    mount: MountConfig = MountConfig()


@fact
class UploadConfig:
    uncategorized_remote: str = "downloads"
    settle: Seconds = _seconds("60s")
    transfers: int = 4
    stats_interval: Seconds = _seconds("30s")
    stall_timeout: Seconds = _seconds("15m")
    bandwidth: str = ""
    unfinished: tuple[str, ...] = ("*.!qB", "*.part", "*.partial~", "*.parts")
    # fmt: off
    ignore: tuple[str, ...] = (
        ".nfs*", ".fuse_hidden*", "*.uploaded", "._*", ".DS_Store", "Thumbs.db", ".mediapipe*",
    )
    # fmt: on
    leftovers: Literal["upload", "keep"] = "upload"
    batch: Size = _size("50G")
    max_extracted_size: Size = _size("200G")
    extra_args: tuple[str, ...] = ()


@fact
class CleanupCategory:
    seeding_time: Seconds | None = None
    min_ratio: float | None = None


@fact
class CleanupConfig:
    seeding_time: Seconds = _seconds("7d")
    orphan_grace: Seconds = _seconds("10m")
    max_deletes: int = 500
    max_torrent_loss: float = 0.5
    links_elsewhere: Literal["keep", "ignore"] = "keep"
    min_ratio: float = 0.0
    # fmt: off
    discardable: tuple[str, ...] = (
        "*.nfo", "*.txt", "*.url", "*.jpg", "*.jpeg", "*.png", "*.sfv", "*.md5", "*.srr", "*.srs",
        "*.nzb", "sample", "sample.*", "*[-._ ]sample.*",
    )
    # fmt: on
    categories: dict[str, CleanupCategory] = field(default_factory=dict)


@fact
class SabnzbdConfig:
    url: str = "http://127.0.0.1:8080"
    api_key_file: SecretFile = SecretFile("sabnzbd-api-key")
    complete_dir: AbsPath = AbsPath("/data/complete")
    host_complete_dir: AbsPath = AbsPath("/mnt/storage/data/complete")
    host_incomplete_dir: AbsPath = AbsPath("/mnt/storage/data/incomplete")
    category_folders: dict[str, str] = field(default_factory=dict)
    spool: AbsPath = AbsPath("/var/lib/mediapipe/sabnzbd")
    destinations: dict[str, AbsPath] = field(
        default_factory=lambda: {
            "tv": AbsPath("/mnt/storage/data/usenet/tv"),
            "movies": AbsPath("/mnt/storage/data/usenet/movies"),
            "*": AbsPath("/mnt/storage/data/usenet/other"),
        }
    )
    arr: dict[str, str] = field(default_factory=dict)


@fact
class ArrConfig:
    url: str
    api_key_file: SecretFile
    kind: Literal["", "sonarr", "radarr", "lidarr", "prowlarr"] = ""
    timeout: Seconds = _seconds("10s")
    path_map: dict[AbsPath, AbsPath] = field(default_factory=dict)


@fact
class JellyfinConfig:
    url: str = "http://127.0.0.1:8096"
    api_key_file: SecretFile = SecretFile("jellyfin-api-key")
    path_map: dict[AbsPath, AbsPath] = field(default_factory=dict)


@fact
class NotifyConfig:
    urls_file: SecretFile = SecretFile("")


def _default_categories() -> dict[str, AbsPath]:
    return {
        "tv-sonarr": AbsPath("/var/lib/qBittorrent/completed/tv"),
        "radarr": AbsPath("/var/lib/qBittorrent/completed/movies"),
    }


def _default_libraries() -> dict[str, Library]:
    return {
        "tv": Library(AbsPath("/media/arr/tv"), "tv", "tv-sonarr", "sonarr"),
        "movies": Library(AbsPath("/media/arr/movies"), "movies", "radarr", "radarr"),
    }


@fact
class Config:
    """The whole configuration, checked."""

    paths: Paths = Paths()
    qbittorrent: QbittorrentConfig = QbittorrentConfig()
    categories: dict[str, AbsPath] = field(default_factory=_default_categories)
    libraries: dict[str, Library] = field(default_factory=_default_libraries)
    rclone: RcloneConfig = RcloneConfig()
    upload: UploadConfig = UploadConfig()
    cleanup: CleanupConfig = CleanupConfig()
    sabnzbd: SabnzbdConfig | None = None
    arr: dict[str, ArrConfig] = field(default_factory=dict)
    jellyfin: JellyfinConfig | None = None
    notify: NotifyConfig = NotifyConfig()


def as_host(path: str, path_map: Mapping[AbsPath, AbsPath]) -> str:
    """Give a path of another program as this host sees it: the longest prefix of the map wins."""
    return _mapped(path, path_map)


def as_app(path: str, path_map: Mapping[AbsPath, AbsPath]) -> str:
    """Give a path of this host as another program sees it: the longest prefix of the map wins."""
    return _mapped(path, path_map)


def _mapped(path: str, path_map: Mapping[AbsPath, AbsPath]) -> str:
    for prefix in sorted(path_map, key=len, reverse=True):
        if path == prefix or path.startswith(prefix + "/"):
            return path_map[prefix] + path[len(prefix) :]
    return path
