"""The `.uploaded` marker: whole or not at all, and never more than what was proven."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediapipe.disk import marker
from mediapipe.disk.index import File, look
from mediapipe.disk.marker import Entry, Marker
from tests.examples import steady

STAMP = "2026-11-20T05:34:33Z"


def file_at(path: Path, content: bytes = b"data") -> File:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    file = look(str(path))
    assert file is not None
    return file


def entry(file: File, name: str, **changed: object) -> Entry:
    made = Entry(name, *file.identity, f"b2:bucket/tv/{name}", "a" * 40)
    return replace(made, **changed)  # type: ignore[arg-type]


# where it lies


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("/tv/S01E01.mkv", "/tv/S01E01.mkv.uploaded"),
        ("/completed/Foo", "/completed/Foo.uploaded"),
        ("/tv/" + "x" * 246, "/tv/" + "x" * 246 + ".uploaded"),
        (
            "/tv/" + "x" * 247,
            "/tv/." + hashlib.sha1(b"x" * 247).hexdigest()[:16] + ".uploaded",
        ),
        (
            "/tv/" + "é" * 124,
            "/tv/." + hashlib.sha1("é".encode() * 124).hexdigest()[:16] + ".uploaded",
        ),
        (
            os.fsdecode(b"/tv/" + b"\xff" * 255),
            "/tv/." + hashlib.sha1(b"\xff" * 255).hexdigest()[:16] + ".uploaded",
        ),
    ],
)
def test_the_marker_lies_beside_its_item(item: str, expected: str) -> None:
    assert marker.marker_path(item) == expected
    assert len(os.fsencode(os.path.basename(expected))) <= 255


# round trip


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = file_at(tmp_path / "S01E01.mkv")
    entries = (entry(file, "S01E01.mkv", readback=True),)
    marker.write(file.path, entries, STAMP)
    assert marker.read(f"{file.path}.uploaded") == Marker("S01E01.mkv", entries)


def test_the_marker_is_the_line_that_the_contract_says(tmp_path: Path) -> None:
    file = file_at(tmp_path / "S01E01.mkv")
    marker.write(file.path, (entry(file, "S01E01.mkv"),), STAMP)
    text = Path(f"{file.path}.uploaded").read_text()
    assert text.endswith("}\n")
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "version": 1,
        "item": "S01E01.mkv",
        "uploaded_at": STAMP,
        "files": [
            {
                "path": "S01E01.mkv",
                "inode": file.number,
                "size": 4,
                "mtime_ns": file.mtime_ns,
                "remote": "b2:bucket/tv/S01E01.mkv",
                "sha1": "a" * 40,
            }
        ],
    }


def test_the_marker_is_as_old_as_its_newest_file(tmp_path: Path) -> None:
    files = {}
    for name, moment in (("a", 1_000_000_001), ("sub/b", 3_000_000_003), ("c", 2)):
        path = tmp_path / "Foo" / name
        file_at(path)
        os.utime(path, ns=(moment, moment))
        files[name] = look(str(path))
    entries = tuple(entry(file, name) for name, file in files.items() if file)
    marker.write(str(tmp_path / "Foo"), entries, STAMP)
    assert (tmp_path / "Foo.uploaded").stat().st_mtime_ns == 3_000_000_003


NAMES = st.binary(min_size=1, max_size=200).filter(
    lambda raw: b"\0" not in raw and b"/" not in raw and raw not in (b".", b"..")
)


@steady()
@given(
    name=NAMES,
    numbers=st.tuples(*[st.integers(min_value=0, max_value=(1 << 64) - 1)] * 2, st.integers()),
    readback=st.booleans(),
)
def test_any_name_and_any_number_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    name: bytes,
    numbers: tuple[int, int, int],
    readback: bool,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    item = os.path.join(folder, os.fsdecode(name))
    moment = numbers[2] % (1 << 62)
    made = Entry(
        os.fsdecode(name), *numbers[:2], moment, "b2:bucket/" + os.fsdecode(name), "0" * 40
    )
    made = replace(made, readback=readback)
    marker.write(item, (made,), STAMP)
    path = marker.marker_path(item)
    try:
        assert marker.read(path) == Marker(os.fsdecode(name), (made,))
        assert marker.why_not_replaceable(path) == ""
    finally:
        os.unlink(path)


def test_a_new_marker_replaces_an_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = file_at(tmp_path / "a.mkv")
    for sha1 in ("b" * 40, "c" * 40):
        marker.write(file.path, (entry(file, "a.mkv", sha1=sha1),), STAMP)
    found = marker.read(f"{file.path}.uploaded")
    assert found is not None
    assert found.files[0].sha1 == "c" * 40
    assert sorted(os.listdir(tmp_path)) == ["a.mkv", "a.mkv.uploaded"]


# what it proves


def test_a_marker_proves_what_it_lists_and_nothing_else(tmp_path: Path) -> None:
    a, b = file_at(tmp_path / "a"), file_at(tmp_path / "b", b"other")
    made = Marker("Foo", (entry(a, "a"), entry(b, "b")))
    assert made.proves({"a": a, "b": b})
    assert not made.proves({"a": a}), "an entry without a file"
    assert not made.proves({"a": a, "b": b, "c": a}), "a file without an entry"
    assert not made.proves({"a": b, "b": a}), "the names changed places"
    assert not made.proves({"a": a, "b": replace(b, mtime_ns=b.mtime_ns + 1)})
    assert not made.proves({"a": a, "b": replace(b, size=b.size + 1)})
    assert not made.proves({"a": a, "b": replace(b, number=b.number + 1)})
    assert made.proves({"a": a, "b": replace(b, device=b.device + 1)}), "a reboot"
    assert not Marker("Foo", ()).proves({})


# what is no marker of ours

FILE = {"path": "a", "inode": 1, "size": 2, "mtime_ns": 3, "remote": "b2:b/a", "sha1": "a" * 40}
GOOD = {"version": 1, "item": "a", "files": [FILE]}


def changed(**fields: object) -> dict[str, object]:
    return {**GOOD, "files": [{**FILE, **fields}]}


CLAIMS: dict[str, bytes] = {
    "empty": b"",
    "blank": b"\n",
    "text": b"uploaded on friday\n",
    "bytes": b"\xff\xfe\x00",
    "ours at both ends": b'{"version": 1, "item": "notes of a person"}]}\n',
    "list": b"[]",
    "number": b"1",
    "null": b"null",
    "cut": json.dumps(GOOD).encode()[:-20],
    "notes behind it": json.dumps(GOOD).encode() + b"\nand somebody's notes\n",
    "no version": json.dumps({**GOOD, "version": None}).encode(),
    "newer version": json.dumps({**GOOD, "version": 2}).encode(),
    "no files": json.dumps({"version": 1, "item": "a"}).encode(),
    "files no list": json.dumps({**GOOD, "files": 5}).encode(),
    "files of numbers": json.dumps({**GOOD, "files": [5]}).encode(),
    "files a text": json.dumps({**GOOD, "files": "abc"}).encode(),
    "inode as text": json.dumps(changed(inode="1")).encode(),
    "inode as truth": json.dumps(changed(inode=True)).encode(),
    "size as fraction": json.dumps(changed(size=2.0)).encode(),
    "sha1 null": json.dumps(changed(sha1=None)).encode(),
    "remote missing": json.dumps(GOOD).replace('"remote": "b2:b/a", ', "").encode(),
    "deep": b"[" * 200_000,
    "long number": b'{"version": ' + b"9" * 10_000 + b"}",
}


def test_the_sound_example_is_a_marker(tmp_path: Path) -> None:
    path = tmp_path / "a.uploaded"
    path.write_text(json.dumps(GOOD))
    assert marker.read(str(path)) == Marker("a", (Entry("a", 1, 2, 3, "b2:b/a", "a" * 40),))


@pytest.mark.parametrize("raw", CLAIMS.values(), ids=CLAIMS.keys())
def test_anything_else_is_a_mere_claim(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.uploaded"
    path.write_bytes(raw)
    assert marker.read(str(path)) is None


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    assert marker.read(str(tmp_path / "a.uploaded")) is None


@pytest.mark.parametrize("kind", ["fifo", "link", "link to nothing", "folder"])
def test_what_is_no_file_neither_hangs_nor_leads_elsewhere(tmp_path: Path, kind: str) -> None:
    path, target = tmp_path / "a.uploaded", tmp_path / "elsewhere"
    target.write_text(json.dumps(GOOD))
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(target if kind == "link" else "nowhere")
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(OSError, match=r"regular|symbolic|directory"):
            marker.read(str(path))
    assert os.listdir("/proc/self/fd") == before, "a descriptor stays open"


def test_a_huge_file_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.uploaded"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert marker.read(str(path)) is None


# what must not be replaced


def test_what_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.uploaded"
    assert marker.why_not_replaceable(str(path)) == ""
    path.write_bytes(b"")
    assert marker.why_not_replaceable(str(path)) == ""
    path.write_bytes(b"x" * 4096)
    assert marker.why_not_replaceable(str(path)) == ""
    file = file_at(tmp_path / "Foo")
    many = tuple(entry(file, f"file {number}") for number in range(200))
    marker.write(str(tmp_path / "a"), many, STAMP)
    assert path.stat().st_size > 4096
    assert marker.why_not_replaceable(str(path)) == ""


def test_somebodys_data_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.uploaded"
    path.write_bytes(b"x" * 4097)
    assert marker.why_not_replaceable(str(path)) == (
        f"a file that is no marker stands at {path}; rename it"
    )
    path.write_bytes(b"")
    os.link(path, tmp_path / "other name")
    assert marker.why_not_replaceable(str(path)) == (
        f"{path} has several links, so it is no marker; rename it"
    )


def test_a_folder_in_its_place_is_not_replaced(tmp_path: Path) -> None:
    file = file_at(tmp_path / "a")
    (tmp_path / "a.uploaded").mkdir()
    assert marker.why_not_replaceable(f"{tmp_path}/a.uploaded")
    with pytest.raises(OSError, match=r"[Dd]irectory"):
        marker.write(file.path, (entry(file, "a"),), STAMP)
    assert sorted(os.listdir(tmp_path)) == ["a", "a.uploaded"], "no temporary file is left"


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path, kind: str) -> None:
    file = file_at(tmp_path / "a")
    treasure = file_at(tmp_path / "treasure", b"treasure")
    path = tmp_path / "a.uploaded"
    if kind == "link":
        path.symlink_to(treasure.path)
    else:
        os.mkfifo(path)
    marker.write(file.path, (entry(file, "a"),), STAMP)
    assert stat.S_ISREG(path.lstat().st_mode)
    assert (tmp_path / "treasure").read_bytes() == b"treasure"


# crashes


class Crash(BaseException):
    """The power goes."""


@pytest.mark.parametrize("call", ["rename", "utime", "fsync"])
@pytest.mark.parametrize("before", [None, "c" * 40], ids=["first", "second"])
def test_a_crash_leaves_the_old_marker_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, before: str | None
) -> None:
    file = file_at(tmp_path / "a")
    old = (entry(file, "a", sha1=before),) if before else ()
    if old:
        marker.write(file.path, old, STAMP)
    # a dead process removes nothing behind itself either
    with monkeypatch.context() as patch:

        def crash(*_: object, **__: object) -> None:
            raise Crash

        patch.setattr(os, call, crash)
        patch.setattr(os, "unlink", crash) if not old else None
        with pytest.raises(Crash):
            marker.write(file.path, (entry(file, "a", sha1="d" * 40),), STAMP)
    found = marker.read(f"{file.path}.uploaded")
    assert found == (Marker("a", old) if old else None)


def test_what_a_crash_left_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = file_at(tmp_path / "a")
    real, gone = os.unlink, os.rename

    def crash(*_: object, **__: object) -> None:
        raise Crash

    monkeypatch.setattr(os, "rename", crash)
    with monkeypatch.context() as patch:

        def dead(path: str) -> None:
            if os.path.lexists(path):
                raise Crash
            real(path)

        patch.setattr(os, "unlink", dead)
        with pytest.raises(Crash):
            marker.write(file.path, (entry(file, "a"),), STAMP)
    (leftover,) = set(os.listdir(tmp_path)) - {"a"}
    assert leftover.startswith(".mediapipe-")
    monkeypatch.setattr(os, "rename", gone)
    marker.write(file.path, (entry(file, "a", sha1="e" * 40),), STAMP)
    assert sorted(os.listdir(tmp_path)) == ["a", "a.uploaded"]
    found = marker.read(f"{file.path}.uploaded")
    assert found is not None
    assert found.files[0].sha1 == "e" * 40


def test_a_trap_at_the_temporary_name_leads_nowhere(tmp_path: Path) -> None:
    file = file_at(tmp_path / "a")
    treasure = file_at(tmp_path / "treasure", b"treasure")
    digest = hashlib.sha1(os.fsencode(f"{file.path}.uploaded")).hexdigest()[:16]
    (tmp_path / f".mediapipe-{digest}.tmp").symlink_to(treasure.path)
    marker.write(file.path, (entry(file, "a"),), STAMP)
    assert (tmp_path / "treasure").read_bytes() == b"treasure"
    assert not (tmp_path / f".mediapipe-{digest}.tmp").is_symlink()
