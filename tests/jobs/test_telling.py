"""What upload tells those who show the remote, when, and what becomes of it when they are out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.adapters.rc import Mount
from mediapipe.errors import ActionFailed, CapReached, ConfigError, Stopped, Unavailable
from mediapipe.jobs import upload
from mediapipe.runner import opened
from tests.hosts import Host, statuses

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class Recorder:
    """A `Listener` that keeps each round that it is told."""

    name: str = "mount"
    rounds: list[set[str]] = field(default_factory=list)
    failure: BaseException | None = None
    """What it raises, until it is taken out again."""

    def uploaded(self, names: Sequence[str]) -> None:
        if self.failure is not None:
            raise self.failure
        assert len(names) == len(set(names))
        self.rounds.append(set(names))


@pytest.fixture
def mount(host: Host) -> Recorder:
    recorder = Recorder()
    host.listeners = [recorder]
    return recorder


@pytest.fixture
def jellyfin(host: Host, mount: Recorder) -> Recorder:
    recorder = Recorder("jellyfin")
    host.listeners = [mount, recorder]
    return recorder


def episode(host: Host, number: int) -> str:
    host.write(host.tv / "Show" / f"E{number}.mkv")
    return f"tv/Show/E{number}.mkv"


def warnings(host: Host) -> list[dict[str, Any]]:
    return [fields for event, fields in host.events if event == "listener.failed"]


def test_what_arrived_is_told_once_after_the_last_result(
    host: Host, mount: Recorder, jellyfin: Recorder
) -> None:
    names = {episode(host, 1), episode(host, 2)}
    host.write(host.downloads / "Foo" / "a b.txt")
    host.pack(host.downloads / "Bar" / "film.rar", {"film.mkv": b"film", "Subs/en.srt": b"en"})

    report = host.upload()

    assert report.outcome == "done"
    names |= {"downloads/Foo/a b.txt", "downloads/Bar/film.mkv", "downloads/Bar/Subs/en.srt"}
    assert mount.rounds == jellyfin.rounds == [names]
    assert warnings(host) == []


def test_with_nothing_sent_nobody_is_asked_for(host: Host) -> None:
    def ask() -> Sequence[Recorder]:
        raise AssertionError("nobody is to be asked for")

    def run(*, dry_run: bool = False) -> list[tuple[str, str, str]]:
        with opened(str(host.state), "upload", dry_run=dry_run) as history:
            context = host.context(history, dry_run=dry_run)
            return statuses(
                upload.run(
                    context, lambda: host.torrents, lambda: host.remote, lambda: host.archives, ask
                )
            )

    assert run() == []
    episode(host, 1)
    assert run(dry_run=True) == [("upload", "E1.mkv", "planned")]
    host.remote.refused["tv/Show/E1.mkv"] = "no"
    assert run() == [("upload", "E1.mkv", "failed")]


def test_a_marker_that_is_written_anew_is_no_news(host: Host, mount: Recorder) -> None:
    host.pack(host.downloads / "Foo" / "film.rar", {"film.mkv": b"film"})
    host.upload()
    (host.downloads / "Foo.uploaded").unlink()

    assert statuses(host.upload()) == [("upload", "Foo", "done")]
    assert len(mount.rounds) == 1


def test_names_of_any_bytes_are_remembered_and_told(host: Host, mount: Recorder) -> None:
    host.configure("rclone", remote="b2:bucket/folder")
    host.remote.root = "b2:bucket/folder"
    host.write(host.tv / "new\nline" / "stray\udcff.mkv")

    host.upload()

    assert mount.rounds == [{"tv/new\nline/stray\udcff.mkv"}]


@pytest.mark.parametrize(
    "trouble",
    [Unavailable("out", hint="wait"), ConfigError("refused", hint="mend it")],
    ids=["out", "refused"],
)
def test_trouble_is_a_warning_and_is_told_again_by_the_next_run_that_sends(
    host: Host, mount: Recorder, trouble: Exception
) -> None:
    first = episode(host, 1)
    mount.failure = trouble

    report = host.upload()

    assert (report.outcome, statuses(report)) == ("done", [("upload", "E1.mkv", "done")])
    (warning,) = warnings(host)
    assert (warning["level"], warning["listener"], warning["reason"]) == (
        "warning",
        "mount",
        str(trouble),
    )
    assert warning["hint"]
    mount.failure = None
    host.upload()
    assert mount.rounds == []
    second = episode(host, 2)
    host.upload()
    third = episode(host, 3)
    host.upload()
    assert mount.rounds == [{first, second}, {third}]


def test_who_looks_through_one_that_was_not_told_waits_for_it(
    host: Host, mount: Recorder, jellyfin: Recorder
) -> None:
    names = {episode(host, 1)}
    mount.failure = Unavailable("out")
    host.upload()
    assert jellyfin.rounds == []
    mount.failure = None

    names.add(episode(host, 2))
    host.upload()

    assert mount.rounds == jellyfin.rounds == [names]


def test_who_took_it_is_not_told_again_because_another_did_not(
    host: Host, mount: Recorder, jellyfin: Recorder
) -> None:
    first = episode(host, 1)
    jellyfin.failure = Unavailable("out")
    host.upload()
    jellyfin.failure = None

    second = episode(host, 2)
    host.upload()

    assert mount.rounds == [{first}, {second}]
    assert jellyfin.rounds == [{first, second}]


def test_what_is_refused_for_ever_is_not_told_again(
    host: Host, mount: Recorder, jellyfin: Recorder
) -> None:
    episode(host, 1)
    mount.failure = ActionFailed("no")
    host.upload()
    mount.failure = None
    assert len(warnings(host)) == 1
    assert jellyfin.rounds == [{"tv/Show/E1.mkv"}]

    second = episode(host, 2)
    host.upload()

    assert mount.rounds == [{second}]


def test_an_outage_that_ends_the_uploads_does_not_hide_what_came_before(
    host: Host, mount: Recorder
) -> None:
    host.configure("upload", batch=1)
    names = {episode(host, 1), episode(host, 2)}

    def fail_the_second(method: str) -> None:
        if method == "copy" and host.remote.sent:
            host.remote.trouble = CapReached("cap")

    host.remote.before = fail_the_second
    report = host.upload()

    assert report.outcome == "unavailable"
    (told,) = mount.rounds
    assert told == set(host.remote.sent)
    assert len(told) == 1
    assert told < names


def test_a_run_that_is_stopped_tells_nobody_and_loses_nothing(host: Host, mount: Recorder) -> None:
    host.configure("upload", batch=1)
    names = {episode(host, 1), episode(host, 2)}

    def stop_at_the_second(method: str) -> None:
        if method == "copy" and host.remote.sent:
            raise Stopped

    host.remote.before = stop_at_the_second
    report = host.upload()
    assert (report.outcome, report.reason) == ("unavailable", "stopped by a signal")
    assert (report.count("done"), report.count("planned")) == (1, 1), "what was done is told"
    assert mount.rounds == []
    host.remote.before = lambda _method: None

    host.upload()

    assert mount.rounds == [names]


def test_a_run_that_is_stopped_while_it_tells_loses_nothing(host: Host, mount: Recorder) -> None:
    first = episode(host, 1)
    mount.failure = Stopped()
    assert host.upload().outcome == "unavailable"
    mount.failure = None
    second = episode(host, 2)

    host.upload()

    assert mount.rounds == [{first, second}]


def test_without_a_mount_nothing_is_left_to_be_told(host: Host) -> None:
    host.listeners = [Mount("127.0.0.1:9", str(host.state))]
    episode(host, 1)

    assert host.upload().outcome == "done"

    assert warnings(host) == []
    assert [one for one in host.history().events("") if "Show" in json.dumps(one)] == []
