"""Does what postprocess has planned: each move in the journal before it begins and when it ends."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from mediapipe import moving, remains
from mediapipe.disk.marker import sync_folder
from mediapipe.errors import ActionFailed, ConfigError, Stale, Unavailable
from mediapipe.facts import fact, replace
from mediapipe.plan import human, shown
from mediapipe.ports import Progress
from mediapipe.records import Move
from mediapipe.runner import attempt, lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mediapipe.errors import MediapipeError
    from mediapipe.moving import Stage
    from mediapipe.remains import Left
    from mediapipe.runner import Context, Result
    from mediapipe.usenet import Importer

_PATIENCE = 60.0
"""Seconds that an app may take for its import, as far as this run waits for it."""


@fact
class MoveJob:
    """A finished job that will be moved."""

    path: str
    """What is moved."""
    reason: str
    id: str
    name: str
    target: str
    """Where it goes; beside that where something stands there."""
    folder: str
    """Where SABnzbd says that it lies: the same, but for a failed rename."""
    identity: tuple[int, int, int]
    size: int
    app: str
    """The [arr.NAME] that is told."""
    copies: tuple[str, ...] = ()
    kind: str = "move"

    def details(self) -> dict[str, object]:
        """Give name, nzo_id, destination, and size in bytes."""
        return {"name": self.name, "nzo_id": self.id, "to": self.target, "size": self.size}

    def __str__(self) -> str:
        return f"move {self.path} ({human(self.size)}) to {self.target}: {self.reason}"


@fact
class NotifyArr:
    """An app that will be told where a job lies now."""

    path: str
    reason: str
    id: str
    app: str
    kind: str = "notify-arr"

    def details(self) -> dict[str, object]:
        """Give the app, and nzo_id."""
        return {"app": self.app, "nzo_id": self.id}

    def __str__(self) -> str:
        return f"tell {self.app} of {self.path}: {self.reason}"


@fact
class RemoveDirectory:
    """A folder of an unfinished job that will be deleted."""

    path: str
    reason: str
    left: Left
    kind: str = "remove-directory"

    def details(self) -> dict[str, object]:
        """Give size in bytes and inode."""
        return {"size": self.left.size, "inode": self.left.identity[1]}

    def __str__(self) -> str:
        return f"delete {self.path}: {self.reason}"


Step: TypeAlias = MoveJob | NotifyArr | RemoveDirectory


def deliver(
    actions: Sequence[Step], importer: Callable[[str], Importer], context: Context
) -> Iterator[Result]:
    """Move, tell and sweep, in this order; an app that does not answer holds up no move.

    Raises Unavailable and ConfigError, when all else is done, for an app that is to be told later.
    """
    yield from _moved([one for one in actions if isinstance(one, MoveJob)], context)
    for action in actions:
        if isinstance(action, RemoveDirectory):
            yield attempt(action, lambda one: _remove(one, context))
    trouble: dict[str, MediapipeError] = {}
    app = functools.cache(importer)
    for action in actions:
        if not isinstance(action, NotifyArr) or action.app in trouble:
            continue
        move = context.history.moves().get(action.id)
        if move is None or move.state != "moved":
            continue  # its move failed: that is told
        try:
            step = functools.partial(_tell, move=move, importer=app, context=context)
            yield attempt(action, step)
        except (Unavailable, ConfigError) as error:
            trouble[action.app] = error
    for one in trouble.values():
        raise one


def _moved(actions: Sequence[MoveJob], context: Context) -> Iterator[Result]:
    try:
        for action in actions:
            yield attempt(action, lambda one: _move(one, actions, context))
    finally:
        context.watcher.end()


def _move(action: MoveJob, actions: Sequence[MoveJob], context: Context) -> dict[str, object]:
    """Move one job; whatever ends this, the journal tells the next run how far it was."""
    history = context.history
    before = history.moves().get(action.id)
    last = moving.Stage(*before.stage) if before and before.stage else None  # type: ignore[arg-type]
    if last is None:
        _demand_same(action)
    inode = before.inode if before and last else action.identity[1]
    row = Move(
        action.id, action.name, action.path, inode, action.target, "begun",
        before.stage if before else None, action.app, time.time(),
    )  # fmt: skip
    history.record_move(row)

    def journal(stage: Stage) -> None:
        nonlocal row
        row = replace(row, stage=(stage.kind, stage.path, stage.inode), moment=time.time())
        history.record_move(row)

    begun = time.monotonic()

    def show(done: int, total: int) -> None:
        place = actions.index(action)
        rate = done / max(time.monotonic() - begun, 1e-3)
        left = (total - done) / rate if rate else None
        context.watcher.show(Progress(place, len(actions), done, total, rate, left, (), "Moving"))

    others = os.path.lexists(action.path) and not _is_at(action.path, inode)
    if last and others and _is_at(last.path, last.inode):
        sync_folder(os.path.dirname(last.path))
        return _end(row, last.path, context)  # what lies at its old path is another job's by now
    try:
        moved = moving.move(
            Path(action.path),
            Path(action.target),
            journal=journal,
            last=last,
            on_progress=show,
            lock=lambda: lock(context.state),
        )
    except (ActionFailed, OSError) as error:
        history.record_move(replace(row, error=str(error)))
        raise
    except Stale:
        if not os.path.lexists(action.path):  # the app has it, or its user: no run finds it again
            history.record_move(replace(row, state="ended", stage=None, error="it was taken away"))
        raise
    details = _end(row, os.fspath(moved.path), context)
    if action.folder != action.path:
        with contextlib.suppress(OSError):  # with anything in it, it stays, and is told of
            os.rmdir(action.folder)
    return {
        **details,
        "count": moved.files,
        "size": moved.size,
        "how": moved.how,
        "left": [*moved.left, *(one for one in action.copies if os.path.lexists(one))],
        "reasons": list(moved.reasons),
    }


def _end(row: Move, lies: str, context: Context) -> dict[str, object]:
    """Write down that a job has arrived."""
    state: Literal["moved", "ended"] = "moved" if row.app else "ended"
    context.history.record_move(
        replace(row, target=lies, state=state, stage=None, moment=time.time(), error="")
    )
    return {"to": lies}


def _is_at(path: str, inode: int) -> bool:
    try:
        return os.lstat(path).st_ino == inode
    except OSError:
        return False


def _demand_same(action: MoveJob) -> None:
    """Raise Stale where something else lies there than what was planned for."""
    try:
        seen = os.lstat(action.path)
    except OSError as error:
        raise Stale(f"{shown(action.path)}: {error.strerror}") from None
    if (seen.st_dev, seen.st_ino, seen.st_mtime_ns) != action.identity:
        raise Stale(f"{shown(action.path)} has changed since the plan was made")


def _tell(
    action: NotifyArr, *, move: Move, importer: Callable[[str], Importer], context: Context
) -> dict[str, object]:
    """Tell an app, once: it finds what it missed by itself, where its path mapping is set."""
    history = context.history
    end = time.monotonic() + _PATIENCE
    try:
        result = importer(action.app).take(
            move.target, action.id, go_on=lambda: time.monotonic() < end
        )
    except ActionFailed as failure:
        history.record_move(replace(move, state="ended", moment=time.time(), error=str(failure)))
        raise
    refused = result not in ("successful", "under way")
    error = f"{action.app} imported nothing from {shown(move.target)} ({result})" if refused else ""
    history.record_move(replace(move, state="ended", moment=time.time(), error=error))
    if refused:
        raise ActionFailed(
            f"{error}: see its Activity, Queue; is [arr.{action.app}.path_map] right?"
        )
    return {"result": result, "lies": move.target}


def _remove(action: RemoveDirectory, context: Context) -> None:
    remains.remove(action.left, context.now)
