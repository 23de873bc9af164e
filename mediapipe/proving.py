"""Copy items to the remote, prove each object there, and only then write the markers.

The copying program's word is not a proof (facts: it ends with 0 for files it never sent, and for
objects without a hash that are something else). Each object is looked up: there, of equal size,
with an equal SHA-1 of the bytes on disk.
"""

from __future__ import annotations

import functools
import hashlib
import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mediapipe.disk import marker
from mediapipe.disk.index import look, same
from mediapipe.errors import ActionFailed, ConfigError, MediapipeError, Stale
from mediapipe.history import Pause, Proof
from mediapipe.items import fingerprint
from mediapipe.plan import duration, human, shown
from mediapipe.runner import Context, Result, attempt, lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mediapipe.disk.index import File
    from mediapipe.items import Item
    from mediapipe.jobs.upload import Upload
    from mediapipe.ports import Progress, Remote, RemoteObject, Tell

BATCH_FILES = 500
_BLOCK = 1 << 20
UNCHECKED = 200 << 20
"""Bytes: above rclone's `--b2-upload-cutoff` the object's SHA-1 is a label that B2 never checked,
so three ranges are read back."""
_PAUSE, _LONGEST_PAUSE = 120.0, 6 * 3600.0


@dataclass(frozen=True)
class _Batch:
    base: str
    prefix: str
    actions: tuple[Upload, ...]

    @property
    def files(self) -> dict[str, File]:
        """Name below `base` → file."""
        return {name: file for one in self.actions for name, file in one.item.files.items()}


def prove_all(actions: Sequence[Upload], context: Context, remote: Remote) -> Iterator[Result]:
    """Upload in batches, so that each has its proof before the next begins."""
    for batch in _batches(actions, context.config.upload.batch):
        files = batch.files
        context.tell(
            "upload.started",
            job="upload",
            path=shown(batch.base),
            files=len(files),
            size=human(sum(file.size for file in files.values())),
        )
        with _Hashing(files) as hashing:
            copied = remote.copy(
                batch.base, list(files), batch.prefix, anew=False, progress=_teller(context.tell)
            )
            hashes = hashing.result()
        if isinstance(copied.trouble, ConfigError):
            raise copied.trouble
        found = _look(batch, remote)
        wrong = [name for name in files if _why_other(name, hashes, found, files)]
        anew = [name for name in wrong if name in found and isinstance(hashes[name], str)]
        failures = dict(copied.failures)
        if anew and copied.trouble is None:
            # an object of this name that is not ours: B2 keeps it as an older version
            again = remote.copy(
                batch.base, anew, batch.prefix, anew=True, progress=_teller(context.tell)
            )
            copied, failures = again, {**failures, **again.failures}
            found = _look(batch, remote)
        proofs = _Proofs(files, hashes, found, failures, copied.trouble)
        for action in batch.actions:
            result = attempt(action, functools.partial(_prove, proofs, remote, context))
            _remember_failure(context, action.item, result)
            yield result
        if copied.trouble is not None:
            raise copied.trouble
        if anew and not any(found[name].sha1 for name in anew if name in found):
            raise ConfigError(
                f"{context.config.rclone.remote} gives no SHA-1, so nothing can be proven there",
                hint="use a B2 remote without crypt or chunker around it",
            )


def _batches(actions: Sequence[Upload], most: int) -> Iterator[_Batch]:
    """Cut the actions into batches of one folder each, in their order: newest first."""
    groups: dict[tuple[str, str], list[Upload]] = defaultdict(list)
    for action in actions:
        groups[action.item.base, action.item.prefix].append(action)
    for (base, prefix), group in groups.items():
        batch: list[Upload] = []
        for action in group:
            files = sum(len(one.item.files) for one in [*batch, action])
            size = sum(one.item.size for one in [*batch, action])
            if batch and (files > BATCH_FILES or size > most):
                yield _Batch(base, prefix, tuple(batch))
                batch = []
            batch.append(action)
        yield _Batch(base, prefix, tuple(batch))


@dataclass(frozen=True)
class _Proofs:
    files: Mapping[str, File]
    hashes: Mapping[str, str | OSError]
    found: Mapping[str, RemoteObject]
    failures: Mapping[str, str]
    trouble: MediapipeError | None


def _prove(proofs: _Proofs, remote: Remote, context: Context, action: Upload) -> dict[str, object]:
    """Write the marker and the proof rows of one item, if all its files are proven."""
    item = action.item
    entries = []
    for name, file in item.files.items():
        if reason := _why_other(name, proofs.hashes, proofs.found, proofs.files):
            words = proofs.failures.get(name) or (str(proofs.trouble) if proofs.trouble else "")
            raise ActionFailed(f"{os.path.basename(name)}: {words or reason}")
        readback = file.size > UNCHECKED
        if readback:
            _read_back(item, name, file, remote)
        sha1 = proofs.found[name].sha1
        address = remote.address(item.remote_name(name))
        entries.append(
            marker.Entry(
                item.entry_path(name),
                file.number,
                file.size,
                file.mtime_ns,
                address,
                sha1,
                readback,
            )
        )
    path = marker.marker_path(item.path)
    with lock(context.state):
        for name, file in item.files.items():
            if not same(look(file.path), file):
                raise Stale(f"{os.path.basename(name)} changed while it was uploaded")
        if reason := marker.why_not_replaceable(path):
            raise ActionFailed(reason)
        moment = time.time()
        ids = {remote.address(item.remote_name(name)): proofs.found[name].file_id
               for name in item.files}  # fmt: skip
        with context.history.together():
            for entry in entries:
                proof = Proof(entry.remote, entry.sha1, ids[entry.remote], entry.readback)
                context.history.prove(entry.identity, proof, moment)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
        marker.write(item.path, tuple(entries), stamp)
    return {
        "files": [
            {"path": entry.path, "inode": entry.inode, "size": entry.size, "sha1": entry.sha1,
             "remote": entry.remote, "file_id": ids[entry.remote]}
            for entry in entries
        ]
    }  # fmt: skip


def _why_other(
    name: str,
    hashes: Mapping[str, str | OSError],
    found: Mapping[str, RemoteObject],
    files: Mapping[str, File],
) -> str:
    """Tell why the object does not prove the file, or give an empty string."""
    ours = hashes[name]
    if isinstance(ours, OSError):
        return f"cannot be read: {ours.strerror}"
    if name not in found:
        return "it is not on the remote after the upload"
    there = found[name]
    if there.size != files[name].size:
        return f"the remote has {there.size} bytes of it, the disk {files[name].size}"
    if not there.sha1:
        return "the remote has no SHA-1 of it"
    return "" if there.sha1 == ours else f"the remote has other bytes (SHA-1 {there.sha1})"


def _look(batch: _Batch, remote: Remote) -> dict[str, RemoteObject]:
    """Look up a batch; gives name below `base` → object."""
    names = {f"{batch.prefix}/{name}": name for name in batch.files}
    return {names[key]: value for key, value in remote.look(list(names)).items()}


class _Hashing:
    """Computes the SHA-1 of each file in a thread, beside the child that reads the same pages."""

    def __init__(self, files: Mapping[str, File]) -> None:
        self._files = files
        self._hashes: dict[str, str | OSError] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._hash_all, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End at the next block: a run that is told to stop must not read terabytes first."""
        self._stopped.set()
        self._thread.join()

    def result(self) -> dict[str, str | OSError]:
        """Wait for all hashes; a file that could not be read has its error instead."""
        self._thread.join()
        return self._hashes

    def _hash_all(self) -> None:
        for name, file in self._files.items():
            try:
                self._hashes[name] = self._hash(file.path)
            except OSError as error:
                self._hashes[name] = error

    def _hash(self, path: str) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        block = bytearray(_BLOCK)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            while (size := stream.readinto(block)) and not self._stopped.is_set():
                digest.update(memoryview(block)[:size])
        return digest.hexdigest()


def _read_back(item: Item, name: str, file: File, remote: Remote) -> None:
    """Compare first, middle and last MiB with the disk; raises ActionFailed where they differ."""
    for offset in (0, file.size // 2, max(0, file.size - _BLOCK)):
        with open(file.path, "rb") as stream:
            stream.seek(offset)
            ours = stream.read(_BLOCK)
        if remote.read(item.remote_name(name), offset, len(ours)) != ours:
            raise ActionFailed(f"{os.path.basename(name)}: the remote has other bytes at {offset}")


def _remember_failure(context: Context, item: Item, result: Result) -> None:
    """Let a failing item rest for growing times, so that it never fails every two minutes."""
    history = context.history
    if result.status == "done":
        history.unpause([item.path])
    elif result.status == "failed":
        before = history.pauses().get(item.path)
        print_ = fingerprint(item)
        tries = before.tries + 1 if before and before.fingerprint == print_ else 1
        until = context.now + min(_PAUSE * 2**tries, _LONGEST_PAUSE)
        history.pause(item.path, Pause(until, tries, result.error or "", print_))


def _teller(tell: Tell) -> Callable[[Progress], None]:
    def progress(state: Progress) -> None:
        left = "" if state.seconds_left is None else duration(state.seconds_left)
        tell(
            "upload.progress",
            job="upload",
            sent=human(state.sent),
            total=human(state.total),
            rate=f"{human(int(state.rate))}/s",
            left=left,
            current=[shown(name) for name in state.current],
        )

    return progress
