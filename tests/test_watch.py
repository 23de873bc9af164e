"""`mediapipe watch`: a real process with systemd's end of the line in our hands."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.debounce import GAP, MARGIN, Debounce
from mediapipe.testing.loopback import wait_until
from tests.test_idle_pass import CONFIG, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = Path(sys.executable).parent / "mediapipe"
SETTLE = 60.0
IN_A_NAMESPACE = ["unshare", "--user", "--map-root-user"]


@dataclass
class Watching:
    """A watcher over a few folders, and all it says to systemd."""

    folder: Path
    process: subprocess.Popen[bytes]
    channel: socket.socket
    told: list[str] = field(default_factory=list)

    @property
    def tv(self) -> Path:
        return self.folder / "media" / "tv"

    @property
    def downloads(self) -> Path:
        return self.folder / "downloads" / "completed"

    @property
    def trigger(self) -> Path:
        return self.folder / "state" / "upload.d" / "watch"

    def listen(self) -> None:
        """Hear all that it tells systemd: a socket that nobody empties would hold it up."""
        with contextlib.suppress(OSError):
            while text := self.channel.recv(65536):
                self.told += text.decode().splitlines()

    def wait_for(self, line: str) -> None:
        wait_until(lambda: any(line in one for one in [*self.told]), seconds=30, what=line)

    def take(self) -> None:
        """Take the trigger, as a run does; with it whatever is just being asked for."""
        wait_until(self.trigger.exists, seconds=30, what="the trigger")
        self.trigger.unlink()

    def asks(self) -> None:
        wait_until(self.trigger.exists, seconds=30, what="the trigger")

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(one) for one in (self.folder / "log").read_text().splitlines()]

    def changed(self) -> list[str]:
        """Give what it took for a change so far, below our folder."""
        paths = [one["path"] for one in self.log() if one["event"] == "watch.changed"]
        return [path.removeprefix(f"{self.folder}/") for path in paths]

    def notices(self, path: Path) -> None:
        """Wait until it has seen a path, and with it all that came before in the same folder."""
        name = str(path.relative_to(self.folder))
        wait_until(lambda: name in self.changed(), seconds=30, what=f"a change of {name}")

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


@contextlib.contextmanager
def watching(folder: Path, *before: str, ready: bool = True) -> Iterator[Watching]:
    config = folder / "config.toml"
    if not config.exists():
        config.write_text(CONFIG.format(folder=folder))
    for one in ("media/tv", "media/movies", "downloads/completed/tv", "downloads/completed/books"):
        (folder / one).mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        address = f"mediapipe-{os.getpid()}-{folder.name}"
        channel.bind(f"\0{address}")
        settings = {"NOTIFY_SOCKET": f"@{address}", "WATCHDOG_USEC": "1000000"}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*before, str(COMMAND), "watch", "-v", "--config", str(config)],
                env={**environment(), **settings}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        found = Watching(folder, process, channel)
        listener = threading.Thread(target=found.listen)
        listener.start()
        try:
            if ready:
                found.wait_for("READY=1")
            yield found
        finally:
            process.kill()
            process.wait()
            channel.shutdown(socket.SHUT_RDWR)
            listener.join()


def test_it_is_ready_once_all_is_watched_and_asks_for_what_came_before(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        watch.asks()
        watch.wait_for("STATUS=")
        watch.wait_for("media/tv: watched, 1 folders")
        watch.told.clear()
        watch.wait_for("WATCHDOG=1")
        assert watch.end() == 0
        watch.wait_for("STOPPING=1")


def test_a_link_into_a_library_is_asked_for_at_any_depth(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        watch.take()
        source = watch.downloads / "tv" / "a.mkv"
        source.write_bytes(b"a")
        (watch.tv / "Show" / "Season 1").mkdir(parents=True)
        os.link(source, watch.tv / "Show" / "Season 1" / "a.mkv")
        watch.notices(watch.tv / "Show" / "Season 1" / "a.mkv")
        watch.asks()
        # a folder that was made after the start is watched itself
        os.link(source, watch.tv / "Show" / "Season 1" / "b.mkv")
        watch.notices(watch.tv / "Show" / "Season 1" / "b.mkv")
        assert "downloads/completed/tv/a.mkv" not in watch.changed()


def test_folders_of_any_depth_are_watched(tmp_path: Path) -> None:
    """A torrent may hold folders as deep as a path is long: that must not end the watcher."""
    deep = tmp_path.joinpath("media", "tv", *["d"] * 1500)
    try:
        subprocess.run(["mkdir", "-p", deep], check=True)
        with watching(tmp_path) as watch:
            watch.wait_for("media/tv: watched, 1,501 folders")
            (deep / "x.mkv").write_bytes(b"x")
            watch.notices(deep / "x.mkv")
            assert watch.end() == 0
    finally:
        # pytest could not
        subprocess.run(["rm", "-r", tmp_path / "media" / "tv"], check=True)


def test_what_is_no_part_of_an_item_asks_for_nothing(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        for name in ("a.mkv.uploaded", ".mediapipe-root", "a.mkv.!qB", ".nfs01", "last.mkv"):
            (watch.tv / name).write_bytes(b"")
        watch.notices(watch.tv / "last.mkv")
        assert {one for one in watch.changed() if one.startswith("media/tv/")} == {
            "media/tv/last.mkv"
        }


def test_uncategorized_downloads_ask_and_those_of_a_library_do_not(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        (watch.downloads / "tv" / "of a library.mkv").write_bytes(b"")
        (watch.downloads / "books" / "a.epub").write_bytes(b"")
        watch.notices(watch.downloads / "books" / "a.epub")
        unfinished = watch.downloads / "Loose" / "b.mkv.!qB"
        unfinished.parent.mkdir()
        unfinished.write_bytes(b"")
        unfinished.rename(unfinished.with_suffix(""))
        watch.notices(watch.downloads / "Loose" / "b.mkv")
        assert not any(one.startswith("downloads/completed/tv/") for one in watch.changed())
        assert "downloads/completed/Loose/b.mkv.!qB" not in watch.changed()


def test_a_link_to_a_folder_is_not_followed_but_the_root_may_be_one(tmp_path: Path) -> None:
    real, elsewhere = tmp_path / "disk" / "tv", tmp_path / "elsewhere"
    real.mkdir(parents=True)
    elsewhere.mkdir()
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "tv").symlink_to(real)
    (real / "link").symlink_to(elsewhere)
    with watching(tmp_path) as watch:
        (elsewhere / "never.mkv").write_bytes(b"")
        (real / "a.mkv").write_bytes(b"")
        watch.notices(watch.tv / "a.mkv")
        assert not any("never" in one for one in watch.changed())


def test_a_root_that_goes_is_waited_for_and_watched_again(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        watch.tv.rename(tmp_path / "away")
        watch.process.send_signal(signal.SIGHUP)
        watch.wait_for("media/tv: is not there; waited for")
        (watch.folder / "media" / "movies" / "a.mkv").write_bytes(b"")
        watch.notices(watch.folder / "media" / "movies" / "a.mkv")
        watch.told.clear()
        watch.tv.mkdir()
        watch.process.send_signal(signal.SIGHUP)
        watch.wait_for("media/tv: watched")
        (watch.tv / "b.mkv").write_bytes(b"")
        watch.notices(watch.tv / "b.mkv")


def test_a_reload_takes_what_is_sound_and_leaves_what_is_not(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        config = tmp_path / "config.toml"
        sound = config.read_text()
        config.write_text(sound + "[nonsense]\n")
        watch.process.send_signal(signal.SIGHUP)
        watch.wait_for("RELOADING=1")
        wait_until(lambda: any(one["event"] == "watch.reloaded" for one in watch.log()),
                   seconds=30, what="word of the reload")  # fmt: skip
        (refusal,) = [one for one in watch.log() if one["event"] == "watch.reloaded"]
        assert "nonsense" in refusal["reason"]
        assert refusal["level"] == "error"
        (watch.tv / "a.mkv").write_bytes(b"")
        watch.notices(watch.tv / "a.mkv")
        (tmp_path / "more").mkdir()
        more = f'[libraries.more]\nroot = "{tmp_path}/more"\nremote = "more"\n'
        config.write_text(sound + more)
        watch.process.send_signal(signal.SIGHUP)
        watch.wait_for("/more: watched")
        (tmp_path / "more" / "b.mkv").write_bytes(b"")
        watch.notices(tmp_path / "more" / "b.mkv")


def test_beyond_the_limit_it_names_the_sysctl_and_leaves_the_root_to_the_timers(
    tmp_path: Path,
) -> None:
    """A user namespace has a limit of its own, and its processes the kernel's real answer."""
    script = 'echo 28 >/proc/sys/user/max_inotify_watches && exec "$@"'
    many = tmp_path / "media" / "tv"
    for number in range(24):
        (many / f"Show {number}").mkdir(parents=True)
    with watching(tmp_path, *IN_A_NAMESPACE, "sh", "-c", script, "sh") as watch:
        # each tree would fit alone: which of them comes too late is chance
        watch.wait_for("28 watches of user.max_inotify_watches do not do for 29 folders")
        told = next(one for one in watch.log() if "do not do for 29" in one.get("message", ""))
        assert told["message"].startswith("not watched, the timers look at it: the 28 watches")
        assert told["hint"].startswith("sysctl user.max_inotify_watches=524288")
        assert told["level"] == "warning"
        assert watch.end() == 0


def test_a_tree_that_grows_beyond_the_limit_is_left_to_the_timers(tmp_path: Path) -> None:
    script = 'echo 30 >/proc/sys/user/max_inotify_watches && exec "$@"'
    with watching(tmp_path, *IN_A_NAMESPACE, "sh", "-c", script, "sh") as watch:
        watch.wait_for("media/tv: watched")
        for number in range(40):
            (watch.tv / f"Show {number}").mkdir()
        watch.process.send_signal(signal.SIGHUP)
        watch.wait_for("media/tv: not watched, the timers look at it")


def test_more_changes_than_the_kernel_remembers_are_told_and_survived(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        watch.process.send_signal(signal.SIGSTOP)
        (watch.tv / "Show").mkdir()
        limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        for number in range(limit // 2 + 1000):
            (watch.tv / f"{number}").write_bytes(b"")  # made, and closed
        (watch.tv / "Show" / "Season 1").mkdir()
        watch.process.send_signal(signal.SIGCONT)
        wait_until(lambda: any(one["event"] == "watch.trouble" for one in watch.log()),
                   seconds=30, what="word of the overflow")  # fmt: skip
        season = watch.tv / "Show" / "Season 1"

        def noticed() -> bool:
            """Whether an episode is seen; the first may come before the folder is watched again."""
            (season / f"{time.monotonic_ns()}.mkv").write_bytes(b"")
            return any("Show/Season 1/" in one for one in watch.changed())

        wait_until(noticed, seconds=30, what="a change in a folder that was made meanwhile")


def test_where_it_cannot_ask_it_says_so_and_goes_on(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "upload.d").write_text("a file in its place")
    with watching(tmp_path) as watch:
        wait_until(lambda: any(one["event"] == "watch.unheard" for one in watch.log()),
                   seconds=30, what="the warning")  # fmt: skip
        (state / "upload.d").unlink()
        (watch.tv / "a.mkv").write_bytes(b"")
        watch.asks()


def moments(changes: list[float], until: float) -> list[float]:
    """Give when a run is asked for."""
    state, pending = Debounce(SETTLE), sorted(changes)
    asked: list[float] = []
    while True:
        due = state.due()
        if pending and (due is None or pending[0] <= due):
            state = state.note(pending.pop(0))
        elif due is None or due > until:
            return asked
        else:
            asked.append(round(due, 3))
            state = state.ask(due)


AFTER = SETTLE + MARGIN


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ([], []),
        ([10], [10, 10 + AFTER]),
        ([10, 10.5, 11], [10, 10 + GAP, 10 + AFTER, 10 + AFTER + GAP]),
        ([10, 10 + GAP + 1], [10, 10 + GAP + 1, 10 + AFTER, 10 + GAP + 1 + AFTER]),
        ([10, 50, 90], [10, 50, 10 + AFTER, 90, 50 + AFTER, 90 + AFTER]),
    ],
)  # fmt: skip
def test_a_run_is_asked_for_at_once_not_too_often_and_when_all_has_settled(
    changes: list[float], asked: list[float]
) -> None:
    assert moments(changes, 1000) == asked


def test_a_storm_of_changes_is_a_run_every_two_seconds_and_the_last_one_is_not_forgotten() -> None:
    changes = [number / 100 for number in range(10_000)]
    asked = moments(changes, 1000)
    assert all(later - earlier >= GAP - 0.001 for earlier, later in itertools.pairwise(asked)
               if later < changes[-1])  # fmt: skip
    assert asked[0] == 0
    assert asked[-1] == round(changes[-1] + AFTER, 3)
