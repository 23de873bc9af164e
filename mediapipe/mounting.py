"""`mediapipe mount`: check what can be checked, make the logins, and become rclone."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import sys
from typing import TYPE_CHECKING

from mediapipe.adapters import process, rclone_mount
from mediapipe.adapters.rc import RemoteControl
from mediapipe.adapters.rclone import Rclone
from mediapipe.adapters.rclone_program import Program
from mediapipe.config_load import load
from mediapipe.errors import ConfigError, Unavailable
from mediapipe.owner import become_owner
from mediapipe.places import find, state_folder

if TYPE_CHECKING:
    from argparse import Namespace

    from mediapipe.config import Config

_CACHE = "/var/cache/mediapipe"
"""The cache of a mount that systemd did not start: the same as the unit's."""


def mount(options: Namespace) -> int:
    """Mount the remote, and stay: rclone takes our place, and tells systemd when it is ready.

    Raises ConfigError for what a person has to mend, Unavailable where something is in the way.
    """
    config = load(find(options.config))
    state = state_folder(config.paths.state)
    point = config.rclone.mount_point
    become_owner(state)
    if options.unmount:
        found = "a dead mount was taken away" if rclone_mount.clear(point) else "no dead mount"
        sys.stdout.write(f"{point}: {found}\n")
        return 0
    program = Program(config.rclone)
    people = rclone_mount.people(config.rclone)
    folder = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or state
    cache = os.environ.get("CACHE_DIRECTORY", "").split(":")[0] or _CACHE
    logins = os.path.join(folder, rclone_mount.LOGINS)
    words = rclone_mount.command(program, config.rclone, cache, logins)
    rclone_mount.demand_flags(words)
    if options.show:
        sys.stdout.write(shlex.join(words) + "\n")
        return 0
    if rclone_mount.clear(point):
        sys.stderr.write(f"{point}: a dead mount was taken away\n")
    rclone_mount.demand_possible(config.rclone)
    _make_folders(state, cache)
    # a missing bucket is an empty folder to rclone, and a refused key asked for without end
    Rclone(config.rclone, config.upload).demand_bucket()
    _free(config, state)
    rclone_mount.write_logins(state, logins, people)
    sys.stderr.flush()
    return process.become(words)


def _make_folders(*folders: str) -> None:
    for folder in folders:
        try:
            os.makedirs(folder, mode=0o750, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cannot make {folder}: {error.strerror}",
                hint="start the systemd unit, which has it made, or make it as root",
            ) from None


def _free(config: Config, state: str) -> None:
    """See that nobody listens where rclone will, and take away the socket of one that was killed.

    Somebody else there would be sent our password by every upload.
    """
    control = RemoteControl(config.rclone.rc_addr, state)
    if control.listens():
        raise Unavailable(
            f"something listens at {config.rclone.rc_addr} already",
            hint="another rclone? `ss -ltnxp` tells; or name another [rclone] rc_addr",
        )
    if control.socket is not None:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(control.socket).st_mode):
                os.unlink(control.socket)
