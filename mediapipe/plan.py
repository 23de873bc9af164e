"""What a job will do, what it leaves alone and why: pure data, run or printed by the runner."""

from __future__ import annotations

import functools
import time
from typing import Generic, Protocol, TypeVar

from mediapipe.facts import fact

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Action(Protocol):
    """One thing that will be done; `kind` is one of the words of the JSON report."""

    @property
    def kind(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def reason(self) -> str: ...
    def details(self) -> dict[str, object]:
        """Further fields of the report: `hash`, `name`, `remote`, `size` in bytes."""
        ...


A = TypeVar("A", bound=Action)


@fact
class Kept:
    """Something left alone, with the reason as a sentence that says what would change it."""

    path: str
    reason: str
    lasting: bool = False
    """Whether nothing but a change of the thing itself can change this."""


@fact
class Plan(Generic[A]):
    """The very plan that `--dry-run` prints and that a run executes.

    `refused` and `unavailable` give the reason why a part of the work is not in the plan at all;
    the rest of the plan is sound without it.
    """

    job: str
    actions: tuple[A, ...]
    kept: tuple[Kept, ...] = ()
    refused: str = ""
    unavailable: str = ""


def human(size: int) -> str:
    """Give a size in bytes as people read it: `human(1536)` is "1.5 KiB"."""
    value = float(size)
    step, three_digits = 1024, 100
    for unit in _UNITS:
        if value < step or unit == _UNITS[-1]:
            return (
                f"{value:.0f} {unit}"
                if unit == "B" or value >= three_digits
                else f"{value:.1f} {unit}"
            )
        value /= step
    raise AssertionError(size)


def duration(seconds: float) -> str:
    """Give a duration in seconds as people read it: `duration(7265)` is "2 h 1 min"."""
    whole = round(seconds)
    parts = [
        f"{count} {unit}"
        for count, unit in (
            (whole // 86400, "d"),
            (whole % 86400 // 3600, "h"),
            (whole % 3600 // 60, "min"),
            (whole % 60, "s"),
        )
        if count
    ]
    return " ".join(parts[:2]) or "0 s"


def clock(moment: float) -> str:
    """Give an epoch time in seconds as local weekday and time: "Fri 20 Nov 14:00"."""
    return _minute(moment // 60)


@functools.lru_cache(1024)
def _minute(number: float) -> str:
    try:
        return time.strftime("%a %d %b %H:%M", time.localtime(number * 60))
    except (OverflowError, ValueError, OSError):
        return "an impossible date"


def stamp(moment: float) -> str | None:
    """Give an epoch time in seconds as ISO 8601 in UTC; None for what is no time."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    except (OverflowError, ValueError, OSError):
        return None


def shown(path: str) -> str:
    r"""Give a path on one line of valid UTF-8: control characters and stray bytes as escapes."""
    if path.isprintable():  # as nearly all are
        return path
    return "".join(
        char if char.isprintable() and not "\udc80" <= char <= "\udcff" else _escape(char)
        for char in path
    )


def _escape(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()
