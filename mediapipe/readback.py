"""Read large objects back: the SHA-1 that they carry is a label that the remote never checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe.ports import Range

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mediapipe.disk.index import File
    from mediapipe.ports import Remote

_BLOCK = 1 << 20
_READ_AT_ONCE = 4
"""Files whose ranges are in memory at the same time."""
_UNCHECKED = 200 << 20
"""Bytes: above rclone's `--b2-upload-cutoff` B2 checks the parts, but not the whole."""
_SMALLEST_PARTS = 5_000_000
"""Bytes: what another program sent in parts is larger than this, which is B2's smallest part."""


def is_unchecked(size: int, *, ours: bool) -> bool:
    """Whether the SHA-1 of an object may be a label; `ours` if this run has sent it.

    `size` is in bytes.
    """
    return size > (_UNCHECKED if ours else _SMALLEST_PARTS)


def why_read_backs_differ(
    prefix: str,
    files: Mapping[str, File],
    remote: Remote,
    go_on: Callable[[], bool] = lambda: True,
    *,
    ours: bool,
) -> dict[str, str]:
    """Compare first, middle and last MiB with the disk, where the SHA-1 may be a label.

    Gives name → why they differ, or an empty string; nothing for all others. Raises Unavailable,
    also as soon as `go_on` tells that it is not wanted any more.
    """
    large = [(name, one) for name, one in files.items() if is_unchecked(one.size, ours=ours)]
    reasons: dict[str, str] = {}
    for first in range(0, len(large), _READ_AT_ONCE):
        parts = [
            (file, Range(f"{prefix}/{name}", offset, _BLOCK))
            for name, file in large[first : first + _READ_AT_ONCE]
            for offset in (0, file.size // 2, file.size - _BLOCK)
        ]
        theirs = remote.read([one for _file, one in parts], go_on=go_on)
        for (file, one), data in zip(parts, theirs, strict=True):
            name = one.name[len(prefix) + 1 :]
            reasons[name] = reasons.get(name, "") or _why_range_differs(file, one, data)
    return reasons


def _why_range_differs(file: File, one: Range, theirs: bytes) -> str:
    try:
        with open(file.path, "rb") as stream:
            stream.seek(one.offset)
            ours = stream.read(one.count)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if theirs == ours else f"the remote has other bytes at {one.offset}"
