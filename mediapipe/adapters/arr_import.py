"""Sonarr, Radarr and Lidarr take over a download: one command, its result polled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe.adapters.arr import UNDER_WAY
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


class ArrImport:
    """An app that is told where a download lies. The rules: `usenet.Importer`."""

    def __init__(self, arr: Arr) -> None:
        """Nothing is sent yet; raises ConfigError for an app that imports nothing."""
        if arr.kind not in _COMMANDS:
            raise ConfigError(
                f"[arr.{arr.name}] is {arr.kind}, which imports no downloads",
                hint="name a Sonarr, Radarr or Lidarr in [sabnzbd.arr]",
            )
        self.name = arr.name
        self._arr = arr

    def take(self, path: str, job: str, *, go_on: Callable[[], bool]) -> str:
        """Tell it, and wait; as `usenet.Importer` has it.

        The answer to the command is a success always: its result tells. A download that the app
        knows by its id is imported as that one, wherever it lies.
        """
        seen = as_app(path, self._arr.config.path_map)
        name = _COMMANDS[self._arr.kind]
        command = self._arr.run(name, go_on, path=seen, downloadClientId=job, importMode="Move")
        if command.get("status") in UNDER_WAY:
            return "under way"
        status, result = str(command.get("status")), str(command.get("result"))
        if status != "completed":
            words = command.get("exception") or command.get("message") or "it does not tell why"
            raise ActionFailed(f"{self.name} gave up on {seen} ({status}): {str(words)[:200]}")
        return result
