"""Odd words, audits and histories, as a person meets them: told, never a bug or a wait."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe import logs
from mediapipe.arguments import parse_umbrella
from mediapipe.errors import Unavailable
from mediapipe.history import open_history
from mediapipe.plan import Kept
from mediapipe.records import Tally
from mediapipe.report import print_error, print_report
from mediapipe.runner import Report
from mediapipe.testing.box import Box
from tests.test_odd_files import NOWHERE, REMOTE, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real

LINE: dict[str, Any] = {
    "time": "2026-11-20T05:34:33Z", "job": "cleanup", "action": "delete-file", "path": "/x/a",
    "size": 5, "inode": 3, "mtime_ns": 4, "remote": "b2:entertainment-netmount/tv/x",
    "sha1": "a" * 40, "file_id": "z", "reason": "r",
}  # fmt: skip
ESCAPE = "\x1b[31m\x07\nnew"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box", NOWHERE, REMOTE)


def audit(box: Box, *lines: dict[str, Any]) -> None:
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (box.state / "audit.jsonl").write_text(text)


ODD: dict[str, dict[str, Any]] = {
    "huge": {"size": 10**400, "inode": 10**400, "mtime_ns": 10**400},
    "infinite": {"size": float("inf"), "inode": float("nan"), "mtime_ns": 1e300},
    "negative": {"size": -5, "inode": -3, "mtime_ns": -4},
    "no words": {"job": {"a": 1}, "action": ["x"], "reason": [ESCAPE], "time": 7},
    "escapes": {"job": ESCAPE, "action": ESCAPE, "reason": ESCAPE, "remote": ESCAPE},
    "a NUL": {"reason": "a\0b"},
    "objects": {"objects": [1, None, {}], "files": [{"path": "/x", "size": "x"}]},
}


def test_odd_lines_of_the_audit(box: Box) -> None:
    audit(box, LINE, *({**LINE, **odd} for odd in ODD.values()))
    for words in (("history",), ("history", "/x"), ("explain", "/x"), ("explain", "/x/a")):
        told = run(box, *words, status=0).stdout
        assert "\x1b" not in told
        assert "\x07" not in told
    # of the history each line is a change
    assert run(box, "history", status=0).stdout.count("\n") == len(ODD) + 1
    assert len(run(box, "history", "--json", status=0).stdout.splitlines()) == len(ODD) + 1


@pytest.mark.parametrize("what", ["huge", "infinite", "negative"])
def test_odd_numbers_of_what_is_restored(box: Box, what: str) -> None:
    audit(box, {**LINE, **ODD[what]})
    run(box, "restore", "/x", "--dry-run", status=75)  # the remote is not there


@pytest.mark.parametrize("path", ["/x/../../etc/a", "/x/./a", "/x//a", "//x/a", "/x/a\0b", "/x/a/"])
def test_a_path_with_detours_is_not_restored(box: Box, path: str) -> None:
    """It would lead out of the folder that is named with --to."""
    audit(box, {**LINE, "path": path})
    (box.folder / "to").mkdir()
    for words in (("/x",), ("/x", "--to", str(box.folder / "to"))):
        ended = run(box, "restore", "--dry-run", *words, status=3)
        assert "the audit knows of no file that was deleted at /x" in ended.stdout


def test_half_a_character_is_in_no_path(box: Box) -> None:
    audit(
        box,
        {**LINE, "path": "/x/\ud800"},
        {**LINE, "path": "/x/b", "remote": "b2:entertainment-netmount/\ud800"},
        {**LINE, "path": "/x/\udcff \U0001f3ac"},
    )
    told = run(box, "history", status=0).stdout
    assert "/x/\\xff \U0001f3ac" in told
    assert "/x/\\ud800" in told
    for path in ("/x/b", "/x/a"):
        run(box, "restore", path, "--dry-run", status=3)
    run(box, "restore", "/x", "--dry-run", status=75)


def test_a_time_that_no_clock_shows(box: Box) -> None:
    with contextlib.closing(open_history(str(box.state))) as history:
        history.record_run("upload", 1e300, -1e300, "done", (1, 0, 0), ESCAPE)
        history.record_run("cleanup", float("inf"), 1.0, "failed", (1, 0, 0), ESCAPE)
        history.tally("library", [Tally("tv", 2**62, 2**62, 4e18)])
    told = run(box, "status", status=0).stdout
    assert "impossible date" in told
    assert "\x1b" not in told
    assert json.loads(run(box, "status", "--json", status=0).stdout)["jobs"]["upload"]


def test_a_history_that_lacks_tables(box: Box) -> None:
    with contextlib.closing(open_history(str(box.state))):
        pass
    with contextlib.closing(sqlite3.connect(box.state / "history.db")) as database:
        database.execute("DROP TABLE runs")
    for words in (("status",), ("upload",)):
        ended = run(box, *words, status=78)
        assert "lacks tables" in ended.stderr
        assert "move it away" in ended.stderr


@pytest.mark.parametrize("words", [("status",), ("upload",), ("restore", "/x")])
def test_a_history_that_is_damaged_further_on(box: Box, words: tuple[str, ...]) -> None:
    """It opens, and only what is read later fails: a later run would meet the same."""
    with contextlib.closing(open_history(str(box.state))):
        pass
    with (box.state / "history.db").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(bytes(size - 4096))
    ended = run(box, *words, status=78)
    assert "history.db is damaged" in ended.stderr
    assert "move it away" in ended.stderr


@pytest.mark.parametrize("unit", ["../../x.service", ESCAPE + ".service", "x", ".service", "a.b c"])
def test_what_is_no_unit_is_told_to_nobody(box: Box, unit: str) -> None:
    ended = run(box, "alert", unit, status=2)
    assert (ended.stdout, "\x1b" in ended.stderr) == ("", False)


def test_the_journal_knows_no_time_before_1970() -> None:
    (since,) = [one for one in logs.command(parse_umbrella(["logs", "--since", "5000w"]))
                if one.startswith("--since=")]  # fmt: skip
    assert int(since.removeprefix("--since=-").removesuffix("s")) <= time.time()


def test_a_folder_above_all_is_looked_through_where_jobs_look(box: Box) -> None:
    """`explain /` would read every disk of the host."""
    box.movies.joinpath("film.mkv").write_bytes(b"film")
    (box.folder / "media" / "photos").mkdir()
    (box.folder / "media" / "photos" / "a.jpg").touch()
    for folder in ("/", str(box.folder), str(box.movies)):
        told = json.loads(run(box, "explain", folder, "--json", status=0).stdout)
        assert [one["path"] for one in told["files"]] == [str(box.movies / "film.mkv")]
    ended = run(box, "explain", str(box.folder / "media" / "photos"), status=2)
    assert "outside the libraries and downloads" in ended.stderr


def test_a_link_to_a_library_is_one(box: Box) -> None:
    box.movies.joinpath("folder").mkdir()
    box.movies.joinpath("folder", "film.mkv").write_bytes(b"film")
    (box.folder / "link").symlink_to(box.movies)
    told = run(box, "explain", str(box.folder / "link" / "folder"), status=0).stdout
    assert "film.mkv" in told


WRONG = {
    "a state with NUL": '[paths]\nstate = "/a\\u0000b"\n',
    "a relative state": '[paths]\nstate = "rel"\n',
    "a number": "paths = 5\nnotify = [1]\n",
    "a file of URLs with NUL": '[notify]\nurls_file = "/a\\u0000b"\n',
    "a file of URLs that is a number": "[notify]\nurls_file = 5\n",
    "no TOML": "[" * 5000,
}


@pytest.mark.parametrize("what", WRONG)
def test_a_configuration_of_any_content_silences_no_alert(
    box: Box, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is anything written where it does not say."""
    box.config_path.write_text(WRONG[what])
    monkeypatch.chdir(box.folder)
    monkeypatch.setenv("STATE_DIRECTORY", str(box.state))
    told = run(box, "alert", "some.service", status=0).stdout
    assert "some.service" in told
    assert "the configuration is not sound" in told
    assert not (box.folder / "rel").exists()
    assert "is blank" not in run(box, "alert", "test", status=78).stderr
    run(box, "doctor", "config", status=78)


def test_no_word_of_others_reaches_the_terminal_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An app's answer may hold anything, and a reason or a hint may hold the answer."""
    trouble = Unavailable(f"it answers {ESCAPE}", hint=ESCAPE)
    kept = (Kept("name", f"it answers {ESCAPE}"),)
    print_report(
        Report("cleanup", dry_run=False, results=(), kept=kept, trouble=trouble),
        1.0, as_json=False, verbose=True,
    )  # fmt: skip
    print_error(trouble, job=None, dry_run=False, as_json=False)
    for text in capsys.readouterr():
        assert ESCAPE[1:5] in text
        assert not {"\x1b", "\x07"} & {*text}
