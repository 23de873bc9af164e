"""After a refused secret nothing more is sent until the secret or the configuration changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe.errors import ConfigError, LoginRefused
from mediapipe.records import Pause

if TYPE_CHECKING:
    from mediapipe.config import Config
    from mediapipe.history import History

_FOREVER = 1e12
"""Epoch seconds: such a pause ends by its fingerprint, not by time."""


def demand_open(history: History, service: str, config: Config, path: str) -> None:
    """Raise ConfigError if the service refused the very secret that is there now."""
    pause = history.pauses().get(f"latch {service}")
    if pause is not None and pause.fingerprint == _fingerprint(service, config, path):
        files = " or ".join(_files(service, config, path))
        raise ConfigError(
            f"{pause.reason} (told before; nothing was sent this time)",
            hint=f"mend it; a change of {files} opens the way again, `touch` is enough",
        )


def close(history: History, error: LoginRefused, config: Config, path: str) -> None:
    """Remember a refused secret by what would change with it."""
    fingerprint = _fingerprint(error.service, config, path)
    pause = Pause(_FOREVER, 1, str(error), fingerprint)
    history.pause(f"latch {error.service}", pause)


def _files(service: str, config: Config, path: str) -> list[str]:
    """Give the files whose change may mend a refused secret."""
    settings = config.qbittorrent
    if service == "qbittorrent":
        secrets = [settings.password_file.path(), settings.api_key_file.path()]
    else:
        default = os.path.expanduser("~/.config/rclone/rclone.conf")
        secrets = [config.rclone.config_file.path() or default]
    return [path, *(one for one in secrets if one)]


def _fingerprint(service: str, config: Config, path: str) -> str:
    marks = []
    for file in _files(service, config, path):
        try:
            found = os.stat(file)
        except OSError:
            marks.append((file, 0, 0))
        else:
            marks.append((file, found.st_mtime_ns, found.st_size))
    return repr(marks)
