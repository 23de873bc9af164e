"""upload: copies what is not proven to be on the remote yet, and marks what is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.choosing import Choice, in_order
from mediapipe.disk.index import fingerprint
from mediapipe.facts import replace
from mediapipe.items import Extract, Item, Upload, World
from mediapipe.plan import Kept, Plan, clock, duration
from mediapipe.remembering import recall, remember
from mediapipe.renaming import copies_of
from mediapipe.runner import Context, Report, Result, execute
from mediapipe.scanning import scan

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from mediapipe.config import Config, UploadConfig
    from mediapipe.ports import Archives, Listener, Remote, TorrentClient
    from mediapipe.records import Pause


def run(
    context: Context,
    torrents: Callable[[], TorrentClient],
    remote: Callable[[], Remote],
    archives: Callable[[], Archives],
    listeners: Callable[[], Sequence[Listener]],
) -> Report:
    """Upload what is pending; with nothing pending, no service is asked and no child started.

    `listeners` are told of what arrived, in their order; see `telling`.
    """
    config, history = context.config, context.history
    roots = layout.survey(
        [*(library.root for library in config.libraries.values()), config.paths.completed], history
    )
    sound = frozenset(root.path for root in roots if not root.trouble)
    trouble = "; ".join(root.trouble for root in roots if root.trouble)
    memory = recall(context)
    pauses = history.pauses()
    choice = Choice({path for path, pause in pauses.items() if pause.until > context.now})
    world = scan(config, sound, trouble, context.now, choice, history.wanted(), memory)
    world = replace(
        world,
        busy=_busy(world.items, torrents),
        done={item.path: _proven(item, context) for item in world.items if item.archives},
        copies={item.path: copies_of(item, context) for item in world.items if not item.archives},
    )
    storable = remote().why_not_storable if world.items else lambda _name: ""
    todo = plan(world, storable, pauses, config, context.now)

    def apply(actions: Sequence[Upload | Extract]) -> Generator[Result, None, None]:
        layout.adopt(roots, history)
        remember(world, todo, memory, context)
        if actions:
            # what proves and marks is loaded only when there is something to prove
            from mediapipe.proving import prove_all
            from mediapipe.telling import tell_of

            yield from tell_of(prove_all(actions, context, remote(), archives), listeners, context)

    return execute(todo, apply, context)


def _proven(item: Item, context: Context) -> frozenset[str]:
    """Give the files of an item with archives that an earlier run has proven.

    What was extracted and sent is not extracted again because another archive is damaged.
    """
    from mediapipe.proving import proof_today

    return frozenset(name for name in item.files if proof_today(item, name, context))


def _busy(items: Sequence[Item], torrents: Callable[[], TorrentClient]) -> Mapping[str, str]:
    """Ask qBittorrent which uncategorized items it is not done with: item path → reason."""
    from mediapipe.errors import Unavailable

    paths = {item.path for item in items if item.uncategorized and not item.refused}
    if not paths:
        return {}
    try:
        client = torrents()
        busy = {}
        for torrent in client.torrents():
            if torrent.complete:
                continue
            for file in client.files(torrent):
                for path in paths:
                    if file.path == path or layout.inside(file.path, path):
                        busy[path] = f"torrent {torrent.name} is {torrent.state}, not complete"
    except Unavailable as error:
        return dict.fromkeys(paths, f"{UNKNOWN}: {error}")
    return busy


UNKNOWN = "qBittorrent cannot tell whether it is complete"


def plan(
    world: World,
    why_not_storable: Callable[[str], str],
    pauses: Mapping[str, Pause],
    config: Config,
    now: float,
) -> Plan[Upload | Extract]:
    """Decide what goes up now: library first, then uncategorized, each newest first."""
    actions: list[Upload | Extract] = []
    kept = list(world.kept)
    taken: dict[str, str] = {}
    for item in in_order(world.items):
        place = item.place
        if reason := why_refused(item, why_not_storable):
            kept.append(Kept(item.path, reason, lasting=True))
            continue
        reason = why_keep(item, world.busy, config.upload, now)
        if not reason and place in taken:
            reason = f"{taken[place]} has the same name on the remote; rename one of the two"
        if reason:
            kept.append(Kept(item.path, reason))
            continue
        taken[place] = item.path
        remote = layout.address(config.rclone.remote, place)
        for action in _actions(item, world, remote):
            if reason := why_paused(action, pauses, now):
                kept.append(Kept(action.path, reason))
            else:
                actions.append(action)
    unknown = next((reason for reason in world.busy.values() if reason.startswith(UNKNOWN)), "")
    return Plan("upload", tuple(actions), tuple(kept), unavailable=world.unavailable or unknown)


def _actions(item: Item, world: World, remote: str) -> Iterator[Upload | Extract]:
    """Give the actions of one item: its loose files in one, each archive in one of its own."""
    archives, done = item.archives, world.done.get(item.path, frozenset())
    copies = world.copies.get(item.path, {})
    volumes = {name for first in archives for name in archives[first]}
    loose = {name: file for name, file in item.files.items() if name not in volumes | done}
    left = [first for first in archives if not done.issuperset(archives[first])]
    if loose or not left:
        reason = "it is not proven yet" if loose else "its marker is missing"
        if loose and copies.keys() >= loose.keys():
            reason = f"it was uploaded as {min(copies.values())}, and is copied on the remote"
        yield Upload(item, loose, remote, reason, copies)
    for first in left:
        yield Extract(item, first, remote, "it is not proven yet")


def why_refused(item: Item, why_not_storable: Callable[[str], str]) -> str:
    """Tell why an item stays until it is changed itself, or give an empty string."""
    if item.refused or item.trouble:
        return item.refused
    for name in item.files:
        if reason := why_not_storable(item.remote_name(name)):
            return f"{os.path.basename(name)}: {reason}"
    return ""


def why_keep(item: Item, busy: Mapping[str, str], rules: UploadConfig, now: float) -> str:
    """Tell why an item waits, or give an empty string."""
    return item.trouble or busy.get(item.path, "") or why_unsettled(item, rules.settle, now)


def why_paused(action: Upload | Extract, pauses: Mapping[str, Pause], now: float) -> str:
    """Tell until when something that failed lately is left alone, or give an empty string."""
    pause = pauses.get(action.path)
    if pause and pause.lasts(now, fingerprint(action.files)):
        times = "once" if pause.tries == 1 else f"{pause.tries} times"
        return f"failed {times} ({pause.reason}); tried again {clock(pause.until)}"
    return ""


def why_unsettled(item: Item, settle: int, now: float) -> str:
    """Tell why an item may still be growing, or give an empty string; `settle` is in seconds.

    A file with several links and an older mtime is settled at once: it is an import by hard link,
    whose ctime is new, not a copy in progress.
    """
    for file in item.files.values():
        # a file may claim to be of the future; its ctime is this host's own clock
        changed = file.ctime_ns if file.mtime_ns / 1e9 > now else file.changed_ns
        age = now - changed / 1e9
        imported = file.links > 1 and now - file.mtime_ns / 1e9 >= settle
        if age < settle and not imported:
            return (
                f"changed {duration(max(age, 0))} ago; taken once it rests for {duration(settle)}"
            )
    return ""
