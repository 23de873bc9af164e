"""What stands behind the standard streams."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing costs more to load than all of this
if TYPE_CHECKING:
    from typing import TextIO


def is_journal(stream: TextIO) -> bool:
    """Tell by systemd's own mark, `$JOURNAL_STREAM` = device:inode of the standard streams."""
    mark = os.environ.get("JOURNAL_STREAM")
    if not mark:
        return False
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return mark == f"{found.st_dev}:{found.st_ino}"
