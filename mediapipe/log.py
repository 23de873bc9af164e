"""The log: structlog on a terminal and in files, native fields under journald.

structlog is imported when the first event is really written: a pass with nothing to do logs one
event at debug level, and must not pay for a library to drop it.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

from mediapipe.streams import is_journal

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3}
_JOURNAL = "/run/systemd/journal/socket"
_NATIVE = ("job", "action", "path", "outcome")
"""Fields that become MEDIAPIPE_JOB, MEDIAPIPE_ACTION, … in the journal."""


class Log:
    """Tells events; one for each process, made by the command line."""

    def __init__(self, name: str, *, verbose: bool) -> None:
        """`name` becomes the journal's SYSLOG_IDENTIFIER."""
        self._name = name
        self._threshold = _LEVELS["debug" if verbose else "info"]
        self._logger: Any = None

    def __call__(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        """Write an event with its fields, if its level is wanted."""
        if _LEVELS[level] < self._threshold:
            return
        if self._logger is None:
            self._logger = self._configure()
        self._logger.log(_LEVELS[level], event, **fields)

    def _configure(self) -> Any:
        import structlog

        processors: list[Any] = [structlog.processors.add_log_level]
        if is_journal(sys.stderr):
            processors.append(self._to_journal)
        elif sys.stderr.isatty():
            processors.append(structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False))
            processors.append(structlog.dev.ConsoleRenderer())
        else:
            processors.append(structlog.processors.TimeStamper(fmt="iso", utc=True))
            processors.append(structlog.processors.JSONRenderer())
        structlog.configure(
            processors=processors,
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
        return structlog.get_logger()

    def _to_journal(self, _logger: Any, _method: str, event: dict[str, Any]) -> Any:
        """Send an event as a native journal entry; systemd.io/JOURNAL_NATIVE_PROTOCOL."""
        import structlog

        level = event.pop("level")
        text = event.pop("event")
        words = [f"{key}={value}" for key, value in event.items() if value is not None]
        fields = {
            "MESSAGE": " ".join([text, *words]),
            "PRIORITY": str(_PRIORITY[level]),
            "SYSLOG_IDENTIFIER": self._name,
        }
        fields |= {
            f"MEDIAPIPE_{key.upper()}": str(event[key])
            for key in _NATIVE
            if event.get(key) is not None
        }
        payload = b"".join(_field(key, value) for key, value in fields.items())
        try:
            import socket

            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
                journal.sendto(payload, _JOURNAL)
        except OSError:  # too large, or journald restarts: standard error reaches it all the same
            return f"<{_PRIORITY[level]}>{fields['MESSAGE']}"
        raise structlog.DropEvent


def _field(key: str, value: str) -> bytes:
    raw = value.encode(errors="backslashreplace")
    if b"\n" in raw:
        return key.encode() + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n"
    return key.encode() + b"=" + raw + b"\n"
