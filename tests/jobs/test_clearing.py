"""Unfinished uploads are cleared once a week, by a run that has work, and stop nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.bucket import Unfinished
from mediapipe.errors import CapReached, ConfigError, RemoteOut
from tests.fakes import FakeBucket
from tests.hosts import HOUR, WEEK, Host, statuses

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def host(tmp_path: Path) -> Host:
    found = Host(tmp_path)
    found.remote.account = FakeBucket()
    return found


def begin(host: Host, name: str, hours: float) -> Unfinished:
    one = Unfinished(f"b2:bucket/{name}", f"id of {name}", host.now - hours * HOUR)
    account(host).begun.append(one)
    return one


def account(host: Host) -> FakeBucket:
    assert host.remote.account is not None
    return host.remote.account


def work(host: Host) -> None:
    """Upload something new; that goes well, whatever else does not."""
    new = host.write(host.tv / f"{len(host.remote.versions)}.mkv")
    report = host.upload()
    assert statuses(report) == [("upload", new.name, "done")]
    assert report.outcome == "done"


def told(host: Host) -> list[tuple[str, dict[str, Any]]]:
    return [(name, fields) for name, fields in host.events if name.startswith("remote.")]


def audit(host: Host) -> list[dict[str, Any]]:
    lines = (host.state / "audit.jsonl").read_text().splitlines()
    return [one for one in map(json.loads, lines) if one["action"] == "cancel-unfinished"]


def test_what_was_begun_more_than_a_day_ago_is_cancelled(host: Host) -> None:
    old = [begin(host, f"{folder}/x.mkv", 24.1) for folder in ("tv", "movies", "downloads")]
    young = begin(host, "tv/young.mkv", 23.9)
    ahead = begin(host, "tv/by a clock that is ahead.mkv", -48)
    others = begin(host, "others/x.mkv", 1000)
    work(host)
    assert account(host).begun == [young, ahead, others]
    assert [(one["path"], one["file_id"]) for one in audit(host)] == [
        (one.remote, one.file_id) for one in old
    ]
    assert {one["job"] for one in audit(host)} == {"upload"}
    assert "never finished" in audit(host)[0]["reason"]
    assert told(host) == [("remote.cleared", {"level": "info", "job": "upload", "count": 3})]


def test_it_is_done_once_a_week(host: Host) -> None:
    work(host)
    asked = len(account(host).calls)
    one = begin(host, "tv/x.mkv", 48)
    for _ in range(3):
        host.later(WEEK / 3 - 1)
        work(host)
        assert account(host).begun == [one]
    assert len(account(host).calls) == asked
    host.later(3)
    work(host)
    assert account(host).begun == []


def test_a_clock_that_went_back_does_not_put_it_off(host: Host) -> None:
    host.later(1000 * WEEK)
    work(host)
    host.later(-1000 * WEEK)
    begin(host, "tv/x.mkv", 48)
    work(host)
    assert account(host).begun == []


def test_another_remote_is_cleared_in_its_own_time(host: Host) -> None:
    work(host)
    begin(host, "tv/x.mkv", 48)
    host.configure("rclone", remote="b2:bucket/")
    host.write(host.tv / "new.mkv")
    host.upload()
    assert account(host).begun == []


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_run_without_work_and_a_dry_run_ask_nothing(host: Host, dry_run: bool) -> None:
    one = begin(host, "tv/x.mkv", 48)
    if dry_run:
        host.write(host.tv / "new.mkv")
    host.upload(dry_run=dry_run)
    assert account(host).begun == [one]
    assert account(host).calls == []
    assert "bucket" not in host.remote.calls


@pytest.mark.parametrize("method", ["unfinished", "cancel"])
@pytest.mark.parametrize("error", [RemoteOut("no route"), CapReached("cap")])
def test_an_outage_is_told_and_asked_again_in_the_next_run(
    host: Host, method: str, error: Exception
) -> None:
    begin(host, "tv/x.mkv", 48)
    account(host).failures[method] = error
    for _ in range(2):
        host.events.clear()
        work(host)
        (event,) = told(host)
        assert event[0] == "remote.uncleared"
        assert event[1]["level"] == "warning"
    account(host).failures.clear()
    work(host)
    assert account(host).begun == []


@pytest.mark.parametrize("method", ["unfinished", "cancel"])
def test_a_refusal_is_told_once_and_asked_again_after_a_week(host: Host, method: str) -> None:
    begin(host, "tv/x.mkv", 48)
    account(host).failures[method] = ConfigError("the key may not")
    for _ in range(3):
        work(host)
        host.later(HOUR)
    (event,) = told(host)
    assert event == (
        "remote.uncleared", {"level": "warning", "job": "upload", "reason": "the key may not"},
    )  # fmt: skip
    account(host).failures.clear()
    host.later(WEEK)
    work(host)
    assert account(host).begun == []


def test_what_was_cancelled_before_an_outage_is_told_and_audited(host: Host) -> None:
    begin(host, "tv/x.mkv", 48)
    bucket = account(host)
    real = bucket.cancel

    def cancel_then_break(one: Unfinished) -> bool:
        bucket.failures["unfinished"] = RemoteOut("no route")
        return real(one)

    bucket.cancel = cancel_then_break  # type: ignore[method-assign]
    work(host)
    assert [name for name, _ in told(host)] == ["remote.uncleared", "remote.cleared"]
    assert len(audit(host)) == 1


class Meanwhile(FakeBucket):
    """A bucket in which somebody else is quicker."""

    def unfinished(self, folder: str) -> tuple[Unfinished, ...]:
        found = super().unfinished(folder)
        self.begun.clear()
        return found


def test_one_that_is_gone_by_then_is_not_counted(host: Host) -> None:
    host.remote.account = Meanwhile()
    begin(host, "tv/x.mkv", 48)
    work(host)
    assert account(host).calls.count("cancel") == 1
    assert (told(host), audit(host)) == ([], [])


def test_behind_another_remote_nothing_is_done(host: Host) -> None:
    host.remote.account = None
    work(host)
    work(host)
    ((name, fields),) = told(host)
    assert (name, fields["level"]) == ("remote.uncleared", "debug")
