"""`mediapipe ls`: what is on the remote, as people list a folder."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from mediapipe import addresses, layout
from mediapipe.adapters import rclone_list
from mediapipe.adapters.rclone import Rclone
from mediapipe.adapters.rclone_program import Program
from mediapipe.config_load import load
from mediapipe.errors import UsageError
from mediapipe.owner import become_owner
from mediapipe.places import find, state_folder
from mediapipe.plan import human, shown

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence


def ls(options: Namespace) -> int:
    """List a folder of the remote; raises UsageError where nothing is called so."""
    config = load(find(options.config))
    become_owner(state_folder(config.paths.state))
    name = addresses.name_of(options.path, config, addresses.here())
    place = layout.address(config.rclone.remote, name)
    entries = rclone_list.entries(Program(config.rclone), place, recursive=options.recursive)
    if not entries:
        Rclone(config.rclone, config.upload).demand_bucket()
        if name:
            raise UsageError(
                f"nothing on the remote is called {shown(place)}",
                hint="`mediapipe ls` lists what there is",
            )
    if options.json:
        told = [
            {
                "path": one.path,
                "folder": one.folder,
                "size": one.size,
                "modified": one.modified and one.modified.isoformat(),
            }
            for one in entries
        ]
        answer = {"outcome": "done", "reason": None, "remote": place, "entries": told}
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in as_text(entries))
    return 0


def as_text(entries: Sequence[rclone_list.Entry]) -> Iterator[str]:
    """Give a line for each entry, and one with what they come to."""
    for one in entries:
        if one.size is None:
            yield f"{'':>9}  {'':16}  {shown(one.path)}/"
        else:
            when = f"{one.modified.astimezone():%Y-%m-%d %H:%M}" if one.modified else ""
            yield f"{human(one.size):>9}  {when:16}  {shown(one.path)}"
    sizes = [one.size for one in entries if one.size is not None]
    counts = [_count(len(sizes), "file"), _count(len(entries) - len(sizes), "folder")]
    yield f"{human(sum(sizes)):>9}  in {' and '.join(counts)}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
