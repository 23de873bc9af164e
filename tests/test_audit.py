"""The audit on a disk that is nearly full: a line is there wholly, or it was refused."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from mediapipe import audit

if TYPE_CHECKING:
    from pathlib import Path

LINE = {"job": "cleanup", "action": "delete-file", "path": "/a"}


def test_a_line_that_fits_in_part_alone_is_refused(tmp_path: Path) -> None:
    """The kernel writes what there is room for, and calls that a success."""
    state = str(tmp_path)
    audit.write(state, LINE)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (audit.length(state) + 30, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            audit.write(state, {**LINE, "path": "/b"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    audit.write(state, {**LINE, "path": "/c"})
    assert [line and line["path"] for line in audit.read(state)] == ["/a", "/c"]
