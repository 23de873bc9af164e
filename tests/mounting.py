"""`mediapipe mount` as people and systemd start it, over a B2 server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mediapipe.testing.box import Box
from mediapipe.testing.loopback import HOST, free_port, wait_until

if TYPE_CHECKING:
    from mediapipe.testing.b2 import B2Server

PATIENCE = 60.0
SCRIPT = str(Path(sys.executable).parent / "mediapipe")
NOBODY = "http://127.0.0.1:9"
# one chunk of 1 MiB: what is not asked for is not read
MOUNT: dict[str, Any] = {
    "vfs_cache_min_free_space": "1M", "vfs_cache_max_size": "1G", "allow_other": False,
    "dir_cache_time": "1h", "buffer_size": "0", "vfs_read_ahead": "0",
    "vfs_read_chunk_size": "1M", "vfs_read_chunk_streams": 0,
}  # fmt: skip


class MountedBox:
    """A box whose remote is mounted by `start`; whatever happened, `with` leaves nothing behind."""

    def __init__(self, folder: Path, server: B2Server, **mount: Any) -> None:
        self.folder = folder
        self.box = Box(folder, NOBODY, server.rclone_config("restricted"))
        self.point = folder / "mnt"
        self.cache = folder / "cache"
        self.port = free_port()
        self.ready = folder / "notify"
        self.process: subprocess.Popen[bytes] | None = None
        rclone = {"mount_point": str(self.point), "rc_addr": f"{HOST}:{self.port}"}
        sections = {"rclone": rclone, "rclone.mount": {**MOUNT, **mount}}
        self.box.write_config(**sections)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(PATIENCE)
        for _layer in range(self.layers()):
            subprocess.run(["fusermount3", "-u", "-z", str(self.point)], check=False)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def layers(self) -> int:
        table = Path("/proc/self/mountinfo").read_text().splitlines()
        return sum(line.split()[4] == str(self.point) for line in table)

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "MEDIAPIPE_CONFIG": str(self.box.config_path),
            "CACHE_DIRECTORY": str(self.cache),
            "NOTIFY_SOCKET": str(self.ready),
        }

    def command(self, *words: str, seconds: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run `mediapipe …` to its end."""
        return subprocess.run(
            [SCRIPT, *words], capture_output=True, text=True, timeout=seconds, check=False,
            stdin=subprocess.DEVNULL, env=self.environment(), errors="surrogateescape",
        )  # fmt: skip

    def answer(self, *words: str, status: int = 0) -> dict[str, Any]:
        ended = self.command(*words, "--json")
        assert ended.returncode == status, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return json.loads(ended.stdout)

    def start(self) -> None:
        """Start the mount as systemd does, and wait until rclone says that it is ready."""
        self.ready.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.bind(str(self.ready))
            channel.settimeout(0.1)
            with (self.folder / "console").open("ab") as console:
                self.process = subprocess.Popen(
                    [SCRIPT, "mount"], stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                    env=self.environment(), start_new_session=True,
                )  # fmt: skip

            def is_ready() -> bool:
                assert self.process is not None
                assert self.process.poll() is None, self.console()
                try:
                    return b"READY=1" in channel.recv(4096)
                except TimeoutError:
                    return False

            wait_until(is_ready, seconds=PATIENCE, what=self.console)

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End rclone by force: the mount is left, and dead."""
        self.signal(signal.SIGKILL)
        self.process.wait(PATIENCE)  # type: ignore[union-attr]

    def login(self) -> tuple[str, str]:
        entries = json.loads((self.box.state / "rc.json").read_text())
        return entries["user"], entries["password"]

    def console(self) -> str:
        return (self.folder / "console").read_text()
