"""Errors that end a run, each with its exit status, and the two that end one action.

MediapipeError
├── UsageError      2   the command line asks for something that does not exist
├── Refused         3   the plan would do more than a guard allows
├── Unavailable    75   a service, a mount or the lock: try again later
│   ├── CapReached      B2's cap for today: asked again when the day ends in UTC
│   └── RemoteOut       the remote is out: upload asks again after growing pauses
└── ConfigError    78   the configuration, a secret or an installed program must change
    └── LoginRefused    a secret was refused; remembered until it changes
Stale                   the world changed since the plan: the action is left alone
ActionFailed            the action could not be done
Stopped                 SIGTERM or SIGINT: end children, keep what is proven (exit status 75)
"""

from __future__ import annotations

from typing import ClassVar, Literal

Outcome = Literal["done", "partial", "refused", "unavailable", "error"]

EXIT_STATUS: dict[Outcome, int] = {
    "done": 0,
    "partial": 3,
    "refused": 3,
    "unavailable": 75,
    "error": 78,
}


AWAY = "move it away: proofs are made again from markers, and deletions only wait longer"
"""What to do about a history that is none."""
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class MediapipeError(Exception):
    """An expected end of a run: one clear line, and a hint on what to do about it."""

    outcome: ClassVar[Outcome] = "error"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the message and the hint apart; `str()` gives the message alone."""
        super().__init__(message)
        self.hint = hint
        self.told = False
        """Whether the log has it already."""


class UsageError(MediapipeError):
    """The command line is wrong."""

    exit_status = 2


class Refused(MediapipeError):
    """A guard refuses the plan as a whole."""

    outcome = "refused"
    exit_status = EXIT_STATUS["refused"]


class Unavailable(MediapipeError):
    """A service, a mount or a lock is not to be had now; the next run may find it."""

    outcome = "unavailable"
    exit_status = EXIT_STATUS["unavailable"]


class CapReached(Unavailable):
    """B2's cap for today is used up: nothing more is sent until the next day begins in UTC."""


class RemoteOut(Unavailable):
    """The remote or the way to it is out: upload asks again after growing pauses."""


def out_of_order(error: Exception) -> MediapipeError:
    """Turn an error of the disk or of the database into one that a later run may not meet.

    Of a database that is damaged only a person can make another one.
    """
    if getattr(error, "sqlite_errorname", "").startswith(_DAMAGED):
        return ConfigError(f"the state folder's history.db is damaged: {error}", hint=AWAY)
    return Unavailable(
        f"{type(error).__name__}: {error}",
        hint="check the disk: is it full, read-only, failing, or not yours to write to? "
        "What is no file where one should be has to be moved away",
    )


class ConfigError(MediapipeError):
    """Nothing will work until a person changes the configuration, a secret or a program."""

    exit_status = EXIT_STATUS["error"]


class LoginRefused(ConfigError):
    """A service refused a secret: no further call until the secret or the configuration changes.

    qBittorrent bans an address after five wrong logins; B2 bills every refused call.
    """

    def __init__(self, service: str, message: str, *, hint: str = "") -> None:
        """`service` is "qbittorrent" or "rclone"."""
        super().__init__(message, hint=hint)
        self.service = service


class Stale(Exception):
    """What an action was planned for is no longer what is there; nothing was done."""


class ActionFailed(Exception):
    """One action could not be done; the others go on."""


class Stopped(BaseException):
    """The run was told to stop; no `except Exception` may swallow it."""


def stopped() -> Unavailable:
    """Give what a run that was told to stop says of itself."""
    return Unavailable("stopped by a signal", hint="what is proven is kept; the next run goes on")
