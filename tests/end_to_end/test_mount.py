"""`mediapipe mount` and its companions on a real rclone mount: started, killed, hung, misused."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from mediapipe.testing.loopback import wait_until
from tests.mounting import PATIENCE, SCRIPT, MountedBox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real

MIB = 1 << 20


@pytest.fixture
def host(tmp_path: Path, b2: B2Server) -> Iterator[MountedBox]:
    b2.put("tv/Show/E1.mkv", b"one" * MIB)
    b2.put("tv/Show/E2.mkv", b"two")
    b2.put("movies/Film (2026)/film.mkv", b"film")
    with MountedBox(tmp_path / "box", b2) as host:
        yield host


def rc(host: MountedBox, command: str, login: tuple[str, str] | None) -> int:
    url = f"http://127.0.0.1:{host.port}/{command}"
    return httpx.post(url, auth=login, trust_env=False).status_code


def test_it_becomes_rclone_with_a_login_of_its_own_and_survives_its_death(
    host: MountedBox,
) -> None:
    host.start()

    assert os.path.basename(os.readlink(f"/proc/{host.pid}/exe")) == "rclone"
    assert (host.point / "tv/Show/E2.mkv").read_bytes() == b"two"
    with pytest.raises(OSError, match="Read-only"):
        (host.point / "new").write_bytes(b"")
    user, password = host.login()
    assert stat.S_IMODE((host.box.state / "rc.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((host.box.state / "rc.htpasswd").stat().st_mode) == 0o600
    # what everybody can read of the process holds no secret
    assert password.encode() not in Path(f"/proc/{host.pid}/cmdline").read_bytes()
    for command in ("vfs/stats", "core/stats", "config/dump", "core/version"):
        assert rc(host, command, None) == 401
        assert rc(host, command, (user, "wrong")) == 401
        assert rc(host, command, (user, password)) == 200

    # another one is refused while this one lives
    second = host.command("mount")
    assert (second.returncode, host.layers()) == (75, 1)
    assert "serves" in second.stderr
    assert host.command("mount", "--unmount").returncode == 75

    host.kill()
    assert host.layers() == 1
    host.start()

    assert host.layers() == 1
    assert "a dead mount was taken away" in host.console()
    assert (host.point / "tv/Show/E2.mkv").read_bytes() == b"two"
    assert host.login()[1] != password
    assert rc(host, "vfs/stats", (user, password)) == 401

    host.kill()
    assert "a dead mount was taken away" in host.command("mount", "--unmount").stdout
    assert host.layers() == 0
    assert host.command("mount", "--unmount").returncode == 0


def test_a_hung_rclone_hangs_no_command(host: MountedBox, b2: B2Server) -> None:
    host.start()
    host.signal(signal.SIGSTOP)

    # side by side: each waits for its own deadline
    verbs = (["mount"], ["mount", "--unmount"])
    running = [
        subprocess.Popen(
            [SCRIPT, *words], env=host.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for words in verbs
    ]  # fmt: skip
    for one, words in zip(running, verbs, strict=True):
        _, errors = one.communicate(timeout=PATIENCE + 10)
        assert (one.returncode, "Traceback" in errors) == (75, False), (words, errors)
    assert host.layers() == 1


def test_people_have_logins_of_their_own(host: MountedBox) -> None:
    people = host.folder / "people"
    # of `htpasswd -nbB alice wonderland` and `htpasswd -nbs bob builder`
    hashed = "$2b$04$L2rb/LOQ04hM4rNlFCW9guAOoEhXXuH9rd4DIFAchf0ihARJCf5Lu"
    people.write_text(f"# for the web GUI\nalice:{hashed}\nbob:{{SHA}}9SMYoF5RilWWASry7TjeaKwmpGg=\n")
    host.box.write_config(rclone={"rc_htpasswd_file": str(people)})
    host.start()
    assert rc(host, "core/version", host.login()) == 200
    assert rc(host, "core/version", ("alice", "wonderland")) == 200
    assert rc(host, "core/version", ("bob", "builder")) == 200
    assert rc(host, "core/version", ("bob", "wonderland")) == 401


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("alice:wonderland", "login 1 is not USER:HASH"),
        ("alice", "login 1 is not USER:HASH"),
        ("mediapipe:{SHA}9SMYoF5RilWWASry7TjeaKwmpGg=", "is our own"),
    ],
)
def test_a_login_that_rclone_cannot_use_is_told_without_it(
    line: str, words: str, host: MountedBox
) -> None:
    people = host.folder / "people"
    people.write_text(line)
    host.box.write_config(rclone={"rc_htpasswd_file": str(people)})
    ended = host.command("mount")
    assert ended.returncode == 78
    assert words in ended.stderr
    assert "wonderland" not in ended.stderr


def test_a_dry_run_prints_the_command_line_and_does_nothing(host: MountedBox) -> None:
    before = sorted(host.folder.rglob("*"))
    ended = host.command("mount", "--dry-run")
    assert ended.returncode == 0, ended.stderr
    assert " mount --config " in ended.stdout
    assert f"b2:entertainment-netmount {host.point} --read-only" in ended.stdout
    assert "--vfs-cache-max-size=1Gi --vfs-cache-min-free-space=1Mi" in ended.stdout
    assert f"--rc-htpasswd {host.box.state}/rc.htpasswd" in ended.stdout
    assert sorted(host.folder.rglob("*")) == before
    assert host.layers() == 0
