"""Whether the places of the configuration can be written, and the drop-in where a unit may not.

The shipped units see /usr, /boot and /etc read-only (`ProtectSystem=full`): they cannot know where
people put their libraries. The mount table tells it, so that no disk is touched for the answer.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe.disk.mounts import mount_of, mounts
from mediapipe.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediapipe.config import Config
    from mediapipe.disk.mounts import Mount

PROTECTED = ("/usr", "/boot", "/efi", "/etc")
"""What systemd.exec(5) has below ProtectSystem=full."""


def places(config: Config) -> dict[str, str]:
    """Give the dotted name of each key whose folder the jobs write to → its path."""
    found = {"paths.completed": config.paths.completed, "paths.extracted": config.paths.extracted}
    found |= {f"libraries.{name}.root": one.root for name, one in config.libraries.items()}
    return {name: str(path) for name, path in found.items()}


def protected(config: Config) -> dict[str, str]:
    """Give the places that the shipped units may not write to."""
    return {
        name: path
        for name, path in places(config).items()
        if any(path == folder or path.startswith(f"{folder}/") for folder in PROTECTED)
    }


def demand_writable(config: Config, unit: str) -> None:
    """Raise ConfigError or Unavailable unless every place can be written, as far as mounts tell.

    `unit` is the service whose sandbox we may be in.
    """
    check(tuple(places(config).values()), mounts(), unit)


def check(paths: Sequence[str], table: tuple[Mount, ...], unit: str) -> None:
    """Hold paths against a mount table; raises as `demand_writable` does."""
    on = {path: mount_of(path, table) for path in paths}
    for path, mount in on.items():
        if mount.read_only == "disk":
            raise Unavailable(
                f"{path} cannot be written: {mount.point} is a read-only file system",
                hint="the kernel does that to a failing disk: see `dmesg`, then mount it anew",
            )
    closed = [path for path, mount in on.items() if mount.read_only == "here"]
    if closed:
        raise ConfigError(
            f"read-only from here, though its disk is not: {', '.join(closed)}",
            hint=f"in a container, mount it without `ro`; as a unit, {drop_in(closed, unit)}",
        )


def drop_in(paths: Sequence[str], unit: str) -> str:
    """Tell how a unit is allowed to write to these paths.

    One folder for all of them where that is not a whole system folder: each `ReadWritePaths=` is a
    mount of its own, and between two mounts no hard link or rename is possible.
    """
    together = os.path.commonpath(paths)
    chosen = sorted(set(paths)) if together in ("/", "/usr/local", *PROTECTED) else [together]
    lines = "".join(f"\nReadWritePaths={_quoted(path)}" for path in chosen)
    return f"run `systemctl edit {unit}` and write there\n[Service]{lines}"


def _quoted(path: str) -> str:
    """Write a path as systemd.syntax(7) and its specifiers want it."""
    escaped = path.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if escaped != path or " " in path else path
