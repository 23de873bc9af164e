"""upload: copies what is not proven to be on the remote yet, and marks what is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.items import Item, World, fingerprint, scan
from mediapipe.plan import Kept, Plan, clock, duration, human
from mediapipe.runner import Context, Report, Result, execute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mediapipe.config import Config, UploadConfig
    from mediapipe.history import Pause
    from mediapipe.ports import Remote, TorrentClient


@dataclass(frozen=True)
class Upload:
    """An item that will be uploaded, proven and marked."""

    item: Item
    remote: str
    reason: str
    kind: str = "upload"

    @property
    def path(self) -> str:
        """The item's path."""
        return self.item.path

    def details(self) -> dict[str, object]:
        """Give the remote name and the size in bytes."""
        return {"remote": self.remote, "size": self.item.size}

    def __str__(self) -> str:
        return f"upload {self.path} ({human(self.item.size)}) to {self.remote}: {self.reason}"


def run(
    context: Context, torrents: Callable[[], TorrentClient], remote: Callable[[], Remote]
) -> Report:
    """Upload what is pending; with nothing pending, no service is asked and no child started."""
    config, history = context.config, context.history
    roots = layout.survey(
        [*(library.root for library in config.libraries.values()), config.paths.completed], history
    )
    sound = frozenset(root.path for root in roots if not root.trouble)
    trouble = "; ".join(root.trouble for root in roots if root.trouble)
    world = scan(config, sound, trouble)
    busy = _busy(world.items, torrents) if any(item.uncategorized for item in world.items) else {}
    storable = remote().why_not_storable if world.items else lambda _name: ""
    todo = plan(world, busy, storable, history.pauses(), config, context.now)

    def apply(actions: Sequence[Upload]) -> Iterator[Result]:
        layout.adopt(roots, history)
        if actions:
            # what proves and marks is loaded only when there is something to prove
            from mediapipe.proving import prove_all

            yield from prove_all(actions, context, remote())

    return execute(todo, apply, context)


def _busy(items: Sequence[Item], torrents: Callable[[], TorrentClient]) -> Mapping[str, str]:
    """Ask qBittorrent which uncategorized items it is not done with: item path → reason."""
    from mediapipe.errors import Unavailable

    paths = {item.path for item in items if item.uncategorized}
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
    busy: Mapping[str, str],
    why_not_storable: Callable[[str], str],
    pauses: Mapping[str, Pause],
    config: Config,
    now: float,
) -> Plan[Upload]:
    """Decide what goes up now: library first, then uncategorized, each newest first."""
    actions: list[Upload] = []
    kept = list(world.kept)
    taken: dict[str, str] = {}
    for item in sorted(world.items, key=lambda one: (one.uncategorized, -one.changed_ns)):
        name = os.path.relpath(item.path, item.base)
        place = item.remote_name(name)
        reason = why_keep(item, busy, why_not_storable, pauses, config.upload, now)
        if not reason and place in taken:
            reason = f"{taken[place]} has the same name on the remote; rename one of the two"
        if reason:
            kept.append(Kept(item.path, reason))
        else:
            taken[place] = item.path
            actions.append(
                Upload(item, layout.address(config.rclone.remote, place), "it is not proven yet")
            )
    unknown = next((reason for reason in busy.values() if reason.startswith(UNKNOWN)), "")
    return Plan("upload", tuple(actions), tuple(kept), unavailable=world.unavailable or unknown)


def why_keep(
    item: Item,
    busy: Mapping[str, str],
    why_not_storable: Callable[[str], str],
    pauses: Mapping[str, Pause],
    rules: UploadConfig,
    now: float,
) -> str:
    """Tell why an item waits, or give an empty string."""
    if item.trouble:
        return item.trouble
    if item.path in busy:
        return busy[item.path]
    for name in item.files:
        if reason := why_not_storable(item.remote_name(name)):
            return f"{os.path.basename(name)}: {reason}"
    if reason := why_unsettled(item, rules.settle, now):
        return reason
    pause = pauses.get(item.path)
    if pause and pause.until > now and pause.fingerprint == fingerprint(item):
        return f"failed {pause.tries} times ({pause.reason}); tried again {clock(pause.until)}"
    return ""


def why_unsettled(item: Item, settle: int, now: float) -> str:
    """Tell why an item may still be growing, or give an empty string; `settle` is in seconds.

    A file with several links and an older mtime is settled at once: it is an import by hard link,
    whose ctime is new, not a copy in progress.
    """
    for file in item.files.values():
        age = now - file.changed_ns / 1e9
        imported = file.links > 1 and now - file.mtime_ns / 1e9 >= settle
        if age < settle and not imported:
            return (
                f"changed {duration(max(age, 0))} ago; taken once it rests for {duration(settle)}"
            )
    return ""
