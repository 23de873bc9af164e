"""Root files: an empty library and a mount that is gone are told apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mediapipe.disk import roots
from mediapipe.disk.roots import Root


def test_a_new_root_is_sound_and_gets_a_file_of_its_own(tmp_path: Path) -> None:
    found = roots.inspect(str(tmp_path), None)
    assert found == Root(str(tmp_path), "", "")
    identifier = roots.adopt(found)
    assert (tmp_path / roots.NAME).read_text() == f"{identifier}\n"
    assert len(identifier) == 32
    assert os.listdir(tmp_path) == [roots.NAME]
    assert roots.inspect(str(tmp_path), identifier) == Root(str(tmp_path), identifier, "")


def test_two_roots_are_told_apart(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    identifiers = set()
    for folder in (one, other):
        folder.mkdir()
        identifiers.add(roots.adopt(roots.inspect(str(folder), None)))
    assert len(identifiers) == 2


def test_a_root_is_adopted_once(tmp_path: Path) -> None:
    first = roots.adopt(roots.inspect(str(tmp_path), None))
    before = (tmp_path / roots.NAME).stat()
    assert roots.adopt(roots.inspect(str(tmp_path), None)) == first
    after = (tmp_path / roots.NAME).stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


def test_an_empty_root_with_its_file_is_sound(tmp_path: Path) -> None:
    identifier = roots.adopt(roots.inspect(str(tmp_path), None))
    assert roots.inspect(str(tmp_path), identifier).trouble == ""


def test_a_known_root_without_its_file_is_a_mount_that_is_gone(tmp_path: Path) -> None:
    found = roots.inspect(str(tmp_path), "known")
    assert found.trouble == f"{tmp_path} has lost its .mediapipe-root: is its disk mounted?"


@pytest.mark.parametrize("content", ["other\n", "known and more\n"])
def test_a_root_with_another_file_is_a_foreign_disk(tmp_path: Path, content: str) -> None:
    (tmp_path / roots.NAME).write_text(content)
    found = roots.inspect(str(tmp_path), "known")
    assert found.trouble == (f"{tmp_path} has another .mediapipe-root than before: a foreign disk?")


def test_an_empty_root_file_counts_as_lost(tmp_path: Path) -> None:
    (tmp_path / roots.NAME).write_text("")
    assert "has lost its" in roots.inspect(str(tmp_path), "known").trouble


def test_a_root_that_is_missing_or_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name, trouble in (
        ("gone", "does not exist"),
        ("dangling", "does not exist"),
        ("file", "is no folder"),
        ("file/below", "cannot be read: Not a directory"),
    ):
        path = str(tmp_path / name)
        assert roots.inspect(path, None) == Root(path, "", f"{path} {trouble}")


def test_a_root_file_that_is_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / roots.NAME).mkdir()
    assert roots.inspect(str(tmp_path), None).trouble == (
        f"{tmp_path}/{roots.NAME} cannot be read: it is no regular file"
    )


def test_a_root_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    identifier = roots.adopt(roots.inspect(str(tmp_path / "link"), None))
    assert roots.inspect(str(tmp_path / "real"), identifier).trouble == ""


def test_a_crash_while_adopting_is_finished_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", crash)
        with pytest.raises(Crash):
            roots.adopt(roots.inspect(str(tmp_path), None))
    found = roots.inspect(str(tmp_path), None)
    assert found == Root(str(tmp_path), "", "")
    roots.adopt(found)
    assert os.listdir(tmp_path) == [roots.NAME]


def test_a_root_file_full_of_rubbish_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / roots.NAME).write_bytes(b"\xff\xfe" * 500)
    assert "another" in roots.inspect(str(tmp_path), "known").trouble
