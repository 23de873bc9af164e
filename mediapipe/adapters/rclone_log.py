"""What rclone says on its way: progress, files that failed, and why it gave up."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mediapipe.errors import CapReached, ConfigError, LoginRefused, RemoteOut, Unavailable
from mediapipe.ports import Progress, Transfer

if TYPE_CHECKING:
    from mediapipe.adapters.process import Ended
    from mediapipe.ports import Watcher

_USAGE = 2
# rclone ends B2's errors with "(status code)"; file names may hold anything
_CAPS = re.compile(r"\(403 \w*cap_exceeded\)")
_REFUSED = re.compile(r"\(401 \w+\)")
_WRONG = re.compile(
    r"didn't find (?:section in config|backend)|unknown flag|bucket_id|bad_bucket|invalid argument"
    r"|Config file .* not found|duplicate_bucket_name|restricted to|you must use bucket"
)


class CopyLog:
    """Reads rclone's JSON log of a copy."""

    def __init__(self, watcher: Watcher) -> None:
        self.arrived: list[str] = []
        """Objects that are said to have arrived, as JSON shows their names."""
        self.failures: dict[str, str] = {}
        self._watcher = watcher
        self._bytes = -1

    def line(self, text: str) -> bool:
        """Take a line; tells whether it shows life: bytes have moved or a file is done."""
        try:
            entry: Any = json.loads(text)
        except ValueError:
            return False
        if not isinstance(entry, dict):
            return False
        if entry.get("level") == "error" and entry.get("object"):
            self.failures[str(entry["object"])] = str(entry.get("msg", ""))
            return False
        if entry.get("object") and "Copied" in str(entry.get("msg")):
            self.failures.pop(str(entry["object"]), None)  # a later attempt went well
            self.arrived.append(str(entry["object"]))
        stats = entry.get("stats")
        if not isinstance(stats, dict):
            return bool(entry.get("object"))
        sent = int(stats.get("bytes") or 0) + int(stats.get("checks") or 0)
        alive, self._bytes = sent != self._bytes, sent
        self._watcher.show(_progress(stats))
        return alive


def _progress(stats: dict[str, Any]) -> Progress:
    eta = stats.get("eta")
    return Progress(
        done=int(stats.get("transfers") or 0),
        files=int(stats.get("totalTransfers") or 0),
        sent=int(stats.get("bytes") or 0),
        total=int(stats.get("totalBytes") or 0),
        rate=float(stats.get("speed") or 0),
        seconds_left=None if eta is None else float(eta),
        transfers=tuple(
            Transfer(str(one.get("name")), int(one.get("size") or 0), int(one.get("bytes") or 0))
            for one in stats.get("transferring") or ()
        ),
    )


def trouble(ended: Ended) -> Unavailable | ConfigError:
    """Tell by rclone's last words whether trying again later can help."""
    message = _last_message(ended.errors) or f"rclone ended with status {ended.status}"
    if _CAPS.search(message):
        return CapReached(
            f"B2 refuses for today: {message}", hint="raise the cap, or wait for 00:00 UTC"
        )
    if _REFUSED.search(message):
        return LoginRefused(
            "rclone",
            f"B2 refuses the key: {message}",
            hint="check the key in rclone's configuration: it needs listBuckets, listFiles, "
            "readFiles and writeFiles for this bucket",
        )
    if _WRONG.search(message) or ended.status == _USAGE:
        return ConfigError(f"rclone: {message}", hint="check [rclone] remote and config_file")
    return RemoteOut(f"rclone: {message}", hint="B2 or the network is out; it is tried again")


def _last_message(errors: str) -> str:
    for line in reversed(errors.splitlines()):
        try:
            message = str(json.loads(line).get("msg", "")).strip()
        except (ValueError, AttributeError):
            message = line.strip()
        if message and not message.startswith("Transferred:"):
            return message
    return ""
