"""What all benchmarks share: interleaved runs, one table, and its place in the docs."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCRIPTS = Path(sys.executable).parent
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


_SMALL = 0.05
"""Ratios below it need more than two places."""


@dataclass(frozen=True)
class Row:
    """One measured ratio and what it is held against."""

    what: str
    ours: str
    other: str
    ratio: float
    goal: float | None
    """The largest ratio that is good; None where the row only tells."""

    @property
    def missed(self) -> bool:
        return self.goal is not None and self.ratio > self.goal

    def cells(self) -> tuple[str, ...]:
        goal = "" if self.goal is None else f"≤ {self.goal:g}"
        verdict = "" if self.goal is None else "MISSED" if self.missed else "met"
        ratio = (
            f"{self.ratio:.2f}" if self.ratio >= _SMALL or not self.ratio else f"{self.ratio:.2g}"
        )
        return (self.what, self.ours, self.other, ratio, goal, verdict)


HEADINGS = ("what", "ours", "against", "ratio", "goal", "")


def table(rows: Sequence[Row]) -> str:
    """Give the rows as a Markdown table that can also be read as it is."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def interleaved(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Run all measures in turn, in the other order every other round; gives the results of each."""
    results: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        order = range(len(measures)) if number % 2 == 0 else reversed(range(len(measures)))
        for index in order:
            results[index].append(measures[index]())
    return results


def against(
    what: str, ours: Sequence[float], other: Sequence[float], name: str, goal: float | None
) -> Row:
    """Make a row of seconds: the ratio is the median over the rounds."""
    ratio = statistics.median(one / two for one, two in zip(ours, other, strict=True))
    return Row(what, seconds(ours), f"{name}: {seconds(other)}", ratio, goal)


def seconds(values: Sequence[float]) -> str:
    """Give the median of some seconds in words."""
    median = statistics.median(values)
    return f"{median:.2f} s" if median >= 1 else f"{median * 1000:.0f} ms"


def timed(command: Sequence[str | Path]) -> float:
    """Run a command that must succeed; gives its seconds."""
    started = time.perf_counter()
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        check=False,
    )  # fmt: skip
    spent = time.perf_counter() - started
    if ended.returncode != 0:
        sys.exit(f"{command[0]} ended with {ended.returncode}: {ended.stderr.decode()[-2000:]}")
    return spent


def publish(name: str, command: str, text: str) -> None:
    """Put a table into the page, between the markers of this benchmark."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = PAGE.read_text()
    head, _, rest = page.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        sys.exit(f"{PAGE} has no place for it: {begin} … {end}")
    body = f"{begin}\n{_circumstances()} Made by `{command}`.\n\n{text}\n{end}"
    PAGE.write_text(f"{head}{body}{tail}")


def _circumstances() -> str:
    """Tell the machine, the day and the versions."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((line for line in info.splitlines() if line.startswith("model name")), ": unknown")
    rclone = subprocess.check_output([SCRIPTS / "rclone", "version"], text=True).split()[1]
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} × {model.partition(':')[2].strip()}, "
        f"Linux {platform.release()}, Python {platform.python_version()}, rclone {rclone}."
    )
