"""Moves one finished job on this host, so that it is whole in one of two places at any moment."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mediapipe.disk.calls import rename_new, sync
from mediapipe.disk.mounts import mount_of, mounts
from mediapipe.disk.tree import Place, Tree, inode_of, is_stuck, scan
from mediapipe.errors import ActionFailed, ConfigError, Stale
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

How = Literal["renamed", "reflinked", "copied", "already-there"]
_MOST_NAMES = 1000
"""Names that are tried for one job: `X`, `X.1` … `X.999`."""
_NAME_MAX = 255


@dataclass(frozen=True)
class Stage:
    """How far a move is; written down by the caller before the step that it names is done."""

    kind: Literal["copying", "placing", "placed"]
    """copying: a hidden copy grows at `path`. placing: `path` is the name that it will get.
    placed: all is there, durably, and the source may go."""
    path: str
    inode: int
    """Number of what is placed: it is known by it even where its source is gone; 0 for copying."""


@dataclass(frozen=True)
class Moved:
    """What a move came to."""

    path: Path
    """Where the job lies now."""
    files: int
    size: int
    """Bytes, holes included."""
    how: How
    left: tuple[str, ...] = ()
    """Full paths of what stayed at the source."""
    reasons: tuple[str, ...] = ()
    """Why it was done in this way, and why something stayed: a sentence each."""


def move(
    source: Path,
    destination: Path,
    *,
    verify: bool = True,
    journal: Callable[[Stage], None] | None = None,
    last: Stage | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    lock: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> Moved:
    """Move a folder or a single file to `destination`, or beside it to `.1`, `.2` and so on.

    Nothing is overwritten or merged; the identical job there counts as done. `verify` compares
    what was copied, byte by byte, with what the disk gives back. `last` is the newest stage that
    `journal` was told of this source in an earlier call. `on_progress` gets bytes done and bytes
    in all. `stop` is asked between two blocks: True ends it with Stopped, and the next call goes
    on. `lock` is held only while the job gets its name.

    Raises Stale where the source is gone or changes, ActionFailed for what hinders this job alone,
    ConfigError where the unit file does, Unavailable where the folder of either is not there.
    """
    with Place(_absolute(source)) as old, Place(_absolute(destination)) as new:
        return _Move(old, new, journal or (lambda _stage: None), lock).run(last)


def _absolute(path: Path) -> str:
    given = os.fspath(path)
    if not os.path.isabs(given) or os.path.normpath(given) != given or given == "/":
        raise ActionFailed(f"{shown(given)} is not a plain absolute path")
    return given


@dataclass
class _Move:
    old: Place
    new: Place
    journal: Callable[[Stage], None]
    lock: Callable[[], AbstractContextManager[None]]

    def run(self, last: Stage | None) -> Moved:
        found = self.old.look()
        if found is None:
            return self._without_source(last)
        if self.old.is_same(self.new):
            raise ActionFailed(f"{shown(self.old.path)} is its own destination")
        tree = scan(self.old)
        if not tree.files:
            raise Stale(f"{shown(self.old.path)} holds no file")
        with self.lock():
            return self._rename(tree)

    def _without_source(self, last: Stage | None) -> Moved:
        """Know a job by its inode number that was placed right before the end of an earlier run."""
        gone = Stale(f"{shown(self.old.path)} is gone")
        if last is None or last.kind == "copying":
            raise gone
        with Place(last.path) as placed:
            found = placed.look()
            if found is None or found.st_ino != last.inode:
                raise gone
            sync(placed.folder)
            tree = scan(placed)
        return Moved(Path(last.path), len(tree.files), tree.size, "already-there")

    def _rename(self, tree: Tree) -> Moved:
        """Rename the whole as it is; after a refusal once more, by a fresh look."""
        for name in _names(self.new.name, is_folder=tree.is_folder):
            if self.new.look(name) is not None:
                continue
            stage = Stage("placing", self.new.other(name), tree.inode[1])
            self.journal(stage)
            try:
                self._rename_to(name, tree)
            except FileExistsError:
                continue
            sync(self.new.folder)
            sync(self.old.folder)
            self.journal(Stage("placed", stage.path, stage.inode))
            return Moved(Path(stage.path), len(tree.files), tree.size, "renamed")
        raise ActionFailed(f"{shown(self.new.path)} and all names beside it are taken")

    def _rename_to(self, name: str, tree: Tree) -> None:
        try:
            rename_new(self.old.folder, self.old.name, self.new.folder, name)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise self._two_mounts() from None
            if not is_stuck(error):
                raise
            self.old.look_again()
            self.new.look_again()
            found = self.old.look()
            if found is None or inode_of(found) != tree.inode:
                raise Stale(f"{shown(self.old.path)} changed") from None
            rename_new(self.old.folder, self.old.name, self.new.folder, name)

    def _two_mounts(self) -> ConfigError:
        table = mounts()
        points = [
            mount_of(os.path.realpath(one.parent), table).point for one in (self.old, self.new)
        ]
        return ConfigError(
            f"{shown(self.old.path)} cannot be renamed to {shown(self.new.parent)} (EXDEV), though "
            f"both are of one file system: they are seen through the mounts {shown(points[0])} "
            f"and {shown(points[1])}",
            hint="most likely the unit file has two ReadWritePaths= for them: give it the one "
            "folder above both",
        )


def _names(name: str, *, is_folder: bool) -> Iterator[str]:
    """Give the names that SABnzbd would take one after the other: `X.1`; `film.1.mkv` for files."""
    yield name
    stem, ending = (name, "") if is_folder else os.path.splitext(name)
    for number in range(1, _MOST_NAMES):
        other = f"{stem}.{number}{ending}"
        if len(os.fsencode(other)) > _NAME_MAX:
            raise ActionFailed(f"{shown(name)} is taken, and too long for a name beside it")
        yield other
