"""`rclone mount`: its command line, its logins, and a mount point that is fit for it.

No secret stands on the command line, which everybody can read (`ps`): rclone reads the logins from
a file of ours. A mount that hangs hangs whoever touches it, so it is touched by a child that has a
deadline, and not at all where the kernel's table says that nothing is mounted.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING

from mediapipe import regular
from mediapipe.adapters import process, rc
from mediapipe.disk import mounts
from mediapipe.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediapipe.adapters.rclone_program import Program
    from mediapipe.config import MountConfig, RcloneConfig

USER = "mediapipe"
"""Whom the remote control knows us as; `rc_htpasswd_file` may not name it."""
LOGINS = "rc.htpasswd"
_FILE_SYSTEM = "fuse.rclone"
_LAYERS = 8
"""How many dead mounts may lie over one another."""
_OPENING = 10.0
"""Seconds for opening the folder, which asks rclone alone, and for unmounting it."""
_OPEN = """
import os, sys
try:
    os.close(os.open(os.fsencode(sys.argv[1]), os.O_RDONLY | os.O_DIRECTORY))
except OSError as error:
    print(error.errno)
"""
_FUSE = "/dev/fuse"
_FUSE_CONF = "/etc/fuse.conf"
_LOGIN = re.compile(r"([^:\s]+):(\$2[abxy]?\$|\{SHA\}|\$apr1\$|\$1\$)\S+")
"""A line of htpasswd(1) with a hash that rclone reads."""


def command(program: Program, config: RcloneConfig, cache: str, logins: str) -> list[str]:
    """Give the whole command line; `extra_args` win over all but that it is read-only.

    `cache` is the folder that rclone caches in, `logins` the file that `write_logins` writes.
    """
    # fmt: off
    return [
        *program.command("mount"), config.remote, config.mount_point,
        "--cache-dir", cache, *_flags(config.mount),
        "--rc", "--rc-addr", config.rc_addr, "--rc-htpasswd", logins,
        *config.mount.extra_args, "--read-only",
    ]
    # fmt: on


def demand_flags(words: Sequence[str]) -> None:
    """Demand that rclone understands its command line; raises ConfigError with what it says."""
    ended = process.run([*words, "--help"], timeout=60)
    if ended.status != 0:
        said = ended.errors.rpartition("Fatal error: ")[2]
        raise ConfigError(f"rclone: {said}", hint="check [rclone.mount] and its extra_args")


def _flags(mount: MountConfig) -> list[str]:
    sizes = {
        "vfs-cache-max-size": mount.vfs_cache_max_size,
        "vfs-cache-min-free-space": mount.vfs_cache_min_free_space,
        "buffer-size": mount.buffer_size,
        "vfs-read-ahead": mount.vfs_read_ahead,
        "vfs-read-chunk-size": mount.vfs_read_chunk_size,
    }
    times = {"vfs-cache-max-age": mount.vfs_cache_max_age, "dir-cache-time": mount.dir_cache_time}
    words = {
        "vfs-cache-mode": mount.vfs_cache_mode,
        "vfs-read-chunk-streams": str(mount.vfs_read_chunk_streams),
        **{name: _size(size) for name, size in sizes.items()},
        **{name: f"{seconds}s" for name, seconds in times.items()},
    }
    given = [f"--{name}={word}" for name, word in words.items()]
    given += ["--vfs-fast-fingerprint"] * mount.vfs_fast_fingerprint
    return given + ["--allow-other"] * mount.allow_other


def _size(size: int) -> str:
    """Write a size as rclone reads it: a number without a unit would be of KiB."""
    for power, unit in ((3, "Gi"), (2, "Mi"), (1, "Ki")):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return f"{size}B"


def people(config: RcloneConfig) -> tuple[str, ...]:
    """Give the lines of `rc_htpasswd_file`; raises ConfigError where rclone could not use one."""
    if not config.rc_htpasswd_file:
        return ()
    path = config.rc_htpasswd_file.path()
    name = f"rclone.rc_htpasswd_file = {config.rc_htpasswd_file!r}"
    if path is None:
        raise ConfigError(
            f"{name} is a credential, but $CREDENTIALS_DIRECTORY is not set",
            hint="start the systemd unit, or give an absolute path",
        )
    try:
        lines = [line.strip() for line in regular.read(path).decode().split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"cannot read {path}: {why}", hint=name) from None
    lines = [line for line in lines if line and not line.startswith("#")]
    for number, line in enumerate(lines, 1):
        found = _LOGIN.fullmatch(line)
        # the line itself is a secret
        if found is None:
            raise ConfigError(
                f"{path}: login {number} is not USER:HASH with a hash that rclone reads",
                hint=f"htpasswd -B {path} USER",
            )
        if found[1] == USER:
            raise ConfigError(f"{path}: the user {USER!r} is our own", hint="call it otherwise")
    return tuple(lines)


def write_logins(state: str, logins: str, lines: Sequence[str]) -> None:
    """Make a new password for ourselves; it and the logins of people go to what rclone reads.

    What the jobs read (`rc.json`) is there before rclone listens. Raises ConfigError.
    """
    password = secrets.token_urlsafe(32)
    # a random password of 256 bits needs neither salt nor a slow hash
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    ours = f"{USER}:{{SHA}}{base64.b64encode(digest).decode()}"
    _write(logins, "".join(f"{line}\n" for line in (ours, *lines)))
    _write(os.path.join(state, rc.NAME), json.dumps({"user": USER, "password": password}) + "\n")


def _write(path: str, text: str) -> None:
    try:
        # mode 0600 from its first byte on
        descriptor, new = tempfile.mkstemp(prefix=".rc-", dir=os.path.dirname(path))
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(new, path)
        except BaseException:
            os.unlink(new)
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}",
            hint="run it as the user that owns the state folder, or as root",
        ) from None


def clear(point: str) -> bool:
    """Unmount what an rclone that has ended left at the mount point; tells whether there was any.

    Raises Unavailable where an rclone lives there, be it hung, and ConfigError where something
    else is mounted: neither is ours to take away.
    """
    found = False
    for _ in range(_LAYERS):
        mount = mounts.mounted_at(point, mounts.mounts())
        if mount is None:
            return found
        if mount.file_system != _FILE_SYSTEM:
            raise ConfigError(
                f"{point} is a mount of {mount.file_system}",
                hint="[rclone] mount_point has to be a folder of its own",
            )
        found = True
        _demand_dead(point)
        ended = process.run([_unmounter(), "-u", "-z", point], timeout=_OPENING, grace=1.0)
        if ended.status != 0:
            raise Unavailable(
                f"cannot unmount {point}: {ended.errors}",
                hint=f"as root: fusermount3 -uz {point}",
            )
    raise Unavailable(f"too many dead mounts lie at {point}", hint=f"as root: umount -l {point}")


def _demand_dead(point: str) -> None:
    look = [sys.executable, "-I", "-S", "-c", _OPEN, point]
    try:
        answer = process.run(look, timeout=_OPENING, grace=1.0).output.strip()
    except Unavailable:
        raise Unavailable(
            f"{point} hangs: an rclone has it mounted, and does not answer",
            hint="find it with `pgrep -a rclone` and end it with `kill -KILL`",
        ) from None
    if answer != str(errno.ENOTCONN).encode():
        raise Unavailable(
            f"an rclone serves {point} already",
            hint="systemctl stop rclone-b2-mount, or fusermount3 -u for one started by hand",
        )


def _unmounter() -> str:
    found = shutil.which("fusermount3")
    if found is None:
        raise ConfigError("fusermount3 is not installed", hint="apt-get install fuse3")
    return found


def demand_possible(config: RcloneConfig) -> None:
    """Demand that the mount point, where nothing is mounted, and this host allow the mount.

    Raises ConfigError for what rclone would fail at with words that help nobody.
    """
    _unmounter()
    if not os.path.exists(_FUSE):
        raise ConfigError(
            f"there is no {_FUSE}", hint="modprobe fuse; a container has to be given it"
        )
    if not os.access(_FUSE, os.R_OK | os.W_OK):
        raise ConfigError(f"{_FUSE} may not be opened", hint=f"as root: chmod 0666 {_FUSE}")
    point = config.mount_point
    if (real := os.path.realpath(point)) != point:
        # the kernel's table has the other name, by which a dead mount is found
        raise ConfigError(f"{point} leads to {real}", hint=f'mount_point = "{real}"')
    mend = f"as root: install -d -o $(id -un {os.geteuid()}) {point}"
    try:
        os.makedirs(point, exist_ok=True)
        with os.scandir(point) as entries:
            if next(entries, None) is not None:
                raise ConfigError(
                    f"{point} is not empty, and a mount would hide what is there",
                    hint="move it away, or name another [rclone] mount_point",
                )
    except OSError as error:
        raise ConfigError(f"cannot mount at {point}: {error.strerror}", hint=mend) from None
    if not os.access(point, os.W_OK):
        raise ConfigError(f"cannot mount at {point}: it is not ours to write to", hint=mend)
    if config.mount.allow_other and os.geteuid() != 0 and not _others_allowed():
        raise ConfigError(
            f"{_FUSE_CONF} does not have user_allow_other, so nobody else could see the mount",
            hint=f"as root: echo user_allow_other >> {_FUSE_CONF}; or allow_other = false",
        )


def _others_allowed() -> bool:
    try:
        with open(_FUSE_CONF, "rb") as file:
            return any(line.strip() == b"user_allow_other" for line in file)
    except OSError:
        return False
