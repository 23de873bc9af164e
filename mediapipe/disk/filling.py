"""Fills a hidden folder beside the destination with all that a job holds, durably and compared."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mediapipe.disk.calls import NO_LINKS, sync, sync_disk
from mediapipe.disk.copying import copy, dress, is_equal, reading, segments
from mediapipe.disk.index import file_from, same
from mediapipe.disk.mounts import is_disk, mounts
from mediapipe.disk.removal import remove_all
from mediapipe.disk.tree import below, held, is_stuck, opened, scan
from mediapipe.errors import ActionFailed, Stale, Stopped
from mediapipe.plan import human, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediapipe.disk.index import File
    from mediapipe.disk.tree import Place, Tree

_FULL = (errno.ENOSPC, errno.EDQUOT)
_COARSE = 2_000_000_000
"""Nanoseconds by which FAT rounds the time of a file."""
_SECTOR = 512
"""Bytes of one st_blocks."""


@dataclass
class Work:
    """How far a move is, and whether it shall go on."""

    passes: int
    """How often each byte is handled."""
    on_progress: Callable[[int, int], None] | None
    stop: Callable[[], bool]
    size: int = 0
    """Bytes of the job."""
    _done: int = 0

    def check(self, _count: int = 0) -> None:
        """Raise Stopped where it shall not go on."""
        if self.stop():
            raise Stopped

    def did(self, count: int) -> None:
        """Take note of bytes that were handled once."""
        self.check()
        self._done += count
        if self.on_progress is not None:
            self.on_progress(min(self._done // self.passes, self.size), self.size)


@dataclass
class Filling:
    """A copy of `tree`, which stands at `old`, under the hidden name `new`."""

    old: Place
    tree: Tree
    new: Place
    verify: bool
    link: bool
    """Whether both lie on one file system, where a file needs but another name."""
    work: Work
    ways: set[str] = field(default_factory=set)
    """How files came: linked, reflinked, copied."""
    _begun: dict[str, File] = field(default_factory=dict)
    """What an earlier call left."""
    _fresh: set[str] = field(default_factory=set)
    """What this one has copied."""
    _unproven: set[str] = field(default_factory=set)
    """What has to be compared yet."""
    _clones: bool = True
    _has_room: bool = False

    @property
    def how(self) -> Literal["copied", "reflinked", "renamed"]:
        """Give the most that was done for a file."""
        if "copied" in self.ways:
            return "copied"
        return "reflinked" if "reflinked" in self.ways else "renamed"

    def run(self) -> None:
        """Fill it, going on with what an earlier call left; a second try has a fresh look.

        Raises ActionFailed for a full or failing disk, Stale where the source changes, Stopped,
        OSError.
        """
        try:
            self._fill()
        except OSError as error:
            if error.errno in _FULL:
                raise ActionFailed(f"the disk is full: {self._why_no_room(always=True)}") from None
            if not is_stuck(error):
                raise
            self.old.look_again()
            self.new.look_again()
            self._fill()

    def _fill(self) -> None:
        self._take_over()
        self._unproven.clear()
        for path in self.tree.folders:
            with held(self.new.folder, self.new.name, path) as (folder, name):
                try:
                    os.mkdir(name, 0o700, dir_fd=folder)
                except FileExistsError:
                    with opened(folder, name) as inner, contextlib.suppress(PermissionError):
                        os.fchmod(inner, 0o700)
        for path, file in self.tree.files.items():
            self._bring(path, file)
        for path in reversed(self.tree.folders):
            with (
                opened(self.old.folder, below(self.old.name, path)) as source,
                opened(self.new.folder, below(self.new.name, path)) as target,
            ):
                dress(target, os.fstat(source))
        self._sync()
        unproven = [path for path in self.tree.files if path in self._unproven]
        if [path for path in unproven if not self._prove(path)]:
            self._fill()
        else:
            self._demand_whole()

    def _sync(self) -> None:
        """Make all of it durable: at once, which thousands of small files need."""
        if is_disk(os.path.realpath(self.new.parent), mounts()):
            sync_disk(self.new.folder)
            return
        for path in self.tree.files:
            with held(self.new.folder, self.new.name, path) as (folder, name):
                descriptor = os.open(
                    name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder
                )
                try:
                    sync(descriptor)
                finally:
                    os.close(descriptor)
        for path in reversed(self.tree.folders):
            with opened(self.new.folder, below(self.new.name, path)) as folder:
                sync(folder)
        sync(self.new.folder)

    def _take_over(self) -> None:
        """See what is there already; with anything in it that is no part of the job, all goes."""
        self._begun = {}
        if self.new.look() is None:
            return
        with contextlib.suppress(ActionFailed):
            found = scan(self.new)
            if (
                found.is_folder == self.tree.is_folder
                and found.files.keys() <= self.tree.files.keys()
                and found.folders.keys() <= self.tree.folders.keys()
                and not found.left
            ):
                self._begun = found.files
                return
        remove_all(self.new.folder, self.new.name)

    def _bring(self, path: str, file: File) -> None:
        with (
            held(self.old.folder, self.old.name, path) as (above, name),
            held(self.new.folder, self.new.name, path) as (folder, new_name),
        ):
            begun = self._begun.get(path)
            if begun is not None and self.link and begun.inode == file.inode:
                self._came("linked", file)
            elif begun is not None and begun.identity[1:] == file.identity[1:]:
                self.ways.add("copied")
                self._unproven.add(path)
                self.work.did(file.size)
            else:
                if begun is not None:
                    os.unlink(new_name, dir_fd=folder)
                    del self._begun[path]
                if not (self.link and self._linked(above, name, folder, new_name, file)):
                    self._copy(above, name, folder, new_name, file)

    def _prove(self, path: str) -> bool:
        """Compare a file with what the disk gives back; a worthless one of an earlier call goes."""
        file = self.tree.files[path]
        with (
            held(self.old.folder, self.old.name, path) as (above, name),
            held(self.new.folder, self.new.name, path) as (folder, new_name),
        ):
            with reading(above, name, file) as source:
                if is_equal(source, folder, new_name, self.work.did, durable=True):
                    return True
            if path in self._fresh:
                raise ActionFailed(
                    f"of {shown(self._path(file))} the disk gives back other bytes than were "
                    "written: look at its health (dmesg, smartctl)"
                )
            os.unlink(new_name, dir_fd=folder)
            return False

    def _came(self, way: str, file: File) -> None:
        self.ways.add(way)
        self.work.did(self.work.passes * file.size)

    def _linked(self, above: int, name: str, folder: int, new_name: str, file: File) -> bool:
        try:
            os.link(name, new_name, src_dir_fd=above, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            self.link = False
            return False
        found = os.stat(new_name, dir_fd=folder, follow_symlinks=False)
        if not same(file_from(file.path, found), file):
            raise Stale(f"{shown(self._path(file))} changed while it was moved")
        self._came("linked", file)
        return True

    def _copy(self, above: int, name: str, folder: int, new_name: str, file: File) -> None:
        work = self.work
        with reading(above, name, file) as source:
            if copy(source, folder, new_name, may_clone=self._clones, before=self._demand_room,
                    did=work.did):  # fmt: skip
                self._came("reflinked", file)
                return
            self._clones = False
            self.ways.add("copied")
            self._fresh.add(file.path)
            if self.verify:
                self._unproven.add(file.path)

    def _demand_room(self) -> None:
        """Ask once, before the first byte is written."""
        if not self._has_room and (reason := self._why_no_room()):
            raise ActionFailed(reason)
        self._has_room = True

    def _why_no_room(self, *, always: bool = False) -> str:
        disk = os.fstatvfs(self.new.folder)
        free = disk.f_bavail * disk.f_frsize
        needed = sum(
            self._data(path, file)
            for path, file in self.tree.files.items()
            if path not in self._begun
        )
        if needed <= free and not always:
            return ""
        return (
            f"{human(needed)} are needed below {shown(self.new.parent)}, {human(free)} are free: "
            "make room there"
        )

    def _data(self, path: str, file: File) -> int:
        """Give the bytes of a file without its holes."""
        with held(self.old.folder, self.old.name, path) as (above, name):
            blocks = os.stat(name, dir_fd=above, follow_symlinks=False).st_blocks
            if blocks * _SECTOR >= file.size:
                return file.size
            with reading(above, name, file) as source:
                return sum(end - start for start, end in segments(source, file.size))

    def _demand_whole(self) -> None:
        """Look at both sides again: nothing changed here, nothing lacks or differs there."""
        if scan(self.old).identity != self.tree.identity:
            raise Stale(f"{shown(self.old.path)} changed while it was moved")
        made = scan(self.new)
        if made.shape != self.tree.shape or any(
            abs(made.files[path].mtime_ns - one.mtime_ns) > _COARSE
            for path, one in self.tree.files.items()
        ):
            raise Stale(f"somebody changes {shown(self.new.path)}")

    def _path(self, file: File) -> str:
        return below(self.old.path, file.path)
