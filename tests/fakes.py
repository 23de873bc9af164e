"""The ports in memory, with switchable failures and lies; the contract suite runs these too."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mediapipe.adapters import b2_names
from mediapipe.bucket import Unfinished
from mediapipe.errors import ActionFailed, MediapipeError
from mediapipe.ports import (
    Copied,
    Listing,
    Member,
    Progress,
    RemoteObject,
    Torrent,
    TorrentFile,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Mapping, Sequence

    from mediapipe.ports import Range, Watcher


@dataclass
class FakeTorrents:
    """A `TorrentClient` over dictionaries; `failures` makes any method raise."""

    default_save_path: str = "/downloads"
    saved: dict[str, str] = field(default_factory=dict)
    """Category → save path as it was declared: blank and relative ones are possible."""
    listed: dict[str, Torrent] = field(default_factory=dict)
    lists: dict[str, tuple[TorrentFile, ...]] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    """Method name → what it raises, until it is taken out again."""
    before: Callable[[str], None] = lambda _method: None
    """Called at the beginning of each method, to let the world change meanwhile."""
    calls: list[str] = field(default_factory=list)

    def add(self, torrent: Torrent, *files: TorrentFile) -> Torrent:
        """Put a torrent into the list."""
        self.listed[torrent.hash] = torrent
        self.lists[torrent.hash] = files
        return torrent

    def change(self, hash_: str, **fields: object) -> None:
        """Change what the list says of a torrent."""
        self.listed[hash_] = replace(self.listed[hash_], **fields)  # type: ignore[arg-type]

    def categories(self) -> Mapping[str, str]:
        self._begin("categories")
        return {
            name: os.path.join(self.default_save_path, path or name).rstrip("/")
            for name, path in self.saved.items()
        }

    def create_category(self, name: str, save_path: str) -> None:
        self._begin("create_category")
        odd = "\\" in name or "//" in name or name.startswith("/") or name.endswith("/")
        if odd or not name or name in self.saved:
            raise ActionFailed(f"qBittorrent refuses the category {name!r} at {save_path}")
        self.saved[name] = save_path

    def torrents(self) -> tuple[Torrent, ...]:
        self._begin("torrents")
        return tuple(self.listed.values())

    def files(self, torrent: Torrent) -> tuple[TorrentFile, ...]:
        self._begin("files")
        return self.lists.get(torrent.hash, ())

    def remove(self, torrent: Torrent) -> None:
        self._begin("remove")
        self.listed.pop(torrent.hash, None)
        self.lists.pop(torrent.hash, None)

    def _begin(self, method: str) -> None:
        self.calls.append(method)
        self.before(method)
        if method in self.failures:
            raise self.failures[method]


@dataclass(frozen=True)
class Version:
    """One version of an object: B2 keeps what is replaced."""

    content: bytes
    file_id: str


@dataclass
class FakeBucket:
    """A `Bucket` that holds what it is given."""

    begun: list[Unfinished] = field(default_factory=list)
    lifecycle: list[Mapping[str, object]] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    """File id → the bytes of that version."""
    block: int = 1000
    failures: dict[str, Exception] = field(default_factory=dict)
    """Method name → what it raises, until it is taken out again."""
    calls: list[str] = field(default_factory=list)

    def unfinished(self, folder: str) -> tuple[Unfinished, ...]:
        self._begin("unfinished")
        prefix = f"b2:bucket/{folder}/"
        return tuple(one for one in self.begun if one.remote.startswith(prefix))

    def cancel(self, one: Unfinished) -> bool:
        self._begin("cancel")
        there = one in self.begun
        if there:
            self.begun.remove(one)
        return there

    def download(self, file_id: str, take: Callable[[bytes], None], *, start: int = 0) -> None:
        self._begin("download")
        if file_id not in self.contents:
            raise ActionFailed("B2 has no such version any more")
        for number in range(start, len(self.contents[file_id]), self.block):
            take(self.contents[file_id][number : number + self.block])

    def rules(self) -> tuple[Mapping[str, object], ...]:
        self._begin("rules")
        return tuple(self.lifecycle)

    def set_rules(self, rules: Sequence[Mapping[str, object]]) -> None:
        self._begin("set_rules")
        self.lifecycle = list(rules)

    def _begin(self, method: str) -> None:
        self.calls.append(method)
        if method in self.failures:
            raise self.failures[method]


@dataclass
class FakeRemote:
    """A `Remote` in memory: it reads the local files and keeps every version's bytes."""

    root: str = "b2:bucket"
    versions: dict[str, list[Version]] = field(default_factory=dict)
    """Name → its versions, the newest last."""
    failures: dict[str, Exception] = field(default_factory=dict)
    """Method name → what it raises, until it is taken out again."""
    refused: dict[str, str] = field(default_factory=dict)
    """Name below the remote's root → why a copy of this one file fails."""
    swallowed: set[str] = field(default_factory=set)
    """Names that a copy passes over without a word."""
    trouble: MediapipeError | None = None
    """What ends the next copies as a whole …"""
    trouble_after: int = 0
    """… after so many files."""
    missing: set[str] = field(default_factory=set)
    """Names that a look-up does not find though they are there."""
    wrong_hash: set[str] = field(default_factory=set)
    """Names whose SHA-1 is told wrongly."""
    labels: dict[str, str] = field(default_factory=dict)
    """Name → the SHA-1 that its uploader declared, until other bytes are sent."""
    without_sha1: bool = False
    account: FakeBucket | None = None
    """The bucket as B2's own API has it, if this is a remote of B2."""
    hides: str = ""
    """Which rule of the bucket hides objects by their age."""
    before: Callable[[str], None] = lambda _method: None
    """Called at the beginning of each method, to let the world change meanwhile."""
    hidden: dict[str, list[Version]] = field(default_factory=dict)
    """Name → the versions that were hidden with it."""
    calls: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    """Names whose bytes a copy really sent."""

    def address(self, name: str) -> str:
        return f"{self.root}/{name}"

    def why_not_storable(self, name: str) -> str:
        return b2_names.why_not_storable(name)

    def copy(
        self,
        root: str,
        names: Sequence[str],
        prefix: str,
        *,
        anew: bool,
        watcher: Watcher,
    ) -> Generator[Sequence[str], None, Copied]:
        self._begin("copy")
        try:
            return (yield from self._copy(root, names, prefix, anew=anew, watcher=watcher))
        finally:
            watcher.end()

    def _copy(
        self,
        root: str,
        names: Sequence[str],
        prefix: str,
        *,
        anew: bool,
        watcher: Watcher,
    ) -> Generator[Sequence[str], None, Copied]:
        failures: dict[str, str] = {}
        sent = 0
        for number, name in enumerate(names):
            if self.trouble is not None and number >= self.trouble_after:
                return Copied(failures, self.trouble)
            target = f"{prefix}/{name}"
            if target in self.refused:
                failures[name] = self.refused[target]
                continue
            path = os.path.join(root, name)
            # as rclone: what is not there, or no regular file, is passed over without a word
            if target in self.swallowed or os.path.islink(path) or not os.path.isfile(path):
                continue
            try:
                with open(path, "rb") as file:
                    content = file.read()
            except OSError as error:
                failures[name] = f"failed to open source object: {error.strerror}"
                continue
            if anew or not self._equal(target, content):
                self.put(target, content)
                self.labels.pop(target, None)
                self.sent.append(target)
                sent += len(content)
            watcher.show(Progress(number + 1, len(names), sent, sent, 0.0, None, ()))
            yield [name]
        return Copied(failures, self.trouble)

    def get_ready(self) -> None:
        """Nothing has to be started."""

    def look(
        self, names: Sequence[str], *, go_on: Callable[[], bool] = lambda: True
    ) -> Mapping[str, RemoteObject]:
        self._begin("look")
        return {
            name: self._told(name)
            for name in names
            if name in self.versions and name not in self.missing
        }

    def look_below(self, prefix: str, wanted: Container[str]) -> Mapping[str, RemoteObject]:
        self._begin("look_below")
        return {
            name: self._told(name)
            for name in self.versions
            if name.startswith(f"{prefix}/") and name in wanted and name not in self.missing
        }

    def read(
        self, ranges: Sequence[Range], *, go_on: Callable[[], bool] = lambda: True
    ) -> Sequence[bytes]:
        self._begin("read")
        return [
            self.versions[one.name][-1].content[one.offset : one.offset + one.count]
            if one.name in self.versions
            else b""
            for one in ranges
        ]

    def copy_within(self, sources: Mapping[str, str]) -> None:
        self._begin("copy_within")
        for target, source in sources.items():
            if source in self.versions and target not in self.refused:
                content = self.versions[source][-1].content
                if not self._equal(target, content):
                    self.put(target, content)

    def fetch(self, name: str, path: str, watcher: Watcher) -> None:
        self._begin("fetch")
        if name not in self.versions:
            raise ActionFailed(f"{name} is gone")
        content = self.versions[name][-1].content
        with open(path, "wb") as file:
            file.write(content)
        watcher.show(Progress(0, 1, len(content), len(content), 0.0, None, ()))
        watcher.end()

    def hide(self, names: Sequence[str]) -> None:
        self._begin("hide")
        for name in names:
            self.hidden.setdefault(name, []).extend(self.versions.pop(name, []))

    def why_hides(self) -> str:
        self._begin("why_hides")
        return self.hides

    def demand_bucket(self) -> None:
        self._begin("demand_bucket")

    def bucket(self) -> FakeBucket | None:
        self._begin("bucket")
        if self.account is not None:
            kept = [*self.versions.values(), *self.hidden.values()]
            self.account.contents |= {one.file_id: one.content for all_ in kept for one in all_}
        return self.account

    def put(self, name: str, content: bytes) -> Version:
        """Make a new version of an object, as a copy or a stranger would."""
        versions = self.versions.setdefault(name, [])
        count = sum(map(len, self.versions.values()))
        version = Version(content, f"4_z{count:08x}_{hashlib.sha1(content).hexdigest()[:8]}")
        versions.append(version)
        return version

    def lose(self, name: str) -> None:
        """Lose an object with all its versions."""
        del self.versions[name]

    def has(self, content: bytes) -> bool:
        """Whether some version of some object, hidden or not, has these bytes."""
        every = (*self.versions.values(), *self.hidden.values())
        return any(one.content == content for all_ in every for one in all_)

    def _equal(self, name: str, content: bytes) -> bool:
        """Compare as `--checksum` does: without a hash the size alone decides."""
        if name not in self.versions:
            return False
        there = self.versions[name][-1].content
        if name in self.labels:
            return self.labels[name] == hashlib.sha1(content).hexdigest()
        return len(there) == len(content) if self.without_sha1 else there == content

    def _told(self, name: str) -> RemoteObject:
        newest = self.versions[name][-1]
        sha1 = self.labels.get(name) or hashlib.sha1(newest.content).hexdigest()
        if name in self.wrong_hash:
            sha1 = hashlib.sha1(newest.content + b"!").hexdigest()
        return RemoteObject(len(newest.content), "" if self.without_sha1 else sha1, newest.file_id)

    def _begin(self, method: str) -> None:
        self.calls.append(method)
        self.before(method)
        if method in self.failures:
            raise self.failures[method]


@dataclass
class FakeMount:
    """Shows what a `FakeRemote` holds, as far as it is mounted."""

    point: str = ""
    remote: FakeRemote = field(default_factory=FakeRemote)
    failure: Exception | None = None
    missing: set[str] = field(default_factory=set)
    """Names that it does not show (yet)."""
    read: list[str] = field(default_factory=list)

    def read_ends(self, paths: Sequence[str]) -> Mapping[str, tuple[int, str]]:
        if self.failure is not None:
            raise self.failure
        found = {}
        for path in paths:
            name = os.path.relpath(path, self.point)
            self.read.append(name)
            if name in self.remote.versions and name not in self.missing:
                content = self.remote.versions[name][-1].content
                ends = content[: 1 << 20] + content[max(len(content) - (1 << 20), 0) :]
                found[path] = (len(content), hashlib.sha1(ends).hexdigest())
        return found


@dataclass
class FakeWatcher:
    """A `Watcher` that keeps what it is shown."""

    interval: float = 1.0
    seen: list[Progress] = field(default_factory=list)
    ends: int = 0

    def show(self, progress: Progress) -> None:
        self.seen.append(progress)

    def end(self) -> None:
        self.ends += 1


@dataclass
class FakeArchives:
    """An `Archives` for the files that `pack` makes: text, cut into as many volumes as asked for.

    Each volume bears its number and the set that it belongs to, so that one that is missing, cut
    or of another set is found out, as a real program would by its checksums.
    """

    told: dict[str, Listing] = field(default_factory=dict)
    """Name of a first volume → what `list` says instead of the truth."""
    swallowed: set[str] = field(default_factory=set)
    """Members that do not come out, without a word."""
    linked: set[str] = field(default_factory=set)
    """Members that come out as links, whatever the list said."""
    failures: dict[str, Exception] = field(default_factory=dict)
    """Method name → what it raises, until it is taken out again."""
    before: Callable[[str], None] = lambda _method: None
    """Called at the beginning of each method, to let the world change meanwhile."""
    calls: list[str] = field(default_factory=list)

    def list(self, path: str) -> Listing:
        self._begin("list")
        if os.path.basename(path) in self.told:
            return self.told[os.path.basename(path)]
        members, volumes = unpack(path)
        return Listing(
            tuple(Member(name, len(content), False, False, False)
                  for name, content in members.items()),
            tuple(map(os.path.basename, volumes)),
        )  # fmt: skip

    def extract(self, path: str, folder: str, *, most: int, watch: Callable[[], bool]) -> None:
        self._begin("extract")
        if os.listdir(folder):
            raise AssertionError(f"{folder} is not empty")
        for name, content in unpack(path)[0].items():
            if name in self.swallowed:
                continue
            if len(content) > most:
                raise ActionFailed(f"{name} grows beyond {most} bytes")
            if name in self.linked:
                os.symlink("/etc/passwd", os.path.join(folder, name))
            else:
                self.write(os.path.join(folder, name), content)
            watch()

    def write(self, path: str, content: bytes) -> None:
        """Write a member, as nobody but its owner may read it: archives bear any mode."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, 0o000)

    def _begin(self, method: str) -> None:
        self.calls.append(method)
        self.before(method)
        if method in self.failures:
            raise self.failures[method]


def pack(first: str, members: Mapping[str, bytes], volumes: int = 1) -> Sequence[str]:
    """Write an archive that FakeArchives opens; gives the paths of its volumes."""
    told = {name: base64.b64encode(content).decode() for name, content in members.items()}
    text = json.dumps(told).encode()
    token = hashlib.sha1(first.encode(errors="surrogateescape") + text).hexdigest()
    step = -(-len(text) // volumes)
    paths = [_volume(first, number) for number in range(volumes)]
    os.makedirs(os.path.dirname(first), exist_ok=True)
    for number, path in enumerate(paths):
        with open(path, "wb") as file:
            file.write(f"FAKE {token} {number} {volumes}\n".encode())
            file.write(text[number * step : (number + 1) * step])
    return paths


def unpack(first: str) -> tuple[dict[str, bytes], Sequence[str]]:
    """Give the members of an archive and its volumes. Raises ActionFailed where it is damaged."""
    damaged = ActionFailed("it is no archive, it is damaged, or a volume is missing")
    text, paths, token, number, count = b"", [], b"", 0, 1
    while number < count:
        paths.append(_volume(first, number))
        try:
            with open(paths[-1], "rb") as file:
                mark, own, place, of = file.readline().split()
                text += file.read()
        except (OSError, ValueError):
            raise damaged from None
        if (mark, int(place)) != (b"FAKE", number) or (token and own != token):
            raise damaged
        token, number, count = own, number + 1, int(of)
    try:
        told = {name: base64.b64decode(one) for name, one in json.loads(text).items()}
    except (ValueError, binascii.Error):
        raise damaged from None
    return told, paths


def _volume(first: str, number: int) -> str:
    """Name a volume as the usual programs do."""
    if number == 0:
        return first
    if first.endswith(".part1.rar"):
        return f"{first[: -len('1.rar')]}{number + 1}.rar"
    if first.endswith(".001"):
        return f"{first[: -len('001')]}{number + 1:03}"
    return f"{first[: -len('rar')]}r{number - 1:02}"
