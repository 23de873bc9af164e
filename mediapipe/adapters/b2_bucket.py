"""B2's own API, for what rclone cannot do precisely: unfinished large files, lifecycle rules."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from mediapipe import layout
from mediapipe.adapters import b2_names, http
from mediapipe.bucket import Unfinished
from mediapipe.errors import (
    ActionFailed,
    CapReached,
    ConfigError,
    MediapipeError,
    RemoteOut,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_ENDPOINT = "https://api.backblazeb2.com"
_API = "b2api/v4"
"""Older versions refuse the keys that are made since November 2025."""
_PAGE = 100
_OK, _PARTIAL, _BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _CONFLICT = 200, 206, 400, 401, 403, 409
_LATER = (408, 429)
_SERVER_ERRORS = 500


def behind(remote: str, dump: bytes) -> B2Bucket | None:
    """Give the bucket behind a remote such as `b2:bucket/folder`.

    `dump` is what `rclone config dump` says. None where the remote is not plainly B2: behind
    `crypt` and `alias` names and places are others.
    """
    try:
        settings = json.loads(dump).get(remote.partition(":")[0])
    except (ValueError, AttributeError):
        raise ConfigError("rclone config dump gave no JSON object") from None
    if not isinstance(settings, dict) or settings.get("type") != "b2":
        return None
    return B2Bucket(
        remote,
        str(settings.get("account", "")),
        str(settings.get("key", "")),
        str(settings.get("endpoint") or _ENDPOINT).rstrip("/"),
    )


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """Turn an answer of another shape into none."""
    try:
        yield
    except (AttributeError, TypeError, ValueError) as error:
        raise Unavailable(f"B2's answer was not understood: {error}") from None


class B2Bucket:
    """A `Bucket` port (see `ports.Bucket`), filled by B2's native API; asks when first needed."""

    def __init__(self, remote: str, key_id: str, key: str, endpoint: str) -> None:
        """Nothing is sent here."""
        self._remote = remote
        self._login = (key_id, key)
        self._endpoint = endpoint
        address, self._folder = b2_names.bucket_and_folder(remote)
        self._name = address.partition(":")[2].strip("/")
        self._account: dict[str, Any] = {}
        self._url = ""
        self._revision: object = None

    @_understood()
    def unfinished(self, folder: str) -> tuple[Unfinished, ...]:
        """Give the unfinished large files below a folder of the remote."""
        prefix = f"{layout.address(self._folder, folder) if self._folder else folder}/"
        if not b2_names.is_plain(prefix):
            return ()  # rclone writes such a name otherwise: what stands there is not surely ours
        found: list[Unfinished] = []
        query: dict[str, object] = {"namePrefix": prefix, "maxFileCount": _PAGE}
        query["bucketId"] = self._bucket_id()
        following: object = None
        while True:
            page = self._call("b2_list_unfinished_large_files", query)
            found += [
                self._unfinished(one) for one in page["files"] if one["fileName"].startswith(prefix)
            ]
            before, following = following, page.get("nextFileId")
            if not following or following == before:
                return tuple(found)
            query["startFileId"] = following

    @_understood()
    def cancel(self, one: Unfinished) -> bool:
        """Cancel an unfinished large file; tells whether it was still there."""
        try:
            self._call("b2_cancel_large_file", {"fileId": one.file_id})
        except _BadRequestError:
            return False
        return True

    @_understood()
    def rules(self) -> tuple[Mapping[str, object], ...]:
        """Give the bucket's lifecycle rules, as B2 has them."""
        about = self._look()
        self._revision = about["revision"]
        return tuple(about["lifecycleRules"])

    @_understood()
    def set_rules(self, rules: Sequence[Mapping[str, object]]) -> None:
        """Set all lifecycle rules; raises Unavailable where they changed since `rules()`."""
        change = {"lifecycleRules": list(rules), "ifRevisionIs": self._revision}
        bucket_id = self._bucket_id()
        account_id = self._account["accountId"]
        self._call("b2_update_bucket", {"accountId": account_id, "bucketId": bucket_id, **change})

    @_understood()
    def download(self, file_id: str, take: Callable[[bytes], None], *, start: int = 0) -> None:
        """Download a version by its id, be it replaced or hidden, from the byte `start` on."""
        try:
            self._download(file_id, take, start)
        except _ExpiredError:
            self._account = {}
            self._download(file_id, take, start)
        except _BadRequestError as error:
            raise ActionFailed(f"B2 has no such version any more: {error}") from None

    def _download(self, file_id: str, take: Callable[[bytes], None], start: int) -> None:
        self._authorize()
        base = str(self._account["apiInfo"]["storageApi"]["downloadUrl"]).rstrip("/")
        headers = {"Authorization": str(self._account["authorizationToken"])}
        if start:
            headers["Range"] = f"bytes={start}-"
        url = f"{base}/{_API}/b2_download_file_by_id?{urlencode({'fileId': file_id})}"
        status, content = http.download("B2", url, headers, take)
        if status not in (_OK, _PARTIAL):
            raise _refusal(status, _fields(content))

    def _unfinished(self, one: Mapping[str, Any]) -> Unfinished:
        address = b2_names.bucket_and_folder(self._remote)[0]
        name = layout.address(address, str(one["fileName"]))
        return Unfinished(name, str(one["fileId"]), int(one["uploadTimestamp"]) / 1000)

    def _bucket_id(self) -> str:
        """Give the bucket's id; a key that is limited to buckets tells it without being asked."""
        self._authorize()
        allowed = self._account["apiInfo"]["storageApi"].get("allowed") or {}
        for bucket in allowed.get("buckets") or ():
            if bucket.get("name") == self._name:
                return str(bucket["id"])
        return str(self._look()["bucketId"])

    def _look(self) -> dict[str, Any]:
        self._authorize()
        query = {"accountId": self._account["accountId"], "bucketName": self._name}
        for bucket in self._call("b2_list_buckets", query)["buckets"]:
            if bucket["bucketName"] == self._name:
                about: dict[str, Any] = bucket
                return about
        raise ConfigError(
            f"{self._remote} does not exist",
            hint="check [rclone] remote, or make it: rclone mkdir",
        )

    def _authorize(self) -> None:
        if self._account:
            return
        self._account = self._ask(
            f"{self._endpoint}/{_API}/b2_authorize_account", {}, {}, self._login
        )
        self._url = str(self._account["apiInfo"]["storageApi"]["apiUrl"]).rstrip("/")

    def _call(self, name: str, body: Mapping[str, object]) -> dict[str, Any]:
        self._authorize()
        token = {"Authorization": str(self._account["authorizationToken"])}
        return self._ask(f"{self._url}/{_API}/{name}", body, token)

    def _ask(
        self,
        url: str,
        body: Mapping[str, object],
        headers: Mapping[str, str],
        login: tuple[str, str] | None = None,
    ) -> dict[str, Any]:
        """Ask B2; gives its answer, or raises what its refusal means."""
        content = json.dumps(body).encode()
        answer = http.post("B2", url, content, headers, login=login)
        fields = _fields(answer.content)
        if answer.status_code == _OK and fields:
            return fields
        raise _refusal(answer.status_code, fields)


class _Answer(dict[str, Any]):
    """An answer of B2; what it lacks makes it no answer."""

    def __missing__(self, name: str) -> Any:
        raise Unavailable(f"B2's answer has no {name}")


def _fields(content: bytes) -> _Answer:
    """Read an answer; one that is no JSON object has no fields."""
    try:
        fields = json.loads(content, object_hook=_Answer)
    except ValueError:
        fields = None
    return fields if isinstance(fields, _Answer) else _Answer()


class _ExpiredError(ConfigError):
    """The token of the login is a day old; the key itself is good."""


class _BadRequestError(ConfigError):
    """B2 says that the call makes no sense: the file is not there, or the rules contradict."""


def _refusal(status: int, fields: Mapping[str, object]) -> MediapipeError:
    """Tell by B2's error what can help."""
    code = str(fields.get("code") or "")
    words = f"{fields.get('message') or 'no sound answer'} ({f'{status} {code}'.strip()})"
    if status == _FORBIDDEN and re.fullmatch(r"\w*cap_exceeded", code):
        return CapReached(f"B2 refuses for today: {words}", hint="raise the cap, or wait for 00:00")
    if status == _UNAUTHORIZED and code == "expired_auth_token":
        return _ExpiredError(f"B2: {words}")
    if status in (_UNAUTHORIZED, _FORBIDDEN):
        return ConfigError(f"B2 refuses the key: {words}", hint="check what the key may do")
    if status == _CONFLICT:
        return Unavailable(f"the bucket was changed meanwhile: {words}", hint="look again")
    if _BAD_REQUEST <= status < _SERVER_ERRORS and status not in _LATER:
        return _BadRequestError(f"B2 refuses: {words}")
    return RemoteOut(f"B2: {words}", hint="B2 or the network is out")
