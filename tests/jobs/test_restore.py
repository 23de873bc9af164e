"""restore: what was deleted comes back byte-equal, under its names, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe import sources
from mediapipe.disk import marker
from mediapipe.disk.index import look
from mediapipe.errors import RemoteOut, Unavailable, UsageError
from tests.fakes import FakeBucket
from tests.hosts import reasons, snapshot, statuses

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts import Host

OBJECT = "tv/Show/Season 1/Show - 1x01.mkv"
CONTENT = b"episode" * 1000
TIME = 1_600_000_000_123_456_789


def audit(host: Host) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (host.state / "audit.jsonl").read_text().splitlines()]


def deleted(host: Host) -> tuple[Path, Path]:
    """Let an episode live its life to the end; gives the names of its download and its link."""
    download = host.write(host.downloads / "tv" / "Show.S01E01.mkv", CONTENT)
    os.utime(download, ns=(TIME, TIME))
    link = host.link(download, host.folder / "media" / OBJECT)
    torrent = host.torrent("Show.S01E01.mkv", download)
    host.upload()
    assert statuses(host.cleanup())[0][2] == "done"
    assert torrent.hash not in host.torrents.listed
    assert not download.exists()
    assert not link.parent.exists()
    return download, link


def temporaries(host: Host) -> list[str]:
    return [name for name in host.names() if ".restore" in name]


def test_a_deleted_link_comes_back_with_time_proof_and_marker(host: Host) -> None:
    download, link = deleted(host)

    report = host.restore(link)

    assert statuses(report) == [("restore", link.name, "done")]
    assert link.read_bytes() == CONTENT
    assert link.stat().st_mtime_ns == TIME
    assert reasons(report)[download.name].startswith("this other name is not made again: no torr")
    (line,) = [one for one in audit(host) if one["action"] == "restore"]
    assert (line["path"], line["proven"], line["names"]) == (str(link), True, [])
    assert line["remote"] == f"b2:bucket/{OBJECT}"
    assert line["inode"] == link.stat().st_ino
    found = marker.read(marker.marker_path(str(link)))
    file = look(str(link))
    assert found is not None
    assert file is not None
    assert found.proves({link.name: file})
    assert len(host.history().proofs(file.identity)) == 1
    host.later(10)
    sent = list(host.remote.sent)
    assert host.upload().results == ()
    assert host.remote.sent == sent
    host.later(7200)
    for _ in range(3):
        host.later(7200)
        assert host.cleanup(accept_loss=True).results == ()
    assert link.read_bytes() == CONTENT
    assert temporaries(host) == []


def test_a_download_that_a_torrent_holds_again_becomes_the_same_file(host: Host) -> None:
    download, link = deleted(host)
    host.torrent("Show.S01E01.mkv", download, seeding_time=1)

    report = host.restore(link)

    assert report.exit_status == 0
    assert link.samefile(download)
    assert report.results[0].extra["names"] == [str(download)]
    assert host.upload().results == ()


def test_a_download_itself_is_restored_where_a_person_asks_for_it(host: Host) -> None:
    download, link = deleted(host)

    report = host.restore(download)

    assert download.read_bytes() == CONTENT
    assert not link.parent.exists()
    assert "its folder is gone" in reasons(report)[link.name]
    assert "deletes it again as an orphan" in report.results[0].action.reason


def test_a_link_is_not_bound_to_a_download_that_cleanup_takes_away_again(host: Host) -> None:
    download, link = deleted(host)
    link.parent.mkdir(parents=True)

    report = host.restore(download)

    assert not link.exists()
    assert "would go with it" in reasons(report)[link.name]


@pytest.mark.parametrize("stranger", ["replaced", "hidden", "shorter"])
def test_a_replaced_or_hidden_object_is_fetched_by_its_id(host: Host, stranger: str) -> None:
    _download, link = deleted(host)
    host.remote.account = FakeBucket()
    if stranger == "hidden":
        host.remote.hide([OBJECT])
    else:
        host.remote.put(OBJECT, b"x" * (len(CONTENT) if stranger == "replaced" else 3))

    report = host.restore(link)

    assert statuses(report) == [("restore", link.name, "done")]
    assert link.read_bytes() == CONTENT
    assert "download" in host.remote.account.calls
    assert "fetch" not in host.remote.calls
    assert report.results[0].extra["proven"] is False
    assert not os.path.lexists(marker.marker_path(str(link)))
    host.upload()  # what its name stands for is this file again
    assert host.remote.versions[OBJECT][-1].content == CONTENT


def test_without_the_old_version_it_is_told_and_nothing_is_left_behind(host: Host) -> None:
    _download, link = deleted(host)
    host.remote.account = FakeBucket()
    host.remote.lose(OBJECT)

    report = host.restore(link)

    assert statuses(report) == [("restore", link.name, "failed")]
    assert report.results[0].error == "B2 has no such version any more"
    assert report.exit_status == 3
    assert not (host.tv / "Show").exists()


def test_behind_another_kind_of_remote_a_lost_object_is_lost(host: Host) -> None:
    _download, link = deleted(host)
    host.remote.lose(OBJECT)

    report = host.restore(link)

    assert (report.outcome, report.results) == ("refused", ())
    assert "not plainly B2" in reasons(report)[link.name]
    assert link.name in (report.reason or "")


def test_a_broken_connection_is_taken_up_where_it_ended(host: Host) -> None:
    _download, link = deleted(host)
    account = BrokenBucket(500)
    host.remote.account = account
    host.remote.put(OBJECT, b"other")

    assert statuses(host.restore(link)) == [("restore", link.name, "done")]

    assert link.read_bytes() == CONTENT
    assert account.starts == list(range(0, len(CONTENT) - 999, 1000))


def test_an_outage_ends_the_restore_and_leaves_nothing(host: Host) -> None:
    _download, link = deleted(host)
    host.remote.account = FakeBucket(failures={"download": Unavailable("out")})
    host.remote.put(OBJECT, b"other")

    report = host.restore(link)

    assert (report.outcome, statuses(report)[0][2]) == ("unavailable", "planned")
    assert isinstance(report.trouble, RemoteOut)
    assert not (host.tv / "Show").exists()


class BrokenBucket(FakeBucket):
    """A bucket whose connections break after one block; such a thing cannot be had on demand."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.starts: list[int] = []

    def download(self, file_id: str, take: Any, *, start: int = 0) -> None:
        self.starts.append(start)
        content = self.contents[file_id]
        take(content[start : start + 1000])
        if start + 1000 < len(content):
            raise Unavailable("the connection broke")


def test_what_arrives_otherwise_than_proven_gets_no_name(host: Host) -> None:
    _download, link = deleted(host)
    there = host.remote.versions[OBJECT][-1]

    def rot(method: str) -> None:
        if method == "fetch":
            host.remote.versions[OBJECT][-1] = type(there)(b"X" + CONTENT[1:], there.file_id)

    host.remote.before = rot
    report = host.restore(link)

    assert statuses(report) == [("restore", link.name, "failed")]
    assert "another SHA-1" in (report.results[0].error or "")
    assert not (host.tv / "Show").exists()


def test_nothing_is_overwritten(host: Host) -> None:
    _download, link = deleted(host)
    host.write(link, b"newer")

    report = host.restore(link)

    assert (report.outcome, report.results) == ("done", ())
    assert "nothing is overwritten" in reasons(report)[link.name]
    assert link.read_bytes() == b"newer"


def test_what_appears_meanwhile_is_not_overwritten(host: Host) -> None:
    _download, link = deleted(host)

    def appear(method: str) -> None:
        if method == "fetch":
            host.write(link, b"newer")

    host.remote.before = appear
    assert statuses(host.restore(link)) == [("restore", link.name, "stale")]
    assert link.read_bytes() == b"newer"
    assert temporaries(host) == []


def test_a_dry_run_changes_nothing(host: Host) -> None:
    _download, link = deleted(host)
    before = snapshot(host.folder)

    report = host.restore(link, dry_run=True)

    assert statuses(report) == [("restore", link.name, "planned")]
    assert snapshot(host.folder) == before


def test_a_folder_brings_back_all_of_it_and_tells_what_was_never_uploaded(host: Host) -> None:
    folder = host.downloads / "books" / "Book"
    book, cover = host.write(folder / "a" / "book.epub", CONTENT), host.write(folder / "b.txt")
    host.torrent("Book", book, cover, category="books")
    host.upload()
    host.cleanup()
    assert not folder.exists()

    report = host.restore(folder)

    assert sorted(statuses(report)) == [
        ("restore", "b.txt", "done"), ("restore", "book.epub", "done"),
    ]  # fmt: skip
    assert book.read_bytes() == CONTENT
    assert cover.read_bytes() == os.fsencode(cover)
    assert host.upload().results == ()
    assert (folder.parent / "Book.uploaded").exists()


def test_what_was_discarded_is_told(host: Host) -> None:
    folder = host.downloads / "tv" / "Show.S01E01"
    download = host.write(folder / "a.mkv", CONTENT)
    info = host.write(folder / "a.nfo", b"i")
    host.link(download, host.tv / "Show" / "a.mkv")
    host.torrent("Show.S01E01", download, info)
    host.upload()
    host.cleanup()
    assert not folder.exists()

    report = host.restore(folder)

    assert statuses(report) == [("restore", "a.mkv", "done")]
    assert reasons(report)["a.nfo"] == "it was never uploaded (it is discardable)"
    assert report.exit_status == 0


def test_an_archive_comes_back_as_its_members(host: Host, tmp_path: Path) -> None:
    members = {"film.mkv": CONTENT, "Subs/en.srt": b"text"}
    volumes = host.pack(host.downloads / "Foo" / "film.part1.rar", members, 2)
    host.torrent("Foo", *volumes, category="")
    host.upload()
    host.cleanup()
    assert not (host.downloads / "Foo").exists()

    refused = host.restore(host.downloads / "Foo")
    assert (refused.outcome, refused.results) == ("refused", ())
    assert "give --to FOLDER" in reasons(refused)["film.part1.rar"]

    to = tmp_path / "to"
    to.mkdir()
    report = host.restore(host.downloads / "Foo", to)
    assert [one[2] for one in statuses(report)] == ["done", "done"]
    found = {
        os.path.relpath(os.path.join(folder, name), to)
        for folder, _, names in os.walk(to)
        for name in names
    }
    assert found == {"Foo/film.mkv", "Foo/Subs/en.srt"}
    assert (to / "Foo" / "film.mkv").read_bytes() == CONTENT


def test_it_goes_elsewhere_where_that_is_asked_for(host: Host, tmp_path: Path) -> None:
    _download, link = deleted(host)
    to = tmp_path / "to"
    to.mkdir()

    host.restore(host.tv / "Show", to)

    assert (to / "Show" / "Season 1" / link.name).read_bytes() == CONTENT
    assert os.listdir(to / "Show" / "Season 1") == [link.name]
    assert not (host.tv / "Show").exists()
    with pytest.raises(UsageError, match="is no folder"):
        host.restore(link, tmp_path / "nowhere")


def test_a_root_that_is_gone_is_not_filled(host: Host) -> None:
    _download, link = deleted(host)
    shutil.rmtree(host.tv)
    host.tv.mkdir()

    for path in (link, host.tv, host.folder):
        with pytest.raises(Unavailable):
            host.restore(path)
    assert list(host.tv.iterdir()) == []


def test_what_has_no_room_is_refused_whole(host: Host) -> None:
    _download, link = deleted(host)
    path = host.state / "audit.jsonl"
    lines = audit(host)
    for line in lines:
        line.pop("objects", None)
        if "size" in line:
            line["size"] = 1 << 60
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    host.remote.account = FakeBucket()

    report = host.restore(link)

    assert report.outcome == "refused"
    assert "would be fetched, and only" in (report.reason or "")
    assert host.remote.account.calls == []


def test_what_nobody_deleted_is_not_known(host: Host) -> None:
    report = host.restore(host.tv / "no.mkv")
    assert report.outcome == "refused"
    assert "the audit knows of no file" in (report.reason or "")
    assert host.remote.calls == []


def test_what_a_person_deleted_is_known_from_its_upload(host: Host) -> None:
    path = host.write(host.tv / "a.mkv", CONTENT)
    host.upload()
    path.unlink()

    assert statuses(host.restore(path)) == [("restore", "a.mkv", "done")]
    assert path.read_bytes() == CONTENT


def test_a_torn_line_hides_nothing(host: Host) -> None:
    _download, link = deleted(host)
    path = host.state / "audit.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    # a crash tore a line, the next run went on behind it; and the last line was torn, too
    path.write_bytes(b"".join([lines[0][:40], *lines, lines[-1][:30]]))

    assert sources.find(str(host.state), str(link))[0].path == str(link)
    assert statuses(host.restore(link)) == [("restore", link.name, "done")]
