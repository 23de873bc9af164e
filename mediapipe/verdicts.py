"""What becomes of a file or a torrent: read out of the jobs' own rehearsals; pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from mediapipe import layout
from mediapipe.explanation import Verdict
from mediapipe.judging import why_not_due
from mediapipe.names import matcher
from mediapipe.plan import clock, duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mediapipe.explanation import AboutFile
    from mediapipe.plan import Action, Kept
    from mediapipe.ports import Torrent
    from mediapipe.rules import Rules
    from mediapipe.runner import Report, Result

T = TypeVar("T")


@dataclass(frozen=True)  # a fact has no room for what is reckoned once and kept
class Rehearsal:
    """How the next runs would go; None where that could not be told."""

    cleanup: Report | None
    upload: Report | None
    seeded: Mapping[str, float]
    """Hash → seconds of our own seeding record, by then."""
    unasked: Mapping[str, str]
    """Job → why it could not be rehearsed."""

    @cached_property
    def sent(self) -> _Said[Result]:
        """What upload does, by the paths of the item and of its files."""
        results = self.upload.results if self.upload else ()
        return _Said((path, one) for one in results for path in _paths(one.action))

    @cached_property
    def deleted(self) -> _Said[Result]:
        """What cleanup does."""
        results = self.cleanup.results if self.cleanup else ()
        return _Said((one.action.path, one) for one in results)

    @cached_property
    def unsent(self) -> _Said[Kept]:
        """What upload leaves alone."""
        return _Said((one.path, one) for one in (self.upload.kept if self.upload else ()))

    @cached_property
    def undeleted(self) -> _Said[Kept]:
        """What cleanup leaves alone."""
        return _Said((one.path, one) for one in (self.cleanup.kept if self.cleanup else ()))


class _Said(Generic[T]):
    """What a report says, by path: a folder may have as many files as the report has lines."""

    def __init__(self, said: Iterable[tuple[str, T]]) -> None:
        self._of: dict[str, dict[int, T]] = {}
        for number, (path, one) in enumerate(said):
            self._of.setdefault(path, {})[number] = one

    def of(self, paths: Iterable[str]) -> list[T]:
        """Give what is said of any of these paths, each once, in the report's order."""
        found = {number: one for path in paths for number, one in self._of.get(path, {}).items()}
        return list({id(found[number]): found[number] for number in sorted(found)}.values())


def of_torrent(
    torrent: Torrent,
    listed: Mapping[str, Torrent],
    rehearsal: Rehearsal,
    rules: Rules,
    now: float,
) -> tuple[Verdict, ...]:
    """Tell what cleanup does with a torrent, and when."""
    report = rehearsal.cleanup
    seeded = rehearsal.seeded
    if reason := why_not_due(torrent, seeded.get(torrent.hash, 0.0), rules, now):
        until = due(torrent, seeded.get(torrent.hash, 0.0), rules, now)
        return (Verdict("stays", reason, until),)
    if report is None:
        return (Verdict("unknown", rehearsal.unasked.get("cleanup", "")),)
    for result in report.results:
        if result.action.details().get("hash") == torrent.hash:
            return (Verdict("goes", f"in the next run: {result.action.reason}", now),)
    # what is kept is known by name, and several torrents may have one
    others = {
        why_not_due(one, seeded.get(one.hash, 0.0), rules, now)
        for one in listed.values()
        if one.name == torrent.name and one.hash != torrent.hash
    }
    reasons = [one.reason for one in report.kept if one.path == torrent.name]
    reasons = [one for one in reasons if one not in others] or [report.reason or "it is kept"]
    return tuple(Verdict("stays", one) for one in dict.fromkeys(reasons))


def due(torrent: Torrent, seeded: float, rules: Rules, now: float) -> float | None:
    """Give when a torrent has seeded for long enough; None where time alone does not decide."""
    wanted, _ratio = rules.seeding(torrent.category)
    left = wanted - max(float(torrent.seeding_time), seeded)
    return now + left if torrent.complete and left > 0 else None


def of_file_by_cleanup(
    about: AboutFile,
    torrents: Mapping[str, tuple[Torrent, tuple[Verdict, ...]]],
    rehearsal: Rehearsal,
    rules: Rules,
    now: float,
) -> Iterator[Verdict]:
    """Tell what cleanup does with a file; `torrents` hold it, each with its verdicts."""
    names = {about.path, *about.names}
    gone = False
    for result in rehearsal.deleted.of(names):
        if result.action.kind != "unmonitor":
            gone = True
            yield Verdict("goes", f"in the next run, as {result.action.path}: "
                          f"{result.action.reason}", now)  # fmt: skip
    said = False
    for kept in rehearsal.undeleted.of(names if about.torrents else names | _items(about, rules)):
        said = True
        yield Verdict("stays", kept.reason)
    for hash_ in about.torrents:
        torrent, verdicts = torrents[hash_]
        for verdict in verdicts:
            if verdict.word == "goes":
                continue
            said = True
            yield _held(torrent, verdict, rules)
    if not gone and not said:
        yield _unheld(about, rehearsal, rules)


def _held(torrent: Torrent, verdict: Verdict, rules: Rules) -> Verdict:
    if verdict.until is None:
        return Verdict(verdict.word, f"the torrent {torrent.name} holds it: {verdict.reason}")
    wanted = duration(rules.seeding(torrent.category)[0])
    return Verdict(
        "stays",
        f"it goes about {clock(verdict.until)}, when its torrent {torrent.name} has seeded for "
        f"{wanted}, if all of it is proven by then and nothing else holds it",
        verdict.until,
    )


def _unheld(about: AboutFile, rehearsal: Rehearsal, rules: Rules) -> Verdict:
    """Tell of a file of which no plan has a word."""
    config = rules.config
    if rehearsal.cleanup is None:
        return Verdict("unknown", rehearsal.unasked.get("cleanup", ""))
    if about.file is None:
        return Verdict("nothing", "there is nothing to delete")
    if rules.library_holding(about.path):
        why = "nobody would ever delete it: no torrent holds it"
        return Verdict("stays", why if about.proofs else f"{why}, and nothing proves it is on B2")
    if not layout.inside(about.path, config.paths.completed):
        return Verdict("stays", "it lies outside the libraries and downloads: no job looks at it")
    name = about.path.rpartition("/")[2]
    if matcher(config.upload.unfinished)(name):
        return Verdict("stays", "its name says that it is not finished")
    if matcher(config.upload.ignore)(name):
        return Verdict("stays", "it is no part of an item, and goes with the folder it lies in")
    return Verdict("stays", "no plan has a word on it: nothing proves that it may go")


def of_file_by_upload(about: AboutFile, rehearsal: Rehearsal, rules: Rules) -> Iterator[Verdict]:
    """Tell what upload does with a file."""
    report, names = rehearsal.upload, {about.path, *about.names}
    if report is None:
        yield Verdict("unknown", rehearsal.unasked.get("upload", ""))
        return
    found = [
        Verdict("sends", f"in the next runs, to {result.action.details()['remote']}: "
                f"{result.action.reason}")
        for result in rehearsal.sent.of(names)
    ]  # fmt: skip
    found += [_waits(one) for one in rehearsal.unsent.of(names | _items(about, rules))]
    if not found and about.file is not None and not about.proofs:
        found += [_waits(one) for one in report.kept if layout.inside(about.path, one.path)]
    yield from found or [_not_sent(about, rules)]


def _paths(action: Action) -> Iterator[str]:
    yield action.path
    for file in getattr(action, "files", {}).values():
        yield file.path


def _waits(kept: Kept) -> Verdict:
    return Verdict("refused" if kept.lasting else "waits", kept.reason)


def _not_sent(about: AboutFile, rules: Rules) -> Verdict:
    config = rules.config
    if about.file is None:
        return Verdict("nothing", "there is nothing to send")
    if about.proofs:
        return Verdict("nothing", "it is proven")
    name = about.path.rpartition("/")[2]
    if matcher(config.upload.ignore)(name):
        return Verdict("nothing", "its name is one of [upload] ignore")
    if about.wanted:
        return Verdict("sends", "in the next runs: cleanup wants it")
    if layout.inside(about.path, config.paths.completed):
        return Verdict("nothing", "it is in no library; what its due torrent needs goes up then")
    if rules.library_holding(about.path):
        return Verdict("nothing", "no plan has a word on it")
    return Verdict("nothing", "it lies outside the libraries and downloads: no job looks at it")


def _items(about: AboutFile, rules: Rules) -> set[str]:
    return {layout.item_of(name, rules.config) for name in (about.path, *about.names)}
