"""What a due torrent leaves over: upload and cleanup in turn until the disk is empty."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.archive_files import rar_volumes_of, zip_of
from tests.end_to_end.attack import Attack, done, kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.real

SEASON = "The.Show.S01.1080p"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Attack]:
    with Attack(tmp_path) as attack:
        attack.job("categories", status=0)
        yield attack


def data(name: str, size: int = 30_000) -> bytes:
    return random.Random(name).randbytes(size)


def in_turn(box: Attack, rounds: int = 4) -> int:
    """Upload and clean up until no torrent is left; gives the rounds that it took."""
    for number in range(1, rounds + 1):
        box.upload()
        box.holds()
        box.due()
        box.cleanup()
        box.holds()
        if not box.listed():
            return number
    raise AssertionError(f"still there: {kept(box.cleanup())}")


def test_a_season_with_all_that_comes_along_ends_on_b2(box: Attack) -> None:
    tv = box.box.completed / "tv"
    season = tv / SEASON
    for number in (1, 2):
        path = box.write(season / f"E0{number}.mkv", data(f"E0{number}", 300_000))
        box.link(path, box.box.tv / f"The Show/Season 1/E0{number}.mkv")
    loose = {
        "E03.mkv": data("E03"),
        "Subs/E01.srt": data("srt", 500),
        "Subs/deep er/E02 [x] #1.srt": data("srt2", 500),
        "Extras/making of; \u00e9.mkv": data("making"),
    }
    for name, content in loose.items():
        box.write(season / name, content)
    extras = {"blooper.mkv": data("blooper"), "d/caf\u00e9.mkv": data("cafe")}
    box.pack(season / "Extras", {"extras.zip": zip_of(extras)}, extras)
    film = {"E04.mkv": data("E04", 150_000)}
    volumes = rar_volumes_of(film, 60_000, new_names=True)
    box.pack(season / "E04", {f"e.part{n}.rar": raw for n, raw in enumerate(volumes, 1)}, film)
    (season / "season.nfo").write_bytes(b"may be thrown away")
    box.torrent(season, category="tv-sonarr", save_path=tv)

    assert in_turn(box) == 2

    assert box.box.tree(box.box.completed) | box.box.tree(box.box.tv) == set()
    assert box.scratch() == []
    assert box.contents() == {
        **{f"tv/The Show/Season 1/E0{n}.mkv": data(f"E0{n}", 300_000) for n in (1, 2)},
        **{f"downloads/{SEASON}/{name}": content for name, content in loose.items()},
        **{f"downloads/{SEASON}/Extras/{name}": content for name, content in extras.items()},
        **{f"downloads/{SEASON}/E04/{name}": content for name, content in film.items()},
    }
    assert box.upload()["actions"] == []
    assert box.cleanup()["actions"] == []


def test_a_single_file_that_no_library_took_goes_too(box: Attack) -> None:
    tv = box.box.completed / "tv"
    episode = box.write(tv / "Refused.S01E01.mkv")
    content = episode.read_bytes()
    box.torrent(episode, category="tv-sonarr", save_path=tv)

    assert in_turn(box) == 2

    assert box.contents() == {"downloads/Refused.S01E01.mkv/Refused.S01E01.mkv": content}
    assert box.box.tree(box.box.completed) == set()


def test_before_a_torrent_is_due_its_leftovers_are_nobodys(box: Attack) -> None:
    box.box.write_config(cleanup={"seeding_time": "30d"})
    tv = box.box.completed / "tv"
    box.write(tv / SEASON / "E03.mkv")
    box.torrent(tv / SEASON, category="tv-sonarr", save_path=tv)
    for _ in range(2):
        assert box.upload()["actions"] == []
        assert box.cleanup()["actions"] == []

    assert box.contents() == {}


def test_leftovers_may_be_kept_and_their_torrent_with_them(box: Attack) -> None:
    box.box.write_config(upload={"leftovers": "keep"})
    tv = box.box.completed / "tv"
    box.write(tv / SEASON / "E03.mkv")
    hash_ = box.torrent(tv / SEASON, category="tv-sonarr", save_path=tv)
    box.due()
    for _ in range(2):
        report = box.cleanup()
        assert "nothing proves" in kept(report)[SEASON]
        assert box.upload()["actions"] == []

    assert box.listed() == {hash_}
    box.holds()


def test_a_leftover_that_cannot_be_extracted_keeps_its_torrent_alone(box: Attack) -> None:
    tv = box.box.completed / "tv"
    box.write(tv / "Bad/E01.mkv")
    box.write(tv / "Bad/none.zip", b"no archive at all")
    box.write(tv / "Good/E01.mkv")
    bad, good = (
        box.torrent(tv / name, category="tv-sonarr", save_path=tv) for name in ("Bad", "Good")
    )
    box.due()
    box.cleanup()
    report = box.upload(status=3)
    assert {a["path"] for a in report["actions"] if a["status"] == "failed"} == {
        str(tv / "Bad/none.zip")
    }
    box.cleanup()

    assert box.listed() == {bad}
    assert good not in box.listed()
    assert box.upload()["actions"] == []
    assert "downloads/Bad/E01.mkv" in box.contents()
    box.holds()


def test_two_torrents_of_one_name_lose_nothing(box: Attack) -> None:
    """Where two in the list have one name, a piece of the hash tells their folders apart."""
    for number in (1, 2):
        tv = box.box.completed / "tv" / f"rip {number}"
        path = box.write(tv / SEASON / "E03.mkv")
        box.torrent(path.parent, category="tv-sonarr", save_path=tv)

    in_turn(box)

    assert [one.versions for one in box.b2.objects().values()] == [1, 1]
    assert box.box.tree(box.box.completed) == set()


def test_what_an_import_takes_meanwhile_is_no_leftover_any_more(box: Attack) -> None:
    tv = box.box.completed / "tv"
    path = box.write(tv / SEASON / "E03.mkv")
    content = path.read_bytes()
    box.torrent(path.parent, category="tv-sonarr", save_path=tv)
    box.due()
    assert done(box.cleanup(), "remove-torrent") == []  # it is wanted now
    box.link(path, box.box.tv / "The Show/E03.mkv")

    in_turn(box)

    assert content == box.contents()["tv/The Show/E03.mkv"]
    assert box.box.tree(box.box.completed) | box.box.tree(box.box.tv) == set()
