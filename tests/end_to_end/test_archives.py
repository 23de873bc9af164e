"""Archives through the whole pipeline: what comes out stands on B2, and only then they go."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.testing.qbittorrent import wait_until
from tests.archive_files import Member, rar_of, rar_volumes_of, seven_of, zip_of
from tests.end_to_end.attack import Attack, done, kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.real

ODD = (
    "new\nline",
    "#1",
    "[g]*?{a,b}",
    "Zoe\u0308/Zoe\u0308.mkv",
    "Zo\u00eb.mkv",
    "-rf",
    " sp ",
    "d.",
)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Attack]:
    with Attack(tmp_path) as attack:
        yield attack


def data(name: str, size: int = 20_000) -> bytes:
    return random.Random(name).randbytes(size)


def files_of(*names: str, salt: str = "") -> dict[str, bytes]:
    return {name: data(salt + name) for name in names}


def below(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """Give the objects of what came out; rclone writes a line break as a picture of one."""
    return {
        f"downloads/{folder}/{name}".replace("\n", "\u240a"): content
        for name, content in files.items()
    }


def named(how: str, made: list[bytes]) -> dict[str, bytes]:
    """Name the volumes as their programs do."""
    if how == "new":
        return {f"film.part{number}.rar": raw for number, raw in enumerate(made, 1)}
    names = ["film.rar", *(f"film.r{number:02}" for number in range(len(made) - 1))]
    return dict(zip(names, made, strict=True))


def statuses(report: Any) -> dict[str, tuple[str, str]]:
    """Give action and status for the name of each path."""
    return {os.path.basename(a["path"]): (a["action"], a["status"]) for a in report["actions"]}


def why(report: Any) -> dict[str, str]:
    return {os.path.basename(path): reason for path, reason in kept(report).items()}


def test_what_comes_out_stands_on_b2_and_then_the_archives_go(box: Attack) -> None:
    completed, hashes = box.box.completed, []
    expected: dict[str, bytes] = {}

    single = files_of("a.mkv", "d/b.mkv", *ODD, salt="single")
    hashes.append(box.torrent(box.pack(completed, {"single.zip": zip_of(single)}, single)))
    expected |= below("single.zip", single)

    one, two = files_of("x.mkv", "1"), files_of("x.mkv", "2", salt="two")
    three, loose = files_of("y.mkv", salt="three"), files_of("x.nfo", "sub/z.srt", salt="loose")
    folder = completed / "Folder"
    box.pack(folder, {"one.zip": zip_of(one, deflated=True)}, one)
    box.pack(folder, {"two.rar": rar_of(two)}, two)
    box.pack(folder / "sub", {"three.7z": seven_of(three)}, three)
    for name, content in loose.items():
        box.write(folder / name, content)
    hashes.append(box.torrent(folder))
    expected |= below("Folder", one) | below("Folder/two.rar", two) | below("Folder/sub", three)
    expected |= below("Folder", loose)

    for how in ("new", "old"):
        film = {"film.mkv": data(how, 250_000), "film.nfo": data(f"{how} nfo", 50)}
        volumes = named(how, rar_volumes_of(film, 100_000, new_names=how == "new"))
        assert len(volumes) == 3
        box.pack(completed / how, volumes, film)
        hashes.append(box.torrent(completed / how))
        expected |= below(how, film)

    report = box.upload()

    assert {action for action, _ in statuses(report).values()} == {"upload", "extract"}
    assert {status for _, status in statuses(report).values()} == {"done"}
    assert box.contents() == expected
    assert box.scratch() == []
    box.holds()
    entries = json.loads((completed / "old.uploaded").read_bytes())["files"]
    assert sorted(entry.get("part_of", "") for entry in entries) == ["", "film.rar", "film.rar"]
    assert {
        one["remote"].partition("/")[2] for entry in entries for one in entry.get("extracted", ())
    } == {"downloads/old/film.mkv", "downloads/old/film.nfo"}

    box.b2.reset_stats()
    assert box.upload()["actions"] == []
    assert box.b2.stats().calls == {}

    box.due()
    assert len(done(box.cleanup(), "remove-torrent")) == len(hashes)
    assert box.listed() == set()
    assert box.box.tree(completed) == set()
    assert box.contents() == expected
    assert {one.versions for one in box.b2.objects().values()} == {1}
    box.holds()


def test_what_is_refused_or_damaged_is_named_and_rests_while_others_go_on(box: Attack) -> None:
    box.box.write_config(upload={"max_extracted_size": "1M"})
    completed = box.box.completed
    film = {"film.mkv": data("film", 150_000)}
    volumes = named("new", rar_volumes_of(film, 60_000, new_names=True))
    volumes.pop("film.part2.rar")
    broken = bytearray(zip_of({"x.mkv": data("broken")}))
    broken[5000] ^= 0xFF
    refused = {
        "up.zip": (zip_of({"../x": b"x"}), r"../x"),
        "absolute.rar": (rar_of({"/x": b"x"}), "/x"),
        "link.zip": (zip_of([Member("l", b"/etc/passwd", stat.S_IFLNK)]), "l is a link"),
        "locked.rar": (rar_of([Member("x", b"x" * 32, encrypted=True)]), "encrypted"),
        "twice.zip": (zip_of([Member("x", b"1"), Member("x", b"2")]), "two members"),
        "bomb.zip": (zip_of({"z": bytes(3 << 20)}, deflated=True), "max_extracted_size"),
        "quoted.zip": (zip_of({"a\u201bb": b"x"}), "a\u201bb"),
        "broken.zip": (bytes(broken), "damaged"),
        "cut.rar": (rar_of({"x": data("cut")})[:9000], "damaged"),
        "none.7z": (b"none at all" * 99, "no archive"),
        "empty.zip": (b"", "no archive"),
    }
    for name, (raw, _) in refused.items():
        box.write(completed / "Mixed" / name, raw)
    for name, raw in volumes.items():
        box.write(completed / "Missing" / name, raw)
    fine = files_of("fine.mkv")
    box.pack(completed / "Mixed", {"fine.zip": zip_of(fine)}, fine)
    box.write(completed / "Mixed/loose.nfo")
    hashes = {box.torrent(completed / "Mixed"), box.torrent(completed / "Missing")}

    report = box.upload(status=3)

    assert statuses(report)["fine.zip"] == ("extract", "done")
    assert statuses(report)["Mixed"] == ("upload", "done")
    errors = {os.path.basename(a["path"]): a["error"] for a in report["actions"] if a["error"]}
    assert set(errors) == {*refused, "film.part1.rar"}
    for name, (_, words) in refused.items():
        assert words in errors[name], errors[name]
    assert set(box.contents()) == {"downloads/Mixed/fine.mkv", "downloads/Mixed/loose.nfo"}
    assert box.scratch() == []
    assert not list(completed.glob("*.uploaded"))
    assert not (completed.parent / "x").exists()

    box.b2.reset_stats()
    again = box.upload()
    assert again["actions"] == []
    assert "failed once" in why(again)["broken.zip"]
    assert box.b2.stats().calls == {}

    box.due()
    for _ in range(2):
        assert done(box.cleanup("--orphans-now"), "delete-file") == []
    assert box.listed() == hashes
    box.holds()

    # mended, it is taken at once: what failed was another file
    whole = {"x.mkv": data("broken")}
    box.gave_up(bytes(broken))
    box.pack(completed / "Mixed", {"broken.zip": zip_of(whole)}, whole)
    mended = box.upload(status=None)
    assert statuses(mended)["broken.zip"] == ("extract", "done")
    assert "fine.zip" not in statuses(mended)
    box.holds()


def test_an_archive_without_members_is_kept_as_the_file_that_it_is(box: Attack) -> None:
    raw = zip_of({})
    box.torrent(box.write(box.box.completed / "nil.zip", raw))

    assert statuses(box.upload()) == {"nil.zip": ("extract", "done")}

    assert box.contents() == {"downloads/nil.zip": raw}
    box.holds()
    box.due()
    box.cleanup()
    assert box.listed() == set()
    assert box.box.tree(box.box.completed) == set()
    box.holds()


def test_in_a_library_an_archive_is_a_file_like_any_other(box: Attack) -> None:
    raw = zip_of(files_of("x.mkv"))
    box.write(box.box.tv / "Show/extras.zip", raw)
    box.upload()

    assert box.contents() == {"tv/Show/extras.zip": raw}


def test_a_member_never_takes_the_name_of_a_file_beside_its_archive(box: Attack) -> None:
    folder = box.box.completed / "Film"
    box.write(folder / "x.mkv", b"the loose one")
    inside = {"x.mkv": b"the packed one", "other": b"other"}
    box.pack(folder, {"a.zip": zip_of(inside)}, inside)
    box.torrent(folder)

    box.upload()

    assert box.contents() == {
        "downloads/Film/x.mkv": b"the loose one",
        **below("Film/a.zip", inside),
    }
    box.holds()


@pytest.mark.parametrize("stray", ["no volume at all", "another archive"])
def test_a_file_that_only_has_the_name_of_a_volume_is_not_lost(box: Attack, stray: str) -> None:
    """`film.rar` is whole; `film.r00` beside it was never read when it was extracted."""
    folder = box.box.completed / "Film"
    film, other = files_of("film.mkv"), files_of("precious.mkv")
    box.pack(folder, {"film.rar": rar_of(film)}, film)
    if stray == "another archive":
        box.pack(folder, {"film.r00": rar_of(other)}, other)
    else:
        box.write(folder / "film.r00", data("stray"))
    box.torrent(folder)

    box.upload(status=None)
    box.due()
    for _ in range(2):
        box.cleanup(status=None)

    box.holds(markers=False)


def test_a_member_that_is_gone_from_b2_keeps_every_volume_and_is_sent_again(box: Attack) -> None:
    folder = box.box.completed / "Film"
    film = {"film.mkv": data("film", 150_000), "film.nfo": data("nfo", 50)}
    volumes = named("old", rar_volumes_of(film, 60_000, new_names=False))
    box.pack(folder, volumes, film)
    hash_ = box.torrent(folder)
    box.upload()
    box.b2.delete("downloads/Film/film.nfo")
    box.due()

    report = box.cleanup()

    assert done(report, "delete-file") == []
    assert box.listed() == {hash_}
    assert {path.name for path in folder.iterdir()} == set(volumes)
    assert done(report, "delete-marker") == [f"{folder}.uploaded"]
    assert statuses(box.upload()) == {"film.rar": ("extract", "done")}
    assert box.contents() == below("Film", film)
    box.holds()
    assert len(done(box.cleanup(), "delete-file")) == len(volumes)
    assert box.box.tree(box.box.completed) == set()
    box.holds()


def test_what_a_kill_leaves_in_scratch_the_next_run_removes(box: Attack) -> None:
    files = {"film.mkv": data("film", 2_000_000), "b.mkv": data("b", 500_000)}
    box.torrent(box.pack(box.box.completed, {"film.zip": zip_of(files)}, files))
    foreign = box.write(box.box.folder / "downloads/extracted/somebodys/own")
    box.b2.bandwidth = 300_000
    with subprocess.Popen(
        box.box.command("upload"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as job:
        wait_until(lambda: box.b2.stats().bytes_in > 50_000, seconds=30, what="bytes on their way")
        job.kill()
    assert len(box.scratch()) == 2
    box.holds()
    box.b2.bandwidth = None

    report = box.upload()

    assert statuses(report) == {"film.zip": ("extract", "done")}
    assert box.scratch() == ["somebodys"]
    assert foreign.exists()
    assert box.contents() == below("film.zip", files)
    box.holds()


def test_an_archive_that_changes_while_it_is_sent_is_not_marked(box: Attack) -> None:
    files = {"film.mkv": data("film", 600_000)}
    archive = box.pack(box.box.completed, {"film.zip": zip_of(files)}, files)
    box.b2.bandwidth = 300_000
    with subprocess.Popen(
        box.box.command("upload", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as job:
        wait_until(lambda: box.b2.stats().bytes_in > 50_000, seconds=30, what="bytes on their way")
        other = {"other.mkv": data("other")}
        archive.unlink()
        box.pack(box.box.completed, {"film.zip": zip_of(other)}, other)
        box.b2.bandwidth = None
        output, errors = job.communicate(timeout=60)

    assert b"Traceback" not in errors
    assert statuses(json.loads(output)) == {"film.zip": ("extract", "stale")}
    assert not list(box.box.completed.glob("*.uploaded"))
    box.holds()
    assert statuses(box.upload()) == {"film.zip": ("extract", "done")}
    assert box.contents()["downloads/film.zip/other.mkv"] == other["other.mkv"]
    box.holds()
