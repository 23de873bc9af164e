"""Do restores: fetch beside the target, compare, and only then give the file its names."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import time
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.disk import marker
from mediapipe.disk.index import look, walk
from mediapipe.errors import ActionFailed, RemoteOut, Stale, Unavailable
from mediapipe.facts import fact
from mediapipe.hashing import hash_file
from mediapipe.names import matcher
from mediapipe.plan import human
from mediapipe.ports import Progress, Transfer
from mediapipe.records import Proof, Proven
from mediapipe.runner import Context, Result, attempt, lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mediapipe.bucket import Bucket
    from mediapipe.config import Config
    from mediapipe.ports import Remote

_TRIES = 5
"""Connections in a row that may end without a byte."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system says that has no hard links."""


@fact
class Restore:
    """A file that will be fetched back."""

    path: str
    """Where it will be."""
    reason: str
    proven: Proven
    by_id: bool
    """Whether it is an older version, that has to be asked for by its id."""
    mtime_ns: int | None
    names: tuple[str, ...] = ()
    """Other names that the same file gets."""
    kind: str = "restore"

    def details(self) -> dict[str, object]:
        """Give the object, the size in bytes and the other names."""
        one = self.proven
        return {
            "remote": one.remote, "size": one.size, "sha1": one.sha1, "file_id": one.file_id,
            "names": list(self.names),
        }  # fmt: skip

    def __str__(self) -> str:
        others = "".join(f" and {name}" for name in self.names)
        return f"restore {self.path}{others} ({human(self.proven.size)}): {self.reason}"


class _Tally:
    """A `Watcher` of one fetch that shows how far all of them are."""

    def __init__(self, actions: Sequence[Restore], context: Context) -> None:
        self.interval = context.watcher.interval
        self._watcher = context.watcher
        self._files, self._total = len(actions), sum(one.proven.size for one in actions)
        self._begun = time.monotonic()
        self._done = self._sent = 0

    def show(self, progress: Progress) -> None:
        sent = self._sent + progress.sent
        rate = sent / max(time.monotonic() - self._begun, 1e-3)
        left = (self._total - sent) / rate if rate else None
        self._watcher.show(
            Progress(self._done, self._files, sent, self._total, rate, left,
                     progress.transfers, doing="Restoring")
        )  # fmt: skip

    def end(self) -> None:
        """The next file follows."""

    def ended(self, action: Restore) -> None:
        self._done += 1
        self._sent += action.proven.size


def restore_all(actions: Sequence[Restore], remote: Remote, context: Context) -> Iterator[Result]:
    """Fetch file after file; what goes wrong with one is no trouble for the others."""
    bucket = remote.bucket() if any(one.by_id for one in actions) else None
    tally = _Tally(actions, context)
    try:
        for action in actions:
            yield attempt(action, functools.partial(_restore, remote, bucket, tally, context))
            tally.ended(action)
    finally:
        context.watcher.end()


def _restore(
    remote: Remote, bucket: Bucket | None, tally: _Tally, context: Context, action: Restore
) -> dict[str, object]:
    """Fetch one file, compare it with what the audit knew, and put it into place."""
    if os.path.lexists(action.path):
        raise Stale("something stands there now")
    folder = os.path.dirname(action.path)
    made = _make_folders(folder)
    digest = hashlib.sha1(os.fsencode(action.path), usedforsecurity=False).hexdigest()
    # the same temporary name each time: what a crash leaves, the next restore writes over
    temporary = os.path.join(folder, f".mediapipe-{digest[:16]}.restore")
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if action.by_id and bucket is not None:
            _download(bucket, action, temporary, tally)
        else:
            name = action.proven.remote[len(layout.address(context.config.rclone.remote, "")) :]
            remote.fetch(name, temporary, tally)
        _compare(action, temporary)
        with lock(context.state):
            return _put(action, temporary, context)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        for one in made:
            with contextlib.suppress(OSError):
                os.rmdir(one)
        raise


def _make_folders(folder: str) -> list[str]:
    """Make a folder with all above it; gives those that were made, the deepest first."""
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for one in reversed(missing):
        os.mkdir(one)
    return missing


def _download(bucket: Bucket, action: Restore, path: str, tally: _Tally) -> None:
    """Download a version by its id; a connection that breaks is taken up where it ended."""
    shown_at = 0.0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o664)
    with os.fdopen(descriptor, "wb", buffering=0) as file:

        def take(block: bytes) -> None:
            nonlocal shown_at
            view = memoryview(block)
            while view:
                view = view[file.write(view) or 0 :]
            if time.monotonic() - shown_at >= tally.interval:
                shown_at = time.monotonic()
                name, size, sent = action.path, action.proven.size, file.tell()
                transfers = (Transfer(name, size, sent),)
                tally.show(Progress(0, 1, sent, size, 0.0, None, transfers))

        tries = 0
        while True:
            start = file.tell()
            try:
                bucket.download(action.proven.file_id, take, start=start)
            except Unavailable as trouble:
                tries = 0 if file.tell() > start else tries + 1
                if tries >= _TRIES:
                    raise RemoteOut(str(trouble), hint="B2 or the network is out") from None
            else:
                return


def _compare(action: Restore, path: str) -> None:
    """Demand that what came is what the audit knew."""
    found, one = look(path), action.proven
    if found is None:
        raise ActionFailed("nothing arrived")
    if found.size != one.size:
        raise ActionFailed(f"{human(found.size)} arrived, {human(one.size)} were proven")
    if hash_file(path, lambda _done: True) != one.sha1:
        raise ActionFailed("what arrived has another SHA-1 than what was proven")


def _put(action: Restore, temporary: str, context: Context) -> dict[str, object]:
    """Give a compared file its names and its proof; nothing that stands there is replaced."""
    if action.mtime_ns is not None:
        os.utime(temporary, ns=(action.mtime_ns, action.mtime_ns))
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _move(temporary, action.path)
    names = [name for name in action.names if _link(action.path, name)]
    for folder in {os.path.dirname(one) for one in (action.path, *names)}:
        marker.sync_folder(folder)
    file = look(action.path)
    if file is None:
        raise Stale("it is gone again")
    proven = not action.by_id
    if proven:
        # an older version is not what its name on the remote stands for: upload sends it anew
        proof = Proof(action.proven.remote, (action.proven,))
        with context.history.together():
            context.history.prove(file.identity, proof, time.time())
        for name in (action.path, *names):
            _mark(name, context)
    return {"inode": file.number, "mtime_ns": file.mtime_ns, "names": names, "proven": proven}


def _move(temporary: str, path: str) -> None:
    """Rename, but never onto something: a link is refused where a name is taken."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if os.path.lexists(path):
            raise Stale("something stands there now") from None
        if error.errno not in _NO_LINKS:
            raise
        os.rename(temporary, path)
    else:
        os.unlink(temporary)


def _link(path: str, name: str) -> bool:
    """Make another name of a file, where nothing stands and its folder is there."""
    try:
        os.link(path, name)
    except OSError:
        return False
    return True


def _mark(path: str, context: Context) -> None:
    """Write the marker of the item that a file belongs to, once all of it is proven there."""
    config, history = context.config, context.history
    item, base, prefix = _item(path, config) or ("", "", "")
    if not item or marker.why_not_replaceable(marker.marker_path(item)):
        return
    unreadable: list[str] = []
    ignored = matcher(config.upload.ignore)
    paths = [item]
    if os.path.isdir(item):
        folders = list(walk(item, unreadable))
        if unreadable or any(one.odd for one in folders):
            return
        paths = [one.path for folder in folders for one in folder.files if not ignored(one.name)]
    entries = []
    for one in paths:
        file = look(one)
        place = layout.address(config.rclone.remote, f"{prefix}/{one[len(base) + 1 :]}")
        rows = history.proofs(file.identity) if file else ()
        proof = next((row for row in rows if row.place == place), None)
        if file is None or proof is None:
            return
        name = os.path.basename(one) if one == item else one[len(item) + 1 :]
        about = proof.objects[0]
        if about.remote != place:
            return  # an archive: upload knows its members, and writes the marker
        entries.append(
            marker.Entry(name, file.number, file.size, file.mtime_ns, place, about.sha1,
                         about.readback)
        )  # fmt: skip
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    marker.write(item, tuple(entries), stamp)


def _item(path: str, config: Config) -> tuple[str, str, str] | None:
    """Give item, base folder and remote folder of what upload takes; None for all else."""
    for library in config.libraries.values():
        if layout.inside(path, library.root):
            return path, library.root, library.remote
    if not layout.inside(path, config.paths.completed):
        return None
    item = layout.item_of(path, config)
    base = os.path.dirname(item)
    if base not in layout.containers(config):
        return None
    return item, base, config.upload.uncategorized_remote
