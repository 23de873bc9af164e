"""What rclone is asked about objects: what is there, and what some of their bytes are."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from mediapipe.adapters import process, rclone_log
from mediapipe.adapters.rclone_answers import Answers, Unclear
from mediapipe.adapters.rclone_program import ONCE
from mediapipe.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mediapipe.adapters.rclone_program import Program
    from mediapipe.ports import Range

LOOK_TIMEOUT = 300.0
SIDE_BY_SIDE = 6
_CHECKERS = "32"
"""Objects that are looked up at the same time: each costs a round trip, and nothing else."""
_SHARE = 100
_LISTED = {"recurse": True, "showHash": True, "filesOnly": True, "noMimeType": True,
           "noModTime": True}  # fmt: skip
_FILTERS = {"--files-from0": "FilesFrom0", "--files-from-raw": "FilesFromRaw"}


class Questions:
    """Puts questions to one rclone that stays, or to children where that is the better way."""

    def __init__(self, program: Program) -> None:
        """Nothing is started yet."""
        self._program = program
        self._answers = Answers(program, (*ONCE, "--checkers", _CHECKERS))

    def get_ready(self) -> None:
        """Start the one that stays, so that it outlives the thread that asks."""
        self._answers.start()

    def entries(
        self, remote: str, names: Sequence[str], go_on: Callable[[], bool]
    ) -> Iterator[Mapping[str, Any]]:
        """Ask for objects, one call each; rclone leaves 10 ms between two calls of a process.

        Many are therefore shared out among children. Raises as `Remote.look` does.
        """
        timeout = LOOK_TIMEOUT + len(names)
        if len(names) <= _SHARE:
            yield from self._few(remote, names, timeout, go_on)
            return
        share = max(_SHARE, -(-len(names) // SIDE_BY_SIDE))
        with contextlib.ExitStack() as lists:
            # fmt: off
            commands = [
                [*self._program.command("lsjson"), "-R", "--hash", "--files-only", "--no-traverse",
                 "--no-mimetype", "--no-modtime", "--checkers", _CHECKERS, "--use-json-log", *ONCE,
                 *lists.enter_context(self._program.listed(names[first : first + share])), remote]
                for first in range(0, len(names), share)
            ]
            # fmt: on
            ended = process.gather(commands, timeout=timeout, most=SIDE_BY_SIDE, go_on=go_on)
        for one in ended:
            if one.status != 0:
                raise rclone_log.trouble(one)
            yield from json_list(one.output)

    def _few(
        self, remote: str, names: Sequence[str], timeout: float, go_on: Callable[[], bool]
    ) -> list[dict[str, Any]]:
        with self._program.listed(names) as (option, path):
            query = {
                "fs": remote,
                "remote": "",
                "opt": _LISTED,
                "_filter": {_FILTERS[option]: [path]},
                "_config": {"NoTraverse": True},
            }
            answer = self._answers.ask("operations/list", query, timeout, go_on)
        return _entries(answer.get("list"))

    def read(
        self, remote: str, ranges: Sequence[Range], go_on: Callable[[], bool]
    ) -> Sequence[bytes]:
        """Read ranges of objects, some of them at the same time: each costs several round trips."""
        if all(self._answers.can_read(remote, one.name) for one in ranges):
            with contextlib.suppress(Unclear):
                return self._answers.read(remote, ranges, LOOK_TIMEOUT, go_on)
        with contextlib.ExitStack() as lists:
            # fmt: off
            commands = [
                [*self._program.command("cat"), "--offset", str(one.offset),
                 "--count", str(one.count), "--no-traverse", "--use-json-log", *ONCE,
                 *lists.enter_context(self._program.listed([one.name])), remote]
                for one in ranges
            ]
            # fmt: on
            ended = process.gather(commands, timeout=LOOK_TIMEOUT, most=SIDE_BY_SIDE, go_on=go_on)
        for one in ended:
            if one.status != 0:
                raise rclone_log.trouble(one)
        return [one.output for one in ended]


def json_list(output: bytes) -> list[dict[str, Any]]:
    """Read a list that rclone gave; raises Unavailable where it is none."""
    try:
        return _entries(json.loads(output))
    except ValueError:
        raise Unavailable("rclone lsjson gave no JSON") from None


def _entries(entries: object) -> list[dict[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise Unavailable("rclone lsjson gave no list")
    return entries
