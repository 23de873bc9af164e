"""`mediapipe cache`: what the mount keeps on disk, reads now, and read lately."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mediapipe.adapters import vfs_cache
from mediapipe.adapters.rc import RemoteControl
from mediapipe.config_load import load
from mediapipe.errors import Stopped
from mediapipe.facts import fact
from mediapipe.owner import become_owner
from mediapipe.places import find, state_folder
from mediapipe.plan import duration, human, shown

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

_INTERVAL = 2.0
"""Seconds between two pictures."""
_MOST = 20
"""Files, and transfers, that people are shown."""
_CLEAR = "\x1b[H\x1b[2J"


@fact
class Picture:
    """What is told; of rclone's own lists the fields are rclone's."""

    cache: vfs_cache.Cache
    free: int
    """Bytes on the disk of the cache."""
    items: Sequence[vfs_cache.Item]
    traffic: dict[str, Any]
    """rclone's core/stats."""
    finished: Sequence[dict[str, Any]]
    """rclone's core/transferred: the last 100, oldest first."""


def cache(options: Namespace) -> int:
    """Show the cache, once or until a signal; raises Unavailable where no mount answers."""
    if not options.watch:
        _show(options)
        return 0
    with contextlib.suppress(Stopped):  # as it is meant to end
        while True:
            _show(options)
            time.sleep(_INTERVAL)
    return 0


def _show(options: Namespace) -> None:
    config = load(find(options.config))
    state = state_folder(config.paths.state)
    become_owner(state)
    picture = look(RemoteControl(config.rclone.rc_addr, state))
    if options.json:
        text = json.dumps(as_json(picture)) + "\n"
    else:
        text = "".join(f"{line}\n" for line in as_text(picture))
        if options.watch:
            text = f"{_CLEAR}{text}" if sys.stdout.isatty() else f"{text}\n"
    sys.stdout.write(text)
    sys.stdout.flush()


def look(control: RemoteControl) -> Picture:
    """Ask rclone, and look into its folder."""
    cache = vfs_cache.ask(control)
    traffic = control.ask("core/stats")
    finished = control.ask("core/transferred").get("transferred") or ()
    return Picture(cache, cache.free(), cache.items(), traffic, finished)


def as_json(picture: Picture) -> dict[str, object]:
    """Give one object."""
    return {
        "outcome": "done",
        "reason": None,
        "cache": {**asdict(picture.cache), "free": picture.free},
        "items": [asdict(item) for item in picture.items],
        "traffic": {
            name: picture.traffic.get(name)
            for name in ("bytes", "speed", "transfers", "errors", "elapsedTime")
        },
        "transferring": picture.traffic.get("transferring") or [],
        "finished": list(picture.finished),
    }


def as_text(picture: Picture) -> Iterator[str]:
    """Give the lines for people, the largest files first."""
    cache, traffic = picture.cache, picture.traffic
    held = sum(item.held for item in picture.items)
    limit = human(cache.largest) if cache.largest is not None else "what the disk has"
    yield f"    cache  {human(held)} of {limit}, {len(picture.items)} files in {shown(cache.path)}"
    yield f"     disk  {human(picture.free)} free, {human(cache.kept_free)} of it are kept free"
    if cache.full:
        yield "           rclone finds no room on the disk"
    yield (
        f" the mount  {human(int(traffic.get('bytes') or 0))} read in "
        f"{duration(float(traffic.get('elapsedTime') or 0))}, "
        f"{traffic.get('transfers') or 0} transfers, {traffic.get('errors') or 0} errors"
    )
    now = traffic.get("transferring") or ()
    speed = human(int(sum(float(one.get("speed") or 0) for one in now)))
    yield f"  reading  {len(now)} now{f', {speed}/s' if now else ''}"
    for one in now[:_MOST]:
        yield f"{_share(one):>9}  {human(int(one.get('speed') or 0)):>9}/s  {_name(one)}"
    for title, lines in (
        ("read lately", [_finished(one) for one in reversed(picture.finished)]),
        ("in the cache", [_item(item) for item in sorted(picture.items, key=lambda i: -i.held)]),
    ):
        if lines:
            yield title
            yield from lines[:_MOST]
            if len(lines) > _MOST:
                yield f"{'':>9}  and {len(lines) - _MOST} more (--json tells all)"


def _share(one: dict[str, Any]) -> str:
    return f"{int(one.get('percentage') or 0)} %"


def _name(one: dict[str, Any]) -> str:
    return shown(str(one.get("name")))


def _finished(one: dict[str, Any]) -> str:
    try:
        when = f"{datetime.fromisoformat(str(one.get('completed_at'))).astimezone():%H:%M:%S}"
    except ValueError:
        when = ""
    failure = f": {shown(str(one['error']))}" if one.get("error") else ""
    return f"{when:>9}  {human(int(one.get('bytes') or 0)):>9}    {_name(one)}{failure}"


def _item(item: vfs_cache.Item) -> str:
    share = 100 * item.held // item.size if item.size else 100
    return f"{share:>7} %  {human(item.held):>9}    {shown(item.name)}"
