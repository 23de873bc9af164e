"""Sonarr, Radarr, Lidarr and Prowlarr through `resilient_arr`: our configuration, our errors."""

from __future__ import annotations

import contextlib
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from mediapipe.errors import ActionFailed, ConfigError, Unavailable
from mediapipe.resilient_arr import (
    ArrError,
    ArrKeyRefused,
    ArrRejected,
    ArrStranger,
    Patience,
    ResilientArr,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mediapipe.config import ArrConfig
    from mediapipe.resilient_arr import Counters

_KINDS = ("sonarr", "radarr", "lidarr", "prowlarr")
UNDER_WAY = ("queued", "started")
"""How a command is called that has not ended."""
_LONGEST, _LOOK_EVERY = 300.0, 0.5
"""Seconds that a command may take, and between two looks at it."""
_TRIAL = 120
"""Seconds that an app may take to try a provider."""


class Arr:
    """One app, `[arr.NAME]`; its failures are ours.

    Every method raises Unavailable where no sound answer came, ConfigError where the key is wrong,
    and ActionFailed where the app will not do it.
    """

    def __init__(self, name: str, config: ArrConfig, key: str, *, waiting: bool = False) -> None:
        """Nothing is sent or read yet; `key` is the path of the key's file, or of config.xml.

        `waiting`: a call is one attempt, however many failed before. Raises ConfigError where it
        cannot be told which app it is.
        """
        kind = config.kind or name
        if kind not in _KINDS:
            raise ConfigError(f"arr.{name}: which app is it?", hint='write kind = "sonarr"')
        self.name = name
        self.config = config
        timeout = max(1, int(config.timeout))
        patience = Patience(timeout)
        if waiting:
            patience = Patience(timeout, tries=1, trips_after=sys.maxsize)
        known = cast("Literal['sonarr', 'radarr', 'lidarr', 'prowlarr']", kind)
        self._client = ResilientArr(known, config.url, Path(key), patience)
        patient = Patience(max(timeout, _TRIAL), tries=1, trips_after=sys.maxsize)
        self._slow = partial(ResilientArr, known, config.url, Path(key), patient)

    @property
    def kind(self) -> str:
        """Which app it is: `sonarr`, `radarr`, `lidarr` or `prowlarr`."""
        return self._client.kind

    @property
    def counters(self) -> Counters:
        """What happened since this was made: calls, retries, new sessions, times left alone."""
        return self._client.counters

    @property
    def left_alone(self) -> float:
        """Seconds for which nothing is sent after failures in a row; 0 where that is not so."""
        return max(0.0, self._client.counters.open_until - time.monotonic())

    def ready(self) -> str:
        """Give its version, once it answers to the key as this kind of app."""
        with self._ours():
            try:
                return str(self._client.system_status()["version"])
            except ArrRejected as error:  # every app has this, so this is none
                raise ArrStranger(str(error)) from None

    def list(self, path: str, **query: object) -> list[dict[str, Any]]:
        """Give a list of resources; `path` is below `/api/vN/`."""
        with self._ours():
            found: list[dict[str, Any]] = self._client.request("GET", path, list, params=query)
            return found

    def one(self, path: str, **query: object) -> dict[str, Any]:
        """Give one resource, by its number, or a page of them."""
        with self._ours():
            found: dict[str, Any] = self._client.request("GET", path, dict, params=query)
            return found

    def test(self, path: str, resource: object = None) -> tuple[dict[str, Any], ...]:
        """Let it try one of its own providers, or all of a kind; gives what it says of them.

        It searches for that, through Prowlarr and perhaps a browser, so it has longer than usual.
        """
        with self._ours():
            try:
                found = self._slow().request("POST", path, object, data=resource)
            except ArrRejected as error:
                if not isinstance(error.body, list):
                    raise
                found = error.body
            return tuple(one for one in found if isinstance(one, dict))

    def command(self, name: str, **fields: object) -> str:
        """Run a command to its end, at most `_LONGEST` seconds; raises where it does not succeed.

        Prowlarr tells how it went as a status alone.
        """
        deadline = time.monotonic() + _LONGEST
        told = self.run(name, lambda: time.monotonic() < deadline, **fields)
        status, result = told.get("status"), told.get("result", "unknown")
        if status in UNDER_WAY:
            raise Unavailable(f"{self.name}: {name} did not end in {_LONGEST:.0f} s")
        if status != "completed" or result == "unsuccessful":
            words = told.get("exception") or told.get("message") or result
            raise ActionFailed(f"{self.name}: {name} ended {status}: {words}")
        return str(told.get("message") or status)

    def run(self, name: str, go_on: Callable[[], bool], **fields: object) -> dict[str, Any]:
        """Run a command; gives it as it has ended, or as it is when `go_on` says no.

        Every command is accepted; how it went is told later.
        """
        with self._ours():
            data = {"name": name, **fields}
            told: dict[str, Any] = self._client.request("POST", "command", dict, data=data)
        number = told.get("id")
        while told.get("status", "queued") in UNDER_WAY and go_on() and isinstance(number, int):
            time.sleep(_LOOK_EVERY)
            told = self.one(f"command/{number}")
        return told

    def change(self, path: str, data: object) -> None:
        """Put data."""
        with self._ours():
            self._client.request("PUT", path, object, data=data)

    @contextlib.contextmanager
    def _ours(self) -> Iterator[None]:
        """Turn the client's errors into ours."""
        try:
            yield
        except ArrKeyRefused as error:
            raise ConfigError(
                f"{self.name}: {error}",
                hint=f"name a file with its key (Settings, General) or its own config.xml in "
                f"[arr.{self.name}] api_key_file",
            ) from None
        except ArrRejected as error:
            raise ActionFailed(f"{self.name}: {error}") from None
        except ArrError as error:
            raise Unavailable(
                f"{self.name}: {error}",
                hint=f"is it running, and is [arr.{self.name}] url right?",
            ) from None
