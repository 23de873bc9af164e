"""How much memory a program and its children hold at most."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAUSE = 0.005


@dataclass
class Peaks:
    """MiB held at most, by the program itself and by any one of its children."""

    own: float = 0.0
    child: float = 0.0
    ended: bool = True
    """False where it was told to end before it was done."""


def peaks(command: Sequence[str | Path], most: float) -> Peaks:
    """Run a command for `most` seconds at most, and watch it.

    VmHWM is read again and again, since the kernel's word at the end (ru_maxrss) mixes a program
    with its children, and each child with whom it was forked from.
    """
    found = Peaks()
    quiet = subprocess.DEVNULL
    ends = time.monotonic() + most
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as program:
        while program.poll() is None:
            found.own = max(found.own, high_water(program.pid))
            for child in _children(program.pid):
                if _program(child) != _program(program.pid):  # else forked, and still ourselves
                    found.child = max(found.child, high_water(child))
            if found.ended and time.monotonic() > ends:
                found.ended = False
                program.terminate()
            time.sleep(_PAUSE)
    if found.ended and program.returncode != 0:
        sys.exit(f"{command[0]} ended with {program.returncode}")
    return found


def high_water(pid: int) -> float:
    """Give the MiB that a process has held at most; 0 where it has ended."""
    with contextlib.suppress(OSError):  # it has ended meanwhile
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _program(pid: int) -> str:
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/exe").readlink())
    return ""


def _children(pid: int) -> list[int]:
    """Give the processes that any thread of this one has started."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found.extend(map(int, (thread / "children").read_text().split()))
    return found
