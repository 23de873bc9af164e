"""What the upload remembers of a pass: what is refused, what is due, and what would be a lie."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mediapipe import remembering
from mediapipe.adapters import b2_names
from mediapipe.config import Config
from mediapipe.disk import folder_index
from mediapipe.disk.mounts import Mount
from mediapipe.places import TRIGGER
from mediapipe.units import AbsPath
from tests.hosts import HOUR, Host, reasons, statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def facts(host: Host) -> dict[str, object]:
    found = folder_index.read(str(host.state / folder_index.NAME))
    assert found is not None
    return found.facts


def rests(host: Host) -> bool:
    """Whether every folder is remembered, and what it was."""
    found = folder_index.read(str(host.state / folder_index.NAME))
    return found is not None and bool(found.facts["whole"]) and found.is_unchanged()


def settle(host: Host) -> None:
    """Upload until all is remembered."""
    host.upload()
    host.upload()
    assert rests(host)


REFUSED: dict[str, Callable[[Host], Path]] = {
    "symlink in a folder": lambda host: link(host.downloads / "Linked" / "x"),
    "symlink deep in a folder": lambda host: link(host.downloads / "Linked" / "a" / "b" / "x"),
    "symlink": lambda host: link(host.downloads / "link"),
    "fifo": lambda host: fifo(host.downloads / "fifo"),
    "unfinished file": lambda host: host.write(host.tv / "Show" / "a.mkv.part"),
    "unfinished download": lambda host: host.write(host.downloads / "Foo" / "a" / "b.mkv.!qB"),
    "unstorable name": lambda host: host.write(host.tv / "Show" / "a\u2401.mkv"),
    "unstorable download": lambda host: host.write(host.downloads / "books" / "x" / "a\u2401"),
}


def link(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/etc/passwd")
    return path


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_for_good_is_told_in_every_pass(host: Host, what: str) -> None:
    REFUSED[what](host)
    host.write(host.movies / "film.mkv")
    host.write(host.downloads / "single.mkv")
    first = reasons(host.upload())
    assert len(first) == 1
    for _ in range(2):
        host.later(HOUR)
        report = host.upload()
        assert (statuses(report), reasons(report)) == ([], first)
    assert rests(host)
    host.write(host.movies / "another.mkv")  # one folder is listed, and no other
    assert reasons(host.upload()) == first
    host.later(25 * HOUR)
    assert reasons(host.upload()) == first
    (host.state / folder_index.NAME).unlink()
    assert reasons(host.upload()) == first


@pytest.mark.parametrize("what", REFUSED)
def test_what_was_refused_is_forgotten_with_its_ground(host: Host, what: str) -> None:
    path = REFUSED[what](host)
    settle(host)
    path.unlink()
    assert reasons(host.upload()) == {}


def test_what_is_refused_is_judged_anew_once_a_day(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another rclone may store what the one before could not."""
    monkeypatch.setattr(type(host.remote), "why_not_storable", lambda _self, name: _old(name))
    host.write(host.tv / "new\nline.mkv")
    settle(host)
    assert "rclone 1.75" in reasons(host.upload())["new\nline.mkv"]
    monkeypatch.setattr(
        type(host.remote), "why_not_storable", lambda _, name: b2_names.why_not_storable(name)
    )
    host.later(25 * HOUR)
    assert statuses(host.upload()) == [("upload", "new\nline.mkv", "done")]


def _old(name: str) -> str:
    return "its name has a line break, which needs rclone 1.75 or newer" if "\n" in name else ""


def test_a_configuration_that_is_edited_while_a_pass_looks_is_looked_at_by_the_next(
    host: Host,
) -> None:
    host.configure("upload", ignore=("*.srt", *host.config.upload.ignore))
    host.write(host.tv / "Show" / "a.srt")
    host.write(host.downloads / "waiting.mkv")
    edited = type(host.config.upload)(ignore=("*.uploaded", ".mediapipe*"))

    def edit(_method: str) -> None:
        (host.folder / "config.toml").write_text("edited")
        host.torrents.before = lambda _method: None

    host.torrents.before = edit
    host.upload()
    # what the next pass reads is what was edited
    config: Config = host.config
    host.config = replace(config, upload=edited)
    host.later(HOUR)
    assert ("upload", "a.srt", "done") in statuses(host.upload())


def test_a_file_that_was_written_in_place_is_found_a_day_later(host: Host) -> None:
    path = host.write(host.tv / "Show" / "a.mkv")
    other = host.write(host.downloads / "Foo" / "b.mkv")
    settle(host)
    for one in (path, other):
        before = one.stat()
        with one.open("ab") as file:
            file.write(b"more")
        os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    host.later(HOUR)
    assert statuses(host.upload()) == []
    host.later(24 * HOUR)
    assert statuses(host.upload()) == [("upload", "a.mkv", "done"), ("upload", "Foo", "done")]


def test_a_marker_that_was_emptied_in_place_is_found_a_day_later(host: Host) -> None:
    path = host.write(host.tv / "Show" / "a.mkv")
    settle(host)
    path.with_name("a.mkv.uploaded").write_bytes(b"")
    host.later(25 * HOUR)
    assert statuses(host.upload()) == [("upload", "a.mkv", "done")]
    assert len(host.remote.versions["tv/Show/a.mkv"]) == 1


def test_without_the_index_nothing_is_sent_and_nothing_is_missed(host: Host) -> None:
    host.write(host.tv / "Show" / "a.mkv")
    settle(host)
    (host.state / folder_index.NAME).unlink()
    host.remote.calls.clear()
    assert statuses(host.upload()) == []
    assert host.remote.calls == []
    assert rests(host)


@pytest.mark.parametrize("file_system", ["nfs4", "fuse.mergerfs", "cifs"])
def test_a_root_whose_times_prove_nothing_is_never_remembered(
    host: Host, file_system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = (Mount("/", "ext4"), Mount(str(host.tv), file_system))
    monkeypatch.setattr(remembering, "mounts", lambda: table)
    host.write(host.tv / "a.mkv")
    host.write(host.movies / "b.mkv")
    host.upload()
    host.upload()
    found = folder_index.read(str(host.state / folder_index.NAME))
    assert found is not None
    assert str(host.tv) not in found.stamps()
    assert str(host.movies) in found.stamps()
    assert not found.facts["whole"], "no pass is idle"


def test_a_category_folder_that_appears_where_nothing_is_looked_at_is_seen(host: Host) -> None:
    folder = host.downloads / "tv" / "kids"
    categories = {**host.config.categories, "kids": AbsPath(str(folder))}
    host.config = replace(host.config, categories=categories)
    settle(host)
    assert facts(host)["absent"] == [str(host.downloads / "books"), str(folder)]
    host.write(folder / "a.mkv")
    assert rests(host), "no folder that was listed has changed"
    assert any(map(os.path.lexists, facts(host)["absent"]))  # type: ignore[call-overload]
    assert statuses(host.upload()) == [("upload", "a.mkv", "done")]


@pytest.mark.parametrize("dies", ["unlink", "rename"])
def test_a_pass_that_dies_over_a_trigger_leaves_no_index_that_knows_nothing_of_it(
    host: Host, dies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cleanup wants changes no folder: only the trigger tells of it."""
    settle(host)
    trigger = host.state / TRIGGER
    trigger.write_bytes(b"")
    real = {"unlink": os.unlink, "rename": os.rename}[dies]

    def die(path: str, *more: str, **options: object) -> None:
        if path == str(trigger) or path.endswith(f"{folder_index.NAME}.tmp"):
            raise KeyboardInterrupt
        real(path, *more, **options)  # type: ignore[operator]

    monkeypatch.setattr(os, dies, die)
    with pytest.raises(KeyboardInterrupt):
        host.upload()
    monkeypatch.undo()
    assert trigger.exists() or not (host.state / folder_index.NAME).exists()


def test_what_failed_is_looked_at_again_by_every_pass(host: Host) -> None:
    host.write(host.tv / "Show" / "a.mkv")
    host.write(host.downloads / "Foo" / "b.mkv")
    host.remote.refused = {"tv/Show/a.mkv": "no", "downloads/Foo/b.mkv": "no"}
    for _ in range(3):
        report = host.upload()
        assert report.count("failed") + len(report.kept) == 2
        assert not rests(host)
    host.remote.refused = {}
    host.later(7 * HOUR)
    assert [status for _, _, status in statuses(host.upload())] == ["done", "done"]
