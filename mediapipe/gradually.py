"""Work that others have turns beside: a generator, and what it returns at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")


class Gradually(Generic[A, B]):
    """Iterates over what some work gives by and by; close it where that is not to go on."""

    outcome: B
    """What it returned; there is none before its end."""

    def __init__(self, work: Generator[A, None, B]) -> None:
        """Nothing is done yet."""
        self._work = work

    def __iter__(self) -> Iterator[A]:
        self.outcome = yield from self._work

    def close(self) -> None:
        """End it where it stands."""
        self._work.close()


def finish(work: Generator[object, None, B]) -> B:
    """Do work to its end; gives what it returns."""
    gradually = Gradually(work)
    for _ in gradually:
        pass
    return gradually.outcome


def whole(work: Callable[P, Generator[object, None, B]]) -> Callable[P, B]:
    """Make of work that others have turns beside the same work in one go."""
    return lambda *args, **kwargs: finish(work(*args, **kwargs))
