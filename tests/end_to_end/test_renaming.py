"""Renames and old boxes with the real rclone before a B2 server: what they cost, and what stays."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from mediapipe.testing.box import Box

if TYPE_CHECKING:
    from pathlib import Path

    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real


@pytest.fixture
def box(tmp_path: Path, b2: B2Server) -> Box:
    """A box with libraries alone: no torrent is asked for."""
    return Box(tmp_path / "box", "http://127.0.0.1:9", b2.rclone_config())


def write(path: Path, size: int = 2000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def on_disk(box: Box) -> dict[str, bytes]:
    return {
        f"{root.name}/{path.relative_to(root)}": path.read_bytes()
        for root in (box.tv, box.movies)
        for path in root.rglob("*.mkv")
    }


def on_remote(b2: B2Server) -> dict[str, bytes]:
    return {name: one.path.read_bytes() for name, one in b2.objects().items() if one.path}


def test_a_box_that_comes_from_shell_scripts_costs_one_listing(box: Box, b2: B2Server) -> None:
    for number in range(300):
        path = write(box.tv / f"Show {number % 30}" / f"Season {number % 3}" / f"{number}.mkv")
        path.with_name(f"{path.name}.uploaded").touch()
    for name, content in on_disk(box).items():
        b2.put(name, content, sha1=hashlib.sha1(content).hexdigest())
    b2.reset_stats()

    report = box.report("upload")

    assert [one["status"] for one in report["actions"]] == ["done"] * 300
    stats = b2.stats()
    assert stats.bytes_in < 2000, "no file was sent"
    assert stats.classes.get("A", 0) == 0
    assert stats.classes.get("B", 0) <= 2
    assert stats.classes["C"] <= 20, "logins, the bucket and one listing; never one for each file"
    assert all(
        path.with_name(f"{path.name}.uploaded").stat().st_size for path in box.tv.rglob("*.mkv")
    )
    b2.reset_stats()
    assert box.report("upload")["actions"] == []
    assert b2.stats().calls == {}


def test_of_an_old_box_only_what_differs_is_sent(box: Box, b2: B2Server) -> None:
    paths = [write(box.tv / "Show" / f"{number}.mkv") for number in range(250)]
    content = on_disk(box)
    for number, (name, data) in enumerate(sorted(content.items())):
        if number == 0:
            b2.put(name, os.urandom(len(data)), sha1=None)
        elif number == 1:
            b2.put(name, data)  # without SHA-1
        elif number == 2:
            wrong = os.urandom(len(data))
            b2.put(name, wrong, sha1=hashlib.sha1(wrong).hexdigest())
        elif number > 3:
            b2.put(name, data, sha1=hashlib.sha1(data).hexdigest())
    b2.reset_stats()

    report = box.report("upload")

    assert len(report["actions"]) == len(paths)
    assert {one["status"] for one in report["actions"]} == {"done"}
    assert b2.stats().calls["b2_upload_file"] == 4
    assert on_remote(b2) == content


@pytest.mark.parametrize("along", [True, False], ids=["with markers", "files alone"])
def test_a_renamed_show_sends_no_byte_and_keeps_every_version(
    box: Box, b2: B2Server, along: bool
) -> None:
    for number in range(30):
        write(box.tv / "Show" / f"Season {number % 2}" / f"{number}\n\udcff é.mkv", 20_000)
    write(box.tv / "Other" / "a.mkv")
    box.report("upload")
    before = b2.stats()
    old, new = box.tv / "Show", box.tv / "Show (2020)"
    if along:
        old.rename(new)
    else:
        for path in list(old.rglob("*.mkv")):
            target = new / path.relative_to(old)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    content = {os.fsencode(one): (box.tv.parent / one).read_bytes() for one in on_disk(box)}
    b2.reset_stats()

    report = box.report("upload")

    assert [one["status"] for one in report["actions"]] == ["done"] * 30
    stats = b2.stats()
    assert stats.calls.get("b2_upload_file", 0) == 0
    assert (stats.calls["b2_copy_file"], stats.calls["b2_hide_file"]) == (30, 30)
    assert stats.bytes_in < 20_000
    assert "b2_delete_file_version" not in stats.calls
    assert stats.versions == before.versions + 60, "the copies, and the marks that hide the old"
    assert sorted(on_remote(b2).values()) == sorted(content.values())
    assert all(name.startswith(("tv/Show (2020)/", "tv/Other/")) for name in on_remote(b2))
    b2.reset_stats()
    assert box.report("upload")["actions"] == []
    assert b2.stats().calls == {}


def test_from_one_library_to_another_the_old_object_stays(box: Box, b2: B2Server) -> None:
    path = write(box.movies / "Film" / "a.mkv")
    box.report("upload")
    content = path.read_bytes()
    (box.tv / "Film").mkdir()
    path.rename(box.tv / "Film" / "b.mkv")
    b2.reset_stats()

    [action] = box.report("upload")["actions"]

    assert action["status"] == "done"
    assert "copied on the remote" in action["reason"]
    assert b2.stats().calls.get("b2_upload_file", 0) == 0
    assert on_remote(b2) == {"movies/Film/a.mkv": content, "tv/Film/b.mkv": content}


def test_hard_delete_in_the_configuration_of_rclone_deletes_nothing(box: Box, b2: B2Server) -> None:
    path = write(box.tv / "a.mkv")
    box.report("upload")
    with open(box.folder / "rclone.conf", "a") as config:
        config.write("hard_delete = true\n")
    path.rename(box.tv / "b.mkv")
    before = b2.stats()

    box.report("upload")

    after = b2.stats()
    assert set(on_remote(b2)) == {"tv/b.mkv"}
    assert after.versions == before.versions + 2
    assert "b2_delete_file_version" not in after.calls


def test_a_key_that_may_not_hide_uploads_all_the_same(box: Box, b2: B2Server) -> None:
    path = write(box.tv / "a.mkv")
    box.report("upload")
    path.rename(box.tv / "b.mkv")
    b2.inject(api="b2_hide_file", status=401, code="unauthorized", count=None)

    ended = box.run("upload")

    assert ended.returncode == 0, ended.stderr
    assert "rename.incomplete" in ended.stderr
    assert set(on_remote(b2)) == {"tv/a.mkv", "tv/b.mkv"}
    b2.clear_faults()
    assert box.report("upload")["actions"] == []
