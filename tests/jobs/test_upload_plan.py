"""upload: what is pending, what waits for what, and proof before any marker."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mediapipe.choosing import in_order
from mediapipe.disk import marker
from mediapipe.disk.index import File, fingerprint, look
from mediapipe.errors import ConfigError, Unavailable
from mediapipe.items import Extract, Item, Upload, World
from mediapipe.jobs.upload import plan, why_keep, why_paused, why_refused
from mediapipe.plan import clock
from mediapipe.records import Pause
from tests.crashes import deaths
from tests.hosts import HOUR, Host, contents, reasons, sha1, snapshot, statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = 1_800_000_000.0
OLD = int((NOW - 3600) * 1e9)


def item_of(
    *names: str,
    links: int = 1,
    mtime: float = -3600,
    ctime: float = -3600,
    uncategorized: bool = False,
    trouble: str = "",
    size: int = 10,
    base: str = "/tv",
) -> Item:
    """Give an item; the times are seconds from now."""
    files = {
        name: File(
            f"{base}/{name}", 1, number, links, size,
            int((NOW + mtime) * 1e9), int((NOW + ctime) * 1e9),
        )
        for number, name in enumerate(names or ("a.mkv",))
    }  # fmt: skip
    first = next(iter(files))
    path = f"{base}/{first.split('/')[0]}" if uncategorized else f"{base}/{first}"
    prefix = "downloads" if uncategorized else "tv"
    return Item(path, base, prefix, files, uncategorized, trouble)


def storable(_name: str) -> str:
    return ""


# plan and its reasons


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (item_of(), ""),
        (item_of(trouble="unreadable: Input/output error"), "unreadable: Input/output error"),
        (item_of(ctime=-59), "changed 59 s ago; taken once it rests for 1 min"),
        (item_of(mtime=-59), "changed 59 s ago; taken once it rests for 1 min"),
        (item_of(ctime=-60), ""),
        (item_of(ctime=+500), "changed 0 s ago; taken once it rests for 1 min"),
        # an import by hard link: its ctime is new, its mtime is not
        (item_of(links=2, ctime=0), ""),
        (item_of(links=2, ctime=0, mtime=-30), "changed 0 s ago; taken once it rests for 1 min"),
        (item_of(links=1, ctime=0), "changed 0 s ago; taken once it rests for 1 min"),
    ],
)
def test_why_keep(host: Host, item: Item, reason: str) -> None:
    assert why_keep(item, {}, host.config.upload, NOW) == reason


def test_one_unsettled_file_keeps_the_whole_folder(host: Host) -> None:
    item = item_of("Foo/a", "Foo/b", uncategorized=True)
    files = {**item.files, "Foo/b": item_of("Foo/b", ctime=-5).files["Foo/b"]}
    changed = Item(item.path, item.base, item.prefix, files, uncategorized=True)
    assert why_keep(changed, {}, host.config.upload, NOW).startswith("changed 5 s")


def test_an_item_that_qbittorrent_is_not_done_with_waits(host: Host) -> None:
    busy = {"/tv/a.mkv": "torrent X is downloading, not complete"}
    assert why_keep(item_of(), busy, host.config.upload, NOW) == busy["/tv/a.mkv"]


def test_a_name_that_cannot_be_stored_is_told_by_name() -> None:
    item = item_of("Foo/a", "Foo/odd", uncategorized=True)
    why = "its name is odd"
    told = why_refused(item, lambda name: why if name == "downloads/Foo/odd" else "")
    assert told == f"odd: {why}"
    assert why_refused(item, storable) == ""


def test_what_is_unfinished_is_told_before_its_names_are_looked_at() -> None:
    item = replace(item_of(), refused="b.mkv.part is not finished")
    assert why_refused(item, lambda _name: "its name is odd") == "b.mkv.part is not finished"


def test_a_failed_item_rests_until_it_changes_or_the_time_is_over(host: Host) -> None:
    item = item_of()

    def why(pause: Pause) -> str:
        made = plan(World((item,), (), ""), storable, {item.path: pause}, host.config, NOW)
        assert bool(made.kept) != bool(made.actions)
        assert [one.reason for one in made.kept] == [one for one in [told(pause)] if one]
        return told(pause)

    def told(pause: Pause) -> str:
        return why_paused(
            Upload(item, item.files, "b2:bucket/tv/a.mkv", ""), {item.path: pause}, NOW
        )

    resting = Pause(NOW + 60, 3, "no answer", fingerprint(item.files))
    assert why(resting) == f"failed 3 times (no answer); tried again {clock(NOW + 60)}"
    assert why(Pause(NOW, 3, "no answer", fingerprint(item.files))) == ""
    assert why(Pause(NOW + 60, 3, "no answer", fingerprint(item_of(size=11).files))) == ""


def test_the_library_goes_first_and_the_newest_of_each(host: Host) -> None:
    items = (
        item_of("U/old", uncategorized=True, mtime=-7200, ctime=-7200, base="/completed"),
        item_of("U2/new", uncategorized=True, mtime=-100, ctime=-100, base="/completed"),
        item_of("old.mkv", mtime=-9000, ctime=-9000),
        item_of("new.mkv", mtime=-9000, ctime=-4000),
    )
    made = plan(World(items, (), ""), storable, {}, host.config, NOW)
    assert [os.path.basename(one.path) for one in made.actions] == ["new.mkv", "old.mkv", "U2", "U"]
    assert [one.remote for one in made.actions][:1] == ["b2:bucket/tv/new.mkv"]
    assert made.kept == ()


def test_two_items_of_one_remote_name_do_not_overwrite_each_other(host: Host) -> None:
    items = tuple(
        item_of("Foo/a", uncategorized=True, base=base, mtime=-age, ctime=-age)
        for base, age in (("/completed", 9000), ("/completed/books", 5000))
    )
    made = plan(World(items, (), ""), storable, {}, host.config, NOW)
    assert [one.path for one in made.actions] == ["/completed/books/Foo"]
    (kept,) = made.kept
    assert (kept.path, kept.reason) == (
        "/completed/Foo",
        "/completed/books/Foo has the same name on the remote; rename one of the two",
    )


@pytest.mark.parametrize(
    ("world", "busy", "unavailable"),
    [
        (World((), (), ""), {}, ""),
        (World((), (), "/tv does not exist"), {}, "/tv does not exist"),
        (
            World((), (), ""),
            {"/x": "qBittorrent cannot tell whether it is complete: no answer"},
            "qBittorrent cannot tell whether it is complete: no answer",
        ),
        (World((), (), ""), {"/x": "torrent X is downloading, not complete"}, ""),
    ],
)
def test_what_is_unavailable_is_told(
    host: Host, world: World, busy: dict[str, str], unavailable: str
) -> None:
    assert (
        plan(replace(world, busy=busy), storable, {}, host.config, NOW).unavailable == unavailable
    )


# whole runs


def marker_of(path: Path) -> marker.Marker:
    found = marker.read(marker.marker_path(str(path)))
    assert found is not None
    return found


def identity(path: Path) -> tuple[int, int, int]:
    file = look(str(path))
    assert file is not None
    return file.identity


def test_a_library_file_is_uploaded_proven_and_marked(host: Host) -> None:
    path = host.write(host.tv / "Show" / "Season 1" / "a.mkv")
    report = host.upload()
    assert statuses(report) == [("upload", "a.mkv", "done")]
    assert (report.outcome, report.exit_status) == ("done", 0)
    name = "tv/Show/Season 1/a.mkv"
    assert host.remote.versions[name][-1].content == path.read_bytes()
    (entry,) = marker_of(path).files
    assert (entry.path, entry.identity) == ("a.mkv", identity(path))
    assert (entry.remote, entry.sha1) == (f"b2:bucket/{name}", sha1(path.read_bytes()))
    (proof,) = host.history().proofs(identity(path))
    (one,) = proof.objects
    assert (proof.place, one.remote, one.sha1) == (entry.remote, entry.remote, entry.sha1)
    assert (one.size, one.file_id) == (entry.size, host.remote.versions[name][-1].file_id)
    assert host.upload().results == ()


def test_an_uncategorized_folder_is_one_item_with_all_its_files(host: Host) -> None:
    folder = host.downloads / "Foo"
    for name in ("disc 1/a.mkv", "b.mkv", ".hidden"):
        host.write(folder / name)
    host.write(folder / ".DS_Store")
    assert statuses(host.upload()) == [("upload", "Foo", "done")]
    assert sorted(entry.path for entry in marker_of(folder).files) == [
        ".hidden",
        "b.mkv",
        "disc 1/a.mkv",
    ]
    assert sorted(host.remote.versions) == [
        "downloads/Foo/.hidden",
        "downloads/Foo/b.mkv",
        "downloads/Foo/disc 1/a.mkv",
    ]
    assert host.upload().results == ()


def test_a_category_without_library_is_uncategorized_and_one_with_a_library_is_not(
    host: Host,
) -> None:
    host.write(host.downloads / "books" / "Book" / "book.epub")
    host.write(host.downloads / "tv" / "Show" / "a.mkv")
    host.write(host.downloads / "single.mkv")
    report = host.upload()
    assert sorted(statuses(report)) == [
        ("upload", "Book", "done"),
        ("upload", "single.mkv", "done"),
    ]
    assert sorted(host.remote.versions) == ["downloads/Book/book.epub", "downloads/single.mkv"]


def test_the_audit_tells_what_a_restore_needs(host: Host) -> None:
    path = host.write(host.tv / "a.mkv")
    host.upload()
    (line,) = [json.loads(one) for one in (host.state / "audit.jsonl").read_text().splitlines()]
    (file,) = line.pop("files")
    assert (line["job"], line["action"], line["path"], line["remote"]) == (
        "upload", "upload", str(path), "b2:bucket/tv/a.mkv",
    )  # fmt: skip
    assert file == {
        "path": str(path),
        "inode": path.stat().st_ino,
        "mtime_ns": path.stat().st_mtime_ns,
        "size": path.stat().st_size,
        "sha1": sha1(path.read_bytes()),
        "remote": "b2:bucket/tv/a.mkv",
        "file_id": host.remote.versions["tv/a.mkv"][-1].file_id,
    }


@pytest.mark.parametrize(
    "name",
    [os.fsdecode(b"caf\xe9.mkv"), "new\nline.mkv", "-rf.mkv", "x" * 250, "[a]*?.mkv", "é" * 120],
)
def test_odd_names_are_uploaded_and_marked(host: Host, name: str) -> None:
    path = host.write(host.tv / name, b"odd")
    assert [one.status for one in host.upload().results] == ["done"]
    assert marker_of(path).files[0].identity == identity(path)
    assert host.upload().results == ()


def test_a_name_that_cannot_be_stored_is_kept_with_its_reason(host: Host) -> None:
    host.write(host.tv / ("x" * 251))
    report = host.upload()
    assert report.results == ()
    assert "which takes 250; rename it" in reasons(report)["x" * 251]
    assert report.exit_status == 0


@pytest.mark.parametrize("claim", [b"", b"uploaded\n", b'{"version": 1}', b"x" * 4096])
def test_a_mere_claim_is_proven_and_rewritten(host: Host, claim: bytes) -> None:
    path = host.write(host.tv / "a.mkv")
    host.write(host.tv / "a.mkv.uploaded").write_bytes(claim)
    assert statuses(host.upload()) == [("upload", "a.mkv", "done")]
    assert marker_of(path).files[0].identity == identity(path)


def test_what_is_on_the_remote_already_is_proven_without_being_sent(host: Host) -> None:
    path = host.write(host.tv / "a.mkv")
    host.remote.put("tv/a.mkv", path.read_bytes())
    assert statuses(host.upload()) == [("upload", "a.mkv", "done")]
    assert host.remote.sent == []
    assert len(host.remote.versions["tv/a.mkv"]) == 1


def test_a_foreign_object_of_its_name_becomes_an_older_version(host: Host) -> None:
    path = host.write(host.tv / "a.mkv", b"ours")
    host.remote.put("tv/a.mkv", b"them")
    assert statuses(host.upload()) == [("upload", "a.mkv", "done")]
    assert [one.content for one in host.remote.versions["tv/a.mkv"]] == [b"them", b"ours"]
    assert marker_of(path).files[0].sha1 == sha1(b"ours")


@pytest.mark.parametrize("change", ["content", "mtime", "replaced", "new file", "file gone"])
def test_a_changed_item_is_pending_again(host: Host, change: str) -> None:
    folder = host.downloads / "Foo"
    path = host.write(folder / "a.mkv", b"first")
    host.write(folder / "b.mkv", b"second")
    host.upload()
    if change == "content":
        path.write_bytes(b"other")
    elif change == "mtime":
        os.utime(path, ns=(1, 1))
    elif change == "replaced":
        host.write(folder / "new", b"other").rename(path)
    elif change == "new file":
        host.write(folder / "c.mkv", b"third")
    else:
        path.unlink()
    host.later(HOUR)
    assert statuses(host.upload()) == [("upload", "Foo", "done")]
    assert host.upload().results == ()


def test_a_moved_library_changes_the_remote_names_and_is_uploaded_again(host: Host) -> None:
    host.write(host.tv / "a.mkv")
    host.upload()
    host.library("tv", remote="shows")
    assert statuses(host.upload()) == [("upload", "a.mkv", "done")]
    assert "shows/a.mkv" in host.remote.versions


def test_a_renamed_file_is_pending_under_its_new_name(host: Host) -> None:
    path = host.write(host.tv / "a.mkv")
    host.upload()
    path.rename(host.tv / "b.mkv")
    assert statuses(host.upload()) == [("upload", "b.mkv", "done")]


# what waits


def test_a_folder_with_an_unfinished_file_waits_as_a_whole(host: Host) -> None:
    host.write(host.tv / "Show" / "a.mkv")
    host.write(host.tv / "Show" / "b.mkv.part")
    host.write(host.tv / "Other" / "c.mkv")
    host.write(host.downloads / "Foo" / "deep" / "d.mkv.!qB")
    host.write(host.downloads / "Foo" / "e.mkv")
    report = host.upload()
    assert statuses(report) == [("upload", "c.mkv", "done")]
    assert reasons(report) == {
        "a.mkv": "b.mkv.part is not finished",
        "b.mkv.part": "b.mkv.part is not finished",
        "Foo": "d.mkv.!qB is not finished",
    }
    (host.tv / "Show" / "b.mkv.part").rename(host.tv / "Show" / "b.mkv")
    host.later(HOUR)
    assert {one[1] for one in statuses(host.upload())} == {"a.mkv", "b.mkv"}


def test_what_has_just_been_written_waits(host: Host) -> None:
    path = host.write(host.tv / "a.mkv")
    host.now = path.stat().st_ctime + 30
    assert reasons(host.upload()) == {"a.mkv": "changed 30 s ago; taken once it rests for 1 min"}
    host.later(31)
    assert statuses(host.upload()) == [("upload", "a.mkv", "done")]


def test_an_import_by_hard_link_is_taken_at_once(host: Host) -> None:
    source = host.write(host.downloads / "tv" / "a.mkv")
    os.utime(source, ns=(0, 0))
    path = host.link(source, host.tv / "a.mkv")
    host.now = path.stat().st_ctime
    assert statuses(host.upload()) == [("upload", "a.mkv", "done")]


@pytest.mark.parametrize(
    ("state", "progress", "left"),
    [("downloading", 0.5, 5), ("stalledUP", 0.99, 5), ("checkingUP", 1.0, 0), ("moving", 1.0, 0),
     ("missingFiles", 1.0, 0), ("error", 1.0, 0), ("stalledUP", 1.0, 7)],
)  # fmt: skip
def test_an_uncategorized_item_waits_for_its_torrent(
    host: Host, state: str, progress: float, left: int
) -> None:
    path = host.write(host.downloads / "Foo" / "a.mkv")
    torrent = host.torrent(
        "Foo", path, category="", state=state, progress=progress, amount_left=left
    )
    report = host.upload()
    assert report.results == ()
    assert reasons(report) == {"Foo": f"torrent Foo is {state}, not complete"}
    host.torrents.change(torrent.hash, state="stoppedUP", progress=1.0, amount_left=0)
    assert statuses(host.upload()) == [("upload", "Foo", "done")]


def test_the_library_does_not_wait_for_qbittorrent(host: Host) -> None:
    host.write(host.tv / "a.mkv")
    host.upload()
    assert host.torrents.calls == []


def test_without_qbittorrents_word_uncategorized_items_wait_and_the_library_goes_on(
    host: Host,
) -> None:
    host.write(host.tv / "a.mkv")
    host.write(host.downloads / "Foo" / "b.mkv")
    host.torrents.failures["torrents"] = Unavailable("no answer")
    report = host.upload()
    assert statuses(report) == [("upload", "a.mkv", "done")]
    why = "qBittorrent cannot tell whether it is complete: no answer"
    assert reasons(report) == {"Foo": why}
    assert (report.outcome, report.reason, report.exit_status) == ("unavailable", why, 75)


def test_links_and_special_files_are_told_and_never_followed(host: Host) -> None:
    treasure = host.write(host.folder / "treasure")
    (host.downloads / "Foo").mkdir()
    (host.downloads / "Foo" / "link").symlink_to(treasure)
    host.write(host.downloads / "Foo" / "a.mkv")
    os.mkfifo(host.downloads / "fifo")
    (host.downloads / "loose").symlink_to(treasure)
    (host.tv / "link.mkv").symlink_to(treasure)
    report = host.upload()
    assert report.results == ()
    why = "is a link or a special file; only regular files are uploaded"
    assert {name: reasons(report)[name] for name in ("Foo", "fifo", "loose")} == {
        "Foo": f"link {why}",
        "fifo": f"fifo {why}",
        "loose": f"loose {why}",
    }
    assert host.remote.versions == {}


def test_a_root_that_is_gone_is_told_and_the_others_go_on(host: Host) -> None:
    host.write(host.movies / "a.mkv")
    host.upload()
    host.write(host.movies / "b.mkv")
    host.write(host.tv / "c.mkv")
    (host.tv / ".mediapipe-root").unlink()
    report = host.upload()
    assert statuses(report) == [("upload", "b.mkv", "done")]
    assert (report.outcome, report.exit_status) == ("unavailable", 75)
    assert report.reason == f"{host.tv} has lost its .mediapipe-root: is its disk mounted?"


# the remote's lies, failures and outages


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (lambda host: host.remote.missing.add("tv/a.mkv"), "it is not on the remote"),
        (lambda host: host.remote.swallowed.add("tv/a.mkv"), "it is not on the remote"),
        (lambda host: host.remote.wrong_hash.add("tv/a.mkv"), "the remote has other bytes"),
        (lambda host: host.remote.refused.update({"tv/a.mkv": "no space"}), "no space"),
    ],
    ids=["missing", "swallowed", "wrong hash", "refused"],
)
def test_what_is_not_proven_gets_no_marker(
    host: Host, lie: Callable[[Host], None], why: str
) -> None:
    path = host.write(host.tv / "a.mkv")
    other = host.write(host.tv / "b.mkv")
    lie(host)
    report = host.upload()
    assert sorted(statuses(report)) == [("upload", "a.mkv", "failed"), ("upload", "b.mkv", "done")]
    (failed,) = [one for one in report.results if one.status == "failed"]
    assert failed.error is not None
    assert failed.error.startswith(f"a.mkv: {why}")
    assert (report.outcome, report.exit_status) == ("partial", 3)
    assert not os.path.lexists(f"{path}.uploaded")
    assert host.history().proofs(identity(path)) == ()
    assert marker_of(other)
    # it rests, and is tried again once the time is over
    assert reasons(host.upload())["a.mkv"].startswith("failed once (a.mkv: ")
    host.remote.missing.clear()
    host.remote.swallowed.clear()
    host.remote.wrong_hash.clear()
    host.remote.refused.clear()
    host.later(HOUR)
    assert statuses(host.upload()) == [("upload", "a.mkv", "done")]


def test_one_file_without_proof_leaves_the_whole_folder_unmarked(host: Host) -> None:
    for name in ("a.mkv", "b.mkv"):
        host.write(host.downloads / "Foo" / name)
    host.remote.swallowed.add("downloads/Foo/b.mkv")
    assert statuses(host.upload()) == [("upload", "Foo", "failed")]
    assert not (host.downloads / "Foo.uploaded").exists()
    assert host.history().proofs(identity(host.downloads / "Foo" / "a.mkv")) == ()


def test_failures_rest_for_growing_times(host: Host) -> None:
    path = host.write(host.tv / "a.mkv")
    host.remote.swallowed.add("tv/a.mkv")
    waits = []
    for _ in range(9):
        host.upload()
        pause = host.history().pauses()[str(path)]
        waits.append(pause.until - host.now)
        host.now = pause.until
    assert waits == [240, 480, 960, 1920, 3840, 7680, 15360, 21600, 21600]


def test_a_changed_file_does_not_inherit_the_rest(host: Host) -> None:
    path = host.write(host.tv / "a.mkv")
    host.remote.swallowed.add("tv/a.mkv")
    host.upload()
    host.remote.swallowed.clear()
    path.write_bytes(b"better")
    host.later(70)
    assert statuses(host.upload()) == [("upload", "a.mkv", "done")]
    assert host.history().pauses() == {}


def test_a_remote_without_sha1_is_a_configuration_error(host: Host) -> None:
    path = host.write(host.tv / "a.mkv")
    host.remote.without_sha1 = True
    report = host.upload()
    assert statuses(report) == [("upload", "a.mkv", "planned")]
    assert (report.outcome, report.exit_status) == ("error", 78)
    assert report.reason == "b2:bucket gives no SHA-1, so nothing can be proven there"
    assert not os.path.lexists(f"{path}.uploaded")


@pytest.mark.parametrize(
    ("trouble", "status"), [(Unavailable("a cap is reached"), 75), (ConfigError("no such key"), 78)]
)
def test_trouble_ends_the_run_and_keeps_what_is_proven(
    host: Host, trouble: Unavailable | ConfigError, status: int
) -> None:
    newest = host.write(host.tv / "a.mkv")
    oldest = host.write(host.tv / "b.mkv")
    os.utime(oldest, ns=(0, 0))
    host.now += 10
    host.configure("upload", batch=type(host.config.upload.batch)(1))
    # the first batch arrives, the second does not
    host.remote.before = lambda method: (
        setattr(host.remote, "trouble", trouble)
        if method == "copy" and "copy" in host.remote.calls[:-1]
        else None
    )
    report = host.upload()
    assert (report.outcome, report.exit_status) == (trouble.outcome, status)
    marked = [path for path in (newest, oldest) if os.path.lexists(f"{path}.uploaded")]
    assert len(marked) == 1
    assert statuses(report)[0][2] == "done"
    assert statuses(report)[1][2] in ("failed", "planned")
    host.remote.before = lambda _method: None
    host.remote.trouble = None
    host.later(HOUR)
    assert len(host.upload().results) == 1
    assert host.upload().results == ()


def test_what_arrived_before_trouble_is_proven_all_the_same(host: Host) -> None:
    for name in ("a.mkv", "b.mkv"):
        host.write(host.tv / name)
    host.remote.trouble, host.remote.trouble_after = Unavailable("the line is cut"), 1
    report = host.upload()
    assert sorted(status for _kind, _path, status in statuses(report)) == ["done", "failed"]
    assert (report.outcome, report.exit_status) == ("unavailable", 75)


@pytest.mark.parametrize("method", ["copy", "look"])
def test_an_outage_leaves_all_as_it_is(host: Host, method: str) -> None:
    host.write(host.tv / "a.mkv")
    host.remote.failures[method] = Unavailable("no route")
    report = host.upload()
    assert (report.outcome, report.exit_status) == ("unavailable", 75)
    assert statuses(report) == [("upload", "a.mkv", "planned")]
    assert host.names(host.tv) == {"media/tv/a.mkv"}
    host.remote.failures.clear()
    assert statuses(host.upload()) == [("upload", "a.mkv", "done")]


# the file changes meanwhile


@pytest.mark.parametrize("moment", ["copy", "look"])
@pytest.mark.parametrize("change", ["content", "replaced", "gone", "touched"])
def test_a_file_that_changes_meanwhile_gets_no_marker(host: Host, moment: str, change: str) -> None:
    path = host.write(host.tv / "a.mkv", b"first")
    done: list[str] = []

    def meddle(method: str) -> None:
        if method != moment or done:
            return
        done.append(method)
        if change == "content":
            path.write_bytes(b"grown and grown")
        elif change == "replaced":
            host.write(host.folder / "new", b"other").rename(path)
        elif change == "gone":
            path.unlink()
        else:
            os.utime(path, ns=(1, 1))

    host.remote.before = meddle
    report = host.upload()
    assert done
    assert statuses(report) == [("upload", "a.mkv", "stale")]
    assert report.exit_status == 0
    assert not os.path.lexists(f"{path}.uploaded")
    host.later(HOUR)
    if change != "gone":
        assert statuses(host.upload()) == [("upload", "a.mkv", "done")]
        assert marker_of(path).files[0].sha1 == sha1(path.read_bytes())


def test_somebodys_file_in_the_markers_place_is_not_replaced(host: Host) -> None:
    host.write(host.tv / "a.mkv")
    theirs = host.write(host.tv / "a.mkv.uploaded", b"x" * 5000)
    report = host.upload()
    assert statuses(report) == [("upload", "a.mkv", "failed")]
    assert theirs.read_bytes() == b"x" * 5000


def test_a_large_file_is_read_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    path = host.tv / "large.mkv"
    with path.open("wb") as file:
        file.truncate((200 << 20) + 1)
        file.seek(100 << 20)
        file.write(b"middle")
    report = host.upload()
    assert statuses(report) == [("upload", "large.mkv", "done")]
    assert host.remote.calls.count("read") == 1
    assert marker_of(path).files[0].readback


def test_a_large_object_with_a_false_label_is_not_taken_for_a_proof(host: Host) -> None:
    path = host.tv / "large.mkv"
    with path.open("wb") as file:
        file.truncate((200 << 20) + 1)
    real = host.remote.read
    host.remote.read = lambda ranges, **_: [  # type: ignore[method-assign]
        b"?" * one.count if one.offset else real([one])[0] for one in ranges
    ]
    assert statuses(host.upload()) == [("upload", "large.mkv", "failed")]
    assert not os.path.lexists(f"{path}.uploaded")


# dry run and crashes


def test_a_dry_run_tells_the_same_and_writes_nothing(host: Host) -> None:
    for rounds in range(2):
        host.write(host.tv / f"{rounds}.mkv")
        host.write(host.downloads / f"Foo {rounds}" / "a.mkv")
        host.write(host.tv / "waits" / f"{rounds}.mkv.part")
        before = snapshot(host.folder)
        rehearsed = host.upload(dry_run=True)
        assert snapshot(host.folder) == before
        assert host.remote.calls.count("copy") == rounds * 2
        done = host.upload()
        assert [one.action for one in rehearsed.results] == [one.action for one in done.results]
        assert {one.status for one in rehearsed.results} <= {"planned"}
        assert rehearsed.kept == done.kept
        (host.tv / "waits" / f"{rounds}.mkv.part").unlink()


def test_a_dry_run_before_the_first_run_does_not_even_make_the_state_folder(host: Host) -> None:
    host.write(host.tv / "a.mkv")
    before = snapshot(host.folder)
    assert statuses(host.upload(dry_run=True)) == [("upload", "a.mkv", "planned")]
    assert snapshot(host.folder) == before


def test_death_at_any_step_is_mended_by_the_next_run(tmp_path: Path) -> None:
    def build(name: str) -> Host:
        host = Host(tmp_path / name)
        host.write(host.tv / "Show" / "a.mkv", b"a")
        host.write(host.tv / "b.mkv", b"b")
        host.write(host.tv / "b.mkv.uploaded").write_bytes(b"")
        host.write(host.downloads / "Foo" / "disc 1" / "c.mkv", b"c")
        host.write(host.downloads / "Foo" / "d.mkv", b"d")
        return host

    names: set[str] = set()
    for host, step in deaths(build, Host.upload):
        assert contents(host.tv, host.downloads) >= {b"a", b"b", b"c", b"d"}, step
        for path in ("tv/Show/a.mkv", "tv/b.mkv"):  # no marker without its object
            if marker.read(f"{host.folder}/media/{path}.uploaded"):
                assert path in host.remote.versions, step
        host.later(HOUR)
        report = host.upload()
        assert report.outcome == "done", (step, report.reason)
        assert {one.status for one in report.results} <= {"done"}, step
        again = host.upload()
        assert (again.results, again.kept) == ((), ()), step
        assert set(host.remote.versions) == {
            "tv/Show/a.mkv", "tv/b.mkv", "downloads/Foo/disc 1/c.mkv", "downloads/Foo/d.mkv",
        }, step  # fmt: skip
        for proven in (host.tv / "Show" / "a.mkv", host.downloads / "Foo" / "d.mkv"):
            assert host.history().proofs(identity(proven)), step
        names = names or host.names()
        assert host.names() == names, step
    assert int(step.split(":")[0]) > 20


# items with archives


def mixed(*names: str) -> Item:
    """Give an uncategorized folder: loose files, and volumes of archives."""
    return item_of(*(f"Foo/{name}" for name in names), uncategorized=True, base="/completed")


def actions(
    host: Host, item: Item, done: tuple[str, ...] = (), pauses: dict[str, Pause] | None = None
) -> list[tuple[str, str, set[str], str]]:
    """Give kind, path, files and reason of what is planned for one item."""
    proven = {item.path: frozenset(f"Foo/{name}" for name in done)}
    made = plan(World((item,), (), "", done=proven), storable, pauses or {}, host.config, NOW)
    return [
        (one.kind, one.path, {name.removeprefix("Foo/") for name in one.files}, one.reason)
        for one in made.actions
    ]


NEW = "it is not proven yet"


def test_loose_files_go_in_one_action_and_each_archive_in_its_own(host: Host) -> None:
    item = mixed("a.nfo", "a.part1.rar", "a.part2.rar", "deep/b.zip", "deep/b.srt", "lost.r00")
    assert actions(host, item) == [
        ("upload", "/completed/Foo", {"a.nfo", "deep/b.srt", "lost.r00"}, NEW),
        ("extract", "/completed/Foo/deep/b.zip", {"deep/b.zip"}, NEW),
        ("extract", "/completed/Foo/a.part1.rar", {"a.part1.rar", "a.part2.rar"}, NEW),
    ]


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (("a.nfo",), [("extract", "a.rar")]),
        (("a.rar", "a.r00"), [("upload", "Foo")]),
        # an archive is done when all its volumes are
        (("a.nfo", "a.rar"), [("extract", "a.rar")]),
        (("a.nfo", "a.r00"), [("extract", "a.rar")]),
        ((), [("upload", "Foo"), ("extract", "a.rar")]),
    ],
)
def test_what_is_done_is_not_done_again(
    host: Host, done: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    made = actions(host, mixed("a.nfo", "a.rar", "a.r00"), done)
    assert [(kind, os.path.basename(path)) for kind, path, _files, _reason in made] == expected


def test_where_only_the_marker_is_missing_nothing_is_sent(host: Host) -> None:
    made = actions(host, mixed("a.nfo", "a.rar"), ("a.nfo", "a.rar"))
    assert made == [("upload", "/completed/Foo", set(), "its marker is missing")]


def test_an_archive_rests_without_its_neighbours(host: Host) -> None:
    item = mixed("a.nfo", "a.rar", "b.rar")
    files = {name: file for name, file in item.files.items() if name.endswith("a.rar")}
    resting = Pause(NOW + 60, 2, "it is damaged", fingerprint(files))
    made = actions(host, item, pauses={"/completed/Foo/a.rar": resting})
    assert [(kind, path) for kind, path, _files, _reason in made] == [
        ("upload", "/completed/Foo"),
        ("extract", "/completed/Foo/b.rar"),
    ]
    files = {name: file for name, file in item.files.items() if name.endswith("a.nfo")}
    resting = Pause(NOW + 60, 2, "no answer", fingerprint(files))
    made = actions(host, item, pauses={"/completed/Foo": resting})
    assert [kind for kind, _path, _files, _reason in made] == ["extract", "extract"]


def test_an_extraction_tells_its_volumes_and_where_its_members_go(host: Host) -> None:
    item = mixed("a.rar", "a.r00", "a.nfo")
    made = plan(World((item,), (), ""), storable, {}, host.config, NOW)
    loose, archive = made.actions
    assert isinstance(loose, Upload)
    assert isinstance(archive, Extract)
    assert (loose.size, archive.size) == (10, 20)
    assert archive.details() == {"remote": "b2:bucket/downloads/Foo", "size": 20}
    assert str(archive) == (
        "extract /completed/Foo/a.rar (20 B) to b2:bucket/downloads/Foo: it is not proven yet"
    )


def test_an_item_knows_the_names_of_its_files_everywhere() -> None:
    folder, library = mixed("a.rar", "x/b.nfo"), item_of("Show/a.rar")
    assert folder.place == "downloads/Foo"
    assert folder.remote_name("Foo/x/b.nfo") == "downloads/Foo/x/b.nfo"
    assert folder.entry_path("Foo/x/b.nfo") == "x/b.nfo"
    assert (folder.first_volume("Foo/a.rar"), folder.first_volume("Foo/x/b.nfo")) == (
        "Foo/a.rar",
        None,
    )
    single = item_of("a.zip", uncategorized=True, base="/completed")
    assert (single.place, single.entry_path("a.zip")) == ("downloads/a.zip", "a.zip")
    assert single.archives == {"a.zip": ("a.zip",)}
    assert (library.place, library.entry_path("Show/a.rar")) == ("tv/Show/a.rar", "a.rar")
    assert library.archives == {}


def test_what_shares_a_folder_stays_together_behind_its_newest() -> None:
    def library(name: str, age: float) -> Item:
        return item_of(name, mtime=-age, ctime=-age)

    items = [
        library("Old/a.mkv", 900),
        library("New/a.mkv", 100),
        library("New/a.srt", 5000),
        library("Old/a.srt", 500),
        item_of("U/x", uncategorized=True, base="/completed", mtime=-1, ctime=-1),
    ]
    ordered = [item.path for item in in_order(items)]
    assert ordered == [
        "/tv/New/a.mkv", "/tv/New/a.srt", "/tv/Old/a.srt", "/tv/Old/a.mkv", "/completed/U",
    ]  # fmt: skip
    assert [item.path for item in in_order(items[::-1])] == ordered


@pytest.mark.parametrize(
    ("left", "lasts"), [(-1.0, False), (0.0, False), (1.0, True), (86400.0, True), (86401.0, False)]
)
def test_a_pause_longer_than_any_was_made_while_the_clock_was_wrong(
    left: float, lasts: bool
) -> None:
    item = item_of()
    pause = Pause(NOW + left, 1, "no answer", fingerprint(item.files))
    action = Upload(item, item.files, "b2:bucket/tv/a.mkv", "")
    assert bool(why_paused(action, {item.path: pause}, NOW)) is lasts
