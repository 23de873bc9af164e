"""Before a library link is deleted for good, its app is asked whether it would fetch it again.

If so, episode or film is unmonitored first; while the app cannot tell, the deletion waits (ADR 19).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

from mediapipe.errors import ActionFailed, ConfigError, Stale, Unavailable
from mediapipe.facts import replace
from mediapipe.judging import why_keep, why_unproven
from mediapipe.plan import shown
from mediapipe.titles import Answer, ArrLibrary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mediapipe.holdings import Candidate
    from mediapipe.ports import RemoteObject
    from mediapipe.rules import Rules
    from mediapipe.step import Delete

    Apps: TypeAlias = Callable[[str], ArrLibrary]


def ask(
    candidates: Iterable[Candidate],
    objects: Mapping[str, RemoteObject],
    rules: Rules,
    apps: Apps,
) -> dict[str, Answer]:
    """Ask about the library links that nothing else keeps: path → what its app says.

    An app that does not answer is asked once in a run.
    """
    answers: dict[str, Answer] = {}
    silent: dict[str, str] = {}
    for candidate in candidates if rules.config.arr else ():
        names = [one for one in _names(candidate) if one not in answers and _app(one, rules)]
        if not names or why_keep(candidate, rules) or why_unproven(candidate, objects):
            continue
        for name in names:
            app = _app(name, rules)
            try:
                if app in silent:
                    answers[name] = Answer(app, trouble=silent[app])
                else:
                    answers[name] = Answer(app, apps(app).title(name))
            except ConfigError as error:
                answers[name] = Answer(app, trouble=f"{error}: {error.hint}")
            except ActionFailed as error:
                answers[name] = Answer(app, trouble=str(error))
            except Unavailable as error:
                silent[app] = str(error)
                answers[name] = Answer(app, trouble=silent[app])
    return answers


def why_waits(candidate: Candidate, answers: Mapping[str, Answer], rules: Rules) -> str:
    """Tell why a candidate waits for an app, or give an empty string."""
    for name in _names(candidate) if rules.config.arr else ():
        app = _app(name, rules)
        answer = answers.get(name, Answer(app, trouble=f"{app} was not asked"))
        if app and answer.trouble:
            file = shown(os.path.basename(name))
            return (
                f"{file}: it waits until {app} tells if it would fetch it again; {answer.trouble}"
            )
    return ""


def first(steps: Sequence[Delete], answers: Mapping[str, Answer]) -> list[Delete]:
    """Put what keeps the apps from fetching it again before the steps of a candidate."""
    found = []
    for one in steps if answers else ():
        answer = answers.get(one.path) if one.kind == "delete-link" else None
        if answer and answer.title and answer.title.fetched_again:
            why = f"{answer.app} would fetch {shown(answer.title.name)} again"
            found.append(replace(one, kind="unmonitor", reason=why, proof=(), answer=answer))
    return [*found, *steps]


def unmonitor(answer: Answer, apps: Apps) -> None:
    """Do it; raises Stale where the app is away by now, ActionFailed where it will not."""
    try:
        if answer.title:
            apps(answer.app).unmonitor(answer.title)
    except (Unavailable, ConfigError) as error:
        raise Stale(f"it waits for {answer.app}: {error}") from None


def _names(candidate: Candidate) -> Iterator[str]:
    """Give the names that may go; markers, and what lies beside a film, are in no app."""
    asked = candidate.kind not in ("markers", "beside")
    for holding in candidate.holdings if asked else ():
        if holding.file is not None:
            yield from holding.names


def _app(name: str, rules: Rules) -> str:
    """Give the configured app that has to be asked before a name is deleted, or nothing."""
    found = rules.library_holding(name)
    if found is None or found[1].after_delete != "delete":
        return ""
    return found[1].arr if found[1].arr in rules.config.arr else ""
