"""The command line: runs what it asks for, reports, and exits."""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import os
import signal
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from mediapipe import arguments
from mediapipe.config_load import load
from mediapipe.dispatch import JOBS
from mediapipe.errors import MediapipeError, Stopped, out_of_order, stopped
from mediapipe.facts import replace
from mediapipe.log import Log
from mediapipe.owner import become_owner
from mediapipe.places import find, state_folder
from mediapipe.progress import for_systemctl, watcher
from mediapipe.report import print_error, print_report
from mediapipe.runner import Context, opened

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from types import FrameType

    from mediapipe.ports import Tell
    from mediapipe.runner import Report

_STANDARD = 2
_IMPORTING = 0.02
"""Seconds after which a signal that met an import is looked at again."""


def main() -> NoReturn:
    """Run the umbrella command `mediapipe`."""
    _exit(arguments.parse_umbrella)


def categories() -> NoReturn:
    """Run `qbt-categories`."""
    _exit(functools.partial(arguments.parse_job, "categories"))


def upload() -> NoReturn:
    """Run `qbt-upload-b2`."""
    _exit(functools.partial(arguments.parse_job, "upload"))


def cleanup() -> NoReturn:
    """Run `qbt-cleanup`."""
    _exit(functools.partial(arguments.parse_job, "cleanup"))


def postprocess() -> NoReturn:
    """Run `sab-postprocess`."""
    _exit(functools.partial(arguments.parse_job, "postprocess"))


def _exit(parse: Callable[[list[str]], Namespace]) -> NoReturn:
    """Run a command from its words to its exit status: the only place that exits."""
    _open_streams()
    collect_rarely()
    words = sys.argv[1:]
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(name, _stop)
    options: Namespace | None = None
    try:
        options = parse(words)
        status = _VERBS[options.verb](options)
        sys.stdout.flush()
    except MediapipeError as error:
        status = _failed(error, words, options)
    except Stopped:
        status = _failed(stopped(), words, options)
    except BrokenPipeError:
        # whoever read the report has enough of it; that is no failure of the run
        status = 0
    except (OSError, sqlite3.Error) as error:
        if "-v" in words or "--verbose" in words:
            import traceback

            traceback.print_exc()
        status = _failed(out_of_order(error), words, options)
    _close_streams()
    sys.exit(status)


def collect_rarely() -> None:
    """Let the garbage collector rest: facts hold no circles, and it looks at all of them anew."""
    gc.set_threshold(300_000, 20, 20)


def _open_streams() -> None:
    """Make sure that 0, 1 and 2 are streams: a file of ours in their place would get the log."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the whole run
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the whole run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a name that the terminal cannot show must not end a run
            stream.reconfigure(errors="backslashreplace")


def _close_streams() -> None:
    """Flush what is left; where that fails, let it go, so that our own status is the last word."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _failed(error: MediapipeError, words: list[str], options: Namespace | None) -> int:
    """Report what ended a run before it could report; gives the exit status."""
    job = options.verb if options and options.verb in JOBS else None
    with contextlib.suppress(OSError):
        print_error(error, job=job, dry_run="--dry-run" in words, as_json="--json" in words)
        sys.stdout.flush()
    return error.exit_status


def _stop(_number: int, frame: FrameType | None) -> None:
    """Stop, but not in the middle of an import: what still has to be told needs whole modules."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, _IMPORTING)
            return
        frame = frame.f_back
    raise Stopped


def _run_job(options: Namespace) -> int:
    """Run one job from its options to its report."""
    config = load(find(options.config))
    from mediapipe import layout, writing

    state = state_folder(config.paths.state)
    become_owner(state)
    by_hand = options.verb not in arguments.UNITS
    log = Log(arguments.UNITS.get(options.verb, "mediapipe"), verbose=options.verbose)
    tell = for_systemctl(log)
    tell("job.started", level="debug", job=options.verb, dry_run=options.dry_run)
    started, clock = time.time(), time.monotonic()

    def first() -> None:
        if options.verb == "postprocess":
            from mediapipe import spool

            spool.take(config.sabnzbd, state, tell)

    with opened(state, options.verb, dry_run=options.dry_run, first=first) as history:

        def remember(outcome: str, counts: tuple[int, int, int], reason: str | None) -> None:
            seconds = time.monotonic() - clock
            history.record_run(options.verb, started, seconds, outcome, counts, reason)

        context = Context(
            config,
            history,
            tell,
            watcher(tell, config.upload.stats_interval),
            state,
            started,
            options.dry_run,
            find(options.config),
        )
        try:
            layout.demand_mounts(config)
            if roots := layout.on_servers(config):
                from mediapipe.adapters import mounted

                mounted.demand_answers(roots)
            if options.verb in _WRITERS:
                writing.demand_writable(config, f"{arguments.UNITS[options.verb]}.service")
            report = JOBS[options.verb](options, context)
        except (MediapipeError, Stopped) as error:
            ended = error if isinstance(error, MediapipeError) else stopped()
            _note(ended, context, options)
            remember(ended.outcome, (0, 0, 0), str(ended))
            ended.told = True
            tell("job.finished", level="error", job=options.verb, outcome=ended.outcome,
                 reason=str(ended), hint=ended.hint or None)  # fmt: skip
            raise
        counts = (report.count("done"), report.count("failed"), len(report.kept))
        try:
            if report.trouble or report.results:
                _note(report.trouble, context, options)
            remember(report.outcome, counts, report.reason)
        except (OSError, sqlite3.Error) as error:  # what was done has to be told all the same
            report = replace(report, trouble=report.trouble or out_of_order(error))
    seconds = time.monotonic() - clock
    _finished(report, seconds, tell)
    # who asks for it by hand wants to know of all that did not go
    verbose = options.verbose or by_hand
    print_report(report, seconds, as_json=options.json, verbose=verbose)
    return report.exit_status


def _note(error: MediapipeError | None, context: Context, options: Namespace) -> None:
    """Remember a refusal or an outage, so that the next run does not run into it at once."""
    from mediapipe import latch

    latch.note(error, options.verb, context, find(options.config))


def _finished(report: Report, seconds: float, tell: Tell) -> None:
    """Tell the one line that has all counts; at debug level where nothing was to be done."""
    idle = not report.results and report.outcome == "done"
    tell(
        "job.finished",
        level="debug" if idle else "info" if report.outcome == "done" else "warning",
        job=report.job,
        outcome=report.outcome,
        reason=report.reason,
        hint=report.hint or None,
        planned=report.count("planned"),
        done=report.count("done"),
        failed=report.count("failed"),
        stale=report.count("stale"),
        kept=len(report.kept),
        seconds=round(seconds, 3),
    )


def _inquire(options: Namespace) -> int:
    """Answer a command that is no job."""
    from mediapipe import inquiries

    return inquiries.VERBS[options.verb](options)


_WRITERS = ("upload", "cleanup")
"""The jobs that work in downloads and libraries."""
_VERBS: dict[str, Callable[[Namespace], int]] = {
    **dict.fromkeys(JOBS, _run_job),
    **dict.fromkeys(arguments.INQUIRIES, _inquire),
}
