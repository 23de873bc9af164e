"""How an upload is followed: bars for who watches, lines and STATUS= for systemd and logs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from mediapipe.plan import duration, human, shown

if TYPE_CHECKING:
    from mediapipe.ports import Progress, Tell, Watcher

_WATCHED = 1.0
"""Seconds between two pictures of a bar."""
_PATIENCE = 4
"""Intervals for which systemd is asked to wait on."""


def line(progress: Progress) -> str:
    """Give one line: "Uploading 3 of 12, 45 %, 23 MiB/s, 4 min left: Episode.mkv"."""
    share = 100 * progress.sent // progress.total if progress.total else 100
    text = f"{progress.doing} {progress.done} of {progress.files}, {share} %, {_pace(progress)}"
    names = ", ".join(shown(one.name.rpartition("/")[2]) for one in progress.transfers)
    return text + (f": {names}" if names else "")


def _pace(progress: Progress) -> str:
    rate = f"{human(int(progress.rate))}/s"
    left = progress.seconds_left
    return rate if left is None else f"{rate}, {duration(left)} left"


def watcher(tell: Tell, interval: float) -> Watcher:
    """Give what fits the place where we run; `interval` in seconds is for logs."""
    return Bars() if sys.stderr.isatty() else Lines(tell, interval)


def for_systemctl(tell: Tell) -> Tell:
    """Give what tells the same, and has `systemctl status` show how far a job is."""
    if not os.environ.get("NOTIFY_SOCKET"):
        return tell
    counts = {"action.done": 0, "action.failed": 0}

    def tell_both(event: str, /, *, level: str = "info", **fields: object) -> None:
        tell(event, level=level, **fields)
        if event == "job.started":
            notify("STATUS=Looking at disk and services")
        elif event in counts:
            counts[event] += 1
            done, failed = counts.values()
            words = f"{done} done, {failed} failed" if failed else f"{done} done"
            notify(f"STATUS={words}; last: {fields['action']} {fields['path']}")
        elif event == "job.finished":
            reason = f": {fields['reason']}" if fields.get("reason") else ""
            notify(f"STATUS=Ended as {fields['outcome']}{reason}".replace("\n", " "))

    return tell_both


class Lines:
    """A log line for each interval, and the same for `systemctl status`."""

    def __init__(self, tell: Tell, interval: float) -> None:
        """Nothing is told yet."""
        self._tell = tell
        self.interval = interval

    def show(self, progress: Progress) -> None:
        """Tell how far it is."""
        text = line(progress)
        self._tell("upload.progress", job="upload", message=text)
        wait = int(self.interval * _PATIENCE * 1_000_000)
        # while bytes move, systemd's time limit moves along
        notify(f"STATUS={text}\nEXTEND_TIMEOUT_USEC={wait}")

    def end(self) -> None:
        """Nothing is left on the screen."""


class Bars:
    """A bar for each transfer and one for all of them."""

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self.interval = _WATCHED
        self._screen: Any = None
        self._total: Any = None
        self._bars: dict[str, Any] = {}

    def show(self, progress: Progress) -> None:
        """Draw how far it is."""
        begins = self._screen is None
        if begins:
            self._make()
        self._screen.update(
            self._total,
            total=progress.total or None,
            completed=progress.sent,
            description=f"{progress.doing} {progress.done} of {progress.files}",
            pace=_pace(progress),  # the bars are made anew after each item, and know no pace then
        )
        current = {one.name for one in progress.transfers}
        for name in [name for name in self._bars if name not in current]:
            self._screen.remove_task(self._bars.pop(name))
        for one in progress.transfers:
            if one.name not in self._bars:
                title = shown(one.name.rpartition("/")[2])
                self._bars[one.name] = self._screen.add_task(title, total=one.size, pace="")
            self._screen.update(self._bars[one.name], completed=one.sent)
        if begins:  # it draws at once, and an empty bar would flash up with each item that is done
            self._screen.start()

    def _make(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

        self._screen = Progress(
            # file names may hold what rich takes for markup
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[pace]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._total = self._screen.add_task("", total=None, pace="")

    def end(self) -> None:
        """Take the bars away: the report follows."""
        if self._screen is not None:
            self._screen.stop()
            self._screen = None
            self._bars = {}


def notify(message: str) -> None:
    """Tell systemd, where it listens (sd_notify(3)); a lost message is no loss."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(message.encode(errors="backslashreplace"), address)
    except OSError:
        return
