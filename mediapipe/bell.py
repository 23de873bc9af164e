"""What wakes a main loop that waits: signals, threads, and changes of the mount table."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_REMEMBERED = 1000
"""Changes between two rounds that are told one by one; one alone is enough to ask."""


class Bell:
    """Wakes the main loop: by a signal, a thread, or a change of the mount table."""

    def __init__(self) -> None:
        self.ended = self.reload = False
        self.crash: BaseException | None = None
        self._changes: deque[str] = deque(maxlen=_REMEMBERED)
        self._ear, self._mouth = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._ear, select.POLLIN)
        self._poll.register(self._mounts, select.POLLPRI)
        signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)

    def ring(self) -> None:
        """Wake it."""
        with contextlib.suppress(BlockingIOError):  # it is full of rings
            os.write(self._mouth, b"!")

    def change(self, path: str) -> None:
        """Leave word of a change."""
        self._changes.append(path)
        self.ring()

    def wait(self, seconds: float) -> tuple[list[str], bool]:
        """Wait; gives what changed, and whether something was mounted or unmounted."""
        woken = {number for number, _ in self._poll.poll(max(0.0, seconds) * 1000)}
        if self._ear in woken:
            with contextlib.suppress(BlockingIOError):
                while os.read(self._ear, 4096):
                    pass
        changes = [self._changes.popleft() for _ in range(len(self._changes))]
        return changes, self._mounts in woken

    def close(self) -> None:
        signal.set_wakeup_fd(-1)


@contextlib.contextmanager
def listening() -> Iterator[Bell]:
    """Give a bell that SIGTERM, SIGINT, SIGHUP and the end of a thread ring."""
    bell = Bell()

    def end(_number: int, _frame: object) -> None:
        bell.ended = True

    def reload(_number: int, _frame: object) -> None:
        bell.reload = True

    def crash(about: threading.ExceptHookArgs) -> None:
        bell.crash = about.exc_value or RuntimeError("a thread ended")
        bell.ring()

    handlers = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: reload}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    threading.excepthook = crash
    try:
        yield bell
    finally:
        threading.excepthook = threading.__excepthook__
        for number, handler in before.items():
            signal.signal(number, handler)
        bell.close()
