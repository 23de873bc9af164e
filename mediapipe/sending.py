"""Bring files to the remote and look each object up: what comes back is proven, or failed.

The copying program's word is not a proof (facts: it ends with 0 for files it never sent, and for
objects without a hash that are something else). Each object must be there, of equal size, with an
equal SHA-1 of the bytes on disk. What is there already is proven in the same way, and not sent.
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING

from mediapipe.early import Early
from mediapipe.errors import ConfigError, MediapipeError
from mediapipe.facts import fact, field
from mediapipe.gradually import Gradually, finish
from mediapipe.hashing import Hashing, hash_file
from mediapipe.plan import human, shown
from mediapipe.ports import Progress, Transfer
from mediapipe.readback import is_unchecked, why_read_backs_differ
from mediapipe.records import Proven

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from mediapipe.disk.index import File
    from mediapipe.ports import Remote, RemoteObject, Watcher
    from mediapipe.runner import Context


@fact
class Load:
    """Files to be brought to one place: name below `base` → file."""

    base: str
    """The folder on this host that the names are relative to."""
    prefix: str
    """The folder on the remote that stands for it."""
    files: Mapping[str, File]
    there: Mapping[str, RemoteObject] = field(default_factory=dict)
    """Name → what a listing showed of that name."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """Name → remote name of an object that was proven to hold the same file."""
    guarded: bool = False
    """Whether an object that proves another file must not be replaced: among the downloads, unlike
    in a library, nothing comes in the place of a file of the same name."""
    archive: str = ""
    """The path of the archive that the files came out of; empty where they are what they are."""


@fact
class Sent:
    """What became of each file: name → the object that proves it, or why none does."""

    proven: Mapping[str, Proven]
    failures: Mapping[str, str]
    trouble: MediapipeError | None
    """What ended the copy as a whole, if anything did."""


def send(load: Load, remote: Remote, context: Context) -> Generator[tuple[str, Proven], None, Sent]:
    """Bring files to the remote and prove them; gives each that is proven while others are sent.

    Raises ConfigError where the remote refuses the key or gives no SHA-1 at all, Unavailable where
    nothing could be looked up.
    """
    proven = _prove_there(load, remote, context)
    failures = why_taken(load, remote, context) if load.guarded else {}
    files = {
        name: file
        for name, file in load.files.items()
        if name not in proven and name not in failures
    }
    if not files:
        return Sent(proven, failures, None)
    _copy_within(load, files, remote)
    context.tell(
        "upload.started",
        job="upload",
        path=shown(load.base),
        files=len(files),
        size=human(sum(file.size for file in files.values())),
    )
    copy = Gradually(
        remote.copy(load.base, list(files), load.prefix, anew=False, watcher=context.watcher)
    )
    with (
        Hashing(files) as hashing,
        Early(load.prefix, files, remote) as early,
        contextlib.closing(copy),
    ):
        look = _Look(load.prefix, files, hashing.found, remote, early)
        for names in copy:
            early.arrived(names)
            for name in look.proven_early():
                yield name, look.proven(name)
        hashing.wait()
    copied = copy.outcome
    if isinstance(copied.trouble, ConfigError):
        raise copied.trouble
    words = dict(copied.failures)
    if copied.trouble is None:
        look.at([name for name in files if look.why_unproven(name)])
    anew = [name for name in look.found if look.why_unproven(name) and look.was_hashed(name)]
    if anew and copied.trouble is None:
        # an object of this name that is not ours: B2 keeps it as an older version
        copied = finish(
            remote.copy(load.base, anew, load.prefix, anew=True, watcher=context.watcher)
        )
        words |= copied.failures
        look.at(anew)
        if copied.trouble is None and not any(look.has_sha1(name) for name in anew):
            raise ConfigError(
                f"{remote.address('').rstrip('/')} gives no SHA-1, so nothing can be proven there",
                hint="use a B2 remote without crypt or chunker around it",
            )
    for name in files:
        if reason := look.why_unproven(name):
            failures[name] = words.get(name) or str(copied.trouble or reason)
        else:
            proven[name] = look.proven(name)
    return Sent(proven, failures, copied.trouble)


def why_taken(load: Load, remote: Remote, context: Context) -> dict[str, str]:
    """Tell which objects prove other files, whose only copy they may be: name → the reason."""
    reasons = {}
    for name, file in load.files.items():
        address = remote.address(f"{load.prefix}/{name}")
        others = context.history.sha1s_of_others(address, file.identity)
        held = context.history.holders(address) - {load.archive or file.path}
        try:
            if others and held and hash_file(file.path, lambda _read: True) not in others:
                reasons[name] = f"another file is proven by {address}; rename one of the two"
        except OSError as error:
            reasons[name] = f"cannot be read: {error.strerror}"
    return reasons


def _copy_within(load: Load, files: Mapping[str, File], remote: Remote) -> None:
    """Copy what is on the remote under another name; what cannot be had there is sent."""
    left = {f"{load.prefix}/{name}": one for name, one in load.copies.items() if name in files}
    # where episodes move up by one, each is copied before another comes over it
    while free := {name: one for name, one in left.items() if name not in left.values()}:
        remote.copy_within(free)
        left = {name: one for name, one in left.items() if name not in free}


class _Look:
    """What the remote is seen to have, held against the disk."""

    def __init__(
        self,
        prefix: str,
        files: Mapping[str, File],
        hashes: Mapping[str, str | OSError],
        remote: Remote,
        early: Early,
    ) -> None:
        """`hashes` and what `early` finds may grow, until something is looked at here."""
        self.found = early.found
        self._prefix = prefix
        self._files = files
        self._hashes = hashes
        self._remote = remote
        self._early = early
        self._differ = early.differ
        self._waiting: set[str] = set()
        self._again: set[str] = set()

    def proven_early(self) -> list[str]:
        """Give what is proven since this was asked last; what is not may be so at the end."""
        self._waiting.update(self._early.looked_at())
        known = {name for name in self._waiting if name in self._hashes}
        self._waiting -= known
        return [name for name in sorted(known) if not self.why_unproven(name)]

    def proven(self, name: str) -> Proven:
        """Give the object that proves a file."""
        there = self.found[name]
        address = self._remote.address(f"{self._prefix}/{name}")
        read_back = name in self._differ
        return Proven(address, self._files[name].size, there.sha1, there.file_id, read_back)

    def at(self, names: Sequence[str]) -> None:
        """Look again: at the objects, and into those that are large and seem to be ours."""
        for name in names:
            self.found.pop(name, None)
            self._differ.pop(name, None)
        objects = {f"{self._prefix}/{name}": name for name in names}
        for key, one in self._remote.look(list(objects)).items() if objects else ():
            self.found[objects[key]] = one
        equal = {name: self._files[name] for name in names if not self._why_other(name)}
        # whether it was this run that sent them is not sure
        self._again.update(names)
        self._differ |= why_read_backs_differ(self._prefix, equal, self._remote, ours=False)

    def why_unproven(self, name: str) -> str:
        """Tell why the object does not prove the file, or give an empty string."""
        ours = name in self.found and name not in self._again
        unchecked = is_unchecked(self._files[name].size, ours=ours)
        unread = self._differ.get(name, "it was not read back") if unchecked else ""
        return self._why_other(name) or unread

    def was_hashed(self, name: str) -> bool:
        return isinstance(self._hashes.get(name), str)

    def has_sha1(self, name: str) -> bool:
        return name in self.found and bool(self.found[name].sha1)

    def _why_other(self, name: str) -> str:
        ours, there, size = self._hashes.get(name), self.found.get(name), self._files[name].size
        if ours is None:
            return "its SHA-1 is not known"
        if isinstance(ours, OSError):
            return f"cannot be read: {ours.strerror}"
        if there is None:
            return "it is not on the remote after the upload"
        if there.size != size:
            return f"the remote has {there.size} bytes of it, the disk {size}"
        if not there.sha1:
            return "the remote has no SHA-1 of it"
        return "" if there.sha1 == ours else f"the remote has other bytes (SHA-1 {there.sha1})"


def _prove_there(load: Load, remote: Remote, context: Context) -> dict[str, Proven]:
    """Prove what a listing showed to be there already: by hashes of the disk, with no child.

    A box that comes from shell scripts may have terabytes of it.
    """
    candidates = {
        name: file
        for name, file in load.files.items()
        if name in load.there and load.there[name].sha1 and load.there[name].size == file.size
    }
    if not candidates:
        return {}
    equal = {
        name: file
        for name, file, sha1 in _hash_all(candidates, context)
        if sha1 == load.there[name].sha1
    }
    differ = why_read_backs_differ(load.prefix, equal, remote, ours=False)
    proven = {}
    for name, file in equal.items():
        if not differ.get(name):
            address, there = remote.address(f"{load.prefix}/{name}"), load.there[name]
            read = name in differ
            proven[name] = Proven(address, file.size, there.sha1, there.file_id, read)
    return proven


def _hash_all(files: Mapping[str, File], context: Context) -> Iterator[tuple[str, File, str]]:
    """Hash files one by one, and show how far it is; what cannot be read is left out."""
    watch = _Watch(files, context.watcher)
    for name, file in files.items():
        try:
            sha1 = hash_file(file.path, functools.partial(watch.show, name, file.size))
        except OSError:
            continue  # the copying program will tell why
        watch.done(file.size)
        yield name, file, sha1
    context.watcher.end()


class _Watch:
    """Shows how far a comparison is, at the watcher's own pace."""

    def __init__(self, files: Mapping[str, File], watcher: Watcher) -> None:
        self._watcher = watcher
        self._files = len(files)
        self._total = sum(file.size for file in files.values())
        self._finished = self._before = 0
        self._started = self._shown = time.monotonic()

    def show(self, name: str, size: int, read: int) -> bool:
        now = time.monotonic()
        if now - self._shown >= self._watcher.interval:
            self._shown = now
            sent = self._before + read
            rate = sent / (now - self._started)
            left = (self._total - sent) / rate if rate else None
            transfers = (Transfer(name, size, read),)
            self._watcher.show(
                Progress(
                    self._finished, self._files, sent, self._total, rate, left, transfers,
                    "Comparing",
                )
            )  # fmt: skip
        return True

    def done(self, size: int) -> None:
        self._finished += 1
        self._before += size
