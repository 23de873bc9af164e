"""Second file systems, and jobs to be moved onto them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from mediapipe.adapters.rclone_program import find_binary
from mediapipe.testing.loopback import spawn, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_MAKE = {
    "ext4": ["mkfs.ext4", "-q"],
    "xfs": ["mkfs.xfs", "-q"],
    "btrfs": ["mkfs.btrfs", "-q"],
}


def mount(words: Sequence[str | Path], point: Path) -> None:
    """Mount something, where this is allowed; else nothing is proven, and that is told."""
    point.mkdir(parents=True, exist_ok=True)
    command = ["mount", *words, point]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if ended.returncode != 0:
        pytest.skip(f"NOT TESTED: mounting takes root: {ended.stderr.strip()}")


@contextlib.contextmanager
def mounted(point: Path, *words: str | Path) -> Iterator[Path]:
    mount(words, point)
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", point], check=True)


def tmpfs(point: Path, size: str = "64m") -> contextlib.AbstractContextManager[Path]:
    return mounted(point, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")


@contextlib.contextmanager
def destination(folder: Path, kind: str) -> Iterator[Path]:
    """A folder on the "same" file system or on an "other" one."""
    point = folder / "usenet"
    if kind == "same":
        point.mkdir()
        yield point
    else:
        with tmpfs(point):
            yield point


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@contextlib.contextmanager
def image(point: Path, kind: str, megabytes: int) -> Iterator[Path]:
    """A file system in a file."""
    if os.getuid() != 0:
        pytest.skip("NOT TESTED: mounting takes root")
    file = point.with_name(f"{point.name}.img")
    file.touch()
    os.truncate(file, megabytes << 20)
    subprocess.run([*_MAKE[kind], file], check=True, capture_output=True)
    with mounted(point, "-o", "loop", file):
        yield point
    file.unlink()


def write(path: Path, content: bytes = b"content", *, mtime: int = 1_600_000_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(mtime * 10**9 + 123456789, mtime * 10**9 + 987654321))
    return path


@contextlib.contextmanager
def fuse(folder: Path) -> Iterator[Path]:
    """A file system without hard links and RENAME_NOREPLACE, whose server is a program."""
    point, behind = folder / "usenet", folder / "behind"
    point.mkdir()
    behind.mkdir()
    words = [
        find_binary("rclone"), "mount", f":local:{behind}", str(point), "--config", os.devnull,
        "--vfs-cache-mode", "full", "--cache-dir", str(folder / "cache"),
    ]  # fmt: skip
    server = spawn(words, folder, "make programs")
    try:
        wait_until(lambda: os.path.ismount(point), seconds=30, what="rclone to mount")
        yield point
    finally:
        subprocess.run(["fusermount3", "-u", "-z", point], check=False, capture_output=True)
        server.terminate()
        server.wait(30)


Seen = dict[bytes, tuple[object, ...]]


def snapshot(top: Path) -> Seen:
    """Give all that a move has to keep: names, modes, times of files and folders, and bytes."""
    found: Seen = {}
    for path in (top, *sorted(top.rglob("*"))):
        name = os.fsencode(os.path.relpath(path, top))
        info = path.lstat()
        facts = (stat.filemode(info.st_mode), info.st_mtime_ns)
        if stat.S_ISREG(info.st_mode):
            found[name] = (*facts, info.st_size, hashlib.sha1(path.read_bytes()).hexdigest())
        else:
            found[name] = facts
    return found
