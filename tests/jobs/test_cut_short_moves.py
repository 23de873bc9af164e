"""Hidden copies that a killed move left: swept once they are old and no job will resume them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from mediapipe import moving
from mediapipe.history import open_history
from mediapipe.records import Move
from mediapipe.usenet import Queued
from tests.jobs.test_postprocess import Host, kept

WEEK = 7 * 86400


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def partial(place: Path, digit: str = "0") -> Path:
    """Leave the folder of a copy that was cut short, of 2 KiB."""
    path = place / f".mediapipe-{digit * 16}.partial"
    return fill(path)


def fill(path: Path) -> Path:
    (path / "Season 1").mkdir(parents=True)
    (path / "Season 1" / "a.mkv").write_bytes(b"x" * 2048)
    (path / "link").symlink_to("..")
    return path


def record(host: Host, state: str, source: Path, stage: tuple[str, str, int] | None) -> None:
    move = Move("other", source.name, str(source), 1, str(host.tv / source.name), state,  # type: ignore[arg-type]
                stage, "", 0.0)  # fmt: skip
    with contextlib.closing(open_history(str(host.folder / "state"))) as history:
        history.record_move(move)


def test_they_are_listed_with_age_and_size_and_swept_on_demand(host: Host) -> None:
    left = [partial(place) for place in (host.tv, host.complete / "tv", host.folder / "incomplete")]
    file = host.folder / "usenet" / "other" / f".mediapipe-{'a' * 16}.partial"
    file.write_bytes(b"x" * 1024)
    host.write("tv/X/a")
    (host.tv / ".mediapipe-root").touch()
    others = [host.tv / ".mediapipe-short.partial", host.tv / f".mediapipe-{'b' * 16}.tmp"]
    for one in others:
        one.mkdir()
    (host.tv / f".mediapipe-{'c' * 16}.partial").symlink_to(host.complete)
    assert not any("cut short" in reason for reason in kept(host.run(sweep=True)).values())
    host.now += WEEK + 86400
    told = kept(host.run())
    assert "(2.0 KiB), which no job resumes, untouched for 8 d" in told[str(left[0])]
    assert "(1.0 KiB)" in told[str(file)]
    assert "--sweep" in told[str(file)]
    assert all(one.exists() for one in (*left, file))
    # without SABnzbd's own word it is not known what will be resumed
    host.run(asked=False, sweep=True)
    assert all(one.exists() for one in (*left, file))
    report = host.run(sweep=True)
    assert {one.action.path for one in report.results} == {str(one) for one in (*left, file)}
    assert report.exit_status == 0
    assert not any(os.path.lexists(one) for one in (*left, file))
    assert all(one.exists() for one in others)
    assert (host.tv / f".mediapipe-{'c' * 16}.partial").is_symlink()
    assert (host.complete / "tv/X/a").exists()


@pytest.mark.parametrize("stage", ["copying", "none"])
def test_what_a_move_may_resume_stays(host: Host, stage: str) -> None:
    source = host.complete / "tv" / "Away"
    copy = fill(Path(moving.hidden_copy(str(source), str(host.tv / "Away"))))
    record(host, "begun", source, ("copying", str(copy), 0) if stage == "copying" else None)
    host.now += WEEK + 86400
    assert str(copy) not in {one.action.path for one in host.run(dry_run=True, sweep=True).results}
    record(host, "ended", source, None)
    assert [one.action.path for one in host.run(dry_run=True, sweep=True).results] == [str(copy)]


def test_the_copy_of_a_job_that_waits_stays(host: Host) -> None:
    host.write("tv/X/a")
    host.job("X")
    host.waiting.append(Queued("q", "X"))  # of the same name, so that the finished one waits
    copy = fill(Path(moving.hidden_copy(str(host.complete / "tv/X"), str(host.tv / "X"))))
    host.now += WEEK + 86400
    host.run(sweep=True)
    assert copy.exists()
    host.waiting.clear()
    host.run(sweep=True)
    host.run(sweep=True)
    assert host.arrived() == {"tv/X/a"}


def test_one_that_changes_after_the_plan_stays(host: Host) -> None:
    copy = partial(host.tv)
    host.now += WEEK + 60
    plan = host.run(dry_run=True, sweep=True)
    assert [one.action.path for one in plan.results] == [str(copy)]
    host.now -= 86400
    assert host.run(sweep=True).results == ()
    assert copy.exists()
