"""What a person asks about: the torrents and files that a word names, looked at without trust."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.disk import marker
from mediapipe.disk.index import File, look, walk
from mediapipe.disk.links import find_links
from mediapipe.errors import Unavailable, UsageError
from mediapipe.explanation import AboutFile
from mediapipe.names import matcher
from mediapipe.plan import shown
from mediapipe.records import Proof, Proven

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediapipe.claims import Claims
    from mediapipe.config import Config
    from mediapipe.history import History
    from mediapipe.ports import Torrent

_LEAST = 6
"""Digits of a hash that may stand for it."""


def refuse(word: str, unasked: Mapping[str, str]) -> None:
    """Tell that nothing is called so, or that this is not known."""
    if reason := unasked.get(os.path.abspath(word)):
        raise UsageError(f"{shown(word)}: {reason}", hint="give a file or folder of one of them")
    if "qBittorrent" in unasked and "/" not in word:
        raise Unavailable(f"no file is called {word!r}, and {unasked['qBittorrent']}")
    if "/" in word and os.path.isdir(word):
        path = os.path.abspath(word)
        unread = (
            f"{shown(one)}: {why}" for one, why in unasked.items() if layout.inside(one, path)
        )
        empty = f"{shown(word)}: no file that a job looks at lies in it"
        raise UsageError(next(unread, empty), hint="give a file, or another folder")
    raise UsageError(
        f"neither a file nor a torrent is called {word!r}, nor was one",
        hint="give a path, a torrent's name, or at least six digits of its hash",
    )


def torrents_called(word: str, listed: Sequence[Torrent]) -> tuple[Torrent, ...]:
    """Give the torrents that a word names. Raises UsageError where a hash is not unique."""
    named = tuple(one for one in listed if one.name == word)
    if named or not re.fullmatch(rf"[0-9a-fA-F]{{{_LEAST},64}}", word):
        return named
    found = tuple(one for one in listed if one.hash.startswith(word.lower()))
    if len(found) > 1:
        both = " and ".join(f"{one.hash} ({one.name})" for one in found[:2])
        raise UsageError(f"{word} begins {both}", hint="give more digits")
    return found


def paths_of(
    word: str,
    subjects: Sequence[Torrent],
    claims: Claims,
    config: Config,
    unasked: dict[str, str],
) -> tuple[str, ...]:
    """Give the files that are asked for: of the torrents, or at or below a path."""
    if subjects:
        return tuple(one.path for torrent in subjects for one in claims.files.get(torrent.hash, ()))
    path = os.path.abspath(word)
    listed = [one for one in claims.paths if one == path or layout.inside(one, path)]
    if not os.path.isdir(path) or os.path.islink(path):
        known = bool(listed) or os.path.lexists(path) or "/" in word
        return tuple({path, *listed} if known and not _is_folder(path, listed) else sorted(listed))
    tops = _tops(path, config)
    if not tops and not listed:
        unasked[path] = "it lies outside the libraries and downloads, and holds none of them"
    ignored = matcher(config.upload.ignore)
    unreadable: list[str] = []
    found = [
        entry.path
        for top in tops
        for folder in walk(top, unreadable)
        for entry in folder.files
        if not ignored(entry.name)
    ]
    for line in unreadable:
        where, _, why = line.partition(": ")
        unasked[where] = why
    return tuple(sorted({*found, *listed}))


def _tops(path: str, config: Config) -> tuple[str, ...]:
    """Give what is looked through for a folder: all of it, or the roots that it holds.

    No job has a word on the rest, and that may be all of a host's disks.
    """
    roots = [*(one.root for one in config.libraries.values()), config.paths.completed]
    real = os.path.realpath(path)
    if any(layout.inside(f"{real}/", os.path.realpath(one)) for one in roots):
        return (path,)
    return tuple(one for one in roots if layout.inside(os.path.realpath(one), real.rstrip("/")))


def _is_folder(path: str, listed: Sequence[str]) -> bool:
    return any(layout.inside(one, path) for one in listed)


def facts_of(
    paths: Sequence[str], claims: Claims, history: History, config: Config
) -> tuple[AboutFile, ...]:
    """Look at the files, all their names, their markers and what is proven of them."""
    looked: dict[str, File | None] = {}
    troubles: dict[str, str] = {}
    for path in paths:
        try:
            looked[path] = look(path)
        except OSError as error:
            looked[path], troubles[path] = None, error.strerror or str(error)
    roots = [*(one.root for one in config.libraries.values()), config.paths.completed]
    links = find_links(roots, [file for file in looked.values() if file])
    wanted = {path for one in history.wanted() for path in one.paths}
    return tuple(
        _fact(path, file, troubles.get(path, ""), links.names, claims, history, config, wanted)
        for path, file in looked.items()
    )


def _fact(
    path: str,
    file: File | None,
    trouble: str,
    links: Mapping[tuple[int, int], tuple[str, ...]],
    claims: Claims,
    history: History,
    config: Config,
    wanted: set[str],
) -> AboutFile:
    names = (path,) if file is None else tuple(sorted({path, *links.get(file.inode, ())}))
    proofs = {proof.place: proof for proof in (history.proofs(file.identity) if file else ())}
    markers: dict[str, str] = {}
    for name in names:
        for item in dict.fromkeys((name, layout.item_of(name, config))):
            place = marker.marker_path(item)
            if file is None or not os.path.lexists(place):
                continue
            proof = _marked(place, item, name, file)
            markers[place] = "proves it" if proof else (
                "is a claim (foreign, empty, older, or of other bytes): upload looks for itself"
            )  # fmt: skip
            if proof:
                proofs.setdefault(proof.place, proof)
    return AboutFile(
        path, file, trouble, names, tuple(sorted(claims.of(path, file))), markers,
        tuple(proofs.values()), wanted=not wanted.isdisjoint(names),
    )  # fmt: skip


def _marked(place: str, item: str, name: str, file: File) -> Proof | None:
    """Give what a marker proves of a file, or None."""
    try:
        found = marker.read(place)
    except OSError:
        return None
    own = os.path.basename(name) if item == name else name[len(item) + 1 :]
    for entry in found.files if found else ():
        if found and entry.path == own and entry.identity == file.identity:
            objects = tuple(Proven(*one) for one in map(_fields, found.objects(entry)))
            return Proof(entry.remote or item, objects) if objects else None
    return None


def _fields(one: marker.Extracted) -> tuple[str, int, str]:
    return one.remote, one.size, one.sha1
