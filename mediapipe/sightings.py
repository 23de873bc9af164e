"""Since when something is seen so, by our own clock: every grace period runs on it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from mediapipe.records import Sighting
from mediapipe.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Sightings(Runs):
    """The part of the history that tells how long something has been so."""

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make the writes inside one transaction: one fsync, and all or none after a crash."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def sight(self, prefix: str, subjects: Iterable[str], now: float) -> dict[str, Sighting]:
        """Record what is seen in this run under a prefix; what is not seen any more is forgotten.

        Gives each subject's sighting, this run included. A clock that went back begins anew.
        """
        seen = {json.dumps([prefix, subject]): subject for subject in subjects}
        known = {key: Sighting(first, runs) for key, first, last, runs in self._sightings(prefix)
                 if last <= now}  # fmt: skip
        result: dict[str, Sighting] = {}
        with self.together():
            gone = [(key,) for key in known if key not in seen]
            self._db.executemany("DELETE FROM sightings WHERE subject = ?", gone)
            rows = []
            for key, subject in seen.items():
                before = known.get(key, Sighting(now, 0))
                result[subject] = Sighting(before.first, before.runs + 1)
                rows.append((key, before.first, now, before.runs + 1))
            self._db.executemany("INSERT OR REPLACE INTO sightings VALUES (?, ?, ?, ?)", rows)
        return result

    def notice(self, prefix: str, subjects: Iterable[str], now: float) -> None:
        """Record what was met by the way; a run that looks for it tells whether it is still so."""
        rows = [(json.dumps([prefix, subject]), now, now) for subject in subjects]
        if rows:
            with self.together():
                self._db.executemany("INSERT OR IGNORE INTO sightings VALUES (?, ?, ?, 1)", rows)

    def sighted(self, prefix: str) -> frozenset[str]:
        """Give what the last run that looked for it saw under a prefix."""
        return frozenset(json.loads(row[0])[1] for row in self._sightings(prefix))

    def _sightings(self, prefix: str) -> list[tuple[str, float, float, int]]:
        # a library without torrents has a hundred thousand: the others must not pay for them
        start = json.dumps([prefix])[:-1] + ","
        query = "SELECT * FROM sightings WHERE substr(subject, 1, ?) = ?"
        return self._db.execute(query, (len(start), start)).fetchall()
