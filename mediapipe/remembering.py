"""Keep the folder index between two passes, and believe of it only what still holds."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from typing import TYPE_CHECKING

from mediapipe import __version__, layout, regular
from mediapipe.disk import folder_index
from mediapipe.disk.folder_index import AGAIN
from mediapipe.disk.mounts import mounts, why_times_untrusted
from mediapipe.places import TRIGGER
from mediapipe.plan import Kept
from mediapipe.scanning import Memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediapipe.disk.folder_index import FolderIndex
    from mediapipe.items import Extract, Upload, World
    from mediapipe.plan import Plan
    from mediapipe.runner import Context

FULL_EVERY = 86400.0
"""Seconds after which each file is compared again: what was written in place changed no folder."""


def recall(context: Context) -> Memory:
    """Give what the last pass saw; nothing where the configuration or the program changed."""
    program = _program(context)
    index = folder_index.read(os.path.join(context.state, folder_index.NAME))
    try:
        if index is not None and index.facts["program"] == program:
            return _believed(index, program, context.now)
    except (LookupError, TypeError, ValueError):
        pass  # its facts are none
    return Memory(program=program)


def _believed(index: FolderIndex, program: Sequence[object], now: float) -> Memory:
    stamps = index.stamps()
    refused: dict[str, tuple[Kept, ...]] = {
        folder: tuple(Kept(path, reason, lasting=True) for path, reason in lines)
        for folder, lines in index.facts["refused"]
    }
    full = not 0 <= now - index.facts["full"] < FULL_EVERY
    if full:
        # what is refused is judged anew: by another rclone, a name may be storable
        stamps = {
            tree: {path: AGAIN if path in refused else one for path, one in seen.items()}
            for tree, seen in stamps.items()
        }
        refused = {}
    return Memory(stamps, refused, index.facts["full"], full=full, program=program)


def remember(world: World, todo: Plan[Upload | Extract], memory: Memory, context: Context) -> None:
    """Write down what this pass saw, before it changes anything.

    A folder is remembered only when each item in it is proven, or stays until it is changed itself.
    """
    config = context.config
    # the index first: where a run dies between the two, the old one must not be believed
    due = os.path.exists(os.path.join(context.state, TRIGGER))
    for name in (folder_index.NAME, TRIGGER) if due else ():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(context.state, name))
    wanted = context.history.wanted()  # read after that: what comes later triggers anew
    lasting = {one.path: one for one in todo.kept if one.lasting}
    refused: dict[str, list[Kept]] = defaultdict(list)
    unsettled = set(world.left)
    for item in world.items:
        if item.path in lasting:
            refused[item.home].append(lasting[item.path])
        else:
            unsettled.add(item.home)
    for folder, lines in world.refused.items():
        refused[folder].extend(lines)
    table = mounts()
    trees = {
        tree: {path: AGAIN if path in unsettled else one for path, one in seen.items()}
        for tree, seen in world.stamps.items()
        if not why_times_untrusted(tree, table)
    }
    libraries = {str(library.root) for library in config.libraries.values()}
    containers = layout.containers(config)
    absent = [one for one in containers if not os.path.lexists(one)]
    expected = (libraries | {*containers}) - {*absent}
    roots = libraries | {config.paths.completed}
    facts: Mapping[str, object] = {
        "program": memory.program,
        "full": context.now if memory.full else memory.full_at,
        "whole": not (world.unavailable or wanted) and expected == trees.keys(),
        "roots": {root: context.history.root(root) for root in sorted(roots)},
        "absent": absent,
        "mounts": list(config.paths.require_mounts),
        "refused": [
            [folder, [[one.path, one.reason] for one in lines]] for folder, lines in refused.items()
        ],
    }
    try:
        folder_index.write(os.path.join(context.state, folder_index.NAME), facts, trees)
    except OSError as error:
        context.tell("index.unwritten", level="warning", job="upload", reason=str(error))


def trigger(context: Context) -> None:
    """Let the next upload look at what cleanup wants, although no folder changed by that."""
    if context.history.wanted():
        with open(os.path.join(context.state, TRIGGER), "wb", opener=regular.opener):
            pass


def _program(context: Context) -> list[object]:
    """Give what decides how things are judged: this program's version, and its configuration."""
    return [__version__, context.path, folder_index.file_stamp(context.path)]
