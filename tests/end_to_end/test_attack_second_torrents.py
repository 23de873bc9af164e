"""Attacks on leftovers, on names that come twice, on debris, clocks and pauses."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.archive_files import rar_of, rar_volumes_of, zip_of
from tests.end_to_end.attack import SCRIPTS, Attack, done, kept
from tests.end_to_end.test_attack_second import Archives, data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.real


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Archives]:
    with Archives(tmp_path) as attack:
        attack.job("categories", status=0)
        yield attack


def rounds(box: Attack, count: int) -> None:
    for _ in range(count):
        box.job("cleanup")
        box.holds()
        box.job("upload")
        box.holds()


def versions(box: Attack) -> dict[str, str]:
    """Give the SHA-1 of each version that rclone can fetch, by file id."""
    config = str(box.box.folder / "rclone.conf")
    command = [str(SCRIPTS / "rclone"), "--config", config, "lsjson", "-R", "--hash"]
    command += ["--files-only", "--b2-versions", f"b2:{box.b2.bucket}"]
    told = subprocess.run(command, capture_output=True, check=True).stdout
    return {entry["ID"]: entry["Hashes"]["sha1"] for entry in json.loads(told)}


def audit(box: Attack, action: str) -> list[Any]:
    lines = (box.box.state / "audit.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["action"] == action]


# Leftovers


@pytest.mark.soak
def test_archives_of_a_due_torrent_that_are_named_like_volumes(box: Archives) -> None:
    """They are two archives; the second one has to be on B2 too before the torrent goes."""
    folder = box.box.completed / "tv/Show"
    episode = box.write(folder / "e.mkv")
    box.link(episode, box.box.tv / "Show/e.mkv")
    for number in (1, 2):
        content = data()
        box.pack_sets(
            {folder / f"extra.part{number}.rar": rar_of({f"m{number}": content})}, content
        )
    box.torrent(folder, category="tv-sonarr", save_path=folder.parent)
    box.upload()
    box.due()
    rounds(box, 3)


@pytest.mark.soak
def test_names_of_torrents_lead_nowhere_and_share_nothing(box: Attack) -> None:
    root = box.box.completed / "tv"
    names = ["..", ".", "a/b", "///", ".x.", "../../../evil", "a\\b", "Same", "same"]
    hashes = {}
    for number, name in enumerate([*names, "x.uploaded", "tv", "n" * 300, "‛"]):
        folder = root / f"T{number}"
        box.write(folder / "extra.mkv", 3000)
        made = box.torrent(folder, category="tv-sonarr", save_path=root, wait=False)
        hashes[made] = name
    box.write(box.box.completed / "Same/extra.mkv", 3000)
    box.qbt.wait_complete(hashes, 20)
    for made, name in hashes.items():
        box.qbt.client().torrents_rename(torrent_hash=made, new_torrent_name=name)
    box.due()
    rounds(box, 3)
    assert all(name.startswith("downloads/") for name in box.b2.objects())
    # what a download of another path proves is not replaced
    assert {hashes[one] for one in box.listed()} == {"n" * 300, "‛", "Same"}
    kept_bytes = versions(box)
    for line in audit(box, "delete-file"):
        assert kept_bytes[line["file_id"]] == line["sha1"]


def test_a_leftover_that_changes_or_is_listed_twice(box: Attack) -> None:
    root = box.box.completed / "tv"
    twice, changed = box.write(root / "B/extra.mkv", 5000), root / "C/extra.mkv"
    first = box.write(changed, 5000).read_bytes()
    hashes = [box.torrent(path, save_path=root, wait=False) for path in (root / "B", root / "C")]
    hashes.append(box.torrent(twice, save_path=twice.parent, wait=False))
    box.qbt.wait_complete(hashes, 20)
    box.qbt.client().torrents_set_category(category="tv-sonarr", torrent_hashes=hashes)
    box.due()
    box.cleanup()
    box.gave_up(first)
    box.write(changed, 5000)
    box.upload()
    box.qbt.client().torrents_delete(torrent_hashes=hashes[1], delete_files=False)
    rounds(box, 3)
    assert not box.listed()


@pytest.mark.soak
def test_volumes_and_members_that_change_keep_the_archive(box: Archives) -> None:
    box.box.write_config(cleanup={"seeding_time": "7d"})
    box.film()
    root = box.box.completed
    sets = {}
    for how in ("hidden", "deleted", "replaced", "no SHA-1", "volume", "other", "linked"):
        content = data(9000)
        made = rar_volumes_of({"m": content}, 4000, new_names=True)
        paths = [root / how / f"x.part{number + 1}.rar" for number in range(len(made))]
        box.pack_sets(dict(zip(paths, made, strict=True)), content)
        sets[how] = paths
    box.link(sets["linked"][0], box.folder / "elsewhere/x.part1.rar")
    box.upload()
    box.cleanup()
    box.b2.hide("downloads/hidden/m")
    box.b2.delete("downloads/deleted/m")
    other = data(9000)
    box.b2.put("downloads/replaced/m", other, sha1=hashlib.sha1(other).hexdigest())
    box.b2.corrupt("downloads/no SHA-1/m", sha1="none")
    os.utime(sets["volume"][1])
    again = rar_volumes_of({"m": other}, 4000, new_names=True)
    old = [path.stat().st_mtime_ns for path in sets["other"]]
    for path in sets["other"]:
        # kept elsewhere: its inode number, given to the next file, would make an equal identity
        path.rename(box.folder / f"old {path.name}")
    box.pack_sets(dict(zip(sets["other"], again, strict=True)), other)
    for path, moment in zip(sets["other"], old, strict=True):
        os.utime(path, ns=(moment, moment))
    box.cleanup()
    assert all(path.exists() for paths in sets.values() for path in paths[:2])
    for _ in range(2):
        box.upload()
        box.cleanup()
    assert not any(path.exists() for how in sets if how != "linked" for path in sets[how])
    box.holds()


# Names that come twice over time


@pytest.mark.soak
def test_after_an_upgrade_in_place_each_promised_file_id_has_its_bytes(box: Attack) -> None:
    root = box.box.completed / "movies"
    link = box.box.movies / "Film/Film.mkv"
    box.box.write_config(cleanup={"seeding_time": "7d"})
    for number in range(3):
        film = box.write(root / f"V{number}/v.mkv", 30_000 + number % 2)
        link.unlink(missing_ok=True)
        box.link(film, link)
        box.torrent(film.parent, category="radarr", save_path=root)
        box.upload()
    box.box.write_config(cleanup={"seeding_time": "1s"})
    box.due()
    rounds(box, 3)
    assert not box.listed()
    kept_bytes = versions(box)
    deleted = audit(box, "delete-file") + audit(box, "delete-link")
    assert len(deleted) == 4
    for line in deleted:
        assert kept_bytes[line["file_id"]] == line["sha1"]


def test_a_film_that_moves_between_libraries_and_cases(box: Attack) -> None:
    box.box.write_config(cleanup={"seeding_time": "7d"})
    film = box.film()
    box.upload()
    moved = box.box.tv / "FILM" / film.link.name.upper()
    moved.parent.mkdir()
    film.link.rename(moved)
    other = box.write(film.link)  # another film under the old name
    box.upload()
    box.box.write_config(cleanup={"seeding_time": "1s"})
    box.due()
    rounds(box, 3)
    assert other.exists()
    assert not film.download.exists()


# Sudden ends, with debris


@pytest.mark.soak
def test_a_cleanup_with_debris_that_is_killed_again_and_again(box: Archives) -> None:
    root, hashes = box.box.completed / "movies", []
    for number in range(4):
        folder = root / f"F{number}"
        film = box.write(folder / "f.mkv", 30_000)
        box.write(folder / "extra.srt", 60)
        (folder / "a.nfo").write_bytes(b"discardable")
        box.link(film, box.box.movies / f"F{number}/f.mkv")
        content = data()
        volumes = rar_volumes_of({"m": content}, 2000, new_names=True)
        paths = [folder / f"x.part{count + 1}.rar" for count in range(len(volumes))]
        box.pack_sets(dict(zip(paths, volumes, strict=True)), content)
        if number % 2:
            cross = box.link(film, root / f"X{number}/x.mkv").parent
            hashes.append(box.torrent(cross, category="radarr", save_path=root, wait=False))
        hashes.append(box.torrent(folder, category="radarr", save_path=root, wait=False))
        for debris in (folder / ".DS_Store", folder / "Thumbs.db"):
            debris.write_bytes(b"debris")
    box.qbt.wait_complete(hashes, 20)
    box.upload()
    box.due()
    box.cleanup("--dry-run")
    box.cleanup()
    box.upload()
    delay = 0.4
    while box.listed() and delay < 1.2:
        command = box.box.command("cleanup", "--json")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
            try:
                job.wait(delay)  # a moment to be killed at, not one to be waited for
            except subprocess.TimeoutExpired:
                job.kill()
        box.holds()
        delay += 0.06
    rounds(box, 3)
    assert not box.box.tree(root)


# Lies, pauses and clocks


def test_all_options_together_delete_nothing_unproven(box: Attack) -> None:
    films = [box.film(f"F{number}", 20_000) for number in range(3)]
    box.box.write_config(cleanup={"seeding_time": "7d"})
    box.upload()
    box.cleanup()
    late = [box.write(box.box.completed / path) for path in ("late.mkv", "movies/late/l.mkv")]
    box.qbt.client().torrents_delete(torrent_hashes="all", delete_files=False)
    box.b2.hide(films[0].remote)
    assert box.cleanup("--force", "--orphans-now", status=3)["outcome"] == "refused"
    for _ in range(2):
        box.cleanup("--accept-loss", "--orphans-now", "--force")
    assert all(path.exists() for path in [*late, films[0].download, films[0].link])
    assert not films[1].download.exists()
    box.holds()


def change(box: Attack, sql: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(box.box.state / "history.db")) as history, history:
        history.execute(sql, values)


@pytest.mark.soak
def test_no_pause_lasts_for_ever(box: Attack) -> None:
    """As it stands after the clock went back by many years."""
    damaged = box.write(box.box.completed / "bad.zip", b"PK\3\4" + os.urandom(50))
    box.job("upload")
    box.b2.cut()
    film = box.write(box.box.completed / "film.mkv")
    box.job("upload")
    box.b2.restore()
    change(box, "UPDATE pauses SET until = 4e9")
    report = box.job("upload")
    assert done(report, "upload") == [str(film)]
    assert str(damaged) not in kept(report)
    box.holds()


def test_a_damaged_archive_of_nine_months_is_no_bug(box: Attack) -> None:
    """So many pauses of 6 hours are 1100 tries."""
    box.write(box.box.completed / "bad.zip", b"PK\3\4" + os.urandom(50))
    box.upload(status=3)
    change(box, "UPDATE pauses SET until = 0, tries = 1100")
    box.upload(status=3)
    assert box.upload()["kept"]


def test_after_the_clock_went_back_cleanup_goes_on(box: Attack) -> None:
    film = box.film()
    orphan = box.write(box.box.completed / "orphan.mkv")
    box.upload()
    box.cleanup()
    for column in ("sightings SET first", "sightings SET last", "torrents SET last"):
        change(box, f"UPDATE {column} = 4e9")
    change(box, "UPDATE facts SET moment = 4e9")
    box.due()
    for _ in range(3):
        box.cleanup()
    assert not orphan.exists()
    assert not film.download.exists()
    rule = {"fileNamePrefix": "", "daysFromUploadingToHiding": 1, "daysFromHidingToDeleting": 1}
    second = box.film("Second")
    box.upload()
    box.b2.set_lifecycle([rule])
    change(box, "UPDATE facts SET moment = 4e9")
    box.due()
    box.cleanup(status=3)
    assert second.download.exists()
    box.holds()


def test_a_mended_archive_is_taken_at_once(box: Archives) -> None:
    path = box.box.completed / "I/x.zip"
    content = data()
    path.parent.mkdir()
    path.write_bytes(zip_of({"m": content}).replace(content[:50], content[50:100]))
    box.upload(status=3)
    box.pack_sets({path: zip_of({"m": content})}, content)
    assert done(box.upload(), "extract") == [str(path)]
    box.holds()
