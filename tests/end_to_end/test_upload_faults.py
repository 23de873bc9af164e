"""Faults of B2, the network and the disk during an upload: what the run says and what it marks.

Whatever happens no marker lies, and the run after the fault ends with everything on B2.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.testing.b2 import STORAGE_CAP, B2Server, Fault
from mediapipe.testing.box import Box
from mediapipe.testing.qbittorrent import wait_until
from tests.archive_files import zip_of
from tests.end_to_end.attack import Attack, sound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.real

NOWHERE = "http://127.0.0.1:9"
MIB = 1 << 20
LARGE = "Film/large.mkv"
"""Goes in three parts, since the limits of rclone are set low."""
SMALL = ("Show/E01.mkv", "Show/E02.mkv")
IN_PARTS = ["--b2-upload-cutoff", "5M", "--b2-chunk-size", "5M"]
IMPATIENT = ["--low-level-retries", "2", "--retries", "1"]


@dataclass
class Uploads:
    """A box with a library, a B2 account, and the question whether markers tell the truth."""

    box: Box
    b2: B2Server

    def write(self, *names: str, size: int = 100_000) -> None:
        for name in names:
            path = self.box.tv / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(name, size))

    def run(self, status: int | None = 0) -> Any:
        return sound(self.box.run("upload", "--json", timeout=60), status)

    def begun(self) -> subprocess.Popen[str]:
        """Start an upload on a slow line, and wait until bytes arrive."""
        self.b2.bandwidth = 100_000
        pipe = subprocess.PIPE
        command = self.box.command("upload", "--json")
        job = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
        try:
            wait_until(lambda: self.b2.stats().bytes_in, seconds=20, what="bytes on B2")
        except BaseException:
            job.kill()
            raise
        return job

    def ended(self, job: subprocess.Popen[str], status: int) -> Any:
        with job:
            told, errors = job.communicate(timeout=60)
        return sound(subprocess.CompletedProcess(job.args, job.returncode, told, errors), status)

    def files(self) -> list[Path]:
        found = [path for path in self.box.tv.rglob("*.mkv") if path.is_file()]
        assert found
        return found

    def marked(self) -> set[Path]:
        """Give the files with a marker; each must be true of the disk and of B2."""
        objects = self.b2.objects()
        marked = set()
        for path in self.files():
            marker = path.with_name(f"{path.name}.uploaded")
            if not marker.exists():
                continue
            (entry,) = json.loads(marker.read_bytes())["files"]
            found, data = path.stat(), path.read_bytes()
            identity = (found.st_ino, found.st_size, found.st_mtime_ns)
            there = objects[f"tv/{path.relative_to(self.box.tv)}"].path
            assert there is not None
            assert (entry["inode"], entry["size"], entry["mtime_ns"]) == identity, path
            assert entry["sha1"] == hashlib.sha1(data).hexdigest(), path
            assert there.read_bytes() == data, path
            marked.add(path)
        return marked

    def mend(self) -> None:
        """End all faults, and let the configuration be touched: so a person asks again at once."""
        self.b2.clear_faults()
        self.b2.restore()
        self.b2.bandwidth = None
        (self.box.folder / "rclone.conf").write_text(self.b2.rclone_config())
        self.box.write_config(upload={"extra_args": IN_PARTS, "stall_timeout": "1m"})

    def wake(self) -> None:
        """Touch what has failed for a reason of its own: else it rests for a while."""
        for path in set(self.files()) - self.marked():
            os.utime(path)

    def all_is_there(self) -> None:
        assert self.marked() == set(self.files())
        assert self.run()["actions"] == []


def content(name: str, size: int) -> bytes:
    return random.Random(name).randbytes(size)


@pytest.fixture
def uploads(tmp_path: Path, b2: B2Server) -> Iterator[Uploads]:
    box = Box(tmp_path / "box", NOWHERE, b2.rclone_config())
    box.write_config(upload={"stats_interval": "1s", "extra_args": IN_PARTS})
    uploads = Uploads(box, b2)
    uploads.write(*SMALL)
    uploads.write(LARGE, size=11 * MIB)
    yield uploads
    b2.clear_faults()
    b2.restore()


# Faults that pass within the run

GOOD = (" 200", " 206", " 404")
WAIT = {"Retry-After": "1"}
EXPIRED = Fault(status=401, code="expired_auth_token")
PASSING = {
    "503": [
        Fault("b2_upload_file", status=503),
        Fault("b2_download_file_by_name", skip=len(SMALL) + 1, status=503),
    ],
    "429": [Fault("b2_upload_file", status=429, headers=WAIT)],
    "reset": [
        Fault("b2_upload_file", reset_after=50_000),
        Fault("b2_upload_part", reset_after=50_000),
    ],
    "answer lost": [
        Fault("b2_upload_file", lose_response=True),
        Fault("b2_upload_part", lose_response=True),
        Fault("b2_finish_large_file", lose_response=True),
    ],
    "corrupted": [Fault("b2_upload_file", corrupt=True), Fault("b2_upload_part", corrupt=True)],
    "expired": [
        replace(EXPIRED, api="b2_get_upload_url"),
        replace(EXPIRED, api="b2_upload_file"),
        replace(EXPIRED, api="b2_upload_part"),
        replace(EXPIRED, api="b2_download_file_by_name", skip=len(SMALL) + 1),
    ],
}


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_is_ridden_out(uploads: Uploads, name: str) -> None:
    for fault in PASSING[name]:
        uploads.b2.inject(fault)
    uploads.run()
    wrong = {told.split()[0] for told in uploads.b2.stats().answers if not told.endswith(GOOD)}
    assert wrong >= {fault.api for fault in PASSING[name]}, "a fault has hit nothing"
    assert uploads.b2.stats().unfinished == 0
    uploads.all_is_there()


# Faults that outlast the run: outcome and exit status, a word of the reason, how many are marked

FILES, PARTS, LOOKS = "b2_upload_file", "b2_upload_part", "b2_download_file_by_name"
LASTING: dict[str, tuple[Fault, str, str, int]] = {
    "503 everywhere": (Fault(status=503), "unavailable", "503", 0),
    "resets at files": (Fault(FILES, reset_after=50_000), "partial", "", 1),
    # rclone asks once for each file before it copies
    "resets at look-ups": (Fault(LOOKS, skip=3, reset=True), "unavailable", "", 0),
    "corrupted files": (Fault(FILES, corrupt=True), "partial", "", 1),
    "storage cap": (STORAGE_CAP, "unavailable", "storage_cap_exceeded", 0),
    "cap in a large file": (
        Fault(PARTS, status=403, code="storage_cap_exceeded"),
        *("unavailable", "storage_cap_exceeded", 2),
    ),
    "transaction cap": (
        Fault("b2_authorize_account", status=403, code="transaction_cap_exceeded"),
        *("unavailable", "transaction_cap_exceeded", 0),
    ),
    "one file refused": (Fault(FILES, "E01", status=400), "partial", "", 2),
    "silence in a part": (Fault(PARTS, hang_after=50_000), "unavailable", "stalled", 2),
}
STATUS = {"partial": 3, "unavailable": 75, "error": 78}


@pytest.mark.parametrize("name", LASTING)
def test_a_fault_that_lasts_is_told_and_its_files_wait(uploads: Uploads, name: str) -> None:
    fault, outcome, word, marked = LASTING[name]
    if outcome == "partial":
        uploads.box.write_config(upload={"extra_args": [*IN_PARTS, *IMPATIENT]})
    uploads.b2.inject(fault, count=None)

    if word == "stalled":
        uploads.box.write_config(upload={"stall_timeout": "2s"})

    report = uploads.run(STATUS[outcome])

    assert (report["outcome"], len(uploads.marked())) == (outcome, marked)
    assert word in str(report["reason"])
    uploads.mend()
    if outcome == "partial":
        uploads.wake()
    uploads.run()
    uploads.all_is_there()


KEYS = {
    "wrong": None,
    "may not write": ("listBuckets", "listFiles", "readFiles"),
    "may not read": ("listBuckets", "listFiles", "writeFiles"),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_is_refused_is_an_error_to_mend(uploads: Uploads, name: str) -> None:
    uploads.b2.add_key("weak", "secret", KEYS[name] or (), bucket=uploads.b2.bucket)
    config = uploads.b2.rclone_config("weak")
    if KEYS[name] is None:
        config = config.replace("secret", "wrong")
    (uploads.box.folder / "rclone.conf").write_text(config)
    uploads.box.write_config(upload={"extra_args": IMPATIENT})

    report = uploads.run(78)

    assert "B2 refuses the key" in report["reason"]
    assert uploads.marked() == set()
    uploads.b2.reset_stats()
    uploads.run(78)
    assert uploads.b2.stats().calls == {}, "a refused key was tried again"
    uploads.mend()
    uploads.run()
    uploads.all_is_there()


# What happens while bytes are on their way


def test_tokens_that_end_in_mid_upload_are_renewed(uploads: Uploads) -> None:
    job = uploads.begun()
    uploads.b2.expire_tokens(uploads=True)
    uploads.b2.bandwidth = None
    uploads.ended(job, 0)
    assert uploads.b2.stats().calls["b2_authorize_account"] > 1
    uploads.all_is_there()


def test_a_server_that_is_gone_for_good_is_an_outage(uploads: Uploads) -> None:
    (uploads.box.tv / LARGE).unlink()
    uploads.box.write_config(upload={"stall_timeout": "2s"})
    job = uploads.begun()
    uploads.b2.cut()
    uploads.ended(job, 75)
    assert uploads.marked() == set()
    uploads.mend()
    uploads.run()
    uploads.all_is_there()


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def swap(path: Path) -> None:
    new = path.with_name("new.part")
    new.write_bytes(content("another", path.stat().st_size))
    new.rename(path)


@pytest.mark.parametrize("change", [grow, swap], ids=lambda one: one.__name__)
def test_a_file_that_changes_in_mid_upload_waits(
    uploads: Uploads, change: Callable[[Path], None]
) -> None:
    job = uploads.begun()
    changed = [uploads.box.tv / name for name in (SMALL[0], LARGE)]
    for path in changed:
        change(path)
    uploads.b2.bandwidth = None
    report = uploads.ended(job, 0)
    stale = {one["path"] for one in report["actions"] if one["status"] == "stale"}
    assert stale == {str(path) for path in changed}
    assert uploads.marked() == {uploads.box.tv / SMALL[1]}
    uploads.run()
    uploads.all_is_there()


# Disks


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], object]]:
    """Mount a disk of this size; gives what makes it another one."""
    folder.mkdir(parents=True, exist_ok=True)
    mount(f"size={size}", folder, "-t", "tmpfs", "tmpfs")
    try:
        yield lambda more: mount(f"remount,size={more}", folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def mount(options: str, folder: Path, *words: str) -> None:
    subprocess.run(["mount", "-o", options, *words, str(folder)], check=True)


def test_a_full_scratch_disk_fails_the_archive_alone(tmp_path: Path) -> None:
    film = content("film", 3 * MIB)
    with Attack(tmp_path) as attack:
        scratch = attack.box.folder / "downloads/extracted"
        attack.pack(
            attack.box.completed / "Packed", {"a.zip": zip_of({"f.mkv": film})}, {"f": film}
        )
        attack.write(attack.box.tv / "Show/E01.mkv")
        with small_disk(scratch, "1M") as resize:
            report = attack.upload(3)
            told = [(one["action"], one["status"]) for one in report["actions"]]
            assert told == [("upload", "done"), ("extract", "failed")]
            assert attack.scratch() == []
            assert set(attack.contents()) == {"tv/Show/E01.mkv"}
            attack.holds()
            resize("8G")
            os.utime(attack.box.completed / "Packed/a.zip")
            attack.upload()
            assert attack.contents()["downloads/Packed/f.mkv"] == film
            attack.holds()
            assert attack.scratch() == []


# Calls


def test_what_b2_bills_grows_with_the_files_pending_never_with_the_library(tmp_path: Path) -> None:
    billed = []
    for library in (2, 30):
        with B2Server(root=tmp_path / f"b2 {library}") as b2:
            uploads = Uploads(Box(tmp_path / f"box {library}", NOWHERE, b2.rclone_config()), b2)
            uploads.write(*(f"Old/Season {one % 9}/E{one}.mkv" for one in range(library)))
            uploads.run()
            billed.append([calls(uploads, f"New {count}", count) for count in (0, 1, 9)])
            uploads.all_is_there()
    few, many = billed
    assert few == many
    nothing, one, nine = many
    assert nothing == (0, 0)
    assert nine[0] <= 9 * one[0]
    assert one[1] == nine[1], "class C is ten times as dear, and a list serves many"


def calls(uploads: Uploads, folder: str, count: int) -> tuple[int, int]:
    """Upload so many new files; gives the calls of class B and of class C."""
    uploads.write(*(f"{folder}/E{one}.mkv" for one in range(count)))
    uploads.b2.reset_stats()
    assert len(uploads.run()["actions"]) == count
    classes = uploads.b2.stats().classes
    return classes["B"], classes["C"]
