"""The history: what it is told comes back as it was, whatever names and numbers a disk has."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediapipe.errors import ConfigError, Unavailable
from mediapipe.history import copy_history, open_history
from mediapipe.ports import Torrent
from mediapipe.records import Intent, Pause, Proof, Proven, Sighting, Wanted
from tests.examples import steady

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mediapipe.history import History

ODD = os.fsdecode(b"caf\xe9/\xff\n\x1b\"'%?#.mkv")
SHA1 = "a" * 40


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    found = open_history(str(tmp_path))
    yield found
    found.close()


# a path is bytes without NUL; surrogates stand for the ones that are not UTF-8
PATHS = st.binary(min_size=1, max_size=30).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"x")))
NUMBERS = st.one_of(
    st.integers(0, 1 << 20),
    st.sampled_from([(1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1, (1 << 64) - 2]),
)
TIMES = st.one_of(
    st.integers(-(1 << 62), 1 << 62),
    st.sampled_from([-(1 << 63), (1 << 63) - 1, 1 << 63, -1, 0, 253402300800 * 10**9]),
)
IDENTITIES = st.tuples(NUMBERS, st.integers(0, (1 << 63) - 1), TIMES)
OBJECTS = st.builds(
    Proven, PATHS, st.integers(0, (1 << 63) - 1), st.just(SHA1), st.text("4_z", max_size=4),
    st.booleans(),
)  # fmt: skip
PROOFS = st.builds(
    Proof,
    PATHS,
    st.lists(OBJECTS, min_size=1, max_size=4, unique_by=lambda one: one.remote).map(tuple),
)


def sorted_objects(proof: Proof) -> Proof:
    return replace(proof, objects=tuple(sorted(proof.objects, key=repr)))


def stripped(proof: Proof) -> Proof:
    """Leave what a marker tells, too."""
    bare = (Proven(one.remote, one.size, one.sha1) for one in proof.objects)
    return sorted_objects(Proof(proof.place, tuple(bare)))


@steady(80)
@given(st.lists(st.tuples(IDENTITIES, PROOFS), max_size=5))
def test_proofs_come_back_as_they_were(facts: list[tuple[tuple[int, int, int], Proof]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = open_history(folder)
        expected: dict[tuple[int, int, int], dict[str, Proof]] = {}
        for moment, (identity, proof) in enumerate(facts):
            with found.together():
                found.prove(identity, proof, float(moment))
            expected.setdefault(identity, {}).pop(proof.place, None)
            expected[identity][proof.place] = proof  # of one place the last one holds
        found.close()
        for again in (open_history(folder), copy_history(folder)):
            for identity, proofs in expected.items():
                newest_first = [sorted_objects(one) for one in reversed(proofs.values())]
                assert [sorted_objects(one) for one in again.proofs(identity)] == newest_first
                bare = again.proofs_of([identity], bare=True)[identity]
                assert {sorted_objects(one) for one in bare} == set(map(stripped, newest_first))
            again.close()


@steady(200)
@given(st.lists(IDENTITIES, min_size=2, max_size=6, unique=True))
def test_no_identity_has_the_proof_of_another(identities: list[tuple[int, int, int]]) -> None:
    found = copy_history("/nonexistent")
    for number, identity in enumerate(identities):
        found.prove(identity, Proof(f"place {number}", (Proven("r", 1, SHA1),)), 0.0)
    for number, identity in enumerate(identities):
        assert [one.place for one in found.proofs(identity)] == [f"place {number}"]
    found.close()


def test_a_proof_of_several_objects_is_forgotten_with_any_of_them(history: History) -> None:
    archive = Proof("b2:x/a.rar", (Proven("b2:x/1", 1, "1" * 40), Proven("b2:x/2", 2, "2" * 40)))
    alone = Proof("b2:x/1", (Proven("b2:x/1", 1, "1" * 40),))
    other = Proof("b2:x/3", (Proven("b2:x/3", 3, "3" * 40),))
    for number, proof in enumerate((archive, alone, other)):
        history.prove((number, 1, 1), proof, 0.0)
    history.disprove("b2:x/2", "other bytes")
    assert history.proofs((0, 1, 1)) == (archive,)
    history.disprove("b2:x/2", "2" * 40)
    assert [history.proofs((number, 1, 1)) for number in range(3)] == [(), (alone,), (other,)]
    history.disprove("b2:x/1", "1" * 40)
    assert [history.proofs((number, 1, 1)) for number in range(3)] == [(), (), (other,)]


def test_a_proof_is_written_whole_or_not_at_all(history: History) -> None:
    before = Proof("p", (Proven("b2:x/1", 1, SHA1),))
    history.prove((1, 1, 1), before, 0.0)
    nothing = Proof("p", (Proven("b2:x/2", 1, SHA1), Proven("b2:x/2", 1, SHA1)))
    with pytest.raises(sqlite3.IntegrityError), history.together():
        history.prove((1, 1, 1), nothing, 1.0)
    assert history.proofs((1, 1, 1)) == (before,)


@steady(60)
@given(st.dictionaries(PATHS, st.one_of(st.none(), IDENTITIES), max_size=4), PATHS)
def test_intents_come_back_as_they_were(
    paths: dict[str, tuple[int, int, int] | None], name: str
) -> None:
    found = copy_history("/nonexistent")
    number = found.intend(name, "hash", paths, 5.0)
    assert found.intents() == (Intent(number, name, "hash", paths),)
    assert list(found.intents()[0].paths) == list(paths)
    found.finish(number)
    assert found.intents() == ()
    found.close()


def test_what_is_wanted_is_replaced_as_a_whole(history: History) -> None:
    one = Wanted("h1", ODD, f"/d/{ODD}", (f"/d/{ODD}/1", "/d/2"))
    two = Wanted("h2", "T", "/d/T", ("/d/T/3",))
    history.want([two, one])
    assert history.wanted() == (one, two)
    history.want([two])
    assert history.wanted() == (two,)
    history.want(())
    assert history.wanted() == ()


def test_names_in_no_encoding_are_kept_everywhere(history: History) -> None:
    history.remember_root(f"/{ODD}", "identifier")
    assert history.root(f"/{ODD}") == "identifier"
    history.pause(ODD, Pause(1.5, 2, "why", "mark"))
    assert history.pauses() == {ODD: Pause(1.5, 2, "why", "mark")}
    history.unpause([ODD])
    assert history.pauses() == {}
    assert history.sight("orphan", [ODD], 1.0) == {ODD: Sighting(1.0, 1)}
    assert history.sight("orphan", [ODD], 2.0) == {ODD: Sighting(1.0, 2)}
    history.record_run("upload", 1.0, 2.0, "done", (1, 2, 3), f"what {ODD} says")


@pytest.mark.parametrize("half", ["\ud800", "a\ud83dz"])
def test_half_a_character_is_kept_too(history: History, half: str) -> None:
    """qBittorrent may give any JSON string for a name."""
    history.seed([torrent(name=half)], 1.0)
    history.pause(half, Pause(1.0, 1, f"because of {half}", ""))
    assert list(history.pauses()) == [half]
    history.want([Wanted("h", half, half, (half,))])
    assert history.wanted() == (Wanted("h", half, half, (half,)),)
    history.record_run("upload", 1.0, 2.0, "done", (1, 2, 3), half)


def test_what_was_done_is_remembered(history: History) -> None:
    assert history.last("x") is None
    history.done("x", 5.5)
    history.done("y", 1.0)
    history.done("x", 7.5)
    assert (history.last("x"), history.last("y"), history.last("z")) == (7.5, 1.0, None)


# the seeding record


def torrent(**fields: object) -> Torrent:
    base = Torrent("h", "T", "", "stalledUP", 1.0, 0, "/d", 1, 0, 0.0, 100)
    return replace(base, **fields)  # type: ignore[arg-type]


def test_only_what_is_complete_seeds(history: History) -> None:
    history.seed([torrent()], 0.0)
    assert history.seeded() == {"h": 0.0}
    history.seed([torrent()], 600.0)
    history.seed([torrent(state="checkingUP")], 1200.0)
    history.seed([torrent()], 1800.0)
    assert history.seeded() == {"h": 600.0}
    history.seed([torrent()], 2400.0)
    assert history.seeded() == {"h": 1200.0}


@pytest.mark.parametrize(("jump", "adds"), [(1800, 1800), (1801, 1800), (1e9, 1800), (-1e6, 0)])
def test_one_pause_adds_half_an_hour_at_most(history: History, jump: float, adds: float) -> None:
    history.seed([torrent()], 1e6)
    history.seed([torrent()], 1e6 + jump)
    assert history.seeded() == {"h": adds}


def test_a_torrent_that_was_added_again_begins_anew(history: History) -> None:
    for moment in (0.0, 1000.0):
        history.seed([torrent()], moment)
    assert history.seeded() == {"h": 1000.0}
    history.seed([torrent(added_on=101)], 2000.0)
    assert history.seeded() == {"h": 0.0}
    history.seed([torrent(added_on=101)], 3000.0)
    assert history.seeded() == {"h": 1000.0}


LISTED = st.builds(
    torrent,
    hash=st.sampled_from("abc"),
    state=st.sampled_from(["stalledUP", "checkingUP"]),
    added_on=st.sampled_from([100, 101]),
)
PAUSES = st.sampled_from([0.0, 600.0, 1800.0, 1801.0, 1e6, -1.0, -1e6])


@steady(200)
@given(st.lists(st.tuples(st.lists(LISTED, unique_by=lambda one: one.hash), PAUSES), max_size=8))
def test_each_torrent_seeds_for_itself_and_only_while_it_is_listed(
    runs: list[tuple[list[Torrent], float]],
) -> None:
    found = copy_history("/nonexistent")
    expected: dict[str, tuple[int, float, float | None]] = {}
    now = 1e9
    for listed, pause in runs:
        now += pause
        found.seed(listed, now)
        for one in listed:
            added, seeded, last = expected.get(one.hash, (one.added_on, 0.0, None))
            if added != one.added_on:
                seeded, last = 0.0, None
            if one.complete and last is not None:
                seeded += max(0.0, min(now - last, 1800.0))
            expected[one.hash] = (one.added_on, seeded, now if one.complete else None)
        assert found.seeded() == {hash_: row[1] for hash_, row in expected.items()}
    found.close()


# the runs


DAYS = 86400.0


def rows(history: History) -> list[tuple[object, ...]]:
    found = history._db.execute("SELECT job, started, outcome FROM runs ORDER BY rowid")
    return found.fetchall()


def ran(
    history: History, job: str, started: float, outcome: str = "done", counts: str = "000"
) -> None:
    done, failed, kept = map(int, counts)
    reason = None if outcome == "done" else f"why {started}"
    history.record_run(job, started, 0.5, outcome, (done, failed, kept), reason)


def test_a_run_with_nothing_to_do_takes_the_place_of_the_one_before(history: History) -> None:
    ran(history, "upload", 1.0, counts="300")
    for moment in range(2, 700):
        ran(history, "upload", float(moment), counts=f"00{moment % 10}")
        ran(history, "cleanup", float(moment))
    assert rows(history) == [
        ("upload", 1.0, "done"), ("upload", 699.0, "done"), ("cleanup", 699.0, "done"),
    ]  # fmt: skip
    assert history.last_runs()["upload"].kept == 9


@pytest.mark.parametrize(
    ("outcome", "counts"), [("done", "100"), ("partial", "010"), ("unavailable", "000")]
)
def test_a_run_that_says_something_keeps_its_row(
    history: History, outcome: str, counts: str
) -> None:
    for moment in (1.0, 2.0):
        ran(history, "upload", moment, outcome, counts)
    ran(history, "upload", 3.0)
    ran(history, "upload", 4.0, outcome, counts)
    assert [row[1] for row in rows(history)] == [1.0, 2.0, 3.0, 4.0]


def test_runs_of_a_month_ago_go_but_for_the_last_of_each_outcome(history: History) -> None:
    ran(history, "categories", 0.5, counts="100")
    for moment in range(10):
        ran(history, "upload", float(moment), counts="100")
        ran(history, "upload", moment + 0.5, "unavailable")
    ran(history, "upload", 30 * DAYS + 8.2, "unavailable")
    assert rows(history) == [
        ("categories", 0.5, "done"),
        ("upload", 8.5, "unavailable"),
        ("upload", 9.0, "done"),
        ("upload", 9.5, "unavailable"),
        ("upload", 30 * DAYS + 8.2, "unavailable"),
    ]


def test_the_last_run_is_the_one_that_was_recorded_last(history: History) -> None:
    ran(history, "upload", 1000.0, counts="100")
    ran(history, "upload", 50.0, "unavailable")  # the clock went back
    assert history.last_runs()["upload"].started == 50.0
    assert history.last_runs(good=True)["upload"].started == 1000.0
    ran(history, "cleanup", 60.0, "refused")
    assert set(history.last_runs(good=True)) == {"upload"}


def test_a_file_that_is_proven_in_two_places_is_one_file(history: History) -> None:
    assert history.proven() == (0, 0)
    for number, place in ((1, "a"), (1, "b"), (2, "a")):
        history.prove((number, 1 << 40, 1), Proof(place, (Proven(place, 1, SHA1),)), 0.0)
    assert history.proven() == (2, 2 << 40)


# the file


@pytest.mark.parametrize(
    "content", [b"no database at all" * 500, b"SQLite format 3\0" + b"x" * 5000]
)
@pytest.mark.parametrize("opener", [open_history, copy_history])
def test_a_damaged_file_is_for_a_person(tmp_path: Path, content: bytes, opener: object) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is damaged") as caught:
        opener(str(tmp_path))  # type: ignore[operator]
    assert "move it away" in caught.value.hint
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("opener", [open_history, copy_history])
def test_a_file_of_a_later_release_is_left_alone(tmp_path: Path, opener: object) -> None:
    open_history(str(tmp_path)).close()
    connection = sqlite3.connect(tmp_path / "history.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigError, match="newer mediapipe"):
        opener(str(tmp_path))  # type: ignore[operator]


def test_a_state_folder_out_of_reach_may_be_there_later(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        open_history(str(tmp_path / "file" / "state"))


def test_a_copy_is_whole_while_runs_come_and_go(tmp_path: Path) -> None:
    open_history(str(tmp_path)).close()
    ended = threading.Event()

    def work() -> None:
        for number in range(150):
            found = open_history(str(tmp_path))
            with found.together():
                for key in range(50):
                    found.pause(f"/{number % 50 + key}", Pause(1.0, 1, "why " * 500, ""))
            found.close()
        ended.set()

    with ThreadPoolExecutor() as pool:
        writer = pool.submit(work)
        while not ended.is_set() and not writer.done():
            copy = copy_history(str(tmp_path))
            assert {pause.tries for pause in copy.pauses().values()} <= {1}
            copy.close()
        writer.result()


def test_a_history_out_of_reach_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "state").symlink_to("state")  # a circle: out of reach for root as well
    with pytest.raises(Unavailable):
        copy_history(str(tmp_path / "state"))


def test_a_copy_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    found = open_history(str(tmp_path))
    found.done("x", 1.0)
    found.close()
    before = sorted(tmp_path.iterdir())
    copy = copy_history(str(tmp_path))
    copy.done("x", 2.0)
    copy.close()
    assert sorted(tmp_path.iterdir()) == before
    again = open_history(str(tmp_path))
    assert again.last("x") == 1.0
    again.close()
