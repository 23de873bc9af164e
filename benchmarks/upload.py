"""What an upload costs beside the commands that a person would type instead.

Each number is a ratio of two measurements of the same minutes, so that it means the same on a
slow machine and on a busy one.
"""

from __future__ import annotations

import functools
import shutil
import statistics
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks._main import main
from benchmarks._peaks import Peaks, peaks
from benchmarks._table import SCRIPTS, Row, against, interleaved, timed
from benchmarks._trees import (
    NOWHERE,
    b2_process,
    demand_marked,
    fill,
    folders,
    library_files,
    sparse,
    unmark,
)
from mediapipe.disk import folder_index
from mediapipe.testing.b2 import B2Server
from mediapipe.testing.box import BUCKET, Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MIB = 1 << 20
RCLONE = SCRIPTS / "rclone"
LATENCY = 0.1
"""Seconds added to each API call, where there is an ocean between: B2 is in California."""
FOLDER_COST = 3.5e-6
"""Seconds per folder, for one `stat` from Python and what goes with it."""
MOST_MEMORY = 150
"""MiB."""


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    small: int = 200  # files of 1 MiB
    large: int = 5
    large_size: int = 1 << 30
    marked: int = 100_000
    library: int = 1000  # uploaded already, where API calls are counted
    pending: tuple[int, ...] = (1, 10, 100)
    memory: tuple[int, ...] = (1, 1000, 100_000)
    patience: float = 60.0  # seconds that a real run is watched


TINY = Sizes(4, 1, 201 * MIB, 200, 20, (1, 3), (1, 5, 20), 10.0)


class Tree:
    """A library of pending files, and prefixes on the remote that nobody has used yet."""

    def __init__(self, folder: Path, rclone_config: str, sizes: Sizes) -> None:
        """Write the files; a first upload of another one is the past that every box has."""
        self.box = Box(folder, NOWHERE, rclone_config)
        self._prefixes = 0
        self.large: list[Path] = []
        self.small: list[Path] = []
        first = self.box.movies / "first.mkv"
        sparse(first, MIB)
        self._past = folder / "past"
        self._past.mkdir()
        self.upload()
        unmark(self.box.movies)
        first.unlink()
        shutil.rmtree(self._past)
        shutil.copytree(self.box.state, self._past)
        self.small = [
            self.box.tv / f"Show {number // 5:02}" / f"E{number:03}.mkv"
            for number in range(sizes.small)
        ]
        for path in self.small:
            sparse(path, MIB)

    def add_large(self, count: int, size: int) -> None:
        self.large = [self.box.tv / f"Film {one}" / f"Film {one}.mkv" for one in range(count)]
        for path in self.large:
            sparse(path, size)
            with path.open("rb") as file:  # who reads zeros first has the kernel make them
                while file.read(MIB):
                    pass

    def upload(self) -> float:
        """Upload all of it with our job, which looks at each object before it marks a file."""
        unmark(self.box.tv)
        # what the round before has proven would only be copied on the remote
        shutil.rmtree(self.box.state, ignore_errors=True)
        shutil.copytree(self._past, self.box.state)
        self.box.write_config(**{"libraries.tv": {"remote": self._fresh()}})
        spent = timed(self.box.command("upload"))
        demand_marked([*self.small, *self.large])
        return spent

    def copy(self) -> float:
        """Copy all of it with one rclone, which looks at nothing afterwards."""
        unmark(self.box.tv)
        return timed(self._rclone(self.box.tv, self._fresh()))

    def copy_each(self) -> float:
        """Copy each small file with an rclone of its own, as scripts do."""
        unmark(self.box.tv)
        prefix = self._fresh()
        return sum(timed(self._rclone(path, f"{prefix}/{path.parent.name}")) for path in self.small)

    def _rclone(self, source: Path, place: str) -> list[str | Path]:
        config = self.box.folder / "rclone.conf"
        options = ["--exclude", "/.mediapipe-root"]
        return [RCLONE, "copy", "--config", config, *options, source, f"b2:{BUCKET}/{place}"]

    def _fresh(self) -> str:
        self._prefixes += 1
        return f"fresh-{self._prefixes}"


def copies(folder: Path, sizes: Sizes, rounds: int) -> Iterator[Row]:
    """Hold an upload with its proof against a plain copy, and against a copy per file."""
    what = f"{sizes.small} × 1 MiB"
    whole = f"{what} + {sizes.large} × {sizes.large_size >> 20} MiB"
    for latency, goal in ((0.0, 1.25), (LATENCY, 1.10)):
        told = f"{latency * 1000:.0f} ms per call"
        with b2_process(latency) as config:
            tree = Tree(folder / f"tree {latency}", config, sizes)
            if latency:
                # minutes for each round, and far from its goal
                ours, each = interleaved((rounds + 2) // 3, tree.upload, tree.copy_each)
                name = f"{sizes.small} × `rclone copy FILE`"
                yield against(f"upload of {what}, {told}", ours, each, name, 0.2)
            tree.add_large(sizes.large, sizes.large_size)
            ours, one = interleaved(rounds, tree.upload, tree.copy)
            yield against(f"upload of {whole}, {told}", ours, one, "one `rclone copy`", goal)


def idle(folder: Path, sizes: Sizes, rounds: int) -> Iterator[Row]:
    """Hold a pass that finds nothing against Python's own start and a walk by `find`."""
    box = Box(folder / "idle", NOWHERE, "")
    fill(library_files(box, sizes.marked), 1, marked=True)
    box.write_config(rclone={"binary": "/nonexistent"})  # with anything pending it would fail
    count = folders(box)
    roots = [str(box.tv), str(box.movies)]
    job = box.command("upload")

    index = box.state / "upload.index"

    def first() -> float:
        index.unlink()
        return timed(job)

    def daily() -> float:
        found = folder_index.read(str(index))
        if found is None:
            raise RuntimeError(f"{index} is no index")
        folder_index.write(str(index), {**found.facts, "full": 0.0}, found.stamps())
        return timed(job)

    timed(job)
    timed(["sleep", "3"])  # what changed within the last seconds is not remembered
    timed(job)
    python, names, passes, stats, dailies = interleaved(
        2 * rounds + 1,
        functools.partial(timed, [sys.executable, "-I", "-c", "pass"]),
        functools.partial(timed, ["find", *roots, "-name", "*.mkv"]),
        functools.partial(timed, job),
        functools.partial(timed, ["find", *roots, "-printf", "%i %s %T@ %p\n"]),
        daily,
    )
    what = f"{sizes.marked:,} marked files in {count:,} folders"
    floor = [start + count * FOLDER_COST for start in python]
    name = f"`python -I -c pass` + {FOLDER_COST * 1e6:g} µs per folder"
    yield against(f"idle pass, {what}", passes, floor, name, 1.0)
    yield against(f"idle pass, {what}", passes, names, "`find -name '*.mkv'`", 0.25)
    name = "`find -printf '%i %s %T@ %p\\n'`"
    yield against(f"daily full pass, {what}", dailies, stats, name, 1.5)
    yield against(f"first pass, {what}", [first()], [statistics.median(stats)], name, None)


def calls(folder: Path, sizes: Sizes, _rounds: int) -> Iterator[Row]:
    """Count the API calls that cost money, in a large library and in a hundredth of it."""
    counted = []
    for size in (sizes.library, sizes.library // 100):
        with B2Server() as b2:
            box = Box(folder / f"calls {size}", NOWHERE, b2.rclone_config())
            fill(library_files(box, size), 1000, marked=True)
            sparse(box.tv / "first.mkv", 1000)
            timed(box.command("upload"))
            found = {}
            for pending in (0, *sizes.pending):
                new = [box.tv / f"New {pending}" / f"E{one:03}.mkv" for one in range(pending)]
                for path in new:
                    sparse(path, 1000)
                b2.reset_stats()
                timed(box.command("upload"))
                demand_marked(new)
                classes = b2.stats().classes
                found[pending] = (classes["B"], classes["C"])
            counted.append(found)
    for pending, (b, c) in counted[0].items():
        b_of_few, c_of_few = counted[1][pending]
        few = b_of_few + c_of_few
        what = f"API calls with {pending} pending, {sizes.library:,} uploaded"
        other = f"{sizes.library // 100} uploaded: {b_of_few} B, {c_of_few} C"
        ratio = (b + c) / few if pending else float(b + c)
        yield Row(what, f"{b} B, {c} C", other, ratio, 1.0 if pending else 0.0)


def memory(folder: Path, sizes: Sizes, _rounds: int) -> Iterator[Row]:
    """Watch how the memory of a run grows with what is pending."""
    found: dict[tuple[str, int], Peaks] = {}
    for pending in sizes.memory:
        with b2_process(0.0) as config:
            box = Box(folder / f"memory {pending}", NOWHERE, config)
            fill(library_files(box, pending), 1000, marked=False)
            for kind, options in (("dry run", ["--dry-run"]), ("run", [])):
                command = box.command("upload", *options)
                found[kind, pending] = peaks(command, sizes.patience)
    for (kind, pending), peak in found.items():
        what = f"memory of a {kind} with {pending:,} pending"
        less = found[kind, sizes.memory[min(1, sizes.memory.index(pending))]]
        told = f"{peak.own:.0f} MiB" + (f", rclone {peak.child:.0f} MiB" if peak.child else "")
        told += "" if peak.ended else f" (first {sizes.patience:.0f} s)"
        yield Row(what, told, f"{MOST_MEMORY} MiB", peak.own / MOST_MEMORY, 1.0)
        if pending == sizes.memory[-1]:
            other = f"{sizes.memory[1]:,} pending: {less.own:.0f} MiB"
            yield Row(what, f"{peak.own:.0f} MiB", other, peak.own / less.own, 1.5)


PARTS: dict[str, Callable[[Path, Sizes, int], Iterator[Row]]] = {
    "copies": copies, "idle": idle, "calls": calls, "memory": memory,
}  # fmt: skip


if __name__ == "__main__":
    main("upload", __doc__, PARTS, Sizes(), TINY)
