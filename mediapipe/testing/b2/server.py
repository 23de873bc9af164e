"""The server as tests and the demo hold it."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mediapipe.testing.b2.access import CAPABILITIES, Key
from mediapipe.testing.b2.faults import Fault
from mediapipe.testing.b2.files import hide
from mediapipe.testing.b2.handler import Handler
from mediapipe.testing.b2.store import Bucket, Store, Version
from mediapipe.testing.b2.world import Stats, World

MASTER = "master"
RESTRICTED = "restricted"
UPLOADER = ("listBuckets", "listFiles", "readFiles", "writeFiles")
STOP_PATIENCE = 5.0  # seconds for open connections to end


@dataclass(frozen=True)
class Object:
    """A visible file."""

    name: str
    size: int  # bytes
    sha1: str | None  # verified, or for a large file the one its uploader declared
    file_id: str
    versions: int  # of this name, with hide markers
    path: Path | None  # where the bytes are; None in a discard store


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._open.discard(request)
                self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent when a client breaks off; report our own mistakes."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End all open connections, and wait for their threads to let go of the store."""
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, STOP_PATIENCE)


class B2Server:
    """A B2 account on 127.0.0.1 with one bucket, serving from `start` (or `with`) to `stop`.

    Keys: "master" may do all; "restricted" is limited to the bucket, cannot delete, and is of the
    kind made since November 2025 (API version 4 only).
    """

    def __init__(
        self, root: Path | None = None, bucket: str = "entertainment-netmount", port: int = 0
    ) -> None:
        """Serve from `root`, or forget all bytes when it is None; port 0 = any free one."""
        self._root = root
        self._bucket_name = bucket
        self._port = port
        self._world = World(Store(root))
        if self._store.bucket_named(bucket) is None:
            self._store.new_bucket(bucket)
        self.add_key(MASTER, "master-secret", CAPABILITIES)
        self.add_key(RESTRICTED, "restricted-secret", UPLOADER, bucket=bucket, multi=True)
        self._http: _Http | None = None

    # Life

    def start(self) -> Self:
        handler = type("BoundHandler", (Handler,), {"world": self._world})
        self._http = _Http(self._port, handler)
        self._world.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._http is None:
            return
        self._http.shutdown()
        self._http.server_close()
        self._world.trouble.stop()
        self._http.hang_up()
        self._store.close()
        self._http = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # Access

    @property
    def url(self) -> str:
        return self._world.url

    @property
    def bucket(self) -> str:
        return self._bucket_name

    def add_key(
        self,
        key_id: str,
        key: str,
        capabilities: Sequence[str],
        bucket: str | Sequence[str] | None = None,
        prefix: str | None = None,
        *,
        multi: bool = False,
    ) -> None:
        """Add or replace an application key; `multi` keys are refused by API versions below 4."""
        buckets = (bucket,) if isinstance(bucket, str) else tuple(bucket or ())
        self._world.access.keys[key_id] = Key(
            key_id, key, tuple(capabilities), buckets, prefix, multi
        )

    def remove_key(self, key_id: str) -> None:
        """Revoke a key, also for clients that are at work with it."""
        del self._world.access.keys[key_id]

    def expire_tokens(self, *, uploads: bool = False) -> None:
        """End all account tokens, as B2 does after 24 hours; with `uploads`, upload URLs too."""
        self._world.access.expire(uploads=uploads)

    def rclone_config(self, key_id: str = MASTER) -> str:
        """Return the text of an rclone.conf with one remote, `b2:`."""
        return (
            "[b2]\n"
            "type = b2\n"
            f"account = {key_id}\n"
            f"key = {self._world.access.keys[key_id].secret}\n"
            f"endpoint = {self.url}\n"
        )

    # Trouble

    def inject(self, fault: Fault | None = None, **changes: Any) -> None:
        """Add a fault: a ready one such as `STORAGE_CAP`, the fields of `Fault`, or both."""
        self._world.trouble.inject(replace(fault or Fault(), **changes))

    def clear_faults(self) -> None:
        """Remove all faults and let hanging calls end."""
        self._world.trouble.clear()

    def cut(self, *, silent: bool = False) -> None:
        """Take the network away: connections are reset, or with `silent` never answered."""
        self._world.trouble.cut(silent=silent)

    def restore(self) -> None:
        self._world.trouble.restore()

    @property
    def latency(self) -> float:
        """Seconds added to each call."""
        return self._world.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._world.latency = seconds

    @property
    def bandwidth(self) -> int | None:
        """Bytes per second and connection, in each direction; None = no limit."""
        return self._world.trouble.bandwidth

    @bandwidth.setter
    def bandwidth(self, rate: int | None) -> None:
        self._world.trouble.bandwidth = rate

    # Contents

    def stats(self) -> Stats:
        return self._world.stats()

    def reset_stats(self) -> None:
        self._world.meter.clear()

    def objects(self) -> dict[str, Object]:
        """Return the visible files of the bucket by name."""
        walk = self._store.walk(
            self._bucket.bucket_id, prefix="", delimiter="", start=("", None), every_version=False
        )
        return {entry.name: self._object(entry) for entry in walk if isinstance(entry, Version)}

    def put(self, name: str, data: bytes, *, sha1: str | None = "none") -> Object:
        """Plant a file past all checks; by default without SHA-1, as a web UI leaves it."""
        version = self._store.new_version(
            self._bucket.bucket_id, name, "upload", size=len(data), sha1=sha1
        )
        with self._store.blobs.create(version.file_id) as target:
            target.write(data)
        return self._object(self._store.place(replace(version, blob=version.file_id)))

    def begin(self, name: str, *, age: float = 0.0) -> str:
        """Plant a large file that was begun `age` seconds ago and not finished; gives its id."""
        begun = int((time.time() - age) * 1000)
        version = self._store.new_version(
            self._bucket.bucket_id, name, "start", sha1="none", uploaded_ms=begun
        )
        return self._store.start_large(version).file_id

    def unfinished(self) -> list[str]:
        """Return the names of all large files that were begun and not finished."""
        versions = self._store.all_versions()
        return sorted(one.name for one in versions if one.action == "start")

    def corrupt(self, name: str, *, offset: int = 0, **lies: Any) -> None:
        """Flip one stored byte; or make the listing lie instead, e.g. `sha1="none"`, `size=3`."""
        version = self._visible(name)
        if lies:
            self._store.place(replace(version, **lies))
        elif version.blob is not None:
            self._store.blobs.flip(version.blob, offset)

    def hide(self, name: str) -> None:
        hide(self._store, self._bucket.bucket_id, name)

    def delete(self, name: str) -> None:
        """Remove every version of a file, as if it had never been there."""
        for version in self._store.versions(self._bucket.bucket_id, name):
            self._store.drop(version)

    def lifecycle(self) -> list[dict[str, Any]]:
        return self._bucket.lifecycle

    def set_lifecycle(self, rules: list[dict[str, Any]]) -> None:
        """Set the bucket's rules; they are kept and shown, but not carried out."""
        self._store.put_bucket(replace(self._bucket, lifecycle=rules))

    @property
    def _store(self) -> Store:
        return self._world.store

    @property
    def _bucket(self) -> Bucket:
        bucket = self._store.bucket_named(self._bucket_name)
        if bucket is None:
            raise KeyError(self._bucket_name)
        return bucket

    def _visible(self, name: str) -> Version:
        version = self._store.newest(self._bucket.bucket_id, name)
        if version is None or version.action != "upload":
            raise KeyError(name)
        return version

    def _object(self, version: Version) -> Object:
        known = version.sha1 not in (None, "none")
        return Object(
            name=version.name,
            size=version.size,
            sha1=version.sha1 if known else version.info.get("large_file_sha1"),
            file_id=version.file_id,
            versions=len(self._store.versions(version.bucket_id, version.name)),
            path=self._store.blobs.path(version.blob),
        )
