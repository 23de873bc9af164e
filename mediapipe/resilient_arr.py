"""A client for Sonarr, Radarr, Lidarr and Prowlarr that heals; needs nothing but pyarr 5.

from resilient_arr import ResilientArr
lidarr = ResilientArr("lidarr", "http://lidarr:8686", Path("/lidarr/config.xml"))
lidarr.call("get_wanted", page_size=10)
"""

from __future__ import annotations

import json
import os
import random
import re
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pyarr
import requests
from pyarr.base import BaseArrAPI
from requests.cookies import RequestsCookieJar
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable

    Kind: TypeAlias = Literal["sonarr", "radarr", "lidarr", "prowlarr"]
    Key: TypeAlias = str | os.PathLike[str] | Callable[[], str]

_REDIRECTS, _SAME_METHOD, _ERRORS, _SERVER_ERRORS = range(300, 400), (307, 308), 400, 500
_HEALED_BY_A_NEW_SESSION, _STARTING, _SHORT = (401, 403, 405), 503, 200
_ERROR_FIELDS = {"message", "errorMessage", "description", "content"}
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds before the second attempt, and at most
_KEY_IN_CONFIG = re.compile(r"<ApiKey>\s*([^<\s]+)\s*</ApiKey>")
_HEADER_WORD = re.compile(r"[!-~]+")
_APIS: dict[str, Callable[[str, str], BaseArrAPI]] = {
    "sonarr": pyarr.SonarrAPI,
    "radarr": pyarr.RadarrAPI,
    "lidarr": pyarr.LidarrAPI,
    "prowlarr": lambda url, key: BaseArrAPI(url, key, "/v1"),  # pyarr 5 has no class for it
}


class ArrError(Exception):
    """No sound answer."""

    def __init__(self, message: str, *, again: bool = False, body: Any = None) -> None:
        """`again`: the app has surely not acted on it. `body` is the JSON of a rejection."""
        super().__init__(message)
        self.again, self.body = again, body


class ArrUnavailable(ArrError):
    """The app is down, starting up, or hanging, or it is left alone for a while."""


class ArrStranger(ArrError):
    """Something answers that is not the app: a login page, a redirect, JSON of another shape."""


class ArrKeyRefused(ArrError):
    """There is no key, or it was refused by a new session with the key read again, too."""


class ArrRejected(ArrError):
    """The app understands the request, and will not do it."""


@dataclass(frozen=True)
class Patience:
    """How long and how often something is tried; times in seconds."""

    timeout: float = 10.0  # for the connection, and for each part of the answer
    tries: int = 4  # what the app may have acted on is never sent again
    trips_after: int = 5  # failures in a row, then nothing is sent for `cools_down`, then one try
    cools_down: float = 60.0


@dataclass
class Counters:
    """What happened since the client was made."""

    calls: int = 0
    retries: int = 0
    rebuilds: int = 0  # new sessions with the key read again, after a refusal
    trips: int = 0
    open_until: float = 0.0  # by the client's clock: nothing is sent before


class ResilientArr:
    """One app. Not for several threads at once."""

    def __init__(
        self,
        kind: Kind,
        url: str,
        key: Key,
        patience: Patience = Patience(),
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is sent or read yet; `url` may have a path, the app's URL base.

        `key` is the key, a function that gives it, or the path of a file that holds nothing else,
        or of the app's own config.xml.
        """
        self.kind, self.url = kind, url.rstrip("/")
        self._key, self._patience, self._clock, self._sleep = key, patience, clock, sleep
        self._api: BaseArrAPI | None = None
        self.counters, self._failures, self._last = Counters(), 0, ""

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of pyarr's by its name; gives its dict or list. Raises ArrError."""
        return self._tried(lambda api: getattr(api, method)(*arguments, **options))

    def request(
        self, verb: str, path: str, expect: type, *, params: Any = None, data: Any = None
    ) -> Any:
        """Ask what pyarr has no method for; `path` is below `/api/vN/`, `expect` dict or list."""

        def ask(api: BaseArrAPI) -> Any:
            url = f"{api.host_url}/api{api.ver_uri}/{path}"
            headers = {"X-Api-Key": api.api_key}
            answer = api.session.request(verb, url, headers=headers, params=params, json=data)
            return self._shaped(answer.json(), expect, path)

        return self._tried(ask)

    def system_status(self) -> dict[str, Any]:
        """Give the app's status, having seen that it is this kind of app."""
        found: dict[str, Any] = self.request("GET", "system/status", dict)
        if str(found.get("appName")).lower() != self.kind or not found.get("version"):
            raise ArrStranger(f"{self.url} is {found.get('appName')!r}, not {self.kind}")
        return found

    def get_wanted(self, **options: Any) -> dict[str, Any]:
        """Give a page of what is monitored and missing, with its `records`."""
        found: dict[str, Any] = self._shaped(self.call("get_wanted", **options), dict, "wanted")
        self._shaped(found.get("records"), list, "the records of wanted")
        return found

    def _tried(self, ask: Callable[[BaseArrAPI], Any]) -> Any:
        """Ask until there is an answer, the failure is for good, or patience ends."""
        self.counters.calls += 1
        if (left := self.counters.open_until - self._clock()) > 0:
            raise ArrUnavailable(f"left alone for {left:.0f} s more: {self._last}")
        attempt = 1
        while True:
            try:
                answer = self._healed(ask)
            except ArrRejected:
                self._failures = 0
                raise
            except ArrError as error:
                if self._trips(error) or not error.again or attempt >= self._patience.tries:
                    raise
                share = random.SystemRandom().uniform(0.5, 1)  # many must not come back as one
                self._sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1)) * share)
                self.counters.retries += 1
                attempt += 1
            else:
                self._failures = 0
                return answer

    def _healed(self, ask: Callable[[BaseArrAPI], Any]) -> Any:
        """Ask; where that is refused once more, with a new session and the key read again."""
        try:
            return ask(self._connected())
        except ArrKeyRefused:
            self._api = None
            self.counters.rebuilds += 1
        return ask(self._connected())

    def _connected(self) -> BaseArrAPI:
        if self._api is None:
            self._api = _APIS[self.kind](self.url, _key_from(self._key))
            self._api.session = _Session(self._patience.timeout)
        return self._api

    def _trips(self, error: ArrError) -> bool:
        """Count a failure; whether the app is to be left alone now."""
        self._failures += 1
        if self._failures < self._patience.trips_after:
            return False
        self._last, self.counters.trips = str(error), self.counters.trips + 1
        self.counters.open_until = self._clock() + self._patience.cools_down
        return True

    def _shaped(self, answer: Any, expect: type, what: str) -> Any:
        members = answer if isinstance(answer, list) else ()
        if isinstance(answer, expect) and all(isinstance(one, dict) for one in members):
            return answer
        raise ArrStranger(f"{self.url} gives no {expect.__name__} of objects for {what}")


def _key_from(key: Key) -> str:
    text = key() if callable(key) else key if isinstance(key, str) else _in_file(os.fspath(key))
    if not _HEADER_WORD.fullmatch(text):
        raise ArrKeyRefused("what stands where the API key should be is none")
    return text


def _in_file(path: str) -> str:
    by_the_app = path.endswith(".xml")  # which writes it when it starts for the first time
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8-sig") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a device never ends
                raise OSError("it is no regular file")
            text = file.read(1 << 20).strip()
    except (OSError, UnicodeDecodeError) as error:
        if by_the_app and isinstance(error, FileNotFoundError):
            raise ArrUnavailable(f"{path} is not there yet", again=True) from None
        raise ArrKeyRefused(f"cannot read {path}: {error}") from None
    if not by_the_app and not text.startswith("<"):
        return text
    if (found := _KEY_IN_CONFIG.search(text)) is None:
        raise ArrUnavailable(f"{path} holds no <ApiKey> yet", again=True)
    return found[1]


class _NoCookies(RequestsCookieJar):
    """A login proxy's cookie outlives the proxy's restart, and is then refused for ever."""

    def set_cookie(self, *_: Any, **__: Any) -> None:
        """Take none."""


class _Session(requests.Session):
    """Waits for a time, sends the key nowhere else, and lets nothing pass but sound JSON."""

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self.trust_env = False  # a proxy of the environment would see the key
        self.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        self.cookies, self._timeout = _NoCookies(), timeout

    def request(self, method: str | bytes, url: str | bytes, *_: Any, **options: Any) -> Any:
        """Send a request; raises ArrError."""
        verb = str(method).upper()
        options.update(timeout=self._timeout, allow_redirects=False)
        answer = self._sent(verb, str(url), options)
        if answer.status_code in _REDIRECTS:  # as where the app has got a URL base
            place = _same_origin(answer)
            answer = self._sent(verb, place, {**options, "params": None})  # which that has already
        return _sound(verb, answer)

    def _sent(self, verb: str, url: str, options: dict[str, Any]) -> requests.Response:
        try:
            return super().request(verb, url, **options)
        except ValueError as error:
            raise ArrStranger(f"{_shown(url)} is, or leads to, no address: {error}") from None
        except requests.RequestException as error:
            reason = getattr(error.args[0], "reason", None) if error.args else None
            again = verb == "GET" or isinstance(reason, NewConnectionError | ConnectTimeoutError)
            why = "hangs" if isinstance(error, requests.Timeout) else str(reason or error)[:_SHORT]
            raise ArrUnavailable(f"{_shown(url)} does not answer: {why}", again=again) from None
        finally:
            self.close()  # a kept connection may be dead: then nobody knows if a POST arrived


def _sound(verb: str, answer: requests.Response) -> requests.Response:
    """Give an answer that is what an app gives for success; raises ArrError for any other."""
    status, where = answer.status_code, _shown(answer.url)
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    words = f"{where} answers {status}: {' '.join(answer.text[:_SHORT].split())}"
    if status in _HEALED_BY_A_NEW_SESSION:
        raise ArrKeyRefused(f"{where} refuses the key ({status})")
    if status >= _SERVER_ERRORS:
        unread = status == _STARTING and "starting up" in words
        raise ArrUnavailable(words, again=unread or verb == "GET")
    if verb != "GET" and not answer.content:
        answer._content = b"{}"  # noqa: SLF001 - some deletions answer nothing at all
    try:
        body = json.loads(answer.content) if "html" not in kind else None
    except (ValueError, RecursionError):
        body = None
    if status >= _ERRORS:
        raise ArrRejected(words, body=body)
    if not isinstance(body, dict | list) or (body and set(map(str, body)) <= _ERROR_FIELDS):
        raise ArrStranger(f"{words} ({kind or 'of no type'})")
    answer.headers["Content-Type"] = "application/json"  # `indexer/test` says text/plain
    return answer


def _same_origin(answer: requests.Response) -> str:
    """Give where a redirect leads, if that is the app still, and the same request."""
    origin = "/".join(answer.url.split("/", 3)[:3])
    place = answer.headers.get("Location", "")
    place = origin + place if place.startswith("/") and not place.startswith("//") else place
    if answer.status_code in _SAME_METHOD and place.startswith(f"{origin}/"):
        return place
    words = f"{_shown(answer.url)} redirects ({answer.status_code}) to {_shown(place)}"
    raise ArrStranger(f"{words}: the key would go there, or a POST would become a GET")


def _shown(url: str) -> str:
    """Give an address without its query, which may hold a secret."""
    return url.partition("?")[0]
