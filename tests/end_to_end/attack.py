"""A box under attack, and the question of every attack: is a byte lost that was there before?"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mediapipe.testing.b2 import B2Server
from mediapipe.testing.box import Box
from mediapipe.testing.qbittorrent import QbittorrentServer, make_torrent, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPTS = Path(sys.executable).parent
EXITS = {"done": (0,), "partial": (3,), "refused": (3,), "unavailable": (75,), "error": (2, 78)}


@dataclass(frozen=True)
class Film:
    """A torrent's one film and its hard link in the library."""

    hash: str
    download: Path
    link: Path
    remote: str


class Attack:
    """A box with a real qBittorrent and B2 that remembers every byte written through it."""

    def __init__(self, folder: Path) -> None:
        """Start nothing yet."""
        self.folder = folder
        self.b2 = B2Server(root=folder / "b2")
        self.qbt = QbittorrentServer(
            folder / "qbt",
            completed=folder / "box/downloads/completed",
            incomplete=folder / "box/downloads/incomplete",
        )
        self._stack = ExitStack()
        self._known: dict[str, str] = {}
        self._packed: dict[str, set[str]] = {}

    def __enter__(self) -> Self:
        """Start both servers and make the box."""
        self._stack.enter_context(self.b2)
        self._stack.enter_context(self.qbt)
        self.box = Box(self.folder / "box", self.qbt.url, self.b2.rclone_config())
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both servers."""
        self.b2.clear_faults()
        self._stack.close()

    # Making

    def write(self, path: Path | bytes, data: bytes | int = 200_000) -> Path:
        """Write a file (of so many random bytes) that must never be lost."""
        content = os.urandom(data) if isinstance(data, int) else data
        where = os.fsencode(path)
        os.makedirs(os.path.dirname(where), exist_ok=True)
        with open(where, "wb") as file:
            file.write(content)
        self._known[hashlib.sha1(content).hexdigest()] = os.fsdecode(where)
        return Path(os.fsdecode(where))

    def pack(self, folder: Path, volumes: Mapping[str, bytes], files: Mapping[str, bytes]) -> Path:
        """Write an archive; what is lost is not it, but what came in it. Gives its first volume."""
        sums = {hashlib.sha1(raw).hexdigest() for raw in volumes.values()}
        for name, content in files.items():
            sha1 = hashlib.sha1(content).hexdigest()
            self._known[sha1] = f"{folder}: {name}"
            self._packed[sha1] = sums
        folder.mkdir(parents=True, exist_ok=True)
        for name, raw in volumes.items():
            (folder / name).write_bytes(raw)
        return folder / next(iter(volumes))

    def gave_up(self, data: bytes) -> None:
        """Forget content that the attack itself destroyed."""
        self._known.pop(hashlib.sha1(data).hexdigest(), None)

    def torrent(
        self, content: Path, *, save_path: Path | None = None, wait: bool = True, **options: Any
    ) -> str:
        """Add a torrent of what lies there, and wait until it is complete unless told not to."""
        name = hashlib.sha1(os.fsencode(content)).hexdigest()[:8]
        made = make_torrent(content, self.folder / f"{name}.torrent")
        self.qbt.add(made.path, save_path=save_path or content.parent, **options)
        if wait:
            self.qbt.wait_complete([made.infohash], 20)
        return made.infohash

    def link(self, download: Path, link: Path) -> Path:
        """Import as Radarr does: a hard link under another name."""
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(download, link)
        return link

    def film(
        self, name: str = "Film.2024", data: bytes | int = 200_000, *, wait: bool = True
    ) -> Film:
        """Give a seeding film in its folder, imported into the library of movies."""
        folder = self.box.completed / "movies" / name
        download = self.write(folder / f"{name}.mkv", data)
        link = self.link(download, self.box.movies / name / f"{name} (clean).mkv")
        remote = f"movies/{name}/{name} (clean).mkv"
        return Film(self.torrent(folder, wait=wait), download, link, remote)

    # Doing

    def due(self) -> None:
        """Wait until every torrent is past its seeding time of a second."""
        wait_until(self._all_due, seconds=20, what="the torrents to be due")

    def _all_due(self) -> bool:
        client = self.qbt.client()
        client.torrents_add_tags(
            tags=os.urandom(4).hex(), torrent_hashes="all"
        )  # or time stands still
        return all(int(str(torrent["seeding_time"])) >= 1 for torrent in client.torrents_info())

    def job(self, verb: str, *options: str, status: int | None = None, **env: str) -> Any:
        """Run with --json; whatever happens it must be one JSON object and a fitting status."""
        return sound(self.box.run(verb, "--json", *options, env=env), status)

    def upload(self, status: int | None = 0) -> Any:
        """Upload."""
        return self.job("upload", status=status)

    def cleanup(self, *options: str, status: int | None = 0) -> Any:
        """Clean up, once."""
        return self.job("cleanup", *options, status=status)

    # Asking

    def listed(self) -> set[str]:
        """Give the hashes that qBittorrent lists."""
        client: Any = self.qbt.client()
        return {str(torrent["hash"]) for torrent in client.torrents_info()}

    def lost(self) -> list[str]:
        """Give what was written and is neither on the disk nor, in any version, on B2."""
        held = set()
        for folder, _, names in os.walk(os.fsencode(self.folder)):  # B2's blobs are below it too
            for name in names:
                path = os.path.join(folder, name)
                # an rclone that outlived its job goes on, and B2 joins parts meanwhile
                with contextlib.suppress(FileNotFoundError):
                    if stat.S_ISREG(os.lstat(path).st_mode):
                        with open(path, "rb") as file:
                            held.add(hashlib.sha1(file.read()).hexdigest())
        return sorted(
            path
            for sha1, path in self._known.items()
            if sha1 not in held and not self._packed.get(sha1, {""}) <= held
        )

    def short_of(self) -> list[str]:
        """Give the wanted files of listed torrents that are not on the disk."""
        client: Any = self.qbt.client()
        missing = []
        for torrent in client.torrents_info():
            for file in client.torrents_files(torrent["hash"]):
                path = Path(torrent["save_path"], file["name"])
                if file["priority"] and not path.exists():
                    missing.append(str(path))
        return missing

    def lies(self) -> list[str]:
        """Give the markers that claim what is not so: the disk, or B2, says otherwise."""
        there = {thing.path for thing in self.b2.objects().values()}
        held = {hashlib.sha1(path.read_bytes()).hexdigest() for path in there if path}
        wrong = []
        for marker in self.box.folder.rglob("*.uploaded"):
            try:
                told = json.loads(marker.read_bytes())
                item, entries = marker.parent / told["item"], list(told["files"])
            except (OSError, ValueError, TypeError, KeyError, RecursionError):
                continue  # a claim
            for one in entries:
                file = item / one["path"] if item.is_dir() else item
                found = file.stat() if file.exists() else None
                fits = found and (one["inode"], one["size"], one["mtime_ns"]) == (
                    found.st_ino,
                    found.st_size,
                    found.st_mtime_ns,
                )
                if not fits:
                    continue
                if proof := _members(one, entries):
                    wrong += [f"{marker}: {member}" for member in proof if member not in held]
                elif hashlib.sha1(file.read_bytes()).hexdigest() not in held:
                    wrong.append(f"{marker}: {one['remote']}")
        return wrong

    def contents(self) -> dict[str, bytes]:
        """Give what stands on B2: name → bytes."""
        found = {}
        for name, thing in self.b2.objects().items():
            assert thing.path is not None
            found[name] = thing.path.read_bytes()
        return found

    def scratch(self) -> list[str]:
        """Give what lies where archives are extracted."""
        folder = self.box.folder / "downloads/extracted"
        return sorted(os.listdir(folder)) if folder.exists() else []

    def holds(self, *, markers: bool = True) -> None:
        """Assert that nothing is lost, no torrent is robbed and no marker lies."""
        for wrong in (self.lost(), self.short_of(), self.lies() if markers else []):
            assert wrong == [], wrong


def _members(entry: Any, entries: list[Any]) -> list[str]:
    """Give the hashes of what a marker says came out of a volume; none for a plain file."""
    if first := entry.get("part_of"):
        entry = next((one for one in entries if one["path"] == first), {})
    return [one["sha1"] for one in entry.get("extracted", ())]


def sound(ended: subprocess.CompletedProcess[str], status: int | None = None) -> Any:
    """Check what holds for every ended job with --json, and give its report."""
    told = f"status {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    assert "Traceback" not in ended.stderr + ended.stdout, told
    assert status is None or ended.returncode == status, told
    try:
        report = json.loads(ended.stdout)
    except ValueError:
        raise AssertionError(f"no JSON: {told}") from None
    assert isinstance(report, dict), told
    assert ended.returncode in EXITS[report["outcome"]], told
    return report


def done(report: Any, action: str) -> list[str]:
    """Give the paths of the actions of this kind that were done."""
    found = [a for a in report["actions"] if a["action"] == action and a["status"] == "done"]
    return [action["path"] for action in found]


def kept(report: Any) -> dict[str, str]:
    """Give the reason for each path that was kept."""
    return {entry["path"]: entry["reason"] for entry in report["kept"]}
