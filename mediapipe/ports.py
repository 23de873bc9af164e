"""What the jobs need of the outside world, as protocols and frozen facts; adapters fill them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mediapipe.facts import fact

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Mapping, Sequence

    from mediapipe.bucket import Bucket
    from mediapipe.errors import MediapipeError

SAFE_STATES = frozenset({"uploading", "stalledUP", "queuedUP", "forcedUP", "pausedUP", "stoppedUP"})
"""States in which a complete torrent's files lie still at their place; no other proves anything."""


@fact
class Torrent:
    """One entry of qBittorrent's list, with paths as this host sees them."""

    hash: str
    name: str
    category: str
    state: str
    progress: float
    amount_left: int
    """Bytes still to be downloaded."""
    save_path: str
    """Absolute; empty where qBittorrent gave none."""
    size: int
    seeding_time: int
    """Seconds, as qBittorrent counts them: steps back at restarts, stands still when idle."""
    ratio: float
    added_on: int = 0
    """Epoch seconds; changes when a torrent is removed and added again."""

    @property
    def complete(self) -> bool:
        """Whether qBittorrent has every wanted byte, at the final place, and is at rest."""
        return self.progress == 1 and self.amount_left == 0 and self.state in SAFE_STATES


@fact
class TorrentFile:
    """One file that a torrent lists: `save_path + name`, the only reliable list."""

    path: str
    """Absolute, as this host sees it."""
    size: int
    wanted: bool
    """False where the user deselected it (priority 0)."""
    progress: float


class TorrentClient(Protocol):
    """qBittorrent, as far as the jobs need it.

    Every method raises Unavailable where no sound answer came, and ConfigError where the login
    was refused (after which no further call is made: qBittorrent bans an address after five).
    """

    def categories(self) -> Mapping[str, str]:
        """Give category name → absolute save path as qBittorrent sees it."""

    def create_category(self, name: str, save_path: str) -> None:
        """Create a category; raises ActionFailed where qBittorrent refuses the name or path."""

    def torrents(self) -> tuple[Torrent, ...]:
        """Give all torrents."""

    def files(self, torrent: Torrent) -> tuple[TorrentFile, ...]:
        """Give the files of a torrent; empty where it has no metadata yet or is unknown."""

    def remove(self, torrent: Torrent) -> None:
        """Remove a torrent from the list, never with its files."""


@fact
class RemoteObject:
    """An object as the remote tells it."""

    size: int
    sha1: str
    """Hex; empty where the remote gives none."""
    file_id: str
    """The remote's id of this very version (B2's file id); empty where it has none."""


@fact
class Range:
    """A part of an object; offset and count in bytes."""

    name: str
    offset: int
    count: int


@fact
class Copied:
    """How a copy ended; what it does not complain of is not proven by that."""

    failures: Mapping[str, str]
    """File name → why it did not arrive, in the copying program's words."""
    trouble: MediapipeError | None
    """What ended the copy as a whole: an outage, a cap, a refused key."""


class Remote(Protocol):
    """The object store behind rclone. Names are paths below the remote's root.

    Raises Unavailable for outages and caps, ConfigError for a refused key or a wrong program.
    """

    def address(self, name: str) -> str:
        """Give the full remote name that people and markers use: `b2:bucket/tv/Show/x.mkv`."""

    def why_not_storable(self, name: str) -> str:
        """Tell why this name cannot be stored faithfully, or give an empty string."""

    def copy(
        self,
        root: str,
        names: Sequence[str],
        prefix: str,
        *,
        anew: bool,
        watcher: Watcher,
    ) -> Generator[Sequence[str], None, Copied]:
        """Copy the files `root/name` to `prefix/name` with checksums, in one child.

        `anew` sends every byte even where an object of equal size and hash stands already.
        Gives, about each second, the names that are said to have arrived since, often none.
        What is not in the answer has not been proven by that: look it up.
        """

    def get_ready(self) -> None:
        """Get ready for questions that another thread will ask while a copy is on its way."""

    def look(
        self, names: Sequence[str], *, go_on: Callable[[], bool] = lambda: True
    ) -> Mapping[str, RemoteObject]:
        """Look up objects by name; a name not in the answer is surely not there.

        Raises Unavailable soon after `go_on`, which is asked about each second, says no.
        """

    def why_hides(self) -> str:
        """Tell which rule of the bucket hides our objects by their age, or give an empty string."""

    def demand_bucket(self) -> None:
        """Demand that the bucket is there; raises ConfigError where it is not.

        A copy would make a bucket of a mistyped name, and fill it.
        """

    def look_below(self, prefix: str, wanted: Container[str]) -> Mapping[str, RemoteObject]:
        """Look up, by one listing of a folder, those objects below it that are wanted.

        A name not in the answer proves nothing: it may be shown in another way.
        """

    def read(
        self, ranges: Sequence[Range], *, go_on: Callable[[], bool] = lambda: True
    ) -> Sequence[bytes]:
        """Read ranges of objects, in their order; `go_on` as for `look`."""

    def copy_within(self, sources: Mapping[str, str]) -> None:
        """Copy objects to other names (target → source) on the remote itself, sending no bytes.

        What could not be copied is not told: look for it.
        """

    def fetch(self, name: str, path: str, watcher: Watcher) -> None:
        """Copy an object into a file of this host; raises ActionFailed where it is not there."""

    def hide(self, names: Sequence[str]) -> None:
        """Hide objects: they are in no listing any more; the remote keeps their versions."""

    def bucket(self) -> Bucket | None:
        """Give the bucket as B2's own API has it, or None where the remote is not plainly B2."""


@fact
class Member:
    """One entry of an archive; sizes in bytes, as the archive says."""

    name: str
    size: int
    folder: bool
    link: bool
    encrypted: bool
    packed: int = 0
    """Bytes that it takes in the archive."""


@fact
class Listing:
    """What an archive says of itself."""

    members: tuple[Member, ...]
    volumes: tuple[str, ...]
    """File names of the volumes that it was read from."""

    @property
    def size(self) -> int:
        """Bytes that it would unpack to."""
        return sum(member.size for member in self.members)


class Archives(Protocol):
    """The program that opens archives.

    Raises ActionFailed for an archive that is damaged, ConfigError where the program is missing,
    Unavailable where it hangs.
    """

    def list(self, path: str) -> Listing:
        """List an archive without extracting it."""

    def extract(self, path: str, folder: str, *, most: int, watch: Callable[[], bool]) -> None:
        """Extract an archive into an empty folder.

        No file may grow beyond `most` bytes; `watch` is called every second, tells whether it goes
        on, and may raise.
        """


@fact
class Transfer:
    """One file on its way; sizes in bytes."""

    name: str
    size: int
    sent: int


@fact
class Progress:
    """How far a copy is; sizes in bytes, rate in bytes per second, time left in seconds."""

    done: int
    files: int
    sent: int
    total: int
    rate: float
    seconds_left: float | None
    transfers: tuple[Transfer, ...]
    doing: str = "Uploading"


class Watcher(Protocol):
    """Shows how far a copy is."""

    interval: float
    """Seconds between two looks."""

    def show(self, progress: Progress) -> None: ...
    def end(self) -> None:
        """The copy has ended, however it did."""


class Listener(Protocol):
    """Shows the remote's content to people, and keeps a picture of it that grows old."""

    name: str
    """One word, for the log and the history."""

    def uploaded(self, names: Sequence[str]) -> None:
        """Tell which objects are new, or new versions; names are paths below the remote's root.

        Where it does not run it has no picture: that is no error. Raises Unavailable and
        ConfigError where it may be told later, ActionFailed where it would refuse these for ever.
        """


class Tell(Protocol):
    """Tells one event with its fields to the log."""

    def __call__(self, event: str, /, *, level: str = "info", **fields: object) -> None: ...
