"""The words of the configuration: durations, sizes, absolute paths, secret files.

Each type checks what is written and raises ValueError with a sentence that shows how to write it.
"""

from __future__ import annotations

import os
import re
from typing import Self

_DURATION = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_DURATION_UNITS = (604800, 86400, 3600, 60, 1)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]?)", re.ASCII)
_SECRET_NAME = re.compile(r"[\w.-]+", re.ASCII)
_FOREVER = 100 * 365 * 86400
_LARGEST = 1 << 63


class Checked:
    """A configuration value that is written as a string and checked by its own `parse`."""

    @classmethod
    def parse(cls, value: object) -> Self:
        raise NotImplementedError(cls)


class Seconds(int, Checked):
    """A duration in seconds, written `"90s"`, `"2m"`, `"1h30m"`, `"7d"`."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a duration; raises ValueError."""
        if isinstance(value, cls):
            return value
        match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
        if match is None:
            raise ValueError(f'{value!r} is no duration: write "90s", "2m", "1h30m" or "7d"')
        numbers = zip(match.groups(), _DURATION_UNITS, strict=True)
        total = sum(int(number or 0) * unit for number, unit in numbers)
        if total > _FOREVER:
            raise ValueError(f"{value!r} is longer than a hundred years")
        return cls(total)


class Size(int, Checked):
    """A size in bytes, written `"512M"`, `"150G"` in powers of 1024."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a size; raises ValueError."""
        if isinstance(value, cls):
            return value
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f'{value!r} is no size: write "512M", "150G" (powers of 1024)')
        size = float(match[1]) * 1024 ** " KMGTP".index(match[2] or " ")
        if size >= _LARGEST:
            raise ValueError(f"{str(value)[:40]!r} is more than any disk holds")
        return cls(int(size))


class AbsPath(str, Checked):
    """An absolute path without `..`, normalised, never `/` itself."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a path; raises ValueError."""
        if not isinstance(value, str) or not value.startswith("/"):
            raise ValueError(f"{value!r} is no absolute path")
        if "\0" in value:
            raise ValueError("a path cannot hold a NUL character")
        if ".." in value.split("/"):
            raise ValueError(f"{value!r} must not go up with '..'")
        path = os.path.normpath("/" + value.lstrip("/"))
        if path == "/":
            raise ValueError("the root folder '/' is not a place for this")
        return cls(path)


class SecretFile(str, Checked):
    """A file with a secret: an absolute path, a bare name in `$CREDENTIALS_DIRECTORY`, or blank."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read the name of a secret's file; raises ValueError."""
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is no file name")  # noqa: TRY004 - as every other mistake
        if "\0" in value:
            raise ValueError("a path cannot hold a NUL character")
        if value and not value.startswith("/") and not _SECRET_NAME.fullmatch(value):
            raise ValueError(
                f"{value!r} is neither an absolute path nor a bare credential name; "
                "the secret itself never stands in this file"
            )
        return cls(value)

    def path(self) -> str | None:
        """Give the file's path, or None where no secret is configured or no credential given."""
        if not self:
            return None
        if self.startswith("/"):
            return str(self)
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        return os.path.join(folder, self) if folder else None
