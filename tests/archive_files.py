"""Archives made by hand, also such as no program would make: ZIP, RAR 4 and 7z, all as bytes."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TIME = 0x5A6A6000  # 2025-03-10 12:00, as DOS tells time
_UNIX = 3
_ENCRYPTED = 0x01


@dataclass(frozen=True)
class Member:
    """An entry: a file unless told otherwise; of a link the content is the target."""

    name: str
    content: bytes = b""
    kind: int = stat.S_IFREG
    mode: int = 0o644
    encrypted: bool = False


def members(files: Mapping[str, bytes]) -> list[Member]:
    """Give a member for each name and content."""
    return [Member(name, content) for name, content in files.items()]


# ZIP


def zip_of(entries: Sequence[Member] | Mapping[str, bytes], *, deflated: bool = False) -> bytes:
    """Make a ZIP; names go in as they are, whatever they are, and as often as they are."""
    if not isinstance(entries, list | tuple):
        entries = members(entries)  # type: ignore[arg-type]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name that is there twice
        for entry in entries:
            info = zipfile.ZipInfo(entry.name, (2025, 3, 10, 12, 0, 0))
            info.create_system = _UNIX
            info.external_attr = (entry.kind | entry.mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
            archive.writestr(info, entry.content)
    raw = bytearray(stream.getvalue())
    for entry in entries:
        if entry.encrypted:
            _say_encrypted(raw, entry.name)
    return bytes(raw)


def _say_encrypted(raw: bytearray, name: str) -> None:
    """Set the flag in both headers of an entry; the content stays as it is."""
    for signature, flags, length in ((b"PK\3\4", 6, 30), (b"PK\1\2", 8, 46)):
        at = raw.find(signature)
        while at != -1:
            if raw[at + length :].startswith(name.encode()):
                raw[at + flags] |= _ENCRYPTED
            at = raw.find(signature, at + 1)


# RAR 4, everything stored

_VOLUME, _NEW_NAMES, _FIRST = 0x0001, 0x0010, 0x0100
_FROM_BEFORE, _GOES_ON, _PASSWORD, _FOLDER = 0x01, 0x02, 0x04, 0xE0
_NEXT_VOLUME = 0x0001


def rar_of(entries: Sequence[Member] | Mapping[str, bytes]) -> bytes:
    """Make a RAR of one volume."""
    if not isinstance(entries, list | tuple):
        entries = members(entries)  # type: ignore[arg-type]
    body = b"".join(_rar_file(entry, entry.content, 0, crc32(entry.content)) for entry in entries)
    return _rar_begin(0) + body + _rar_end(0)


def rar_volumes_of(
    entries: Sequence[Member] | Mapping[str, bytes], size: int, *, new_names: bool
) -> list[bytes]:
    """Make a RAR whose volumes hold at most so many bytes of content each."""
    if not isinstance(entries, list | tuple):
        entries = members(entries)  # type: ignore[arg-type]
    bodies, room = [b""], size
    for entry in entries:
        rest, flags = entry.content, 0
        while True:
            piece, rest = rest[:room], rest[room:]
            # each piece has a sum of its own, the last one that of the whole
            total = crc32(piece if rest else entry.content)
            bodies[-1] += _rar_file(entry, piece, flags | (_GOES_ON if rest else 0), total)
            room -= len(piece)
            if not rest:
                break
            flags = _FROM_BEFORE
            bodies.append(b"")
            room = size
        if not room:
            bodies.append(b"")
            room = size
    if not bodies[-1]:
        bodies.pop()
    last = len(bodies) - 1
    naming = _VOLUME | (_NEW_NAMES if new_names else 0)
    return [
        _rar_begin(naming | (0 if number else _FIRST))
        + body
        + _rar_end(0 if number == last else _NEXT_VOLUME)
        for number, body in enumerate(bodies)
    ]


def _rar_begin(flags: int) -> bytes:
    return b"Rar!\x1a\x07\x00" + _block(0x73, flags, bytes(6))


def _rar_end(flags: int) -> bytes:
    return _block(0x7B, 0x4000 | flags, b"")


def _rar_file(entry: Member, piece: bytes, flags: int, total: int) -> bytes:
    name = entry.name.replace("/", "\\").encode()  # as RAR writes it
    flags |= _PASSWORD if entry.encrypted else 0
    flags |= _FOLDER if entry.kind == stat.S_IFDIR else 0
    fields = struct.pack(
        "<IIBIIBBHI", len(piece), len(entry.content), _UNIX, total, _TIME, 20, 0x30, len(name),
        entry.kind | entry.mode,
    )  # fmt: skip
    return _block(0x74, 0x8000 | flags, fields + name) + piece


def _block(kind: int, flags: int, fields: bytes) -> bytes:
    header = struct.pack("<BHH", kind, flags, len(fields) + 7) + fields
    return struct.pack("<H", crc32(header) & 0xFFFF) + header


# 7z, everything stored


def seven_of(files: Mapping[str, bytes]) -> bytes:
    """Make a 7z with one stored stream for each file; none may be empty."""
    packed = b"".join(files.values())
    sizes = b"".join(_number(len(content)) for content in files.values())
    sums = b"".join(struct.pack("<I", crc32(content)) for content in files.values())
    count = _number(len(files))
    names = b"\0" + b"".join(f"{name}\0".encode("utf-16-le") for name in files)
    header = b"".join(
        [
            b"\x01\x04",  # header, streams:
            b"\x06\0", count, b"\x09", sizes, b"\0",  # where they lie
            b"\x07\x0b", count, b"\0", b"\x01\x01\x00" * len(files),  # copied, not compressed
            b"\x0c", sizes, b"\x0a\x01", sums, b"\0",
            b"\x08\0\0",  # one file in each
            b"\x05", count, b"\x11", _number(len(names)), names, b"\0\0",
        ]
    )  # fmt: skip
    start = struct.pack("<QQI", len(packed), len(header), crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\x04" + struct.pack("<I", crc32(start)) + start + packed + header


def _number(value: int) -> bytes:
    """Write a number as 7z does: the first byte's leading ones count the bytes that follow."""
    for more in range(8):
        if value < 1 << (7 * (more + 1)):
            lead = (0xFF00 >> more) & 0xFF
            return bytes([lead | value >> (8 * more)]) + (value % (1 << (8 * more))).to_bytes(
                more, "little"
            )
    return b"\xff" + value.to_bytes(8, "little")
