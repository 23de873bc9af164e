"""cleanup: a library file that silently is a copy and no hard link is known by size and SHA-1."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.crashes import deaths
from tests.hosts import HOUR, Host, contents, reasons, statuses

if TYPE_CHECKING:
    from pathlib import Path

BYTES = b"film" * 500


def copied(host: Host) -> tuple[Path, Path]:
    """Import a film by copy, as Sonarr does where it cannot link, and upload it."""
    source = host.write(host.downloads / "movies" / "Film" / "film.mkv", BYTES)
    copy = host.write(host.movies / "Film (2020)" / "Film.mkv", BYTES)
    host.torrent("Film", source, category="radarr")
    assert {one.status for one in host.upload().results} == {"done"}
    return source, copy


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the paths that are read to be hashed, as that happens."""
    found: list[str] = []
    real = os.open

    def noted(path: Any, *rest: Any, **options: Any) -> int:
        if str(path).endswith(".mkv"):
            found.append(os.path.basename(path))
        return real(path, *rest, **options)

    monkeypatch.setattr(os, "open", noted)
    return found


def test_it_proves_the_download_and_goes_with_it(host: Host, read: list[str]) -> None:
    copied(host)
    read.clear()
    assert statuses(host.cleanup()) == [
        ("remove-torrent", "Film", "done"),
        ("delete-file", "film.mkv", "done"),
        ("delete-link", "Film.mkv", "done"),
        ("delete-marker", "Film.mkv.uploaded", "done"),
        ("remove-directory", "Film", "done"),
        ("remove-directory", "Film (2020)", "done"),
    ]
    assert host.names() == {"downloads/completed/movies", "downloads/completed/tv"}
    assert read == ["film.mkv"]
    assert [one for one in host.remote.versions if one.startswith("downloads/")] == []
    assert host.history().wanted() == ()


def test_a_download_is_read_once_and_only_where_the_size_fits(host: Host, read: list[str]) -> None:
    source, copy = copied(host)
    read.clear()
    other = host.write(host.downloads / "movies" / "Film" / "extra.mkv", b"x" * len(BYTES))
    longer = host.write(host.downloads / "movies" / "Film" / "long.mkv", b"x" * 3000)
    host.configure("upload", leftovers="keep")
    host.torrent("Film", source, other, longer, category="radarr")
    for _ in range(3):
        assert host.cleanup().results == ()
    assert sorted(read) == ["extra.mkv", "film.mkv"]
    assert copy.exists()
    host.write(other, b"y" * len(BYTES))
    host.cleanup()
    assert sorted(read) == ["extra.mkv", "extra.mkv", "film.mkv"]


def test_another_file_of_that_size_is_no_copy(host: Host) -> None:
    source, copy = copied(host)
    host.write(source, b"!" * len(BYTES))
    report = host.cleanup()
    assert report.results == ()
    assert reasons(report)["Film"].startswith("film.mkv: nothing proves yet")
    assert copy.exists()


def test_what_was_uploaded_as_a_leftover_takes_its_copy_along(host: Host, read: list[str]) -> None:
    source = host.write(host.downloads / "movies" / "Film" / "film.mkv", BYTES)
    host.torrent("Film", source, category="radarr")
    host.cleanup()
    host.upload()
    assert "downloads/Film/film.mkv" in host.remote.versions
    host.write(host.movies / "Film (2020)" / "Film.mkv", BYTES)
    host.later(HOUR)
    host.upload()
    read.clear()
    host.cleanup()
    assert host.names() == {"downloads/completed/movies", "downloads/completed/tv"}
    assert read == []


@pytest.mark.parametrize("how", ["torrent", "name elsewhere", "changed", "unproven", "no file"])
def test_what_is_not_surely_its_copy_stays(host: Host, how: str) -> None:
    source, copy = copied(host)
    if how == "torrent":
        other = host.link(copy, host.downloads / "movies" / "other.mkv")
        host.torrent("Other", other, category="radarr", seeding_time=60)
    elif how == "name elsewhere":
        host.link(copy, host.folder / "mine" / "film.mkv")
    elif how == "changed":
        host.write(copy, b"!" * len(BYTES))
    elif how == "unproven":
        host.remote.lose("movies/Film (2020)/Film.mkv")
    else:
        copy.unlink()
    host.cleanup()
    assert source.exists()
    assert copy.exists() == (how != "no file")
    host.later(HOUR)
    host.upload()
    host.cleanup()
    assert not source.exists()
    assert host.remote.has(BYTES)


def test_what_the_library_keeps_stays(host: Host) -> None:
    source, copy = copied(host)
    host.library("movies", after_delete="keep")
    assert ("delete-file", "film.mkv", "done") in statuses(host.cleanup())
    assert copy.exists()
    assert not source.exists()


def test_two_copies_go_both(host: Host) -> None:
    host.write(host.tv / "Film.mkv", BYTES)
    copied(host)
    host.cleanup()
    assert host.names() == {"downloads/completed/movies", "downloads/completed/tv"}


def test_a_copy_of_something_small_proves_it_and_stays(host: Host) -> None:
    """Two films may have the same note beside them: it is none of the other's."""
    source = host.write(host.downloads / "movies" / "Film" / "film.mkv", BYTES)
    note = host.write(source.with_name("read me.doc"), b"from the same group")
    host.link(source, host.movies / "Film (2020)" / "Film.mkv")
    theirs = host.write(host.movies / "Other" / "read me.doc", b"from the same group")
    host.torrent("Film", source, note, category="radarr")
    host.upload()
    host.cleanup()
    assert not note.exists()
    assert theirs.exists()


def test_an_orphan_is_known_by_its_copy(host: Host) -> None:
    source, copy = copied(host)
    host.cleanup(dry_run=True)
    host.torrents.listed.clear()
    seeding = host.write(host.downloads / "tv" / "s.mkv")
    host.torrent("S", seeding, seeding_time=60)
    host.cleanup()
    host.later(HOUR)
    host.cleanup()
    assert not source.exists()
    assert not copy.exists()


@pytest.mark.soak
def test_death_at_any_step_is_mended_by_the_next_runs(tmp_path: Path) -> None:
    def build(name: str) -> Host:
        host = Host(tmp_path / name)
        copied(host)
        return host

    for host, step in deaths(build, Host.cleanup):
        found = contents(host.downloads, host.movies)
        assert BYTES in found or host.remote.has(BYTES), step
        for _ in range(3):
            host.later(25 * HOUR)
            assert host.upload().outcome == "done", step
            assert host.cleanup().outcome == "done", step
        assert host.names() == {"downloads/completed/movies", "downloads/completed/tv"}, step
        assert host.history().intents() == (), step
        assert "downloads/Film/film.mkv" not in host.remote.versions, step
