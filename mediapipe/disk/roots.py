"""The `.mediapipe-root` file: it tells a library that is empty from a mount that is gone."""

from __future__ import annotations

import os
import stat

from mediapipe import regular
from mediapipe.disk.marker import sync_folder
from mediapipe.facts import fact

NAME = ".mediapipe-root"


@fact
class Root:
    """A configured root as it was found."""

    path: str
    identifier: str
    """What its root file says; empty where it has none yet."""
    trouble: str
    """Why it is unavailable; empty where it is sound."""


def inspect(path: str, known: str | None) -> Root:
    """Look at a root; `known` is the identifier that history has of it, if it was seen before.

    Device numbers are no help here: they change at a reboot.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISDIR(found.st_mode):
            return Root(path, "", f"{path} is no folder")
        identifier = _read(path)
    except FileNotFoundError:
        return Root(path, "", f"{path} does not exist")
    except OSError as error:
        return Root(path, "", f"{error.filename} cannot be read: {error.strerror}")
    if known is not None and not identifier:
        return Root(path, "", f"{path} has lost its {NAME}: is its disk mounted?")
    if known is not None and identifier != known:
        return Root(path, identifier, f"{path} has another {NAME} than before: a foreign disk?")
    return Root(path, identifier, "")


def _read(path: str) -> str:
    try:
        with open(os.path.join(path, NAME), "rb", opener=regular.itself) as file:
            return file.read(100).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return ""


def adopt(root: Root) -> str:
    """Give a sound root its root file, if it has none, and tell its identifier. Raises OSError."""
    if root.identifier:
        return root.identifier
    identifier = os.urandom(16).hex()
    path = os.path.join(root.path, NAME)
    temporary = path + ".tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(temporary, flags, 0o644), "w") as file:
        file.write(identifier + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    sync_folder(root.path)
    return identifier
