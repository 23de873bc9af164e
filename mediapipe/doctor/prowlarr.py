"""Whether Prowlarr and the apps that it feeds know each other, by today's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mediapipe.indexers import tried, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mediapipe.apps import App
    from mediapipe.doctor.findings import Notes
    from mediapipe.history import History

    Found = Callable[[str, str, str], None]


def examine(
    prowlarr: App, apps: Sequence[App], history: History, now: float, notes: Notes, *, asked: bool
) -> None:
    """Look at one Prowlarr; `apps` are the others that are configured and answer.

    `asked`: an indexer is tried whenever that was last.
    """
    fed: list[App] = []
    with notes.looking("arr", f"{prowlarr.name}: applications") as found:
        fed = _applications(prowlarr, apps, found)
    with notes.looking("arr", f"{prowlarr.name}: FlareSolverr") as found:
        _proxies(prowlarr, found)
    for app in fed:
        with notes.looking("arr", f"{app.name}: key of {prowlarr.name}") as found:
            trial = tried(app, history, now, asked=asked)
            if not trial.indexer:
                found(
                    f"no indexer of {prowlarr.name}'s is in {app.name}",
                    "it finds nothing to download",
                    f"add indexers to {prowlarr.name}, and let it sync (Settings, Apps)",
                )
            elif trial.trouble:
                found(
                    f"its indexer {trial.indexer} does not answer to the key that it has stored: "
                    f"{trial.trouble}",
                    f"every search through {prowlarr.name} fails, and its ordinary sync does not "
                    "repair a stale key",
                    "mediapipe repair prowlarr-keys",
                )


def _applications(prowlarr: App, apps: Sequence[App], found: Found) -> list[App]:
    """Give the apps that it feeds."""
    known = prowlarr.list("applications")
    kinds = {str(one["implementation"]).casefold() for one in known}
    for app in apps:
        if app.kind not in kinds:
            found(
                f"it has no application {app.kind.title()}",
                f"{app.name} gets none of its indexers",
                f"add it: Settings, Apps, {app.kind.title()}",
            )
    indexers = prowlarr.list("indexer")
    for one in known:
        name, level = str(one["name"]), str(one["syncLevel"])
        if level != "fullSync":
            found(
                f"the sync level of {name} is {level}",
                "changes of an indexer, and of a key, do not reach it",
                f"Settings, Apps, {name}, Sync Level: Full Sync",
            )
        if one["tags"] and not any(_share(one, indexer) for indexer in indexers):
            found(
                f"{name} has tags that no indexer has",
                "an application with tags gets the indexers that share one, so it gets none",
                f"take the tags from {name}, or give one of them to the indexers that are for it",
            )
    names = {int(one["id"]): str(one["name"]) for one in known}
    for failure in prowlarr.test("applications/testall") if known else ():
        if failure.get("isValid") is False:
            found(
                f"{names.get(int(failure['id']), failure['id'])} fails its test: "
                f"{words_of(failure)}",
                "they do not reach each other, or a key is wrong: indexers are not synced",
                "Settings, Apps: mend the address or the API key there",
            )
    return [app for app in apps if app.kind in kinds]


def _proxies(prowlarr: App, found: Found) -> None:
    proxies = [one for one in prowlarr.list("indexerproxy")
               if one["implementation"] == "FlareSolverr"]  # fmt: skip
    indexers = prowlarr.list("indexer") if proxies else []
    for one in proxies:
        name = str(one["name"])
        if not one["tags"]:
            found(
                f"the proxy {name} has no tag",
                "a proxy without tags is off: no indexer goes through it",
                f"Settings, Indexers, {name}: give it a tag, and the same one to the indexers "
                "behind Cloudflare",
            )
        elif not any(_share(one, indexer) for indexer in indexers):
            found(
                f"no indexer shares a tag with the proxy {name}",
                "an indexer without its tag does not go through it",
                "give its tag to the indexers behind Cloudflare",
            )


def _share(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(set(one["tags"]) & set(other["tags"]))
