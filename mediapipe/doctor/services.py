"""Whether qBittorrent, the remote and SABnzbd answer, and are as they are configured."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediapipe.config import Config
    from mediapipe.doctor.findings import Notes
    from mediapipe.ports import Remote, TorrentClient


def examine_qbittorrent(client: Callable[[], TorrentClient], config: Config, notes: Notes) -> None:
    """Log in once, and hold its categories against [categories]."""
    with notes.looking("qbittorrent", config.qbittorrent.url) as found:
        there = client().categories()
        for name, path in config.categories.items():
            if name not in there:
                found(
                    f"it has no category {name}",
                    "downloads lie in the wrong folder, and no library takes them",
                    "mediapipe categories",
                )
            elif there[name] != path:
                found(
                    f"its category {name} saves to {there[name]}, [categories] says {path}",
                    "finished downloads are looked for where they are not",
                    "say in [categories] what it says; to change it there would move or lose its "
                    "torrents",
                )


def examine_remote(remote: Callable[[], Remote], config: Config, notes: Notes) -> None:
    """See that the bucket is there, and that none of its rules hides what is uploaded."""
    with notes.looking("remote", config.rclone.remote) as found:
        remote().demand_bucket()
        if reason := remote().why_hides():
            found(
                reason,
                "B2 hides what Jellyfin plays, so cleanup deletes nothing",
                "remove that rule on B2's own pages; `mediapipe lifecycle` shows all of them",
            )


def examine_sabnzbd(ready: Callable[[], str], config: Config, notes: Notes) -> None:
    """See that it answers to the key, and that its jobs have somewhere to go."""
    if config.sabnzbd is None:
        return
    with notes.looking("sabnzbd", config.sabnzbd.url):
        ready()
    with notes.looking("sabnzbd", "folders") as found:
        for name, folder in config.sabnzbd.destinations.items():
            if not os.path.isdir(folder):
                found(
                    f"{folder}, where jobs of {name!r} go, is no folder",
                    "an app that is to find them there calls its download client unhealthy",
                    f"make it: install -d {folder}",
                )
        complete = config.sabnzbd.host_complete_dir
        if not os.path.isdir(complete):
            found(
                f"host_complete_dir {complete} is no folder",
                "finished jobs are looked for there",
                "mount it, or correct [sabnzbd] host_complete_dir",
            )
