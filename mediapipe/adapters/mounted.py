"""Files as the mount shows them, read in a child: a dead FUSE mount hangs whoever touches it."""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.adapters import process
from mediapipe.errors import ActionFailed, Unavailable
from mediapipe.facts import fact
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_AT_ONCE = 100
_CHILD = """
import base64, hashlib, json, os, stat, sys
for word in sys.argv[1:]:
    try:
        number = os.open(base64.b64decode(word), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            raise OSError("no file")
        digest = hashlib.sha1(usedforsecurity=False)
        for offset in (0, max(about.st_size - (1 << 20), 0)):
            left = min(1 << 20, about.st_size)
            while left > 0:
                part = os.pread(number, left, offset)
                if not part:
                    raise OSError("it is shorter than it says")
                digest.update(part)
                offset, left = offset + len(part), left - len(part)
        print(json.dumps([word, about.st_size, digest.hexdigest()]), flush=True)
        os.close(number)
    except OSError:
        print(json.dumps([word, -1, ""]), flush=True)
"""
_WALK = """
import base64, json, os, stat, sys
def tell(path, size, trouble):
    print(json.dumps([base64.b64encode(path).decode(), size, trouble]), flush=True)
def see(path):
    try:
        about = os.lstat(path)
        if stat.S_ISREG(about.st_mode):
            tell(path, about.st_size, "")
        elif stat.S_ISDIR(about.st_mode):
            for name in sorted(os.listdir(path)):
                see(os.path.join(path, name))
    except OSError as error:
        tell(path, 0, error.strerror)
for word in sys.argv[1:]:
    see(base64.b64decode(word))
"""
_READ = """
import base64, os, sys
try:
    number = os.open(base64.b64decode(sys.argv[1]), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    while part := os.read(number, 1 << 20):
        print(len(part), flush=True)
except OSError as error:
    sys.exit(error.strerror)
"""
_LOOK = """
import base64, os, sys
for word in sys.argv[1:]:
    print(word, flush=True)
    try:
        os.listdir(base64.b64decode(word))
    except OSError:
        pass
"""
_GRACE = 1.0
"""Seconds for a child to end: it has nothing to bring in order."""


@fact
class Found:
    """A file below the mount."""

    path: str
    size: int
    """Bytes."""
    trouble: str
    """Why this file or folder could not be looked at; empty where it could."""


def demand_answers(paths: Sequence[str], timeout: float = 30.0) -> None:
    """Demand that folders answer, with whatever it is; `timeout` is in seconds, for each.

    Raises Unavailable where one hangs: nobody could end a job that hung there.
    """
    asked: list[str] = []

    def take(line: bytes) -> None:
        asked.append(os.fsdecode(base64.b64decode(line)))

    command = (sys.executable, "-I", "-S", "-c", _LOOK, *map(_word, paths))
    try:
        process.run(command, timeout=timeout, on_output=take, grace=_GRACE)
    except Unavailable:
        raise Unavailable(
            f"{shown(asked[-1])} does not answer" if asked else "no folder answers",
            hint="what is mounted there is dead: its server, or the program that serves it",
        ) from None


class Mounted:
    """Reads below the mount point."""

    def __init__(self, point: str, timeout: float = 60.0) -> None:
        """`timeout` is in seconds for what is looked at or read at once; nothing is read yet."""
        self._point = point
        self._timeout = timeout

    def read_ends(self, paths: Sequence[str]) -> Mapping[str, tuple[int, str]]:
        """Give path → size in bytes, and the SHA-1 of the first and last MiB after one another.

        What cannot be read is missing. Raises Unavailable where nothing is mounted, or it hangs.
        """
        self.demand()
        found: dict[str, tuple[int, str]] = {}
        for first in range(0, len(paths), _AT_ONCE):
            words = {_word(path): path for path in paths[first : first + _AT_ONCE]}
            command = (sys.executable, "-I", "-S", "-c", _CHILD, *words)
            output = process.run(command, timeout=self._timeout).output
            for word, size, digest in map(json.loads, output.splitlines()):
                if size >= 0:
                    found[words[word]] = (size, digest)
        return found

    def demand(self) -> None:
        """Demand that something is mounted, without touching it; raises Unavailable."""
        if not layout.is_mounted(self._point):
            raise Unavailable(
                f"nothing is mounted at {self._point}",
                hint="systemctl start rclone-b2-mount",
            )

    def walk(self, paths: Sequence[str]) -> tuple[Found, ...]:
        """Give the files at and below some paths, by name; raises Unavailable."""
        self.demand()
        command = (sys.executable, "-I", "-S", "-c", _WALK, *map(_word, paths))
        found: list[Found] = []

        def take(line: bytes) -> None:
            word, size, trouble = json.loads(line)
            found.append(Found(os.fsdecode(base64.b64decode(word)), size, trouble))

        ended = process.run(command, timeout=self._timeout, on_output=take, grace=_GRACE)
        if ended.status != 0:
            raise Unavailable(f"{self._point} cannot be walked: {ended.errors}")
        return tuple(found)

    def read(self, path: str, take: Callable[[int], None]) -> None:
        """Read a file to its end; `take` gets the number of bytes of each part, and may raise.

        Raises ActionFailed where it cannot be read, Unavailable where the mount hangs.
        """
        command = (sys.executable, "-I", "-S", "-c", _READ, _word(path))
        ended = process.run(
            command, timeout=self._timeout, on_output=lambda line: take(int(line)), grace=_GRACE
        )
        if ended.status != 0:
            raise ActionFailed(f"{shown(path)} cannot be read: {ended.errors}")


def _word(path: str) -> str:
    return base64.b64encode(os.fsencode(path)).decode()
