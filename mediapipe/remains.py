"""What failures leave behind on SABnzbd's share: debris, unfinished jobs that nobody finishes."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
from typing import TYPE_CHECKING

from mediapipe import regular, shapes
from mediapipe.errors import ActionFailed, Stale
from mediapipe.facts import fact, replace
from mediapipe.plan import Kept, duration, human, shown
from mediapipe.usenet import COMPLETED, FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from mediapipe.records import Move
    from mediapipe.usenet import Job, Queued

DAY = 86400.0
OLD = 7 * DAY
"""Seconds for which nothing in an unfinished job may have changed before it counts as left."""
MANY = 10
"""Debris that every share has now and then."""
_ERRORS = 5
_HIDDEN = re.compile(r"\.mediapipe-[0-9a-f]{16}\.partial")
_STATE, _LARGEST = "SABnzbd_nzo_data", 64 << 20
"""SABnzbd 5 keeps a job in this file, with its id in plain bytes; of which so many are read."""


@fact
class Debris:
    """Files that a share keeps under another name because something has them open."""

    count: int
    oldest: float
    """Epoch seconds; 0 where there is none."""


@fact
class Left:
    """An unfinished job's folder, or a hidden copy; sizes in bytes, times in epoch seconds."""

    path: str
    size: int
    changed: float
    identity: tuple[int, int]
    """Device and inode."""
    hidden: bool = False
    """Whether it is the hidden copy of a move that was cut short, a folder or a file."""


def debris(folders: Iterable[str]) -> Debris:
    """Count the debris below folders; what cannot be read is not counted."""
    found = [moment for folder in folders for moment in _debris_below(folder)]
    return Debris(len(found), min(found, default=0.0))


def _debris_below(folder: str) -> Iterator[float]:
    # no os.walk(): before Python 3.12 it recurses, and a job may hold folders of any depth
    pending = [folder]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.name.startswith(shapes.DEBRIS):
                        yield entry.stat(follow_symlinks=False).st_mtime


def left_in(
    folder: str, queue: Sequence[Queued], history: Sequence[Job], now: float
) -> tuple[Left, ...]:
    """Give the unfinished jobs that neither the queue nor the history knows, old ones alone.

    A failed job that SABnzbd could try again is known. None is given while a job of the queue has
    no folder that is surely its own: after a rename in the queue it has another name. Raises
    OSError.
    """
    going = [job for job in history if not job.ended or job.retry]
    names = [one.name for one in queue] + [job.name for job in going]
    known = {os.path.basename(job.folder) for job in going}
    folders = [entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    found = []
    for path in sorted(folders):
        name = os.path.basename(path)
        if name.startswith(".") or name in {*known, shapes.ADMIN} or shapes.works_on(name, names):
            continue
        one = look(path)
        if now - one.changed > OLD:
            found.append(one)
    if not found:
        return ()
    owners = {path: _ids_in(path, [one.id for one in queue]) for path in folders}
    placed = {id_ for ids in owners.values() for id_ in ids}
    free = [os.path.basename(path) for path, ids in owners.items() if not ids]
    if any(one.id not in placed and not shapes.works_on(one.name, free) for one in queue):
        return ()
    return tuple(one for one in found if not owners[one.path])


def look(path: str) -> Left:
    """Look at what is left, a folder with all below it or a single file. Raises OSError."""
    seen = os.lstat(path)
    if stat.S_ISDIR(seen.st_mode):
        tree = shapes.read(path)
        size, changed = sum(tree.files.values()), tree.changed
    else:
        size, changed = seen.st_size, max(seen.st_ctime, seen.st_mtime)
    return Left(path, size, changed, (seen.st_dev, seen.st_ino))


def hidden_copies(places: Iterable[str], resumed: Container[str], now: float) -> tuple[Left, ...]:
    """Give the hidden copies right in these folders, old ones alone; each is given once.

    `resumed` are the names of those that a move may go on with. What cannot be looked at is not
    given.
    """
    found: dict[tuple[int, int], Left] = {}
    for place in places:
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(place)):
                if not _HIDDEN.fullmatch(name) or name in resumed:
                    continue
                path = os.path.join(place, name)
                one = look(path)
                if now - one.changed > OLD and not os.path.islink(path):
                    found.setdefault(one.identity, replace(one, hidden=True))
    return tuple(found.values())


def _ids_in(path: str, ids: Iterable[str]) -> list[str]:
    """Give which of these jobs has its state in a folder: filed under the id, or holding it."""
    place = os.path.join(path, shapes.ADMIN)
    content = b""
    with (
        contextlib.suppress(OSError),
        open(os.path.join(place, _STATE), "rb", opener=regular.itself) as file,
    ):
        content = file.read(_LARGEST)
    return [
        one
        for one in ids
        if one.encode(errors="replace") in content or os.path.lexists(f"{place}/{one}")
    ]


def remove(left: Left, now: float) -> None:
    """Remove what is left, looked at again, and leave what cannot be deleted.

    Raises Stale, and ActionFailed that tells what is left.
    """
    try:
        found = look(left.path)
    except OSError as error:
        raise Stale(f"it cannot be looked at again: {error.strerror}") from None
    if found.identity != left.identity or now - found.changed <= OLD:
        raise Stale("it has changed since the plan was made")
    parent = os.open(os.path.dirname(left.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    failures: list[str] = []
    try:
        name = os.path.basename(left.path)
        if left.hidden and not os.path.isdir(left.path):
            _try(failures, name, functools.partial(os.unlink, name, dir_fd=parent))
        else:
            _remove_below(parent, name, left.identity[0], failures)
    except RecursionError:
        failures.append("too many folders within each other")
    finally:
        os.close(parent)
    if failures:
        more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
        raise ActionFailed(f"not all of it could be deleted: {failures[0]}{more}")


def _remove_below(parent: int, name: str, device: int, failures: list[str]) -> None:
    """Remove a folder by handles: no link is followed, and nothing mounted in it is entered."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        folder = os.open(name, flags, dir_fd=parent)
    except OSError as error:
        failures.append(f"{shown(name)}: {error.strerror}")
        return
    before = len(failures)
    try:
        if os.fstat(folder).st_dev != device:
            failures.append(f"{shown(name)}: something is mounted there")
            return
        with os.scandir(folder) as entries:
            found = [(one.name, one.is_dir(follow_symlinks=False)) for one in entries]
        for inner, is_folder in found:
            if is_folder:
                _remove_below(folder, inner, device, failures)
            elif inner.startswith(shapes.DEBRIS):
                failures.append(f"{shown(inner)}: it is open in the container still")
            else:
                _try(failures, inner, functools.partial(os.unlink, inner, dir_fd=folder))
    finally:
        os.close(folder)
    if len(failures) == before:
        _try(failures, name, functools.partial(os.rmdir, name, dir_fd=parent))


def _try(failures: list[str], name: str, step: Callable[[], None]) -> None:
    try:
        step()
    except OSError as error:
        failures.append(f"{shown(name)}: {error.strerror}")


def speak(share: str, found: Debris, left: Iterable[Left], now: float) -> Iterator[Kept]:
    """Give what a person should know of; `share` is the folder of finished downloads."""
    if found.count > MANY:
        age = duration(now - found.oldest)
        yield Kept(
            share,
            f"{found.count} .nfs files lie here and among the unfinished, the oldest {age} old: "
            "something holds deleted files open; restart the container",
        )
    for one in left:
        words = f"{why_left(one, now)}: `mediapipe postprocess --sweep` deletes it"
        yield Kept(one.path, words)


def why_left(one: Left, now: float) -> str:
    """Tell what the folder of an unfinished job is, or a hidden copy."""
    if one.hidden:
        return (
            f"left of a move that was cut short ({human(one.size)}), which no job resumes, "
            f"untouched for {duration(now - one.changed)}"
        )
    return (
        f"unfinished ({human(one.size)}), in no queue of SABnzbd's, and untouched for "
        f"{duration(now - one.changed)}"
    )


def told(
    found: Debris,
    left: Sequence[Left],
    history: Sequence[Job],
    moves: Iterable[Move],
    now: float,
) -> dict[str, object]:
    """Give what `status` and the metrics tell of SABnzbd; times in epoch seconds."""
    done = list(moves)
    failed = [(job.completed, job.name, job.failure or "it failed") for job in history
              if job.status == FAILED]  # fmt: skip
    failed += [(one.moment, one.name, one.error) for one in done if one.error]
    return {
        "looked": now,
        "debris": {"files": found.count, "oldest": found.oldest or None},
        "incomplete": [
            {"path": one.path, "bytes": one.size, "changed": one.changed} for one in left
        ],
        "day": _rates(history, done, now - DAY),
        "week": _rates(history, done, now - 7 * DAY),
        "errors": [
            {"time": moment, "name": name, "reason": reason}
            for moment, name, reason in sorted(failed, reverse=True)[:_ERRORS]
        ],
    }


def _rates(history: Sequence[Job], moves: Sequence[Move], since: float) -> dict[str, int]:
    recent = [job.status for job in history if job.ended and job.completed >= since]
    stages = [one for one in moves if one.moment >= since]
    return {
        "completed": recent.count(COMPLETED),
        "failed": recent.count(FAILED),
        "moved": sum(one.state != "begun" for one in stages),
        "stuck": sum(one.state == "begun" and bool(one.error) for one in stages),
    }
