"""How soon an import is noticed, under a real systemd, and what it costs to watch a large library.

The job's first line stands in for the job: what comes after it is measured in `upload.py`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._main import main
from benchmarks._table import SCRIPTS, Row, against, interleaved, timed
from tests.machine import CHECKOUT, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator

GOAL = 0.1
"""Seconds."""
PAUSE = 2.5
"""Seconds between two imports, so that each of them is asked for by itself."""
MOST_MEMORY = 150
"""MiB."""
CONFIG = """
[paths]
completed = "{root}/downloads"
state = "{root}/state"
[categories]
tv = "{root}/downloads/tv"
[libraries.tv]
root = "{root}/tv"
remote = "tv"
category = "tv"
"""
JOB = """[Service]
ExecStart=
ExecStart=/usr/local/lib/mediapipe/bin/python -c 'import time; now = time.time_ns(); import os; \
from mediapipe.triggers import take; take(os.environ["STATE_DIRECTORY"]); \
open("/srv/lines/first", "a").write(str(now) + chr(10))'
"""
# Runs inside, so that no call into the machine is measured: does one thing, waits for the job.
IMPORTS = """
import json, os, subprocess, sys, time
how, count, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
os.makedirs("/srv/tv/Show/" + how)
open("/srv/downloads/tv/a.mkv", "w").close()
seconds = []
def lines():
    try:
        return open("/srv/lines/first").read().split()
    except FileNotFoundError:
        return []
time.sleep(2 * pause)
for number in range(count):
    before = len(lines())
    began = time.time_ns()
    if how == "link":
        os.link("/srv/downloads/tv/a.mkv", f"/srv/tv/Show/link/{number}.mkv")
    else:
        subprocess.run(["/usr/local/share/mediapipe/arr-import-hook.sh"], check=True)
    while len(lines()) == before:
        time.sleep(0.005)
    seconds.append((int(lines()[before]) - began) / 1e9)
    time.sleep(pause)
print(json.dumps(seconds))
"""


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    imports: int = 40
    folders: int = 100_000
    pause: float = PAUSE


def latency(folder: Path, sizes: Sizes, _rounds: int) -> Iterator[Row]:
    """Measure from a link, and from a hook, to the job's first line."""
    stage = folder / "stage"
    interpreter = Path(sys.base_prefix, "bin", "python3")
    make = ["make", "--silent", "-C", str(CHECKOUT), "install", f"DESTDIR={stage}"]
    subprocess.run([*make, f"PYTHON={interpreter}"], check=True, stdout=subprocess.DEVNULL)
    (folder / "machine").mkdir()
    with Machine(folder / "machine") as machine:
        machine.install(stage)
        machine.run("systemd-sysusers", "/usr/local/lib/sysusers.d/mediapipe.conf")
        machine.write("/etc/mediapipe/config.toml", CONFIG.format(root="/srv"))
        machine.sh("mkdir -p /srv/tv /srv/downloads/tv /srv/lines && chown -R media:media /srv")
        machine.drop_in("qbt-upload-b2.service", JOB)
        # what it starts comes before all else that this host does: a box at home is idle
        os.sched_setscheduler(machine.pid, os.SCHED_RR, os.sched_param(5))
        machine.systemctl("start", "qbt-upload-b2.path", "mediapipe-watch.service")
        yield _noticed(machine, "link", "hard link into a library", sizes)
        machine.systemctl("stop", "mediapipe-watch.service")
        yield _noticed(machine, "hook", "import hook, no watcher", sizes)


def _noticed(machine: Machine, how: str, what: str, sizes: Sizes) -> Row:
    words = [sys.executable, "-c", IMPORTS, how, str(sizes.imports), str(sizes.pause)]
    patience = 60 + sizes.imports * (sizes.pause + 5)
    told = machine.run(*words, seconds=patience).stdout
    seconds = sorted(json.loads(told))
    median, late = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.95)]
    ours = f"p95 {late * 1000:.0f} ms, median {median * 1000:.0f} ms"
    name = f"{what} → first line of the job, {sizes.imports} times"
    return Row(name, ours, f"goal: {GOAL * 1000:.0f} ms", late / GOAL, 1)


def arming(folder: Path, sizes: Sizes, rounds: int) -> Iterator[Row]:
    """Measure what it takes to watch a library of many folders."""
    for number in range(sizes.folders):
        (folder / "tv" / f"Show {number // 30}" / f"Season {number % 30}").mkdir(parents=True)
    (folder / "downloads" / "tv").mkdir(parents=True)
    (folder / "state").mkdir()
    (folder / "config.toml").write_text(CONFIG.format(root=folder))
    peaks: list[int] = []

    def ours() -> float:
        seconds, peak = _armed(folder)
        peaks.append(peak)
        return seconds

    def theirs() -> float:
        return timed(["find", folder / "tv", "-type", "d"])

    count = sum(len(folders) for _, folders, _ in os.walk(folder / "tv")) + 1
    armed, found = interleaved(rounds, ours, theirs)
    yield against(f"arming {count:,} folders", armed, found, "find -type d", None)
    mebibytes = max(peaks) / 1024
    yield Row(
        f"memory with {count:,} folders armed", f"{mebibytes:.0f} MiB", f"goal: {MOST_MEMORY} MiB",
        mebibytes / MOST_MEMORY, 1,
    )  # fmt: skip


def _armed(folder: Path) -> tuple[float, int]:
    """Start a watcher; gives the seconds until all is watched, and its memory in KiB then."""
    command = [str(SCRIPTS / "mediapipe"), "watch", "--config", str(folder / "config.toml")]
    address = f"mediapipe-bench-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0{address}")
        channel.settimeout(600)
        started = time.perf_counter()
        with subprocess.Popen(
            command, env={**os.environ, "NOTIFY_SOCKET": f"@{address}"}, stderr=subprocess.DEVNULL
        ) as process:
            told = ""
            while "READY=1" not in told:
                told = channel.recv(65536).decode()
            spent = time.perf_counter() - started
            while "STATUS=" not in told:
                told = channel.recv(65536).decode()
            if "not watched" in told:
                sys.exit(told)
            memory = _resident(process.pid)
            process.kill()
    return spent, memory


def _resident(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM")))


if __name__ == "__main__":
    main(
        "watch",
        __doc__,
        {"latency": latency, "arming": arming},
        Sizes(),
        Sizes(imports=2, folders=200, pause=PAUSE),
    )
