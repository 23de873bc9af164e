"""The folder through which systemd is asked for an upload: a `.path` unit sees what is dropped.

Nobody needs a right over systemd for that. The file carries nothing: what is to be done is told by
the folders themselves, so one that is lost costs the wait for the timer and no more.
Nothing is imported here that Python has not loaded anyway: a pass with nothing to do comes through.
"""

from __future__ import annotations

import os
import stat

UPLOAD = "upload.d"
"""In the state folder; `DirectoryNotEmpty=` of `qbt-upload-b2.path`."""
_MODE = 0o770
"""The group of the state folder may ask too: Sonarr and Radarr belong to it."""


def drop(state: str, name: str) -> None:
    """Ask for an upload. Raises OSError.

    While an upload runs the file waits: systemd looks again when it has ended.
    """
    folder = os.path.join(state, UPLOAD)
    try:
        _make(os.path.join(folder, name))
    except FileNotFoundError:
        _make_folder(folder)
        _make(os.path.join(folder, name))


def _make_folder(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, _MODE)


def _make(path: str) -> None:
    # a fifo in its place must not hang whoever asks
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    os.close(os.open(path, flags, 0o660))


def take(state: str) -> str:
    """Empty the folder: the first act of a run, so that no file in it starts run after run.

    What cannot be removed (a folder, of somebody else at that) goes aside with the whole folder,
    and a new one takes its place: gives where it is then. Raises OSError where even that cannot be
    done.
    """
    folder = os.path.join(state, UPLOAD)
    if not os.path.lexists(folder):
        _make_folder(folder)  # for the hooks of the apps, which may not
    names = os.listdir(folder)
    try:
        for name in names:
            os.unlink(os.path.join(folder, name))
    except FileNotFoundError:
        return take(state)  # somebody else took one
    except OSError:
        return _replace(folder)
    return ""


def _replace(folder: str) -> str:
    mode = stat.S_IMODE(os.stat(folder).st_mode)
    number = 1
    while os.path.lexists(aside := f"{folder}.bad-{number}"):
        number += 1
    os.rename(folder, aside)
    os.mkdir(folder)
    os.chmod(folder, mode)
    return aside
