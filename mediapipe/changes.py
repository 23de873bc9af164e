"""What was changed, as the audit has it: chosen by path and time, each as one line for people."""

from __future__ import annotations

import calendar
import os
import time
from typing import TYPE_CHECKING

from mediapipe import audit
from mediapipe.plan import clock, human, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from mediapipe.audit import Line

_LISTS = ("files", "objects", "hidden")
"""Fields that hold more paths and remote names."""
_MOST = 1 << 64


def places(word: str) -> frozenset[str]:
    """Give what a word may mean: a path, seen from here, or the name of an object or torrent."""
    plain = word.rstrip("/") or "/"
    return frozenset({plain, os.path.abspath(word)})


def chosen(
    state: str, since: float | None, wanted: Collection[str], unreadable: list[str]
) -> Iterator[Line]:
    """Give the changes at or below the wanted places, oldest first; all where none is named.

    `since` is in epoch seconds. Lines that cannot be read are told of in `unreadable`.
    """
    for number, line in enumerate(audit.read(state), 1):
        if line is None:
            unreadable.append(f"line {number} of {state}/{audit.NAME} cannot be read")
        elif (since is None or moment(line) >= since) and (not wanted or touches(line, wanted)):
            yield line


def touches(line: Line, wanted: Collection[str]) -> bool:
    """Whether a change is of one of these places, or of what lies below it."""
    return any(
        name == one or name.startswith(f"{one.rstrip('/')}/")
        for name in names_of(line)
        for one in wanted
    )


def names_of(line: Line) -> Iterator[str]:
    """Give every path and remote name in a line."""
    entries = [line]
    for key in _LISTS:
        found = line.get(key)
        entries += [
            one if isinstance(one, dict) else {"path": one}
            for one in (found if isinstance(found, list) else ())
        ]
    for entry in entries:
        for key in ("path", "remote", "name", "to"):
            if isinstance(entry.get(key), str):
                yield entry[key]


def moment(line: Line) -> float:
    """Give when it was, in epoch seconds; the beginning of time where the line does not tell."""
    try:
        return float(calendar.timegm(time.strptime(str(line.get("time")), "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return 0.0


def whole(value: object) -> int | None:
    """Give a number that a disk can tell of a file; None for anything else."""
    return value if isinstance(value, int) and abs(value) < _MOST else None


def as_text(line: Line) -> str:
    """Give a change as one readable line."""
    size, remote = whole(line.get("size")), line.get("remote")
    words = [
        clock(moment(line)),
        f"{shown(str(line.get('job', '?'))):<10}",
        shown(str(line.get("action", "?"))),
        shown(str(line.get("path", "?"))),
    ]
    if line.get("action") == "move" and isinstance(line.get("to"), str):
        words.append(f"to {shown(line['to'])}")
    if size is not None:
        words.append(f"({human(size)})")
    reason = str(line.get("reason") or "")
    if isinstance(remote, str) and remote not in reason:
        words.append(f"[{shown(remote)}]")
    return "  ".join(words[:2]) + "  " + " ".join(words[2:]) + f": {shown(reason)}"
