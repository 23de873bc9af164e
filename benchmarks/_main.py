"""The command line that all benchmarks share."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks._table import Row, publish, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

S = TypeVar("S")


def main(
    name: str,
    doc: str | None,
    parts: Mapping[str, Callable[[Path, S, int], Iterator[Row]]],
    full: S,
    tiny: S,
) -> None:
    """Measure, print, and publish if wanted; ends with status 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; default all")
    parser.add_argument("--quick", action="store_true", help="tiny, and judged by nobody")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where to write the trees; default: a temporary folder")
    parser.add_argument("--write", action="store_true", help="put the table into docs")
    options = parser.parse_args()
    # ended from outside, it still unmounts and removes what it made
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    # what is installed has its modules compiled
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if options.write and (options.parts or options.quick):
        parser.error("only the whole table is written, in full size")
    sizes, rounds = (tiny, 1) if options.quick else (full, options.rounds)
    rows: list[Row] = []
    for part in options.parts or parts:
        with tempfile.TemporaryDirectory(prefix="mediapipe-bench-", dir=options.folder) as folder:
            for row in parts[part](Path(folder), sizes, rounds):
                rows.append(row)
                print(*row.cells(), sep=" | ", file=sys.stderr, flush=True)
    print(table(rows))
    if options.write:
        publish(name, f"benchmarks/{name}.py {' '.join(sys.argv[1:])}", table(rows))
    sys.exit(not options.quick and any(row.missed for row in rows))
