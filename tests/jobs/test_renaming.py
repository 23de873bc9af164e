"""What was uploaded under another name is copied; what nothing needs is hidden, and no more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mediapipe import readback
from mediapipe.disk import marker
from mediapipe.errors import ConfigError, Unavailable
from tests.crashes import deaths
from tests.hosts import HOUR, Host, sha1, statuses

if TYPE_CHECKING:
    from pathlib import Path

    from mediapipe.runner import Report


def names(host: Host) -> set[str]:
    return set(host.remote.versions)


def marked(path: Path) -> str:
    """Give the remote name that a file's marker tells, for what lies there now."""
    found = marker.read(marker.marker_path(str(path)))
    assert found is not None
    [entry] = found.files
    about = path.stat()
    assert (entry.inode, entry.size, entry.mtime_ns) == (
        about.st_ino, about.st_size, about.st_mtime_ns,
    )  # fmt: skip
    assert entry.sha1 == sha1(path.read_bytes())
    return entry.remote.removeprefix("b2:bucket/")


def mv(path: Path, target: Path) -> Path:
    """Rename a file as a person does who takes its marker along."""
    target.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.uploaded").rename(target.with_name(f"{target.name}.uploaded"))
    return path.rename(target)


def upload(host: Host) -> Report:
    """Upload; gives the report. Nothing proven may be anything else on the remote."""
    host.remote.sent.clear()
    host.remote.calls.clear()
    report = host.upload()
    for root, prefix in ((host.tv, "tv"), (host.movies, "movies")):
        for path in (one for one in root.rglob("*.mkv") if one.is_file()):
            if path.with_name(f"{path.name}.uploaded").exists() and report.count("failed") == 0:
                assert marked(path) == f"{prefix}/{path.relative_to(root)}"
                newest = host.remote.versions[marked(path)][-1]
                assert newest.content == path.read_bytes()
    return report


@pytest.fixture
def episode(host: Host) -> Path:
    path = host.write(host.tv / "Show" / "a.mkv")
    host.upload()
    return path


# Renamed


@pytest.mark.parametrize("along", [False, True], ids=["file alone", "marker too"])
def test_a_renamed_episode_is_copied_and_its_old_name_hidden(
    host: Host, episode: Path, along: bool
) -> None:
    new = host.tv / "Show" / "b.mkv"
    content = episode.read_bytes()
    mv(episode, new) if along else episode.rename(new)
    report = upload(host)
    assert statuses(report) == [("upload", "b.mkv", "done")]
    assert "copied on the remote" in report.results[0].action.reason
    assert host.remote.sent == []
    assert names(host) == {"tv/Show/b.mkv"}
    assert [one.content for one in host.remote.hidden["tv/Show/a.mkv"]] == [content]
    assert report.results[0].extra["hidden"] == ["b2:bucket/tv/Show/a.mkv"]
    with_history = host.history().proofs(_identity(new))
    assert [one.place for one in with_history] == ["b2:bucket/tv/Show/b.mkv"]


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return (found.st_ino, found.st_size, found.st_mtime_ns)


@pytest.mark.parametrize("along", [False, True], ids=["file alone", "marker too"])
def test_a_renamed_folder_sends_nothing(host: Host, along: bool) -> None:
    for number in range(30):
        host.write(host.tv / "Show" / f"Season {number % 3}" / f"{number}.mkv")
    host.upload()
    if along:
        (host.tv / "Show").rename(host.tv / "Show (2020)")
    else:
        for path in sorted((host.tv / "Show").rglob("*.mkv")):
            target = host.tv / "Show (2020)" / path.relative_to(host.tv / "Show")
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    report = upload(host)
    assert {status for _, _, status in statuses(report)} == {"done"}
    assert len(report.results) == 30
    assert host.remote.sent == []
    assert host.remote.calls.count("copy_within") == 1
    assert host.remote.calls.count("hide") == 1
    assert {name.split("/")[1] for name in names(host)} == {"Show (2020)"}
    assert len(names(host)) == 30


def test_episodes_that_all_move_up_by_one_end_as_what_they_are(host: Host) -> None:
    """Each old name but the first is the new name of another."""
    for number in range(5):
        host.write(host.tv / f"{number}.mkv")
    host.upload()
    for number in reversed(range(5)):
        (host.tv / f"{number}.mkv").rename(host.tv / f"{number + 1}.mkv")
    host.remote.lose("tv/4.mkv")
    report = upload(host)
    assert len(report.results) == report.count("done") == 5
    assert host.remote.sent == ["tv/5.mkv"], "the one that was lost"
    assert names(host) == {f"tv/{number}.mkv" for number in range(1, 6)}


def test_two_episodes_that_changed_names_end_as_what_they_are(host: Host) -> None:
    one, other = host.write(host.tv / "1.mkv"), host.write(host.tv / "2.mkv")
    host.upload()
    one.rename(host.tv / "x")
    other.rename(one)
    (host.tv / "x").rename(other)
    report = upload(host)
    assert len(report.results) == report.count("done") == 2
    assert names(host) == {"tv/1.mkv", "tv/2.mkv"}


@pytest.mark.parametrize("from_", ["movies", "downloads"])
def test_from_another_place_it_is_copied_and_the_old_object_kept(host: Host, from_: str) -> None:
    """It is theirs: another library's, or a torrent's."""
    old = host.write(getattr(host, from_) / "a.mkv")
    host.upload()
    old.rename(host.tv / "b.mkv")
    report = upload(host)
    assert statuses(report) == [("upload", "b.mkv", "done")]
    assert (host.remote.sent, host.remote.hidden) == ([], {})
    assert names(host) == {f"{from_}/a.mkv", "tv/b.mkv"}


def test_a_second_link_is_copied_and_both_stay(host: Host, episode: Path) -> None:
    host.link(episode, host.tv / "Show" / "b.mkv")
    host.later(HOUR)
    upload(host)
    assert (host.remote.sent, host.remote.hidden) == ([], {})
    assert names(host) == {"tv/Show/a.mkv", "tv/Show/b.mkv"}


# Needed all the same


def test_an_old_name_that_is_another_file_by_now_is_not_hidden(host: Host, episode: Path) -> None:
    episode.rename(host.tv / "Show" / "b.mkv")
    host.write(episode, b"another episode")
    upload(host)
    assert host.remote.hidden == {}
    assert names(host) == {"tv/Show/a.mkv", "tv/Show/b.mkv"}


@pytest.mark.parametrize("there", ["folder", "dangling link"])
def test_whatever_stands_at_the_old_name_keeps_the_object(
    host: Host, episode: Path, there: str
) -> None:
    episode.rename(host.tv / "Show" / "b.mkv")
    episode.mkdir() if there == "folder" else episode.symlink_to("nowhere")
    upload(host)
    assert host.remote.hidden == {}
    assert "tv/Show/a.mkv" in names(host)


def test_an_old_name_that_comes_back_while_one_looks_is_not_hidden(
    host: Host, episode: Path
) -> None:
    """Between the decision and the hiding lies a look at the remote, which takes seconds."""
    new = mv(episode, host.tv / "Show" / "b.mkv")
    looks = []

    def before(method: str) -> None:
        looks.append(method)
        if method == "look" and looks.count("look") == 2:
            mv(new, episode)

    host.remote.before = before
    host.upload()
    host.remote.before = lambda _method: None
    assert episode.exists()
    assert "tv/Show/a.mkv" in names(host)
    upload(host)


def test_an_object_that_proves_another_file_is_not_hidden(host: Host, episode: Path) -> None:
    """An earlier file of this name and these bytes, which a torrent still holds."""
    content, older = episode.read_bytes(), host.folder / "elsewhere.mkv"
    os.link(episode, older)
    episode.unlink()
    host.write(episode, content)
    host.later(HOUR)
    host.upload()
    assert len(host.remote.versions["tv/Show/a.mkv"]) == 1
    episode.rename(host.tv / "Show" / "b.mkv")
    upload(host)
    assert host.remote.hidden == {}
    assert names(host) == {"tv/Show/a.mkv", "tv/Show/b.mkv"}


def test_bytes_of_a_stranger_are_neither_hidden_nor_taken(host: Host, episode: Path) -> None:
    content = episode.read_bytes()
    host.remote.put("tv/Show/a.mkv", b"x" * len(content))
    episode.rename(host.tv / "Show" / "b.mkv")
    upload(host)
    assert host.remote.sent == ["tv/Show/b.mkv"]
    assert host.remote.hidden == {}
    assert host.remote.versions["tv/Show/a.mkv"][-1].content == b"x" * len(content)


@pytest.mark.parametrize("method", ["hide", "copy_within", "look"])
@pytest.mark.parametrize("error", [Unavailable("no route"), ConfigError("key may not")])
def test_where_the_remote_fails_nothing_is_hidden_that_was_not_proven(
    host: Host, episode: Path, method: str, error: Exception
) -> None:
    episode.rename(host.tv / "Show" / "b.mkv")
    host.remote.failures[method] = error
    report = host.upload()
    assert host.remote.hidden == {}
    if method == "hide":
        assert (statuses(report), report.exit_status) == ([("upload", "b.mkv", "done")], 0)
        [told] = [fields for event, fields in host.events if event == "rename.incomplete"]
        assert told["level"] == "warning"
    host.remote.failures.clear()
    host.later(HOUR)
    upload(host)
    assert "tv/Show/b.mkv" in names(host)


def test_a_source_that_is_gone_is_sent(host: Host, episode: Path) -> None:
    host.remote.lose("tv/Show/a.mkv")
    episode.rename(host.tv / "Show" / "b.mkv")
    report = upload(host)
    assert statuses(report) == [("upload", "b.mkv", "done")]
    assert host.remote.sent == ["tv/Show/b.mkv"]
    assert "hidden" not in report.results[0].extra


def test_a_copy_that_cannot_be_made_is_sent(host: Host, episode: Path) -> None:
    host.remote.refused = {"tv/Show/b.mkv": "no"}
    episode.rename(host.tv / "Show" / "b.mkv")
    report = host.upload()
    assert statuses(report) == [("upload", "b.mkv", "failed")]
    assert (host.remote.hidden, names(host)) == ({}, {"tv/Show/a.mkv"})


def test_a_file_that_changes_while_it_is_copied_is_looked_at_again(
    host: Host, episode: Path
) -> None:
    new = episode.rename(host.tv / "Show" / "b.mkv")

    def before(method: str) -> None:
        if method == "copy_within":
            host.write(new, b"other bytes")

    host.remote.before = before
    host.upload()
    host.remote.before = lambda _method: None
    assert not new.with_name("b.mkv.uploaded").exists()
    host.later(HOUR)
    upload(host)
    assert marked(new) == "tv/Show/b.mkv"


def test_a_downloaded_folder_that_is_renamed_is_copied_and_kept(host: Host) -> None:
    host.write(host.downloads / "Foo" / "a.mkv")
    host.write(host.downloads / "Foo" / "b" / "c.mkv")
    host.upload()
    (host.downloads / "Foo").rename(host.downloads / "Bar")
    report = upload(host)
    assert statuses(report) == [("upload", "Bar", "done")]
    assert (host.remote.sent, host.remote.hidden) == ([], {})


def test_at_whatever_step_a_run_dies_the_next_one_ends_the_rename(tmp_path: Path) -> None:
    def build(name: str) -> Host:
        host = Host(tmp_path / name)
        host.write(host.tv / "1.mkv", b"one")
        host.write(host.tv / "2.mkv", b"two")
        host.upload()
        (host.tv / "2.mkv").rename(host.tv / "3.mkv")
        (host.tv / "1.mkv").rename(host.tv / "2.mkv")
        return host

    for host, step in deaths(build, Host.upload):
        newest = {all_[-1].content for all_ in host.remote.versions.values()}
        assert newest == {b"one", b"two"}, f"died at {step}: not everything can be seen"
        host.later(HOUR)
        upload(host)
        assert marked(host.tv / "2.mkv") == "tv/2.mkv", step
        assert marked(host.tv / "3.mkv") == "tv/3.mkv", step
        assert host.upload().results == (), step


# Claims: much that may be there already


@pytest.fixture
def claimed(host: Host) -> list[Path]:
    """A library that shell scripts have uploaded: 300 files, each with an empty marker."""
    paths = [host.tv / f"Show {number % 20}" / f"{number}.mkv" for number in range(300)]
    for path in paths:
        content = host.write(path).read_bytes()
        path.with_name(f"{path.name}.uploaded").touch()
        host.remote.put(f"tv/{path.relative_to(host.tv)}", content)
    return paths


def test_a_box_that_comes_from_shell_scripts_sends_nothing(host: Host, claimed: list[Path]) -> None:
    report = upload(host)
    assert report.count("done") == 300
    assert host.remote.sent == []
    assert host.remote.calls.count("look_below") == 1
    assert {"copy", "copy_within", "look", "read"}.isdisjoint(host.remote.calls)
    assert all(marked(path) for path in claimed)


def test_what_the_listing_does_not_prove_is_sent(host: Host, claimed: list[Path]) -> None:
    other, shorter, gone, unseen = (f"tv/{one.relative_to(host.tv)}" for one in claimed[:4])
    size = len(host.remote.versions[other][-1].content)
    host.remote.put(other, b"x" * size)
    host.remote.put(shorter, b"x")
    host.remote.lose(gone)
    host.remote.missing.add(unseen)
    host.remote.before = lambda method: host.remote.missing.clear() if method == "copy" else None
    report = upload(host)
    assert report.count("done") == 300
    assert sorted(host.remote.sent) == sorted([other, shorter, gone])


def test_objects_without_sha1_prove_nothing(host: Host, claimed: list[Path]) -> None:
    host.remote.without_sha1 = True
    report = host.upload()
    assert report.count("done") == 0
    assert isinstance(report.trouble, ConfigError)
    assert "no SHA-1" in str(report.trouble)
    assert all(path.with_name(f"{path.name}.uploaded").stat().st_size == 0 for path in claimed)


def test_a_label_that_lies_about_a_large_object_is_found_out_and_sent_anew(
    host: Host, claimed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above rclone's cutoff the SHA-1 is what the uploader declared."""
    for limit in ("_UNCHECKED", "_SMALLEST_PARTS"):
        monkeypatch.setattr(readback, limit, 8)
    monkeypatch.setattr(readback, "_BLOCK", 4)
    name = f"tv/{claimed[0].relative_to(host.tv)}"
    content = claimed[0].read_bytes()
    host.remote.put(name, b"x" * len(content))
    host.remote.labels[name] = sha1(content)
    report = upload(host)
    assert report.count("done") == 300
    assert host.remote.sent == [name]


def test_what_was_proven_by_the_listing_is_not_copied_over(host: Host, claimed: list[Path]) -> None:
    """The old name holds a stranger's bytes by now: they must not come over what is proven."""
    old = host.write(host.tv / "old.mkv")
    content = old.read_bytes()
    for path in claimed:
        path.rename(path.with_name(f"away {path.name}"))
    host.upload()
    for path in claimed:
        path.with_name(f"away {path.name}").rename(path)
    new = old.rename(host.tv / "Show 0" / "new.mkv")
    host.remote.put("tv/Show 0/new.mkv", content)
    host.remote.put("tv/old.mkv", b"x" * len(content))
    lost = f"tv/{claimed[5].relative_to(host.tv)}"
    host.remote.lose(lost)
    host.later(HOUR)
    upload(host)
    assert host.remote.versions["tv/Show 0/new.mkv"][-1].content == content
    assert marked(new) == "tv/Show 0/new.mkv"
