"""What stands in a folder of the remote, as rclone lists it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from mediapipe.adapters import process, rclone_log
from mediapipe.adapters.rclone_program import ONCE
from mediapipe.errors import Unavailable
from mediapipe.facts import fact

if TYPE_CHECKING:
    from mediapipe.adapters.rclone_program import Program

_PATIENCE = 300.0
"""Seconds without a line."""
_NO_FOLDER = 3


@fact
class Entry:
    """A file, or a folder, which B2 makes of the names alone."""

    path: str
    """Below what was listed; of a single file its name."""
    size: int | None
    """Bytes; None for a folder."""
    modified: datetime | None
    """Of the file that was uploaded; None for a folder."""

    @property
    def folder(self) -> bool:
        """Whether others lie in it."""
        return self.size is None


def entries(program: Program, place: str, *, recursive: bool) -> tuple[Entry, ...]:
    """List a folder or a file (full remote name) by name; raises as a `Remote` port does.

    What is not there is empty to rclone, with the bucket itself.
    """
    found: list[Entry] = []

    def take(line: bytes) -> None:
        if text := line.strip(b"[], \t\r"):
            found.append(_entry(text))

    deep = ["-R", "--fast-list"] if recursive else []
    command = [*program.command("lsjson"), *deep, "--no-mimetype", "--use-json-log", *ONCE]
    ended = process.run([*command, place], timeout=_PATIENCE, on_output=take)
    if ended.status not in (0, _NO_FOLDER):
        raise rclone_log.trouble(ended)
    return tuple(sorted(found, key=lambda one: one.path.split("/")))


def _entry(text: bytes) -> Entry:
    try:
        fields = json.loads(text)
        path, folder = str(fields["Path"]), bool(fields["IsDir"])
        if folder:
            return Entry(path, None, None)
        return Entry(path, int(fields["Size"]), datetime.fromisoformat(fields["ModTime"]))
    except (ValueError, KeyError, TypeError):
        raise Unavailable("rclone lsjson gave no sound entry") from None
