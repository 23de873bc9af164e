"""An upload that is killed at random moments: in the end every byte is there, once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mediapipe.adapters.archives import Unarchiver
from mediapipe.adapters.rclone import Rclone
from mediapipe.config_load import load
from mediapipe.jobs import upload
from mediapipe.log import Log
from mediapipe.runner import Context, opened
from mediapipe.testing.qbittorrent import wait_until
from tests.archive_files import rar_volumes_of, zip_of
from tests.end_to_end.attack import Attack
from tests.fakes import FakeTorrents, FakeWatcher

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real

BANDWIDTH = 2_000_000
PARTS = ["--b2-upload-cutoff=5M", "--b2-chunk-size=5M", "--b2-upload-concurrency=1"]
"""A few MiB are a large file by these; a part of it takes longer than a round lasts."""


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Attack]:
    with Attack(tmp_path) as attack:
        attack.box.write_config(upload={"extra_args": PARTS})
        yield attack


def children(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def more(box: Attack, dice: random.Random, number: int) -> dict[str, bytes]:
    """Bring what a day brings: an episode, a loose download, archives; gives what B2 will have."""
    # the newest goes first: each second round begins with a large file
    episode = dice.randbytes(6_000_000 if number % 2 else 200_000)
    loose = dice.randbytes(100_000)
    box.write(box.box.tv / f"Show/E{number:02}.mkv", episode)
    box.write(box.box.completed / f"Folder {number}/loose.bin", loose)
    zipped = {"a.mkv": dice.randbytes(200_000), "d/b.mkv": dice.randbytes(1000)}
    folder = box.box.completed / f"Folder {number}"
    box.pack(folder, {"zipped.zip": zip_of(zipped)}, zipped)
    packed = {"c.mkv": dice.randbytes(250_000)}
    volumes = rar_volumes_of(packed, 100_000, new_names=False)
    names = ["film.rar", "film.r00", "film.r01"]
    box.pack(box.box.completed / f"Rar {number}", dict(zip(names, volumes, strict=True)), packed)
    return {
        f"tv/Show/E{number:02}.mkv": episode,
        f"downloads/Folder {number}/loose.bin": loose,
        **{f"downloads/Folder {number}/{name}": content for name, content in zipped.items()},
        f"downloads/Rar {number}/c.mkv": packed["c.mkv"],
    }


@pytest.mark.parametrize(("rounds", "seed"), [(5, 1), pytest.param(50, 2, marks=pytest.mark.soak)])
def test_however_often_it_is_killed_all_arrives_once(box: Attack, rounds: int, seed: int) -> None:
    dice = random.Random(seed)
    expected: dict[str, bytes] = {}
    left: list[int] = []
    killed = 0
    box.b2.bandwidth = BANDWIDTH
    try:
        for number in range(rounds):
            expected |= more(box, dice, number)
            with subprocess.Popen(
                box.box.command("upload"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as job:
                try:
                    job.wait(dice.uniform(0.15, 2.0))  # a moment to be killed at
                except subprocess.TimeoutExpired:
                    started = children(job.pid)
                    job.kill()
                    killed += 1
                    if dice.random() < 0.5:  # as systemd does; else they go on for a while
                        kill(started)
                    else:
                        left += started
            assert job.returncode in (0, -signal.SIGKILL)
            box.holds()
        box.b2.bandwidth = None
        wait_until(lambda: box.upload()["actions"] == [], seconds=60, what="nothing to be left")
    finally:
        kill([pid for pid in left if b"rclone" in command_line(pid)])

    assert killed > rounds // 2
    expected |= {"tv/Show/last.mkv": kill_amid_a_large_file(box, box.box.tv / "Show/last.mkv")}
    assert "tv/Show/last.mkv" in box.b2.unfinished()
    upload_in(box, days=8)
    assert box.b2.unfinished() == []
    assert box.contents() == expected
    assert box.scratch() == []
    assert not list(box.box.folder.rglob("*.tmp"))
    items = [box.box.tv / "Show/last.mkv"]
    items += [box.box.tv / f"Show/E{number:02}.mkv" for number in range(rounds)]
    items += [box.box.completed / f"{kind} {number}" for kind in ("Folder", "Rar")
              for number in range(rounds)]  # fmt: skip
    assert [item for item in items if not item.with_name(f"{item.name}.uploaded").exists()] == []
    box.holds()


def kill_amid_a_large_file(box: Attack, path: Path) -> bytes:
    """Begin to upload a large file, and kill the job and rclone in its midst; gives its bytes."""
    content = os.urandom(12_000_000)
    box.write(path, content)
    box.b2.bandwidth = BANDWIDTH
    with subprocess.Popen(
        box.box.command("upload"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as job:
        name = f"tv/Show/{path.name}"
        wait_until(lambda: name in box.b2.unfinished(), seconds=30, what="the upload to begin")
        started = children(job.pid)
        job.kill()
        kill(started)
    box.b2.bandwidth = None
    return content


def upload_in(box: Attack, days: float) -> None:
    """Upload as the command does, with a clock that is ahead."""
    path, state = str(box.box.config_path), str(box.box.state)
    config = load(path)
    with opened(state, "upload", dry_run=False) as history:
        now = time.time() + days * 86400
        tell = Log("test", verbose=False)
        context = Context(config, history, tell, FakeWatcher(), state, now, False, path)
        report = upload.run(
            context,
            FakeTorrents,
            lambda: Rclone(config.rclone, config.upload),
            Unarchiver,
            tuple,
        )
    assert (report.outcome, report.count("done")) == ("done", 1), report


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
