"""The part of the history that moves each download once: what the hook told, how far a move is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mediapipe.records import Move
from mediapipe.runs import storable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping


class Moves:
    """Downloads by SABnzbd's id of them. Every write is durable before the method returns."""

    _db: sqlite3.Connection

    # the queue

    def spool(self, id_: str, job: Mapping[str, Any], now: float) -> None:
        """Remember what the hook told of a job; the newest word counts."""
        row = (storable(id_), json.dumps(job), now)
        self._db.execute("INSERT OR REPLACE INTO spooled VALUES (?, ?, ?)", row)

    def spooled(self) -> dict[str, tuple[dict[str, Any], float]]:
        """Give nzo_id → what the hook told, and when that was taken, in epoch seconds."""
        rows = self._db.execute("SELECT id, job, taken FROM spooled ORDER BY taken, id")
        return {row[0]: (json.loads(row[1]), float(row[2])) for row in rows}

    def unspool(self, ids: Iterable[str]) -> None:
        """Forget what the hook told of jobs."""
        for one in ids:
            self._db.execute("DELETE FROM spooled WHERE id = ?", (storable(one),))

    # the journal

    def moves(self) -> dict[str, Move]:
        """Give nzo_id → how far its move is, of all that were ever begun."""
        rows = self._db.execute(
            "SELECT id, name, source, inode, target, state, stage, app, moment, error FROM moves"
            " ORDER BY moment, id"
        )
        return {
            id_: Move(
                id_, json.loads(name), json.loads(source), int(inode), json.loads(target), state,
                _stage(stage), app, moment, error,
            )
            for id_, name, source, inode, target, state, stage, app, moment, error in rows
        }  # fmt: skip

    def record_move(self, move: Move) -> None:
        """Write down how far a move is."""
        words = map(json.dumps, (move.name, move.source, move.inode, move.target))
        row = (storable(move.id), *words, move.state, json.dumps(move.stage), move.app)
        self._db.execute(
            "INSERT OR REPLACE INTO moves VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, move.moment, storable(move.error)),
        )

    # what the last run saw

    def note(self, name: str, text: Mapping[str, Any]) -> None:
        """Remember what a run saw, for `status`; nothing is decided by it."""
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, json.dumps(text)))

    def noted(self, name: str) -> dict[str, Any]:
        """Give what was remembered under a name; empty where nothing was."""
        row = self._db.execute("SELECT text FROM notes WHERE name = ?", (name,)).fetchone()
        return {} if row is None else dict(json.loads(row[0]))


def _stage(text: str) -> tuple[str, str, int] | None:
    found = json.loads(text)
    return None if found is None else (found[0], found[1], found[2])
