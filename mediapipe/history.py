"""What must be remembered between runs: proofs, first sightings, seeding times, intents, roots.

SQLite in the state folder. Losing it may delay a deletion; it may never cause one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mediapipe import database
from mediapipe.deeds import DeedsUnderWay
from mediapipe.file_lists import FileLists
from mediapipe.moves import Moves
from mediapipe.records import Intent, Pause, Proof, Proven, Wanted
from mediapipe.runs import storable
from mediapipe.seeding import SeedingRecord
from mediapipe.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mediapipe.disk.index import Identity


_HALF = 1 << 63
"""What SQLite's integers stay below."""


class History(SeedingRecord, FileLists, DeedsUnderWay, Tallies, Moves):
    """The open database. Every write is committed, durably, before the method returns."""

    # proofs

    def proofs(self, identity: Identity) -> tuple[Proof, ...]:
        """Give what is proven about a file of this identity, newest first."""
        return self.proofs_of([identity]).get(identity, ())

    def proofs_of(
        self, identities: Iterable[Identity], *, bare: bool = False
    ) -> dict[Identity, tuple[Proof, ...]]:
        """Give what is proven about files of these identities, in one question.

        `bare` leaves out what a marker does not tell, so that the two are one proof, and gives them
        in no order: an index has all of that.
        """
        wanted = {
            one if max(one) < _HALF else (_fit(one[0]), one[1], _fit(one[2])): one
            for one in identities
        }
        more = "0, '', 0" if bare else "proven_at, file_id, readback"
        rows = self._db.execute(
            "SELECT proofs.id, inode, proofs.size, mtime_ns, place,"  # noqa: S608 - our own words
            f" nullif(remote, place), objects.size, sha1, {more}"
            " FROM json_each(?) AS one CROSS JOIN proofs ON inode = one.value"
            " CROSS JOIN objects ON proof = proofs.id",
            (json.dumps(sorted({key[0] for key in wanted})),),  # in the order of the index
        )
        proofs: dict[int, tuple[float, int, Identity, str, list[Proven]]] = {}
        # fmt: off
        for (number, inode, size, mtime_ns, place,
             other, length, sha1, moment, file_id, readback) in rows:
            # fmt: on
            one = proofs.get(number)
            if one is None:
                identity = wanted.get((inode, size, mtime_ns))
                if identity is None:
                    continue  # the inode was another file once
                one = proofs[number] = (-moment, number, identity, _text(place), [])
            name = _text(other) if other else one[3]
            one[4].append(Proven(name, length, sha1, file_id, bool(readback)))
        found: dict[Identity, tuple[Proof, ...]] = {}
        for _newest, _id, identity, place, members in sorted(proofs.values()):
            found[identity] = (*found.get(identity, ()), Proof(place, tuple(members)))
        return found

    def prove(self, identity: Identity, proof: Proof, now: float) -> None:
        """Remember a proof; call it inside `together`, so that it is written whole."""
        inode, size, mtime_ns = identity
        key = (_fit(inode), size, _fit(mtime_ns), json.dumps(proof.place))
        self._db.execute(
            "INSERT INTO proofs (inode, size, mtime_ns, place, proven_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET proven_at = excluded.proven_at",
            (*key, now),
        )
        query = "SELECT id FROM proofs WHERE inode = ? AND size = ? AND mtime_ns = ? AND place = ?"
        number = self._db.execute(query, key).fetchone()[0]
        self._db.execute("DELETE FROM objects WHERE proof = ?", (number,))
        self._db.executemany(
            "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?)",
            [
                (number, json.dumps(one.remote), one.size, one.sha1, one.file_id, one.readback)
                for one in proof.objects
            ],
        )

    def disprove(self, remote: str, sha1: str) -> None:
        """Forget every proof that needs this object to have these bytes: it has not, now."""
        rows = self._db.execute(
            "SELECT proof FROM objects WHERE remote = ? AND sha1 = ?", (json.dumps(remote), sha1)
        )
        numbers = [(row[0],) for row in rows]
        if numbers:
            with self.together():
                self._db.executemany("DELETE FROM objects WHERE proof = ?", numbers)
                self._db.executemany("DELETE FROM proofs WHERE id = ?", numbers)

    def places_of_size(self, sizes: Iterable[int]) -> dict[int, frozenset[str]]:
        """Give size in bytes → where files of that size are proven, each as one object."""
        rows = self._db.execute(
            "SELECT DISTINCT proofs.size, place FROM proofs JOIN objects ON proof = proofs.id"
            " WHERE proofs.size IN (SELECT value FROM json_each(?)) AND remote = place",
            (json.dumps(list(sizes)),),
        )
        found: dict[int, set[str]] = {}
        for size, place in rows:
            found.setdefault(size, set()).add(json.loads(place))
        return {size: frozenset(places) for size, places in found.items()}

    def sha1s_of_others(self, remote: str, identity: Identity) -> frozenset[str]:
        """Give the SHA-1s with which an object proves other files."""
        inode, size, mtime_ns = identity
        query = (
            "SELECT sha1 FROM objects JOIN proofs ON proof = proofs.id WHERE remote = ?"
            " AND NOT (inode = ? AND proofs.size = ? AND mtime_ns = ?)"
        )
        values = (json.dumps(remote), _fit(inode), size, _fit(mtime_ns))
        return frozenset(row[0] for row in self._db.execute(query, values))

    def hold(self, remote: str, path: str, now: float) -> None:
        """Remember that an object was made of the file at a path."""
        self.done(f"place {json.dumps([remote, path])}", now)

    def holders(self, remote: str) -> frozenset[str]:
        """Give the paths of the files that an object was made of."""
        start = f"place {json.dumps([remote])[:-1]}, "
        query = "SELECT name FROM facts WHERE name >= ? AND name < ?"
        rows = self._db.execute(query, (start, f"{start}#"))
        return frozenset(json.loads(row[0].partition(" ")[2])[1] for row in rows)

    def is_needed_elsewhere(self, remote: str, identity: Identity) -> bool:
        """Whether a proof of another file needs this object too."""
        return bool(self.sha1s_of_others(remote, identity))

    # what was done

    def last(self, event: str) -> float | None:
        """Give when something was last done, in epoch seconds, or None where it never was."""
        query = "SELECT moment FROM facts WHERE name = ?"
        row = self._db.execute(query, (event,)).fetchone()
        return None if row is None else float(row[0])

    def done(self, event: str, now: float) -> None:
        """Remember that something was done."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (event, now))

    def events(self, prefix: str) -> tuple[str, ...]:
        """Give what stands behind a prefix in the names of what was done."""
        rows = self._db.execute("SELECT name FROM facts ORDER BY name")
        return tuple(row[0][len(prefix) :] for row in rows if row[0].startswith(prefix))

    def forget(self, event: str) -> None:
        """Forget that something was done."""
        self._db.execute("DELETE FROM facts WHERE name = ?", (event,))

    def take_base(self, listed: Iterable[str], now: float) -> None:
        """Take the present list as the base: what is known and not in it was removed elsewhere."""
        self.forget_torrents(self.known_torrents() - frozenset(listed))
        self.done("base taken", now)

    # intents

    def intend(
        self, name: str, hash_: str, paths: Mapping[str, Identity | None], now: float
    ) -> int:
        """Record that a deletion begins; gives its id.

        `paths` tells the identity of a piece of a deselected file: only its torrent could later.
        """
        cursor = self._db.execute(
            "INSERT INTO intents (name, hash, paths, created) VALUES (?, ?, ?, ?)",
            (json.dumps(name), hash_, json.dumps(list(paths.items())), now),
        )
        return int(cursor.lastrowid or 0)

    def intents(self) -> tuple[Intent, ...]:
        """Give the deletions that were begun and not finished."""
        rows = self._db.execute("SELECT id, name, hash, paths FROM intents ORDER BY id")
        return tuple(
            Intent(row[0], json.loads(row[1]), row[2], _deselected(json.loads(row[3])))
            for row in rows
        )

    def finish(self, intent: int) -> None:
        """Forget an intent: its deletion is finished, or nothing of it is there any more."""
        self._db.execute("DELETE FROM intents WHERE id = ?", (intent,))

    # leftovers

    def want(self, wanted: Iterable[Wanted]) -> None:
        """Replace what is wanted: what is not in it any more is proven, or gone."""
        with self.together():
            self._db.execute("DELETE FROM wanted")
            self._db.executemany(
                "INSERT INTO wanted VALUES (?, ?, ?, ?)",
                [(one.hash, *map(json.dumps, (one.name, one.folder, one.paths))) for one in wanted],
            )

    def wanted(self) -> tuple[Wanted, ...]:
        """Give what the last cleanup wanted."""
        rows = self._db.execute("SELECT hash, name, folder, paths FROM wanted ORDER BY hash")
        return tuple(
            Wanted(row[0], json.loads(row[1]), json.loads(row[2]), tuple(json.loads(row[3])))
            for row in rows
        )

    # roots, pauses

    def root(self, path: str) -> str | None:
        """Give the identifier of a root, or None where it was never seen."""
        query = "SELECT identifier FROM roots WHERE path = ?"
        row = self._db.execute(query, (json.dumps(path),)).fetchone()
        return None if row is None else str(row[0])

    def remember_root(self, path: str, identifier: str) -> None:
        """Remember a root's identifier."""
        if self.root(path) != identifier:
            values = (json.dumps(path), identifier)
            self._db.execute("INSERT OR REPLACE INTO roots VALUES (?, ?)", values)

    def pauses(self) -> dict[str, Pause]:
        """Give subject → pause, also those that are over."""
        rows = self._db.execute("SELECT subject, until, tries, reason, fingerprint FROM pauses")
        return {json.loads(row[0]): Pause(*row[1:]) for row in rows}

    def pause(self, subject: str, pause: Pause) -> None:
        """Leave a subject alone for a while."""
        row = (pause.until, pause.tries, storable(pause.reason), pause.fingerprint)
        query = "INSERT OR REPLACE INTO pauses VALUES (?, ?, ?, ?, ?)"
        self._db.execute(query, (json.dumps(subject), *row))

    def unpause(self, subjects: Iterable[str]) -> None:
        """Forget pauses: it went well."""
        keys = [(json.dumps(subject),) for subject in subjects]
        if keys:
            with self.together():
                self._db.executemany("DELETE FROM pauses WHERE subject = ?", keys)

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def _deselected(pairs: list[tuple[str, list[int] | None]]) -> dict[str, Identity | None]:
    return {
        path: None if marks is None else (marks[0], marks[1], marks[2]) for path, marks in pairs
    }


def _text(stored: str) -> str:
    """Give the text that a JSON string stands for; most hold nothing that is escaped."""
    return str(json.loads(stored)) if "\\" in stored else stored[1:-1]


def _fit(number: int) -> int:
    """Fit an inode number or a time into SQLite's signed 64 bits, each into a place of its own."""
    return (number + _HALF) % (2 * _HALF) - _HALF


def open_history(folder: str) -> History:
    """Open, or create, the history for a run that writes. Raises Unavailable."""
    return History(database.connect(folder))


def no_history() -> History:
    """Give a history that knows nothing, for who can do without."""
    return History(database.empty())


def copy_history(folder: str) -> History:
    """Copy the history: a dry run may write what it likes, and nothing lasts."""
    return History(database.copy(folder))
