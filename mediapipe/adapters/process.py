"""The one place that starts processes: own process group, no standard input, ended for sure."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, NoReturn

from mediapipe.errors import ConfigError, Unavailable
from mediapipe.facts import fact
from mediapipe.gradually import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

_GRACE = 30.0
"""Seconds between TERM and KILL: rclone cancels its unfinished large file in less than one."""
_KILLED = 5.0
"""Seconds after KILL: who waits for a FUSE server that hangs cannot even be killed."""
_TAIL = 1 << 20
_RCLONE_KEPT = {
    "RCLONE_CONFIG",
    "RCLONE_CONFIG_DIR",
    "RCLONE_CONFIG_PASS",
    "RCLONE_PASSWORD_COMMAND",
}


Child = subprocess.Popen[bytes]


@fact
class Ended:
    """How a child ended; `output` is its standard output, `errors` the tail of the other one."""

    status: int
    output: bytes
    errors: str


def running(
    command: Sequence[str],
    *,
    timeout: float,
    on_line: Callable[[str], bool] | None = None,
    on_output: Callable[[bytes], None] | None = None,
    watch: Callable[[], bool] | None = None,
    largest_file: int | None = None,
    grace: float = _GRACE,
) -> Generator[None, None, Ended]:
    """Run a child to its end; whoever iterates has a turn when it wrote, and about every second.

    `on_line` gets each line of standard error and tells whether the child is alive by it;
    `timeout` is in seconds without such a line (without `on_line`: without a byte of output).
    `on_output` gets each line of standard output, which is not kept then.
    `watch` is called about every second, tells the same in another way, and may raise. No file
    that the child writes grows beyond `largest_file` bytes. A child that is told to end has `grace`
    seconds for it. Raises Unavailable where it stalls, ConfigError where it cannot be started.
    """
    with started(command, largest_file, grace=grace) as child:
        output = bytearray()
        lines = _Lines(on_line)
        answers = _Answers(output, on_output)
        deadline = time.monotonic() + timeout
        if largest_file is not None:
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (largest_file, largest_file))
        with selectors.DefaultSelector() as selector:
            for stream in (child.stdout, child.stderr):
                assert stream is not None  # noqa: S101 - both are pipes
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Unavailable(f"{os.path.basename(command[0])} stalled for {timeout:.0f} s")
                if watch is not None and watch():
                    deadline = time.monotonic() + timeout
                for key, _ in selector.select(min(left, 1.0)):
                    chunk = os.read(key.fd, 1 << 16)
                    if not chunk:
                        selector.unregister(key.fileobj)
                        continue
                    if key.fileobj is child.stdout:
                        answers.feed(chunk)
                        alive = True
                    else:
                        alive = lines.feed(chunk)
                    if alive:
                        deadline = time.monotonic() + timeout
                turn = time.monotonic()
                yield
                deadline += time.monotonic() - turn  # others had it, and the child may have waited
        lines.feed(b"\n")
        return Ended(child.wait(), bytes(output), lines.tail())


run = whole(running)
"""Run a child to its end, as `running` does, and give how it ended."""


def become(command: Sequence[str]) -> NoReturn:
    """Give this process to another program, with the terminal, and systemd's ear (NOTIFY_SOCKET).

    Raises FileNotFoundError.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # we ignore it, and so would the program
    environment = _environment("NOTIFY_SOCKET")
    os.execvpe(command[0], [*command], environment)  # noqa: S606 - no shell is wanted


def gather(
    commands: Sequence[Sequence[str]],
    *,
    timeout: float,
    most: int,
    go_on: Callable[[], bool] = lambda: True,
) -> list[Ended]:
    """Run children side by side, at most `most` of them; gives how each ended, in their order.

    `timeout` is in seconds, for each of them. Raises as `run` does, and Unavailable soon after
    `go_on`, which is asked about each second, says no.
    """
    ended: list[Ended] = []
    for first in range(0, len(commands), most):
        with contextlib.ExitStack() as stack:
            wave = commands[first : first + most]
            children = [stack.enter_context(started(command)) for command in wave]
            ended += _collect(children, os.path.basename(wave[0][0]), timeout, go_on)
    return ended


def _collect(
    children: Sequence[Child],
    name: str,
    timeout: float,
    go_on: Callable[[], bool],
) -> list[Ended]:
    """Read all that some children write, until each of them has ended."""
    deadline = time.monotonic() + timeout
    outputs = [bytearray() for _ in children]
    errors = [bytearray() for _ in children]
    with selectors.DefaultSelector() as selector:
        for child, output, error in zip(children, outputs, errors, strict=True):
            for stream, text in ((child.stdout, output), (child.stderr, error)):
                assert stream is not None  # noqa: S101 - both are pipes
                selector.register(stream, selectors.EVENT_READ, text)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unavailable(f"{name} stalled for {timeout:.0f} s")
            if not go_on():
                raise Unavailable(f"{name} is not wanted any more")
            for key, _ in selector.select(min(left, 1.0)):
                if chunk := os.read(key.fd, 1 << 16):
                    key.data.extend(chunk)
                else:
                    selector.unregister(key.fileobj)
    return [
        Ended(child.wait(), bytes(output), error.decode(errors="replace").strip())
        for child, output, error in zip(children, outputs, errors, strict=True)
    ]


class _Answers:
    """Keeps standard output, or hands on its lines."""

    def __init__(self, kept: bytearray, on_output: Callable[[bytes], None] | None) -> None:
        self._kept = kept
        self._on_output = on_output

    def feed(self, chunk: bytes) -> None:
        self._kept += chunk
        if self._on_output is not None:
            *lines, rest = bytes(self._kept).split(b"\n")
            self._kept[:] = rest
            for line in lines:
                self._on_output(line)


class _Lines:
    """Cuts standard error into lines, hands them on, and keeps the last of them."""

    def __init__(self, on_line: Callable[[str], bool] | None) -> None:
        self._on_line = on_line
        self._rest = b""
        self._tail = bytearray()

    def feed(self, chunk: bytes) -> bool:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        alive = self._on_line is None
        for line in lines:
            self._tail += line + b"\n"
            if self._on_line is not None and line:
                alive |= self._on_line(line.decode(errors="replace"))
        del self._tail[:-_TAIL]
        return alive

    def tail(self) -> str:
        return self._tail.decode(errors="replace").strip()


@contextlib.contextmanager
def started(
    command: Sequence[str], largest_file: int | None = None, *, grace: float = _GRACE
) -> Iterator[Child]:
    """Start a child in a group of its own, and end the group on the way out, however that is.

    `grace` is in seconds: how long it may take to end in order.

    Where we are killed nobody is left to end it: the kernel then tells it to go. An rclone that
    lived on would put old bytes over new ones, or hide what has been proven meanwhile.
    """
    if shutil.which(command[0]) is None:
        raise ConfigError(f"cannot start {command[0]}: it is no program")
    guard = [*_with("setpriv", "--pdeathsig", "TERM", "--")]
    if largest_file is not None:  # before its first byte, which may come before ours is heard
        guard += _with("prlimit", f"--fsize={largest_file}:{largest_file}")
    try:
        child = subprocess.Popen(
            [*guard, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=_environment(),
        )
    except OSError as error:
        raise ConfigError(f"cannot start {command[0]}: {error.strerror}") from None
    try:
        yield child
    finally:
        try:
            _end(child, grace)
        finally:
            for stream in (child.stdout, child.stderr):
                if stream is not None:
                    stream.close()


def _with(program: str, *options: str) -> tuple[str, ...]:
    """Give the beginning of a command line that sets something for the rest of it, if it can."""
    found = shutil.which(program)
    return (found, *options) if found else ()


def _environment(*kept: str) -> dict[str, str]:
    """Give a child our environment, without what would make it another program than we know.

    `RCLONE_…` sets any option and any remote of rclone: one forgotten line in a shell could send
    the uploads elsewhere, or prove them by a listing of old versions. Where its configuration lies
    and how it is opened may be said there.
    """
    return {
        key: value
        for key, value in os.environ.items()
        if key in kept
        or (key != "NOTIFY_SOCKET" and (not key.startswith("RCLONE_") or key in _RCLONE_KEPT))
    }


def _end(child: Child, grace: float) -> None:
    """End a child's group: TERM, and KILL for what has not gone after the grace time.

    Where the child has ended in order and closed its pipes, nothing is left to end. A signal to us
    during the grace time must not leave anything behind, so KILL comes on every way out.
    """
    if child.returncode is not None:
        return
    try:
        if child.poll() is None:
            _signal(child, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(grace)
    finally:
        _signal(child, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_KILLED)


def _signal(child: Child, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, sign)
