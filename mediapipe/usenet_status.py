"""What the last run of postprocess saw of SABnzbd, for `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mediapipe.plan import clock, duration, human, shown, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def as_json(noted: Mapping[str, Any]) -> dict[str, object] | None:
    """Give it for programs, times in ISO 8601, UTC; None where postprocess never looked."""
    if not noted:
        return None
    debris = noted["debris"]
    return {
        **noted,
        "looked": stamp(noted["looked"]),
        "debris": {**debris, "oldest": debris["oldest"] and stamp(debris["oldest"])},
        "incomplete": [
            {**one, "changed": stamp(one["changed"])} for one in noted["incomplete"]
        ],
        "errors": [{**one, "time": stamp(one["time"])} for one in noted["errors"]],
    }  # fmt: skip


def as_text(noted: Mapping[str, Any], now: float) -> Iterator[str]:
    """Give it for people, line by line."""
    if not noted:
        return
    yield ""
    yield f"SABnzbd (as of {clock(noted['looked'])})"
    for name in ("day", "week"):
        yield f"  last {name:<5} {_rate(noted[name])}"
    if debris := noted["debris"]["files"]:
        age = duration(now - noted["debris"]["oldest"])
        yield f"  {debris} .nfs files on the share, the oldest {age} old"
    if left := noted["incomplete"]:
        size = human(sum(one["bytes"] for one in left))
        yield f"  {len(left)} unfinished that no queue knows ({size}): postprocess --sweep"
    for one in noted["errors"]:
        yield f"  {clock(one['time'])}  {shown(one['name'])}: {shown(one['reason'])}"


def _rate(counts: Mapping[str, int]) -> str:
    """Give "19 of 20 downloads completed (95 %), 18 moved"."""
    ended = counts["completed"] + counts["failed"]
    share = f" ({100 * counts['completed'] // ended} %)" if ended else ""
    words = f"{counts['completed']} of {ended} downloads completed{share}, {counts['moved']} moved"
    return words + (f", {counts['stuck']} could not be" if counts["stuck"] else "")
