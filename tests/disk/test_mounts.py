"""The mount table: escapes, the mount that a path lies on, and file systems without inodes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mediapipe.disk.mounts import (
    Mount,
    _parse,
    is_mount_point,
    mount_of,
    mounts,
    why_inodes_untrusted,
    why_shown_twice,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            b"36 35 98:0 /mnt1 /mnt/storage rw,noatime master:1 - ext4 /dev/root rw,errors=panic",
            Mount("/mnt/storage", "ext4"),
        ),
        (b"1 0 8:1 / / rw - btrfs /dev/sda1 rw", Mount("/", "btrfs")),
        (
            b"36 35 98:0 / /my\\040media\\011x\\012y\\134z rw shared:1 master:2 - xfs /dev/a rw",
            Mount("/my media\tx\ny\\z", "xfs"),
        ),
        (
            b"36 35 0:52 / /media/b2 rw,nosuid - fuse.rclone b2:bucket rw,user_id=0",
            Mount("/media/b2", "fuse.rclone"),
        ),
        (b"36 35 0:52 / /caf\xe9 rw - nfs4 host:/a\\040-\\040b rw", Mount("/caf\udce9", "nfs4")),
        (b"36 35 0:52 / /caf\xc3\xa9 rw - tmpfs none rw", Mount("/café", "tmpfs")),
    ],
)
def test_a_line_of_the_table(line: bytes, expected: Mount) -> None:
    assert _parse(line) == expected


def test_the_table_of_this_machine_has_a_root() -> None:
    table = mounts()
    assert is_mount_point("/", table)
    assert mount_of("/proc/self", table) == Mount("/proc", "proc")
    assert not is_mount_point("/proc/self/mountinfo", table)


TABLE = (
    Mount("/", "ext4"),
    Mount("/media", "xfs"),
    Mount("/media/b2", "fuse.rclone"),
    Mount("/data", "ext4"),
    Mount("/data", "nfs4"),
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "ext4"),
        ("/home/me", "ext4"),
        ("/media", "xfs"),
        ("/media/arr/tv", "xfs"),
        ("/media/b2", "fuse.rclone"),
        ("/media/b2/tv", "fuse.rclone"),
        ("/media/b2x", "xfs"),
        ("/mediax", "ext4"),
        ("/data/x", "nfs4"),
    ],
)
def test_a_path_lies_on_the_mount_on_top(path: str, expected: str) -> None:
    assert mount_of(path, TABLE).file_system == expected


def test_a_mount_point_is_exact() -> None:
    assert is_mount_point("/media/b2", TABLE)
    assert not is_mount_point("/media/b2/tv", TABLE)
    assert not is_mount_point("/medi", TABLE)


@pytest.mark.parametrize(
    "kind",
    ["fuse", "fuse.rclone", "fuse.mergerfs", "fuseblk", "cifs", "smb3", "9p", "virtiofs", "vfat",
     "exfat", "ntfs3", "mergerfs"],
)  # fmt: skip
def test_inodes_are_not_trusted_where_they_are_made_up(kind: str) -> None:
    table = (Mount("/", "ext4"), Mount("/media", kind))
    assert why_inodes_untrusted("/media/tv", table) == (
        f"{kind} makes up inode numbers, so hard links cannot be told there"
    )
    assert why_inodes_untrusted("/home", table) == ""


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "nfs4", "overlay", "f2fs"]
)
def test_inodes_are_trusted_elsewhere(kind: str) -> None:
    assert why_inodes_untrusted("/media/tv", (Mount("/", kind),)) == ""


# one folder by two names


def bound(*mounts_: tuple[str, str, str]) -> tuple[Mount, ...]:
    """Make a table from (mount point, device, folder on it); what is not said lies on 8:1."""
    return tuple(Mount(point, "ext4", device=device, root=root) for point, device, root in
                 (("/", "8:1", "/"), *mounts_))  # fmt: skip


@pytest.mark.parametrize(
    ("table", "twice"),
    [
        (bound(), ""),
        (bound(("/media/tv", "8:2", "/tv")), ""),
        (bound(("/media/tv", "8:2", "/"), ("/media/movies", "8:2", "/")), "both"),
        (bound(("/media/tv", "8:1", "/data/completed")), "both"),
        (bound(("/media/tv", "8:1", "/data")), "both"),
        (bound(("/media/tv", "8:1", "/data/completed/tv")), "both"),
        (bound(("/media/tv", "8:1", "/data/completed2")), ""),
        (bound(("/media/tv/Show", "8:1", "/data/completed/Show")), "/media/tv/Show"),
        (bound(("/media/tv/Copy", "8:1", "/media/tv/Show")), "/media/tv/Copy"),
        # what systemd does with ReadWritePaths=: each is mounted where it lies already
        (bound(("/media", "8:1", "/media"), ("/data/completed/a", "8:1", "/data/completed/a")), ""),
        (bound(("/media/tv/b2", "0:52", "/")), ""),
        (bound(("/media/tv", "8:1", "/data/completed"), ("/media/tv", "8:3", "/")), ""),
    ],
)  # fmt: skip
def test_a_folder_that_is_seen_by_two_names(table: tuple[Mount, ...], twice: str) -> None:
    found = why_shown_twice(["/media/tv", "/media/movies", "/data/completed"], table)
    assert bool(found) == bool(twice)
    assert twice in ("", "both") or twice in found


def test_a_real_bind_mount_is_seen(tmp_path: Path) -> None:
    """In a mount table of its own, so that nothing is left of it."""
    folders = [tmp_path / name for name in ("completed", "tv", "movies")]
    for folder in folders:
        (folder / "Show").mkdir(parents=True)
    told = (
        "import json, sys; from mediapipe.disk.mounts import mounts, why_shown_twice;"
        "print(json.dumps(why_shown_twice(sys.argv[1:], mounts())))"
    )
    ask = [sys.executable, "-c", told, *map(str, folders)]
    bind = f'mount --bind "{folders[0]}/Show" "{folders[1]}/Show" && exec "$@"'
    apart = ["unshare", "--mount", "--map-root-user", "sh", "-c", bind, "sh", *ask]
    for command, expected in ((ask, ""), (apart, f"{folders[1]}/Show and {folders[0]}")):
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        assert set(json.loads(ended.stdout).split(" and ")) == set(expected.split(" and "))
