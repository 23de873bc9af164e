"""The benchmarks themselves, in sizes that tell nothing about speed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak

FOLDER = Path(__file__).parent.parent / "benchmarks"
UPLOAD = {
    "copies": [
        "upload of 4 × 1 MiB + 1 × 201 MiB, 0 ms per call",
        "upload of 4 × 1 MiB, 100 ms per call",
        "upload of 4 × 1 MiB + 1 × 201 MiB, 100 ms per call",
    ],
    "idle": [
        "idle pass, 200 marked files in 62 folders",
        "idle pass, 200 marked files in 62 folders",
        "daily full pass, 200 marked files in 62 folders",
        "first pass, 200 marked files in 62 folders",
    ],
    "calls": [f"API calls with {count} pending, 20 uploaded" for count in (0, 1, 3)],
    "memory": [
        f"memory of a {kind} with {count} pending"
        for count, kind in ((1, "dry run"), (1, "run"), (5, "dry run"), (5, "run"))
    ]
    + [f"memory of a {kind} with 20 pending" for kind in ("dry run", "dry run", "run", "run")],
}
TREES = ["100 files in 32 folders", "200 files in 62 folders"]
CLEANUP = {
    "warm": [
        f"{row}, {tree}"
        for tree in TREES
        for row in (
            *(f"planning, {due} due" for due in (5, 5, 1, 1, "none", "none")),
            "planning, 4 due",
            "memory, 5 due",
            "file lists asked for, none due",
            "planning, 5 due, history lost",
        )
    ],
    "cold": [f"planning, cold, 5 due, {TREES[0]}"],
}
MOVED = [f"move of {job}, {how}{suffix}" for job in ("2 × 1.0 MiB", "5 × 1000 B")
         for how in ("not compared", "not compared", "compared", "compared")
         for suffix in ("", ", CPU")]  # fmt: skip
MOVE = {
    "same": [f"move of 2 × 1.0 MiB, same file system{suffix}" for suffix in ("", ": written")],
    "reflink": [
        f"move of 2 × 1.0 MiB, two volumes of btrfs{suffix}" for suffix in ("", ": written")
    ],
    "across": MOVED,
}
MOUNT = [
    "first byte of a film, 50 ms per call",
    "a jump to four fifths of it, 50 ms per call",
    "one cold reader of 8 MiB, 50 ms per call",
    "2 cold readers of 8 MiB each, 50 ms per call",
    "memory of rclone with 2 readers",
]


@pytest.mark.real
def test_each_row_of_the_mount_benchmark_is_measured(tmp_path: Path) -> None:
    assert measured("mount", "flags", tmp_path) == MOUNT


WATCH = {
    "latency": [
        "hard link into a library → first line of the job, 2 times",
        "import hook, no watcher → first line of the job, 2 times",
    ],
    "arming": ["arming 208 folders", "memory with 208 folders armed"],
}


@pytest.mark.real
@pytest.mark.parametrize("part", WATCH)
def test_each_row_of_the_watch_benchmark_is_measured(part: str, tmp_path: Path) -> None:
    assert measured("watch", part, tmp_path) == WATCH[part]


@pytest.mark.real
@pytest.mark.parametrize("part", UPLOAD)
def test_each_row_of_the_upload_benchmark_is_measured(part: str, tmp_path: Path) -> None:
    assert measured("upload", part, tmp_path) == UPLOAD[part]


@pytest.mark.parametrize("part", CLEANUP)
def test_each_row_of_the_cleanup_benchmark_is_measured(part: str, tmp_path: Path) -> None:
    assert measured("cleanup", part, tmp_path) == CLEANUP[part]


@pytest.mark.skipif(os.getuid() != 0, reason="NOT TESTED: mounting takes root")
@pytest.mark.parametrize("part", MOVE)
def test_each_row_of_the_move_benchmark_is_measured(part: str, tmp_path: Path) -> None:
    assert measured("move", part, tmp_path) == MOVE[part]


def measured(name: str, part: str, folder: Path) -> list[str]:
    """Run a part of a benchmark in tiny sizes; gives what its rows are about."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), part, "--quick", "--folder", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(float(row[3]) >= 0 for row in cells)
    assert all(row[5] in ("met", "MISSED") if row[4] else not row[5] for row in cells)
    assert list(folder.iterdir()) == []
    return [row[0] for row in cells]


@pytest.mark.parametrize("name", ["upload", "cleanup", "mount", "move", "watch"])
def test_a_part_that_is_none_is_refused(name: str) -> None:
    command = [sys.executable, str(FOLDER / f"{name}.py"), "speed"]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == 2
    assert b"no such part: speed" in ended.stderr
