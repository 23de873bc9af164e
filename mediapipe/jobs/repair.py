"""repair: makes Prowlarr write its key into the apps anew, where the one they have is stale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe.errors import ActionFailed, ConfigError, Unavailable
from mediapipe.facts import fact
from mediapipe.indexers import Trial, tried
from mediapipe.plan import Kept, Plan
from mediapipe.runner import Context, Report, execute, one_by_one

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mediapipe.apps import App


@fact
class Sync:
    """Let a Prowlarr write all of its indexers into its applications, with today's key."""

    path: str
    """NAME of `[arr.NAME]`."""
    reason: str
    apps: tuple[str, ...]
    kind: str = "sync-indexers"

    def details(self) -> dict[str, object]:
        """Give the apps whose keys are stale."""
        return {"apps": list(self.apps)}

    def __str__(self) -> str:
        return f"{self.kind} of {self.path}: {self.reason}"


@fact
class World:
    """What every app says of the one indexer that it tried."""

    trials: Mapping[str, Trial]
    silent: Mapping[str, str]
    """App → why it could not be asked."""


def run(context: Context, apps: Callable[[str], App]) -> Report:
    """Try one indexer of each app, sync where one fails, and try those again."""
    names = tuple(context.config.arr)
    prowlarrs = [name for name in names if apps(name).kind == "prowlarr"]
    if not prowlarrs:
        raise ConfigError(
            f"{context.path} has no table of a Prowlarr",
            hint='add [arr.prowlarr] with url and api_key_file, kind = "prowlarr"',
        )
    world = scan(context, [apps(name) for name in names if name not in prowlarrs])

    def sync(action: Sync) -> dict[str, object]:
        said = apps(action.path).command("ApplicationIndexerSync", forceSync=True)
        for name in action.apps:
            trial = tried(apps(name), context.history, context.now, asked=True)
            if trial.trouble:
                raise ActionFailed(
                    f"{name}: {trial.indexer} fails all the same: {trial.trouble}; is its sync "
                    f"level in {action.path} (Settings, Apps) Full Sync?"
                )
        return {"said": said}

    return execute(plan(world, prowlarrs), one_by_one(sync), context)


def scan(context: Context, fed: Sequence[App]) -> World:
    """Let each app try one indexer."""
    trials: dict[str, Trial] = {}
    silent: dict[str, str] = {}
    for app in fed:
        try:
            trials[app.name] = tried(app, context.history, context.now, asked=True)
        except (Unavailable, ConfigError, ActionFailed) as error:
            silent[app.name] = str(error)
    return World(trials, silent)


def plan(world: World, prowlarrs: Sequence[str]) -> Plan[Sync]:
    """Decide; pure."""
    stale = {name: one for name, one in world.trials.items() if one.trouble}
    kept = [
        Kept(name, f"{one.indexer} answers to its key" if one.indexer else "it has none of them")
        for name, one in world.trials.items()
        if name not in stale
    ]
    kept += [Kept(name, reason) for name, reason in world.silent.items()]
    why = "; ".join(f"{name}: {one.indexer}: {one.trouble}" for name, one in stale.items())
    actions = tuple(Sync(name, why, tuple(stale)) for name in prowlarrs) if stale else ()
    return Plan("repair", actions, tuple(kept), unavailable="; ".join(world.silent.values()))
