"""The commands that are no jobs, as people meet them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe import app_tallies, latch
from mediapipe.config_load import load
from mediapipe.errors import CapReached, LoginRefused
from mediapipe.history import open_history
from mediapipe.lifecycle import offer
from mediapipe.log import Log
from mediapipe.plan import clock
from mediapipe.records import Pause, Proof, Proven, Tally, Wanted
from mediapipe.runner import Context, lock
from mediapipe.testing.box import Box
from tests.fakes import FakeWatcher
from tests.hosts import snapshot

if TYPE_CHECKING:
    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real

NOBODY = 65534
NOWHERE = "http://127.0.0.1:9"
LATER = 4_000_000_000
PHOTOS = {"fileNamePrefix": "photos/", "daysFromUploadingToHiding": 9}


@pytest.fixture
def box(tmp_path: Path, b2: B2Server) -> Box:
    return Box(tmp_path / "box", NOWHERE, b2.rclone_config())


def ask(box: Box, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `mediapipe` with these words; demands its status, and no traceback."""
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "mediapipe"), *words, "--config", str(box.config_path)],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended


def answer(box: Box, *words: str, status: int = 0) -> dict[str, Any]:
    told = ask(box, *words, "--json", status=status).stdout
    assert told.count("\n") == 1
    found = json.loads(told)
    assert isinstance(found, dict)
    return found


def audit(box: Box) -> list[dict[str, Any]]:
    path = box.state / "audit.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


# status


def test_before_the_first_run_there_is_nothing_to_tell(box: Box) -> None:
    box.state.rmdir()

    told, shown = answer(box, "status"), ask(box, "status").stdout

    assert told == {
        "jobs": {
            job: {"last": None, "last_good": None, "looked": None}
            for job in ("categories", "upload", "cleanup", "postprocess")
        },
        "held_up": [], "deletions_begun": [], "wanted": [], "proven": {"files": 0, "bytes": 0},
        "usenet": None,
        "without_torrent": [], "unproven": [],
        "apps": {},
    }  # fmt: skip
    assert shown.count("no run yet") == 4
    assert not box.state.exists()


def remember(box: Box) -> float:
    """Put something of each kind into the history; gives the present time."""
    now = time.time()
    with contextlib.closing(open_history(str(box.state))) as history:
        history.record_run("upload", now - 7300, 90, "done", (3, 0, 2), None)
        history.record_run("upload", now - 130, 1.25, "unavailable", (0, 0, 0), "B2 is\nout")
        history.record_run("cleanup", now - 60, 2, "refused", (0, 0, 0), "too much")
        history.pause("/media/tv/odd\udcff.mkv", Pause(now + 600, 2, "no such", "mark"))
        history.intend("Film \udcff", "", {"/d/1": None, "/d/2": (1, 2, 3)}, now)
        history.want([Wanted("h", "Show", "/d/Show", ("/d/Show/a.srt",))])
        history.prove((1, 5000, 1), Proof("p", (Proven("p", 5000, "0" * 40),)), now)
        history.tally("library", [Tally("tv", 1, 1024), Tally("movies", 2, 7168, LATER)])
        history.tally(
            "unproven",
            [
                Tally("/d/\udcff", 1, 22),
                *(Tally(f"/d/{size - 1}", 1, size) for size in range(1, 22)),
            ],
        )
        config, tell = load(str(box.config_path)), Log("test", verbose=False)
        context = Context(config, history, tell, FakeWatcher(), "", now, False, "config")
        latch.note(CapReached("B2 refuses for today"), "upload", context, str(box.config_path))
        latch.note(LoginRefused("qbittorrent", "no"), "upload", context, str(box.config_path))
    return now


def test_status_as_text(box: Box) -> None:
    remember(box)
    lines = ask(box, "status").stdout.splitlines()

    upload = next(number for number, line in enumerate(lines) if line.startswith("  upload "))
    ended = r"\(2 min( \d+ s)? ago\), 1\.2 s: unavailable \(0 done, 0 failed, 0 kept\)"
    assert re.search(ended, lines[upload])
    assert lines[upload + 1].strip() == "B2 is\\nout"
    assert "last good run: " in lines[upload + 2]
    assert "(2 h 1 min ago)" in lines[upload + 2]
    text = "\n".join(lines)
    assert "last good run: none yet" in text
    assert "qbittorrent: its key or login was refused, left alone until it changes" in text
    assert f"rclone: B2's cap is used up, left alone until {clock(midnight())}" in text
    assert f"sooner: `touch {box.config_path}` to ask now" in text
    assert "/media/tv/odd\\xff.mkv: failed lately, left alone until" in text
    assert "Film \\xff: 2 paths" in text
    assert "Show: 1 file" in text
    assert "\n  1 file, 4.9 KiB\n" in text
    assert f"  movies: 2 files, 7.0 KiB; the first may go {clock(LATER)}" in lines
    assert "  tv: 1 file, 1.0 KiB; it stays" in lines
    assert "  /d/\\xff: 1 file, 22 B" in lines
    assert "  /d/0: 1 file, 1 B" not in lines
    assert lines[-1] == "  and 2 more, 3 B"


def midnight() -> float:
    now = time.time()
    return now - now % 86400 + 86400


def test_status_for_programs(box: Box) -> None:
    now = remember(box)
    told = answer(box, "status")

    assert told["jobs"]["categories"] == {"last": None, "last_good": None, "looked": None}
    assert told["jobs"]["upload"]["last"] == {
        "job": "upload", "started": stamp(now - 130), "seconds": 1.25, "outcome": "unavailable",
        "done": 0, "failed": 0, "kept": 0, "reason": "B2 is\nout",
    }  # fmt: skip
    assert told["jobs"]["upload"]["last_good"]["started"] == stamp(now - 7300)
    held = {one["cause"]: one for one in told["held_up"]}
    assert set(held) == {"item", "cap", "refused"}
    assert (held["refused"]["subject"], held["refused"]["until"]) == ("qbittorrent", None)
    assert held["cap"]["until"] == stamp(midnight())
    assert held["item"]["subject"] == "/media/tv/odd\udcff.mkv"
    assert told["deletions_begun"] == [
        {"name": "Film \udcff", "hash": None, "paths": ["/d/1", "/d/2"]}
    ]
    assert told["wanted"] == [{"name": "Show", "hash": "h", "paths": ["/d/Show/a.srt"]}]
    assert told["proven"] == {"files": 1, "bytes": 5000}
    assert told["without_torrent"] == [
        {"library": "movies", "files": 2, "bytes": 7168, "first_goes": stamp(LATER)},
        {"library": "tv", "files": 1, "bytes": 1024, "first_goes": None},
    ]
    assert told["unproven"][0] == {"path": "/d/\udcff", "files": 1, "bytes": 22}
    assert len(told["unproven"]) == 22


def test_status_tells_of_the_apps(box: Box) -> None:
    now = time.time()
    with contextlib.closing(open_history(str(box.state))) as history:
        config, tell = load(str(box.config_path)), Log("test", verbose=False)
        context = Context(config, history, tell, FakeWatcher(), "", now, False, "config")
        counted = {"calls": 9, "retries": 4, "rebuilds": 2, "trips": 1}
        app_tallies.add("sonarr", counted, 60.0, context)
        app_tallies.add("radarr", {**counted, "trips": 0}, 0.0, context)
    told = answer(box, "status")["apps"]
    assert told["sonarr"] == {
        **counted, "circuit": "open", "open_until": stamp(now + 60), "last": stamp(now),
    }  # fmt: skip
    assert (told["radarr"]["circuit"], told["radarr"]["open_until"]) == ("closed", None)
    text = ask(box, "status").stdout
    assert f"sonarr      left alone until {clock(now + 60)}; 9 calls, 4 tried again" in text
    assert "radarr      in use; 9 calls, 4 tried again, 2 new sessions, 0 times" in text


def stamp(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def test_status_tells_of_a_real_run(b2: B2Server, box: Box) -> None:
    (box.tv / "a.mkv").write_bytes(b"bytes")
    box.report("upload")
    told = answer(box, "status")

    assert told["jobs"]["upload"]["looked"] is None
    run = told["jobs"]["upload"]["last"]
    assert (run["outcome"], run["done"]) == ("done", 1)
    assert told["jobs"]["upload"]["last_good"] == run
    assert told["proven"] == {"files": 1, "bytes": 5}
    assert set(b2.objects()) == {"tv/a.mkv"}
    for _ in range(3):  # the first pass writes the index down, the last finds it unchanged
        box.run("upload")
    os.utime(box.state / "upload.index", ns=(LATER * 10**9, LATER * 10**9))
    told = answer(box, "status")
    assert told["jobs"]["upload"]["looked"] == stamp(LATER)
    assert told["jobs"]["cleanup"]["looked"] is None
    assert f"looked again, with nothing to do: {clock(LATER)}" in ask(box, "status").stdout


def test_status_waits_for_nobody_and_leaves_nothing(b2: B2Server, box: Box) -> None:
    """Not even where a run was killed, or is under way: its log stands beside the database."""
    remember(box)
    connection = sqlite3.connect(box.state / "history.db", isolation_level=None)
    connection.execute("INSERT INTO facts VALUES ('x', 1)")
    connection.execute("BEGIN IMMEDIATE")
    before = set(os.listdir(box.state))
    assert "history.db-wal" in before
    b2.stop()
    with lock(str(box.state), "upload.lock"), lock(str(box.state)):
        assert answer(box, "status")["proven"]["files"] == 1
    assert set(os.listdir(box.state)) == before | {"lock", "upload.lock"}
    connection.close()
    unchanged = snapshot(box.folder)
    ask(box, "status")
    assert snapshot(box.folder) == unchanged


@pytest.mark.skipif(os.getuid() != 0, reason="only root reads what belongs to others")
@pytest.mark.parametrize("left", [(), ("-wal",), ("-wal", "-shm")])
def test_root_leaves_no_file_of_its_own(box: Box, left: tuple[str, ...]) -> None:
    remember(box)
    source = box.state / "history.db"
    connection = sqlite3.connect(source, isolation_level=None)
    connection.execute("INSERT INTO facts VALUES ('x', 1)")
    crashed = box.folder / "crashed"  # as a power cut leaves it
    crashed.mkdir()
    for suffix in ("", *left):
        shutil.copy(f"{source}{suffix}", crashed / f"history.db{suffix}")
    connection.close()
    for path in (crashed, *crashed.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    box.write_config(paths={"state": str(crashed)})

    assert answer(box, "status")["proven"]["files"] == 1

    owners = {path: path.stat().st_uid for path in crashed.iterdir()}
    assert set(owners.values()) == {NOBODY}, owners


def test_a_damaged_history_is_told(box: Box) -> None:
    (box.state / "history.db").write_bytes(b"no database at all" * 500)

    assert answer(box, "status", status=78)["outcome"] == "error"


# lifecycle


def test_rules_are_shown_and_nothing_is_changed(b2: B2Server, box: Box) -> None:
    rules = [PHOTOS, {"fileNamePrefix": "tv/", "daysFromUploadingToHiding": 3}]
    b2.set_lifecycle(rules)
    before = snapshot(box.folder)

    told, shown = answer(box, "lifecycle"), ask(box, "lifecycle").stdout

    assert (told["outcome"], told["in_force"], told["folder"]) == ("done", False, "")
    assert told["before"] == told["after"] == rules
    assert told["offered"] == offer("")
    assert any("cleanup refuses" in one and "'tv/'" in one for one in told["warnings"])
    assert "hidden 9 days after the upload" in shown
    assert "cleanup refuses" in shown
    assert "first remove" in shown
    assert b2.lifecycle() == rules
    assert snapshot(box.folder) == before


def test_the_offered_rule_is_set_when_asked_for(b2: B2Server, box: Box) -> None:
    b2.set_lifecycle([{"fileNamePrefix": "", "daysFromHidingToDeleting": 1}])
    assert "to set it  mediapipe lifecycle --apply" in ask(box, "lifecycle").stdout

    shown = ask(box, "lifecycle", "--apply").stdout

    assert b2.lifecycle() == [offer("")]
    assert "deleted after 1 day\n" in shown
    assert "rules after  the whole bucket: hidden and replaced versions deleted" in shown
    (line,) = audit(box)
    assert (line["action"], line["path"]) == ("set-lifecycle", f"b2:{b2.bucket}")
    assert line["before"] == [{"fileNamePrefix": "", "daysFromHidingToDeleting": 1}]
    assert line["rules"] == [offer("")]
    again = answer(box, "lifecycle", "--apply")
    assert (again["in_force"], again["warnings"]) == (True, [])
    assert len(audit(box)) == 1


def test_rules_for_other_folders_stay(b2: B2Server, box: Box) -> None:
    b2.set_lifecycle([PHOTOS])
    box.write_config(rclone={"remote": f"b2:{b2.bucket}/media"})

    told = answer(box, "lifecycle", "--apply")

    assert told["after"] == b2.lifecycle() == [PHOTOS, offer("media/")]


def test_the_folder_is_the_one_that_all_of_ours_lie_in(b2: B2Server, box: Box) -> None:
    box.write_config(
        rclone={"remote": f"b2:{b2.bucket}/a/"},
        upload={"uncategorized_remote": "b/c/downloads"},
        **{"libraries.tv": {"remote": "b/c/tv"}, "libraries.movies": {"remote": "b/c/films"}},
    )
    assert answer(box, "lifecycle")["folder"] == "a/b/c/"


@pytest.mark.parametrize("prefix", ["", "tv/"])
def test_a_rule_of_somebody_else_is_not_dropped(b2: B2Server, box: Box, prefix: str) -> None:
    rules = [{"fileNamePrefix": prefix, "daysFromUploadingToHiding": 9}]
    b2.set_lifecycle(rules)

    ended = ask(box, "lifecycle", "--apply", status=3)
    told = answer(box, "lifecycle", "--apply", status=3)

    assert "rules now" in ended.stdout
    assert "refused: nothing was changed" in ended.stderr
    assert "hint: remove that rule" in ended.stderr
    assert told["outcome"] == "refused"
    assert b2.lifecycle() == rules
    assert audit(box) == []


def test_a_key_for_uploads_shows_and_cannot_set(b2: B2Server, tmp_path: Path) -> None:
    box = Box(tmp_path / "box", NOWHERE, b2.rclone_config("restricted"))
    assert answer(box, "lifecycle")["before"] == []

    ended = ask(box, "lifecycle", "--apply", status=78)

    assert "writeBuckets, for this once" in ended.stderr
    assert b2.lifecycle() == []
    assert audit(box) == []


def test_what_cannot_be_written_down_is_not_done(b2: B2Server, box: Box) -> None:
    (box.state / "audit.jsonl").mkdir()

    ask(box, "lifecycle", "--apply", status=75)

    assert b2.lifecycle() == []


def test_behind_another_remote_there_are_no_rules(b2: B2Server, tmp_path: Path) -> None:
    config = f"{b2.rclone_config()}\n[a]\ntype = alias\nremote = b2:{b2.bucket}\n"
    box = Box(tmp_path / "box", NOWHERE, config)
    box.write_config(rclone={"remote": "a:x"})

    assert "is not plainly B2" in ask(box, "lifecycle", status=78).stderr


def test_an_outage_is_one(b2: B2Server, box: Box) -> None:
    b2.stop()

    assert answer(box, "lifecycle", status=75)["outcome"] == "unavailable"
