"""What postprocess needs of SABnzbd and the *arr apps, as protocols and frozen facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mediapipe.facts import fact

if TYPE_CHECKING:
    from collections.abc import Callable

COMPLETED, FAILED = "Completed", "Failed"


@fact
class Job:
    """One entry of SABnzbd's history, or one that its hook script told; paths as SABnzbd sees them.

    The name is not the folder's: a second job of one name lies in `NAME.1`.
    """

    id: str
    """nzo_id: opaque, another one for each job and each retry."""
    name: str
    category: str
    status: str
    """SABnzbd's word: Completed and Failed are ends, anything else is work under way."""
    storage: str
    """The folder or the one file that came of it; empty for a moment after the end."""
    completed: float
    """Epoch seconds."""
    folder: str = ""
    """Where it was downloaded to."""
    failure: str = ""
    retry: bool = False
    """Whether SABnzbd keeps what it needs to try a failed job again."""
    strange: str = ""
    """Why its entry is not understood: it may be in any state, and of any folder."""

    @property
    def ended(self) -> bool:
        """Whether SABnzbd will do nothing more to it by itself."""
        return self.status == FAILED or (self.status == COMPLETED and bool(self.storage))


@fact
class Queued:
    """One job that is still being downloaded."""

    id: str
    name: str


class Usenet(Protocol):
    """SABnzbd; every method raises Unavailable, and ConfigError where the key is refused."""

    def history(self) -> tuple[Job, ...]:
        """Give the whole history, with what the *arr apps have archived."""
        ...

    def queue(self) -> tuple[Queued, ...]:
        """Give what waits or is being downloaded."""
        ...


class Importer(Protocol):
    """An *arr app that takes over what was moved.

    Raises Unavailable and ConfigError where it may be told later, ActionFailed where it refuses.
    """

    name: str
    """As in `[arr.NAME]`."""

    def take(self, path: str, job: str, *, go_on: Callable[[], bool]) -> str:
        """Tell where a download lies now, as this host sees it, and wait how that went.

        Gives the app's own word: `successful`, `unsuccessful`, or `under way` where it has not
        ended before `go_on` said no.
        """
        ...
