"""Who may do what: application keys, account tokens and upload tickets."""

import base64
import binascii
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mediapipe.testing.b2.errors import ApiError, refuse

FIRST_MULTI_BUCKET_VERSION = 4

CAPABILITIES = (
    "listKeys",
    "writeKeys",
    "deleteKeys",
    "listBuckets",
    "writeBuckets",
    "deleteBuckets",
    "listFiles",
    "readFiles",
    "shareFiles",
    "writeFiles",
    "deleteFiles",
)

NEEDED = {
    "b2_list_buckets": "listBuckets",
    "b2_create_bucket": "writeBuckets",
    "b2_update_bucket": "writeBuckets",
    "b2_delete_bucket": "deleteBuckets",
    "b2_list_file_names": "listFiles",
    "b2_list_file_versions": "listFiles",
    "b2_list_unfinished_large_files": "listFiles",
    "b2_list_parts": "writeFiles",
    "b2_get_upload_url": "writeFiles",
    "b2_get_upload_part_url": "writeFiles",
    "b2_start_large_file": "writeFiles",
    "b2_finish_large_file": "writeFiles",
    "b2_cancel_large_file": "writeFiles",
    "b2_copy_file": "writeFiles",
    "b2_copy_part": "writeFiles",
    "b2_hide_file": "writeFiles",
    "b2_delete_file_version": "deleteFiles",
    "b2_get_file_info": "readFiles",
    "b2_download_file_by_id": "readFiles",
    "b2_download_file_by_name": "readFiles",
}


@dataclass(frozen=True)
class Key:
    """An application key."""

    key_id: str
    secret: str
    capabilities: tuple[str, ...] = CAPABILITIES
    buckets: tuple[str, ...] = ()  # names; empty = all buckets
    prefix: str | None = None  # file names must start with it
    multi: bool = False  # made since November 2025: refused by API versions below 4


@dataclass
class Ticket:
    """The right to use one upload URL, for one request at a time."""

    key: Key
    bucket_id: str
    file_id: str | None = None  # set = for the parts of this large file
    busy: bool = False


def check_scope(key: Key, bucket_name: str | None, name: str | None) -> None:
    """Refuse what lies outside the key's buckets and prefix; None = not part of the call."""
    if key.buckets and bucket_name is not None and bucket_name not in key.buckets:
        refuse("not entitled: key is restricted to another bucket", "unauthorized", 401)
    if key.prefix and name is not None and not name.startswith(key.prefix):
        refuse("not entitled: key is restricted to another prefix", "unauthorized", 401)


class Access:
    """All keys, tokens and tickets of the account."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self._tokens: dict[str, str] = {}  # account token -> key id
        self._expired: set[str] = set()
        self._tickets: dict[str, Ticket] = {}
        self._lock = threading.Lock()

    def login(self, authorization: str, version: int) -> tuple[str, Key]:
        """Return a new account token for an `Authorization: Basic` header."""
        try:
            decoded = base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        key_id, _, secret = decoded.partition(":")
        key = self.keys.get(key_id)
        if key is None or key.secret != secret:
            refuse("invalid accountId or applicationKey", "bad_auth_token", 401)
        if key.multi and version < FIRST_MULTI_BUCKET_VERSION:
            refuse(f"This request is not currently supported on API version number {version}")
        token = f"4_{key_id}_acct_{secrets.token_hex(12)}"
        self._tokens[token] = key_id
        return token, key

    def check(self, token: str, api: str) -> Key:
        """Return the key behind an account token, if it may call this API."""
        if token in self._expired:
            refuse("Authorization token has expired", "expired_auth_token", 401)
        key = self.keys.get(self._tokens.get(token, ""))
        if key is None:
            refuse("Invalid authorization token", "bad_auth_token", 401)
        if NEEDED[api] not in key.capabilities:
            refuse(f"not entitled: key lacks {NEEDED[api]}", "unauthorized", 401)
        return key

    def expire(self, *, uploads: bool) -> None:
        self._expired.update(self._tokens)
        if uploads:
            self._tickets.clear()

    def issue(self, ticket: Ticket) -> str:
        """Return the token that goes with a new upload URL."""
        token = f"4_upload_{secrets.token_hex(12)}"
        self._tickets[token] = ticket
        return token

    def ticket(self, token: str) -> Ticket | None:
        return self._tickets.get(token)

    @contextmanager
    def upload(self, token: str, *, part: bool) -> Iterator[Ticket]:
        """Hold a ticket for one upload. A failed upload costs the ticket, as with B2."""
        ticket = self._tickets.get(token)
        if ticket is None or ticket.key.key_id not in self.keys:
            refuse("Invalid upload authorization token", "bad_auth_token", 401)
        if part != (ticket.file_id is not None):
            refuse("This upload URL is for another kind of upload")
        with self._lock:
            if ticket.busy:
                refuse(f"more than one upload using auth token {token}", "auth_token_limit")
            ticket.busy = True
        try:
            yield ticket
        except ApiError:
            self.retire(token)
            raise
        finally:
            ticket.busy = False

    def retire(self, token: str) -> None:
        self._tickets.pop(token, None)
