"""How far an upload is: one line, told to the log and to systemd, and bars on a terminal."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from mediapipe import progress
from mediapipe.ports import Progress, Transfer

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
SOME = Progress(3, 12, 45 * MIB, 100 * MIB, 23.4 * MIB, 240.0, ())


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (SOME, "Uploading 3 of 12, 45 %, 23.4 MiB/s, 4 min left"),
        (
            Progress(3, 12, 999, 1000, 0.0, None, (Transfer("tv/Show/Episode.mkv", 5, 1),)),
            "Uploading 3 of 12, 99 %, 0 B/s: Episode.mkv",
        ),
        (
            Progress(0, 2, 0, 1000, 1.0, 0.0, (Transfer("a", 5, 1), Transfer("d/b", 5, 1))),
            "Uploading 0 of 2, 0 %, 1 B/s, 0 s left: a, b",
        ),
        # nothing but empty files
        (Progress(0, 1, 0, 0, 0.0, None, ()), "Uploading 0 of 1, 100 %, 0 B/s"),
        (
            Progress(0, 1, 0, 1, 0.0, None, (Transfer(os.fsdecode(b"d/\xe9\n\x1b[31m"), 1, 0),)),
            r"Uploading 0 of 1, 0 %, 0 B/s: \xe9\n\x1b[31m",
        ),
    ],
)
def test_one_line_tells_how_far_it_is(facts: Progress, expected: str) -> None:
    assert progress.line(facts) == expected


def test_lines_go_to_the_log_and_to_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        def tell(event: str, /, *, level: str = "info", **fields: object) -> None:
            told.append((event, level, fields))

        lines = progress.Lines(tell, 30.0)
        lines.show(SOME)
        lines.end()
        text = "Uploading 3 of 12, 45 %, 23.4 MiB/s, 4 min left"
        assert told == [("upload.progress", "info", {"job": "upload", "message": text})]
        assert systemd.recv(4096).decode() == f"STATUS={text}\nEXTEND_TIMEOUT_USEC=120000000"


@pytest.mark.parametrize("address", ["", "/no/such/socket", "@no-such-abstract-socket"])
def test_a_message_that_nobody_takes_is_no_loss(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    progress.notify("STATUS=x")


def test_a_bar_knows_its_pace_also_after_a_line_was_printed() -> None:
    script = f"""
from mediapipe.ports import Progress, Transfer
from mediapipe.progress import Bars
bars = Bars()
for done in (0, 1):
    one = Transfer("show/Episode {{}}.mkv".format(done), {100 * MIB}, {50 * MIB})
    bars.show(Progress(done, 2, {50 * MIB}, {200 * MIB}, {23.5 * MIB}, 240.0, (one,)))
    bars.end()
    print("marked", done, flush=True)
"""
    before, _, after = on_a_terminal([sys.executable, "-c", script]).partition("marked 0")
    for number, picture in enumerate((before, after)):
        assert f"Uploading {number} of 2" in picture
        assert f"Episode {number}.mkv" in picture
        assert "23.5 MiB/s, 4 min left" in picture


def on_a_terminal(command: list[str]) -> str:
    """Run a program on a wide terminal; gives all that it drew."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 200))
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environ) as program:
        os.close(theirs)
        drawn = b""
        with contextlib.suppress(OSError):  # a terminal that nobody holds any more
            while block := os.read(ours, 65536):
                drawn += block
    os.close(ours)
    assert program.returncode == 0, drawn.decode()
    return drawn.decode()


def test_without_a_terminal_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(_event: str, /, *, level: str = "info", **_fields: object) -> None:
        raise AssertionError(level)

    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    made = progress.watcher(tell, 30.0)
    assert isinstance(made, progress.Lines)
    assert made.interval == 30.0


def test_systemctl_is_shown_each_step_and_the_end_of_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def tell(event: str, /, *, level: str = "info", **fields: object) -> None:
        told.append(event)

    assert progress.for_systemctl(tell) is tell
    place = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(place))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(place))
        both = progress.for_systemctl(tell)
        both("job.started", level="debug", job="cleanup")
        both("action.done", action="delete-file", path="/a")
        both("item.kept", path="/b")
        both("action.failed", action="delete-link", path="/c")
        both("job.finished", outcome="unavailable", reason="no\nMAINPID=1")
        shown = [systemd.recv(1 << 16).decode() for _ in range(4)]
    assert told == ["job.started", "action.done", "item.kept", "action.failed", "job.finished"]
    assert shown == [
        "STATUS=Looking at disk and services",
        "STATUS=1 done; last: delete-file /a",
        "STATUS=1 done, 1 failed; last: delete-link /c",
        "STATUS=Ended as unavailable: no MAINPID=1",
    ]
