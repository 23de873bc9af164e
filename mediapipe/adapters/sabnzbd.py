"""SABnzbd through its API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe.adapters import http
from mediapipe.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from mediapipe.config import SabnzbdConfig

_OK, _SHORT = 200, 200


class Sabnzbd:
    """One SABnzbd."""

    def __init__(self, config: SabnzbdConfig, key: str) -> None:
        """Nothing is sent yet."""
        self._config = config
        self._key = key

    def ready(self) -> str:
        """Give its version, once it shows its queue for the key.

        Without a key it tells its version to everybody. Raises Unavailable, and ConfigError where
        it refuses the key.
        """
        query = {"mode": "queue", "limit": "1", "output": "json", "apikey": self._key}
        answer = http.get("SABnzbd", f"{self._config.url.rstrip('/')}/api", query=query)
        where, words = f"SABnzbd at {self._config.url}", " ".join(answer.text.split())[:_SHORT]
        body = http.json_of(answer)
        queue = body.get("queue") if isinstance(body, dict) else None
        if answer.status_code == _OK and isinstance(queue, dict):
            return str(queue.get("version") or "without a version")
        if "api key" in words.lower():  # a status of 200 or 403, as text or as JSON
            raise ConfigError(
                f"{where} refuses the key: {words}",
                hint="put the API key (Config, General; not the NZB key) into "
                "[sabnzbd] api_key_file",
            )
        if "hostname verification" in words.lower():
            raise ConfigError(
                f"{where} does not know itself by this name",
                hint="add it to its host_whitelist, or write the IP address",
            )
        raise Unavailable(
            f"{where} answers {answer.status_code}: {words}", hint="check [sabnzbd] url"
        )
