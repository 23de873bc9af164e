"""The calls that give bytes out."""

from dataclasses import dataclass
from urllib.parse import quote, unquote

from mediapipe.testing.b2.calls import Call, permit, permitted_version
from mediapipe.testing.b2.errors import refuse
from mediapipe.testing.b2.files import byte_range
from mediapipe.testing.b2.store import Version
from mediapipe.testing.b2.world import World


@dataclass(frozen=True)
class Download:
    """What to send: status, headers, and the half-open range of bytes of a blob."""

    status: int
    headers: dict[str, str]
    blob: str
    begin: int
    end: int


def download_file_by_id(world: World, call: Call, range_header: str | None) -> Download:
    return _download(permitted_version(world, call), range_header)


def download_file_by_name(world: World, call: Call, range_header: str | None) -> Download:
    """Answer a GET of /file/BUCKET/NAME, which the call carries as `path`."""
    permit(world, call)
    bucket_name, _, name = call.body["path"].removeprefix("/file/").partition("/")
    bucket, name = world.store.bucket_named(unquote(bucket_name)), unquote(name)
    if bucket is None:
        refuse(f"Bucket does not exist: {unquote(bucket_name)}", "not_found", 404)
    permit(world, call, bucket.bucket_id, name)
    return _download(world.store.newest(bucket.bucket_id, name), range_header)


def _download(version: Version | None, range_header: str | None) -> Download:
    if version is None or version.action != "upload" or version.blob is None:
        refuse("File with such name does not exist.", "not_found", 404)
    headers = {
        "Content-Type": version.content_type or "application/octet-stream",
        "Accept-Ranges": "bytes",
        "X-Bz-File-Name": quote(version.name),
        "X-Bz-File-Id": version.file_id,
        "X-Bz-Upload-Timestamp": str(version.uploaded_ms),
        "X-Bz-Content-Sha1": version.sha1 or "none",
    }
    headers |= {f"X-Bz-Info-{name}": quote(value) for name, value in version.info.items()}
    begin, end = 0, version.size
    if range_header and version.size:
        begin, end = byte_range(range_header, version.size)
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{version.size}"
    headers["Content-Length"] = str(end - begin)
    status = 206 if "Content-Range" in headers else 200
    return Download(status, headers, version.blob, begin, end)
