"""Death at any step: what a process does to the world is counted, and ends at a chosen one.

From that step on nothing it tries has an effect any more, cleaning up behind itself included. A
death after one step is the same as one before the next, so that one of the two is enough.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.hosts import Host

_WRITES = ("INSERT", "DELETE", "COMMIT", "BEGIN;")


class Crash(BaseException):
    """The process is dead."""


class Steps:
    """Counts steps, and dies before number `last`, counted from 1."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.taken: list[str] = []
        self.dead = False

    def take(self, name: str, do: Callable[[], Any]) -> Any:
        if self.dead or len(self.taken) + 1 == self.last:
            if not self.dead:
                self.taken.append(f"death before {name}")
            self.dead = True
            raise Crash
        self.taken.append(name)
        return do()


def connecting(steps: Steps) -> Callable[..., sqlite3.Connection]:
    """Give a `sqlite3.connect` whose connections count what they write."""

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            do = partial(super().execute, sql, *arguments)
            if sql == "ROLLBACK" and steps.dead:
                raise Crash
            return steps.take(f"sql {sql[:30]}", do) if sql.startswith(_WRITES) else do()

        def executemany(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            return steps.take(f"sql {sql[:30]}", partial(super().executemany, sql, *arguments))

        def executescript(self, sql: str) -> sqlite3.Cursor:
            return steps.take("sql script", partial(super().executescript, sql))

    return partial(sqlite3.connect, factory=Connection)


@contextlib.contextmanager
def dying(host: Host, last: int) -> Iterator[Steps]:
    """Let what runs inside die before step `last`; without death all steps are told."""
    steps = Steps(last)

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            what = f"{name} {os.path.basename(str(arguments[0]))}"
            return steps.take(what, lambda: real(*arguments, **options))

        return call

    def opening(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        do = partial(real_open, path, flags, *rest, **options)
        made = flags & os.O_CREAT and not os.path.exists(path)
        return steps.take(f"create {os.path.basename(path)}", do) if made else do()

    real_open = os.open
    with contextlib.ExitStack() as stack:
        for name in (
            "unlink",
            "rmdir",
            "mkdir",
            "rename",
            "symlink",
            "write",
            "fsync",
            "fdatasync",
        ):
            stack.enter_context(patch.object(os, name, counted(name, getattr(os, name))))
        stack.enter_context(patch.object(os, "open", opening))
        stack.enter_context(patch.object(sqlite3, "connect", connecting(steps)))
        services = (
            (host.torrents, "remove"),
            (host.remote, "put"),
            (host.remote, "hide"),
            (host.archives, "write"),
        )
        for owner, name in services:
            stack.enter_context(patch.object(owner, name, counted(name, getattr(owner, name))))
        try:
            yield steps
        except Crash:
            assert steps.dead


def deaths(
    build: Callable[[str], Host], run: Callable[[Host], object]
) -> Iterator[tuple[Host, str]]:
    """Give a host on which a run died, for each step at which it can, with the name of the step.

    The last one has a run that came to its end.
    """
    for last in range(1, 1000):
        host = build(f"host {last}")
        with dying(host, last) as steps:
            run(host)
        yield host, f"{last}: {steps.taken[-1]}"
        if not steps.dead:
            assert last > 5, "there were hardly any steps: is anything counted?"
            return
    raise AssertionError("the run never ends")
