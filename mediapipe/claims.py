"""Who holds what: the file lists of the torrents in qBittorrent's list, as this host finds them."""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from mediapipe.disk.index import look
from mediapipe.errors import Unavailable
from mediapipe.facts import fact, field
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mediapipe.disk.index import File, Inode
    from mediapipe.ports import Torrent, TorrentFile

_NOBODY: frozenset[str] = frozenset()
_WITHOUT_METADATA = frozenset({"metaDL", "forcedMetaDL", "downloadingMetadata"})


@fact
class Claims:
    """Who holds what, by the file lists of every listed torrent."""

    files: Mapping[str, tuple[TorrentFile, ...]]
    """Hash → files."""
    paths: Mapping[str, frozenset[str]]
    inodes: Mapping[Inode, frozenset[str]]
    seen: Mapping[str, File] = field(default_factory=dict)
    """Path → file, of what is there and was looked at for these claims alone."""
    below: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Folder → hashes of torrents that hold whatever lies below it: one of their files is not found
    there, and may be there under a name that looks alike."""
    beside: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The same for a folder of many torrents: they hold what no torrent lists right in it."""
    blind: str = ""
    """Why the claims of a torrent may be others than they look: none of its files is here."""

    def of(self, path: str, file: File | None) -> frozenset[str]:
        """Give the hashes that hold a path or its inode."""
        by_path = self.paths.get(path, _NOBODY)
        by_inode = self.inodes.get(file.inode, _NOBODY) if file else _NOBODY
        found = by_path if by_inode <= by_path else by_path | by_inode
        if not (self.below or self.beside):
            return found
        folder = path[: path.rfind("/")]
        if path not in self.paths:
            found |= self.beside.get(folder, _NOBODY)
        while folder:
            found |= self.below.get(folder, _NOBODY)
            folder = folder[: folder.rfind("/")]
        return found


class Lister(Protocol):
    """What tells the files of a torrent: qBittorrent itself, or one that remembers."""

    def files(self, torrent: Torrent) -> tuple[TorrentFile, ...]: ...


def claims_of(
    torrents: Iterable[Torrent], lister: Lister, seen: Mapping[str, Inode] = MappingProxyType({})
) -> Claims:
    """Read the file list of every torrent. Raises Unavailable where one is not to be had.

    `seen` are files by path that the lister has just looked at itself.
    """
    files: dict[str, tuple[TorrentFile, ...]] = {}
    paths: dict[str, frozenset[str]] = {}
    inodes: dict[Inode, frozenset[str]] = {}
    looked: dict[str, File] = {}
    below: dict[str, frozenset[str]] = {}
    beside: dict[str, frozenset[str]] = {}
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
        own = frozenset((torrent.hash,))  # one for all files: most are held by one torrent alone
        for one in listed:
            path = _straight(one.path)
            paths[path] = paths[path] | own if path in paths else own
            inode = seen.get(path) or _inode(path, looked)
            if inode is not None:
                found = True
                inodes[inode] = inodes[inode] | own if inode in inodes else own
            elif one.wanted and one.progress == 1:
                home = _home(path, torrent.save_path)
                places = below if home else beside
                home = home or torrent.save_path
                places[home] = places.get(home, _NOBODY) | own
        if torrent.complete and not found and any(one.wanted for one in listed):
            blind = (
                f"none of the files of the torrent {torrent.name} is in "
                f"{shown(torrent.save_path) or 'its unknown folder'} on this host: is "
                "[qbittorrent.path_map] right?"
            )
    return Claims(files, paths, inodes, looked, below, beside, blind)


def _straight(path: str) -> str:
    """Give a path without detours; few have one."""
    plain = "//" not in path and "/." not in path and path[-1:] != "/"
    return path if plain else os.path.normpath(path)


def _inode(path: str, looked: dict[str, File]) -> Inode | None:
    """Look at a file, once; None where it is not found."""
    there = looked.get(path)
    if there is None:
        try:
            there = look(path)
        except OSError:
            return None
        if there is None:
            return None
        looked[path] = there
    return there.inode


def _home(path: str, save_path: str) -> str:
    """Give the folder that is a torrent's own, or an empty string where it has none."""
    start = f"{save_path}/"
    if not path.startswith(start):
        return path[: path.rfind("/")]
    first, slash, _rest = path[len(start) :].partition("/")
    return start + first if slash else ""
