"""`mediapipe alert`: tells people what failed, what is held up for long, and what works again.

With a unit it is the OnFailure= of that unit; without one the timer looks after all of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import sys
import time
import tomllib
from typing import TYPE_CHECKING, TypeVar

from mediapipe import alerts, places, regular
from mediapipe.adapters import journal, notify
from mediapipe.alert_memory import Store
from mediapipe.alerts import Failure, Memory, Message, Owed
from mediapipe.arguments import UNITS
from mediapipe.config_load import load
from mediapipe.errors import ConfigError, MediapipeError, Unavailable, UsageError
from mediapipe.facts import fact, replace
from mediapipe.history import copy_history, open_history
from mediapipe.log import Log
from mediapipe.owner import become_owner
from mediapipe.plan import shown
from mediapipe.streams import is_journal
from mediapipe.units import AbsPath, SecretFile

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from mediapipe.history import History
    from mediapipe.ports import Tell

T = TypeVar("T")

_LINES = 10
_MOST = 500
"""Characters of what is wrong with the configuration."""
_TEST = "test"
_OURSELVES = "mediapipe-alert"
_HISTORY = "history.db"
"""Stands for a unit: no job can tell of an outage that keeps it from its own memory."""
_UNIT = re.compile(r"[\w:@\\-][\w:@\\.-]*\.[a-z]+", re.ASCII)
"""As systemd.unit(5) has it."""
_JOBS = {f"{unit}.service": job for job, unit in UNITS.items()}


@fact
class _Settings:
    state: str
    urls_file: SecretFile
    trouble: str = ""


def alert(options: Namespace) -> int:
    """Tell of a unit, or look after all of them.

    Raises UsageError, ConfigError for the file of URLs, Unavailable where somebody was not reached.
    """
    settings = _settings(places.find(options.config))
    tell = Log("mediapipe-alert", verbose=False)
    office = _Office(settings, tell, dry_run=options.dry_run)
    if options.unit is None:
        office.look_after_all()
    elif options.unit == _TEST:
        office.test()
    elif not _UNIT.fullmatch(options.unit):
        raise UsageError(
            f"{options.unit!r} is no unit", hint="with its ending: qbt-upload-b2.service; or: test"
        )
    elif options.unit.startswith(_OURSELVES):
        office.say(f"{options.unit}: nobody is told of alerts themselves")
    else:
        office.failed(options.unit)
    return 0


class _Office:
    """Knows people, and what they were told."""

    def __init__(self, settings: _Settings, tell: Tell, *, dry_run: bool) -> None:
        self._settings = settings
        self._tell = tell
        self._rehearsal = dry_run
        self._store = Store(settings.state)
        self._host = os.uname().nodename
        self._now = time.time()
        self._trouble: list[MediapipeError] = []

    def failed(self, unit: str) -> None:
        """Tell that a unit failed, unless that was told today."""
        failure, lines = _look(unit)  # while root may still read the journal
        if self._settings.trouble:
            lines = [*lines, f"(the configuration is not sound: {self._settings.trouble})"]
        become_owner(self._settings.state)
        memory, message = alerts.failed(
            self._store.read(unit), failure, lines, self._host, self._now
        )
        if message is None:
            self.say(f"{unit}: {failure.words()}; that was told within a day")
        self._keep(unit, memory, message)
        self._end()

    def look_after_all(self) -> None:
        """Tell of long outages and of what works again, and what could not be told before."""
        starts = {
            unit: _started(unit)
            for unit in self._store.units()
            if unit not in _JOBS and unit != _HISTORY
        }
        become_owner(self._settings.state)
        opened = copy_history if self._rehearsal else open_history
        try:
            with contextlib.closing(opened(self._settings.state)) as history:
                for unit, job in _JOBS.items():
                    self._look_after_job(unit, job, history)
            memory = self._store.read(_HISTORY)
            self._keep(_HISTORY, *alerts.good(memory, _HISTORY, self._now, self._host))
        except (MediapipeError, sqlite3.Error) as error:
            memory = self._store.read(_HISTORY)
            since = self._now if memory.since is None else memory.since
            reason = f"no job can run: {error}"
            out = alerts.held_up(memory, _HISTORY, since, reason, self._host, self._now)
            self._keep(_HISTORY, *out)
        for unit, moment in starts.items():
            self._keep(unit, *alerts.good(self._store.read(unit), unit, moment, self._host))
        self._end()

    def _look_after_job(self, unit: str, job: str, history: History) -> None:
        memory = self._store.read(unit)
        done = history.last_runs(good=True).get(job)
        # an idle pass leaves no row, and none follows a run that did not end well
        moment = done.started + done.seconds if done else None
        out = alerts.outage(history.newest_runs(job))
        if out is None or (moment is not None and moment >= out[1]):
            self._keep(unit, *alerts.good(memory, unit, moment, self._host))
        elif job != "categories" and self._now - out[1] < alerts.LASTING:
            # categories give up and fail after an hour, which is told as a failure
            since, until, reason = out
            self._keep(unit, *alerts.held_up(memory, unit, since, reason, self._host, until))

    def test(self) -> None:
        """Send a message that says that messages arrive."""
        if not self._settings.urls_file:
            if self._settings.trouble:
                raise ConfigError(f"it is not known whom to tell: {self._settings.trouble}")
            raise ConfigError(
                "notify.urls_file is blank: nobody is told of anything",
                hint="name a file with one apprise URL per line",
            )
        message = Message(f"{self._host}: a test", "mediapipe can reach you here.", "success")
        if self._rehearsal:
            self._publish(_TEST, message)
            return
        self._send(Owed(message))
        self._end()
        self.say("everybody was reached")

    def say(self, text: str) -> None:
        """Say something to who started this."""
        if is_journal(sys.stdout):
            self._tell("alert.spared", message=text)
        else:
            sys.stdout.write(f"{text}\n")

    def _keep(self, unit: str, memory: Memory, message: Message | None) -> None:
        """Tell what is to be told, and remember it; what reached nobody is owed."""
        before = self._store.read(unit)
        owed = Owed(message) if message else memory.owed
        if message is not None:
            self._publish(unit, message)
        if not self._rehearsal:
            if owed is not None:
                owed = self._send(owed)
            memory = replace(memory, owed=owed)
            if memory != before:
                try:
                    self._store.write(unit, memory)
                except OSError as error:
                    self._trouble.append(
                        Unavailable(
                            f"cannot remember what was told of {unit}: {error.strerror}",
                            hint="is the disk full, or not yours to write to? It is told again",
                        )
                    )

    def _publish(self, unit: str, message: Message) -> None:
        """Tell the journal, or who asked by hand."""
        if is_journal(sys.stdout):
            level = "error" if message.kind == "failure" else "info"
            words = f"{message.title}\n{message.body}"
            self._tell("alert.told", level=level, unit=unit, message=words)
        else:
            would = "would tell: " if self._rehearsal else ""
            sys.stdout.write(f"{would}{message.title}\n{message.body}\n")

    def _send(self, owed: Owed) -> Owed | None:
        """Send to all that are owed; gives what is still owed then."""
        if not self._settings.urls_file:
            return None
        try:
            urls = notify.read_urls(_path(self._settings.urls_file))
            unreached, unknown = notify.send(urls, owed.message, owed.lines)
        except ConfigError as error:
            self._trouble.append(error)
            return owed
        if unknown:
            names = ", ".join(map(str, unknown))
            self._trouble.append(
                ConfigError(f"notify.urls_file: {names}: no URL that apprise knows")
            )
        if not unreached:
            return None
        names = ", ".join(map(str, unreached))
        self._trouble.append(
            Unavailable(f"not reached: {names}", hint="mediapipe-alert.timer tries again")
        )
        return replace(owed, lines=tuple(one.line for one in unreached))

    def _end(self) -> None:
        """Raise the worst of what went wrong, with all of it named."""
        if not self._trouble:
            return
        worst = max(self._trouble, key=lambda one: isinstance(one, ConfigError))
        words = "; ".join(dict.fromkeys(map(str, self._trouble)))
        raise type(worst)(words, hint=worst.hint)


def _settings(path: str) -> _Settings:
    """Give what is needed of the configuration, be the rest of it as wrong as it may.

    That it is wrong is the first thing that people must be told.
    """
    try:
        config = load(path)
        return _Settings(places.state_folder(config.paths.state), config.notify.urls_file)
    except MediapipeError as error:
        trouble = shown(" ".join(str(error).split()))[:_MOST]
    file, state = SecretFile(""), places.STATE
    try:
        table = tomllib.loads(regular.read(path).decode())
        file = SecretFile.parse(table.get("notify", {}).get("urls_file", ""))
        state = AbsPath.parse(table.get("paths", {}).get("state", state))
    except (OSError, ValueError, AttributeError, RecursionError):
        default = SecretFile("notify-urls")
        if not file and (found := default.path()) and os.path.exists(found):
            file = default
    return _Settings(places.state_folder(state), file, trouble)


def _path(file: SecretFile) -> str:
    path = file.path()
    if path is None:
        raise ConfigError(
            f"notify.urls_file = {file!r} is a credential, but $CREDENTIALS_DIRECTORY is not set",
            hint="systemctl start mediapipe-alert@test.service sends a test message",
        )
    return path


def _look(unit: str) -> tuple[Failure, list[str]]:
    """Give how a unit failed and its last lines, by systemd's own word, else by the journal."""
    env = os.environ
    if env.get("MONITOR_UNIT") == unit:
        failure = Failure(
            unit,
            env.get("MONITOR_SERVICE_RESULT", ""),
            env.get("MONITOR_EXIT_STATUS", ""),
            env.get("MONITOR_INVOCATION_ID", ""),
        )
    else:
        nothing: dict[str, str] = {}
        failure = Failure(unit, **_ask(lambda: journal.last_failure(unit), nothing))
    lines = _ask(lambda: journal.last_lines(unit, failure.invocation, _LINES), ["(no log)"])
    return failure, [shown(line) for line in lines]


def _started(unit: str) -> float | None:
    return _ask(lambda: journal.last_start(unit), None)


def _ask(question: Callable[[], T], otherwise: T) -> T:
    """Ask the journal; an alert without it is better than none."""
    try:
        return question()
    except MediapipeError as error:
        sys.stderr.write(f"warning: {error}\n")
        return otherwise
