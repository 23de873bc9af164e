"""Copy files to the remote and look each object up: what comes back is proven, or failed.

The copying program's word is not a proof (facts: it ends with 0 for files it never sent, and for
objects without a hash that are something else). Each object must be there, of equal size, with an
equal SHA-1 of the bytes on disk.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mediapipe.errors import ConfigError, MediapipeError
from mediapipe.plan import human, shown
from mediapipe.records import Proven

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediapipe.disk.index import File
    from mediapipe.ports import Remote, RemoteObject
    from mediapipe.runner import Context

_BLOCK = 1 << 20
UNCHECKED = 200 << 20
"""Bytes: above rclone's `--b2-upload-cutoff` the object's SHA-1 is a label that B2 never checked,
so three ranges are read back."""


@dataclass(frozen=True)
class Sent:
    """What became of each file: name → the object that proves it, or why none does."""

    proven: Mapping[str, Proven]
    failures: Mapping[str, str]
    trouble: MediapipeError | None
    """What ended the copy as a whole, if anything did."""


def send(
    base: str, prefix: str, files: Mapping[str, File], remote: Remote, context: Context
) -> Sent:
    """Send the files `base/name` to `prefix/name` and prove them.

    Raises ConfigError where the remote refuses the key or gives no SHA-1 at all, Unavailable where
    nothing could be looked up.
    """
    context.tell(
        "upload.started",
        job="upload",
        path=shown(base),
        files=len(files),
        size=human(sum(file.size for file in files.values())),
    )
    with _Hashing(files) as hashing:
        copied = remote.copy(base, list(files), prefix, anew=False, watcher=context.watcher)
        hashes = hashing.result()
    if isinstance(copied.trouble, ConfigError):
        raise copied.trouble
    words = dict(copied.failures)
    found = _look(prefix, files, remote)
    anew = [
        name
        for name in files
        if name in found and isinstance(hashes[name], str)
        if _why_other(name, hashes, found, files)
    ]
    if anew and copied.trouble is None:
        # an object of this name that is not ours: B2 keeps it as an older version
        copied = remote.copy(base, anew, prefix, anew=True, watcher=context.watcher)
        words |= copied.failures
        found = _look(prefix, files, remote)
        if copied.trouble is None and not any(found[name].sha1 for name in anew if name in found):
            raise ConfigError(
                f"{remote.address('').rstrip('/')} gives no SHA-1, so nothing can be proven there",
                hint="use a B2 remote without crypt or chunker around it",
            )
    proven: dict[str, Proven] = {}
    failures: dict[str, str] = {}
    for name, file in files.items():
        reason = _why_other(name, hashes, found, files)
        if not reason and file.size > UNCHECKED:
            reason = _why_read_back_differs(f"{prefix}/{name}", file, remote)
        if reason:
            failures[name] = words.get(name) or (str(copied.trouble) if copied.trouble else reason)
        else:
            there = found[name]
            address = remote.address(f"{prefix}/{name}")
            readback = file.size > UNCHECKED
            proven[name] = Proven(address, file.size, there.sha1, there.file_id, readback)
    return Sent(proven, failures, copied.trouble)


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


def _look(prefix: str, files: Mapping[str, File], remote: Remote) -> dict[str, RemoteObject]:
    """Look up the objects; gives name → object."""
    names = {f"{prefix}/{name}": name for name in files}
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


def _why_read_back_differs(name: str, file: File, remote: Remote) -> str:
    """Compare first, middle and last MiB with the disk; gives an empty string where equal."""
    for offset in (0, file.size // 2, max(0, file.size - _BLOCK)):
        try:
            with open(file.path, "rb") as stream:
                stream.seek(offset)
                ours = stream.read(_BLOCK)
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        if remote.read(name, offset, len(ours)) != ours:
            return f"the remote has other bytes at {offset}"
    return ""
