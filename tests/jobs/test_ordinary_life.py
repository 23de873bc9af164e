"""Ordinary life ends with an empty disk: the jobs take turns, and all that was there is on B2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediapipe.companions import remembered
from tests.hosts import HOUR, WEEK, Host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Bytes = set[bytes]
"""What has to be on the remote in the end."""


def folder_of(host: Host, name: str) -> Path:
    return host.downloads / "tv" / name


def imported(host: Host, source: Path, target: str) -> bytes:
    """Import an episode by hard link."""
    host.link(source, host.tv / target)
    return source.read_bytes()


def subs_and_featurettes(host: Host) -> Bytes:
    folder = folder_of(host, "Show.S01")
    episode = host.write(folder / "e1.mkv", b"e1" * 900)
    sub = host.write(folder / "Subs" / "e1" / "2_English.srt")
    extra = host.write(folder / "Featurettes" / "Making of.mkv", b"mo" * 300)
    note = host.write(folder / "RARBG.txt", b"n")
    host.torrent("Show.S01", episode, sub, extra, note)
    imported(host, episode, "Show/Season 1/e1.mkv")
    return {one.read_bytes() for one in (episode, sub, extra)}


def a_refused_episode(host: Host) -> Bytes:
    folder = folder_of(host, "Show.S01")
    episodes = [host.write(folder / f"e{one}.mkv", b"%d" % one * 900) for one in (1, 2, 3)]
    host.torrent("Show.S01", *episodes)
    for one in episodes[:2]:
        imported(host, one, f"Show/Season 1/{one.name}")
    return {one.read_bytes() for one in episodes}


def rars(host: Host) -> Bytes:
    folder = folder_of(host, "Show.S01E01")
    volumes = host.pack(folder / "e1.part1.rar", {"e1.mkv": b"packed" * 300}, volumes=2)
    host.torrent("Show.S01E01", *volumes)
    return {b"packed" * 300}


def an_upgrade(host: Host) -> Bytes:
    """Sonarr puts the better file in the old one's place, while the old torrent seeds."""
    old = host.write(folder_of(host, "Old") / "old.mkv", b"old" * 500)
    host.torrent("Old", old)
    first = imported(host, old, "Show/Season 1/e1.mkv")
    host.upload()
    (host.tv / "Show/Season 1/e1.mkv").unlink()
    new = host.write(folder_of(host, "New") / "new.mkv", b"new" * 500)
    host.torrent("New", new)
    return {first, imported(host, new, "Show/Season 1/e1 proper.mkv")}


def a_link_that_sonarr_renamed(host: Host) -> Bytes:
    source = host.write(folder_of(host, "T") / "a.mkv", b"a" * 900)
    host.torrent("T", source)
    content = imported(host, source, "Show/Season 1/a.mkv")
    host.write(host.tv / "Show/Season 1/a.en.srt", b"its subtitle")
    host.upload()
    host.later(HOUR)
    season = host.tv / "Show (2020)" / "Season 01"
    season.mkdir(parents=True)
    for end in (".mkv", ".en.srt"):
        (host.tv / f"Show/Season 1/a{end}").rename(season / f"b{end}")
    return {content, b"its subtitle"}


def a_link_that_jellyfin_deleted(host: Host) -> Bytes:
    source = host.write(folder_of(host, "T") / "a.mkv", b"a" * 900)
    host.torrent("T", source)
    content = imported(host, source, "Show/Season 1/a.mkv")
    host.write(host.tv / "Show/Season 1/a.nfo", b"its description")
    host.upload()
    (host.tv / "Show/Season 1/a.mkv").unlink()
    (host.tv / "Show/Season 1/a.nfo").unlink()
    return {content, b"its description"}


def a_link_that_was_a_copy(host: Host) -> Bytes:
    source = host.write(folder_of(host, "T") / "a.mkv", b"a" * 900)
    host.torrent("T", source)
    host.write(host.tv / "Show/Season 1/a.mkv", b"a" * 900)
    host.write(host.tv / "Show/Season 1/a-thumb.jpg", b"its picture")
    return {b"a" * 900, b"its picture"}


def pictures_and_descriptions(host: Host) -> Bytes:
    source = host.write(folder_of(host, "T") / "a.mkv", b"a" * 9000)
    host.torrent("T", source)
    content = imported(host, source, "Show/Season 1/a.mkv")
    host.upload()
    for name in ("tvshow.nfo", "poster.jpg", "Season 1/a.nfo", "Season 1/a.trickplay/320/0.jpg"):
        host.write(host.tv / "Show" / name)
    return {content}


def a_cross_seed(host: Host) -> Bytes:
    source = host.write(folder_of(host, "T") / "a.mkv", b"a" * 900)
    host.torrent("T", source)
    host.torrent("U", host.link(source, folder_of(host, "U") / "a.mkv"), seeding_time=60)
    return {imported(host, source, "Show/Season 1/a.mkv")}


@pytest.mark.parametrize(
    "scene",
    [
        subs_and_featurettes, a_refused_episode, rars, an_upgrade, a_link_that_sonarr_renamed,
        a_link_that_jellyfin_deleted, a_link_that_was_a_copy, pictures_and_descriptions,
        a_cross_seed,
    ],
)  # fmt: skip
def test_what_is_due_leaves_the_disk_and_all_of_it_is_on_the_remote(
    host: Host, scene: Callable[[Host], Bytes]
) -> None:
    treasure = scene(host)
    for turn in range(9):
        host.later(5 * HOUR)
        for job in (host.categories, host.upload, host.cleanup):
            report = job()
            assert report.outcome == "done", report.reason
            assert not report.count("failed")
        if turn == 1:
            for hash_ in host.torrents.listed:
                host.torrents.change(hash_, seeding_time=WEEK)
    assert host.torrents.listed == {}
    assert host.names() == {"downloads/completed/movies", "downloads/completed/tv"}
    assert [one for one in treasure if not host.remote.has(one)] == []
    assert host.history().intents() == ()
    assert host.history().wanted() == ()
    assert remembered(host.history()) == frozenset()
