"""What the account holds: buckets, file versions and the parts of unfinished large files."""

import json
import secrets
import threading
import time
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from mediapipe.testing.b2.blobs import Blobs
from mediapipe.testing.b2.errors import refuse


@dataclass(frozen=True)
class Bucket:
    """A bucket's settings."""

    bucket_id: str
    name: str
    kind: str = "allPrivate"
    lifecycle: list[dict[str, Any]] = field(default_factory=list)
    info: dict[str, str] = field(default_factory=dict)
    revision: int = 1


@dataclass(frozen=True)
class Version:
    """One version of a file: uploaded, a hide marker, or a large file not finished yet."""

    file_id: str
    bucket_id: str
    name: str
    action: str  # "upload", "hide" or "start"
    size: int  # bytes
    sha1: str | None  # what clients are told: hex digits, "none", "unverified:..." or None
    content_type: str | None
    info: dict[str, str]
    uploaded_ms: int  # milliseconds since 1970, different for each version of a name
    blob: str | None = None


@dataclass(frozen=True)
class Part:
    """One received part of an unfinished large file."""

    file_id: str
    number: int
    size: int  # bytes
    sha1: str
    blob: str


@dataclass(frozen=True)
class Folder:
    """In a listing with delimiter: stands for all names that begin with `name`."""

    name: str


@dataclass
class _Shelf:
    bucket: Bucket
    versions: dict[str, list[Version]] = field(default_factory=dict)  # newest first
    order: list[str] = field(default_factory=list)  # names; code points sort as UTF-8 bytes do


class Store:
    """The account's contents. With a root, they are kept there over a restart."""

    def __init__(self, root: Path | None) -> None:
        self.lock = threading.RLock()
        self.blobs = Blobs(None if root is None else root / "blobs")
        self.parts: dict[str, dict[int, Part]] = {}  # by id of the unfinished large file
        self._shelves: dict[str, _Shelf] = {}
        self._by_id: dict[str, Version] = {}
        self._journal: TextIO | None = None
        if root is not None:
            self._open_journal(root / "index.jsonl")

    # Buckets

    def buckets(self) -> list[Bucket]:
        with self.lock:
            return [shelf.bucket for shelf in self._shelves.values()]

    def bucket(self, bucket_id: str) -> Bucket:
        shelf = self._shelves.get(bucket_id)
        if shelf is None:
            refuse(f"Bucket {bucket_id} does not exist", "bad_bucket_id")
        return shelf.bucket

    def bucket_named(self, name: str) -> Bucket | None:
        return next((bucket for bucket in self.buckets() if bucket.name == name), None)

    def new_bucket(self, name: str, kind: str = "allPrivate") -> Bucket:
        with self.lock:
            if self.bucket_named(name) is not None:
                refuse("Bucket name is already in use.", "duplicate_bucket_name")
            return self.put_bucket(Bucket(bucket_id=secrets.token_hex(12), name=name, kind=kind))

    def put_bucket(self, bucket: Bucket) -> Bucket:
        with self.lock:
            self._set_bucket(bucket)
            self._write("bucket", asdict(bucket))
        return bucket

    def remove_bucket(self, bucket_id: str) -> None:
        with self.lock:
            if self._shelves[bucket_id].order:
                refuse("Bucket is not empty", "cannot_delete_non_empty_bucket")
            del self._shelves[bucket_id]
            self._write("remove_bucket", {"bucket_id": bucket_id})

    # File versions

    def new_version(self, bucket_id: str, name: str, action: str, **fields: Any) -> Version:
        """Return a version with a fresh id and time; it is not in the store before `place`."""
        previous = max((entry.uploaded_ms for entry in self.versions(bucket_id, name)), default=0)
        version = Version(
            file_id=f"4_z{bucket_id}_f{secrets.token_hex(8)}",
            bucket_id=bucket_id,
            name=name,
            action=action,
            size=0,
            sha1=None,
            content_type=None,
            info={},
            uploaded_ms=max(previous + 1, time.time_ns() // 1_000_000),
        )
        return replace(version, **fields)

    def place(self, version: Version) -> Version:
        """Add a version, or replace the one with the same id."""
        with self.lock:
            self._set_version(version)
            self._write("version", asdict(version))
        return version

    def drop(self, version: Version) -> None:
        with self.lock:
            parts = self.parts.get(version.file_id, {})
            for blob in [version.blob, *(part.blob for part in parts.values())]:
                self.blobs.remove(blob)
            self._unset_version(version.file_id)
            self._write("drop", {"file_id": version.file_id})

    def version(self, file_id: str) -> Version | None:
        return self._by_id.get(file_id)

    def versions(self, bucket_id: str, name: str) -> list[Version]:
        with self.lock:
            return list(self._shelves[bucket_id].versions.get(name, ()))

    def all_versions(self) -> list[Version]:
        with self.lock:
            return list(self._by_id.values())

    def newest(self, bucket_id: str, name: str) -> Version | None:
        """Return the newest finished version, which may be a hide marker."""
        versions = self.versions(bucket_id, name)
        return next((version for version in versions if version.action != "start"), None)

    def walk(
        self,
        bucket_id: str,
        *,
        prefix: str,
        delimiter: str,
        start: tuple[str, str | None],  # a name, and the id of one of its versions
        every_version: bool,
    ) -> Iterator[Version | Folder]:
        """List in B2's order: by name, then newest first."""
        start_name, start_id = start
        with self.lock:
            order = self._shelves[bucket_id].order
            names = order[bisect_left(order, max(start_name, prefix)) :]
        last_folder = None
        for name in names:
            if not name.startswith(prefix):
                return
            newest = self.newest(bucket_id, name)
            visible = newest is not None and newest.action == "upload"
            if not visible and not every_version:
                continue
            head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                if last_folder != prefix + head + delimiter:
                    last_folder = prefix + head + delimiter
                    yield Folder(last_folder)
            elif every_version:
                yield from _from(start_id, self.versions(bucket_id, name))
            elif newest is not None:
                yield newest

    # Large files

    def start_large(self, version: Version) -> Version:
        with self.lock:
            self.parts[version.file_id] = {}
            return self.place(version)

    def add_part(self, part: Part) -> None:
        with self.lock:
            if part.file_id not in self.parts:
                self.blobs.remove(part.blob)
                refuse(f"No active upload for: {part.file_id}")
            previous = self.parts[part.file_id].get(part.number)
            self.blobs.remove(previous.blob if previous else None)
            self.parts[part.file_id][part.number] = part
            self._write("part", asdict(part))

    def finish_large(self, file_id: str) -> Version:
        """Join the parts, which the caller has checked."""
        with self.lock:
            parts = self.parts.pop(file_id, None)
        if not parts:
            refuse(f"No active upload for: {file_id}")
        # Joining takes seconds for gigabytes, so other calls must not wait for it.
        ordered = [parts[number] for number in sorted(parts)]
        blob = self.blobs.join([part.blob for part in ordered])
        size = sum(part.size for part in ordered)
        return self.place(replace(self._by_id[file_id], action="upload", size=size, blob=blob))

    # The journal: one JSON line for each change, so that a restart finds everything again

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def _open_journal(self, path: Path) -> None:
        if path.exists():
            for line in path.read_text().splitlines():
                self._replay(line)
        self._journal = path.open("a")
        self._journal.write("\n")  # ends a line that a killed server left unfinished

    def _replay(self, line: str) -> None:
        try:
            kind, fields = json.loads(line)
        except ValueError:
            return  # an empty line, or the one being written when the server was killed
        match kind:
            case "bucket":
                self._set_bucket(Bucket(**fields))
            case "remove_bucket":
                self._shelves.pop(fields["bucket_id"])
            case "version":
                self._set_version(Version(**fields))
            case "drop":
                self._unset_version(fields["file_id"])
            case "part":
                self.parts[fields["file_id"]][fields["number"]] = Part(**fields)

    def _write(self, kind: str, fields: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps([kind, fields]) + "\n")
            self._journal.flush()

    def _set_bucket(self, bucket: Bucket) -> None:
        self._shelves.setdefault(bucket.bucket_id, _Shelf(bucket)).bucket = bucket

    def _set_version(self, version: Version) -> None:
        shelf = self._shelves[version.bucket_id]
        if version.name not in shelf.versions:
            insort(shelf.order, version.name)
        versions = shelf.versions.setdefault(version.name, [])
        known = [entry.file_id for entry in versions]
        if version.file_id in known:
            versions[known.index(version.file_id)] = version
        else:
            versions.insert(0, version)
        self._by_id[version.file_id] = version
        if version.action == "start":
            self.parts.setdefault(version.file_id, {})
        else:
            self.parts.pop(version.file_id, None)

    def _unset_version(self, file_id: str) -> None:
        version = self._by_id.pop(file_id)
        self.parts.pop(file_id, None)
        shelf = self._shelves[version.bucket_id]
        versions = shelf.versions[version.name]
        versions.remove(version)
        if not versions:
            del shelf.versions[version.name]
            shelf.order.pop(bisect_left(shelf.order, version.name))


def _from(file_id: str | None, versions: list[Version]) -> list[Version]:
    """Return the versions from `file_id` on; all of them when it is not among these."""
    ids = [version.file_id for version in versions]
    return versions[ids.index(file_id) :] if file_id in ids else versions
