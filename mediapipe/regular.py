"""Open files whose names others wrote, and none but regular ones.

A fifo in the place of a secret would wait for ever for somebody to write, and a device never end.
"""

from __future__ import annotations

import errno
import os
import stat

LARGEST = 1 << 20
"""Bytes of what is read whole: secrets, settings."""


def opener(path: str, flags: int) -> int:
    """Open for `open(..., opener=opener)`. Raises OSError, also for what is no regular file."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o664)
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.ENXIO):  # as a folder, a fifo or a socket says it
            raise _none(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _none(path)
    return descriptor


def _none(path: str) -> OSError:
    return OSError(errno.EINVAL, "it is no regular file", path)


def itself(path: str, flags: int) -> int:
    """Open as `opener` does, and no link either."""
    return opener(path, flags | os.O_NOFOLLOW)


def read(path: str, largest: int = LARGEST) -> bytes:
    """Read a file whole. Raises OSError, also where it has more than `largest` bytes."""
    with open(path, "rb", opener=opener) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"it is larger than {largest} bytes", path)
    return content
