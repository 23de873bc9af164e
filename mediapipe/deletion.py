"""The steps of a deletion, in an order in which a crash between any two of them loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe.disk import marker
from mediapipe.disk.index import renamed
from mediapipe.facts import replace
from mediapipe.judging import (
    confirmed,
    may_discard,
    may_discard_beside,
    why_other,
    why_unsure,
)
from mediapipe.layout import item_finder, item_of
from mediapipe.linking import target_of
from mediapipe.plan import Kept, duration
from mediapipe.step import Delete

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from mediapipe.companions import Beside
    from mediapipe.disk.index import File
    from mediapipe.folders import Folders
    from mediapipe.holdings import Candidate, Holding
    from mediapipe.ports import RemoteObject, Torrent
    from mediapipe.records import Proven
    from mediapipe.rules import Rules

_NOTHING: frozenset[str] = frozenset()


def void_markers(
    candidate: Candidate, objects: Mapping[str, RemoteObject], folders: Folders, rules: Rules
) -> list[Delete]:
    """Give the markers that rest on an object which is gone or different.

    What they speak of becomes pending: it is uploaded again, and not asked for in every run.
    """
    steps: dict[str, Delete] = {}
    for holding in candidate.holdings:
        reasons = [why_other(proof, holding, objects) for proof in holding.proofs]
        for reason in filter(None, reasons):
            for name in holding.names:
                for item in (name, item_of(name, rules.config)):
                    if found := folders.markers.get(item):
                        # fmt: off
                        steps[found.path] = Delete(
                            "delete-marker", found.path, reason, f"void {candidate.key}",
                            candidate.name, file=found,
                        )
                        # fmt: on
    return list(steps.values())


class Steps:
    """Lays out the steps of one candidate after the other; remembers what is gone by then."""

    def __init__(
        self,
        rules: Rules,
        folders: Folders,
        objects: Mapping[str, RemoteObject],
        gone: Iterable[str],
    ) -> None:
        self._rules = rules
        self._item_of = item_finder(rules.config)
        self._folders = folders
        self._objects = objects
        self._gone: set[str] = set(gone)
        self._replaced: set[str] = set()
        """Library paths that become links into the mount."""
        self._largest: dict[str, int] = {}
        """Folder → bytes of the largest proven library link that goes from below it."""

    def of(
        self, candidate: Candidate, later: AbstractSet[str], staying: AbstractSet[str]
    ) -> list[Delete]:
        """Give the steps of a candidate.

        `staying` are the hashes of torrents that keep what they hold; `later` those that go
        after this one in the same run, and take with them what they share.
        """
        why = _why(candidate)
        steps = []
        if candidate.torrent is not None:
            steps.append(self._step("remove-torrent", candidate.name, why, candidate,
                                    torrent=candidate.torrent))  # fmt: skip
        files: list[Delete] = []
        links: list[Delete] = []
        names: dict[str, None] = {}
        for holding in candidate.holdings:
            claimants = holding.claimants
            if not (staying.isdisjoint(claimants) and later.isdisjoint(claimants)):
                continue
            names[holding.path] = None
            if holding.file is None:
                continue
            for one in self._file_steps(holding, candidate):
                if one.path in self._gone or one.path in self._replaced:
                    continue  # two files of one torrent share it
                (self._replaced if one.kind == "symlink" else self._gone).add(one.path)
                (files if one.kind == "delete-file" else links).append(one)
                if one.kind == "delete-link" and one.proof:
                    self._note_link(one.path, holding.file.size)
                names[one.path] = None
        # what has no proof of its own goes first: a crash must leave the file that it stands beside
        steps += [*sorted(files, key=lambda one: bool(one.proof)), *links]
        return [*steps, *self._remains(candidate, names)]

    def beside(self, unit: Beside) -> tuple[list[Delete], list[Kept]]:
        """Give what goes with the links that are gone by then, and what of it has to stay."""
        gone = frozenset(one for one in unit.links if one in self._gone or one not in unit.there)
        bare = not unit.alive and unit.there <= self._gone
        if not bare and not gone:
            return [], []
        candidate = unit.candidate
        after = unit.there if bare else gone
        largest = self._largest.get(unit.folder, 0)
        steps: list[Delete] = []
        kept: list[Kept] = []
        names = sorted(gone)
        for one in candidate.holdings:
            if one.path in gone or not (bare or unit.follows(one.path, gone)):
                continue
            names.append(one.path)
            if one.path in self._gone or one.path.endswith("/"):  # a folder without files
                continue
            reason, proof = self._why_beside_goes(one, candidate, largest)
            if one.file is None or not reason:
                kept.append(Kept(one.path, self._why_beside_stays(one, candidate)))
                continue
            self._gone.add(one.path)
            steps.append(self._step("delete-link", one.path, reason, candidate, file=one.file,
                                    proof=proof))  # fmt: skip
        steps.sort(key=lambda one: bool(one.proof))
        steps += self._remains(candidate, names)
        return [replace(one, after=after, bare=bare) for one in steps], kept

    def _note_link(self, path: str, size: int) -> None:
        folder = path
        while folder := folder[: folder.rfind("/")]:
            if self._largest.get(folder, -1) >= size:
                return  # so it is above it, too
            self._largest[folder] = size

    def _why_beside_goes(
        self, holding: Holding, candidate: Candidate, largest: int
    ) -> tuple[str, tuple[Proven, ...]]:
        if holding.file is None or why_unsure(holding, candidate, self._rules):
            return "", ()
        if found := confirmed(holding, self._objects):
            return f"it goes with its film; proven as {found[0].remote}", found
        discardable = may_discard_beside(holding.file, largest, self._rules)
        return ("it goes with its film; it is discardable" if discardable else ""), ()

    def _why_beside_stays(self, holding: Holding, candidate: Candidate) -> str:
        why = why_unsure(holding, candidate, self._rules)
        if not why and holding.proofs:
            others = [why_other(one, holding, self._objects) for one in holding.proofs]
            why = f"{'; '.join(others)}; it is uploaded again"
        why = why or "nothing proves yet that it is on B2; the next upload takes it"
        return f"its film is gone, but it stays with its folder: {why}"

    def _file_steps(self, holding: Holding, candidate: Candidate) -> Iterator[Delete]:
        file = holding.file
        assert file is not None  # noqa: S101 - the caller looked
        found = confirmed(holding, self._objects)
        if not found:
            if candidate.torrent is None and _is_abandoned(holding):
                yield self._step("delete-marker", holding.path, "its item is gone", candidate,
                                 file=file, worthless=True)  # fmt: skip
                return
            reason = "it was deselected" if not holding.wanted else "it is discardable"
            if may_discard(holding, candidate, self._rules):
                kind = "delete-link" if self._rules.library_holding(holding.path) else "delete-file"
                yield self._step(kind, holding.path, reason, candidate, file=file,
                                 worthless=not holding.wanted and not holding.finished,
                                 claimants=holding.claimants)  # fmt: skip
            return
        proven = f"proven as {found[0].remote}"
        if len(found) > 1:
            proven += f" and {len(found) - 1} more"
        for name in holding.names:
            library = self._rules.library_holding(name)
            if library is None and name != holding.path:
                continue  # another name below completed: an item of its own, never ours to take
            if library is not None and library[1].after_delete == "keep":
                continue
            kind = "delete-file" if library is None else "delete-link"
            target = ""
            if library is not None and library[1].after_delete == "symlink":
                kind, target = "symlink", target_of(holding, self._objects, self._rules)
            named = renamed(file, name)
            for copy in holding.copies:
                named = copy if copy.path == name else named
            # by place: this is asked for thousands of times
            yield Delete(kind, name, proven, candidate.key, candidate.name, None, named, found,
                         False, holding.claimants, candidate.intent, _NOTHING, target)  # fmt: skip

    def _remains(self, candidate: Candidate, names: Iterable[str]) -> list[Delete]:
        """Give what goes last: the markers whose item is gone by then, and the folders."""
        marked: dict[str, File] = {}
        known = self._folders.markers
        for name in names:
            for item in (name, self._item_of(name)):
                if item in known:
                    marked[item] = known[item]
        markers = list(self._markers(candidate, marked))
        folders = list(self._folders_emptied(candidate, names))
        markers += self._markers(candidate, marked)  # of items that were folders
        return [*markers, *folders]

    def _markers(self, candidate: Candidate, marked: Mapping[str, File]) -> Iterator[Delete]:
        for item, found in marked.items():
            if found.path not in self._gone and self._goes(item):
                self._gone.add(found.path)
                yield Delete("delete-marker", found.path, f"{item[item.rfind('/') + 1 :]} goes",
                             candidate.key, candidate.name, None, found, (), False, _NOTHING,
                             candidate.intent)  # fmt: skip

    def _goes(self, item: str) -> bool:
        """Whether nothing is left of an item: its file goes, or its folder."""
        return item in self._gone or item in self._replaced or item in self._folders.absent

    def _emptied(self, folder: str) -> bool:
        """Whether nothing is left in a folder but what goes with it."""
        names = self._folders.listing.get(folder)
        if names is None:
            return False
        for name in names:
            path = f"{folder}/{name}"
            if path not in self._gone and path not in self._folders.debris:
                return False
        return True

    def _folders_emptied(self, candidate: Candidate, names: Iterable[str]) -> Iterator[Delete]:
        """Give the folders that are empty by then, the deepest first."""
        for folder in _parents(names, self._folders.reserved):
            if folder not in self._gone and self._emptied(folder):
                some = self._folders.listing[folder] if self._folders.debris else ()
                for name in sorted(some):
                    path = f"{folder}/{name}"
                    if path in self._folders.debris and path not in self._gone:
                        yield self._step("delete-file", path, "it is no part of an item", candidate,
                                         file=self._folders.debris[path],
                                         worthless=True)  # fmt: skip
                        self._gone.add(path)
                self._gone.add(folder)
                yield self._step("remove-directory", folder, "it is empty then", candidate)

    @staticmethod
    def _step(  # noqa: PLR0913 - what a step needs, and nothing else
        kind: str,
        path: str,
        reason: str,
        candidate: Candidate,
        *,
        file: File | None = None,
        proof: tuple[Proven, ...] = (),
        worthless: bool = False,
        torrent: Torrent | None = None,
        claimants: frozenset[str] = frozenset(),
        target: str = "",
    ) -> Delete:
        return Delete(
            kind, path, reason, candidate.key, candidate.name, torrent, file, proof, worthless,
            claimants, candidate.intent, target=target,
        )  # fmt: skip


def _is_abandoned(holding: Holding) -> bool:
    """Whether it is a marker that goes because its item is gone."""
    nobodys = not holding.wanted and not holding.finished
    return nobodys and holding.path.endswith(marker.SUFFIX)


def _why(candidate: Candidate) -> str:
    torrent = candidate.torrent
    if torrent is None:
        return "its deletion was begun before" if candidate.intent else "no torrent holds it"
    seeded = duration(max(candidate.seeded, torrent.seeding_time))
    return f"it has seeded for {seeded} and all of it is proven on B2 or discardable"


def _parents(names: Iterable[str], reserved: frozenset[str]) -> list[str]:
    found: set[str] = set()
    for folder in {name[: name.rfind("/")] for name in names}:
        above = folder
        while above and above not in reserved and above not in found:
            found.add(above)
            above = above[: above.rfind("/")]
    return sorted(found, key=lambda folder: (-folder.count("/"), folder))
