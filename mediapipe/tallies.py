"""The part of the history that tells people what lies there without a torrent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mediapipe.records import Tally

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


class Tallies:
    """Tallies of each kind, as the last run that looked found them."""

    _db: sqlite3.Connection

    def tally(self, kind: str, found: Iterable[Tally]) -> None:
        """Replace the tallies of a kind; call it inside `together`."""
        self._db.execute("DELETE FROM tallies WHERE kind = ?", (kind,))
        self._db.executemany(
            "INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?, ?)",
            [(kind, json.dumps(one.subject), one.files, one.size, one.moment) for one in found],
        )

    def tallies(self, kind: str) -> tuple[Tally, ...]:
        """Give the tallies of a kind, the largest first."""
        rows = self._db.execute(
            "SELECT subject, files, size, moment FROM tallies WHERE kind = ?"
            " ORDER BY size DESC, subject",
            (kind,),
        )
        return tuple(Tally(json.loads(row[0]), *row[1:]) for row in rows)
