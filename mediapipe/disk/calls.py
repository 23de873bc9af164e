"""System calls for which Python has no function."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat

_NO_REPLACE = 1
"""RENAME_NOREPLACE of renameat2(2)."""
_CLONE = 0x40049409
"""FICLONE of ioctl_ficlone(2)."""
_NO_SUCH_CALL = (errno.ENOSYS, errno.EINVAL)
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What a file system says that makes no hard link, or no further one."""

_libc = ctypes.CDLL(None, use_errno=True)


def rename_new(source: int, name: str, target: int, new_name: str) -> None:
    """Rename from one open folder into another, never onto something that stands there.

    Raises FileExistsError where the new name is taken, and OSError.
    """
    old, new = os.fsencode(name), os.fsencode(new_name)
    if _libc.renameat2(source, old, target, new, _NO_REPLACE) == 0:
        return
    code = ctypes.get_errno()
    if code not in _NO_SUCH_CALL:
        raise OSError(code, os.strerror(code), new_name)
    _rename_checked(source, name, target, new_name)


def _rename_checked(source: int, name: str, target: int, new_name: str) -> None:
    """Do the same where the file system does not know the flag."""
    found = os.stat(name, dir_fd=source, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        try:
            os.link(name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
        else:
            os.unlink(name, dir_fd=source)
            return
    try:
        os.stat(new_name, dir_fd=target, follow_symlinks=False)
    except FileNotFoundError:
        # a folder replaces nothing but an empty folder, in whatever moment that one appears
        os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name)


def clone(source: int, target: int) -> bool:
    """Let an open, empty file share the blocks of another; False where that is not possible."""
    try:
        fcntl.ioctl(target, _CLONE, source)
    except OSError as error:
        # what is wrong with the disk itself is met again by the copy that follows
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        return False
    return True


def sync(descriptor: int) -> None:
    """Make an open file or folder survive a power cut; not every file system syncs folders."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def sync_disk(descriptor: int) -> None:
    """Make all that was written to the file system of an open folder survive a power cut.

    Raises OSError, also for what failed to be written since the folder was opened (Linux 5.8).
    """
    if _libc.syncfs(descriptor) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
