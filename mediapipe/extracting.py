"""Extract one archive into scratch, send what came out, and leave nothing behind."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from mediapipe.archives import unaccounted, why_refused
from mediapipe.disk.index import File, file_from, walk
from mediapipe.errors import ActionFailed, ConfigError, Unavailable
from mediapipe.gradually import finish
from mediapipe.layout import inside
from mediapipe.plan import human, shown
from mediapipe.sending import Load, send, why_taken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediapipe.items import Extract
    from mediapipe.ports import Archives, Remote
    from mediapipe.records import Proven
    from mediapipe.runner import Context

_PREFIX, _RECORD = "mediapipe-", "scratch "
_SPARE = 256 << 20
"""Bytes that are left free on the scratch disk whatever an archive unpacks to."""


def sweep(context: Context) -> None:
    """Remove the scratch that a crash left: what we made ourselves, by our own record."""
    for name in context.history.events(_RECORD):
        _remove(os.path.join(context.config.paths.extracted, name))
        context.history.forget(_RECORD + name)


def _remove(folder: str) -> None:
    with contextlib.suppress(RecursionError):  # too deep for rmtree(): left, and no run is ended
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _scratch(path: str, context: Context) -> Iterator[str]:
    """Make a scratch folder for an archive, and remove it on every way out."""
    root = context.config.paths.extracted
    real = os.path.realpath(root)
    for library in context.config.libraries.values():
        _demand_apart(real, os.path.realpath(library.root), root)
    _demand_apart(real, os.path.realpath(context.config.paths.completed), root)
    name = _PREFIX + hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    folder = os.path.join(root, name)
    if os.path.lexists(folder):
        raise ActionFailed(f"{folder} is there already, and not by our doing: move it away")
    # recorded first: what a crash leaves must be known as ours
    context.history.done(_RECORD + name, context.now)
    try:
        try:
            os.makedirs(folder, 0o700)
        except OSError as error:
            raise Unavailable(f"cannot make {folder}: {error.strerror}") from None
        yield folder
    finally:
        _remove(folder)
        context.history.forget(_RECORD + name)


def _demand_apart(scratch: str, place: str, root: str) -> None:
    if scratch == place or inside(scratch, place) or inside(place, scratch):
        raise ConfigError(
            f"paths.extracted: {root} leads to {scratch}, which is not apart from {place}",
            hint="name a folder of its own: it is emptied after each archive",
        )


def extract_and_send(
    action: Extract, taken: set[str], context: Context, remote: Remote, archives: Archives
) -> tuple[tuple[Proven, ...], frozenset[str]]:
    """Extract an archive and prove each member on the remote.

    Gives the objects of all members, and the names of the files that they were read from: a file
    that only looks like a volume is not proven by them.

    `taken` are the remote names that something else of the item has: where a member would have one
    of them, all members go below the archive's own name. An archive without any member, or with
    more in it than its list shows, is sent as it is. Raises ActionFailed, with the reason.
    """
    item, upload = action.item, context.config.upload
    path = item.files[action.first].path
    with _scratch(path, context) as scratch:
        listing = archives.list(path)
        used = {
            name: file
            for name, file in action.files.items()
            if os.path.basename(name) in listing.volumes or name == action.first
        }
        volumes = {os.path.basename(name): file.size for name, file in used.items()}
        if reason := why_refused(
            listing, volumes, most=upload.max_extracted_size, free=_free(scratch)
        ):
            raise ActionFailed(f"refused: {reason}")
        whole = sum(file.size for file in used.values())
        if not any(not member.folder for member in listing.members) or unaccounted(
            listing, path, whole
        ):
            load = Load(item.base, item.prefix, used)
            return _send(load, context, remote), frozenset(used)
        archives.extract(
            path,
            scratch,
            most=max(listing.size, 1),
            watch=_Watch(scratch, upload.max_extracted_size),
        )
        files = _members(scratch)
        expected = {member.name for member in listing.members if not member.folder}
        if len(files) != len(expected):
            raise ActionFailed(f"{len(expected)} members are listed, {len(files)} came out")
        prefix = os.path.dirname(item.remote_name(action.first))
        if path == item.path:
            prefix = item.place  # the archive is the item itself: its name is the folder's
        own, number = f"{prefix}/{os.path.basename(action.first)}", 1
        while any(f"{prefix}/{name}" in taken for name in files):
            prefix = own if number == 1 else f"{own} ({number})"
            number += 1
        for name in files:
            if reason := remote.why_not_storable(f"{prefix}/{name}"):
                raise ActionFailed(f"its member {shown(name)}: {reason}")
        return _send(Load(scratch, prefix, files, archive=path), context, remote), frozenset(used)


def _send(load: Load, context: Context, remote: Remote) -> tuple[Proven, ...]:
    """Send all or nothing: an archive is proven by every member. Raises ActionFailed."""
    for name, reason in why_taken(load, remote, context).items():
        raise ActionFailed(f"{shown(name)}: {reason}")
    sent = finish(send(load, remote, context))
    if sent.trouble:
        raise sent.trouble
    for name, reason in sent.failures.items():
        raise ActionFailed(f"{shown(name)}: {reason}")
    return tuple(sent.proven[name] for name in sorted(load.files))


def _members(scratch: str) -> dict[str, File]:
    """Give what came out: regular files alone, made readable for us whatever the archive says."""
    os.chmod(scratch, 0o700)
    unreadable: list[str] = []
    files = {}
    for folder in walk(scratch, unreadable):
        for path in folder.folders:
            os.chmod(path, 0o700)
        if folder.odd:
            raise ActionFailed(f"refused: {shown(os.path.basename(folder.odd[0]))} is a link")
        for entry in folder.files:
            os.chmod(entry.path, 0o600)
            name = entry.path[len(scratch) + 1 :]
            files[name] = file_from(entry.path, entry.stat(follow_symlinks=False))
    if unreadable:
        raise ActionFailed(f"unreadable: {unreadable[0]}")
    return files


class _Watch:
    """Sees an extraction grow: that is its heartbeat, and too much of it is its end."""

    def __init__(self, scratch: str, most: int) -> None:
        self._scratch = scratch
        self._most = most
        self._size = 0

    def __call__(self) -> bool:
        size = 0
        for folder in walk(self._scratch, []):
            for entry in folder.files:
                try:
                    size += entry.stat(follow_symlinks=False).st_size
                except OSError:
                    continue
        if size > self._most:
            raise ActionFailed(f"refused: it unpacks to more than {human(self._most)}")
        if _free(self._scratch) < _SPARE:
            raise ActionFailed("refused: the scratch disk is full")
        grown, self._size = size != self._size, size
        return grown


def _free(folder: str) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
