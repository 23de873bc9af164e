"""What all API calls share: the call itself, the permission check, and the JSON that B2 speaks."""

from dataclasses import asdict, dataclass
from typing import Any

from mediapipe.testing.b2.access import Key, check_scope
from mediapipe.testing.b2.errors import refuse
from mediapipe.testing.b2.store import Bucket, Folder, Version
from mediapipe.testing.b2.world import ACCOUNT_ID, World

Json = dict[str, Any]

# b2sdk reads these wherever a file or bucket is described; we have neither locks nor encryption.
_FILE_EXTRAS: Json = {
    "contentMd5": None,
    "fileRetention": {
        "isClientAuthorizedToRead": True,
        "value": {"mode": None, "retainUntilTimestamp": None},
    },
    "legalHold": {"isClientAuthorizedToRead": True, "value": None},
    "serverSideEncryption": {"mode": None, "algorithm": None},
    "replicationStatus": None,
}
_BUCKET_EXTRAS: Json = {
    "corsRules": [],
    "options": [],
    "defaultServerSideEncryption": {"isClientAuthorizedToRead": True, "value": {"mode": None}},
    "fileLockConfiguration": {
        "isClientAuthorizedToRead": True,
        "value": {
            "isFileLockEnabled": False,
            "defaultRetention": {"mode": None, "period": None},
        },
    },
}


@dataclass(frozen=True)
class Call:
    """One API call, without the bytes of an upload."""

    api: str
    version: int  # of the API, from the URL
    authorization: str  # the header as sent
    body: Json  # or the query string of a GET

    def number(self, name: str, default: int, limit: int) -> int:
        """Return a count from the body, between 1 and `limit`."""
        return max(1, min(int(self.body.get(name) or default), limit))


def permit(world: World, call: Call, bucket_id: str | None = None, name: str | None = None) -> Key:
    """Return the caller's key, if it may make this call on this bucket and file."""
    key = world.access.check(call.authorization, call.api)
    bucket_name = None if bucket_id is None else world.store.bucket(bucket_id).name
    check_scope(key, bucket_name, name)
    return key


def permitted_version(world: World, call: Call, field: str = "fileId") -> Version:
    """Return the version that the call names, if the caller may make this call on it."""
    permit(world, call)
    version = world.store.version(call.body[field])
    if version is None:
        refuse("file_id not found", "not_found", 404)
    permit(world, call, version.bucket_id, version.name)
    return version


def permitted_large(world: World, call: Call, field: str = "fileId") -> Version:
    """Return the unfinished large file that the call names."""
    file_id = call.body[field]
    version = world.store.version(file_id)
    if version is None or file_id not in world.store.parts:
        permit(world, call)
        refuse(f"No active upload for: {file_id}")
    permit(world, call, version.bucket_id, version.name)
    return version


def file_json(entry: Version | Folder) -> Json:
    if isinstance(entry, Folder):
        return {
            "accountId": ACCOUNT_ID,
            "action": "folder",
            "contentLength": 0,
            "size": 0,
            "contentSha1": None,
            "contentType": None,
            "fileId": None,
            "fileInfo": {},
            "fileName": entry.name,
            "uploadTimestamp": 0,
        }
    return {
        "accountId": ACCOUNT_ID,
        "action": entry.action,
        "bucketId": entry.bucket_id,
        "contentLength": entry.size,
        "size": entry.size,  # rclone's listings read this one and take 0 when it is absent
        "contentSha1": entry.sha1,
        "contentType": entry.content_type,
        "fileId": entry.file_id,
        "fileInfo": entry.info,
        "fileName": entry.name,
        "uploadTimestamp": entry.uploaded_ms,
        **_FILE_EXTRAS,
    }


def bucket_json(bucket: Bucket) -> Json:
    fields = asdict(bucket)
    return {
        "accountId": ACCOUNT_ID,
        "bucketId": fields["bucket_id"],
        "bucketName": fields["name"],
        "bucketType": fields["kind"],
        "bucketInfo": fields["info"],
        "lifecycleRules": fields["lifecycle"],
        "revision": fields["revision"],
        **_BUCKET_EXTRAS,
    }
