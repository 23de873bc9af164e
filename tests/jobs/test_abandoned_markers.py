"""cleanup: markers whose item is gone go, once history knows what they say, and nothing else."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from mediapipe.disk import marker
from mediapipe.disk.index import look
from tests.crashes import deaths
from tests.hosts import HOUR, Host, reasons, sha1, statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = 24 * HOUR


def watched(host: Host) -> None:
    """Let a day go by, so that the next run looks through all markers, and let it."""
    host.cleanup()
    host.later(DAY)
    assert host.cleanup().results == ()


@pytest.fixture
def seeding(host: Host) -> Host:
    """Give a host with an uploaded episode whose torrent still seeds."""
    episode = host.write(host.downloads / "tv" / "T" / "a.mkv", b"a" * 1000)
    host.link(episode, host.tv / "Show" / "a.mkv")
    host.torrent("T", episode, seeding_time=60)
    assert {one.status for one in host.upload().results} == {"done"}
    return host


def moved(host: Host) -> Path:
    """Rename the episode into another folder, as Sonarr does, and give the marker left behind."""
    target = host.tv / "Show (2020)" / "b.mkv"
    target.parent.mkdir()
    (host.tv / "Show" / "a.mkv").rename(target)
    return host.tv / "Show" / "a.mkv.uploaded"


def test_a_marker_goes_after_its_grace_and_in_the_second_run_that_sees_it(seeding: Host) -> None:
    left = moved(seeding)
    watched(seeding)
    assert left.exists()
    seeding.later(5 * 60)
    report = seeding.cleanup()
    assert report.results == ()
    assert reasons(report)["a.mkv.uploaded"].startswith("its item is gone since ")
    assert (
        "it may go in 5 min, by the second run at the earliest"
        in (reasons(report)["a.mkv.uploaded"])
    )
    seeding.later(5 * 60)
    assert statuses(seeding.cleanup()) == [
        ("delete-marker", "a.mkv.uploaded", "done"),
        ("remove-directory", "Show", "done"),
    ]
    assert (seeding.tv / "Show (2020)" / "b.mkv").exists()
    assert seeding.cleanup().results == ()
    assert seeding.history().sighted("marker") == frozenset()
    assert seeding.history().intents() == ()


def test_the_libraries_are_looked_through_once_a_day(seeding: Host) -> None:
    """Nothing tells of a marker that Sonarr left behind but a look into every folder."""
    moved(seeding)
    seeding.cleanup()
    seeding.later(DAY - 1)
    assert "a.mkv.uploaded" not in reasons(seeding.cleanup())
    seeding.later(1)
    assert "a.mkv.uploaded" in reasons(seeding.cleanup())


def test_a_folder_that_a_deletion_reads_is_looked_through_at_once(seeding: Host) -> None:
    seeding.write(seeding.tv / "Show" / "old.mkv.uploaded", b" ").write_bytes(b"")
    for hash_ in seeding.torrents.listed:
        seeding.torrents.change(hash_, seeding_time=10 * DAY)
    assert statuses(seeding.cleanup())[-1][1] == "T"  # the folder of the torrent, not of the show
    seeding.later(HOUR)
    assert statuses(seeding.cleanup()) == [
        ("delete-marker", "old.mkv.uploaded", "done"),
        ("remove-directory", "Show", "done"),
    ]


def test_no_grace_is_none(seeding: Host) -> None:
    seeding.configure("cleanup", orphan_grace=0)
    moved(seeding)
    seeding.cleanup()
    seeding.later(DAY)
    assert statuses(seeding.cleanup())[0] == ("delete-marker", "a.mkv.uploaded", "done")


@pytest.mark.parametrize("how", ["its file", "a folder of its name"])
def test_an_item_that_is_back_begins_anew(seeding: Host, how: str) -> None:
    left = moved(seeding)
    watched(seeding)
    item = left.with_suffix("")
    if how == "its file":
        seeding.write(item, b"new")
    else:
        item.mkdir()
    seeding.later(HOUR)
    assert seeding.cleanup().results == ()
    item.unlink() if item.is_file() else item.rmdir()
    seeding.later(DAY)
    assert seeding.cleanup().results == ()
    assert left.exists()


def test_an_item_that_comes_back_at_the_last_moment_keeps_its_marker(seeding: Host) -> None:
    left = moved(seeding)
    watched(seeding)
    seeding.later(HOUR)
    asked: list[str] = []

    def back(method: str) -> None:
        asked.append(method)
        if method == "torrents" and asked.count("torrents") > 1:
            seeding.write(left.with_suffix(""), b"back")

    seeding.torrents.before = back
    report = seeding.cleanup()
    assert [(one.status, one.error) for one in report.results] == [
        ("stale", "its item is there again"),
        ("stale", "it stays: Directory not empty"),
    ]
    assert left.exists()


@pytest.mark.parametrize(
    "content",
    [b'{"version": 2}', b"somebody's notes", b"x" * 100_000, b"\x00"],
    ids=["newer", "notes", "large", "binary"],
)
def test_somebodys_file_is_never_touched(seeding: Host, content: bytes) -> None:
    somebodys = seeding.write(seeding.tv / "Show" / "notes.uploaded", content)
    watched(seeding)
    seeding.later(HOUR)
    assert seeding.cleanup().results == ()
    assert somebodys.read_bytes() == content


@pytest.mark.parametrize("kind", ["link", "hard link", "folder", "nameless", "held"])
def test_what_only_looks_like_a_marker_is_never_touched(seeding: Host, kind: str) -> None:
    path = seeding.tv / "Show" / "gone.mkv.uploaded"
    if kind == "link":
        path.symlink_to(seeding.write(seeding.folder / "target"))
    elif kind == "folder":
        path.mkdir()
    elif kind == "nameless":
        path = path.with_name(".uploaded")
        path.touch()
    elif kind == "held":
        path = seeding.downloads / "tv" / "gone.mkv.uploaded"
        path.touch()
        seeding.torrent("odd", path, seeding_time=60)
    else:
        path.touch()
        seeding.link(path, seeding.folder / "mine")
    watched(seeding)
    seeding.later(HOUR)
    assert seeding.cleanup().results == ()
    assert os.path.lexists(path)


def test_what_a_marker_says_outlives_it(seeding: Host) -> None:
    """History was lost and Sonarr renamed the file: the marker alone still knows its object."""
    left = moved(seeding)
    (seeding.state / "history.db").unlink()
    for root in (seeding.tv, seeding.movies, seeding.downloads):
        (root / ".mediapipe-root").unlink()
    watched(seeding)
    seeding.later(HOUR)
    assert ("delete-marker", "a.mkv.uploaded", "done") in statuses(seeding.cleanup())
    assert not left.exists()
    file = look(str(seeding.tv / "Show (2020)" / "b.mkv"))
    assert file is not None
    (proof,) = seeding.history().proofs(file.identity)
    assert [(one.remote, one.sha1) for one in proof.objects] == [
        ("b2:bucket/tv/Show/a.mkv", sha1(b"a" * 1000))
    ]


def test_a_row_that_is_known_is_not_written_again(seeding: Host) -> None:
    moved(seeding)
    file = look(str(seeding.tv / "Show (2020)" / "b.mkv"))
    assert file is not None
    before = seeding.history().proofs(file.identity)
    watched(seeding)
    seeding.later(HOUR)
    seeding.cleanup()
    assert seeding.history().proofs(file.identity) == before
    assert before[0].objects[0].file_id


def test_markers_of_hashed_names_are_told_from_those_of_long_items(seeding: Host) -> None:
    there = seeding.write(seeding.tv / "Show" / ("x" * 250))
    gone = seeding.tv / "Show" / ("y" * 250)
    for item in (there, gone):
        marker_of = seeding.tv / "Show" / os.path.basename(marker.marker_path(str(item)))
        marker_of.touch()
    watched(seeding)
    seeding.later(HOUR)
    assert statuses(seeding.cleanup()) == [
        ("delete-marker", os.path.basename(marker.marker_path(str(gone))), "done")
    ]


def test_the_marker_of_a_lost_first_volume_stays_with_the_others(seeding: Host) -> None:
    first = seeding.downloads / "x.part1.rar"
    volumes = seeding.pack(first, {"x.mkv": b"x" * 500}, volumes=2)
    seeding.upload()
    seeding.torrent("X", *volumes, category="", seeding_time=60)
    assert (seeding.downloads / "x.part1.rar.uploaded").exists()
    first.unlink()
    watched(seeding)
    seeding.later(HOUR)
    assert "x.part1.rar.uploaded" not in {one[1] for one in statuses(seeding.cleanup())}


def test_no_marker_goes_while_the_torrent_list_is_not_believed(seeding: Host) -> None:
    left = moved(seeding)
    watched(seeding)
    seeding.later(HOUR)
    seeding.torrents.listed.clear()
    report = seeding.cleanup()
    assert report.results == ()
    assert "no orphan is touched" in reasons(report)["Show"]
    assert left.exists()


def test_a_dry_run_watches_nothing(seeding: Host) -> None:
    moved(seeding)
    watched(seeding)
    seeding.later(HOUR)
    planned = seeding.cleanup(dry_run=True)
    assert [one.status for one in planned.results] == ["planned", "planned"]
    done = seeding.cleanup()
    assert [one.action for one in done.results] == [one.action for one in planned.results]


def lone(host: Host) -> None:
    """One marker whose file was renamed, and one whose file is nowhere."""
    moved(host)
    host.write(host.tv / "Show" / "z.mkv.uploaded").write_bytes(b"")


def known_to_the_marker_alone(host: Host) -> None:
    moved(host)
    (host.state / "history.db").unlink()
    for root in (host.tv, host.movies, host.downloads):
        (root / ".mediapipe-root").unlink()


@pytest.mark.soak
@pytest.mark.parametrize("scene", [lone, known_to_the_marker_alone])
def test_death_at_any_step_is_mended_by_the_next_runs(
    tmp_path: Path, scene: Callable[[Host], None]
) -> None:
    def build(name: str) -> Host:
        host = Host(tmp_path / name)
        episode = host.write(host.downloads / "tv" / "T" / "a.mkv", b"a" * 1000)
        host.link(episode, host.tv / "Show" / "a.mkv")
        host.torrent("T", episode, seeding_time=60)
        host.upload()
        scene(host)
        watched(host)
        host.later(HOUR)
        return host

    for host, step in deaths(build, Host.cleanup):
        for _ in range(3):
            assert host.cleanup().outcome == "done", step
            host.later(HOUR)
        assert not (host.tv / "Show").exists(), step
        assert host.history().intents() == (), step
        file = look(str(host.tv / "Show (2020)" / "b.mkv"))
        assert file is not None
        assert host.history().proofs(file.identity), step


def test_the_audit_tells_of_it(seeding: Host) -> None:
    moved(seeding)
    watched(seeding)
    seeding.later(HOUR)
    seeding.cleanup()
    lines = [json.loads(one) for one in (seeding.state / "audit.jsonl").read_text().splitlines()]
    found = next(one for one in lines if one["action"] == "delete-marker")
    assert found["path"].endswith("Show/a.mkv.uploaded")
    assert found["reason"] == "its item is gone"
