"""The commands that are no jobs: they take no lock, plan nothing, and answer a question."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from mediapipe import writing
from mediapipe.config_load import load
from mediapipe.errors import ConfigError, Refused, Unavailable
from mediapipe.facts import fact
from mediapipe.places import find, state_folder
from mediapipe.plan import shown

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence

    from mediapipe.config import Config
    from mediapipe.lifecycle import Rule


def config_check(options: Namespace) -> int:
    """Check a configuration: no network, no secret and no existing path is needed."""
    path = find(options.file or options.config)
    config = load(path)
    for library_name, library in config.libraries.items():
        if library.arr and library.arr not in config.arr and library.after_delete == "delete":
            sys.stderr.write(
                f"warning: libraries.{library_name}.arr names {library.arr!r}, which has no table "
                f"[arr.{library.arr}]: it may download again what cleanup deleted\n"
            )
    if closed := writing.protected(config):
        units = "qbt-upload-b2.service qbt-cleanup.service"
        sys.stderr.write(
            f"warning: the units that we ship may not write to {', '.join(closed)}; "
            f"to allow it, {writing.drop_in([*closed.values()], units)}\n"
        )
    sys.stdout.write(f"{path} is sound\n")
    return 0


@fact
class SetLifecycle:
    """A lifecycle rule that was set, for the audit."""

    path: str
    """The remote."""
    rules: Sequence[Rule]
    before: Sequence[Rule]
    kind: str = "set-lifecycle"
    reason: str = "asked for by `mediapipe lifecycle --apply`"

    def details(self) -> dict[str, object]:
        """Further fields of the audit."""
        return {"before": list(self.before), "rules": list(self.rules)}


def lifecycle(options: Namespace) -> int:
    """Show the bucket's lifecycle rules, and set the one that we offer where that is asked for.

    Raises Refused where the rule of somebody else would be dropped.
    """
    from mediapipe import audit
    from mediapipe import lifecycle as rules_of
    from mediapipe.adapters.rclone import Rclone
    from mediapipe.owner import become_owner

    config = load(find(options.config))
    state = state_folder(config.paths.state)
    become_owner(state)
    bucket = Rclone(config.rclone, config.upload).bucket()
    if bucket is None:
        raise ConfigError(
            f"{config.rclone.remote} is not plainly B2, so its rules cannot be read",
            hint="name a remote of type b2, or see to the rules on B2's own pages",
        )
    folder = _folder(config)
    offered = rules_of.offer(folder)
    before = bucket.rules()
    in_force = any(rules_of.same(rule, offered) for rule in before)
    obstacle = rules_of.in_the_way(before, offered)
    if not options.json:
        _write_rules("rules now", before)
        _write("offered", [rules_of.in_words(offered) + (" (in force)" if in_force else "")])
        _write("warning", rules_of.warnings(before, folder))
    after = before
    if options.apply and not in_force:
        if obstacle:
            raise Refused(
                f"nothing was changed: it would drop the rule of {obstacle}",
                hint="remove that rule on B2's own pages (Buckets, Lifecycle Settings), then again",
            )
        try:
            audit.demand_writable(state)
        except OSError as error:
            raise Unavailable(
                f"nothing was changed: cannot write {state}/{audit.NAME}: {error.strerror}",
                hint="run it as root or as the owner of the state folder, after the first upload",
            ) from None
        after = tuple(rules_of.with_ours(before, offered))
        try:
            bucket.set_rules(after)
        except ConfigError as error:
            raise ConfigError(
                f"nothing was changed: {error}",
                hint="it takes a key with writeBuckets, for this once, or B2's own pages",
            ) from None
        audit.append(state, "lifecycle", SetLifecycle(config.rclone.remote, after, before), {})
        after = bucket.rules()
    if options.json:
        answer = {
            "outcome": "done", "reason": None, "remote": config.rclone.remote, "folder": folder,
            "before": list(before), "after": list(after), "offered": offered,
            "in_force": any(rules_of.same(rule, offered) for rule in after),
            "warnings": rules_of.warnings(after, folder),
        }  # fmt: skip
        sys.stdout.write(json.dumps(answer) + "\n")
    elif options.apply:
        _write_rules("rules after", after)
    elif not in_force:
        _write(
            "to set it",
            [f"first remove: {obstacle}" if obstacle else "mediapipe lifecycle --apply"],
        )
    return 0


def status(options: Namespace) -> int:
    """Tell what the jobs remember: takes no lock, asks no service, writes nothing."""
    from mediapipe import status as what
    from mediapipe.arguments import UNITS
    from mediapipe.disk import folder_index
    from mediapipe.history import copy_history

    state = state_folder(load(find(options.config)).paths.state)
    looked: dict[str, float] = {}
    with contextlib.suppress(OSError):
        # an upload with nothing to do touches its index, and leaves no other trace
        looked["upload"] = os.stat(os.path.join(state, folder_index.NAME)).st_mtime
    with contextlib.closing(copy_history(state)) as history:
        found = what.gather(history, tuple(UNITS), looked, time.time())
    if options.json:
        sys.stdout.write(json.dumps(what.as_json(found)) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in what.as_text(found)))
    return 0


def history(options: Namespace) -> int:
    """Show what was changed, oldest first. Raises Unavailable."""
    from mediapipe import audit, changes

    state = state_folder(load(find(options.config)).paths.state)
    since = None if options.since is None else time.time() - options.since
    wanted = changes.places(options.path) if options.path else frozenset[str]()
    unreadable: list[str] = []
    found = False
    try:
        for line in changes.chosen(state, since, wanted, unreadable):
            found = True
            text = json.dumps(line) if options.json else changes.as_text(line)
            sys.stdout.write(f"{text}\n")
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise Unavailable(
            f"cannot read {state}/{audit.NAME}: {error.strerror}",
            hint="run it as root or as the owner of the state folder; what is no file there has to "
            "be moved away",
        ) from None
    if not found and not options.json:
        sys.stdout.write("nothing that was changed is known\n")
    sys.stderr.write("".join(f"warning: {line}\n" for line in unreadable))
    return 0


def explain(options: Namespace) -> int:
    """Tell all of a file or a torrent: takes no lock, writes nothing."""
    from mediapipe import building, explanation
    from mediapipe.explain import Contexts
    from mediapipe.explain import explain as tell_of
    from mediapipe.log import Log
    from mediapipe.progress import watcher
    from mediapipe.runner import Context, opened

    path = find(options.config)
    config = load(path)
    state, now = state_folder(config.paths.state), time.time()
    tell = Log("mediapipe", verbose=False)
    with (
        opened(state, "upload", dry_run=True) as first,
        opened(state, "cleanup", dry_run=True) as second,
        contextlib.ExitStack() as open_,
    ):
        one, other = (
            Context(config, history, tell, watcher(tell, 30.0), state, now, True, path)
            for history in (first, second)
        )
        told = tell_of(
            options.subject,
            Contexts(one, other),
            lambda: building.qbittorrent(other, "cleanup", path),
            functools.cache(lambda: building.rclone(other, "cleanup", path)),
            lambda paths: building.mounted(other).read_ends(paths),
            open_.enter_context(building.apps(other)),
            building.unarchiver,
        )
    if options.json:
        sys.stdout.write(json.dumps(explanation.as_json(told)) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in explanation.as_text(told)))
    return 0


def _elsewhere(options: Namespace) -> int:
    """Do what a module of its own does, which is loaded only now."""
    module = importlib.import_module(f"mediapipe.{_MODULES[options.verb]}")
    answer: int = getattr(module, options.verb.replace("-", "_"))(options)
    return answer


def _folder(config: Config) -> str:
    """Give the folder of the bucket that all of ours lie in: `media/`, or "" for the bucket."""
    from mediapipe import layout
    from mediapipe.adapters.b2_names import bucket_and_folder

    below = bucket_and_folder(config.rclone.remote)[1].strip("/")
    folders = [f"{below}/{folder}".lstrip("/") for folder in layout.remote_folders(config)]
    common = os.path.commonpath(folders)
    return f"{common}/" if common else ""


def _write_rules(title: str, rules: Sequence[Mapping[str, object]]) -> None:
    from mediapipe.lifecycle import in_words

    _write(title, [in_words(rule) for rule in rules] or ["none: every version is kept for ever"])


def _write(title: str, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        sys.stdout.write(f"{'' if number else title:>11}  {shown(line)}\n")


_MODULES = {
    "alert": "alert",
    "cache": "cached",
    "doctor": "examining",
    "logs": "logs",
    "ls": "remote_listing",
    "mount": "mounting",
    "wait-for": "waiting",
    "warm": "warming",
    "watch": "watch",
}
"""Verb → the module whose function of that name does it."""
VERBS: dict[str, Callable[[Namespace], int]] = {
    "config check": config_check,
    "explain": explain,
    "history": history,
    "lifecycle": lifecycle,
    "status": status,
    **dict.fromkeys(_MODULES, _elsewhere),
}
