"""categories: creates what is missing, and never changes what is there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mediapipe.errors import ActionFailed, ConfigError, Unavailable
from mediapipe.jobs.categories import CreateCategory, plan
from tests.hosts import statuses

if TYPE_CHECKING:
    from tests.hosts import Host

TV = "/downloads/tv"


@pytest.mark.parametrize(
    ("there", "actions", "kept"),
    [
        ({}, [("tv", TV)], []),
        ({"tv": TV}, [], []),
        ({"tv": TV + "/"}, [], []),
        ({"other": "/x"}, [("tv", TV)], []),
        ({"tv": "/elsewhere"}, [], [TV]),
        ({"TV": TV}, [("tv", TV)], []),
    ],
)
def test_plan(there: dict[str, str], actions: list[tuple[str, str]], kept: list[str]) -> None:
    made = plan({"tv": TV}, there)
    assert [(one.name, one.path) for one in made.actions] == actions
    assert [one.path for one in made.kept] == kept
    assert made.refused == (
        "a category has another save path than the configuration" if kept else ""
    )


def test_a_category_with_another_path_is_told_with_both_paths() -> None:
    (kept,) = plan({"tv": TV}, {"tv": "/elsewhere"}).kept
    assert kept.reason == (
        f"category tv saves to /elsewhere in qBittorrent, not to {TV}; changing that would move or "
        "lose its torrents, so change one of the two by hand"
    )


def test_missing_categories_are_created_once(host: Host) -> None:
    first, second = host.categories(), host.categories()
    wanted = {name: str(path) for name, path in host.config.categories.items()}
    assert host.torrents.saved == wanted
    assert {one.status for one in first.results} == {"done"}
    assert (second.results, second.exit_status) == ((), 0)


def test_what_was_created_stands_in_the_audit(host: Host) -> None:
    host.categories()
    lines = [json.loads(line) for line in (host.state / "audit.jsonl").read_text().splitlines()]
    assert [(line["job"], line["action"], line["name"], line["path"]) for line in lines] == [
        ("categories", "create-category", name, path)
        for name, path in host.config.categories.items()
    ]


def test_the_others_are_created_beside_one_that_is_different(host: Host) -> None:
    host.torrents.saved["radarr"] = "/elsewhere"
    report = host.categories()
    assert (report.outcome, report.exit_status) == ("refused", 3)
    assert host.torrents.saved["radarr"] == "/elsewhere"
    assert set(host.torrents.saved) == set(host.config.categories)


def test_one_that_qbittorrent_refuses_does_not_stop_the_others(host: Host) -> None:
    host.torrents.before = lambda method: (
        refuse(host) if method == "create_category" and len(host.torrents.calls) == 2 else None
    )
    report = host.categories()
    assert [one.status for one in report.results] == ["failed", "done", "done"]
    assert (report.outcome, report.exit_status) == ("partial", 3)


def refuse(host: Host) -> None:
    raise ActionFailed("qBittorrent refuses it")


@pytest.mark.parametrize("error", [Unavailable("no answer"), ConfigError("wrong login")])
@pytest.mark.parametrize("method", ["categories", "create_category"])
def test_a_service_that_does_not_answer_ends_the_run(
    host: Host, method: str, error: Unavailable | ConfigError
) -> None:
    host.torrents.failures[method] = error
    if method == "categories":
        with pytest.raises(type(error)):
            host.categories()
    else:
        report = host.categories()
        assert (report.outcome, report.exit_status) == (error.outcome, error.exit_status)
        assert {one.status for one in report.results} == {"planned"}
    assert host.torrents.saved == {}


def test_a_dry_run_tells_the_same_and_creates_nothing(host: Host) -> None:
    rehearsed = host.categories(dry_run=True)
    assert host.torrents.saved == {}
    assert not host.state.exists()
    done = host.categories()
    assert [one.action for one in rehearsed.results] == [one.action for one in done.results]
    assert {status for _kind, _path, status in statuses(rehearsed)} == {"planned"}


def test_an_action_says_what_it_does() -> None:
    action = CreateCategory("tv", TV)
    assert str(action) == f"create category tv at {TV}"
    assert action.details() == {"name": "tv"}
