"""What is mounted, read from the kernel's table without touching a mount that may hang."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from mediapipe.facts import fact, field

if TYPE_CHECKING:
    from collections.abc import Iterable

_TABLE = "/proc/self/mountinfo"
_ESCAPE = re.compile(rb"\\([0-7]{3})")

_NO_INODES = (
    "fuse",
    "cifs",
    "smb3",
    "smbfs",
    "mergerfs",
    "9p",
    "virtiofs",
    "vfat",
    "exfat",
    "ntfs",
)
"""Beginnings of the names of file systems that make up inode numbers or link counts."""


@fact
class Mount:
    """A line of the mount table."""

    point: str
    file_system: str
    device: str = field(default="", compare=False)
    root: str = field(default="/", compare=False)
    """The folder of that file system that is seen at `point`."""
    read_only: Literal["", "here", "disk"] = ""
    """Whether nothing can be written: seen from here alone (a sandbox, a container), or at all."""


def mounts() -> tuple[Mount, ...]:
    """Read the mount table of this process; the last line of a mount point is the one on top."""
    with open(_TABLE, "rb") as file:
        return tuple(_parse(line) for line in file.read().splitlines() if line)


def _parse(line: bytes) -> Mount:
    # 36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw (proc_pid_mountinfo(5))
    left, _, right = line.partition(b" - ")
    _id, _parent, device, root, point, options, *_tags = left.split(b" ")
    file_system, _source, disk = right.split(b" ")[:3]
    read_only: Literal["", "here", "disk"] = ""
    if b"ro" in disk.split(b","):
        read_only = "disk"
    elif b"ro" in options.split(b","):
        read_only = "here"
    return Mount(_text(point), file_system.decode(), device.decode(), _text(root), read_only)


def _text(escaped: bytes) -> str:
    raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), escaped)
    return raw.decode(errors="surrogateescape")


def mount_of(path: str, table: tuple[Mount, ...]) -> Mount:
    """Give the mount that a path lies on."""
    best = Mount("/", "unknown")
    for mount in table:
        covers = mount.point in ("/", path) or path.startswith(mount.point + "/")
        if covers and len(mount.point) >= len(best.point):
            best = mount
    return best


def is_mount_point(path: str, table: tuple[Mount, ...]) -> bool:
    """Whether something is mounted right at this path."""
    return any(mount.point == path for mount in table)


def mounted_at(path: str, table: tuple[Mount, ...]) -> Mount | None:
    """Give what is mounted right at this path, on top of what was there before; or None."""
    return next((mount for mount in reversed(table) if mount.point == path), None)


def why_shown_twice(roots: Iterable[str], table: tuple[Mount, ...]) -> str:
    """Tell which folder is seen below roots by two names, or give an empty string.

    A bind mount does that: one name of a file then looks like two, and a link that is elsewhere is
    not missed. `roots` are free of links.
    """
    seen: list[tuple[str, str, str]] = []
    on_top = {mount.point: mount for mount in table}
    for root in roots:
        seen.append((root, *_place(root, mount_of(root, table))))
        for mount in on_top.values():
            if mount.point.startswith(f"{root}/"):
                above = mount_of(mount.point[: mount.point.rfind("/")] or "/", table)
                place = (mount.device, mount.root.rstrip("/"))
                if place != _place(mount.point, above):  # else it is seen where it lies
                    seen.append((mount.point, *place))
    for number, (path, device, folder) in enumerate(seen):
        for other, another, place_there in seen[:number]:
            inside = f"{folder}/".startswith(f"{place_there}/")
            if device == another and (inside or f"{place_there}/".startswith(f"{folder}/")):
                return f"{other} and {path}"
    return ""


def _place(path: str, mount: Mount) -> tuple[str, str]:
    """Give device and folder on it that are seen at a path."""
    return mount.device, mount.root.rstrip("/") + path[len(mount.point.rstrip("/")) :]


def why_inodes_untrusted(path: str, table: tuple[Mount, ...]) -> str:
    """Tell why inode numbers and link counts at a path prove nothing, or give an empty string."""
    file_system = mount_of(path, table).file_system
    if file_system.startswith(_NO_INODES):
        return f"{file_system} makes up inode numbers, so hard links cannot be told there"
    return ""


def why_times_untrusted(path: str, table: tuple[Mount, ...]) -> str:
    """Tell why a folder's ctime does not tell what changed in it, or give an empty string.

    The other side of a network, and the branches below a merged tree, change without it.
    """
    file_system = mount_of(path, table).file_system
    if file_system.startswith((*_NO_INODES, "nfs")):
        return f"{file_system} does not keep the times of folders"
    return ""


def is_disk(path: str, table: tuple[Mount, ...]) -> bool:
    """Whether one sync of all that lies at a path reaches the disk: no server stands before it."""
    return not mount_of(path, table).file_system.startswith((*_NO_INODES, "nfs"))
