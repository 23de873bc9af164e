"""What the move of a finished job costs beside the commands that a person would type instead.

Each number is a ratio of two measurements of the same minutes, so that it means the same on a
slow machine and on a busy one. File systems are made in image files: this takes root.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._main import main
from benchmarks._table import Row, against, interleaved
from mediapipe.plan import human

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOVING = Path(__file__).parent / "_moving.py"
_BLOCK = 1 << 20
CP = 'cp -a "$1" "$2" && sync -f "$2"'
RSYNC = 'rsync -aW "$1/" "$2" && sync -f "$2"'
CLONE = 'cp -a --reflink=always "$1" "$2" && sync -f "$2"'
DIFF = 'diff -r "$1" "$2"'


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    volumes: int = 10
    volume: int = 100 << 20
    small: int = 2000
    small_size: int = 64 << 10
    image: str = "4G"


TINY = Sizes(2, 1 << 20, 5, 1000, "256M")


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and of the CPU."""

    wall: float
    cpu: float


class Disks:
    """Two file systems, a job of which the source is made anew for each move, and the moves."""

    def __init__(self, old: Path, new: Path) -> None:
        """The job is written once; each source of a move has hard links to its files."""
        self.old, self.new = old, new
        old.mkdir(exist_ok=True)
        self.pristine = old / "pristine"

    def fill(self, count: int, size: int) -> str:
        """Write a job of so many files; gives it in words."""
        shutil.rmtree(self.pristine, ignore_errors=True)
        self.pristine.mkdir()
        for number in range(count):
            with (self.pristine / f"film.r{number:04}").open("wb") as file:
                for start in range(0, size, _BLOCK):
                    file.write(os.urandom(min(_BLOCK, size - start)))
                os.fsync(file.fileno())
        return f"{count:,} × {human(size)}"

    def ours(self, *, verify: bool) -> dict[str, Any]:
        """Move with our own."""
        source, target = self._fresh()
        command = [sys.executable, str(MOVING), str(source), str(target), "yes" if verify else "no"]
        told: dict[str, Any] = json.loads(subprocess.check_output(command))
        if source.exists() or len(list(target.iterdir())) != len(list(self.pristine.iterdir())):
            sys.exit(f"{target} is not what was moved")
        return told

    def typed(self, *commands: str) -> Spent:
        """Copy with what would be typed; the source stays, and the copy leaves the cache between.

        Without that `diff` would read from memory what `cp` has just put there.
        """
        source, target = self._fresh()
        wall, before = 0.0, resource.getrusage(resource.RUSAGE_CHILDREN)
        for command in commands:
            if wall:
                forget(target)
            started = time.perf_counter()
            subprocess.run(["sh", "-c", command, "sh", str(source), str(target)], check=True)
            wall += time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Spent(wall, cpu)

    def _fresh(self) -> tuple[Path, Path]:
        """Make the source anew, of which nothing is in the kernel's cache, and empty the target."""
        source, target = self.old / "complete" / "X", self.new / "usenet" / "X"
        for path in (source, target):
            shutil.rmtree(path, ignore_errors=True)
            path.parent.mkdir(exist_ok=True)
        shutil.copytree(self.pristine, source, copy_function=os.link)
        for folder in (self.old, self.new):
            subprocess.run(["sync", "-f", folder], check=True)
        forget(source)
        return source, target


def forget(folder: Path) -> None:
    """Take the files of a folder out of the kernel's cache."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


@contextlib.contextmanager
def image(point: Path, kind: str, size: str) -> Iterator[Path]:
    """Mount a new file system in a file, past the cache of the one that holds it."""
    file = point.with_name(f"{point.name}.img")
    with contextlib.ExitStack() as stack:
        subprocess.run(["truncate", "-s", size, file], check=True)
        stack.callback(file.unlink)
        subprocess.run([f"mkfs.{kind}", "-q", file], check=True, stdout=subprocess.DEVNULL)
        words = ["losetup", "--find", "--show", "--direct-io=on", str(file)]
        device = subprocess.check_output(words, text=True).strip()
        stack.callback(subprocess.check_call, ["losetup", "--detach", device])
        point.mkdir()
        subprocess.run(["mount", device, point], check=True)
        stack.callback(subprocess.check_call, ["umount", point])
        yield point


def same(folder: Path, sizes: Sizes, rounds: int) -> Iterator[Row]:
    """Hold a move on one file system against the same move of next to nothing."""
    with image(folder / "disk", "ext4", sizes.image) as disk:
        small, large = (Disks(disk / name, disk / name) for name in ("small", "large"))
        small.fill(sizes.volumes, 1000)
        what = f"move of {large.fill(sizes.volumes, sizes.volume)}, same file system"
        moves: list[dict[str, Any]] = []

        def ours() -> float:
            moves.append(large.ours(verify=True))
            return float(moves[-1]["seconds"])

        def next_to_nothing() -> float:
            return float(small.ours(verify=True)["seconds"])

        mine, other = interleaved(6 * rounds + 1, ours, next_to_nothing)
        yield against(what, mine, other, f"{sizes.volumes} × {human(1000)}", 2.0)
        yield bytes_written(what, moves, sizes.volumes * sizes.volume)


def bytes_written(what: str, moves: list[dict[str, Any]], size: int) -> Row:
    """Make a row of the bytes that a move hands to the kernel."""
    least = statistics.median(one["written"] for one in moves)
    told = f"bytes of the job: {human(size)}"
    return Row(f"{what}: written", human(int(least)), told, least / size, 0.001)


def reflink(folder: Path, sizes: Sizes, rounds: int) -> Iterator[Row]:
    """Hold a move between two volumes of btrfs against the clone that cp makes."""
    with image(folder / "btrfs", "btrfs", sizes.image) as disk:
        for name in ("old", "new"):
            words = ["btrfs", "subvolume", "create", str(disk / name)]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        disks = Disks(disk / "old", disk / "new")
        what = f"move of {disks.fill(sizes.volumes, sizes.volume)}, two volumes of btrfs"
        moves: list[dict[str, Any]] = []

        def ours() -> float:
            moves.append(disks.ours(verify=True))
            return float(moves[-1]["seconds"])

        mine, typed = interleaved(rounds, ours, lambda: disks.typed(CLONE).wall)
        yield against(what, mine, typed, "`cp --reflink && sync`", None)
        yield bytes_written(what, moves, sizes.volumes * sizes.volume)


PEERS: list[tuple[bool, tuple[str, ...], str, float]] = [
    (False, (CP,), "`cp -a && sync`", 1.15),
    (False, (RSYNC,), "`rsync -aW && sync`", 0.6),
    (True, (CP, DIFF), "`cp -a && sync`, then `diff -r`", 1.1),
    (True, (f"{CP} && {DIFF}",), "`cp -a && sync && diff -r`, from the cache", 0.0),
]
"""Whether ours compares, the commands, their name, and the goal; 0 where there is none."""


def across(folder: Path, sizes: Sizes, rounds: int) -> Iterator[Row]:
    """Hold a move between two file systems against copies that leave the source."""
    with (
        image(folder / "old", "ext4", sizes.image) as old,
        image(folder / "new", "ext4", sizes.image) as new,
    ):
        disks = Disks(old, new)
        for count, size in ((sizes.volumes, sizes.volume), (sizes.small, sizes.small_size)):
            job = disks.fill(count, size)
            for verify, commands, name, goal in PEERS:
                what = f"move of {job}, {'compared' if verify else 'not compared'}"
                clock, cpu = pair(disks, rounds, commands, verify=verify)
                # hundreds of small files are no job that SABnzbd has
                judged = goal if goal and size == sizes.volume else None
                yield against(what, *clock, name, judged)
                yield against(f"{what}, CPU", *cpu, name, None)


Pair = tuple[list[float], list[float]]


def pair(
    disks: Disks, rounds: int, commands: tuple[str, ...], *, verify: bool
) -> tuple[Pair, Pair]:
    """Measure ours and commands in turn; gives the seconds of the clock, and those of the CPU."""
    mine: list[Spent] = []
    typed: list[Spent] = []

    def ours() -> float:
        told = disks.ours(verify=verify)
        mine.append(Spent(told["seconds"], told["cpu"]))
        return mine[-1].wall

    def other() -> float:
        typed.append(disks.typed(*commands))
        return typed[-1].wall

    interleaved(rounds, ours, other)
    return (
        ([one.wall for one in mine], [one.wall for one in typed]),
        ([one.cpu for one in mine], [one.cpu for one in typed]),
    )


PARTS: dict[str, Callable[[Path, Sizes, int], Iterator[Row]]] = {
    "same": same, "reflink": reflink, "across": across,
}  # fmt: skip


if __name__ == "__main__":
    main("move", __doc__, PARTS, Sizes(), TINY)
