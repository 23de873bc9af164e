"""The commands as people and systemd meet them: exit statuses, reports, logs, what is written."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe import __version__
from mediapipe.testing.b2 import STORAGE_CAP
from mediapipe.testing.box import BUCKET, COMMANDS, Box
from mediapipe.testing.loopback import HOST, free_port, wait_until
from mediapipe.testing.qbittorrent import make_torrent
from tests.conftest import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real

SCRIPTS = Path(sys.executable).parent
REPORT = {"job", "dry_run", "outcome", "reason", "actions", "kept", "seconds"}
ACTION = {"action", "path", "reason", "status", "error"}
NOBODY = 65534


@pytest.fixture
def box(tmp_path: Path, b2: B2Server, qbittorrent: Any) -> Box:
    return Box(tmp_path / "box", qbittorrent.url, b2.rclone_config("restricted"))


def down(box: Box) -> None:
    """Let the configuration name a qBittorrent that is not there."""
    box.write_config(qbittorrent={"url": f"http://{HOST}:{free_port()}"})


def put(path: Path, content: bytes = b"some bytes") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def ends(box: Box, status: int, verb: str, *options: str, **settings: Any) -> dict[str, Any]:
    """Run a job with `--json`; demand its status, one JSON object, and no traceback."""
    ended = box.run(verb, "--json", *options, **settings)
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == status, ended.stdout + ended.stderr
    assert ended.stdout.count("\n") == 1
    return json.loads(ended.stdout)


def run(*command: object, **settings: Any) -> subprocess.CompletedProcess[str]:
    program, *words = map(str, command)
    return subprocess.run(
        [str(SCRIPTS / program), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **settings,
    )


def events(stderr: str) -> list[dict[str, Any]]:
    """Read the log: each line is one JSON object."""
    return [json.loads(line) for line in stderr.splitlines()]


def runs(box: Box) -> list[tuple[str, str, int, int, int, str | None]]:
    with contextlib.closing(sqlite3.connect(box.state / "history.db")) as database:
        columns = "job, outcome, done, failed, kept, reason"
        return database.execute(f"SELECT {columns} FROM runs ORDER BY started").fetchall()


def audit(box: Box) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (box.state / "audit.jsonl").read_text().splitlines()]


def tree(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Give all that a run could have changed below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = hashlib.sha1(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (status.st_ino, status.st_mtime_ns, content)
    return found


# Help


@pytest.mark.parametrize("program", ["mediapipe", *COMMANDS.values()])
def test_help_tells_the_exit_statuses(program):
    ended = run(program, "--help")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"usage: {program} ")
    for status in ("0", "1", "2", "3", "75", "78"):
        assert f"\n  {status:<3} " in ended.stdout


@pytest.mark.parametrize("verb", COMMANDS)
def test_each_verb_of_the_umbrella_has_the_options_of_its_command(verb):
    own, umbrella = run(COMMANDS[verb], "--help"), run("mediapipe", verb, "--help")

    assert umbrella.returncode == 0
    for option in ("--config FILE", "--dry-run", "--json", "--verbose", "--version"):
        assert option in own.stdout
        assert option in umbrella.stdout
    for option in ("--force", "--accept-loss", "--orphans-now"):
        assert (option in own.stdout) == (verb == "cleanup")


@pytest.mark.parametrize("program", ["mediapipe", *COMMANDS.values()])
def test_version(program):
    ended = run(program, "--version")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{program} {__version__}\n"


# Exit status 0


def test_upload_ends_with_0_when_done_and_when_nothing_is_to_be_done(box, b2):
    put(box.tv / "Show" / "a.mkv")
    done, idle = ends(box, 0, "upload"), ends(box, 0, "upload")

    assert (done["outcome"], idle["outcome"]) == ("done", "done")
    assert [one["status"] for one in done["actions"]] == ["done"]
    assert idle["actions"] == []
    assert set(b2.objects()) == {"tv/Show/a.mkv"}


def put_finished_job(box):
    """A download of SABnzbd's, of which its hook has told; without an API key that is enough."""
    places = {
        name: box.folder / "usenet" / name for name in ("complete", "incomplete", "spool", "tv")
    }
    put(places["complete"] / "tv" / "Show" / "a.mkv")
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    told = {"version": 1, "nzo_id": "one", "status": "0", "name": "Show", "category": "tv",
            "complete_dir": "/data/complete/tv/Show"}  # fmt: skip
    (places["spool"] / "one.json").write_text(json.dumps(told))
    box.settings["sabnzbd.destinations"] = {"tv": str(places["tv"])}
    box.write_config(
        sabnzbd={
            "api_key_file": "",
            "host_complete_dir": str(places["complete"]),
            "host_incomplete_dir": str(places["incomplete"]),
            "spool": str(places["spool"]),
        }
    )


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_dry_run_has_the_actions_of_the_run_that_follows_it(verb, box):
    put(box.tv / "Show" / "a.mkv")
    if verb == "cleanup":
        put(box.completed / "old.iso")
        ends(box, 0, "upload")
    if verb == "postprocess":
        put_finished_job(box)

    options = ["--accept-loss"] if verb == "cleanup" else []
    planned = ends(box, 0, verb, "--dry-run", *options)
    done = ends(box, 0, verb, *options)

    assert (planned["dry_run"], done["dry_run"]) == (True, False)
    assert done["actions"]
    assert {one.pop("status") for one in planned["actions"]} == {"planned"}
    assert {one.pop("status") for one in done["actions"]} == {"done"}
    assert planned["actions"] == done["actions"]


def test_the_configuration_may_come_from_the_environment(box):
    environment = {**os.environ, "MEDIAPIPE_CONFIG": str(box.config_path)}
    ended = run("qbt-upload-b2", "--json", env=environment)

    assert ended.returncode == 0
    assert json.loads(ended.stdout)["job"] == "upload"


def test_the_state_folder_of_systemd_wins(box, tmp_path):
    put(box.tv / "a.mkv")
    ends(box, 0, "upload", env={"STATE_DIRECTORY": str(tmp_path / "theirs")})

    assert (tmp_path / "theirs" / "audit.jsonl").exists()
    assert list(box.state.iterdir()) == []


def test_a_reader_who_has_enough_is_no_failure(box):
    put(box.tv / "a.mkv")
    with subprocess.Popen(
        box.command("upload", "--dry-run"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(60) == 0
    assert b"Traceback" not in errors


# Exit status 2


@pytest.mark.parametrize(
    "words",
    [
        ("qbt-upload-b2", "--bogus"),
        ("qbt-upload-b2", "--force"),
        ("qbt-cleanup", "extra"),
        ("qbt-categories", "--wait", "soon"),
        ("mediapipe", "bogus"),
        ("mediapipe", "config"),
        ("mediapipe", "explain", ""),
        ("mediapipe", "restore", ""),
        ("mediapipe", "restore", "/a", "--to="),
        ("mediapipe", "status", "--config="),
        ("mediapipe", "history", ""),
        ("mediapipe", "warm", "a", ""),
        ("qbt-upload-b2", "--config", ""),
        ("sab-postprocess", "--adopt", ""),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_ends_with_2(words):
    ended = run(*words)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: ")
    assert f"{words[0]} " in ended.stderr
    assert "--help" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_no_command_at_all_shows_the_help_and_ends_with_2():
    ended = run("mediapipe")

    assert ended.returncode == 2
    assert "usage: mediapipe" in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "words",
    [("qbt-upload-b2", "--json", "--bogus"), ("mediapipe", "cleanup", "--bogus", "--json")],
    ids=" ".join,
)
def test_a_wrong_command_line_is_told_as_json_too(words):
    ended = run(*words)

    assert ended.returncode == 2
    report = json.loads(ended.stdout)
    assert report["outcome"] == "error"
    assert "--bogus" in report["reason"]


# Exit status 3


def test_some_failed_ends_with_3_and_the_failed_one_rests(box, b2):
    put(box.tv / "good.mkv")
    put(box.tv / "bad.mkv")
    b2.inject(api="b2_upload_file", name="bad", count=None, status=400, code="bad_request")

    report = ends(box, 3, "upload")
    again = ends(box, 0, "upload")

    assert (report["outcome"], report["reason"]) == ("partial", None)
    found = {Path(one["path"]).name: (one["status"], one["error"]) for one in report["actions"]}
    assert found["good.mkv"] == ("done", None)
    assert found["bad.mkv"][0] == "failed"
    assert "bad_request" in found["bad.mkv"][1]
    assert [Path(one["path"]).name for one in again["kept"]] == ["bad.mkv"]
    assert "bad_request" in again["kept"][0]["reason"]


def test_a_refused_plan_ends_with_3(box, qbittorrent):
    qbittorrent.client().torrents_create_category("radarr", save_path="/elsewhere")

    report = ends(box, 3, "categories")

    assert report["outcome"] == "refused"
    assert report["reason"]
    assert [one["path"] for one in report["kept"]] == [str(box.completed / "movies")]
    assert "/elsewhere" in report["kept"][0]["reason"]
    made = [(one["action"], one["name"], one["status"]) for one in report["actions"]]
    assert made == [("create-category", "tv-sonarr", "done")]


def test_orphans_without_a_base_are_refused(box):
    put(box.completed / "old.iso")
    ends(box, 0, "upload")

    report = ends(box, 3, "cleanup")

    assert (report["outcome"], report["actions"]) == ("refused", [])
    assert "--accept-loss" in report["reason"]
    assert (box.completed / "old.iso").exists()


# Exit status 75


def test_without_qbittorrent_categories_and_cleanup_end_with_75(box):
    down(box)
    put(box.completed / "old.iso")

    for verb, options in (("categories", ["--wait", "0s"]), ("cleanup", [])):
        report = ends(box, 75, verb, *options)
        assert report["outcome"] == "unavailable"
        assert "qBittorrent" in report["reason"]


def test_without_qbittorrent_the_libraries_are_uploaded_and_the_rest_waits(box, b2):
    down(box)
    put(box.tv / "a.mkv")
    put(box.completed / "old.iso")

    report = ends(box, 75, "upload")

    assert report["outcome"] == "unavailable"
    assert [(one["path"], one["status"]) for one in report["actions"]] == [
        (str(box.tv / "a.mkv"), "done")
    ]
    assert [one["path"] for one in report["kept"]] == [str(box.completed / "old.iso")]
    assert set(b2.objects()) == {"tv/a.mkv"}


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_second_run_of_the_same_job_ends_with_75_at_once(verb, box):
    with held(box.state / f"{verb}.lock"):
        report = ends(box, 75, verb)

    assert report["outcome"] == "unavailable"
    assert f"{verb}.lock" in report["reason"]
    assert ends(box, 0, verb)["outcome"] == "done"


def test_the_short_lock_is_waited_for_and_what_was_not_begun_is_told(box):
    put(box.tv / "a.mkv")
    with held(box.state / "lock"):
        report = ends(box, 75, "upload")

    assert [one["status"] for one in report["actions"]] == ["planned"]
    assert not (box.tv / "a.mkv.uploaded").exists()
    assert [one["status"] for one in ends(box, 0, "upload")["actions"]] == ["done"]


@pytest.mark.parametrize("verb", ["upload", "cleanup"])
def test_a_root_that_is_not_there_ends_with_75(verb, box):
    box.tv.rmdir()

    report = ends(box, 75, verb)

    assert report["outcome"] == "unavailable"
    assert str(box.tv) in report["reason"]


@pytest.mark.parametrize("verb", ["upload", "cleanup"])
def test_a_root_that_lost_its_root_file_ends_with_75(verb, box):
    put(box.tv / "a.mkv")
    ends(box, 0, "upload")
    (box.tv / ".mediapipe-root").unlink()

    assert str(box.tv) in ends(box, 75, verb)["reason"]


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_mount_that_is_not_there_ends_with_75(verb, box, tmp_path):
    put(box.tv / "a.mkv")
    box.write_config(paths={"require_mounts": [str(tmp_path)]})

    report = ends(box, 75, verb)

    assert report["outcome"] == "unavailable"
    assert str(tmp_path) in report["reason"]
    assert not (box.tv / "a.mkv.uploaded").exists()
    box.write_config(paths={"require_mounts": ["/proc"]})
    assert ends(box, 0, verb)["outcome"] == "done"


def test_a_cap_ends_with_75(box, b2):
    put(box.tv / "a.mkv")
    b2.inject(STORAGE_CAP)

    report = ends(box, 75, "upload")

    assert report["outcome"] == "unavailable"
    assert "storage_cap_exceeded" in report["reason"]


def children(pid: int) -> list[int]:
    """Give the children of a process, by the threads that started them."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_upload_ends_with_75_and_no_child_is_left(number, box, b2):
    put(box.tv / "big.mkv", os.urandom(4 << 20))
    b2.bandwidth = 200_000
    with subprocess.Popen(
        box.command("upload", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        wait_until(lambda: b2.stats().bytes_in > 100_000, seconds=30, what="the upload to begin")
        started = children(process.pid)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)

    assert started
    assert process.returncode == 75, errors
    assert "Traceback" not in errors
    assert json.loads(output)["outcome"] == "unavailable"
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
    assert b2.objects() == {}
    assert not (box.tv / "big.mkv.uploaded").exists()
    b2.bandwidth = None
    assert [one["status"] for one in ends(box, 0, "upload")["actions"]] == ["done"]


def test_a_run_that_a_signal_ended_is_in_the_history(box, b2):
    put(box.tv / "big.mkv", os.urandom(4 << 20))
    b2.bandwidth = 200_000
    with subprocess.Popen(
        box.command("upload"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: b2.stats().bytes_in > 100_000, seconds=30, what="the upload to begin")
        process.terminate()
        process.wait(60)

    assert [row[:2] for row in runs(box)] == [("upload", "unavailable")]


# Exit status 78


MISTAKES = """
bogus = 1
[paths]
completed = "relative"
stat = "/x"
[qbittorrent]
timeout = "10 minutes"
[upload]
transfers = "four"
leftovers = "burn"
[cleanup]
max_deletes = true
[libraries.tv]
root = "/media/tv"
"""
WHERE = (
    "bogus", "paths.completed", "paths.stat", "qbittorrent.timeout", "upload.transfers",
    "upload.leftovers", "cleanup.max_deletes", "libraries.tv.remote",
)  # fmt: skip


def test_every_mistake_of_the_configuration_is_told_at_once(box):
    box.config_path.write_text(MISTAKES)

    report = ends(box, 78, "upload")
    checked = run("mediapipe", "config", "check", box.config_path)

    assert report["outcome"] == "error"
    assert checked.returncode == 78
    for where in WHERE:
        assert f"\n  {where}: " in report["reason"]
        assert f"\n  {where}: " in checked.stderr
    assert "did you mean 'paths.state'?" in report["reason"]
    assert f"{len(WHERE)} mistakes" in report["reason"]


def test_a_sound_configuration_is_called_so(box):
    ended = run("mediapipe", "config", "check", box.config_path)

    assert (ended.returncode, ended.stdout) == (0, f"{box.config_path} is sound\n")


@pytest.mark.parametrize("content", [None, b"[paths", b"\xff\xfe"])
def test_a_configuration_that_cannot_be_read_ends_with_78(content, box):
    box.config_path.unlink()
    if content is not None:
        box.config_path.write_bytes(content)

    assert str(box.config_path) in ends(box, 78, "cleanup")["reason"]


def test_a_missing_rclone_ends_with_78_once_it_is_needed(box):
    box.write_config(rclone={"binary": "/no/such/rclone"})
    assert ends(box, 0, "upload")["actions"] == []
    put(box.tv / "a.mkv")

    report = ends(box, 78, "upload")

    assert report["outcome"] == "error"
    assert "/no/such/rclone" in report["reason"]


def test_an_old_rclone_ends_with_78_and_the_version_found(box, tmp_path):
    program = put(tmp_path / "rclone", b"#!/bin/sh\necho rclone v1.60.1\n")
    program.chmod(0o755)
    box.write_config(rclone={"binary": str(program)})
    put(box.tv / "a.mkv")

    assert "1.60.1" in ends(box, 78, "upload")["reason"]


def test_a_missing_secret_ends_with_78(box, tmp_path):
    for file in (str(tmp_path / "missing"), "a-credential"):
        box.write_config(qbittorrent={"username": "admin", "password_file": file})
        for verb in ("categories", "cleanup"):
            report = ends(box, 78, verb)
            assert report["outcome"] == "error"
            assert file in report["reason"]
            assert "qbittorrent.password_file" in report["reason"]


def test_a_secret_may_be_a_credential(box, locked, tmp_path):
    put(tmp_path / "credentials" / "qb", f"{PASSWORD}\n".encode())
    box.write_config(qbittorrent={"url": locked.url, "username": "admin", "password_file": "qb"})

    report = ends(box, 0, "cleanup", env={"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})
    assert report["outcome"] == "done"


def wrong_logins(server: Any) -> int:
    log = server.profile / "qBittorrent/data/logs/qbittorrent.log"
    return log.read_text().count("WebAPI login failure")


def test_a_refused_password_is_sent_once_until_it_changes(box, locked, tmp_path):
    """qBittorrent bans an address after five wrong logins; the timers would need half an hour."""
    secret = put(tmp_path / "password", b"wrong")
    box.write_config(
        qbittorrent={"url": locked.url, "username": "admin", "password_file": str(secret)}
    )
    before = wrong_logins(locked)

    reports = [ends(box, 78, "cleanup"), ends(box, 78, "cleanup"), ends(box, 78, "categories")]
    reports.append(ends(box, 78, "cleanup", "--dry-run"))

    assert {one["outcome"] for one in reports} == {"error"}
    wait_until(lambda: wrong_logins(locked) > before, seconds=10, what="the refusal in the log")
    assert wrong_logins(locked) == before + 1
    assert "nothing was sent" in reports[1]["reason"]

    os.utime(secret)
    ends(box, 78, "cleanup")
    wait_until(lambda: wrong_logins(locked) > before + 1, seconds=10, what="the second refusal")
    assert wrong_logins(locked) == before + 2

    secret.write_text(PASSWORD)
    assert ends(box, 0, "cleanup")["outcome"] == "done"


def test_a_refused_key_of_b2_is_sent_by_one_run_alone(box, b2):
    put(box.tv / "a.mkv")
    b2.add_key("restricted", "another", ("listFiles",))
    box.write_config(upload={"extra_args": ["--retries=1", "--low-level-retries=1"]})

    first = ends(box, 78, "upload")
    b2.reset_stats()
    second = ends(box, 78, "upload")

    assert "401" in first["reason"]
    assert "nothing was sent" in second["reason"]
    assert b2.stats().calls == {}
    (box.folder / "rclone.conf").write_text(b2.rclone_config("master"))
    assert [one["status"] for one in ends(box, 0, "upload")["actions"]] == ["done"]


# The report


def test_the_report_of_an_upload_has_the_shape_of_the_contract(box):
    stray = os.fsdecode(b"\xe9t\xe9.mkv")
    put(box.tv / "Show" / "a.mkv", b"0123456789")
    with open(os.path.join(box.tv, stray), "wb") as file:
        file.write(b"x")
    put(box.completed / "waiting.part")

    report = ends(box, 0, "upload")

    assert set(report) == REPORT
    assert (report["job"], report["dry_run"]) == ("upload", False)
    assert (report["outcome"], report["reason"]) == ("done", None)
    assert isinstance(report["seconds"], float)
    by_path = {one["path"]: one for one in report["actions"]}
    plain = by_path[str(box.tv / "Show" / "a.mkv")]
    assert set(plain) == ACTION | {"remote", "size"}
    assert plain["remote"] == f"b2:{BUCKET}/tv/Show/a.mkv"
    assert (plain["action"], plain["status"], plain["error"]) == ("upload", "done", None)
    assert plain["size"] == 10
    odd = by_path[f"{box.tv}/\udce9t\udce9.mkv"]
    assert set(odd) == ACTION | {"remote", "size", "path_b64"}
    import base64

    assert base64.b64decode(odd["path_b64"]) == os.fsencode(f"{box.tv}/") + b"\xe9t\xe9.mkv"
    (kept,) = report["kept"]
    assert set(kept) == {"path", "reason"}
    assert kept["path"] == str(box.completed / "waiting.part")
    assert "not finished" in kept["reason"]


def test_the_report_of_categories_has_the_shape_of_the_contract(box):
    report = ends(box, 0, "categories")

    assert set(report) == REPORT
    assert [set(one) for one in report["actions"]] == [ACTION | {"name"}] * 2
    assert {(one["action"], one["name"], one["path"]) for one in report["actions"]} == {
        ("create-category", "tv-sonarr", str(box.completed / "tv")),
        ("create-category", "radarr", str(box.completed / "movies")),
    }


def test_the_report_of_a_cleanup_has_the_shape_of_the_contract(box, qbittorrent):
    new = put(box.completed / "new.mkv", os.urandom(50_000))
    torrent = make_torrent(new, box.folder / "new.torrent")
    hash_ = qbittorrent.add(torrent.path, save_path=box.completed)
    qbittorrent.wait_complete([hash_], 30)
    ends(box, 0, "upload")

    def removed() -> dict[str, Any] | None:
        # each run adds to our own record of the seeding time
        report = ends(box, 0, "cleanup")
        return report if report["actions"] else None

    report = wait_until(removed, seconds=30, what="the torrent to be due")

    assert report is not None
    assert set(report) == REPORT
    kinds = [one["action"] for one in report["actions"]]
    assert kinds == ["remove-torrent", "delete-file", "delete-marker"]
    torrent_gone, file_gone, marker_gone = report["actions"]
    assert (torrent_gone["path"], torrent_gone["hash"]) == ("new.mkv", hash_)
    assert file_gone["path"] == str(new)
    assert marker_gone["path"] == f"{new}.uploaded"
    assert all(set(one) >= ACTION for one in report["actions"])
    assert {one["status"] for one in report["actions"]} == {"done"}


def test_an_end_before_the_report_is_one_json_object_too(box):
    down(box)
    put(box.completed / "old.iso")

    report = ends(box, 75, "cleanup")

    assert set(report) >= REPORT
    assert report["job"] == "cleanup"
    assert (report["actions"], report["kept"]) == ([], [])


def test_a_configuration_error_has_outcome_and_reason(box):
    box.config_path.write_text("bogus = 1\n")
    report = ends(box, 78, "cleanup")

    assert report["outcome"] == "error"
    assert "bogus" in report["reason"]


def test_the_text_report_says_what_was_done_and_why_it_was_not(box):
    put(box.tv / "new\nline \x1b[31m.mkv")
    put(box.completed / "waiting.part")

    planned, done = box.run("upload", "--dry-run"), box.run("upload")

    assert (planned.returncode, done.returncode) == (0, 0)
    assert "would  upload" in planned.stdout
    assert "keep  " in planned.stdout
    assert "waiting.part is not finished" in planned.stdout
    assert planned.stdout.splitlines()[-1].startswith("upload: 1 actions planned, 1 kept, ")
    assert "done  upload" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("upload: 1 done, 1 kept, ")
    for output in (planned.stdout, done.stdout):
        assert "new\\nline \\x1b[31m.mkv" in output
        assert "\x1b" not in output
    assert "\x1b" not in done.stderr


def test_an_output_that_cannot_show_a_name_ends_no_run(box):
    put(box.tv / "Am\u00e9lie \u6f22 \U0001f39e.mkv")

    for options in ([], ["--dry-run"], ["--json"]):
        ended = box.run("upload", *options, env={"PYTHONIOENCODING": "ascii"})
        assert "Traceback" not in ended.stderr
        assert ended.returncode == 0
    assert (box.tv / "Am\u00e9lie \u6f22 \U0001f39e.mkv.uploaded").exists()


# Back-off: a run right after a refusal or an outage sends nothing


def calls_of(box: Box, b2: B2Server, status: int) -> dict[str, Any]:
    """Run upload once more; demands that B2 is not asked at all."""
    b2.reset_stats()
    report = ends(box, status, "upload")
    assert b2.stats().calls == {}
    return report


def test_after_a_cap_nothing_is_sent_until_the_day_ends_or_a_file_changes(box, b2):
    put(box.tv / "a.mkv")
    b2.inject(STORAGE_CAP)
    ends(box, 75, "upload")
    b2.clear_faults()

    rested = calls_of(box, b2, 75)

    assert "nothing was sent this time" in rested["reason"]
    assert "storage_cap_exceeded" in rested["reason"]
    assert [one["status"] for one in rested["actions"]] in ([], ["planned"])
    os.utime(box.config_path)
    assert [one["status"] for one in ends(box, 0, "upload")["actions"]] == ["done"]


def test_after_an_outage_upload_pauses_and_cleanup_does_not(box, b2):
    put(box.tv / "a.mkv")
    box.write_config(upload={"extra_args": ["--retries=1", "--low-level-retries=1"]})
    put(box.completed / "old.iso")
    ends(box, 0, "upload")
    put(box.tv / "b.mkv")
    b2.cut()
    ends(box, 75, "upload")
    b2.restore()

    assert "asked again" in calls_of(box, b2, 75)["reason"]
    assert ends(box, 0, "cleanup", "--accept-loss")["actions"]
    os.utime(box.config_path)
    assert [one["status"] for one in ends(box, 0, "upload")["actions"]] == ["done"]
    assert ends(box, 0, "upload")["actions"] == []


def test_with_nothing_pending_a_pause_is_no_trouble(box, b2):
    put(box.tv / "a.mkv")
    b2.inject(STORAGE_CAP)
    ends(box, 75, "upload")
    (box.tv / "a.mkv").unlink()

    assert ends(box, 0, "upload")["outcome"] == "done"


@pytest.mark.parametrize("verb", ["upload", "cleanup"])
def test_an_end_with_75_before_the_plan_has_the_whole_report(verb, box):
    box.write_config(paths={"require_mounts": [str(box.folder)]})

    report = ends(box, 75, verb)

    assert set(report) >= REPORT
    assert (report["job"], report["dry_run"]) == (verb, False)
    assert (report["actions"], report["kept"]) == ([], [])


def test_a_bucket_that_is_not_there_is_never_made(box, b2):
    (box.folder / "rclone.conf").write_text(b2.rclone_config("master"))
    box.write_config(rclone={"remote": "b2:a-slip-of-the-pen"})
    put(box.tv / "a.mkv")

    assert "a-slip-of-the-pen" in ends(box, 78, "upload")["reason"]

    assert not {"b2_create_bucket", "b2_upload_file"} & set(b2.stats().calls)
    assert not (box.tv / "a.mkv.uploaded").exists()


def test_at_the_first_look_no_orphan_goes(box, qbittorrent):
    """A new box, or a lost history: there is nothing yet to hold the list against."""
    seeding = put(box.completed / "seeding.mkv", os.urandom(50_000))
    torrent = make_torrent(seeding, box.folder / "seeding.torrent")
    hash_ = qbittorrent.add(torrent.path, save_path=box.completed)
    qbittorrent.wait_complete([hash_], 30)
    box.write_config(cleanup={"seeding_time": "30d"})
    put(box.completed / "old.iso")
    ends(box, 0, "upload")

    first = ends(box, 0, "cleanup", "--orphans-now")
    assert first["actions"] == []
    reasons = {Path(one["path"]).name: one["reason"] for one in first["kept"]}
    assert "first look" in reasons["old.iso"]
    second = ends(box, 0, "cleanup", "--orphans-now")
    assert [Path(one["path"]).name for one in second["actions"]] == [
        "old.iso", "old.iso.uploaded",
    ]  # fmt: skip


# Progress


def test_an_upload_tells_how_far_it_is(box, b2, tmp_path):
    box.write_config(upload={"stats_interval": "1s"})
    put(box.tv / "big.mkv", os.urandom(1_500_000))
    b2.bandwidth = 500_000
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(place))
        systemd.setblocking(False)
        ended = box.run("upload", env={"NOTIFY_SOCKET": str(place)})
        told = []
        with contextlib.suppress(BlockingIOError):
            while True:
                told.append(systemd.recv(1 << 16).decode())

    assert ended.returncode == 0
    shown = [one for one in events(ended.stderr) if one["event"] == "upload.progress"]
    assert len(shown) > 1
    assert all(re.match(r"Uploading \d of 1, \d+ %, ", one["message"]) for one in shown)
    assert any("big.mkv" in one["message"] for one in shown)
    assert {one["job"] for one in shown} == {"upload"}
    patience = "EXTEND_TIMEOUT_USEC=4000000"
    assert told == [
        "STATUS=Looking at disk and services",
        *(f"STATUS={one['message']}\n{patience}" for one in shown),
        f"STATUS=1 done; last: upload {box.tv}/big.mkv",
        "STATUS=Ended as done",
    ]


@pytest.mark.parametrize("address", ["/no/such/socket", "@mediapipe-nobody-listens"])
def test_a_systemd_that_does_not_listen_stops_nobody(address, box):
    put(box.tv / "a.mkv")

    assert ends(box, 0, "upload", env={"NOTIFY_SOCKET": address})["outcome"] == "done"


# What a run writes, and a dry run does not


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_dry_run_on_a_new_host_writes_nothing(verb, box):
    put(box.tv / "a.mkv")
    put(box.completed / "b.iso")
    before = tree(box.folder)

    # to cleanup an empty torrent list is no base for orphans
    ends(box, 3 if verb == "cleanup" else 0, verb, "--dry-run")

    assert tree(box.folder) == before


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_dry_run_over_a_history_writes_nothing_and_takes_no_lock(verb, box):
    put(box.tv / "a.mkv")
    put(box.completed / "b.iso")
    ends(box, 0, "upload")
    ends(box, 0, "cleanup", "--accept-loss")
    put(box.tv / "c.mkv")
    put(box.completed / "d.iso")
    put(box.state / f"{verb}.lock", b"")
    before = tree(box.folder)

    with held(box.state / f"{verb}.lock"), held(box.state / "lock"):
        ends(box, 0, verb, "--dry-run")

    assert tree(box.folder) == before


def test_the_audit_holds_what_is_needed_to_fetch_a_file_back(box, b2):
    content = os.urandom(1000)
    path = put(box.completed / "old.iso", content)
    found = path.stat()
    ends(box, 0, "upload")
    ends(box, 0, "cleanup", "--accept-loss")

    lines = audit(box)
    assert [(one["job"], one["action"]) for one in lines] == [
        ("upload", "upload"), ("cleanup", "delete-file"), ("cleanup", "delete-marker"),
    ]  # fmt: skip
    uploaded, deleted, _ = lines
    for line in lines:
        assert line["time"].endswith("Z")
        assert line["reason"]
        assert line["path"].startswith(str(path))
    object_ = b2.objects()["downloads/old.iso"]
    known = {
        "remote": f"b2:{BUCKET}/downloads/old.iso",
        "sha1": hashlib.sha1(content).hexdigest(),
        "file_id": object_.file_id,
        "size": 1000,
        "inode": found.st_ino,
        "mtime_ns": found.st_mtime_ns,
    }
    assert uploaded["files"] == [{"path": str(path), **known}]
    assert known.items() <= deleted.items()


def test_each_run_leaves_a_row_in_the_history(box, b2):
    put(box.tv / "a.mkv")
    put(box.tv / "b.mkv")
    b2.inject(api="b2_upload_file", name="b.mkv", count=None, status=400, code="bad_request")
    ends(box, 3, "upload")
    ends(box, 0, "upload", "--dry-run")
    put(box.completed / "old.iso")
    down(box)
    ends(box, 75, "cleanup")
    box.write_config(rclone={"binary": "/no/such/rclone"})
    put(box.tv / "c.mkv")
    ends(box, 78, "upload")

    rows = runs(box)
    assert [row[:3] for row in rows] == [
        ("upload", "partial", 1), ("cleanup", "unavailable", 0), ("upload", "error", 0),
    ]  # fmt: skip
    assert rows[0][3] == 1
    assert "qBittorrent" in str(rows[1][5])
    assert "/no/such/rclone" in str(rows[2][5])


FOR_OTHERS = {
    **os.environ,
    "PYTHONPATH": f"{Path(__file__).parent.parent}:{sysconfig.get_path('purelib')}",
}
"""For a Python that others may run: the one of the tests may lie in root's own home."""


def runs_for_nobody(python: str) -> bool:
    try:
        ended = subprocess.run(
            [python, "-c", "import structlog, mediapipe.building"],
            user=NOBODY, group=NOBODY, extra_groups=[], env=FOR_OTHERS, cwd="/",
            capture_output=True, check=False,
        )  # fmt: skip
    except OSError:
        return False
    return ended.returncode == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes someone else")
def test_root_becomes_the_owner_of_the_state_folder(b2, qbittorrent):
    python = next(filter(runs_for_nobody, [sys.executable, "/usr/bin/python3"]), None)
    if python is None:
        pytest.skip("Python or the project lies where others may not read")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        box = Box(Path(name) / "box", qbittorrent.url, b2.rclone_config("restricted"))
        box.write_config(rclone={"binary": str(SCRIPTS / "rclone")})
        put(box.tv / "a.mkv")
        for path in (box.folder, *box.folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        program = "from mediapipe import cli; cli.upload()"

        ended = subprocess.run(
            [python, "-c", program, "--json", "--config", str(box.config_path)],
            env=FOR_OTHERS, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert set(b2.objects()) == {"tv/a.mkv"}
        made = list(box.folder.rglob("*"))
        assert box.tv / "a.mkv.uploaded" in made
        assert box.state / "history.db" in made
        assert box.state / "upload.lock" in made
        owners = {(path.stat().st_uid, path.stat().st_gid) for path in made}
        assert owners == {(NOBODY, NOBODY)}


# The log


def test_the_log_is_json_lines_where_nobody_watches(box, b2):
    put(box.tv / "good.mkv")
    put(box.tv / "bad.mkv")
    put(box.completed / "waiting.part")
    b2.inject(api="b2_upload_file", name="bad", count=None, status=400, code="bad_request")

    told = events(box.run("upload", "-v").stderr)

    names = [one["event"] for one in told]
    assert names[0] == "job.started"
    assert names[-1] == "job.finished"
    assert {"item.kept", "action.done", "action.failed"} < set(names)
    by_name = {one["event"]: one for one in told}
    assert by_name["action.done"]["path"] == str(box.tv / "good.mkv")
    assert by_name["action.done"]["action"] == "upload"
    assert by_name["action.done"]["level"] == "info"
    assert by_name["action.failed"]["path"] == str(box.tv / "bad.mkv")
    assert by_name["action.failed"]["level"] == "error"
    assert by_name["item.kept"]["level"] == "debug"
    finished = by_name["job.finished"]
    assert (finished["outcome"], finished["done"], finished["failed"]) == ("partial", 1, 1)
    assert finished["kept"] == 1
    assert finished["seconds"] > 0
    assert all(one["job"] == "upload" for one in told)
    assert all(one["timestamp"].endswith("Z") for one in told)


def test_a_dry_run_tells_what_is_planned(box):
    put(box.tv / "a.mkv")
    told = events(box.run("upload", "--dry-run", "-v").stderr)

    assert [one["event"] for one in told] == ["job.started", "action.planned", "job.finished"]
    assert told[1]["path"] == str(box.tv / "a.mkv")
    assert told[2]["planned"] == 1


def test_an_idle_pass_logs_nothing_and_one_line_to_whoever_wants_all(box):
    assert box.run("upload").stderr == ""

    told = events(box.run("upload", "-v").stderr)
    assert [one["event"] for one in told] == ["job.started", "job.finished"]
    assert {one["level"] for one in told} == {"debug"}


@pytest.mark.parametrize("trouble", ["unavailable", "error"])
def test_a_run_that_ends_before_its_plan_logs_how_it_finished(trouble, box):
    put(box.tv / "a.mkv")
    if trouble == "error":
        box.write_config(rclone={"binary": "/no/such/rclone"})
    else:
        box.write_config(paths={"require_mounts": [str(box.folder)]})

    stderr = box.run("upload").stderr
    told = [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]

    finished = [one for one in told if one["event"] == "job.finished"]
    assert [one["outcome"] for one in finished] == [trouble]


JOURNAL = """
import sys
from mediapipe import cli, log
log._JOURNAL = sys.argv.pop(1)
cli.upload()
"""


def fields(datagram: bytes) -> dict[str, str]:
    """Parse an entry of the journal's native protocol."""
    found = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", datagram[:8])
            value, datagram = datagram[8 : 8 + length], datagram[8 + length + 1 :]
        found[name.decode()] = value.decode()
    return found


@pytest.mark.parametrize("listening", [True, False])
def test_under_journald_events_are_native_entries(listening, box, tmp_path):
    """The journal's own socket has a fixed path, so its place alone is changed here."""
    put(box.tv / "a.mkv")
    place = tmp_path / "journal"
    with (
        (tmp_path / "stderr").open("wb") as stderr,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal,
    ):
        if listening:
            journal.bind(str(place))
            journal.setblocking(False)
        stream = os.fstat(stderr.fileno())
        ended = subprocess.run(
            [sys.executable, "-c", JOURNAL, str(place), "--config", str(box.config_path)],
            env={**os.environ, "JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
            timeout=60, check=False,
        )  # fmt: skip
        entries = []
        with contextlib.suppress(BlockingIOError):
            while listening:
                entries.append(fields(journal.recv(1 << 20)))
    written = (tmp_path / "stderr").read_text()

    assert ended.returncode == 0
    if not listening:
        assert "<6>action.done" in written
        return
    assert written == ""
    by_event = {entry["MESSAGE"].split(" ")[0]: entry for entry in entries}
    done, finished = by_event["action.done"], by_event["job.finished"]
    assert done["MEDIAPIPE_JOB"] == "upload"
    assert done["MEDIAPIPE_ACTION"] == "upload"
    assert done["MEDIAPIPE_PATH"] == str(box.tv / "a.mkv")
    assert finished["MEDIAPIPE_OUTCOME"] == "done"
    for entry in entries:
        assert entry["SYSLOG_IDENTIFIER"] == "qbt-upload-b2"
        assert entry["PRIORITY"] == "6"


def test_another_stream_than_the_journals_gets_json(box):
    put(box.tv / "a.mkv")
    ended = box.run("upload", env={"JOURNAL_STREAM": "1:2"})

    assert {one["event"] for one in events(ended.stderr)} >= {"action.done", "job.finished"}


def test_a_stop_in_the_middle_of_an_import_leaves_no_half_module(box, b2, tmp_path):
    """What tells of the stop needs the same modules."""
    put(box.tv / "a.mkv")
    shadow = tmp_path / "shadow" / "structlog" / "__init__.py"
    shadow.parent.mkdir(parents=True)
    shadow.write_text(
        "import os, signal, sys\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.path.remove(os.path.dirname(os.path.dirname(__file__)))\n"
        "del sys.modules['structlog']\n"
        "import structlog\n"
    )
    b2.latency = 0.5
    ended = box.run("upload", env={**os.environ, "PYTHONPATH": str(tmp_path / "shadow")})

    assert (ended.returncode, "Traceback" in ended.stderr) == (75, False), ended.stderr
