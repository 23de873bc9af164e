"""What lies in a library beside the links that go: subtitles, pictures, descriptions.

They go with their film (ADR 12). Which links went is remembered until nothing is left beside them,
so that a subtitle which was not uploaded yet, and a run that died, are dealt with later.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from typing import TYPE_CHECKING

from mediapipe import layout
from mediapipe.disk.index import is_there
from mediapipe.facts import fact, replace
from mediapipe.holdings import Candidate, Holding, complete, hold
from mediapipe.judging import why_keep
from mediapipe.names import matcher
from mediapipe.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from mediapipe.claims import Claims
    from mediapipe.config import Config
    from mediapipe.history import History
    from mediapipe.rules import Rules
    from mediapipe.runner import Context

_LEFT = "went from the library "
_LARGE = 100 << 20
"""Bytes from which a file is a medium, whatever its name."""
_SUFFIXES = """
mkv mp4 m4v avi mov wmv mpg mpeg m2v ts m2ts mts vob ogv ogm webm flv f4v 3gp asf rm rmvb divx
iso img bdmv evo mxf wtv dvr-ms strm
mp3 flac m4a m4b aac ogg oga opus wav aiff aif ape wv wma alac dsf dff mka ac3 dts
epub mobi azw azw3 pdf cbz cbr cb7 djvu
rar zip 7z
"""
_MEDIA = frozenset(_SUFFIXES.split())
_AFTER_STEM = ".-_ [("


@fact
class Beside:
    """A library folder from which links go, or went, with what lies beside them."""

    candidate: Candidate
    """Its holdings are what may go with the links; of a folder in which media stay, only what
    bears the name of one that goes."""
    links: frozenset[str]
    """Names that may go from it or went from it; their own folder may be gone."""
    there: frozenset[str]
    """Media, and names that may go, that were found in it."""
    alive: bool
    """Whether a medium, or something unknown, surely stays in it."""

    @property
    def folder(self) -> str:
        """Its path."""
        return self.candidate.name

    def follows(self, path: str, gone: frozenset[str]) -> bool:
        """Whether a file bears the name of a link that goes, and of no longer one that stays."""
        owners = [one for one in self.links | self.there if bears(path, one)]
        return bool(owners) and max(owners, key=len) in gone


def bears(path: str, link: str) -> bool:
    """Whether a file lies beside a link and begins with its stem."""
    stem = os.path.splitext(link)[0]
    folder = os.path.dirname(path) == os.path.dirname(link)
    return (
        folder and path.startswith(stem) and path[len(stem) : len(stem) + 1] in tuple(_AFTER_STEM)
    )


def is_medium(name: str) -> bool:
    """Whether a name is that of a film, a track, a book or an archive."""
    dot = name.rfind(".")  # `splitext` would take five times as long, for each name that is seen
    return dot > 0 and name[dot + 1 :].casefold() in _MEDIA


def remember(links: Iterable[str], history: History, now: float) -> None:
    """Remember, before they go, from where links go; call it inside `together`."""
    for path in links:
        history.done(f"{_LEFT}{json.dumps(path)}", now)


def remembered(history: History) -> frozenset[str]:
    """Give the links that went and beside which something may be left."""
    return frozenset(json.loads(one) for one in history.events(_LEFT))


def read(
    candidates: Iterable[Candidate],
    claims: Claims,
    rules: Rules,
    around: Surroundings,
    context: Context,
) -> tuple[Beside, ...]:
    """Read what lies beside the links that may go and those that went, the deepest folder first."""
    history = context.history
    left = remembered(history)
    gone, unsure = _gone(left)
    names = _by_folder(gone | _going(candidates, rules))
    homes = {folder: _home(folder, around) for folder in names}
    links: dict[str, set[str]] = defaultdict(set)
    for folder, home in homes.items():
        links[home] |= {f"{folder}/{name}" for name in names[folder]}
    reserved = layout.reserved(context.config)
    found: dict[str, Beside] = {}
    # a folder is read before those that it lies in: what lies in them may be in it
    levels: dict[int, set[str]] = defaultdict(set)
    for folder, home in homes.items():
        if home not in reserved or home == folder:  # in a root only beside the name itself
            levels[home.count("/")].add(home)
    for depth in range(max(levels, default=0), 0, -1):
        for folder in sorted(levels[depth], reverse=True):
            own = frozenset(links.get(folder, ()))
            found[folder] = unit = _read(folder, own, names, around, reserved)
            parent = folder[: folder.rfind("/")]
            if not unit.alive and parent not in reserved:
                levels[depth - 1].add(parent)
    for path in left - unsure:
        unit_of = found.get(homes[path[: path.rfind("/")]]) if path in gone else None
        if unit_of is None or (
            unit_of.alive and not any(bears(one.path, path) for one in unit_of.candidate.holdings)
        ):
            history.forget(f"{_LEFT}{json.dumps(path)}")
    # where nothing lies beside the links, they take all with them themselves
    open_ = [unit for unit in found.values() if unit.candidate.holdings]
    if not open_:
        return ()
    whole = complete([unit.candidate for unit in open_], claims, around, history)
    return tuple(replace(unit, candidate=one) for unit, one in zip(open_, whole, strict=True))


def _gone(paths: Iterable[str]) -> tuple[set[str], set[str]]:
    """Give the names that surely are gone, and those that could not be looked at."""
    gone, unsure = set(), set()
    for path in paths:
        try:
            if not is_there(path):
                gone.add(path)
        except OSError:
            unsure.add(path)
    return gone, unsure


def _by_folder(paths: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        folder, _slash, name = path.rpartition("/")
        found[folder].add(name)
    return found


def medium_below(folder: str, config: Config) -> str:
    """Give a medium, or something unknown, below a folder, or an empty string."""
    return _look_through(folder, {}, Surroundings(config), deep=True).reason


def _going(candidates: Iterable[Candidate], rules: Rules) -> set[str]:
    """Give the names in libraries that this run may delete."""
    found = set()
    for candidate in candidates:
        if why_keep(candidate, rules):
            continue
        for holding in candidate.holdings:
            for name in holding.names if holding.file else ():
                library = rules.library_holding(name)
                if library is not None and library[1].after_delete == "delete":
                    found.add(name)
    return found


def _home(folder: str, around: Surroundings) -> str:
    """Give a folder, or the nearest above it that is there."""
    while around.names(folder) is None and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


@fact
class _Seen:
    """What a look through a folder found; `reason` is a medium or something unknown that stays."""

    there: set[str]
    files: list[str]
    hollow: list[str]
    """Folders that have no files of their own."""
    reason: str


def _look_through(
    folder: str, names: Mapping[str, Container[str]], around: Surroundings, *, deep: bool
) -> _Seen:
    """Look through a folder; `names` are those that may go, or went, by the folder they lie in."""
    config = around.config
    ignored, unfinished = matcher(config.upload.ignore), matcher(config.upload.unfinished)
    there: set[str] = set()
    files: list[str] = []
    hollow: list[str] = []
    reason = ""
    pending = [folder]
    while pending and not reason:  # what lies in the folder itself is known by then
        path = pending.pop()
        try:
            listed = around.listing(path)
        except OSError as error:
            reason = f"{path}: {error.strerror}"
            break
        if deep:
            pending += [f"{path}/{name}" for name in sorted(listed.folders)]
        if listed.odd:
            reason = f"{path}/{min(listed.odd)}"
        count = len(there) + len(files)
        going, others = names.get(path, ()), listed.folders | listed.odd
        for name in listed.numbers:
            if name in going:
                there.add(f"{path}/{name}")
            elif name in others or ignored(name):
                continue
            elif is_medium(name) or unfinished(name) or is_large(f"{path}/{name}"):
                there.add(f"{path}/{name}")
                reason = reason or f"{path}/{name}"
            else:
                files.append(f"{path}/{name}")
        if count == len(there) + len(files):
            hollow.append(path)
    return _Seen(there, files, hollow, reason)


def is_large(path: str) -> bool:
    """Whether a file is a medium by its size, or cannot be looked at."""
    try:
        return os.lstat(path).st_size >= _LARGE
    except OSError:
        return True


def _read(
    folder: str,
    links: frozenset[str],
    names: Mapping[str, Container[str]],
    around: Surroundings,
    reserved: frozenset[str],
) -> Beside:
    root, config = folder in reserved, around.config
    seen = _look_through(folder, names, around, deep=not root)
    library = next(
        one.root for one in config.libraries.values() if layout.inside(f"{folder}/x", one.root)
    )
    alive = root or bool(seen.reason) or (not seen.there and _leads_away(folder, library, around))
    files = [path for path in seen.files if not alive or any(bears(path, link) for link in links)]
    holdings = [_held(hold(path, library, around)) for path in sorted(files)]
    if not alive:  # so that the folder is read and goes, also when nothing is in it any more
        holdings += [Holding(path, None) for path in sorted(links - seen.there)]
        holdings += [Holding(f"{path}/", None) for path in sorted(seen.hollow)]
    candidate = Candidate(f"beside {folder}", folder, None, "", tuple(holdings), kind="beside")
    return Beside(candidate, links, frozenset(seen.there), alive)


def _leads_away(folder: str, library: str, around: Surroundings) -> bool:
    """Whether a folder is a link, or lies behind one: what is there is not ours to remove."""
    try:
        return bool(around.why_elsewhere(f"{folder}/", library))
    except OSError:
        return True


def _held(holding: Holding) -> Holding:
    if holding.file is not None and holding.file.links > 1:
        return Holding(holding.path, None, "it has several names")
    return holding
