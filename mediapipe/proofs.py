"""What markers and history say of a file: of its identity, whatever its name is now."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe.disk import marker
from mediapipe.records import Proof, Proven

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mediapipe.disk.index import File
    from mediapipe.surroundings import Surroundings


def marked(file: File, names: Iterable[str], around: Surroundings) -> Iterator[Proof]:
    """Give what the markers beside the file's names, and of the items they lie in, say of it."""
    for name in names:
        for item in around.items(name):
            found = around.said(item)
            if not found:
                continue
            own = os.path.basename(name) if item == name else name[len(item) + 1 :]
            for entry in found.files:
                if entry.path == own and entry.identity == file.identity:
                    yield proof_of(found, entry, item)


def proof_of(found: marker.Marker, entry: marker.Entry, item: str) -> Proof:
    """Give what the marker of an item says of one of its files."""
    if entry.remote:
        return Proof(entry.remote, (Proven(entry.remote, entry.size, entry.sha1),))
    members = [Proven(one.remote, one.size, one.sha1) for one in found.objects(entry)]
    return Proof(item, tuple(members))


def is_below(proof: Proof, prefix: str) -> bool:
    """Whether a proof names objects, and all of them are on the remote of today."""
    for one in proof.objects:
        if not one.remote.startswith(prefix):
            return False
    return bool(proof.objects)
