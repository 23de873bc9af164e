"""`mediapipe wait-for APP`: wait until an app answers as itself, to who may ask."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from mediapipe.config_load import load
from mediapipe.errors import (
    ConfigError,
    LoginRefused,
    MediapipeError,
    Unavailable,
    UsageError,
)
from mediapipe.facts import replace
from mediapipe.places import find, state_folder
from mediapipe.plan import shown

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from mediapipe.config import Config
    from mediapipe.runner import Context

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 2.0
"""Seconds between two looks."""
_LISTING = "10"
"""Seconds that a mount may take for its first listing, which is a call to B2."""


def wait_for(options: Namespace) -> int:
    """Wait for an app, at most `options.timeout` seconds and one answer more.

    Raises Unavailable where it is not ready in time, ConfigError at once where it refuses us.
    """
    path = find(options.config)
    look = _look(options.app, load(path), path)
    deadline = time.monotonic() + options.timeout
    pause, told = _FIRST_PAUSE, ""
    while True:
        try:
            found = look()
        except Unavailable as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unavailable(
                    f"not ready within {options.timeout:g} s: {error}", hint=error.hint
                ) from None
            if str(error) != told:
                told = str(error)
                sys.stderr.write(f"waiting for {options.app}: {shown(told)}\n")
                sys.stderr.flush()
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            sys.stdout.write(f"{options.app} is ready: {shown(found)}\n")
            return 0


def _look(app: str, config: Config, path: str) -> Callable[[], str]:
    """Give what looks at an app once: it gives a few words, or raises Unavailable."""
    if app == "mount":
        return partial(mounted, config.rclone.mount_point)
    if app not in ("qbittorrent", "sabnzbd", "jellyfin", *config.arr):
        known = ", ".join((*config.arr, "qbittorrent", "sabnzbd", "jellyfin", "mount"))
        raise UsageError(f"there is no app {app!r} to wait for", hint=f"it can be {known}")
    if app == "qbittorrent":
        return _qbittorrent(config, path)
    from mediapipe import building

    if app == "sabnzbd" and config.sabnzbd is not None:
        return building.sabnzbd(config.sabnzbd).ready
    if app == "jellyfin" and config.jellyfin is not None:
        return building.jellyfin(config.jellyfin, config.rclone.mount_point).ready
    if app in config.arr:
        return building.arr(app, config.arr[app], waiting=True).ready
    raise ConfigError(f"{path} has no table [{app}]", hint="say there where it listens")


def mounted(point: str) -> str:
    """See that something is mounted, and lists its files: a dead mount hangs, or is gone."""
    from mediapipe.adapters import process
    from mediapipe.disk.mounts import is_mount_point, mount_of, mounts

    table = mounts()
    if not is_mount_point(point, table):
        raise Unavailable(f"nothing is mounted at {point}", hint="[rclone] mount_point names it")
    listing = ["timeout", "--signal=KILL", _LISTING, "ls", "-f", "--", point]
    ended = process.run(listing, timeout=2 * float(_LISTING))
    if ended.status != 0:
        why = ended.errors.strip() or f"no listing within {_LISTING} s"
        raise Unavailable(f"{point} is mounted, and dead: {why}", hint="restart the mount")
    return f"{mount_of(point, table).file_system} at {point}"


def _qbittorrent(config: Config, path: str) -> Callable[[], str]:
    """Look by one session; a refused login is remembered as the jobs do, across restarts.

    A unit that waits is restarted again and again, and qBittorrent bans after five wrong logins.
    """
    from mediapipe import building
    from mediapipe.history import copy_history
    from mediapipe.log import Log
    from mediapipe.progress import watcher
    from mediapipe.runner import Context

    state = state_folder(config.paths.state)
    tell = Log("mediapipe", verbose=False)
    watch = watcher(tell, config.upload.stats_interval)
    with contextlib.closing(copy_history(state)) as history:
        context = Context(config, history, tell, watch, state, time.time(), True, path)
        client = building.qbittorrent(context, "wait-for", path)

    def look() -> str:
        try:
            client.wait(0)
        except LoginRefused as error:
            _remember(error, context)
            raise
        return f"it answers at {config.qbittorrent.url}"

    return look


def _remember(error: LoginRefused, context: Context) -> None:
    """Leave word of a refused login, where the state can be written; it is reported all the same.

    What another unit was refused, with a secret of its own, stays: each would undo the other's.
    """
    from mediapipe import latch
    from mediapipe.history import open_history
    from mediapipe.owner import become_owner

    if not os.path.isdir(context.state):
        return
    become_owner(context.state)
    with (
        contextlib.suppress(MediapipeError, OSError, sqlite3.Error),
        contextlib.closing(open_history(context.state)) as history,
    ):
        held = latch.in_force(history.pauses(), context.now)
        if not any(one.cause == "refused" and one.subject == error.service for one in held):
            latch.note(error, "wait-for", replace(context, history=history), context.path)
