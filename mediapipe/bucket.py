"""The bucket behind a remote, as a protocol: what of it rclone cannot do precisely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mediapipe.facts import fact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@fact
class Unfinished:
    """A large file that was begun on B2 and not finished: billed, and in no listing of files."""

    remote: str
    """Full remote name that it would have got."""
    file_id: str
    begun: float
    """Epoch seconds, by B2's clock."""


class Bucket(Protocol):
    """The bucket as B2's own API has it, for what rclone cannot do precisely.

    Raises Unavailable for outages and caps, ConfigError where the key may not do it.
    """

    def unfinished(self, folder: str) -> tuple[Unfinished, ...]:
        """Give the unfinished large files below a folder of the remote."""
        ...

    def cancel(self, one: Unfinished) -> bool:
        """Cancel an unfinished large file; tells whether it was still there.

        B2 refuses it for a file that was finished: no version of a file can be lost by it.
        """
        ...

    def download(self, file_id: str, take: Callable[[bytes], None], *, start: int = 0) -> None:
        """Download a version by its id, be it replaced or hidden, from the byte `start` on.

        `take` gets each block as it comes. Raises ActionFailed where there is no such version.
        """
        ...

    def rules(self) -> tuple[Mapping[str, object], ...]:
        """Give the bucket's lifecycle rules, as B2 has them."""
        ...

    def set_rules(self, rules: Sequence[Mapping[str, object]]) -> None:
        """Set all lifecycle rules; raises Unavailable where they changed since `rules()`."""
        ...
