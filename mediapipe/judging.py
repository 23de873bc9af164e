"""The reasons to keep: pure functions from facts and rules to a sentence. Unknown means keep."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.plan import clock, duration, human, shown
from mediapipe.records import Proven, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mediapipe.disk.index import File
    from mediapipe.holdings import Candidate, Holding
    from mediapipe.ports import RemoteObject, Torrent
    from mediapipe.records import Proof
    from mediapipe.rules import Rules

_DISCARD_MOST = 100 << 20
"""Bytes up to which a file may go unuploaded (CONTRACT: discardable)."""
_DISCARD_SHARE = 10
"""… and it must be at most one tenth of the torrent's largest file."""


def why_not_due(torrent: Torrent, seeded: float, rules: Rules, now: float) -> str:
    """Tell why a torrent may not go yet, or give an empty string.

    `seeded` is our own record in seconds; the larger of the two counts, since qBittorrent's own
    steps back at restarts and stands still for an idle torrent.
    """
    completed = rules.config.paths.completed
    if torrent.save_path != completed and not layout.inside(torrent.save_path, completed):
        return f"it is saved in {torrent.save_path}, outside {completed}"
    if not torrent.complete:
        return f"it is {torrent.state} ({torrent.progress:.0%}), not complete and at rest"
    wanted, ratio = rules.seeding(torrent.category)
    spent = max(float(torrent.seeding_time), seeded)
    if spent < wanted or spent <= 0:
        left = max(wanted - spent, 1)
        return f"it seeds for {duration(left)} more, until about {clock(now + left)}"
    if torrent.ratio < ratio:
        return f"its share ratio is {torrent.ratio:.2f}, {ratio:.2f} is asked for"
    return ""


def why_keep(candidate: Candidate, rules: Rules) -> str:
    """Tell why a candidate stays, as far as this host alone can tell."""
    known = rules.reasons.get(id(candidate))
    if known is None or known[0] is not candidate:
        known = rules.reasons[id(candidate)] = (candidate, _why_keep(candidate, rules))
    return known[1]


def _why_keep(candidate: Candidate, rules: Rules) -> str:
    if candidate.grace:
        return candidate.grace
    if not candidate.holdings:
        if candidate.torrent is None:
            return "nothing in it could be proven: remove it yourself"
        return "nothing is known of its files"
    for holding in candidate.holdings:
        if reason := why_unsure(holding, candidate, rules):
            return f"{_name(holding.path)}: {reason}"
        if candidate.kind == "library" and (reason := _why_not_alone(holding, rules)):
            return f"{_name(holding.path)}: {reason}"
    left = [one for one in candidate.holdings if one.file]
    if not left:
        return "" if candidate.torrent is None else "none of its files is on disk"
    for holding in unproven(candidate, rules):
        return f"{_name(holding.path)}: {_unproven_words(candidate, rules)}"
    return ""


def _why_not_alone(holding: Holding, rules: Rules) -> str:
    """Tell which other name keeps a library file that no torrent holds; empty where none does."""
    for name in holding.names:
        library = rules.library_holding(name)
        if library is None:
            return f"it is {shown(name)}, too, and goes with that"
        if library[1].without_torrent == "keep":
            return f"library {library[0]} holds it, too, and keeps what has no torrent"
    return ""


def unproven(candidate: Candidate, rules: Rules) -> tuple[Holding, ...]:
    """Give the files that no proof of this host covers, and that may not be discarded either."""
    return tuple(
        holding
        for holding in candidate.holdings
        if holding.file and not holding.proofs and not may_discard(holding, candidate, rules)
    )


def _unproven_words(candidate: Candidate, rules: Rules) -> str:
    if candidate.torrent is not None and rules.config.upload.leftovers == "upload":
        return "nothing proves yet that it is on B2; the next upload takes it"
    return "nothing proves that it is on B2; once it is in a library or uploaded, that changes"


def why_unsure(holding: Holding, candidate: Candidate, rules: Rules) -> str:
    """Tell what cannot be known of one file, or which rule keeps it; empty where all is well."""
    file = holding.file
    if holding.trouble:
        return holding.trouble
    if file is None:
        gone = holding.wanted and candidate.torrent is not None
        return "it is not on disk, though the torrent is complete" if gone else ""
    others = holding.claimants - {candidate.key}
    if candidate.torrent is None and others:
        return "a torrent in the list holds its data"
    missing = file.links - len(holding.names) + len(holding.copies)
    if missing > 0 and rules.config.cleanup.links_elsewhere == "keep":
        return (
            f"{missing} of its {file.links} names lie outside the libraries and downloads; "
            'remove them, or set links_elsewhere = "ignore"'
        )
    if not holding.finished and not holding.wanted:
        return "" if file.links == 1 else "it is unselected, and has several names"
    return ""


def may_discard(holding: Holding, candidate: Candidate, rules: Rules) -> bool:
    """Whether a file may go although it was never uploaded (CONTRACT: discardable)."""
    file = holding.file
    if file is None:
        return False
    if not holding.wanted and not holding.finished:
        return True  # a piece of a file that the user deselected, or no part of an item
    if layout.library_of(rules.config, candidate.category) is None:
        return False
    if not any(one.proofs for one in candidate.holdings if one.file):
        return False
    largest = max(one.file.size for one in candidate.holdings if one.file)
    if not _is_small(file, largest):
        return False
    # names inside the item alone: a folder above it may be called what it likes
    item = layout.item_of(holding.path, rules.config)
    inside = os.path.basename(item) if item == holding.path else holding.path[len(item) + 1 :]
    return any(rules.discardable(part) for part in inside.split("/"))


def may_discard_beside(file: File, largest: int, rules: Rules) -> bool:
    """Whether a library file may go unuploaded with links of which the largest has so many bytes.

    The links are proven.
    """
    return _is_small(file, largest) and rules.discardable(os.path.basename(file.path))


def _is_small(file: File, largest: int) -> bool:
    return file.size < _DISCARD_MOST and file.size * _DISCARD_SHARE <= largest


def asked(candidate: Candidate, rules: Rules) -> tuple[Holding, ...]:
    """Give the files about which only the remote can still tell whether they go."""
    if candidate.kind == "beside":  # each for itself
        found = (one for one in candidate.holdings if one.file)
        return tuple(one for one in found if not why_unsure(one, candidate, rules))
    return () if why_keep(candidate, rules) else candidate.holdings


def _is_item_anyway(path: str, torrent: Torrent, rules: Rules) -> bool:
    """Whether upload takes a file as an uncategorized item, without being asked."""
    known = layout.library_of(rules.config, torrent.category)
    return known is None and layout.is_item_anyway(path, rules.config)


def leftovers(
    candidates: Sequence[Candidate], listed: Sequence[Torrent], rules: Rules
) -> Iterator[Wanted]:
    """Give the files of due torrents that upload has to take, so that their torrents may go.

    They go to `<uncategorized_remote>/<torrent name>/`, as the torrent has them below its own
    folder; with a piece of its hash, where two torrents in the list have one name. A candidate
    about which anything is unsure is left out.
    """
    if rules.config.upload.leftovers != "upload":
        return
    for candidate in candidates:
        torrent = candidate.torrent
        if torrent is None:
            continue
        # what is in a library, too, goes up from there
        files = [
            one
            for one in unproven(candidate, rules)
            if not any(rules.library_holding(name) for name in one.names)
            if not _is_item_anyway(one.path, torrent, rules)
        ]
        if files and not any(why_unsure(one, candidate, rules) for one in candidate.holdings):
            own = layout.item_of(files[0].path, rules.config)
            whole = all(layout.inside(one.path, own) for one in candidate.holdings)
            folder = own if whole else torrent.save_path
            paths = tuple(one.path for one in files)
            alike = sum(other.name == torrent.name for other in listed) > 1
            name = f"{torrent.name} [{torrent.hash[:8]}]" if alike else torrent.name
            yield Wanted(torrent.hash, name, folder, paths)


def why_unproven(candidate: Candidate, objects: Mapping[str, RemoteObject]) -> str:
    """Tell which file the remote does not prove, or give an empty string."""
    for holding in candidate.holdings:
        if holding.file is None or not holding.proofs:
            continue
        reasons = [why_other(proof, holding, objects) for proof in holding.proofs]
        if all(reasons):
            return f"{_name(holding.path)}: {'; '.join(reasons)}; it is uploaded again"
    return ""


def confirmed(holding: Holding, objects: Mapping[str, RemoteObject]) -> tuple[Proven, ...]:
    """Give the objects of a proof that the remote confirms now, or nothing."""
    for proof in holding.proofs:
        if not why_other(proof, holding, objects):
            return tuple(
                [
                    Proven(one.remote, one.size, one.sha1, there.file_id, one.readback)
                    for one in proof.objects
                    for there in (objects[one.remote],)
                ]
            )
    return ()


def why_other(proof: Proof, holding: Holding, objects: Mapping[str, RemoteObject]) -> str:
    """Tell how the remote differs from a proof, or give an empty string."""
    if not proof.objects or holding.file is None:
        return "it proves nothing"
    for one in proof.objects:
        if reason := why_void(one, objects):
            return reason
    return ""


def why_void(one: Proven, objects: Mapping[str, RemoteObject]) -> str:
    """Tell how an object differs from what was proven of it, or give an empty string."""
    there = objects.get(one.remote)
    if there is None:
        return f"{shown(one.remote)} is gone"
    if there.size != one.size:
        return f"{shown(one.remote)} is {human(there.size)} long now"
    if not one.sha1 or there.sha1 != one.sha1:
        return f"{shown(one.remote)} has other bytes now"
    return ""


def remote_name(one: Proven, rules: Rules) -> str:
    """Give the object's name below the remote's root."""
    return one.remote[rules.prefix :]


def _name(path: str) -> str:
    return shown(os.path.basename(path))
