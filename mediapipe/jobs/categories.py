"""categories: declares qBittorrent's download categories; it creates and never changes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe.facts import fact
from mediapipe.plan import Kept, Plan
from mediapipe.runner import Context, Report, execute, one_by_one

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediapipe.ports import TorrentClient


@fact
class CreateCategory:
    """A category that will be created."""

    name: str
    path: str
    """Save path, as qBittorrent sees it."""
    reason: str = "it is not declared in qBittorrent yet"
    kind: str = "create-category"

    def details(self) -> dict[str, object]:
        return {"name": self.name}

    def __str__(self) -> str:
        return f"create category {self.name} at {self.path}"


def run(context: Context, client: TorrentClient) -> Report:
    """Create the categories that are missing."""
    todo = plan(context.config.categories, scan(client))
    return execute(todo, one_by_one(lambda action: apply(action, client)), context)


def scan(client: TorrentClient) -> Mapping[str, str]:
    """Read the categories that qBittorrent has."""
    return client.categories()


def plan(wanted: Mapping[str, str], there: Mapping[str, str]) -> Plan[CreateCategory]:
    """Create what is missing, leave what is equal, refuse what is different."""
    actions = tuple(
        CreateCategory(name, path) for name, path in wanted.items() if name not in there
    )
    different = [
        Kept(path, why_keep(name, path, there[name]))
        for name, path in wanted.items()
        if name in there and there[name].rstrip("/") != path.rstrip("/")
    ]
    refused = "a category has another save path than the configuration" if different else ""
    return Plan("categories", actions, tuple(different), refused=refused)


def why_keep(name: str, wanted: str, there: str) -> str:
    """Tell why a category with another path is left alone (facts: editing moves the torrents)."""
    return (
        f"category {name} saves to {there} in qBittorrent, not to {wanted}; changing that would "
        "move or lose its torrents, so change one of the two by hand"
    )


def apply(action: CreateCategory, client: TorrentClient) -> None:
    """Create one category."""
    client.create_category(action.name, action.path)
