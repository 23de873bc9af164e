"""Removes by handles: our own hidden copies whole, of a moved source only what was moved."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mediapipe.disk.calls import sync
from mediapipe.disk.index import file_from, same
from mediapipe.disk.tree import LEFTOVERS, below, held, is_stuck, opened

if TYPE_CHECKING:
    from mediapipe.disk.index import File
    from mediapipe.disk.tree import Place, Tree

NOTE = ".mediapipe-moved"
"""In a source that is being removed: where all of it lies."""
_NOTE_MAX = 1 << 16
OPEN = "deleted already, but still open somewhere"


def remove_all(folder: int, name: str) -> None:
    """Remove a file, or a folder with all in it; nothing is fine too. Raises OSError."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=folder)
        return
    with opened(folder, name) as inner:
        with contextlib.suppress(OSError):
            os.fchmod(inner, 0o700)
        for one in os.listdir(inner):
            remove_all(inner, one)
    os.rmdir(name, dir_fd=folder)


def read_note(place: Place) -> str:
    """Read where a source was moved to; empty where nothing tells."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with (
        contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError),
        opened(place.folder, place.name) as folder,
        os.fdopen(os.open(NOTE, flags, dir_fd=folder), "rb") as file,
    ):
        data: Any = json.loads(file.read(_NOTE_MAX))
        return str(data["moved_to"])
    return ""


def _write_note(place: Place, target: str) -> None:
    """Write the note so that it is there wholly or not at all; a new one replaces an old one."""
    if read_note(place) == target:
        return
    digest = hashlib.sha1(os.fsencode(place.path), usedforsecurity=False).hexdigest()
    temporary = f".mediapipe-{digest[:16]}.tmp"
    # beside the source: what is in it belongs to the job
    remove_all(place.folder, temporary)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o644, dir_fd=place.folder)
    try:
        os.write(descriptor, json.dumps({"moved_to": target}).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with opened(place.folder, place.name) as folder:
        os.rename(temporary, NOTE, src_dir_fd=place.folder, dst_dir_fd=folder)
        sync(folder)


@dataclass
class Removal:
    """The removal of a source that lies elsewhere by now; what stays is told with its reason."""

    place: Place
    tree: Tree
    left: dict[str, str] = field(default_factory=dict)
    """Paths below the source, "" for itself."""

    def run(self, target: str) -> None:
        """Remove what is as it was when it was moved to `target`.

        A note tells where it all lies before the first file goes, and goes last: whatever ends
        this, the next call knows why the source is no longer whole.
        """
        self.left |= dict.fromkeys(self.tree.left, OPEN)
        try:
            if self.tree.is_folder:
                _write_note(self.place, target)
        except OSError as error:
            self.left[""] = error.strerror or str(error)
            return
        for path, file in self.tree.files.items():
            if path != NOTE:
                self._remove_file(path, file)
        for path in reversed(self.tree.folders):
            self._remove_folder(path)
        sync(self.place.folder)

    def _remove_file(self, path: str, file: File) -> None:
        for tries in (1, 2):
            try:
                with held(self.place.folder, self.place.name, path) as (folder, name):
                    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    if not same(file_from(path, found), file):
                        self.left[path] = "changed since it was moved"
                    else:
                        os.unlink(name, dir_fd=folder)
                return
            except FileNotFoundError:
                return
            except OSError as error:
                if tries > 1 or not is_stuck(error):
                    self.left[path] = error.strerror or str(error)
                    return
                with contextlib.suppress(OSError):
                    self.place.look_again()

    def _remove_folder(self, path: str) -> None:
        try:
            with held(self.place.folder, self.place.name, path) as (folder, name):
                if self._why_kept(folder, name, path):
                    return
                os.rmdir(name, dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as error:
            self.left[path] = error.strerror or str(error)

    def _is_kept(self, path: str) -> bool:
        """Whether it is told already why a path stays."""
        return any(one == path or one.startswith(f"{path}/") for one in self.left)

    def _why_kept(self, folder: int, name: str, path: str) -> bool:
        """See what is still in a folder, and take the note away where nothing needs it any more."""
        with opened(folder, name) as inner:
            for one in os.listdir(inner):
                full = below(path, one) if path else one
                if one == NOTE and not path:
                    continue
                if one.startswith(LEFTOVERS):
                    self.left[full] = OPEN
                elif not self._is_kept(full):
                    self.left[full] = "came while the others were moved"
            if path:
                return self._is_kept(path)
            if all(reason == OPEN for reason in self.left.values()):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(NOTE, dir_fd=inner)
        return bool(self.left)
