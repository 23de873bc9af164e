"""qBittorrent through its WebUI, as the port `TorrentClient`; paths come out as this host's."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

import qbittorrentapi
from qbittorrentapi import exceptions as api

from mediapipe.config import as_host
from mediapipe.errors import ActionFailed, ConfigError, LoginRefused, Unavailable
from mediapipe.ports import Torrent, TorrentFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mediapipe.config import QbittorrentConfig

T = TypeVar("T")
_RETRY_EVERY = 1.0


class Qbittorrent:
    """One session with one qBittorrent; logs in at the first call."""

    def __init__(self, config: QbittorrentConfig, password: str, api_key: str) -> None:
        """Nothing is sent yet. `password` and `api_key` are blank where none is configured."""
        self._config = config
        self._login = bool(config.username) and not api_key
        # its answers are checked field by field below; its own types promise less than it gives
        self._client: Any = qbittorrentapi.Client(
            host=config.url,
            username=config.username if self._login else None,
            password=password if self._login else None,
            # without it the library probes schemes, and one hang costs ten time-outs
            FORCE_SCHEME_FROM_HOST=True,
            REQUESTS_ARGS={"timeout": int(config.timeout)},
            DISABLE_LOGGING_DEBUG_OUTPUT=True,
            EXTRA_HEADERS={"Authorization": f"Bearer {api_key}"} if api_key else None,
        )

    def wait(self, seconds: float) -> None:
        """Wait until the WebUI answers, at most `seconds`; one refused login ends the wait."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._call(self._client.app_version)
            except Unavailable:
                if time.monotonic() + _RETRY_EVERY > deadline:
                    raise
                time.sleep(_RETRY_EVERY)
            else:
                return

    def categories(self) -> Mapping[str, str]:
        """Give category name → absolute save path as qBittorrent sees it."""
        default = str(self._call(self._client.app_default_save_path)).rstrip("/")
        answer = self._call(
            lambda: {
                str(name): str(one.get("savePath") or name)
                for name, one in self._client.torrents_categories().items()
            }
        )
        # a blank path means a folder of the category's name, a relative one lies there too
        return {name: os.path.join(default, path).rstrip("/") for name, path in answer.items()}

    def create_category(self, name: str, save_path: str) -> None:
        """Create a category."""
        try:
            self._call(lambda: self._client.torrents_create_category(name, save_path=save_path))
        except api.Conflict409Error:
            raise ActionFailed(
                f"qBittorrent refuses the category {name!r} at {save_path}"
            ) from None

    def torrents(self) -> tuple[Torrent, ...]:
        """Give all torrents."""
        return self._call(lambda: tuple(self._torrent(one) for one in self._client.torrents_info()))

    def files(self, torrent: Torrent) -> tuple[TorrentFile, ...]:
        """Give the files of a torrent as `save_path + name`.

        Its `content_path` is no help: it can be a whole category folder, relative, or blank.
        """
        folder = torrent.save_path.rstrip("/")
        try:
            return self._call(
                lambda: tuple(
                    TorrentFile(
                        f"{folder}/{one['name']}",
                        int(one["size"]),
                        int(one["priority"]) != 0,
                        float(one["progress"]),
                    )
                    for one in self._client.torrents_files(torrent.hash)
                )
            )
        except api.NotFound404Error:
            return ()

    def remove(self, torrent: Torrent) -> None:
        """Remove a torrent, never with its files.

        qBittorrent would delete them by name, and with them what another torrent shares.
        """
        self._call(
            lambda: self._client.torrents_delete(delete_files=False, torrent_hashes=torrent.hash)
        )

    def _torrent(self, one: Any) -> Torrent:
        return Torrent(
            hash=str(one["hash"]),
            name=str(one["name"]),
            category=str(one["category"]),
            state=str(one["state"]),
            progress=float(one["progress"]),
            amount_left=int(one["amount_left"]),
            save_path=as_host(str(one["save_path"]).rstrip("/"), self._config.path_map),
            size=int(one["size"]),
            seeding_time=int(one.get("seeding_time") or 0),
            ratio=float(one.get("ratio") or 0),
        )

    def _call(self, request: Callable[[], T]) -> T:
        """Do one request; its failures become ours. Conflict and not-found go to the caller."""
        url = self._config.url
        try:
            return request()
        except api.LoginFailed:
            raise LoginRefused(
                "qbittorrent",
                f"qBittorrent at {url} refuses the login of {self._config.username!r}",
                hint="check [qbittorrent] username and password_file; nothing more is tried now, "
                "since qBittorrent bans an address after five wrong logins",
            ) from None
        except api.Unauthorized401Error:
            raise ConfigError(
                f"qBittorrent at {url} refuses this host name or origin (401)",
                hint="use the address that its WebUI knows, for example http://127.0.0.1:8080",
            ) from None
        except api.Forbidden403Error as error:
            raise self._forbidden(str(error)) from None
        except (api.Conflict409Error, api.NotFound404Error):
            raise
        except (KeyError, TypeError, AttributeError) as error:
            raise Unavailable(
                f"what answers at {url} is not qBittorrent: {type(error).__name__} {error}",
                hint="check [qbittorrent] url",
            ) from None
        except (api.APIError, OSError, ValueError) as error:
            raise Unavailable(
                f"qBittorrent at {url} does not answer: {_first_line(error)}",
                hint="is it running, and is [qbittorrent] url right?",
            ) from None

    def _forbidden(self, message: str) -> ConfigError | Unavailable:
        url = self._config.url
        if "banned" in message:
            return Unavailable(
                f"qBittorrent at {url} has banned this host after wrong logins",
                hint="mend the password, then restart qBittorrent or wait for an hour",
            )
        return ConfigError(
            f"qBittorrent at {url} wants a login (403)",
            hint="set [qbittorrent] username and password_file or api_key_file, or let localhost "
            "in without one in its WebUI settings",
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
