"""The rules of postprocess, where a real SABnzbd cannot be brought to answer so."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mediapipe import delivering
from mediapipe.adapters.sabnzbd import Sabnzbd
from mediapipe.config import Config, Paths, SabnzbdConfig
from mediapipe.errors import Unavailable
from mediapipe.history import copy_history, open_history
from mediapipe.jobs import postprocess
from mediapipe.records import Move
from mediapipe.runner import Context, opened
from mediapipe.units import AbsPath, SecretFile
from mediapipe.usenet import Job, Queued
from tests.fakes import FakeWatcher

if TYPE_CHECKING:
    from mediapipe.runner import Report
    from mediapipe.usenet import Usenet

COMPLETE = "/data/complete"


@dataclass
class Host:
    """A share with finished downloads, and a SABnzbd that says what a test wants."""

    folder: Path
    jobs: list[Job] = field(default_factory=list)
    waiting: list[Queued] = field(default_factory=list)
    now: float = field(default_factory=lambda: time.time() + 3600)
    folders: dict[str, str] = field(default_factory=dict)
    usenet: Usenet | None = None

    def __post_init__(self) -> None:
        for name in ("complete/tv", "complete/movies", "incomplete", "usenet/tv", "usenet/other"):
            (self.folder / name).mkdir(parents=True)

    @property
    def complete(self) -> Path:
        return self.folder / "complete"

    @property
    def tv(self) -> Path:
        return self.folder / "usenet" / "tv"

    @property
    def config(self) -> Config:
        def at(name: str) -> AbsPath:
            return AbsPath(str(self.folder / name))

        settings = SabnzbdConfig(
            api_key_file=SecretFile("key"),
            complete_dir=AbsPath(COMPLETE),
            host_complete_dir=at("complete"),
            host_incomplete_dir=at("incomplete"),
            category_folders=self.folders,
            spool=at("spool"),
            destinations={"tv": at("usenet/tv"), "*": at("usenet/other")},
        )
        return Config(paths=Paths(state=at("state")), sabnzbd=settings)

    def job(self, name: str, storage: str = "", **facts: object) -> Job:
        """Add an entry to the history, that names its folder `complete/tv/NAME`."""
        storage = storage or f"{COMPLETE}/tv/{name}"
        job = Job(f"id-{len(self.jobs)}", name, "tv", "Completed", storage, time.time())
        self.jobs.append(replace(job, **facts))  # type: ignore[arg-type]
        return self.jobs[-1]

    def write(self, *paths: str) -> None:
        """Make files among the finished downloads; each holds its own name."""
        for name in paths:
            path = self.complete / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)

    def history(self) -> tuple[Job, ...]:
        return tuple(self.jobs)

    def queue(self) -> tuple[Queued, ...]:
        return tuple(self.waiting)

    def run(self, *, asked: bool = True, dry_run: bool = False, **options: object) -> Report:
        state = str(self.folder / "state")
        wanted = postprocess.Options(**options)  # type: ignore[arg-type]
        with opened(state, "postprocess", dry_run=dry_run) as history:
            context = Context(
                self.config, history, lambda *_, **__: None, FakeWatcher(), state, self.now,
                dry_run, "config.toml",
            )  # fmt: skip
            return postprocess.run(
                context,
                (self.usenet or self) if asked else None,
                lambda _: pytest.fail("told"),
                wanted,
            )

    def arrived(self) -> set[str]:
        found = (path for path in (self.folder / "usenet").rglob("*") if path.is_file())
        return {str(one.relative_to(self.folder / "usenet")) for one in found
                if not one.name.startswith(".mediapipe")}  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def kept(report: Report) -> dict[str, str]:
    return {one.path: one.reason for one in report.kept}


HOSTILE = {
    f"{COMPLETE}/tv/../../../etc": "no plain absolute path",
    f"{COMPLETE}/tv/X/../../movies/Y": "no plain absolute path",
    f"{COMPLETE}//tv/X": "no plain absolute path",
    f"{COMPLETE}/tv/X/": "no plain absolute path",
    "tv/X": "no plain absolute path",
    f"{COMPLETE}/tv/\ud800": "no plain absolute path",
    f"{COMPLETE}/tv/\0": "no plain absolute path",
    f"{COMPLETE}/tv/{'x' * 300}": "cannot be looked at",
    "/etc/passwd": "outside",
    "/data/completely/tv/X": "outside",
    COMPLETE: "outside",
    f"{COMPLETE}/tv": "whole folder of category",
    f"{COMPLETE}/X": "category_folders",
    f"{COMPLETE}/movies/X": "category_folders",
    f"{COMPLETE}/tv/_FAILED_X": "failed to unpack",
    f"{COMPLETE}/tv/_UNPACK_X": "only its own folder",
    f"{COMPLETE}/tv/__ADMIN__": "no job",
    f"{COMPLETE}/tv/.hidden": "no job",
    f"{COMPLETE}/tv/link": "symbolic link",
    f"{COMPLETE}/tv/link/X": "symbolic link",
    f"{COMPLETE}/tv/file.mkv": "file without a folder",
    f"{COMPLETE}/tv/Admin": "__ADMIN__",
    f"{COMPLETE}/tv/Empty": "it is empty",
    f"{COMPLETE}/tv/Sorted/Season 1/a.mkv": "sorter",
}


@pytest.mark.parametrize("storage", HOSTILE, ids=ascii)
@pytest.mark.parametrize("asked", [True, False])
def test_a_path_that_is_no_jobs_is_refused_by_name(host: Host, storage: str, asked: bool) -> None:
    host.write("tv/X/a.mkv", "tv/_FAILED_X/a", "tv/_UNPACK_Y/a", "tv/__ADMIN__/a", "tv/.hidden/a",
               "tv/file.mkv", "tv/Admin/__ADMIN__/a", "tv/Admin/b", "X/a", "movies/X/a",
               "tv/Sorted/Season 1/a.mkv", "tv/Sorted/Season 2/b.mkv")  # fmt: skip
    (host.complete / "tv" / "Empty").mkdir()
    (host.complete / "tv" / "link").symlink_to(host.folder / "incomplete")
    (host.folder / "incomplete" / "X").mkdir()
    (host.folder / "incomplete" / "X" / "a").write_text("not yours")
    before = sorted(host.folder.rglob("*"))
    job = host.job("X", storage)
    if not asked:
        told = {"nzo_id": job.id, "name": "X", "category": "tv", "complete_dir": storage,
                "status": "0"}  # fmt: skip
        with contextlib.closing(open_history(str(host.folder / "state"))) as history:
            history.spool(job.id, told, host.now)
    report = host.run(asked=asked)
    assert report.results == ()
    assert [one for one in kept(report).values() if HOSTILE[storage] in one]
    assert json.dumps(report.as_json()).isascii()
    assert set(before) <= set(host.folder.rglob("*"))


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), -1, 1e300, 10**400, "soon", None])
def test_a_time_that_is_none_is_the_beginning_of_time(moment: object) -> None:
    slot = {"nzo_id": "x", "status": "Completed", "storage": "/x", "completed": moment}
    assert Sabnzbd(SabnzbdConfig(), "key")._job(slot).completed == 0


@pytest.mark.parametrize(("name", "word"), [("nzo_id", None), ("status", 7), ("storage", "a\0b")])
def test_a_job_of_another_shape_has_not_ended(name: str, word: object) -> None:
    slot = {"nzo_id": "x", "status": "Completed", "storage": "/x", name: word}
    job = Sabnzbd(SabnzbdConfig(), "key")._job(slot)
    assert f"as {name} of a job" in job.strange
    assert not job.ended


def test_a_category_whose_folder_has_another_name(host: Host) -> None:
    host.folders = {"tv": "TV Shows"}
    host.write("TV Shows/X/a.mkv")
    host.job("X", f"{COMPLETE}/TV Shows/X/a.mkv")
    # without a category, and in a category that has no folder of its own in SABnzbd
    host.write("Y/b.mkv", "tv/Z/c.mkv")
    host.job("Y", f"{COMPLETE}/Y", category="*")
    host.job("tv", f"{COMPLETE}/TV Shows", category="*")
    host.run()
    assert host.arrived() == {"tv/X/a.mkv", "other/Y/b.mkv"}


@pytest.mark.parametrize(
    ("files", "arrives", "reason"),
    [
        (["X/a", "X/b"], True, ""),
        (["_UNPACK_X/a", "_UNPACK_X/b"], True, ""),
        (["X/_UNPACK_X/a", "_UNPACK_X/a", "_UNPACK_X/b", "X/_UNPACK_X/b"], True, ""),
        (["X/_UNPACK_X/a", "_UNPACK_X/a", "_UNPACK_X/b"], True, ""),  # the copy was cut short
        (["X/_UNPACK_X/a", "X/_UNPACK_X/b", "_UNPACK_X/b"], True, ""),  # the deletion was
        (["X/a", "X/b", "_UNPACK_X/b"], True, ""),
        (["X/a", "_UNPACK_X/b"], False, "cannot be told"),
        (["X/_UNPACK_X/a", "_UNPACK_X/b"], False, "cannot be told"),
        (["X/a", "X/b", "X/_UNPACK_X/b"], False, "second copy"),
        ([], False, ""),
    ],
)
def test_the_whole_one_of_several_copies_is_moved(
    host: Host, files: list[str], arrives: bool, reason: str
) -> None:
    host.write(*(f"tv/{name}" for name in files))
    host.job("X")
    report = host.run()
    assert host.arrived() == ({"tv/X/a", "tv/X/b"} if arrives else set())
    if reason:
        assert reason in kept(report)[str(host.complete / "tv" / "X")]
    if not arrives:
        there = [path for path in (host.complete / "tv").rglob("*") if path.is_file()]
        assert {str(one.relative_to(host.complete / "tv")) for one in there} == set(files)


def test_copies_of_different_size_are_left(host: Host) -> None:
    host.write("tv/X/_UNPACK_X/a", "tv/_UNPACK_X/a")
    (host.complete / "tv/X/_UNPACK_X/a").write_text("longer than it was")
    host.job("X")
    assert "cannot be told" in next(iter(kept(host.run()).values()))


@pytest.mark.parametrize("name", ["X", "X.1", "x"])
@pytest.mark.parametrize("where", ["queue", "Extracting", "Moving", "Running", "Completed"])
def test_what_a_job_of_the_same_name_may_use_is_left(host: Host, name: str, where: str) -> None:
    host.write("tv/X/a", "tv/_UNPACK_X/b")
    host.job("X")
    if where == "queue":
        host.waiting.append(Queued("other", name))
    else:  # for a moment after the end the history has no path
        host.job(name, status=where)
        host.jobs[-1] = replace(host.jobs[-1], storage="")
    report = host.run()
    assert report.results == ()
    assert host.arrived() == set()


@pytest.mark.parametrize("first", ["queue", "history"])
def test_a_job_that_changes_its_place_between_two_questions_is_seen(host: Host, first: str) -> None:
    """It goes from the queue to post-processing, or by a retry from the history to the queue."""
    host.write("tv/X/a")
    done = host.job("X")
    asked: list[str] = []
    working = Job("other", "X", "tv", "Extracting", "", 0)

    class Moving:
        def queue(self) -> tuple[Queued, ...]:
            asked.append("queue")
            there = len(asked) == 1 if first == "queue" else len(asked) > 2
            return (Queued("other", "X"),) if there else ()

        def history(self) -> tuple[Job, ...]:
            asked.append("history")
            return (done,) if first == "queue" else (replace(working, status="Failed"), done)

    host.usenet = Moving()
    assert host.run().results == ()
    assert host.arrived() == set()


def test_of_two_jobs_that_name_one_folder_the_newer_has_it(host: Host) -> None:
    host.write("tv/X/a")
    host.job("X", completed=time.time() - 9000)
    newer = host.job("X")
    assert [one.action.id for one in host.run().results] == [newer.id]  # type: ignore[attr-defined]
    host.write("tv/X/again")
    host.job("X", completed=time.time() + 10)
    host.run()
    assert host.arrived() == {"tv/X/a", "tv/X.1/again"}


def test_what_still_changes_waits(host: Host) -> None:
    host.write("tv/X/a")
    host.job("X", completed=time.time() - 3600)
    host.now = time.time()
    assert "still writes" in next(iter(kept(host.run()).values()))
    host.now += 61
    assert len(host.run().results) == 1


def test_a_folder_that_changes_after_the_plan_is_left(host: Host) -> None:
    host.write("tv/X/a")
    host.job("X")
    state = str(host.folder / "state")
    with opened(state, "postprocess", dry_run=False) as history:
        context = Context(
            host.config, history, lambda *_, **__: None, FakeWatcher(), state, host.now,
            dry_run=False, path="",
        )  # fmt: skip
        settings = host.config.sabnzbd
        assert settings is not None
        options = postprocess.Options()
        world = postprocess.scan(context, settings, host, options)
        todo = postprocess.plan(world, host.config, settings, options, host.now)
        host.write("tv/X/b")
        (result,) = delivering.deliver(todo.actions, lambda _: pytest.fail("told"), context)
    assert (result.status, host.arrived()) == ("stale", set())


def test_folders_that_no_job_has_are_told_and_left(host: Host) -> None:
    host.write("tv/Stray/a", "tv/Failed.Yet.Whole/a", "tv/_UNPACK_Old/a", "tv/_FAILED_Bad/a",
               "tv/Busy/a")  # fmt: skip
    host.job("Failed.Yet.Whole", status="Failed", failure="Not on your server(s)")
    host.waiting.append(Queued("q", "Busy"))
    found = {Path(path).name: reason for path, reason in kept(host.run()).items()}
    assert found.keys() == {"Stray", "Failed.Yet.Whole", "_UNPACK_Old", "_FAILED_Bad"}
    assert "Not on your server" in found["Failed.Yet.Whole"]
    assert "--adopt" in found["Stray"]
    assert host.arrived() == set()


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("tv/Whole", ""),
        ("tv/_UNPACK_Left", ""),
        ("tv/_FAILED_Bad", "failed to unpack"),
        ("tv/Busy", "same name"),
    ],
)
def test_adopting(host: Host, path: str, refusal: str) -> None:
    host.write("tv/Whole/a", "tv/_UNPACK_Left/a", "tv/_FAILED_Bad/a", "tv/Busy/a", "tv/Other/a")
    host.job("Whole", status="Failed", storage="x", failure="killed")
    host.job("Other")
    host.waiting.append(Queued("q", "Busy"))
    report = host.run(adopt=str(host.complete / path))
    if refusal:
        assert refusal in report.refused
        assert (report.exit_status, host.arrived()) == (3, set())
    else:
        name = Path(path).name.removeprefix("_UNPACK_")
        assert host.arrived() == {f"tv/{name}/a"}


def test_a_destination_that_is_gone_stops_its_jobs_alone(host: Host) -> None:
    host.write("tv/X/a", "Y/b")
    host.job("X")
    host.job("Y", f"{COMPLETE}/Y", category="*")
    host.tv.rmdir()
    report = host.run()
    assert (report.exit_status, host.arrived()) == (75, {"other/Y/b"})
    # and one that was there lately is not taken for a fresh one when its disk is not mounted
    host.tv.mkdir()
    host.run()
    host.write("tv/Z/c")
    host.job("Z")
    (host.tv / ".mediapipe-root").unlink()
    assert "lost its" in (host.run().reason or "")


def test_a_share_that_is_not_mounted_is_not_an_empty_one(host: Host) -> None:
    host.job("X")
    host.run()
    os.rename(host.complete, host.folder / "elsewhere")
    with pytest.raises(Unavailable, match="does not exist"):
        host.run()
    host.complete.mkdir()
    with pytest.raises(Unavailable, match="lost its"):
        host.run()


def test_without_a_table_nothing_is_done_and_that_is_said(host: Host) -> None:
    state = str(host.folder / "state")
    with opened(state, "postprocess", dry_run=False) as history:
        context = Context(
            replace(host.config, sabnzbd=None), history, lambda *_, **__: None, FakeWatcher(),
            state, host.now, dry_run=False, path="/etc/x.toml",
        )  # fmt: skip
        report = postprocess.run(
            context, None, lambda _: pytest.fail("told"), postprocess.Options()
        )
    assert (report.exit_status, kept(report)) == (
        0, {"/etc/x.toml": "it has no table [sabnzbd], so there is nothing to move"},
    )  # fmt: skip


def test_a_new_job_at_the_old_path_of_one_whose_move_was_cut_short_is_its_own(host: Host) -> None:
    """Killed between the rename and the line in the journal; then the same name comes again."""
    host.write("tv/X/first")
    first = host.job("X")
    inode = (host.complete / "tv/X").stat().st_ino
    os.rename(host.complete / "tv/X", host.tv / "X")
    state = str(host.folder / "state")
    with contextlib.closing(open_history(state)) as history:
        stage = ("placing", str(host.tv / "X"), inode)
        history.record_move(
            Move(first.id, "X", str(host.complete / "tv/X"), inode, str(host.tv / "X"), "begun",
                 stage, "", host.now)
        )  # fmt: skip
    host.write("tv/X/second")
    host.job("X", completed=time.time() + 5)
    host.run()
    assert host.arrived() == {"tv/X/first", "tv/X.1/second"}
    with contextlib.closing(copy_history(state)) as history:
        assert [one.target for one in history.moves().values()] == [
            str(host.tv / "X"), str(host.tv / "X.1"),
        ]  # fmt: skip


def test_a_move_whose_job_the_history_has_lost_is_finished(host: Host) -> None:
    host.write("tv/X/a")
    inode = (host.complete / "tv/X").stat().st_ino
    with contextlib.closing(open_history(str(host.folder / "state"))) as history:
        history.record_move(
            Move("gone", "X", str(host.complete / "tv/X"), inode, str(host.tv / "X"), "begun",
                 ("placing", str(host.tv / "X"), inode), "", host.now)
        )  # fmt: skip
    host.run()
    assert host.arrived() == {"tv/X/a"}


def test_a_move_that_was_cut_short_and_whose_job_was_taken_away_ends(host: Host) -> None:
    job = host.job("X")
    with contextlib.closing(open_history(str(host.folder / "state"))) as history:
        history.record_move(
            Move(job.id, "X", str(host.complete / "tv/X"), 1, str(host.tv / "X"), "begun",
                 ("copying", str(host.tv / ".copy"), 0), "", host.now)
        )  # fmt: skip
    assert [one.status for one in host.run().results] == ["stale"]
    assert host.run().results == ()


def test_an_adopted_job_whose_move_was_cut_short_is_finished_without_asking(host: Host) -> None:
    host.write("tv/X/a")
    job = host.job("X", status="Failed", storage="x")
    inode = (host.complete / "tv/X").stat().st_ino
    with contextlib.closing(open_history(str(host.folder / "state"))) as history:
        history.record_move(
            Move(job.id, "X", str(host.complete / "tv/X"), inode, str(host.tv / "X"), "begun",
                 ("placing", str(host.tv / "X"), inode), "", host.now)
        )  # fmt: skip
    os.rename(host.tv, host.folder / "unmounted")
    assert host.run().results == ()
    os.rename(host.folder / "unmounted", host.tv)
    host.run()
    assert host.arrived() == {"tv/X/a"}


def test_what_is_left_of_a_moved_job_is_called_so(host: Host) -> None:
    host.write("tv/X/a")
    host.job("X")
    host.run()
    host.write("tv/X/.nfs0001")
    assert "left of a moved job" in kept(host.run())[str(host.complete / "tv/X")]


def test_unfinished_jobs_that_nobody_knows_are_listed_and_swept_on_demand(host: Host) -> None:
    unfinished = host.folder / "incomplete"
    for name in ("Stray", "Queued", "Retry", "Folder"):
        (unfinished / name / "__ADMIN__").mkdir(parents=True)
        (unfinished / name / "part.1").write_bytes(b"x" * 2048)
    (unfinished / "Stray" / "link").symlink_to("..")
    host.write("tv/X/a")
    host.waiting.append(Queued("q", "Queued"))
    host.job("Retry", status="Failed", retry=True)
    host.job("Other", status="Failed", retry=True, folder="/data/incomplete/Folder")
    assert not any("unfinished" in reason for reason in kept(host.run()).values())
    host.now += 8 * 86400
    reason = kept(host.run())[str(unfinished / "Stray")]
    assert "unfinished (2.0 KiB), in no queue of SABnzbd's, and untouched for 8 d" in reason
    assert (unfinished / "Stray").exists()
    # without SABnzbd's own word nothing is known to be left
    assert str(unfinished / "Stray") not in kept(host.run(asked=False, sweep=True))
    (result,) = host.run(sweep=True).results
    assert (result.action.kind, result.action.path) == (
        "remove-directory",
        str(unfinished / "Stray"),
    )
    assert sorted(path.name for path in unfinished.iterdir()) == ["Folder", "Queued", "Retry"]
    assert (host.complete / "tv/X/a").exists()


def test_many_nfs_files_are_told(host: Host) -> None:
    host.write(*(f"tv/X/.nfs{number:04}" for number in range(11)), "tv/X/a")
    host.job("X")
    report = host.run()
    assert "11 .nfs files" in kept(report)[str(host.complete)]
    assert "tv/X/a" in host.arrived()


def test_folders_of_any_depth_end_no_run(host: Host) -> None:
    """A download may hold folders as deep as a path is long, and so may an unfinished one."""
    deep = "/".join(["d"] * 1500)
    places = [host.complete / "tv" / "Deep", host.folder / "incomplete" / "Left"]
    try:
        subprocess.run(["mkdir", "-p", *(place / deep for place in places)], check=True)
        host.write("tv/X/a")
        host.job("X")
        host.job("Deep")
        report = host.run()
        assert "tv/X/a" in host.arrived()
        assert places[0].exists()
        assert {one.status for one in report.results} <= {"done", "failed"}
        host.now += 8 * 86400
        swept = [
            one for one in host.run(sweep=True).results if one.action.kind == "remove-directory"
        ]
        assert [(one.status, places[1].exists()) for one in swept] in (
            [("done", False)],
            [("failed", True)],  # too few handles, or too deep for this Python
        )
    finally:
        # pytest could not
        subprocess.run(["rm", "-rf", *places], check=True)
