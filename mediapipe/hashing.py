"""SHA-1 of files: beside a child that reads the same pages, or one by one."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Self

from mediapipe import regular

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mediapipe.disk.index import File

_BLOCK = 1 << 20


def hash_file(path: str, go_on: Callable[[int], bool]) -> str:
    """Give the SHA-1 of a file, in hex; raises OSError.

    `go_on` gets the bytes read so far after each MiB, and tells whether the rest is wanted.
    """
    digest = hashlib.sha1(usedforsecurity=False)
    block = bytearray(_BLOCK)
    done = 0
    with open(path, "rb", buffering=0, opener=regular.itself) as stream:
        while (size := stream.readinto(block)) and go_on(done):
            digest.update(memoryview(block)[:size])
            done += size
    return digest.hexdigest()


class Hashing:
    """Computes the SHA-1 of each file in a thread, beside the child that reads the same pages."""

    def __init__(self, files: Mapping[str, File]) -> None:
        """Nothing is read yet."""
        self.found: dict[str, str | OSError] = {}
        """Name → SHA-1 in hex, or why it could not be read; filled by and by."""
        self._files = files
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._hash_all, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End at the next block: a run that is told to stop must not read terabytes first."""
        self._stopped.set()
        self._thread.join()

    def wait(self) -> None:
        """Wait until all are found."""
        self._thread.join()

    def _hash_all(self) -> None:
        for name, file in self._files.items():
            try:
                sha1 = hash_file(file.path, lambda _done: not self._stopped.is_set())
            except OSError as error:
                self.found[name] = error
            else:
                if not self._stopped.is_set():  # else it is that of a part
                    self.found[name] = sha1
