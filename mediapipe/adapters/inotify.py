"""A folder and all below it, watched by threads of its own: what hangs in it hangs nobody else.

Traps of watchdog 7.1, measured: without an event filter its own arming floods the kernel's queue,
and it never catches up; where the limit of watches is reached below the root it says nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

from mediapipe.disk.mounts import mounts

if TYPE_CHECKING:
    from collections.abc import Callable

State = Literal["looking", "arming", "watched", "missing", "limit", "instances", "refused"]

_LOOK = 10.0
"""Seconds between two looks at whether the folder is still the one that is watched."""
_AGAIN = 3600.0
"""Seconds after which a folder is tried again that the limit did not allow."""
_HANGS = 10.0
"""Seconds without a step: one step is a single call to the file system."""
_DEEPEST = 5000
"""Calls within each other: more than a path can hold folders."""
_SYSCTLS = {
    "fs.inotify.max_user_watches": "/proc/sys/fs/inotify/max_user_watches",
    "user.max_inotify_watches": "/proc/sys/user/max_inotify_watches",
}
Identity = tuple[object, ...]


class Tree:
    """Watches one root, whether it is there already, goes away, or comes back."""

    def __init__(self, root: str, changed: Callable[[str], None], wake: Callable[[], None]) -> None:
        """`changed` gets each path that may be new, `wake` is called at each new state."""
        self.root = root
        self.state: State = "looking"
        self.reason = ""
        """Why it is refused."""
        self.folders = 0
        """How many there are, as far as they are counted."""
        self._changed = changed
        self._wake = wake
        self._step = time.monotonic()
        self._busy = True
        self._grown = False
        self._again = False
        self._ended = False
        self._look_now = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name=root)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Let go of it, soon; a thread that hangs is left behind."""
        self._ended = True
        self._look_now.set()

    def look(self, *, again: bool = False) -> None:
        """Look at once whether it is still the same; `again` tries what was given up."""
        self._again = self._again or again
        self._look_now.set()

    def hangs(self, now: float) -> bool:
        """Whether a call to its file system does not come back; `now` is `time.monotonic()`."""
        return self._busy and now - self._step > _HANGS

    def _work(self) -> None:
        while not self._ended:
            self._enter("looking")
            identity = self._identity()
            if identity is None:
                self._rest("missing", _LOOK)
                continue
            real = str(identity[0])
            self.folders = self._count(real)
            if self.folders > limit()[1]:
                self._rest("limit", _AGAIN)
                continue
            self._watch(real, identity)

    def _watch(self, real: str, identity: Identity) -> None:
        """Watch until the root is another one, or is not to be watched any more."""
        self._enter("arming")

        def note(path: str, folder: bool) -> None:  # noqa: FBT001 - watchdog tells it so
            self._grown = self._grown or folder
            self._changed(self.root + path[len(real) :])

        try:
            observer = observe(real, note, recursive=True)
        except OSError as error:
            self._give_up(error)
            return
        try:
            self._demand_more(real)
            self._grown = False
            self._state("watched")
            self._changed(self.root)  # what came before that was seen by nobody
            while not self._ended and self._identity() == identity and not self._again:
                if self._grown:
                    self._grown = False
                    self._demand_more(real)
                self._busy = False
                self._look_now.wait(_LOOK)
                self._look_now.clear()
                self._busy, self._step = True, time.monotonic()
            self._again = False
            trouble = None
        except OSError as error:
            trouble = error
        finally:
            observer.stop()
        if trouble is not None:
            self._give_up(trouble)

    def _demand_more(self, real: str) -> None:
        """Raise OSError unless one more watch can be had: watchdog swallows that it could not."""
        probe = observe(real, lambda _path, _folder: None, recursive=False)
        probe.stop()
        probe.join()

    def _give_up(self, error: OSError) -> None:
        if error.errno == errno.ENOSPC:
            self._rest("limit", _AGAIN)
        elif error.errno == errno.EMFILE:
            self._rest("instances", _AGAIN)
        elif error.errno in (errno.ENOENT, errno.ENOTDIR):
            self._rest("missing", _LOOK)
        else:
            self.reason = error.strerror or str(error)
            self._rest("refused", 6 * _LOOK)

    def _identity(self) -> Identity | None:
        """Give what tells this folder from another in its place; None where there is none.

        What is mounted above or below it counts: a watch stays with what was mounted before.
        """
        self.reason = ""
        try:
            real = os.path.realpath(self.root)
            found = os.stat(real)
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "it is no folder")
        except OSError as error:
            if error.errno != errno.ENOENT:
                self.reason = error.strerror or str(error)
            return None
        table = tuple(
            one for one in mounts() if f"{real}/".startswith(f"{one.point.rstrip('/')}/")
            or one.point.startswith(f"{real}/")
        )  # fmt: skip
        return (real, found.st_dev, found.st_ino, table)

    def _count(self, real: str) -> int:
        """Count the folders: how many watches it takes, and each of them a step."""
        number, pending = 0, [real]
        while pending and not self._ended:
            self._step = time.monotonic()
            number += 1
            with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
                pending += [one.path for one in entries if one.is_dir(follow_symlinks=False)]
        return number

    def _enter(self, state: State) -> None:
        self._busy, self._step = True, time.monotonic()
        self._state(state)

    def _rest(self, state: State, seconds: float) -> None:
        self._busy = False
        self._state(state)
        until = time.monotonic() + seconds
        while not self._ended and not self._again and time.monotonic() < until:
            self._look_now.wait(until - time.monotonic())
            self._look_now.clear()
            if state == "missing":
                break
        self._again = False

    def _state(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._wake()


def limit() -> tuple[str, int]:
    """Give the sysctl that allows the fewest watches to this user, and how many."""
    found = []
    for name, path in _SYSCTLS.items():
        try:
            with open(path, encoding="ascii") as file:
                found.append((int(file.read()), name))
        except (OSError, ValueError):
            continue
    number, name = min(found, default=(1 << 31, next(iter(_SYSCTLS))), key=lambda one: one[0])
    return name, number


def observe(root: str, note: Callable[[str, bool], None], *, recursive: bool) -> Any:
    """Start to watch a folder; `note` gets each path that is new, and whether it is a folder.

    Raises OSError. Only what may be new is told: made, linked, moved, or written and closed.
    """
    from watchdog.events import (
        DirCreatedEvent,
        DirMovedEvent,
        FileClosedEvent,
        FileCreatedEvent,
        FileMovedEvent,
        FileSystemEvent,
        FileSystemEventHandler,
    )
    from watchdog.observers import Observer

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            note(os.fsdecode(event.dest_path or event.src_path), event.is_directory)

    # watchdog goes down by os.walk(), which recurses before Python 3.12
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _DEEPEST))
    observer = Observer()
    kinds = [DirCreatedEvent, DirMovedEvent, FileClosedEvent, FileCreatedEvent, FileMovedEvent]
    observer.schedule(Handler(), root, recursive=recursive, event_filter=kinds)
    try:
        observer.start()
    except OSError:
        observer.stop()
        raise
    return observer
