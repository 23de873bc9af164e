"""A move to another file system that is killed at random moments: in the end all is there, once."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mediapipe.moving import Stage
from tests.disks import snapshot, tmpfs, write

if TYPE_CHECKING:
    from tests.disks import Seen

pytestmark = pytest.mark.real

MOVER = Path(__file__).parent.parent / "mover.py"


def job(folder: Path, dice: random.Random) -> Path:
    """A job of many small files and a few large ones."""
    top = folder / "X"
    for number in range(120):
        write(top / f"part {number % 7}" / f"{number:03}.r{number}", dice.randbytes(number * 50))
    for number in range(3):
        write(top / f"film {number}.mkv", dice.randbytes(4 << 20))
    return top


def whole(path: Path, seen: Seen) -> bool:
    """Whether all files of the job are there, byte for byte."""
    if not path.exists():
        return False
    found = snapshot(path)
    return all(found.get(name) == facts for name, facts in seen.items() if len(facts) > 2)


def moved(
    source: Path, target: Path, last: dict[str, object] | None, patience: float | None
) -> int:
    """Move in a process that is killed when its time is over; gives its status."""
    words = [sys.executable, str(MOVER), str(source), str(target)]
    words += [json.dumps(last)] if last else []
    told = target.parent.with_name("told")
    with told.open("a") as file, subprocess.Popen(words, stdout=file) as process:
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.returncode


@pytest.mark.parametrize(("rounds", "seed"), [(3, 1), pytest.param(50, 2, marks=pytest.mark.soak)])
def test_however_often_it_is_killed_one_copy_is_whole(
    tmp_path: Path, rounds: int, seed: int
) -> None:
    dice = random.Random(seed)
    deaths = 0
    with tmpfs(tmp_path / "usenet") as other:
        target = other / "X"
        started = time.monotonic()
        assert moved(job(tmp_path, dice), target, None, None) == 0
        usual = time.monotonic() - started
        for _ in range(rounds):
            shutil.rmtree(target)
            (tmp_path / "told").unlink()
            source = job(tmp_path, dice)
            seen = snapshot(source)
            remembered = dice.random() < 0.5
            killed = 0
            while True:
                told = [json.loads(line) for line in lines(tmp_path / "told")]
                stages = [Stage(**one) for one in told if "kind" in one]
                last = asdict(stages[-1]) if stages and remembered else None
                # a machine that is slow today must still end some day
                patience = dice.uniform(0.02, usual * 1.2) if killed < 6 else None
                status = moved(source, target, last, patience)
                assert status in (0, -signal.SIGKILL)
                killed += status != 0
                assert whole(source, seen) or whole(target, seen)
                assert not target.exists() or whole(target, seen)
                if status == 0:
                    break
            deaths += killed
            end = json.loads(lines(tmp_path / "told")[-1])
            ended_before = ("is gone", "holds no file")
            assert "path" in end or str(end["message"]).endswith(ended_before), end
            assert whole(target, seen)
            assert {path.name for path in other.iterdir()} == {"X"}
            assert not source.exists() or not any(source.iterdir())
            assert not list(tmp_path.glob(".mediapipe-*"))
    assert deaths > rounds // 4


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
