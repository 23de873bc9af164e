"""Tell those who show the remote's content what is new there: the mount, then Jellyfin.

An upload is as good without it, so whatever goes wrong here is one warning. What is to be told is
written to the history with each result, so that neither a killed run nor a listener that is out
loses any of it; it is forgotten once that listener has taken it. What could not be told is told
again at the end of the next run that uploads something. A pass that uploads nothing stays without
sockets: until then `dir_cache_time` and Jellyfin's own scan show what is new, only later.

A listener that fails ends the round. The next one sees the remote through it (Jellyfin reads the
mount): told too early, it would look, find nothing, and not look again.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from mediapipe import layout
from mediapipe.errors import ActionFailed, MediapipeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from mediapipe.ports import Listener
    from mediapipe.runner import Context, Result


def tell_of(
    results: Generator[Result, None, None],
    listeners: Callable[[], Sequence[Listener]],
    context: Context,
) -> Iterator[Result]:
    """Pass results on, then tell of what they sent; `listeners` is asked once, if anything was.

    Also where an outage ends the uploads. A run that is stopped tells nobody: it ends at once.
    """
    told: Sequence[Listener] | None = None
    try:
        with contextlib.closing(results):
            for result in results:
                if names := _sent(result, context):
                    told = listeners() if told is None else told
                    _remember(names, told, context)
                yield result
    except MediapipeError:
        _tell(told or (), context)
        raise
    _tell(told or (), context)


def _sent(result: Result, context: Context) -> list[str]:
    """Give the names of the objects that an action has put on the remote."""
    if result.status != "done":
        return []
    extra: dict[str, Any] = result.extra
    root = layout.address(context.config.rclone.remote, "")
    objects = [*extra.get("files", ()), *extra.get("objects", ())]
    return [one["remote"].removeprefix(root) for one in objects]


def _remember(names: Sequence[str], listeners: Sequence[Listener], context: Context) -> None:
    with context.history.together():
        for listener in listeners:
            for name in names:
                context.history.done(_untold(listener) + json.dumps(name), context.now)


def _tell(listeners: Sequence[Listener], context: Context) -> None:
    for listener in listeners:
        untold = context.history.events(_untold(listener))
        try:
            listener.uploaded([json.loads(name) for name in untold])
        except ActionFailed as refusal:
            _warn(listener, refusal, "", context)
        except MediapipeError as trouble:
            _warn(listener, trouble, trouble.hint, context)
            return
        with context.history.together():
            for name in untold:
                context.history.forget(_untold(listener) + name)


def _untold(listener: Listener) -> str:
    return f"untold {listener.name} "


def _warn(listener: Listener, trouble: Exception, hint: str, context: Context) -> None:
    context.tell(
        "listener.failed",
        level="warning",
        job="upload",
        listener=listener.name,
        reason=str(trouble),
        hint=hint or None,
    )
