"""How the *arr apps answered in all runs: what `mediapipe status` tells of their clients."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from mediapipe.facts import fact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediapipe.history import History
    from mediapipe.runner import Context

_EVENT = "app tally "
_LONGEST = 3600.0
"""Seconds that no app is left alone for: such a pause was made while the clock was wrong."""


@fact
class AppTally:
    """What was counted of one app's client, over all runs; times in epoch seconds."""

    app: str
    calls: int = 0
    retries: int = 0
    rebuilds: int = 0
    """New sessions with the key read again, after a refusal."""
    trips: int = 0
    """Times that it was left alone after failures in a row."""
    open_until: float = 0.0
    """Until when the last of them left it alone."""
    last: float = 0.0
    """When something was last asked of it."""

    def is_open(self, now: float) -> bool:
        """Whether nothing is sent to it now."""
        return 0 < self.open_until - now <= _LONGEST


def add(app: str, counted: Mapping[str, float], left_alone: float, context: Context) -> None:
    """Add what a run counted; `left_alone` is in seconds from now."""
    before = {one.app: one for one in read(context.history)}.get(app)
    if not counted["calls"]:
        return
    names = ("calls", "retries", "rebuilds", "trips")
    fields = {name: getattr(before, name, 0) + int(counted[name]) for name in names}
    until = context.now + left_alone if left_alone else 0.0
    tally = AppTally(app, **fields, open_until=until, last=context.now)
    with context.history.together():
        for event in context.history.events(_EVENT):
            if json.loads(event)["app"] == app:
                context.history.forget(f"{_EVENT}{event}")
        context.history.done(f"{_EVENT}{json.dumps(asdict(tally))}", context.now)


def read(history: History) -> tuple[AppTally, ...]:
    """Give what is known of each app that was ever asked."""
    return tuple(AppTally(**json.loads(event)) for event in history.events(_EVENT))
