"""The port Remote: one suite for rclone before a B2 server, and for the fake.

Then what only rclone can meet: names it loses, outages, caps, refused keys, files that change under
it, and programs that are not the one we need.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from mediapipe.adapters import b2_names
from mediapipe.adapters.rclone import Rclone
from mediapipe.adapters.rclone_program import find_binary
from mediapipe.config import RcloneConfig, UploadConfig
from mediapipe.errors import (
    ActionFailed,
    CapReached,
    ConfigError,
    LoginRefused,
    MediapipeError,
    Unavailable,
)
from mediapipe.gradually import finish
from mediapipe.ports import Range, RemoteObject
from mediapipe.testing.b2 import BUSY, STORAGE_CAP, TRANSACTION_CAP, Fault
from mediapipe.units import Seconds, SecretFile
from tests.fakes import FakeRemote, FakeWatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mediapipe.ports import Copied, Progress, Remote, Watcher
    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real

RCLONE = find_binary("rclone")
FAST = ("--retries=1", "--low-level-retries=2")
"""Give up early; the defaults of the adapter wait for minutes."""
MIB = 1 << 20

NAMES = (
    "plain.mkv",
    "a/deep er/folder/x.mkv",
    'it\'s "quoted" & more.mkv',
    "new\nline.mkv",
    "tab\tand\rreturn\x1b.mkv",
    "\x7f.mkv",
    "-rf.mkv",
    "--config=x",
    "#comment.mkv",
    "; also.mkv",
    "- excluded.mkv",
    "[glob]*?{a,b}.mkv",
    "back\\slash\\",
    "＼fullwidth＼ and \\.mkv",
    "／ ： ＊ ．.mkv",
    "．",
    "d/．．",
    "nfd/Zoe\u0308.mkv",
    "nfc/Zo\u00eb.mkv",
    "a" * 250,
    "\u00fc" * 125,
    "stray\udcff.mkv",
    "stray\udcfe.mkv",
    "stray\ufffd.mkv",
    "\udce9t\udce9/\udce9t\udce9.mkv",
    "dot.",
    "dots...",
    "space ",
    " space.mkv",
    "~home",
    ".hidden",
    "\U0001f39e\ufe0f film.mkv",
    "%41 +plus%.mkv",
    "\u202egnp.mkv",
    "$HOME `id`.mkv",
    "a\u2400b.mkv",
    "a\u2420b.mkv",
)


# The world behind the port, real or not: what a test sets up without the port


class Setting(Protocol):
    @property
    def remote(self) -> Remote: ...
    def put(self, name: str, content: bytes) -> None: ...
    def stored(self) -> dict[str, bytes]: ...
    def versions(self, name: str) -> int: ...
    def lose(self, name: str) -> None: ...


@dataclass
class Real:
    """rclone and a B2 server; names of plain ASCII stand there as we gave them."""

    remote: Remote
    server: B2Server

    def put(self, name: str, content: bytes) -> None:
        self.server.put(name, content, sha1=sha1(content))

    def stored(self) -> dict[str, bytes]:
        return contents(self.server)

    def versions(self, name: str) -> int:
        return self.server.objects()[name].versions

    def lose(self, name: str) -> None:
        self.server.delete(name)


@dataclass
class Fake:
    """Bytes in memory."""

    remote: FakeRemote

    def put(self, name: str, content: bytes) -> None:
        self.remote.put(name, content)

    def stored(self) -> dict[str, bytes]:
        return {name: all_[-1].content for name, all_ in self.remote.versions.items()}

    def versions(self, name: str) -> int:
        return len(self.remote.versions[name])

    def lose(self, name: str) -> None:
        self.remote.lose(name)


def rclone(
    server: B2Server,
    folder: Path,
    *,
    key: str = "master",
    place: str = "",
    binary: str = "rclone",
    extra: Sequence[str] = FAST,
    stall: int = 60,
) -> Rclone:
    config = folder / f"rclone-{key}.conf"
    config.write_text(server.rclone_config(key))
    return Rclone(
        RcloneConfig(
            remote=f"b2:{place or server.bucket}",
            binary=binary,
            config_file=SecretFile(str(config)),
        ),
        UploadConfig(
            stats_interval=Seconds(1), stall_timeout=Seconds(stall), extra_args=tuple(extra)
        ),
    )


@pytest.fixture(params=["real", "fake"])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
    if request.param == "fake":
        return Fake(FakeRemote())
    server = request.getfixturevalue("b2")
    return Real(rclone(server, tmp_path, key="restricted"), server)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def content_of(name: str, size: int = 1000) -> bytes:
    return random.Random(os.fsencode(name)).randbytes(size)


def write(folder: Path, names: Sequence[str], size: int = 1000) -> dict[str, bytes]:
    """Write files of random content; gives it by name."""
    written = {}
    for name in names:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        written[name] = content_of(name, size)
        with open(path, "wb") as file:
            file.write(written[name])
    return written


def contents(server: B2Server) -> dict[str, bytes]:
    """Give name on B2 → bytes."""
    found = {}
    for name, one in server.objects().items():
        assert one.path is not None
        found[name] = one.path.read_bytes()
    return found


@dataclass
class Seen:
    """A `Watcher` that hands on each progress and keeps it."""

    show_to: Callable[[Progress], None] = lambda _progress: None
    interval: float = 0.25
    shown: list[Progress] = field(default_factory=list)
    ends: int = 0

    def show(self, progress: Progress) -> None:
        self.shown.append(progress)
        self.show_to(progress)

    def end(self) -> None:
        self.ends += 1


def copy(
    remote: Remote,
    folder: Path,
    names: Sequence[str],
    *,
    anew: bool = False,
    watcher: Watcher | None = None,
) -> Copied:
    return finish(remote.copy(str(folder), names, "tv", anew=anew, watcher=watcher or Seen()))


def hashes(found: Mapping[str, RemoteObject]) -> dict[str, tuple[int, str]]:
    return {name: (one.size, one.sha1) for name, one in found.items()}


def expected(files: Mapping[str, bytes]) -> dict[str, tuple[int, str]]:
    return {f"tv/{name}": (len(data), sha1(data)) for name, data in files.items()}


# Copy, look, read


def test_what_was_copied_is_found_and_can_be_read(setting, source):
    files = write(source, ["Show/Season 1/a.mkv", "b.mkv"])

    copied = copy(setting.remote, source, list(files))

    assert (dict(copied.failures), copied.trouble) == ({}, None)
    assert setting.stored() == {f"tv/{name}": data for name, data in files.items()}
    found = setting.remote.look(["tv/Show/Season 1/a.mkv", "tv/b.mkv"])
    assert hashes(found) == expected(files)
    assert all(one.file_id for one in found.values())
    assert len({one.file_id for one in found.values()}) == 2
    assert setting.remote.read([Range("tv/b.mkv", 0, 1000)]) == [files["b.mkv"]]
    assert setting.remote.read([Range("tv/b.mkv", 300, 7)]) == [files["b.mkv"][300:307]]


def test_only_what_is_named_is_copied(setting, source):
    write(source, ["wanted.mkv", "other.mkv", "folder/wanted.mkv"])

    copy(setting.remote, source, ["folder/wanted.mkv"])

    assert set(setting.stored()) == {"tv/folder/wanted.mkv"}


def test_an_empty_file_is_a_file(setting, source):
    write(source, ["empty"], size=0)
    copy(setting.remote, source, ["empty"])

    assert hashes(setting.remote.look(["tv/empty"])) == {"tv/empty": (0, sha1(b""))}


def test_what_is_not_there_is_not_in_the_answer(setting, source):
    files = write(source, ["there.mkv"])
    copy(setting.remote, source, list(files))

    assert set(setting.remote.look(["tv/there.mkv", "tv/gone.mkv", "no/folder.mkv"])) == {
        "tv/there.mkv"
    }
    setting.lose("tv/there.mkv")
    assert dict(setting.remote.look(["tv/there.mkv"])) == {}


def test_nothing_to_look_for_finds_nothing(setting):
    assert dict(setting.remote.look([])) == {}


def test_the_same_bytes_are_not_sent_again(setting, source):
    files = write(source, ["a.mkv"])
    copy(setting.remote, source, list(files))
    os.utime(source / "a.mkv", (1, 1))
    copy(setting.remote, source, list(files))

    assert setting.versions("tv/a.mkv") == 1


def test_changed_bytes_make_a_new_version_and_keep_the_old_one(setting, source):
    write(source, ["a.mkv"])
    copy(setting.remote, source, ["a.mkv"])
    first = setting.remote.look(["tv/a.mkv"])["tv/a.mkv"]
    (source / "a.mkv").write_bytes(b"something else")
    copy(setting.remote, source, ["a.mkv"])

    second = setting.remote.look(["tv/a.mkv"])["tv/a.mkv"]
    assert setting.versions("tv/a.mkv") == 2
    assert (second.size, second.sha1) == (14, sha1(b"something else"))
    assert second.file_id != first.file_id


def test_anew_sends_what_is_there_already(setting, source):
    files = write(source, ["a.mkv"])
    copy(setting.remote, source, list(files))
    copy(setting.remote, source, list(files), anew=True)

    assert setting.versions("tv/a.mkv") == 2
    assert hashes(setting.remote.look(["tv/a.mkv"])) == expected(files)


def test_a_file_that_vanished_fails_alone_or_is_not_found_afterwards(setting, source):
    files = write(source, ["stays.mkv"])

    copied = copy(setting.remote, source, ["gone.mkv", "stays.mkv"])

    assert copied.trouble is None
    assert hashes(setting.remote.look(["tv/gone.mkv", "tv/stays.mkv"])) == expected(files)


def test_hostile_names_arrive_and_are_found_under_the_names_we_gave(setting, source):
    files = write(source, NAMES)
    assert [name for name in NAMES if setting.remote.why_not_storable(f"tv/{name}")] == []

    copied = copy(setting.remote, source, NAMES)

    assert (dict(copied.failures), copied.trouble) == ({}, None)
    found = setting.remote.look([f"tv/{name}" for name in NAMES])
    assert hashes(found) == expected(files)
    assert len(setting.stored()) == len(NAMES)


@pytest.mark.parametrize("name", ["stray\udcff.mkv", "new\nline.mkv", "-rf.mkv", "＼ \\"])
def test_hostile_names_can_be_read_from(setting, source, name):
    files = write(source, [name, "stray\udcfe.mkv"])
    copy(setting.remote, source, list(files))

    assert setting.remote.read([Range(f"tv/{name}", 10, 20)]) == [files[name][10:30]]


def test_an_object_is_fetched_into_a_file_of_its_own(setting, source, tmp_path):
    names = ["plain.mkv", 'a/it\'s "quoted" [1] \udcff.mkv', "new\nline.mkv", "-rf.mkv"]
    files = write(source, names, 300_000)
    copy(setting.remote, source, names)
    watcher = FakeWatcher()

    for number, name in enumerate(names):
        target = tmp_path / f".{number}.restore"
        setting.remote.fetch(f"tv/{name}", str(target), watcher)
        assert target.read_bytes() == files[name]
    assert watcher.ends == len(names)
    with pytest.raises(ActionFailed, match="gone"):
        setting.remote.fetch("tv/no.mkv", str(tmp_path / "no"), watcher)
    assert not os.path.lexists(tmp_path / "no")


def test_names_that_differ_only_in_composition_are_two_files(setting, source):
    """Accents composed (Linux, Windows) and decomposed (macOS) stand side by side after a copy."""
    names = ["Zo\u00eb.mkv", "Zoe\u0308.mkv"]
    files = write(source, names)

    copied = copy(setting.remote, source, names)

    assert (dict(copied.failures), copied.trouble) == ({}, None)
    assert hashes(setting.remote.look([f"tv/{name}" for name in names])) == expected(files)


@pytest.mark.parametrize("root", ["", "folder", "folder/below"])
def test_addresses_are_what_people_type(root, tmp_path, b2):
    remote = rclone(b2, tmp_path, place=f"{b2.bucket}/{root}".rstrip("/"))

    assert remote.address("tv/x.mkv") == f"b2:{b2.bucket}/{root}/tv/x.mkv".replace("//", "/")


# Listings, copies on the remote itself, and hiding


def test_a_listing_tells_what_a_look_tells(setting, source):
    files = write(source, ["Show/Season 1/a.mkv", "b.mkv", "not wanted.mkv"])
    copy(setting.remote, source, list(files))
    setting.put("tv too/b.mkv", b"another folder")
    wanted = {"tv/Show/Season 1/a.mkv", "tv/b.mkv", "tv/gone.mkv", "tv too/b.mkv"}

    found = setting.remote.look_below("tv", wanted)

    assert dict(found) == dict(setting.remote.look(["tv/Show/Season 1/a.mkv", "tv/b.mkv"]))


def test_a_listing_of_nothing_finds_nothing(setting, source):
    assert dict(setting.remote.look_below("tv", {"tv/a.mkv"})) == {}
    copy(setting.remote, source, list(write(source, ["a.mkv"])))
    assert dict(setting.remote.look_below("tv", set())) == {}


def test_hostile_names_are_listed_as_they_are_or_not_at_all(setting, source):
    """What a listing cannot tell apart is looked up by name."""
    files = write(source, NAMES)
    copy(setting.remote, source, NAMES)

    found = hashes(setting.remote.look_below("tv", {f"tv/{name}" for name in NAMES}))

    assert found.items() <= expected(files).items()
    # control characters are shown as their pictures there
    plain = {f"tv/{name}" for name in NAMES if name.isprintable() or "\u202e" in name}
    assert found.keys() >= plain - {"tv/stray\ufffd.mkv"}


def test_many_ranges_come_in_their_order(setting, source):
    files = write(source, ["a.mkv", "new\nline.mkv", "stray\udcff.mkv"])
    copy(setting.remote, source, list(files))
    ranges = [
        Range(f"tv/{name}", offset, count)
        for offset, count in ((0, 10), (990, 10), (500, 1), (995, 100))
        for name in files
    ]

    assert setting.remote.read(ranges) == [
        files[one.name.removeprefix("tv/")][one.offset : one.offset + one.count] for one in ranges
    ]
    assert list(setting.remote.read([])) == []


def test_questions_of_a_thread_leave_the_remote_answering(setting, source):
    files = write(source, ["a.mkv"])
    copy(setting.remote, source, list(files))
    setting.remote.get_ready()
    with ThreadPoolExecutor(1) as thread:
        early = thread.submit(setting.remote.look, ["tv/a.mkv"]).result()

    assert hashes(setting.remote.look(["tv/a.mkv"])) == hashes(early) == expected(files)


def test_hostile_names_are_copied_and_the_old_ones_hidden(setting, source):
    """A season that was renamed: each object by its name, and no other."""
    files = write(source, NAMES)
    copy(setting.remote, source, NAMES)
    moved = {f"tv/new/{name}": f"tv/{name}" for name in NAMES}
    names = {old: new for new, old in moved.items() if not setting.remote.why_not_storable(new)}

    setting.remote.copy_within({new: old for old, new in names.items()})

    found = hashes(setting.remote.look(list(names.values())))
    assert found == {new: expected(files)[old] for old, new in names.items()}
    half = sorted(names)[::2]
    setting.remote.hide(half)
    left = setting.remote.look([f"tv/{name}" for name in NAMES])
    assert left.keys() == {f"tv/{name}" for name in NAMES} - set(half)
    assert hashes(setting.remote.look(list(names.values()))) == found


def test_a_copy_of_what_is_not_there_makes_nothing_and_says_nothing(setting, source):
    copy(setting.remote, source, list(write(source, ["a.mkv"])))
    before = setting.stored()

    setting.remote.copy_within({"tv/b.mkv": "tv/gone.mkv", "tv/c.mkv": "no/folder/c.mkv"})
    setting.remote.copy_within({})

    assert setting.stored() == before


def test_a_copy_onto_the_same_bytes_makes_no_version_and_onto_others_a_new_one(setting, source):
    files = write(source, ["a.mkv"])
    copy(setting.remote, source, list(files))
    setting.put("tv/same.mkv", files["a.mkv"])
    setting.put("tv/other.mkv", b"another")

    setting.remote.copy_within({"tv/same.mkv": "tv/a.mkv", "tv/other.mkv": "tv/a.mkv"})

    assert (setting.versions("tv/same.mkv"), setting.versions("tv/other.mkv")) == (1, 2)
    assert setting.stored()["tv/other.mkv"] == files["a.mkv"]


def test_what_is_hidden_is_gone_and_comes_back_with_the_next_copy(setting, source):
    files = write(source, ["a.mkv", "a.mkv.txt", "folder/a.mkv"])
    copy(setting.remote, source, list(files))

    setting.remote.hide(["tv/a.mkv", "tv/folder", "tv/gone.mkv"])

    assert setting.stored().keys() == {"tv/a.mkv.txt", "tv/folder/a.mkv"}
    assert "tv/a.mkv" not in setting.remote.look(["tv/a.mkv"])
    assert "tv/a.mkv" not in setting.remote.look_below("tv", {"tv/a.mkv"})
    copy(setting.remote, source, ["a.mkv"])
    assert hashes(setting.remote.look(["tv/a.mkv"])) == {"tv/a.mkv": expected(files)["tv/a.mkv"]}


def test_hiding_nothing_hides_nothing(setting, source):
    files = write(source, ["a.mkv", "b.mkv"])
    copy(setting.remote, source, list(files))

    setting.remote.hide([])

    assert len(setting.stored()) == 2


@pytest.mark.parametrize("line", ["", "hard_delete = true\n"], ids=["plain", "hard_delete"])
def test_hiding_keeps_every_version(line, b2, tmp_path, source):
    remote = rclone(b2, tmp_path)
    for size in (10, 20, 30):
        write(source, ["a.mkv", "b.mkv"], size=size)
        copy(remote, source, ["a.mkv", "b.mkv"])
    with open(tmp_path / "rclone-master.conf", "a") as config:
        config.write(line)
    before = b2.stats()

    remote.hide(["tv/a.mkv"])

    after = b2.stats()
    assert set(contents(b2)) == {"tv/b.mkv"}
    assert after.versions == before.versions + 1, "the mark that hides it"
    assert after.stored == before.stored
    assert "b2_delete_file_version" not in after.calls


def test_hiding_many_costs_one_program_and_one_call_each(b2, tmp_path, source):
    names = [f"folder {number}/a.mkv" for number in range(30)]
    write(source, names, size=10)
    remote = rclone(b2, tmp_path)
    copy(remote, source, names)
    b2.reset_stats()

    remote.hide([f"tv/{name}" for name in names])

    assert b2.stats().calls["b2_hide_file"] == 30
    assert b2.stats().classes["C"] <= 10, "each of its workers asks for the bucket"
    assert contents(b2) == {}


def test_a_listing_of_many_folders_is_one_call_for_a_thousand_objects(b2, tmp_path):
    for number in range(300):
        b2.put(f"tv/Show {number}/Season 1/a.mkv", b"x", sha1=sha1(b"x"))
    remote = rclone(b2, tmp_path)
    wanted = {f"tv/Show {number}/Season 1/a.mkv" for number in range(0, 300, 2)}

    assert remote.look_below("tv", wanted).keys() == wanted

    stats = b2.stats()
    assert stats.calls["b2_list_file_names"] <= 2, "is it a folder, and what is below it"
    assert stats.classes.get("B", 0) <= 1


def test_a_copy_within_sends_no_bytes(b2, tmp_path, source):
    names = [f"{number}.mkv" for number in range(8)]
    files = write(source, names, size=MIB)
    remote = rclone(b2, tmp_path)
    copy(remote, source, names)
    b2.reset_stats()

    remote.copy_within({f"tv/new {name}": f"tv/{name}" for name in names})

    stats = b2.stats()
    assert (stats.calls["b2_copy_file"], stats.calls.get("b2_upload_file", 0)) == (8, 0)
    assert stats.bytes_in < MIB / 8
    assert stats.bytes_out < MIB / 8
    found = hashes(remote.look([f"tv/new {name}" for name in names]))
    assert found == {f"tv/new {name}": (MIB, sha1(data)) for name, data in files.items()}


def test_an_object_beyond_the_limit_is_copied_in_parts_and_keeps_its_sha1(b2, tmp_path, source):
    """B2 copies at most 5 GB in one call."""
    files = write(source, ["large.mkv"], size=13 * MIB)
    remote = rclone(b2, tmp_path)
    with open(tmp_path / "rclone-master.conf", "a") as config:
        config.write("upload_cutoff = 5Mi\nchunk_size = 5Mi\ncopy_cutoff = 5Mi\n")
    copy(remote, source, list(files))
    assert b2.stats().calls["b2_upload_part"] == 3
    b2.reset_stats()

    remote.copy_within({"tv/new.mkv": "tv/large.mkv"})

    stats = b2.stats()
    assert stats.calls["b2_copy_part"] == 3
    assert stats.bytes_in < MIB
    assert hashes(remote.look(["tv/new.mkv"])) == {
        "tv/new.mkv": (13 * MIB, sha1(files["large.mkv"]))
    }
    assert contents(b2)["tv/new.mkv"] == files["large.mkv"]
    assert stats.unfinished == 0


@pytest.mark.parametrize("fault", [TRANSACTION_CAP, Fault("b2_list_.*", status=503, count=None)])
def test_a_listing_that_fails_proves_nothing(fault, b2, tmp_path):
    """rclone ends with "directory not found": the copy looks for each object, and meets the cap."""
    b2.put("tv/a.mkv", b"a", sha1=sha1(b"a"))
    b2.inject(fault)

    assert dict(rclone(b2, tmp_path).look_below("tv", {"tv/a.mkv"})) == {}


def test_hiding_that_fails_is_told(b2, tmp_path):
    b2.put("tv/a.mkv", b"a", sha1=sha1(b"a"))
    b2.inject(api="b2_hide_file", status=503, count=None)

    with pytest.raises(Unavailable):
        rclone(b2, tmp_path).hide(["tv/a.mkv"])


def test_a_range_of_what_is_gone_is_told(b2, tmp_path):
    b2.put("tv/a.mkv", b"abc", sha1=sha1(b"abc"))
    remote = rclone(b2, tmp_path)

    answer: object = None
    try:
        answer = remote.read([Range("tv/a.mkv", 0, 2), Range("tv/gone.mkv", 0, 2)])
    except MediapipeError as error:
        answer = error
    assert isinstance(answer, MediapipeError) or list(answer) == [b"ab", b""]


# Names: what is refused could really not be kept, and what is not refused can


REFUSED = {
    "quote": "q\u201b.mkv",
    **{f"U+{code:04X}": f"a{chr(code)}b" for code in range(0x2401, 0x2422) if code != 0x2420},
    "251 bytes": "x" * 251,
    "252 bytes of two": "\u00fc" * 126,
    "escapes of three": "\\" * 84,
    "escapes of controls": "\n" * 84,
    "escapes of strays": "\udcff" * 51,
    "path of 1025 bytes": "/".join(["d" * 203] * 5) + "/dd",
}


@pytest.fixture(scope="module")
def without_refusal(tmp_path_factory) -> set[str]:
    """Tell which of the refused names rclone would not have kept: one copy of all of them."""
    from mediapipe.testing.b2 import B2Server

    folder = tmp_path_factory.mktemp("refused")
    source = folder / "source"
    names = list(REFUSED.values())
    files = write(source, names)
    with B2Server(root=folder / "b2") as server:
        remote = rclone(server, folder)
        copy(remote, source, names)
        found = hashes(remote.look([f"tv/{name}" for name in names]))
    wanted = expected(files)
    return {name for name in names if found.get(f"tv/{name}") != wanted[f"tv/{name}"]}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refused_name_would_really_be_lost(what, without_refusal):
    name = REFUSED[what]
    assert b2_names.why_not_storable(f"tv/{name}"), "it is not refused"
    assert name in without_refusal, "rclone keeps it all the same"


@pytest.mark.parametrize(
    "name",
    [
        "＼" * 42,
        "\\" * 83,
        "\x01" * 84,
        "x" * 251,
        "\u00fc" * 126,
        "/".join(["d" * 203] * 5) + "/d",
        "/".join(["d" * 203] * 5) + "/dd",
    ],
    ids=["escaped escapes", "backslashes", "controls", "251", "252", "1024", "1025"],
)
def test_a_name_is_refused_exactly_when_b2_would_refuse_it(name, b2, tmp_path, source):
    write(source, [name])
    remote = rclone(b2, tmp_path)

    copied = copy(remote, source, [name])

    stored = f"tv/{name}" in remote.look([f"tv/{name}"])
    assert stored != bool(copied.failures)
    assert bool(remote.why_not_storable(f"tv/{name}")) == (not stored)


# Trouble: passing faults are ridden out, others end as what they are


@pytest.mark.parametrize(
    "fault",
    [
        BUSY,
        pytest.param({"api": "b2_upload_file", "reset_after": 100}, id="reset"),
        pytest.param({"api": "b2_upload_file", "lose_response": True}, id="answer lost"),
        pytest.param({"api": "b2_upload_file", "corrupt": True}, id="corrupted on the way"),
        pytest.param({"api": "b2_get_upload_url", "status": 503}, id="no upload address"),
    ],
)
def test_a_passing_fault_is_ridden_out(fault, b2, tmp_path, source):
    files = write(source, ["a.mkv", "b.mkv"])
    remote = rclone(b2, tmp_path, extra=())
    if isinstance(fault, dict):
        b2.inject(**fault)
    else:
        b2.inject(fault)

    copied = copy(remote, source, list(files))

    assert (dict(copied.failures), copied.trouble) == ({}, None)
    assert hashes(remote.look([f"tv/{name}" for name in files])) == expected(files)


def test_a_file_that_b2_keeps_refusing_fails_and_the_others_arrive(b2, tmp_path, source):
    files = write(source, ["good.mkv", "bad.mkv"])
    remote = rclone(b2, tmp_path)
    b2.inject(api="b2_upload_file", name="bad", count=None, status=400, code="bad_request")

    copied = copy(remote, source, list(files))

    assert set(copied.failures) == {"bad.mkv"}
    assert "bad_request" in copied.failures["bad.mkv"]
    assert copied.trouble is None
    assert set(remote.look(["tv/good.mkv", "tv/bad.mkv"])) == {"tv/good.mkv"}


def test_an_expired_token_is_renewed_in_mid_copy(b2, tmp_path, source):
    files = write(source, [f"{number}.mkv" for number in range(12)], size=200_000)
    remote = rclone(b2, tmp_path, extra=("--transfers=1",))
    b2.bandwidth = 800_000
    expired: list[int] = []

    def expire(progress: Progress) -> None:
        if progress.sent and not expired:
            expired.append(progress.sent)
            b2.expire_tokens(uploads=True)
            b2.bandwidth = None

    copied = copy(remote, source, list(files), watcher=Seen(expire))

    assert expired
    assert expired[0] < 12 * 200_000, "it was expired only after the end"
    assert (dict(copied.failures), copied.trouble) == ({}, None)
    assert hashes(remote.look([f"tv/{name}" for name in files])) == expected(files)
    b2.expire_tokens()
    assert remote.read([Range("tv/1.mkv", 5, 5)]) == [files["1.mkv"][5:10]]


def test_a_storage_cap_ends_the_copy_until_tomorrow(b2, tmp_path, source):
    files = write(source, ["a.mkv", "b.mkv"])
    b2.inject(STORAGE_CAP)

    copied = copy(rclone(b2, tmp_path, extra=()), source, list(files))

    assert isinstance(copied.trouble, Unavailable)
    assert "storage_cap_exceeded" in str(copied.trouble)
    assert "00:00 UTC" in copied.trouble.hint
    assert b2.objects() == {}


def test_a_transaction_cap_ends_a_look_up(b2, tmp_path):
    b2.inject(TRANSACTION_CAP, api="b2_(list|download|get_file).*")

    # HEAD has no body, so B2 cannot say there which cap it is
    with pytest.raises(Unavailable, match="403"):
        rclone(b2, tmp_path).look(["tv/a.mkv"])


def test_a_refused_key_is_told_as_one(b2, tmp_path, source):
    files = write(source, ["a.mkv"])
    remote = rclone(b2, tmp_path)
    b2.remove_key("master")

    copied = copy(remote, source, list(files))

    assert isinstance(copied.trouble, LoginRefused)
    assert copied.trouble.service == "rclone"
    for ask in (lambda: remote.look(["tv/a.mkv"]), lambda: remote.read([Range("tv/a.mkv", 0, 1)])):
        with pytest.raises(LoginRefused):
            ask()


def test_a_key_that_may_not_write_is_told_as_refused(b2, tmp_path, source):
    files = write(source, ["a.mkv"])
    b2.add_key("reader", "secret", ("listBuckets", "listFiles", "readFiles"), bucket=b2.bucket)

    copied = copy(rclone(b2, tmp_path, key="reader"), source, list(files))

    assert isinstance(copied.trouble, LoginRefused)
    assert b2.objects() == {}


def test_a_key_that_may_not_read_never_makes_an_object_look_gone(b2, tmp_path, source):
    write(source, ["a.mkv"])
    b2.put("tv/a.mkv", b"there", sha1=sha1(b"there"))
    b2.add_key("writer", "secret", ("listBuckets", "listFiles", "writeFiles"), bucket=b2.bucket)
    remote = rclone(b2, tmp_path, key="writer")

    with pytest.raises(LoginRefused):
        remote.look(["tv/a.mkv"])
    with pytest.raises(LoginRefused):
        remote.read([Range("tv/a.mkv", 0, 5)])


def test_a_cap_that_a_download_meets_is_told_as_one(b2, tmp_path):
    """The object is found, and its bytes are refused: rclone itself answers "Not Found" then."""
    b2.put("tv/a.mkv", b"there", sha1=sha1(b"there"))
    b2.inject(TRANSACTION_CAP, api="b2_download_file_by_id")

    with pytest.raises(CapReached):
        rclone(b2, tmp_path).read([Range("tv/a.mkv", 0, 5)])


def test_a_key_for_one_folder_is_enough(b2, tmp_path, source):
    files = write(source, ["a.mkv"])
    b2.add_key(
        "folder", "secret", ("listBuckets", "listFiles", "readFiles", "writeFiles"),
        bucket=b2.bucket, prefix="mine/",
    )  # fmt: skip
    remote = rclone(b2, tmp_path, key="folder", place=f"{b2.bucket}/mine")
    assert dict(remote.look(["tv/a.mkv"])) == {}, "the folder is empty, which on B2 is none"

    assert copy(remote, source, list(files)).trouble is None

    assert set(b2.objects()) == {"mine/tv/a.mkv"}
    assert hashes(remote.look(["tv/a.mkv", "tv/gone.mkv"])) == expected(files)


@pytest.mark.parametrize("key", ["master", "restricted"])
def test_a_bucket_that_is_not_there_is_no_empty_one(key, b2, tmp_path):
    remote = rclone(b2, tmp_path, key=key, place="another-bucket")

    with pytest.raises(ConfigError):
        remote.look(["tv/a.mkv"])
    with pytest.raises(ConfigError):
        remote.look(["tv/a.mkv", "tv/b.mkv"])


def test_a_folder_that_is_not_there_is_an_empty_one(b2, tmp_path):
    assert dict(rclone(b2, tmp_path, place=f"{b2.bucket}/new").look(["tv/a.mkv"])) == {}


def test_an_object_that_was_hidden_is_gone(b2, tmp_path):
    b2.put("tv/a.mkv", b"x", sha1=sha1(b"x"))
    b2.hide("tv/a.mkv")

    assert dict(rclone(b2, tmp_path).look(["tv/a.mkv"])) == {}


def test_an_object_without_a_hash_has_none(b2, tmp_path, source):
    """Same size, other bytes, no hash: rclone calls it equal, so the look-up must not."""
    write(source, ["a.mkv"])
    b2.put("tv/a.mkv", bytes(1000))
    remote = rclone(b2, tmp_path)

    copied = copy(remote, source, ["a.mkv"])

    assert (dict(copied.failures), copied.trouble) == ({}, None)
    assert remote.look(["tv/a.mkv"])["tv/a.mkv"].sha1 == ""


def test_a_server_that_is_down_is_an_outage(b2, tmp_path, source):
    files = write(source, ["a.mkv"])
    remote = rclone(b2, tmp_path)
    b2.stop()

    assert isinstance(copy(remote, source, list(files)).trouble, Unavailable)
    with pytest.raises(Unavailable):
        remote.look(["tv/a.mkv"])
    with pytest.raises(Unavailable):
        remote.read([Range("tv/a.mkv", 0, 1)])


@pytest.mark.parametrize("status", [500, 503])
def test_a_look_up_that_b2_fails_is_an_outage_and_no_absence(status, b2, tmp_path):
    b2.put("tv/a.mkv", b"x", sha1=sha1(b"x"))
    b2.inject(api=".*(download|list|get_file_info).*", count=None, status=status)

    with pytest.raises(Unavailable):
        rclone(b2, tmp_path).look(["tv/a.mkv"])


def test_an_object_cut_short_is_not_read_as_whole(b2, tmp_path):
    data = content_of("x", MIB)
    b2.put("tv/a.mkv", data, sha1=sha1(data))
    b2.inject(api="b2_download_file_by_.*", count=None, reset_after=1000)

    with pytest.raises(Unavailable):
        rclone(b2, tmp_path).read([Range("tv/a.mkv", 0, MIB)])


def test_a_stalled_copy_is_ended_and_its_child_is_gone(b2, tmp_path, source):
    files = write(source, ["good.mkv", "a.mkv"], size=MIB)
    pids = tmp_path / "pids"
    remote = rclone(b2, tmp_path, binary=str(wrapper(tmp_path, pids)), stall=2)
    b2.inject(api="b2_upload_file", name="a.mkv", hang_after=1000, count=None)

    watcher = Seen()
    copied = copy(remote, source, ["good.mkv", "a.mkv"], watcher=watcher)

    assert isinstance(copied.trouble, Unavailable)
    assert "stalled" in str(copied.trouble)
    assert watcher.ends == 1
    started = [int(pid) for pid in pids.read_text().split()]
    assert started
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
    b2.clear_faults()
    assert set(remote.look([f"tv/{name}" for name in files])) == {"tv/good.mkv"}
    assert copy(remote, source, ["a.mkv"]).trouble is None


def test_an_rclone_that_was_killed_is_started_again(b2, tmp_path):
    """Whoever cleans up processes may take the one that answers along."""
    b2.put("tv/a.mkv", b"there", sha1=sha1(b"there"))
    pids = tmp_path / "pids"
    remote = rclone(b2, tmp_path, binary=str(wrapper(tmp_path, pids)))
    before = remote.look(["tv/a.mkv"])
    os.kill(int(pids.read_text().split()[-1]), signal.SIGKILL)

    assert _soon(lambda: remote.look(["tv/a.mkv"])) == before


def test_an_answer_that_is_not_wanted_any_more_is_not_waited_for(b2, tmp_path):
    b2.put("tv/a.mkv", b"there", sha1=sha1(b"there"))
    pids = tmp_path / "pids"
    remote = rclone(b2, tmp_path, binary=str(wrapper(tmp_path, pids)))
    for ask in (remote.look, lambda _names, go_on: remote.read(RANGES, go_on=go_on)):
        remote.look(["tv/a.mkv"])
        os.kill(int(pids.read_text().split()[-1]), signal.SIGSTOP)
        with pytest.raises(Unavailable, match="not wanted"):
            ask(["tv/a.mkv"], go_on=lambda: False)


RANGES = (Range("tv/a.mkv", 0, 5),)


def _soon(ask: Callable[[], Mapping[str, RemoteObject]]) -> Mapping[str, RemoteObject]:
    """Ask again while the answer is that nobody answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ask()
        except Unavailable:
            if time.monotonic() > deadline:
                raise


def wrapper(folder: Path, pids: Path, *before: str) -> Path:
    """Make a program that notes its process id and then is rclone."""
    script = folder / "rclone-wrapper"
    command = shlex.join([*before, RCLONE])
    script.write_text(f'#!/bin/sh\necho $$ >> {shlex.quote(str(pids))}\nexec {command} "$@"\n')
    script.chmod(0o755)
    return script


# Files that are not what they were


def test_a_file_that_cannot_be_read_fails_alone(b2, tmp_path, source):
    files = write(source, ["closed.mkv", "open.mkv"])
    (source / "closed.mkv").chmod(0)
    # root reads everything, unless it gives that up
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if not os.getuid() else []
    binary = wrapper(tmp_path, tmp_path / "pids", *drop)
    remote = rclone(b2, tmp_path, binary=str(binary))

    copied = copy(remote, source, list(files))

    assert set(copied.failures) == {"closed.mkv"}
    assert "denied" in copied.failures["closed.mkv"]
    assert copied.trouble is None
    assert set(remote.look([f"tv/{name}" for name in files])) == {"tv/open.mkv"}


@pytest.mark.parametrize("how", ["grows", "is rewritten", "shrinks"])
def test_a_file_that_changes_under_the_copy_never_ends_as_a_mixture(how, b2, tmp_path, source):
    old = write(source, ["a.mkv"], size=2 * MIB)["a.mkv"]
    new = {
        "grows": old + b"more",
        "is rewritten": content_of("other", 2 * MIB),
        "shrinks": old[:1000],
    }[how]
    remote = rclone(b2, tmp_path, extra=())
    b2.bandwidth = 500_000
    changed: list[int] = []

    def change(progress: Progress) -> None:
        if progress.sent and not changed:
            changed.append(progress.sent)
            with open(source / "a.mkv", "r+b") as file:
                file.write(new)
                file.truncate()
            b2.bandwidth = None

    copied = copy(remote, source, ["a.mkv"], watcher=Seen(change))

    assert changed
    found = hashes(remote.look(["tv/a.mkv"]))
    whole = [(len(data), sha1(data)) for data in (old, new)]
    assert copied.failures or found["tv/a.mkv"] in whole
    assert all(one in whole for one in found.values())


def test_a_file_that_vanishes_in_mid_copy_harms_no_other(b2, tmp_path, source):
    files = write(source, ["0.mkv", "1.mkv", "2.mkv"], size=300_000)
    remote = rclone(b2, tmp_path, extra=("--transfers=1", "--checkers=1", *FAST))
    b2.bandwidth = 200_000

    def vanish(progress: Progress) -> None:
        if progress.sent:
            (source / "2.mkv").unlink(missing_ok=True)
            b2.bandwidth = None

    copied = copy(remote, source, list(files), watcher=Seen(vanish))

    assert not (source / "2.mkv").exists()
    assert copied.trouble is None
    found = hashes(remote.look([f"tv/{name}" for name in files]))
    assert found.items() <= expected(files).items()
    assert {"tv/0.mkv", "tv/1.mkv"} <= set(found)


def test_links_and_folders_are_never_stored_for_files(b2, tmp_path, source):
    files = write(source, ["a.mkv", "folder/x"])
    (source / "link").symlink_to("a.mkv")
    remote = rclone(b2, tmp_path)

    copy(remote, source, ["a.mkv", "link", "folder"])

    assert contents(b2) == {"tv/a.mkv": files["a.mkv"]}


# What the copy shows on its way


def test_a_copy_shows_how_far_it_is_and_that_it_has_ended(b2, tmp_path, source):
    names = [f"folder/{number}.mkv" for number in range(6)]
    write(source, names, size=100_000)
    b2.bandwidth = 200_000
    watcher = Seen()

    copied = copy(rclone(b2, tmp_path, extra=("--transfers=2",)), source, names, watcher=watcher)

    assert copied.trouble is None
    assert watcher.ends == 1
    assert len(watcher.shown) > 3
    sent = [one.sent for one in watcher.shown]
    assert sent == sorted(sent)
    last = watcher.shown[-1]
    assert (last.done, last.files, last.sent, last.total) == (6, 6, 600_000, 600_000)
    on_the_way = [one for shown in watcher.shown for one in shown.transfers]
    assert {one.name for one in on_the_way} <= set(names)
    assert on_the_way
    assert all(0 <= one.sent <= one.size == 100_000 for one in on_the_way)
    assert max(one.rate for one in watcher.shown) > 0


def test_whatever_ends_a_copy_the_watcher_is_told(setting, source):
    for name in ("there.mkv", "gone.mkv"):
        watcher = Seen()
        write(source, ["there.mkv"])
        copy(setting.remote, source, [name], watcher=watcher)
        assert watcher.ends == 1


# The bucket


def test_a_bucket_that_is_there_is_enough(setting):
    setting.remote.demand_bucket()


@pytest.mark.parametrize("key", ["master", "restricted"])
@pytest.mark.parametrize("folder", ["", "/folder"])
def test_a_bucket_that_is_not_there_is_demanded_in_vain(folder, key, b2, tmp_path):
    remote = rclone(b2, tmp_path, key=key, place=f"another-bucket{folder}")

    with pytest.raises(ConfigError):
        remote.demand_bucket()
    assert "b2_create_bucket" not in b2.stats().calls


@pytest.mark.parametrize(
    "fault", [TRANSACTION_CAP, Fault("b2_list_buckets", status=503, count=None)]
)
def test_a_bucket_that_b2_will_not_tell_of_is_no_missing_one(fault, b2, tmp_path):
    """rclone ends with "directory not found" for both."""
    b2.inject(fault)

    with pytest.raises(Unavailable):
        rclone(b2, tmp_path).demand_bucket()


def test_an_outage_is_no_missing_bucket(b2, tmp_path):
    remote = rclone(b2, tmp_path)
    b2.stop()

    with pytest.raises(Unavailable):
        remote.demand_bucket()
    with pytest.raises(Unavailable):
        remote.why_hides()


def test_without_a_rule_nothing_hides(setting):
    assert setting.remote.why_hides() == ""


RULE = {"fileNamePrefix": "", "daysFromUploadingToHiding": 3, "daysFromHidingToDeleting": 1}


@pytest.mark.parametrize(
    ("rule", "folder", "hides"),
    [
        ({}, "", True),
        ({}, "mine", True),
        ({"daysFromUploadingToHiding": None}, "", False),
        ({"fileNamePrefix": "tv/"}, "", True),
        ({"fileNamePrefix": "mine/"}, "mine", True),
        ({"fileNamePrefix": "mine/tv/"}, "mine", True),
        ({"fileNamePrefix": "others/"}, "mine", False),
    ],
)
def test_a_rule_that_hides_our_objects_by_age_is_told(rule, folder, hides, b2, tmp_path):
    b2.set_lifecycle([{**RULE, **rule}])
    remote = rclone(b2, tmp_path, place=f"{b2.bucket}/{folder}".rstrip("/"))

    reason = remote.why_hides()

    assert bool(reason) == hides
    assert not hides or "3 days" in reason


# What a shell may hold


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RCLONE_CONFIG_B2_TYPE", "local"),
        ("RCLONE_CONFIG_B2_ENDPOINT", "http://127.0.0.1:9"),
        ("RCLONE_B2_VERSIONS", "true"),
        ("RCLONE_DRY_RUN", "true"),
        ("RCLONE_IGNORE_EXISTING", "true"),
        ("RCLONE_EXCLUDE", "*"),
    ],
)
def test_a_forgotten_variable_does_not_make_it_another_program(
    name, value, b2, tmp_path, source, monkeypatch
):
    b2.put("tv/old.mkv", b"old", sha1=sha1(b"old"))
    b2.hide("tv/old.mkv")
    files = write(source, ["a.mkv"])
    monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    remote = rclone(b2, tmp_path)

    copied = copy(remote, source, list(files))

    assert (dict(copied.failures), copied.trouble) == ({}, None)
    assert contents(b2) == {"tv/a.mkv": files["a.mkv"]}
    assert hashes(remote.look(["tv/a.mkv", "tv/old.mkv"])) == expected(files)


# The program


def script(folder: Path, version: str) -> Path:
    """Make a program that calls itself rclone of a version, and notes how it is called."""
    path = folder / "fake-rclone"
    path.write_text(f"""#!{sys.executable}
import json, os, sys
words = sys.argv[1:]
if words[0] == "version":
    print({version!r})
    sys.exit()
lists = [words[number + 1] for number, word in enumerate(words) if word.startswith("--files-from")]
with open({str(folder / "calls")!r}, "a") as file:
    listed = [open(name, "rb").read().decode("latin-1") for name in lists]
    file.write(json.dumps([words, listed, sorted(os.environ)]) + "\\n")
print("[]")
""")
    path.chmod(0o755)
    return path


def calls(folder: Path) -> list[tuple[list[str], list[str], list[str]]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def test_a_missing_program_is_named(b2, tmp_path):
    for binary in (str(tmp_path / "rclone"), "no-such-rclone"):
        with pytest.raises(ConfigError, match=binary) as caught:
            rclone(b2, tmp_path, binary=binary).look(["tv/a.mkv"])
        assert "install rclone" in caught.value.hint


@pytest.mark.parametrize(
    "version", ["rclone v1.60.1", "rclone v1.73.4", "rclone v1.73.4-beta.1", "rclone v0.99.9-DEV"]
)
def test_an_old_program_is_refused_with_the_version_found(version, b2, tmp_path, source):
    remote = rclone(b2, tmp_path, binary=str(script(tmp_path, version)))
    number = version.removeprefix("rclone v").split("-")[0]

    for ask in (lambda: remote.look(["tv/a.mkv"]), lambda: copy(remote, source, ["a.mkv"])):
        with pytest.raises(ConfigError, match=f"{number}; 1.73.5 or newer"):
            ask()
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize("answer", ["restic 0.18.0", "", "rclone: not today"])
def test_another_program_is_not_taken_for_rclone(answer, b2, tmp_path):
    with pytest.raises(ConfigError, match="is it rclone"):
        rclone(b2, tmp_path, binary=str(script(tmp_path, answer))).look(["tv/a.mkv"])


@pytest.mark.parametrize(
    ("version", "option", "end"),
    [
        ("1.73.5", "--files-from-raw", "\n"),
        ("1.74.9", "--files-from-raw", "\n"),
        ("1.75.0", "--files-from0", "\0"),
        ("2.0.0", "--files-from0", "\0"),
    ],
)
def test_names_go_in_a_list_that_the_version_can_read(version, option, end, b2, tmp_path, source):
    remote = rclone(b2, tmp_path, binary=str(script(tmp_path, f"rclone v{version}")))
    copy(remote, source, ["-a.mkv", "#b\u00e9.mkv"])

    ((words, lists, _),) = calls(tmp_path)
    assert option in words
    raw = f"-a.mkv{end}#b\u00e9.mkv{end}".encode().decode("latin-1")
    assert lists == [raw]
    assert not [word for word in words if "mkv" in word]
    assert bool(remote.why_not_storable("tv/new\nline")) == (end == "\n")
    assert not remote.why_not_storable("tv/plain")


def test_below_1_75_a_name_that_a_list_of_lines_cannot_hold_is_refused(b2, tmp_path, source):
    """Proven with the real program: what its list of lines loses must be refused by name."""
    names = ["ends in\r", "has\rinside", "trailing space ", "#hash", "plain"]
    files = write(source, names)
    listed = tmp_path / "list"
    listed.write_bytes(b"".join(os.fsencode(name) + b"\n" for name in names))
    config = tmp_path / "raw.conf"
    config.write_text(b2.rclone_config())
    subprocess.run(
        [RCLONE, "--config", str(config), "copy", "--files-from-raw", str(listed),
         str(source), f"b2:{b2.bucket}/tv"],
        check=True, stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    found = set(rclone(b2, tmp_path).look([f"tv/{name}" for name in files]))
    old = rclone(b2, tmp_path, binary=str(script(tmp_path, "rclone v1.74.0")))

    assert {name for name in names if old.why_not_storable(f"tv/{name}")} == {
        name for name in names if f"tv/{name}" not in found
    }


def test_the_binary_of_the_configuration_wins_and_ours_wins_over_path(tmp_path, monkeypatch):
    other = script(tmp_path, "rclone v1.75.2")
    (tmp_path / "bin").mkdir()
    shutil.copy(other, tmp_path / "bin" / "rclone")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert find_binary(str(other)) == str(other)
    beside = Path(sys.executable).parent / "rclone"
    expected = beside if beside.exists() else tmp_path / "bin" / "rclone"
    assert find_binary("rclone") == str(expected)


def test_a_configuration_file_that_is_not_there_is_named(b2, tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    for file, words in ((str(tmp_path / "missing.conf"), "cannot read"), ("rclone-conf", "not")):
        remote = Rclone(RcloneConfig(config_file=SecretFile(file)), UploadConfig())
        with pytest.raises(ConfigError, match=words) as caught:
            remote.look(["tv/a.mkv"])
        assert file in str(caught.value)


def test_a_configuration_file_may_be_a_credential(b2, tmp_path, monkeypatch):
    (tmp_path / "rclone-conf").write_text(b2.rclone_config())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    config = RcloneConfig(remote=f"b2:{b2.bucket}", config_file=SecretFile("rclone-conf"))

    assert dict(Rclone(config, UploadConfig()).look(["tv/a.mkv"])) == {}


@pytest.mark.parametrize("text", ["", "[other]\ntype = b2\n", "[b2]\ntype = nonsense\n"])
def test_a_configuration_without_our_remote_is_to_blame(text, tmp_path, source):
    config = tmp_path / "rclone.conf"
    config.write_text(text)
    remote = Rclone(RcloneConfig(config_file=SecretFile(str(config))), UploadConfig())
    write(source, ["a.mkv"])

    assert isinstance(copy(remote, source, ["a.mkv"]).trouble, ConfigError)
    with pytest.raises(ConfigError):
        remote.look(["tv/a.mkv"])


def test_an_option_that_rclone_does_not_know_is_a_mistake_of_the_configuration(
    b2, tmp_path, source
):
    write(source, ["a.mkv"])

    copied = copy(rclone(b2, tmp_path, extra=("--no-such-option",)), source, ["a.mkv"])

    assert isinstance(copied.trouble, ConfigError)
    assert "--no-such-option" in str(copied.trouble)


def test_rclone_cannot_talk_to_systemd_in_our_name(b2, tmp_path, source, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "@secret")
    copy(rclone(b2, tmp_path, binary=str(script(tmp_path, "rclone v1.75.2"))), source, ["a"])

    ((_, _, environment),) = calls(tmp_path)
    assert "NOTIFY_SOCKET" not in environment
    assert "PATH" in environment


@pytest.mark.parametrize(
    "answer", ["", "no JSON", "{}", "17", '{"error": 1}', '[{"Path": "tv/a.mkv"}]']
)
def test_a_listing_that_is_none_is_no_absence(answer, b2, tmp_path):
    program = tmp_path / "odd-rclone"
    program.write_text(
        f"#!/bin/sh\n[ $1 = version ] && echo rclone v1.75.2 && exit\necho {shlex.quote(answer)}\n"
    )
    program.chmod(0o755)

    with pytest.raises(MediapipeError):
        rclone(b2, tmp_path, binary=str(program)).look(["tv/a.mkv"])


@pytest.mark.parametrize(
    "answer",
    ["no JSON", "17", '[{"Path": "a.mkv"}]', '[{"Path": "a.mkv", "Size": "x"}]'],
)
def test_a_listing_below_a_folder_that_is_none_ends_in_order(answer, b2, tmp_path):
    program = tmp_path / "odd-rclone"
    program.write_text(
        f"#!/bin/sh\n[ $1 = version ] && echo rclone v1.75.2 && exit\necho {shlex.quote(answer)}\n"
    )
    program.chmod(0o755)

    with pytest.raises(MediapipeError):
        rclone(b2, tmp_path, binary=str(program)).look_below("tv", {"tv/a.mkv"})
