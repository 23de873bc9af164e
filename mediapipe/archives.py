"""Archives as the rules see them: which files are volumes of one, and which may be extracted."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from mediapipe.plan import human, shown

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterable, Mapping

    from mediapipe.ports import Listing, Member

_DEEPEST = 100
"""Folders within each other; a path holds enough of them to end a Python that recurses."""
_MOST_MEMBERS = 100_000
_MOST_RATIO = 1000
"""Members, and bytes out of one byte in: beyond them it is a bomb, not a download."""
_RATIO_FROM = 1 << 30
"""Bytes below which a high ratio does no harm."""
_ROOM = 1 << 30
"""Bytes that stay free on the scratch disk beside what is extracted."""

_7Z = b"7z\xbc\xaf\x27\x1c"
_ZIP_END = 4096
"""Bytes: the end records of a zip, with room for what its writer may have added."""
_RAR_SPARE = 1 << 20
"""Bytes that headers may take in a rar, beside a tenth for its recovery record."""

_SINGLE = re.compile(r"\.(?:zip|7z)$", re.IGNORECASE)
_PART = re.compile(r"^(?P<stem>.*)\.part(?P<number>\d+)\.rar$", re.IGNORECASE | re.DOTALL)
_OLD = re.compile(
    r"^(?P<stem>.*)\.(?:rar|(?P<letter>[r-z])(?P<number>\d\d))$", re.IGNORECASE | re.DOTALL
)


def volumes_of(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Give first volume → all volumes, in order, of the archives among some names.

    A set whose first volume is missing is no archive that could be opened: its files are files. So
    are `.7z.001` and its like: nothing in them tells which file is the last.
    """
    found: dict[str, tuple[str, ...]] = {}
    sets: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for name in sorted(names):
        if match := _PART.match(name):
            sets["part", match["stem"].lower()][int(match["number"]) - 1] = name
        elif match := _OLD.match(name):
            number = 0 if match["letter"] is None else _old_number(match)
            sets["old", match["stem"].lower()][number] = name
        elif _SINGLE.search(name):
            found[name] = (name,)
    for members in sets.values():
        if 0 in members:
            found[members[0]] = tuple(members[number] for number in sorted(members))
    return found


def _old_number(match: re.Match[str]) -> int:
    """Count .r00 as 1, .r99 as 100, .s00 as 101."""
    return (ord(match["letter"].lower()) - ord("r")) * 100 + int(match["number"]) + 1


def why_refused(listing: Listing, volumes: Mapping[str, int], *, most: int, free: int) -> str:
    """Tell why an archive must not be extracted, or give an empty string.

    `volumes` are the names of its volumes as the item has them, with their sizes in bytes; `most`
    and `free` are bytes.
    """
    if reason := _why_member_refused(listing.members):
        return reason
    if missing := [name for name in listing.volumes if name not in volumes]:
        return f"its volume {shown(missing[0])} is missing"
    total, packed = listing.size, sum(volumes.values())
    if len(listing.members) > _MOST_MEMBERS:
        return f"it has {len(listing.members)} members, as only a bomb has"
    if total > most:
        return f"it would unpack to {human(total)}, more than max_extracted_size = {human(most)}"
    if total > _RATIO_FROM and total > packed * _MOST_RATIO:
        return f"it would unpack from {human(packed)} to {human(total)}, as only a bomb does"
    if total + _ROOM > free:
        return f"it would unpack to {human(total)}, and only {human(free)} are free for that"
    return ""


def unaccounted(listing: Listing, path: str, size: int) -> bool:
    """Whether an archive may hold more than its list shows; `size` is that of all volumes in bytes.

    What stands behind an archive in one file, or in a directory that the list leaves out, is not
    extracted, and nothing would be left of it. Raises OSError where the file cannot be read.
    """
    import struct
    import zipfile

    names = sorted(member.name for member in listing.members if not member.folder)
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                entries = [one for one in archive.infolist() if not one.is_dir()]
                start = min((one.header_offset for one in archive.infolist()), default=0)
                end = archive.start_dir + sum(_record(one) for one in archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError):
            return True
        tail = size - end - len(archive.comment)
        return len(entries) != len(names) or start != 0 or tail > _ZIP_END
    with open(path, "rb") as file:
        head = file.read(32)
    if head.startswith(_7Z):
        offset, length = struct.unpack_from("<QQ", head, 12)
        return bool(size != len(head) + offset + length)
    spare = size - sum(member.packed for member in listing.members)
    return spare > _RAR_SPARE + size // 10


def _record(one: zipfile.ZipInfo) -> int:
    """Give the bytes of a member's entry in the directory of a zip."""
    return 46 + len(one.orig_filename.encode(errors="replace")) + len(one.extra) + len(one.comment)


def _why_member_refused(members: Iterable[Member]) -> str:
    """Tell which member must not come out, or give an empty string."""
    seen: set[str] = set()
    for member in members:
        if member.name.startswith("/") or ".." in member.name.split("/") or "\0" in member.name:
            return f"its member {shown(member.name)} leads out of the folder"
        if member.name.count("/") > _DEEPEST:
            return f"it has more than {_DEEPEST} folders within each other, as only a bomb has"
        if member.link:
            return f"its member {shown(member.name)} is a link"
        if member.encrypted:
            return "it is encrypted, and no password is known"
        if member.name in seen and not member.folder:
            return f"it has two members of the name {shown(member.name)}"
        seen.add(member.name)
    return ""
