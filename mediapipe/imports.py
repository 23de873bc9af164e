"""Archives that others unpacked: the app's history tells which files it imported from a torrent.

Where every medium in an archive has an imported file of its size that is proven on B2, those prove
the volumes, as they would had we unpacked the archive ourselves (ADR 19).
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.archives import volumes_of
from mediapipe.companions import is_medium
from mediapipe.disk.index import look
from mediapipe.errors import ActionFailed, MediapipeError
from mediapipe.facts import replace
from mediapipe.judging import unproven, why_unsure
from mediapipe.proofs import marked
from mediapipe.records import Proof
from mediapipe.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mediapipe.holdings import Candidate, Holding
    from mediapipe.ports import Archives
    from mediapipe.records import Proven
    from mediapipe.rules import Rules
    from mediapipe.runner import Context
    from mediapipe.unmonitoring import Apps

_LARGE = 100 << 20
"""Bytes from which a member is a medium, whatever its name."""


def recognise(
    candidates: Sequence[Candidate],
    rules: Rules,
    apps: Apps,
    archives: Callable[[], Archives],
    context: Context,
) -> tuple[Candidate, ...]:
    """Add what imported files prove of the archives that they came from."""
    if not rules.config.arr:
        return tuple(candidates)
    return tuple(_recognised(one, rules, apps, archives, context) for one in candidates)


def _recognised(
    candidate: Candidate,
    rules: Rules,
    apps: Apps,
    archives: Callable[[], Archives],
    context: Context,
) -> Candidate:
    library = layout.library_of(rules.config, candidate.category)
    if candidate.torrent is None or library is None or library.arr not in rules.config.arr:
        return candidate
    open_ = {one.path: one for one in unproven(candidate, rules)}
    sets = volumes_of(open_)
    if not sets or any(why_unsure(one, candidate, rules) for one in candidate.holdings):
        return candidate
    proofs: dict[str, Proof] = {}
    try:
        found = _imported(apps(library.arr).imported(candidate.torrent.hash), rules, context)
        for first, volumes in sets.items() if found else ():
            if proof := _proof(first, volumes, found, archives()):
                proofs |= dict.fromkeys(volumes, proof)
    except ActionFailed:
        return candidate  # no archive after all, or damaged: it goes up as it is
    except MediapipeError as error:  # else it would be sent, though it may be there unpacked
        why = f"whether it was imported cannot be told: {error}"
        return _with(candidate, {path: replace(one, trouble=why) for path, one in open_.items()})
    with context.history.together():
        for path, proof in proofs.items():
            if file := open_[path].file:
                context.history.prove(file.identity, proof, context.now)
    proven = {path: replace(open_[path], proofs=(proof,)) for path, proof in proofs.items()}
    return _with(candidate, proven)


def _with(candidate: Candidate, changed: Mapping[str, Holding]) -> Candidate:
    holdings = tuple(changed.get(one.path, one) for one in candidate.holdings)
    return replace(candidate, holdings=holdings)


def _imported(paths: Sequence[str], rules: Rules, context: Context) -> list[Proven]:
    """Give the objects of the imported files that are still there and proven as one object."""
    around = Surroundings(context.config)
    prefix = layout.address(context.config.rclone.remote, "")
    found = []
    for path in paths:
        try:
            file = look(path) if rules.library_holding(path) else None
        except (OSError, ValueError):
            continue
        if file is None:
            continue
        known = (*context.history.proofs(file.identity), *marked(file, (path,), around))
        for proof in known:
            one = proof.objects[0] if len(proof.objects) == 1 else None
            if one and one.size == file.size and one.sha1 and one.remote.startswith(prefix):
                found.append(one)
                break
    return found


def _proof(
    first: str, volumes: Sequence[str], imported: Sequence[Proven], archives: Archives
) -> Proof | None:
    """Give what proves an archive; None where one medium in it is short, or a volume.

    Raises ActionFailed where it cannot be listed.
    """
    listing = archives.list(first)
    if set(listing.volumes) != {os.path.basename(path) for path in volumes}:
        return None
    media = [
        one for one in listing.members
        if not one.folder and (is_medium(one.name) or one.size >= _LARGE)
    ]  # fmt: skip
    if any(one.link for one in media):
        return None
    left = Counter(one.size for one in imported)
    left.subtract(Counter(one.size for one in media))
    if not media or any(number < 0 for number in left.values()):
        return None
    sizes = {one.size for one in media}
    objects = sorted((one for one in imported if one.size in sizes), key=lambda one: one.remote)
    return Proof(first, tuple(objects))
