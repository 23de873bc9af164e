"""Everything one server knows, in one place, and the counters over it."""

import threading
from collections import Counter
from dataclasses import dataclass, field

from mediapipe.testing.b2.access import Access
from mediapipe.testing.b2.faults import Trouble
from mediapipe.testing.b2.store import Store

ACCOUNT_ID = "fa4e00000001"
MINIMUM_PART = 5_000_000  # bytes, for every part but the last
RECOMMENDED_PART = 100_000_000  # bytes

# B2 bills by class: A is free, B costs a little, C costs ten times that.
_CLASSES = {
    "A": "cancel_large_file delete_bucket delete_file_version finish_large_file get_upload_part_url"
    " get_upload_url hide_file start_large_file upload_file upload_part",
    "B": "download_file_by_id download_file_by_name get_file_info",
    "C": "authorize_account copy_file copy_part create_bucket list_buckets list_file_names"
    " list_file_versions list_parts list_unfinished_large_files update_bucket",
}
CLASS_OF = {f"b2_{name}": letter for letter, names in _CLASSES.items() for name in names.split()}


@dataclass(frozen=True)
class Stats:
    """What the server has seen since the start or the last `reset_stats`, and what it holds."""

    calls: dict[str, int]  # by API; HEAD of a download counts as "b2_download_... HEAD"
    classes: dict[str, int]  # by transaction class: A, B, C
    answers: dict[str, int]  # by API and HTTP status, e.g. "b2_upload_file 503"; reset = 0
    bytes_in: int
    bytes_out: int
    versions: int  # of all files, with hide markers
    stored: int  # bytes of all versions and parts, as billed
    unfinished: int  # large files


@dataclass
class Meter:
    """Counts calls and bytes."""

    calls: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    bytes_in: int = 0
    bytes_out: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, label: str) -> None:
        with self.lock:
            self.calls[label] += 1

    def answer(self, label: str, status: int) -> None:
        with self.lock:
            self.answers[f"{label} {status}"] += 1

    def add(self, *, bytes_in: int = 0, bytes_out: int = 0) -> None:
        with self.lock:
            self.bytes_in += bytes_in
            self.bytes_out += bytes_out

    def clear(self) -> None:
        with self.lock:
            self.calls.clear()
            self.answers.clear()
            self.bytes_in = self.bytes_out = 0


@dataclass
class World:
    """The state of one server."""

    store: Store
    access: Access = field(default_factory=Access)
    trouble: Trouble = field(default_factory=Trouble)
    meter: Meter = field(default_factory=Meter)
    url: str = ""
    latency: float = 0.0  # seconds added to each call

    def stats(self) -> Stats:
        with self.meter.lock, self.store.lock:
            classes = dict.fromkeys("ABC", 0)
            for label, count in self.meter.calls.items():
                classes[CLASS_OF[label.removesuffix(" HEAD")]] += count
            versions = self.store.all_versions()
            parts = [part for large in self.store.parts.values() for part in large.values()]
            return Stats(
                calls=dict(self.meter.calls),
                classes=classes,
                answers=dict(self.meter.answers),
                bytes_in=self.meter.bytes_in,
                bytes_out=self.meter.bytes_out,
                versions=len(versions),
                stored=sum(version.size for version in versions) + sum(part.size for part in parts),
                unfinished=len(self.store.parts),
            )
