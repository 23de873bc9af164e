"""One object from the remote into a file of this host, by rclone."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from mediapipe.adapters import process, rclone_log
from mediapipe.errors import ActionFailed, CapReached, ConfigError
from mediapipe.plan import shown

if TYPE_CHECKING:
    from mediapipe.adapters.rclone_program import Program
    from mediapipe.ports import Watcher

_NOT_THERE = (3, 4)


def fetch(program: Program, source: str, path: str, watcher: Watcher, timeout: float) -> None:
    """Copy an object (full remote name) into `path`, which nobody else may know of yet.

    `timeout` is in seconds without a byte. Raises ActionFailed for what is wrong with this object
    alone.
    """
    log = rclone_log.CopyLog(watcher)
    # fmt: off
    command = [
        *program.command("copyto"), "--inplace", "--ignore-times",
        "--stats", f"{watcher.interval:g}s", "--stats-log-level", "NOTICE",
        "--use-json-log", "-v", "--retries", "3", "--low-level-retries", "10",
        source, path,
    ]
    # fmt: on
    try:
        ended = process.run(command, timeout=timeout, on_line=log.line)
    finally:
        watcher.end()
    # an object that is not there is an empty folder to rclone, copied with status 0
    if ended.status == 0 and os.path.isfile(path):
        return
    if ended.status in (0, *_NOT_THERE):
        with contextlib.suppress(OSError):
            os.rmdir(path)
        raise ActionFailed(f"{shown(source)} is gone")
    trouble = rclone_log.trouble(ended)
    if log.failures and not isinstance(trouble, CapReached | ConfigError):
        raise ActionFailed(next(iter(log.failures.values())))
    raise trouble
