"""What the flags of the mount are worth: those of the configuration against larger ones.

Every measurement starts a mount of its own with an empty cache, through `mediapipe mount`, before
a B2 server that takes 50 ms for each call.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks._main import main
from benchmarks._peaks import high_water
from benchmarks._table import SCRIPTS, Row, against, interleaved
from benchmarks._trees import NOWHERE, b2_process, sparse
from mediapipe.testing.box import BUCKET, Box
from mediapipe.testing.loopback import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
LATENCY = 0.05
"""Seconds added to each call."""
LARGER = {"buffer_size": "512M", "vfs_read_chunk_size": "128M"}
"""The defaults before they were measured (ADR 16)."""
NAME = "512M buffers, 128M chunks"
FIRST = 1 << 16
"""Bytes that a player asks for first."""
PATIENCE = 60.0


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    readers: int = 4
    film: int = 1 << 30


TINY = Sizes(2, 8 * MIB)


@dataclass
class Measured:
    """One life of a mount: seconds, and MiB at most."""

    first: float = 0.0
    jump: float = 0.0
    one: float = 0.0
    all: float = 0.0
    memory: float = 0.0


class Films:
    """Films on a remote, and how it is to watch them."""

    def __init__(self, folder: Path, rclone_config: str, sizes: Sizes) -> None:
        """Send the films; none of their bytes is in a cache."""
        self.box = Box(folder / "box", NOWHERE, rclone_config)
        self._sizes = sizes
        self._folder = folder
        self.point = folder / "mnt"
        source = folder / "source"
        names = [f"film {number}.mkv" for number in range(sizes.readers + 1)]
        for name in names:
            sparse(source / name, sizes.film)
        copy = [str(SCRIPTS / "rclone"), "copy", "--config", str(self.box.folder / "rclone.conf")]
        subprocess.run([*copy, str(source), f"b2:{BUCKET}/movies"], check=True, capture_output=True)
        shutil.rmtree(source)
        self._films = [str(self.point / "movies" / name) for name in names]

    def watch(self, **flags: str) -> Measured:
        """See how long it takes to begin, to jump, to read a film, and all others at once."""
        found = Measured()
        with self._mounted(flags):
            found.first = statistics.median(begin(film) for film in self._films)
            started = time.perf_counter()
            with open(self._films[0], "rb", buffering=0) as film:
                film.seek(self._sizes.film * 4 // 5)
                film.read(FIRST)
                found.jump = time.perf_counter() - started
        with self._mounted(flags) as pid:
            found.one = self._read(self._films[:1])
            found.all = self._read(self._films[1:])
            found.memory = high_water(pid)
        return found

    def _read(self, films: list[str]) -> float:
        threads = [threading.Thread(target=read, args=(film,)) for film in films]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - started

    @contextlib.contextmanager
    def _mounted(self, flags: dict[str, str]) -> Iterator[int]:
        """Mount until the end of the block; gives rclone's process."""
        mount = {"allow_other": False, "vfs_cache_min_free_space": "1G", **flags}
        rclone = {"mount_point": str(self.point), "rc_addr": f"{HOST}:{free_port()}"}
        self.box.settings.pop("rclone.mount", None)
        self.box.write_config(rclone=rclone, **{"rclone.mount": mount})
        cache = self._folder / "cache"
        ready = self._folder / "notify"
        ready.unlink(missing_ok=True)
        environment = {**os.environ, "CACHE_DIRECTORY": str(cache), "NOTIFY_SOCKET": str(ready)}
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
            (self._folder / "console").open("ab") as console,
        ):
            channel.bind(str(ready))
            channel.settimeout(PATIENCE)
            command = [str(SCRIPTS / "mediapipe"), "mount", "--config", str(self.box.config_path)]
            program = subprocess.Popen(command, env=environment, stdout=console, stderr=console)
            try:
                while b"READY=1" not in channel.recv(4096):
                    pass
                yield program.pid
            finally:
                program.send_signal(signal.SIGTERM)
                program.wait(PATIENCE)
                unmount = ["fusermount3", "-u", "-z", str(self.point)]
                subprocess.run(unmount, capture_output=True, check=False)
                shutil.rmtree(cache, ignore_errors=True)


def begin(path: str) -> float:
    """Give the seconds until the first bytes are there."""
    started = time.perf_counter()
    with open(path, "rb", buffering=0) as film:
        film.read(FIRST)
        return time.perf_counter() - started


def read(path: str) -> None:
    """Read a file to its end."""
    with open(path, "rb", buffering=0) as file:
        while file.read(MIB):
            pass


def flags(folder: Path, sizes: Sizes, rounds: int) -> Iterator[Row]:
    """Hold the flags of the configuration against larger ones."""
    ours: list[Measured] = []
    other: list[Measured] = []
    with b2_process(LATENCY, folder / "b2") as config:
        films = Films(folder, config, sizes)

        def measure(into: list[Measured], **flags: str) -> float:
            into.append(films.watch(**flags))
            return 0.0

        interleaved(rounds, lambda: measure(ours), lambda: measure(other, **LARGER))
    size = f"{sizes.film // MIB} MiB"
    for what, name, goal in (
        ("first byte of a film", "first", 1.1),
        ("a jump to four fifths of it", "jump", 1.1),
        (f"one cold reader of {size}", "one", 1.1),
        (f"{sizes.readers} cold readers of {size} each", "all", 1.1),
    ):
        pair = [[getattr(one, name) for one in measured] for measured in (ours, other)]
        yield against(f"{what}, {LATENCY * 1000:.0f} ms per call", pair[0], pair[1], NAME, goal)
    most, larger = (max(one.memory for one in measured) for measured in (ours, other))
    row = f"memory of rclone with {sizes.readers} readers"
    ratio = statistics.median(a.memory / b.memory for a, b in zip(ours, other, strict=True))
    yield Row(row, f"{most:.0f} MiB", f"{NAME}: {larger:.0f} MiB", ratio, 0.5)


if __name__ == "__main__":
    if shutil.which("fusermount3") is None:
        sys.exit("fusermount3 is not installed: apt-get install fuse3")
    main("mount", __doc__, {"flags": flags}, Sizes(), TINY)
