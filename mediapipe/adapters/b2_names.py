"""Names on B2 as rclone writes them: which ones are possible, and how its JSON shows them."""

from __future__ import annotations

import os
import re

_SEGMENT_MAX = 250
_NAME_MAX = 1024
_ESCAPES = re.compile("[\u201b\u2401-\u241f\u2421]")
"""Characters by which rclone writes what B2 cannot hold: a name that has them already is not found
again, and rclone skips it without a word."""
_QUOTED = "\uff0f\uff3c"
"""What rclone writes for / and backslash: it puts U+201B before one that a name has already."""
_STRAY = re.compile("[\udc80-\udcff]")
_PICTURES = {**{code: 0x2400 + code for code in range(32)}, 0x7F: 0x2421}
"""Control characters are shown as their pictures."""


def why_not_storable(name: str) -> str:
    """Tell why a name cannot be stored and found again, or give an empty string."""
    if _ESCAPES.search(name):
        return "its name has a character that rclone keeps for escapes (‛, ␁ to ␡); rename it"
    stored = [*map(_stored_length, name.split("/"))]
    if max(stored) > _SEGMENT_MAX:
        return f"its name is {max(stored)} bytes long on B2, which takes {_SEGMENT_MAX}; rename it"
    if sum(stored) + len(stored) - 1 > _NAME_MAX:
        return f"its path is longer than the {_NAME_MAX} bytes that B2 takes"
    return ""


def as_json_shows(name: str) -> str:
    """Give a name as rclone's JSON shows it: each byte that is not UTF-8 is U+FFFD there."""
    return _STRAY.sub("\ufffd", name)


def is_plain(name: str) -> bool:
    """Whether rclone stores a name as it is, without an escape."""
    length = sum(_stored_length(segment) for segment in name.split("/")) + name.count("/")
    return not _ESCAPES.search(name) and length == len(os.fsencode(name))


def bucket_and_folder(remote: str) -> tuple[str, str]:
    """Cut `b2:bucket/folder` into the bucket's address and the folder."""
    match = re.match(r"([^:]*:/*[^/]*)/?(.*)", remote, re.DOTALL)
    return (match[1], match[2]) if match else (remote, "")


def as_mount_shows(name: str) -> str:
    """Give a name as `rclone mount` shows it; bytes that are not UTF-8 stay as they are."""
    return name.translate(_PICTURES)


def _stored_length(segment: str) -> int:
    """Count the bytes of a segment as rclone stores it on B2 (control pictures, `‛FF` escapes)."""
    if segment.isascii() and segment.isprintable() and "\\" not in segment:
        return len(segment)
    extra = sum(2 for char in segment if char == "\\" or char < " " or char == "\x7f")
    extra += sum(3 for char in segment if char in _QUOTED)
    extra += 4 * len(_STRAY.findall(segment))  # one byte becomes ‛ and two hex digits
    return len(os.fsencode(segment)) + extra
