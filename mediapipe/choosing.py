"""Choose what one run takes of all that is pending: the newest, and no more than it can hold."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from mediapipe.plan import Kept

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from mediapipe.items import Item

MOST = 5000
"""Items of one run: more than it sends in its time, and few enough for a small machine's memory."""


class Choice:
    """Takes what is found, and lets go of the oldest beyond what one run takes."""

    def __init__(self, resting: Container[str], most: int = MOST) -> None:
        """`resting` are paths of items that failed lately: they must not keep others waiting."""
        self._resting = resting
        self._most = most
        self._items: list[Item] = []
        self._refused: list[Item] = []
        self._left: Counter[str] = Counter()
        self.homes: set[str] = set()
        """Folders of what was let go: they are to be listed again."""

    def add(self, items: Iterable[Item]) -> None:
        """Take items; those that share a folder come together."""
        for item in items:
            (self._refused if item.refused else self._items).append(item)
        if len(self._items) > 2 * self._most:
            self._trim()

    def items(self) -> tuple[Item, ...]:
        """Give what this run takes, and all that is refused."""
        self._trim()
        return (*self._items, *self._refused)

    def left(self) -> Iterator[Kept]:
        """Tell of what was let go, in one line for each place."""
        for base, count in self._left.items():
            reason = f"{count} more wait here: a run takes the newest {self._most} of all"
            yield Kept(base, reason)

    def _trim(self) -> None:
        ordered = in_order(self._items)
        ordered.sort(key=lambda item: item.path in self._resting)
        self._items = ordered[: self._most]
        for item in ordered[self._most :]:
            self._left[item.base] += 1
            self.homes.add(item.home)


def in_order(items: Sequence[Item]) -> list[Item]:
    """Give the libraries' items first, newest first.

    What shares a folder stays together, so that subtitles go in the same batch as their episode.
    """
    newest: dict[str, int] = {}
    for item in items:
        folder = os.path.dirname(item.path)
        newest[folder] = max(newest.get(folder, 0), item.changed_ns)

    def key(item: Item) -> tuple[bool, int, str, int]:
        folder = os.path.dirname(item.path)
        return (item.uncategorized, -newest[folder], folder, -item.changed_ns)

    return sorted(items, key=key)
