"""One rclone that stays for a run and answers questions, over a socket that only we can reach.

A child for each question costs 80 ms of processor time and a new login; the answers are the same.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import select
import socket
import tempfile
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mediapipe.adapters import process, rclone_log
from mediapipe.errors import MediapipeError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mediapipe.adapters.rclone_program import Program
    from mediapipe.errors import ConfigError
    from mediapipe.ports import Range

_START = 30.0
_GRACE = 1.0
"""Seconds in which it may end: it has nothing to finish."""
_LOOK = 0.005
"""Seconds between two looks whether it listens: it does not say when."""
_SIDE_BY_SIDE = 6
_PATIENCE = 60.0
"""Seconds for each part of an answer that has begun."""
_JSON = {"Content-Type": "application/json"}
_OK, _PARTIAL = 200, 206


class Unclear(Unavailable):
    """It does not say why it gives no answer; the program itself does."""


class Answers:
    """Starts that rclone with the first question, and ends it with itself."""

    def __init__(self, program: Program, options: Sequence[str]) -> None:
        """Nothing is started yet; `options` are rclone's for every question."""
        self._program = program
        self._options = options
        self._child: process.Child | None = None
        self._path = ""
        self._numbers = itertools.count()
        self._end: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Start it, unless it runs; it is not waited for. Raises ConfigError.

        The kernel ends a child together with the thread that started it, so that a thread that
        asks needs to have it started before.
        """
        if self._child is not None and self._child.poll() is None:
            return
        self._end()
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mediapipe-"))
            self._path = os.path.join(folder, "rclone")
            # the folder lets nobody else in, so a password would guard nothing
            # fmt: off
            command = [
                *self._program.command("rcd"), "--rc-addr", f"unix://{self._path}", "--rc-no-auth",
                "--rc-serve", "--use-json-log", *self._options,
            ]
            # fmt: on
            self._child = stack.enter_context(process.started(command, grace=_GRACE))
            self._words = _Words(self._child)
            self._end = weakref.finalize(self, stack.pop_all().close)

    @contextlib.contextmanager
    def _standing(self) -> Iterator[None]:
        """Have it listen, and end it after trouble: the next question gets a fresh one.

        After each call that failed it waits twice as long before the next, up to minutes, whoever
        asks.
        """
        try:
            self._wait()
            yield
        except MediapipeError:
            self._end()
            raise

    def _wait(self) -> None:
        self.start()
        deadline = time.monotonic() + _START
        while not _listens(self._path):
            if self._words.ended.wait(_LOOK):
                raise _trouble(self._words.tail)
            if time.monotonic() > deadline:
                raise Unavailable(f"rclone has not begun to answer within {_START:.0f} s")

    def ask(
        self, command: str, query: Mapping[str, Any], timeout: float, go_on: Callable[[], bool]
    ) -> dict[str, Any]:
        """Call a command of rclone's remote control; `timeout` is in seconds.

        Raises what its error means, and Unavailable soon after `go_on` says no.
        """
        with self._standing():
            # a listing that met errors is answered with status 200 and what could be had of it
            # (measured, 1.75.2); the program itself ends with its count of errors, and so do we
            group = f"question-{next(self._numbers)}"
            answer = self._called(command, {**query, "_group": group}, timeout, go_on)
            stats = self._called("core/stats", {"group": group}, _PATIENCE, go_on)
            if stats.get("errors") != 0:
                raise _trouble(str(stats.get("lastError")))
            return answer

    def _called(
        self, command: str, query: Mapping[str, Any], timeout: float, go_on: Callable[[], bool]
    ) -> dict[str, Any]:
        with contextlib.closing(_Connection(self._path)) as connection:
            connection.send("POST", f"/{command}", json.dumps(query), _JSON)
            status, body = connection.received(timeout, go_on)
        if status != _OK:
            raise _trouble(_error(body) or body.decode(errors="replace"))
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Unavailable("rclone answers what is no answer")
        return answer

    @staticmethod
    def can_read(remote: str, name: str) -> bool:
        """Whether rclone's pattern for such addresses, `[remote]/name`, can hold this one."""
        return "]" not in remote and "\n" not in remote + name

    def read(
        self, remote: str, ranges: Sequence[Range], timeout: float, go_on: Callable[[], bool]
    ) -> list[bytes]:
        """Read ranges of objects below `remote`, some of them at the same time; as `ask`.

        Each name is one that `can_read` is true of.
        """
        contents: list[bytes] = []
        with self._standing():
            for first in range(0, len(ranges), _SIDE_BY_SIDE):
                wave = ranges[first : first + _SIDE_BY_SIDE]
                contents += self._read_wave(remote, wave, timeout, go_on)
        return contents

    def _read_wave(
        self, remote: str, ranges: Sequence[Range], timeout: float, go_on: Callable[[], bool]
    ) -> list[bytes]:
        with contextlib.ExitStack() as stack:
            wave = []
            for one in ranges:
                connection = stack.enter_context(contextlib.closing(_Connection(self._path)))
                path = quote(f"/[{remote}]/".encode() + os.fsencode(one.name))
                last = one.offset + one.count - 1
                connection.send("GET", path, None, {"Range": f"bytes={one.offset}-{last}"})
                wave.append(connection)
            contents = []
            for connection in wave:
                status, body = connection.received(timeout, go_on)
                if status not in (_OK, _PARTIAL):
                    # of an object that is there and cannot be opened it says no more
                    raise _trouble(_error(body)) if _error(body) else Unclear("Not Found")
                contents.append(body)
            return contents


class _Connection:
    """One question and its answer."""

    def __init__(self, path: str) -> None:
        self._http = http.client.HTTPConnection("rclone", timeout=_PATIENCE)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_PATIENCE)
        self._path = path

    def send(self, method: str, path: str, content: str | None, headers: Mapping[str, str]) -> None:
        try:
            self._socket.connect(self._path)
            self._http.sock = self._socket
            self._http.request(method, path, content, dict(headers))
        except OSError as error:
            raise _gone(error) from None

    def received(self, timeout: float, go_on: Callable[[], bool]) -> tuple[int, bytes]:
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        deadline = time.monotonic() + timeout
        while not waiting.poll(1000):
            if time.monotonic() > deadline:
                raise Unavailable(f"rclone stalled for {timeout:.0f} s")
            if not go_on():
                raise Unavailable("rclone is not wanted any more")
        try:
            answer = self._http.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise _gone(error) from None

    def close(self) -> None:
        self._http.close()
        self._socket.close()


class _Words:
    """What it says on standard error: read at once, since a full pipe would halt it."""

    def __init__(self, child: process.Child) -> None:
        self.tail = ""
        self.ended = threading.Event()
        threading.Thread(target=self._read, args=(child,), daemon=True).start()

    def _read(self, child: process.Child) -> None:
        assert child.stderr is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(OSError, ValueError):  # closed by who ends it
            for line in child.stderr:
                self.tail = line.decode(errors="replace")
        self.ended.set()


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _error(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return ""


def _trouble(words: str) -> Unavailable | ConfigError:
    return rclone_log.trouble(process.Ended(1, b"", words))


def _gone(error: Exception) -> Unavailable:
    return Unavailable(f"rclone does not answer: {error or type(error).__name__}")
