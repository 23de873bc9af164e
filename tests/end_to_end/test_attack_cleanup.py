"""Attacks on cleanup: what happens between the upload, the plan and the deletion."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from mediapipe.testing.qbittorrent import make_torrent, wait_until
from tests.end_to_end.attack import Attack, Film, done, kept, sound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Attacks = dict[str, Callable[[Attack, Film], object]]

pytestmark = pytest.mark.real


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Attack]:
    with Attack(tmp_path) as attack:
        yield attack


class Play(Attack):
    """A box in which each film suffered another attack between the upload and one cleanup."""

    films: dict[str, Film]

    def run(self, attacks: Attacks) -> None:
        self.films = {how: self.film(how, wait=False) for how in attacks}
        self.qbt.wait_complete([film.hash for film in self.films.values()], 20)
        self.upload()
        self.due()
        for how, attack in attacks.items():
            attack(self, self.films[how])
        self.cleanup()


@pytest.fixture
def film(box: Attack) -> Film:
    """Give a film that is uploaded and due."""
    made = box.film()
    box.upload()
    box.due()
    return made


def intact(box: Attack, film: Film) -> None:
    assert film.download.exists()
    assert film.link.exists()
    assert film.hash in box.listed()
    box.holds(markers=False)


# What stands on B2 is no longer what was uploaded


def shorten(box: Attack, film: Film) -> None:
    data = film.download.read_bytes()
    box.b2.put(film.remote, data[:100], sha1=hashlib.sha1(data).hexdigest())


def replace_remote(box: Attack, film: Film) -> None:
    data = os.urandom(film.download.stat().st_size)
    box.b2.put(film.remote, data, sha1=hashlib.sha1(data).hexdigest())


def other_case(box: Attack, film: Film) -> None:
    data = film.download.read_bytes()
    box.b2.delete(film.remote)
    box.b2.put(film.remote.upper(), data, sha1=hashlib.sha1(data).hexdigest())


REMOTE: Attacks = {
    "deleted": lambda box, film: box.b2.delete(film.remote),
    "hidden": lambda box, film: box.b2.hide(film.remote),
    "shortened": shorten,
    "replaced": replace_remote,
    "without SHA-1": lambda box, film: box.b2.corrupt(film.remote, sha1="none"),
    "other case": other_case,
}


@pytest.fixture(scope="module")
def remote_play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    with Play(tmp_path_factory.mktemp("remote")) as play:
        play.run(REMOTE)
        yield play


@pytest.mark.parametrize("how", REMOTE)
def test_what_changed_on_b2_keeps_the_film(remote_play: Play, how: str) -> None:
    intact(remote_play, remote_play.films[how])


def test_what_changed_on_b2_is_uploaded_anew_before_it_goes(remote_play: Play) -> None:
    remote_play.upload()
    assert len(done(remote_play.cleanup(), "remove-torrent")) == len(REMOTE)
    remote_play.holds()


def test_a_lifecycle_rule_that_hides_by_age_refuses_all_deletions(box: Attack, film: Film) -> None:
    rule = {"fileNamePrefix": "", "daysFromUploadingToHiding": 1, "daysFromHidingToDeleting": 1}
    box.b2.set_lifecycle([rule])
    box.cleanup(status=None)
    intact(box, film)


# What stands on the disk is no longer what was uploaded


def replaced(box: Attack, film: Film) -> None:
    film.download.unlink()
    box.write(film.download)


def grown(box: Attack, film: Film) -> None:
    box.write(film.download, film.download.read_bytes() + b"more")


def cut_short(box: Attack, film: Film) -> None:
    box.write(film.download, film.download.read_bytes()[:1000])


def linked_elsewhere(box: Attack, film: Film) -> None:
    box.link(film.download, box.folder / "elsewhere" / "precious.mkv")


def held_by_another(box: Attack, film: Film) -> None:
    outside = box.link(film.download, box.folder / "outside" / "cross.mkv")
    box.torrent(outside.parent)


DISK: Attacks = {
    "replaced": replaced,
    "grown": grown,
    "cut short": cut_short,
    "touched": lambda _, film: os.utime(film.download),
    "a link outside": linked_elsewhere,
    "a torrent outside": held_by_another,
}


@pytest.fixture(scope="module")
def disk_play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    with Play(tmp_path_factory.mktemp("disk")) as play:
        play.run(DISK)
        yield play


@pytest.mark.parametrize("how", DISK)
def test_what_changed_on_disk_is_kept(disk_play: Play, how: str) -> None:
    intact(disk_play, disk_play.films[how])


def test_a_file_with_an_absurd_time_stops_nobody(box: Attack, film: Film) -> None:
    odd = box.write(box.box.completed / "odd.mkv")
    os.utime(odd, (15_000_000_000, 15_000_000_000))  # the year 2445
    report = box.cleanup()
    assert done(report, "remove-torrent")
    assert odd.exists()
    box.holds()


def test_a_folder_that_leads_out_of_completed_is_not_followed(box: Attack, film: Film) -> None:
    away = box.folder / "away"
    film.download.parent.rename(away)
    film.download.parent.symlink_to(away)
    box.cleanup()
    assert (away / film.download.name).exists()


# Markers that are no markers


def edited(film: Film, **changes: object) -> str:
    marker = film.link.with_name(film.link.name + ".uploaded")
    told = json.loads(marker.read_text())
    told["files"][0].update(changes)
    return json.dumps(told)


MARKERS: dict[str, Callable[[Film], str]] = {
    "deep": lambda _: "[" * 500_000,
    "empty": lambda _: "",
    "huge size": lambda film: edited(film, size=10**400),
    "no sha1": lambda film: edited(film, sha1=None),
    "list": lambda film: edited(film, remote=["x"]),
    "local": lambda film: edited(film, remote=f":local:{film.download}"),
    "NUL": lambda film: edited(film, remote="b2:entertainment-netmount/movies/a\0b"),
    "up": lambda film: edited(film, remote="b2:entertainment-netmount/movies/../x"),
    "newline": lambda film: edited(film, remote="b2:entertainment-netmount/movies/a\nb"),
}


def forge(box: Attack, film: Film, text: str) -> None:
    film.link.with_name(film.link.name + ".uploaded").write_text(text)
    (box.box.state / "history.db").unlink(missing_ok=True)  # so that only the marker speaks


@pytest.fixture(scope="module")
def marker_play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    with Play(tmp_path_factory.mktemp("markers")) as play:
        play.run({how: partial(forge_as, make) for how, make in MARKERS.items()})
        yield play


def forge_as(make: Callable[[Film], str], box: Attack, film: Film) -> None:
    forge(box, film, make(film))


@pytest.mark.parametrize("how", MARKERS)
def test_a_foreign_marker_proves_nothing(marker_play: Play, how: str) -> None:
    intact(marker_play, marker_play.films[how])


def test_a_marker_with_half_a_character_stops_nobody(box: Attack, film: Film) -> None:
    """JSON can hold it, file names and SQLite cannot."""
    other = box.film("Other")
    box.upload()
    box.due()
    forge(box, film, edited(film, remote="b2:entertainment-netmount/movies/\ud800"))
    box.cleanup()
    intact(box, film)
    assert other.hash not in box.listed()


# Torrents come back, are shared, or are lost


def test_a_torrent_added_again_seeds_anew(box: Attack) -> None:
    """What our record gave to the torrent of this hash that a person removed is history."""
    film, other = box.film(), box.film("Other")
    box.upload()
    box.box.write_config(cleanup={"seeding_time": "4s"})

    def seeded() -> bool:  # our own record runs, also where qBittorrent's stands still
        return "seeds for 1 s" in str(box.cleanup()["kept"])

    wait_until(seeded, seconds=20, what="three seconds of seeding")
    box.qbt.client().torrents_delete(torrent_hashes=film.hash, delete_files=False)
    added = time.monotonic()
    box.torrent(film.download.parent)

    def removed() -> bool:
        box.cleanup()
        return other.hash not in box.listed() and film.hash not in box.listed()

    wait_until(removed, seconds=30, what="both torrents to be removed")
    assert time.monotonic() - added > 3


def test_what_a_longer_seeding_torrent_shares_stays(box: Attack) -> None:
    box.box.write_config(**{"cleanup.categories.tv-sonarr": {"seeding_time": "7d"}})
    box.job("categories", status=0)
    film = box.film()
    cross = box.link(film.download, box.box.completed / "tv/cross/c.mkv")
    longer = box.torrent(cross.parent, category="tv-sonarr")
    again = box.torrent(film.download)  # the same file, as a torrent of its own
    box.qbt.client().torrents_set_category(category="tv-sonarr", torrent_hashes=again)
    box.upload()
    box.due()
    for _ in range(2):
        box.cleanup()
    assert {longer, again} <= box.listed()
    assert film.link.exists()
    box.holds()


def test_the_list_of_torrents_is_lost(box: Attack, film: Film) -> None:
    box.box.write_config(cleanup={"seeding_time": "7d"})
    box.cleanup()
    box.qbt.stop()
    shutil.rmtree(box.qbt.profile / "qBittorrent/data/BT_backup")
    box.qbt.start()
    for options in ((), ("--force",), ("--orphans-now",)):
        assert box.cleanup(*options, status=3)["outcome"] == "refused"
    assert film.download.exists()
    assert film.link.exists()


def test_after_a_lost_history_nothing_goes_at_the_first_look(box: Attack) -> None:
    films = [box.film(f"Film {number}", wait=False) for number in range(4)]
    box.qbt.wait_complete([film.hash for film in films], 20)
    box.box.write_config(cleanup={"seeding_time": "7d"})
    box.upload()
    box.cleanup()
    (box.box.state / "history.db").unlink()
    hashes = [film.hash for film in films[:3]]
    box.qbt.client().torrents_delete(torrent_hashes=hashes, delete_files=False)
    report = box.cleanup()
    assert [film.download.exists() for film in films] == [True] * 4
    assert str(kept(report)).count("first look") == 3
    box.holds()
    box.cleanup()  # from now on the list has something to be held against
    assert films[3].download.exists()
    box.holds()


def test_a_magnet_without_metadata_stops_nobody(box: Attack, film: Film) -> None:
    box.qbt.client().torrents_add(urls=f"magnet:?xt=urn:btih:{'a' * 40}&dn=nobody")
    wait_until(lambda: len(box.listed()) == 2, seconds=10, what="the magnet in the list")
    report = box.cleanup()
    assert done(report, "remove-torrent") == ["Film.2024"]
    box.holds()


def test_an_incomplete_torrent_protects_what_it_will_write(box: Attack, film: Film) -> None:
    path = box.box.completed / "movies/Pack"
    data = os.urandom(300_000)
    box.write(path / "one.mkv")
    (path / "two.mkv").write_bytes(data)
    torrent = make_torrent(path, box.folder / "pack.torrent")
    (path / "two.mkv").write_bytes(bytes(len(data)))
    box.qbt.add(torrent.path, save_path=path.parent, use_download_path=False)
    box.qbt.wait_state(torrent.infohash, ("stalledDL", "downloading"), 20)
    box.link(path / "one.mkv", box.box.movies / "Pack/one.mkv")
    box.upload()
    for _ in range(2):
        box.cleanup("--orphans-now")
    assert torrent.infohash in box.listed()
    box.holds()


def test_only_small_things_beside_a_proven_film_are_discarded(box: Attack) -> None:
    box.job("categories", status=0)
    root = box.box.completed / "movies"
    plays = {
        "big sample": {"sample.mkv": 500_000, "film.mkv": 1000},
        "in sample": {"sample/film.mkv": 500_000, "film.mkv": 1000},
        "only nfo": {"a.nfo": 5000, "b.nfo": 10},
        "unproven": {"other.mkv": 500_000, "film.mkv": 9000, "sample.mkv": 2000},
    }
    hashes: list[str] = []
    for name, files in plays.items():
        for path, size in files.items():
            box.write(root / name / path, size)
        if "film.mkv" in files:
            box.link(root / name / "film.mkv", box.box.movies / name / "film.mkv")
        hashes.append(box.torrent(root / name, category="radarr", save_path=root, wait=False))
    box.qbt.wait_complete(hashes, 20)
    box.upload()
    box.due()
    box.cleanup()
    assert len(box.listed()) == len(plays)
    box.holds()


# A state folder that fails


def test_without_an_audit_nothing_is_done(box: Attack, film: Film) -> None:
    audit = box.box.state / "audit.jsonl"
    audit.unlink()
    audit.mkdir()
    box.cleanup(status=None)
    intact(box, film)


@pytest.mark.parametrize("name", ["media/movies/.mediapipe-root", "state/audit.jsonl"])
def test_a_pipe_in_a_files_place_does_not_hang(box: Attack, film: Film, name: str) -> None:
    path = box.box.folder / name
    path.unlink()
    os.mkfifo(path)
    sound(box.box.run("cleanup", "--json", timeout=4))
    intact(box, film)


@pytest.mark.parametrize(
    ("root", "how"),
    [
        ("downloads/completed", "gone"),
        ("downloads/completed", "empty"),
        ("media/movies", "no root file"),
        ("media/tv", "another root file"),
    ],
)
def test_a_root_that_is_not_itself_is_unavailable(box: Attack, root: str, how: str) -> None:
    film = box.film()
    box.upload()
    path = box.box.folder / root
    if "root file" in how:
        (path / ".mediapipe-root").unlink()
        if how.startswith("another"):
            (path / ".mediapipe-root").write_text("0123456789abcdef\n")
    else:
        path.rename(path.with_name("unmounted"))
        if how == "empty":
            path.mkdir()
    for verb in ("cleanup", "upload"):
        box.job(verb, status=75)
    assert film.hash in box.listed()
    assert box.lost() == []
