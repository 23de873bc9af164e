"""What the configuration says about keeping, compiled for one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.facts import fact, field
from mediapipe.names import matcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediapipe.config import Config, Library
    from mediapipe.holdings import Candidate


@fact
class Rules:
    """What the configuration says about keeping."""

    config: Config
    discardable: Callable[[str], bool]
    libraries: tuple[tuple[str, Library], ...]
    """Library name and library."""
    prefix: int
    """How many characters of a full remote name stand before the name below the remote."""
    linking: bool
    """Whether library paths of some library become links into the mount."""
    reasons: dict[int, tuple[Candidate, str]] = field(default_factory=dict, compare=False)
    """What was judged before: a candidate is asked about at every turn of a run."""
    _holding: dict[str, tuple[str, Library] | None] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, config: Config) -> Rules:
        """Compile the rules of a configuration."""
        discardable = matcher(config.cleanup.discardable, fold=True)
        prefix = len(layout.address(config.rclone.remote, ""))
        linking = any(one.after_delete == "symlink" for one in config.libraries.values())
        return cls(config, discardable, tuple(config.libraries.items()), prefix, linking)

    def seeding(self, category: str) -> tuple[int, float]:
        """Give the seeding time in seconds and the ratio that a category asks for."""
        cleanup = self.config.cleanup
        own = cleanup.categories.get(category)
        seconds = own.seeding_time if own and own.seeding_time is not None else None
        ratio = own.min_ratio if own and own.min_ratio is not None else None
        return (
            cleanup.seeding_time if seconds is None else seconds,
            cleanup.min_ratio if ratio is None else ratio,
        )

    def library_holding(self, path: str) -> tuple[str, Library] | None:
        """Give the library that a path lies in."""
        known = self._holding
        if path not in known:  # it is asked several times of each
            folder = path[: path.rfind("/") + 1]
            if folder not in known:
                found = (one for one in self.libraries if layout.inside(path, one[1].root))
                known[folder] = next(found, None)
            known[path] = known[folder]
        return known[path]
