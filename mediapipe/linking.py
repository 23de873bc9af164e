"""A library path becomes a link into the mount, once the mount has shown the same file there.

`after_delete = "symlink"`: what plays from the library goes on playing, from the remote.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from mediapipe.disk.marker import digest, sync_folder
from mediapipe.errors import Unavailable
from mediapipe.judging import asked, confirmed, remote_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mediapipe.holdings import Candidate, Holding
    from mediapipe.ports import RemoteObject
    from mediapipe.rules import Rules
    from mediapipe.step import Delete

Ends = tuple[int, str]
"""Size in bytes of a file, and the SHA-1 of its first and its last MiB after one another."""
_MIB = 1 << 20


def why_not_linkable(
    candidates: Iterable[Candidate],
    objects: Mapping[str, RemoteObject],
    rules: Rules,
    read_ends: Callable[[Sequence[str]], Mapping[str, Ends]],
) -> dict[str, str]:
    """Read files through the mount: path there → how it differs, or an empty string."""
    wanted: dict[str, Holding] = {}
    if not rules.linking:
        return {}
    for candidate in candidates:
        for holding in asked(candidate, rules):
            if not any(_becomes_link(name, rules) for name in holding.names):
                continue
            if target := target_of(holding, objects, rules):
                wanted[target] = holding
    if not wanted:
        return {}
    try:
        theirs = read_ends(sorted(wanted))
    except Unavailable as error:  # what needs no mount goes all the same
        return dict.fromkeys(wanted, str(error))
    return {target: _why_differs(holding, theirs.get(target)) for target, holding in wanted.items()}


def why_not_linked(
    candidate: Candidate,
    objects: Mapping[str, RemoteObject],
    mounted: Mapping[str, str],
    rules: Rules,
) -> str:
    """Tell why a library path of a candidate cannot become a link now, or give an empty string."""
    for holding in candidate.holdings if rules.linking else ():
        if not holding.proofs or not any(_becomes_link(name, rules) for name in holding.names):
            continue
        target = target_of(holding, objects, rules)
        name = os.path.basename(holding.path)
        if not target:
            return f"{name}: it is not one object on the remote, so nothing can be linked to"
        if reason := mounted.get(target, "it was not read through the mount"):
            return f"{name}: {reason}"
    return ""


def target_of(holding: Holding, objects: Mapping[str, RemoteObject], rules: Rules) -> str:
    """Give where the mount shows a file, or an empty string."""
    found = confirmed(holding, objects)
    if len(found) != 1 or holding.file is None or found[0].size != holding.file.size:
        return ""
    return f"{rules.config.rclone.mount_point}/{remote_name(found[0], rules)}"


def put_link(step: Delete) -> None:
    """Put a link in a file's place; the path is never missing. Raises OSError."""
    folder, name = os.path.split(step.path)
    temporary = f"{folder}/.mediapipe-{digest(os.fsencode(name))[:16]}.tmp"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(step.target, temporary)
    try:
        os.rename(temporary, step.path)
    except OSError:
        os.unlink(temporary)
        raise
    sync_folder(folder)


def _becomes_link(name: str, rules: Rules) -> bool:
    library = rules.library_holding(name)
    return library is not None and library[1].after_delete == "symlink"


def _why_differs(holding: Holding, theirs: Ends | None) -> str:
    if theirs is None:
        return "it cannot be read through the mount; is the mount in order?"
    try:
        with open(holding.path, "rb") as file:
            ours = _ends(file.fileno())
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return "" if ours == theirs else "the mount shows another file in its place"


def _ends(descriptor: int) -> Ends:
    size = os.fstat(descriptor).st_size
    parts = (os.pread(descriptor, _MIB, offset) for offset in (0, max(size - _MIB, 0)))
    return size, digest(b"".join(parts))
