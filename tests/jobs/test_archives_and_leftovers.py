"""What takes more than one pass: archives, leftovers of due torrents, a long first upload."""

from __future__ import annotations

import json
import os
import subprocess
import types
from typing import TYPE_CHECKING

import pytest

from mediapipe import proving
from mediapipe.disk import marker
from mediapipe.disk.index import look
from mediapipe.errors import ActionFailed, ConfigError, Unavailable
from mediapipe.ports import Listing, Member
from mediapipe.records import Wanted
from mediapipe.units import Size
from tests.crashes import deaths
from tests.hosts import HOUR, Host, contents, reasons, sha1, snapshot, statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MEMBERS = {"film.mkv": b"film" * 100, "Subs/en.srt": b"en" * 20}
EMPTY = {"downloads/completed/movies", "downloads/completed/tv"}


def proof_of(host: Host, path: Path) -> set[str]:
    file = look(str(path))
    assert file is not None
    return {one.remote for proof in host.history().proofs(file.identity) for one in proof.objects}


def scratch(host: Host) -> list[str]:
    folder = host.config.paths.extracted
    return os.listdir(folder) if os.path.isdir(folder) else []


@pytest.fixture
def packed(host: Host) -> Host:
    """Give a host with an uncategorized download: two volumes of an archive and a loose file."""
    host.pack(host.downloads / "Foo" / "film.part1.rar", MEMBERS, volumes=2)
    host.write(host.downloads / "Foo" / "film.nfo", b"info")
    return host


# archives


def test_the_members_of_an_archive_are_proven_and_its_volumes_stay(packed: Host) -> None:
    folder = packed.downloads / "Foo"
    report = packed.upload()
    assert statuses(report) == [("upload", "Foo", "done"), ("extract", "film.part1.rar", "done")]
    assert {name: one[-1].content for name, one in packed.remote.versions.items()} == {
        "downloads/Foo/film.nfo": b"info",
        "downloads/Foo/film.mkv": MEMBERS["film.mkv"],
        "downloads/Foo/Subs/en.srt": MEMBERS["Subs/en.srt"],
    }
    members = {"b2:bucket/downloads/Foo/film.mkv", "b2:bucket/downloads/Foo/Subs/en.srt"}
    for name in ("film.part1.rar", "film.part2.rar"):
        assert (folder / name).exists()
        assert proof_of(packed, folder / name) == members
    found = marker.read(marker.marker_path(str(folder)))
    assert found is not None
    first, second, info = (
        next(one for one in found.files if one.path == name)
        for name in ("film.part1.rar", "film.part2.rar", "film.nfo")
    )
    assert {(one.remote, one.size, one.sha1) for one in first.extracted} == {
        (f"b2:bucket/downloads/Foo/{name}", len(content), sha1(content))
        for name, content in MEMBERS.items()
    }
    assert (second.part_of, second.extracted) == ("film.part1.rar", ())
    assert info.remote == "b2:bucket/downloads/Foo/film.nfo"
    assert scratch(packed) == []
    assert packed.upload().results == ()
    (line,) = (
        one
        for one in map(json.loads, (packed.state / "audit.jsonl").read_text().splitlines())
        if one["action"] == "extract"
    )
    assert {one["remote"] for one in line["objects"]} == members


def test_an_archive_that_is_an_item_itself_goes_to_a_folder_of_its_name(host: Host) -> None:
    (path,) = host.pack(host.downloads / "Foo.zip", MEMBERS)
    assert statuses(host.upload()) == [("extract", "Foo.zip", "done")]
    assert set(host.remote.versions) == {f"downloads/Foo.zip/{name}" for name in MEMBERS}
    assert host.upload().results == ()
    host.torrent("Foo.zip", path, category="")
    host.cleanup()
    assert host.names() == EMPTY


def test_an_archive_in_a_library_is_a_file_like_any_other(host: Host) -> None:
    (path,) = host.pack(host.tv / "Show" / "a.zip", MEMBERS)
    assert statuses(host.upload()) == [("upload", "a.zip", "done")]
    assert host.remote.versions["tv/Show/a.zip"][-1].content == path.read_bytes()
    assert host.archives.calls == []


def test_an_archive_with_no_members_is_sent_as_it_is(host: Host) -> None:
    paths = host.pack(host.downloads / "Foo" / "a.part1.rar", {}, volumes=2)
    assert statuses(host.upload()) == [("extract", "a.part1.rar", "done")]
    assert host.remote.has(paths[0].read_bytes())
    assert host.remote.has(paths[1].read_bytes())
    assert host.upload().results == ()
    host.torrent("Foo", *paths, category="")
    host.cleanup()
    assert host.names() == EMPTY


def test_a_member_of_a_name_that_is_taken_goes_below_the_archives_own(host: Host) -> None:
    folder = host.downloads / "Foo"
    host.write(folder / "film.mkv", b"loose")
    host.pack(folder / "a.rar", {"film.mkv": b"from a", "x": b"x"})
    host.pack(folder / "b.rar", {"x": b"other x"})
    assert {one[2] for one in statuses(host.upload())} == {"done"}
    assert {name: one[-1].content for name, one in host.remote.versions.items()} == {
        "downloads/Foo/film.mkv": b"loose",
        "downloads/Foo/a.rar/film.mkv": b"from a",
        "downloads/Foo/a.rar/x": b"x",
        "downloads/Foo/x": b"other x",
    }
    assert host.upload().results == ()


def test_two_archives_with_a_member_of_one_name_keep_both(host: Host) -> None:
    folder = host.downloads / "Foo"
    host.pack(folder / "a.rar", {"x": b"x of a"})
    host.pack(folder / "b.rar", {"x": b"x of b"})
    assert {one[2] for one in statuses(host.upload())} == {"done"}
    newest = {one[-1].content for one in host.remote.versions.values()}
    assert newest == {b"x of a", b"x of b"}
    assert host.upload().results == ()


def put_members(host: Host, film: bytes) -> Path:
    """An archive that is an item itself: its member stands below its own name."""
    host.pack(host.downloads / "Foo.rar", {"film.mkv": film, "new.srt": film})
    return host.downloads / "Foo.rar"


def put_file(host: Host, film: bytes) -> Path:
    return host.write(host.downloads / "Foo.rar" / "film.mkv", film)


def put_archive_beside(host: Host, film: bytes) -> Path:
    host.pack(host.downloads / "Foo.rar" / "film.rar", {"film.mkv": film})
    return host.downloads / "Foo.rar" / "film.rar"


PUT = {"archive": put_members, "file": put_file, "archive in a folder": put_archive_beside}


@pytest.mark.parametrize("first", PUT)
@pytest.mark.parametrize("second", PUT)
def test_an_object_that_proves_another_items_file_is_not_replaced(
    host: Host, first: str, second: str
) -> None:
    """The only copy of a file may be what a later item of its name would replace."""
    path = PUT[first](host, b"old film")
    assert {one[2] for one in statuses(host.upload())} == {"done"}
    path.unlink()
    if path.parent != host.downloads:
        path.parent.rmdir()
    host.write(host.downloads / "Other" / "other.mkv")
    PUT[second](host, b"another film")
    told = {one.action.path: (one.status, one.error) for one in host.upload().results}
    assert host.remote.versions["downloads/Other/other.mkv"]
    film = [one.content for one in host.remote.versions["downloads/Foo.rar/film.mkv"]]
    if first == second:  # the same file, with new bytes
        assert film == [b"old film", b"another film"]
        return
    assert film == [b"old film"]
    assert b"another film" not in {
        one.content for many in host.remote.versions.values() for one in many
    }
    ((status, error),) = [one for at, one in told.items() if "Other" not in at]
    assert status == "failed"
    assert error is not None
    assert "film.mkv: another file is proven by b2:bucket/downloads/Foo.rar/film.mkv" in error


@pytest.mark.parametrize("name", ["app.x64", "notes.v10", "FILM.R00", "film.r00"])
def test_a_file_that_only_looks_like_a_volume_is_not_lost(host: Host, name: str) -> None:
    """Proven is what the archive was read from; a file beside it has bytes of its own."""
    stem = name.partition(".")[0].lower()
    first, *_ = host.pack(host.downloads / "Foo" / f"{stem}.rar", {"a.mkv": b"a" * 100})
    beside = host.write(host.downloads / "Foo" / name, b"bytes of its own")
    host.torrent("Foo", first, beside, category="")
    for _ in range(2):
        host.upload()
        host.cleanup()
        host.later(HOUR)
    assert beside.exists() or host.remote.has(b"bytes of its own")


def told(**fields: object) -> Callable[[Host], None]:
    def tell(host: Host) -> None:
        facts = {"folder": False, "link": False, "encrypted": False, **fields}
        one = Member(str(facts.pop("name", "film.mkv")), int(str(facts.pop("size", 1))), **facts)  # type: ignore[arg-type]
        host.archives.told["film.part1.rar"] = Listing((one,), ("film.part1.rar",))

    return tell


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (told(name="../x"), "refused: its member ../x leads out of the folder"),
        (told(link=True), "refused: its member film.mkv is a link"),
        (told(encrypted=True), "refused: it is encrypted, and no password is known"),
        (told(size=1 << 60), "refused: it would unpack to 1024 PiB, more than max_extracted_size"),
        (lambda host: host.archives.swallowed.add("film.mkv"), "2 members are listed, 1 came out"),
        (lambda host: host.archives.linked.add("film.mkv"), "refused: film.mkv is a link"),
        (lambda host: (host.downloads / "Foo" / "film.part2.rar").write_bytes(b"x"),
         "it is no archive, it is damaged, or a volume is missing"),
        (lambda host: host.archives.failures.update(extract=ActionFailed("damaged")), "damaged"),
        (lambda host: host.remote.swallowed.add("downloads/Foo/film.mkv"),
         "film.mkv: it is not on the remote after the upload"),
        (lambda host: host.remote.wrong_hash.add("downloads/Foo/Subs/en.srt"),
         "Subs/en.srt: the remote has other bytes"),
        (lambda host: host.remote.refused.update({"downloads/Foo/film.mkv": "no space"}),
         "film.mkv: no space"),
    ],
)  # fmt: skip
def test_an_archive_that_is_not_proven_whole_is_not_proven(
    packed: Host, spoil: Callable[[Host], object], why: str
) -> None:
    folder = packed.downloads / "Foo"
    spoil(packed)
    report = packed.upload()
    assert statuses(report) == [("upload", "Foo", "done"), ("extract", "film.part1.rar", "failed")]
    assert (report.results[1].error or "").startswith(why)
    assert (report.outcome, scratch(packed)) == ("partial", [])
    for name in ("film.part1.rar", "film.part2.rar"):
        assert proof_of(packed, folder / name) == set()
    assert not (packed.downloads / "Foo.uploaded").exists()
    # it rests, and what is beside it is done and not sent again
    packed.remote.sent.clear()
    again = packed.upload()
    assert again.results == ()
    assert reasons(again)["film.part1.rar"].startswith("failed once (")
    packed.torrent("Foo", *sorted(folder.iterdir()), category="")
    before = packed.names()
    packed.cleanup()
    assert packed.names() == before


def test_what_was_proven_is_not_extracted_again_because_another_is_damaged(host: Host) -> None:
    folder = host.downloads / "Foo"
    host.pack(folder / "a.rar", {"a.mkv": b"a"})
    (broken,) = host.pack(folder / "b.rar", {"b.mkv": b"b"})
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-10])
    assert [one[2] for one in statuses(host.upload())] == ["done", "failed"]
    host.archives.calls.clear()
    host.later(HOUR)
    assert statuses(host.upload()) == [("extract", "b.rar", "failed")]
    broken.write_bytes(whole)
    host.archives.calls.clear()
    host.later(HOUR)
    assert statuses(host.upload()) == [("extract", "b.rar", "done")]
    assert host.archives.calls == ["list", "extract"]
    assert host.upload().results == ()


def test_a_marker_that_is_lost_is_written_anew_from_the_proofs(packed: Host) -> None:
    packed.upload()
    path = packed.downloads / "Foo.uploaded"
    path.unlink()
    packed.remote.calls.clear()
    packed.archives.calls.clear()
    report = packed.upload()
    assert statuses(report) == [("upload", "Foo", "done")]
    assert [one.action.reason for one in report.results] == ["its marker is missing"]
    assert ("copy" in packed.remote.calls, packed.archives.calls) == (False, [])
    assert marker.read(str(path))
    assert packed.upload().results == ()


@pytest.mark.parametrize("moment", ["list", "extract"])
def test_a_volume_that_changes_meanwhile_is_not_proven(packed: Host, moment: str) -> None:
    path = packed.downloads / "Foo" / "film.part2.rar"
    packed.archives.before = lambda method: os.utime(path, ns=(5, 5)) if method == moment else None
    assert ("extract", "film.part1.rar", "stale") in statuses(packed.upload())
    assert proof_of(packed, path) == set()
    packed.archives.before = lambda _method: None
    assert {one[2] for one in statuses(packed.upload())} == {"done"}


def test_a_missing_program_stops_nothing_that_needs_it_not(packed: Host) -> None:
    packed.archives.failures["list"] = ConfigError("lsar is not installed")
    report = packed.upload()
    assert statuses(report) == [("upload", "Foo", "done"), ("extract", "film.part1.rar", "planned")]
    assert (report.outcome, report.exit_status, scratch(packed)) == ("error", 78, [])


def test_more_than_the_archive_said_ends_its_extraction(packed: Host) -> None:
    packed.configure("upload", max_extracted_size=Size(100))
    truth = packed.archives.list(str(packed.downloads / "Foo" / "film.part1.rar"))
    small = tuple(Member(one.name, 1, False, False, False) for one in truth.members)
    packed.archives.told["film.part1.rar"] = Listing(small, truth.volumes)
    report = packed.upload()
    assert [one[2] for one in statuses(report)] == ["done", "failed"]
    assert scratch(packed) == []


def test_scratch_that_a_crash_left_is_swept_and_nothing_else(packed: Host) -> None:
    folder = packed.folder / "downloads" / "extracted"
    packed.write(folder / "mediapipe-0123" / "deep" / "x.mkv")
    with packed.writing() as history:
        history.done("scratch mediapipe-0123", packed.now)
    mine = packed.write(folder / "mine" / "x.mkv")
    alike = packed.write(folder / "mediapipe-4567" / "x.mkv")
    packed.upload()
    assert mine.exists()
    assert alike.exists()
    assert scratch(packed) == ["mediapipe-4567", "mine"]


def test_scratch_of_any_depth_ends_no_run(packed: Host) -> None:
    folder = packed.folder / "downloads" / "extracted" / "mediapipe-0123"
    try:
        subprocess.run(["mkdir", "-p", folder.joinpath(*["d"] * 1500)], check=True)
        with packed.writing() as history:
            history.done("scratch mediapipe-0123", packed.now)
        packed.upload()
    finally:
        # pytest could not
        subprocess.run(["rm", "-rf", folder], check=True)


@pytest.mark.parametrize("lose", ["film.mkv", "Subs/en.srt"])
def test_a_volume_stays_unless_every_member_is_there(packed: Host, lose: str) -> None:
    folder = packed.downloads / "Foo"
    packed.upload()
    packed.torrent("Foo", *sorted(folder.iterdir()), category="")
    packed.remote.lose(f"downloads/Foo/{lose}")
    report = packed.cleanup()
    assert statuses(report) == [("delete-marker", "Foo.uploaded", "done")]
    assert (folder / "film.part1.rar").exists()
    assert proof_of(packed, folder / "film.part2.rar") == set()
    packed.later(HOUR)
    assert statuses(packed.upload()) == [("extract", "film.part1.rar", "done")]
    assert {one[2] for one in statuses(packed.cleanup())} == {"done"}
    assert packed.names() == EMPTY


def test_members_are_looked_up_by_marker_alone_when_the_history_is_lost(packed: Host) -> None:
    folder = packed.downloads / "Foo"
    packed.upload()
    packed.torrent("Foo", *sorted(folder.iterdir()), category="")
    for path in packed.state.iterdir():
        path.unlink()
    packed.cleanup()
    assert packed.names() == EMPTY


def test_a_dry_run_extracts_nothing_and_tells_the_same(packed: Host) -> None:
    before = snapshot(packed.folder)
    rehearsed = packed.upload(dry_run=True)
    assert snapshot(packed.folder) == before
    assert packed.archives.calls == []
    done = packed.upload()
    assert [one.action for one in rehearsed.results] == [one.action for one in done.results]


# leftovers


def leftover(host: Host) -> None:
    """List a due torrent of which only the episode was imported."""
    folder = host.downloads / "tv" / "Show.S01"
    episode = host.write(folder / "e1.mkv", b"e1" * 500)
    subs = host.write(folder / "Subs" / "e1.srt", b"subtitles" * 200)
    other = host.write(folder / "e2.mkv", b"e2" * 500)
    volumes = host.pack(folder / "e3.rar", {"e3.mkv": b"e3" * 500, "e3.nfo": b"n3"}, volumes=2)
    host.link(episode, host.tv / "Show" / "e1.mkv")
    host.torrent("Show.S01", episode, subs, other, *volumes)


def test_what_a_due_torrent_leaves_over_is_uploaded_and_all_of_it_goes(host: Host) -> None:
    leftover(host)
    folder = host.downloads / "tv" / "Show.S01"
    assert statuses(host.upload()) == [("upload", "e1.mkv", "done")]
    report = host.cleanup()
    assert report.results == ()
    why = "nothing proves yet that it is on B2; the next upload takes it"
    assert reasons(report)["Show.S01"].endswith(why)
    (wanted,) = host.history().wanted()
    assert (wanted.name, wanted.folder) == ("Show.S01", str(folder))
    assert set(wanted.paths) == {
        str(folder / name) for name in ("Subs/e1.srt", "e2.mkv", "e3.rar", "e3.r00")
    }
    assert {one[2] for one in statuses(host.upload())} == {"done"}
    assert {name: one[-1].content for name, one in host.remote.versions.items()} == {
        "tv/Show/e1.mkv": b"e1" * 500,
        "downloads/Show.S01/Subs/e1.srt": b"subtitles" * 200,
        "downloads/Show.S01/e2.mkv": b"e2" * 500,
        "downloads/Show.S01/e3.mkv": b"e3" * 500,
        "downloads/Show.S01/e3.nfo": b"n3",
    }
    assert host.upload().results == ()
    assert {one[2] for one in statuses(host.cleanup())} == {"done"}
    assert (host.names(), host.torrents.listed) == (EMPTY, {})
    host.cleanup()
    assert host.history().wanted() == ()


def test_leftovers_may_be_kept(host: Host) -> None:
    host.configure("upload", leftovers="keep")
    leftover(host)
    host.upload()
    host.cleanup()
    assert host.history().wanted() == ()
    host.later(HOUR)
    assert host.upload().results == ()
    assert (host.downloads / "tv" / "Show.S01" / "e2.mkv").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda host: host.torrents.change(sha1(b"Show.S01"), seeding_time=60),
        lambda host: host.torrents.change(sha1(b"Show.S01"), state="checkingUP"),
        lambda host: (host.downloads / "tv" / "Show.S01" / "e2.mkv").unlink(),
        lambda host: host.link(
            host.downloads / "tv" / "Show.S01" / "e2.mkv", host.folder / "mine.mkv"
        ),
    ],
    ids=["seeds", "is checked", "a file is gone", "a link elsewhere"],
)
def test_nothing_is_wanted_of_a_torrent_that_would_stay_all_the_same(
    host: Host, spoil: Callable[[Host], object]
) -> None:
    leftover(host)
    host.upload()
    spoil(host)
    host.cleanup()
    assert host.history().wanted() == ()


def test_a_torrent_that_is_due_no_longer_is_wanted_no_longer(host: Host) -> None:
    leftover(host)
    host.upload()
    host.cleanup()
    assert host.history().wanted()
    host.torrents.change(sha1(b"Show.S01"), state="checkingUP")
    host.cleanup()
    assert host.history().wanted() == ()
    host.later(HOUR)
    assert host.upload().results == ()


def test_a_single_file_is_taken_below_its_torrents_name(host: Host) -> None:
    path = host.write(host.downloads / "tv" / "Show - 1x01.mkv", b"refused" * 100)
    host.torrent("Show - 1x01.mkv", path)
    host.cleanup()
    host.later(HOUR)
    assert statuses(host.upload()) == [("upload", "Show - 1x01.mkv", "done")]
    assert set(host.remote.versions) == {"downloads/Show - 1x01.mkv/Show - 1x01.mkv"}
    host.cleanup()
    assert host.names() == EMPTY


@pytest.mark.parametrize("name", ["a/../../b", "..", ".", "a/b", "/etc", os.fsdecode(b"\xe9")])
def test_a_torrent_of_any_name_leaves_its_files_below_downloads(host: Host, name: str) -> None:
    path = host.write(host.downloads / "tv" / "x" / "a.mkv", b"a" * 100)
    host.torrent(name, path)
    host.cleanup()
    host.later(HOUR)
    host.upload()
    host.cleanup()
    assert host.remote.has(b"a" * 100)
    for remote in host.remote.versions:
        first, second, *_ = parts = remote.split("/")
        assert first == "downloads"
        assert second
        assert not {".", "..", ""} & set(parts)
    assert host.names() == EMPTY


def test_leftovers_of_one_category_share_a_child(host: Host) -> None:
    for name in ("T1", "T2", "T3"):
        path = host.write(host.downloads / "tv" / name / "deep" / "a.mkv")
        host.torrent(name, path)
    host.cleanup()
    host.later(HOUR)
    assert len(host.upload().results) == 3
    assert host.remote.calls.count("copy") == 1
    assert set(host.remote.versions) == {f"downloads/T{one}/deep/a.mkv" for one in (1, 2, 3)}
    host.cleanup()
    assert host.names() == EMPTY


def test_what_is_wanted_of_a_place_outside_is_not_taken(host: Host) -> None:
    treasure = host.write(host.folder / "treasure", b"secret")
    inside = host.write(host.downloads / "tv" / "T" / "a.mkv", b"a")
    link = host.downloads / "tv" / "T" / "link"
    link.symlink_to(treasure)
    host.upload()
    folder = f"{host.downloads}/tv/T"
    with host.writing() as history:
        gone = f"{folder}/gone"
        paths = (str(treasure), str(link), gone, str(inside))
        history.want([Wanted("h", "T", folder, paths)])
    assert statuses(host.upload()) == [("upload", "T", "done")]
    assert set(host.remote.versions) == {"downloads/T/a.mkv"}
    assert not host.remote.has(b"secret")


def test_leftovers_wait_for_their_torrent_as_all_downloads_do(host: Host) -> None:
    leftover(host)
    host.upload()
    host.cleanup()
    host.later(HOUR)
    host.torrents.change(sha1(b"Show.S01"), state="checkingUP")
    report = host.upload()
    assert report.results == ()
    assert "torrent Show.S01 is checkingUP, not complete" in reasons(report)["Show.S01"]
    host.torrents.failures["torrents"] = Unavailable("no answer")
    assert host.upload().outcome == "unavailable"


# death at any step


def uncategorized(host: Host) -> None:
    folder = host.downloads / "Foo"
    volumes = host.pack(folder / "e3.part1.rar", {"e3.mkv": b"e3" * 500, "x/e3.nfo": b"n3"}, 2)
    (single,) = host.pack(folder / "e1.zip", {"e1.mkv": b"e1" * 500})
    loose = host.write(folder / "e2.mkv", b"e2" * 500)
    host.torrent("Foo", *volumes, single, loose, category="")


PRECIOUS = {b"e1" * 500, b"e2" * 500, b"e3" * 500}


def safe(host: Host) -> set[bytes]:
    """Give what is on the remote, or on the disk: in a file, or in an archive that opens."""
    there = contents(host.downloads, host.tv)
    for path in host.downloads.rglob("*"):
        if path.name.endswith((".part1.rar", "e3.rar", ".zip")):
            try:
                there |= set(host.unpacked(path).values())
            except ActionFailed:
                continue
    return there | {one.content for all_ in host.remote.versions.values() for one in all_}


@pytest.mark.parametrize("scene", [leftover, pytest.param(uncategorized, marks=pytest.mark.soak)])
@pytest.mark.parametrize("job", ["upload", "cleanup"])
def test_death_at_any_step_is_mended_until_the_disk_is_empty(
    tmp_path: Path, scene: Callable[[Host], None], job: str
) -> None:
    def build(name: str) -> Host:
        host = Host(tmp_path / name)
        scene(host)
        if scene is leftover:
            host.upload()
            host.cleanup()
        host.later(HOUR)
        if job == "cleanup":
            assert {one.status for one in host.upload().results} == {"done"}
        return host

    wrong = {}
    for host, step in deaths(build, getattr(Host, job)):
        lost = PRECIOUS - safe(host)
        outcomes = set()
        for _ in range(2):
            host.later(HOUR)
            outcomes |= {host.upload().outcome, host.cleanup().outcome}
        on_remote = {one.content for all_ in host.remote.versions.values() for one in all_}
        problems = [
            "bytes were lost" if lost or not on_remote >= PRECIOUS else "",
            f"{sorted(host.names() - EMPTY)} are left" if host.names() != EMPTY else "",
            f"{outcomes}" if outcomes != {"done"} else "",
            f"{scratch(host)} is left" if scratch(host) else "",
            "an intent is left" if host.history().intents() else "",
            "something is wanted" if host.history().wanted() else "",
            "a torrent is left" if host.torrents.listed else "",
        ]
        if any(problems):
            wrong[step] = "; ".join(filter(None, problems))
    assert wrong == {}
    assert int(step.split(":")[0]) > 20


# a slice of time


def test_after_its_slice_a_run_leaves_the_rest_to_the_next(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        path = host.write(host.tv / f"{number}.mkv")
        os.utime(path, ns=(number, number))
    host.pack(host.downloads / "Foo.zip", MEMBERS)
    host.configure("upload", batch=Size(1))
    import time

    clock = [0.0]
    monkeypatch.setattr(
        proving,
        "time",
        types.SimpleNamespace(
            monotonic=lambda: clock[0],
            time=time.time,
            strftime=time.strftime,
            gmtime=time.gmtime,
        ),
    )
    steps = iter([0.0, 901.0, 0.0, 0.0, 0.0])
    host.remote.before = lambda method: (
        clock.__setitem__(0, clock[0] + next(steps)) if method == "copy" else None
    )
    first = host.upload()
    assert [one[2] for one in statuses(first)] == ["done", "done", "planned", "planned"]
    assert (first.outcome, first.exit_status, host.archives.calls) == ("done", 0, [])
    assert (2, "not begun") in first.counts()
    second = host.upload()
    assert [one[2] for one in statuses(second)] == ["done", "done"]
    assert [one.action for one in second.results] == [one.action for one in first.results[2:]]
    assert host.upload().results == ()


def test_an_extraction_is_not_begun_after_the_slice(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.pack(host.downloads / "Foo.zip", MEMBERS)
    monkeypatch.setattr(proving, "_SLICE", -1.0)
    assert statuses(host.upload()) == [("extract", "Foo.zip", "planned")]
    assert host.archives.calls == []


# once in a while


def test_a_bucket_is_demanded_once_and_before_the_first_copy(host: Host) -> None:
    host.write(host.tv / "a.mkv")
    host.remote.failures["demand_bucket"] = ConfigError("b2:bucket does not exist")
    report = host.upload()
    assert (report.outcome, statuses(report)[0][2]) == ("error", "planned")
    assert "copy" not in host.remote.calls
    host.remote.failures.clear()
    host.upload()
    host.write(host.tv / "b.mkv")
    host.upload()
    assert host.remote.calls.count("demand_bucket") == 2


def test_each_copy_is_watched_and_the_watcher_is_told_of_its_end(host: Host) -> None:
    host.write(host.tv / "a.mkv", b"12345")
    host.upload()
    assert [(one.done, one.files, one.sent) for one in host.watcher.seen] == [(1, 1, 5)]
    assert host.watcher.ends == 1
