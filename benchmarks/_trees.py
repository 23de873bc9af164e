"""Boxes with libraries of any size, marked as if they were uploaded, and a B2 beside them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, TypedDict

from mediapipe.disk.marker import VERSION, marker_path
from mediapipe.history import open_history
from mediapipe.records import Proof, Proven
from mediapipe.testing.box import BUCKET, Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NOWHERE = "http://127.0.0.1:9"
"""No qBittorrent: nobody asks it about libraries."""


class Torrent(TypedDict):
    """A torrent as `_planning` reads it; `files` are paths and bytes."""

    hash: str
    name: str
    category: str
    save_path: str
    files: list[tuple[str, int]]


def sparse(path: Path, size: int) -> None:
    """Make a file of its own name and then zeros: its like nowhere else, and made in no time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.fsencode(path)[-200:])
    os.truncate(path, size)


def mark(path: Path, remote: str) -> None:
    """Mark a file as uploaded under this full remote name, as the job itself would."""
    found = path.stat()
    entry = {
        "path": path.name, "inode": found.st_ino, "size": found.st_size,
        "mtime_ns": found.st_mtime_ns, "remote": remote, "sha1": _sha1(path),
    }  # fmt: skip
    data = {
        "version": VERSION, "item": path.name, "uploaded_at": "2026-11-20T05:34:33Z",
        "files": [entry],
    }  # fmt: skip
    marker = marker_path(str(path))
    with open(marker, "w") as file:
        file.write(json.dumps(data) + "\n")
    os.utime(marker, ns=(found.st_mtime_ns, found.st_mtime_ns))


def library_files(box: Box, count: int) -> Iterator[tuple[Path, str]]:
    """Give path and object of each file of a library: 4 of 5 are episodes, the others films.

    A show has 5 seasons of 10 episodes, a film a folder of its own.
    """
    episodes = count * 4 // 5
    for number in range(episodes):
        season = number // 10
        name = f"Show {season // 5:05}/Season {season % 5 + 1}/E{number % 10 + 1:02}.mkv"
        yield box.tv / name, f"tv/{name}"
    for number in range(count - episodes):
        name = f"Film {number:05} (2020)/Film {number:05}.mkv"
        yield box.movies / name, f"movies/{name}"


def fill(files: Iterable[tuple[Path, str]], size: int, *, marked: bool) -> None:
    """Write files of this many bytes, with markers if wanted."""
    for path, name in files:
        sparse(path, size)
        if marked:
            mark(path, f"b2:{BUCKET}/{name}")


def demand_marked(files: Iterable[Path]) -> None:
    """End with a word unless each file has its marker: what was left out would look fast."""
    if left := [str(path) for path in files if not os.path.exists(marker_path(str(path)))]:
        sys.exit(f"not uploaded: {left}")


def folders(box: Box) -> int:
    """Count the folders of the libraries."""
    roots = (box.tv, box.movies)
    return sum(1 for root in roots for _ in os.walk(root))


def unmark(root: Path) -> None:
    """Remove all markers below a folder."""
    for marker in root.rglob("*.uploaded"):
        marker.unlink()


@contextlib.contextmanager
def b2_process(latency: float, root: Path | None = None) -> Iterator[str]:
    """Run a B2 that keeps what it is sent in `root`, or forgets it.

    `latency` is in seconds, added to each call. It is a process of its own, so that its work is
    not ours. Gives the text of an rclone.conf.
    """
    command = [sys.executable, "-m", "mediapipe.testing.b2", "--latency", str(latency)]
    command += ["--root", str(root)] if root else []
    with subprocess.Popen([*command, "--bucket", BUCKET], stdout=subprocess.PIPE, text=True) as b2:
        try:
            assert b2.stdout is not None
            url = b2.stdout.readline().removeprefix("listening on ").strip()
            yield f"[b2]\ntype = b2\naccount = master\nkey = master-secret\nendpoint = {url}\n"
        finally:
            b2.terminate()


def seeding(box: Box, files: Iterable[tuple[Path, str]], count: int) -> list[Torrent]:
    """Hard-link this many folders of a library into completed, as the torrents that they were."""
    groups: dict[Path, list[Path]] = {}
    for path, _name in files:
        groups.setdefault(path.parent, []).append(path)
    torrents = []
    step = max(len(groups) // count, 1)
    for folder, paths in list(groups.items())[::step][:count]:
        is_film = box.movies in folder.parents
        name = folder.name if is_film else f"{folder.parent.name}.{folder.name}"
        own = box.completed / ("movies" if is_film else "tv") / name
        own.mkdir(parents=True)
        torrent: Torrent = {
            "hash": hashlib.sha1(os.fsencode(own), usedforsecurity=False).hexdigest(),
            "name": name,
            "category": "radarr" if is_film else "tv-sonarr",
            "save_path": str(own.parent),
            "files": [(str(own / path.name), path.stat().st_size) for path in paths],
        }
        for path in paths:
            os.link(path, own / path.name)
        torrents.append(torrent)
    return torrents


def remember(box: Box, files: Iterable[tuple[Path, str]]) -> None:
    """Write the proofs of files into the history, as an upload of them would."""
    with contextlib.closing(open_history(str(box.state))) as history, history.together():
        for path, name in files:
            found = path.stat()
            remote = f"b2:{BUCKET}/{name}"
            object_ = Proven(remote, found.st_size, _sha1(path), "id")
            identity = (found.st_ino, found.st_size, found.st_mtime_ns)
            history.prove(identity, Proof(remote, (object_,)), 0.0)


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
