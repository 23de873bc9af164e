"""What people are told of failures, outages and recoveries, and what they are spared: pure rules.

The same failure once a day, an outage once it has lasted an hour, the end of either once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mediapipe.facts import fact, field, replace
from mediapipe.plan import clock, duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediapipe.records import Run

DAY = 86400.0
LASTING = 3600.0
"""Seconds after which an outage is told."""
Kind = Literal["failure", "success"]

_MEANINGS = {
    "1": "a bug, its traceback is in the log",
    "2": "the command line is wrong",
    "3": "some actions failed, or a guard refused the plan",
    "75": "a service or a mount is not there",
    "78": "the configuration, a secret or a program has to change",
}
_RESULTS = {
    "timeout": "it took longer than it may, and was ended",
    "watchdog": "it gave no sign of life, and was ended",
    "oom-kill": "it took too much memory, and was ended",
    "core-dump": "it crashed",
    "start-limit-hit": "it failed again and again; nothing starts it any more",
    "unit-start-limit-hit": "what it starts failed again and again; it starts nothing any more",
    "resources": "systemd lacks what it takes to start it",
}


@fact
class Failure:
    """How a unit failed, in systemd's words; empty where that is not known."""

    unit: str
    result: str = ""
    """`exit-code`, `signal`, `timeout`, `watchdog` …"""
    status: str = ""
    """The exit status, or the name of the signal."""
    invocation: str = ""

    @property
    def key(self) -> str:
        """What makes it the same failure as another one."""
        return f"{self.result} {self.status}".strip()

    def words(self) -> str:
        """Give what happened as a sentence."""
        if self.result == "exit-code":
            meaning = _MEANINGS.get(self.status)
            return f"exit status {self.status}" + (f": {meaning}" if meaning else "")
        if self.result == "signal":
            return f"ended by signal {self.status}"
        return _RESULTS.get(self.result, self.result or "how is not known")


@fact
class Message:
    """What people are told."""

    title: str
    body: str
    kind: Kind


@fact
class Owed:
    """A message that has not reached everybody; `lines` of the file of URLs, none for all."""

    message: Message
    lines: tuple[int, ...] = ()


@fact
class Memory:
    """What is remembered of one unit; times in epoch seconds."""

    since: float | None = None
    """When it began to fail, or to be held up."""
    last: float = 0.0
    """When it last failed."""
    times: int = 0
    announced: bool = False
    """Whether people know of it, so that they are told of its end."""
    told: Mapping[str, float] = field(default_factory=dict)
    """Failure → when it was last told."""
    owed: Owed | None = None


def failed(
    memory: Memory, failure: Failure, lines: Sequence[str], host: str, now: float
) -> tuple[Memory, Message | None]:
    """Take notice of a failure; gives what is to be told of it, if anything is."""
    since = now if memory.since is None else memory.since
    memory = replace(memory, since=since, last=now, times=memory.times + 1)
    before = memory.told.get(failure.key)
    if before is not None and 0 <= now - before < DAY:
        return memory, None
    times = f", {memory.times} times" if memory.times > 1 else ""
    body = [failure.words(), f"failing since {clock(since)}{times}", "", *lines]
    body += ["", f"journalctl -u {failure.unit} tells all of it"]
    message = Message(f"{host}: {failure.unit} failed", "\n".join(body), "failure")
    told = {key: moment for key, moment in memory.told.items() if 0 <= now - moment < DAY}
    return replace(memory, announced=True, told={**told, failure.key: now}), message


def held_up(
    memory: Memory, unit: str, since: float, reason: str, host: str, now: float
) -> tuple[Memory, Message | None]:
    """Take notice of an outage that lasts since then; gives what is to be told of it."""
    if memory.since is None:
        memory = replace(memory, since=since)
    memory = replace(memory, last=now)
    before = memory.told.get("outage")
    if now - since < LASTING or (before is not None and 0 <= now - before < DAY):
        return memory, None
    body = (
        f"{reason}\nfor {duration(now - since)}, since {clock(since)}; it is tried again by itself"
    )
    message = Message(f"{host}: {unit} is held up", body, "failure")
    return replace(memory, announced=True, told={**memory.told, "outage": now}), message


def good(
    memory: Memory, unit: str, moment: float | None, host: str
) -> tuple[Memory, Message | None]:
    """Take notice of when the unit last did well; None where that is not known."""
    if memory.since is None or moment is None or moment <= memory.last:
        return memory, None
    message = None
    if memory.announced:
        lasted = duration(moment - memory.since)
        body = f"since {clock(moment)}; it was not well for {lasted}"
        message = Message(f"{host}: {unit} works again", body, "success")
    return replace(memory, since=None, last=0.0, times=0, announced=False), message


def outage(runs: Sequence[Run]) -> tuple[float, float, str] | None:
    """Give since when and until when (epoch seconds) a job was held up, and by what; or None.

    `runs` are its last ones, the newest first. A pause of an hour between two of them is one in
    which nobody asked: the box was off.
    """
    since = None
    newest = runs[0] if runs else None
    next_began = 0.0
    for run in runs:
        ended = run.started + run.seconds
        if run.outcome != "unavailable" or (since is not None and next_began - ended > LASTING):
            break
        since, next_began = ended, run.started
    if newest is None or since is None:
        return None
    return since, newest.started + newest.seconds, newest.reason or "unavailable"
