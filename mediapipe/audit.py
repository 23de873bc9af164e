"""`audit.jsonl`: one line for each thing changed on disk or in a service; append only."""

from __future__ import annotations

import json
import os
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
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(os.path.join(state, NAME), flags, 0o664)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
