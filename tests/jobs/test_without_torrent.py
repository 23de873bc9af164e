"""cleanup: library media that no torrent holds, where the library asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediapipe.units import Seconds
from tests.crashes import deaths
from tests.hosts import HOUR, Host, contents, reasons, statuses

if TYPE_CHECKING:
    from pathlib import Path

DAY = 24 * HOUR
MONTH = 30 * DAY


def collection(host: Host) -> Path:
    """Give an old film with its subtitle, uploaded, beside a torrent that seeds another one."""
    host.library("movies", without_torrent=Seconds(int(MONTH)))
    film = host.write(host.movies / "Old (1950)" / "Old.mkv", b"old" * 500)
    host.write(film.with_suffix(".srt"))
    host.write(film.with_name("poster.jpg"))
    source = host.write(host.downloads / "movies" / "New" / "new.mkv", b"new" * 500)
    host.link(source, host.movies / "New (2020)" / "New.mkv")
    host.torrent("New", source, category="radarr", seeding_time=60)
    assert {one.status for one in host.upload().results} == {"done"}
    return film


@pytest.fixture
def old(host: Host) -> Path:
    return collection(host)


def month(host: Host) -> None:
    assert host.cleanup().results == ()
    host.later(MONTH)


def test_it_goes_after_its_time_with_what_lies_beside_it(host: Host, old: Path) -> None:
    month(host)
    report = host.cleanup()
    assert statuses(report)[:2] == [
        ("delete-link", "Old.mkv", "done"),
        ("delete-marker", "Old.mkv.uploaded", "done"),
    ]
    assert host.names(host.movies) == {
        "media/movies/New (2020)",
        "media/movies/New (2020)/New.mkv",
        "media/movies/New (2020)/New.mkv.uploaded",
    }
    assert not old.exists()
    assert host.history().intents() == ()


def test_its_time_is_told_for_the_library(host: Host, old: Path) -> None:
    report = host.cleanup()
    assert reasons(report)["movies"].startswith(
        "1 media that no torrent holds wait; the first may go "
    )
    host.later(MONTH - HOUR)
    assert host.cleanup().results == ()
    assert old.exists()


def test_one_look_is_never_enough(host: Host, old: Path) -> None:
    host.library("movies", without_torrent=Seconds(0))
    assert host.cleanup().results == ()
    host.later(10 * 60)
    assert host.cleanup().results == ()
    host.later(HOUR)
    assert statuses(host.cleanup())[0][1] == "Old.mkv"
    assert not old.exists()


@pytest.mark.parametrize("keys", [{"without_torrent": "keep"}, {"after_delete": "keep"}])
def test_a_library_that_does_not_ask_for_it_is_not_even_looked_at(
    host: Host, old: Path, keys: dict[str, str]
) -> None:
    host.library("movies", **keys)
    month(host)
    report = host.cleanup()
    assert report.results == ()
    assert "movies" not in reasons(report)
    assert old.exists()


def test_without_proof_it_stays(host: Host, old: Path) -> None:
    month(host)
    unproven = host.write(old.with_name("Other.mkv"))
    host.remote.lose("movies/Old (1950)/Old.mkv")
    host.cleanup()
    host.later(MONTH)
    report = host.cleanup()
    assert old.exists()
    assert unproven.exists()
    assert reasons(report)["Other.mkv"].startswith("Other.mkv: nothing proves that it is on B2")


@pytest.mark.parametrize("how", ["by path", "by inode", "meanwhile"])
def test_what_a_torrent_holds_stays(host: Host, old: Path, how: str) -> None:
    def hold() -> None:
        path = old
        if how == "by inode":
            path = host.link(old, host.downloads / "movies" / "x.mkv")
        host.torrent("X", path, category="radarr", save=host.movies, seeding_time=60)

    if how != "meanwhile":
        hold()
    month(host)
    if how == "meanwhile":
        asked: list[str] = []

        def before(method: str) -> None:
            asked.append(method)
            if method == "torrents" and asked.count(method) == 2:
                hold()

        host.torrents.before = before
    host.cleanup()
    assert old.exists()
    assert old.with_name("poster.jpg").exists()


def test_what_was_held_meanwhile_begins_anew(host: Host, old: Path) -> None:
    month(host)
    torrent = host.torrent("X", old, category="radarr", save=host.movies, seeding_time=60)
    host.cleanup()
    host.torrents.remove(torrent)
    host.later(2 * HOUR)
    assert host.cleanup().results == ()
    host.later(MONTH)
    assert statuses(host.cleanup())[0][1] == "Old.mkv"


def test_a_name_elsewhere_keeps_it(host: Host, old: Path) -> None:
    host.link(old, host.tv / "also.mkv")
    month(host)
    report = host.cleanup()
    assert report.results == ()
    assert reasons(report)["Old.mkv"] == (
        "Old.mkv: library tv holds it, too, and keeps what has no torrent"
    )


def test_a_download_without_torrent_is_an_orphan_and_takes_its_link_along(
    host: Host, old: Path
) -> None:
    host.link(old, host.downloads / "movies" / "Old.mkv")
    host.configure("cleanup", orphan_grace=int(10 * MONTH))
    month(host)
    report = host.cleanup()
    assert report.results == ()
    assert any("and goes with that" in one.reason for one in report.kept)


def test_no_more_than_max_deletes_go_at_once(host: Host, old: Path) -> None:
    for number in range(3):
        host.write(host.movies / "Old (1950)" / f"{number}.mkv")
    host.upload()
    host.configure("cleanup", max_deletes=2)
    month(host)
    report = host.cleanup()
    links = [one for one in statuses(report) if one[0] == "delete-link"]
    assert [one[1] for one in links] == ["0.mkv", "1.mkv"]
    assert report.outcome == "done"
    assert sum("max_deletes = 2 files are reached" in one.reason for one in report.kept) == 2
    assert old.with_name("poster.jpg").exists()


def test_nothing_goes_while_the_torrent_list_is_not_believed(host: Host, old: Path) -> None:
    month(host)
    host.torrents.listed.clear()
    report = host.cleanup()
    assert report.results == ()
    assert "no orphan is touched" in reasons(report)["Old.mkv"]
    assert old.exists()


@pytest.mark.soak
def test_death_at_any_step_is_mended_by_the_next_runs(tmp_path: Path) -> None:
    def build(name: str) -> Host:
        host = Host(tmp_path / name)
        collection(host)
        month(host)
        return host

    def settle(host: Host) -> None:
        for _ in range(3):
            host.later(25 * HOUR)
            assert host.cleanup().outcome == "done"

    undisturbed = build("undisturbed")
    before = {one for one in contents(undisturbed.movies) if one.startswith((b"old", b"new"))}
    settle(undisturbed)
    assert "media/movies/Old (1950)" not in undisturbed.names()
    for host, step in deaths(build, Host.cleanup):
        assert all(one in contents(host.movies) or host.remote.has(one) for one in before), step
        settle(host)
        assert host.names() == undisturbed.names(), step
        assert host.history().intents() == (), step


def test_how_much_waits_and_since_what_is_known_for_status(host: Host, old: Path) -> None:
    assert host.cleanup().results == ()
    (found,) = host.history().tallies("library")
    assert (found.subject, found.files, found.size) == ("movies", 1, 1500)
    assert found.moment == host.now + MONTH
    host.write(old.with_name("Other.mkv"), b"other")
    host.later(HOUR)
    host.cleanup()
    (found,) = host.history().tallies("library")
    assert (found.files, found.size, found.moment) == (2, 1505, host.now - HOUR + MONTH)


def test_what_a_library_keeps_is_counted_once_a_day(host: Host, old: Path) -> None:
    host.library("movies", without_torrent="keep")
    host.write(host.tv / "Show" / "a.mkv", b"a")
    host.cleanup()
    assert host.history().tallies("library") == ()  # the first run may be one of many on a new box
    host.later(DAY)
    host.cleanup()
    assert [(one.subject, one.files, one.size, one.moment)
            for one in host.history().tallies("library")] == [
        ("movies", 1, 1500, None), ("tv", 1, 1, None),
    ]  # fmt: skip
    assert old.exists()


def test_a_download_without_torrent_and_proof_is_told_until_it_has_one(host: Host) -> None:
    kept = host.write(host.downloads / "tv" / "Lost" / "a.mkv", b"lost")
    seeding = host.write(host.downloads / "movies" / "New" / "new.mkv")
    host.torrent("New", seeding, category="radarr", seeding_time=60)
    host.cleanup()
    (found,) = host.history().tallies("unproven")
    assert (found.subject, found.files, found.size) == (str(kept.parent), 1, 4)
    kept.unlink()
    kept.parent.rmdir()
    host.cleanup()
    assert host.history().tallies("unproven") == ()
