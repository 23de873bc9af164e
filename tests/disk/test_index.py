"""Identity, the walk, and the hard links of a set of inodes, on real files."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mediapipe.disk.index import File, is_gone, is_there, look, same, walk
from mediapipe.disk.links import find_links

if TYPE_CHECKING:
    from collections.abc import Iterator


def seen(path: Path) -> File:
    file = look(str(path))
    assert file is not None
    return file


def file_at(folder: Path, name: str = "a.mkv", content: bytes = b"data") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def shared() -> Iterator[Path]:
    """Give a folder that other users can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="mediapipe-test-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Close a folder; root, whom no mode holds back, is somebody else meanwhile."""
    root = os.geteuid() == 0
    folder.chmod(0)
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


# look and same


def test_a_file_is_told_by_what_lstat_says(tmp_path: Path) -> None:
    path = file_at(tmp_path)
    os.link(path, tmp_path / "b.mkv")
    os.utime(path, ns=(5, 1_000_000_007))
    about = path.stat()
    file = seen(path)
    assert file == File(
        str(path), about.st_dev, about.st_ino, 2, 4, 1_000_000_007, about.st_ctime_ns
    )
    assert file.inode == (about.st_dev, about.st_ino)
    assert file.identity == (about.st_ino, 4, 1_000_000_007)


def test_a_file_changed_when_its_link_or_its_content_did(tmp_path: Path) -> None:
    path = file_at(tmp_path)
    os.utime(path, ns=(0, 0))
    assert seen(path).changed_ns == path.stat().st_ctime_ns
    future = path.stat().st_ctime_ns + 10**12
    os.utime(path, ns=(future, future))
    assert seen(path).changed_ns == future


@pytest.mark.parametrize("name", ["nothing", "file/below", "folder/nothing"])
def test_nothing_is_only_where_there_surely_is_nothing(tmp_path: Path, name: str) -> None:
    file_at(tmp_path, "file")
    (tmp_path / "folder").mkdir()
    assert look(str(tmp_path / name)) is None


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link", "fifo", "socket", "device"])
def test_what_is_no_regular_file_is_an_error_and_not_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd"
    with making(kind, path, file_at(tmp_path)) as odd, pytest.raises(OSError, match="no regular"):
        look(str(odd))


@contextmanager
def making(kind: str, path: Path, target: Path) -> Iterator[Path]:
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(target)
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/null")
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
            yield path
    else:
        yield path


def test_a_path_that_cannot_be_looked_at_is_an_error_and_not_nothing(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="symbolic links"):
        look(str(loop / "a.mkv"))
    with pytest.raises(OSError, match="too long"):
        look(str(tmp_path / ("x" * 256)))


def test_a_folder_without_permission_is_an_error_and_not_nothing(shared: Path) -> None:
    path = file_at(shared / "closed")
    with closed(path.parent), pytest.raises(PermissionError):
        look(str(path))


def test_a_file_that_lost_a_link_is_the_same(tmp_path: Path) -> None:
    path = file_at(tmp_path)
    os.link(path, tmp_path / "b.mkv")
    planned = seen(path)
    (tmp_path / "b.mkv").unlink()
    assert seen(path) != planned
    assert same(look(str(path)), planned)


def test_a_file_that_was_renamed_is_the_same(tmp_path: Path) -> None:
    path = file_at(tmp_path)
    planned = seen(path)
    assert same(seen(path.rename(tmp_path / "b.mkv")), planned)


@pytest.mark.parametrize("change", ["size", "mtime", "replaced", "gone"])
def test_a_file_that_changed_is_not_the_same(tmp_path: Path, change: str) -> None:
    path = file_at(tmp_path)
    os.utime(path, ns=(7, 7))
    planned = seen(path)
    if change == "size":
        path.write_bytes(b"longer than before")
        os.utime(path, ns=(7, 7))
    elif change == "mtime":
        os.utime(path, ns=(7, 8))
    elif change == "replaced":
        other = file_at(tmp_path, "other", b"DATA")
        os.utime(other, ns=(7, 7))
        other.rename(path)
    else:
        path.unlink()
    assert not same(look(str(path)), planned)


def test_a_file_on_another_device_is_not_the_same(tmp_path: Path) -> None:
    file = seen(file_at(tmp_path))
    moved = replace(file, device=file.device + 1)
    assert not same(moved, file)


@pytest.mark.parametrize("what", ["nothing", "no folder", "below a file"])
def test_what_is_not_there_is_gone(tmp_path: Path, what: str) -> None:
    file_at(tmp_path, "file")
    path = {"nothing": "a", "no folder": "b/a", "below a file": "file/a"}[what]
    assert not is_there(f"{tmp_path}/{path}")
    assert is_gone(f"{tmp_path}/{path}")


@pytest.mark.parametrize("what", ["a file", "a folder", "a link that leads nowhere"])
def test_what_is_there_is_not_gone(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a"
    if what == "a file":
        path.touch()
    elif what == "a folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    assert is_there(str(path))
    assert not is_gone(str(path))


@pytest.mark.parametrize("why", ["closed", "a circle of links", "too long", "impossible"])
def test_what_cannot_be_looked_at_is_not_gone(shared: Path, why: str) -> None:
    folder = shared / "folder"
    folder.mkdir()
    (shared / "circle").symlink_to("circle")
    name = {
        "closed": "folder/a", "a circle of links": "circle/a", "too long": "x" * 256,
        "impossible": "\0",
    }[why]  # fmt: skip
    with closed(folder):
        assert not is_gone(f"{shared}/{name}")
        with pytest.raises(OSError):  # noqa: PT011 - each has its own words
            is_there(f"{shared}/{name}")


# walk


def test_a_walk_tells_files_folders_and_what_is_neither(tmp_path: Path) -> None:
    file_at(tmp_path, "a.mkv")
    file_at(tmp_path, "Show/Season 1/b.mkv")
    (tmp_path / "Show" / "link").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "Show" / "fifo")
    (tmp_path / "empty").mkdir()
    unreadable: list[str] = []
    found = {
        os.path.relpath(one.path, tmp_path): (
            sorted(entry.name for entry in one.files),
            sorted(map(os.path.basename, one.folders)),
            sorted(map(os.path.basename, one.odd)),
        )
        for one in walk(str(tmp_path), unreadable)
    }
    assert found == {
        ".": (["a.mkv"], ["Show", "empty"], []),
        "Show": ([], ["Season 1"], ["fifo", "link"]),
        "Show/Season 1": (["b.mkv"], [], []),
        "empty": ([], [], []),
    }
    assert unreadable == []


def test_a_walk_goes_parents_first_and_leaves_out_what_it_is_told_to(tmp_path: Path) -> None:
    for name in ("a/b/c/x", "a/skip/y", "d/z"):
        file_at(tmp_path, name)
    order = []
    for folder in walk(str(tmp_path), []):
        order.append(os.path.relpath(folder.path, tmp_path))
        folder.folders[:] = [one for one in folder.folders if not one.endswith("/skip")]
    assert sorted(order) == [".", "a", "a/b", "a/b/c", "d"]
    assert order.index("a") < order.index("a/b") < order.index("a/b/c")


def test_a_walk_tells_what_it_could_not_read_and_goes_on(shared: Path) -> None:
    file_at(shared / "closed")
    file_at(shared / "open")
    unreadable: list[str] = []
    with closed(shared / "closed"):
        folders = [one.path for one in walk(str(shared), unreadable)]
    assert sorted(folders) == [str(shared), f"{shared}/open"]
    assert unreadable == [f"{shared}/closed: Permission denied"]


def test_a_walk_below_nothing_tells_so(tmp_path: Path) -> None:
    unreadable: list[str] = []
    assert list(walk(str(tmp_path / "gone"), unreadable)) == []
    assert unreadable == [f"{tmp_path}/gone: No such file or directory"]


def test_a_walk_survives_names_of_any_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n\x1b[31m.mkv")
    file_at(tmp_path, name)
    (folder,) = walk(str(tmp_path), [])
    assert [entry.name for entry in folder.files] == [name]


# find_links


def test_every_link_is_found_in_any_root(tmp_path: Path) -> None:
    downloads, library = tmp_path / "downloads", tmp_path / "library"
    first = file_at(downloads, "Show/a.mkv")
    second = file_at(downloads, "Show/b.mkv", b"other")
    single = file_at(downloads, "Show/c.mkv", b"alone")
    for target in ("Season 1/a.mkv", "copies/deep/a again.mkv"):
        (library / target).parent.mkdir(parents=True)
        os.link(first, library / target)
    os.link(second, library / "b.mkv")
    file_at(library, "stranger.mkv")
    found = find_links(
        [str(library), str(downloads)], [seen(one) for one in (first, second, single)]
    )
    assert {inode: sorted(names) for inode, names in found.names.items()} == {
        seen(first).inode: sorted(
            [str(first), f"{library}/Season 1/a.mkv", f"{library}/copies/deep/a again.mkv"]
        ),
        seen(second).inode: sorted([str(second), f"{library}/b.mkv"]),
    }
    assert found.unreadable == ()


def test_a_link_outside_the_roots_is_missing_from_the_names(tmp_path: Path) -> None:
    path = file_at(tmp_path / "library")
    os.link(path, tmp_path / "elsewhere.mkv")
    file = seen(path)
    found = find_links([str(tmp_path / "library")], [file])
    assert (file.links, found.names) == (2, {file.inode: (str(path),)})


class Scans:
    """Counts the folders that are listed, by the interpreter's own audit events."""

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.on = False

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.on and event == "os.scandir":
            self.folders.append(str(arguments[0]))


@pytest.fixture(scope="session")
def hooked() -> Scans:
    import sys

    scans = Scans()
    sys.addaudithook(scans)  # there is no way to take it out again: one for all
    return scans


@pytest.fixture
def scans(hooked: Scans) -> Iterator[Scans]:
    hooked.folders.clear()
    hooked.on = True
    yield hooked
    hooked.on = False


def test_no_folder_is_read_where_every_file_has_one_link(tmp_path: Path, scans: Scans) -> None:
    path = file_at(tmp_path / "library")
    assert find_links([str(tmp_path)], [seen(path)]).names == {}
    assert scans.folders == []


def test_the_walk_ends_when_all_links_are_found(tmp_path: Path, scans: Scans) -> None:
    path = file_at(tmp_path / "first")
    os.link(path, tmp_path / "first" / "b.mkv")
    for number in range(5):
        file_at(tmp_path / "second" / str(number))
    roots = [str(tmp_path / "second"), str(tmp_path / "first")]  # the last root is read first
    found = find_links(roots, [seen(path)])
    assert len(found.names[seen(path).inode]) == 2
    assert scans.folders == [str(tmp_path / "first")]


def test_a_folder_that_cannot_be_read_is_told(shared: Path) -> None:
    path = file_at(shared, "b.mkv")
    os.link(path, shared / "c.mkv")
    (shared / "closed").mkdir()
    os.link(path, shared / "closed" / "d.mkv")
    wanted = seen(path)
    with closed(shared / "closed"):
        found = find_links([str(shared), "/gone"], [wanted])
    assert sorted(found.names[wanted.inode]) == [f"{shared}/b.mkv", f"{shared}/c.mkv"]
    assert sorted(found.unreadable) == [
        "/gone: No such file or directory",
        f"{shared}/closed: Permission denied",
    ]


def test_symlinks_to_folders_are_not_followed(tmp_path: Path) -> None:
    path = file_at(tmp_path / "library")
    os.link(path, tmp_path / "library" / "b.mkv")
    (tmp_path / "library" / "again").symlink_to(tmp_path / "library")
    (tmp_path / "library" / "link.mkv").symlink_to(path)
    found = find_links([str(tmp_path / "library")], [seen(path)])
    assert sorted(found.names[seen(path).inode]) == sorted(
        [str(path), str(tmp_path / "library" / "b.mkv")]
    )


def test_equal_inode_numbers_on_two_devices_are_two_files(tmp_path: Path) -> None:
    """Two fresh tmpfs hand out the same numbers; one stat-free pass must not mix them up."""
    first, second = tmp_path / "first", tmp_path / "second"
    with tmpfs(first), tmpfs(second):
        paths = [file_at(folder / "library") for folder in (first, second)]
        for path in paths:
            os.link(path, path.with_name("b.mkv"))
        files = [seen(path) for path in paths]
        if files[0].number != files[1].number:
            pytest.skip("NOT TESTED: this kernel gives two tmpfs different inode numbers")
        assert files[0].inode != files[1].inode
        found = find_links([str(first), str(second)], files[:1])
        assert {inode: sorted(names) for inode, names in found.names.items()} == {
            files[0].inode: [f"{first}/library/a.mkv", f"{first}/library/b.mkv"],
        }
        both = find_links([str(first), str(second)], files)
        assert {inode: len(names) for inode, names in both.names.items()} == {
            files[0].inode: 2,
            files[1].inode: 2,
        }


@contextmanager
def tmpfs(point: Path) -> Iterator[None]:
    import ctypes
    import ctypes.util

    libc = ctypes.CDLL(None, use_errno=True)
    point.mkdir()
    if libc.mount(b"none", os.fsencode(point), b"tmpfs", 0, b"") != 0:
        pytest.skip(
            "NOT TESTED: no tmpfs may be mounted here (it takes root), so no two files with equal "
            "inode numbers are to be had"
        )
    try:
        yield
    finally:
        assert libc.umount2(os.fsencode(point), 2) == 0
