"""Sonarr or Radarr as the port `ArrLibrary`: a title is found by the path of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mediapipe.config import as_app, as_host
from mediapipe.errors import ActionFailed, ConfigError, Unavailable
from mediapipe.facts import fact
from mediapipe.layout import inside
from mediapipe.titles import Title

if TYPE_CHECKING:
    from mediapipe.adapters.arr import Arr

_PAGE, _IMPORTED = 1000, 3
"""Lines of history in one answer, and what it calls an import."""


@fact
class _Words:
    """The names of an app's resources and fields."""

    owners: str
    files: str
    owner_id: str
    part: str
    switch: str
    ids: str


_WORDS = {
    "sonarr": _Words(
        "series", "episodefile", "seriesId", "episode", "episode/monitor", "episodeIds"
    ),
    "radarr": _Words("movie", "moviefile", "movieId", "movie", "movie/editor", "movieIds"),
}


class Library:
    """One app, for one run: each list is read once, and anew after something was changed."""

    def __init__(self, app: Arr) -> None:
        """Nothing is sent yet; raises ConfigError where the app has neither episodes nor films."""
        words = _WORDS.get(app.kind)
        if words is None:
            raise ConfigError(
                f"{app.name} is {app.kind}, which has neither episodes nor films",
                hint="[libraries] arr names a Sonarr or a Radarr",
            )
        self._app = app
        self._words = words
        self._roots: tuple[str, ...] = ()
        self._owners: dict[str, dict[str, Any]] = {}
        self._files: dict[int, dict[str, int]] = {}
        self._parts: dict[int, list[dict[str, Any]]] = {}

    def title(self, path: str) -> Title | None:
        """Give what the file at a path of this host holds; None where the app has no such file."""
        shown = as_app(path, self._app.config.path_map)
        try:
            shown.encode()
        except UnicodeEncodeError:
            # JSON cannot hold the name, so the app's answer would not be about this file
            raise ActionFailed(f"{self._app.name} cannot be asked about {path!r}") from None
        try:
            return self._title(shown)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable(f"{self._app.name}: an answer of another shape ({error})") from None

    def unmonitor(self, title: Title) -> None:
        """Make the app look for these no more, and see that it has taken it."""
        if not title.monitored:
            return
        data = {self._words.ids: list(title.monitored), "monitored": False}
        self._owners, self._roots, self._parts = {}, (), {}  # it may have been read before
        self._app.change(self._words.switch, data)
        for number in title.monitored:
            if self._app.one(f"{self._words.part}/{number}").get("monitored") is not False:
                raise ActionFailed(f"{self._app.name} still monitors {title.name}")

    def imported(self, hash_: str) -> tuple[str, ...]:
        """Give the paths of this host at which a torrent's files were imported."""
        query = {"page": 1, "pageSize": _PAGE, "downloadId": hash_.upper(), "eventType": _IMPORTED}
        answer = self._app.one("history", **query)
        back = {theirs: ours for ours, theirs in self._app.config.path_map.items()}
        try:
            found = [
                str(one["data"]["importedPath"])
                for one in answer["records"]
                # an app that does not know the query would give everybody's
                if str(one["downloadId"]).upper() == hash_.upper()
                and one["eventType"] == "downloadFolderImported"
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable(f"{self._app.name}: an answer of another shape ({error})") from None
        return tuple(dict.fromkeys(as_host(path, back) for path in found))

    def _title(self, path: str) -> Title | None:
        self._read()
        if not any(inside(path, root) for root in self._roots):
            raise ConfigError(
                f"{self._app.name} has no root folder that {path} lies in",
                hint=f"[arr.{self._app.name}.path_map] maps this host's paths to the app's",
            )
        place = max((one for one in self._owners if inside(path, one)), key=len, default=None)
        if place is None:
            return None
        owner = self._owners[place]
        number = int(owner["id"])
        file = self._files_of(number).get(path)
        if file is None:
            return None
        parts = [owner]
        if self._words.part != self._words.owners:
            parts = [one for one in self._parts_of(number) if one["episodeFileId"] == file]
        monitored = tuple(int(one["id"]) for one in parts if _switch(one))
        return Title(str(owner["title"]), monitored, _switch(owner) and bool(monitored))

    def _read(self) -> None:
        if self._roots:
            return
        owners = self._app.list(self._words.owners)
        self._owners = {_plain(one["path"]): one for one in owners}
        self._roots = tuple(_plain(one["path"]) for one in self._app.list("rootfolder"))

    def _files_of(self, owner: int) -> dict[str, int]:
        if owner not in self._files:
            files = self._app.list(self._words.files, **{self._words.owner_id: owner})
            self._files[owner] = {str(one["path"]): int(one["id"]) for one in files}
        return self._files[owner]

    def _parts_of(self, owner: int) -> list[dict[str, Any]]:
        if owner not in self._parts:
            query = {self._words.owner_id: owner}
            self._parts[owner] = self._app.list(self._words.part, **query)
        return self._parts[owner]


def _plain(path: str) -> str:
    return path.rstrip("/")


def _switch(resource: dict[str, Any]) -> bool:
    """Whether a resource is monitored; raises TypeError where it does not tell."""
    found = resource["monitored"]
    if not isinstance(found, bool):
        raise TypeError(f"monitored: {found!r}")
    return found
