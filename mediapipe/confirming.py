"""Ask the remote, in the run that deletes, whether it has what this host believes it to have."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from mediapipe.errors import ConfigError, Refused
from mediapipe.judging import asked, remote_name, why_void

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mediapipe.holdings import Candidate, Holding
    from mediapipe.ports import Remote, RemoteObject
    from mediapipe.records import Proven
    from mediapipe.rules import Rules
    from mediapipe.runner import Context

_DAY = 86400.0
_LIST_FROM = 200
"""Objects of one folder, above which one listing of it costs less than looking at each."""


def look_up(
    candidates: Sequence[Candidate],
    rules: Rules,
    remote: Callable[[], Remote],
    context: Context,
) -> Mapping[str, RemoteObject]:
    """Look up the objects of the candidates that only the remote can still keep.

    Gives full remote name → object, of those that are there.
    """
    holdings = [one for candidate in candidates for one in asked(candidate, rules)]
    names = {one.remote: remote_name(one, rules) for one in _objects(holdings)}
    if not names:
        return {}
    _demand_that_nothing_hides(remote(), context)
    found = _look(set(names.values()), remote())
    objects = {full: found[name] for full, name in names.items() if name in found}
    every = [one for candidate in candidates for one in candidate.holdings]
    for one in _objects(every):
        if one.remote in names and why_void(one, objects):
            context.history.disprove(one.remote, one.sha1)
    return objects


def _look(names: set[str], remote: Remote) -> Mapping[str, RemoteObject]:
    """Look up many objects of one folder by one listing, and all others one by one.

    What a listing does not show is looked up too: only a look proves that it is not there.
    """
    by_folder: dict[str, set[str]] = defaultdict(set)
    for name in names:
        by_folder[name.partition("/")[0]].add(name)
    objects: dict[str, RemoteObject] = {}
    for folder, own in by_folder.items():
        if len(own) > _LIST_FROM:
            objects |= remote.look_below(folder, own)
    if rest := sorted(names - objects.keys()):
        objects |= remote.look(rest)
    return objects


def _demand_that_nothing_hides(remote: Remote, context: Context) -> None:
    """Refuse all deletions while a rule of the bucket hides what we upload by its age.

    The rules are read once a day. A key that may not read them is told of, and nothing more.
    """
    last = context.history.last("lifecycle read")
    if last is not None and 0 <= context.now - last < _DAY:
        return
    try:
        if reason := remote.why_hides():
            raise Refused(
                f"nothing is deleted: {reason}",
                hint="remove that rule; B2 would hide what Jellyfin plays",
            )
    except ConfigError as error:
        context.tell("remote.unreadable", level="warning", job="cleanup", reason=str(error))
    context.history.done("lifecycle read", context.now)


def _objects(holdings: Iterable[Holding]) -> Iterator[Proven]:
    for holding in holdings:
        for proof in holding.proofs:
            yield from proof.objects
