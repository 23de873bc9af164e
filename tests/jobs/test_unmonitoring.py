"""cleanup asks Sonarr and Radarr before a library link goes for good, and unmonitors its title."""

from __future__ import annotations

import contextlib
import functools
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe import app_tallies, audit, unmonitoring
from mediapipe.adapters.arr import Arr
from mediapipe.adapters.arr_library import Library
from mediapipe.config import ArrConfig
from mediapipe.disk.index import File
from mediapipe.holdings import Candidate, Holding
from mediapipe.rules import Rules
from mediapipe.titles import Answer
from mediapipe.units import AbsPath, Seconds, SecretFile
from tests.arrs import HTML, JSON, KEY, LOGIN_PAGE, FakeArr
from tests.hosts import Host, reasons, statuses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mediapipe.ports import Torrent


def use(host: Host, app: FakeArr, **path_map: str) -> None:
    """Configure an app; `path_map` is this host's → the app's."""
    key = host.folder / f"{app.kind}.key"
    key.write_text(KEY)
    paths = {AbsPath(ours): AbsPath(theirs) for ours, theirs in path_map.items()}
    table = ArrConfig(app.url, SecretFile(str(key)), timeout=Seconds(5), path_map=paths)
    host.config = replace(host.config, arr={**host.config.arr, app.kind: table})
    host.apps = functools.cache(
        lambda name: Library(Arr(name, host.config.arr[name], str(host.folder / f"{name}.key")))
    )


@pytest.fixture
def sonarr(host: Host) -> Iterator[FakeArr]:
    with FakeArr("sonarr") as app:
        app.roots = [str(host.tv)]
        series = {"id": 1, "title": "Show", "path": f"{host.tv}/Show", "monitored": True}
        app.items = {"series": [series], "episodefile": [], "episode": []}
        use(host, app)
        yield app


@pytest.fixture
def radarr(host: Host) -> Iterator[FakeArr]:
    with FakeArr("radarr") as app:
        app.roots = ["/films"]
        film = {"id": 7, "title": "Film", "path": "/films/Film", "monitored": True}
        file = {"id": 70, "movieId": 7, "path": "/films/Film/film.mkv"}
        app.items = {"movie": [film], "moviefile": [file]}
        use(host, app, **{str(host.movies): "/films"})
        yield app


def episode(host: Host, app: FakeArr, number: int = 1) -> tuple[Torrent, Path]:
    """Download and import an episode."""
    source = host.write(host.downloads / f"tv/Show.E{number}/e{number}.mkv")
    link = host.link(source, host.tv / f"Show/e{number}.mkv")
    app.items["episodefile"].append({"id": number, "seriesId": 1, "path": str(link)})
    app.items["episode"].append(
        {"id": 100 + number, "seriesId": 1, "episodeFileId": number, "monitored": True}
    )
    return host.torrent(f"Show.E{number}", source), link


def film(host: Host) -> Path:
    source = host.write(host.downloads / "movies/Film/film.mkv")
    link = host.link(source, host.movies / "Film/film.mkv")
    host.torrent("Film", source, category="radarr")
    return link


def switches(app: FakeArr, resource: str) -> dict[int, bool]:
    return {one["id"]: one["monitored"] for one in app.items[resource]}


def puts(app: FakeArr) -> int:
    return sum(method == "PUT" for method, _ in app.asked)


GOES = [
    ("unmonitor", "e1.mkv", "done"),
    ("remove-torrent", "Show.E1", "done"),
    ("delete-file", "e1.mkv", "done"),
    ("delete-link", "e1.mkv", "done"),
]


def test_an_episode_is_unmonitored_first_and_once(host: Host, sonarr: FakeArr) -> None:
    _, link = episode(host, sonarr)
    episode(host, sonarr, 2)
    host.torrents.change(next(reversed(host.torrents.listed)), seeding_time=1)  # not due
    host.upload()

    rehearsal = host.cleanup(dry_run=True)

    assert statuses(rehearsal)[:2] == [
        ("unmonitor", "e1.mkv", "planned"),
        ("remove-torrent", "Show.E1", "planned"),
    ]
    assert rehearsal.results[0].action.reason == "sonarr would fetch Show again"
    assert puts(sonarr) == 0

    report = host.cleanup()

    assert report.outcome == "done"
    assert statuses(report)[:4] == GOES
    assert not link.exists()
    assert switches(sonarr, "episode") == {101: False, 102: True}
    assert switches(sonarr, "series") == {1: True}
    assert puts(sonarr) == 1
    lines = [one for one in audit.read(str(host.state)) if one and one["action"] == "unmonitor"]
    assert [(one["path"], one["app"], one["title"], one["ids"]) for one in lines] == [
        (str(link), "sonarr", "Show", [101])
    ]
    host.cleanup()
    assert puts(sonarr) == 1


def test_a_film_by_the_path_that_radarr_sees(host: Host, radarr: FakeArr) -> None:
    link = film(host)
    host.upload()
    report = host.cleanup()
    assert statuses(report)[0] == ("unmonitor", "film.mkv", "done")
    assert not link.exists()
    assert switches(radarr, "movie") == {7: False}


def test_what_would_not_be_fetched_again_is_left_as_it_is(host: Host, sonarr: FakeArr) -> None:
    episode(host, sonarr)
    _, unknown = episode(host, sonarr, 2)
    sonarr.items["episode"][0]["monitored"] = False
    sonarr.items["episodefile"].pop()
    host.upload()
    report = host.cleanup()
    assert "unmonitor" not in [kind for kind, _, _ in statuses(report)]
    assert not unknown.exists()
    assert puts(sonarr) == 0


def test_a_series_that_is_not_monitored_fetches_nothing(host: Host, sonarr: FakeArr) -> None:
    _, link = episode(host, sonarr)
    sonarr.items["series"][0]["monitored"] = False
    host.upload()
    host.cleanup()
    assert not link.exists()
    assert switches(sonarr, "episode") == {101: True}


@pytest.mark.parametrize("after_delete", ["keep", "symlink"])
def test_a_link_that_does_not_go_for_good_needs_no_answer(
    host: Host, sonarr: FakeArr, after_delete: str
) -> None:
    _, link = episode(host, sonarr)
    host.library("tv", after_delete=after_delete)
    host.upload()
    report = host.cleanup()
    assert ("remove-torrent", "Show.E1", "done") in statuses(report)
    assert link.is_symlink() == (after_delete == "symlink")
    assert sonarr.asked == []


def answers_nothing(app: FakeArr) -> None:
    app.answers = [(200, HTML, LOGIN_PAGE)] * 50


def refuses_the_key(app: FakeArr) -> None:
    app.restart(key="another")


def has_another_root(app: FakeArr) -> None:
    app.roots = ["/somewhere"]


def tells_something_else(app: FakeArr) -> None:
    app.items["series"][0]["monitored"] = "perhaps"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (answers_nothing, "<title>Login</title>"),
        (refuses_the_key, "refuses the key"),
        (has_another_root, "no root folder"),
        (tells_something_else, "another shape"),
    ],
)
def test_what_the_app_cannot_tell_waits(
    host: Host, sonarr: FakeArr, fault: Any, words: str
) -> None:
    _, link = episode(host, sonarr)
    other = film(host)  # of an app that nobody configured
    host.upload()
    fault(sonarr)
    report = host.cleanup()
    assert report.exit_status == 0
    assert words in reasons(report)["Show.E1"]
    assert reasons(report)["Show.E1"].startswith(
        "e1.mkv: it waits until sonarr tells if it would fetch it again; sonarr"
    )
    assert link.exists()
    assert next(iter(host.torrents.listed.values())).name == "Show.E1"
    assert not other.exists()
    assert puts(sonarr) == 0


def test_an_app_that_is_down_is_asked_once_in_a_run(host: Host, sonarr: FakeArr) -> None:
    links = [episode(host, sonarr, number)[1] for number in range(1, 5)]
    host.upload()
    answers_nothing(sonarr)
    report = host.cleanup()
    assert len(reasons(report)) >= len(links)
    assert all(link.exists() for link in links)
    assert len(sonarr.asked) == 1
    sonarr.answers = []
    use(host, sonarr)
    host.cleanup()
    assert not any(link.exists() for link in links)


def test_lists_are_read_once_for_a_series(host: Host, sonarr: FakeArr) -> None:
    for number in range(1, 6):
        episode(host, sonarr, number)
    host.upload()
    host.cleanup(dry_run=True)
    assert [target for _, target in sonarr.asked] == [
        "/api/v3/series",
        "/api/v3/rootfolder",
        "/api/v3/episodefile?seriesId=1",
        "/api/v3/episode?seriesId=1",
    ]


def test_nothing_is_asked_where_nothing_is_due(host: Host, sonarr: FakeArr) -> None:
    torrent, _ = episode(host, sonarr)
    host.upload()
    host.torrents.change(torrent.hash, seeding_time=1)
    host.cleanup()
    host.torrents.change(torrent.hash, seeding_time=8 * 86400)
    host.remote.versions.clear()  # due, and not proven any more
    host.cleanup()
    assert sonarr.asked == []


def test_an_app_that_goes_away_or_will_not_stops_the_deletion(host: Host, sonarr: FakeArr) -> None:
    torrent, link = episode(host, sonarr)
    host.upload()
    asked = host.apps("sonarr")

    class Away:
        """As the app, but what is to be changed never arrives."""

        title, imported = asked.title, asked.imported

        def unmonitor(self, title: Any) -> None:
            answers_nothing(sonarr)
            asked.unmonitor(title)

    host.apps = lambda _: Away()
    report = host.cleanup()
    assert {status for _, _, status in statuses(report)} == {"stale"}
    assert report.exit_status == 0
    assert torrent.hash in host.torrents.listed
    assert link.exists()
    with contextlib.closing(host.history()) as history:
        assert history.intents() == ()

    sonarr.answers = []
    use(host, sonarr)
    refused = (202, JSON, b"[]")  # it says yes, and does not do it
    asked = host.apps("sonarr")

    class Stubborn(Away):
        title, imported = asked.title, asked.imported

        def unmonitor(self, title: Any) -> None:
            sonarr.answers = [refused]
            asked.unmonitor(title)

    host.apps = lambda _: Stubborn()
    report = host.cleanup()
    assert statuses(report)[0] == ("unmonitor", "e1.mkv", "failed")
    assert report.exit_status == 3
    assert torrent.hash in host.torrents.listed
    assert link.exists()

    use(host, sonarr)
    assert statuses(host.cleanup())[:4] == GOES


def test_a_crash_after_it_is_finished_by_the_next_run(host: Host, sonarr: FakeArr) -> None:
    _, link = episode(host, sonarr)
    host.upload()
    host.torrents.failures["remove"] = RuntimeError("killed")
    with pytest.raises(RuntimeError):
        host.cleanup()
    assert switches(sonarr, "episode") == {101: False}
    assert link.exists()
    host.torrents.failures.clear()
    report = host.cleanup()
    assert "unmonitor" not in [kind for kind, _, _ in statuses(report)]
    assert not link.exists()


def test_what_was_unmonitored_is_explained_as_a_deletion(host: Host, sonarr: FakeArr) -> None:
    _, link = episode(host, sonarr)
    host.upload()
    told = host.explain(link)
    assert [one.word for one in told.files[0].cleanup] == ["goes", "goes"]


def test_the_plan_without_an_answer_keeps(host: Host, sonarr: FakeArr) -> None:
    """Whatever the scan left out, unknown keeps."""
    link = f"{host.tv}/Show/a.mkv"
    holding = Holding(link, File(link, 1, 1, 1, 1, 1, 1), names=(link,))
    one = Candidate("h", "T", None, "tv-sonarr", (holding,))
    rules = Rules.of(host.config)
    assert "sonarr was not asked" in unmonitoring.why_waits(one, {}, rules)
    assert unmonitoring.why_waits(one, {link: Answer("sonarr")}, rules) == ""
    assert sonarr.asked == []


def test_what_the_client_met_is_counted_over_the_runs(host: Host) -> None:
    with host.writing() as history:
        context = host.context(history)
        counted = {"calls": 3, "retries": 2, "rebuilds": 1, "trips": 0, "open_until": 9.0}
        app_tallies.add("sonarr", counted, 0.0, context)
        app_tallies.add("radarr", {**counted, "calls": 0}, 0.0, context)
        app_tallies.add("sonarr", {**counted, "trips": 1}, 60.0, context)
        (tally,) = app_tallies.read(history)
    assert (tally.app, tally.calls, tally.retries, tally.rebuilds) == ("sonarr", 6, 4, 2)
    assert (tally.trips, tally.open_until, tally.last) == (1, host.now + 60, host.now)
    json.dumps(asdict(tally))


def test_a_marker_whose_item_is_gone_is_no_question_for_the_app(
    host: Host, sonarr: FakeArr
) -> None:
    link = host.write(host.tv / "Show/e1.mkv")
    host.torrent("Other", host.write(host.downloads / "tv/other.mkv"), seeding_time=1)
    host.upload()
    link.unlink()
    for _ in range(3):
        host.later(2 * 86400)
        host.cleanup()
    assert host.names(host.tv) == set()
    assert sonarr.asked == []


def test_media_without_a_torrent_are_asked_about_too(host: Host, sonarr: FakeArr) -> None:
    link = host.write(host.tv / "Show/e1.mkv")
    sonarr.items["episodefile"].append({"id": 1, "seriesId": 1, "path": str(link)})
    sonarr.items["episode"].append(
        {"id": 101, "seriesId": 1, "episodeFileId": 1, "monitored": True}
    )
    host.library("tv", without_torrent=Seconds(60))
    host.torrent("Other", host.write(host.downloads / "tv/other.mkv"), seeding_time=1)
    host.upload()
    for _ in range(3):
        host.later(2 * 3600)
        report = host.cleanup()
    assert not link.exists()
    assert switches(sonarr, "episode") == {101: False}
    assert report.outcome == "done"
