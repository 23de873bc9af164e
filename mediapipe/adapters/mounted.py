"""Files as the mount shows them, read in a child: a dead FUSE mount hangs whoever touches it."""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.adapters import process
from mediapipe.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


class Mounted:
    """Reads below the mount point."""

    def __init__(self, point: str, timeout: float = 60.0) -> None:
        """`timeout` is in seconds for each file; nothing is read yet."""
        self._point = point
        self._timeout = timeout

    def read_ends(self, paths: Sequence[str]) -> Mapping[str, tuple[int, str]]:
        """Give path → size in bytes, and the SHA-1 of the first and last MiB after one another.

        What cannot be read is missing. Raises Unavailable where nothing is mounted, or it hangs.
        """
        if not layout.is_mounted(self._point):
            raise Unavailable(
                f"nothing is mounted at {self._point}",
                hint='start rclone-b2-mount.service; after_delete = "symlink" needs it',
            )
        found: dict[str, tuple[int, str]] = {}
        for first in range(0, len(paths), _AT_ONCE):
            words = {_word(path): path for path in paths[first : first + _AT_ONCE]}
            command = (sys.executable, "-I", "-S", "-c", _CHILD, *words)
            output = process.run(command, timeout=self._timeout).output
            for word, size, digest in map(json.loads, output.splitlines()):
                if size >= 0:
                    found[words[word]] = (size, digest)
        return found


def _word(path: str) -> str:
    return base64.b64encode(os.fsencode(path)).decode()
