"""The facts that history keeps between runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from mediapipe.facts import fact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediapipe.disk.index import Identity

_LONGEST = 86400.0


@fact
class Proven:
    """An object on the remote that was looked up and had these bytes."""

    remote: str
    """Full remote name."""
    size: int
    """Bytes."""
    sha1: str
    file_id: str = ""
    readback: bool = False
    """Whether ranges were read back: above rclone's cutoff the SHA-1 is a label."""


@fact
class Proof:
    """A proof by identity: it outlives the name under which the file was uploaded.

    One object for a file that was uploaded as it is; for a volume of an archive every object that
    was extracted from the archive, and all of them are needed.
    """

    place: str
    """Full remote name that the proof is filed under: the object's, or the archive's."""
    objects: tuple[Proven, ...]


@fact
class Sighting:
    """Since when and in how many runs something was seen so; times in epoch seconds."""

    first: float
    runs: int


@fact
class Intent:
    """A deletion that was begun: a request to finish it, never a licence."""

    id: int
    name: str
    hash: str
    """Hash of the torrent, or empty where it was an orphan."""
    paths: Mapping[str, Identity | None]
    """Path → for what needs no proof (a piece of a deselected file) its identity, else None."""


@fact
class Deeds:
    """Steps that were begun in one go; the audit gets a line after each."""

    id: int
    audited: int
    """Bytes of the audit when they began."""
    lines: tuple[dict[str, Any], ...]
    """The lines to come, without their time, in the order of the steps."""


@fact
class Tally:
    """How much of something cleanup left where it is; nothing is decided by it."""

    subject: str
    files: int
    size: int
    """Bytes."""
    moment: float | None = None
    """When the first of it may go, in epoch seconds; None where no time brings that."""


@fact
class Wanted:
    """Files of a due torrent that nothing has uploaded; upload takes them, so that it may go."""

    hash: str
    name: str
    folder: str
    """The folder that their remote names are relative to."""
    paths: tuple[str, ...]


@fact
class FileList:
    """The files of a torrent when it was last asked for them, all of them whole and in place."""

    stamp: str
    """What qBittorrent's list said of the torrent then."""
    files: Mapping[str, Identity]
    """Path → identity."""


@fact
class Pause:
    """Until when (epoch seconds) something is left alone after failures, and why."""

    until: float
    tries: int
    reason: str
    fingerprint: str

    def lasts(self, now: float, fingerprint: str) -> bool:
        """Whether it goes on: for the same thing, and not longer than any pause is meant to be.

        One that ends later than in a day was made while the clock was wrong.
        """
        return self.fingerprint == fingerprint and 0 < self.until - now <= _LONGEST


@fact
class Run:
    """How a run of a job ended; times in epoch seconds and seconds, the counts are of actions."""

    job: str
    started: float
    seconds: float
    outcome: str
    done: int
    failed: int
    kept: int
    reason: str | None


@fact
class Move:
    """How far a download of SABnzbd's is on its way; each is moved once."""

    id: str
    """nzo_id."""
    name: str
    """As SABnzbd calls it."""
    source: str
    """What is moved, as this host sees it."""
    inode: int
    """Its number: another job may get the same path later."""
    target: str
    """Where it goes; once it is moved, where it lies."""
    state: Literal["begun", "moved", "ended"]
    """moved: the app is still to be told. ended: it was, or none is configured."""
    stage: tuple[str, str, int] | None
    """The newest stage of the move itself: kind, path, inode."""
    app: str
    """The [arr.NAME] that is told; empty for none."""
    moment: float
    """Epoch seconds of the last change."""
    error: str = ""
    """Why the last attempt failed, or what the app made of it; empty where all went well."""
