"""The folder index comes back as it was written or not at all; a folder is told by its ctime."""

from __future__ import annotations

import os
import random
import zlib
from typing import TYPE_CHECKING

import pytest

from mediapipe.disk import folder_index
from mediapipe.disk.folder_index import AGAIN
from mediapipe.disk.mounts import Mount, why_times_untrusted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mediapipe.disk.folder_index import Stamp

SECOND = 10**9
FACTS: dict[str, object] = {
    "program": ["1.0", "/etc/config.toml", [1, 2, 3, 4]],
    "full": 1763616873.25,
    "whole": True,
    "roots": {"/media/tv": "0123456789abcdef", "/media/none": None},
    "mounts": ["/media"],
    "refused": [["/media/tv/Show", [["/media/tv/Show/new\nline", "its name"]]]],
}
TREES: dict[str, dict[str, Stamp]] = {
    "/media/tv": {
        "/media/tv": (1763616873000000001, -5),
        "/media/tv/Show": (1763616873000000002, 0),
        "/media/tv/Show/Season 1": AGAIN,
    },
    "/media/empty": {},
    "/media/odd": {
        "/media/odd": (1, 1 << 70),
        "/media/odd/new\nline": (2, 2),
        "/media/odd/new\nline/\udcff\udcfe stray": (3, 3),
        "/media/odd/\x01 . \\ \U0001f39e 'x'": (4, 4),
        "/media/odd/. ": (5, 5),
        "/media/odd/" + "a" * 255: (6, 6),
    },
}


def written(folder: Path) -> bytes:
    """Write the index above; gives its bytes."""
    path = folder / folder_index.NAME
    folder_index.write(str(path), FACTS, TREES)
    assert os.listdir(folder) == [folder_index.NAME], "no temporary file stays"
    return path.read_bytes()


def index_of(folder: Path, *trees: Path, facts: dict[str, object] | None = None) -> str:
    """Write an index of real trees as they are now; gives its path."""
    path = str(folder / "index")
    now = {
        str(top): {parent: (folder_index.mark(os.stat(parent)), 0) for parent, _, _ in os.walk(top)}
        for top in trees
    }
    folder_index.write(path, facts or FACTS, now)
    return path


def is_unchanged(path: str) -> bool:
    index = folder_index.read(path)
    assert index is not None
    return index.is_unchanged()


# What is written comes back


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    written(tmp_path)
    index = folder_index.read(str(tmp_path / folder_index.NAME))
    assert index is not None
    assert {name: index.facts[name] for name in FACTS} == FACTS
    assert index.stamps() == TREES
    order = [(top, list(tree)) for top, tree in index.stamps().items()]
    assert order == [(top, list(tree)) for top, tree in TREES.items()], "parents stay first"


@pytest.mark.parametrize("trees", [{}, {"/media/tv": {}}, {"/a": {}, "/b": {"/b": (1, 1)}}])
def test_an_index_of_little_comes_back_too(
    tmp_path: Path, trees: dict[str, dict[str, Stamp]]
) -> None:
    path = str(tmp_path / "index")
    folder_index.write(path, FACTS, trees)
    index = folder_index.read(path)
    assert index is not None
    assert index.stamps() == trees


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    assert folder_index.read(str(tmp_path / "none")) is None
    assert folder_index.read(str(tmp_path)) is None


# What is not whole is not believed


def test_an_index_that_is_cut_anywhere_is_none(tmp_path: Path) -> None:
    whole = written(tmp_path)
    path = tmp_path / "cut"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert folder_index.read(str(path)) is None, length


def test_an_index_with_any_byte_changed_is_none(tmp_path: Path) -> None:
    whole = written(tmp_path)
    path, chance = tmp_path / "flipped", random.Random(0)
    for place, byte in enumerate(whole):
        for other in {byte ^ 1, byte ^ 0x20, chance.randrange(256)} - {byte}:
            path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
            assert folder_index.read(str(path)) is None, (place, byte, other)


def test_an_index_with_a_hole_of_zeros_or_an_end_of_another_is_none(tmp_path: Path) -> None:
    """What a power cut leaves of a file that was not synced."""
    whole = written(tmp_path)
    path = tmp_path / "torn"
    for place in range(0, len(whole), 7):
        for torn in (whole[:place] + bytes(len(whole) - place), whole[:place] + whole):
            if torn != whole:
                path.write_bytes(torn)
                assert folder_index.read(str(path)) is None, place


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\n\n\n",
        b"{}",
        b"[]\n\0\0\0\0",
        b'{"format": 2}\n',
        b'{"format": 2, "crc": 0, "trees": []}\n',
        b"\xff\xfe\x00",
        b"[" * 100_000 + b"\n",
        b"SQLite format 3\0",
    ],
)
def test_what_is_no_index_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "index"
    path.write_bytes(content)
    assert folder_index.read(str(path)) is None


@pytest.mark.parametrize("mark", [-1, -(1 << 63), 1 << 64])
def test_a_mark_that_cannot_be_stored_is_none(tmp_path: Path, mark: int) -> None:
    """A clock before 1970, or an inode number of more than 64 bits: listed each time."""
    path = str(tmp_path / "index")
    folder_index.write(path, FACTS, {"/a": {"/a": (mark, 7), "/a/b": ((1 << 64) - 1, 8)}})
    index = folder_index.read(path)
    assert index is not None
    assert index.stamps() == {"/a": {"/a": (0, 7), "/a/b": ((1 << 64) - 1, 8)}}


def test_an_index_of_another_format_is_none(tmp_path: Path) -> None:
    """Sealed as it ought to be, it still tells other things than this program knows."""
    first, _, rest = written(tmp_path).partition(b"\n")
    number, order = int(first.split()[0]), first.split()[1]
    path = tmp_path / "index"
    for other in (number, number - 1, number + 1):
        path.write_bytes(b"%d %s %d\n" % (other, order, zlib.crc32(rest)) + rest)
        assert (folder_index.read(str(path)) is None) == (other != number)


# Whether a folder is what it was


CHANGES: dict[str, Callable[[Path], object]] = {
    "new file": lambda tv: (tv / "Show" / "Season 1" / "new.mkv").write_bytes(b""),
    "deleted file": lambda tv: (tv / "Show" / "old.mkv").unlink(),
    "renamed file": lambda tv: (tv / "Show" / "old.mkv").rename(tv / "Show" / "new.mkv"),
    "renamed folder": lambda tv: (tv / "Show" / "Season 1").rename(tv / "Show" / "Season 2"),
    "deleted folder": lambda tv: (tv / "Show" / "Season 1").rmdir(),
    "new folder": lambda tv: (tv / "Show" / "new").mkdir(),
    "new symlink": lambda tv: (tv / "Show" / "new.mkv").symlink_to("old.mkv"),
    "new hard link": lambda tv: os.link(tv / "Show" / "old.mkv", tv / "Show" / "new.mkv"),
    "root away": lambda tv: tv.rename(tv.with_name("away")),
    "a file for a root": lambda tv: (tv.rename(tv.with_name("away")), tv.write_bytes(b"")),
}


def test_a_tree_that_rests_is_unchanged_and_the_working_directory_stays(tmp_path: Path) -> None:
    for name in ("tv/Show/Season 1", "odd/new\nline/\udcff", "odd/. "):
        os.makedirs(os.fsencode(tmp_path / name))
    path = index_of(tmp_path, tmp_path / "tv", tmp_path / "odd")
    before = os.getcwd()
    assert is_unchanged(path)
    assert os.getcwd() == before


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_a_folder_is_seen_also_with_its_mtime_put_back(
    tmp_path: Path, change: str
) -> None:
    tv = tmp_path / "tv"
    (tv / "Show" / "Season 1").mkdir(parents=True)
    (tv / "Show" / "old.mkv").write_bytes(b"")
    path = index_of(tmp_path, tv)
    before = os.stat(tv / "Show")
    CHANGES[change](tv)
    if (tv / "Show").exists():
        os.utime(tv / "Show", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not is_unchanged(path)


def test_two_folders_that_changed_places_are_told_apart_however_alike_their_times(
    tmp_path: Path,
) -> None:
    """One tick of the file system's clock, and all that was made within it, has one ctime."""
    first, second = tmp_path / "a", tmp_path / "b"
    for one in (first, second):
        one.mkdir()
    found = [os.stat(one) for one in (first, second)]
    assert folder_index.mark(found[0]) != folder_index.mark(found[1])
    alike = [os.stat_result([*one], {"st_ctime_ns": 7}) for one in found]
    assert folder_index.mark(alike[0]) != folder_index.mark(alike[1])


def test_a_folder_that_shall_be_listed_again_is_never_unchanged(tmp_path: Path) -> None:
    path = str(tmp_path / "index")
    folder_index.write(path, FACTS, {str(tmp_path): {str(tmp_path): AGAIN}})
    assert not is_unchanged(path)


def test_an_index_of_nothing_is_unchanged_and_one_of_a_file_never(tmp_path: Path) -> None:
    path = str(tmp_path / "index")
    folder_index.write(path, FACTS, {})
    assert is_unchanged(path)
    file = str(tmp_path / "file")
    with open(file, "wb"):
        pass
    stamp = (folder_index.mark(os.stat(file)), 0)
    folder_index.write(path, FACTS, {file: {file: stamp}})
    assert not is_unchanged(path)


# The mark that proves something


@pytest.mark.parametrize(
    ("age", "proves"),
    [(2 * SECOND, True), (3600 * SECOND, True), (2 * SECOND - 1, False), (0, False), (-1, False)],
)
def test_a_folder_that_changed_less_than_two_seconds_ago_proves_nothing(
    tmp_path: Path, age: int, proves: bool
) -> None:
    found = os.stat(tmp_path)
    now_ns = found.st_ctime_ns + age
    expected = folder_index.mark(found) if proves else 0
    assert folder_index.settled_mark(str(tmp_path), found.st_dev, now_ns) == expected


def test_a_folder_of_another_device_proves_nothing(tmp_path: Path) -> None:
    found = os.stat(tmp_path)
    later = found.st_ctime_ns + 3600 * SECOND
    assert folder_index.settled_mark(str(tmp_path), found.st_dev + 1, later) == 0
    assert os.stat("/proc").st_dev != found.st_dev
    assert folder_index.settled_mark("/proc", found.st_dev, later) == 0


def test_what_is_not_there_has_no_mark(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        folder_index.settled_mark(str(tmp_path / "none"), 0, 0)


# The sum over a folder's files


def content_of(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return folder_index.content(entries)


def test_the_content_of_a_folder_is_told_by_each_of_its_files_and_by_no_order(
    tmp_path: Path,
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    seen = {content_of(tmp_path)}
    path = tmp_path / "a.mkv"
    for content, mtime_ns in ((b"a", 1), (b"a", 2), (b"ab", 2), (b"ab", 3)):
        path.write_bytes(content)
        os.utime(path, ns=(mtime_ns, mtime_ns))
        seen.add(content_of(tmp_path))
    (tmp_path / "b").write_bytes(b"ab")
    os.utime(tmp_path / "b", ns=(3, 3))
    (tmp_path / "b").rename(path)
    seen.add(content_of(tmp_path))
    assert len(seen) == 6
    path.rename(tmp_path / "c.mkv")
    assert content_of(tmp_path) in seen, "a name alone is the ctime's matter"


def test_a_file_written_in_place_is_told_with_its_mtime_put_back(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"one")
    before, found = folder_index.file_stamp(str(path)), os.stat(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert folder_index.file_stamp(str(path)) != before


# Where no ctime may be trusted


@pytest.mark.parametrize(
    ("file_system", "trusted"),
    [
        ("ext4", True),
        ("xfs", True),
        ("btrfs", True),
        ("zfs", True),
        ("tmpfs", True),
        ("overlay", True),
        ("nfs", False),
        ("nfs4", False),
        ("cifs", False),
        ("smb3", False),
        ("fuse", False),
        ("fuseblk", False),
        ("fuse.mergerfs", False),
        ("fuse.rclone", False),
        ("fuse.sshfs", False),
        ("virtiofs", False),
        ("9p", False),
        ("vfat", False),
        ("exfat", False),
        ("ntfs3", False),
    ],
)
def test_the_times_of_a_root_are_judged_by_the_mount_that_it_lies_on(
    file_system: str, trusted: bool
) -> None:
    table = (
        Mount("/", "ext4"),
        Mount("/media", "autofs"),
        Mount("/media", file_system),
        Mount("/media-too", "nfs4"),
        Mount("/media/tv/kids", "nfs4"),
    )
    for path in ("/media", "/media/tv", "/media/tv/kid"):
        reason = why_times_untrusted(path, table)
        assert (not reason) == trusted
        assert trusted or file_system in reason
    assert why_times_untrusted("/media/tv/kids/Show", table)
    assert not why_times_untrusted("/srv/tv", table)
