"""Archives as the rules see them: which files belong together, and what may not be extracted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediapipe.archives import volumes_of, why_refused
from mediapipe.ports import Listing, Member
from tests.examples import steady

GIB = 1 << 30
PLAIN = Member("a.mkv", 100, folder=False, link=False, encrypted=False)
FOLDER = Member("d", 0, folder=True, link=False, encrypted=False)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], {}),
        (["a.mkv", "a.nfo", "zip", "a.zipx", "a.r000", "a.q00", "a.7z.01", "rar.txt"], {}),
        (["a.zip"], {"a.zip": ["a.zip"]}),
        (["a.7z"], {"a.7z": ["a.7z"]}),
        (["a.rar"], {"a.rar": ["a.rar"]}),
        (["A.ZIP", "B.7Z", "C.RAR"], {"A.ZIP": ["A.ZIP"], "B.7Z": ["B.7Z"], "C.RAR": ["C.RAR"]}),
        # the new way to number volumes of rar, with and without leading zeros
        (["a.part02.rar", "a.part01.rar"], {"a.part01.rar": ["a.part01.rar", "a.part02.rar"]}),
        (
            ["a.part10.rar", "a.part2.rar", "a.part1.rar"],
            {"a.part1.rar": ["a.part1.rar", "a.part2.rar", "a.part10.rar"]},
        ),
        (["A.PART1.RAR", "A.part2.rar"], {"A.PART1.RAR": ["A.PART1.RAR", "A.part2.rar"]}),
        # the old way: .r00 … .r99, then .s00
        (
            ["a.s00", "a.r99", "a.r00", "a.rar"],
            {"a.rar": ["a.rar", "a.r00", "a.r99", "a.s00"]},
        ),
        (["A.RAR", "A.R00"], {"A.RAR": ["A.RAR", "A.R00"]}),
        # files cut into pieces: nothing tells which piece is the last, so they are files
        (["a.7z.002", "a.7z.001"], {}),
        (["a.zip.001", "a.zip.002"], {}),
        (["A.7Z.001"], {}),
        # without its first volume a set is no archive
        (["a.part2.rar", "a.part3.rar"], {}),
        (["a.r00", "a.r01"], {}),
        (["a.7z.002"], {}),
        # a volume between may be missing: opening it tells
        (["a.rar", "a.r01"], {"a.rar": ["a.rar", "a.r01"]}),
        # sets of one name are apart when their folders or their ways are
        (
            ["d/a.rar", "e/a.rar", "e/a.r00", "a.part1.rar", "a.zip"],
            {
                "d/a.rar": ["d/a.rar"],
                "e/a.rar": ["e/a.rar", "e/a.r00"],
                "a.part1.rar": ["a.part1.rar"],
                "a.zip": ["a.zip"],
            },
        ),
        (["new\nline.part1.rar"], {"new\nline.part1.rar": ["new\nline.part1.rar"]}),
    ],
)
def test_which_files_are_volumes(names: list[str], expected: dict[str, list[str]]) -> None:
    assert volumes_of(names) == {first: tuple(all_) for first, all_ in expected.items()}


# fmt: off
NAMES = st.builds(
    "{}{}".format,
    st.sampled_from(["a", "A", "d/a", "a.part1"]),
    st.sampled_from(
        [
            ".rar", ".RAR", ".r00", ".r01", ".s00", ".part1.rar", ".part01.rar", ".part2.rar",
            ".zip", ".7z", ".7z.001", ".7z.002", ".zip.001", ".mkv", ".x64", ".z01",
        ]
    ),
)
# fmt: on


@steady(300)
@given(st.lists(NAMES, unique=True))
def test_a_file_is_a_volume_of_one_archive_at_most(names: list[str]) -> None:
    found = volumes_of(names)
    volumes = [name for all_ in found.values() for name in all_]
    assert len(set(volumes)) == len(volumes)
    assert set(volumes) <= set(names)
    assert all(all_[0] == first for first, all_ in found.items())
    assert volumes_of(reversed(names)) == found


def member(**fields: object) -> tuple[Member, ...]:
    return (PLAIN, replace(PLAIN, **{"name": "b.mkv", "size": 1, **fields}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ((PLAIN,), ""),
        ((), ""),
        ((FOLDER, PLAIN), ""),
        ((FOLDER, FOLDER, PLAIN), ""),
        (member(), ""),
        (member(name="/etc/x"), "its member /etc/x leads out of the folder"),
        (member(name="d/../../x"), "its member d/../../x leads out of the folder"),
        (member(name=".."), "its member .. leads out of the folder"),
        (member(name="..."), ""),
        (member(name="a..b/x.."), ""),
        (member(name="a\0b"), r"its member a\x00b leads out of the folder"),
        (member(name="../\x1b[31m"), r"its member ../\x1b[31m leads out of the folder"),
        (member(name="d/" * 100 + "x"), ""),
        (
            member(name="d/" * 101 + "x"),
            "it has more than 100 folders within each other, as only a bomb has",
        ),
        (member(link=True), "its member b.mkv is a link"),
        (member(encrypted=True), "it is encrypted, and no password is known"),
        (member(name="a.mkv"), "it has two members of the name a.mkv"),
        ((FOLDER, replace(PLAIN, name="d")), "it has two members of the name d"),
    ],
)
def test_a_member_that_must_not_come_out(members: tuple[Member, ...], reason: str) -> None:
    listing = Listing(members, ("a.rar",))
    assert why_refused(listing, {"a.rar": 100}, most=GIB, free=10 * GIB) == reason


def test_a_volume_that_is_missing_is_told_by_name() -> None:
    listing = Listing((PLAIN,), ("a.rar", "a.r00"))
    have = {"a.rar": 100}
    assert why_refused(listing, have, most=GIB, free=10 * GIB) == "its volume a.r00 is missing"
    assert why_refused(listing, {**have, "a.r00": 1}, most=GIB, free=10 * GIB) == ""


@pytest.mark.parametrize(
    ("size", "packed", "most", "free", "reason"),
    [
        (GIB, GIB, GIB, 2 * GIB, ""),
        (GIB + 1, GIB, GIB, 3 * GIB,
         "it would unpack to 1.0 GiB, more than max_extracted_size = 1.0 GiB"),
        (GIB, GIB, GIB, 2 * GIB - 1,
         "it would unpack to 1.0 GiB, and only 2.0 GiB are free for that"),
        # a high ratio does no harm while it is small, and a thousand is still no bomb
        (GIB, 1, 9 * GIB, 9 * GIB, ""),
        (2 * GIB, 2 * GIB // 1000 + 1, 9 * GIB, 9 * GIB, ""),
        (2 * GIB, 2 * GIB // 1000, 9 * GIB, 9 * GIB,
         "it would unpack from 2.0 MiB to 2.0 GiB, as only a bomb does"),
    ],
)  # fmt: skip
def test_what_is_too_large_is_refused(
    size: int, packed: int, most: int, free: int, reason: str
) -> None:
    listing = Listing((replace(PLAIN, size=size),), ("a.zip",))
    assert why_refused(listing, {"a.zip": packed}, most=most, free=free) == reason


def test_the_sizes_of_all_members_and_of_all_volumes_count() -> None:
    two = tuple(replace(PLAIN, name=name, size=GIB) for name in "ab")
    listing = Listing(two, ("a.rar", "a.r00"))
    assert "more than max_extracted_size" in why_refused(
        listing, {"a.rar": GIB, "a.r00": GIB}, most=2 * GIB - 1, free=9 * GIB
    )
    assert "only a bomb" in why_refused(
        listing, {"a.rar": 1, "a.r00": 1}, most=GIB * 9, free=GIB * 9
    )
    enough = {"a.rar": 1, "a.r00": 2 * GIB // 1000}
    assert why_refused(listing, enough, most=GIB * 9, free=GIB * 9) == ""


def test_a_hundred_thousand_members_are_enough() -> None:
    for count, refused in ((100_000, False), (100_001, True)):
        members = tuple(replace(PLAIN, name=str(one), size=0) for one in range(count))
        reason = why_refused(Listing(members, ("a.zip",)), {"a.zip": 1}, most=GIB, free=9 * GIB)
        assert bool(reason) is refused
