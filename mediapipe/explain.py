"""Gather what is known of a file or torrent, and rehearse the jobs on it; changes nothing."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from mediapipe import changes, latch, layout, subjects, verdicts
from mediapipe.claims import Claims, claims_of
from mediapipe.errors import MediapipeError, Unavailable
from mediapipe.explanation import AboutTorrent, Explanation
from mediapipe.facts import fact, replace
from mediapipe.jobs import cleanup, upload
from mediapipe.plan import human
from mediapipe.rules import Rules
from mediapipe.verdicts import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mediapipe.explanation import AboutFile
    from mediapipe.linking import Ends
    from mediapipe.ports import Archives, Remote, RemoteObject, Torrent, TorrentClient, TorrentFile
    from mediapipe.records import Proven
    from mediapipe.runner import Context, Report
    from mediapipe.unmonitoring import Apps

_LOOKED = 100
"""Objects that are looked up for one answer: each is a billed call."""
_CHANGES = 5


@fact
class Contexts:
    """Two copies of the history, which the rehearsals may spoil."""

    upload: Context
    cleanup: Context


class _Once:
    """A `TorrentClient` that asks each question once, so that all are told of one moment."""

    def __init__(self, client: TorrentClient) -> None:
        self._client = client
        self._listed: tuple[Torrent, ...] | None = None
        self._files: dict[str, tuple[TorrentFile, ...]] = {}

    def torrents(self) -> tuple[Torrent, ...]:
        if self._listed is None:
            self._listed = self._client.torrents()
        return self._listed

    def files(self, torrent: Torrent) -> tuple[TorrentFile, ...]:
        if torrent.hash not in self._files:
            self._files[torrent.hash] = self._client.files(torrent)
        return self._files[torrent.hash]

    def categories(self) -> Mapping[str, str]:
        return self._client.categories()

    def create_category(self, name: str, save_path: str) -> None:
        raise NotImplementedError(name, save_path)

    def remove(self, torrent: Torrent) -> None:
        raise NotImplementedError(torrent)


def explain(
    word: str,
    contexts: Contexts,
    torrents: Callable[[], TorrentClient],
    remote: Callable[[], Remote],
    read_ends: Callable[[Sequence[str]], Mapping[str, Ends]],
    apps: Apps,
    archives: Callable[[], Archives],
) -> Explanation:
    """Tell all of a path, a torrent's hash, the beginning of one, or a torrent's name.

    Raises UsageError where nothing is called so, Unavailable where only qBittorrent could tell.
    """
    context = contexts.cleanup
    config, rules = context.config, Rules.of(context.config)
    unasked: dict[str, str] = {}
    listed: tuple[Torrent, ...] = ()
    claims = Claims({}, {}, {})
    client: _Once | None = None
    try:
        client = _Once(torrents())
        listed = client.torrents()
        claims = claims_of(listed, client)
    except MediapipeError as error:
        unasked["qBittorrent"] = str(error)
    called = subjects.torrents_called(word, listed)
    paths = subjects.paths_of(word, called, claims, config, unasked)
    facts = subjects.facts_of(paths, claims, context.history, config)
    own = {name for one in facts for name in (one.path, *one.names)}
    past = _history(word, own, context.state)
    if (
        not called
        and not past
        and not any(one.file or one.trouble or one.torrents for one in facts)
    ):
        subjects.refuse(word, unasked)
    held_up = latch.in_force(context.history.pauses(), context.now)
    rehearsal = _rehearse(contexts, client, remote, read_ends, apps, archives, unasked)
    facts = _with_remote(facts, remote, rules, unasked)
    by_hash = {one.hash: one for one in listed}
    known = {one.hash for one in called}.union(*(one.torrents for one in facts))
    told = {
        hash_: (by_hash[hash_],
                verdicts.of_torrent(by_hash[hash_], by_hash, rehearsal, rules, context.now))
        for hash_ in sorted(known)
    }  # fmt: skip
    files = tuple(
        replace(
            one,
            upload=tuple(verdicts.of_file_by_upload(one, rehearsal, rules)),
            cleanup=tuple(verdicts.of_file_by_cleanup(one, told, rehearsal, rules, context.now)),
        )
        for one in facts
    )
    return Explanation(
        word,
        tuple(AboutTorrent(torrent, rehearsal.seeded.get(hash_, 0.0), words)
              for hash_, (torrent, words) in told.items()),
        files,
        tuple(one for one in held_up if one.cause != "item" or one.subject in own),
        unasked,
        past,
    )  # fmt: skip


def _unneeded() -> Archives:
    """A rehearsal opens no archive."""
    raise NotImplementedError


def _rehearse(
    contexts: Contexts,
    client: _Once | None,
    remote: Callable[[], Remote],
    read_ends: Callable[[Sequence[str]], Mapping[str, Ends]],
    apps: Apps,
    archives: Callable[[], Archives],
    unasked: dict[str, str],
) -> Rehearsal:
    """Let both jobs scan and plan, on copies of the history."""
    reports: dict[str, Report | None] = {"upload": None, "cleanup": None}

    def asked() -> TorrentClient:
        if client is None:
            raise Unavailable(unasked["qBittorrent"])
        return client

    jobs: dict[str, Callable[[], Report]] = {
        "upload": lambda: upload.run(contexts.upload, asked, remote, _unneeded, tuple),
        "cleanup": lambda: cleanup.run(
            contexts.cleanup, asked(), remote, cleanup.Options(), read_ends, apps, archives
        ),
    }
    for job, rehearse in jobs.items():
        try:
            reports[job] = rehearse()
        except MediapipeError as error:
            unasked[job] = str(error)
    history = contexts.cleanup.history
    return Rehearsal(reports["cleanup"], reports["upload"], history.seeded(), unasked)


def _with_remote(
    facts: Sequence[AboutFile], remote: Callable[[], Remote], rules: Rules, unasked: dict[str, str]
) -> tuple[AboutFile, ...]:
    """Look up, in one question, what the proofs say is on the remote."""
    prefix = layout.address(rules.config.rclone.remote, "")
    proven = [one for about in facts for proof in about.proofs for one in proof.objects]
    names = list(dict.fromkeys(one.remote for one in proven if one.remote.startswith(prefix)))
    if len(names) > _LOOKED:
        unasked["remote"] = f"only the first {_LOOKED} of {len(names)} objects were looked up"
    asked = names[:_LOOKED]
    try:
        found = remote().look([one[len(prefix) :] for one in asked]) if asked else {}
    except MediapipeError as error:
        unasked["remote"] = str(error)
        return tuple(facts)
    return tuple(
        replace(about, remote={
            one.remote: _stands(one, found.get(one.remote[len(prefix) :]))
            for proof in about.proofs for one in proof.objects if one.remote in set(asked)
        })
        for about in facts
    )  # fmt: skip


def _stands(one: Proven, there: RemoteObject | None) -> str:
    if there is None:
        return "is gone"
    if there.size != one.size:
        return f"is another object: {human(there.size)}"
    return "is there, size and SHA-1 equal" if there.sha1 == one.sha1 else "has another SHA-1"


def _history(word: str, own: set[str], state: str) -> tuple[str, ...]:
    """Give the newest changes of the subject, as lines."""
    try:
        found = changes.chosen(state, None, own | changes.places(word), [])
        return tuple(deque(map(changes.as_text, found), _CHANGES))
    except OSError as error:
        return (f"cannot be read: {error.strerror}",)
