"""The key with which an app asks Prowlarr: every answer masks it, so it is tried.

Prowlarr takes `********` for equal, so its ordinary sync never repairs a stale one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mediapipe.facts import fact
from mediapipe.plan import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediapipe.apps import App
    from mediapipe.history import History

_SYNCED, _KINDS = "(Prowlarr)", ("Newznab", "Torznab")
_USES = ("enableRss", "enableAutomaticSearch", "enableInteractiveSearch")
_TRIED, _FAILED = "indexer tried ", "indexer failed "
_EVERY = 20 * 3600.0
"""Seconds between two tries: a timer that is due once a day may be early."""


@fact
class Trial:
    """How it went when an app was let try one indexer of Prowlarr's."""

    indexer: str
    """Blank where it has none."""
    trouble: str
    """What failed, in the app's own words; blank where it went well."""


def try_one(app: App) -> Trial:
    """Let an app try one of its indexers, unchanged: that searches the tracker once."""
    ours = [
        one for one in app.list("indexer")
        if str(one["name"]).endswith(_SYNCED) and one["implementation"] in _KINDS
    ]  # fmt: skip
    used = [one for one in ours if any(one.get(use) for use in _USES)] or ours
    if not used:
        return Trial("", "")
    chosen = min(used, key=lambda one: int(one["id"]))
    resource = app.one(f"indexer/{chosen['id']}")
    failures = app.test("indexer/test", resource)
    return Trial(str(chosen["name"]), "; ".join(words_of(one) for one in failures))


def words_of(failure: Mapping[str, Any]) -> str:
    """Give what a failed trial says: one provider's, or one of many."""
    inner = failure.get("validationFailures") or ()
    words = [str(one.get("errorMessage") or one) for one in (inner or (failure,))]
    return "; ".join(words)


def tried(app: App, history: History, now: float, *, asked: bool) -> Trial:
    """Try it, or give what is remembered of the last try: at most daily, unless it is asked for."""
    name = f"{_TRIED}{app.name}"
    last = history.last(name)
    before = [json.loads(one) for one in history.events(_FAILED)]
    known = [Trial(one[1], one[2]) for one in before if one[0] == app.name]
    if not asked and last is not None and 0 <= now - last < _EVERY:
        if not known:
            return Trial("its last trial", "")
        return Trial(known[0].indexer, f"{known[0].trouble} (tried {clock(last)})")
    trial = try_one(app)
    with history.together():
        for one in before:
            if one[0] == app.name:
                history.forget(f"{_FAILED}{json.dumps(one)}")
        if trial.trouble:
            told = json.dumps([app.name, trial.indexer, trial.trouble])
            history.done(f"{_FAILED}{told}", now)
        history.done(name, now)
    return trial
