"""Deleted files come back from a real B2 server through the real commands, byte-equal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.testing.box import Box
from mediapipe.testing.qbittorrent import QbittorrentServer, make_torrent, wait_until

if TYPE_CHECKING:
    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real

NAME = "Show é [1]/Season 1/Show - 1x01 ü.mkv"


@pytest.fixture
def box(tmp_path: Path, b2: B2Server, qbittorrent: QbittorrentServer) -> Box:
    return Box(tmp_path / "box", qbittorrent.url, b2.rclone_config("restricted"))


def ask(box: Box, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "mediapipe"), *words, "--config", str(box.config_path)],
        capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended


def answer(box: Box, *words: str, status: int = 0) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(ask(box, *words, "--json", status=status).stdout)
    return told


def history(box: Box, path: Path) -> list[dict[str, Any]]:
    lines = ask(box, "history", str(path), "--json").stdout.splitlines()
    return [json.loads(line) for line in lines]


def deleted(box: Box, server: QbittorrentServer, content: bytes) -> tuple[Path, Path]:
    """Let cleanup delete a seeded episode; gives the names of its download and its link."""
    download = box.completed / "tv" / "Show.S01E01.mkv"
    download.parent.mkdir(parents=True, exist_ok=True)
    download.write_bytes(content)
    link = box.tv / NAME
    link.parent.mkdir(parents=True)
    os.link(download, link)
    box.report("categories")
    hash_ = seed(box, server, download)
    box.report("upload")
    while hash_ in {one.hash for one in server.client().torrents_info()}:
        box.report("cleanup")
    assert not download.exists()
    assert not link.parent.exists()
    return download, link


def seed(box: Box, server: QbittorrentServer, download: Path) -> str:
    torrent = make_torrent(download, box.folder / "a.torrent")
    hash_ = server.add(torrent.path, save_path=download.parent, category="tv-sonarr")
    server.wait_complete([hash_], 60)
    return hash_


@pytest.mark.parametrize("stranger", ["", "replaced", "hidden"])
def test_a_deleted_episode_comes_back(
    box: Box, b2: B2Server, qbittorrent: QbittorrentServer, stranger: str
) -> None:
    content = os.urandom(5_000_000)
    download, link = deleted(box, qbittorrent, content)
    if stranger == "replaced":
        b2.put(f"tv/{NAME}", os.urandom(len(content)), sha1="0" * 40)
    elif stranger == "hidden":
        b2.hide(f"tv/{NAME}")
    planned = answer(box, "restore", str(link), "--dry-run")
    assert not (box.tv / "Show é [1]").exists()
    b2.reset_stats()

    report = answer(box, "restore", str(link))

    assert {**report, "seconds": 0, "dry_run": True} == {
        **planned, "seconds": 0,
        "actions": [{**one, "status": "done"} for one in planned["actions"]],
    }  # fmt: skip
    assert link.read_bytes() == content
    assert not download.exists()
    (line,) = history(box, link)[-1:]
    assert (line["action"], line["proven"]) == ("restore", not stranger)
    assert ("the version 4_z" in line["reason"]) == bool(stranger)
    shown = ask(box, "history", str(link)).stdout.splitlines()
    assert [line.split()[5] for line in shown][-1] == "restore"
    b2.reset_stats()
    report = box.report("upload")
    sent = b2.stats().calls.get("b2_upload_file", 0) + b2.stats().calls.get("b2_upload_part", 0)
    assert (sent > 0) == bool(stranger), "what its name stands for is this file again"
    assert b2.objects()[f"tv/{NAME}"].sha1 != "0" * 40
    assert box.report("upload")["actions"] == []


def test_with_its_torrent_back_it_is_one_file_again(
    box: Box, b2: B2Server, qbittorrent: QbittorrentServer
) -> None:
    content = os.urandom(100_000)
    download, link = deleted(box, qbittorrent, content)
    torrent = box.folder / "a.torrent"
    qbittorrent.add(torrent, save_path=download.parent, category="tv-sonarr", stopped=True)

    ask(box, "restore", str(link))

    assert link.samefile(download)
    assert link.read_bytes() == content
    assert box.report("upload")["actions"] == []
    assert f"tv/{NAME}" in b2.objects()


def test_without_b2_nothing_changes(box: Box, b2: B2Server, qbittorrent: QbittorrentServer) -> None:
    _download, link = deleted(box, qbittorrent, b"x" * 1000)
    b2.stop()

    assert answer(box, "restore", str(link), status=75)["outcome"] == "unavailable"
    assert not link.parent.exists()
    assert ask(box, "restore", str(box.tv / "no"), status=3).stdout.startswith("refused: the audit")
    ask(box, "restore", str(link), "--to", str(box.folder / "nowhere"), status=2)


@pytest.mark.parametrize("stranger", ["", pytest.param("hidden", marks=pytest.mark.soak)])
def test_it_may_be_killed_at_any_time(
    box: Box, b2: B2Server, qbittorrent: QbittorrentServer, stranger: str
) -> None:
    content = os.urandom(20_000_000)
    _download, link = deleted(box, qbittorrent, content)
    if stranger:
        b2.hide(f"tv/{NAME}")
    b2.bandwidth = 1_000_000
    for sign, status in ((signal.SIGTERM, 75), (signal.SIGKILL, -signal.SIGKILL)):
        with begin(box, "restore", str(link)) as child:
            wait_until(
                lambda: any(map(os.path.getsize, temporaries(box))), seconds=60, what="a byte"
            )
            child.send_signal(sign)
            child.communicate(timeout=60)
        assert child.returncode == status
        assert not link.exists()
        assert bool(temporaries(box)) == (box.tv / "Show é [1]").exists() == (status != 75)
    b2.bandwidth = None

    ask(box, "restore", str(link))

    assert link.read_bytes() == content
    assert temporaries(box) == []


def begin(box: Box, *words: str) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).parent / "mediapipe"), *words]
    return subprocess.Popen(
        [*command, "--config", str(box.config_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def temporaries(box: Box) -> list[str]:
    return [
        os.path.join(folder, name)
        for folder, _, names in os.walk(box.tv)
        for name in names
        if name.startswith(".mediapipe-")
        if name != ".mediapipe-root"
    ]
