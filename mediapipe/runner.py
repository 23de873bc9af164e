"""Print or run a plan, under its lock, and report how it went.

The one place that knows of a dry run: `execute` prints instead of applying, `opened` gives a copy
of the history and takes no lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Literal

from mediapipe import audit
from mediapipe.errors import (
    EXIT_STATUS,
    ActionFailed,
    MediapipeError,
    Outcome,
    Stale,
    Stopped,
    Unavailable,
    out_of_order,
    stopped,
)
from mediapipe.facts import fact, field
from mediapipe.history import copy_history, open_history
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from mediapipe.config import Config
    from mediapipe.history import History
    from mediapipe.plan import A, Action, Kept, Plan
    from mediapipe.ports import Tell, Watcher

Status = Literal["planned", "done", "failed", "stale"]
_LOCK_WAIT = 5.0
"""Seconds that a short critical section is waited for (CONTRACT: state/lock)."""


@fact
class Result:
    """How one action went; `extra` are fields for the audit that only the doing could tell."""

    action: Action
    status: Status
    error: str | None = None
    extra: dict[str, object] = field(default_factory=dict)


@fact
class Report:
    """How a run went: the text, the JSON object and the exit status all come from here."""

    job: str
    dry_run: bool
    results: tuple[Result, ...]
    kept: tuple[Kept, ...]
    refused: str = ""
    unavailable: str = ""
    trouble: MediapipeError | None = None
    """What ended the run before its last action."""

    @property
    def outcome(self) -> Outcome:
        """One word for the whole run."""
        if self.trouble:
            return self.trouble.outcome
        if self.refused:
            return "refused"
        if self.count("failed"):
            return "partial"
        return "unavailable" if self.unavailable else "done"

    @property
    def reason(self) -> str | None:
        """Why the run did not do all it was for."""
        return (str(self.trouble) if self.trouble else self.refused or self.unavailable) or None

    @property
    def hint(self) -> str:
        """What to do about `reason`."""
        return self.trouble.hint if self.trouble else ""

    @property
    def exit_status(self) -> int:
        """The process's exit status."""
        return EXIT_STATUS[self.outcome]

    def count(self, status: Status) -> int:
        """Count the actions that ended so."""
        return sum(result.status == status for result in self.results)

    @property
    def rehearsal(self) -> bool:
        """Whether nothing was meant to happen."""
        return self.dry_run

    def counts(self) -> list[tuple[int, str]]:
        """Give how many actions ended how, in words; the first stands even where it is none."""
        if self.dry_run:
            return [(self.count("planned"), "actions planned")]
        others = [
            (self.count("failed"), "failed"),
            (self.count("stale"), "changed meanwhile"),
            (self.count("planned"), "not begun"),
        ]
        return [(self.count("done"), "done"), *((one, word) for one, word in others if one)]

    def as_json(self) -> dict[str, object]:
        """Give the JSON report (CONTRACT), all but the seconds."""
        return {
            "job": self.job,
            "dry_run": self.dry_run,
            "outcome": self.outcome,
            "reason": self.reason,
            "actions": [_action_json(result) for result in self.results],
            "kept": [{**path_json(kept.path), "reason": kept.reason} for kept in self.kept],
        }


def path_json(path: str) -> dict[str, object]:
    r"""Give a path for JSON: stray bytes stand as `\udcXX` escapes, with `path_b64` added."""
    fields: dict[str, object] = {"path": path}
    with contextlib.suppress(UnicodeEncodeError):  # half a character is in no name on a disk
        raw = os.fsencode(path)
        if raw.decode(errors="replace").encode() != raw:
            import base64

            fields["path_b64"] = base64.b64encode(raw).decode()
    return fields


def _action_json(result: Result) -> dict[str, object]:
    action = result.action
    return {
        "action": action.kind,
        **path_json(action.path),
        **action.details(),
        "reason": action.reason,
        "status": result.status,
        "error": result.error,
    }


@fact
class Context:
    """What every job of a run is given."""

    config: Config
    history: History
    tell: Tell
    watcher: Watcher
    state: str
    """The state folder."""
    now: float
    """Epoch seconds."""
    dry_run: bool
    path: str
    """The configuration file."""


def execute(
    plan: Plan[A], apply: Callable[[Sequence[A]], Generator[Result, None, None]], context: Context
) -> Report:
    """Run the plan, or show it: `apply` takes all actions and yields a result for each."""
    tell = context.tell
    for kept in plan.kept:
        tell("item.kept", level="debug", job=plan.job, path=shown(kept.path), reason=kept.reason)
    results: list[Result] = []
    trouble: MediapipeError | None = None
    if context.dry_run:
        for action in plan.actions:
            _tell(tell, "action.planned", "debug", plan.job, action, action.reason)
            results.append(Result(action, "planned"))
    else:
        try:
            if plan.actions:
                audit.demand_writable(context.state)
            with contextlib.closing(apply(plan.actions)) as work:
                for result in work:
                    results.append(result)
                    _record(plan.job, result, tell, context.state)
        except Stopped:
            trouble = stopped()  # what was done until then is told
        except (MediapipeError, OSError, sqlite3.Error) as error:
            trouble = error if isinstance(error, MediapipeError) else out_of_order(error)
        # what was never begun stays planned: the run was ended, or leaves the rest to the next one
        reached = {id(result.action) for result in results}
        left = [action for action in plan.actions if id(action) not in reached]
        results += [Result(action, "planned") for action in left]
    return Report(
        plan.job,
        context.dry_run,
        tuple(results),
        plan.kept,
        plan.refused,
        plan.unavailable,
        trouble,
    )


def _record(job: str, result: Result, tell: Tell, state: str) -> None:
    if result.status == "done":
        try:
            audit.append(state, job, result.action, result.extra)
        except OSError as error:  # nothing more may change that could not be written down
            raise Unavailable(f"cannot write {state}/{audit.NAME}: {error.strerror}") from None
        _tell(tell, "action.done", "info", job, result.action, result.action.reason)
    elif result.status == "stale":
        _tell(tell, "item.kept", "info", job, result.action, result.error)
    else:
        _tell(tell, "action.failed", "error", job, result.action, result.error)


def _tell(tell: Tell, event: str, level: str, job: str, action: Action, reason: str | None) -> None:
    tell(event, level=level, job=job, action=action.kind, path=shown(action.path), reason=reason)


def one_by_one(
    apply: Callable[[A], dict[str, object] | None],
) -> Callable[[Sequence[A]], Generator[Result, None, None]]:
    """Make an `apply` for all actions from one for a single action."""

    def apply_all(actions: Sequence[A]) -> Generator[Result, None, None]:
        for action in actions:
            yield attempt(action, apply)

    return apply_all


def attempt(action: A, apply: Callable[[A], dict[str, object] | None]) -> Result:
    """Do one action; what goes wrong with it ends neither the run nor the other actions."""
    try:
        return Result(action, "done", None, apply(action) or {})
    except Stale as change:
        return Result(action, "stale", str(change))
    except ActionFailed as failure:
        return Result(action, "failed", str(failure))
    except OSError as error:
        return Result(action, "failed", error.strerror or str(error))


@contextlib.contextmanager
def opened(
    state: str, job: str, *, dry_run: bool, first: Callable[[], None] = lambda: None
) -> Iterator[History]:
    """Open the history for a run: under the job's lock, or as a copy that a dry run may spoil.

    `first` is what a run does before its lock.

    Raises Unavailable where another run of the job is under way.
    """
    if dry_run:
        history = copy_history(state)
        with contextlib.closing(history):
            yield history
        return
    first()
    with lock(state, f"{job}.lock", wait=0):
        history = open_history(state)
        with contextlib.closing(history):
            yield history


@contextlib.contextmanager
def lock(state: str, name: str = "lock", *, wait: float = _LOCK_WAIT) -> Iterator[None]:
    """Hold a lock file in the state folder, waiting at most `wait` seconds for it."""
    path = os.path.join(state, name)
    try:
        os.makedirs(state, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o664)
    except OSError as error:
        raise Unavailable(
            f"cannot open the lock {path}: {error.strerror}",
            hint="run as the user that owns the state folder, or as root",
        ) from None
    try:
        deadline = time.monotonic() + wait
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise Unavailable(f"another run holds {path}", hint="try again when it has ended")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
