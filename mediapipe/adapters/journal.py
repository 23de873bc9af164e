"""What systemd's journal tells of a unit, through journalctl."""

from __future__ import annotations

import json
from typing import Any

from mediapipe.adapters import process
from mediapipe.errors import Unavailable

_PATIENCE = 20.0
_FAILED = "d9b373ed55a64feb8242e02dbe79a49c"
_EXITED = "98e322203f7a4ed290d09fe03c09fe15"
_STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5"
_STARTED = "39f53479d3a045ac8e11786248231fbf"
"""MESSAGE_IDs of systemd; see `journalctl --list-catalog`."""


def last_lines(unit: str, invocation: str, count: int) -> list[str]:
    """Give the last lines of a unit, of one run where that is known.

    Raises Unavailable, and ConfigError where there is no journalctl.
    """
    ways = [[f"--unit={unit}"]]
    if invocation:
        ways = [[f"_SYSTEMD_INVOCATION_ID={invocation}", "+", f"INVOCATION_ID={invocation}"]]
        begun = _newest(f"MESSAGE_ID={_STARTING}", f"INVOCATION_ID={invocation}")
        begun = begun or _newest(f"MESSAGE_ID={_STARTED}", f"INVOCATION_ID={invocation}")
        if begun:
            # what journald reads after the unit has ended bears its name, but not its invocation
            ways = [[f"--unit={unit}", f"--since=@{_moment(begun):.6f}"], *ways]
    for chosen in ways:  # where the clock was set back meanwhile, nothing seems to be since then
        told = _ask("--output=short-iso", "--no-hostname", f"--lines={count}", *chosen)
        if lines := [line for line in told.splitlines() if not line.startswith("-- ")]:
            return lines
    return []


def last_failure(unit: str) -> dict[str, str]:
    """Give how a unit last failed: `result`, `status`, `invocation`, as far as that is known."""
    found = _newest(f"MESSAGE_ID={_FAILED}", f"UNIT={unit}")
    if found is None:
        return {}
    invocation = str(found.get("INVOCATION_ID", ""))
    exited = _newest(f"MESSAGE_ID={_EXITED}", f"UNIT={unit}", f"INVOCATION_ID={invocation}")
    return {
        "result": str(found.get("UNIT_RESULT", "")),
        "status": str((exited or {}).get("EXIT_STATUS", "")),
        "invocation": invocation,
    }


def last_start(unit: str) -> float | None:
    """Give when a unit was last started well, in epoch seconds; for a oneshot, when it was done."""
    found = _newest(f"MESSAGE_ID={_STARTED}", f"UNIT={unit}", "JOB_RESULT=done")
    return None if found is None else _moment(found)


def _moment(entry: dict[str, Any]) -> float:
    """Give when it was written; journald reads what is sent to it in no order."""
    return float(entry.get("_SOURCE_REALTIME_TIMESTAMP") or entry["__REALTIME_TIMESTAMP"]) / 1e6


def _newest(*matches: str) -> dict[str, Any] | None:
    told = _ask("--output=json", "--lines=1", *matches).strip()
    try:
        found = json.loads(told) if told else None
    except ValueError:
        raise Unavailable("journalctl gives no sound JSON") from None
    return found if isinstance(found, dict) else None


def _ask(*words: str) -> str:
    ended = process.run(["journalctl", "--quiet", "--no-pager", *words], timeout=_PATIENCE)
    if ended.status != 0:
        raise Unavailable(f"journalctl ended with {ended.status}: {ended.errors[-500:]}")
    return ended.output.decode(errors="replace")
