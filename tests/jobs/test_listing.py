"""File lists that are remembered: fewer questions, and never less that is held."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mediapipe.ports import TorrentFile
from tests.hosts import HOUR, Host, reasons, statuses

if TYPE_CHECKING:
    from pathlib import Path

    from mediapipe.ports import Torrent


@pytest.fixture
def young(host: Host) -> Torrent:
    """List a torrent that is not due; a file beside it, with a name of its own, is an orphan."""
    path = host.write(host.downloads / "tv" / "young.folder" / "E01.mkv")
    torrent = host.torrent("Young", path, seeding_time=60, added_on=5)
    host.write(host.downloads / "tv" / "Orphan" / "E01.mkv")
    return torrent


def asked(host: Host) -> int:
    """Run, and give how many file lists qBittorrent was asked for."""
    host.torrents.calls.clear()
    host.cleanup()
    return host.torrents.calls.count("files")


def rename(host: Host, torrent: Torrent, target: Path) -> None:
    """Rename the torrent's file as qBittorrent does: on the disk, and in its list."""
    (one,) = host.torrents.lists[torrent.hash]
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(one.path, target)
    host.torrents.lists[torrent.hash] = (replace(one, path=str(target)),)


def test_a_list_is_asked_for_once(host: Host, young: Torrent) -> None:
    assert young.hash in host.torrents.lists
    assert [asked(host) for _ in range(3)] == [1, 0, 0]


def test_a_dry_run_remembers_nothing(host: Host, young: Torrent) -> None:
    assert young.hash in host.torrents.lists
    host.cleanup(dry_run=True)
    assert asked(host) == 1


def test_with_nothing_due_and_no_stranger_nothing_is_asked_for(host: Host) -> None:
    for number in range(3):
        path = host.write(host.downloads / "tv" / f"Show {number}" / "E01.mkv")
        host.torrent(f"Show {number}", path, seeding_time=60)
    assert asked(host) == 0


def test_a_due_torrent_is_always_asked_for(host: Host, young: Torrent) -> None:
    asked(host)
    host.torrents.change(young.hash, seeding_time=10**6)
    assert [asked(host) for _ in range(2)] == [1, 1]


@pytest.mark.parametrize(
    "change",
    [{"save_path": "/elsewhere"}, {"size": 99}, {"added_on": 6}, {"state": "moving"}],
    ids=["moved", "other files", "added again", "not at rest"],
)
def test_a_torrent_that_changed_is_asked_for(
    host: Host, young: Torrent, change: dict[str, object]
) -> None:
    asked(host)
    host.torrents.change(young.hash, **change)
    assert asked(host) == 1


@pytest.mark.parametrize("how", ["renamed", "gone", "replaced", "written to"])
def test_a_torrent_whose_file_is_not_the_same_any_more_is_asked_for(
    host: Host, young: Torrent, how: str
) -> None:
    asked(host)
    path = host.downloads / "tv" / "young.folder" / "E01.mkv"
    if how == "renamed":
        rename(host, young, path.with_name("E02.mkv"))
    elif how == "gone":
        path.unlink()
    elif how == "replaced":
        os.rename(host.write(path.with_name("new"), path.read_bytes()), path)
    else:
        path.write_bytes(path.read_bytes() + b"more")
    assert asked(host) == 1


@pytest.mark.parametrize("how", ["not whole", "deselected", "not there", "a link"])
def test_a_list_that_the_disk_cannot_answer_for_is_asked_for_each_time(
    host: Host, young: Torrent, how: str
) -> None:
    path = host.downloads / "tv" / "young.folder" / "E02.mkv"
    if how == "a link":
        path.symlink_to("E01.mkv")
    elif how != "not there":
        host.write(path, b"12")
    entry = TorrentFile(str(path), 3 if how == "not whole" else 2, how != "deselected", 1.0)
    host.torrents.lists[young.hash] += (entry,)
    assert [asked(host) for _ in range(2)] == [1, 1]


def test_what_was_renamed_in_qbittorrent_is_held_under_every_name(host: Host) -> None:
    """The old name is still there, as a link: the list of yesterday is believed, and enough."""
    old = host.write(host.downloads / "Film" / "film.mkv")
    torrent = host.torrent("Film", old, category="", seeding_time=60, save=host.downloads)
    host.write(host.downloads / "stranger.mkv")
    host.upload()
    host.cleanup(accept_loss=True)
    new = host.downloads / "Other" / "film.mkv"
    rename(host, torrent, new)
    os.link(new, old)
    host.torrents.calls.clear()
    for _ in range(3):
        host.later(HOUR)
        report = host.cleanup(orphans_now=True)
        assert [one for one in statuses(report) if one[1].startswith("film")] == []
    assert host.torrents.calls.count("files") == 0
    assert reasons(report)["Other"] == "film.mkv: a torrent in the list holds its data"
    assert new.exists()
    assert old.exists()


def test_a_due_torrent_leaves_what_a_remembered_list_holds(host: Host) -> None:
    first = host.write(host.downloads / "tv" / "one.folder" / "E01.mkv")
    second = host.link(first, host.downloads / "tv" / "two.folder" / "E01.mkv")
    host.link(first, host.tv / "Show" / "E01.mkv")
    host.torrent("One", first, seeding_time=60)
    host.upload()
    host.cleanup()
    host.torrent("Two", second)
    host.torrents.calls.clear()
    report = host.cleanup()
    assert host.torrents.calls.count("files") == 1
    assert [one[:2] for one in statuses(report)] == [("remove-torrent", "Two")]
    assert reasons(report)["E01.mkv"] == "the torrent One holds it too"
    assert first.exists()


def test_the_list_of_a_torrent_that_is_gone_is_forgotten(host: Host, young: Torrent) -> None:
    asked(host)
    assert list(host.history().file_lists()) == [young.hash]
    del host.torrents.listed[young.hash]
    host.cleanup(accept_loss=True)
    assert host.history().file_lists() == {}
