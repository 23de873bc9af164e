"""`mediapipe history` and `mediapipe explain`, as people type them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.runner import lock
from mediapipe.testing.box import Box
from tests.hosts import snapshot

if TYPE_CHECKING:
    from mediapipe.testing.b2 import B2Server

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box", NOWHERE, "[b2]\ntype = b2\n")


def ask(box: Box, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "mediapipe"), *words, "--config", str(box.config_path)],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        cwd=box.tv,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended


def line(box: Box, ago: float, **fields: Any) -> dict[str, Any]:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago))
    made = {"time": stamp, "job": "cleanup", "action": "delete-file", **fields, "reason": "why"}
    with open(box.state / "audit.jsonl", "ab") as file:
        file.write(json.dumps(made).encode() + b"\n")
    return made


def test_before_the_first_change_there_is_nothing(box: Box) -> None:
    assert ask(box, "history").stdout == "nothing that was changed is known\n"
    assert ask(box, "history", "--json").stdout == ""


def test_changes_are_told_newest_last_and_chosen_by_time(box: Box) -> None:
    old = line(box, 3 * 86400, path="/a/old.mkv", size=2048)
    new = line(box, 60, path="/a/new\udcff.mkv", remote="b2:x/new.mkv")

    first, second = ask(box, "history").stdout.splitlines()
    assert first.endswith("cleanup     delete-file /a/old.mkv (2.0 KiB): why")
    assert second.endswith("cleanup     delete-file /a/new\\xff.mkv [b2:x/new.mkv]: why")
    shown = ask(box, "history", "--json").stdout.splitlines()
    assert [json.loads(one) for one in shown] == [old, new]
    assert ask(box, "history", "--since", "2d").stdout.count("\n") == 1
    ask(box, "history", "--since", "2 days", status=2)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("/a/b", ["1"]), ("/a", ["1", "2"]), ("/a/", ["1", "2"]), ("/", ["1", "2", "3", "5"]),
        ("b2:x/tv", ["3"]), ("Torrent", ["4"]), ("here.mkv", ["5"]), ("/a/c/d", ["2"]), ("/b", []),
    ],
)  # fmt: skip
def test_changes_are_chosen_by_place(box: Box, word: str, found: list[str]) -> None:
    line(box, 5, path="/a/b", id="1")
    line(box, 4, path="/a/bc", id="2", files=[{"path": "/a/c/d"}])
    line(box, 3, path="/c", id="3", objects=[{"remote": "b2:x/tv/s.mkv"}])
    line(box, 2, path="Torrent", id="4")
    line(box, 1, path=str(box.tv / "here.mkv"), id="5")

    shown = ask(box, "history", word, "--json").stdout.splitlines()

    assert [json.loads(one)["id"] for one in shown] == found


def test_a_torn_line_hides_no_other(box: Box) -> None:
    path = box.state / "audit.jsonl"
    path.write_bytes(b'{"time": "2026-11-20T10:00:00Z", "job": "cl')
    line(box, 1, path="/after")
    with open(path, "ab") as file:
        file.write(b'{"time": "2026-\xff')

    ended = ask(box, "history")

    assert "/after" in ended.stdout
    assert ended.stdout.count("\n") == 1
    assert f"warning: line 2 of {path} cannot be read" in ended.stderr


def test_an_audit_that_cannot_be_read_is_told(box: Box) -> None:
    (box.state / "audit.jsonl").mkdir()
    assert "cannot read" in ask(box, "history", status=75).stderr


@pytest.mark.real
def test_explain_waits_for_nobody_and_leaves_nothing(box: Box, b2: B2Server) -> None:
    (box.folder / "rclone.conf").write_text(b2.rclone_config())
    path = box.tv / "a.mkv"
    path.write_bytes(b"bytes")
    box.report("upload")
    os.unlink(box.tv / "a.mkv.uploaded")
    before = snapshot(box.folder)
    with lock(str(box.state), "upload.lock"), lock(str(box.state), "cleanup.lock"):
        for name in ("upload.lock", "cleanup.lock"):
            before.setdefault(str(box.state / name), ())
        told = json.loads(ask(box, "explain", "./a.mkv", "--json").stdout)
        shown = ask(box, "explain", str(path)).stdout

    (file,) = told["files"]
    assert (file["path"], file["size"], file["torrents"]) == (str(path), 5, [])
    assert file["remote"] == {f"b2:{b2.bucket}/tv/a.mkv": "is there, size and SHA-1 equal"}
    assert file["upload"][0]["verdict"] == "sends", "its marker is missing"
    assert "does not answer" in told["unasked"]["qBittorrent"]
    assert "inode" in shown
    assert set(snapshot(box.folder)) == set(before)
    ask(box, "explain", "no-such-thing", status=75)
    ask(box, "explain", "/no/such/thing", status=2)
