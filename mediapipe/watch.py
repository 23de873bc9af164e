"""`mediapipe watch`: asks for an upload as soon as something new lies where uploads come from.

It is never needed: what it misses, the timers find. So whatever it cannot do, it tells, and goes on
with the rest.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from typing import TYPE_CHECKING

from mediapipe import layout, triggers
from mediapipe.adapters.inotify import Tree, limit
from mediapipe.bell import Bell, listening
from mediapipe.config_load import load
from mediapipe.debounce import Debounce
from mediapipe.errors import MediapipeError
from mediapipe.facts import replace
from mediapipe.log import Log
from mediapipe.names import matcher
from mediapipe.owner import become_owner
from mediapipe.places import find, state_folder
from mediapipe.plan import shown
from mediapipe.progress import notify

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from mediapipe.config import Config
    from mediapipe.ports import Tell

_NAME = "watch"
"""Of the file that is dropped."""
_PING = 10.0
"""Seconds between two signs of life, where systemd wants no other."""
_LEAST = 524_288
"""Watches that are worth asking for at least: what they cost is paid only where they are used."""


def watch(options: Namespace) -> int:
    """Watch until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
    path = find(options.config)
    config = load(path)
    state = state_folder(config.paths.state)
    become_owner(state)
    tell = Log("mediapipe-watch", verbose=options.verbose)
    with listening() as bell:
        watcher = _Watcher(config, state, tell, bell)
        watcher.run(path)
    return 0


class _Overheard(logging.Handler):
    """Hears of watchdog what it tells nobody else: changes were lost, so something did change."""

    def __init__(self, tell: Tell, bell: Bell) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self._bell = bell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell("watch.trouble", level="warning", reason=shown(record.getMessage()))
        self._bell.change("")


class _Watcher:
    """The main loop and what it holds."""

    def __init__(self, config: Config, state: str, tell: Tell, bell: Bell) -> None:
        self._state = state
        self._tell = tell
        self._bell = bell
        self._debounce = Debounce(config.upload.settle)
        self._wanted = roots_of(config)
        self._trees: dict[str, Tree] = {}
        self._told: dict[str, str] = {}
        self._status = ""
        self._ready = False
        wanted = float(os.environ.get("WATCHDOG_USEC", 2 * _PING * 1e6)) / 1e6
        self._ping = min(_PING, wanted / 2)

    def run(self, path: str) -> None:
        """Go round until told to end; each round is one sign of life."""
        logging.getLogger("watchdog").addHandler(_Overheard(self._tell, self._bell))
        self._plant()
        while not self._bell.ended:
            if self._bell.crash is not None:
                raise self._bell.crash  # systemd starts it anew, which is better than half of it
            if self._bell.reload:
                self._bell.reload = False
                self._reload(path)
            self._report()
            notify("WATCHDOG=1")
            due = self._debounce.due()
            left = self._ping if due is None else min(self._ping, due - time.monotonic())
            changes, mounted = self._bell.wait(left)
            if mounted:
                for tree in self._trees.values():
                    tree.look()
            self._take(changes)
        notify("STOPPING=1\nSTATUS=")

    def _take(self, changes: list[str]) -> None:
        now = time.monotonic()
        if changes:
            for one in dict.fromkeys(changes):
                self._tell("watch.changed", level="debug", path=shown(one))
            self._debounce = self._debounce.note(now)
        due = self._debounce.due()
        if due is None or due > now:
            return
        self._debounce = self._debounce.ask(now)
        try:
            triggers.drop(self._state, _NAME)
        except OSError as error:
            self._tell(
                "watch.unheard", level="warning", path=f"{self._state}/{triggers.UPLOAD}",
                reason=f"an upload cannot be asked for: {error.strerror}",
                hint="the timer starts one within two minutes",
            )  # fmt: skip

    def _plant(self) -> None:
        """Start what the configuration names and is not watched yet, end what it names no more."""
        for root in self._trees.keys() - self._wanted.keys():
            self._trees.pop(root).end()
            self._told.pop(root, None)
        for root in self._wanted.keys() - self._trees.keys():
            self._trees[root] = Tree(root, functools.partial(self._changed, root), self._bell.ring)
            self._trees[root].start()

    def _changed(self, root: str, path: str) -> None:
        if self._wanted.get(root, _nothing)(path):
            self._bell.change(path)

    def _reload(self, path: str) -> None:
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            config = load(path)
        except MediapipeError as error:
            self._tell("watch.reloaded", level="error", outcome=error.outcome, reason=str(error),
                       hint="what was watched before is still watched")  # fmt: skip
        else:
            self._wanted = roots_of(config)
            self._debounce = replace(self._debounce, settle=config.upload.settle)
            self._plant()
            self._tell("watch.reloaded", outcome="done")
        for tree in self._trees.values():
            tree.look(again=tree.state not in ("looking", "arming", "watched"))
        self._ready = False

    def _report(self) -> None:
        """Tell each new state once, to the log and to systemd."""
        now = time.monotonic()
        words = []
        for root, tree in self._trees.items():
            text, hint = self._words(tree, now)
            words.append(f"{shown(root)}: {text}")
            if text == self._told.get(root):
                continue
            self._told[root] = text
            good = tree.state in ("looking", "arming", "watched") and not tree.hangs(now)
            busy = good and tree.state != "watched"
            self._tell("watch.root", level="debug" if busy else "info" if good else "warning",
                       path=shown(root), message=text, hint=hint or None)  # fmt: skip
        status = "; ".join(words)
        settled = all(
            tree.state not in ("looking", "arming") or tree.hangs(now)
            for tree in self._trees.values()
        )
        if settled and not self._ready:
            self._ready = True
            notify("READY=1")
        if not self._ready:
            notify(f"EXTEND_TIMEOUT_USEC={int(4 * _PING * 1e6)}")
        if status != self._status:
            self._status = status
            notify(f"STATUS={status}")

    def _words(self, tree: Tree, now: float) -> tuple[str, str]:
        """Give what is the matter with a root, and what to do about it."""
        timers = "the timers look at it"
        if tree.hangs(now):
            return f"does not answer; {timers}", "is a mount there dead?"
        if tree.state == "watched":
            return f"watched, {tree.folders:,} folders", ""
        if tree.state == "missing":
            return f"is not there{f' ({tree.reason})' if tree.reason else ''}; waited for", ""
        if tree.state == "limit":
            name, number = limit()
            total = sum(one.folders for one in self._trees.values())
            needed = max(_LEAST, 1 << (2 * total).bit_length())
            text = (
                f"not watched, {timers}: the {number:,} watches of {name} "
                f"do not do for {total:,} folders"
            )
            return text, f"sysctl {name}={needed}, in /etc/sysctl.d to last; then reload"
        if tree.state == "instances":
            name = "fs.inotify.max_user_instances"
            return f"not watched, {timers}: {name} is reached", f"sysctl {name}=1024; then reload"
        if tree.state == "refused":
            return f"not watched, {timers}: {tree.reason}", ""
        return tree.state, ""


def _nothing(_path: str) -> bool:
    return False


def roots_of(config: Config) -> dict[str, Callable[[str], bool]]:
    """Give root → what tells of a path below it whether it concerns an upload.

    None of them lies inside another. SABnzbd's spool is none of them: a `.path` unit watches it.
    """
    ours = matcher((*config.upload.ignore, *config.upload.unfinished))

    def in_library(path: str) -> bool:
        return not ours(os.path.basename(path))

    def uncategorized(path: str) -> bool:
        return path in found or (in_library(path) and layout.is_item_anyway(path, config))

    found = {str(library.root): in_library for library in config.libraries.values()}
    found |= dict.fromkeys(layout.containers(config), uncategorized)
    return {
        root: wanted
        for root, wanted in found.items()
        if not any(layout.inside(root, other) for other in found)
    }
