"""cleanup: removes torrents past their seeding time, their files and links, once all is on B2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe import abandoned, companions, holdings, imports, layout, unheld, unmonitoring
from mediapipe.claims import claims_of
from mediapipe.confirming import look_up
from mediapipe.copies import recognise
from mediapipe.deletion import Steps, void_markers
from mediapipe.errors import Unavailable
from mediapipe.facts import fact, field, replace
from mediapipe.folders import Folders, read_folders
from mediapipe.judging import asked, leftovers, why_keep, why_not_due, why_unproven
from mediapipe.linking import why_not_linkable, why_not_linked
from mediapipe.listing import Lists
from mediapipe.losses import why_no_base
from mediapipe.plan import Kept, Plan, clock, duration
from mediapipe.rules import Rules
from mediapipe.runner import Context, Report, execute
from mediapipe.settling import settle
from mediapipe.step import Delete
from mediapipe.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from mediapipe.companions import Beside
    from mediapipe.holdings import Candidate
    from mediapipe.linking import Ends
    from mediapipe.ports import Archives, Remote, RemoteObject, Torrent, TorrentClient
    from mediapipe.runner import Result
    from mediapipe.titles import Answer
    from mediapipe.unmonitoring import Apps


@fact
class Options:
    """What the command line lifts; proof is never lifted."""

    force: bool = False
    accept_loss: bool = False
    orphans_now: bool = False


@fact
class World:
    """Everything that the plan is made from."""

    candidates: tuple[Candidate, ...]
    """Complete with links, proofs and claims; deletions that were begun first, then due torrents
    that seeded longest first, then orphans."""
    names: Mapping[str, str]
    """Hash → name of every listed torrent."""
    objects: Mapping[str, RemoteObject]
    """Full remote name → object, of those that were looked up and are there."""
    folders: Folders
    kept: tuple[Kept, ...]
    refused: str
    """Why no orphan may go; empty where they may."""
    besides: tuple[Beside, ...] = ()
    """What lies in libraries beside links that may go, the deepest folder first."""
    mounted: Mapping[str, str] = field(default_factory=dict)
    """Path in the mount that was read → how it differs from the file, or an empty string."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Library link that may go → what its app says of it."""


def run(
    context: Context,
    client: TorrentClient,
    remote: Callable[[], Remote],
    options: Options,
    read_ends: Callable[[Sequence[str]], Mapping[str, Ends]],
    apps: Apps,
    archives: Callable[[], Archives],
) -> Report:
    """Delete what is due and proven, and tell why the rest stays."""
    config, history = context.config, context.history
    roots = layout.survey(
        [*(library.root for library in config.libraries.values()), config.paths.completed], history
    )
    if troubles := [root.trouble for root in roots if root.trouble]:
        raise Unavailable(
            "; ".join(troubles), hint="nothing is deleted while a root cannot be seen whole"
        )
    rules = Rules.of(config)
    world = scan(context, rules, client, remote, options, read_ends, apps, archives)
    todo = plan(world, rules, force=options.force)

    def apply(actions: Sequence[Delete]) -> Generator[Result, None, None]:
        layout.adopt(roots, history)
        settle(world.names, context)
        if history.wanted():  # what tells upload of it costs a fifth of this job's start
            from mediapipe.remembering import trigger

            trigger(context)
        if actions:
            from mediapipe.removing import remove_all

            yield from remove_all(actions, world.names, client, apps, context)

    return execute(todo, apply, context)


def scan(
    context: Context,
    rules: Rules,
    client: TorrentClient,
    remote: Callable[[], Remote],
    options: Options,
    read_ends: Callable[[Sequence[str]], Mapping[str, Ends]],
    apps: Apps,
    archives: Callable[[], Archives],
) -> World:
    """Read qBittorrent, the disk and, for what is proven so far, the remote."""
    config, history, now = context.config, context.history, context.now
    torrents = client.torrents()
    first_look = history.last("base taken") is None and not options.accept_loss
    refused = why_no_base(torrents, context, accept_loss=options.accept_loss)
    history.seed(torrents, now)
    seeded = history.seeded()
    due: list[Torrent] = []
    kept: list[Kept] = []
    for torrent in torrents:
        if reason := why_not_due(torrent, seeded[torrent.hash], rules, now):
            kept.append(Kept(torrent.name, reason))
        else:
            due.append(torrent)
    due.sort(key=lambda one: -max(one.seeding_time, seeded[one.hash]))
    begun = holdings.begun(history, {torrent.hash for torrent in torrents}, config)
    unreadable: list[str] = []
    likely = {f"{torrent.save_path}/{torrent.name}" for torrent in torrents}
    downloads = tuple(holdings.entries(config, unreadable))
    strays = any(path not in likely for path, _ in downloads)
    markers, waiting = abandoned.find(context)
    kept += waiting
    left = companions.remembered(history)
    looked_at = unheld.due(context)
    if not (due or begun or strays or markers or left or looked_at):
        history.sight("orphan", (), now)
        history.want(())
        unheld.tell_unproven((), rules, history)
        return World((), {}, {}, Folders({}, frozenset()), tuple(kept), refused)
    lists = Lists(client, history, {torrent.hash for torrent in due})
    claims = claims_of(torrents, lists, lists.seen)
    lists.remember(torrents)
    around = Surroundings(config)
    if claims.blind:
        refused = refused or f"no orphan is touched: {claims.blind}"
    alone, waiting = unheld.find(looked_at, claims, context)
    kept += waiting
    found = [
        *(holdings.of_intent(intent, around) for intent in begun),
        *(holdings.of_torrent(one, claims, around, seeded[one.hash]) for one in due),
        *_orphans(
            holdings.orphan_items(config, claims, downloads),
            context, around, options, first_look=first_look,
        ),
        *alone,
        *markers,
    ]  # fmt: skip
    candidates = recognise(
        holdings.complete(found, claims, around, history), claims, rules, context
    )
    candidates = imports.recognise(candidates, rules, apps, archives, context)
    history.want(leftovers(candidates, torrents, rules))
    unheld.tell_unproven(candidates, rules, history)
    besides = companions.read(candidates, claims, rules, around, context)
    every = (*candidates, *(one.candidate for one in besides))
    objects = look_up(every, rules, remote, context)
    kept += [Kept(line.partition(": ")[0], f"unreadable: {line}") for line in unreadable]
    names = {torrent.hash: torrent.name for torrent in torrents}
    mounted = why_not_linkable(candidates, objects, rules, read_ends)
    answers = unmonitoring.ask(candidates, objects, rules, apps)
    folders = read_folders(every, layout.reserved(config), around)
    abandoned.notice(folders.listing, context)
    told = tuple(kept)
    return World(candidates, names, objects, folders, told, refused, besides, mounted, answers)


def _orphans(
    items: Iterable[tuple[str, str]],
    context: Context,
    around: Surroundings,
    options: Options,
    *,
    first_look: bool,
) -> Iterator[Candidate]:
    """Give the downloads that no torrent holds, each with the reason if it must wait."""
    now, wait = context.now, context.config.cleanup.orphan_grace
    found = dict(items)
    sightings = context.history.sight("orphan", found, now)
    for path, category in found.items():
        seen = sightings[path]
        ripe = options.orphans_now or wait == 0 or (seen.runs > 1 and now - seen.first >= wait)
        left = max(wait - (now - seen.first), 0)
        grace = "" if ripe else (
            f"no torrent holds it since {clock(seen.first)}; if that stays so, it may go in "
            f"{duration(left)}, by the second run at the earliest"
        )  # fmt: skip
        if first_look:  # also after history was lost: that may delay a deletion, never cause one
            grace = "no torrent holds it, but this is the first look at qBittorrent's list"
        yield holdings.of_orphan(path, category, around, grace)


def plan(world: World, rules: Rules, *, force: bool) -> Plan[Delete]:
    """Decide what goes; pure, and the place where trust is won or lost."""
    passed, disproved, kept = _judge(world, rules)
    going = [one for one in passed if not one.orphan and not one.kind]
    orphans = [one for one in passed if one.orphan]
    markers = [one for one in passed if one.kind == "markers"]
    alone = [one for one in passed if one.kind == "library"]
    most = rules.config.cleanup.max_deletes
    refused = world.refused if _has_orphans(world) else ""
    if not refused and not force and sum(map(_inodes, orphans)) > most:
        refused = (
            f"{sum(map(_inodes, orphans))} files of orphans would go, more than max_deletes = "
            f"{most}: look at them with --dry-run --force, then run once with --force"
        )
    if refused:
        kept += [Kept(one.name, refused) for one in orphans]
        orphans = []
    if world.refused:  # a torrent that is not listed may hold what looks like nobody's
        others = [*markers, *alone, *(one.candidate for one in world.besides)]
        kept += [Kept(one.name, world.refused) for one in others]
        markers, alone = [], []
    going, waiting = _within([*going, *alone], most, force=force)
    kept += [
        Kept(one.name, f"max_deletes = {most} files are reached; it goes in a later run")
        for one in waiting
    ]
    steps = Steps(rules, world.folders, world.objects, disproved)
    chosen = [*going, *orphans, *markers]
    staying = frozenset(world.names) - {one.key for one in chosen}
    actions = list(disproved.values())
    later = {one.key for one in chosen}
    for candidate in chosen:
        later.remove(candidate.key)
        actions += unmonitoring.first(steps.of(candidate, later, staying), world.answers)
        kept += [
            Kept(holding.path, f"the torrent {world.names[hash_]} holds it too")
            for holding in candidate.holdings
            for hash_ in sorted(holding.claimants & staying)[:1]
        ]
    beside: dict[str, Kept] = {}  # a folder and those that it lies in may name the same file
    for unit in () if world.refused else world.besides:
        more, told = steps.beside(unit)
        actions += more
        for one in told:
            beside.setdefault(one.path, one)
    kept += beside.values()
    return Plan("cleanup", tuple(actions), tuple(kept), refused=refused)


def _judge(world: World, rules: Rules) -> tuple[list[Candidate], dict[str, Delete], list[Kept]]:
    """Give the candidates that may go, the markers that were disproved, and why the rest stays."""
    kept = list(world.kept)
    passed: list[Candidate] = []
    disproved: dict[str, Delete] = {}
    for candidate in world.candidates:
        reason = why_keep(candidate, rules)
        if not reason and (reason := why_unproven(candidate, world.objects)):
            for step in void_markers(candidate, world.objects, world.folders, rules):
                disproved.setdefault(step.path, step)
        reason = reason or why_not_linked(candidate, world.objects, world.mounted, rules)
        reason = reason or unmonitoring.why_waits(candidate, world.answers, rules)
        if reason:
            kept.append(Kept(candidate.name, reason))
        else:
            passed.append(candidate)
    for unit in world.besides:
        one = replace(unit.candidate, holdings=asked(unit.candidate, rules))
        for step in void_markers(one, world.objects, world.folders, rules):
            disproved.setdefault(step.path, step)
    return passed, disproved, kept


def _within(
    candidates: list[Candidate], most: int, *, force: bool
) -> tuple[list[Candidate], list[Candidate]]:
    """Take candidates in their order up to `most` files; one always fits."""
    taken: list[Candidate] = []
    waiting: list[Candidate] = []
    count = 0
    for candidate in candidates:
        count += _inodes(candidate)
        (waiting if taken and count > most and not force else taken).append(candidate)
    return taken, waiting


def _inodes(candidate: Candidate) -> int:
    return len({one.file.inode for one in candidate.holdings if one.file})


def _has_orphans(world: World) -> bool:
    return any(one.orphan for one in world.candidates)
