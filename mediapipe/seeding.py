"""The part of the history that tells how long torrents have seeded, by our own count."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING

from mediapipe.sightings import Sightings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mediapipe.ports import Torrent

_MAX_STEP = 1800
"""Seconds that a pause can add to a seeding time: a box off for a week has not seeded for one."""
_NEW = ("", "", 0.0, None, None)


class SeedingRecord(Sightings):
    """Every torrent that was listed and not removed by us, with its seeding time."""

    def known_torrents(self) -> frozenset[str]:
        """Give the hashes of all torrents that were listed and not removed by us."""
        return frozenset(row[0] for row in self._db.execute("SELECT hash FROM torrents"))

    def seed(self, torrents: Collection[Torrent], now: float) -> None:
        """Add to the seeding record of each listed torrent that is complete.

        A pause adds its length, but at most half an hour, and nothing when the clock went back
        (DESIGN: qBittorrent's own count stands still for an idle torrent). One that was removed
        and added again begins anew.
        """
        known = {row[0]: row for row in self._db.execute("SELECT * FROM torrents")}
        others = []  # all but those for which only time has passed
        for one in torrents:
            _hash, _name, seeded, counted, added = known.get(one.hash, _NEW)
            again = added == one.added_on
            if not (again and counted is not None and one.complete):
                name, last = encode_basestring_ascii(one.name), now if one.complete else None
                others.append((one.hash, name, seeded if again else 0.0, last, one.added_on))
        listed = {one.hash for one in torrents}
        others += [row for hash_, row in known.items() if hash_ not in listed]
        with self.together():
            self._db.execute(
                "UPDATE torrents SET seeded = seeded + max(0, min(? - last, ?)), last = ?"
                " WHERE last IS NOT NULL",
                (now, _MAX_STEP, now),
            )
            self._db.executemany("INSERT OR REPLACE INTO torrents VALUES (?, ?, ?, ?, ?)", others)

    def seeded(self) -> dict[str, float]:
        """Give hash → seconds of our own seeding record."""
        return {row[0]: row[1] for row in self._db.execute("SELECT hash, seeded FROM torrents")}

    def forget_torrents(self, hashes: Iterable[str]) -> None:
        """Forget torrents: removed by us, or the present list was accepted as the new base."""
        with self.together():
            self._db.executemany("DELETE FROM torrents WHERE hash = ?", [(one,) for one in hashes])
