"""The latch: after a refusal nothing is sent until what caused it is over, each in its own way."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mediapipe import latch
from mediapipe.errors import CapReached, ConfigError, LoginRefused, RemoteOut, Unavailable
from mediapipe.records import Pause
from mediapipe.units import SecretFile
from tests.hosts import HOUR, Host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mediapipe.errors import MediapipeError

DAY = 86400.0
YEARS = 10 * 365 * DAY
JOBS = ["upload", "cleanup"]


class Door:
    """The latch of a host whose configuration and secrets are files."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.config = host.write(host.folder / "config.toml")
        self.key = host.write(host.folder / "rclone.conf")
        self.password = host.write(host.folder / "password")
        host.configure("rclone", config_file=SecretFile(str(self.key)))
        host.configure("qbittorrent", password_file=SecretFile(str(self.password)))
        host.now = 1_800_000_000.0 - 1_800_000_000.0 % DAY + 7 * HOUR

    def note(self, error: MediapipeError | None, job: str = "upload") -> None:
        with self.host.writing() as history:
            latch.note(error, job, self.host.context(history), str(self.config))

    def demand(self, service: str = "rclone", job: str = "upload") -> None:
        with self.host.writing() as history:
            latch.demand_open(self.host.context(history), service, job, str(self.config))

    def closed(self, service: str = "rclone", job: str = "upload") -> bool:
        try:
            self.demand(service, job)
        except (ConfigError, Unavailable):
            return True
        return False


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(Host(tmp_path))


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1 + path.stat().st_mtime_ns))


def test_a_door_is_open_to_begin_with(door: Door) -> None:
    for service in ("rclone", "qbittorrent"):
        for job in JOBS:
            door.demand(service, job)


@pytest.mark.parametrize("service", ["rclone", "qbittorrent"])
def test_a_refused_secret_is_not_sent_again_whatever_time_passes(door: Door, service: str) -> None:
    door.note(LoginRefused(service, "the key is refused"))
    for wait in (0.0, HOUR, YEARS):
        door.host.later(wait)
        for job in JOBS:
            with pytest.raises(ConfigError) as caught:
                door.demand(service, job)
            told = "the key is refused (told before; nothing was sent this time)"
            assert str(caught.value) == told
            assert str(door.config) in caught.value.hint
            assert f"`touch {door.config}` is enough" in caught.value.hint
    other = {"rclone": "qbittorrent", "qbittorrent": "rclone"}[service]
    assert not door.closed(other)


@pytest.mark.parametrize(
    ("service", "file", "opens"),
    [
        ("rclone", "config", True),
        ("rclone", "key", True),
        ("rclone", "password", False),
        ("qbittorrent", "config", True),
        ("qbittorrent", "password", True),
        ("qbittorrent", "key", False),
    ],
)
@pytest.mark.parametrize("how", [touch, lambda path: path.write_bytes(b"new"), os.unlink])
def test_a_refused_secret_is_tried_again_once_its_files_change(
    door: Door, service: str, file: str, opens: bool, how: Callable[[Path], object]
) -> None:
    door.note(LoginRefused(service, "refused"))
    assert door.closed(service)
    how(getattr(door, file))
    assert door.closed(service) is not opens


def test_a_fresh_copy_of_the_same_credential_opens_nothing(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd copies each LoadCredential= anew when a unit starts, every two minutes."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    door.host.configure("qbittorrent", password_file=SecretFile("qbittorrent-password"))
    copy = folder / "qbittorrent-password"
    copy.write_text("wrong")
    door.note(LoginRefused("qbittorrent", "refused"))
    copy.unlink()
    copy.write_text("wrong")
    assert door.closed("qbittorrent")
    copy.write_text("right")
    assert not door.closed("qbittorrent")
    assert "wrong" not in repr(door.host.history().pauses())


def test_another_refusal_closes_it_again(door: Door) -> None:
    door.note(LoginRefused("rclone", "refused"))
    touch(door.key)
    assert not door.closed()
    door.note(LoginRefused("rclone", "still refused"))
    with pytest.raises(ConfigError, match="still refused"):
        door.demand()


def test_success_elsewhere_does_not_open_a_refused_secret(door: Door) -> None:
    door.note(LoginRefused("rclone", "refused"))
    door.note(None)
    assert door.closed()


def test_a_cap_lasts_until_the_day_ends_in_utc(door: Door) -> None:
    door.note(CapReached("B2's cap is reached"))
    for job in JOBS:
        with pytest.raises(Unavailable, match="B2's cap is reached"):
            door.demand(job=job)
    assert not door.closed("qbittorrent")
    door.host.later(17 * HOUR - 1)
    assert door.closed()
    door.host.later(1)
    assert not door.closed()


@pytest.mark.parametrize("error", [CapReached("cap"), RemoteOut("out")])
def test_touching_the_configuration_ends_a_pause(door: Door, error: MediapipeError) -> None:
    door.note(error)
    with pytest.raises(Unavailable) as caught:
        door.demand()
    assert caught.value.hint == f"`touch {door.config}` to ask now"
    touch(door.config)
    assert not door.closed()


def test_an_outage_pauses_uploads_alone_and_for_growing_times(door: Door) -> None:
    waits = []
    for _ in range(7):
        door.note(RemoteOut("no route"))
        assert door.closed()
        assert not door.closed(job="cleanup")
        assert not door.closed("qbittorrent")
        (pause,) = (one for one in door.host.history().pauses().values())
        waits.append(pause.until - door.host.now)
        door.host.now = pause.until - 1
        assert door.closed()
        door.host.now = pause.until
        assert not door.closed()
    assert waits == [120, 240, 480, 960, 1920, 3600, 3600]
    door.note(None)
    door.note(RemoteOut("no route"))
    (pause,) = (one for one in door.host.history().pauses().values())
    assert pause.until - door.host.now == 120


@pytest.mark.parametrize(
    ("error", "job"),
    [
        (RemoteOut("no route"), "cleanup"),
        (Unavailable("a mount is missing"), "upload"),
        (ConfigError("a program is missing"), "upload"),
        (None, "upload"),
    ],
)
def test_what_is_no_refusal_closes_nothing(
    door: Door, error: MediapipeError | None, job: str
) -> None:
    door.note(error, job)
    assert door.host.history().pauses() == {}
    assert not door.closed()


@pytest.mark.parametrize("error", [CapReached("cap"), RemoteOut("out")])
def test_a_pause_that_was_made_while_the_clock_was_wrong_ends(
    door: Door, error: MediapipeError
) -> None:
    door.host.later(YEARS)
    door.note(error)
    assert door.closed()
    door.host.later(-YEARS)
    assert not door.closed()


# what status tells of it


def told(door: Door) -> list[tuple[str, str, str, float | None]]:
    found = latch.in_force(door.host.history().pauses(), door.host.now)
    return [(one.cause, one.subject, one.job, one.until) for one in found]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (LoginRefused("qbittorrent", "no"), ("refused", "qbittorrent", "")),
        (LoginRefused("rclone", "no"), ("refused", "rclone", "")),
        (CapReached("cap"), ("cap", "rclone", "")),
        (RemoteOut("out"), ("outage", "rclone", "upload")),
    ],
)
def test_what_is_in_force_is_told_with_the_words_of_the_run(
    door: Door, error: MediapipeError, expected: tuple[str, str, str]
) -> None:
    assert told(door) == []
    door.note(error)
    ((*what, until),) = told(door)
    assert tuple(what) == expected
    (one,) = latch.in_force(door.host.history().pauses(), door.host.now)
    with pytest.raises((ConfigError, Unavailable)) as caught:
        door.demand(one.subject)
    assert caught.value.hint == one.ends
    assert str(caught.value).startswith(one.reason)
    assert (until is None) == (expected[0] == "refused")


@pytest.mark.parametrize(
    "error", [LoginRefused("rclone", "no"), CapReached("cap"), RemoteOut("out")]
)
@pytest.mark.parametrize("how", ["touch", "time"])
def test_what_a_run_would_ask_again_is_not_in_force(
    door: Door, error: MediapipeError, how: str
) -> None:
    door.note(error)
    if how == "touch":
        touch(door.config)
    else:
        door.host.later(YEARS)
    assert bool(told(door)) == door.closed()


def test_a_credential_that_is_there_only_while_the_unit_runs_counts_as_unchanged(
    door: Door, tmp_path: Path
) -> None:
    credential = door.host.write(tmp_path / "credentials" / "unit" / "rclone.conf")
    door.host.configure("rclone", config_file=SecretFile(str(credential)))
    door.note(LoginRefused("rclone", "no"))
    credential.unlink()
    assert told(door) == []
    credential.parent.rmdir()
    assert told(door) == [("refused", "rclone", "", None)]
    touch(door.config)
    assert told(door) == []


def test_an_item_that_rests_is_told(door: Door) -> None:
    now = door.host.now
    with door.host.writing() as history:
        history.pause("/media/a b", Pause(now + 60, 2, "why", "its files"))
        history.pause("/media/over", Pause(now - 60, 2, "why", "its files"))
        history.pause("/media/wrong clock", Pause(now + YEARS, 2, "why", "its files"))
    assert told(door) == [("item", "/media/a b", "upload", now + 60)]
