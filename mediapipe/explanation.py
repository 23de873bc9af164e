"""What is known of a file or a torrent, as facts, and how it is told to people and programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from mediapipe.facts import fact, field
from mediapipe.plan import duration, human, shown, stamp
from mediapipe.runner import path_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mediapipe.disk.index import File
    from mediapipe.latch import Backoff
    from mediapipe.ports import Torrent
    from mediapipe.records import Proof

_SHOWN = 20
"""Files that are told to people; programs are told of all."""


@fact
class Verdict:
    """What becomes of something, as the jobs' own plans say."""

    word: str
    """`goes`, `stays`, `unknown` for cleanup; `sends`, `waits`, `nothing`, `unknown` for upload."""
    reason: str
    until: float | None = None
    """When that changes by itself, in epoch seconds."""

    def __str__(self) -> str:
        return f"{self.word}: {self.reason}"


@fact
class AboutTorrent:
    """A torrent of the list."""

    torrent: Torrent
    seeded: float
    """Seconds of our own seeding record."""
    cleanup: tuple[Verdict, ...] = ()


@fact
class AboutFile:
    """A file, or where one was."""

    path: str
    file: File | None
    trouble: str = ""
    """Why one could not look at it."""
    names: tuple[str, ...] = ()
    """Every name of the inode that was found, `path` included."""
    torrents: tuple[str, ...] = ()
    """Hashes of the listed torrents that hold its path or its inode."""
    markers: Mapping[str, str] = field(default_factory=dict)
    """Path of a marker → what it says of this file."""
    proofs: tuple[Proof, ...] = ()
    """What markers and history prove of this identity."""
    remote: Mapping[str, str] = field(default_factory=dict)
    """Full remote name → what stands there now."""
    wanted: bool = False
    """Whether cleanup wants it to be uploaded, so that its torrent may go."""
    upload: tuple[Verdict, ...] = ()
    cleanup: tuple[Verdict, ...] = ()

    @property
    def elsewhere(self) -> int:
        """Names that its link count promises and that were not found."""
        return max(self.file.links - len(self.names), 0) if self.file else 0


@fact
class Explanation:
    """All that is told of a subject."""

    subject: str
    torrents: tuple[AboutTorrent, ...]
    files: tuple[AboutFile, ...]
    held_up: tuple[Backoff, ...]
    unasked: Mapping[str, str]
    """What could not be asked or told → why."""
    history: Sequence[str]
    """The newest changes, each as a line."""


def as_json(told: Explanation) -> dict[str, object]:
    """Give the answer for programs; times in ISO 8601, UTC."""
    return {
        "subject": told.subject,
        "torrents": [_torrent_json(one) for one in told.torrents],
        "files": [_file_json(one) for one in told.files],
        "held_up": [
            {**asdict(one), "until": None if one.until is None else stamp(one.until)}
            for one in told.held_up
        ],
        "unasked": dict(told.unasked),
        "history": list(told.history),
    }


def _torrent_json(about: AboutTorrent) -> dict[str, object]:
    one = about.torrent
    return {
        "hash": one.hash, "name": one.name, "category": one.category, "state": one.state,
        "progress": one.progress, "ratio": one.ratio, "save_path": one.save_path,
        "seeding_time": one.seeding_time, "seeded": about.seeded,
        "cleanup": [_verdict_json(verdict) for verdict in about.cleanup],
    }  # fmt: skip


def _file_json(about: AboutFile) -> dict[str, object]:
    file = about.file
    return {
        **path_json(about.path),
        "there": file is not None,
        "trouble": about.trouble or None,
        "size": file.size if file else None,
        "inode": file.number if file else None,
        "links": file.links if file else None,
        "names": list(about.names),
        "torrents": list(about.torrents),
        "markers": dict(about.markers),
        "proofs": [asdict(one) for one in about.proofs],
        "remote": dict(about.remote),
        "wanted": about.wanted,
        "upload": [_verdict_json(verdict) for verdict in about.upload],
        "cleanup": [_verdict_json(verdict) for verdict in about.cleanup],
    }


def _verdict_json(verdict: Verdict) -> dict[str, object]:
    until = None if verdict.until is None else stamp(verdict.until)
    return {"verdict": verdict.word, "reason": verdict.reason, "until": until}


def as_text(told: Explanation) -> Iterator[str]:
    """Give the answer for people, line by line."""
    for about in told.torrents:
        yield from _torrent(about)
    names = {one.torrent.hash: one.torrent.name for one in told.torrents}
    for file in told.files[:_SHOWN]:
        yield from _file(file, names)
    if len(told.files) > _SHOWN:
        yield f"… and {len(told.files) - _SHOWN:,} files more: --json tells all"
    for one in told.held_up:
        yield _line("held up", f"{one.subject}: {one.reason}; sooner: {one.ends}")
    for what, why in told.unasked.items():
        yield _line("unasked", f"{what}: {why}")
    for change in told.history:
        yield _line("history", change)


def _torrent(about: AboutTorrent) -> Iterator[str]:
    one = about.torrent
    yield f"torrent {shown(one.name)} [{one.hash}]"
    yield _line("state", f"{one.state}, {one.progress:.0%}, ratio {one.ratio:.2f}")
    yield _line(
        "seeded",
        f"{duration(one.seeding_time)} by qBittorrent, {duration(about.seeded)} by our record",
    )
    yield from (_line("cleanup", str(verdict)) for verdict in about.cleanup)


def _file(about: AboutFile, names: Mapping[str, str]) -> Iterator[str]:
    file = about.file
    if file is None:
        yield f"{shown(about.path)} ({about.trouble or 'not there'})"
    else:
        links = "1 link" if file.links == 1 else f"{file.links} links"
        yield f"{shown(about.path)} ({human(file.size)}, inode {file.number}, {links})"
    yield from (_line("name", name) for name in about.names if name != about.path)
    if about.elsewhere:
        yield _line("name", f"{about.elsewhere} more outside the libraries and downloads")
    for hash_ in about.torrents:
        yield _line("torrent", f"{names.get(hash_, '?')} [{hash_[:8]}]")
    yield from (_line("marker", f"{path}: {says}") for path, says in about.markers.items())
    for proof in about.proofs:
        for one in proof.objects:
            yield _line("proof", f"{one.remote} ({human(one.size)}, SHA-1 {one.sha1})")
    yield from (_line("remote", f"{name} {says}") for name, says in about.remote.items())
    if about.wanted:
        yield _line("wanted", "by cleanup: the next upload takes it, so that its torrent may go")
    yield from (_line("upload", str(verdict)) for verdict in about.upload)
    yield from (_line("cleanup", str(verdict)) for verdict in about.cleanup)


def _line(title: str, text: str) -> str:
    return f"  {title:<8} {shown(text)}"
