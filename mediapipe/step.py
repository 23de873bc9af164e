"""One step of a deletion: as it is planned, printed, done and audited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe.facts import fact
from mediapipe.plan import human

if TYPE_CHECKING:
    from mediapipe.disk.index import File
    from mediapipe.ports import Torrent
    from mediapipe.records import Proven
    from mediapipe.titles import Answer


@fact
class Delete:
    """One step of a deletion."""

    kind: str
    """unmonitor, remove-torrent, delete-file, delete-link, symlink, delete-marker or
    remove-directory."""
    path: str
    reason: str
    group: str
    """Key of the candidate: its steps succeed in order or stop together."""
    name: str = ""
    """Name of the torrent or orphan that the group is for."""
    torrent: Torrent | None = None
    file: File | None = None
    proof: tuple[Proven, ...] = ()
    """The objects that were confirmed; empty where none is needed."""
    worthless: bool = False
    """Whether it needs no proof: a piece of a deselected file, a marker whose item is gone, or no
    part of an item."""
    claimants: frozenset[str] = frozenset()
    """Other torrents that held it and go in the same run."""
    intent: int = 0
    after: frozenset[str] = frozenset()
    """Links with which it goes: they must be gone by then."""
    target: str = ""
    """Where the link leads that takes its place."""
    bare: bool = False
    """Whether it goes because no medium is left in the folder `name`."""
    answer: Answer | None = None
    """What is unmonitored, and where."""

    @property
    def beside(self) -> bool:
        """Whether it goes with links: that these went is remembered, so it needs no intent."""
        return self.bare or bool(self.after)

    def details(self) -> dict[str, object]:
        """Give hash, size in bytes, inode and the remote object, as far as they apply."""
        fields: dict[str, object] = {}
        objects = [
            {"remote": one.remote, "sha1": one.sha1, "file_id": one.file_id} for one in self.proof
        ]
        if len(objects) == 1:
            fields |= objects[0]
        elif objects:
            fields["objects"] = objects
        if self.answer is not None and self.answer.title is not None:
            title = self.answer.title
            fields |= {"app": self.answer.app, "title": title.name, "ids": list(title.monitored)}
        if self.torrent is not None:
            fields["hash"] = self.torrent.hash
        if self.file is not None:
            fields["size"] = self.file.size
            fields["inode"] = self.file.number
        return fields

    def __str__(self) -> str:
        size = f" ({human(self.file.size)})" if self.file and self.kind != "delete-marker" else ""
        return f"{self.kind} {self.path}{size}: {self.reason}"
