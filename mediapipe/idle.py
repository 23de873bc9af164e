"""The upload's entry point: a pass with nothing to do costs Python's start and a stat per folder.

The timer starts one every two minutes. All that a pass needs beyond that (the configuration's
checks, the history, the log) is loaded only when something has changed, is due, or is asked for.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

from mediapipe import __version__, regular
from mediapipe.disk import folder_index
from mediapipe.places import STATE, TRIGGER, find, state_folder
from mediapipe.streams import is_journal

TYPE_CHECKING = False  # typing itself would be a tenth of all that is loaded here
if TYPE_CHECKING:
    from typing import Any

    from mediapipe.disk.folder_index import FolderIndex

_DAY = 86400.0
_PAUSE = 10.0
"""Seconds before a run where its trigger cannot be taken: systemd starts the next one at once."""


def upload() -> None:
    """Run `qbt-upload-b2`."""
    started = time.monotonic()
    _take_trigger(sys.argv[1:])
    kept = _nothing_to_do(sys.argv[1:])
    if kept is None or not _told(kept, started):
        from mediapipe import cli

        cli.upload()


def _take_trigger(words: list[str]) -> None:
    """Take what started this run, before anything can go wrong with it.

    Only systemd starts one by a trigger, and it names the state folder, whatever the configuration
    is worth.
    """
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if not state or "--dry-run" in words:
        return
    from mediapipe import triggers

    try:
        aside = triggers.take(state)
    except OSError as error:
        _warn(f"cannot empty {state}/{triggers.UPLOAD}: {error.strerror}")
        time.sleep(_PAUSE)
    else:
        if aside:
            _warn(f"what could not be removed from {triggers.UPLOAD} is in {aside} now")


def _warn(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"<4>{text}\n" if is_journal(sys.stderr) else f"warning: {text}\n")


def _nothing_to_do(words: list[str]) -> int | None:
    """Tell that nothing changed since the last pass, by how many items are kept; else None.

    Whatever is out of the ordinary is left to the whole program.
    """
    if words and (words[:-1] != ["--config"] or not words[-1]):
        return None
    if None in (sys.stdin, sys.stdout, sys.stderr) or sys.stdout.isatty():
        return None
    config = find(words[1] if words else None)
    try:
        state = _state(config)
        index = folder_index.read(os.path.join(state, folder_index.NAME))
        if index is None or not _holds(index.facts, config) or not _rests(index, state):
            return None
        return sum(len(lines) for _folder, lines in index.facts["refused"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _rests(index: FolderIndex, state: str) -> bool:
    """Whether no run is under way, nothing is asked for, and no folder changed."""
    lock = os.open(os.path.join(state, "upload.lock"), os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.exists(os.path.join(state, TRIGGER)) or not index.is_unchanged():
            return False
        os.utime(os.path.join(state, folder_index.NAME))  # when it was last looked
        return True
    finally:
        os.close(lock)  # the whole program takes it anew


def _told(kept: int, started: float) -> bool:
    """Print the report, unless it is for the journal; tells whether somebody took it."""
    if is_journal(sys.stdout):
        return True
    try:
        seconds = time.monotonic() - started
        line = f"upload: 0 done, {kept} kept, {seconds:.1f} s\n"
        # past the buffer: what nobody took must not be left in it
        os.write(sys.stdout.fileno(), line.encode())
    except OSError:
        return False
    return True


def _state(config: str) -> str:
    """Give the state folder without checking the configuration, which the index has seen."""
    if os.environ.get("STATE_DIRECTORY"):
        return state_folder(STATE)
    import tomllib

    with open(config, "rb", opener=regular.opener) as file:
        table: dict[str, Any] = tomllib.load(file)
    return str(table.get("paths", {}).get("state", STATE))


def _holds(facts: dict[str, Any], config: str) -> bool:
    """Whether what the index was made for is still so: all but the folders themselves."""
    return (
        facts["whole"]
        and facts["program"] == [__version__, config, folder_index.file_stamp(config)]
        and 0 <= time.time() - facts["full"] < _DAY
        and all(_root_file(root) == known for root, known in facts["roots"].items())
        and not any(map(os.path.lexists, facts["absent"]))
        and _are_mounted(facts["mounts"])
    )


def _root_file(root: str) -> str:
    with open(os.path.join(root, ".mediapipe-root"), "rb", opener=regular.itself) as file:
        return file.read(100).decode("ascii").strip()


def _are_mounted(points: list[str]) -> bool:
    if not points:
        return True
    escapes = str.maketrans({"\\": "\\134", " ": "\\040", "\t": "\\011", "\n": "\\012"})
    with open("/proc/self/mountinfo", "rb") as table:
        mounted = {line.split(b" ", 5)[4] for line in table}
    return all(os.fsencode(one.translate(escapes)) in mounted for one in points)
