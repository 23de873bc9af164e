"""Attacks on the commands: configuration, options, environment, and a qBittorrent that lies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.testing.qbittorrent import QbittorrentServer
from tests.end_to_end.attack import SCRIPTS, Attack, sound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.real

JOBS = ("qbt-upload-b2", "qbt-cleanup", "qbt-categories")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Attack]:
    with Attack(tmp_path) as attack:
        yield attack


# Configuration and options

CONFIGS: dict[str, bytes] = {
    "BOM": b"\xef\xbb\xbf[cleanup]\n",
    "no UTF-8": b'[cleanup]\nx = "\xff"\n',
    "NUL": b"\0",
    "deep": b"a = " + b"[" * 5000,
    "huge number": b"[cleanup]\nmax_deletes = " + b"9" * 5000,
    "NaN": b"[cleanup]\nmax_torrent_loss = nan",
    "negative": b"[cleanup]\nmax_deletes = -1",
    "true": b"[cleanup]\nmax_deletes = true",
    "a date": b"[cleanup]\nseeding_time = 2020-01-01",
    "no time": b'[cleanup]\nseeding_time = "0s"',
    "wide digit": '[cleanup]\nseeding_time = "７d"'.encode(),
    "list for table": b"[[cleanup]]\n",
    "state in completed": b'[paths]\nstate = "/var/lib/qBittorrent/completed/state"',
    "all is completed": b'[paths]\ncompleted = "/"',
    "up": b'[paths]\ncompleted = "/a/../b"',
    "mixing remotes": b'[upload]\nuncategorized_remote = "tv/x"',
    "local": b'[rclone]\nremote = ":local:/tmp"',
    "NUL in the remote": b'[rclone]\nremote = "b2:a\\u0000b"',
    "NUL in an argument": b'[upload]\nbandwidth = "\\u0000"',
    "NUL in the arguments": b'[upload]\nextra_args = ["\\u0000"]',
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_wrong_configuration_is_told_and_no_bug(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(CONFIGS[name])
    ended = command("mediapipe", "config", "check", str(path))
    assert (ended.returncode, "Traceback" in ended.stderr) == (78, False), ended.stderr


def command(*words: str | bytes, **settings: Any) -> subprocess.CompletedProcess[str]:
    settings = {"capture_output": True, "timeout": 10, "stdin": subprocess.DEVNULL, **settings}
    program = os.fsencode(SCRIPTS / os.fsdecode(words[0]))
    rest = [os.fsencode(word) for word in words[1:]]
    return subprocess.run([program, *rest], check=False, text=True, errors="replace", **settings)


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--config", "/"), 78),
        (("--config", "/nonexistent"), 78),
        (("--config", b"/\xff"), 78),
        (("--config",), 2),
        (("--no-such-option",), 2),
        (("more",), 2),
        ((b"\xff",), 2),
    ],
)
def test_a_wrong_command_line_is_one_json_object(
    job: str, options: tuple[str | bytes, ...], status: int
) -> None:
    report = sound(command(job, "--json", *options), status)
    assert (report["outcome"], bool(report["reason"])) == ("error", True)


def test_a_pipe_for_a_configuration_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.toml")
    ended = command("mediapipe", "config", "check", str(tmp_path / "config.toml"), timeout=3)
    assert ended.returncode == 78


# Surroundings

ENVIRONMENTS: dict[str, dict[str, str]] = {
    "no HOME and PATH": {"HOME": "", "PATH": ""},
    "C": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    "proxy": {"http_proxy": "http://127.0.0.1:1", "NO_PROXY": "", "no_proxy": ""},
    "rclone's": {"RCLONE_DRY_RUN": "true", "RCLONE_B2_VERSIONS": "true", "RCLONE_EXCLUDE": "*"},
    "odd": {"COLUMNS": "x", "TZ": "x", "JOURNAL_STREAM": "1:1", "TMPDIR": "/nonexistent"},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_odd_environment_changes_nothing_for_the_worse(box: Attack, name: str) -> None:
    box.write(os.fsencode(box.box.completed) + b"/\xff.mkv")
    box.film("Film \u00e9 🎬")
    for verb in ("upload", "cleanup"):
        sound(box.box.run(verb, "--json", env=ENVIRONMENTS[name]))
        box.holds()


@pytest.mark.parametrize("target", ['"$@" >&-', '"$@" >/dev/full', '"$@" | true', '"$@" 2>&-'])
def test_a_reader_that_leaves_is_no_bug(box: Attack, target: str) -> None:
    box.write(box.box.movies / "film.mkv")
    for words in (box.box.command("upload", "--json"), box.box.command("cleanup", "--dry-run")):
        shell = ["sh", "-c", target, "sh", *words]
        ended = subprocess.run(shell, capture_output=True, text=True, timeout=30, check=False)
        assert "Traceback" not in ended.stderr, ended.stderr
        assert ended.returncode != 1
    box.holds()


def test_a_state_folder_that_is_full_loses_nothing(box: Attack) -> None:
    state = box.box.state
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(state)]
    if subprocess.run(words, check=False, capture_output=True).returncode != 0:
        pytest.skip("may not mount here")
    try:
        film = box.film()
        box.upload(status=None)
        with (state / "ballast").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        box.due()
        for verb in ("upload", "cleanup", "cleanup"):
            box.job(verb)
            box.holds(markers=False)
        assert film.download.exists() or not film.link.exists()
    finally:
        subprocess.run(["umount", "-l", str(state)], check=True)


@pytest.mark.parametrize("how", [b"", b"SQLite format 3\0" + bytes(100), b"no database" * 500])
def test_a_damaged_history_delays_and_never_deletes_more(box: Attack, how: bytes) -> None:
    box.film()
    box.upload()
    box.due()
    (box.box.state / "history.db").write_bytes(how)
    for _ in range(2):
        box.cleanup(status=None)
    box.holds()


# qBittorrent


@pytest.fixture
def fake(box: Attack) -> Iterator[Callable[[Any, Any], None]]:
    """Put a server in qBittorrent's place that answers whatever it is told to."""
    answers: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            key = next((key for key in answers if key in self.path), None)
            text = {"/version": "v4.6.0", "/webapiVersion": "2.9.3"}.get(self.path[11:], "{}")
            answer = answers.get(key or "", text)
            body = answer if isinstance(answer, bytes) else str(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def become(listed: Any, files: Any = ()) -> None:
        box.box.write_config(
            qbittorrent={"url": f"http://127.0.0.1:{server.server_port}", "timeout": "2s"}
        )
        answers["torrents/info"] = listed if isinstance(listed, bytes) else json.dumps(listed)
        answers["torrents/files"] = files if isinstance(files, bytes) else json.dumps(files)

    yield become
    server.shutdown()
    server.server_close()


def torrent(box: Attack, **changes: Any) -> dict[str, Any]:
    """Give a seeding torrent as qBittorrent lists it."""
    usual = {
        "hash": "a" * 40,
        "name": "x",
        "state": "stalledUP",
        "progress": 1,
        "amount_left": 0,
        "save_path": str(box.box.completed),
        "content_path": "",
        "category": "",
        "size": 1,
        "seeding_time": 10**8,
        "completion_on": 1,
        "ratio": 1,
        "added_on": 1,
    }
    return usual | changes


def wanted(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "size": 200_000, "progress": 1, "priority": 1, "index": 0} | changes


GARBAGE: dict[str, Any] = {
    "HTML": b"<html>login</html>",
    "half": b'[{"hash":',
    "deep": b"[" * 100_000,
    "nothing": b"",
    "text": ["x"],
    "no fields": [{}],
    "a dictionary": {"error": "x"},
    "null": None,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_not_an_empty_list(
    box: Attack, fake: Callable[[Any, Any], None], name: str
) -> None:
    item = box.write(box.box.completed / "film.mkv")
    box.upload()
    fake(GARBAGE[name], [])
    for options in ((), ("--accept-loss", "--orphans-now")):
        box.cleanup(*options, status=75)
    assert item.exists()
    box.job("categories")


def test_a_number_that_qbittorrent_has_not_is_no_answer(
    box: Attack, fake: Callable[[Any, Any], None]
) -> None:
    huge, infinite = 10**400, float("inf")
    for odd in ({"added_on": huge}, {"seeding_time": infinite}, {"ratio": float("nan")},
                {"size": 10**30}, {"progress": infinite}, {"amount_left": -huge}):  # fmt: skip
        fake([torrent(box, **odd)], [])
        box.cleanup(status=75)


def test_half_a_character_in_a_torrents_name_ends_no_report(
    box: Attack, fake: Callable[[Any, Any], None]
) -> None:
    fake([torrent(box, name="\ud800 x")], [wanted("\ud800 x")])
    for options in (("--dry-run",), ()):
        box.cleanup(*options, status=None)


@pytest.mark.parametrize(
    "name", ["../../secret.mkv", "", ".", "movies", ".mediapipe-root", "a\0b", "\ud800", "n" * 5000]
)
def test_an_odd_file_name_from_qbittorrent_leads_nowhere(
    box: Attack, fake: Callable[[Any, Any], None], name: str
) -> None:
    secret = box.write(box.box.folder / "secret.mkv")
    box.upload()
    fake([torrent(box)], [wanted(name)])
    for _ in range(2):
        box.cleanup(status=None)
    assert secret.exists()
    assert (box.box.completed / ".mediapipe-root").exists()


@pytest.mark.parametrize("save_path", ["/downloads/completed", "completed", "", "/a\0b"])
def test_a_path_that_is_not_mapped_does_not_make_orphans(
    box: Attack, fake: Callable[[Any, Any], None], save_path: str
) -> None:
    """As with qBittorrent in a container and path_map forgotten: its files are not found here."""
    item = box.write(box.box.completed / "film.mkv")
    box.upload()
    fake([torrent(box, save_path=save_path)], [wanted("film.mkv")])
    for _ in range(2):
        box.cleanup(status=None)
    assert item.exists()


def test_a_torrent_without_files_only_keeps_itself(
    box: Attack, fake: Callable[[Any, Any], None]
) -> None:
    fake([torrent(box)], [])
    box.cleanup(status=75)


def test_a_qbittorrent_that_never_answers_is_unavailable(box: Attack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        box.box.write_config(qbittorrent={"url": url, "timeout": "1s"})
        sound(box.box.run("cleanup", "--json", timeout=15), 75)


def test_a_wrong_password_is_tried_once(box: Attack, tmp_path: Path) -> None:
    with QbittorrentServer(tmp_path / "locked", password="right") as locked:
        (tmp_path / "password").write_text("wrong\n")
        login = {"username": "admin", "password_file": str(tmp_path / "password")}
        box.box.write_config(qbittorrent={"url": locked.url, **login})
        for _ in range(7):
            assert box.job("cleanup", status=78)["outcome"] == "error"
        (tmp_path / "password").write_text("right\n")
        box.job("cleanup", status=0)


def test_the_report_of_an_unavailable_job_has_all_its_keys(box: Attack) -> None:
    box.qbt.stop()
    report = box.cleanup(status=75)
    assert {"job", "dry_run", "outcome", "reason", "actions", "kept", "seconds"} <= {*report}
