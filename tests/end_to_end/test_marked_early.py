"""What has arrived is proven and marked while the rest of its batch is still on its way."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from mediapipe.testing.b2 import Fault
from mediapipe.testing.box import Box
from mediapipe.testing.qbittorrent import wait_until
from tests.end_to_end.attack import sound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real

EARLY, LATE = "Show/E01.mkv", "Show/E02.mkv"
PATIENCE = 7.0
"""Seconds: a run waits five for the lock."""


@pytest.fixture
def box(tmp_path: Path, b2: B2Server) -> Iterator[Box]:
    """A box of which one episode goes up and the other one hangs on its way."""
    box = Box(tmp_path / "box", "http://127.0.0.1:9", b2.rclone_config())
    box.write_config(upload={"stats_interval": "1s"})
    for name in (EARLY, LATE):
        path = box.tv / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 10_000)
    b2.inject(Fault("b2_upload_file", name="E02", count=None, hang_after=1000))
    yield box
    b2.clear_faults()


def marked(box: Box) -> list[str]:
    return [name for name in (EARLY, LATE) if (box.tv / f"{name}.uploaded").exists()]


def audited(box: Box) -> list[str]:
    lines = (box.state / "audit.jsonl").read_text().splitlines()
    return [str(json.loads(line)["path"]) for line in lines]


def begun(box: Box, *, as_json: bool = True) -> subprocess.Popen[str]:
    """Start an upload, and wait until the first episode has its marker and its line."""
    pipe = subprocess.PIPE
    command = box.command("upload", *(["--json"] if as_json else []))
    job = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
    try:
        wait_until(lambda: audited(box) if marked(box) else [], seconds=30, what="a marker")
        assert job.poll() is None, "the other episode is still on its way"
    except BaseException:
        job.kill()
        job.wait()
        raise
    return job


def ended(job: subprocess.Popen[str], status: int) -> list[tuple[str, str]]:
    with job:
        told, errors = job.communicate(timeout=60)
    report = sound(subprocess.CompletedProcess(job.args, job.returncode, told, errors), status)
    return [(one["path"].rpartition("/")[2], one["status"]) for one in report["actions"]]


def test_a_run_that_is_stopped_keeps_what_had_arrived(box: Box, b2: B2Server) -> None:
    job = begun(box)
    job.send_signal(signal.SIGTERM)
    assert sorted(ended(job, 75)) == [("E01.mkv", "done"), ("E02.mkv", "planned")]
    assert marked(box) == [EARLY]
    b2.clear_faults()
    sent = b2.stats().bytes_in
    again = sound(box.run("upload", "--json", timeout=60), 0)
    assert [one["path"] for one in again["actions"]] == [str(box.tv / LATE)]
    assert marked(box) == [EARLY, LATE]
    assert audited(box) == [str(box.tv / EARLY), str(box.tv / LATE)]
    assert b2.stats().bytes_in - sent < 2 * (box.tv / LATE).stat().st_size


def test_a_run_that_is_killed_keeps_what_had_arrived(box: Box, b2: B2Server) -> None:
    job = begun(box)
    job.kill()
    with job:
        job.communicate(timeout=60)
    assert (marked(box), audited(box)) == ([EARLY], [str(box.tv / EARLY)])
    b2.clear_faults()
    sound(box.run("upload", "--json", timeout=60), 0)
    assert marked(box) == [EARLY, LATE]
    assert audited(box) == [str(box.tv / EARLY), str(box.tv / LATE)]


def test_what_was_marked_early_is_done_once_in_the_report(box: Box, b2: B2Server) -> None:
    job = begun(box)
    b2.clear_faults()
    assert sorted(ended(job, 0)) == [("E01.mkv", "done"), ("E02.mkv", "done")]
    assert audited(box) == [str(box.tv / EARLY), str(box.tv / LATE)]
    assert sound(box.run("upload", "--json", timeout=60), 0)["actions"] == []


def test_what_is_sent_twice_is_done_once(box: Box, b2: B2Server) -> None:
    b2.clear_faults()
    b2.inject(Fault("b2_upload_file", name="E02", hang_after=1000))
    b2.inject(Fault("b2_upload_file", name="E02", sleep=2))
    box.write_config(upload={"extra_args": ["--low-level-retries", "1"]})
    job = begun(box)
    b2.hide(f"tv/{EARLY}")
    b2.restore()  # what hangs fails, and rclone begins anew: it sends both
    assert sorted(ended(job, 0)) == [("E01.mkv", "done"), ("E02.mkv", "done")]
    assert f"tv/{EARLY}" in b2.objects(), "it was not sent again"
    assert audited(box) == [str(box.tv / EARLY), str(box.tv / LATE)]


def test_what_was_done_is_told_where_the_run_cannot_be_remembered(box: Box, b2: B2Server) -> None:
    job = begun(box)
    with closing(sqlite3.connect(box.state / "history.db")) as history:
        history.execute("ALTER TABLE runs RENAME TO broken")
    b2.clear_faults()
    assert sorted(ended(job, 75)) == [("E01.mkv", "done"), ("E02.mkv", "done")]


@pytest.mark.soak  # it takes longer than a run waits for the lock
def test_another_run_that_has_the_lock_for_long_ends_no_copy(box: Box, b2: B2Server) -> None:
    """What has arrived is marked at the end, then; a large file on its way is not begun anew."""
    box.state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(box.state / "lock", os.O_RDWR | os.O_CREAT)
    pipe = subprocess.PIPE
    command = box.command("upload", "--json")
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as job:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        wait_until(lambda: f"tv/{EARLY}" in b2.objects(), seconds=30, what="the first episode")
        arrived = time.monotonic()
        wait_until(lambda: time.monotonic() > arrived + PATIENCE, seconds=30, what="its patience")
        assert (job.poll(), marked(box)) == (None, [])
        os.close(descriptor)
        b2.clear_faults()
        assert sorted(ended(job, 0)) == [("E01.mkv", "done"), ("E02.mkv", "done")]
    assert marked(box) == [EARLY, LATE]


def test_what_a_stopped_run_had_not_begun_waits(box: Box) -> None:
    with begun(box, as_json=False) as job:
        job.send_signal(signal.SIGTERM)
        told, _ = job.communicate(timeout=60)
    assert [line.split()[0] for line in told.splitlines()[:2]] == ["done", "waits"]
