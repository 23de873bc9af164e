"""`mediapipe logs`: the journal of the jobs and services, by journalctl(1) itself.

What a job tells has `MEDIAPIPE_…` fields, also from a run by hand in a unit of its own. What its
programs print and what systemd says of its unit has none, and is found by the unit.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mediapipe.errors import ConfigError

if TYPE_CHECKING:
    from argparse import Namespace

SERVICES = {
    "categories": "qbt-categories",
    "upload": "qbt-upload-b2",
    "cleanup": "qbt-cleanup",
    "postprocess": "sab-postprocess",
    "mount": "rclone-b2-mount",
    "watch": "mediapipe-watch",
    "doctor": "mediapipe-doctor",
    "alert": "mediapipe-alert",
}
"""What `JOB` may be → its unit."""
_LINES = 100


def logs(options: Namespace) -> int:
    """Become journalctl; returns only by raising ConfigError, where there is none."""
    from mediapipe.adapters import process

    try:
        process.become(command(options))
    except FileNotFoundError:
        raise ConfigError(
            "there is no journalctl here",
            hint="the journal is systemd's; a run by hand tells its log on standard error",
        ) from None


def command(options: Namespace) -> list[str]:
    """Give the command line of journalctl."""
    words = ["journalctl", "--quiet"]
    if options.since is not None:
        # journalctl knows no time before 1970
        words.append(f"--since=-{min(options.since, int(time.time()))}s")
    if options.lines is not None or options.since is None:
        words.append(f"--lines={_LINES if options.lines is None else options.lines}")
    if options.follow:
        words.append("--follow")
    if options.json:
        words += ["--output=json", "--all", "--no-pager"]
    return [*words, *matches(options.job)]


def matches(job: str | None) -> list[str]:
    """Give the journal's matches for one service, or for all of them; `+` means or."""
    if job is None:
        jobs, found = [*SERVICES], [["_SYSTEMD_SLICE=mediapipe.slice"]]
    else:
        jobs, found = [job], [[f"_SYSTEMD_UNIT={SERVICES[job]}.service"]]
    found += [[f"MEDIAPIPE_JOB={one}"] for one in jobs]
    # the instances of a template have units of many names
    found += [[f"SYSLOG_IDENTIFIER={SERVICES[one]}"] for one in jobs]
    # systemd's own words: that it started, failed, ran out of time
    found += [["_PID=1", f"UNIT={SERVICES[one]}.service"] for one in jobs]
    return [word for words in found for word in ("+", *words)][1:]
