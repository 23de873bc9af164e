"""Once a week, cancel the large files that an upload began on B2 and never finished.

A killed rclone leaves one: billed, in no listing, and begun anew by the next upload. rclone's own
`backend cleanup` is not used: it deletes older versions as well (ADR 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe import audit, layout
from mediapipe.errors import ConfigError, Unavailable
from mediapipe.facts import fact
from mediapipe.plan import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediapipe.bucket import Bucket, Unfinished
    from mediapipe.ports import Remote
    from mediapipe.runner import Context

_DAY = 86400.0
_WEEK = 7 * _DAY


@fact
class Cancel:
    """An unfinished large file that was cancelled, for the audit."""

    unfinished: Unfinished

    @property
    def kind(self) -> str:
        """The word of the audit."""
        return "cancel-unfinished"

    @property
    def path(self) -> str:
        """Full remote name."""
        return self.unfinished.remote

    @property
    def reason(self) -> str:
        """Why it was cancelled."""
        return f"begun {clock(self.unfinished.begun)} and never finished"

    def details(self) -> dict[str, object]:
        """Further fields of the audit."""
        return {"file_id": self.unfinished.file_id}


def clear_unfinished(context: Context, remote: Remote) -> None:
    """Cancel what was begun more than a day ago below our folders, if a week has passed.

    What stands in its way is told, and stops no upload: an outage is asked again in the next run,
    a refusal in a week. Raises OSError where the audit cannot be written.
    """
    tell, history = context.tell, context.history
    event = f"unfinished cleared {context.config.rclone.remote}"
    last = history.last(event)
    if last is not None and 0 <= context.now - last < _WEEK:
        return
    count = 0
    try:
        bucket = remote.bucket()
        for unfinished in _old(bucket, context) if bucket else ():
            if bucket and bucket.cancel(unfinished):
                count += 1
                audit.append(context.state, "upload", Cancel(unfinished), {})
        if bucket is None:
            reason = "not plainly B2: unfinished uploads are not looked for"
            tell("remote.uncleared", level="debug", job="upload", reason=reason)
    except Unavailable as error:
        tell("remote.uncleared", level="warning", job="upload", reason=str(error))
    except ConfigError as error:
        tell("remote.uncleared", level="warning", job="upload", reason=str(error))
        history.done(event, context.now)
    else:
        history.done(event, context.now)
    if count:
        tell("remote.cleared", job="upload", count=count)


def _old(bucket: Bucket, context: Context) -> Iterator[Unfinished]:
    for folder in layout.remote_folders(context.config):
        for unfinished in bucket.unfinished(folder):
            if context.now - unfinished.begun > _DAY:
                yield unfinished
