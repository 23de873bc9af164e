"""`mediapipe doctor [TOPIC…]`: builds what the doctor looks through, and tells what it found."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from mediapipe import building, latch, waiting
from mediapipe.config_load import load
from mediapipe.database import NAME
from mediapipe.doctor import findings, host, probe, prowlarr, services, settings, units
from mediapipe.errors import MediapipeError, Unavailable, UsageError
from mediapipe.facts import fact
from mediapipe.history import copy_history, no_history, open_history
from mediapipe.log import Log
from mediapipe.owner import become_owner
from mediapipe.places import find, state_folder
from mediapipe.progress import watcher
from mediapipe.runner import Context

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from mediapipe.apps import App
    from mediapipe.doctor.findings import Notes
    from mediapipe.history import History
    from mediapipe.ports import TorrentClient
    from mediapipe.units import SecretFile

_SYSTEMCTL = 10.0
"""Seconds that systemd may take to tell of its units."""


@fact
class _Visit:
    context: Context
    notes: Notes
    asked: frozenset[str]
    """Topics that were named; empty where all are looked at."""


def doctor(options: Namespace) -> int:
    """Look at the topics that are named, else at all; gives the exit status.

    Raises UsageError for a topic that there is not.
    """
    if unknown := [one for one in options.topics if one not in _TOPICS]:
        raise UsageError(
            f"there is no topic {unknown[0]!r}", hint=f"it can be {', '.join(_TOPICS)}"
        )
    path = find(options.config)
    config = load(path)
    state = state_folder(config.paths.state)
    become_owner(state)
    tell = Log("mediapipe-doctor", verbose=False)
    notes = findings.Notes(show=_show if sys.stderr.isatty() else lambda _subject: None)
    with contextlib.closing(_history(state, notes)) as history:
        watch = watcher(tell, config.upload.stats_interval)
        context = Context(config, history, tell, watch, state, time.time(), True, path)
        visit = _Visit(context, notes, frozenset(options.topics))
        for topic, examine in _TOPICS.items():
            if not options.topics or topic in options.topics:
                examine(visit)
        for error in notes.refused:
            latch.note(error, "doctor", context, path)
    _show("")
    if options.json:
        sys.stdout.write(json.dumps(findings.as_json(notes)) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in findings.as_text(notes)))
    return notes.exit_status


def _show(subject: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{f'looking at {subject}' if subject else ''}")
        sys.stderr.flush()


def _history(state: str, notes: Notes) -> History:
    """Open the history, so that what was tried is remembered; a copy where that is not ours."""
    if os.access(state, os.W_OK):
        with contextlib.suppress(MediapipeError):
            return open_history(state)
    with notes.looking("config", f"{state}/{NAME}"):
        return copy_history(state)
    return no_history()


def _config(visit: _Visit) -> None:
    host.examine_config(visit.context.config, visit.notes)


def _mounts(visit: _Visit) -> None:
    config = visit.context.config
    lists = functools.partial(waiting.mounted, config.rclone.mount_point)
    host.examine_mounts(config, visit.context.history, lists, visit.notes)


def _qbittorrent(visit: _Visit) -> None:
    context = visit.context

    def client() -> TorrentClient:
        table = context.config.qbittorrent
        _demand_secret(table.password_file if table.username else table.api_key_file)
        built = building.qbittorrent(context, "doctor", context.path)
        built.wait(0)
        return built

    services.examine_qbittorrent(client, context.config, visit.notes)


def _remote(visit: _Visit) -> None:
    context = visit.context
    remote = functools.cache(lambda: building.rclone(context, "doctor", context.path))
    services.examine_remote(remote, context.config, visit.notes)


def _sabnzbd(visit: _Visit) -> None:
    table = visit.context.config.sabnzbd
    if table is None:
        return

    def ready() -> str:
        _demand_secret(table.api_key_file)
        return building.sabnzbd(table).ready()

    services.examine_sabnzbd(ready, visit.context.config, visit.notes)


def _arr(visit: _Visit) -> None:
    context, notes = visit.context, visit.notes
    probe.examine(context.config, notes)
    apps: list[App] = []
    with building.arrs(context, waiting=True) as client:
        for name, table in context.config.arr.items():
            with notes.looking("arr", name):
                _demand_secret(table.api_key_file)
                client(name).ready()
                apps.append(client(name))
        fed = [app for app in apps if app.kind != "prowlarr"]
        for app in fed:
            settings.examine(app, context.config, notes)
        for app in apps:
            if app.kind == "prowlarr":
                asked = "arr" in visit.asked
                prowlarr.examine(app, fed, context.history, context.now, notes, asked=asked)


def _units(visit: _Visit) -> None:
    units.examine(_systemctl, visit.notes, asked="units" in visit.asked)


@functools.cache
def _systemctl() -> str:
    """Give what systemd tells of our units; nothing where it does not run this host."""
    if not os.path.isdir("/run/systemd/system"):  # sd_booted(3)
        return ""
    from mediapipe.adapters import process

    command = ["systemctl", "show", f"--property={units.ASKED}", "--", *units.UNITS]
    return process.run(command, timeout=_SYSTEMCTL).output.decode(errors="replace")


def _demand_secret(file: SecretFile) -> None:
    """Raise Unavailable where a secret is a credential of a unit, which a shell has not."""
    if file and file.path() is None:
        raise Unavailable(
            f"its secret {file!r} is a credential, which only the unit has",
            hint="systemctl start mediapipe-doctor, then journalctl -u mediapipe-doctor -n 50",
        )


_TOPICS: dict[str, Callable[[_Visit], None]] = {
    "config": _config,
    "mounts": _mounts,
    "qbittorrent": _qbittorrent,
    "sabnzbd": _sabnzbd,
    "remote": _remote,
    "arr": _arr,
    "units": _units,
}
