"""Attacks on upload: names, places, faults of B2 and rclone, two runs at once, sudden ends."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mediapipe.testing.b2.faults import STORAGE_CAP, TRANSACTION_CAP, Fault
from mediapipe.testing.qbittorrent import make_torrent, wait_until
from tests.end_to_end.attack import SCRIPTS, Attack, done, kept, sound

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real

NAMES = [
    *(b" lead", b"trail ", b"q\"'uote", b"new\nline", b"-dash", b"#hash", b";semi", b"glob[*]?{}"),
    *(b"\xff\xfe.mkv", b"tab\t", b"back\\slash", b"col:on", b"a\rb", b"\x01", b"\x7f", b"..x"),
    *(b"x.uploaded", b".uploaded", b".mediapipe-root", b"%2e", b"$(x)", b"~", b"caf\xc3\xa9.mkv"),
    *(b"cafe\xcc\x81.mkv", b"a" * 251 + b".mkv", b"b" * 246 + b".mkv", b"c" * 242 + b".mkv"),
    *("🎬".encode(), "‛x".encode(), "␀".encode(), "\u202e".encode(), "．".encode()),
]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Attack]:
    with Attack(tmp_path) as attack:
        yield attack


# Names and places


@pytest.mark.parametrize("where", ["library", "file", "folder", "in a folder"])
def test_hostile_names_lose_nothing(box: Attack, where: str) -> None:
    box.film()
    completed = os.fsencode(box.box.completed)
    places = {
        "library": os.fsencode(box.box.movies) + b"/Odd/%b",
        "file": completed + b"/%b",
        "folder": completed + b"/%b/film.mkv",
        "in a folder": completed + b"/Folder %d/%b",
    }
    for number, name in enumerate(NAMES):
        place = places[where]
        path = place % ((number, name) if b"%d" in place else name)
        if not os.path.lexists(path):  # our own root file
            box.write(path, 500)
    for verb, option in (("upload", ()), ("cleanup", ()), ("cleanup", ("--orphans-now",))):
        box.job(verb, *option)
        box.holds()


def test_a_failed_upload_of_a_name_in_no_encoding_is_told(box: Attack) -> None:
    """A file stands where the marker belongs, so that this item fails and the other does not."""
    odd = os.fsencode(box.box.completed) + b"/\xff.mkv"
    box.write(odd)
    box.write(odd + b".uploaded")
    box.write(box.box.completed / "good.mkv")
    report = box.upload(status=3)
    assert done(report, "upload") == [str(box.box.completed / "good.mkv")]
    assert "tried again" in str(box.upload()["kept"])
    box.holds()


@pytest.mark.parametrize("kind", ["file", "folder", "pipe", "link"])
def test_what_stands_at_the_markers_place_is_not_lost(box: Attack, kind: str) -> None:
    item = box.write(box.box.movies / "Film/film.mkv")
    place = item.with_name("film.mkv.uploaded")
    if kind == "file":
        box.write(place)
    elif kind == "folder":
        box.write(place / "film.mkv")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(box.write(box.folder / "precious"))
    box.upload(status=None)
    box.holds()


def test_only_regular_files_are_items(box: Attack) -> None:
    folder = box.write(box.box.completed / "Folder/film.mkv").parent
    (folder / "link").symlink_to("/etc/hostname")
    pipes = box.write(box.box.completed / "Pipes/film.mkv").parent
    os.mkfifo(pipes / "pipe")
    os.mkfifo(box.box.movies / "pipe.mkv")
    box.upload()
    box.cleanup("--orphans-now", status=None)
    assert {folder, pipes} <= {*box.box.completed.iterdir()}
    assert not box.b2.objects()


def test_a_time_to_come_is_told_truly(box: Attack) -> None:
    item = box.write(box.box.movies / "Film/film.mkv")
    os.utime(item, (4_000_000_000, 4_000_000_000))  # the year 2096
    report = box.upload()
    assert done(report, "upload") == [str(item)] or "0 s ago" not in kept(report)[str(item)]


def test_a_stalled_download_in_place_waits(box: Attack) -> None:
    item = box.box.completed / "film.mkv"
    item.write_bytes(os.urandom(300_000))
    torrent = make_torrent(item, box.folder / "film.torrent")
    item.write_bytes(item.read_bytes()[:100_000] + bytes(200_000))
    box.qbt.add(torrent.path, save_path=item.parent, use_download_path=False)
    box.qbt.wait_state(torrent.infohash, ("stalledDL", "downloading"), 20)
    box.upload()
    box.qbt.stop()
    box.upload(status=75)
    assert not box.b2.objects()


# B2 and rclone


def test_the_label_of_a_large_object_is_not_believed(box: Attack) -> None:
    """Above rclone's upload cutoff (200 MiB) B2 repeats the SHA-1 that the uploader told it."""
    size = 201 << 20
    item = box.write(box.box.movies / "Film/film.mkv", 1)
    os.truncate(item, size)
    digest = hashlib.sha1()
    with item.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    box.gave_up(b"")
    box.b2.put("movies/Film/film.mkv", b"\xff" * size)
    label = {"large_file_sha1": digest.hexdigest()}
    box.b2.corrupt("movies/Film/film.mkv", sha1=None, info=label)
    report = box.upload(status=None)
    told = box.b2.objects()["movies/Film/film.mkv"].path
    assert told is not None
    assert not done(report, "upload") or told.read_bytes()[:1] != b"\xff"


def test_an_object_of_the_same_size_without_sha1_is_no_proof(box: Attack) -> None:
    item = box.write(box.box.movies / "Film/film.mkv")
    box.b2.put("movies/Film/film.mkv", os.urandom(item.stat().st_size))
    box.upload(status=None)
    box.holds()


FAULTS = {
    "storage cap": STORAGE_CAP,
    "transaction cap": TRANSACTION_CAP,
    "always 500": Fault(api="b2_upload_.*", count=None, status=500),
    "corrupt": Fault(api="b2_upload_file", corrupt=True),
    "lost answer": Fault(api="b2_upload_file", lose_response=True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_b2_makes_no_false_marker(box: Attack, fault: str) -> None:
    box.box.write_config(upload={"extra_args": ["--low-level-retries", "2", "--retries", "1"]})
    box.write(box.box.movies / "Film/film.mkv")
    box.b2.inject(FAULTS[fault])
    for verb in ("upload", "upload", "cleanup"):
        box.job(verb)
    box.holds()


def _impostor(answer: str) -> str:
    """Give the line of a shell that answers questions about objects in rclone's place."""
    own = shlex.join([sys.executable, str(Path(__file__).with_name("impostor.py"))])
    address = "case $word in unix://*) at=${word#unix://};; esac"
    return (
        f'[ "$verb" = rcd ] && {{ for word; do {address}; done;'
        f' exec {own} "$at" {shlex.quote(answer)}; }}'
    )


LIARS = {
    "copies nothing": '[ "$verb" = copy ] && exit 0',
    "empty list": _impostor('{"list": []}'),
    "half a list": _impostor('{"list": [{"Path": "downloads/film.mkv", "Size": 1'),
    "odd list": _impostor('{"list": [null, 1, {}]}'),
    "no list": _impostor('{"list": null}'),
    "another list": _impostor('[{"Path": "downloads/film.mkv"}]'),
    "noise": '[ "$verb" = version ] || { head -c 9999 /dev/urandom | tee /dev/stderr; exit 0; }',
    "killed": '[ "$verb" = version ] || kill -9 $$',
}


@pytest.mark.parametrize("liar", LIARS)
def test_an_rclone_that_lies_makes_no_false_marker(box: Attack, liar: str) -> None:
    script = box.folder / "rclone"
    words = "for word; do case $word in copy|lsjson|rcd|version) verb=$word; break;; esac; done"
    script.write_text(
        f'#!/bin/sh\nreal={SCRIPTS}/rclone\n{words}\n{LIARS[liar]}\nexec $real "$@"\n'
    )
    script.chmod(0o755)
    box.box.write_config(rclone={"binary": str(script)})
    box.write(box.box.completed / "film.mkv")
    report = box.upload(status=None)
    assert not done(report, "upload")
    box.cleanup("--orphans-now", status=None)
    box.holds()


def test_no_rclone_of_the_right_age_is_an_error_to_mend(box: Attack) -> None:
    box.write(box.box.movies / "film.mkv")
    script = box.folder / "rclone"
    script.write_text('#!/bin/sh\necho "rclone v1.60.1"\n')
    script.chmod(0o755)
    for binary in (str(script), "/nonexistent/rclone", "no-such-rclone", "/"):
        box.box.write_config(rclone={"binary": binary})
        box.upload(status=78)


@pytest.mark.parametrize(
    "remote", ["b2:no-such-bucket-here", "nosuch:entertainment-netmount", "b2:a\0b"]
)
def test_a_remote_that_is_not_there_is_not_made(box: Attack, remote: str) -> None:
    """With a master key rclone makes the bucket of a slip of the pen, and fills it."""
    box.write(box.box.movies / "film.mkv")
    box.box.write_config(rclone={"remote": remote})
    ended = box.box.run("upload", "--json", timeout=60)
    assert sound(ended)["outcome"] in ("error", "unavailable", "partial")
    assert not list(box.box.folder.rglob("*.uploaded"))


def test_a_wrong_key_is_an_error_to_mend(box: Attack) -> None:
    box.write(box.box.movies / "film.mkv")
    config = box.box.folder / "rclone.conf"
    config.write_text(config.read_text().replace("master-secret", "wrong"))
    box.upload(status=78)


def test_rclones_environment_does_not_turn_b2_into_a_folder(box: Attack) -> None:
    """As it stands in a shell in which somebody tried things, with the jobs started by hand."""
    film = box.film()
    box.due()
    env = {**os.environ, "RCLONE_CONFIG_B2_TYPE": "local"}
    for verb in ("upload", "cleanup"):
        command = box.box.command(verb, "--json")
        subprocess.run(command, env=env, cwd=box.folder, capture_output=True, check=False)
    assert film.download.exists() or film.remote in box.b2.objects()


# Sudden ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_an_upload_that_ends_suddenly_is_done_by_the_next(box: Attack, number: int) -> None:
    items = [box.write(box.box.movies / f"Film {count}/film.mkv", 900_000) for count in range(3)]
    box.b2.bandwidth = 500_000
    command = box.box.command("upload", "--json")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as job:
        wait_until(lambda: box.b2.stats().calls, seconds=20, what="calls of B2")
        second = box.box.run("upload", "--json")
        job.send_signal(number)
        _, errors = job.communicate(timeout=60)
    assert sound(second)["outcome"] == "unavailable"
    assert "Traceback" not in errors
    box.b2.bandwidth = None
    box.holds()
    wait_until(lambda: box.job("upload")["outcome"] == "done", seconds=30, what="the lock")
    assert len(box.b2.objects()) == len(items)
    box.holds()


@pytest.mark.soak
def test_a_cleanup_that_is_killed_again_and_again_loses_nothing(box: Attack) -> None:
    for number in range(3):
        box.film(f"Film {number}", 20_000)
    box.upload()
    box.due()
    delay = 0.12
    while box.listed() and delay < 0.6:
        command = box.box.command("cleanup", "--json")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
            try:
                job.wait(delay)  # a moment to be killed at, not one to be waited for
            except subprocess.TimeoutExpired:
                job.kill()
        box.holds()
        delay += 0.04
    for _ in range(3):
        box.cleanup(status=None)
    box.holds()
    assert not box.box.tree(box.box.completed)
