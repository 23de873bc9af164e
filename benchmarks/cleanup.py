"""What planning a cleanup costs beside the walks by `find` that a person would type instead.

Each number is a ratio of two measurements of the same minutes, so that it means the same on a
slow machine and on a busy one.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._main import main
from benchmarks._peaks import peaks
from benchmarks._table import Row, against, interleaved, timed
from benchmarks._trees import NOWHERE, fill, folders, library_files, remember, seeding
from mediapipe.testing.box import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLANNING = "from benchmarks._planning import main; main()"
"""Not as a script: what is installed is compiled before it is run, and a script is not."""
PYTHON = [sys.executable, "-I", "-c", "pass"]
MOST_MEMORY = 64
"""MiB."""


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    libraries: tuple[int, ...] = (100_000, 500_000)  # files
    torrents: int = 2000  # seeding
    due: int = 1000
    each: int = 100  # torrents that are looked for one file at a time
    finds: int = 20  # of those, really measured
    cold: bool = True  # whether the page cache may be dropped


TINY = Sizes((100, 200), 10, 5, 4, 2, cold=False)


class Tree:
    """Libraries whose files are marked, and torrents that seed some of them."""

    def __init__(self, folder: Path, count: int, sizes: Sizes) -> None:
        """Write it all, and plan once: that is the past of every box."""
        self.box = Box(folder, NOWHERE, "")
        self.box.write_config(cleanup={"seeding_time": "7d"})
        files = list(library_files(self.box, count))
        fill(files, 1, marked=True)
        torrents = seeding(self.box, files, sizes.torrents)
        self.list = folder / "torrents.json"
        sha1 = "42099b4af021e53fd8fd4e056c2568d7c2e3ffa8"  # of the one byte that each file is
        self.list.write_text(json.dumps({"sha1": sha1, "torrents": torrents}))
        some = torrents[:: max(len(torrents) // sizes.each, 1)][: sizes.each]
        self.files = [path for one in some for path, _size in one["files"]]
        self.roots = [str(self.box.tv), str(self.box.movies), str(self.box.completed)]
        self.folders = folders(self.box)
        remember(self.box, files)
        self.plan(0)

    def command(self, due: int) -> list[str]:
        return [sys.executable, "-c", PLANNING, str(self.box.config_path), str(self.list), str(due)]

    def plan(self, due: int) -> tuple[float, dict[str, Any]]:
        """Plan in a process of its own; gives its seconds without the services', and its word."""
        started = time.perf_counter()
        ended = subprocess.run(self.command(due), stdout=subprocess.PIPE, check=True)
        spent = time.perf_counter() - started
        told: dict[str, Any] = json.loads(ended.stdout)
        if told["removed"] != due:
            sys.exit(f"{due} torrents are due, and {told['removed']} would go")
        return spent - told["apart"], told

    def planned(self, due: int) -> float:
        return self.plan(due)[0]

    def forget(self) -> None:
        """Lose the history: what is left are the markers, and every link is to be searched."""
        for path in self.box.state.glob("history.db*"):
            path.unlink()

    def walked(self, due: int) -> float:
        self.forget()
        return self.planned(due)

    def find(self, *test: str) -> float:
        return timed(["find", *self.roots, *test])


def warm(folder: Path, sizes: Sizes, rounds: int) -> Iterator[Row]:
    """Hold planning against a find, with all that it reads in the page cache."""
    for count in sizes.libraries:
        tree = Tree(folder / f"{count}", count, sizes)
        what = f"{count:,} files in {tree.folders:,} folders"
        yield from _plans(tree, what, sizes, rounds)
        yield _one_by_one(tree, what, sizes, rounds)
        most = peaks(tree.command(sizes.due), 600).own
        told = f"{most:.0f} MiB"
        limit = f"{MOST_MEMORY} MiB"
        yield Row(f"memory, {sizes.due:,} due, {what}", told, limit, most / MOST_MEMORY, 1.0)
        asked = tree.plan(0)[1]["asked"]
        yield Row(f"file lists asked for, none due, {what}", str(asked), "none", float(asked), 0.0)
        yield _lost(tree, what, sizes, rounds)


def _plans(tree: Tree, what: str, sizes: Sizes, rounds: int) -> Iterator[Row]:
    measures: list[Callable[[], float]] = [
        functools.partial(timed, PYTHON),
        functools.partial(tree.find, "-inum", "1"),
        functools.partial(tree.find, "-printf", "%D %i %n %p\n"),
        *(functools.partial(tree.planned, due) for due in (sizes.due, 1, 0)),
    ]
    start, inum, printf, *plans = interleaved(2 * rounds + 1, *measures)
    floor = [one + two for one, two in zip(start, inum, strict=True)]
    one_find, stat_find = "`find -inum` + `python -c pass`", "`find -printf '%D %i %n %p'`"
    for due, ours in zip((f"{sizes.due:,}", "1", "none"), plans, strict=True):
        yield against(f"planning, {due} due, {what}", ours, floor, one_find, 1.0)
        yield against(f"planning, {due} due, {what}", ours, printf, stat_find, 0.5)


def _lost(tree: Tree, what: str, sizes: Sizes, rounds: int) -> Row:
    """Hold the walk against a find; the history is not there any more then."""
    find, lost = interleaved(
        rounds,
        functools.partial(tree.find, "-inum", "1"),
        functools.partial(tree.walked, sizes.due),
    )
    name = f"planning, {sizes.due:,} due, history lost, {what}"
    return against(name, lost, find, "`find -inum`", None)


def _one_by_one(tree: Tree, what: str, sizes: Sizes, rounds: int) -> Row:
    """Hold planning against a find for each file, of which some are measured."""
    numbers = [str(os.stat(path).st_ino) for path in tree.files]
    some = numbers[:: max(len(numbers) // sizes.finds, 1)][: sizes.finds]
    spent = sum(tree.find("-inum", number) for number in some) * len(numbers) / len(some)
    ours = [tree.planned(sizes.each) for _ in range(rounds)]
    name = f"{len(numbers)} × `find -inum`, of which {len(some)} were measured"
    return against(f"planning, {sizes.each} due, {what}", ours, [spent] * rounds, name, 0.0033)


def cold(folder: Path, sizes: Sizes, rounds: int) -> Iterator[Row]:
    """Hold planning against a find, with nothing in the page cache."""
    count = sizes.libraries[0]
    tree = Tree(folder / f"{count}", count, sizes)

    def dropped(measure: Callable[[], float]) -> float:
        os.sync()
        if sizes.cold:
            Path("/proc/sys/vm/drop_caches").write_text("3\n")
        return measure()

    what = f"cold, {sizes.due:,} due, {count:,} files in {tree.folders:,} folders"
    find, ours = interleaved(
        rounds,
        functools.partial(dropped, functools.partial(tree.find, "-inum", "1")),
        functools.partial(dropped, functools.partial(tree.planned, sizes.due)),
    )
    yield against(f"planning, {what}", ours, find, "`find -inum`", 1.1)


PARTS: dict[str, Callable[[Path, Sizes, int], Iterator[Row]]] = {"warm": warm, "cold": cold}

if __name__ == "__main__":
    main("cleanup", __doc__, PARTS, Sizes(), TINY)
