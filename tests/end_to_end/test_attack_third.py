"""Attacks on the folder index, on renames and on names that two things share."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.testing.box import Box
from mediapipe.testing.qbittorrent import make_torrent, wait_until
from tests.end_to_end.attack import SCRIPTS, Attack, done, kept, sound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real

FAST = {"extra_args": ["--low-level-retries", "1", "--retries", "1"]}


class Libraries:
    """A box with libraries alone: no torrent is asked for."""

    def __init__(self, folder: Path, b2: B2Server) -> None:
        self.box = Box(folder / "box", "http://127.0.0.1:9", b2.rclone_config())
        self.b2 = b2
        self.tv = self.box.tv

    def write(self, name: str, data: bytes | int = 2000) -> Path:
        """Write a file into the library of shows, as something that comes new."""
        path = self.tv / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(os.urandom(data) if isinstance(data, int) else data)
        return path

    def upload(self, status: int | None = 0, timeout: float = 60) -> Any:
        return sound(self.box.run("upload", "--json", timeout=timeout), status)

    def objects(self) -> dict[str, bytes]:
        return {name: one.path.read_bytes() for name, one in self.b2.objects().items() if one.path}

    def wrong(self) -> list[str]:
        """Give the files of the shows that B2 does not show, byte by byte, under their name."""
        there = self.objects()
        return [
            f"{name}: {'other bytes' if name in there else 'not there'}"
            for path in sorted(self.tv.rglob("*"))
            if path.is_file() and not path.name.endswith((".uploaded", ".mediapipe-root"))
            if there.get(name := f"tv/{path.relative_to(self.tv)}") != path.read_bytes()
        ]


@pytest.fixture
def libraries(tmp_path: Path, b2: B2Server) -> Libraries:
    return Libraries(tmp_path, b2)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Attack]:
    with Attack(tmp_path) as attack:
        yield attack


# Renames


def test_a_rename_taken_back_is_seen(libraries: Libraries) -> None:
    """The old marker still fits, but its object was hidden: the file has no object of its name."""
    first = libraries.write("Show/S01E01.mkv")
    libraries.upload()
    first.rename(first.with_name("S01E02.mkv"))
    libraries.upload()
    first.with_name("S01E02.mkv").rename(first)
    libraries.upload()
    assert libraries.wrong() == []


def test_a_wrong_episode_set_right_is_still_on_b2(libraries: Libraries) -> None:
    """As above; then the true episode replaces the only visible object of the first one's bytes."""
    first = libraries.write("Show/S01E01.mkv")
    content = first.read_bytes()
    libraries.upload()
    second = first.with_name("S01E02.mkv")
    first.rename(second)
    libraries.upload()
    second.rename(first)
    libraries.upload()
    libraries.write("Show/S01E02.mkv")
    libraries.upload()
    assert content in libraries.objects().values(), "on the disk alone, beside a marker"


def test_what_hides_ends_with_its_job(libraries: Libraries) -> None:
    """An rclone that outlives a killed job hides a name that is needed again by then."""
    script = libraries.box.folder / "rclone"
    script.write_text(
        f"""#!/bin/sh
for word; do
    if [ "$word" = delete ] && mkdir '{script}.first' 2>/dev/null; then
        echo $$ > '{script}.new' && mv '{script}.new' '{script}.pid'
        while [ ! -e '{script}.go' ]; do sleep 0.05; done
    fi
done
exec '{SCRIPTS}/rclone' "$@"
"""
    )
    script.chmod(0o755)
    libraries.box.write_config(rclone={"binary": str(script)})
    first = libraries.write("Show/a.mkv")
    libraries.upload()
    second = first.rename(first.with_name("b.mkv"))
    pid = script.with_name("rclone.pid")
    with subprocess.Popen(
        libraries.box.command("upload"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as job:
        wait_until(pid.exists, seconds=30, what="the child that hides")
        job.kill()
    second.rename(first)
    first.with_name("a.mkv.uploaded").unlink(missing_ok=True)  # or the attack above does it
    sound(libraries.box.run("upload", "--json"))
    script.with_name("rclone.go").touch()
    number = int(pid.read_text())
    wait_until(lambda: not alive(number), seconds=30, what="the end of the child")
    for _ in range(2):
        libraries.upload(status=None)
    assert libraries.wrong() == []


def alive(number: int) -> bool:
    """Tell whether a process of this number runs; what nobody waited for does not."""
    with (
        contextlib.suppress(FileNotFoundError, ProcessLookupError),
        open(f"/proc/{number}/stat") as file,
    ):
        return file.read().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_an_upload_that_outlives_its_job_replaces_nothing(libraries: Libraries) -> None:
    """A killed job's rclone ends its upload of the old episode after the new one was proven."""
    libraries.write("Show/a.mkv", 8_000_000)
    libraries.b2.inject(api="b2_upload_file", sleep=1000, count=1)
    with subprocess.Popen(
        libraries.box.command("upload"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as job:
        calls = libraries.b2.stats
        wait_until(lambda: "b2_upload_file" in calls().calls, seconds=30, what="the upload")
        job.kill()
    libraries.write("Show/a.mkv", 8_000_000)
    sound(libraries.box.run("upload", "--json"))
    libraries.b2.clear_faults()
    wait_until(lambda: not children(libraries.box), seconds=30, what="the end of the child")
    for _ in range(2):
        libraries.upload(status=None)
    assert libraries.wrong() == []


def children(box: Box) -> list[str]:
    """Give the rclones that work with the configuration of this box."""
    told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in told.stdout.splitlines() if f"{box.folder}/rclone.conf" in line]


# Names that two things share


def test_two_downloads_of_one_name_are_both_on_b2(box: Attack) -> None:
    """Refused together, but the second follows once the first is proven: it replaces its object."""
    box.film()
    completed = box.box.completed
    box.box.write_config(
        cleanup={"seeding_time": "7d"},
        categories={"one": str(completed / "one"), "two": str(completed / "two")},
    )
    data = [os.urandom(3000), os.urandom(3000)]
    for name, content in zip(("one", "two"), data, strict=True):
        box.write(completed / name / "Item/x.mkv", content)
    for _ in range(2):
        box.upload(status=None)
    lies = box.lies()
    for _ in range(3):
        box.cleanup(status=None)
        box.upload(status=None)
    seen = [*box.contents().values()]
    seen += [path.read_bytes() for path in completed.rglob("x.mkv")]
    assert all(content in seen for content in data), "deleted, and B2 shows other bytes there"
    assert lies == []


def leftover(box: Attack, place: str, name: str, **options: Any) -> bytes:
    """Give what a torrent in a category's folder brings beside its imported film."""
    folder = box.box.completed / place / name
    extra = box.write(folder / "extra.mkv", 3000).read_bytes()
    root = box.box.tv if place == "tv" else box.box.movies
    box.link(box.write(folder / f"{place}.mkv"), root / f"{name}/{place}.mkv")
    box.torrent(folder, **options)
    return extra


def test_a_promise_to_upload_what_has_no_category_is_kept(box: Attack) -> None:
    """Cleanup says "the next upload takes it", and none ever does: the torrent stays for ever."""
    extra = leftover(box, "tv", "Pack")
    box.upload()
    box.due()
    report = box.cleanup()
    promised = "the next upload takes it" in str(report["kept"])
    box.upload()
    assert not promised or extra in box.contents().values()


@pytest.mark.soak
def test_leftovers_of_two_torrents_of_one_name_are_both_on_b2(box: Attack) -> None:
    """Both belong to downloads/Pack/extra.mkv (tried in vain: none replaces the other)."""
    box.job("categories", status=0)
    extras = [
        leftover(box, "tv", "Pack", category="tv-sonarr"),
        leftover(box, "movies", "Pack", category="radarr"),
    ]
    for _ in range(3):
        box.upload(status=None)
        box.due()
        box.cleanup(status=None)
    seen = [*box.contents().values()]
    seen += [path.read_bytes() for path in box.box.completed.rglob("extra.mkv")]
    assert all(extra in seen for extra in extras), "deleted, and B2 shows other bytes there"
    assert box.lies() == []


# Large objects


@pytest.mark.parametrize("claims", [0, 201])
def test_a_label_below_200_mib_is_not_believed(libraries: Libraries, claims: int) -> None:
    """rclone with a smaller cutoff, and other programs, send 6 MiB in parts: B2 checks no SHA-1."""
    path = libraries.write("Show/a.mkv", 6 << 20)
    label = hashlib.sha1(path.read_bytes()).hexdigest()
    libraries.b2.put("tv/Show/a.mkv", os.urandom(6 << 20))
    libraries.b2.corrupt("tv/Show/a.mkv", sha1=None, info={"large_file_sha1": label})
    path.with_name("a.mkv.uploaded").touch()
    for number in range(claims):
        content = libraries.write(f"Show/{number}.mkv", 10).read_bytes()
        path.with_name(f"{number}.mkv.uploaded").touch()
        libraries.b2.put(f"tv/Show/{number}.mkv", content, sha1=hashlib.sha1(content).hexdigest())
    report = libraries.upload(status=None)
    assert str(path) not in done(report, "upload") or libraries.wrong() == []


# The folder index and the state


@pytest.mark.parametrize("kind", ["pipe", "endless"])
@pytest.mark.parametrize("name", ["upload.index", "rc.json"])
def test_what_is_no_file_in_the_state_hangs_no_run(
    libraries: Libraries, name: str, kind: str
) -> None:
    """A pass waits for ever for a writer (or reads for ever), so that nothing is uploaded again."""
    libraries.write("Show/a.mkv")
    place = libraries.box.state / name
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero")
    pre = "ulimit -v 4000000; exec timeout 12 "  # what reads for ever is ended in time
    command = pre + " ".join(libraries.box.command("upload"))
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert libraries.wrong() == []


def test_a_folder_that_became_a_file_is_not_told_for_ever(libraries: Libraries) -> None:
    """The index keeps the folder: each pass says that the (proven) file is unreadable."""
    path = libraries.write("Show/a.mkv/a.mkv")
    libraries.upload()
    shutil.rmtree(path.parent)
    libraries.write("Show/a.mkv")
    libraries.upload()
    assert libraries.wrong() == []
    assert libraries.upload()["kept"] == []


@pytest.mark.parametrize("how", ["the same", "inside"])
def test_a_root_that_leads_into_another_one_is_refused(libraries: Libraries, how: str) -> None:
    """Both write the same marker, in turns: copies, calls and hashing in each pass, for ever."""
    libraries.write("Kids/a.mkv")
    root = libraries.box.folder / "kids"
    root.symlink_to(libraries.tv if how == "the same" else libraries.tv / "Kids")
    libraries.box.write_config(**{"libraries.movies": {"root": str(root)}})
    first = sound(libraries.box.run("upload", "--json"))
    if first["outcome"] == "error":
        return
    libraries.upload()
    libraries.b2.reset_stats()
    assert libraries.upload()["actions"] == []
    assert libraries.b2.stats().calls == {}


# What was tried in vain, and is worth keeping

NAMES = ("-x", "a:b", '"q"', "it's, x", "a\\b", "[x]{y}*?", " lead", "b2:x", ":local:x", "x\n")


def test_unfriendly_names_are_renamed_on_the_remote(libraries: Libraries) -> None:
    paths = [libraries.write(f"Show/{name}.mkv") for name in NAMES]
    libraries.upload()
    data = sorted(path.read_bytes() for path in paths)
    for path in paths:
        path.rename(path.with_name(f"m{path.name}"))
    libraries.b2.reset_stats()
    libraries.upload()
    assert libraries.b2.stats().calls.get("b2_upload_file", 0) == 0
    assert sorted(libraries.objects().values()) == data


def test_episodes_that_change_places_are_both_right(libraries: Libraries) -> None:
    first, second = libraries.write("Show/a.mkv"), libraries.write("Show/b.mkv")
    libraries.upload()
    other = first.rename(first.with_name("c"))
    second.rename(first)
    other.rename(second)
    libraries.upload()
    assert libraries.wrong() == []


def test_a_link_into_the_mount_at_the_old_name_keeps_its_object(libraries: Libraries) -> None:
    path = libraries.write("Show/a.mkv")
    libraries.upload()
    path.rename(path.with_name("b.mkv"))
    path.symlink_to("/nonexistent/media/b2/tv/Show/a.mkv")
    libraries.upload()
    assert set(libraries.objects()) == {"tv/Show/a.mkv", "tv/Show/b.mkv"}


def test_a_copy_that_b2_refuses_is_an_upload(libraries: Libraries) -> None:
    libraries.box.write_config(upload=FAST)
    path = libraries.write("Show/a.mkv")
    libraries.upload()
    path.rename(path.with_name("b.mkv"))
    libraries.b2.inject(api="b2_copy_file", status=400, count=None)
    libraries.upload(status=None)
    assert libraries.wrong() == []


def test_a_cleanup_beside_a_rename_keeps_one_name(box: Attack) -> None:
    film = box.film()
    data = film.link.read_bytes()
    box.upload()
    box.due()
    film.link.rename(film.link.with_name("renamed.mkv"))
    box.b2.inject(api="b2_hide_file", sleep=1000, count=1)
    pipe = subprocess.PIPE
    command = box.box.command("upload", "--json")
    box.b2.reset_stats()
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as job:
        wait_until(lambda: "b2_hide_file" in box.b2.stats().calls, seconds=30, what="the hiding")
        box.cleanup(status=None)
        box.b2.clear_faults()
        told, errors = job.communicate(timeout=60)
    assert "Traceback" not in errors
    assert json.loads(told)["outcome"] == "done"
    assert data in box.contents().values()
    box.holds()


def test_a_download_that_is_completed_in_place_is_seen(box: Attack) -> None:
    """Neither a folder nor a name changes by that."""
    item = box.box.completed / "film.mkv"
    data = os.urandom(300_000)
    item.write_bytes(data)
    torrent = make_torrent(item, box.folder / "film.torrent")
    item.write_bytes(data[:100_000] + bytes(200_000))
    box.qbt.add(torrent.path, save_path=item.parent, use_download_path=False)
    box.qbt.wait_state(torrent.infohash, ("stalledDL", "downloading"), 20)
    for _ in range(2):
        assert "not complete" in kept(box.upload())[str(item)]
    with item.open("r+b") as file:
        file.write(data)
    client: Any = box.qbt.client()
    client.torrents_recheck(torrent_hashes=torrent.infohash)
    box.qbt.wait_complete([torrent.infohash], 20)
    box.upload()
    assert data in box.contents().values()
