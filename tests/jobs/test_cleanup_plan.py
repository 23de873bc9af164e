"""cleanup: what goes, what stays and why, and that nothing goes which the remote does not prove."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe import audit
from mediapipe.config import CleanupCategory
from mediapipe.disk import marker
from mediapipe.disk.index import File
from mediapipe.errors import ActionFailed, ConfigError, Refused, Unavailable
from mediapipe.folders import Folders
from mediapipe.holdings import Candidate, Holding
from mediapipe.jobs.cleanup import World, plan
from mediapipe.judging import why_keep, why_not_due, why_unproven
from mediapipe.plan import clock
from mediapipe.ports import RemoteObject, Torrent
from mediapipe.records import Proof, Proven
from mediapipe.rules import Rules
from mediapipe.units import Seconds
from tests.crashes import deaths
from tests.hosts import HOUR, WEEK, Host, contents, reasons, sha1, snapshot, statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = 1_800_000_000.0
MIB = 1 << 20
UNPROVEN = "nothing proves yet that it is on B2; the next upload takes it"
UNPROVEN_ORPHAN = (
    "nothing proves that it is on B2; once it is in a library or uploaded, that changes"
)


ELSEWHERE = (
    "a.mkv: 1 of its 2 names lie outside the libraries and downloads; remove them, or set "
    'links_elsewhere = "ignore"'
)


# the reasons, as tables


@pytest.fixture
def rules(host: Host) -> Rules:
    return Rules.of(host.config)


def torrent_of(host: Host, **fields: Any) -> Torrent:
    base = Torrent(
        "h", "T", "tv-sonarr", "stalledUP", 1.0, 0, f"{host.downloads}/tv", 10, WEEK, 1.0
    )
    return replace(base, **fields)


@pytest.mark.parametrize(
    ("fields", "seeded", "reason"),
    [
        ({}, 0.0, ""),
        ({"save_path": "completed"}, 0.0, ""),
        ({"seeding_time": 0}, float(WEEK), ""),
        ({"seeding_time": WEEK - 60}, 5.0,
         f"it seeds for 1 min more, until about {clock(NOW + 60)}"),
        ({"seeding_time": 5}, WEEK - 60.0,
         f"it seeds for 1 min more, until about {clock(NOW + 60)}"),
        ({"state": "downloading"}, 0.0, "it is downloading (100%), not complete and at rest"),
        ({"state": "checkingUP"}, 0.0, "it is checkingUP (100%), not complete and at rest"),
        ({"state": "moving"}, 0.0, "it is moving (100%), not complete and at rest"),
        ({"state": "missingFiles"}, 0.0, "it is missingFiles (100%), not complete and at rest"),
        ({"state": "a new one"}, 0.0, "it is a new one (100%), not complete and at rest"),
        ({"progress": 0.5}, 0.0, "it is stalledUP (50%), not complete and at rest"),
        ({"amount_left": 1}, 0.0, "it is stalledUP (100%), not complete and at rest"),
        ({"state": "pausedUP"}, 0.0, ""),
        ({"state": "stoppedUP"}, 0.0, ""),
    ],
)  # fmt: skip
def test_why_not_due(
    host: Host, rules: Rules, fields: dict[str, Any], seeded: float, reason: str
) -> None:
    if "save_path" in fields:
        fields = {"save_path": str(host.downloads)}
    assert why_not_due(torrent_of(host, **fields), seeded, rules, NOW) == reason


@pytest.mark.parametrize("place", ["/elsewhere", "/", "", "{}x", "relative"])
def test_a_torrent_saved_elsewhere_is_never_due(host: Host, rules: Rules, place: str) -> None:
    path = place.format(host.downloads)
    assert why_not_due(torrent_of(host, save_path=path), 0.0, rules, NOW) == (
        f"it is saved in {path}, outside {host.downloads}"
    )


def test_a_category_may_have_rules_of_its_own(host: Host) -> None:
    own = CleanupCategory(Seconds(60), 2.0)
    host.configure("cleanup", categories={"radarr": own}, min_ratio=0.5)
    rules = Rules.of(host.config)
    film = torrent_of(host, category="radarr", seeding_time=60, ratio=2.0)
    assert why_not_due(film, 0.0, rules, NOW) == ""
    assert why_not_due(replace(film, ratio=1.9), 0.0, rules, NOW) == (
        "its share ratio is 1.90, 2.00 is asked for"
    )
    assert why_not_due(replace(film, category="tv-sonarr"), 0.0, rules, NOW).startswith("it seeds")
    show = torrent_of(host, ratio=0.4)
    assert why_not_due(show, 0.0, rules, NOW) == "its share ratio is 0.40, 0.50 is asked for"


def file_of(path: str, number: int = 1, size: int = MIB * 1000, links: int = 1) -> File:
    return File(path, 1, number, links, size, 7, 7)


def proven(name: str, size: int = MIB * 1000, sha1: str = "a" * 40) -> tuple[Proof, ...]:
    remote = f"b2:bucket/{name}"
    return (Proof(remote, (Proven(remote, size, sha1),)),)


def holding(host: Host, name: str = "a.mkv", **fields: Any) -> Holding:
    """Give a proven file of a torrent in tv."""
    path = f"{host.downloads}/tv/T/{name}"
    number = sum(map(ord, name))
    size = fields.pop("size", MIB * 1000)
    links = fields.pop("links", 1)
    base = Holding(
        path, file_of(path, number, size, links), names=(path,), proofs=proven(name, size)
    )
    return replace(base, **fields)


def candidate(host: Host, *holdings: Holding, **fields: Any) -> Candidate:
    base = Candidate("h", "T", torrent_of(host), "tv-sonarr", holdings)
    return replace(base, **fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"trouble": "cannot be read: Input/output error"},
         "a.mkv: cannot be read: Input/output error"),
        ({"file": None}, "a.mkv: it is not on disk, though the torrent is complete"),
        ({"proofs": ()}, f"a.mkv: {UNPROVEN}"),
        ({"links": 2},
         ELSEWHERE),
        ({"claimants": frozenset({"h", "other"})}, ""),
        ({"wanted": False}, ""),
        ({"wanted": False, "finished": False}, ""),
        ({"wanted": False, "finished": False, "links": 2},
         ELSEWHERE),
    ],
)  # fmt: skip
def test_why_keep_for_one_file(
    host: Host, rules: Rules, fields: dict[str, Any], reason: str
) -> None:
    assert why_keep(candidate(host, holding(host, **fields)), rules) == reason


def test_why_keep_for_what_is_no_file_at_all(host: Host, rules: Rules) -> None:
    assert why_keep(candidate(host), rules) == "nothing is known of its files"
    gone = holding(host, file=None, wanted=False, proofs=())
    assert why_keep(candidate(host, gone), rules) == "none of its files is on disk"
    assert why_keep(candidate(host, gone, torrent=None, intent=1), rules) == ""


def test_an_orphan_waits_for_its_grace_and_for_every_torrent(host: Host, rules: Rules) -> None:
    orphan = candidate(host, holding(host), torrent=None, key="/x")
    assert why_keep(orphan, rules) == ""
    assert why_keep(replace(orphan, grace="not yet"), rules) == "not yet"
    held = candidate(host, holding(host, claimants=frozenset({"h"})), torrent=None, key="/x")
    assert why_keep(held, rules) == "a.mkv: a torrent in the list holds its data"


def test_a_name_elsewhere_may_be_ignored(host: Host) -> None:
    host.configure("cleanup", links_elsewhere="ignore")
    assert why_keep(candidate(host, holding(host, links=3)), Rules.of(host.config)) == ""


@pytest.mark.parametrize(
    ("name", "size", "category", "may"),
    [
        ("a.nfo", 100 * MIB - 1, "tv-sonarr", True),
        ("a.nfo", 100 * MIB, "tv-sonarr", False),
        ("a.NFO", 1, "tv-sonarr", True),
        ("a.Nfo", 1, "radarr", True),
        ("a.nfo", 1, "books", False),
        ("a.nfo", 1, "", False),
        ("a.srt", 1, "tv-sonarr", False),
        ("a.mkv.nfo.mkv", 1, "tv-sonarr", False),
        ("Sample/x.mkv", 1, "tv-sonarr", True),
        ("Samples/x.mkv", 1, "tv-sonarr", False),
        ("show-sample.mkv", 1, "tv-sonarr", True),
        ("show.sample.mkv", 1, "tv-sonarr", True),
        ("showsample.mkv", 1, "tv-sonarr", False),
        ("proof/x.jpg", 1, "tv-sonarr", True),
        ("proof.jpg/x.mkv", 1, "tv-sonarr", True),
    ],
)
def test_what_may_go_unuploaded(
    host: Host, rules: Rules, name: str, size: int, category: str, may: bool
) -> None:
    one = candidate(
        host, holding(host), holding(host, name, size=size, proofs=()), category=category
    )
    wanted = "" if may else f"{os.path.basename(name)}: {UNPROVEN}"
    assert why_keep(one, rules) == wanted


def test_what_may_go_unuploaded_is_a_tenth_of_the_largest_file_at_most(
    host: Host, rules: Rules
) -> None:
    for size, may in ((100, True), (101, False)):
        one = candidate(
            host, holding(host, size=1000), holding(host, "a.nfo", size=size, proofs=())
        )
        assert (why_keep(one, rules) == "") is may


def test_nothing_goes_unuploaded_without_a_proven_file_beside_it(host: Host, rules: Rules) -> None:
    one = candidate(host, holding(host, proofs=()), holding(host, "a.nfo", size=1, proofs=()))
    assert why_keep(one, rules) == f"a.mkv: {UNPROVEN}"
    gone = candidate(
        host,
        holding(host, file=None, wanted=False),
        holding(host, "a.nfo", size=1, proofs=()),
    )
    assert why_keep(gone, rules) == f"a.nfo: {UNPROVEN}"


@pytest.mark.parametrize("category", ["tv-sonarr", "books", ""])
def test_a_piece_of_a_deselected_file_may_go(host: Host, rules: Rules, category: str) -> None:
    piece = holding(host, "b.mkv", wanted=False, finished=False, proofs=())
    assert why_keep(candidate(host, holding(host), piece, category=category), rules) == ""
    for whole in (replace(piece, finished=True), replace(piece, wanted=True)):
        one = candidate(host, holding(host), whole, category=category)
        assert why_keep(one, rules) == f"b.mkv: {UNPROVEN}"
    several = replace(piece, file=file_of(piece.path, 5, links=2), names=(piece.path, "/x"))
    one = candidate(host, holding(host), several, category=category)
    assert why_keep(one, rules) == "b.mkv: it is unselected, and has several names"


def test_what_keeps_an_unproven_file_is_told_by_who_can_change_it(host: Host) -> None:
    bare = holding(host, proofs=())
    assert why_keep(candidate(host, bare), Rules.of(host.config)) == f"a.mkv: {UNPROVEN}"
    orphan = candidate(host, bare, torrent=None, key="/x")
    assert why_keep(orphan, Rules.of(host.config)) == f"a.mkv: {UNPROVEN_ORPHAN}"
    host.configure("upload", leftovers="keep")
    assert why_keep(candidate(host, bare), Rules.of(host.config)) == f"a.mkv: {UNPROVEN_ORPHAN}"


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (RemoteObject(MIB * 1000, "a" * 40, "id"), ""),
        (None, "a.mkv: b2:bucket/a.mkv is gone; it is uploaded again"),
        (RemoteObject(5, "a" * 40, "id"),
         "a.mkv: b2:bucket/a.mkv is 5 B long now; it is uploaded again"),
        (RemoteObject(MIB * 1000, "b" * 40, "id"),
         "a.mkv: b2:bucket/a.mkv has other bytes now; it is uploaded again"),
        (RemoteObject(MIB * 1000, "", "id"),
         "a.mkv: b2:bucket/a.mkv has other bytes now; it is uploaded again"),
    ],
)  # fmt: skip
def test_why_unproven(host: Host, there: RemoteObject | None, reason: str) -> None:
    objects = {"b2:bucket/a.mkv": there} if there else {}
    assert why_unproven(candidate(host, holding(host)), objects) == reason


def test_one_of_two_proofs_is_enough(host: Host) -> None:
    both = holding(host, proofs=proven("a.mkv") + proven("tv/a.mkv"))
    objects = {"b2:bucket/tv/a.mkv": RemoteObject(MIB * 1000, "a" * 40, "id")}
    assert why_unproven(candidate(host, both), objects) == ""


def test_a_proof_without_sha1_is_none(host: Host) -> None:
    blank = holding(host, proofs=proven("a.mkv", sha1=""))
    objects = {"b2:bucket/a.mkv": RemoteObject(MIB * 1000, "", "id")}
    assert "has other bytes now" in why_unproven(candidate(host, blank), objects)


# the guards of the plan


def world_of(
    *candidates: Candidate, refused: str = "", names: dict[str, str] | None = None
) -> World:
    objects = {
        part.remote: RemoteObject(part.size, part.sha1, "id")
        for two in candidates
        for one in two.holdings
        for proof in one.proofs
        for part in proof.objects
    }
    listed = (
        names if names is not None else {one.key: one.name for one in candidates if one.torrent}
    )
    return World(candidates, listed, objects, Folders({}, frozenset()), (), refused)


def many(host: Host, count: int, key: str, **fields: Any) -> Candidate:
    held = tuple(
        replace(
            holding(host, f"{key}{number}.mkv"),
            file=file_of(f"{host.downloads}/tv/T/{key}{number}.mkv", hash((key, number))),
        )
        for number in range(count)
    )
    return candidate(host, *held, key=key, name=key, **fields)


def removed(made: Any) -> list[str]:
    return [one.name for one in made.actions if one.kind == "remove-torrent"]


def test_torrents_go_in_their_order_up_to_max_deletes(host: Host) -> None:
    host.configure("cleanup", max_deletes=5)
    rules = Rules.of(host.config)
    world = world_of(many(host, 3, "one"), many(host, 2, "two"), many(host, 1, "three"))
    made = plan(world, rules, force=False)
    assert removed(made) == ["one", "two"]
    assert [(one.path, one.reason) for one in made.kept] == [
        ("three", "max_deletes = 5 files are reached; it goes in a later run")
    ]
    assert made.refused == ""
    assert removed(plan(world, rules, force=True)) == ["one", "two", "three"]


def test_one_torrent_always_fits(host: Host) -> None:
    host.configure("cleanup", max_deletes=1)
    made = plan(
        world_of(many(host, 30, "large"), many(host, 1, "small")),
        Rules.of(host.config), force=False,
    )  # fmt: skip
    assert removed(made) == ["large"]


def test_two_names_of_one_inode_count_once(host: Host) -> None:
    host.configure("cleanup", max_deletes=2)
    twice = many(host, 1, "one")
    same_inode = replace(twice.holdings[0], path=f"{host.downloads}/tv/T/again.mkv")
    one = replace(twice, holdings=(*twice.holdings, same_inode))
    made = plan(world_of(one, many(host, 1, "two")), Rules.of(host.config), force=False)
    assert removed(made) == ["one", "two"]


def test_more_orphans_than_max_deletes_are_refused_as_a_whole(host: Host) -> None:
    host.configure("cleanup", max_deletes=3)
    rules = Rules.of(host.config)
    orphans = [many(host, 2, f"/{name}", torrent=None) for name in "ab"]
    due = many(host, 1, "due")
    made = plan(world_of(due, *orphans), rules, force=False)
    why = (
        "4 files of orphans would go, more than max_deletes = 3: look at them with "
        "--dry-run --force, then run once with --force"
    )
    assert made.refused == why
    assert [(one.path, one.reason) for one in made.kept] == [("/a", why), ("/b", why)]
    assert {one.group for one in made.actions} == {"due"}
    forced = plan(world_of(due, *orphans), rules, force=True)
    assert forced.refused == ""
    assert {one.group for one in forced.actions} == {"due", "/a", "/b"}


def test_a_lost_list_refuses_orphans_alone(host: Host) -> None:
    rules = Rules.of(host.config)
    orphan, due = many(host, 1, "/a", torrent=None), many(host, 1, "due")
    made = plan(world_of(due, orphan, refused="the list is lost"), rules, force=False)
    assert (made.refused, {one.group for one in made.actions}) == ("the list is lost", {"due"})
    # force lifts max_deletes, nothing else
    forced = plan(world_of(due, orphan, refused="the list is lost"), rules, force=True)
    assert forced == made
    assert plan(world_of(due, refused="the list is lost"), rules, force=False).refused == ""


def test_a_file_that_a_staying_torrent_holds_is_left_and_told(host: Host, rules: Rules) -> None:
    shared = holding(host, "shared.mkv", claimants=frozenset({"h", "other"}))
    own = holding(host, "own.mkv", claimants=frozenset({"h"}))
    world = world_of(candidate(host, shared, own), names={"h": "T", "other": "Other"})
    made = plan(world, rules, force=False)
    assert [(one.kind, os.path.basename(one.path)) for one in made.actions] == [
        ("remove-torrent", "T"),
        ("delete-file", "own.mkv"),
    ]
    assert [(one.path, one.reason) for one in made.kept] == [
        (shared.path, "the torrent Other holds it too")
    ]


def test_what_two_due_torrents_share_goes_with_the_second(host: Host, rules: Rules) -> None:
    shared = holding(host, "shared.mkv", claimants=frozenset({"one", "two"}))
    pair = [candidate(host, shared, key=key, name=key) for key in ("one", "two")]
    made = plan(world_of(*pair), rules, force=False)
    assert [(one.kind, one.group) for one in made.actions] == [
        ("remove-torrent", "one"),
        ("remove-torrent", "two"),
        ("delete-file", "two"),
    ]


# whole runs


@pytest.fixture
def full(host: Host) -> Host:
    """Give a host with a due torrent that is imported and uploaded, and one that still seeds."""
    episode = host.write(host.downloads / "tv" / "Show.S01" / "e1.mkv", b"e1" * 500)
    info = host.write(host.downloads / "tv" / "Show.S01" / "info.nfo", b"i")
    host.link(episode, host.tv / "Show" / "Season 1" / "Show - 1x01.mkv")
    host.torrent("Show.S01", episode, info)
    film = host.write(host.downloads / "movies" / "Film" / "film.mkv", b"film" * 500)
    host.link(film, host.movies / "Film (2020)" / "Film.mkv")
    host.torrent("Film", film, category="radarr", seeding_time=60)
    assert {one.status for one in host.upload().results} == {"done"}
    return host


def test_a_due_torrent_goes_with_its_files_links_markers_and_folders(full: Host) -> None:
    report = full.cleanup()
    assert statuses(report) == [
        ("remove-torrent", "Show.S01", "done"),
        ("delete-file", "info.nfo", "done"),
        ("delete-file", "e1.mkv", "done"),
        ("delete-link", "Show - 1x01.mkv", "done"),
        ("delete-marker", "Show - 1x01.mkv.uploaded", "done"),
        ("remove-directory", "Show.S01", "done"),
        ("remove-directory", "Season 1", "done"),
        ("remove-directory", "Show", "done"),
    ]
    assert (report.outcome, report.exit_status) == ("done", 0)
    assert full.names() == {
        "downloads/completed/movies",
        "downloads/completed/movies/Film",
        "downloads/completed/movies/Film/film.mkv",
        "downloads/completed/tv",
        "media/movies/Film (2020)",
        "media/movies/Film (2020)/Film.mkv",
        "media/movies/Film (2020)/Film.mkv.uploaded",
    }
    assert {one.name for one in full.torrents.listed.values()} == {"Film"}
    assert reasons(report)["Film"].startswith("it seeds for 6 d 23 h more")
    assert full.history().intents() == ()
    assert full.cleanup().results == ()


def test_the_audit_tells_what_a_restore_needs(full: Host) -> None:
    inode = (full.downloads / "tv" / "Show.S01" / "e1.mkv").stat().st_ino
    full.cleanup()
    lines = [json.loads(line) for line in (full.state / "audit.jsonl").read_text().splitlines()]
    first, *rest = [line for line in lines if line["job"] == "cleanup"]
    assert (first["action"], first["path"]) == ("remove-torrent", "Show.S01")
    assert first["hash"] == sha1(b"Show.S01")
    name = "tv/Show/Season 1/Show - 1x01.mkv"
    about = {
        "remote": f"b2:bucket/{name}",
        "sha1": sha1(b"e1" * 500),
        "file_id": full.remote.versions[name][-1].file_id,
        "size": 1000,
        "inode": inode,
    }
    for line in rest:
        if line["action"] in ("delete-file", "delete-link") and "info" not in line["path"]:
            assert {key: line[key] for key in about} == about


def test_a_torrent_that_nothing_uploaded_stays(host: Host) -> None:
    path = host.write(host.downloads / "tv" / "T" / "a.mkv")
    host.torrent("T", path)
    host.upload()
    report = host.cleanup()
    assert (report.results, reasons(report)) == ((), {"T": f"a.mkv: {UNPROVEN}"})
    assert host.remote.calls == []


def test_an_unproven_file_keeps_the_whole_torrent(full: Host) -> None:
    extra = full.write(full.downloads / "tv" / "Show.S01" / "extra.mkv")
    (hash_,) = [one.hash for one in full.torrents.listed.values() if one.name == "Show.S01"]
    full.torrents.lists[hash_] += (replace(full.torrents.lists[hash_][0], path=str(extra)),)
    before = full.names()
    report = full.cleanup()
    assert report.results == ()
    assert reasons(report)["Show.S01"] == f"extra.mkv: {UNPROVEN}"
    assert full.names() == before


def test_the_remote_is_asked_in_this_very_run(full: Host) -> None:
    full.remote.calls.clear()
    full.remote.failures["look"] = Unavailable("no route")
    before = full.names()
    with pytest.raises(Unavailable):
        full.cleanup()
    assert full.names() == before
    assert len(full.torrents.listed) == 2


NAME = "tv/Show/Season 1/Show - 1x01.mkv"


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (lambda host: host.remote.lose(NAME), f"b2:bucket/{NAME} is gone"),
        (lambda host: host.remote.put(NAME, b"other" * 200),
         f"b2:bucket/{NAME} has other bytes now"),
        (lambda host: host.remote.put(NAME, b"short"), f"b2:bucket/{NAME} is 5 B long now"),
        (lambda host: setattr(host.remote, "without_sha1", True),
         f"b2:bucket/{NAME} has other bytes now"),
    ],
    ids=["gone", "other bytes", "shorter", "no sha1"],
)  # fmt: skip
def test_an_object_that_is_gone_takes_its_marker_and_proof_with_it(
    full: Host, lie: Callable[[Host], None], why: str
) -> None:
    link = full.tv / "Show" / "Season 1" / "Show - 1x01.mkv"
    about = link.stat()
    identity = (about.st_ino, about.st_size, about.st_mtime_ns)
    assert full.history().proofs(identity)
    lie(full)
    report = full.cleanup()
    assert statuses(report) == [("delete-marker", "Show - 1x01.mkv.uploaded", "done")]
    assert reasons(report)["Show.S01"] == f"e1.mkv: {why}; it is uploaded again"
    assert full.history().proofs(identity) == ()
    assert link.read_bytes() == b"e1" * 500
    full.remote.without_sha1 = False
    full.later(HOUR)
    assert statuses(full.upload()) == [("upload", "Show - 1x01.mkv", "done")]
    assert full.cleanup().results
    assert "media/tv/Show" not in full.names()


def test_a_proof_row_is_enough_when_the_link_is_renamed_or_its_marker_lost(full: Host) -> None:
    link = full.tv / "Show" / "Season 1" / "Show - 1x01.mkv"
    link.rename(full.tv / "Show" / "renamed.mkv")
    os.unlink(f"{link}.uploaded")
    full.cleanup()
    assert "media/tv/Show/renamed.mkv" not in full.names()
    assert "Film" in {one.name for one in full.torrents.listed.values()}


def test_a_marker_is_enough_when_the_history_is_lost(full: Host) -> None:
    for path in full.state.iterdir():
        path.unlink()
    full.cleanup()
    assert "media/tv/Show" not in full.names()


def test_without_marker_and_row_the_file_stays(full: Host) -> None:
    for path in full.state.iterdir():
        path.unlink()
    os.unlink(full.tv / "Show" / "Season 1" / "Show - 1x01.mkv.uploaded")
    report = full.cleanup()
    assert report.results == ()
    assert reasons(report)["Show.S01"] == f"e1.mkv: {UNPROVEN}"


@pytest.mark.parametrize("claim", [b"", b"uploaded", b"{}"])
def test_a_mere_claim_deletes_nothing(host: Host, claim: bytes) -> None:
    path = host.write(host.downloads / "tv" / "T" / "a.mkv")
    link = host.link(path, host.tv / "a.mkv")
    host.write(host.tv / "a.mkv.uploaded").write_bytes(claim)
    host.remote.put("tv/a.mkv", path.read_bytes())
    host.torrent("T", path)
    assert host.cleanup().results == ()
    assert link.exists()


@pytest.mark.parametrize("history", ["kept", "lost"])
@pytest.mark.parametrize("how", ["rewritten", "replaced", "touched"])
def test_a_marker_of_what_stood_there_before_deletes_nothing(
    host: Host, how: str, history: str
) -> None:
    """Equal size and name, and an object that is all right: but of other bytes."""
    path = host.write(host.downloads / "Foo" / "a.mkv", b"first")
    host.torrent("Foo", path, category="")
    host.upload()
    if how == "rewritten":
        path.write_bytes(b"other")
    elif how == "replaced":
        host.write(host.folder / "new", b"other").rename(path)
    os.utime(path, ns=(5, 5))
    for file in host.state.iterdir() if history == "lost" else ():
        file.unlink()
    report = host.cleanup()
    assert report.results == ()
    assert reasons(report)["Foo"] == f"a.mkv: {UNPROVEN}"
    assert path.exists()


def test_a_marker_with_somebody_elses_remote_deletes_nothing(full: Host) -> None:
    for path in full.state.iterdir():
        path.unlink()
    full.configure("rclone", remote="b2:bucket-2")
    full.remote.root = "b2:bucket-2"
    report = full.cleanup()
    assert report.results == ()
    assert reasons(report)["Show.S01"] == f"e1.mkv: {UNPROVEN}"


# sharing


def test_a_foreign_torrent_of_the_same_path_keeps_the_file(full: Host) -> None:
    path = full.downloads / "tv" / "Show.S01" / "e1.mkv"
    full.torrent("Again", path, seeding_time=60)
    report = full.cleanup()
    assert ("remove-torrent", "Show.S01", "done") in statuses(report)
    assert path.exists()
    assert (full.tv / "Show" / "Season 1" / "Show - 1x01.mkv").exists()
    assert not (full.downloads / "tv" / "Show.S01" / "info.nfo").exists()
    assert reasons(report)["e1.mkv"] == "the torrent Again holds it too"


@pytest.mark.parametrize("where", ["completed", "elsewhere"])
def test_a_foreign_torrent_of_the_same_inode_keeps_the_file(full: Host, where: str) -> None:
    path = full.downloads / "tv" / "Show.S01" / "e1.mkv"
    folder = full.downloads / "tv" if where == "completed" else full.folder / "seeding"
    other = full.link(path, folder / "cross" / "seed.mkv")
    if where == "elsewhere":
        full.configure("cleanup", links_elsewhere="ignore")
    full.torrent("Cross", other, save=folder, seeding_time=60)
    full.cleanup()
    assert path.exists()
    assert other.exists()
    assert (full.tv / "Show" / "Season 1" / "Show - 1x01.mkv").exists()


def test_a_library_link_stays_until_the_last_torrent_of_its_inode_goes(full: Host) -> None:
    path = full.downloads / "tv" / "Show.S01" / "e1.mkv"
    other = full.link(path, full.downloads / "tv" / "cross.mkv")
    cross = full.torrent("Cross", other, seeding_time=60)
    full.cleanup()
    full.torrents.change(cross.hash, seeding_time=WEEK)
    full.later(HOUR)
    full.cleanup()
    full.later(HOUR)
    full.cleanup()
    assert {one for one in full.names() if "Film" not in one} == {
        "downloads/completed/tv",
        "downloads/completed/movies",
    }


def test_two_due_torrents_of_one_file_go_together(full: Host) -> None:
    path = full.downloads / "tv" / "Show.S01" / "e1.mkv"
    full.torrent("Again", path, seeding_time=WEEK + 5)
    full.cleanup()
    assert "downloads/completed/tv/Show.S01" not in full.names()
    assert {one.name for one in full.torrents.listed.values()} == {"Film"}


def test_where_the_second_of_two_cannot_be_removed_the_shared_file_stays(full: Host) -> None:
    path = full.downloads / "tv" / "Show.S01" / "e1.mkv"
    again = full.torrent("Again", path, seeding_time=WEEK + 5)
    real = full.torrents.remove

    def remove(torrent: Torrent) -> None:
        if torrent.hash == again.hash:
            raise ActionFailed("qBittorrent refuses")
        real(torrent)

    full.torrents.remove = remove  # type: ignore[method-assign]
    full.cleanup()
    assert path.exists()
    assert (full.tv / "Show" / "Season 1" / "Show - 1x01.mkv").exists()


# links elsewhere, unselected files, what may be discarded, after_delete


def test_a_link_elsewhere_keeps_the_torrent(full: Host) -> None:
    elsewhere = full.link(full.downloads / "tv" / "Show.S01" / "e1.mkv", full.folder / "mine.mkv")
    report = full.cleanup()
    assert report.results == ()
    assert "1 of its 3 names lie outside" in reasons(report)["Show.S01"]
    full.configure("cleanup", links_elsewhere="ignore")
    full.cleanup()
    assert elsewhere.read_bytes() == b"e1" * 500
    assert "media/tv/Show" not in full.names()


def test_another_name_below_completed_is_an_item_of_its_own(full: Host) -> None:
    other = full.link(
        full.downloads / "tv" / "Show.S01" / "e1.mkv", full.downloads / "mine" / "copy.mkv"
    )
    full.cleanup()
    assert other.read_bytes() == b"e1" * 500


def test_an_unselected_piece_goes_and_an_unselected_whole_file_stays(host: Host) -> None:
    episode = host.write(host.downloads / "tv" / "T" / "a.mkv", b"a" * 1000)
    host.link(episode, host.tv / "a.mkv")
    piece = host.write(host.downloads / "tv" / "T" / "b.mkv", b"b" * 1000)
    absent = host.downloads / "tv" / "T" / "never.mkv"
    torrent = host.torrent("T", episode, piece, absent)
    host.upload()
    host.unselect(torrent, absent, progress=0.0)
    host.unselect(torrent, piece, progress=1.0)
    assert reasons(host.cleanup()) == {"T": f"b.mkv: {UNPROVEN}"}
    host.unselect(torrent, piece, progress=0.5)
    report = host.cleanup()
    assert ("delete-file", "b.mkv", "done") in statuses(report)
    assert host.names() == {"downloads/completed/movies", "downloads/completed/tv"}


def test_library_links_may_be_kept(full: Host) -> None:
    full.library("tv", after_delete="keep")
    full.cleanup()
    assert {one for one in full.names() if "Film" not in one} == {
        "downloads/completed/movies",
        "downloads/completed/tv",
        "media/tv/Show",
        "media/tv/Show/Season 1",
        "media/tv/Show/Season 1/Show - 1x01.mkv",
        "media/tv/Show/Season 1/Show - 1x01.mkv.uploaded",
    }


def test_what_is_ignored_goes_with_its_item(full: Host) -> None:
    """CONTRACT, [upload] ignore: no part of an item, need no entry, go with it."""
    full.write(full.downloads / "tv" / "Show.S01" / ".DS_Store")
    full.write(full.downloads / "tv" / "Show.S01" / "Thumbs.db")
    full.cleanup()
    assert "downloads/completed/tv/Show.S01" not in full.names()


def test_a_strangers_file_keeps_its_folder(full: Host) -> None:
    theirs = full.write(full.downloads / "tv" / "Show.S01" / "notes.txt")
    theirs_too = full.write(full.tv / "Show" / "diary.doc")
    full.cleanup()
    assert theirs.exists()
    assert theirs_too.exists()
    assert not (full.tv / "Show" / "Season 1").exists()


def test_roots_and_category_folders_stay_when_they_are_empty(host: Host) -> None:
    host.library("tv", category="")
    for index, folder in enumerate((host.downloads, host.downloads / "books")):
        path = host.write(folder / f"{index}.mkv")
        host.torrent(f"{index}.mkv", path, category="books", save=folder)
    host.upload()
    host.cleanup()
    assert host.torrents.listed == {}
    assert host.names() == {
        "downloads/completed/books", "downloads/completed/movies", "downloads/completed/tv",
    }  # fmt: skip


def test_an_uncategorized_torrent_goes_with_its_folder_and_marker(host: Host) -> None:
    folder = host.downloads / "Foo"
    files = [host.write(folder / "deep" / "er" / "a.mkv"), host.write(folder / "b.mkv")]
    host.torrent("Foo", *files, category="")
    host.upload()
    assert "downloads/completed/Foo.uploaded" in host.names()
    host.cleanup()
    assert host.names() == {"downloads/completed/movies", "downloads/completed/tv"}


def test_a_torrent_saved_outside_completed_is_kept_and_protects(full: Host) -> None:
    path = full.write(full.folder / "seeding" / "x.mkv")
    full.torrent("Outside", path, save=full.folder / "seeding")
    report = full.cleanup()
    assert reasons(report)["Outside"] == (
        f"it is saved in {full.folder}/seeding, outside {full.downloads}"
    )
    assert path.exists()


def test_a_listed_path_that_leaves_completed_keeps_the_torrent(full: Host) -> None:
    treasure = full.write(full.folder / "treasure.mkv")
    path = full.downloads / "tv" / ".." / ".." / ".." / "treasure.mkv"
    full.torrent("Evil", path)
    report = full.cleanup()
    assert "lies outside" in reasons(report)["Evil"]
    assert treasure.exists()


# what the world does between plan and action


def at_apply(host: Host, change: Callable[[], object]) -> None:
    """Let the world change after the plan: as qBittorrent is asked again before the first step."""

    def meddle(method: str) -> None:
        if method == "torrents" and host.torrents.calls.count("torrents") == 2:
            change()

    host.torrents.calls.clear()
    host.torrents.before = meddle


def test_a_file_that_was_replaced_meanwhile_stays(full: Host) -> None:
    path = full.downloads / "tv" / "Show.S01" / "e1.mkv"
    at_apply(full, lambda: full.write(full.folder / "new", b"better").rename(path))
    report = full.cleanup()
    assert ("delete-file", "e1.mkv", "stale") in statuses(report)
    assert path.read_bytes() == b"better"
    assert report.exit_status == 0


def test_a_file_that_is_gone_meanwhile_is_no_failure(full: Host) -> None:
    at_apply(full, (full.downloads / "tv" / "Show.S01" / "e1.mkv").unlink)
    report = full.cleanup()
    assert ("delete-file", "e1.mkv", "stale") in statuses(report)
    assert report.exit_status == 0


def test_a_folder_that_filled_meanwhile_stays(full: Host) -> None:
    theirs = full.downloads / "tv" / "Show.S01" / "new.txt"
    at_apply(full, lambda: full.write(theirs))
    report = full.cleanup()
    assert ("remove-directory", "Show.S01", "stale") in statuses(report)
    assert theirs.exists()
    assert report.exit_status == 0


@pytest.mark.parametrize("by", ["path", "inode"])
def test_a_torrent_that_was_added_meanwhile_keeps_what_it_holds(full: Host, by: str) -> None:
    path = full.downloads / "tv" / "Show.S01" / "e1.mkv"
    held = path if by == "path" else full.link(path, full.folder / "cross.mkv")
    full.configure("cleanup", links_elsewhere="ignore")

    def add() -> None:
        full.torrent("New", held, state="checkingUP", save=full.folder)

    at_apply(full, add)
    report = full.cleanup()
    assert {status for _kind, _path, status in statuses(report)} == {"stale"}
    assert path.exists()
    assert len(full.torrents.listed) == 3
    assert report.exit_status == 0


@pytest.mark.parametrize(
    "change",
    [{"state": "checkingUP"}, {"progress": 0.5}, {"amount_left": 5}, {"save_path": "/elsewhere"}],
)
def test_a_torrent_that_changed_meanwhile_stays(full: Host, change: dict[str, Any]) -> None:
    at_apply(full, lambda: full.torrents.change(sha1(b"Show.S01"), **change))
    report = full.cleanup()
    assert {status for _kind, _path, status in statuses(report)} == {"stale"}
    assert (full.downloads / "tv" / "Show.S01" / "e1.mkv").exists()
    assert len(full.torrents.listed) == 2


def test_a_torrent_that_cannot_be_removed_keeps_its_files(full: Host) -> None:
    full.torrents.failures["remove"] = ActionFailed("qBittorrent refuses")
    report = full.cleanup()
    (first, *rest) = statuses(report)
    assert first == ("remove-torrent", "Show.S01", "failed")
    assert {status for _kind, _path, status in rest} == {"stale"}
    assert (full.downloads / "tv" / "Show.S01" / "e1.mkv").exists()
    assert report.exit_status == 3
    del full.torrents.failures["remove"]
    full.cleanup()
    assert "downloads/completed/tv/Show.S01" not in full.names()


@pytest.mark.parametrize("method", ["torrents", "files"])
def test_a_service_that_does_not_answer_keeps_all(full: Host, method: str) -> None:
    full.torrents.failures[method] = Unavailable("no answer")
    before = full.names()
    with pytest.raises(Unavailable):
        full.cleanup()
    assert full.names() == before


def test_a_torrent_whose_files_are_not_told_keeps_all(full: Host) -> None:
    full.torrents.lists[sha1(b"Film")] = ()
    with pytest.raises(Unavailable, match="lists no files for the torrent Film"):
        full.cleanup()
    full.torrents.change(sha1(b"Film"), state="metaDL", progress=0.0)
    assert full.cleanup().results


@pytest.mark.parametrize("root", ["tv", "movies", "downloads"])
@pytest.mark.parametrize("how", ["root file gone", "foreign", "folder gone"])
def test_nothing_goes_while_a_root_is_not_the_one_that_it_was(
    full: Host, root: str, how: str
) -> None:
    folder: Path = getattr(full, root)
    if how == "root file gone":
        (folder / ".mediapipe-root").unlink()
    elif how == "foreign":
        (folder / ".mediapipe-root").write_text("other\n")
    else:
        folder.rename(folder.with_name("away"))
    before = full.names(full.folder / "downloads", full.folder / "media")
    with pytest.raises(Unavailable, match=folder.name):
        full.cleanup()
    assert full.names(full.folder / "downloads", full.folder / "media") == before


# orphans and lists


@pytest.fixture
def orphan(host: Host) -> Path:
    """Give an uploaded download that no torrent holds; another one is listed and seeds."""
    other = host.write(host.downloads / "Kept" / "k.mkv")
    host.torrent("Kept", other, category="", seeding_time=60)
    host.cleanup()  # the first look at a list keeps every orphan, whatever is asked for
    path = host.write(host.downloads / "Foo" / "a.mkv")
    host.upload()
    return path


def test_an_orphan_goes_after_its_grace_and_in_the_second_run(host: Host, orphan: Path) -> None:
    first = host.cleanup()
    assert first.results == ()
    assert reasons(first)["Foo"] == (
        f"no torrent holds it since {clock(host.now)}; if that stays so, it may go in 10 min, by "
        "the second run at the earliest"
    )
    host.later(599)
    assert host.cleanup().results == ()
    host.later(1)
    assert statuses(host.cleanup()) == [
        ("delete-file", "a.mkv", "done"),
        ("delete-marker", "Foo.uploaded", "done"),
        ("remove-directory", "Foo", "done"),
    ]
    assert not orphan.exists()


def test_the_first_run_alone_is_never_enough(host: Host, orphan: Path) -> None:
    host.later(WEEK)
    assert host.cleanup().results == ()
    assert orphan.exists()


def test_a_clock_that_goes_back_begins_the_grace_anew(host: Host, orphan: Path) -> None:
    host.cleanup()
    host.later(-HOUR)
    host.cleanup()
    host.later(590)
    assert host.cleanup().results == ()
    assert orphan.exists()
    host.later(20)
    assert host.cleanup().results
    assert not orphan.exists()


def test_an_orphan_that_was_held_meanwhile_begins_anew(host: Host, orphan: Path) -> None:
    host.cleanup()
    torrent = host.torrent("Foo", orphan, category="", seeding_time=60)
    host.later(HOUR)
    host.cleanup()
    host.torrents.remove(torrent)
    host.later(HOUR)
    assert "no torrent holds it since" in reasons(host.cleanup())["Foo"]


def test_no_grace_on_demand_but_proof_as_always(host: Host, orphan: Path) -> None:
    unproven = host.write(host.downloads / "Bar" / "b.mkv")
    report = host.cleanup(orphans_now=True)
    assert not orphan.exists()
    assert unproven.exists()
    assert reasons(report)["Bar"] == f"b.mkv: {UNPROVEN_ORPHAN}"


def test_a_grace_of_zero_is_none(host: Host, orphan: Path) -> None:
    host.configure("cleanup", orphan_grace=Seconds(0))
    host.cleanup()
    assert not orphan.exists()


def test_what_is_unfinished_is_no_orphan(host: Host, orphan: Path) -> None:
    host.write(host.downloads / "b.mkv.!qB")
    host.write(orphan.parent / "c.mkv.part")
    report = host.cleanup(orphans_now=True)
    assert report.results == ()
    assert reasons(report)["Foo"] == "c.mkv.part: is not finished"
    assert "b.mkv.!qB" not in reasons(report)


def test_a_library_file_without_torrent_is_no_orphan(host: Host, orphan: Path) -> None:
    mine = host.write(host.tv / "Old" / "mine.mkv")
    host.upload()
    host.cleanup(orphans_now=True)
    assert mine.exists()


def test_a_folder_without_files_is_left_to_a_person(host: Host, orphan: Path) -> None:
    empty = host.downloads / "Empty" / "deeper"
    empty.mkdir(parents=True)
    for _ in range(3):
        host.later(HOUR)
        report = host.cleanup()
    assert reasons(report)["Empty"] == "nothing in it could be proven: remove it yourself"
    assert empty.is_dir()
    assert not orphan.exists()


def test_an_entry_of_which_a_torrent_holds_a_part_is_no_orphan(host: Host, orphan: Path) -> None:
    other = host.write(orphan.parent / "held.mkv")
    host.torrent("Part", other, category="", seeding_time=60)
    host.upload()
    assert host.cleanup(orphans_now=True).results == ()
    assert orphan.exists()


@pytest.mark.parametrize("detour", ["", "/Foo/.."], ids=["straight", "by a detour"])
def test_an_entry_that_only_the_last_file_of_a_torrent_lies_in_is_no_orphan(
    host: Host, orphan: Path, detour: str
) -> None:
    first = host.write(host.downloads / "Bar" / "first.mkv")
    last = host.write(orphan.parent / "held.mkv")
    torrent = host.torrent("Bar", first, last, category="", seeding_time=60)
    told, *rest = host.torrents.lists[torrent.hash]
    odd = replace(told, path=f"{host.downloads}{detour}/Bar/first.mkv")
    host.torrents.lists[torrent.hash] = (odd, *rest)
    host.upload()
    assert host.cleanup(orphans_now=True).results == ()
    assert orphan.exists()
    assert first.exists()


@pytest.mark.parametrize("how", ["empty", "half gone"])
def test_a_list_that_is_lost_deletes_no_orphan(host: Host, how: str) -> None:
    paths = [host.write(host.downloads / f"{number}.mkv") for number in range(4)]
    for path in paths:
        host.torrent(path.name, path, category="", seeding_time=60)
    host.upload()
    host.cleanup()
    gone = list(host.torrents.listed)[: 4 if how == "empty" else 3]
    for hash_ in gone:
        del host.torrents.listed[hash_], host.torrents.lists[hash_]
    for _ in range(3):
        host.later(HOUR)
        report = host.cleanup()
        assert (report.results, report.outcome, report.exit_status) == ((), "refused", 3)
        assert "if that is right, run once with --accept-loss" in (report.reason or "")
    assert all(path.exists() for path in paths)
    # not even force or the end of the grace help; the word of a person does
    assert host.cleanup(force=True, orphans_now=True).results == ()
    host.cleanup(accept_loss=True)
    host.later(HOUR)
    assert host.cleanup().outcome == "done"
    assert [path.exists() for path in paths] == [path.name == "3.mkv" and how != "empty"
                                                 for path in paths]  # fmt: skip


def test_a_list_that_loses_half_is_believed(host: Host) -> None:
    paths = [host.write(host.downloads / f"{number}.mkv") for number in range(4)]
    for path in paths:
        host.torrent(path.name, path, category="", seeding_time=60)
    host.upload()
    host.cleanup()
    for hash_ in list(host.torrents.listed)[:2]:
        del host.torrents.listed[hash_], host.torrents.lists[hash_]
    for _ in range(2):
        host.later(HOUR)
        host.cleanup()
    assert sorted(path.name for path in paths if path.exists()) == ["2.mkv", "3.mkv"]


def test_an_empty_list_is_no_base_for_a_first_run(host: Host) -> None:
    path = host.write(host.downloads / "a.mkv")
    host.upload()
    for _ in range(2):
        assert host.cleanup(orphans_now=True).outcome == "refused"
        host.later(HOUR)
    assert path.exists()
    host.cleanup(accept_loss=True, orphans_now=True)
    assert not path.exists()


def test_what_we_removed_ourselves_is_no_loss(host: Host, orphan: Path) -> None:
    host.torrents.change(sha1(b"Kept"), seeding_time=WEEK)
    host.cleanup()
    assert host.torrents.listed == {}
    host.later(HOUR)
    assert host.cleanup().outcome == "done"
    assert not orphan.exists()


# the seeding record


def test_our_own_record_counts_where_qbittorrents_stands_still(host: Host) -> None:
    path = host.write(host.downloads / "Foo" / "a.mkv")
    host.torrent("Foo", path, category="", seeding_time=0)
    host.configure("cleanup", seeding_time=Seconds(3600))
    host.upload()
    for _ in range(6):
        assert host.cleanup().results == ()
        host.later(600)
    assert host.cleanup().results
    assert not path.exists()


@pytest.mark.parametrize("jump", [WEEK * 2, -WEEK])
def test_a_jump_of_the_clock_seeds_half_an_hour_at_most(host: Host, jump: float) -> None:
    path = host.write(host.downloads / "Foo" / "a.mkv")
    host.torrent("Foo", path, category="", seeding_time=0)
    host.configure("cleanup", seeding_time=Seconds(3600))
    host.upload()
    host.cleanup()
    host.later(jump)
    report = host.cleanup()
    assert report.results == ()
    left = "30 min" if jump > 0 else "1 h"
    assert reasons(report)["Foo"].startswith(f"it seeds for {left} more")


# dry run


def test_a_dry_run_tells_the_same_and_writes_nothing(full: Host) -> None:
    full.write(full.downloads / "Loose" / "a.mkv")
    full.upload()
    full.cleanup(dry_run=True)
    for _ in range(3):
        before, listed = snapshot(full.folder), dict(full.torrents.listed)
        rehearsed = full.cleanup(dry_run=True)
        assert snapshot(full.folder) == before
        assert full.torrents.listed == listed
        done = full.cleanup()
        assert [one.action for one in rehearsed.results] == [one.action for one in done.results]
        assert {one.status for one in rehearsed.results} <= {"planned"}
        assert rehearsed.kept == done.kept
        assert (rehearsed.refused, rehearsed.outcome) == (done.refused, done.outcome)
        full.later(HOUR)
    assert "downloads/completed/Loose" not in full.names()


def test_a_dry_run_with_a_lost_object_forgets_no_proof(full: Host) -> None:
    full.remote.lose(NAME)
    before = snapshot(full.folder / "media")
    rehearsed = full.cleanup(dry_run=True)
    assert statuses(rehearsed) == [("delete-marker", "Show - 1x01.mkv.uploaded", "planned")]
    assert snapshot(full.folder / "media") == before
    about = (full.tv / "Show" / "Season 1" / "Show - 1x01.mkv").stat()
    assert full.history().proofs((about.st_ino, about.st_size, about.st_mtime_ns))


# crashes


def simple(host: Host) -> None:
    episode = host.write(host.downloads / "tv" / "T" / "a.mkv", b"a" * 1000)
    host.link(episode, host.tv / "Show" / "a.mkv")
    host.torrent("T", episode)


def discarded(host: Host) -> None:
    episode = host.write(host.downloads / "tv" / "T" / "a.mkv", b"a" * 1000)
    host.link(episode, host.tv / "Show" / "a.mkv")
    info = host.write(host.downloads / "tv" / "T" / "a.nfo", b"i")
    sample = host.write(host.downloads / "tv" / "T" / "Sample" / "s.mkv", b"s")
    host.torrent("T", episode, info, sample)


def nested(host: Host) -> None:
    one = host.write(host.downloads / "tv" / "T" / "Season 1" / "a.mkv", b"a" * 1000)
    two = host.write(host.downloads / "tv" / "T" / "Season 2" / "b.mkv", b"b" * 1000)
    host.link(one, host.tv / "Show" / "Season 1" / "a.mkv")
    host.link(two, host.tv / "Show" / "Season 2" / "b.mkv")
    host.torrent("T", one, two)


def uncategorized(host: Host) -> None:
    one = host.write(host.downloads / "Foo" / "deep" / "a.mkv", b"a" * 1000)
    two = host.write(host.downloads / "Foo" / "b.mkv", b"b" * 1000)
    host.torrent("Foo", one, two, category="")


def deselected(host: Host) -> None:
    episode = host.write(host.downloads / "tv" / "T" / "a.mkv", b"a" * 1000)
    host.link(episode, host.tv / "Show" / "a.mkv")
    piece = host.write(host.downloads / "tv" / "T" / "piece.mkv", b"p" * 900)
    torrent = host.torrent("T", episode, piece)
    host.unselect(torrent, piece, progress=0.5)


def sharing(host: Host) -> None:
    episode = host.write(host.downloads / "tv" / "T" / "a.mkv", b"a" * 1000)
    host.link(episode, host.tv / "Show" / "a.mkv")
    host.torrent("T", episode)
    host.torrent("U", episode, host.link(episode, host.downloads / "tv" / "U" / "a.mkv"))


def orphaned(host: Host) -> None:
    host.write(host.downloads / "Foo" / "a.mkv", b"a" * 1000)
    other = host.write(host.downloads / "tv" / "K" / "k.mkv", b"k")
    host.torrent("K", other, seeding_time=60)


def lost(host: Host) -> None:
    simple(host)
    host.upload()
    host.remote.lose("tv/Show/a.mkv")


SCENES = [simple, discarded, nested, uncategorized, deselected, sharing, orphaned, lost]


def audited_by_cleanup(host: Host) -> Counter[tuple[str, str]]:
    """Count what was done where; a path below the host's own folder."""
    lines = [one for one in audit.read(str(host.state)) if one and one["job"] == "cleanup"]
    return Counter((one["action"], one["path"].removeprefix(f"{host.folder}/")) for one in lines)


def differing(one: Counter[tuple[str, str]], other: Counter[tuple[str, str]]) -> str:
    more, fewer = dict(one - other), dict(other - one)
    return f"{more} more, {fewer} fewer" if more or fewer else ""


@pytest.mark.parametrize("scene", SCENES)
def test_death_at_any_step_is_mended_by_the_next_runs(
    tmp_path: Path, scene: Callable[[Host], None]
) -> None:
    wanted = {bytes([letter]) * 1000 for letter in b"abk"} | {b"k"}

    def build(name: str) -> Host:
        host = Host(tmp_path / name)
        scene(host)
        if scene is not lost:
            assert {one.status for one in host.upload().results} == {"done"}
        host.cleanup(dry_run=True)
        if scene is orphaned:
            host.cleanup()
        host.later(HOUR)
        return host

    def settle(host: Host) -> list[str]:
        outcomes: list[str] = []
        for _ in range(4):
            outcomes.append(host.upload().outcome)
            outcomes.append(host.cleanup().outcome)
            host.later(HOUR)
        return outcomes

    undisturbed = build("undisturbed")
    there = contents(undisturbed.downloads, undisturbed.tv) & wanted
    assert set(settle(undisturbed)) == {"done"}
    expected, listed = undisturbed.names(), undisturbed.torrents.listed
    audited = audited_by_cleanup(undisturbed)
    wrong = {}
    for host, step in deaths(build, Host.cleanup):
        on_disk = contents(host.downloads, host.tv)
        lost_bytes = {one for one in there if one not in on_disk and not host.remote.has(one)}
        assert not lost_bytes, step
        outcomes = settle(host)
        problems = [
            f"{sorted(host.names() ^ expected)} differ" if host.names() != expected else "",
            f"{set(outcomes)}" if set(outcomes) != {"done"} else "",
            "an intent is left" if host.history().intents() else "",
            "the torrents differ" if host.torrents.listed.keys() != listed.keys() else "",
            f"audit: {found}" if (found := differing(audited_by_cleanup(host), audited)) else "",
        ]
        if any(problems):
            wrong[step] = "; ".join(filter(None, problems))
    assert wrong == {}


def test_an_intent_is_a_request_and_no_licence(full: Host) -> None:
    """A torrent that comes back between death and the next run keeps its data."""
    episode = full.downloads / "tv" / "Show.S01" / "e1.mkv"
    with full.writing() as history:
        history.intend("Show.S01", "gone", {str(episode): None}, full.now)
    del full.torrents.listed[sha1(b"Show.S01")]
    again = full.link(episode, full.downloads / "tv" / "again.mkv")
    full.torrent("Again", again, seeding_time=60)
    report = full.cleanup()
    assert report.results == ()
    assert ("Show.S01", "e1.mkv: a torrent in the list holds its data") in [
        (one.path, one.reason) for one in report.kept
    ]
    assert episode.exists()


@pytest.mark.parametrize("why", ["replaced", "object gone", "outside"])
def test_an_intent_is_judged_anew(full: Host, why: str) -> None:
    episode = full.downloads / "tv" / "Show.S01" / "e1.mkv"
    path = episode if why != "outside" else full.write(full.folder / "treasure")
    with full.writing() as history:
        history.intend("Show.S01", "gone", {str(path): None}, full.now)
    del full.torrents.listed[sha1(b"Show.S01")]
    if why == "replaced":
        full.write(full.folder / "new", b"better").rename(episode)
    elif why == "object gone":
        full.remote.lose(NAME)
    full.cleanup()
    assert path.exists()


def test_an_intent_whose_files_are_gone_is_finished(full: Host) -> None:
    with full.writing() as history:
        history.intend("Old", "gone", {f"{full.downloads}/tv/nothing/here.mkv": None}, full.now)
    full.cleanup()
    assert full.history().intents() == ()


def test_markers_of_hashed_names_go_too(host: Host) -> None:
    name = "x" * 250
    episode = host.write(host.downloads / "tv" / "T" / "a.mkv", b"a" * 1000)
    link = host.link(episode, host.tv / name)
    host.torrent("T", episode)
    host.upload()
    path = marker.marker_path(str(link))
    assert os.path.exists(path)
    host.cleanup()
    assert host.names() == {"downloads/completed/movies", "downloads/completed/tv"}


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9"), "new\nline", "-rf", "[a]*?"])
def test_odd_names_go_like_all_others(host: Host, name: str) -> None:
    episode = host.write(host.downloads / "tv" / name / f"{name}.mkv", b"a" * 1000)
    host.link(episode, host.tv / name / f"{name}.mkv")
    host.torrent(name, episode)
    host.upload()
    report = host.cleanup()
    assert {one.status for one in report.results} == {"done"}
    assert host.names() == {"downloads/completed/movies", "downloads/completed/tv"}
    json.dumps(report.as_json())


# what the list may get wrong, and what the bucket may do


def test_many_objects_of_a_folder_are_read_again_by_one_listing(host: Host) -> None:
    files = [host.write(host.downloads / "tv" / "Show" / f"{one}.mkv") for one in range(201)]
    for file in files:
        host.link(file, host.tv / "Show" / file.name)
    host.torrent("Show", *files)
    host.cleanup(accept_loss=True)
    host.upload()
    host.remote.calls.clear()
    gone = host.remote.versions.pop("tv/Show/7.mkv")
    report = host.cleanup()
    # what a listing does not show is looked at before it counts as gone
    assert [one for one in host.remote.calls if one != "why_hides"] == ["look_below", "look"]
    assert {one.action.kind for one in report.results} == {"delete-marker"}
    assert all(file.exists() for file in files)
    host.remote.versions["tv/Show/7.mkv"] = gone
    host.upload()
    host.remote.calls.clear()
    host.cleanup()
    assert host.remote.calls == ["look_below"]
    assert not any(file.exists() for file in files)


def test_the_first_look_keeps_every_orphan_whatever_is_asked_for(host: Host) -> None:
    other = host.write(host.downloads / "Kept" / "k.mkv")
    host.torrent("Kept", other, category="", seeding_time=60)
    path = host.write(host.downloads / "Foo" / "a.mkv")
    host.upload()
    host.configure("cleanup", orphan_grace=Seconds(0))
    report = host.cleanup(orphans_now=True, force=True)
    assert report.results == ()
    assert reasons(report)["Foo"] == (
        "no torrent holds it, but this is the first look at qBittorrent's list"
    )
    assert path.exists()
    assert host.cleanup(orphans_now=True).results
    assert not path.exists()


def test_after_a_lost_history_the_first_look_keeps_every_orphan_again(
    host: Host, orphan: Path
) -> None:
    host.cleanup()
    host.later(HOUR)
    for path in host.state.iterdir():
        path.unlink()
    assert host.cleanup(orphans_now=True).results == ()
    assert orphan.exists()


def test_the_word_of_a_person_stands_for_the_first_look(host: Host) -> None:
    path = host.write(host.downloads / "Foo" / "a.mkv")
    host.upload()
    host.cleanup(accept_loss=True, orphans_now=True)
    assert not path.exists()


@pytest.mark.parametrize("seeding_time", [60, WEEK])
def test_no_orphan_goes_while_a_torrents_files_are_not_where_they_should_be(
    host: Host, orphan: Path, seeding_time: int
) -> None:
    """What looks like nobody's may be the very files of a torrent that saves elsewhere."""
    moved = host.folder / "other" / "view" / "a.mkv"
    host.torrent("Moved", moved, category="", seeding_time=seeding_time, save=moved.parent)
    host.cleanup()
    for _ in range(3):
        host.later(HOUR)
        report = host.cleanup(orphans_now=True)
        assert report.results == ()
        assert (report.outcome, report.exit_status) == ("refused", 3)
        assert reasons(report)["Foo"] == (
            "no orphan is touched: none of the files of the torrent Moved is in "
            f"{moved.parent} on this host: is [qbittorrent.path_map] right?"
        )
    assert orphan.exists()
    host.write(moved)
    host.cleanup(orphans_now=True)
    assert not orphan.exists()


def test_due_torrents_go_though_another_ones_files_are_not_found(full: Host) -> None:
    moved = full.folder / "other" / "a.mkv"
    full.torrent("Moved", moved, category="", seeding_time=60, save=moved.parent)
    report = full.cleanup()
    assert ("remove-torrent", "Show.S01", "done") in statuses(report)
    assert "downloads/completed/tv/Show.S01" not in full.names()


@pytest.mark.parametrize(
    "change",
    [{"state": "downloading", "progress": 0.1}, {"state": "missingFiles"}, {"state": "error"}],
)
def test_a_torrent_that_is_not_complete_need_not_have_its_files(
    host: Host, orphan: Path, change: dict[str, Any]
) -> None:
    absent = host.downloads / "Coming" / "a.mkv"
    host.torrent("Coming", absent, category="", **change)
    host.cleanup(orphans_now=True)
    assert not orphan.exists()


def test_a_bucket_that_hides_by_age_stops_every_deletion(full: Host) -> None:
    full.remote.hides = "b2:bucket hides everything 30 days after its upload"
    before = full.names()
    for _ in range(3):
        with pytest.raises(Refused, match="nothing is deleted: b2:bucket hides everything"):
            full.cleanup(force=True)
        full.later(HOUR)
    assert full.names() == before
    assert len(full.torrents.listed) == 2
    full.remote.hides = ""
    full.cleanup()
    assert "downloads/completed/tv/Show.S01" not in full.names()


def test_the_rules_of_the_bucket_are_read_once_a_day_before_a_deletion(host: Host) -> None:
    for number in range(6):
        path = host.write(host.downloads / f"{number}.mkv")
        host.torrent(f"{number}.mkv", path, category="")
        host.upload()
        assert host.cleanup().results
        assert host.remote.calls.count("why_hides") == 1 + number // 2
        host.cleanup()  # nothing to delete: nothing is asked
        host.later(12 * HOUR)


def test_a_key_that_may_not_read_the_rules_is_told_of(full: Host) -> None:
    full.remote.failures["why_hides"] = ConfigError("the key has no such right")
    assert full.cleanup().results
    assert ("remote.unreadable", "warning") in [
        (event, fields["level"]) for event, fields in full.events
    ]


def test_rules_that_cannot_be_read_now_delete_nothing_now(full: Host) -> None:
    full.remote.failures["why_hides"] = Unavailable("no route")
    before = full.names()
    with pytest.raises(Unavailable):
        full.cleanup()
    assert full.names() == before


def test_a_torrent_that_was_added_again_seeds_anew(host: Host) -> None:
    path = host.write(host.downloads / "Foo" / "a.mkv")
    torrent = host.torrent("Foo", path, category="", seeding_time=0, added_on=1)
    host.configure("cleanup", seeding_time=Seconds(3600))
    host.upload()
    for number in range(11):
        if number == 5:  # ten minutes before it would have been due
            host.torrents.change(torrent.hash, added_on=2)
        assert host.cleanup().results == (), number
        host.later(600)
    assert host.cleanup().results
    assert not path.exists()


# debris


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "._e1.mkv"])
def test_debris_goes_with_its_folder_and_no_sooner(full: Host, name: str) -> None:
    debris = full.write(full.downloads / "tv" / "Show.S01" / name)
    beside = full.write(full.tv / "Show" / "Season 1" / name)
    theirs = full.write(full.downloads / "tv" / "Show.S01" / "notes.txt")
    full.cleanup()
    assert debris.exists()
    assert not beside.exists()
    assert not beside.parent.exists()
    theirs.unlink()


@pytest.mark.parametrize("name", [".nfs0001", ".fuse_hidden0001", "a.mkv.uploaded"])
def test_what_somebody_has_open_or_what_marks_is_no_debris(full: Host, name: str) -> None:
    path = full.write(full.downloads / "tv" / "Show.S01" / name, b"x" * 5000)
    full.cleanup()
    assert path.exists()


def test_debris_with_another_name_is_somebodys(full: Host) -> None:
    path = full.write(full.downloads / "tv" / "Show.S01" / ".DS_Store")
    full.link(path, full.folder / "mine")
    full.cleanup()
    assert path.exists()


def test_a_folder_that_keeps_a_folder_keeps_its_debris(full: Host) -> None:
    """The inner folder is another torrent's, and stays; so the outer one must stay untouched."""
    folder = full.downloads / "tv" / "Show.S01"
    debris = full.write(folder / ".DS_Store")
    (folder / "inner").mkdir()
    unproven = full.write(full.downloads / "tv" / "u.mkv")
    other = full.torrent("Other", unproven, folder / "inner" / "never.mkv")
    full.unselect(other, folder / "inner" / "never.mkv", progress=0.0)
    report = full.cleanup()
    assert {one[2] for one in statuses(report)} == {"done"}
    assert debris.exists() == folder.exists()


# deselected pieces


def test_a_piece_keeps_its_right_when_its_torrent_is_gone(host: Host) -> None:
    """A crash between the torrent and its files: only the intent can still tell what it was."""
    episode = host.write(host.downloads / "tv" / "T" / "a.mkv", b"a" * 1000)
    link = host.link(episode, host.tv / "a.mkv")
    piece = host.write(host.downloads / "tv" / "T" / "b.mkv", b"b" * 900)
    torrent = host.torrent("T", episode, piece)
    host.unselect(torrent, piece, progress=0.5)
    host.upload()
    real = host.torrents.remove

    def remove(one: Torrent) -> None:
        real(one)
        raise KeyboardInterrupt

    host.torrents.remove = remove  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        host.cleanup()
    host.torrents.remove = real  # type: ignore[method-assign]
    (intent,) = host.history().intents()
    file = piece.stat()
    assert dict(intent.paths) == {
        str(piece): (file.st_ino, file.st_size, file.st_mtime_ns),
        str(episode): None,
        str(link): None,
    }
    host.cleanup(accept_loss=True)
    assert host.names() == {"downloads/completed/movies", "downloads/completed/tv"}
    assert host.history().intents() == ()


@pytest.mark.parametrize("change", ["grown", "replaced", "linked"])
def test_a_piece_that_changed_has_no_right_any_more(host: Host, change: str) -> None:
    episode = host.write(host.downloads / "tv" / "T" / "a.mkv", b"a" * 1000)
    host.link(episode, host.tv / "a.mkv")
    piece = host.write(host.downloads / "tv" / "T" / "b.mkv", b"b" * 900)
    host.upload()
    about = piece.stat()
    with host.writing() as history:
        identity = (about.st_ino, about.st_size, about.st_mtime_ns)
        history.intend("T", "gone", {str(piece): identity, str(episode): None}, host.now)
    if change == "grown":
        piece.write_bytes(b"b" * 1000)
    elif change == "replaced":
        host.write(host.folder / "new", b"c" * 900).rename(piece)
    else:
        host.link(piece, host.folder / "mine")
    content = piece.read_bytes()
    host.cleanup(accept_loss=True, orphans_now=True, force=True)
    assert piece.read_bytes() == content
