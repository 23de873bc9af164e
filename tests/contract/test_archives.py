"""The port Archives, filled by the real lsar and unar: what comes out, and what must not.

The archives are made byte by byte, so that none of the programs that write them is needed and also
such can be made as no program would write.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shlex
import stat
from functools import partial
from typing import TYPE_CHECKING

import pytest

from mediapipe.adapters.archives import Unarchiver
from mediapipe.archives import volumes_of, why_refused
from mediapipe.errors import ActionFailed, ConfigError, Unavailable
from tests.archive_files import Member, rar_of, rar_volumes_of, seven_of, zip_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mediapipe.ports import Listing

pytestmark = pytest.mark.real

MIB = 1 << 20
PLENTY = 1 << 40
MAKERS: dict[str, Callable[..., bytes]] = {
    "zip stored": zip_of,
    "zip deflated": lambda files: zip_of(files, deflated=True),
    "rar": rar_of,
    "7z": seven_of,
}
SUFFIX = {"zip stored": "zip", "zip deflated": "zip", "rar": "rar", "7z": "7z"}
NAMES = (
    "plain.mkv",
    "folder/deep er/x.mkv",
    "new\nline.mkv",
    "tab\tand\x1b.mkv",
    "#comment.mkv",
    "[glob]*?{a,b}.mkv",
    'it\'s "quoted" & $HOME `id`.mkv',
    "-rf.mkv",
    " space ",
    "dot.",
    "%41 +plus%.mkv",
    ".hidden",
    "Zoe\u0308.mkv",
    "\u6f22\u5b57.mkv",
    "\u202egnp.mkv",
)
LATIN = ("Am\u00e9lie.mkv", "Caf\u00e9", "\u00ff", "Zo\u00eb/\u00e6", "\u00dcber \u00df")


def content_of(name: str, size: int = 3000) -> bytes:
    return random.Random(os.fsencode(name)).randbytes(size)


def files_of(*names: str) -> dict[str, bytes]:
    return {name: content_of(name) for name in names}


def put(folder: Path, volumes: Mapping[str, bytes]) -> Path:
    """Write the volumes of an archive; gives the first."""
    for name, raw in volumes.items():
        (folder / name).write_bytes(raw)
    return folder / next(iter(volumes))


def tree(folder: Path) -> dict[str, bytes]:
    """Give what came out: file name below the folder → bytes; links and others as nothing."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if stat.S_ISREG(path.lstat().st_mode)
    }


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return Opened(tmp_path)


class Opened:
    """Lists and extracts what is put down, as the job does, and shows what came out where."""

    def __init__(self, folder: Path) -> None:
        self._unarchiver = Unarchiver()
        self.source = folder / "source"
        self.scratch = folder / "around" / "scratch"
        self.source.mkdir()
        self.scratch.mkdir(parents=True)

    def list(self, volumes: Mapping[str, bytes]) -> Listing:
        return self._unarchiver.list(str(put(self.source, volumes)))

    def extract(
        self,
        volumes: Mapping[str, bytes],
        *,
        most: int = 100 * MIB,
        watch: Callable[[], bool] = lambda: True,
    ) -> dict[str, bytes]:
        first = put(self.source, volumes)
        self._unarchiver.extract(str(first), str(self.scratch), most=most, watch=watch)
        return tree(self.scratch)

    def why_refused(
        self, volumes: Mapping[str, bytes], *, most: int = PLENTY, free: int = PLENTY
    ) -> str:
        sizes = {name: len(raw) for name, raw in volumes.items()}
        return why_refused(self.list(volumes), sizes, most=most, free=free)

    def why_fails(self, volumes: Mapping[str, bytes]) -> str:
        """Tell at which step it fails, as the job would; empty where all went well."""
        try:
            reason = self.why_refused(volumes)
            if not reason:
                self.extract(volumes)
        except ActionFailed as failure:
            reason = str(failure)
        return reason

    def nothing_outside(self) -> None:
        assert list(self.scratch.parent.iterdir()) == [self.scratch]


# What comes out


@pytest.mark.parametrize("how", MAKERS)
def test_what_is_listed_is_what_comes_out(how, opened):
    files = files_of("a.mkv", "d/b.mkv", "d/e/c.mkv")
    archive = {f"film.{SUFFIX[how]}": MAKERS[how](files)}

    listing = opened.list(archive)

    assert {one.name: one.size for one in listing.members if not one.folder} == {
        name: len(data) for name, data in files.items()
    }
    assert not [one for one in listing.members if one.link or one.encrypted]
    assert listing.size == 9000
    assert listing.volumes == tuple(archive)
    assert opened.why_refused(archive) == ""
    assert opened.extract(archive) == files


@pytest.mark.parametrize("how", MAKERS)
@pytest.mark.parametrize("name", NAMES)
def test_odd_names_come_out_as_they_are(name, how, opened):
    files = files_of(name, "other")
    archive = {f"#[1]*? Zoe\u0308\n.{SUFFIX[how]}": MAKERS[how](files)}

    listing = opened.list(archive)

    assert [one.name for one in listing.members] == [name, "other"]
    assert opened.why_refused(archive) == ""
    assert opened.extract(archive) == files


@pytest.mark.parametrize("how", MAKERS)
@pytest.mark.parametrize("name", LATIN)
def test_accents_in_one_character_are_letters_like_others(name, how, opened):
    """As the last of a name `lsar -json` writes U+0080 to U+00FF as garbage; `-json-ascii` not."""
    files = files_of(name, "other")
    archive = {f"film.{SUFFIX[how]}": MAKERS[how](files)}

    listing = opened.list(archive)

    assert [one.name for one in listing.members] == [name, "other"]
    assert opened.why_refused(archive) == ""
    assert opened.extract(archive) == files


def test_names_in_no_encoding_come_out_each_as_one_file(opened):
    raw = zip_of({"XXXX.mkv": b"1", "XYXX.mkv": b"2"})
    raw = raw.replace(b"XXXX", b"\xe9t\xe9X").replace(b"XYXX", b"\xe9Y\xe9X")

    assert len(opened.list({"a.zip": raw}).members) == 2
    assert sorted(opened.extract({"a.zip": raw}).values()) == [b"1", b"2"]


def test_an_empty_file_is_a_member(opened):
    for name, archive in (("a.zip", zip_of({"nil": b"", "x": b"x"})),
                          ("a.rar", rar_of({"nil": b"", "x": b"x"}))):  # fmt: skip
        assert {one.name: one.size for one in opened.list({name: archive}).members} == {
            "nil": 0, "x": 1,
        }  # fmt: skip
    assert opened.extract({"a.zip": zip_of({"nil": b"", "x": b"x"})}) == {"nil": b"", "x": b"x"}


@pytest.mark.parametrize("make", [zip_of, rar_of])
def test_a_folder_is_listed_as_one(make, opened):
    entries = [Member("d/", kind=stat.S_IFDIR, mode=0o755), Member("d/x", b"x")]
    listing = opened.list({"a": make(entries)})

    assert [(one.name.rstrip("/"), one.folder) for one in listing.members] == [
        ("d", True), ("d/x", False),
    ]  # fmt: skip


def test_an_archive_without_members_is_one(opened):
    assert opened.list({"a.zip": zip_of({})}).members == ()


@pytest.mark.parametrize("inner", ["i.zip", "i.rar", "i.7z"])
def test_an_archive_in_an_archive_stays_one(inner, opened):
    inside = MAKERS[{"zip": "zip stored"}.get(inner[2:], inner[2:])]({"p": b"1", "q": b"2"})
    archive = {"a.zip": zip_of({inner: inside})}

    assert [one.name for one in opened.list(archive).members] == [inner]
    assert opened.extract(archive) == {inner: inside}


def test_what_comes_out_can_be_read_by_its_owner_whatever_the_archive_says(opened):
    entries = [Member("closed", b"1", mode=0), Member("root", b"2", mode=0o6777)]

    assert opened.extract({"a.zip": zip_of(entries)}) == {"closed": b"1", "root": b"2"}


# Volumes


VOLUMES: dict[str, Callable[[int], str]] = {
    "new names": lambda number: f"film.part{number + 1}.rar",
    "new names, wide": lambda number: f"film.part{number + 1:03}.rar",
    "old names": lambda number: f"film.r{number - 1:02}" if number else "film.rar",
    "old names, loud": lambda number: f"FILM.R{number - 1:02}" if number else "FILM.RAR",
}
FILM = {"a.nfo": content_of("nfo"), "film.mkv": content_of("film", 250_000), "z.srt": b"z" * 999}


def rar_set(how: str) -> dict[str, bytes]:
    made = rar_volumes_of(FILM, 100_000, new_names=how.startswith("new"))
    return {VOLUMES[how](number): raw for number, raw in enumerate(made)}


@pytest.mark.parametrize("how", VOLUMES)
def test_volumes_are_one_archive(how, opened):
    volumes = rar_set(how)
    assert len(volumes) == 3
    assert volumes_of(volumes) == {next(iter(volumes)): tuple(volumes)}

    listing = opened.list(volumes)

    assert listing.volumes == tuple(volumes)
    assert {one.name: one.size for one in listing.members} == {
        name: len(data) for name, data in FILM.items()
    }
    assert opened.why_refused(volumes) == ""
    assert opened.extract(volumes) == FILM


@pytest.mark.parametrize("how", VOLUMES)
@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_volume_is_told_and_the_rest_is_not_taken_for_the_whole(missing, how, opened):
    volumes = rar_set(how)
    volumes.pop(list(volumes)[missing])

    assert opened.why_fails(volumes)


def test_without_its_first_volume_nothing_is_an_archive():
    for how in VOLUMES:
        assert volumes_of(list(rar_set(how))[1:]) == {}


STRAYS: dict[str, dict[str, bytes]] = {
    "rar and r00": {"a.rar": rar_of({"x": b"1"}), "a.r00": b"no volume at all"},
    "rar and another in r00": {"a.rar": rar_of({"x": b"1"}), "a.r00": rar_of({"y": b"2"})},
    "part1 and part2": {"a.part1.rar": rar_of({"x": b"1"}), "a.part2.rar": rar_of({"y": b"2"})},
}


@pytest.mark.parametrize("what", STRAYS)
def test_what_only_has_the_name_of_a_volume_is_not_among_the_volumes(what, opened):
    """The program read the first file alone, so nothing that came out stands for the second."""
    volumes = STRAYS[what]
    assert volumes_of(volumes) == {next(iter(volumes)): tuple(volumes)}

    assert opened.list(volumes).volumes == (next(iter(volumes)),)


# What is refused by name


REFUSED: dict[str, tuple[Mapping[str, bytes] | list[Member], str]] = {
    "up": ({"../x": b"1"}, r"\.\./x leads out"),
    "up in the middle": ({"a/../../x": b"1"}, "leads out"),
    "up at the end": ({"a/..": b"1"}, "leads out"),
    "absolute": ({"/etc/x": b"1"}, "leads out"),
    "encrypted": ([Member("x", b"1" * 40, encrypted=True)], "encrypted"),
    "one encrypted": ([Member("a", b"a"), Member("x", b"1" * 40, encrypted=True)], "encrypted"),
    "link": ([Member("l", b"/etc/passwd", stat.S_IFLNK)], "l is a link"),
    "link inside": ([Member("a", b"a"), Member("l", b"a", stat.S_IFLNK)], "l is a link"),
    "twice": ([Member("x", b"1"), Member("y", b"1"), Member("x", b"2")], "two members.* x"),
}


@pytest.mark.parametrize("make", [zip_of, rar_of], ids=["zip", "rar"])
@pytest.mark.parametrize("what", REFUSED)
def test_what_must_not_come_out_is_refused_by_name(what, make, opened):
    entries, words = REFUSED[what]

    assert re.search(words, opened.why_refused({"a.bin": make(entries)}))


@pytest.mark.parametrize("make", [zip_of, rar_of, seven_of], ids=["zip", "rar", "7z"])
@pytest.mark.parametrize(
    "name",
    ["../up", "a/../../up", "/up", "..\\up", "..\\..\\up", "a\\..\\..\\up", "\\up", "C:\\up"],
)
def test_even_what_the_rules_let_pass_stays_in_its_folder(name, make, opened):
    archive = {"a.bin": make({name: b"1"})}
    inside = None
    with contextlib.suppress(ActionFailed):
        inside = opened.extract(archive)
    opened.nothing_outside()
    passed = not opened.why_refused(archive)
    if passed and inside:  # counted against the list, so that none is lost either
        assert list(inside.values()) == [b"1"]


def test_a_bomb_is_refused_by_what_it_says_of_itself(opened):
    bomb = {"a.zip": zip_of({"z": bytes(30 * MIB)}, deflated=True)}

    assert "max_extracted_size" in opened.why_refused(bomb, most=10 * MIB)
    assert "free" in opened.why_refused(bomb, free=10 * MIB)
    assert opened.why_refused(bomb) == ""


def test_a_bomb_that_lies_about_its_size_stops_at_the_limit(opened):
    raw = zip_of({"z": bytes(30 * MIB)}, deflated=True)
    size = (30 * MIB).to_bytes(4, "little")
    assert raw.count(size) == 2
    bomb = {"a.zip": raw.replace(size, (100_000).to_bytes(4, "little"))}
    assert opened.list(bomb).size == 100_000

    with pytest.raises(ActionFailed):
        opened.extract(bomb, most=100_000)
    assert all(len(data) <= 100_000 for data in tree(opened.scratch).values())


def test_who_watches_may_end_it(opened):
    def watch() -> bool:
        raise ActionFailed("too much")

    with pytest.raises(ActionFailed, match="too much"):
        opened.extract({"a.zip": zip_of({"z": bytes(MIB)})}, watch=watch)


# What is no sound archive


def cut(raw: bytes) -> bytes:
    return raw[: len(raw) * 2 // 3]


def flip(raw: bytes) -> bytes:
    changed = bytearray(raw)
    changed[len(raw) // 3] ^= 0xFF
    return bytes(changed)


@pytest.mark.parametrize("how", MAKERS)
@pytest.mark.parametrize("harm", [cut, flip])
def test_a_damaged_archive_fails(harm, how, opened):
    raw = MAKERS[how]({"film.mkv": content_of("film", 200_000)})
    archive = {f"a.{SUFFIX[how]}": harm(raw)}

    assert len(opened.why_fails(archive).splitlines()) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no archive " * 500,
        b"\0" * 5000,
        b"PK\3\4",
        b"Rar!\x1a\x07\x00",
        b"7z\xbc\xaf\x27\x1c",
    ],
    ids=["empty", "text", "zeros", "zip's beginning", "rar's beginning", "7z's beginning"],
)
@pytest.mark.parametrize("name", ["a.zip", "a.rar", "a.7z", "a.part1.rar", "a.7z.001"])
def test_what_is_no_archive_fails_or_has_no_member(name, raw, opened):
    """Without a member it is uploaded as the file that it is."""
    with contextlib.suppress(ActionFailed):
        assert opened.list({name: raw}).members == ()


def test_a_film_that_is_called_an_archive_fails(opened):
    with pytest.raises(ActionFailed, match="no archive"):
        opened.list({"a.zip": b"\x1aE\xdf\xa3" + content_of("film", 20_000)})


def test_what_is_not_there_fails(opened):
    with pytest.raises(ActionFailed):
        Unarchiver().list(str(opened.source / "gone.zip"))


# The programs


@pytest.mark.parametrize("program", ["lsar", "unar"])
def test_a_missing_program_is_named(program, opened, monkeypatch, tmp_path):
    archive = put(opened.source, {"a.zip": zip_of({"x": b"x"})})
    monkeypatch.setenv("PATH", str(tmp_path))
    ask: dict[str, Callable[[], object]] = {
        "lsar": partial(Unarchiver().list, str(archive)),
        "unar": partial(
            Unarchiver().extract, str(archive), str(opened.scratch), most=1, watch=lambda: True
        ),
    }

    with pytest.raises(ConfigError, match=program) as caught:
        ask[program]()
    assert "install" in caught.value.hint


@pytest.mark.parametrize("answer", ["", "no JSON", "[]", "{}", '{"lsarContents": 7}', "null",
                                    '{"lsarContents": [{}]}', '{"lsarContents": [7]}'])  # fmt: skip
def test_a_listing_that_is_none_is_no_empty_archive(answer, opened, monkeypatch, tmp_path):
    program = tmp_path / "lsar"
    program.write_text(f"#!/bin/sh\necho {shlex.quote(answer)}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    with pytest.raises((ActionFailed, Unavailable)):
        opened.list({"a.zip": zip_of({"x": b"x"})})
