"""After a refusal nothing more is sent for a while; each cause has its own way to end.

A refused secret: until the secret or the configuration changes (qBittorrent bans an address after
five wrong logins, B2 bills each call). B2's cap: until the next day begins in UTC. An outage of the
remote: growing pauses, for uploads alone; cleanup simply asks again in its next run.
"""

from __future__ import annotations

import ast
import hashlib
import os
from typing import TYPE_CHECKING

from mediapipe import regular
from mediapipe.errors import CapReached, ConfigError, LoginRefused, RemoteOut, Unavailable
from mediapipe.facts import fact
from mediapipe.plan import clock
from mediapipe.records import Pause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediapipe.config import Config
    from mediapipe.errors import MediapipeError
    from mediapipe.runner import Context

_FOREVER = 1e12
"""Epoch seconds: such a pause ends by its fingerprint, not by time."""
_DAY = 86400.0
_FIRST, _LONGEST = 120.0, 3600.0
"""Seconds of the pauses after an outage."""


@fact
class Backoff:
    """Something that is not asked or tried for a while."""

    cause: str
    """`refused`, `cap`, `outage` or `item`."""
    subject: str
    """The service (`qbittorrent`, `rclone`), or the path of an item."""
    job: str
    """The one job that it holds up, or empty where it holds up all."""
    reason: str
    until: float | None
    """Epoch seconds, or None: until what was refused changes."""
    ends: str
    """What opens the way before that."""


def in_force(pauses: Mapping[str, Pause], now: float) -> tuple[Backoff, ...]:
    """Give all that is held up now, as far as it can be told from here.

    Credentials of a systemd unit are there only while it runs: what cannot be looked at counts as
    unchanged, though the next run of the unit may see it otherwise.
    """
    found = []
    for subject, pause in pauses.items():
        mark = pause.fingerprint
        if not subject.startswith("/"):  # an item's is of its files, which only a run looks at
            mark = repr([_seen(one) for one in _marks(mark)])
        found.append(_backoff(subject, pause, now, mark))
    return tuple(one for one in found if one is not None)


def demand_open(context: Context, service: str, job: str, path: str) -> None:
    """Raise the old error again while its pause lasts; `path` is the configuration's."""
    pauses = context.history.pauses()
    mark = _fingerprint(_files(service, context.config, path))
    for subject in (f"refused {service}", f"cap {service}", f"outage {service} {job}"):
        pause = pauses.get(subject)
        found = _backoff(subject, pause, context.now, mark) if pause else None
        if found is None:
            continue
        if found.until is None:
            told = f"{found.reason} (told before; nothing was sent this time)"
            raise ConfigError(told, hint=found.ends)
        raise Unavailable(
            f"{found.reason} (nothing was sent this time; asked again {clock(found.until)})",
            hint=found.ends,
        )


def _backoff(subject: str, pause: Pause, now: float, mark: str) -> Backoff | None:
    """Give what a pause holds up, or None where it is over; `mark` is today's fingerprint."""
    cause, _, rest = subject.partition(" ")
    refused = cause == "refused"
    if pause.fingerprint != mark or not (refused or pause.lasts(now, mark)):
        return None
    if subject.startswith("/"):
        ends = "a change of its files"
        return Backoff("item", subject, "upload", pause.reason, pause.until, ends)
    service, _, job = rest.partition(" ")
    files = [one[0] for one in _marks(pause.fingerprint)]
    if refused:
        changed = f"a change of {' or '.join(files)} opens the way again"
        ends = f"mend it; {changed}, `touch {files[0]}` is enough"
        return Backoff(cause, service, job, pause.reason, None, ends)
    return Backoff(cause, service, job, pause.reason, pause.until, f"`touch {files[0]}` to ask now")


def note(error: MediapipeError | None, job: str, context: Context, path: str) -> None:
    """Remember what refused or failed; or, without an error, that the outage is over."""
    history, now = context.history, context.now
    if isinstance(error, LoginRefused):
        mark = _fingerprint(_files(error.service, context.config, path))
        history.pause(f"refused {error.service}", Pause(_FOREVER, 1, str(error), mark))
        return
    mark = _fingerprint(_files("rclone", context.config, path))
    outage = f"outage rclone {job}"
    if isinstance(error, CapReached):
        history.pause("cap rclone", Pause(now - now % _DAY + _DAY, 1, str(error), mark))
    elif isinstance(error, RemoteOut) and job == "upload":
        before = history.pauses().get(outage)
        tries = before.tries + 1 if before else 1
        until = now + min(_FIRST * 2 ** min(tries - 1, 16), _LONGEST)
        history.pause(outage, Pause(until, tries, str(error), mark))
    elif error is None:
        history.unpause([outage])


def _files(service: str, config: Config, path: str) -> list[str]:
    """Give the files whose change may mend a refused secret."""
    settings = config.qbittorrent
    if service == "qbittorrent":
        secrets = [settings.password_file.path(), settings.api_key_file.path()]
    else:
        default = os.path.expanduser("~/.config/rclone/rclone.conf")
        secrets = [config.rclone.config_file.path() or default]
    return [path, *(one for one in secrets if one)]


def _fingerprint(files: Sequence[str]) -> str:
    return repr([_mark(file) for file in files])


def _mark(file: str) -> tuple[str, int, int]:
    """Give a file with what changes when a person writes or touches it.

    systemd copies a credential anew at each start of a unit, so there the content counts. What is
    stored of it does not tell a short password to who reads the history.
    """
    try:
        found = os.stat(file)
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if folder and file.startswith(folder + "/"):
            content = regular.read(file)
            digest = hashlib.scrypt(content, salt=os.fsencode(file), n=1 << 14, r=8, p=1, dklen=8)
            return (file, int.from_bytes(digest), found.st_size)
    except OSError:
        return (file, 0, 0)
    return (file, found.st_mtime_ns, found.st_size)


def _marks(fingerprint: str) -> list[tuple[str, int, int]]:
    marks: list[tuple[str, int, int]] = ast.literal_eval(fingerprint)
    return marks


def _seen(before: tuple[str, int, int]) -> tuple[str, int, int]:
    """Give today's mark of a file; of one that is out of reach, what it was."""
    file = before[0]
    try:
        os.stat(file)
    except OSError as error:
        gone = isinstance(error, FileNotFoundError) and os.path.isdir(os.path.dirname(file))
        if not gone:
            return before
    return _mark(file)
