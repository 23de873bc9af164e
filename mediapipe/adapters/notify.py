"""People, told through apprise: one URL per line of a file, each of them a secret."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mediapipe import regular
from mediapipe.errors import ConfigError
from mediapipe.facts import fact

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from mediapipe.alerts import Message


@fact
class Url:
    """A line of the file; it is called by its number and scheme, never by what it says."""

    line: int
    text: str

    def __str__(self) -> str:
        scheme = self.text.partition("://")[0] if "://" in self.text else "no URL"
        return f"line {self.line} ({scheme})"

    def __repr__(self) -> str:
        return str(self)


def read_urls(path: str) -> tuple[Url, ...]:
    """Read the file; blank lines and those that begin with # say nothing. Raises ConfigError."""
    try:
        lines = [line.strip() for line in regular.read(path).decode().split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(
            f"notify.urls_file: cannot read {path}: {words}",
            hint="one apprise URL per line, readable for the user of the service",
        ) from None
    return tuple(
        Url(number, line)
        for number, line in enumerate(lines, 1)
        if line and not line.startswith("#")
    )


def send(
    urls: Sequence[Url], message: Message, only: Container[int] = ()
) -> tuple[list[Url], list[Url]]:
    """Send a message to each URL, or to the lines of `only`.

    Gives who was not reached, and which are no URLs that apprise knows. What apprise would
    log of a failure holds the URL, so it logs nothing.
    """
    import apprise

    logging.getLogger("apprise").disabled = True
    asset = apprise.AppriseAsset(async_mode=False, app_id="mediapipe", app_desc="mediapipe")
    unreached, unknown = [], []
    for url in urls:
        if only and url.line not in only:
            continue
        service = apprise.Apprise(asset=asset)
        if not service.add(url.text):
            unknown.append(url)
        elif not service.notify(body=message.body, title=message.title, notify_type=message.kind):
            unreached.append(url)
    return unreached, unknown
