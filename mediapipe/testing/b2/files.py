"""The calls on files that are already there: list, look up, hide, delete, copy."""

import hashlib
import re
import secrets
from dataclasses import replace
from itertools import islice

from mediapipe.testing.b2.calls import (
    Call,
    Json,
    file_json,
    permit,
    permitted_large,
    permitted_version,
)
from mediapipe.testing.b2.errors import check_name, refuse
from mediapipe.testing.b2.store import Part, Store, Version
from mediapipe.testing.b2.world import World

LARGEST_PAGE = 10_000
LARGEST_COPY = 5_000_000_000  # bytes
BLOCK = 1 << 20  # bytes
RANGE_CODE = "range_not_satisfiable"


def list_file_names(world: World, call: Call) -> Json:
    return _list(world, call, every_version=False)


def list_file_versions(world: World, call: Call) -> Json:
    return _list(world, call, every_version=True)


def _list(world: World, call: Call, *, every_version: bool) -> Json:
    bucket_id, prefix = call.body["bucketId"], call.body.get("prefix") or ""
    permit(world, call, bucket_id, prefix)
    entries = world.store.walk(
        bucket_id,
        prefix=prefix,
        delimiter=call.body.get("delimiter") or "",
        start=(call.body.get("startFileName") or "", call.body.get("startFileId")),
        every_version=every_version,
    )
    limit = call.number("maxFileCount", 100, LARGEST_PAGE)
    page = [file_json(entry) for entry in islice(entries, limit + 1)]
    following = page[limit] if len(page) > limit else None
    answer: Json = {"files": page[:limit], "nextFileName": following and following["fileName"]}
    if every_version:
        answer["nextFileId"] = following and following["fileId"]
    return answer


def get_file_info(world: World, call: Call) -> Json:
    return file_json(permitted_version(world, call))


def hide_file(world: World, call: Call) -> Json:
    bucket_id, name = call.body["bucketId"], call.body["fileName"]
    permit(world, call, bucket_id, name)
    return file_json(hide(world.store, bucket_id, name))


def hide(store: Store, bucket_id: str, name: str) -> Version:
    """Put a hide marker on top of a visible file."""
    newest = store.newest(bucket_id, name)
    if newest is None:
        refuse(f"File not present: {name}", "no_such_file")
    if newest.action == "hide":
        refuse(f"File already hidden: {name}", "already_hidden")
    return store.place(store.new_version(bucket_id, name, "hide"))


def delete_file_version(world: World, call: Call) -> Json:
    permit(world, call)
    version = world.store.version(call.body["fileId"])
    if version is None or version.name != call.body["fileName"]:
        refuse(f"File not present: {call.body['fileName']}", "file_not_present")
    permit(world, call, version.bucket_id, version.name)
    world.store.drop(version)
    return {"fileId": version.file_id, "fileName": version.name}


def copy_file(world: World, call: Call) -> Json:
    source = _copy_source(world, call)
    bucket_id = call.body.get("destinationBucketId") or source.bucket_id
    name = call.body["fileName"]
    permit(world, call, bucket_id, name)
    check_name(name)
    store = world.store
    copy = store.new_version(
        bucket_id, name, "upload", content_type=source.content_type, info=source.info
    )
    if call.body.get("metadataDirective") == "REPLACE":
        info, content_type = call.body.get("fileInfo") or {}, call.body["contentType"]
        copy = replace(copy, info=info, content_type=content_type)
    if call.body.get("range"):
        size, sha1 = _copy_bytes(store, source, copy.file_id, call.body["range"])
        copy = replace(copy, size=size, sha1=sha1)
    else:
        _check_copy_size(source.size)
        store.blobs.link(_blob(source), copy.file_id)
        copy = replace(copy, size=source.size, sha1=source.sha1)
    store.place(replace(copy, blob=copy.file_id))
    return {**file_json(copy), "action": "copy"}  # listings say "upload"


def copy_part(world: World, call: Call) -> Json:
    source = _copy_source(world, call)
    large = permitted_large(world, call, "largeFileId")
    number = call.body["partNumber"]
    blob = f"{large.file_id}.part{number}.{secrets.token_hex(4)}"
    size, sha1 = _copy_bytes(world.store, source, blob, call.body.get("range") or "bytes=0-")
    world.store.add_part(Part(large.file_id, number, size, sha1, blob))
    return {
        "fileId": large.file_id,
        "partNumber": number,
        "contentLength": size,
        "contentSha1": sha1,
    }


def _copy_source(world: World, call: Call) -> Version:
    source = permitted_version(world, call, "sourceFileId")
    key = permit(world, call)
    if "readFiles" not in key.capabilities:
        refuse("not entitled: key lacks readFiles", "unauthorized", 401)
    if source.action != "upload":
        refuse("file_id not found", "not_found", 404)
    return source


def _blob(version: Version) -> str:
    if version.blob is None:
        refuse("file has no content")
    return version.blob


def _check_copy_size(size: int) -> None:
    if size > LARGEST_COPY:
        refuse(f"Copy source too big: {size}", "source_too_large")


def _copy_bytes(store: Store, source: Version, blob: str, header: str) -> tuple[int, str]:
    """Copy a range of bytes to a new blob, and return its size in bytes and SHA-1."""
    begin, end = byte_range(header, source.size)
    _check_copy_size(end - begin)
    digest = hashlib.sha1()
    with store.blobs.open(_blob(source)) as reader, store.blobs.create(blob) as writer:
        reader.seek(begin)
        left = end - begin
        while left:
            block = reader.read(min(left, BLOCK))
            digest.update(block)
            writer.write(block)
            left -= len(block)
    return end - begin, digest.hexdigest()


def byte_range(header: str, size: int) -> tuple[int, int]:
    """Return the half-open range of an HTTP Range header on `size` bytes."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    if match is None or match.groups() == ("", ""):
        return 0, size  # HTTP: a range that makes no sense is ignored
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    if int(first) >= size:
        refuse("The Range in the request is outside the size of the file.", RANGE_CODE, 416)
    return int(first), min(int(last) + 1 if last else size, size)
