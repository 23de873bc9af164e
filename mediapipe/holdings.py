"""What cleanup knows of a torrent or an orphan: its files, their links, proofs and claims."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from mediapipe import layout
from mediapipe.disk import marker
from mediapipe.disk.index import File, is_empty, is_gone, look, walk
from mediapipe.disk.links import find_links
from mediapipe.disk.mounts import mounts, why_inodes_untrusted
from mediapipe.facts import fact, replace
from mediapipe.names import matcher
from mediapipe.plan import shown
from mediapipe.proofs import is_below, marked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mediapipe.claims import Claims
    from mediapipe.config import Config
    from mediapipe.disk.index import Identity
    from mediapipe.disk.links import Links
    from mediapipe.history import History
    from mediapipe.ports import Torrent
    from mediapipe.records import Intent, Proof
    from mediapipe.surroundings import Surroundings


@fact
class Holding:
    """One file of a candidate, with all that is known about it."""

    path: str
    file: File | None
    """None where there surely is nothing at `path`."""
    trouble: str = ""
    """Why nothing can be said about it; empty where all is well."""
    wanted: bool = True
    finished: bool = True
    names: tuple[str, ...] = ()
    """Every name of the inode that the walk found, `path` included, and those of `copies`."""
    proofs: tuple[Proof, ...] = ()
    """What markers and history say of this identity, below today's remote."""
    claimants: frozenset[str] = frozenset()
    """Hashes of the listed torrents that hold this path or this inode."""
    copies: tuple[File, ...] = ()
    """Library files with the same bytes that are no links: they go with it as links do."""


@fact
class Candidate:
    """Something that may go: a due torrent, a deletion that was begun, or an orphan."""

    key: str
    name: str
    torrent: Torrent | None
    category: str
    holdings: tuple[Holding, ...]
    intent: int = 0
    """Id of the intent that is to be finished; 0 where there is none."""
    seeded: float = 0.0
    """Seconds of our own seeding record."""
    grace: str = ""
    """Why an orphan has to wait; empty where it has not."""
    kind: Literal["", "markers", "beside", "library"] = ""
    """What it is, where it is no torrent, intent or orphan: markers whose item is gone, what lies
    beside links that go, or a library file that no torrent holds."""

    @property
    def orphan(self) -> bool:
        """Whether it is a download that no torrent holds."""
        return self.torrent is None and not self.intent and not self.kind


def of_torrent(torrent: Torrent, claims: Claims, around: Surroundings, seeded: float) -> Candidate:
    """Look at the files of a due torrent."""
    completed = around.config.paths.completed
    # names that differ in a torrent may be one on disk: qBittorrent maps what it cannot write
    listed = {one.path: one for one in claims.files[torrent.hash]}
    holdings = tuple(
        hold(path, completed, around, wanted=one.wanted, finished=one.progress == 1,
             seen=claims.seen.get(path))
        for path, one in listed.items()
    )  # fmt: skip
    return Candidate(torrent.hash, torrent.name, torrent, torrent.category, holdings, seeded=seeded)


def begun(history: History, listed: set[str], config: Config) -> list[Intent]:
    """Give the deletions to finish; where the torrent is listed again, its own rules decide."""
    found = []
    reserved = layout.reserved(config)
    for intent in history.intents():
        if intent.hash in listed or not _is_left(intent, reserved, config):
            history.finish(intent.id)
        else:
            found.append(intent)
    return found


def _is_left(intent: Intent, reserved: frozenset[str], config: Config) -> bool:
    """Whether anything of a deletion is left: a name, a marker, or an empty folder."""
    for path, identity in intent.paths.items():
        if _is_marked_anew(path, identity):
            continue
        beside = marker.marker_path(path)
        if layout.leads_into_mount(path, config) and is_gone(beside):
            continue
        if not (is_gone(path) and is_gone(beside)):
            return True
        folder = os.path.dirname(path)
        while folder not in reserved and is_gone(folder):
            folder = os.path.dirname(folder)
        if folder not in reserved and is_empty(folder):
            return True
    return False


def of_intent(intent: Intent, around: Surroundings) -> Candidate:
    """Look at what is left of a deletion that was begun."""
    config = around.config
    roots = [*(library.root for library in config.libraries.values()), config.paths.completed]
    found = []
    for path, identity in intent.paths.items():
        if _is_marked_anew(path, identity):
            continue
        if layout.leads_into_mount(path, config):
            found.append(Holding(path, None))
            continue
        held = hold(
            path, next((one for one in roots if layout.inside(path, one)), roots[-1]), around
        )
        if held.file is not None and held.file.identity == identity:
            # it needed no proof when its torrent could still tell
            held = replace(held, wanted=False, finished=False)
        found.append(held)
    category = next((_category_of(path, config) for path in intent.paths), "")
    return Candidate(f"intent {intent.id}", intent.name, None, category, tuple(found), intent.id)


def _is_marked_anew(path: str, identity: Identity | None) -> bool:
    """Whether a marker whose item was gone is another one now: the item is back."""
    if identity is None or not path.endswith(marker.SUFFIX):
        return False
    try:
        found = look(path)
    except OSError:
        return True
    return found is not None and found.identity != identity


def of_orphan(path: str, category: str, around: Surroundings, grace: str) -> Candidate:
    """Look at an entry below completed that no torrent holds."""
    config = around.config
    ignored, unfinished = matcher(config.upload.ignore), matcher(config.upload.unfinished)
    found = []
    unreadable: list[str] = []
    folders = walk(path, unreadable) if os.path.isdir(path) and not os.path.islink(path) else ()
    for folder in folders:
        found += [Holding(one, None, "is a link or a special file") for one in folder.odd]
        for entry in folder.files:
            if unfinished(entry.name):
                found.append(Holding(entry.path, None, "is not finished"))
            elif not ignored(entry.name):
                found.append(hold(entry.path, config.paths.completed, around))
    found += [Holding(path, None, f"unreadable: {line}") for line in unreadable]
    if not folders:
        found.append(hold(path, config.paths.completed, around))
    return Candidate(path, path, None, category, tuple(found), grace=grace)


def _category_of(path: str, config: Config) -> str:
    for name, folder in layout.category_folders(config).items():
        if layout.inside(path, folder):
            return name
    for library in config.libraries.values():
        if layout.inside(path, library.root):
            return library.category
    return ""


def hold(
    path: str,
    root: str,
    around: Surroundings,
    *,
    wanted: bool = True,
    finished: bool = True,
    seen: File | None = None,
) -> Holding:
    """Look at a file that has to lie below a root, and where no link may lead elsewhere.

    `seen` is what was found there in this very run, under a path without detours.
    """
    if not layout.inside(path, root) or (seen is None and os.path.normpath(path) != path):
        return Holding(path, None, f"{shown(path)} lies outside {root}", wanted, finished)
    try:
        trouble = around.why_elsewhere(path, root)
        return Holding(path, seen or look(path), trouble, wanted, finished)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        return Holding(path, None, f"cannot be read: {words}", wanted, finished)


def orphan_items(
    config: Config, claims: Claims, downloads: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Give those of the downloads that no listed torrent holds; `downloads` are (path, category).

    An entry of which a torrent holds any part, by path or by inode, is no orphan.
    """
    item_of = layout.item_finder(config)
    # one file of each torrent tells of nearly all of them; only for the rest all are looked at
    firsts = (listed[0].path for listed in claims.files.values() if listed)
    held = {item_of(path) for path in firsts if path in claims.paths}
    left = [(path, category) for path, category in downloads if path not in held]
    held = set(map(item_of, claims.paths)) if left else held
    return ((path, category) for path, category in left if path not in held)


def entries(config: Config, unreadable: list[str]) -> Iterator[tuple[str, str]]:
    """Give (path, category) of every download: the entries of completed and category folders.

    What is unfinished is none.
    """
    ignored, unfinished = matcher(config.upload.ignore), matcher(config.upload.unfinished)
    reserved = layout.reserved(config)
    folders = {
        folder: name
        for name, folder in layout.category_folders(config).items()
        if layout.inside(folder, config.paths.completed)
    }
    for folder, category in {config.paths.completed: "", **folders}.items():
        try:
            with os.scandir(folder) as listing:
                names = [entry.name for entry in listing]
        except FileNotFoundError:
            continue
        except OSError as error:
            unreadable.append(f"{folder}: {error.strerror}")
            continue
        for name in names:
            path = f"{folder}/{name}"
            if path not in reserved and not ignored(name) and not unfinished(name):
                yield path, category


def complete(
    candidates: Sequence[Candidate], claims: Claims, around: Surroundings, history: History
) -> tuple[Candidate, ...]:
    """Add links, proofs and claims to the files of the candidates, by one walk over all roots."""
    config = around.config
    roots = [*(library.root for library in config.libraries.values()), config.paths.completed]
    table = mounts()
    untrusted = {root: why_inodes_untrusted(root, table) for root in roots}
    trouble = next((reason for reason in untrusted.values() if reason), "")
    files = [one.file for candidate in candidates for one in candidate.holdings if one.file]
    rows = history.proofs_of({file.identity for file in files}, bare=True)
    sound = [one.path for candidate in candidates for one in candidate.holdings if not one.trouble]
    places = [proof.place for proofs in rows.values() for proof in proofs]
    likely = [*(path[: path.rfind("/")] for path in sound), *around.likely_folders(places)]
    links = find_links(roots, files, likely, around.listing, around.inode)
    prefix = layout.address(config.rclone.remote, "")

    def finished(holding: Holding) -> Holding:
        path, file = holding.path, holding.file
        if file is None:
            return replace(holding, claimants=claims.of(path, None))
        names = links.names.get(file.inode, ()) if file.links > 1 else (path,)
        why = trouble or _why_miscounted(file, names, links)
        known = [proof for proof in rows.get(file.identity, ()) if is_below(proof, prefix)]
        if not known:  # a marker says the same, and is read by the thousand for it
            found = (one for one in marked(file, names, around) if is_below(one, prefix))
            known = list(dict.fromkeys(found))
        known.sort(key=lambda proof: proof.place)
        every = tuple(sorted({path, *names}))
        # all its fields: thousands of these are made, and `replace` takes three times as long
        return Holding(path, file, holding.trouble or why, holding.wanted, holding.finished, every,
                       tuple(known), claims.of(path, file), holding.copies)  # fmt: skip

    return tuple(
        Candidate(one.key, one.name, one.torrent, one.category, tuple(map(finished, one.holdings)),
                  one.intent, one.seeded, one.grace, one.kind) for one in candidates
    )  # fmt: skip


def _why_miscounted(file: File, names: Sequence[str], links: Links) -> str:
    """Tell why nothing can be said of a file's other names, or give an empty string."""
    if file.links < 1:
        return "its file system tells no link count"
    if len(names) < file.links and links.unreadable:
        return (
            f"{file.links - len(names)} of its {file.links} names are not found, and may be where "
            f"one cannot look: {shown(links.unreadable[0])}"
        )
    return ""
