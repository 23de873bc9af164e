"""What a run that was cut off did and could not write down any more: the audit gets it.

Between a step and its line in the audit a run may be killed. The steps of a group and their lines
are in the history before the first of them, so that the next run can see which were done.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from mediapipe import audit

if TYPE_CHECKING:
    from collections.abc import Container

    from mediapipe.audit import Line
    from mediapipe.runner import Context

_LATE = "; the run that did it was cut off, and a later one wrote this down"


def settle(listed: Container[str], context: Context) -> None:
    """Write the lines that are missing; `listed` are the hashes of the torrents in the list.

    What cannot be looked at waits for the next run. Raises OSError where the audit cannot be read
    or written.
    """
    ended = []
    for deeds in context.history.begun():
        known = {_key(line) for line in audit.read(context.state, deeds.audited) if line}
        written = [number for number, line in enumerate(deeds.lines) if _key(line) in known]
        # what was done had its line before the next step began
        missing = deeds.lines[max(written, default=-1) + 1 :]
        found = [_look(line, listed) for line in missing]
        for number, line in enumerate(missing):
            # what took the place of a file came after the deletion only if that was reached
            other = found[number] == "other" and "stands" not in found[:number]
            if found[number] == "gone" or other:
                audit.write(context.state, {**line, "reason": f"{line['reason']}{_LATE}"})
        if "unknown" not in found:
            ended.append(deeds.id)
    if ended:
        context.history.end(ended)


def _key(line: Line) -> tuple[object, ...]:
    return tuple(line.get(name) for name in ("job", "action", "path", "hash", "inode"))


def _look(line: Line, listed: Container[str]) -> str:
    """Tell whether what a step was to take is gone, stands there, or something other does."""
    action = line["action"]
    if action == "remove-torrent":
        return "stands" if line["hash"] in listed else "gone"
    try:
        found = os.lstat(line["path"])
    except (FileNotFoundError, NotADirectoryError):
        return "stands" if action == "symlink" else "gone"
    except OSError:
        return "unknown"
    if action == "symlink":
        return "gone" if stat.S_ISLNK(found.st_mode) else "stands"
    same = (found.st_ino, found.st_size) == (line.get("inode"), line.get("size"))
    return "stands" if same or action == "remove-directory" else "other"
