"""What is no file in the place of one that is read: an error at once, never a wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe import regular
from mediapipe.alert_memory import Store
from mediapipe.alerts import Memory
from mediapipe.disk import folder_index
from mediapipe.testing.box import Box

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.real

NOWHERE = "http://127.0.0.1:9"
NO_FILE = "it is no regular file"
REMOTE = "[b2]\ntype = b2\naccount = a\nkey = b\nendpoint = http://127.0.0.1:9\n"
KINDS: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box", NOWHERE, REMOTE)


@pytest.fixture(params=KINDS)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "odd"
    KINDS[request.param](path)
    return path


def run(box: Box, *words: str, status: int) -> subprocess.CompletedProcess[str]:
    """Run a command; demand its status, within the time that a wait would exceed."""
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "mediapipe"), *words, "--config", str(box.config_path)],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "CREDENTIALS_DIRECTORY": str(box.folder / "credentials")},
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended


def test_what_is_no_regular_file_is_refused_at_once(odd: Path) -> None:
    with pytest.raises(OSError, match=NO_FILE):
        regular.read(str(odd))
    with pytest.raises(OSError, match=NO_FILE), open(odd, "rb", opener=regular.opener):
        pass
    (odd.parent / "link").symlink_to(odd.parent / "file")
    (odd.parent / "file").write_bytes(b"x" * 11)
    assert regular.read(str(odd.parent / "link"), 11) == b"x" * 11
    with pytest.raises(OSError, match="larger than 10 bytes"):
        regular.read(str(odd.parent / "link"), 10)
    with pytest.raises(OSError, match="symbolic links"):
        regular.itself(str(odd.parent / "link"), os.O_RDONLY)


# Secrets

APP = {"url": NOWHERE}


def test_the_doctor_names_each_secret_that_is_no_file(box: Box, odd: Path) -> None:
    file = str(odd)
    box.write_config(
        qbittorrent={"password_file": file, "api_key_file": file},
        rclone={"config_file": file, "rc_htpasswd_file": file},
        notify={"urls_file": file},
        sabnzbd={**APP, "api_key_file": file},
        jellyfin={**APP, "api_key_file": file},
        **{"arr.sonarr": {**APP, "api_key_file": file}},
    )
    told = json.loads(run(box, "doctor", "config", "--json", status=3).stdout)
    found = {one["what"].partition(": ")[0]: one for one in told["findings"]}
    assert found.keys() >= {
        "qbittorrent.password_file", "qbittorrent.api_key_file", "rclone.config_file",
        "rclone.rc_htpasswd_file", "notify.urls_file", "sabnzbd.api_key_file",
        "jellyfin.api_key_file", "arr.sonarr.api_key_file",
    }  # fmt: skip
    assert f"{file} cannot be read: {NO_FILE}" in found["rclone.config_file"]["what"]
    assert all(one["do"] for one in found.values())


JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "qbittorrent.password_file": ("categories", {"username": "admin"}),
    "qbittorrent.api_key_file": ("cleanup", {}),
    "rclone.config_file": ("upload", {}),
    "sabnzbd.api_key_file": ("postprocess", {**APP}),
}


@pytest.mark.parametrize("key", JOBS)
def test_a_job_ends_at_once_where_a_secret_is_no_file(key: str, box: Box) -> None:
    verb, settings = JOBS[key]
    odd = box.folder / "fifo"
    os.mkfifo(odd)
    table, _, name = key.partition(".")
    box.movies.joinpath("film.mkv").write_bytes(b"film")
    box.write_config(**{table: {**settings, name: str(odd)}})
    if table == "sabnzbd":
        for place in ("host_complete_dir", "host_incomplete_dir", "spool"):
            box.folder.joinpath(place).mkdir()
            box.write_config(sabnzbd={place: str(box.folder / place)})
    told = json.loads(run(box, verb, "--json", status=78).stdout)
    assert told["reason"].startswith(f"{key}: cannot read {odd}: {NO_FILE}")


def test_an_app_whose_key_is_no_file_is_told_of(box: Box, odd: Path) -> None:
    box.write_config(**{"arr.sonarr": {**APP, "api_key_file": str(odd)}})
    told = json.loads(run(box, "doctor", "arr", "--json", status=3).stdout)
    [finding] = told["findings"]
    assert any(words in finding["what"] for words in (NO_FILE, "Is a directory"))


def test_logins_of_the_mount_that_are_no_file(box: Box, odd: Path) -> None:
    box.write_config(rclone={"rc_htpasswd_file": str(odd)})
    assert NO_FILE in run(box, "mount", "--dry-run", status=78).stderr


def test_an_alert_is_sent_although_the_configuration_is_no_file(box: Box, odd: Path) -> None:
    box.config_path.unlink()
    odd.rename(box.config_path)
    box.folder.joinpath("credentials").mkdir()
    ended = run(box, "alert", "--dry-run", "some.service", status=0)
    assert "config.toml" in ended.stdout


# State


@pytest.fixture(params=[*KINDS, "garbage"])
def spoil(request: pytest.FixtureRequest, box: Box) -> Callable[[str], Path]:
    """Put something that cannot be read into a place of the state folder."""

    def put(name: str) -> Path:
        path = box.state / name
        path.parent.mkdir(exist_ok=True)
        if request.param == "garbage":
            path.write_bytes(os.urandom(5000))
        else:
            KINDS[request.param](path)
        return path

    return put


@pytest.mark.parametrize(
    "words",
    [
        ("status",), ("explain", "/media/film.mkv"), ("upload",), ("cleanup", "--dry-run"),
        ("restore", "/media/film.mkv"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_history_that_is_none(words: tuple[str, ...], box: Box, spoil: Any) -> None:
    path = spoil("history.db")
    ended = run(box, *words, status=78)
    assert f"error: {path} is " in ended.stderr
    assert "move it away" in ended.stderr


def test_the_doctor_does_without_a_history_that_is_none(box: Box, spoil: Any) -> None:
    path = spoil("history.db")
    ended = run(box, "doctor", "mounts", status=3)
    assert f"FOUND  config: {path}: {path} is " in ended.stdout
    assert "move it away" in ended.stdout
    assert f"well  mounts: {box.completed}" in ended.stdout


@pytest.mark.parametrize("words", [("history",), ("restore", "/media/film.mkv"), ("upload",)])
def test_an_audit_that_is_none(words: tuple[str, ...], box: Box, odd: Path) -> None:
    """A run that cannot write down what it does begins nothing."""
    box.movies.joinpath("film.mkv").write_bytes(b"film")
    place = odd.rename(box.state / "audit.jsonl")
    ended = run(box, *words, status=75)
    assert NO_FILE in ended.stdout + ended.stderr
    assert str(place) in ended.stdout + ended.stderr
    assert "moved away" in ended.stdout + ended.stderr


def test_an_audit_of_garbage_is_told_line_by_line(box: Box) -> None:
    box.state.joinpath("audit.jsonl").write_bytes(b"\xff\x00\n[1]\n{}\n" + b"[" * 9000 + b"\n")
    ended = run(box, "history", status=0)
    assert ended.stderr.count("cannot be read") == 3


def test_a_disposable_index_or_memory_that_is_none_is_as_good_as_none(box: Box, odd: Path) -> None:
    (box.state / "alerts").mkdir()
    for name in ("upload.index", "alerts/some.service.json"):
        if odd.is_dir():
            (box.state / name).mkdir()
        else:
            os.link(odd, box.state / name, follow_symlinks=False)
    assert folder_index.read(str(box.state / "upload.index")) is None
    assert Store(str(box.state)).read("some.service") == Memory()
    assert "upload: 0 done, 0 kept" in run(box, "upload", status=0).stdout


def test_an_alert_does_without_a_history(box: Box, spoil: Any) -> None:
    spoil("history.db")
    assert "some.service" in run(box, "alert", "--dry-run", "some.service", status=0).stdout
