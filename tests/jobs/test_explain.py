"""explain tells all of a file or a torrent, and never another story than the jobs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from mediapipe.disk import marker
from mediapipe.errors import RemoteOut, Unavailable, UsageError
from mediapipe.explanation import AboutFile, as_json, as_text
from mediapipe.plan import Kept, clock
from mediapipe.rules import Rules
from mediapipe.runner import Report
from mediapipe.subjects import refuse
from mediapipe.verdicts import Rehearsal, of_file_by_cleanup, of_file_by_upload
from tests.hosts import WEEK, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mediapipe.explanation import Explanation
    from mediapipe.ports import Torrent
    from tests.hosts import Host

DAY = 86400
OBJECT = "tv/Show/a.mkv"


def episode(host: Host, seeding_time: int = WEEK) -> tuple[Path, Path, Torrent]:
    """Import and upload an episode; gives download, link and torrent."""
    download = host.write(host.downloads / "tv" / "Show.S01E01" / "a.mkv", b"episode" * 100)
    link = host.link(download, host.folder / "media" / OBJECT)
    torrent = host.torrent("Show.S01E01", download, seeding_time=seeding_time)
    host.upload()
    return download, link, torrent


def text(told: Explanation) -> str:
    json.dumps(as_json(told))
    return "\n".join(as_text(told))


def test_a_seeding_episode_goes_when_its_torrent_has_seeded(host: Host) -> None:
    download, link, torrent = episode(host, WEEK - DAY)
    until = clock(host.now + DAY)

    told = host.explain(link)

    (about,) = told.files
    assert about.names == tuple(sorted(map(str, (download, link))))
    assert about.torrents == (torrent.hash,)
    assert about.markers == {marker.marker_path(str(link)): "proves it"}
    assert about.remote == {f"b2:bucket/{OBJECT}": "is there, size and SHA-1 equal"}
    assert [str(one) for one in about.upload] == ["nothing: it is proven"]
    (verdict,) = about.cleanup
    assert str(verdict) == (
        f"stays: it goes about {until}, when its torrent Show.S01E01 has seeded for 7 d, if all "
        "of it is proven by then and nothing else holds it"
    )
    assert told.unasked == {}
    shown = text(told)
    assert f"inode {link.stat().st_ino}, 2 links" in shown
    assert f"torrent Show.S01E01 [{torrent.hash}]" in shown
    assert "6 d by qBittorrent, 0 s by our record" in shown
    assert "upload" in told.history[0]


def test_all_names_of_a_torrent_lead_to_the_same_story(host: Host) -> None:
    download, link, torrent = episode(host)
    words = (download, link, torrent.hash, torrent.hash[:8].upper(), torrent.name,
             download.parent, link.parent)  # fmt: skip
    stories = {tuple(map(str, host.explain(word).files[0].cleanup)) for word in words}
    (story,) = stories
    planned = host.cleanup(dry_run=True).results
    expected = [
        f"goes: in the next run, as {one.action.path}: {one.action.reason}"
        for one in planned
        if one.action.path in map(str, (download, link))
    ]
    assert sorted(story) == sorted(expected)
    assert len(expected) == 2
    (about,) = host.explain(torrent.hash).torrents
    assert about.cleanup[0].word == "goes"


def test_shared_data_stays_until_the_last_torrent_goes(host: Host) -> None:
    download, link, _torrent = episode(host)
    other = host.link(download, host.downloads / "tv" / "Cross" / "a.mkv")
    host.torrent("Cross", other, seeding_time=WEEK - DAY)

    for path in (download, link, other):
        (about,) = host.explain(path).files
        assert {one.word for one in about.cleanup} == {"stays"}
        reasons = " ".join(one.reason for one in about.cleanup)
        assert f"it goes about {clock(host.now + DAY)}, when its torrent Cross" in reasons
    assert {one.action.kind for one in host.cleanup(dry_run=True).results} == {"remove-torrent"}


def test_torrents_of_one_name_have_their_own_stories(host: Host) -> None:
    first, second = (host.write(host.downloads / one / "a.mkv") for one in ("tv", "movies"))
    due = host.torrent("a", first)
    other = host.torrent("a", second, category="radarr", hash="f" * 40, seeding_time=WEEK - 60)

    stories = {one.torrent.hash: one.cleanup[0] for one in host.explain("a").torrents}

    assert "it seeds for 1 min more" in stories[other.hash].reason
    assert "nothing proves yet" in stories[due.hash].reason


def test_a_library_file_without_torrent_and_proof_is_nobodys(host: Host) -> None:
    path = host.write(host.tv / "old.mkv")

    (about,) = host.explain(path).files

    assert [str(one) for one in about.cleanup] == [
        "stays: nobody would ever delete it: no torrent holds it, and nothing proves it is on B2"
    ]
    assert [str(one) for one in about.upload] == [
        "sends: in the next runs, to b2:bucket/tv/old.mkv: it is not proven yet"
    ]


def test_an_orphan_tells_its_grace(host: Host) -> None:
    path = host.write(host.downloads / "tv" / "stray.mkv")
    host.write(host.downloads / "tv" / "T" / "a.mkv")
    host.torrent("T", host.downloads / "tv" / "T" / "a.mkv")
    host.cleanup()

    (about,) = host.explain(path).files

    assert [one.reason for one in about.cleanup] == [
        one.reason for one in host.cleanup(dry_run=True).kept if one.path == str(path)
    ]
    assert about.upload[0].word == "nothing"


def test_an_object_that_is_gone_is_told(host: Host) -> None:
    _download, link, _torrent = episode(host)
    host.remote.lose(OBJECT)

    (about,) = host.explain(link).files

    assert about.remote == {f"b2:bucket/{OBJECT}": "is gone"}
    assert all(one.word == "stays" and "is gone" in one.reason for one in about.cleanup)


def test_wanted_paused_and_refused_are_told(host: Host) -> None:
    extra = host.write(host.downloads / "tv" / "T" / "extra.mkv")
    host.torrent("T", extra)
    host.cleanup()
    (about,) = host.explain(extra).files
    assert about.wanted
    assert about.upload[0].word == "sends"

    failing = host.write(host.tv / "fails.mkv")
    host.remote.refused["tv/fails.mkv"] = "no such luck"
    host.upload()
    told = host.explain(failing)
    assert told.files[0].upload[0].word == "waits"
    assert "failed once" in told.files[0].upload[0].reason
    assert [one.subject for one in told.held_up] == [str(failing)]

    refused = host.write(host.tv / "a\u2401.mkv")
    assert host.explain(refused).files[0].upload[0].word == "refused"


def test_a_claim_is_no_proof(host: Host) -> None:
    path = host.write(host.tv / "a.mkv")
    host.write(host.tv / "a.mkv.uploaded", b"")

    (about,) = host.explain(path).files

    assert "is a claim" in about.markers[f"{path}.uploaded"]
    assert about.proofs == ()


def test_without_qbittorrent_the_rest_is_told(host: Host) -> None:
    _download, link, torrent = episode(host)
    host.torrents.failures["torrents"] = Unavailable("qBittorrent does not answer")

    told = host.explain(link)

    assert told.unasked == {
        "qBittorrent": "qBittorrent does not answer", "cleanup": "qBittorrent does not answer",
    }  # fmt: skip
    assert told.files[0].remote
    assert [str(one) for one in told.files[0].cleanup] == ["unknown: qBittorrent does not answer"]
    assert "unasked  qBittorrent" in text(told)
    with pytest.raises(Unavailable, match="does not answer"):
        host.explain(torrent.hash)


def test_without_b2_the_rest_is_told(host: Host) -> None:
    download, _link, _torrent = episode(host)
    host.remote.failures["look"] = RemoteOut("B2 is out")

    told = host.explain(download)

    assert told.unasked["remote"] == told.unasked["cleanup"] == "B2 is out"
    assert told.files[0].names != ()
    assert [str(one) for one in told.files[0].cleanup] == [
        "unknown: the torrent Show.S01E01 holds it: B2 is out"
    ]


def test_it_writes_nothing(host: Host) -> None:
    download, link, torrent = episode(host)
    host.write(host.tv / "pending.mkv")
    before = snapshot(host.folder)
    for word in (download, link, torrent.hash, host.tv, host.downloads):
        text(host.explain(word))
    assert snapshot(host.folder) == before


def test_what_is_gone_has_its_history(host: Host) -> None:
    _download, link, torrent = episode(host)
    host.cleanup()

    told = host.explain(link)

    assert told.files[0].file is None
    assert "delete-link" in " ".join(told.history)
    assert "not there" in text(told)
    assert any("remove-torrent" in line for line in host.explain(torrent.name).history)


def test_what_nobody_knows_is_a_mistake(host: Host) -> None:
    for word in ("nothing", "/no/such", "abcdef12"):
        with pytest.raises(UsageError, match="is called"):
            host.explain(word)
    for number in range(2):
        host.torrent(str(number), hash="abcdef" + str(number) * 34)
    with pytest.raises(UsageError, match=r"abcdef begins abcdef0{34} \(0\) and"):
        host.explain("abcdef")


def test_an_empty_folder_is_not_unknown(host: Host) -> None:
    """That is how a library ends: it is there, and nothing is in it."""
    with pytest.raises(UsageError, match="no file that a job looks at lies in it"):
        host.explain(host.movies)
    with pytest.raises(UsageError, match="nor was one"):
        host.explain(host.movies / "Film")
    with pytest.raises(UsageError, match=r"/Film: Permission denied$"):
        refuse(str(host.movies), {f"{host.movies}/Film": "Permission denied"})


def test_odd_names_are_shown(host: Host) -> None:
    path = host.write(host.tv / os.fsdecode(b"a\xff\n.mkv"))
    assert "a\\xff\\n.mkv" in text(host.explain(path))


def test_a_report_is_read_as_often_whatever_the_number_of_files(host: Host) -> None:
    """A folder of ten thousand files may meet a report of as many lines."""
    read = []

    class Lines(tuple[Kept, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[Kept]:
            read.append(1)
            return super().__iter__()

    paths = [str(host.tv / f"{number}.mkv") for number in range(100)]
    upload, cleanup = (
        Report(job, True, (), Lines(Kept(path, f"{job} waits") for path in paths))
        for job in ("upload", "cleanup")
    )
    rehearsal, rules = Rehearsal(cleanup, upload, {}, {}), Rules.of(host.config)
    for path in paths:
        about = AboutFile(path, None)
        (sent,) = of_file_by_upload(about, rehearsal, rules)
        (deleted,) = of_file_by_cleanup(about, {}, rehearsal, rules, 0.0)
        assert (sent.reason, deleted.reason) == ("upload waits", "cleanup waits")
    assert len(read) <= 4
