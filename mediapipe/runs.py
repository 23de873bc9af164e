"""How the runs of the jobs went, and how much they have proven: what `status` tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe.records import Run

if TYPE_CHECKING:
    import sqlite3

_KEPT = 30 * 86400.0
"""Seconds; a job's last run of each outcome is kept for ever."""


class Runs:
    """The part of the history that nothing is decided by."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def record_run(
        self, job: str, started: float, seconds: float, outcome: str, counts: tuple[int, int, int],
        reason: str | None,
    ) -> None:  # fmt: skip
        """Record how a run ended; counts are done, failed, kept.

        A run with nothing to do takes the row of the one before it, if that had nothing to do
        either: there are hundreds in a day.
        """
        values = (job, started, seconds, outcome, *counts, reason and storable(reason))
        if (outcome, *counts[:2]) == ("done", 0, 0):
            changed = self._db.execute(
                "UPDATE runs SET started = ?, seconds = ?, kept = ?"
                " WHERE rowid = (SELECT max(rowid) FROM runs WHERE job = ?)"
                " AND outcome = 'done' AND done = 0 AND failed = 0",
                (started, seconds, counts[2], job),
            )
            if changed.rowcount:
                return
        self._db.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        self._db.execute(
            "DELETE FROM runs WHERE started < ?"
            " AND rowid NOT IN (SELECT max(rowid) FROM runs GROUP BY job, outcome)",
            (started - _KEPT,),
        )

    def last_runs(self, *, good: bool = False) -> dict[str, Run]:
        """Give job → its last run, or the last one that did all that it was for."""
        rows = self._db.execute(
            "SELECT job, started, seconds, outcome, done, failed, kept, reason FROM runs"
            " WHERE rowid IN"
            " (SELECT max(rowid) FROM runs WHERE outcome = 'done' OR NOT ? GROUP BY job)",
            (good,),
        )
        return {row[0]: Run(*row) for row in rows}

    def newest_runs(self, job: str) -> tuple[Run, ...]:
        """Give the last runs of a job, the newest first, down to one that was not held up."""
        rows = self._db.execute(
            "SELECT job, started, seconds, outcome, done, failed, kept, reason FROM runs"
            " WHERE job = ? AND rowid >= coalesce((SELECT max(rowid) FROM runs WHERE job = ?"
            " AND outcome != 'unavailable'), 0) ORDER BY rowid DESC",
            (job, job),
        )
        return tuple(Run(*row) for row in rows)

    def proven(self) -> tuple[int, int]:
        """Give how many files are proven, and their bytes."""
        row = self._db.execute(
            "SELECT count(*), total(size) FROM (SELECT DISTINCT inode, size, mtime_ns FROM proofs)"
        ).fetchone()
        return int(row[0]), int(row[1])


def storable(words: str) -> str:
    """Make words storable that quote names which are not UTF-8."""
    return words.encode(errors="backslashreplace").decode()
