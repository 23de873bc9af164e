"""After a refusal nothing more is sent for a while; each cause has its own way to end.

A refused secret: until the secret or the configuration changes (qBittorrent bans an address after
five wrong logins, B2 bills each call). B2's cap: until the next day begins in UTC. An outage of the
remote: growing pauses, for uploads alone; cleanup simply asks again in its next run.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe.errors import CapReached, ConfigError, LoginRefused, RemoteOut, Unavailable
from mediapipe.plan import clock
from mediapipe.records import Pause

if TYPE_CHECKING:
    from mediapipe.config import Config
    from mediapipe.errors import MediapipeError
    from mediapipe.runner import Context

_FOREVER = 1e12
"""Epoch seconds: such a pause ends by its fingerprint, not by time."""
_DAY = 86400.0
_FIRST, _LONGEST = 120.0, 3600.0
"""Seconds of the pauses after an outage."""


def demand_open(context: Context, service: str, job: str, path: str) -> None:
    """Raise the old error again while its pause lasts; `path` is the configuration's."""
    pauses = context.history.pauses()
    mark = _fingerprint(service, context.config, path)
    refused = pauses.get(f"refused {service}")
    if refused is not None and refused.fingerprint == mark:
        files = " or ".join(_files(service, context.config, path))
        raise ConfigError(
            f"{refused.reason} (told before; nothing was sent this time)",
            hint=f"mend it; a change of {files} opens the way again, `touch` is enough",
        )
    for subject in (f"cap {service}", f"outage {service} {job}"):
        pause = pauses.get(subject)
        if pause is not None and pause.lasts(context.now, mark):
            raise Unavailable(
                f"{pause.reason} (nothing was sent this time; asked again {clock(pause.until)})",
                hint=f"`touch {path}` to ask now",
            )


def note(error: MediapipeError | None, job: str, context: Context, path: str) -> None:
    """Remember what refused or failed; or, without an error, that the outage is over."""
    history, now = context.history, context.now
    if isinstance(error, LoginRefused):
        mark = _fingerprint(error.service, context.config, path)
        history.pause(f"refused {error.service}", Pause(_FOREVER, 1, str(error), mark))
        return
    mark = _fingerprint("rclone", context.config, path)
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


def _fingerprint(service: str, config: Config, path: str) -> str:
    marks = []
    for file in _files(service, config, path):
        try:
            found = os.stat(file)
        except OSError:
            marks.append((file, 0, 0))
        else:
            marks.append((file, found.st_mtime_ns, found.st_size))
    return repr(marks)
