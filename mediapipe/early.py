"""Look at objects as they arrive, while the rest is still on its way.

A look costs round trips, not bytes: beside the copy they cost no time. What is missed here, or
found wanting, is looked at again when the copy has ended.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from mediapipe.errors import MediapipeError
from mediapipe.readback import why_read_backs_differ

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mediapipe.disk.index import File
    from mediapipe.ports import Remote, RemoteObject

_COLLECT, _MANY = 0.2, 50
"""Seconds, and files, for which arrivals are collected: a look for each of them would cost more."""


class Early:
    """A thread that looks up what has arrived, and reads large objects back."""

    def __init__(self, prefix: str, files: Mapping[str, File], remote: Remote) -> None:
        """Nothing is looked at yet."""
        self.found: dict[str, RemoteObject] = {}
        self.differ: dict[str, str] = {}
        """Name of a large file → why its ranges differ, or an empty string."""
        self._prefix = prefix
        self._files = files
        self._remote = remote
        self._new: list[str] = []
        self._looked_at: list[str] = []
        self._closed = self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._remote.get_ready()
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Finish the last look; after an error end it within a second."""
        self._stopped = kind is not None
        with self._changed:
            self._closed = True
            self._changed.notify()
        try:
            self._thread.join()
        except BaseException:  # told to stop while it finished
            self._stopped = True
            self._thread.join()
            raise

    def arrived(self, names: Iterable[str]) -> None:
        """Note that files are said to have arrived."""
        with self._changed:
            self._new += names
            self._changed.notify()

    def looked_at(self) -> list[str]:
        """Give the files that were found and looked at since this was asked last."""
        with self._changed:
            names, self._looked_at = self._looked_at, []
        return names

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._new or self._closed)
                self._changed.wait_for(lambda: self._closed or len(self._new) > _MANY, _COLLECT)
                names, self._new = self._new, []
                if not names or self._stopped:
                    return
            try:
                self._look([name for name in names if name in self._files])
            except (MediapipeError, OSError):
                continue  # looked at again at the end, where the error is told

    def _look(self, names: list[str]) -> None:
        looked = self._remote.look(
            [f"{self._prefix}/{name}" for name in names], go_on=self._goes_on
        )
        there = {
            name: looked[f"{self._prefix}/{name}"]
            for name in names
            if f"{self._prefix}/{name}" in looked
        }
        files = {
            name: self._files[name] for name in there if there[name].size == self._files[name].size
        }
        self.differ |= why_read_backs_differ(
            self._prefix, files, self._remote, self._goes_on, ours=True
        )
        self.found |= there
        with self._changed:
            self._looked_at += there

    def _goes_on(self) -> bool:
        return not self._stopped
