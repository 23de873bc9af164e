"""Whether a hard link is possible from downloads to a library, tried with a real one."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import time
from typing import TYPE_CHECKING

from mediapipe import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediapipe.config import Config
    from mediapipe.doctor.findings import Notes

_PREFIX, _FILE, _OLD = ".mediapipe-probe-", "probe", 3600.0
"""Names that `[upload] ignore` covers, and seconds after which what a crash left is taken away."""
_CROSSED = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)


def examine(config: Config, notes: Notes) -> None:
    """Try a link from each category's folder into the library that it is imported to."""
    folders = layout.category_folders(config)
    for name, library in config.libraries.items():
        source = folders.get(library.category)
        if source is None:
            continue
        with notes.looking("arr", f"a link from {source} to {library.root}") as found:
            if reason := why_not_linkable(source, library.root):
                found(
                    f"no file can be linked: {reason}",
                    f"each import into {name} is a copy: twice the disk until the torrent goes",
                    "put both on one file system, and into one mount of the container: one volume "
                    "for downloads and media together",
                )


def why_not_linkable(source: str, target: str) -> str:
    """Tell why a file cannot have a name in both folders, or give an empty string.

    Raises OSError where it could not be tried.
    """
    with _folder(source) as one, _folder(target) as other:
        path, name = os.path.join(one, _FILE), os.path.join(other, _FILE)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            os.link(path, name)
        except OSError as error:
            if error.errno not in _CROSSED:
                raise
            return error.strerror or str(error)
        mine, theirs = os.lstat(path), os.lstat(name)
        same = (mine.st_dev, mine.st_ino) == (theirs.st_dev, theirs.st_ino)
        linked = 2  # names of one file
        if not same or mine.st_nlink != linked:
            return "the file system says yes, and shows two files"
    return ""


@contextlib.contextmanager
def _folder(parent: str) -> Iterator[str]:
    """Make a folder to try in, and take it away on every way out."""
    _sweep(parent)
    made = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
    try:
        yield made
    finally:
        _remove(made)


def _sweep(parent: str) -> None:
    """Take away what a crash left."""
    with os.scandir(parent) as listing:
        old = [one.path for one in listing if one.name.startswith(_PREFIX)]
    for path in old:
        with contextlib.suppress(OSError):
            if os.lstat(path).st_mtime < time.time() - _OLD:
                _remove(path)


def _remove(folder: str) -> None:
    """Take away a folder of ours, and nothing in it but the file of ours."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, _FILE))
    with contextlib.suppress(OSError):
        os.rmdir(folder)
