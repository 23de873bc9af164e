"""The part of the history that knows what is being done, until the audit has all of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mediapipe.records import Deeds

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence


class DeedsUnderWay:
    """Groups of steps that were begun, each with the lines that the audit is to have of them."""

    _db: sqlite3.Connection

    def begin(self, lines: Sequence[Mapping[str, object]], audited: int) -> int:
        """Record that steps begin; gives their number. `audited` is the length of the audit."""
        cursor = self._db.execute(
            "INSERT INTO deeds (audited, lines) VALUES (?, ?)", (audited, json.dumps(lines))
        )
        return int(cursor.lastrowid or 0)

    def begun(self) -> tuple[Deeds, ...]:
        """Give what was begun and never ended, oldest first: the run was cut off."""
        rows = self._db.execute("SELECT id, audited, lines FROM deeds ORDER BY id")
        return tuple(Deeds(row[0], row[1], tuple(json.loads(row[2]))) for row in rows)

    def end(self, numbers: Iterable[int]) -> None:
        """Forget steps: the audit has a line for each of them that was done."""
        self._db.executemany("DELETE FROM deeds WHERE id = ?", [(one,) for one in numbers])
