"""Moves one finished job on this host, so that it is whole in one of two places at any moment."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mediapipe.disk.calls import sync
from mediapipe.disk.filling import Filling, Work
from mediapipe.disk.removal import NOTE, Removal, read_note, remove_all
from mediapipe.disk.tree import Place, below, is_stuck, scan
from mediapipe.errors import ActionFailed, Stale
from mediapipe.facts import fact
from mediapipe.placing import Placing
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from mediapipe.disk.tree import Tree

How = Literal["renamed", "reflinked", "copied", "already-there"]


@fact
class Stage:
    """How far a move is; told before the step that it names is done."""

    kind: Literal["copying", "placing", "placed"]
    """copying: a hidden copy grows at `path`. placing: `path` is the name that it will get.
    placed: all is there, durably, and the source may go."""
    path: str
    inode: int
    """Number of what is placed: it is known by it even where its source is gone; 0 for copying."""


@fact
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
    given, wanted = _absolute(source), _absolute(destination)
    try:
        with Place(given) as old, Place(wanted) as new:
            one = _Move(old, new, verify, journal or (lambda _stage: None), on_progress, stop, lock)
            try:
                return one.run(last)
            except OSError as error:
                if error.errno == errno.EXDEV:
                    raise one.placing.two_mounts() from None
                raise
    except OSError as error:
        where = f" ({shown(str(error.filename))})" if error.filename else ""
        raise ActionFailed(f"{shown(given)}: {error.strerror or error}{where}") from error


def hidden_copy(source: str, destination: str) -> str:
    """Give where a copy grows until it gets its name: the same place in each attempt."""
    both = os.fsencode(f"{source}\0{destination}")
    digest = hashlib.sha1(both, usedforsecurity=False).hexdigest()
    return f"{os.path.dirname(destination)}/.mediapipe-{digest[:16]}.partial"


def _absolute(path: Path) -> str:
    given = os.fspath(path)
    with contextlib.suppress(UnicodeEncodeError):
        is_name = b"\0" not in os.fsencode(given)
        if is_name and given != "/" and given == os.path.normpath(f"/{given[1:]}"):
            return given
    raise ActionFailed(f"{shown(given)} is no absolute path without detours")


@dataclass
class _Move:
    old: Place
    new: Place
    verify: bool
    journal: Callable[[Stage], None]
    on_progress: Callable[[int, int], None] | None
    stop: Callable[[], bool]
    lock: Callable[[], AbstractContextManager[None]]
    reasons: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.work = Work(2 if self.verify else 1, self.on_progress, self.stop)
        self.placing = Placing(
            self.old, self.new, lambda *stage: self.journal(Stage(*stage)), self.lock,
            self.work.check,
        )  # fmt: skip

    def run(self, last: Stage | None) -> Moved:
        if self.old.look() is None:
            return self._without_source(last)
        tree = self._scan()
        self.work.size = tree.size
        if NOTE in tree.files:
            return self._finish(tree)
        if not tree.files:
            if last is None or not self._is_placed(last):
                raise Stale(f"{shown(self.old.path)} holds no file")
            name = os.path.basename(last.path)
            return self._drop(tree, scan(self.new, name), name, "already-there")
        if os.fstat(self.old.folder).st_dev != os.fstat(self.new.folder).st_dev:
            return self._rebuild(tree, link=False)
        try:
            if not tree.left:
                return self._rename(tree)
            self.reasons.append("file by file, since something in it is deleted but still open")
        except OSError as error:
            if not is_stuck(error):
                raise
            self.reasons.append(f"file by file, since renaming the whole gave: {error.strerror}")
        return self._rebuild(tree, link=True)

    def _scan(self) -> Tree:
        try:
            return scan(self.old)
        except OSError as error:
            if not is_stuck(error):
                raise
            self.old.look_again()
            return scan(self.old)

    def _is_placed(self, last: Stage) -> bool:
        """Whether the job stands where an earlier call was about to put it."""
        folder, _, name = last.path.rpartition("/")
        if last.kind == "copying" or folder != self.new.parent:
            return False
        found = self.new.look(name)
        return found is not None and found.st_ino == last.inode

    def _without_source(self, last: Stage | None) -> Moved:
        if last is None or not self._is_placed(last):
            raise Stale(f"{shown(self.old.path)} is gone")
        sync(self.new.folder)
        sync(self.old.folder)
        tree = scan(self.new, os.path.basename(last.path))
        return Moved(Path(last.path), len(tree.files), tree.size, "already-there")

    def _finish(self, tree: Tree) -> Moved:
        """Go on with the removal of a source that an earlier call has moved."""
        target = read_note(self.old)
        folder, _, name = target.rpartition("/")
        if folder == self.new.parent and name and self.new.look(name) is not None:
            there = scan(self.new, name)
            rest = {path: file for path, file in tree.files.items() if path != NOTE}
            # a note that shows up on both sides is one and the same folder, seen twice
            if (
                NOTE not in there.files
                and rest.keys() <= there.files.keys()
                and self.placing.is_equal(rest, name, there)
            ):
                return self._drop(replace(tree, files=rest), there, name, "already-there")
        raise ActionFailed(
            f"{shown(self.old.path)} was moved before, to {shown(target)}, and what is left of it "
            f"is not what lies there now: compare them, then delete {NOTE} in it, or all of it"
        )

    def _rename(self, tree: Tree) -> Moved:
        while True:
            name, there = self.placing.free_name(tree)
            if there is not None:
                return self._drop(tree, there, name, "already-there")
            with contextlib.suppress(FileExistsError):
                self.placing.put(self.old, tree.inode, name)
                return self._moved(tree, name, "renamed", {})

    def _rebuild(self, tree: Tree, *, link: bool) -> Moved:
        """Make the whole anew under a hidden name, then place it, and only then drop the source."""
        with Place(hidden_copy(self.old.path, self.new.path)) as partial:
            try:
                name, there, how = self._build(tree, partial, link=link)
            except (OSError, ActionFailed, Stale):
                with contextlib.suppress(OSError):
                    remove_all(partial.folder, partial.name)
                raise
            remove_all(partial.folder, partial.name)
        return self._drop(tree, there, name, how)

    def _build(self, tree: Tree, partial: Place, *, link: bool) -> tuple[str, Tree, How]:
        name, there = self.placing.free_name(tree)
        filling = Filling(self.old, tree, partial, self.verify, link=link, work=self.work)
        if there is None:
            self._demand_removable(tree)
            self.journal(Stage("copying", partial.path, 0))
            filling.run()
        while there is None:
            made = scan(partial)
            with contextlib.suppress(FileExistsError):
                self.placing.put(partial, made.inode, name)
                return name, made, filling.how
            name, there = self.placing.free_name(tree)
        return name, there, "already-there"

    def _demand_removable(self, tree: Tree) -> None:
        """Refuse before the first byte what could be copied, but not be removed afterwards."""
        inner = (below(self.old.name, path) for path in tree.folders)
        for path in (".", *inner):
            if not os.access(path, os.W_OK | os.X_OK, dir_fd=self.old.folder, effective_ids=True):
                where = os.path.normpath(f"{self.old.parent}/{path}")
                raise ActionFailed(
                    f"{shown(where)} may not be written to, so that nothing can be removed from "
                    "it: mind its owner, its mode and the unit's ReadWritePaths="
                )

    def _drop(self, tree: Tree, there: Tree, name: str, how: How) -> Moved:
        """Remove the source of what stands durably under a name beside the destination."""
        if how == "already-there":
            self.placing.tell("placed", self.new.other(name), there.inode[1])
        removal = Removal(self.old, tree)
        removal.run(self.new.other(name))
        return self._moved(there, name, how, removal.left)

    def _moved(self, tree: Tree, name: str, how: How, left: Mapping[str, str]) -> Moved:
        kept = {below(self.old.path, path): reason for path, reason in sorted(left.items())}
        told = [f"{shown(path)} stays: {reason}" for path, reason in kept.items()]
        return Moved(
            Path(self.new.other(name)), len(tree.files), tree.size, how, tuple(kept),
            (*self.reasons, *told),
        )  # fmt: skip
