"""Attacks on archives: foreign volumes, odd members, the scratch folder, sudden ends."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest

from mediapipe.testing.qbittorrent import wait_until
from tests.archive_files import Member, rar_of, rar_volumes_of, seven_of, zip_of
from tests.end_to_end.attack import Attack, done, sound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.real


class Archives(Attack):
    """An attack in which an archive may go once each of its members is on B2."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._sets: list[tuple[dict[Path, bytes], set[str]]] = []

    def pack_sets(self, volumes: Mapping[Path, bytes], *members: bytes) -> None:
        """Write the volumes of an archive; what has to last is its members."""
        name = str(next(iter(volumes)))
        for path, content in volumes.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        sums = {hashlib.sha1(member).hexdigest() for member in members}
        self._known.update(dict.fromkeys(sums, f"a member of {name}"))
        self._sets.append((dict(volumes), sums))

    def lost(self) -> list[str]:
        """Give what is lost; members are held by an archive of which each byte is held."""
        gone, stored = set(super().lost()), self.stored()
        for volumes, sums in self._sets:
            whole = all(
                (path.is_file() and path.read_bytes() == content)
                or hashlib.sha1(content).hexdigest() in stored
                for path, content in volumes.items()
            )
            if whole:
                gone -= {self._known[one] for one in sums if one in self._known}
        return sorted(gone)

    def stored(self) -> set[str]:
        """Give the SHA-1 of each visible object, from its bytes."""
        paths = [one.path for one in self.b2.objects().values()]
        return {hashlib.sha1(path.read_bytes()).hexdigest() for path in paths if path}

    def false_claims(self) -> list[str]:
        """Give the members that a marker says to be on B2 and that are not there."""
        objects = self.b2.objects()
        wrong = []
        for marker in self.box.folder.rglob("*.uploaded"):
            for entry in json.loads(marker.read_bytes())["files"]:
                for told in entry.get("extracted", []):
                    there = objects.get(told["remote"].partition("/")[2])
                    if there is None or there.sha1 != told["sha1"]:
                        wrong.append(told["remote"])
        return wrong


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Archives]:
    """Give a box with one film that seeds for a week, so that the list is never empty."""
    with Archives(tmp_path) as attack:
        attack.box.write_config(cleanup={"seeding_time": "7d"})
        attack.film()
        yield attack


def data(size: int = 3000) -> bytes:
    return os.urandom(size)


# What lies in an item, and what of it is a member

Case = tuple[dict[str, bytes], list[bytes], dict[str, bytes]]  # volumes, members, other files


def one(name: str, make: Callable[[Mapping[str, bytes]], bytes], *names: str) -> Case:
    files = {name: data() for name in names}
    return {name: make(files)}, list(files.values()), {}


def volumes(*, new_names: bool, extra: str, missing: str = "") -> Case:
    content = data(9000)
    made = rar_volumes_of({"m": content}, 4000, new_names=new_names)
    old = ["x.rar", "x.r00", "x.r01"]
    names = [f"x.part{number + 1}.rar" for number in range(len(made))] if new_names else old
    files = dict(zip(names, made, strict=True))
    if files.pop(missing, None):
        return {}, [], files  # what is left of it is data as any
    return files, [content], {extra: data()} if extra else {}


def in_pieces(*others: str) -> Case:
    content = data(9000)
    made = seven_of({"m": content})
    files = {"x.7z.001": made[:5000], "x.7z.002": made[5000:]}
    return files, [content], {name: data() for name in others}


def in_one(make: Callable[[], tuple[bytes, list[bytes]]]) -> Case:
    content, members = make()
    return {"x.zip": content}, members, {}


def beside(name: str, make: Callable[[Mapping[str, bytes]], bytes], *others: str) -> Case:
    content = data()
    return {name: make({"m": content})}, [content], {other: data() for other in others}


def zip64() -> tuple[bytes, list[bytes]]:
    content, stream = data(), io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w") as archive,
        archive.open(zipfile.ZipInfo("m"), "w", force_zip64=True) as member,
    ):
        member.write(content)
    return stream.getvalue(), [content]


def rar_then_zip() -> tuple[bytes, list[bytes]]:
    """Give what is a zip by its name and to each unzip, and a RAR by its first bytes."""
    first, second = data(), data()
    made = rar_of({"m": first}) + zip_of({"n": second})
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert archive.read("n") == second
    return made, [first, second]


def two_zips() -> tuple[bytes, list[bytes]]:
    first, second = data(), data()
    made = zip_of({"m": first}) + zip_of({"n": second})
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert archive.read("n") == second
    return made, [first, second]


def special() -> tuple[bytes, list[bytes]]:
    first, second = data(), data()
    entries = [Member("none", first, mode=0), Member("root", second, mode=0o6755)]
    return zip_of([Member("d/", kind=stat.S_IFDIR, mode=0), *entries]), [first, second]


def lying() -> Case:
    made = bytearray(zip_of({"m": data()}))
    for at in (22, made.find(b"PK\1\2") + 24):
        made[at : at + 4] = (100).to_bytes(4, "little")
    return {}, [], {"x.zip": bytes(made)}


def colliding() -> Case:
    contents = [data(), data(), data()]
    first = zip_of({"y.zip/m": contents[0], "m": contents[1]})
    return {"x.zip": first, "y.zip": zip_of({"m": contents[2]})}, contents, {}


def independent(*names: str) -> Case:
    contents = [data() for _ in names]
    made = {name: rar_of({f"m of {name}": c}) for name, c in zip(names, contents, strict=True)}
    return made, contents, {}


A = data()
CASES: dict[str, Callable[[], Case]] = {
    "nested": lambda: one("x.zip", zip_of, "inner.zip", "b"),
    "cases": lambda: one("x.zip", zip_of, "A.txt", "a.txt"),
    "NFC and NFD": lambda: one("x.zip", zip_of, "caf\u00e9", "cafe\u0301"),
    "ignored": lambda: one("x.zip", zip_of, ".DS_Store", "x.uploaded", ".nfs1", "sample.mkv"),
    "unfinished": lambda: one("x.zip", zip_of, "a.part", "b.!qB", ".mediapipe-root"),
    "marker": lambda: one("x.zip", zip_of, "x.zip.uploaded", "__MACOSX/._x"),
    "255": lambda: one("x.zip", zip_of, "n" * 255),
    "250": lambda: one("x.zip", zip_of, "n" * 250),
    "modes": lambda: in_one(special),
    "zip64": lambda: in_one(zip64),
    "lying": lying,
    "beside the same": lambda: beside("x.zip", zip_of, "m", "n/x.zip"),
    "prefix": lambda: beside("x.zip", lambda files: b"#!/bin/sh\n" + zip_of(files)),
    "a folder": lambda: ({}, [], {"x.zip/inside": data()}),
    "a text": lambda: ({}, [], {"x.rar": b"this is no archive"}),
    "nothing": lambda: ({}, [], {"x.7z": b""}),
    "last volume": lambda: ({}, [], {"x.r00": data()}),
    "pieces": in_pieces,
    "missing": lambda: volumes(new_names=False, extra="", missing="x.r00"),
    "colliding": colliding,
    "after the last part": lambda: volumes(new_names=True, extra="x.part4.rar"),
    "after the last r": lambda: volumes(new_names=False, extra="x.r02"),
    "other width": lambda: volumes(new_names=True, extra="x.part02.rar"),
    # what is named like a volume, and is none
    "r00 of nobody": lambda: beside("x.rar", rar_of, "x.r00"),
    "002 of nobody": lambda: beside("x.zip.001", zip_of, "x.zip.002"),
    "7z.002 of nobody": lambda: beside("x.7z.001", seven_of, "x.7z.002"),
    "7z.003 of nobody": lambda: in_pieces("x.7z.003"),
    "two archives": lambda: independent("x.part1.rar", "x.part2.rar"),
    "three archives": lambda: independent("x.rar", "x.r00", "x.r01"),
    # an archive behind an archive
    "RAR, then zip": lambda: in_one(rar_then_zip),
    "zip, then zip": lambda: in_one(two_zips),
}


class Play(Archives):
    """All cases as items of one box, uploaded and cleaned up three times."""

    claims: list[str]

    def run(self) -> None:
        for name, make in CASES.items():
            files, members, others = make()
            root = self.box.completed / name
            if 1 < len(files) == len(members):  # archives of their own, with a member each
                for (path, content), member in zip(files.items(), members, strict=True):
                    self.pack_sets({root / path: content}, member)
            elif files:
                self.pack_sets({root / path: content for path, content in files.items()}, *members)
            for path, content in others.items():
                self.write(root / path, content)
        self.job("upload")
        self.claims = self.false_claims()
        for _ in range(2):
            self.cleanup(status=None)
        self.job("upload")
        self.cleanup(status=None)


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    with Play(tmp_path_factory.mktemp("archives")) as made:
        made.box.write_config(cleanup={"seeding_time": "7d"})
        made.film()
        made.run()
        yield made


@pytest.mark.parametrize("case", CASES)
def test_no_byte_of_an_item_with_archives_is_lost(play: Play, case: str) -> None:
    assert [path for path in play.lost() if f"/{case}/" in path] == []


def test_markers_tell_what_is_on_b2_now(play: Play) -> None:
    """A later archive of the same item must not replace what was proven for an earlier one."""
    assert play.claims == []


def test_the_scratch_is_empty_after_all(play: Play) -> None:
    assert not list((play.box.folder / "downloads/extracted").iterdir())


def test_volumes_that_lie_loose_stay_together(box: Archives) -> None:
    """All of them on the disk, or all (or what is in them) on B2: else nobody can unpack them."""
    content = data(9000)
    made = rar_volumes_of({"m": content}, 4000, new_names=True)
    paths = [box.box.completed / f"x.part{number + 1}.rar" for number in range(len(made))]
    box.pack_sets(dict(zip(paths, made, strict=True)), content)
    for _ in range(3):
        box.job("upload")
        box.cleanup(status=None)
    there = [path.exists() for path in paths]
    assert all(there) or not any(there)
    box.holds()


def test_the_audit_tells_where_each_member_is(box: Archives) -> None:
    first, second = data(), data()
    box.pack_sets(
        {box.box.completed / "I/x.zip": zip_of({"one": first, "two": second})}, first, second
    )
    box.upload()
    for _ in range(2):
        report = box.cleanup()
    lines = (box.box.state / "audit.jsonl").read_text().splitlines()
    deleted = [line for line in lines if json.loads(line)["action"] == "delete-file"]
    assert done(report, "delete-file")
    for object_ in box.b2.objects().values():
        if object_.name.startswith("downloads/"):
            assert any(object_.name in line and object_.file_id in line for line in deleted)


# The scratch folder


def test_somebodys_files_in_the_scratch_folder_stay(box: Archives) -> None:
    scratch = box.box.folder / "downloads/extracted"
    for name in ("film.mkv", "x.zip/m", "mediapipe-extract/m", "mediapipe-film.mkv", "tmp/m"):
        box.write(scratch / name)
    box.pack_sets({box.box.completed / "x.zip": zip_of({"m": A})}, A)
    box.upload()
    box.holds()


def test_a_scratch_folder_that_is_a_link_empties_nothing(box: Archives) -> None:
    (box.box.folder / "downloads/extracted").symlink_to(box.box.completed)
    box.write(box.box.completed / "mediapipe-docs/film.mkv")
    box.pack_sets({box.box.completed / "x.zip": zip_of({"m": A})}, A)
    box.job("upload")
    box.holds()


@pytest.mark.parametrize("how", ["file", "dangling", "pipe"])
def test_a_scratch_folder_that_is_none_is_told(box: Archives, how: str) -> None:
    scratch = box.box.folder / "downloads/extracted"
    if how == "file":
        box.write(scratch)
    elif how == "dangling":
        scratch.symlink_to(box.folder / "nowhere")
    else:
        os.mkfifo(scratch)
    box.pack_sets({box.box.completed / "x.zip": zip_of({"m": A})}, A)
    film = box.write(box.box.completed / "film.mkv")
    sound(box.box.run("upload", "--json", timeout=20))
    assert film.with_name("film.mkv.uploaded").exists()
    box.holds()


# Sudden ends


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("unpacking", signal.SIGTERM),
        ("sending", signal.SIGTERM),
        ("sent", signal.SIGKILL),
        ("marked", signal.SIGKILL),
    ],
)
def test_an_extraction_that_ends_suddenly_is_done_by_the_next(
    box: Archives, moment: str, number: int
) -> None:
    scratch = box.box.folder / "downloads/extracted"
    box.upload()
    for item in range(2):
        content = data(400_000)
        path = box.box.completed / f"I{item}/x.zip"
        box.pack_sets(
            {path: zip_of({"m": content, "d/.DS_Store": content[:9]})}, content, content[:9]
        )
    box.b2.bandwidth = 2_000_000
    box.b2.reset_stats()
    moments = {
        "unpacking": lambda: scratch.is_dir() and any(scratch.iterdir()),
        "sending": lambda: box.b2.stats().calls,
        "sent": lambda: any(name.startswith("downloads/") for name in box.b2.objects()),
        "marked": lambda: any(box.box.completed.glob("*.uploaded")),
    }
    pipe = subprocess.PIPE
    command = box.box.command("upload", "--json")
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as job:
        wait_until(moments[moment], seconds=20, what=moment)
        job.send_signal(number)
        _, errors = job.communicate(timeout=60)
    assert "Traceback" not in errors
    assert job.returncode in ((0, 75) if number == signal.SIGTERM else (0, -9))
    assert box.false_claims() == []
    box.b2.bandwidth = None
    wait_until(lambda: box.job("upload")["outcome"] == "done", seconds=30, what="the lock")
    box.upload()
    assert not any(scratch.iterdir())
    assert box.false_claims() == []
    for _ in range(2):
        box.cleanup()
    assert not any(path.name.startswith("I") for path in box.box.completed.iterdir())
    box.holds()
