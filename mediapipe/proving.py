"""Do uploads: send what is pending, write proofs and markers, open archives on the way."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from mediapipe import extracting, layout
from mediapipe.clearing import clear_unfinished
from mediapipe.disk import marker
from mediapipe.disk.index import fingerprint, look, same
from mediapipe.errors import ActionFailed, Stale, Unavailable
from mediapipe.gradually import Gradually, finish
from mediapipe.items import Extract, Item, Upload
from mediapipe.records import Pause, Proof
from mediapipe.renaming import hide_old
from mediapipe.runner import Context, Result, attempt, lock
from mediapipe.sending import Load, Sent, send

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from mediapipe.ports import Archives, Remote, RemoteObject
    from mediapipe.records import Proven

BATCH_FILES = 500
_LIST_FROM = 200
"""Claims below one remote folder, above which one listing of it costs less than looking."""
_PAUSE, _LONGEST_PAUSE = 120.0, 6 * 3600.0
_SLICE = 900.0
"""Seconds after which no further batch is begun: the next run looks around first, so that today's
episode does not wait for a first upload of terabytes."""


def prove_all(
    actions: Sequence[Upload | Extract],
    context: Context,
    remote: Remote,
    archives: Callable[[], Archives],
) -> Generator[Result, None, None]:
    """Do all uploads in batches, then the archives, each with its proof before the next begins."""
    _demand_bucket(context, remote)
    clear_unfinished(context, remote)
    ends = time.monotonic() + _SLICE
    extracting.sweep(context)
    there = _list(actions, remote)
    for base, prefix, batch in _batches(actions, context.config.upload.batch):
        if time.monotonic() > ends:
            return
        files = {name: file for one in batch for name, file in one.files.items()}
        copies = {name: source for one in batch for name, source in one.copies.items()}
        guarded = batch[0].item.uncategorized
        load = Load(base, prefix, files, there.get(prefix, {}), copies, guarded)
        early: set[str] = set()
        sent = (yield from _send(load, batch, early, remote, context)) if files else None
        hidden = hide_old(batch, sent, remote, context) if sent and copies else {}
        for upload in batch:
            if upload.path in early:
                continue
            result = attempt(upload, functools.partial(_prove, sent, hidden, context))
            if sent is None or sent.trouble is None:
                _rest(upload, result, context)
            yield result
        if sent and sent.trouble:
            raise sent.trouble
    for action in actions:
        if isinstance(action, Extract):
            if time.monotonic() > ends:
                return
            result = attempt(action, functools.partial(_extract, context, remote, archives))
            _rest(action, result, context)
            yield result


def _send(
    load: Load, batch: Sequence[Upload], early: set[str], remote: Remote, context: Context
) -> Generator[Result, None, Sent]:
    """Send a batch, and mark each item as soon as all of it is proven, while others are sent.

    The paths of these items are put into `early`. What is on the remote under another name, too,
    waits for the end, where that is hidden.
    """
    proven: dict[str, Proven] = {}
    items = {name: one for one in batch if not one.copies for name in one.files}
    sending = Gradually(send(load, remote, context))
    with contextlib.closing(sending):
        for name, one in sending:
            proven[name] = one
            item = items.pop(name, None)  # where one file fails, others may be sent twice
            if item is None or not item.files.keys() <= proven.keys():
                continue
            context.watcher.end()  # lines follow; the next picture draws its bars anew
            try:
                prove = functools.partial(_prove, Sent(proven, {}, None), {}, context)
                result = attempt(item, prove)
            except Unavailable:  # another run has the lock for long: marked at the end, then
                items.clear()
                continue
            early.add(item.path)
            _rest(item, result, context)
            yield result
    return sending.outcome


def _demand_bucket(context: Context, remote: Remote) -> None:
    """Before the first upload to a remote, see that its bucket is there."""
    seen = f"bucket seen {context.config.rclone.remote}"
    if context.history.last(seen) is None:
        remote.demand_bucket()
        context.history.done(seen, context.now)


def _list(
    actions: Sequence[Upload | Extract], remote: Remote
) -> dict[str, dict[str, RemoteObject]]:
    """List the folders of which much is claimed to be there: prefix → name → what is there.

    A box that comes from other programs has a marker of theirs beside each file: one call then
    tells of a thousand objects, and what is there is not sent again.
    """
    pending: dict[str, set[str]] = defaultdict(set)
    for action in actions:
        # where nothing claims to be there, the copying program need not be spared a look
        if isinstance(action, Upload) and os.path.lexists(marker.marker_path(action.item.path)):
            prefix = action.item.prefix
            pending[prefix] |= {f"{prefix}/{name}" for name in action.files}
    return {
        prefix: {
            name[len(prefix) + 1 :]: one for name, one in remote.look_below(prefix, names).items()
        }
        for prefix, names in pending.items()
        if len(names) > _LIST_FROM
    }


def _batches(
    actions: Sequence[Upload | Extract], most: int
) -> Iterator[tuple[str, str, list[Upload]]]:
    """Cut the uploads into batches of one folder each, in their order: newest first."""
    groups: dict[tuple[str, str], list[Upload]] = defaultdict(list)
    for action in actions:
        if isinstance(action, Upload):
            groups[action.item.base, action.item.prefix].append(action)
    for (base, prefix), group in groups.items():
        batch: list[Upload] = []
        files = size = 0
        for action in group:
            files += len(action.files)
            size += action.size
            if batch and (files > BATCH_FILES or size > most):
                yield base, prefix, batch
                batch, files, size = [], len(action.files), action.size
            batch.append(action)
        yield base, prefix, batch


def _rest(action: Upload | Extract, result: Result, context: Context) -> None:
    """Let what fails for a reason of its own rest for growing times."""
    history = context.history
    if result.status == "failed":
        before = history.pauses().get(action.path)
        mark = fingerprint(action.files)
        tries = before.tries + 1 if before and before.fingerprint == mark else 1
        until = context.now + min(_PAUSE * 2 ** min(tries, 16), _LONGEST_PAUSE)
        history.pause(action.path, Pause(until, tries, result.error or "", mark))
    elif result.status == "done":
        history.unpause([action.path])


def _prove(
    sent: Sent | None,
    hidden: Mapping[str, Sequence[str]],
    context: Context,
    action: Upload,
) -> dict[str, object]:
    """Write the proof rows of an upload, and the marker if the item is whole by then."""
    proofs: dict[str, Proof] = {}
    _demand_unchanged(action.item)
    for name in action.files:
        if sent is None or name not in sent.proven:
            reason = sent.failures[name] if sent else ""
            raise ActionFailed(f"{os.path.basename(name)}: {reason}")
        proofs[name] = Proof(sent.proven[name].remote, (sent.proven[name],))
    _record(action, proofs, context)
    files = [_audited(action.item, name, proof) for name, proof in proofs.items()]
    old = hidden.get(action.path)
    return {"files": files, "hidden": list(old)} if old else {"files": files}


def _extract(
    context: Context,
    remote: Remote,
    archives: Callable[[], Archives],
    action: Extract,
) -> dict[str, object]:
    """Extract an archive, send what came out, and write the proof rows of its volumes."""
    item = action.item
    place = layout.address(context.config.rclone.remote, item.remote_name(action.first))
    taken = {
        item.remote_name(name) for name in item.files if name not in action.files
    } | _members_elsewhere(action, context)
    objects, used = extracting.extract_and_send(action, taken, context, remote, archives())
    proofs = dict.fromkeys(used, Proof(place, objects))
    strays = {name: file for name, file in action.files.items() if name not in used}
    if strays:  # they only look like volumes: they are files like any other
        load = Load(item.base, item.prefix, strays, guarded=True)
        sent = finish(send(load, remote, context))
        for name, reason in sent.failures.items():
            raise ActionFailed(f"{os.path.basename(name)}: {reason}")
        proofs |= {name: Proof(one.remote, (one,)) for name, one in sent.proven.items()}
    _record(action, proofs, context)
    return {"objects": [_object(one) for proof in set(proofs.values()) for one in proof.objects]}


def _members_elsewhere(action: Extract, context: Context) -> set[str]:
    """Give the remote names that other archives of the item have filled."""
    prefix = layout.address(context.config.rclone.remote, "")
    return {
        one.remote.removeprefix(prefix)
        for name, file in action.item.files.items()
        if name not in action.files
        for proof in context.history.proofs(file.identity)
        for one in proof.objects
    }


def _record(action: Upload | Extract, proofs: Mapping[str, Proof], context: Context) -> None:
    """Write proof rows, and the marker once every file of the item has one of today's place."""
    item, history = action.item, context.history
    path = marker.marker_path(item.path)
    remote = context.config.rclone.remote
    named = {layout.address(remote, item.remote_name(name)): name for name in item.files}
    with lock(context.state):
        _demand_unchanged(item)
        if reason := marker.why_not_replaceable(path):
            raise ActionFailed(reason)
        moment = time.time()
        with history.together():
            for name, proof in proofs.items():
                history.prove(item.files[name].identity, proof, moment)
                if not item.uncategorized:
                    continue
                first = item.first_volume(name) or name
                for place in {proof.place, *(one.remote for one in proof.objects)}:
                    # a member of an archive is of no file's name: the first volume stands for it
                    history.hold(place, item.files[named.get(place, first)].path, moment)
        entries = []
        for name in item.files:
            proof_of_today = proof_today(item, name, context)
            if proof_of_today is None:
                return  # another action of this item has still to be done, or has failed
            own = layout.address(remote, item.remote_name(name))
            entries.append(_entry(item, name, proof_of_today, own))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
        marker.write(item.path, tuple(entries), stamp)


def _demand_unchanged(item: Item) -> None:
    """Raise Stale unless every file is still the one that was planned."""
    for name, file in item.files.items():
        if not same(look(file.path), file):
            raise Stale(f"{os.path.basename(name)} changed while it was uploaded")


def proof_today(item: Item, name: str, context: Context) -> Proof | None:
    """Give the proof row of a file under the remote name that it has today."""
    names = {name, item.first_volume(name) or name}
    remote = context.config.rclone.remote
    places = {layout.address(remote, item.remote_name(one)) for one in names}
    found = context.history.proofs(item.files[name].identity)
    return next((proof for proof in found if proof.place in places), None)


def _entry(item: Item, name: str, proof: Proof, own: str) -> marker.Entry:
    """Make a marker's entry; `own` is the remote name of a file that was uploaded as it is."""
    file = item.files[name]
    about = (item.entry_path(name), file.number, file.size, file.mtime_ns)
    first, one = item.first_volume(name), proof.objects[0]
    if first is None or (first != name and proof.place == own):
        return marker.Entry(*about, one.remote, one.sha1, one.readback)
    if first != name:
        return marker.Entry(*about, part_of=item.entry_path(first))
    members = tuple(marker.Extracted(one.remote, one.size, one.sha1) for one in proof.objects)
    return marker.Entry(*about, extracted=members)


def _audited(item: Item, name: str, proof: Proof) -> dict[str, object]:
    file = item.files[name]
    return {"path": file.path, "inode": file.number, "mtime_ns": file.mtime_ns,
            **_object(proof.objects[0])}  # fmt: skip


def _object(one: Proven) -> dict[str, object]:
    return {
        "remote": one.remote, "size": one.size, "sha1": one.sha1, "file_id": one.file_id,
    }  # fmt: skip
