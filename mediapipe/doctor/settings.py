"""Whether Sonarr, Radarr and Lidarr are set up for what is configured here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mediapipe.config import as_app, as_host
from mediapipe.layout import inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mediapipe.apps import App
    from mediapipe.config import Config, Library
    from mediapipe.doctor.findings import Notes

    Found = Callable[[str, str, str], None]

_CATEGORY = {"sonarr": "tv", "radarr": "movie", "lidarr": "music"}
_PARTS = {"sonarr": "Episodes", "radarr": "Movies", "lidarr": "Tracks"}


def examine(app: App, config: Config, notes: Notes) -> None:
    """Look at the settings of one app that libraries name, or that might."""
    with notes.looking("arr", f"{app.name}: root folders") as found:
        _roots(app, config, found)
    with notes.looking("arr", f"{app.name}: media management") as found:
        _media(app, config, found)
    with notes.looking("arr", f"{app.name}: download clients") as found:
        clients = [one for one in app.list("downloadclient") if one["enable"]]
        for one in clients:
            _category(one, app, config, found)
    with notes.looking("arr", f"{app.name}: remote path mappings") as found:
        mappings = app.list("remotepathmapping")
        for one in app.list("downloadclient"):
            if one["enable"]:
                _mapping(one, mappings, app, config, found)


def _libraries(app: App, config: Config) -> dict[str, Library]:
    return {name: one for name, one in config.libraries.items() if one.arr == app.name}


def _host_of(path: str, app: App, config: Config) -> str:
    """Give a path of the app as this host sees it."""
    back = {theirs: ours for ours, theirs in config.arr[app.name].path_map.items()}
    return as_host(path.rstrip("/"), back)


def _within(path: str, folder: str) -> bool:
    return path == folder or inside(path, folder)


def _roots(app: App, config: Config, found: Found) -> None:
    roots = app.list("rootfolder")
    places = [str(one["path"]).rstrip("/") for one in roots]
    for name, library in _libraries(app, config).items():
        seen = as_app(library.root, config.arr[app.name].path_map)
        if not any(_within(seen, place) or _within(place, seen) for place in places):
            found(
                f"none of its root folders ({', '.join(places) or 'it has none'}) is {seen}, which "
                f"is the root of the library {name}",
                "what it imports is not uploaded, and cleanup cannot ask it about what it deletes",
                f"add the root folder {seen} (Settings, Media Management), or say in "
                f"[arr.{app.name}.path_map] under which path it sees {library.root}",
            )
    for one, place in zip(roots, places, strict=True):
        if one.get("accessible") is False:
            found(
                f"it cannot reach its root folder {place}",
                "it imports nothing there, and may take all of it for missing",
                "is the disk mounted where the app runs, and may its user read and write there?",
            )
        here = _host_of(place, app, config)
        known = [library.root for library in config.libraries.values()]
        if _libraries(app, config) and not any(_within(here, root) for root in known):
            found(
                f"its root folder {place} lies in no library",
                "what it imports there is never uploaded, and its torrents wait for ever",
                f"add a table to [libraries] with root = {here!r} and arr = {app.name!r}",
            )


def _media(app: App, config: Config, found: Found) -> None:
    settings = app.one("config/mediamanagement")
    if settings["copyUsingHardlinks"] is not True:
        found(
            "Use Hardlinks instead of Copy is off (copyUsingHardlinks)",
            "each import is a second copy: twice the disk while the torrent seeds, and each "
            "download is read once more to know its copy",
            "turn it on: Settings, Media Management, Importing (shown with Show Advanced)",
        )
    key = f"autoUnmonitorPreviouslyDownloaded{_PARTS[app.kind]}"
    unmonitors = settings[key]
    if not isinstance(unmonitors, bool):
        raise TypeError(f"{key}: {unmonitors!r}")
    for name, library in _served(app, config):
        if unmonitors and library.after_delete == "symlink":
            found(
                f"Unmonitor Deleted is on ({key}), and the library {name} has links into the mount",
                "while the mount is away every link looks deleted, and all titles are unmonitored",
                "turn it off: Settings, Media Management, File Management",
            )
        elif not unmonitors and library.after_delete == "delete" and library.arr != app.name:
            found(
                f"Unmonitor Deleted is off ({key}), and the library {name} does not name this app",
                "what cleanup deletes there is downloaded again",
                f"write arr = {app.name!r} into [libraries.{name}]: cleanup then unmonitors what "
                "it deletes; or turn the setting on",
            )


def _served(app: App, config: Config) -> Iterator[tuple[str, Library]]:
    """Give the libraries that lie in the app's root folders."""
    places = [_host_of(str(one["path"]), app, config) for one in app.list("rootfolder")]
    for name, library in config.libraries.items():
        if any(_within(library.root, one) or _within(one, library.root) for one in places):
            yield name, library


def _fields(client: Mapping[str, Any]) -> dict[str, Any]:
    return {str(one["name"]): one.get("value") for one in client["fields"]}


def _chosen(client: Mapping[str, Any], app: App, kind: str = "Category") -> str:
    return str(_fields(client).get(f"{_CATEGORY[app.kind]}{kind}") or "")


def _category(client: Mapping[str, Any], app: App, config: Config, found: Found) -> None:
    """Hold the category that it gives its downloads against what is configured for them."""
    chosen, who = _chosen(client, app), str(client["name"])
    where = f"Settings, Download Clients, {who}, Category"
    if client["implementation"] == "QBittorrent":
        own = {one.category for one in _libraries(app, config).values() if one.category}
        names = " or ".join(sorted(own))
        if own and chosen not in own:
            told = f"the category {chosen!r}" if chosen else "no category"
            found(
                f"it gives {told} to what it sends to {who}; {names} is configured",
                "its downloads are not told from others: they are uploaded whole beside their "
                "imports, or lie where nobody looks",
                f"{where}: {names}; or give it to [categories] and its library here",
            )
        after = _chosen(client, app, "ImportedCategory")
        if after and after not in config.categories:
            found(
                f"after an import {who} gets the category {after!r}, which is not configured",
                "qBittorrent may move the files to another folder, and the rules for the library "
                "hold no more",
                f"blank the Post-Import Category of {who}, or add {after!r} to [categories]",
            )
    if client["implementation"] == "Sabnzbd" and config.sabnzbd is not None:
        wanted = set(config.sabnzbd.destinations) - {"*"}
        if chosen not in wanted:
            found(
                f"it gives the category {chosen!r} to what it sends to {who}; "
                f"[sabnzbd.destinations] has {' and '.join(sorted(wanted))}",
                "finished jobs are moved to where it does not look",
                f"{where}: one of these; or add it to [sabnzbd.destinations]",
            )


def _mapping(
    client: Mapping[str, Any],
    mappings: Sequence[Mapping[str, Any]],
    app: App,
    config: Config,
    found: Found,
) -> None:
    """See that it finds finished downloads where they lie."""
    chosen, shown_at, here = _chosen(client, app), "", ""
    if client["implementation"] == "QBittorrent" and chosen in config.categories:
        shown_at = config.categories[chosen]
        here = as_host(shown_at, config.qbittorrent.path_map)
    sabnzbd = config.sabnzbd
    if client["implementation"] == "Sabnzbd" and sabnzbd and chosen in sabnzbd.destinations:
        folder = sabnzbd.category_folders.get(chosen, chosen)
        shown_at, here = f"{sabnzbd.complete_dir}/{folder}", sabnzbd.destinations[chosen]
    if not shown_at:
        return
    host = str(_fields(client).get("host") or "")
    local = _translated(shown_at, host, mappings)
    there = _host_of(local, app, config)
    if there != here:
        found(
            f"{client['name']} calls the downloads of {chosen} {shown_at}; it looks for them at "
            f"{local}, which is {there} on this host, but they lie at {here}",
            "it finds nothing to import there, and waits for ever",
            f"add a remote path mapping (Settings, Download Clients) for the host {host!r}, from "
            f"{shown_at}/ to where it sees {here}; if it does see that as {local}, say so in "
            f"[arr.{app.name}.path_map]",
        )


def _translated(path: str, host: str, mappings: Sequence[Mapping[str, Any]]) -> str:
    """Give what a download client's path becomes by the app's remote path mappings."""
    for one in sorted(mappings, key=lambda one: -len(str(one["remotePath"]))):
        remote = str(one["remotePath"]).rstrip("/")
        if str(one["host"]).casefold() == host.casefold() and _within(path, remote):
            return str(one["localPath"]).rstrip("/") + path[len(remote) :]
    return path
