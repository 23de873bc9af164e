"""Do deletions step by step, each looked at again right before it happens."""

from __future__ import annotations

import os
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

from mediapipe import audit, companions
from mediapipe.abandoned import unknown_proofs
from mediapipe.claims import claims_of
from mediapipe.disk.index import is_gone, look, same
from mediapipe.disk.marker import SUFFIX
from mediapipe.errors import Stale
from mediapipe.folders import may_go
from mediapipe.linking import put_link
from mediapipe.runner import Context, Result, attempt, lock
from mediapipe.unmonitoring import unmonitor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mediapipe.config import Config
    from mediapipe.ports import Torrent, TorrentClient
    from mediapipe.step import Delete
    from mediapipe.unmonitoring import Apps


def remove_all(
    actions: Sequence[Delete],
    planned: Mapping[str, str],
    client: TorrentClient,
    apps: Apps,
    context: Context,
) -> Iterator[Result]:
    """Do the deletions, group by group; a group stops where a title or its torrent stays.

    `planned` are the torrents (hash → name) that the plan knew of.
    """
    staying: set[str] = set()  # hashes of torrents that should have gone and did not
    for _, group in groupby(actions, key=lambda action: action.group):
        steps = list(group)
        with lock(context.state):
            if reason := _why_changed(steps, planned, client, context.config):
                staying |= {step.torrent.hash for step in steps if step.torrent}
                yield from (Result(step, "stale", reason) for step in steps)
            else:
                yield from _remove(steps, staying, client, apps, context)


def _remove(
    steps: Sequence[Delete],
    staying: set[str],
    client: TorrentClient,
    apps: Apps,
    context: Context,
) -> Iterator[Result]:
    """Do one group under an intent: what a crash leaves undone, the next run asks for again."""
    history = context.history
    paths = {
        step.path: step.file.identity if step.worthless and step.file else None
        for step in steps
        if step.kind in ("delete-file", "delete-link", "symlink") or step.worthless
    }
    torrent = next((step.torrent for step in steps if step.torrent), None)
    intent = steps[0].intent
    lines = [audit.line_of("cleanup", step, _audited(step)) for step in steps]
    links = [step.path for step in steps if step.kind == "delete-link"]
    with history.together():
        deeds = history.begin(lines, audit.length(context.state))
        if not steps[0].beside:
            companions.remember(links, history, context.now)
            if paths and not intent:
                hash_ = torrent.hash if torrent else ""
                intent = history.intend(steps[0].name, hash_, paths, context.now)
    whole = True
    for number, step in enumerate(steps):
        result = attempt(step, lambda one: apply(one, staying, client, apps, context))
        yield result
        if result.status == "failed":
            whole = False
        if result.status != "done" and (step.torrent or step.answer):
            if torrent:
                staying.add(torrent.hash)
            whole = whole and (step.answer is None or not steps[0].intent)
            what = "its torrent was not removed" if step.torrent else "its title is still monitored"
            yield from (Result(rest, "stale", what) for rest in steps[number + 1 :])
            break
        if step.torrent:
            history.forget_torrents([step.torrent.hash])
    with history.together():
        history.end([deeds])
        if whole and intent:
            history.finish(intent)


def apply(
    step: Delete, staying: set[str], client: TorrentClient, apps: Apps, context: Context
) -> dict[str, object]:
    """Do one step; gives what a restore needs beside what the plan tells.

    Raises Stale where the file is no longer the one that was planned.
    """
    if step.answer is not None:
        _demand_planned(step, staying)
        unmonitor(step.answer, apps)
    elif step.torrent is not None:
        client.remove(step.torrent)
    elif step.kind == "remove-directory":
        try:
            os.rmdir(step.path)
        except FileNotFoundError:
            raise Stale("it is gone already") from None
        except OSError as error:
            raise Stale(f"it stays: {error.strerror}") from None
    else:
        _demand_planned(step, staying)
        if step.kind == "delete-marker":
            _demand_marker(step)
            if step.worthless:
                _outlive(step, context)
        if step.kind == "symlink":
            put_link(step)
        else:
            os.unlink(step.path)
    return _audited(step)


def _demand_planned(step: Delete, staying: set[str]) -> None:
    """Raise Stale unless a file is the one that was planned, and nobody needs it any more."""
    if step.claimants & staying:
        raise Stale("a torrent that was to go with it is still there")
    found = look(step.path)
    if found is None:
        raise Stale("it is gone already")
    if step.file is None or not same(found, step.file):
        raise Stale("it changed since the plan was made")


def _demand_marker(step: Delete) -> None:
    """Raise Stale unless it is a marker of ours or an empty one: a torrent may hold such a name."""
    if step.file is None or not may_go(step.file):
        raise Stale("it is no marker of ours")


def _audited(step: Delete) -> dict[str, object]:
    """Give the file's own time and, where it was an archive, the members with their sizes."""
    if step.file is None or not step.proof:
        return {}
    fields: dict[str, object] = {"mtime_ns": step.file.mtime_ns}
    if [one.size for one in step.proof] != [step.file.size]:
        fields["objects"] = [asdict(one) for one in step.proof]
    return fields


def _outlive(step: Delete, context: Context) -> None:
    """Let history know what a marker says whose item is gone: its file may have another name now.

    Raises Stale where the item is there again, OSError where the marker cannot be read.
    """
    if not is_gone(step.path.removesuffix(SUFFIX)):
        raise Stale("its item is there again")
    unknown = tuple(unknown_proofs(step.path, context.history))
    with context.history.together():
        for identity, proof in unknown:
            context.history.prove(identity, proof, context.now)


def _why_changed(
    steps: Sequence[Delete], planned: Mapping[str, str], client: TorrentClient, config: Config
) -> str:
    """Read the claims again, after the walk and right before deleting; tell what changed."""
    first = steps[0]
    for path in sorted(first.after):
        if not is_gone(path):
            return f"{path}, with which it was to go, is still there"
    if first.bare and (found := companions.medium_below(first.name, config)):
        return f"{found} is in its folder now"
    torrents = client.torrents()
    torrent = next((step.torrent for step in steps if step.torrent), None)
    if torrent is not None and not _is_at_rest(torrent, torrents):
        return "its torrent changed since the plan was made"
    new = [one for one in torrents if one.hash not in planned]
    if new:
        claims = claims_of(new, client)
        for step in steps:
            for hash_ in claims.of(step.path, step.file):
                name = next(one.name for one in new if one.hash == hash_)
                return f"the torrent {name} was added meanwhile and holds {step.path}"
    return ""


def _is_at_rest(planned: Torrent, torrents: Sequence[Torrent]) -> bool:
    now = next((one for one in torrents if one.hash == planned.hash), None)
    return now is not None and now.complete and now.save_path == planned.save_path
