"""The port ArrLibrary, filled by stand-ins for Sonarr and Radarr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.adapters.arr import Arr
from mediapipe.adapters.arr_library import Library
from mediapipe.config import ArrConfig
from mediapipe.errors import ActionFailed, ConfigError, Unavailable
from mediapipe.titles import Title
from mediapipe.units import AbsPath, Seconds, SecretFile
from tests.arrs import JSON, KEY, FakeArr

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mediapipe.titles import ArrLibrary

SHOW = "/media/arr/tv/Show"
FILM = "/media/arr/movies/Film (2020)"


def as_port(app: FakeArr, folder: Path, **path_map: str) -> ArrLibrary:
    key = folder / "key"
    key.write_text(KEY)
    paths = {AbsPath(ours): AbsPath(theirs) for ours, theirs in path_map.items()}
    config = ArrConfig(app.url, SecretFile(str(key)), timeout=Seconds(5), path_map=paths)
    return Library(Arr(app.kind, config, str(key)))


@pytest.fixture
def sonarr() -> Iterator[FakeArr]:
    with FakeArr("sonarr") as app:
        app.roots = ["/media/arr/tv/"]
        app.items = {
            "series": [
                {"id": 1, "title": "Show", "path": SHOW, "monitored": True},
                {"id": 2, "title": "Show Two", "path": f"{SHOW} Two", "monitored": False},
            ],
            "episodefile": [
                {"id": 11, "seriesId": 1, "path": f"{SHOW}/S1/E1.mkv"},
                {"id": 12, "seriesId": 1, "path": f"{SHOW}/S1/E2-E3.mkv"},
                {"id": 21, "seriesId": 2, "path": f"{SHOW} Two/E1.mkv"},
            ],
            "episode": [
                {"id": 101, "seriesId": 1, "episodeFileId": 11, "monitored": True},
                {"id": 102, "seriesId": 1, "episodeFileId": 12, "monitored": False},
                {"id": 103, "seriesId": 1, "episodeFileId": 12, "monitored": True},
                {"id": 104, "seriesId": 1, "episodeFileId": 0, "monitored": True},
                {"id": 201, "seriesId": 2, "episodeFileId": 21, "monitored": True},
            ],
        }
        yield app


@pytest.fixture
def radarr() -> Iterator[FakeArr]:
    with FakeArr("radarr") as app:
        app.roots = ["/media/arr/movies"]
        app.items = {
            "movie": [
                {"id": 1, "title": "Film", "path": FILM, "monitored": True},
                {"id": 2, "title": "Old", "path": "/media/arr/movies/Old", "monitored": False},
            ],
            "moviefile": [
                {"id": 5, "movieId": 1, "path": f"{FILM}/film.mkv"},
                {"id": 6, "movieId": 2, "path": "/media/arr/movies/Old/old.mkv"},
            ],
        }
        yield app


def switches(app: FakeArr, resource: str) -> dict[int, bool]:
    return {one["id"]: one["monitored"] for one in app.items[resource]}


def test_an_episode_is_found_by_its_file(sonarr: FakeArr, tmp_path: Path) -> None:
    library = as_port(sonarr, tmp_path)

    assert library.title(f"{SHOW}/S1/E1.mkv") == Title("Show", (101,), fetched_again=True)
    assert library.title(f"{SHOW}/S1/E2-E3.mkv") == Title("Show", (103,), fetched_again=True)
    # a series that is not monitored is not looked for, whatever its episodes say
    two = library.title(f"{SHOW} Two/E1.mkv")
    assert two == Title("Show Two", (201,), fetched_again=False)


def test_episodes_are_unmonitored_and_no_others(sonarr: FakeArr, tmp_path: Path) -> None:
    library = as_port(sonarr, tmp_path)
    title = library.title(f"{SHOW}/S1/E2-E3.mkv")
    assert title is not None

    library.unmonitor(title)

    assert switches(sonarr, "episode") == {101: True, 102: False, 103: False, 104: True, 201: True}
    assert switches(sonarr, "series") == {1: True, 2: False}
    again = library.title(f"{SHOW}/S1/E2-E3.mkv")
    assert again == Title("Show", (), fetched_again=False)
    before = len(sonarr.asked)
    assert again is not None
    library.unmonitor(again)
    assert len(sonarr.asked) == before


def test_a_film(radarr: FakeArr, tmp_path: Path) -> None:
    library = as_port(radarr, tmp_path)
    film = library.title(f"{FILM}/film.mkv")
    assert film == Title("Film", (1,), fetched_again=True)
    old = library.title("/media/arr/movies/Old/old.mkv")
    assert old == Title("Old", (), fetched_again=False)

    library.unmonitor(film)

    assert switches(radarr, "movie") == {1: False, 2: False}
    assert library.title(f"{FILM}/film.mkv") == Title("Film", (), fetched_again=False)


def test_files_that_it_does_not_have(sonarr: FakeArr, tmp_path: Path) -> None:
    library = as_port(sonarr, tmp_path)
    assert library.title(f"{SHOW}/S1/E1.srt") is None
    assert library.title("/media/arr/tv/Other/E1.mkv") is None


def test_lists_are_read_once(sonarr: FakeArr, tmp_path: Path) -> None:
    library = as_port(sonarr, tmp_path)
    for _ in range(3):
        library.title(f"{SHOW}/S1/E1.mkv")
    targets = [target for _, target in sonarr.asked]
    assert targets.count("/api/v3/series") == targets.count("/api/v3/rootfolder") == 1
    assert targets.count("/api/v3/episodefile?seriesId=1") == 1
    assert targets.count("/api/v3/episode?seriesId=1") == 1


def test_paths_are_the_apps(sonarr: FakeArr, tmp_path: Path) -> None:
    library = as_port(sonarr, tmp_path, **{"/mnt/tv": "/media/arr/tv"})
    found = library.title("/mnt/tv/Show/S1/E1.mkv")
    assert found is not None
    assert found.monitored == (101,)
    with pytest.raises(ConfigError, match="no root folder"):
        library.title("/srv/tv/Show/S1/E1.mkv")  # else it would pass for a file that it has not


def test_a_name_that_json_cannot_hold_is_not_guessed(sonarr: FakeArr, tmp_path: Path) -> None:
    with pytest.raises(ActionFailed, match="cannot be asked"):
        as_port(sonarr, tmp_path).title(f"{SHOW}/S1/E\udcff.mkv")


@pytest.mark.parametrize("answer", [b"[{}]", b'[{"id": 1, "path": null}]', b"[1]", b"{}"])
def test_answers_of_another_shape_are_none(answer: bytes, sonarr: FakeArr, tmp_path: Path) -> None:
    sonarr.answers = [(200, JSON, answer)]
    with pytest.raises(Unavailable):
        as_port(sonarr, tmp_path).title(f"{SHOW}/S1/E1.mkv")


@pytest.mark.parametrize("value", [None, "false", 0])
def test_a_switch_that_does_not_tell_is_no_switch(
    value: Any, sonarr: FakeArr, tmp_path: Path
) -> None:
    sonarr.items["episode"][0]["monitored"] = value
    with pytest.raises(Unavailable):
        as_port(sonarr, tmp_path).title(f"{SHOW}/S1/E1.mkv")


def test_what_it_has_not_taken_is_told(sonarr: FakeArr, tmp_path: Path) -> None:
    library = as_port(sonarr, tmp_path)
    title = library.title(f"{SHOW}/S1/E1.mkv")
    assert title is not None
    sonarr.answers = [(202, JSON, b"[]")]
    with pytest.raises(ActionFailed, match="still monitors Show"):
        library.unmonitor(title)


def record(path: str, hash_: str = "AB12", kind: str = "downloadFolderImported") -> dict[str, Any]:
    data = {"droppedPath": "/downloads/x.mkv", "importedPath": path}
    return {"id": 1, "eventType": kind, "downloadId": hash_, "data": data}


def test_what_was_imported_from_a_torrent(sonarr: FakeArr, tmp_path: Path) -> None:
    sonarr.items["history"] = [
        record("/tv/Show/E1.mkv"),
        record("/tv/Show/E1.mkv"),
        record("/tv/Show/E2.mkv", "AB13"),
        record("/tv/Show/E3.mkv", kind="grabbed"),
    ]
    library = as_port(sonarr, tmp_path, **{"/mnt/tv": "/tv"})
    assert library.imported("ab12") == ("/mnt/tv/Show/E1.mkv",)
    assert library.imported("ff") == ()
    # one that does not know the query tells of all
    answer = {"records": sonarr.items["history"]}
    sonarr.answers = [(200, JSON, json.dumps(answer).encode())]
    assert library.imported("ab12") == ("/mnt/tv/Show/E1.mkv",)


@pytest.mark.parametrize("answer", [b'{"records": null}', b'{"records": [{}]}', b'{"x": 1}'])
def test_a_history_of_another_shape_is_none(answer: bytes, sonarr: FakeArr, tmp_path: Path) -> None:
    sonarr.answers = [(200, JSON, answer)]
    with pytest.raises(Unavailable):
        as_port(sonarr, tmp_path).imported("ab12")


def test_new_sessions_are_counted(sonarr: FakeArr, tmp_path: Path) -> None:
    config = tmp_path / "config.xml"
    config.write_text(f"<Config><ApiKey>{KEY}</ApiKey></Config>")
    app = Arr("sonarr", ArrConfig(sonarr.url, SecretFile(str(config))), str(config))
    assert len(app.list("series")) == 2
    sonarr.restart(key="another")
    config.write_text("<Config><ApiKey>another</ApiKey></Config>")
    assert app.ready()
    assert (app.counters.calls, app.counters.rebuilds) == (2, 1)


def test_it_is_unreachable(sonarr: FakeArr, tmp_path: Path) -> None:
    library = as_port(sonarr, tmp_path)
    sonarr.answers = [(302, {"Location": "http://127.0.0.2/login"}, b"")]
    with pytest.raises(Unavailable):
        library.title(f"{SHOW}/S1/E1.mkv")
    sonarr.restart(key="another")
    with pytest.raises(ConfigError, match="refuses the key"):
        library.title(f"{SHOW}/S1/E1.mkv")


def test_lidarr_has_neither_episodes_nor_films(tmp_path: Path) -> None:
    with FakeArr("lidarr") as app, pytest.raises(ConfigError, match="neither"):
        as_port(app, tmp_path)
