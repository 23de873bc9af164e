"""The calls that bring new bytes in: upload URLs, small files, and large files in parts."""

import hashlib
import mimetypes
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email.message import Message
from urllib.parse import unquote

from mediapipe.testing.b2.access import Ticket
from mediapipe.testing.b2.calls import Call, Json, file_json, permit, permitted_large
from mediapipe.testing.b2.errors import check_name, refuse
from mediapipe.testing.b2.store import Part, Store
from mediapipe.testing.b2.world import MINIMUM_PART, World

INFO_PREFIX = "x-bz-info-"
INFO_LIMIT = 10  # headers
LARGEST_PART_NUMBER = 10_000
LARGEST_PAGE = 1000
SHA1_DIGITS = 40
SMALLEST_PART_COUNT = 2
SHA1_AT_END = "hex_digits_at_end"


@dataclass(frozen=True)
class Upload:
    """The request that carries the bytes of a file or part."""

    headers: Message
    token: str
    length: int  # bytes of the body
    chunks: Callable[[int], Iterator[memoryview]]  # reads that many bytes of the body


def get_upload_url(world: World, call: Call) -> Json:
    bucket = world.store.bucket(call.body["bucketId"])
    key = permit(world, call, bucket.bucket_id)
    token = world.access.issue(Ticket(key, bucket.bucket_id))
    url = f"{world.url}/b2api/v1/b2_upload_file/{bucket.bucket_id}/{token[-8:]}"
    return {"bucketId": bucket.bucket_id, "uploadUrl": url, "authorizationToken": token}


def get_upload_part_url(world: World, call: Call) -> Json:
    large = permitted_large(world, call)
    key = permit(world, call)
    token = world.access.issue(Ticket(key, large.bucket_id, large.file_id))
    url = f"{world.url}/b2api/v1/b2_upload_part/{large.file_id}/{token[-8:]}"
    return {"fileId": large.file_id, "uploadUrl": url, "authorizationToken": token}


def upload_file(world: World, upload: Upload) -> Json:
    with world.access.upload(upload.token, part=False) as ticket:
        name = file_name(upload.headers)
        check_name(name)
        if ticket.key.prefix and not name.startswith(ticket.key.prefix):
            refuse("not entitled: key is restricted to another prefix", "unauthorized", 401)
        version = world.store.new_version(
            ticket.bucket_id,
            name,
            "upload",
            content_type=_content_type(name, upload.headers["Content-Type"]),
            info=_file_info(upload.headers),
        )
        size, _, label = _receive(world.store, upload, version.file_id)
        version = replace(version, size=size, sha1=label, blob=version.file_id)
        return file_json(world.store.place(version))


def upload_part(world: World, upload: Upload) -> Json:
    with world.access.upload(upload.token, part=True) as ticket:
        file_id = ticket.file_id or ""
        number = int(upload.headers["X-Bz-Part-Number"])
        if not 1 <= number <= LARGEST_PART_NUMBER:
            refuse("Part number must be in range 1 - 10000")
        blob = f"{file_id}.part{number}.{secrets.token_hex(4)}"
        size, sha1, _ = _receive(world.store, upload, blob)
        world.store.add_part(Part(file_id, number, size, sha1, blob))
    return {
        "fileId": file_id,
        "partNumber": number,
        "contentLength": size,
        "contentSha1": sha1,
    }


def _receive(store: Store, upload: Upload, blob: str) -> tuple[int, str, str | None]:
    """Store the body; return its size in bytes, its SHA-1, and the SHA-1 that clients are told."""
    declared = upload.headers["X-Bz-Content-Sha1"]
    if declared is None:
        refuse("Missing header: X-Bz-Content-Sha1")
    size = upload.length - (SHA1_DIGITS if declared == SHA1_AT_END else 0)
    digest = hashlib.sha1()
    try:
        with store.blobs.create(blob) as target:
            for chunk in upload.chunks(size):
                digest.update(chunk)
                target.write(chunk)
        if declared == SHA1_AT_END:
            declared = b"".join(map(bytes, upload.chunks(SHA1_DIGITS))).decode("ascii", "replace")
        if declared == "do_not_verify":
            return size, digest.hexdigest(), None
        if declared.startswith("unverified:"):
            return size, digest.hexdigest(), declared
        if declared.lower() != digest.hexdigest():
            refuse("Sha1 did not match data received")
    except BaseException:
        store.blobs.remove(blob)
        raise
    return size, digest.hexdigest(), digest.hexdigest()


def file_name(headers: Message) -> str:
    try:
        return unquote(headers["X-Bz-File-Name"] or "", errors="strict")
    except UnicodeDecodeError:
        refuse("File names must be valid UTF-8")


def _content_type(name: str, declared: str | None) -> str:
    if declared in (None, "b2/x-auto"):
        return mimetypes.guess_type(name)[0] or "application/octet-stream"
    return str(declared)


def _file_info(headers: Message) -> dict[str, str]:
    info = {
        header.lower().removeprefix(INFO_PREFIX): unquote(value)
        for header, value in headers.items()
        if header.lower().startswith(INFO_PREFIX)
    }
    if len(info) > INFO_LIMIT:
        refuse("Too many X-Bz-Info headers")
    return info


def start_large_file(world: World, call: Call) -> Json:
    bucket_id, name = call.body["bucketId"], call.body["fileName"]
    permit(world, call, bucket_id, name)
    check_name(name)
    version = world.store.new_version(
        bucket_id,
        name,
        "start",
        sha1="none",
        content_type=_content_type(name, call.body["contentType"]),
        info=call.body.get("fileInfo") or {},
    )
    return file_json(world.store.start_large(version))


def finish_large_file(world: World, call: Call) -> Json:
    large = permitted_large(world, call)
    parts = dict(world.store.parts.get(large.file_id, {}))
    declared = call.body["partSha1Array"]
    if len(declared) < SMALLEST_PART_COUNT:
        refuse("large files must have at least 2 parts")
    if sorted(parts) != list(range(1, len(declared) + 1)):
        refuse("parts are missing or too many", "missing_part")
    for number, sha1 in enumerate(declared, start=1):
        if parts[number].sha1 != sha1:
            refuse(f"part {number} has another SHA-1", "part_sha1_mismatch")
        if parts[number].size < MINIMUM_PART and number < len(declared):
            refuse(f"Part number {number} is smaller than {MINIMUM_PART} bytes")
    return file_json(world.store.finish_large(large.file_id))


def cancel_large_file(world: World, call: Call) -> Json:
    large = permitted_large(world, call)
    world.store.drop(large)
    answer = file_json(large)
    return {name: answer[name] for name in ("accountId", "bucketId", "fileId", "fileName")}


def list_parts(world: World, call: Call) -> Json:
    large = permitted_large(world, call)
    first = call.number("startPartNumber", 1, LARGEST_PART_NUMBER)
    limit = call.number("maxPartCount", 100, LARGEST_PAGE)
    parts = world.store.parts.get(large.file_id, {})
    numbers = [number for number in sorted(parts) if number >= first]
    page = [
        {
            "fileId": large.file_id,
            "partNumber": number,
            "contentLength": parts[number].size,
            "contentSha1": parts[number].sha1,
            "contentMd5": None,
            "uploadTimestamp": large.uploaded_ms,
        }
        for number in numbers[:limit]
    ]
    return {"parts": page, "nextPartNumber": numbers[limit] if len(numbers) > limit else None}


def list_unfinished_large_files(world: World, call: Call) -> Json:
    bucket_id, prefix = call.body["bucketId"], call.body.get("namePrefix") or ""
    permit(world, call, bucket_id, prefix)
    found = [
        version
        for version in world.store.all_versions()
        if version.action == "start"
        and version.bucket_id == bucket_id
        and version.name.startswith(prefix)
        and version.file_id >= (call.body.get("startFileId") or "")
    ]
    found.sort(key=lambda version: version.file_id)
    limit = call.number("maxFileCount", 100, 100)
    following = found[limit].file_id if len(found) > limit else None
    return {"files": [file_json(version) for version in found[:limit]], "nextFileId": following}
