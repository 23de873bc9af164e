"""lsar and unar as the port `Archives`: list first, then extract into a scratch folder."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from mediapipe.adapters import process
from mediapipe.errors import ActionFailed, ConfigError
from mediapipe.ports import Listing, Member

if TYPE_CHECKING:
    from collections.abc import Callable

_LIST_TIMEOUT = 600.0
_STALL = 900.0
"""Seconds without a word from unar after which it is taken for hung; it names each member."""


class Unarchiver:
    """The programs of the package `unar`."""

    def list(self, path: str) -> Listing:
        """List an archive without extracting it; raises ActionFailed where it is none."""
        ended = process.run([_find("lsar"), "-json-ascii", path], timeout=_LIST_TIMEOUT)
        try:
            answer: Any = json.loads(ended.output.decode(errors="replace"))
            entries = answer["lsarContents"]
            volumes = answer.get("lsarProperties", {}).get("XADVolumes") or [path]
            members = tuple(_member(entry) for entry in entries)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ActionFailed("lsar cannot read it: it is no archive, or damaged") from None
        if ended.status != 0:
            raise ActionFailed("lsar cannot list it whole: it is damaged, or a volume is missing")
        return Listing(members, tuple(os.path.basename(str(volume)) for volume in volumes))

    def extract(self, path: str, folder: str, *, most: int, watch: Callable[[], bool]) -> None:
        """Extract an archive into an empty folder; raises ActionFailed where it is damaged.

        No file grows beyond `most` bytes, whatever the archive says of itself; `watch` is called
        every second, tells whether it goes on, and may raise.
        """
        # fmt: off
        ended = process.run(
            [_find("unar"), "-no-directory", "-no-recursion", "-force-skip", "-forks", "skip",
             "-output-directory", folder, path],
            timeout=_STALL, largest_file=most, watch=watch,
        )
        # fmt: on
        if ended.status != 0:
            words = [line.strip() for line in _text(ended).splitlines() if "Failed!" in line]
            what = f" ({words[0]})" if words else ""
            raise ActionFailed(f"unar cannot extract it whole{what}: it is damaged")


def _text(ended: process.Ended) -> str:
    return ended.output.decode(errors="replace") + ended.errors


def _member(entry: dict[str, Any]) -> Member:
    return Member(
        str(entry["XADFileName"]),
        int(entry.get("XADFileSize") or 0),
        folder=bool(entry.get("XADIsDirectory")),
        link=bool(entry.get("XADIsLink") or entry.get("XADIsHardLink")),
        encrypted=bool(entry.get("XADIsEncrypted")),
        packed=int(entry.get("XADCompressedSize") or 0),
    )


def _find(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise ConfigError(f"{program} is not installed", hint="install the package unar")
    return found
