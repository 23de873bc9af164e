"""`mediapipe mount` and its companions on a real rclone mount: started, killed, hung, misused."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import tempfile
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
    people.write_text(
        f"# for the web GUI\nalice:{hashed}\nbob:{{SHA}}9SMYoF5RilWWASry7TjeaKwmpGg=\n"
    )
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
    host.box.write_config(**{"rclone.mount": {"extra_args": ["--read-only=false"]}})
    ended = host.command("mount", "--dry-run")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith(" --read-only=false --read-only\n")
    assert " mount --config " in ended.stdout
    assert f" b2:entertainment-netmount {host.point} --cache-dir {host.cache} " in ended.stdout
    assert "--vfs-cache-max-size=1Gi --vfs-cache-min-free-space=1Mi" in ended.stdout
    assert f"--rc-htpasswd {host.box.state}/rc.htpasswd" in ended.stdout
    assert sorted(host.folder.rglob("*")) == before
    assert host.layers() == 0


def test_ls_lists_a_folder_as_people_want_it(host: MountedBox) -> None:
    ended = host.command("ls", "tv/Show")
    assert ended.returncode == 0, ended.stderr
    first, second, total = ended.stdout.splitlines()
    assert first.startswith("  3.0 MiB  20")
    assert first.endswith("  E1.mkv")
    assert second.endswith("  E2.mkv")
    assert total == "  3.0 MiB  in 2 files and 0 folders"

    told = host.answer("ls")
    assert told["remote"] == "b2:entertainment-netmount/"
    assert [(one["path"], one["folder"], one["size"]) for one in told["entries"]] == [
        ("movies", True, None),
        ("tv", True, None),
    ]
    deep = host.answer("ls", "-R")["entries"]
    assert {one["path"]: one["size"] for one in deep if not one["folder"]} == {
        "tv/Show/E1.mkv": 3 * MIB,
        "tv/Show/E2.mkv": 3,
        "movies/Film (2026)/film.mkv": 4,
    }


@pytest.mark.parametrize(
    "path",
    [
        "tv/Show/E2.mkv",
        "b2:entertainment-netmount/tv/Show/E2.mkv",
        "{mount}/tv/Show/E2.mkv",
        "{library}/Show/E2.mkv",
        "./tv//Show/E2.mkv",
    ],
)
def test_ls_knows_a_file_by_each_of_its_names(path: str, host: MountedBox) -> None:
    path = path.format(mount=host.point, library=host.box.tv)
    (entry,) = host.answer("ls", path)["entries"]
    assert (entry["path"], entry["size"]) == ("E2.mkv", 3)


def test_ls_tells_what_is_not_there_apart_from_what_could_not_be_asked(
    host: MountedBox, b2: B2Server
) -> None:
    assert "is called" in host.answer("ls", "tv/Nothing", status=2)["reason"]
    assert "neither below" in host.answer("ls", "/etc", status=2)["reason"]
    b2.remove_key("restricted")
    assert "refuses the key" in host.answer("ls", "tv", status=78)["reason"]
    b2.stop()
    assert host.answer("ls", "tv", status=75)["outcome"] == "unavailable"


def test_a_bucket_that_is_not_there_is_not_mounted_as_an_empty_one(host: MountedBox) -> None:
    host.box.write_config(rclone={"remote": "b2:entertainment-netmuont"})
    ended = host.command("mount")
    assert ended.returncode == 78, ended.stderr
    assert host.layers() == 0
    assert not (host.box.state / "rc.json").exists()


@pytest.mark.parametrize(
    ("spoil", "status", "words"),
    [
        ("file in it", 78, "is not empty"),
        ("somebody at rc_addr", 75, "something listens at"),
        ("plain file", 78, "cannot mount at"),
        ("a link", 78, "leads to"),
    ],
)
def test_what_is_in_the_way_is_told(
    spoil: str, status: int, words: str, host: MountedBox, b2: B2Server
) -> None:
    if spoil == "file in it":
        host.point.mkdir()
        (host.point / "film.mkv").write_bytes(b"on this disk")
    elif spoil == "plain file":
        host.point.write_bytes(b"")
    elif spoil == "a link":
        host.point.symlink_to(host.folder / "elsewhere")
    elif spoil == "somebody at rc_addr":
        host.box.write_config(rclone={"rc_addr": b2.url.removeprefix("http://")})
    ended = host.command("mount")
    assert (ended.returncode, host.layers()) == (status, 0), ended.stderr
    assert words in ended.stderr
    assert "hint: " in ended.stderr


def test_warm_reads_into_the_cache_and_cache_shows_it(host: MountedBox) -> None:
    assert host.command("cache").returncode == 75
    assert "nothing is mounted" in host.command("warm", "tv").stderr
    host.start()
    before = host.answer("cache")
    assert (before["items"], before["cache"]["largest"]) == ([], 1 << 30)

    told = host.answer("warm", "tv/Show", str(host.box.movies))

    assert told["outcome"] == "done"
    assert {one["path"]: one["size"] for one in told["warmed"]} == {
        "tv/Show/E1.mkv": 3 * MIB,
        "tv/Show/E2.mkv": 3,
        "movies/Film (2026)/film.mkv": 4,
    }
    after = host.answer("cache")
    held = {one["name"]: one["held"] for one in after["items"]}
    assert held["tv/Show/E1.mkv"] == 3 * MIB
    assert len(held) == 3
    assert after["traffic"]["bytes"] >= 3 * MIB
    text = host.command("cache").stdout
    assert f"3 files in {host.cache}/vfs/b2/entertainment-netmount" in text
    assert "    100 %    3.0 MiB    tv/Show/E1.mkv\n" in text

    (host.box.state / "rc.json").write_text('{"user": "mediapipe", "password": "wrong"}')
    assert "refuses the password" in host.answer("cache", status=78)["reason"]


def test_warm_skips_what_would_not_fit(tmp_path: Path, b2: B2Server) -> None:
    for name, size in (("a.mkv", 3 * MIB), ("b.mkv", 2 * MIB), ("c.srt", 5)):
        b2.put(f"tv/{name}", b"x" * size)
    with MountedBox(tmp_path / "box", b2, vfs_cache_max_size="4M") as host:
        host.start()
        told = host.answer("warm", "tv", "tv/gone.mkv", status=3)
        assert [one["path"] for one in told["warmed"]] == ["tv/a.mkv", "tv/c.srt"]
        reasons = {one["path"]: one["reason"] for one in told["skipped"]}
        assert reasons == {
            "tv/b.mkv": "2.0 MiB do not fit: 1.0 MiB are left of vfs_cache_max_size",
            "tv/gone.mkv": "No such file or directory",
        }
        # what is there already needs no room
        assert host.answer("warm", "tv/a.mkv")["outcome"] == "done"
        text = host.command("warm", "tv/b.mkv")
        assert text.returncode == 3
        assert "warm: 0 of 1 files" in text.stdout
        assert "hint: " in text.stdout


@pytest.mark.parametrize("end", ["interrupted", "hung"])
def test_warm_ends_soon_and_tells_what_it_did(end: str, host: MountedBox, b2: B2Server) -> None:
    b2.put("zlarge.mkv", b"x" * 8 * MIB)
    host.start()
    assert host.answer("warm", "tv/Show/E2.mkv")["outcome"] == "done"
    b2.bandwidth = 256 << 10
    command = [SCRIPT, "warm", "tv/Show/E2.mkv", "zlarge.mkv", "--json"]
    with subprocess.Popen(
        command, env=host.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        wait_until(
            lambda: any(one["name"] == "zlarge.mkv" and one["held"] for one in items(host)),
            seconds=PATIENCE,
            what="the second file to be read",
        )
        # a reader whose call rclone has taken cannot even be killed
        if end == "hung":
            host.signal(signal.SIGSTOP)
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=PATIENCE)
        host.signal(signal.SIGCONT)
    told = json.loads(output)
    assert (running.returncode, told["outcome"]) == (75, "unavailable"), errors
    assert [one["path"] for one in told["warmed"]] == ["tv/Show/E2.mkv"]
    assert told["skipped"] == [{"path": "zlarge.mkv", "reason": "begun, and not read to its end"}]
    assert "stopped by a signal" in told["reason"]


def items(host: MountedBox) -> list[dict]:
    return host.answer("cache")["items"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_cache_disk_ends_no_film(tmp_path: Path, b2: B2Server, small_disk: Path) -> None:
    films = {f"film {number}.mkv": os.urandom(14 * MIB) for number in range(3)}
    for name, content in films.items():
        b2.put(name, content)
    with MountedBox(tmp_path / "box", b2, vfs_cache_min_free_space="6M") as host:
        host.cache = small_disk / "cache"
        host.start()
        told = host.answer("warm", *films, status=3)
        assert [one["path"] for one in told["warmed"]] == ["film 0.mkv"]
        assert all(
            "left above vfs_cache_min_free_space" in one["reason"] for one in told["skipped"]
        )
        for name, content in films.items():
            assert (host.point / name).read_bytes() == content


def test_a_remote_control_in_a_socket_survives_too(host: MountedBox) -> None:
    # a path that a socket may have
    with tempfile.TemporaryDirectory(prefix="mediapipe-") as folder:
        address = f"unix://{folder}/rc.sock"
        host.box.write_config(rclone={"rc_addr": address})
        for _ in range(2):
            host.start()
            assert host.answer("cache")["cache"]["full"] is False
            host.kill()
        assert "does not run" in host.answer("cache", status=75)["reason"]


def test_cache_is_watched_until_a_signal(host: MountedBox) -> None:
    host.start()
    command = [SCRIPT, "cache", "--watch", "--json"]
    with subprocess.Popen(
        command, env=host.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        pictures = [json.loads(running.stdout.readline()) for _ in range(2)]
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=PATIENCE)
    assert [one["outcome"] for one in pictures] == ["done", "done"]
    assert running.returncode == 0


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"vfs_cache_mode": "fulll"}, 'invalid choice "fulll" from: off, minimal, writes, full'),
        ({"extra_args": ["--no-such"]}, "unknown flag: --no-such"),
    ],
)
@pytest.mark.parametrize("option", [[], ["--dry-run"]])
def test_a_flag_that_rclone_does_not_know_is_told(
    mount: dict, words: str, option: list[str], host: MountedBox
) -> None:
    host.box.write_config(**{"rclone.mount": mount})
    ended = host.command("mount", *option)
    assert ended.returncode == 78, ended.stderr
    assert words in ended.stderr
    assert "hint: check [rclone.mount]" in ended.stderr
    assert not (host.box.state / "rc.json").exists()


def test_an_upload_is_seen_in_the_mount_at_once(host: MountedBox) -> None:
    host.start()
    assert sorted(os.listdir(host.point / "tv")) == ["Show"]
    film = host.box.tv / "New" / "E1.mkv"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"new")
    ended = host.box.run("upload")
    assert ended.returncode == 0, ended.stderr
    assert "listener.failed" not in ended.stderr
    assert (host.point / "tv/New/E1.mkv").read_bytes() == b"new"
