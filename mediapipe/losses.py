"""Whether qBittorrent's list can be believed: an empty one is what it gives that lost its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediapipe.ports import Torrent
    from mediapipe.runner import Context


def why_no_base(torrents: Sequence[Torrent], context: Context, *, accept_loss: bool) -> str:
    """Tell why the list cannot be believed as the base for orphans, or take it as the new base.

    An empty list is a legal lie: it is what qBittorrent answers when it has lost its own state.
    """
    history, most = context.history, context.config.cleanup.max_torrent_loss
    listed = {torrent.hash for torrent in torrents}
    # what we had begun to remove when we were interrupted is no loss
    known = history.known_torrents() - {intent.hash for intent in history.intents()}
    lost = known - listed
    hint = "if that is right, run once with --accept-loss"
    reason = ""
    if not listed and (known or history.last("base taken") is None):
        reason = f"qBittorrent lists no torrent at all, {len(known)} are known: {hint}"
    elif known and len(lost) / len(known) > most:
        reason = (
            f"{len(lost)} of {len(known)} known torrents are gone from qBittorrent's list without "
            f"our doing, which is more than the share of {most}: {hint}"
        )
    if reason and not accept_loss:
        return f"no orphan is touched: {reason}"
    history.take_base(listed, context.now)
    return ""
