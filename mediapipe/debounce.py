"""When to ask for a run after changes: at once, not too often, and again when all has settled."""

from __future__ import annotations

from mediapipe.facts import fact, replace

GAP = 2.0
"""Seconds between two requests at least: a season that is imported makes a few runs, not dozens."""
MARGIN = 0.2
"""Seconds after `settle`: a run that came a moment too early would leave the item to the timer."""


@fact
class Debounce:
    """What was seen and asked for so far; times are seconds of a clock that only goes forward."""

    settle: float
    """Seconds after which what was copied, and not linked, counts as whole."""
    asked: float | None = None
    """When a run was last asked for."""
    changed: bool = False
    """Whether something changed since then."""
    settles: float | None = None
    """When the oldest change that no run can have taken yet has settled."""
    last: float = 0.0
    """When the last change was."""

    def note(self, now: float) -> Debounce:
        """Take notice of a change."""
        settles = self.settles if self.settles is not None else now + self.settle + MARGIN
        return replace(self, changed=True, settles=settles, last=now)

    def due(self) -> float | None:
        """Give when the next run is to be asked for; None while there is nothing to ask for."""
        times = [self.last] if self.changed else []
        times += [] if self.settles is None else [self.settles]
        if not times or self.asked is None:
            return min(times, default=None)
        return max(min(times), self.asked + GAP)

    def ask(self, now: float) -> Debounce:
        """Take notice that a run was asked for."""
        settles = self.settles
        if settles is not None and settles <= now:
            later = self.last + self.settle + MARGIN
            settles = later if later > now else None
        return replace(self, asked=now, changed=False, settles=settles)
