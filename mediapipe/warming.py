"""`mediapipe warm`: read files through the mount, so that they lie in its cache.

What does not fit is not begun: rclone would make room by dropping what was read longest ago, in
the end the files that were just read.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mediapipe import addresses
from mediapipe.adapters import mounted as below
from mediapipe.adapters import vfs_cache
from mediapipe.adapters.b2_names import as_mount_shows
from mediapipe.adapters.rc import RemoteControl
from mediapipe.config_load import load
from mediapipe.errors import ActionFailed, MediapipeError, Stopped, Unavailable
from mediapipe.owner import become_owner
from mediapipe.places import find, state_folder
from mediapipe.plan import human, shown
from mediapipe.ports import Progress, Transfer
from mediapipe.progress import watcher

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from mediapipe.ports import Watcher

_INTERVAL = 10.0
"""Seconds between two lines, where nobody watches bars."""
_PATIENCE = 120.0
"""Seconds for a MiB, or for a folder: rclone may ask B2 again and again meanwhile."""
_SOME_FAILED = 3


@dataclass
class Told:
    """How it went; paths are below the mount point."""

    warmed: dict[str, int] = field(default_factory=dict)
    """Path → bytes."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Path → why."""
    trouble: MediapipeError | None = None
    """What ended it before its last file."""
    seconds: float = 0.0

    @property
    def status(self) -> int:
        """The exit status."""
        if self.trouble is not None:
            return self.trouble.exit_status
        return _SOME_FAILED if self.skipped else 0


def warm(options: Namespace) -> int:
    """Warm files and folders; raises Unavailable where there is no mount, or no cache."""
    config = load(find(options.config))
    state = state_folder(config.paths.state)
    names = [addresses.name_of(path, config, addresses.here()) for path in options.paths]
    become_owner(state)
    point = config.rclone.mount_point
    mounted = below.Mounted(point, _PATIENCE)
    mounted.demand()
    watch = watcher(_say, _INTERVAL)
    reader = Reader(point, mounted, RemoteControl(config.rclone.rc_addr, state), watch)
    places = [os.path.join(point, as_mount_shows(name)) for name in names]
    told = Told()
    started = time.monotonic()
    try:
        warm_all(mounted.walk(places), reader, told)
    except Stopped:
        told.trouble = Unavailable("stopped by a signal", hint="what was read stays in the cache")
    except MediapipeError as error:
        if not told.warmed and not told.skipped:
            raise
        told.trouble = error
    finally:
        watch.end()
    told.seconds = time.monotonic() - started
    _report(told, as_json=options.json)
    return told.status


def why_not(need: int, cache: vfs_cache.Cache, held: int, free: int) -> str:
    """Tell why so many bytes do not fit beside the `held` ones, or give an empty string."""
    if need <= 0:  # all of it is there
        return ""
    if cache.largest is not None and need > cache.largest - held:
        left = human(max(cache.largest - held, 0))
        return f"{human(need)} do not fit: {left} are left of vfs_cache_max_size"
    if need > free - cache.kept_free:
        left = human(max(free - cache.kept_free, 0))
        return f"{human(need)} do not fit: {left} are left above vfs_cache_min_free_space"
    return ""


def warm_all(files: Sequence[below.Found], reader: Reader, told: Told) -> None:
    """Read file after file, each where it fits at that moment; what is left is told as skipped."""
    reader.begin(files)
    left = {reader.name(one): "not begun" for one in files}
    try:
        for one in files:
            name = reader.name(one)
            try:
                reason = one.trouble or reader.why_not(one)
                if not reason:
                    left[name] = "begun, and not read to its end"
                    reader.read(one)
            except (ActionFailed, _FullError) as failure:
                reason = str(failure)
            if reason:
                told.skipped[name] = reason
            else:
                told.warmed[name] = one.size
            del left[name]
    finally:
        told.skipped.update(left)


class _FullError(Exception):
    """The disk has become full meanwhile."""


class Reader:
    """Reads files, and shows how far it is."""

    def __init__(
        self, point: str, mounted: below.Mounted, control: RemoteControl, watch: Watcher
    ) -> None:
        """See that there is a cache; raises as `vfs_cache.ask`."""
        self._point, self._mounted, self._control, self._watch = point, mounted, control, watch
        self._total = self._files = self._done = self._sent = 0
        self._started = self._shown = time.monotonic()
        self._cache = vfs_cache.ask(control)

    def name(self, one: below.Found) -> str:
        """Give its path below the mount point."""
        return os.path.relpath(one.path, self._point)

    def begin(self, files: Sequence[below.Found]) -> None:
        """Take what all of it comes to."""
        self._files, self._total = len(files), sum(one.size for one in files)

    def why_not(self, one: below.Found) -> str:
        """Look how much of it is missing, and whether that fits now."""
        self._cache = cache = vfs_cache.ask(self._control)
        items = {item.name: item.held for item in cache.items()}
        held = max(cache.held, sum(items.values()))
        reason = why_not(one.size - items.get(self.name(one), 0), cache, held, cache.free())
        if reason:
            self._done += 1
            self._total -= one.size
        return reason

    def read(self, one: below.Found) -> None:
        """Read a file that fits; raises ActionFailed, and _FullError where it fits no more."""
        read = 0

        def take(count: int) -> None:
            nonlocal read
            read += count
            self._sent += count
            now = time.monotonic()
            if now - self._shown >= self._watch.interval:
                self._shown = now
                self._show(one, read, now)
                if self._cache.free() < self._cache.kept_free:
                    raise _FullError("the disk is full meanwhile, and rclone drops other files")

        self._mounted.read(one.path, take)
        self._done += 1

    def _show(self, one: below.Found, read: int, now: float) -> None:
        rate = self._sent / (now - self._started)
        left = max(self._total - self._sent, 0) / rate if rate else None
        at = Transfer(self.name(one), one.size, read)
        self._watch.show(
            Progress(
                self._done, self._files, self._sent, self._total, rate, left, (at,), doing="Warming"
            )
        )


def _say(_event: str, /, *, level: str = "info", **fields: object) -> None:  # noqa: ARG001
    """Tell of the progress in plain lines: no job runs that a log would be of."""
    sys.stderr.write(f"{fields['message']}\n")
    sys.stderr.flush()


def _report(told: Told, *, as_json: bool) -> None:
    if as_json:
        answer = {
            "outcome": told.trouble.outcome if told.trouble
            else "partial" if told.skipped else "done",
            "reason": str(told.trouble) if told.trouble else None,
            "warmed": [{"path": name, "size": size} for name, size in told.warmed.items()],
            "skipped": [{"path": name, "reason": why} for name, why in told.skipped.items()],
            "seconds": round(told.seconds, 3),
        }  # fmt: skip
        sys.stdout.write(json.dumps(answer) + "\n")
        return
    lines = [f"{'warm':>7}  {shown(name)} ({human(size)})" for name, size in told.warmed.items()]
    lines += [f"{'skip':>7}  {shown(name)}: {why}" for name, why in told.skipped.items()]
    if told.trouble is not None:
        lines.append(f"{told.trouble.outcome}: {told.trouble}")
        lines += [f"hint: {told.trouble.hint}"] * bool(told.trouble.hint)
    elif any("do not fit" in why for why in told.skipped.values()):
        lines.append(
            "hint: what nobody reads for vfs_cache_max_age goes; `mediapipe cache` shows it"
        )
    count, every = len(told.warmed), len(told.warmed) + len(told.skipped)
    read = human(sum(told.warmed.values()))
    lines.append(f"warm: {count} of {every} files, {read}, {told.seconds:.1f} s")
    sys.stdout.writelines(f"{line}\n" for line in lines)
