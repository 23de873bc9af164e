"""qBittorrent through its WebUI, as the port `TorrentClient`; paths come out as this host's."""

from __future__ import annotations

import math
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
_MOST = 1 << 63
_RETRY_EVERY = 1.0
_REMOVAL, _LOOK_EVERY = 10.0, 0.1
"""Seconds that a removed torrent may stay in the list, and between two looks."""


class _Anonymous(qbittorrentapi.Client):
    """A client without a login: the library would send a blank one, which counts for the ban."""

    def auth_log_in(self, *_arguments: object, **_options: object) -> None:
        raise api.Forbidden403Error("no login is configured")


class Qbittorrent:
    """One session with one qBittorrent; logs in at the first call."""

    def __init__(self, config: QbittorrentConfig, password: str, api_key: str) -> None:
        """Nothing is sent yet. `password` and `api_key` are blank where none is configured."""
        self._config = config
        login = bool(config.username) and not api_key
        kind = qbittorrentapi.Client if login or api_key else _Anonymous
        # its answers are checked field by field below; its own types promise less than it gives
        self._client: Any = kind(
            host=config.url,
            username=config.username if login else None,
            password=password if login else None,
            api_key=api_key or None,
            # without it the library probes schemes, and one hang costs ten time-outs
            FORCE_SCHEME_FROM_HOST=True,
            # a redirect turns a POST into a GET, which then looks like a success
            REQUESTS_ARGS={"timeout": int(config.timeout), "allow_redirects": False},
            HTTPADAPTER_ARGS={"max_retries": 0},
            # the library's own lists turn `null` into an empty one
            SIMPLE_RESPONSES=True,
            DISABLE_LOGGING_DEBUG_OUTPUT=True,
        )

    def wait(self, seconds: float) -> None:
        """Wait until the WebUI answers, at most `seconds`; one refused login ends the wait."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                version = self._call(self._client.app_version, str)
                if not version.startswith("v"):
                    raise self._stranger(f"version {version!r}")
            except Unavailable:
                if time.monotonic() + _RETRY_EVERY > deadline:
                    raise
                time.sleep(_RETRY_EVERY)
            else:
                return

    def categories(self) -> Mapping[str, str]:
        """Give category name → absolute save path as qBittorrent sees it."""
        default = self._call(self._client.app_default_save_path)
        answer = self._call(self._client.torrents_categories, dict)
        # a blank path means a folder of the category's name, a relative one lies there too
        return self._checked(
            lambda: {
                str(name): os.path.join(default, str(one["savePath"] or name)).rstrip("/")
                for name, one in answer.items()
            }
        )

    def create_category(self, name: str, save_path: str) -> None:
        """Create a category, and see that it is there."""
        refused = f"qBittorrent refuses the category {name!r} at {save_path}"
        try:
            self._call(
                lambda: self._client.torrents_create_category(name, save_path=save_path),
                known=(api.Conflict409Error,),
            )
        except api.Conflict409Error:
            raise ActionFailed(refused) from None
        if name not in self.categories():
            raise ActionFailed(refused)

    def torrents(self) -> tuple[Torrent, ...]:
        """Give all torrents."""
        answer = self._call(self._client.torrents_info, list)
        return self._checked(lambda: tuple(self._torrent(one) for one in answer))

    def files(self, torrent: Torrent) -> tuple[TorrentFile, ...]:
        """Give the files of a torrent as `save_path + name`.

        Its `content_path` is no help: it can be a whole category folder, relative, or blank.
        """
        folder = torrent.save_path.rstrip("/")
        try:
            answer = self._call(
                lambda: self._client.torrents_files(torrent.hash), list, (api.NotFound404Error,)
            )
        except api.NotFound404Error:
            return ()
        return self._checked(
            lambda: tuple(
                TorrentFile(
                    f"{folder}/{one['name']}",
                    _whole(one["size"]),
                    int(one["priority"]) != 0,
                    _finite(one["progress"]),
                )
                for one in answer
            )
        )

    def remove(self, torrent: Torrent) -> None:
        """Remove a torrent, never with its files.

        qBittorrent would delete them by name, and with them what another torrent shares.
        """
        self._call(
            lambda: self._client.torrents_delete(delete_files=False, torrent_hashes=torrent.hash)
        )
        deadline = time.monotonic() + _REMOVAL
        while any(one.hash == torrent.hash for one in self.torrents()):
            if time.monotonic() > deadline:
                raise ActionFailed("qBittorrent still lists it after its removal")
            time.sleep(_LOOK_EVERY)  # 5.x removes after it has answered

    def _torrent(self, one: Any) -> Torrent:
        return Torrent(
            hash=str(one["hash"]),
            name=str(one["name"]),
            category=str(one["category"]),
            state=str(one["state"]),
            progress=_finite(one["progress"]),
            amount_left=_whole(one["amount_left"]),
            save_path=as_host(str(one["save_path"]).rstrip("/"), self._config.path_map),
            size=_whole(one["size"]),
            seeding_time=_whole(one.get("seeding_time") or 0),
            ratio=_finite(one.get("ratio") or 0),
            added_on=_whole(one.get("added_on") or 0),
        )

    def _call(
        self,
        request: Callable[[], Any],
        kind: type = object,
        known: tuple[type[api.APIError], ...] = (),
    ) -> Any:
        """Do one request and demand an answer of a kind; its failures become ours.

        `known` are answers that mean something to the caller, and go to it as they are.
        """
        url = self._config.url
        try:
            answer = request()
        except known:
            raise
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
        except (api.APIError, OSError, ValueError) as error:
            raise Unavailable(
                f"qBittorrent at {url} does not answer: {_why_silent(error)}",
                hint="is it running, and is [qbittorrent] url right?",
            ) from None
        except (KeyError, TypeError, AttributeError) as error:
            raise self._stranger(error) from None
        if not isinstance(answer, kind):
            raise self._stranger(f"{type(answer).__name__} instead of {kind.__name__}")
        return answer

    def _checked(self, parse: Callable[[], T]) -> T:
        """Read an answer; one that has not the fields of qBittorrent's is somebody else's."""
        try:
            return parse()
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise self._stranger(error) from None

    def _stranger(self, what: object) -> Unavailable:
        return Unavailable(
            f"what answers at {self._config.url} is not qBittorrent ({_first_line(what)})",
            hint="check [qbittorrent] url",
        )

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


def _why_silent(error: Exception) -> str:
    """Say in two words what the library says in ten lines."""
    text = str(error)
    for words in ("Connection refused", "timed out", "Name or service not known"):
        if words in text:
            return words.lower()
    return _first_line(error)


def _whole(value: Any) -> int:
    """Read a number of bytes or seconds, which has 64 bits there. Raises ValueError and such."""
    number = int(value)
    if abs(number) >= _MOST:
        raise ValueError("a number of more than 64 bits")
    return number


def _finite(value: Any) -> float:
    """Read a share or a ratio. Raises ValueError and such."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no share")
    return number


def _first_line(what: object) -> str:
    return (str(what).strip() or type(what).__name__).splitlines()[0][:200]
