"""No plan ever deletes what is not proven or shared: worlds of all kinds, judged a second time.

The worlds are made in memory from a small model of a host (inodes, names, torrents, objects); the
judge knows the model and none of the code that plans.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import assume, given
from hypothesis import strategies as st

from mediapipe import layout
from mediapipe.config import ArrConfig
from mediapipe.disk.index import File, fingerprint
from mediapipe.disk.marker import SUFFIX, marker_path
from mediapipe.folders import Folders
from mediapipe.holdings import Candidate, Holding
from mediapipe.items import Item
from mediapipe.items import World as Pending
from mediapipe.jobs import cleanup, upload
from mediapipe.ports import RemoteObject, Torrent
from mediapipe.records import Pause, Proof, Proven
from mediapipe.rules import Rules
from mediapipe.step import Delete
from mediapipe.titles import Answer, Title
from mediapipe.units import AbsPath, SecretFile
from tests.examples import steady
from tests.hosts import WEEK, config_for

HOME = Path("/host")
COMPLETED = f"{HOME}/sample/completed"  # a name that is discardable as a part of an item
CONFIG = replace(
    config_for(HOME),
    paths=replace(config_for(HOME).paths, completed=AbsPath(COMPLETED)),
    categories={
        name: AbsPath(f"{COMPLETED}/{os.path.basename(path)}")
        for name, path in config_for(HOME).categories.items()
    },
)

if TYPE_CHECKING:
    from collections.abc import Iterable
TV, MOVIES = f"{HOME}/media/tv", f"{HOME}/media/movies"
RESERVED = layout.reserved(CONFIG)
NOW = 1_800_000_000.0
MIB = 1 << 20

DOWNLOADS = [
    "tv/A/a.mkv", "tv/A/b.mkv", "tv/A/a.nfo", "tv/A/Sample/s.mkv", "tv/A/deep/er/c.mkv",
    "tv/B/a.mkv", "tv/B/b.nfo", "tv/B.sample.d/x.txt", "tv/solo.mkv",
    "books/K/k.epub", "books/K/k.nfo", "Loose/l.mkv", "Loose/l.nfo", "single.mkv",
]  # fmt: skip
LIBRARY = ["tv/Show/Season 1/a.mkv", "tv/Show/Season 1/a.nfo", "tv/Show/b.mkv", "movies/F/f.mkv"]
DEBRIS = [
    f"{COMPLETED}/tv/A/.DS_Store", f"{COMPLETED}/tv/A/deep/Thumbs.db", f"{COMPLETED}/tv/B/._a.mkv",
    f"{COMPLETED}/Loose/.DS_Store", f"{TV}/Show/Season 1/._a.mkv", f"{TV}/Show/.DS_Store",
]  # fmt: skip
SIZES = [0, 1, MIB, 10 * MIB, 100 * MIB - 1, 100 * MIB, 1000 * MIB, 2000 * MIB]
DISCARDABLE = CONFIG.cleanup.discardable


@dataclass(frozen=True)
class Data:
    """An inode: what the disk has, and what the remote has of it."""

    number: int
    size: int
    proof: bool
    thing: str
    """What stands on the remote under its proof's name: same, gone, other, shorter, blank."""
    elsewhere: int
    """Names that no walk finds."""
    members: int = 1
    """More than one for a volume of an archive; then `thing` is told of the last one."""

    @property
    def confirmed(self) -> bool:
        return self.proof and self.thing == "same"

    @property
    def parts(self) -> tuple[Proven, ...]:
        """What the proof says of the remote."""
        alone = self.members == 1
        return tuple(
            Proven(
                f"b2:bucket/tv/object {self.number}.{number}",
                self.size if alone else 10 + number,
                f"{self.number:038x}{number:02x}",
            )
            for number in range(self.members)
        )

    @property
    def objects(self) -> dict[str, RemoteObject]:
        """What the remote says."""
        found = {}
        for part in self.parts:
            thing = self.thing if part == self.parts[-1] else "same"
            size = part.size + 1 if thing == "shorter" else part.size
            sha1 = {"other": "f" * 40, "blank": ""}.get(thing, part.sha1)
            if thing != "gone":
                found[part.remote] = RemoteObject(size, sha1, "id")
        return found


@dataclass(frozen=True)
class Listed:
    """A torrent with its paths; pieces are files that were deselected half-way."""

    hash: str
    category: str
    paths: tuple[str, ...]
    pieces: frozenset[str]
    due: bool


@dataclass
class Model:
    """A host."""

    tree: dict[str, Data]
    torrents: list[Listed]
    intents: list[dict[str, bool]]
    """Path → whether it is still the piece that it was when the deletion began."""
    graces: set[str]
    markers: set[str]
    config: Any
    refused: str
    force: bool
    debris: frozenset[str] = frozenset()
    names: dict[Data, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.names = defaultdict(list)
        for path, data in sorted(self.tree.items()):
            self.names[data].append(path)

    def file(self, path: str) -> File | None:
        data = self.tree.get(path)
        if data is None:
            return None
        links = len(self.names[data]) + data.elsewhere
        return File(path, 1, data.number, links, data.size, 7, 7)

    def holders(self, path: str) -> frozenset[str]:
        data = self.tree.get(path)
        return frozenset(
            one.hash
            for one in self.torrents
            for held in one.paths
            if held == path or (data is not None and self.tree.get(held) == data)
        )

    def holding(self, path: str, pieces: frozenset[str] = frozenset()) -> Holding:
        data = self.tree.get(path)
        piece = path in pieces
        return Holding(
            path,
            self.file(path),
            "",
            not piece,
            not piece,
            tuple(sorted({path, *(self.names[data] if data else ())})),
            (Proof(f"place {data.number}", data.parts),) if data and data.proof else (),
            self.holders(path),
        )

    def orphans(self) -> dict[str, list[str]]:
        """Give the entries that no torrent holds by path, with their files."""
        held = {path for one in self.torrents for path in one.paths}
        found: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self.tree):
            if path.startswith(COMPLETED + "/"):
                found[entry_of(path)].append(path)
        return {
            entry: files
            for entry, files in found.items()
            if not any(path == entry or path.startswith(entry + "/") for path in held)
        }

    def candidates(self) -> list[Candidate]:
        made = [
            Candidate(
                f"intent {number}", f"T{number}", None, category_of(next(iter(paths))),
                tuple(self.holding(path, pieces_of(paths)) for path in paths), number,
            )
            for number, paths in enumerate(self.intents, 1)
        ]  # fmt: skip
        made += [
            Candidate(
                one.hash, one.hash, torrent_of(one), one.category,
                tuple(self.holding(path, one.pieces) for path in one.paths),
            )
            for one in self.torrents
            if one.due
        ]  # fmt: skip
        made += [
            Candidate(
                entry, entry, None, category_of(entry),
                tuple(self.holding(path) for path in files),
                grace="wait" if entry in self.graces else "",
            )
            for entry, files in self.orphans().items()
        ]  # fmt: skip
        return made

    def objects(self) -> dict[str, RemoteObject]:
        found: dict[str, RemoteObject] = {}
        for data in self.names:
            found |= data.objects
        return found

    def folders(self) -> Folders:
        """Give what is in the folders above every name that may go, as a reader would find it."""
        inside: dict[str, set[str]] = defaultdict(set)
        for path in [*self.tree, *self.markers, *self.debris]:
            child, folder = path, os.path.dirname(path)
            while folder not in RESERVED and folder != "/":
                inside[folder].add(os.path.basename(child))
                child, folder = folder, os.path.dirname(folder)
        named = {name for one in self.candidates() for two in one.holdings for name in two.names}
        above = {folder for name in named for folder in parents(name)} - RESERVED
        listing = {folder: frozenset(inside[folder]) for folder in above if folder in inside}
        markers = {
            path.removesuffix(SUFFIX): File(path, 1, 1000 + number, 1, 10, 7, 7)
            for number, path in enumerate(sorted(self.markers))
        }
        debris = {
            path: File(path, 1, 2000 + number, 1, 6, 7, 7)
            for number, path in enumerate(sorted(self.debris))
            if os.path.dirname(path) in listing
        }
        absent = frozenset(
            path for one in self.candidates() for two in one.holdings for path in [two.path]
            if path not in self.tree
        )  # fmt: skip
        return Folders(listing, RESERVED, markers, absent, debris)

    def world(self) -> cleanup.World:
        names = {one.hash: one.hash for one in self.torrents}
        return cleanup.World(
            tuple(self.candidates()), names, self.objects(), self.folders(), (), self.refused
        )


def pieces_of(intent: dict[str, bool]) -> frozenset[str]:
    return frozenset(path for path, piece in intent.items() if piece)


def torrent_of(one: Listed) -> Torrent:
    folder = f"{COMPLETED}/tv" if one.category == "tv-sonarr" else COMPLETED
    return Torrent(one.hash, one.hash, one.category, "stalledUP", 1.0, 0, folder, 1, WEEK, 1.0)


def entry_of(path: str) -> str:
    base = COMPLETED
    for category in ("tv", "movies", "books"):
        if path.startswith(f"{COMPLETED}/{category}/"):
            base = f"{COMPLETED}/{category}"
    return f"{base}/{path[len(base) + 1 :].partition('/')[0]}"


def category_of(path: str) -> str:
    places = {
        f"{COMPLETED}/tv/": "tv-sonarr", f"{TV}/": "tv-sonarr",
        f"{COMPLETED}/movies/": "radarr", f"{MOVIES}/": "radarr",
        f"{COMPLETED}/books/": "books",
    }  # fmt: skip
    return next((name for place, name in places.items() if path.startswith(place)), "")


@st.composite
def models(draw: st.DrawFn) -> Model:
    number = st.integers(1, 6)
    data = {
        one: Data(
            one,
            draw(st.sampled_from(SIZES)),
            draw(st.sampled_from([True, True, True, False])),
            draw(st.sampled_from(["same"] * 6 + ["gone", "other", "shorter", "blank"])),
            draw(st.sampled_from([0] * 8 + [1])),
            draw(st.sampled_from([1, 1, 1, 2, 3])),
        )
        for one in range(1, 7)
    }
    downloads = [f"{COMPLETED}/{name}" for name in DOWNLOADS]
    library = [f"{HOME}/media/{name}" for name in LIBRARY]
    tree = draw(st.dictionaries(st.sampled_from(downloads + library), number, min_size=1))
    paths = st.lists(st.sampled_from(downloads), min_size=1, max_size=4, unique=True)
    torrents = []
    for hash_ in draw(st.lists(st.sampled_from("pqrs"), unique=True)):
        held = tuple(draw(paths))
        pieces = frozenset(path for path in held if draw(st.sampled_from([False] * 5 + [True])))
        torrents.append(
            Listed(
                hash_,
                draw(st.sampled_from(["tv-sonarr", "tv-sonarr", "radarr", "books", ""])),
                held,
                pieces,
                draw(st.sampled_from([True, True, False])),
            )
        )
    intents = draw(
        st.lists(
            st.dictionaries(
                st.sampled_from(downloads + library),
                st.sampled_from([False, False, True]),
                min_size=1,
                max_size=4,
            ),
            max_size=2,
        )
    )
    graces = draw(st.sets(st.sampled_from([entry_of(path) for path in downloads])))
    markers = draw(st.sets(st.sampled_from(downloads + library + [entry_of(p) for p in downloads])))
    config = replace(
        CONFIG,
        cleanup=replace(
            CONFIG.cleanup,
            max_deletes=draw(st.sampled_from([1, 2, 3, 500, 500, 500])),
            links_elsewhere=draw(st.sampled_from(["keep", "keep", "ignore"])),
        ),
        libraries={
            name: replace(
                one,
                after_delete=draw(
                    st.sampled_from(["delete", "delete", "delete", "keep", "symlink"])
                ),
            )
            for name, one in CONFIG.libraries.items()
        },
    )
    return Model(
        {path: data[one] for path, one in tree.items()},
        torrents,
        intents,
        graces,
        {marker_path(item) for item in markers},
        config,
        draw(st.sampled_from(["", "", "", "the list is lost"])),
        draw(st.booleans()),
        draw(st.frozensets(st.sampled_from(DEBRIS))),
    )


def planned(model: Model) -> Any:
    return cleanup.plan(model.world(), Rules.of(model.config), force=model.force)


# the judge


def may_be_discarded(model: Model, path: str, candidate: Candidate) -> bool:
    """Judge anew, by the words of the contract, whether a file may go unuploaded."""
    data = model.tree[path]
    pieces = [one.pieces for one in model.torrents if one.hash == candidate.key]
    if candidate.intent:
        pieces = [pieces_of(model.intents[candidate.intent - 1])]
    if any(path in one for one in pieces):
        return len(model.names[data]) + data.elsewhere == 1
    if candidate.category not in ("tv-sonarr", "radarr"):
        return False
    there = [model.tree[one.path] for one in candidate.holdings if one.path in model.tree]
    if not any(one.confirmed for one in there):
        return False
    largest = max(one.size for one in there)
    if data.size >= 100 * MIB or data.size > largest / 10:
        return False
    # no component above the item itself counts: a folder of downloads may bear any name
    root = next(one for one in (COMPLETED, TV, MOVIES) if path.startswith(one + "/"))
    above = os.path.dirname(entry_of(path)) if root == COMPLETED else root
    inner = path[len(above) + 1 :]
    return any(
        fnmatchcase(part.lower(), pattern) for part in inner.split("/") for pattern in DISCARDABLE
    )


@steady(300)
@given(models())
def test_nothing_goes_that_is_not_proven_or_discardable_and_nothing_that_is_shared(
    model: Model,
) -> None:
    made = planned(model)
    candidates = {one.key: one for one in model.candidates()}
    going = {one.torrent.hash for one in made.actions if one.torrent}
    staying = {one.hash for one in model.torrents} - going
    for step in made.actions:
        if step.kind not in ("delete-file", "delete-link"):
            continue
        if step.path in model.debris:
            emptied = {(one.kind, one.path) for one in made.actions if one.group == step.group}
            assert ("remove-directory", os.path.dirname(step.path)) in emptied, step
            continue
        data = model.tree[step.path]
        candidate = candidates[step.group]
        assert step.file is not None
        assert (step.file.number, step.file.size) == (data.number, data.size)
        assert data.confirmed or may_be_discarded(model, step.path, candidate), step
        assert not model.holders(step.path) & staying, step
        assert not (data.elsewhere and model.config.cleanup.links_elsewhere == "keep"), step
        in_library = step.path.startswith((TV, MOVIES))
        assert step.kind == ("delete-link" if in_library else "delete-file")
        if in_library:
            library = "tv" if step.path.startswith(TV) else "movies"
            assert model.config.libraries[library].after_delete == "delete", step
        if candidate.torrent is None:
            assert not candidate.grace, step
            assert not model.holders(step.path), step
        if candidate.torrent is None and not candidate.intent:
            assert not model.refused, step


SHOW = Title("Show", (1,), fetched_again=True)
ANSWERS = [
    Answer("sonarr", SHOW), Answer("sonarr", replace(SHOW, fetched_again=False)),
    Answer("sonarr"), Answer("sonarr", trouble="it is down"), None,
]  # fmt: skip


@steady(200)
@given(models(), st.data())
def test_no_library_link_goes_that_would_come_back(model: Model, data: st.DataObject) -> None:
    table = ArrConfig("http://127.0.0.1:8989", SecretFile("key"))
    config = replace(model.config, arr={"sonarr": table}, libraries=CONFIG.libraries)
    # all else is well, so that the answers alone decide
    tree = {
        path: replace(one, proof=True, thing="same", elsewhere=0)
        for path, one in model.tree.items()
    }
    model = replace(model, tree=tree, refused="", graces=set(), config=config, force=True)
    links = [path for path in sorted(model.tree) if path.startswith(f"{TV}/")]
    told = {path: data.draw(st.sampled_from(ANSWERS)) for path in links}
    answers = {path: answer for path, answer in told.items() if answer is not None}
    world = replace(model.world(), answers=answers)
    made = cleanup.plan(world, Rules.of(model.config), force=model.force)
    groups: dict[str, list[Any]] = defaultdict(list)
    for step in made.actions:
        groups[step.group].append(step)
    for steps in groups.values():
        first = [one.path for one in steps if one.kind == "unmonitor"]
        assert [one.path for one in steps[: len(first)]] == first
        gone = [one.path for one in steps if one.kind == "delete-link" and one.path in links]
        assert all(path in answers and not answers[path].trouble for path in gone)
        assert first == [path for path in gone if answers[path].title == SHOW]


@steady(300)
@given(models())
def test_one_unproven_file_keeps_the_whole_torrent(model: Model) -> None:
    made = planned(model)
    candidates = {one.key: one for one in model.candidates()}
    for key in {step.group for step in made.actions if not step.group.startswith("void ")}:
        for one in candidates[key].holdings:
            data = model.tree.get(one.path)
            if data is not None:
                fine = data.confirmed or may_be_discarded(model, one.path, candidates[key])
                assert fine, (key, one.path)


@steady(300)
@given(models())
def test_the_steps_can_be_done_in_their_order(model: Model) -> None:
    """Do the steps on a copy of the tree: nothing twice, and only empty folders are removed."""
    made = planned(model)
    there = {*model.tree, *model.markers, *model.debris}
    folders = {parent for path in there for parent in parents(path)}
    removed: set[str] = set()
    seen: set[str] = set()
    for step in made.actions:
        if step.kind == "remove-torrent":
            assert step.torrent is not None
            assert step.torrent.hash not in removed, "twice"
            removed.add(step.torrent.hash)
            continue
        assert step.path not in seen, f"twice: {step}"
        seen.add(step.path)
        if step.kind == "remove-directory":
            assert step.path in folders, step
            assert step.path not in RESERVED, step
            inside = [one for one in there | folders if one.startswith(step.path + "/")]
            assert inside == [], step
            folders.remove(step.path)
            continue
        assert step.path in there, step
        there.remove(step.path)
        if step.kind == "delete-marker":
            assert step.path in model.markers
        elif step.path not in model.debris:
            assert model.holders(step.path) <= removed, f"before its torrents: {step}"


def parents(path: str) -> set[str]:
    found = set()
    folder = os.path.dirname(path)
    while folder != "/":
        found.add(folder)
        folder = os.path.dirname(folder)
    return found


@steady(300)
@given(models())
def test_a_marker_goes_only_with_its_item_or_its_object(model: Model) -> None:
    made = planned(model)
    there = set(model.tree)
    for step in made.actions:
        if step.kind in ("delete-file", "delete-link") and step.path not in model.debris:
            there.remove(step.path)
        if step.kind == "delete-marker" and not step.group.startswith("void "):
            item = step.path.removesuffix(".uploaded")
            assert not any(one == item or one.startswith(item + "/") for one in there), step
        elif step.kind == "delete-marker":
            assert any(data.proof and not data.confirmed for data in model.tree.values()), step


@steady(300)
@given(models())
def test_everything_goes_or_is_kept_with_a_reason(model: Model) -> None:
    made = planned(model)
    acting = {step.group for step in made.actions}
    kept = defaultdict(list)
    for one in made.kept:
        assert one.reason
        assert one.reason.strip() == one.reason
        kept[one.path].append(one.reason)
    for candidate in model.candidates():
        if candidate.torrent is not None:
            removed = any(
                step.torrent and step.torrent.hash == candidate.key for step in made.actions
            )
            assert removed != bool(kept[candidate.name]), candidate
        elif any(one.file for one in candidate.holdings):
            handled_before = {step.path for step in made.actions}
            mine = {one.path for one in candidate.holdings if one.file}
            done = candidate.key in acting or mine <= handled_before
            assert done or kept[candidate.name], candidate


@steady(300)
@given(models())
def test_the_limits_hold(model: Model) -> None:
    made = planned(model)
    if model.force:
        return
    most = model.config.cleanup.max_deletes
    candidates = {one.key: one for one in model.candidates()}
    orphans: set[int] = set()
    others: dict[str, set[int]] = defaultdict(set)
    for step in made.actions:
        if step.group.startswith("void ") or step.path not in model.tree:
            continue
        candidate, number = candidates[step.group], model.tree[step.path].number
        if candidate.torrent is None and not candidate.intent:
            orphans.add(number)
        else:
            others[step.group].add(number)
    assert len(orphans) <= most
    assert len(others) <= 1 or len(set().union(*others.values())) <= most


def gist(made: Any) -> set[tuple[str, str]]:
    return {(step.kind, step.path) for step in made.actions}


@steady(100)
@given(models())
def test_the_same_world_gives_the_same_plan(model: Model) -> None:
    assert planned(model) == planned(model)


@steady(200)
@given(models(), st.randoms(use_true_random=False))
def test_the_order_of_the_facts_changes_nothing_that_goes(model: Model, random: Any) -> None:
    """Without a limit the same files go, in whichever order candidates and files are told."""
    world, rules = model.world(), Rules.of(model.config)
    shuffled = []
    for candidate in world.candidates:
        held = list(candidate.holdings)
        random.shuffle(held)
        shuffled.append(replace(candidate, holdings=tuple(held)))
    random.shuffle(shuffled)
    other = replace(world, candidates=tuple(shuffled))
    assume(not world.refused)
    assert gist(cleanup.plan(other, rules, force=True)) == gist(
        cleanup.plan(world, rules, force=True)
    )


@steady(200)
@given(models())
def test_a_plan_that_was_carried_out_is_not_made_again(model: Model) -> None:
    """After all steps the next plan touches none of the same names."""
    first = planned(model)
    gone = {step.path for step in first.actions}
    removed = {step.torrent.hash for step in first.actions if step.torrent}
    after = Model(
        {path: data for path, data in model.tree.items() if path not in gone},
        [one for one in model.torrents if one.hash not in removed],
        model.intents,
        model.graces,
        model.markers - gone,
        model.config,
        model.refused,
        model.force,
        model.debris - gone,
    )
    assert not {step.path for step in planned(after).actions} & gone


# upload


NAMES = [
    "{}/1", "{}/deep/2", "{}/x.part1.rar", "{}/x.part2.rar", "{}/deep/y.zip", "{}/z.rar",
    "{}/z.r00", "{}/lost.r00",
]  # fmt: skip
SETS = [["{}/x.part1.rar", "{}/x.part2.rar"], ["{}/deep/y.zip"], ["{}/z.rar", "{}/z.r00"]]


@st.composite
def items(draw: st.DrawFn) -> Item:
    uncategorized = draw(st.booleans())
    base = draw(st.sampled_from([COMPLETED, f"{COMPLETED}/books"])) if uncategorized else TV
    name = draw(st.sampled_from(["a", "b", "c", "d"]))
    own = [name]
    if uncategorized and draw(st.sampled_from([True, True, False])):
        chosen = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
        own = [one.format(name) for one in chosen]
    elif draw(tenth()):
        own = [f"{name}.zip"]
    trouble = draw(st.sampled_from(["", "", "", "x.part is not finished"]))
    when = draw(st.sampled_from([[-9000, -8000], [-9000, -61, -60, -59, -1, 0, 500]]))
    times = st.sampled_from(when)
    files = {
        one: File(
            f"{base}/{one}", 1, draw(st.integers(1, 9)), draw(st.sampled_from([1, 1, 2])), 5,
            int((NOW + draw(times)) * 1e9), int((NOW + draw(times)) * 1e9),
        )
        for one in own
    }  # fmt: skip
    prefix = "downloads" if uncategorized else "tv"
    path = f"{base}/{own[0].split('/')[0]}"
    return Item(path, base, prefix, files, uncategorized, trouble)


def sets_of(item: Item) -> list[list[str]]:
    """Tell the archives of an item by the few names that are drawn, and no regular expression."""
    if not item.uncategorized:
        return []
    name = os.path.basename(item.path)
    if name in item.files:
        return [[name]] if name.endswith(".zip") else []
    found = [[one.format(name) for one in names] for names in SETS]
    return [
        [one for one in names if one in item.files] for names in found if names[0] in item.files
    ]


@dataclass(frozen=True)
class Facts:
    """What an upload is planned from."""

    world: Pending
    busy: dict[str, str]
    done: dict[str, frozenset[str]]
    odd: set[str]
    pauses: dict[str, Pause]

    def plan(self, world: Pending | None = None) -> Any:
        def why_not(name: str) -> str:
            return "its name is odd" if name in self.odd else ""

        facts = replace(world or self.world, busy=self.busy, done=self.done)
        return upload.plan(facts, why_not, self.pauses, CONFIG, NOW)

    def rests(self, path: str, item: Item, names: Iterable[str]) -> bool:
        """Whether what failed lately were these very files."""
        pause = self.pauses.get(path)
        mark = fingerprint({name: item.files[name] for name in names})
        return bool(pause and pause.until > NOW and pause.fingerprint == mark)


@st.composite
def pending(draw: st.DrawFn) -> Facts:
    found = draw(st.lists(items(), max_size=8, unique_by=lambda one: one.path))
    busy = {one.path: "a torrent is not done with it" for one in found if draw(tenth())}
    odd = {one.remote_name(name) for one in found for name in one.files if draw(tenth())}
    done = {
        one.path: frozenset(draw(st.sets(st.sampled_from(sorted(one.files)))))
        for one in found
        if sets_of(one)
    }
    pauses = {
        path: Pause(
            NOW + draw(st.sampled_from([-5.0, 0.0, 5.0])), 1, "why",
            draw(st.sampled_from([*marks, "another"])),
        )
        for one in found
        for path, marks in marks_of(one, done.get(one.path, frozenset())).items()
        if draw(tenth())
    }  # fmt: skip
    return Facts(Pending(tuple(found), (), ""), busy, done, odd, pauses)


def marks_of(item: Item, done: frozenset[str]) -> dict[str, list[str]]:
    """Give path → fingerprints of what may have failed there: the loose files, each archive."""
    archives = sets_of(item)
    volumes = {name for names in archives for name in names}
    loose = item.files.keys() - volumes - (done if archives else set())
    marks = {item.path: [fingerprint({name: item.files[name] for name in loose})]}
    for names in archives:
        mark = fingerprint({name: item.files[name] for name in names})
        marks.setdefault(item.files[names[0]].path, []).append(mark)
    return marks


def tenth() -> st.SearchStrategy[bool]:
    return st.sampled_from([False] * 7 + [True])


@steady(300)
@given(pending())
def test_no_upload_of_what_is_unfinished_unsettled_or_unstorable(facts: Facts) -> None:
    made = facts.plan()
    for action in made.actions:
        item = action.item
        assert not item.trouble
        assert item.path not in facts.busy
        assert not {item.remote_name(name) for name in item.files} & facts.odd
        for file in item.files.values():
            # what claims to be of the future is judged by this host's own clock alone
            future = file.mtime_ns > NOW * 1e9
            changed = file.ctime_ns if future else max(file.mtime_ns, file.ctime_ns)
            rests = NOW * 1e9 - changed >= 60e9
            imported = file.links > 1 and NOW * 1e9 - file.mtime_ns >= 60e9
            assert rests or imported
        assert not facts.rests(action.path, item, action.files)
    assert all(one.reason for one in made.kept)


@steady(300)
@given(pending())
def test_each_file_is_in_one_action_or_is_kept_and_what_is_done_is_in_none(facts: Facts) -> None:
    made = facts.plan()
    acting: dict[str, list[Any]] = defaultdict(list)
    for action in made.actions:
        acting[action.item.path].append(action)
    kept = {one.path: one.reason for one in made.kept}
    assert len(kept) == len(made.kept)
    for item in facts.world.items:
        done = facts.done.get(item.path, frozenset())
        archives = sets_of(item)
        mine = acting[item.path]
        if not mine and not kept.get(item.path, "failed ").startswith("failed "):
            continue  # kept as a whole
        expected = [
            ("extract", item.files[names[0]].path, set(names))
            for names in archives
            if not set(names) <= done
        ]
        volumes = {name for names in archives for name in names}
        loose = item.files.keys() - volumes - (done if archives else set())
        if loose or not expected:  # with nothing left but the marker, the marker alone is written
            expected.append(("upload", item.path, loose))
        assert sorted((one.kind, one.path, set(one.files)) for one in mine) == sorted(
            one for one in expected if not facts.rests(one[1], item, one[2])
        )
        assert {one[1] for one in expected if facts.rests(one[1], item, one[2])} <= kept.keys()


@steady(300)
@given(pending())
def test_no_two_uploads_share_a_name_on_the_remote(facts: Facts) -> None:
    made = facts.plan()
    whole = [one for one in made.actions if one.kind == "upload"]
    objects = [one.item.remote_name(name) for one in whole for name in one.files]
    assert len(set(objects)) == len(objects)
    assert len({one.remote for one in whole}) == len(whole)
    assert len({one.remote for one in made.actions}) == len({one.item.path for one in made.actions})


@steady(300)
@given(pending(), st.randoms(use_true_random=False))
def test_libraries_go_first_then_the_folder_that_changed_last(facts: Facts, random: Any) -> None:
    made = facts.plan()
    newest: dict[str, int] = defaultdict(int)
    for item in facts.world.items:
        folder = os.path.dirname(item.path)
        newest[folder] = max(newest[folder], item.changed_ns)
    order = [
        (
            one.item.uncategorized,
            -newest[os.path.dirname(one.item.path)],
            os.path.dirname(one.item.path),
            -one.item.changed_ns,
        )
        for one in made.actions
    ]
    assert order == sorted(order)
    shuffled = list(facts.world.items)
    random.shuffle(shuffled)
    again = facts.plan(replace(facts.world, items=tuple(shuffled)))
    # where items are equally new, either may have the name that both want
    equal = len({one.changed_ns for one in shuffled}) < len(shuffled)
    assert again.actions == made.actions or equal
    assert len(again.actions) == len(made.actions) or equal


@steady(100)
@given(st.lists(st.sampled_from([TV, MOVIES, COMPLETED, f"{COMPLETED}/tv", f"{COMPLETED}/books"])))
def test_reserved_folders_are_all_that_lead_to_a_root(places: list[str]) -> None:
    for place in places:
        assert place in RESERVED
        assert parents(place) <= RESERVED


def test_a_deletion_that_was_begun_discards_by_the_names_inside_the_item_alone() -> None:
    """What lies above an item may have any name: `sample` there makes nothing discardable."""
    link, small = f"{TV}/Show/b.mkv", f"{COMPLETED}/tv/A/b.mkv"
    proven = Data(1, 1000 * MIB, proof=True, thing="same", elsewhere=0)
    unproven = Data(2, MIB, proof=False, thing="gone", elsewhere=0)
    tree = {link: proven, small: unproven}
    model = Model(tree, [], [{small: False, link: False}], set(), set(), CONFIG, "", force=False)
    (candidate, _orphan) = model.candidates()
    assert not may_be_discarded(model, small, candidate)
    assert small not in {step.path for step in planned(model).actions}
    # the same bytes go where they are still the piece of a file that nobody wanted
    piece = replace(model, intents=[{small: True, link: False}])
    assert {small, link} <= {step.path for step in planned(piece).actions}


def test_the_judge_finds_a_plan_that_is_wrong() -> None:
    """A plan with one wrong step: else the tests above would prove nothing."""
    data = Data(1, 1000, proof=False, thing="gone", elsewhere=0)
    path = f"{COMPLETED}/tv/A/a.mkv"
    torrent = Listed("p", "tv-sonarr", (path,), frozenset(), due=True)
    model = Model({path: data}, [torrent], [], set(), set(), CONFIG, "", force=False)
    (candidate,) = model.candidates()
    wrong = Delete("delete-file", path, "", "p", file=model.file(path))
    assert not data.confirmed
    assert not may_be_discarded(model, wrong.path, candidate)
    assert model.holders(path) == {"p"}
    assert planned(model).actions == ()
    sound = replace(data, proof=True, thing="same")
    assert [step.kind for step in planned(replace(model, tree={path: sound})).actions] == [
        "remove-torrent",
        "delete-file",
        "remove-directory",
    ]
