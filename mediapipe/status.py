"""What the jobs remember of how it goes, for people and for programs; asks and changes nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mediapipe import app_tallies, latch, usenet_status
from mediapipe.facts import fact, field
from mediapipe.plan import clock, duration, human, shown, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mediapipe.app_tallies import AppTally
    from mediapipe.history import History
    from mediapipe.latch import Backoff
    from mediapipe.records import Intent, Run, Tally, Wanted

_MINUTE = 60.0
_LISTED = 20
"""Downloads that are told to people one by one."""
_WHAT = {
    "refused": "its key or login was refused",
    "cap": "B2's cap is used up",
    "outage": "it was out",
    "item": "failed lately",
}
"""Cause of a back-off → in words."""


@fact
class Status:
    """All that is told; times in epoch seconds, sizes in bytes."""

    now: float
    runs: Mapping[str, Run | None]
    """Job → its last run."""
    good: Mapping[str, Run]
    """Job → the last run that did all that it was for."""
    looked: Mapping[str, float]
    """Job → when it last looked around after that, and found nothing changed."""
    backoffs: Sequence[Backoff]
    intents: Sequence[Intent]
    wanted: Sequence[Wanted]
    proven: tuple[int, int]
    """Files and bytes."""
    without_torrent: Sequence[Tally]
    """Media of each library that no torrent holds."""
    unproven: Sequence[Tally]
    """Downloads that no torrent holds and nothing proves."""
    usenet: Mapping[str, Any] = field(default_factory=dict)
    """What the last run of postprocess saw; empty where there was none."""
    apps: Sequence[AppTally] = ()
    """What the clients of the *arr apps met, over all runs."""


def gather(
    history: History, jobs: Sequence[str], looked: Mapping[str, float], now: float
) -> Status:
    """Read what is told of these jobs, and of any other that ever ran.

    `looked` is when a job last looked around; passes with nothing to do leave no row.
    """
    runs = history.last_runs()
    ended = {job: run.started + run.seconds for job, run in runs.items()}
    return Status(
        now,
        {job: runs.get(job) for job in dict.fromkeys([*jobs, *runs])},
        history.last_runs(good=True),
        {job: moment for job, moment in looked.items() if moment > ended.get(job, moment) + 1},
        latch.in_force(history.pauses(), now),
        history.intents(),
        history.wanted(),
        history.proven(),
        history.tallies("library"),
        history.tallies("unproven"),
        usenet=history.noted("postprocess"),
        apps=app_tallies.read(history),
    )


def as_json(status: Status) -> dict[str, object]:
    """Give the answer for programs; times in ISO 8601, UTC."""
    return {
        "jobs": {
            job: {
                "last": run and _run_json(run),
                "last_good": good and _run_json(good),
                "looked": stamp(status.looked[job]) if job in status.looked else None,
            }
            for job, run in status.runs.items()
            for good in [status.good.get(job)]
        },
        "held_up": [
            {**asdict(one), "job": one.job or None, "until": one.until and stamp(one.until)}
            for one in status.backoffs
        ],
        "deletions_begun": [
            {"name": one.name, "hash": one.hash or None, "paths": list(one.paths)}
            for one in status.intents
        ],
        "wanted": [
            {"name": one.name, "hash": one.hash, "paths": list(one.paths)} for one in status.wanted
        ],
        "proven": {"files": status.proven[0], "bytes": status.proven[1]},
        "usenet": usenet_status.as_json(status.usenet),
        "without_torrent": [
            {
                "library": one.subject,
                "files": one.files,
                "bytes": one.size,
                "first_goes": one.moment and stamp(one.moment),
            }
            for one in status.without_torrent
        ],
        "unproven": [
            {"path": one.subject, "files": one.files, "bytes": one.size} for one in status.unproven
        ],
        "apps": {
            one.app: {
                "calls": one.calls,
                "retries": one.retries,
                "rebuilds": one.rebuilds,
                "trips": one.trips,
                "circuit": "open" if one.is_open(status.now) else "closed",
                "open_until": stamp(one.open_until) if one.is_open(status.now) else None,
                "last": stamp(one.last),
            }
            for one in status.apps
        },
    }


def as_text(status: Status) -> Iterator[str]:
    """Give the answer for people, line by line."""
    yield "jobs"
    for job, run in status.runs.items():
        yield from _job(job, run, status)
    yield ""
    yield "held up"
    yield from _held_up(status.backoffs)
    if status.intents:
        yield ""
        yield "deletions begun and not finished (the next cleanup goes on with them)"
    for one in status.intents:
        yield f"  {shown(one.name)}: {_count(len(one.paths), 'path')}"
    if status.wanted:
        yield ""
        yield "wanted by cleanup (the next uploads bring them, then their torrents may go)"
    for wanted in status.wanted:
        yield f"  {shown(wanted.name)}: {_count(len(wanted.paths), 'file')}"
    files, size = status.proven
    yield ""
    yield "proven to be on the remote"
    yield f"  {_count(files, 'file')}, {human(size)}"
    yield from usenet_status.as_text(status.usenet, status.now)
    yield from _without_torrent(status)
    if status.apps:
        yield ""
        yield "apps (what their clients met, over all runs)"
    for app in status.apps:
        left = f"left alone until {clock(app.open_until)}" if app.is_open(status.now) else "in use"
        counts = ", ".join([
            _count(app.calls, "call"), f"{app.retries:,} tried again",
            _count(app.rebuilds, "new session"), f"{_count(app.trips, 'time')} left alone",
        ])  # fmt: skip
        yield f"  {app.app:<11} {left}; {counts}; last asked {_ago(app.last, status.now)}"


def _job(job: str, run: Run | None, status: Status) -> Iterator[str]:
    if run is None:
        yield f"  {job:<11} no run yet"
        return
    took = f"{run.seconds:.1f} s" if run.seconds < _MINUTE else duration(run.seconds)
    counts = f"{run.done} done, {run.failed} failed, {run.kept} kept"
    yield f"  {job:<11} {_ago(run.started, status.now)}, {took}: {run.outcome} ({counts})"
    if run.reason:
        yield f"  {'':<11} {shown(run.reason)}"
    good = status.good.get(job)
    if run.outcome != "done":
        when = _ago(good.started, status.now) if good else "none yet"
        yield f"  {'':<11} last good run: {when}"
    if job in status.looked:
        when = _ago(status.looked[job], status.now)
        yield f"  {'':<11} looked again, with nothing to do: {when}"


def _held_up(backoffs: Sequence[Backoff]) -> Iterator[str]:
    if not backoffs:
        yield "  nothing"
    for one in sorted(backoffs, key=lambda one: (one.cause == "item", one.subject)):
        until = "until it changes" if one.until is None else f"until {clock(one.until)}"
        who = f" ({one.job} alone)" if one.job and one.cause != "item" else ""
        yield f"  {shown(one.subject)}{who}: {_WHAT[one.cause]}, left alone {until}"
        yield f"    why: {shown(one.reason)}"
        yield f"    sooner: {shown(one.ends)}"


def _ago(moment: float, now: float) -> str:
    past = now - moment
    return f"{clock(moment)} ({duration(past)} ago)" if past >= 0 else clock(moment)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number:,} {word}s"


def _without_torrent(status: Status) -> Iterator[str]:
    if status.without_torrent:
        yield ""
        yield "in libraries, and no torrent holds it (without_torrent decides)"
    for tally in status.without_torrent:
        goes = f"the first may go {clock(tally.moment)}" if tally.moment else "it stays"
        yield f"  {tally.subject}: {_much(tally)}; {goes}"
    if status.unproven:
        yield ""
        yield "downloads that no torrent holds and nothing proves (never deleted by us)"
    for tally in status.unproven[:_LISTED]:
        yield f"  {shown(tally.subject)}: {_much(tally)}"
    if rest := status.unproven[_LISTED:]:
        yield f"  and {len(rest):,} more, {human(sum(one.size for one in rest))}"


def _much(tally: Tally) -> str:
    return f"{_count(tally.files, 'file')}, {human(tally.size)}"


def _run_json(run: Run) -> dict[str, object]:
    return {**asdict(run), "started": stamp(run.started)}
