"""restore: fetches deleted files back from the remote, to where they were or elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe import layout, sources
from mediapipe.errors import Unavailable, UsageError
from mediapipe.facts import fact, replace
from mediapipe.plan import Kept, Plan, clock, human, shown
from mediapipe.restoring import Restore, restore_all
from mediapipe.runner import Context, Report, execute
from mediapipe.sources import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from mediapipe.config import Config
    from mediapipe.ports import Remote, RemoteObject, TorrentClient
    from mediapipe.records import Proven
    from mediapipe.runner import Result
    from mediapipe.sources import Source

_ROOM = 64 << 20
"""Bytes that stay free."""


@fact
class Options:
    """What is asked for."""

    path: str
    """Absolute: a file or a folder, as it was called."""
    to: str = ""
    """Absolute: the folder that it goes to; empty for where it was."""


@fact
class World:
    """Everything that the plan is made from."""

    found: tuple[tuple[Source, str], ...]
    """What the audit knows, each with its target; of an archive the folder for its members."""
    there: frozenset[str]
    """Targets and other names at which something stands."""
    folders: frozenset[str]
    """Folders of other names that are there."""
    objects: Mapping[str, RemoteObject]
    """Full remote name → object, of what stands there now."""
    by_id: bool
    """Whether older versions can be asked for."""
    held: frozenset[str]
    """Names below completed that a listed torrent holds."""
    places: Mapping[str, tuple[int, int]]
    """Target → number of its file system, and the bytes that are free there."""


def run(
    context: Context,
    torrents: Callable[[], TorrentClient],
    remote: Callable[[], Remote],
    options: Options,
) -> Report:
    """Fetch back what the audit knows of a path. Raises UsageError, Unavailable."""
    if options.to and not os.path.isdir(options.to):
        raise UsageError(f"--to {shown(options.to)} is no folder", hint="make it first")
    roots = [*(one.root for one in context.config.libraries.values()),
             context.config.paths.completed]  # fmt: skip
    place = options.to or options.path
    concerned = [one for one in roots if _at(place, one) or layout.inside(one, place)]
    surveyed = layout.survey(concerned, context.history)
    if troubles := [root.trouble for root in surveyed if root.trouble]:
        hint = "nothing is restored into it; or give --to FOLDER"
        raise Unavailable("; ".join(troubles), hint=hint)
    todo = plan(scan(context, torrents, remote, options), context.config, options)

    def apply(actions: Sequence[Restore]) -> Generator[Result, None, None]:
        layout.adopt(surveyed, context.history)
        yield from restore_all(actions, remote(), context)

    return execute(todo, apply, context)


def scan(
    context: Context,
    torrents: Callable[[], TorrentClient],
    remote: Callable[[], Remote],
    options: Options,
) -> World:
    """Read the audit, the disk, the remote and, for names of downloads, qBittorrent."""
    config = context.config
    found = tuple(
        (source, _target(source, options)) for source in sources.find(context.state, options.path)
    )
    names = {name for source, target in found for name in (target, *source.names)}
    there = frozenset(one for one in names if os.path.lexists(one))
    missing = [source for source, target in found if target not in there or source.archive]
    prefix = layout.address(config.rclone.remote, "")
    asked = sorted({
        one.remote[len(prefix) :]
        for source in missing
        for one in source.objects
        if one.remote.startswith(prefix)
    })  # fmt: skip
    objects = remote().look(asked) if asked else {}
    now = {prefix + name: one for name, one in objects.items()}
    changed = any(not _stands(one, now) for source in missing for one in source.objects)
    downloads = {one for one in names if layout.inside(one, config.paths.completed)}
    return World(
        found,
        there,
        frozenset(one for one in map(os.path.dirname, names) if os.path.isdir(one)),
        now,
        changed and remote().bucket() is not None,
        _held(downloads - there, torrents) if downloads - there and not options.to else frozenset(),
        {target: _space(target) for _, target in found},
    )


def _target(source: Source, options: Options) -> str:
    if not options.to:
        return source.path
    if source.archive:
        return options.to
    return os.path.join(options.to, os.path.relpath(source.path, os.path.dirname(options.path)))


def _held(paths: set[str], torrents: Callable[[], TorrentClient]) -> frozenset[str]:
    """Give which names a listed torrent holds; none where qBittorrent does not tell."""
    found = set()
    try:
        client = torrents()
        for torrent in client.torrents():
            base = f"{torrent.save_path}/{torrent.name}"
            mine = {path for path in paths if path == base or layout.inside(path, base)}
            if mine:
                found |= mine & {one.path for one in client.files(torrent)}
    except Unavailable:
        return frozenset()
    return frozenset(found)


def _space(path: str) -> tuple[int, int]:
    """Give the number and the free bytes of the file system that a path would lie on."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    found = os.statvfs(path)
    return os.stat(path).st_dev, found.f_bavail * found.f_frsize


def plan(world: World, config: Config, options: Options) -> Plan[Restore]:
    """Decide what is fetched, and tell what cannot be; pure."""
    actions: list[Restore] = []
    kept: list[Kept] = []
    lost: list[Kept] = []
    for source, target in world.found:
        reason, lasting = why_not(source, target, world, config, options)
        if reason:
            (lost if lasting else kept).append(Kept(source.path, reason, lasting))
            continue
        for action in _actions(source, target, world, config):
            if action.path in world.there or action.path in {one.path for one in actions}:
                continue  # every volume of an archive names all of its members
            actions.append(action)
            kept += [Kept(name, _why_no_name(name, target, world, config)) for name in source.names
                     if not options.to and not source.archive
                     and name not in (*action.names, *world.there)]  # fmt: skip
    refused = ""
    if not world.found:
        refused = (
            f"the audit knows of no file that was deleted at {shown(options.path)}; "
            "`mediapipe history` tells what was"
        )
    elif lost:
        refused = f"{shown(lost[0].path)} cannot be restored: {lost[0].reason}"
        refused += f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
    if reason := _why_no_room(actions, world):
        kept += [Kept(one.path, "there is no room for it") for one in actions]
        actions, refused = [], reason
    return Plan("restore", tuple(actions), (*kept, *lost), refused=refused)


def why_not(
    source: Source, target: str, world: World, config: Config, options: Options
) -> tuple[str, bool]:
    """Tell why a file is not restored, and whether that is a loss; empty where it is."""
    if target in world.there and not source.archive:
        return "something stands there already, and nothing is overwritten", False
    if not source.objects:
        return f"it was never uploaded ({source.reason})", False
    if source.archive and not options.to:
        return "it was an archive, of which B2 has the members: give --to FOLDER for these", True
    roots = [*(one.root for one in config.libraries.values()), config.paths.completed]
    if not options.to and not any(layout.inside(target, root) for root in roots):
        return "it lies below no folder of today's configuration: give --to FOLDER", True
    reasons = (_why_not_fetched(one, world, config) for one in source.objects)
    return next(((one, True) for one in reasons if one), ("", False))


def _why_not_fetched(one: Proven, world: World, config: Config) -> str:
    """Tell why an object cannot be fetched as it was, or give an empty string."""
    name = shown(one.remote)
    if not one.remote.startswith(layout.address(config.rclone.remote, "")):
        return f"{name} is not below today's remote, {config.rclone.remote}"
    if not one.sha1:
        return f"the audit has no SHA-1 of {name}"
    if _stands(one, world.objects):
        return ""
    there = world.objects.get(one.remote)
    other = "is gone" if not there else f"has {'other bytes' if there.sha1 else 'no SHA-1'} now"
    if not one.file_id:
        return f"{name} {other}, and the audit has no file id of the old version"
    if not world.by_id:
        return f"{name} {other}, and the remote is not plainly B2, which has old versions"
    return ""


def _actions(source: Source, target: str, world: World, config: Config) -> Iterator[Restore]:
    when = clock(source.since)
    whole = layout.address(config.rclone.remote, "")
    base = layout.address(config.rclone.remote, config.upload.uncategorized_remote) + "/"
    for one in source.objects:
        now = world.objects.get(one.remote)
        current = _stands(one, world.objects)
        size = now.size if now and current else one.size
        how = one.remote if current else f"the version {one.file_id} of {one.remote}"
        path, why = target, f"it was last known here {when}"
        if source.archive:
            below = one.remote.removeprefix(base).removeprefix(whole).lstrip("/")
            path = os.path.join(target, below)
            why = f"it came out of {source.path}"
        elif _is_orphan(path, world, config):
            why += "; without its torrent, cleanup deletes it again as an orphan"
        yield Restore(
            path,
            f"{why}; from {shown(how)}",
            replace(one, size=size if size != UNKNOWN else source.size),
            by_id=not current,
            mtime_ns=None if source.archive else source.mtime_ns,
            names=_names(source, target, world, config),
        )


def _names(source: Source, target: str, world: World, config: Config) -> tuple[str, ...]:
    """Give the other names that are made again: none where it goes elsewhere."""
    if target != source.path or source.archive:
        return ()
    return tuple(
        name
        for name in source.names
        if name not in world.there and not _why_no_name(name, target, world, config)
    )


def _why_no_name(name: str, target: str, world: World, config: Config) -> str:
    """Tell why another name of a file is not made again, or give an empty string."""
    if os.path.dirname(name) not in world.folders:
        return "this other name is not made again: its folder is gone"
    if _is_orphan(target, world, config):
        return "this other name is not made again: it would go with it, as links of an orphan do"
    if _is_orphan(name, world, config):
        return (
            "this other name is not made again: no torrent is known to hold it, so the next "
            "cleanups would delete it as an orphan, with all of its links"
        )
    return ""


def _is_orphan(path: str, world: World, config: Config) -> bool:
    """Whether cleanup would delete it again, as far as one knows."""
    return layout.inside(path, config.paths.completed) and path not in world.held


def _stands(one: Proven, objects: Mapping[str, RemoteObject]) -> bool:
    """Whether the object stands there now with the bytes that the audit knew."""
    there = objects.get(one.remote)
    known = one.size == UNKNOWN or (there is not None and there.size == one.size)
    return there is not None and known and there.sha1 == one.sha1


def _why_no_room(actions: Sequence[Restore], world: World) -> str:
    """Tell on which file system there is no room for all of it, or give an empty string."""
    needed: dict[int, int] = {}
    free = dict(world.places.values())
    for action in actions:
        places = [world.places[one] for one in world.places if _at(action.path, one)]
        if places:
            needed[places[0][0]] = needed.get(places[0][0], 0) + max(action.proven.size, 0)
    for device, size in needed.items():
        if size + _ROOM > free[device]:
            return f"{human(size)} would be fetched, and only {human(free[device])} are free there"
    return ""


def _at(path: str, place: str) -> bool:
    return path == place or layout.inside(path, place)
