"""The benchmarks themselves, in sizes that tell nothing about speed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parent.parent / "benchmarks" / "upload.py"
ROWS = {
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


@pytest.mark.real
@pytest.mark.parametrize("part", ROWS)
def test_each_row_of_the_upload_benchmark_is_measured(part: str, tmp_path: Path) -> None:
    command = [sys.executable, str(FILE), part, "--quick", "--folder", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in cells] == ROWS[part]
    assert all(float(row[3]) >= 0 for row in cells)
    assert all(row[5] in ("met", "MISSED") if row[4] else not row[5] for row in cells)
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_is_none_is_refused() -> None:
    ended = subprocess.run([sys.executable, str(FILE), "speed"], capture_output=True, check=False)
    assert ended.returncode == 2
    assert b"no such part: speed" in ended.stderr
