"""Library files that are copies of a download and no hard links of it: Sonarr could not link.

Their size is that of the download, and so is their SHA-1, which upload took when it proved them. So
what proves the copy proves the download, and the copy goes with it as a link would.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.companions import is_medium
from mediapipe.disk.index import look, same
from mediapipe.facts import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mediapipe.claims import Claims
    from mediapipe.config import Config
    from mediapipe.disk.index import File
    from mediapipe.history import History
    from mediapipe.holdings import Candidate, Holding
    from mediapipe.records import Proof
    from mediapipe.rules import Rules
    from mediapipe.runner import Context

_READ = "sha1 of "


def recognise(
    candidates: Iterable[Candidate], claims: Claims, rules: Rules, context: Context
) -> tuple[Candidate, ...]:
    """Add the copies of files that are in no library, and what they prove.

    A download is read for it only where a proven library file of its very size is there, and once.
    """
    whole = tuple(candidates)
    lonely = [
        holding
        for candidate in whole
        if _may_have_copies(candidate, rules)
        for holding in candidate.holdings
        if _is_lonely(holding, rules)
    ]
    if not lonely:
        return whole
    sizes = {one.file.size for one in lonely if one.file}
    places = context.history.places_of_size(sizes)
    _forget_others(lonely, context.history)
    found = {
        one.path: _with_copies(one, places.get(one.file.size, frozenset()), claims, context)
        for one in lonely
        if one.file
    }
    return tuple(
        replace(
            candidate,
            holdings=tuple(
                found.get(one.path, one) if _is_lonely(one, rules) else one
                for one in candidate.holdings
            ),
        )
        if _may_have_copies(candidate, rules)
        else candidate
        for candidate in whole
    )


def _may_have_copies(candidate: Candidate, rules: Rules) -> bool:
    """Whether it may go soon, and its category has a library."""
    return (
        (candidate.torrent is not None or candidate.orphan)
        and not candidate.grace
        and layout.library_of(rules.config, candidate.category) is not None
    )


def _is_lonely(holding: Holding, rules: Rules) -> bool:
    """Whether a file that may go has no name in a library."""
    if holding.file is None or not holding.file.size or not holding.finished or holding.trouble:
        return False
    return all(rules.library_holding(name) is None for name in holding.names)


def _with_copies(
    holding: Holding, places: Iterable[str], claims: Claims, context: Context
) -> Holding:
    copies: list[File] = []
    proofs = list(holding.proofs)
    for copy, proof in _library_files(places, claims, context):
        if not _is_equal(holding, proof.objects[0].sha1, context.history, context.now):
            continue
        if is_medium(copy.path):
            copies.append(copy)
        if not holding.proofs and holding.file is not None:
            proofs.append(proof)
            with context.history.together():
                context.history.prove(holding.file.identity, proof, context.now)
    names = (*holding.names, *(one.path for one in copies))
    return replace(holding, names=names, copies=tuple(copies), proofs=tuple(proofs))


def _library_files(
    places: Iterable[str], claims: Claims, context: Context
) -> Iterator[tuple[File, Proof]]:
    """Give the library files that are proven at these places, have one name and no torrent."""
    for place in sorted(places):
        path = _library_path(place, context.config)
        try:
            file = look(path) if path else None
        except OSError:
            continue
        if file is None or file.links != 1 or claims.of(path, file):
            continue
        for proof in context.history.proofs(file.identity):
            if proof.place == place == proof.objects[0].remote and len(proof.objects) == 1:
                yield file, proof


def _library_path(place: str, config: Config) -> str:
    """Give where the library file of an object lies, or an empty string."""
    for library in config.libraries.values():
        prefix = layout.address(config.rclone.remote, f"{library.remote}/")
        if place.startswith(prefix):
            return f"{library.root}/{place[len(prefix) :]}"
    return ""


def _is_equal(holding: Holding, sha1: str, history: History, now: float) -> bool:
    """Whether a download has this SHA-1: as it was proven, or else by reading it once."""
    file = holding.file
    if file is None:
        return False
    known = {one.objects[0].sha1 for one in holding.proofs if len(one.objects) == 1}
    known |= {one.objects[0].sha1 for one in history.proofs(file.identity)}
    if known or history.last(_key(file)) is not None:
        return sha1 in known or history.last(f"{_key(file)}{sha1}") is not None
    from mediapipe.hashing import hash_file

    try:
        own = hash_file(file.path, lambda _done: True)
        if not same(look(file.path), file):
            return False
    except OSError:
        return False
    with history.together():
        history.done(_key(file), now)
        history.done(f"{_key(file)}{own}", now)
    return own == sha1


def _key(file: File) -> str:
    return f"{_READ}{json.dumps(file.identity)} "


def _forget_others(lonely: Iterable[Holding], history: History) -> None:
    """Forget what was read of files that are gone, changed or in a library by now."""
    keys = {_key(one.file) for one in lonely if one.file}
    for rest in history.events(_READ):
        name = f"{_READ}{rest}"
        if not any(name.startswith(key) for key in keys):
            history.forget(name)
