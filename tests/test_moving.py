"""A finished job is moved whole, or it stays whole."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.disk.removal import NOTE
from mediapipe.errors import ActionFailed, ConfigError, Stale, Stopped, Unavailable
from mediapipe.moving import Moved, Stage, move
from tests.disks import destination, fuse, image, mounted, names, snapshot, tmpfs, write

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where SABnzbd completes its jobs."""
    (tmp_path / "complete").mkdir()
    return tmp_path / "complete"


@pytest.fixture(params=["same", "other"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A destination on the same file system, and one on another."""
    with destination(tmp_path, request.param) as point:
        yield point


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Path]:
    """A destination on another file system."""
    with destination(tmp_path, "other") as point:
        yield point


def job(folder: Path, name: str = "X") -> Path:
    top = folder / name
    write(top / "film.mkv", os.urandom(3 * MIB + 5), mtime=1_500_000_000)
    write(top / "film.nfo", b"about it")
    write(top / "Subs" / "de" / "film.srt", b"")
    (top / "Sample").mkdir()
    for path in (top / "Subs" / "de", top / "Subs", top / "Sample", top):
        os.utime(path, ns=(0, 1_400_000_000_000_000_001))
    return top


def fails(
    kind: type[BaseException], source: Path, target: Path, *words: str, **options: Any
) -> None:
    """The move must fail with these words."""
    with pytest.raises(kind) as raised:
        move(source, target, **options)
    assert [word for word in words if word not in str(raised.value)] == []


# what is moved, and how


def test_on_one_file_system_the_folder_itself_gets_the_name(here: Path, tmp_path: Path) -> None:
    source = job(here)
    (tmp_path / "usenet").mkdir()
    seen, number = snapshot(source), source.stat().st_ino
    stages: list[Stage] = []
    target = tmp_path / "usenet" / "X"
    moved = move(source, target, journal=stages.append)
    assert moved == Moved(target, 3, 3 * MIB + 13, "renamed")
    assert snapshot(target) == seen
    assert target.stat().st_ino == number
    assert [(one.kind, one.path, one.inode) for one in stages] == [
        ("placing", str(target), number),
        ("placed", str(target), number),
    ]
    assert names(here) == set()


def test_on_another_file_system_all_is_kept(here: Path, other: Path) -> None:
    source = job(here)
    (source / "film.nfo").chmod(0o640)
    seen = snapshot(source)
    stages: list[Stage] = []
    moved = move(source, other / "X", journal=stages.append)
    assert moved == Moved(other / "X", 3, 3 * MIB + 13, "copied")
    assert snapshot(other / "X") == seen
    assert [one.kind for one in stages] == ["copying", "placing", "placed"]
    assert stages[-1].inode == (other / "X").stat().st_ino
    assert (names(here), names(other)) == (set(), {"X"})


def test_a_single_file(here: Path, there: Path) -> None:
    source = write(here / "film.mkv", b"film" * MIB)
    seen = snapshot(source)
    assert move(source, there / "film.mkv").path == there / "film.mkv"
    assert snapshot(there / "film.mkv") == seen
    source = write(here / "film.mkv", b"another")
    assert move(source, there / "film.mkv").path == there / "film.1.mkv"
    source = write(here / "film.mkv", b"a third")
    assert move(source, there / "film.mkv").path == there / "film.2.mkv"
    assert (names(here), names(there)) == (set(), {"film.mkv", "film.1.mkv", "film.2.mkv"})
    assert snapshot(there / "film.mkv") == seen


HOSTILE = [
    "new\nline", "\udcff\udcfe no UTF-8", "x" * 255, "ä" * 127, "-rf", "* ? [a]", " ", "...",
    "tab\t", "\x1b[31m", "'\"`$(reboot)", "\\", "\u202egnp.exe",
]  # fmt: skip


def test_hostile_names(here: Path, there: Path) -> None:
    for number, name in enumerate(HOSTILE):
        write(here / "X" / name / HOSTILE[number - 1], name.encode(errors="surrogateescape"))
    seen = snapshot(here / "X")
    move(here / "X", there / "X")
    assert snapshot(there / "X") == seen
    for name in HOSTILE:
        write(here / name / "film.mkv", b"film")
        assert move(here / name, there / name).path == there / name
    assert (names(here), names(there)) == (set(), {"X", *HOSTILE})


def test_a_name_too_long_for_a_number_is_refused(here: Path, there: Path) -> None:
    source = job(here, "x" * 255)
    (there / ("x" * 255)).mkdir()
    fails(ActionFailed, source, there / source.name, "too long")
    assert len(snapshot(source)) == 7


def test_times_may_be_rounded_as_fat_does(here: Path, other: Path) -> None:
    source = job(here)

    def rounds(_done: int, _total: int) -> None:
        for path in other.glob(".mediapipe-*/*.*"):
            seconds = int(path.stat().st_mtime) // 2 * 2
            os.utime(path, (seconds, seconds))

    assert move(source, other / "X", on_progress=rounds).how == "copied"
    assert (other / "X" / "film.mkv").stat().st_mtime == 1_500_000_000
    assert (names(here), names(other)) == (set(), {"X"})


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_holes_stay_holes(here: Path, tmp_path: Path, kind: str) -> None:
    with image(tmp_path / "usenet", kind, 320) as other:
        for name, offset in (("begin", 0), ("amid", 33 * MIB + 17), ("end", 64 * MIB - 3)):
            path = write(here / "X" / name, b"")
            with path.open("r+b") as file:
                file.truncate(64 * MIB)
                file.seek(offset)
                file.write(b"abc")
        write(here / "X" / "all", b"")
        os.truncate(here / "X" / "all", 5 * MIB + 1)
        seen = snapshot(here / "X")
        assert move(here / "X", other / "X").how == "copied"
        assert snapshot(other / "X") == seen
        assert sum(path.stat().st_blocks * 512 for path in (other / "X").iterdir()) < MIB


def test_between_two_volumes_of_btrfs_no_byte_is_copied(tmp_path: Path) -> None:
    with image(tmp_path / "disk", "btrfs", 320) as disk:
        for name in ("complete", "usenet"):
            command = ["btrfs", "subvolume", "create", str(disk / name)]
            subprocess.run(command, check=True, capture_output=True)
        source = job(disk / "complete")
        write(source / "large.mkv", os.urandom(64 * MIB))
        os.sync()
        before = os.statvfs(disk)
        seen = snapshot(source)
        assert move(source, disk / "usenet" / "X").how == "reflinked"
        assert snapshot(disk / "usenet" / "X") == seen
        os.sync()
        after = os.statvfs(disk)
        assert (before.f_bfree - after.f_bfree) * before.f_frsize < 8 * MIB


@pytest.mark.real
def test_onto_a_file_system_in_user_space(here: Path, tmp_path: Path) -> None:
    with fuse(tmp_path) as other:
        source = job(here)
        content = {name: facts[2:] for name, facts in snapshot(source).items()}
        assert move(source, other / "X").how == "copied"
        write(here / "film.mkv", b"film")
        assert move(here / "film.mkv", other / "film.mkv").how == "copied"
        write(here / "film.mkv", b"another film")
        assert move(here / "film.mkv", other / "film.mkv").path == other / "film.1.mkv"
        assert move(other / "X", other / "Y").how == "renamed"
        write(here / "Y" / "film.mkv")
        assert move(here / "Y", other / "Y").path == other / "Y.1"
        assert {name: facts[2:] for name, facts in snapshot(other / "Y").items()} == content
        assert (other / "film.mkv").read_bytes() == b"film"
        assert (names(here), names(other)) == (set(), {"Y", "Y.1", "film.mkv", "film.1.mkv"})


def test_nothing_runs_as_its_former_owner(here: Path, other: Path) -> None:
    source = job(here)
    (source / "film.nfo").chmod(0o6755)
    move(source, other / "X")
    assert (other / "X" / "film.nfo").stat().st_mode & 0o7777 == 0o755


# names that are taken


@pytest.mark.parametrize("what", ["a folder", "an empty folder", "a file", "a link", "a lost link"])
def test_what_stands_there_is_left_alone(here: Path, there: Path, what: str) -> None:
    source, target = job(here), there / "X"
    seen = snapshot(source)
    if what == "a folder":
        write(target / "film.mkv", b"another film")
    elif what == "an empty folder":
        target.mkdir()
    elif what == "a file":
        write(target)
    else:
        target.symlink_to(source if what == "a link" else "/nonexistent")
    before = (target.lstat().st_ino, target.lstat().st_mtime_ns)
    write(there / "X.1", b"taken too")
    assert move(source, target).path == there / "X.2"
    assert snapshot(there / "X.2") == seen
    assert (target.lstat().st_ino, target.lstat().st_mtime_ns) == before
    assert names(there) == {"X", "X.1", "X.2"}


def test_the_identical_job_there_counts_as_done(here: Path, there: Path) -> None:
    source = job(here)
    write(there / "X" / "film.mkv", b"another film")
    subprocess.run(["cp", "-r", source, there / "X.1"], check=True)
    stages: list[Stage] = []
    moved = move(source, there / "X", journal=stages.append)
    assert (moved.path, moved.how) == (there / "X.1", "already-there")
    assert stages == [Stage("placed", str(there / "X.1"), (there / "X.1").stat().st_ino)]
    assert (names(here), names(there)) == (set(), {"X", "X.1"})


@pytest.mark.parametrize("change", ["a byte", "a folder", "a file less", "a file more"])
def test_what_is_nearly_identical_does_not(here: Path, there: Path, change: str) -> None:
    source, target = job(here), there / "X"
    subprocess.run(["cp", "-r", source, target], check=True)
    if change == "a byte":
        with (target / "film.mkv").open("r+b") as file:
            file.seek(2 * MIB)
            byte = file.read(1)
            file.seek(2 * MIB)
            file.write(bytes([byte[0] ^ 1]))
    elif change == "a folder":
        (target / "Sample").rmdir()
    elif change == "a file less":
        (target / "Subs" / "de" / "film.srt").unlink()
    else:
        write(target / "more.txt")
    before = snapshot(target)
    assert move(source, target).path == there / "X.1"
    assert snapshot(target) == before


@pytest.mark.parametrize("late", ["folder", "empty", "file", "identical"])
def test_what_appears_in_mid_move_is_left_alone(here: Path, there: Path, late: str) -> None:
    source, target = job(here), there / "X"
    seen = snapshot(source)

    def appear(stage: Stage) -> None:
        if stage.kind != "placing" or target.exists():
            return
        if late == "folder":
            write(target / "film.mkv", b"another film")
        elif late == "empty":
            target.mkdir()
        elif late == "file":
            write(target)
        else:
            subprocess.run(["cp", "-rp", source, target], check=True)

    moved = move(source, target, journal=appear)
    if late == "identical":
        assert (moved.path, moved.how) == (target, "already-there")
        assert names(there) == {"X"}
    else:
        assert moved.path == there / "X.1"
        assert names(there) == {"X", "X.1"}
    assert snapshot(moved.path) == seen
    assert names(here) == set()


# what is refused


@pytest.mark.parametrize("kind", ["link", "link to a folder", "fifo", "socket"])
def test_what_is_neither_file_nor_folder_is_refused(here: Path, there: Path, kind: str) -> None:
    source = job(here)
    odd = source / "Subs" / "odd"
    if kind == "fifo":
        os.mkfifo(odd)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(odd.parent):
            listener.bind("odd")
    else:
        odd.symlink_to("/etc/passwd" if kind == "link" else "/etc")
    fails(ActionFailed, source, there / "X", str(odd))
    assert len(snapshot(source)) == 8
    assert names(there) == set()


def test_folders_nested_without_end_are_refused(here: Path, there: Path) -> None:
    os.mkdir(here / "X")
    with contextlib.chdir(here / "X"):
        for _ in range(1500):
            os.mkdir("a" * 20)
            os.chdir("a" * 20)
        write(Path("film.mkv"))
    fails(ActionFailed, here / "X", there / "X", "within each other")
    subprocess.run(["rm", "-r", here / "X"], check=True)


def test_a_source_that_is_a_link_is_refused(here: Path, there: Path) -> None:
    (here / "X").symlink_to(job(here, "Y"))
    fails(ActionFailed, here / "X", there / "X", "symbolic link")
    assert (names(here), names(there)) == ({"X", "Y"}, set())


def test_what_is_mounted_into_a_job_is_refused(here: Path, there: Path) -> None:
    source = job(here)
    with tmpfs(source / "Sample"):
        fails(ActionFailed, source, there / "X", "Sample", "mount point")
    with tmpfs(source):
        fails(ActionFailed, source, there / "X", "mount point")
    assert names(there) == set()


def test_sources_and_destinations_that_are_none(here: Path, there: Path, tmp_path: Path) -> None:
    source = job(here)
    fails(Stale, here / "Y", there / "Y", "is gone")
    fails(Unavailable, source, there / "tv" / "X", "no folder", "tv")
    fails(Unavailable, here / "Y" / "X", there / "X", "no folder", "Y")
    for odd in ("X/../X", "..", "../X", "X\0", "X\ud800"):
        fails(ActionFailed, here / odd, there / "X", "detours")
        fails(ActionFailed, source, there / odd, "detours")
    (here / "empty" / "inner").mkdir(parents=True)
    fails(Stale, here / "empty", there / "empty", "holds no file")
    assert (names(here), names(there)) == ({"X", "empty"}, set())


def test_a_job_is_not_dropped_for_itself(here: Path, tmp_path: Path) -> None:
    source = job(here)
    single = write(here / "film.mkv")
    seen = snapshot(here)
    for one in (source, single):
        fails(ActionFailed, one, one, "the same folder")
    with mounted(tmp_path / "again", "--bind", here) as again:
        for one in (source, single):
            fails(ActionFailed, one, again / one.name, "the same folder")
    # the two sides of an overlay have different devices, as a pool and its branches have
    for name in ("lower", "work"):
        (tmp_path / name).mkdir()
    layers = f"lowerdir={tmp_path}/lower,upperdir={here},workdir={tmp_path}/work"
    with mounted(tmp_path / "pool", "-t", "overlay", "-o", layers, "overlay") as pool:
        for one in (source, single):
            fails(ActionFailed, one, pool / one.name, "the same folder")
            fails(ActionFailed, pool / one.name, one, "the same folder")
        # nor where the note of an earlier move says that it lies there
        write(source / NOTE, json.dumps({"moved_to": str(pool / "X")}).encode())
        fails(ActionFailed, source, pool / "X", "was moved before")
        (source / NOTE).unlink()
    os.utime(source, ns=(0, 1_400_000_000_000_000_001))
    after = snapshot(here)
    assert after.keys() == seen.keys()
    assert {name: facts for name, facts in after.items() if name != b"."} == {
        name: facts for name, facts in seen.items() if name != b"."
    }


def test_what_could_only_be_copied_is_not_begun(here: Path, other: Path, tmp_path: Path) -> None:
    job(here)
    stages: list[Stage] = []
    with mounted(tmp_path / "fixed", "-o", "bind,ro", here) as fixed:
        words = (str(fixed), "may not be written to", "ReadWritePaths")
        fails(ActionFailed, fixed / "X", other / "X", *words, journal=stages.append)
    assert (names(here), names(other), stages) == ({"X"}, set(), [])


def test_two_mounts_of_one_file_system_are_named_and_not_copied_over(
    here: Path, tmp_path: Path
) -> None:
    source = job(here)
    (tmp_path / "usenet").mkdir()
    seen = snapshot(source)
    with mounted(here, "--bind", here), mounted(tmp_path / "usenet", "--bind", tmp_path / "usenet"):
        with pytest.raises(ConfigError) as raised:
            move(source, tmp_path / "usenet" / "X")
        assert str(here) in str(raised.value)
        assert str(tmp_path / "usenet") in str(raised.value)
        assert "ReadWritePaths" in raised.value.hint
        write(source / ".nfs0001", b"")  # and where it would go file by file
        fails(ConfigError, source, tmp_path / "usenet" / "X", "EXDEV")
        (source / ".nfs0001").unlink()
        assert names(tmp_path / "usenet") == set()
    os.utime(source, ns=(0, 1_400_000_000_000_000_001))
    assert snapshot(source) == seen


# the disk


def test_too_little_room_is_told_before_a_byte_is_written(here: Path, tmp_path: Path) -> None:
    source = job(here)
    with tmpfs(tmp_path / "usenet", "2m") as other:
        fails(ActionFailed, source, other / "X", "3.0 MiB are needed", "2.0 MiB")
        assert names(other) == set()
    assert len(snapshot(source)) == 7


def test_a_disk_that_fills_up_half_way(here: Path, tmp_path: Path) -> None:
    source = job(here)
    seen = snapshot(source)
    with tmpfs(tmp_path / "usenet", "4m") as other:

        def fill(done: int, _total: int) -> None:
            if done and not (other / "ballast").exists():
                with contextlib.suppress(OSError), (other / "ballast").open("wb", 0) as file:
                    while True:
                        file.write(bytes(4096))

        fails(ActionFailed, source, other / "X", "the disk is full", "are free", on_progress=fill)
        assert names(other) == {"ballast"}
        assert snapshot(source) == seen
        (other / "ballast").unlink()
        move(source, other / "X")
        assert snapshot(other / "X") == seen


def test_bytes_that_the_disk_changed_are_found(here: Path, other: Path) -> None:
    source = job(here)
    seen = snapshot(source)

    def damage(done: int, total: int) -> None:
        for path in other.rglob("film.mkv") if done == total // 2 else ():
            with path.open("r+b") as file:
                file.seek(MIB)
                file.write(b"damaged")

    (source / "film.nfo").unlink()
    seen = snapshot(source)
    fails(ActionFailed, source, other / "X", "film.mkv", "health", on_progress=damage)
    assert (snapshot(source), names(other)) == (seen, set())


# the source moves on


@pytest.mark.parametrize("change", ["longer", "more", "less", "link", "folder"])
def test_a_source_that_changes_in_mid_move_stays(
    here: Path, other: Path, tmp_path: Path, change: str
) -> None:
    source = job(here)
    outside = job(tmp_path, "outside")
    seen = snapshot(outside)
    done = False

    def alter(_done: int, _total: int) -> None:
        nonlocal done
        if done:
            return
        done = True
        if change == "longer":
            with (source / "film.mkv").open("ab") as file:
                file.write(b"more")
        elif change == "more":
            write(source / "Sample" / "late.mkv")
        elif change == "less":
            (source / "film.nfo").unlink()
        elif change == "link":
            (source / "film.nfo").unlink()
            (source / "film.nfo").symlink_to(outside / "film.nfo")
        else:
            (source / "Subs").rename(source / "elsewhere")
            (source / "Subs").symlink_to(outside / "Subs")

    with pytest.raises((Stale, ActionFailed)):
        move(source, other / "X", on_progress=alter)
    assert names(other) == set()
    assert (source / "film.mkv").stat().st_size >= 3 * MIB
    assert snapshot(outside) == seen


def test_what_comes_after_it_was_placed_stays(here: Path, other: Path) -> None:
    source = job(here)

    def come(stage: Stage) -> None:
        if stage.kind == "placed":
            write(source / "Subs" / "late.srt", b"late")
            write(source / "film.nfo", b"written anew")

    moved = move(source, other / "X", journal=come)
    late, anew = source / "Subs" / "late.srt", source / "film.nfo"
    assert set(moved.left) == {str(late), str(anew)}
    assert f"{late} stays: came while the others were moved" in moved.reasons
    assert f"{anew} stays: changed since it was moved" in moved.reasons
    assert {path for path in source.rglob("*") if path.is_file()} == {late, anew, source / NOTE}
    fails(ActionFailed, source, other / "X", "was moved before", str(other / "X"))
    assert names(other) == {"X"}


def test_deleted_files_that_are_still_open_stay_behind(here: Path, there: Path) -> None:
    source = job(here)
    seen = snapshot(source)
    left = [write(source / ".nfs000012"), write(source / "Subs" / ".fuse_hidden0001")]
    moved = move(source, there / "X")
    assert set(moved.left) == set(map(str, left))
    assert f"{left[0]} stays: deleted already, but still open somewhere" in moved.reasons
    after = snapshot(there / "X")
    assert after.keys() == seen.keys()
    assert after[b"film.mkv"] == seen[b"film.mkv"]
    assert sorted(path for path in source.rglob("*") if path.is_file()) == sorted(left)
    fails(Stale, source, there / "X", "holds no file")


# ends in between


def test_stopped_it_goes_on_where_it_was(here: Path, other: Path) -> None:
    source = job(here)
    seen = snapshot(source)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return bool(list(other.glob(".mediapipe-*/film.nfo")))

    with pytest.raises(Stopped):
        move(source, other / "X", stop=stop)
    assert snapshot(source) == seen
    (partial,) = other.iterdir()
    number = (partial / "film.mkv").stat().st_ino
    assert move(source, other / "X").how == "copied"
    assert (other / "X" / "film.mkv").stat().st_ino == number
    assert snapshot(other / "X") == seen
    assert names(other) == {"X"}


@pytest.mark.parametrize("what", ["damaged", "foreign", "a file", "a link", "a link inside"])
def test_what_lies_under_the_hidden_name_is_not_believed(
    here: Path, other: Path, tmp_path: Path, what: str
) -> None:
    source, outside = job(here), job(tmp_path, "outside")
    seen, kept = snapshot(source), snapshot(outside)
    with pytest.raises(Stopped):
        move(source, other / "X", stop=lambda: bool(list(other.glob(".mediapipe-*/film.nfo"))))
    (partial,) = other.iterdir()
    if what == "damaged":
        found = (partial / "film.mkv").stat()
        (partial / "film.mkv").write_bytes(os.urandom(found.st_size))
        os.utime(partial / "film.mkv", ns=(found.st_atime_ns, found.st_mtime_ns))
    elif what == "foreign":
        write(partial / "foreign.mkv")
    else:
        subprocess.run(["rm", "-r", partial], check=True)
        if what == "a file":
            write(partial)
        elif what == "a link":
            partial.symlink_to(outside)
        else:
            partial.mkdir()
            (partial / "Subs").symlink_to(outside / "Subs")
    move(source, other / "X")
    assert (snapshot(other / "X"), snapshot(outside)) == (seen, kept)
    assert (names(here), names(other)) == (set(), {"X"})


def test_a_rename_that_nobody_took_note_of_is_known_by_its_stage(here: Path, there: Path) -> None:
    source = job(here)
    stages: list[Stage] = []
    move(source, there / "X", journal=stages.append)
    for last in stages[-2:]:
        moved = move(source, there / "X", last=last)
        assert (moved.path, moved.files, moved.how) == (there / "X", 3, "already-there")
    (there / "X").rename(there / "imported")
    job(there)
    fails(Stale, source, there / "X", "is gone", last=stages[-1])


def test_the_lock_is_held_for_the_name_alone(here: Path, there: Path) -> None:
    held = False
    seen: list[tuple[str, bool]] = []

    @contextlib.contextmanager
    def lock() -> Iterator[None]:
        nonlocal held
        held = True
        yield
        held = False

    source = job(here)
    move(
        source,
        there / "X",
        lock=lock,
        journal=lambda stage: seen.append((stage.kind, held)),
        on_progress=lambda _done, _total: seen.append(("progress", held)),
    )
    assert set(seen) <= {
        ("copying", False), ("progress", False), ("placing", True), ("placed", True),
    }  # fmt: skip
    assert not held


@pytest.mark.parametrize("verify", [True, False])
def test_progress_goes_up_to_the_whole(here: Path, other: Path, verify: bool) -> None:
    told: list[tuple[int, int]] = []
    source = job(here)
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    move(source, other / "X", verify=verify, on_progress=lambda *pair: told.append(pair))
    assert told == sorted(told)
    assert told[-1] == (size, size)
    assert len(told) > 3
