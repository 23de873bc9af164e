"""The files of torrents: asked for where a torrent is due, else as remembered while they lie still.

A list that is remembered may only ever make more be held, never less (ADR 0011).
"""

from __future__ import annotations

import os
import stat
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING

from mediapipe.disk.index import look
from mediapipe.ports import TorrentFile
from mediapipe.records import FileList

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from mediapipe.disk.index import File, Identity, Inode
    from mediapipe.history import History
    from mediapipe.ports import Torrent, TorrentClient


class Lists:
    """Gives the files of torrents for one run."""

    def __init__(self, client: TorrentClient, history: History, anew: Container[str]) -> None:
        """Torrents whose hashes are in `anew` are always asked for."""
        self._client, self._history, self._anew = client, history, anew
        self._known = history.file_lists()
        self._new: dict[str, FileList] = {}
        self.seen: dict[str, Inode] = {}
        """Path → file, of all that was looked at to believe a list."""

    def files(self, torrent: Torrent) -> tuple[TorrentFile, ...]:
        """Give the files of a torrent. Raises Unavailable where they are not to be had."""
        if torrent.hash in self._known and torrent.hash not in self._anew and torrent.complete:
            known = self._known[torrent.hash]()
            if known.stamp == _stamp(torrent) and all(
                self._lies_there(path, file) for path, file in known.files.items()
            ):
                return tuple(
                    [TorrentFile(path, file[1], True, 1.0) for path, file in known.files.items()]
                )
        listed = self._client.files(torrent)
        if torrent.hash not in self._anew and torrent.complete and (files := _as_on_disk(listed)):
            self._new[torrent.hash] = FileList(_stamp(torrent), files)
        return listed

    def remember(self, listed: Iterable[Torrent]) -> None:
        """Remember what was told, and forget the lists of torrents that are not listed any more."""
        gone = self._known.keys() - {torrent.hash for torrent in listed}
        if gone or self._new:
            with self._history.together():
                self._history.forget_file_lists(gone)
                self._history.remember_file_lists(self._new)

    def _lies_there(self, path: str, identity: Identity) -> bool:
        try:
            found = os.lstat(path)  # as `look` does, without a fact: most files are looked at here
        except (OSError, ValueError):
            return False
        if not stat.S_ISREG(found.st_mode):
            return False
        if (found.st_ino, found.st_size, found.st_mtime_ns) != identity:
            return False
        self.seen[path] = (found.st_dev, found.st_ino)
        return True


def _stamp(torrent: Torrent) -> str:
    """Give what changes when a torrent is moved, added again, or wants other files."""
    return f"[{encode_basestring_ascii(torrent.save_path)}, {torrent.size}, {torrent.added_on}]"


def _as_on_disk(listed: Sequence[TorrentFile]) -> dict[str, Identity]:
    """Give path → identity where each file lies whole at its place; nothing where one does not.

    A file that is not there yet could be renamed in qBittorrent, and the disk would not show it.
    """
    found: dict[str, Identity] = {}
    for one in listed:
        file = _seen(one.path)
        if file is None or file.size != one.size or not one.wanted or one.progress != 1:
            return {}
        found[one.path] = file.identity
    return found


def _seen(path: str) -> File | None:
    try:
        return look(path)
    except OSError:
        return None
