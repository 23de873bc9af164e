"""What was told of each unit, one small file each: a damaged history must not silence the alert.

Where the state folder cannot be written, as on a full disk, the file goes into the runtime folder,
so that people are not told of that every two minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict
from typing import Any

from mediapipe import regular
from mediapipe.alerts import Memory, Message, Owed

FOLDER = "alerts"


class Store:
    """The files of all units."""

    def __init__(self, state: str) -> None:
        """Nothing is read yet."""
        runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
        self._folders = [os.path.join(state, FOLDER), *([runtime] if runtime else [])]

    def units(self) -> tuple[str, ...]:
        """Give the units of which something is remembered."""
        found = set()
        for folder in self._folders:
            with contextlib.suppress(OSError):
                names = os.listdir(folder)
                found |= {one.removesuffix(".json") for one in names if one.endswith(".json")}
        return tuple(sorted(found))

    def read(self, unit: str) -> Memory:
        """Give what is remembered of a unit, from the newer of its files; what is none, is not."""
        newest, found = -1, Memory()
        for folder in self._folders:
            try:
                path = os.path.join(folder, f"{unit}.json")
                with open(path, encoding="utf-8", opener=regular.opener) as file:
                    written = os.fstat(file.fileno()).st_mtime_ns
                    if written > newest:
                        newest, found = written, _memory(json.load(file))
            except (OSError, ValueError, TypeError, LookupError, AttributeError):
                continue
        return found

    def write(self, unit: str, memory: Memory) -> None:
        """Remember; raises OSError where no folder takes it."""
        trouble: OSError | None = None
        for folder in self._folders:
            try:
                os.makedirs(folder, exist_ok=True)
                temporary = os.path.join(folder, f".{unit}.{os.getpid()}.tmp")
                with open(temporary, "w", encoding="utf-8") as file:
                    json.dump(asdict(memory), file)
                os.rename(temporary, os.path.join(folder, f"{unit}.json"))
                return
            except OSError as error:
                trouble = trouble or error
        if trouble is not None:
            raise trouble


def _memory(facts: dict[str, Any]) -> Memory:
    owed = facts.pop("owed")
    memory = Memory(**facts)
    if owed:
        owed = Owed(Message(**owed["message"]), tuple(owed["lines"]))
    return Memory(**{**asdict(memory), "owed": owed or None})
