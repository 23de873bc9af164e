"""The two ways a call can fail: an answer that says so, or a connection that breaks."""

from collections.abc import Mapping
from typing import NoReturn

NAME_LIMIT = 1024  # bytes of UTF-8
SEGMENT_LIMIT = 250  # bytes of UTF-8 between two slashes
DELETE = "\x7f"


class ApiError(Exception):
    """An error that the client is told about, in B2's JSON shape."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


class InjectedResetError(Exception):
    """The client shall see the TCP connection reset now."""


def refuse(message: str, code: str = "bad_request", status: int = 400) -> NoReturn:
    raise ApiError(status, code, message)


def check_name(name: str) -> None:
    """Refuse what B2 refuses as a file name."""
    if not name:
        refuse("File names must contain at least one character")
    if len(name.encode()) > NAME_LIMIT:
        refuse("File name is too long")
    if name.startswith("/") or name.endswith("/") or "//" in name:
        refuse("File names must not start or end with '/' or contain '//'")
    if any(character < " " or character == DELETE for character in name):
        refuse("File names must not contain DEL or control characters")
    if any(len(segment.encode()) > SEGMENT_LIMIT for segment in name.split("/")):
        refuse("File name segments must not be longer than 250 bytes")
