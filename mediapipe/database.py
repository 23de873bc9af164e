"""The SQLite file behind the history: its tables, and the two ways to open it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat

from mediapipe.errors import AWAY, ConfigError, Unavailable

NAME = "history.db"
_VERSION = 3
_SCHEMA = """
CREATE TABLE IF NOT EXISTS proofs (
    id INTEGER PRIMARY KEY, inode INTEGER NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, place TEXT NOT NULL, proven_at REAL NOT NULL,
    UNIQUE (inode, size, mtime_ns, place)
);
CREATE TABLE IF NOT EXISTS objects (
    proof INTEGER NOT NULL REFERENCES proofs (id), remote TEXT NOT NULL, size INTEGER NOT NULL,
    sha1 TEXT NOT NULL, file_id TEXT NOT NULL, readback INTEGER NOT NULL,
    PRIMARY KEY (proof, remote)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS objects_by_remote ON objects (remote);
CREATE TABLE IF NOT EXISTS sightings (
    subject TEXT PRIMARY KEY, first REAL NOT NULL, last REAL NOT NULL, runs INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS torrents (
    hash TEXT PRIMARY KEY, name TEXT NOT NULL, seeded REAL NOT NULL, last REAL,
    added INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intents (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, paths TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS deeds (
    id INTEGER PRIMARY KEY, audited INTEGER NOT NULL, lines TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS tallies (
    kind TEXT NOT NULL, subject TEXT NOT NULL, files INTEGER NOT NULL, size INTEGER NOT NULL,
    moment REAL, PRIMARY KEY (kind, subject)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, moment REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wanted (
    hash TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL, paths TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS file_lists (
    hash TEXT PRIMARY KEY, stamp TEXT NOT NULL, files TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS roots (path TEXT PRIMARY KEY, identifier TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pauses (
    subject TEXT PRIMARY KEY, until REAL NOT NULL, tries INTEGER NOT NULL,
    reason TEXT NOT NULL, fingerprint TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spooled (
    id TEXT PRIMARY KEY, job TEXT NOT NULL, taken REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS moves (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, inode TEXT NOT NULL,
    target TEXT NOT NULL, state TEXT NOT NULL, stage TEXT NOT NULL, app TEXT NOT NULL,
    moment REAL NOT NULL, error TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    job TEXT NOT NULL, started REAL NOT NULL, seconds REAL NOT NULL, outcome TEXT NOT NULL,
    done INTEGER NOT NULL, failed INTEGER NOT NULL, kept INTEGER NOT NULL, reason TEXT
);
"""
# Paths may hold bytes that are not UTF-8; as JSON strings they survive in a TEXT column.


def connect(folder: str) -> sqlite3.Connection:
    """Open, or create, the database in the state folder. Raises Unavailable."""
    path = os.path.join(folder, NAME)
    try:
        os.makedirs(folder, exist_ok=True)
        _look(path)
        connection = _open(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection)
    except (OSError, sqlite3.Error) as error:
        raise _trouble(path, error) from None
    return connection


def copy(folder: str) -> sqlite3.Connection:
    """Copy the database for ourselves alone, or make an empty one. Raises Unavailable."""
    path = os.path.join(folder, NAME)
    connection = _open("")  # in a file without a name, so that a long history fills no memory
    try:
        while not _filled(connection, path):
            pass
        _migrate(connection)
    except (OSError, sqlite3.Error) as error:
        raise _trouble(path, error) from None
    return connection


def empty() -> sqlite3.Connection:
    """Make an empty database for ourselves alone."""
    connection = _open("")
    _migrate(connection)
    return connection


def _filled(connection: sqlite3.Connection, path: str) -> bool:
    """Copy a database, as far as there is one; tells whether nobody wrote to it meanwhile.

    Without a log beside it nobody has it open, and SQLite need not make one to read it. So it takes
    no lock either: a run that begins just then would show as damage.
    """
    before = _look(path)
    if before is None:
        return True
    still = "" if before[0] else "&immutable=1"
    try:
        source = sqlite3.connect(f"file:{_quoted(path)}?mode=ro{still}", uri=True, timeout=30)
        with contextlib.closing(source):
            source.backup(connection)
    except sqlite3.Error:
        if still and _look(path) != before:
            return False
        raise
    return not still or _look(path) == before


def _look(path: str) -> tuple[bool, int, int, int] | None:
    """Give what changes when a database is written to, or None where there is none.

    Raises DatabaseError for what is no file: SQLite would wait for a fifo, and take a device for an
    empty database.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise sqlite3.DatabaseError("it is no regular file")
    return (os.path.exists(f"{path}-wal"), found.st_ino, found.st_mtime_ns, found.st_size)


def _trouble(path: str, error: Exception) -> Unavailable | ConfigError:
    """Tell a database that is locked or out of reach from one that only a person can mend."""
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return ConfigError(
            f"{path} is damaged: {error}",
            hint=AWAY,
        )
    return Unavailable(
        f"cannot open {path}: {error}",
        hint="check the owner and the free space of the state folder",
    )


def _open(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=30, isolation_level=None)


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise sqlite3.DatabaseError(
            f"it was written by a newer mediapipe (schema {version}, this one knows {_VERSION})"
        )
    tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'")
    if version == _VERSION and tables.fetchone()[0] < _SCHEMA.count("CREATE TABLE"):
        raise sqlite3.DatabaseError("it lacks tables that every history has")
    if version < _VERSION:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
