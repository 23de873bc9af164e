"""cleanup: a marker goes with its item; what only stands in a marker's place is somebody's data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.hosts import WEEK, Host, statuses

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def link(host: Host) -> Path:
    """Give the library link of an uploaded film whose torrent is due."""
    source = host.write(host.downloads / "movies" / "Film" / "film.mkv", b"film" * 1000)
    host.torrent("Film", source, seeding_time=WEEK)
    link = host.link(source, host.folder / "media/movies/Film (1999)/Film (1999).mkv")
    host.upload()
    return link


@pytest.mark.parametrize("as_old", [False, True])
@pytest.mark.parametrize(
    ("content", "goes"),
    [
        (None, True),
        (b"", True),
        (b"a list of what was uploaded\n", False),
        (b'{"version": 1, "item": "Film (1999).mkv", "files": []', False),
        (b'{"version": 1, "item": "notes of a person"}]}\n', False),
    ],
)
def test_a_marker_goes_if_it_is_ours_or_empty(
    host: Host,
    link: Path,
    content: bytes | None,
    goes: bool,
    as_old: bool,
) -> None:
    """Ours bears its film's time, but so may another program's."""
    marker = link.with_name(f"{link.name}.uploaded")
    if content is not None:
        marker.write_bytes(content)
    times = os.stat(link).st_mtime_ns if as_old else 10**18
    os.utime(marker, ns=(times, times))
    for _ in range(2):
        host.cleanup()
        host.later(600)
    assert not link.exists(), "its film goes in any case"
    assert marker.exists() == (not goes)
    if not goes:
        assert marker.read_bytes() == content


def test_what_took_a_markers_place_stays_and_is_told(host: Host, link: Path) -> None:
    marker = link.with_name(f"{link.name}.uploaded")
    film = os.stat(link)
    marker.write_bytes(b"notes of a person")
    os.utime(marker, ns=(film.st_mtime_ns, film.st_mtime_ns))
    report = host.cleanup()
    assert ("delete-marker", marker.name, "stale") in statuses(report)
    assert "it is no marker of ours" in [one.error for one in report.results]
    assert marker.read_bytes() == b"notes of a person"
