"""A real `rclone mount` with its remote control, which keeps its listings for an hour."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Self

from mediapipe.adapters.rclone_program import find_binary
from mediapipe.testing.loopback import spawn, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from mediapipe.testing.b2 import B2Server

PATIENCE = 30.0


class RealMount:
    """Mounted from `with` on; `rc.json` lies in the state folder, as it does on a host."""

    user, password = "mediapipe", "correct horse: battery"

    def __init__(self, folder: Path, server: B2Server, state: Path, *, unix: bool = False) -> None:
        self.folder = folder
        self.point = folder / "mounted"
        self.file = state / "rc.json"
        self.rc_addr = f"unix://{folder}/rc.sock" if unix else ""
        self._server = server
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.point.mkdir(parents=True, exist_ok=True)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        (self.folder / "mount.conf").write_text(self._server.rclone_config())
        # fmt: off
        command = [
            find_binary("rclone"), "mount", f"b2:{self._server.bucket}", str(self.point),
            "--config", str(self.folder / "mount.conf"), "--cache-dir", str(self.folder / "cache"),
            "--read-only", "--vfs-cache-mode", "full", "--vfs-fast-fingerprint",
            "--dir-cache-time", "1h", "--rc", "--rc-addr", self.rc_addr or "127.0.0.1:0",
            "--rc-user", self.user, "--rc-pass", self.password,
        ]
        # fmt: on
        self._process = spawn(command, self.folder, "make programs")
        try:
            wait_until(self._is_up, seconds=PATIENCE, what=self._console)
        except BaseException:
            self.stop()
            raise
        self.write_login()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, *, kill: bool = False) -> None:
        """Unmount and end rclone, or kill it; `rc.json` stays, and a killed one's socket too."""
        if self._process is not None and kill:
            self._process.kill()
            self._process.wait(PATIENCE)
        unmount = ["fusermount3", "-u", "-z", str(self.point)]
        subprocess.run(unmount, capture_output=True, check=False)
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def signal(self, number: int) -> None:
        """Send rclone a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def write_login(self, password: str = password) -> None:
        self.file.write_text(json.dumps({"user": self.user, "password": password}))

    def shown(self) -> set[str]:
        """Give the names of all files, from the root down."""
        return {
            os.path.relpath(os.path.join(folder, name), self.point)
            for folder, _, names in os.walk(self.point)
            for name in names
        }

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._console()
        if not self.rc_addr:
            found = re.search(r"remote control on http://([\d.]+:\d+)/", self._console())
            self.rc_addr = found[1] if found else ""
        return bool(self.rc_addr) and os.path.ismount(self.point)

    def _console(self) -> str:
        return (self.folder / "console").read_text()
