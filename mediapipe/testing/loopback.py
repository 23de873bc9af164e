"""What every server started on loopback needs: its process, free ports, and some patience."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HOST: Final = "127.0.0.1"
POLL_SECONDS: Final = 0.05
T = TypeVar("T")


class ServerError(RuntimeError):
    """A server could not be started or refused an order; the text holds a hint or its log."""


def wait_until(predicate: Callable[[], T], *, seconds: float, what: str | Callable[[], str]) -> T:
    """Poll `predicate` until its value is true and return that value.

    After `seconds` raise TimeoutError naming `what`; a callable is asked only then.
    """
    deadline = time.monotonic() + seconds
    while not (value := predicate()):
        if time.monotonic() >= deadline:
            name = what if isinstance(what, str) else what()
            raise TimeoutError(f"gave up after {seconds:g} s waiting for {name}")
        time.sleep(POLL_SECONDS)
    return value


def free_port() -> int:
    """Return a port that nobody on this machine uses now, for TCP and UDP.

    It lies below the range from which the kernel takes ports for outgoing connections, so that
    only a program that asks for this very number can take it before the caller does. The port is
    looked up, not tried: a trial holds it for a moment, in which another server fails to start.
    """
    kernels = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()
    tables = [Path("/proc/net", name) for name in ("tcp", "tcp6", "udp", "udp6")]
    rows = [row for table in tables if table.exists() for row in table.read_text().splitlines()[1:]]
    taken = {int(row.split()[1].rpartition(":")[2], 16) for row in rows}
    free: list[int] = sorted({*range(10_000, max(int(kernels[0]), 11_000))} - taken)
    return random.choice([*free])  # noqa: S311


def listens(pid: int, port: int) -> bool | None:
    """Whether this process listens on the TCP port; None while no process does."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()]
    # Columns: 1 is address:port in hex, 3 the state, of which 0A is "listening", 9 the inode.
    inodes = [row[9] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    opened = {descriptor.resolve().name for descriptor in Path(f"/proc/{pid}/fd").iterdir()}
    return all(f"socket:[{inode}]" in opened for inode in inodes) if inodes else None


def spawn(
    command: Sequence[str], home: Path, hint: str, *, lives_on: bool = False
) -> subprocess.Popen[bytes]:
    """Start a server in its folder `home`, off the user's settings; its output goes to `console`.

    Unless it `lives_on`, the kernel kills it as soon as the thread ends that called this.
    """
    guard = [] if lives_on else ["setpriv", "--pdeathsig", "KILL"]
    for program in (command[0], *guard[:1]):
        if shutil.which(program) is None:
            raise ServerError(f"{program} not found; hint: {hint}")
    path = os.environ.get("PATH", os.defpath)
    with (home / "console").open("ab") as console:
        return subprocess.Popen(
            [*guard, *command],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={"PATH": path, "HOME": os.fspath(home), "LC_ALL": "C.UTF-8"},
            start_new_session=True,  # Ctrl-C reaches only the program that stops it in order
        )


def end(process: subprocess.Popen[bytes], timeout: float) -> None:
    """Ask a child to end (SIGTERM); after `timeout` seconds kill it."""
    process.terminate()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
    process.wait()
