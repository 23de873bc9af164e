"""cleanup: `after_delete = "symlink"` puts a link into the mount in a library file's place."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from mediapipe.errors import Unavailable
from tests.crashes import deaths
from tests.hosts import HOUR, Host, contents, reasons, statuses

if TYPE_CHECKING:
    from pathlib import Path

BYTES = b"film" * 500
NAME = "movies/Film (2020)/Film.mkv"


def linked(host: Host) -> tuple[Path, Path]:
    """Import and upload a film whose library wants links into the mount."""
    host.library("movies", after_delete="symlink")
    source = host.write(host.downloads / "movies" / "Film" / "film.mkv", BYTES)
    link = host.link(source, host.movies / "Film (2020)" / "Film.mkv")
    host.write(link.with_name("poster.jpg"))
    host.torrent("Film", source, category="radarr")
    assert {one.status for one in host.upload().results} == {"done"}
    return source, link


def test_the_library_path_becomes_a_link_into_the_mount(host: Host) -> None:
    source, link = linked(host)
    assert statuses(host.cleanup()) == [
        ("remove-torrent", "Film", "done"),
        ("delete-file", "film.mkv", "done"),
        ("symlink", "Film.mkv", "done"),
        ("delete-marker", "Film.mkv.uploaded", "done"),
        ("remove-directory", "Film", "done"),
    ]
    assert not source.exists()
    assert os.readlink(link) == f"{host.folder}/b2/{NAME}"
    assert link.with_name("poster.jpg").exists()
    assert host.mount.read == [NAME]
    assert host.history().intents() == ()


def test_the_audit_tells_of_it(host: Host) -> None:
    _source, link = linked(host)
    host.cleanup()
    lines = [json.loads(one) for one in (host.state / "audit.jsonl").read_text().splitlines()]
    line = next(one for one in lines if one["action"] == "symlink")
    assert line["path"] == str(link)
    assert line["remote"] == f"b2:bucket/{NAME}"
    assert {"sha1", "file_id", "size", "inode"} <= line.keys()


def test_every_job_leaves_it_alone_from_then_on(host: Host) -> None:
    _source, link = linked(host)
    host.library("movies", after_delete="symlink", without_torrent=0)
    host.cleanup()
    target = os.readlink(link)
    for _ in range(5):
        host.later(25 * HOUR)
        assert host.upload().results == ()
        assert host.cleanup().results == ()
    host.library("movies", after_delete="delete", without_torrent=0)
    for _ in range(3):
        host.later(25 * HOUR)
        assert host.upload().results == ()
        assert host.cleanup(orphans_now=True).results == ()
    assert os.readlink(link) == target
    assert link.with_name("poster.jpg").exists()


@pytest.mark.parametrize("how", ["not mounted", "not shown", "other bytes", "other length"])
def test_what_the_mount_does_not_show_keeps_all(host: Host, how: str) -> None:
    source, link = linked(host)
    if how == "not mounted":
        host.mount.failure = Unavailable("nothing is mounted at /media/b2")
        reason = "nothing is mounted at /media/b2"
    elif how == "not shown":
        host.mount.missing.add(NAME)
        reason = "it cannot be read through the mount; is the mount in order?"
    else:
        reason = "the mount shows another file in its place"
        host.mount.remote = type(host.remote)()
        host.mount.remote.put(NAME, b"!" * (len(BYTES) + (how == "other length")))
    report = host.cleanup()
    assert report.results == ()
    assert reasons(report) == {"Film": f"film.mkv: {reason}"}
    assert source.stat().st_ino == link.lstat().st_ino
    host.mount.failure, host.mount.remote = None, host.remote
    host.mount.missing.clear()
    host.cleanup()
    assert link.is_symlink()


def test_other_libraries_need_no_mount(host: Host) -> None:
    linked(host)
    episode = host.write(host.downloads / "tv" / "T" / "a.mkv", b"a" * 1000)
    host.link(episode, host.tv / "a.mkv")
    host.torrent("T", episode)
    host.upload()
    host.mount.failure = Unavailable("it hangs")
    assert ("delete-link", "a.mkv", "done") in statuses(host.cleanup())


def test_without_proof_nothing_is_read_nor_linked(host: Host) -> None:
    _source, link = linked(host)
    host.remote.lose(NAME)
    host.cleanup()
    assert host.mount.read == []
    assert not link.is_symlink()


def test_a_file_that_was_replaced_meanwhile_stays(host: Host) -> None:
    _source, link = linked(host)

    def replaced(method: str) -> None:
        if method == "remove":
            host.write(host.folder / "new", b"better").rename(link)

    host.torrents.before = replaced
    host.cleanup()
    assert link.read_bytes() == b"better"


def test_a_film_without_torrent_becomes_a_link_too(host: Host) -> None:
    host.library("movies", after_delete="symlink", without_torrent=0)
    film = host.write(host.movies / "Old" / "Old.mkv", BYTES)
    host.torrent("S", host.write(host.downloads / "tv" / "s.mkv"), seeding_time=60)
    host.upload()
    for _ in range(3):
        host.cleanup()
        host.later(2 * HOUR)
    assert os.readlink(film) == f"{host.folder}/b2/movies/Old/Old.mkv"


def test_a_marker_whose_item_is_gone_needs_no_mount(host: Host) -> None:
    _source, link = linked(host)
    host.torrents.change(next(iter(host.torrents.listed)), seeding_time=60)
    (link.with_name("gone.mkv.uploaded")).touch()
    host.cleanup()
    for _ in range(2):
        host.later(25 * HOUR)
        report = host.cleanup()
    assert statuses(report) == [("delete-marker", "gone.mkv.uploaded", "done")]


@pytest.mark.soak
def test_death_at_any_step_is_mended_by_the_next_runs(tmp_path: Path) -> None:
    def build(name: str) -> Host:
        host = Host(tmp_path / name)
        linked(host)
        return host

    def settle(host: Host) -> None:
        for _ in range(3):
            host.later(25 * HOUR)
            assert host.upload().outcome == "done"
            assert host.cleanup().outcome == "done"

    undisturbed = build("undisturbed")
    settle(undisturbed)
    for host, step in deaths(build, Host.cleanup):
        link = host.movies / "Film (2020)" / "Film.mkv"
        assert os.path.lexists(link), step
        assert BYTES in contents(host.downloads) or host.remote.has(BYTES), step
        settle(host)
        assert host.names() == undisturbed.names(), step
        assert link.is_symlink(), step
        assert host.history().intents() == (), step
