"""`audit.jsonl`: one line for each thing changed on disk or in a service; append only."""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediapipe.plan import Action

NAME = "audit.jsonl"


def append(state: str, job: str, action: Action, extra: dict[str, object]) -> None:
    """Append a line, durably; it holds what is needed to fetch the file back. Raises OSError."""
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "job": job,
        "action": action.kind,
        "path": action.path,
        **action.details(),
        **extra,
        "reason": action.reason,
    }
    descriptor = _open(state)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def demand_writable(state: str) -> None:
    """Demand that a line could be appended: nothing may change that cannot be written down.

    Raises OSError.
    """
    os.close(_open(state))


def _open(state: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(os.path.join(state, NAME), flags, 0o664)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", NAME)
    return descriptor
