"""A media box inside the machine: a B2 account, a qBittorrent, folders and a configuration."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from mediapipe.testing.b2 import B2Server

if TYPE_CHECKING:
    from tests.machine import Machine

# The machine has a network of its own, so that its ports are nobody else's.
B2_PORT, QBITTORRENT_PORT, PEER_PORT = 9100, 8080, 9102
PYTHON = "/usr/local/lib/mediapipe/bin/python"
"""The interpreter that was installed: the user of the units can run it, in their sandbox too."""
TV, COMPLETED = "/srv/media/library/tv", "/srv/media/completed"
SHOW = f"{TV}/Show/S01E01.mkv"

CONFIG = f"""
[paths]
completed = "{COMPLETED}"
extracted = "/srv/media/extracted"

[qbittorrent]
url = "http://127.0.0.1:{QBITTORRENT_PORT}"
timeout = "5s"

[categories]
tv-sonarr = "{COMPLETED}/tv"

[libraries.tv]
root = "{TV}"
remote = "tv"
category = "tv-sonarr"
arr = ""

[rclone]
remote = "b2:entertainment-netmount"
config_file = "rclone.conf"

[upload]
settle = "0s"
stats_interval = "1s"
"""

# Sonarr and others run without the sandbox, so these need none of our units' settings.
B2 = f"""
[Unit]
Description=A B2 account in a folder
[Service]
ExecStart="%PYTHON" -m mediapipe.testing.b2 --port {B2_PORT} --root /srv/b2
[Install]
WantedBy=multi-user.target
"""
START_QBITTORRENT = f"""
import signal
from pathlib import Path
from mediapipe.testing.qbittorrent import QbittorrentServer
server = QbittorrentServer(Path("/srv/qbittorrent"), completed=Path("{COMPLETED}"),
                           web_port={QBITTORRENT_PORT}, peer_port={PEER_PORT})
signal.signal(signal.SIGTERM, lambda *_: server.stop())
with server:
    signal.pause()
"""
QBITTORRENT = """
[Unit]
Description=qBittorrent
[Service]
ExecStartPre=/bin/sleep 2
ExecStart="%PYTHON" /srv/qbittorrent/start.py
"""
# Markers and state go too: what one test uploaded is nothing that the next one knows.
RESET = f"""
ours=$(ls /usr/local/lib/systemd/system | grep -v -e '[.]d$' -e @)
systemctl disable --quiet --now $ours 2>/dev/null || true
systemctl stop qbittorrent-nox.service
rm -rf /etc/systemd/system/*.d /etc/systemd/system/mediapipe* {TV}/* /var/lib/mediapipe/*
find {COMPLETED} -type f -delete
systemctl daemon-reload
systemctl reset-failed
journalctl --quiet --rotate --vacuum-size=1 2>/dev/null
"""


class MediaBox:
    """The installed machine with services around it, and short words for what tests do to it."""

    def __init__(self, machine: Machine, python: str = sys.executable) -> None:
        """`python` is an interpreter inside that has `mediapipe.testing`."""
        self.machine = machine
        self._python = python

    def set_up(self) -> None:
        """Write units, folders, secrets and the configuration; start the B2 account."""
        for name, unit in (("b2", B2), ("qbittorrent-nox", QBITTORRENT)):
            text = unit.replace("%PYTHON", self._python)
            self.machine.write(f"/etc/systemd/system/{name}.service", text)
        self.machine.write("/srv/qbittorrent/start.py", START_QBITTORRENT)
        self.machine.sh(
            f"install -d -o media -g media {TV} {COMPLETED} {COMPLETED}/tv /srv/media/extracted"
        )
        self.configure()
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("enable", "--now", "b2.service")
        with B2Server() as like_it:
            text = like_it.rclone_config().replace(like_it.url, f"http://127.0.0.1:{B2_PORT}")
        self.machine.write("/etc/credstore/rclone.conf", text, mode=0o600)
        self.wait_for_b2()

    def configure(self, *changes: tuple[str, str]) -> None:
        """Write the configuration, with words of it replaced."""
        text = CONFIG
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.machine.write("/etc/mediapipe/config.toml", text)

    def add_show(self, path: str = SHOW, *, kib: int = 4) -> None:
        """Put a file into the library, as Sonarr would."""
        self.machine.sh(
            f'install -d -o media -g media "{path.rpartition("/")[0]}"; '
            f'head -c {kib}K /dev/urandom >"{path}"; chown media:media "{path}"'
        )

    def remove_show(self, path: str = SHOW) -> None:
        """Take a file and its marker away."""
        self.machine.run("rm", "-f", path, f"{path}.uploaded")

    def start(self, unit: str) -> dict[str, str]:
        """Start a unit and wait for its end; gives what systemd says of it."""
        self.machine.run("systemctl", "start", unit, status=None)
        return self.machine.show(unit, "Result", "ExecMainStatus", "ActiveState", "NRestarts")

    def events(self, **fields: str) -> list[dict[str, Any]]:
        """Give the journal's entries with these MEDIAPIPE_ fields: `job="upload"`."""
        wanted = {f"MEDIAPIPE_{name.upper()}": value for name, value in fields.items()}
        return self.machine.journal(**wanted)

    def reset(self) -> None:
        """Stop our units, and take away what a test added to them, to library and journal."""
        self.machine.sh(RESET)

    def wait_for_b2(self) -> None:
        """Wait until the account answers: an upload before that would rest for minutes."""
        self.machine.wait_for(self._b2_answers, what="the B2 account")

    def _b2_answers(self) -> bool:
        probe = f"import socket; socket.create_connection(('127.0.0.1', {B2_PORT}))"
        return self.machine.run(PYTHON, "-c", probe, status=None).returncode == 0
