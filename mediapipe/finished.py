"""What postprocess looks at: SABnzbd's history and queue, and where its downloads lie."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from mediapipe import layout, moving, remains, shapes, spool
from mediapipe.errors import UsageError
from mediapipe.facts import fact
from mediapipe.plan import Kept, shown
from mediapipe.usenet import COMPLETED, Job

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mediapipe.config import Config, SabnzbdConfig
    from mediapipe.disk.roots import Root
    from mediapipe.records import Move
    from mediapipe.remains import Debris, Left
    from mediapipe.runner import Context
    from mediapipe.shapes import Folder
    from mediapipe.usenet import Queued, Usenet

_PATIENCE, _PAUSE = 10.0, 0.3
"""Seconds: the hook runs a moment before the history tells the end of its job."""
_FRESH = 60.0
"""Seconds for which what the hook told is waited for: an id of another SABnzbd's never comes."""


@fact
class World:
    """Everything that the plan is made from."""

    jobs: tuple[Job, ...]
    """SABnzbd's history; without an API key, what the hook told."""
    asked: bool
    """Whether SABnzbd itself was asked."""
    busy: tuple[str, ...]
    """Names of the jobs that it downloads or works on."""
    folders: Mapping[str, Folder | str]
    """nzo_id of a job that ended well → its folder, or why its path is refused."""
    others: tuple[tuple[str, float], ...]
    """Entries among the finished downloads, with the time of their last change."""
    moves: Mapping[str, Move]
    roots: Mapping[str, Root]
    """Destination → how it was found."""
    debris: Debris
    left: tuple[Left, ...]
    adopted: Job | None = None


def gather(context: Context, settings: SabnzbdConfig, usenet: Usenet | None, adopt: str) -> World:
    """Ask SABnzbd, and look where its downloads lie; `adopt` is a folder on this host.

    Raises UsageError where that is no download.
    """
    history, moves = context.history, context.history.moves()
    told = {id_: spool.job_of(*one) for id_, one in history.spooled().items()}
    told |= {one["nzo_id"]: spool.job_of(one, context.now) for one in spool.peek(settings)}
    queue: tuple[Queued, ...] = ()
    if usenet is None:
        jobs = tuple(told.values())
    else:
        fresh = {id_ for id_, job in told.items() if context.now - job.completed < _FRESH}
        # before and after: a job that leaves the queue for the history, or the other way round by a
        # retry, must be seen on one of its places
        before = usenet.queue()
        jobs = _history(usenet, fresh - moves.keys())
        queue = tuple({one.id: one for one in (*before, *usenet.queue())}.values())
    busy = (*(one.name for one in queue), *(job.name for job in jobs if not job.ended))
    adopted = _adopted(adopt, settings, jobs) if adopt else None
    wanted = [
        job for job in jobs
        if job.status == COMPLETED and job.ended and not is_over(moves.get(job.id))
    ]  # fmt: skip
    folders = {job.id: look(job, settings) for job in (*wanted, *filter(None, [adopted]))}
    left: tuple[Left, ...] = ()
    if usenet is not None and not any(job.strange for job in jobs):
        hidden = remains.hidden_copies(
            _places(context.config, settings), _resumed(moves, folders, settings), context.now
        )
        left = (*_unfinished(context, settings, queue, jobs), *hidden)
    return World(
        jobs,
        usenet is not None,
        busy,
        folders,
        tuple(_entries(settings)),
        moves,
        {place: layout.survey([place], history)[0]
         for place in dict.fromkeys(settings.destinations.values())},
        remains.debris((settings.host_complete_dir, settings.host_incomplete_dir)),
        left,
        adopted,
    )  # fmt: skip


def _unfinished(
    context: Context, settings: SabnzbdConfig, queue: Sequence[Queued], jobs: Sequence[Job]
) -> tuple[Left, ...]:
    try:
        return remains.left_in(settings.host_incomplete_dir, queue, jobs, context.now)
    except OSError as error:
        context.tell("item.kept", level="warning", job="postprocess",
                     path=settings.host_incomplete_dir,
                     reason=f"it cannot be looked at: {error.strerror}")  # fmt: skip
        return ()


def _places(config: Config, settings: SabnzbdConfig) -> tuple[str, ...]:
    """Give the folders that a move may have copied into, by this configuration or an older one."""
    below = [os.path.join(settings.host_complete_dir, one) for one in shapes.bases(settings)]
    return (
        *settings.destinations.values(),
        *(library.root for library in config.libraries.values()),
        *(config.paths.completed, *layout.category_folders(config).values()),
        *(settings.host_complete_dir, *below, settings.host_incomplete_dir),
    )


def _resumed(
    moves: Mapping[str, Move], folders: Mapping[str, Folder | str], settings: SabnzbdConfig
) -> set[str]:
    """Give the names of the hidden copies that a move may go on with."""
    begun = [one for one in moves.values() if not is_over(one)]
    copies = [moving.hidden_copy(one.source, one.target) for one in begun]
    copies += [one.stage[1] for one in begun if one.stage]
    copies += [
        moving.hidden_copy(one.source or one.path, os.path.join(place, os.path.basename(one.path)))
        for one in folders.values()
        if not isinstance(one, str)
        for place in settings.destinations.values()
    ]
    return {os.path.basename(one) for one in copies}


def _history(usenet: Usenet, awaited: set[str]) -> tuple[Job, ...]:
    """Read the history, until it tells the end of the jobs that the hook spoke of."""
    end = time.monotonic() + _PATIENCE
    while True:
        jobs = usenet.history()
        if not awaited - {job.id for job in jobs if job.ended} or time.monotonic() > end:
            return jobs
        time.sleep(_PAUSE)


def not_understood(jobs: Sequence[Job]) -> Iterator[Kept]:
    """Tell of entries that are left alone, since it is not known what they say."""
    for job in jobs:
        if job.strange:
            yield Kept(
                shown(job.name or job.id) or "a job without a name",
                f"its entry in SABnzbd's history is not understood ({job.strange}): it is left "
                "alone, and nothing is swept, until the entry is deleted there",
            )


def is_over(move: Move | None) -> bool:
    """Whether a job was moved already, whatever the app made of it."""
    return move is not None and move.state != "begun"


def look(job: Job, settings: SabnzbdConfig) -> Folder | str:
    """Give a job's folder, or why its path is refused."""
    try:
        return shapes.look(job.storage, job.category, settings)
    except shapes.WrongPathError as error:
        return str(error)
    except OSError as error:
        return f"it cannot be looked at: {error.strerror}"


def _entries(settings: SabnzbdConfig) -> Iterator[tuple[str, float]]:
    """Give what lies where finished jobs lie, and when it last changed itself."""
    for base in shapes.bases(settings):
        place = os.path.join(settings.host_complete_dir, base).rstrip("/")
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if not base and not _holds_files(entry.path):
                        continue
                    seen = entry.stat(follow_symlinks=False)
                    yield entry.path, max(seen.st_ctime, seen.st_mtime)
        except OSError:
            continue


def _holds_files(path: str) -> bool:
    """Whether files lie right in a folder: one with none may be that of a category."""
    try:
        with os.scandir(path) as entries:
            return any(not entry.is_dir(follow_symlinks=False) for entry in entries)
    except OSError:
        return False


def _adopted(path: str, settings: SabnzbdConfig, jobs: Sequence[Job]) -> Job:
    """Make a job of a folder that a person points at. Raises UsageError."""
    root = settings.host_complete_dir
    if not os.path.isdir(path) or not path.startswith(root + "/"):
        raise UsageError(
            f"--adopt {path} is no folder below {root}", hint="name the folder of one job there"
        )
    place, name = os.path.split(path)
    name = name.removeprefix(shapes.UNPACK)
    base = place[len(root) + 1 :]
    categories = [*settings.destinations, *settings.category_folders]
    known = [one for one in categories if shapes.base_of(one, settings) == base]
    if not known or not (base or _holds_files(path)):
        raise UsageError(
            f"--adopt {path} lies in the folder of no category",
            hint="the folder of one job, right below that of its category",
        )
    seen = os.lstat(path)
    storage = "/".join(filter(None, (settings.complete_dir, base, name)))
    given = [job for job in jobs if job.name == name and job.ended and job.status != COMPLETED]
    id_ = given[0].id if given else f"adopted {seen.st_ino} {int(seen.st_ctime)}"
    category = given[0].category if given and given[0].category in known else known[0]
    return Job(id_, name, category, COMPLETED, storage, seen.st_ctime)
