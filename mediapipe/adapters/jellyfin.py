"""Jellyfin, told which files of the mount are new; it looks at them a minute later."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from mediapipe.adapters import b2_names, http
from mediapipe.config import as_app
from mediapipe.errors import ActionFailed, ConfigError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediapipe.config import JellyfinConfig

_OK, _DONE, _MALFORMED, _REFUSED = 200, 204, 400, (401, 403)
_KEY = re.compile(r"[\w.-]+", re.ASCII)


class Jellyfin:
    """A `Listener` port that is filled by one Jellyfin server."""

    name = "jellyfin"

    def __init__(self, config: JellyfinConfig, mount_point: str, key: Callable[[], str]) -> None:
        """`key` reads the API key, and may raise ConfigError. Nothing is sent yet."""
        self._config = config
        self._mount_point = mount_point
        self._key = key

    def uploaded(self, names: Sequence[str]) -> None:
        """Tell the paths; Jellyfin takes all of them in one request, and collects for a minute."""
        headers = {**self._login(), "Content-Type": "application/json"}
        updates = [{"Path": self._path(name), "UpdateType": "Created"} for name in names]
        url = f"{self._config.url.rstrip('/')}/Library/Media/Updated"
        answer = http.post("Jellyfin", url, json.dumps({"Updates": updates}).encode(), headers)
        status, where = self._accepted(answer.status_code), f"Jellyfin at {self._config.url}"
        if status == _MALFORMED:
            raise ActionFailed(f"{where} does not understand what it is told ({status})")
        if status != _DONE:
            raise Unavailable(
                f"{where} answers {status} instead of {_DONE}", hint="check [jellyfin] url"
            )

    def ready(self) -> str:
        """Give its version, once it tells the key's owner about itself.

        Raises Unavailable, and ConfigError where it refuses the key.
        """
        url = f"{self._config.url.rstrip('/')}/System/Info"
        answer = http.get("Jellyfin", url, headers=self._login())
        status = self._accepted(answer.status_code)
        body = http.json_of(answer)
        if status != _OK or not isinstance(body, dict) or not {"Id", "Version"} <= body.keys():
            raise Unavailable(
                f"Jellyfin at {self._config.url} answers {status} without its version",
                hint="is it starting, and is [jellyfin] url right?",
            )
        return str(body["Version"])

    def _login(self) -> dict[str, str]:
        key = self._key()
        if not _KEY.fullmatch(key):
            raise ConfigError(
                "what stands in jellyfin.api_key_file is no API key",
                hint="make one in Jellyfin: Dashboard, API Keys",
            )
        # the other ways to send a key (X-Emby-Token, ?api_key=) are off in Jellyfin 12
        return {"Authorization": f'MediaBrowser Token="{key}"'}

    def _accepted(self, status: int) -> int:
        if status in _REFUSED:
            raise ConfigError(
                f"Jellyfin at {self._config.url} refuses the key ({status})",
                hint="make one in its Dashboard, API Keys, and put it into jellyfin.api_key_file",
            )
        return status

    def _path(self, name: str) -> str:
        """Give an object's path as Jellyfin sees it."""
        path = f"{self._mount_point}/{b2_names.as_mount_shows(name)}"
        return b2_names.as_json_shows(as_app(path, self._config.path_map))
