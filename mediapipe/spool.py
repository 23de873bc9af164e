"""The folder in which SABnzbd's hook script drops one small file for each job.

What is in it only wakes the job, as long as SABnzbd's history can be asked. The files are written
inside a container, so each is read as if a stranger had written it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from typing import TYPE_CHECKING, Any

from mediapipe import regular
from mediapipe.errors import ConfigError
from mediapipe.history import open_history
from mediapipe.plan import shown
from mediapipe.usenet import COMPLETED, Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediapipe.config import SabnzbdConfig
    from mediapipe.ports import Tell

FAILED = ".failed"
"""Folder in the spool for what could not be read. Hidden: systemd's DirectoryNotEmpty= would start
the job for ever for any other."""
_LARGEST = 1 << 16
_LONGEST_ID = 200
_TEXTS = ("nzo_id", "name", "category", "complete_dir", "status")
_OLD = 86400.0
"""Seconds after which a temporary file of the hook's has nobody who writes it."""


class BadFileError(Exception):
    """A file in the spool that tells of no job."""


def take(settings: SabnzbdConfig | None, state: str, tell: Tell) -> None:
    """Take all files into the queue of the history: durably there first, then gone from here.

    A bad one goes to the folder `.failed` with its reason, and none is left to start the job again.
    Raises ConfigError where a file cannot be taken away, Unavailable without a state folder.
    """
    if settings is None:
        return
    names = _names(settings.spool)
    if not names:
        _prepare(settings.spool)
        return
    history = open_history(state)
    with contextlib.closing(history):
        for name in names:
            path = os.path.join(settings.spool, name)
            try:
                told = parse(path)
                if told["status"] == "0":
                    history.spool(told["nzo_id"], told, time.time())
                os.unlink(path)
            except BadFileError as error:
                _set_aside(settings.spool, name, str(error))
                tell("spool.refused", level="error", path=shown(path), reason=str(error))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _in_the_way(path, error) from None


def peek(settings: SabnzbdConfig) -> Iterator[dict[str, Any]]:
    """Give what stands in files that nobody has taken yet."""
    for name in _names(settings.spool):
        with contextlib.suppress(BadFileError, OSError):
            told = parse(os.path.join(settings.spool, name))
            if told["status"] == "0":
                yield told


def job_of(told: dict[str, Any], taken: float) -> Job:
    """Give a job as the hook told it: SABnzbd runs the hook when all else is done."""
    return Job(
        told["nzo_id"], told["name"], told["category"], COMPLETED, told["complete_dir"], taken
    )


def parse(path: str) -> dict[str, Any]:
    """Read a file; raises BadFileError where it tells of no job, OSError where it is not there."""
    try:
        with open(path, "rb", opener=regular.itself) as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EACCES, errno.EINVAL):
            raise BadFileError(f"it cannot be read: {error.strerror}") from None
        raise
    if len(raw) > _LARGEST:
        raise BadFileError(f"it is larger than {_LARGEST} bytes")
    try:
        # the hook escapes no control characters: names may hold them, and any bytes at all
        told = json.loads(raw.decode(errors="surrogateescape"), strict=False)
    except (ValueError, RecursionError):
        raise BadFileError("it is no JSON") from None
    if not isinstance(told, dict) or told.get("version") != 1:
        raise BadFileError("it is no JSON object of version 1")
    for name in _TEXTS:
        if not isinstance(told.get(name), str) or "\0" in told[name]:
            raise BadFileError(f"its {name} is no text")
    if not 0 < len(told["nzo_id"]) <= _LONGEST_ID or not told["nzo_id"].isprintable():
        raise BadFileError("its nzo_id is none")
    return {name: told[name] for name in _TEXTS}


def _names(folder: str) -> list[str]:
    """Give what is in the spool, oldest name first; hidden files are the hook's unfinished ones."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _in_the_way(folder, error) from None


def _prepare(folder: str) -> None:
    """Make the spool, so that a container can mount it; drop what a killed hook left in it."""
    try:
        os.makedirs(folder, mode=0o775, exist_ok=True)
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") or entry.name.startswith(FAILED):
                    continue
                if not entry.is_file(follow_symlinks=False):
                    continue
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD:
                    os.unlink(entry.path)
    except OSError as error:
        raise _in_the_way(folder, error) from None


def _set_aside(folder: str, name: str, reason: str) -> None:
    """Move a bad file, whatever it is, to where it starts nothing, with the reason beside it."""
    path = os.path.join(folder, name)
    raw = b"%d-%s" % (time.time_ns(), os.fsencode(name)[:150])
    try:
        target = _put(path, os.path.join(folder, FAILED), raw)
    except OSError as error:
        raise _in_the_way(path, error) from None
    with (
        contextlib.suppress(OSError),
        open(target + b".reason", "w", encoding="utf-8", opener=regular.itself) as file,
    ):
        file.write(f"{reason}\n")


def _put(path: str, place: str, name: bytes) -> bytes:
    """Move a file to the folder of bad ones, or to a hidden name beside itself; raises OSError.

    A folder of somebody else can be renamed, and not moved to another folder. And that of bad ones
    may be anything: whoever writes to the spool may have made it.
    """
    target = os.path.join(os.fsencode(place), name)
    try:
        os.makedirs(place, exist_ok=True)
        if not os.path.islink(place):
            os.rename(path, target)
            return target
    except OSError:
        pass
    target = b"%s-%s" % (os.fsencode(place), name)
    os.rename(path, target)
    return target


def _in_the_way(path: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot take {shown(path)} out of the spool: {error.strerror}",
        hint="the spool must belong to the user that the job runs as (the container needs only to "
        "make files in it): chown it, mode 2775 or 3777",
    )
