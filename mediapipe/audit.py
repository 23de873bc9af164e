"""`audit.jsonl`: one line for each thing changed on disk or in a service; append only."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from mediapipe import regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mediapipe.plan import Action

    Line = dict[str, Any]
    """A line as it stands; `time` is ISO 8601 in UTC, sizes are in bytes."""

NAME = "audit.jsonl"
_BEGINNING = b'{"time": '


def append(state: str, job: str, action: Action, extra: dict[str, object]) -> None:
    """Append a line, durably; it holds what is needed to fetch the file back. Raises OSError."""
    write(state, line_of(job, action, extra))


def line_of(job: str, action: Action, extra: Mapping[str, object]) -> Line:
    """Give the line of an action, all but its time."""
    about = {"job": job, "action": action.kind, "path": action.path}
    return {**about, **action.details(), **extra, "reason": action.reason}


def write(state: str, line: Line) -> None:
    """Append a line with the time of now, durably. Raises OSError."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **line}
    descriptor = _open(state)
    try:
        left = json.dumps(line).encode() + b"\n"
        while left:  # a disk that is nearly full takes a part of it, and refuses only the next
            left = left[os.write(descriptor, left) :]
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def length(state: str) -> int:
    """Give the bytes that are written so far. Raises OSError."""
    try:
        return os.stat(os.path.join(state, NAME)).st_size
    except FileNotFoundError:
        return 0


def demand_writable(state: str) -> None:
    """Demand that a line could be appended: nothing may change that cannot be written down.

    Raises OSError.
    """
    os.close(_open(state))


def _open(state: str) -> int:
    return regular.opener(os.path.join(state, NAME), os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def read(state: str, start: int = 0) -> Iterator[Line | None]:
    """Give the lines, oldest first, one at a time; None for each that cannot be read.

    `start` is the byte from which on; all are given where there are fewer bytes.

    Nothing where nothing was ever changed. Raises OSError.
    """
    try:
        descriptor = regular.opener(os.path.join(state, NAME), os.O_RDONLY)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "rb") as stream:
        if 0 < start <= os.fstat(descriptor).st_size:
            stream.seek(start)
        for raw in stream:
            yield _parse(raw)


def _parse(raw: bytes) -> Line | None:
    """Read a line; of one that was torn by a crash and went on with another, the other."""
    for text in (raw, raw[max(raw.rfind(_BEGINNING), 0) :]):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        return line if isinstance(line, dict) else None
    return None
