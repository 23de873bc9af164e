"""The report on standard output: text for people, one JSON object for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from mediapipe.plan import shown
from mediapipe.streams import is_journal

if TYPE_CHECKING:
    from mediapipe.errors import MediapipeError
    from mediapipe.runner import Report, Result

_MARK = {"planned": "would", "done": "done", "failed": "FAILED", "stale": "kept"}


def print_report(report: Report, seconds: float, *, as_json: bool, verbose: bool) -> None:
    """Print how a run went. What is kept is listed for people who watch, ask or rehearse."""
    if as_json:
        sys.stdout.write(json.dumps({**report.as_json(), "seconds": round(seconds, 3)}) + "\n")
        return
    if is_journal(sys.stdout) and not report.rehearsal:
        return  # the log has told each action and the counts, and says nothing of an idle pass
    lines = [_line(result, rehearsal=report.rehearsal) for result in report.results]
    if verbose or report.rehearsal or sys.stdout.isatty():
        lines += [f"{'keep':>7}  {shown(kept.path)}: {shown(kept.reason)}" for kept in report.kept]
    if report.reason:
        lines.append(f"{report.outcome}: {shown_lines(report.reason)}")
        if report.hint:
            lines.append(f"hint: {shown_lines(report.hint)}")
    lines.append(_summary(report, seconds))
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def print_error(error: MediapipeError, *, job: str | None, dry_run: bool, as_json: bool) -> None:
    """Print what ended a run before it could report.

    For a program it is a whole report, with nothing done; for a mistake of the user (exit status 2
    and 78) outcome and reason are enough.
    """
    if as_json:
        fields: dict[str, object] = {"outcome": error.outcome, "reason": str(error)}
        if job is not None and error.outcome != "error":
            nothing: dict[str, object] = {"actions": [], "kept": [], "seconds": 0.0}
            fields = {"job": job, "dry_run": dry_run, **fields, **nothing}
        sys.stdout.write(json.dumps({**fields, "hint": error.hint or None}) + "\n")
    if error.told and is_journal(sys.stderr):
        return
    lines = f"{error.outcome}: {shown_lines(str(error))}\n"
    if error.hint:
        lines += f"hint: {shown_lines(error.hint)}\n"
    if is_journal(sys.stderr):  # sd-daemon(3): the priority `err`, for each line
        lines = "".join(f"<3>{line}\n" for line in lines.splitlines())
    sys.stderr.write(lines)


def shown_lines(text: str) -> str:
    """Make each line of a text printable."""
    return "\n".join(shown(line) for line in text.split("\n"))


def _line(result: Result, *, rehearsal: bool) -> str:
    error = f": {shown(result.error)}" if result.error else ""
    # of a run that ended before it the next one takes it
    begun = rehearsal or result.status != "planned"
    mark = _MARK[result.status] if begun else "waits"
    return f"{mark:>7}  {shown(str(result.action))}{error}"


def _summary(report: Report, seconds: float) -> str:
    counts = [f"{number} {word}" for number, word in report.counts()]
    return f"{report.job}: {', '.join(counts)}, {len(report.kept)} kept, {seconds:.1f} s"
