"""The part of the history that spares questions: which files a torrent held, as last told."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

from mediapipe.records import FileList

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping


class FileLists:
    """Lists by the hash of their torrent; losing them costs a question each."""

    _db: sqlite3.Connection

    def file_lists(self) -> dict[str, Callable[[], FileList]]:
        """Give hash → what gives what was remembered of a torrent: few are asked for."""
        rows = self._db.execute("SELECT hash, stamp, files FROM file_lists")
        return {row[0]: functools.partial(_list, *row[1:]) for row in rows}

    def remember_file_lists(self, lists: Mapping[str, FileList]) -> None:
        """Remember lists; call it inside `together`, since each write else waits for the disk."""
        self._db.executemany(
            "INSERT OR REPLACE INTO file_lists VALUES (?, ?, ?)",
            [
                (hash_, one.stamp, json.dumps([[path, *file] for path, file in one.files.items()]))
                for hash_, one in lists.items()
            ],
        )

    def forget_file_lists(self, hashes: Iterable[str]) -> None:
        """Forget the lists of torrents; call it inside `together`."""
        self._db.executemany("DELETE FROM file_lists WHERE hash = ?", [(one,) for one in hashes])


def _list(stamp: str, files: str) -> FileList:
    return FileList(stamp, {path: (one, two, three) for path, one, two, three in json.loads(files)})
