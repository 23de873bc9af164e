"""What Sonarr or Radarr would do about a library file that goes: a port and its facts."""

from __future__ import annotations

from typing import Protocol

from mediapipe.facts import fact


@fact
class Title:
    """What a library file holds, as the app tells it: one film, or one or more episodes."""

    name: str
    """Of the series or film."""
    monitored: tuple[int, ...]
    """The app's ids of those episodes, or of the film, that are monitored."""
    fetched_again: bool
    """Whether the app would look for any of them, once the file is gone."""


@fact
class Answer:
    """What an app said of a library file; `trouble` is why it said nothing."""

    app: str
    """NAME of its table `[arr.NAME]`."""
    title: Title | None = None
    """None where the app has no such file."""
    trouble: str = ""


class ArrLibrary(Protocol):
    """An app that fetches again what it misses.

    Every method raises Unavailable where no sound answer came, ConfigError where the key or the
    paths are wrong, and ActionFailed where the app cannot tell, or will not do it: a deletion waits
    for the answer.
    """

    def title(self, path: str) -> Title | None:
        """Give what the file at a path of this host holds; None where the app has no such file."""
        ...

    def unmonitor(self, title: Title) -> None:
        """Make the app look for these no more, and see that it has taken it."""
        ...

    def imported(self, hash_: str) -> tuple[str, ...]:
        """Give the paths of this host at which a torrent's files were imported."""
        ...
