"""The whole pipeline: two qBittorrents, hard links, rclone and B2, driven by the real commands."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.testing.b2 import B2Server
from mediapipe.testing.box import BUCKET, Box
from mediapipe.testing.qbittorrent import QbittorrentServer, make_torrent, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

pytestmark = pytest.mark.real

RCLONE = Path(sys.executable).parent / "rclone"
MIB = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipeline")


@pytest.fixture(scope="module")
def seeder(folder: Path) -> Iterator[QbittorrentServer]:
    with QbittorrentServer(folder / "seeder") as server:
        yield server


@pytest.fixture(scope="module")
def downloader(folder: Path) -> Iterator[QbittorrentServer]:
    """A qBittorrent whose folders are those of the box."""
    downloads = folder / "box" / "downloads"
    with QbittorrentServer(
        folder / "downloader",
        completed=downloads / "completed",
        incomplete=downloads / "incomplete",
    ) as server:
        yield server


@pytest.fixture
def box(
    folder: Path, downloader: QbittorrentServer, seeder: QbittorrentServer, b2: B2Server
) -> Box:
    """An empty box beside the same two qBittorrents, which are emptied too."""
    for server in (downloader, seeder):
        client = server.client()
        client.torrents_delete(delete_files=False, torrent_hashes="all")
        client.torrents_remove_categories(categories=list(client.torrents_categories()))
    for name in ("box/downloads", "box/media", "box/state", "seeder/completed"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for server in (downloader, seeder):
        server.completed.mkdir(parents=True)
    downloader.incomplete.mkdir(parents=True)
    box = Box(folder / "box", downloader.url, b2.rclone_config("restricted"))
    box.report("categories")
    return box


class Downloads:
    """Torrents that travel from one qBittorrent to the other, and what is made of them."""

    def __init__(self, box: Box, seeder: QbittorrentServer, downloader: QbittorrentServer) -> None:
        self._box = box
        self._seeder = seeder
        self._downloader = downloader

    def fetch(self, name: str, files: Mapping[str, bytes], category: str | None = None) -> str:
        """Begin to download a folder, or a file (`{"": content}`); gives the torrent's hash."""
        content = self._seeder.completed / name
        write(content, files)
        torrent = make_torrent(content, self._box.folder / "a.torrent")
        self._seeder.add(torrent.path, save_path=self._seeder.completed)
        hash_ = self._downloader.add(torrent.path, category=category)
        self._downloader.connect(hash_, self._seeder)
        return hash_

    def arrive(self, hashes: Collection[str]) -> None:
        """Wait until what is fetched is complete and at its final place."""
        self._downloader.wait_complete(hashes, 60)

    def place(
        self, folder: Path, name: str, files: Mapping[str, bytes], category: str | None = None
    ) -> str:
        """Add a torrent of files that lie in the box already, as after a download."""
        write(folder / name, files)
        # private only to make another torrent of data that one has already
        torrent = make_torrent(folder / name, self._box.folder / "a.torrent", private=True)
        hash_ = self._downloader.add(torrent.path, save_path=folder, category=category)
        self._downloader.wait_complete([hash_], 60)
        return hash_

    def listed(self) -> set[str]:
        return {str(one.hash) for one in self._downloader.client().torrents_info()}


@pytest.fixture
def downloads(box: Box, seeder: QbittorrentServer, downloader: QbittorrentServer) -> Downloads:
    return Downloads(box, seeder, downloader)


def write(target: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = target / name if name else target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def media(name: str, size: int = MIB + 12345) -> bytes:
    return random.Random(name).randbytes(size)


def link(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)
    return target


def contents(b2: B2Server) -> dict[str, bytes]:
    """Give name → bytes, from the server's own disk."""
    found = {}
    for name, one in b2.objects().items():
        assert one.path is not None
        found[name] = one.path.read_bytes()
    return found


def cleaned(box: Box, until: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Run cleanup until a run of it has done what is waited for; gives its report.

    Each run adds to the record of the seeding time, so a dry run would wait for ever.
    """

    def run() -> dict[str, Any] | None:
        report = box.report("cleanup")
        return report if until(report) else None

    report = wait_until(run, seconds=60, what="cleanup to do it")
    assert report is not None
    return report


def gone(report: dict[str, Any], kind: str) -> set[str]:
    return {one["path"] for one in report["actions"] if one["action"] == kind}


def reasons(report: dict[str, Any]) -> dict[str, str]:
    return {one["path"]: one["reason"] for one in report["kept"]}


def audit(box: Box) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (box.state / "audit.jsonl").read_text().splitlines()]


SHOW = 'Night Ferry\'s "Best" [S01] (100%) #1 & Zo\u00eb \U0001f6a2'
FILM = "-The.Long.Tide.2024 $HOME `id`"
ALBUM = "Fog: a collection; live"
BOOK = "Ferry maps (1911).pdf"


def test_everything_ends_on_b2_byte_by_byte_and_nothing_is_left(
    box, b2, downloads, downloader, tmp_path
):
    show = {"S01E01.mkv": media("1"), "Sub dir/S01E02 \u00fc.mkv": media("2"), "info.nfo": b"info"}
    film = {"film.mkv": media("film", 2 * MIB)}
    album = {"01 - one.flac": media("one"), "scans/cover's #1.bin": media("cover", 5000)}
    fetched = {
        downloads.fetch(SHOW, show, "tv-sonarr"),
        downloads.fetch(FILM, film, "radarr"),
        downloads.fetch(ALBUM, album),
        downloads.fetch(BOOK, {"": media("book", 7777)}),
    }
    downloads.arrive(fetched)
    assert downloads.listed() == fetched
    tv, movies = box.completed / "tv" / SHOW, box.completed / "movies" / FILM
    season = box.tv / "Night Ferry" / "Season 01"
    link(tv / "S01E01.mkv", season / 'Night Ferry - S01E01 - What\'s "up"\n.mkv')
    link(
        tv / "Sub dir/S01E02 \u00fc.mkv",
        season / "Night Ferry - S01E02 - Zoe\u0308 \\ \U0001f30a.mkv",
    )
    link(movies / "film.mkv", box.movies / "#The Long Tide (2024)" / "-The Long Tide.mkv")
    expected = {
        'tv/Night Ferry/Season 01/Night Ferry - S01E01 - What\'s "up"␊.mkv': show["S01E01.mkv"],
        "tv/Night Ferry/Season 01/Night Ferry - S01E02 - Zoe\u0308 ＼ \U0001f30a.mkv": show[
            "Sub dir/S01E02 \u00fc.mkv"
        ],
        "movies/#The Long Tide (2024)/-The Long Tide.mkv": film["film.mkv"],
        f"downloads/{ALBUM}/01 - one.flac": album["01 - one.flac"],
        f"downloads/{ALBUM}/scans/cover's #1.bin": album["scans/cover's #1.bin"],
        f"downloads/{BOOK}": media("book", 7777),
    }

    uploaded = box.report("upload")

    assert {one["status"] for one in uploaded["actions"]} == {"done"}
    assert len(uploaded["actions"]) == 5
    assert contents(b2) == expected

    removed: set[str] = set()

    def all_removed(report: dict[str, Any]) -> bool:
        removed.update(one["hash"] for one in report["actions"] if "hash" in one)
        return removed == fetched

    cleaned(box, all_removed)

    assert downloads.listed() == set()
    assert box.tree(box.completed) | box.tree(box.tv) | box.tree(box.movies) == set()
    assert [path.name for path in sorted(box.tv.iterdir())] == [".mediapipe-root"]
    assert box.completed.is_dir()
    assert contents(b2) == expected
    assert {one.versions for one in b2.objects().values()} == {1}
    back = tmp_path / "back"
    subprocess.run(
        [RCLONE, "--config", box.folder / "rclone.conf", "copyto",
         f"b2:{BUCKET}/downloads/{BOOK}", back],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert back.read_bytes() == media("book", 7777)
    demand_whole_audit(box, b2, expected, fetched)
    assert box.report("cleanup")["actions"] == []
    assert box.report("upload")["actions"] == []


def demand_whole_audit(
    box: Box, b2: B2Server, expected: Mapping[str, bytes], fetched: set[str]
) -> None:
    """Each object was written down with what fetches it back, and each name that went."""
    lines = audit(box)
    ids = {one.file_id: one.name for one in b2.objects().values()}
    uploaded = {
        ids[file["file_id"]]: (file["sha1"], file["size"])
        for line in lines
        for file in line.get("files", ())
    }
    assert uploaded == {
        name: (hashlib.sha1(data).hexdigest(), len(data)) for name, data in expected.items()
    }
    assert {line["hash"] for line in lines if line["action"] == "remove-torrent"} == fetched
    deleted = [line for line in lines if line["action"] in ("delete-file", "delete-link")]
    proven = [line for line in deleted if "sha1" in line]
    assert {ids[line["file_id"]] for line in proven} == set(expected)
    # two names of each imported file, one of each other
    assert len(proven) == 2 * 3 + 3
    assert [Path(line["path"]).name for line in deleted if "sha1" not in line] == ["info.nfo"]
    assert all(line["size"] >= 0 and line["inode"] > 0 for line in deleted)
    assert all(line["time"] and line["reason"] and line["job"] for line in lines)


def test_a_file_that_another_torrent_seeds_stays_until_that_one_goes_too(box, b2, downloads):
    """Cross-seeding: a second torrent holds the same data by a hard link in its own folder."""
    name, data = "Cross.S01E01", media("cross")
    first = downloads.fetch(name, {"e.mkv": data}, "tv-sonarr")
    downloads.arrive([first])
    download = box.completed / "tv" / name / "e.mkv"
    twin = link(download, box.completed / "cross" / name / "e.mkv")
    library = link(download, box.tv / "Cross" / "S01E01.mkv")
    second = downloads.place(twin.parent.parent, name, {})
    assert first != second
    box.write_config(cleanup={"seeding_time": "30d"})
    box.write_config(**{"cleanup.categories.tv-sonarr": {"seeding_time": "1s"}})
    box.report("upload")

    report = cleaned(box, lambda one: gone(one, "remove-torrent"))

    assert downloads.listed() == {second}
    assert download.read_bytes() == library.read_bytes() == twin.read_bytes() == data
    assert gone(report, "delete-file") | gone(report, "delete-link") == set()
    assert "holds it too" in reasons(report)[str(download)]
    assert box.report("cleanup")["actions"] == []

    box.write_config(cleanup={"seeding_time": "1s"})
    cleaned(box, lambda one: gone(one, "remove-torrent"))
    # what the first torrent left is an orphan by now
    cleaned(box, lambda _one: not box.tree(box.completed) | box.tree(box.tv))

    assert downloads.listed() == set()
    assert data in contents(b2).values()


def test_a_torrent_with_a_file_that_nothing_proves_stays_whole(box, b2, downloads):
    files = {"E01.mkv": media("e1"), "E02.mkv": media("e2"), "E02.nfo": b"about it"}
    tv = box.completed / "tv"
    hash_ = downloads.place(tv, "Half", files, "tv-sonarr")
    folder = tv / "Half"
    link(folder / "E01.mkv", box.tv / "Half" / "E01.mkv")
    before = box.tree(box.completed)
    box.report("upload")

    report = cleaned(box, lambda one: "E02.mkv" in reasons(one).get("Half", ""))

    assert report["actions"] == []
    assert "nothing proves" in reasons(report)["Half"]
    assert downloads.listed() == {hash_}
    assert box.tree(box.completed) == before
    assert contents(b2) == {"tv/Half/E01.mkv": files["E01.mkv"]}


def test_a_copy_in_the_library_proves_the_download_and_goes_with_it(box, b2, downloads):
    """Sonarr copies where it cannot link; the bytes are the same, and are sent once."""
    tv = box.completed / "tv"
    downloads.place(tv, "Copied", {"E01.mkv": media("copied")}, "tv-sonarr")
    download = tv / "Copied" / "E01.mkv"
    copy = box.tv / "Copied" / "E01.mkv"
    copy.parent.mkdir()
    shutil.copy2(download, copy)
    box.report("upload")

    report = cleaned(box, lambda one: gone(one, "remove-torrent"))

    assert gone(report, "delete-file") == {str(download)}
    assert gone(report, "delete-link") == {str(copy)}
    assert downloads.listed() == set()
    assert not download.exists()
    assert not copy.parent.exists()
    assert contents(b2) == {"tv/Copied/E01.mkv": media("copied")}


def test_an_object_that_is_gone_from_b2_keeps_its_file(box, b2, downloads):
    tv = box.completed / "tv"
    hash_ = downloads.place(tv, "Lost", {"E01.mkv": media("lost")}, "tv-sonarr")
    download = tv / "Lost" / "E01.mkv"
    library = link(download, box.tv / "Lost" / "E01.mkv")
    box.report("upload")
    b2.delete("tv/Lost/E01.mkv")

    cleaned(box, lambda one: gone(one, "delete-marker"))

    assert downloads.listed() == {hash_}
    assert download.read_bytes() == library.read_bytes() == media("lost")
    assert [one["status"] for one in box.report("upload")["actions"]] == ["done"]
    assert contents(b2) == {"tv/Lost/E01.mkv": media("lost")}
    cleaned(box, lambda one: gone(one, "remove-torrent"))
    assert box.tree(box.completed) | box.tree(box.tv) == set()


def counted(box: Box, log: Path) -> None:
    """Let each start of rclone be noted."""
    program = box.folder / "counted-rclone"
    program.write_text(
        f'#!/bin/sh\necho "$1" >> {shlex.quote(str(log))}\nexec {shlex.quote(str(RCLONE))} "$@"\n'
    )
    program.chmod(0o755)
    box.write_config(rclone={"binary": str(program)})


def test_with_nothing_pending_no_child_is_started_and_b2_is_not_asked(box, b2, downloads, tmp_path):
    log = tmp_path / "starts"
    counted(box, log)
    tv = box.completed / "tv"
    downloads.place(tv, "Idle", {"E01.mkv": media("idle")}, "tv-sonarr")
    link(tv / "Idle" / "E01.mkv", box.tv / "Idle" / "E01.mkv")
    box.write_config(cleanup={"seeding_time": "30d"})
    box.report("upload")
    assert log.read_text().split().count("copy") == 1
    log.unlink()
    b2.reset_stats()

    for verb in ("upload", "cleanup", "upload"):
        assert box.report(verb)["actions"] == []

    assert b2.stats().calls == {}
    assert not log.exists()


def test_many_files_go_in_one_child_and_one_call_each(box, b2, tmp_path):
    log = tmp_path / "starts"
    counted(box, log)
    write(box.tv / "Show", {f"E{number:02}.mkv": media(str(number), 1000) for number in range(30)})

    report = box.report("upload")

    assert len(report["actions"]) == 30
    assert log.read_text().split().count("copy") == 1
    assert b2.stats().calls["b2_upload_file"] == 30
    assert b2.stats().classes["C"] < 30


def test_a_large_file_is_read_back_since_b2_checks_no_hash_of_it(box, b2):
    """Above rclone's cutoff the SHA-1 of the object is a label: other bytes may stand under it."""
    size = 201 * MIB
    large = box.movies / "Large" / "large.mkv"
    large.parent.mkdir()
    with large.open("wb") as file:
        for offset in (0, size // 2, size - MIB):
            file.seek(offset)
            file.write(media(str(offset), MIB))

    assert [one["status"] for one in box.report("upload")["actions"]] == ["done"]

    marker = Path(f"{large}.uploaded")
    (entry,) = json.loads(marker.read_text())["files"]
    with large.open("rb") as file:
        assert entry["sha1"] == hashlib.file_digest(file, "sha1").hexdigest()
    assert (entry["size"], entry["readback"]) == (size, True)
    assert b2.stats().calls["b2_upload_part"] > 1

    marker.unlink()
    shutil.rmtree(box.state)
    b2.corrupt("movies/Large/large.mkv", offset=size // 2 + 5)
    sent = b2.stats().bytes_in
    report = box.report("upload")
    assert [one["status"] for one in report["actions"]] == ["done"]
    # it was not taken for ours, and was sent anew
    assert b2.stats().bytes_in - sent >= size
    assert b2.objects()["movies/Large/large.mkv"].path.read_bytes() == large.read_bytes()


def test_the_demo_holds_what_it_promises():
    ended = subprocess.run(
        [sys.executable, "-m", "mediapipe.testing.demo"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stdout + ended.stderr
    table = ended.stdout.partition("== What lies where now")[2].splitlines()
    rows = [line.split()[-1] for line in table if f"b2:{BUCKET}/" in line]
    assert rows == ["yes"] * 4
    assert "torrents left: 0; files left in downloads and libraries: none" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("All held")
