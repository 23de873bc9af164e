"""Where the configuration and the state lie, before either of them has been read."""

from __future__ import annotations

import os

DEFAULT_CONFIG = "/etc/mediapipe/config.toml"
STATE = "/var/lib/mediapipe"
"""The default of `[paths] state`."""
TRIGGER = "upload.due"
"""A file in the state folder: while it is there, the next upload looks at more than folders."""


def find(argument: str | None) -> str:
    """Give the configuration's path: `--config`, else `$MEDIAPIPE_CONFIG`, else /etc."""
    return argument or os.environ.get("MEDIAPIPE_CONFIG") or DEFAULT_CONFIG


def state_folder(configured: str) -> str:
    """Give the state folder: systemd's `$STATE_DIRECTORY` wins over `[paths] state`."""
    return os.environ.get("STATE_DIRECTORY", "").split(":")[0] or configured
