"""Who holds what: the file lists of the torrents in qBittorrent's list, as this host finds them."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from mediapipe.disk.index import look
from mediapipe.errors import Unavailable
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mediapipe.disk.index import File, Inode
    from mediapipe.ports import Torrent, TorrentFile

_WITHOUT_METADATA = frozenset({"metaDL", "forcedMetaDL", "downloadingMetadata"})


@dataclass(frozen=True)
class Claims:
    """Who holds what, by the file lists of every listed torrent."""

    files: Mapping[str, tuple[TorrentFile, ...]]
    """Hash → files."""
    paths: Mapping[str, frozenset[str]]
    inodes: Mapping[Inode, frozenset[str]]
    blind: str = ""
    """Why the claims of a torrent may be others than they look: none of its files is here."""

    def of(self, path: str, file: File | None) -> frozenset[str]:
        """Give the hashes that hold a path or its inode."""
        by_inode = self.inodes.get(file.inode, frozenset()) if file else frozenset[str]()
        return self.paths.get(path, frozenset()) | by_inode


class Lister(Protocol):
    """What tells the files of a torrent: qBittorrent itself, or one that remembers."""

    def files(self, torrent: Torrent) -> tuple[TorrentFile, ...]: ...


def claims_of(
    torrents: Iterable[Torrent], lister: Lister, seen: Mapping[str, File] = MappingProxyType({})
) -> Claims:
    """Read the file list of every torrent. Raises Unavailable where one is not to be had.

    `seen` are files by path that the lister has just looked at itself.
    """
    files: dict[str, tuple[TorrentFile, ...]] = {}
    paths: dict[str, set[str]] = defaultdict(set)
    inodes: dict[Inode, set[str]] = defaultdict(set)
    blind = ""
    for torrent in torrents:
        listed = lister.files(torrent)
        if not listed and torrent.size > 0 and torrent.state not in _WITHOUT_METADATA:
            raise Unavailable(
                f"qBittorrent lists no files for the torrent {torrent.name}",
                hint="it may be starting up; nothing is deleted until it tells",
            )
        files[torrent.hash] = listed
        found = False
        for one in listed:
            path = os.path.normpath(one.path)
            paths[path].add(torrent.hash)
            try:
                there = seen.get(path) or look(path)
            except OSError:
                continue
            if there is not None:
                found = True
                inodes[there.inode].add(torrent.hash)
        if torrent.complete and not found and any(one.wanted for one in listed):
            blind = (
                f"none of the files of the torrent {torrent.name} is in "
                f"{shown(torrent.save_path) or 'its unknown folder'} on this host: is "
                "[qbittorrent.path_map] right?"
            )
    return Claims(
        files,
        {path: frozenset(hashes) for path, hashes in paths.items()},
        {inode: frozenset(hashes) for inode, hashes in inodes.items()},
        blind,
    )
