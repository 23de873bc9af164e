"""postprocess: moves what SABnzbd has finished, tells the *arr apps, and what failures left."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe import delivering, finished, layout, remains, shapes
from mediapipe.delivering import MoveJob, NotifyArr, RemoveDirectory
from mediapipe.errors import Unavailable
from mediapipe.facts import fact
from mediapipe.plan import Kept, Plan, clock, shown
from mediapipe.runner import Context, Report, execute, one_by_one
from mediapipe.usenet import COMPLETED

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from mediapipe.config import Config, SabnzbdConfig
    from mediapipe.delivering import Step
    from mediapipe.disk.roots import Root
    from mediapipe.finished import World
    from mediapipe.records import Move
    from mediapipe.remains import Left
    from mediapipe.runner import Result
    from mediapipe.shapes import Folder
    from mediapipe.usenet import Importer, Job, Usenet

_SETTLED = 60.0
"""Seconds for which a folder that changed after its job's end must have been left in peace."""
_SLACK = 5.0
"""Seconds in which SABnzbd writes down that a job has ended."""
_FORGOTTEN = 86400.0
"""Seconds after which what the hook told of a job that no history has is dropped."""
_STRANGE_FOR = 600.0
"""Seconds before a folder that no job has is spoken of."""


@fact
class Options:
    """What is asked for beyond an ordinary run."""

    adopt: str = ""
    """Absolute path of a folder, as this host sees it, that a person has looked at."""
    sweep: bool = False


def run(
    context: Context,
    usenet: Usenet | None,
    importer: Callable[[str], Importer],
    options: Options,
) -> Report:
    """Move what is finished; `usenet` is None where no API key is configured."""
    settings = context.config.sabnzbd
    if settings is None:
        nothing = Kept(context.path, "it has no table [sabnzbd], so there is nothing to move")
        context.tell("item.kept", job="postprocess", path=nothing.path, reason=nothing.reason)
        return execute(Plan("postprocess", (), (nothing,)), one_by_one(lambda _: None), context)
    complete = _complete(settings, context)
    world = scan(context, settings, usenet, options)
    todo = plan(world, context.config, settings, options, context.now)
    over = _over(world, context)

    def apply(actions: Sequence[Step]) -> Generator[Result, None, None]:
        sound = [root for root in world.roots.values() if not root.trouble]
        layout.adopt([complete, *sound], context.history)
        yield from delivering.deliver(actions, importer, context)

    report = execute(todo, apply, context)
    moves = context.history.moves().values()
    context.history.unspool(over)
    seen = remains.told(world.debris, world.left, world.jobs, moves, context.now)
    context.history.note("postprocess", seen)
    return report


def _complete(settings: SabnzbdConfig, context: Context) -> Root:
    """Look at the folder of finished downloads: one that is not mounted looks like an empty one."""
    (complete,) = layout.survey([settings.host_complete_dir], context.history)
    if complete.trouble:
        raise Unavailable(complete.trouble, hint="is the share mounted on this host?")
    return complete


def scan(
    context: Context, settings: SabnzbdConfig, usenet: Usenet | None, options: Options
) -> World:
    """Ask SABnzbd, and look where its downloads lie. Raises UsageError for what is no download."""
    return finished.gather(context, settings, usenet, options.adopt)


def plan(
    world: World, config: Config, settings: SabnzbdConfig, options: Options, now: float
) -> Plan[Step]:
    """Decide what is moved, told and swept, and tell why the rest is left."""
    actions: list[Step] = []
    kept: list[Kept] = [*finished.not_understood(world.jobs)]
    refused = ""
    wanted = [world.adopted] if world.adopted else [*_resumed(world), *_newest(world)]
    missing: dict[str, str] = {}
    for job in wanted:
        found = world.folders.get(job.id)
        move = world.moves.get(job.id)
        if isinstance(found, str):
            kept.append(Kept(shown(job.storage), found))
            refused = found if options.adopt else ""
            continue
        resumed = _is_cut_short(move)
        if found is None or (not found.there and not resumed):
            continue  # nobody waits for it any more: the app has it, or its user
        places = settings.destinations
        place = places.get(job.category) or places.get(shapes.DEFAULT) or ""
        if trouble := _why_nowhere(job, place, world):
            missing[place] = trouble
            kept.append(Kept(found.path, trouble))
        elif reason := "" if resumed else why_keep(job, found, world, now):
            kept.append(Kept(found.path, reason))
            refused = reason if options.adopt else ""
        else:
            asked_for = job is world.adopted
            actions.append(_move(job, found, move, place, config, asked_for=asked_for))
    if not options.adopt:
        actions += _interrupted(world, actions)
        actions += _untold(world, config)
        kept += _strange(world, settings, now)
    actions += [
        NotifyArr(one.target, "it was moved", one.id, one.app)
        for one in list(actions)
        if isinstance(one, MoveJob) and one.app
    ]  # fmt: skip
    kept += remains.speak(
        settings.host_complete_dir, world.debris, () if options.sweep else world.left, now
    )
    if options.sweep:
        actions += [_sweep(one, now) for one in world.left]
    unavailable = "; ".join(reason for place, reason in missing.items() if place)
    return Plan("postprocess", tuple(actions), tuple(kept), refused, unavailable)


def _is_cut_short(move: Move | None) -> bool:
    return move is not None and move.state == "begun" and move.stage is not None


def _resumed(world: World) -> list[Job]:
    """Give the jobs whose move has begun: they may have no folder left, but for what was moved."""
    return [job for job in world.jobs if _is_cut_short(world.moves.get(job.id))]


def _newest(world: World) -> list[Job]:
    """Give the jobs that may be moved: of those that name one folder, the newest has it."""
    owners: dict[str, Job] = {}
    for job in sorted(world.jobs, key=lambda one: one.completed):
        found = world.folders.get(job.id)
        if found is not None and not _is_cut_short(world.moves.get(job.id)):
            owners[job.storage if isinstance(found, str) else found.path] = job
    return list(owners.values())


def _why_nowhere(job: Job, place: str, world: World) -> str:
    """Tell why there is nothing to move a job to, or give an empty string."""
    if not place:
        return (
            f'category {job.category} has no folder in [sabnzbd.destinations], nor is there a "*"'
        )
    return world.roots[place].trouble


def why_keep(job: Job, found: Folder, world: World, now: float) -> str:
    """Tell why a finished job is not moved yet, or give an empty string."""
    if found.trouble:
        return found.trouble
    name = os.path.basename(found.path)
    if shapes.works_on(name, world.busy):
        return "SABnzbd works on a job of the same name, which may use the same folder"
    if found.source and os.path.basename(found.source) != name and not world.asked:
        return (
            f"its files are in {shown(found.source)}: whether SABnzbd has done with them only its "
            "history tells. Set [sabnzbd] api_key_file, or --adopt it once you have looked"
        )
    if found.changed > job.completed + _SLACK and now - found.changed < _SETTLED:
        return "something still writes to it; it is looked at again in the next run"
    return ""


def _move(
    job: Job, found: Folder, move: Move | None, place: str, config: Config, *, asked_for: bool
) -> MoveJob:
    name = os.path.basename(found.path)
    reason = f"SABnzbd finished it {clock(job.completed)}"
    if asked_for:
        reason = "asked for with --adopt"
    if found.source and found.source != found.path:
        reason += f"; its files are in {shown(os.path.basename(found.source))}"
    resumed = move if _is_cut_short(move) else None
    return MoveJob(
        resumed.source if resumed else found.source,
        reason,
        job.id,
        job.name,
        resumed.target if resumed else os.path.join(place, name),
        found.path,
        found.identity,
        found.size,
        app_for(job.category, config),
        found.copies,
    )


def app_for(category: str, config: Config) -> str:
    """Give which [arr.NAME] is told of a category's jobs; empty for none."""
    settings = config.sabnzbd
    if settings is not None and category in settings.arr:
        return settings.arr[category]
    for name, library in config.libraries.items():
        if category in (name, library.category) and library.arr in config.arr:
            return library.arr
    return ""


def _interrupted(world: World, actions: Sequence[Step]) -> list[MoveJob]:
    """Give the moves that were cut short and whose job the history does not call completed."""
    decided = {one.id for one in actions if isinstance(one, MoveJob)} | world.folders.keys()
    away = {place for place, root in world.roots.items() if root.trouble}
    return [
        MoveJob(
            move.source, "its move was cut short", move.id, move.name, move.target, move.source,
            (0, 0, 0), 0, move.app,
        )
        for move in world.moves.values()
        if _is_cut_short(move)
        and move.id not in decided
        and os.path.dirname(move.target) not in away
    ]  # fmt: skip


def _untold(world: World, config: Config) -> list[NotifyArr]:
    return [
        NotifyArr(move.target, "the app has not been told of it yet", move.id, move.app)
        for move in world.moves.values()
        if move.state == "moved" and move.app in config.arr
    ]


def _strange(world: World, settings: SabnzbdConfig, now: float) -> Iterator[Kept]:
    """Tell of what lies among the finished downloads and is no finished job's."""
    if not world.asked or any(job.strange for job in world.jobs):
        return
    root = settings.host_complete_dir
    claimed = {root + job.storage.removeprefix(settings.complete_dir) for job in world.jobs
               if job.id in world.folders}  # fmt: skip
    for one in world.folders.values():
        if not isinstance(one, str):
            claimed |= {one.path, one.source, *one.copies}
    moved = {move.source for move in world.moves.values() if move.state != "begun"}
    failed = {shapes.stem(job.name): job for job in world.jobs if job.ended
              and job.status != COMPLETED}  # fmt: skip
    reserved = {os.path.join(root, base) for base in shapes.bases(settings)}
    for path, changed in world.others:
        name = os.path.basename(path)
        if path in claimed or name.startswith(".") or shapes.works_on(name, world.busy):
            continue
        if any(one == path or one.startswith(path + "/") for one in reserved):
            continue
        if now - changed < _STRANGE_FOR:
            continue
        if path in moved:
            yield Kept(path, "left of a moved job: it was open in the container, or came later")
        else:
            yield Kept(path, why_strange(name, failed.get(shapes.stem(name))))


def why_strange(name: str, failed: Job | None) -> str:
    """Tell what a folder is that no finished job has."""
    if name.startswith(shapes.REFUSED) or name == shapes.ADMIN:
        return "SABnzbd failed to unpack it: retry or delete it there"
    adopt = "look at it, then `mediapipe postprocess --adopt` it, or delete it"
    if name.startswith(shapes.UNPACK):
        return f"it was left in the middle of unpacking, or is a copy of a moved job: {adopt}"
    if failed is not None:
        why = failed.failure or "no reason given"
        return f"SABnzbd calls it failed ({shown(why)}), yet here it lies: {adopt}"
    return f"no job in SABnzbd's history has it: {adopt}"


def _sweep(one: Left, now: float) -> RemoveDirectory:
    return RemoveDirectory(one.path, remains.why_left(one, now), one)


def _over(world: World, context: Context) -> list[str]:
    """Give which words of the hook are answered: the history has the job, or never will."""
    ended = {job.id for job in world.jobs if job.ended} if world.asked else set[str]()
    over = []
    for id_, (_, taken) in context.history.spooled().items():
        found = world.folders.get(id_)
        waits = not world.asked and isinstance(found, shapes.Folder) and found.there
        old = context.now - taken > _FORGOTTEN and not waits
        if id_ in ended or old or finished.is_over(world.moves.get(id_)):
            over.append(id_)
    return over
