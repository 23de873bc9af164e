"""cleanup: what lies in a library beside the links that go, goes with them: proven, as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mediapipe.companions import bears, is_medium, remembered
from mediapipe.errors import ActionFailed, Unavailable
from mediapipe.plan import Kept
from tests.crashes import deaths
from tests.hosts import HOUR, WEEK, Host, contents, reasons, statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEASON = "media/tv/Show/Season 1"


@pytest.mark.parametrize(
    ("name", "follows"),
    [
        ("Show.S01E01.en.srt", True),
        ("Show.S01E01.nfo", True),
        ("Show.S01E01-thumb.jpg", True),
        ("Show.S01E01 [forced].srt", True),
        ("Show.S01E010.srt", False),
        ("Show.S01E02.srt", False),
        ("show.s01e01.srt", False),
        ("Show.S01E01", False),
    ],
)
def test_what_bears_the_name_of_a_link(name: str, follows: bool) -> None:
    assert bears(f"/tv/{name}", "/tv/Show.S01E01.mkv") == follows
    assert not bears(f"/tv/sub/{name}", "/tv/Show.S01E01.mkv")


def test_what_a_medium_is() -> None:
    assert all(map(is_medium, ["a.mkv", "A.MP4", "x.flac", "x.epub", "x.y.m2ts"]))
    assert not any(map(is_medium, ["a.srt", "a.nfo", "poster.jpg", "mkv", "a.mkv.txt", ""]))


def episode(host: Host, number: int, *, due: bool = True, season: str = SEASON) -> Path:
    """Import an episode of a torrent of its own."""
    name = f"Show.S01E0{number}"
    source = host.write(host.downloads / "tv" / name / f"{name}.mkv", b"%d" % number * 2000)
    host.torrent(name, source, seeding_time=WEEK if due else 60)
    return host.link(source, host.folder / season / f"{name}.mkv")


@pytest.fixture
def show(host: Host) -> Host:
    """Give a host with two uploaded episodes, the first of them due, and all that lies beside."""
    furnish(host)
    host.upload()
    return host


def furnish(host: Host) -> None:
    for number in (1, 2):
        link = episode(host, number, due=number == 1)
        host.write(link.with_suffix(".en.srt"))
        host.write(link.with_name(f"{link.stem}-thumb.jpg"))
    for name in ("poster.jpg", "tvshow.nfo", "theme.txt"):
        host.write(host.tv / "Show" / name)
    host.write(host.folder / SEASON / "season.nfo")
    host.write(host.folder / SEASON / "Show.S01E01.trickplay" / "1.jpg")
    (host.tv / "Show" / ".actors" / "empty").mkdir(parents=True)


def all_due(host: Host) -> None:
    for hash_ in host.torrents.listed:
        host.torrents.change(hash_, seeding_time=WEEK)


def test_with_a_link_goes_what_bears_its_name_alone(show: Host) -> None:
    before = show.names(show.tv)
    report = show.cleanup()
    assert report.outcome == "done"
    gone = {f"{SEASON}/Show.S01E01{end}" for end in (".mkv", ".en.srt", "-thumb.jpg")}
    assert before - show.names(show.tv) == gone | {f"{one}.uploaded" for one in gone}
    assert remembered(show.history()) == {str(show.folder / SEASON / "Show.S01E01.mkv")}
    assert show.cleanup().results == ()
    assert remembered(show.history()) == frozenset()


def test_with_the_last_medium_goes_all_that_is_proven_and_the_folders(show: Host) -> None:
    all_due(show)
    report = show.cleanup()
    assert show.names(show.tv) == set()
    assert report.outcome == "done"
    kinds = [one[0] for one in statuses(report)]
    assert kinds.index("remove-torrent") < kinds.index("delete-file") < kinds.index("delete-link")
    show.cleanup()
    assert remembered(show.history()) == frozenset()
    assert show.history().intents() == ()


def test_the_audit_tells_what_a_restore_needs(show: Host) -> None:
    show.cleanup()
    lines = [json.loads(one) for one in (show.state / "audit.jsonl").read_text().splitlines()]
    line = next(
        one for one in lines if one["path"].endswith("E01.en.srt") and one["job"] != "upload"
    )
    assert line["action"] == "delete-link"
    assert line["remote"] == "b2:bucket/tv/Show/Season 1/Show.S01E01.en.srt"
    assert {"sha1", "file_id", "size", "inode"} <= line.keys()


@pytest.mark.parametrize("medium", ["film.mkv", "song.flac", "more.mkv.part", "big.bin", "link"])
def test_a_medium_anywhere_below_keeps_what_lies_above(show: Host, medium: str) -> None:
    """Nobody knows of a torrent of it: it stays, and with it the pictures of its show."""
    all_due(show)
    path = show.tv / "Show" / "Season 2" / medium
    show.write(path)
    if medium == "link":
        path.unlink()
        path.symlink_to("/nowhere")
    elif medium == "big.bin":
        with path.open("r+b") as file:
            file.truncate(100 << 20)
    show.cleanup()
    assert not (show.folder / SEASON).exists()
    there = {"media/tv/Show", *(f"media/tv/Show/{one}" for one in ("poster.jpg", "tvshow.nfo"))}
    assert there <= show.names(show.tv)


def test_what_is_not_proven_keeps_the_folder_until_it_is(show: Host) -> None:
    all_due(show)
    note = show.write(show.tv / "Show" / "new.ass")
    report = show.cleanup()
    assert reasons(report)["new.ass"] == (
        "its film is gone, but it stays with its folder: nothing proves yet that it is on B2; "
        "the next upload takes it"
    )
    assert show.names(show.tv) == {"media/tv/Show", "media/tv/Show/new.ass"}
    assert "new.ass" in reasons(show.cleanup())
    show.later(HOUR)
    show.upload()
    assert statuses(show.cleanup()) == [
        ("delete-link", "new.ass", "done"),
        ("delete-marker", "new.ass.uploaded", "done"),
        ("remove-directory", "Show", "done"),
    ]
    assert not note.exists()


def test_a_picture_that_was_never_uploaded_is_discardable_beside_a_proven_film(show: Host) -> None:
    all_due(show)
    show.write(show.tv / "Show" / "fanart.jpg", b"small")
    show.write(show.tv / "Show" / "large.jpg", b"x" * 300)
    report = show.cleanup()
    assert show.names(show.tv) == {"media/tv/Show", "media/tv/Show/large.jpg"}
    fanart = next(one for one in report.results if one.action.path.endswith("fanart.jpg"))
    assert fanart.action.reason == "it goes with its film; it is discardable"


@pytest.mark.parametrize("how", ["lost", "other bytes"])
def test_the_remote_is_asked_for_each_of_them(show: Host, how: str) -> None:
    name = "tv/Show/Season 1/Show.S01E01.en.srt"
    size = len(show.remote.versions[name][-1].content)
    if how == "lost":
        show.remote.lose(name)
    else:
        show.remote.put(name, b"!" * size)
    report = show.cleanup()
    left = show.folder / SEASON / "Show.S01E01.en.srt"
    assert left.exists()
    assert not left.with_name("Show.S01E01.en.srt.uploaded").exists()
    assert not left.with_name("Show.S01E01.mkv").exists()
    assert reasons(report)[left.name].endswith("it is uploaded again")
    calls = len(show.remote.calls)
    show.cleanup()
    assert len(show.remote.calls) == calls
    show.later(HOUR)
    show.upload()
    show.cleanup()
    assert not left.exists()
    assert (show.folder / SEASON).exists()


def test_without_an_answer_nothing_goes(show: Host) -> None:
    before = show.names(show.tv)
    show.remote.failures["look"] = Unavailable("no route")
    with pytest.raises(Unavailable):
        show.cleanup()
    assert show.names(show.tv) == before


@pytest.mark.parametrize("how", ["by path", "by a name below completed", "by two names"])
def test_what_somebody_else_holds_stays(show: Host, how: str) -> None:
    subtitle = show.folder / SEASON / "Show.S01E01.en.srt"
    if how == "by path":
        show.torrent("Subs", subtitle, save=show.tv, seeding_time=60)
    elif how == "by two names":
        show.link(subtitle, show.folder / "mine" / "x.srt")
    else:
        other = show.link(subtitle, show.downloads / "tv" / "Subs" / "x.srt")
        show.torrent("Subs", other, seeding_time=60)
    report = show.cleanup()
    assert subtitle.exists()
    assert not subtitle.with_name("Show.S01E01.mkv").exists()
    assert "its film is gone, but it stays" in reasons(report)[subtitle.name]


def test_a_longer_name_that_stays_keeps_its_own(host: Host) -> None:
    episode(host, 1)
    longer = host.write(host.folder / SEASON / "Show.S01E01.Extended.mkv")
    its = host.write(longer.with_suffix(".srt"))
    host.upload()
    host.cleanup()
    assert its.exists()
    assert longer.exists()


def test_a_link_that_was_not_deleted_keeps_what_lies_beside_it(show: Host) -> None:
    show.torrents.failures["remove"] = ActionFailed("refused")
    before = show.names(show.tv)
    report = show.cleanup()
    assert show.names(show.tv) == before
    link = show.folder / SEASON / "Show.S01E01.mkv"
    assert f"{link}, with which it was to go, is still there" in {
        one.error for one in report.results
    }


def test_a_film_that_comes_meanwhile_keeps_the_pictures(show: Host) -> None:
    all_due(show)
    new = show.tv / "Show" / "Season 2" / "new.mkv"

    def arrives(method: str) -> None:
        if method == "torrents" and not (show.folder / SEASON / "Show.S01E02.mkv").exists():
            show.write(new, b"new")

    show.torrents.before = arrives
    report = show.cleanup()
    assert new.exists()
    assert (show.tv / "Show" / "poster.jpg").exists()
    stale = {one.error for one in report.results if one.status == "stale"}
    assert stale == {f"{new} is in its folder now"}
    show.torrents.before = lambda _method: None
    assert show.cleanup().results == ()
    assert remembered(show.history()) == frozenset()


def test_a_link_that_is_back_is_forgotten(show: Host) -> None:
    all_due(show)
    show.write(show.tv / "Show" / "diary.doc")
    show.cleanup()
    back = show.write(show.folder / SEASON / "Show.S01E01.mkv", b"back")
    show.later(HOUR)
    show.upload()
    assert show.cleanup().results == ()
    assert back.exists()
    assert (show.tv / "Show" / "diary.doc").exists()


@pytest.mark.parametrize("what", ["Show", "Show/Season 1"])
def test_a_folder_that_became_a_link_keeps_what_it_leads_to(show: Host, what: str) -> None:
    """Somebody moved it elsewhere meanwhile: it is no folder of ours any more, empty or not."""
    all_due(show)
    note = show.write(show.folder / SEASON / "Show.S01E01.ass")
    show.cleanup()
    note.unlink()
    folder, away = show.tv / what, show.folder / "away"
    folder.rename(away)
    folder.symlink_to(away)
    before = show.names(away)
    show.later(HOUR)
    assert show.cleanup().results == ()
    assert show.names(away) == before
    assert remembered(show.history()) == frozenset()


def test_what_stays_is_told_once(show: Host) -> None:
    """The folder of the show knows of it, too, once all of its films are gone."""
    all_due(show)
    note = show.write(show.folder / SEASON / "Show.S01E01.ass")
    told = [one.path for one in show.cleanup().kept]
    assert told.count(str(note)) == 1
    assert [one.path for one in show.cleanup().kept].count(str(note)) == 1


def test_in_a_root_only_what_bears_the_name_goes(host: Host) -> None:
    source = host.write(host.downloads / "movies" / "film.mkv", b"f" * 2000)
    host.torrent("Film", source, category="radarr")
    host.link(source, host.movies / "Film.mkv")
    host.write(host.movies / "Film.srt")
    host.write(host.movies / "about.nfo")
    host.upload()
    host.cleanup()
    assert host.names(host.movies) == {
        "media/movies/about.nfo", "media/movies/about.nfo.uploaded"
    }  # fmt: skip
    host.cleanup()
    assert remembered(host.history()) == frozenset()


def test_kept_links_keep_what_lies_beside_them(show: Host) -> None:
    show.library("tv", after_delete="keep")
    all_due(show)
    before = show.names(show.tv)
    show.cleanup()
    assert show.names(show.tv) == before


def test_a_dry_run_tells_the_same(show: Host) -> None:
    all_due(show)
    show.write(show.tv / "Show" / "new.ass")
    planned = show.cleanup(dry_run=True)
    done = show.cleanup()
    assert [one.action for one in planned.results] == [one.action for one in done.results]
    assert planned.kept == done.kept
    assert all(isinstance(one, Kept) for one in done.kept)


def alone(host: Host) -> None:
    link = episode(host, 1)
    host.write(link.with_suffix(".srt"))
    host.write(link.with_suffix(".trickplay") / "1.jpg")
    host.write(host.tv / "Show" / "poster.jpg")


def alive(host: Host) -> None:
    alone(host)
    host.write(host.folder / SEASON / "usenet.mkv")


def unproven(host: Host) -> None:
    link = episode(host, 1)
    host.upload()
    host.write(link.with_suffix(".ass"))


@pytest.mark.soak
@pytest.mark.parametrize("scene", [alone, alive, unproven])
def test_death_at_any_step_is_mended_by_the_next_runs(
    tmp_path: Path, scene: Callable[[Host], None]
) -> None:
    before: dict[str, set[bytes]] = {}

    def build(name: str) -> Host:
        host = Host(tmp_path / name)
        scene(host)
        found = contents(host.downloads, host.tv)
        before[name] = {one for one in found if not one.startswith(b'{"version"')}
        if scene is not unproven:
            host.upload()
        return host

    def settle(host: Host) -> None:
        for _ in range(4):
            host.later(25 * HOUR)
            assert host.upload().outcome == "done"
            assert host.cleanup().outcome == "done"

    undisturbed = build("undisturbed")
    settle(undisturbed)
    for host, step in deaths(build, Host.cleanup):
        on_disk = contents(host.downloads, host.tv)
        for one in before[host.folder.name]:
            assert one in on_disk or host.remote.has(one), step
        settle(host)
        assert host.names() == undisturbed.names(), step
        assert host.history().intents() == (), step
        assert remembered(host.history()) == frozenset(), step
