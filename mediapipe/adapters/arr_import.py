"""Sonarr, Radarr and Lidarr take over a download: one command, its result polled."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mediapipe.config import as_app
from mediapipe.errors import ActionFailed, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediapipe.adapters.arr import Arr

_COMMANDS = {
    "sonarr": "DownloadedEpisodesScan",
    "radarr": "DownloadedMoviesScan",
    "lidarr": "DownloadedAlbumsScan",
}
_UNDER_WAY = ("queued", "started")
_PAUSE = 0.5
"""Seconds between two looks at a command."""


class ArrImport:
    """An app that is told where a download lies. The rules: `usenet.Importer`."""

    def __init__(self, arr: Arr, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Nothing is sent yet; raises ConfigError for an app that imports nothing."""
        if arr.kind not in _COMMANDS:
            raise ConfigError(
                f"[arr.{arr.name}] is {arr.kind}, which imports no downloads",
                hint="name a Sonarr, Radarr or Lidarr in [sabnzbd.arr]",
            )
        self.name = arr.name
        self._arr, self._sleep = arr, sleep

    def take(self, path: str, job: str, *, go_on: Callable[[], bool]) -> str:
        """Tell it, and wait; as `usenet.Importer` has it.

        The answer to the command is a success always: its result tells. A download that the app
        knows by its id is imported as that one, wherever it lies.
        """
        seen = as_app(path, self._arr.config.path_map)
        command = self._arr.create(
            "command",
            {
                "name": _COMMANDS[self._arr.kind],
                "path": seen,
                "downloadClientId": job,
                "importMode": "Move",
            },
        )
        number = command.get("id")
        while str(command.get("status")) in _UNDER_WAY:
            if not go_on() or not isinstance(number, int):
                return "under way"
            self._sleep(_PAUSE)
            command = self._arr.one(f"command/{number}")
        status, result = str(command.get("status")), str(command.get("result"))
        if status != "completed":
            words = command.get("exception") or command.get("message") or "it does not tell why"
            raise ActionFailed(f"{self.name} gave up on {seen} ({status}): {str(words)[:200]}")
        return result
