"""One planning of cleanup in a process of its own; what the services take is told apart.

Arguments: the configuration, a file with torrents, and how many of them are due. Prints JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

from mediapipe.cli import collect_rarely
from mediapipe.ports import RemoteObject, Torrent, TorrentFile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

WEEK = 7 * 86400


class Services:
    """qBittorrent and the remote from a file, with the seconds that they took."""

    def __init__(self, path: str, due: int) -> None:
        """Nothing is read yet. `due` torrents, spread over the list, have seeded long enough."""
        self._path, self._due = path, due
        self._lists: dict[str, list[tuple[str, int]]] = {}
        self._sha1 = ""
        self.seconds, self.asked = 0.0, 0

    def torrents(self) -> tuple[Torrent, ...]:
        started = time.perf_counter()
        with open(self._path) as file:
            data = json.load(file)
        self._sha1 = data["sha1"]
        self._lists = {one["hash"]: one["files"] for one in data["torrents"]}
        # those that are due are as large as those that are not
        step = len(data["torrents"]) // max(self._due, 1)
        due = range(0, step * self._due, step)
        listed = tuple(
            Torrent(
                one["hash"], one["name"], one["category"], "stalledUP", 1.0, 0, one["save_path"],
                len(one["files"]), WEEK if number in due else 60, 1.0, 1,
            )
            for number, one in enumerate(data["torrents"])
        )  # fmt: skip
        self.seconds += time.perf_counter() - started
        return listed

    def files(self, torrent: Torrent) -> tuple[TorrentFile, ...]:
        started = time.perf_counter()
        self.asked += 1
        found = tuple(
            TorrentFile(path, size, True, 1.0) for path, size in self._lists[torrent.hash]
        )
        self.seconds += time.perf_counter() - started
        return found

    def look(
        self, names: Sequence[str], *, go_on: Callable[[], bool] = lambda: True
    ) -> Mapping[str, RemoteObject]:
        assert go_on()
        started = time.perf_counter()
        found = {name: RemoteObject(1, self._sha1, "id") for name in names}
        self.seconds += time.perf_counter() - started
        return found

    def look_below(self, folder: str, names: Collection[str]) -> Mapping[str, RemoteObject]:
        assert folder
        return self.look(sorted(names))

    def why_hides(self) -> str:
        return ""

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"planning calls {name}")


def main() -> None:
    """Plan once, as the command line does: the rest is loaded when it knows which job it is."""
    collect_rarely()
    from mediapipe import layout
    from mediapipe.config_load import load
    from mediapipe.jobs import cleanup
    from mediapipe.rules import Rules
    from mediapipe.runner import Context, opened

    path, torrents, due = sys.argv[1:]
    config = load(path)
    services: Any = Services(torrents, int(due))
    state = config.paths.state
    with opened(state, "cleanup", dry_run=False) as history:
        context = Context(
            config, history, lambda *_, **__: None, services, state, time.time(), False, path
        )
        roots = [*(library.root for library in config.libraries.values()), config.paths.completed]
        assert not any(root.trouble for root in layout.survey(roots, history))
        rules = Rules.of(config)
        world = cleanup.scan(
            context, rules, services, lambda: services, cleanup.Options(), lambda _: {},
            services, services,
        )  # fmt: skip
        plan = cleanup.plan(world, rules, force=True)
    removed = sum(action.kind == "remove-torrent" for action in plan.actions)
    told = {"apart": services.seconds, "asked": services.asked, "removed": removed}
    print(json.dumps({**told, "actions": len(plan.actions)}), flush=True)
    os._exit(0)  # the plan is finished: what is left would only be freed
