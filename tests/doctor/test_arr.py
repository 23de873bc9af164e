"""doctor arr: each finding is there when it should be, and is not when all is well."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.adapters.arr import Arr
from mediapipe.config import ArrConfig, SabnzbdConfig
from mediapipe.doctor import probe, prowlarr, settings
from mediapipe.doctor.findings import Notes, as_json, as_text
from mediapipe.errors import ConfigError, Stopped
from mediapipe.indexers import try_one
from mediapipe.jobs import repair
from mediapipe.runner import opened
from mediapipe.units import AbsPath, Seconds, SecretFile
from tests.arrs import HTML, LOGIN_PAGE, FakeArr
from tests.hosts import Host, reasons, statuses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mediapipe.runner import Report

HOUR, DAY = 3600.0, 86400.0


def field(name: str, value: object) -> dict[str, object]:
    return {"order": 0, "name": name, "label": name, "value": value, "type": "textbox"}


def provider(number: int, name: str, implementation: str, **fields: object) -> dict[str, Any]:
    return {
        "id": number, "name": name, "implementation": implementation, "tags": [],
        "fields": [field(one, value) for one, value in fields.items()],
    }  # fmt: skip


@dataclass
class Flat:
    """A host whose apps are set up as they should be."""

    host: Host
    sonarr: FakeArr
    radarr: FakeArr
    prowlarr: FakeArr

    def app(self, name: str) -> Arr:
        table = self.host.config.arr[name]
        return Arr(name, table, str(table.api_key_file))

    def notes(self, *, asked: bool = True) -> Notes:
        """Examine all of it."""
        notes, config = Notes(), self.host.config
        probe.examine(config, notes)
        fed = [self.app("sonarr"), self.app("radarr")]
        for one in fed:
            settings.examine(one, config, notes)
        with opened(str(self.host.state), "doctor", dry_run=False) as history:
            now = self.host.now
            prowlarr.examine(self.app("prowlarr"), fed, history, now, notes, asked=asked)
        return notes

    def repair(self, *, dry_run: bool = False) -> Report:
        with opened(str(self.host.state), "repair", dry_run=dry_run) as history:
            return repair.run(self.host.context(history, dry_run=dry_run), self.app)

    def tables(self, **changed: Any) -> None:
        self.host.config = replace(self.host.config, arr={**self.host.config.arr, **changed})


@pytest.fixture
def flat(host: Host) -> Iterator[Flat]:
    with FakeArr("sonarr") as sonarr, FakeArr("radarr") as radarr, FakeArr("prowlarr") as feeder:
        made = Flat(host, sonarr, radarr, feeder)
        for app in (sonarr, radarr, feeder):
            key = host.folder / f"{app.kind}.key"
            key.write_text(app.key)
            table = ArrConfig(app.url, SecretFile(str(key)), timeout=Seconds(5))
            made.tables(**{app.kind: table})
        (host.folder / "prowlarr.key").write_text("prowlarrkey")
        feeder.key = "prowlarrkey"
        for app, root, word, parts in (
            (sonarr, host.tv, "tv", "Episodes"),
            (radarr, host.movies, "movie", "Movies"),
        ):
            category = {"tv": "tv-sonarr", "movie": "radarr"}[word]
            app.roots = [f"{root}/"]
            app.prowlarr = feeder
            app.settings["config/mediamanagement"] = {
                "id": 1, "copyUsingHardlinks": True,
                f"autoUnmonitorPreviouslyDownloaded{parts}": False,
            }  # fmt: skip
            client = provider(
                1, "qBittorrent", "QBittorrent", host="localhost", port=8080,
                **{f"{word}Category": category, f"{word}ImportedCategory": ""},
            )  # fmt: skip
            indexer = provider(
                4, "Tracker (Prowlarr)", "Torznab", baseUrl=f"{feeder.url}/1/", apiKey=feeder.key
            )
            app.items = {
                "downloadclient": [{**client, "enable": True, "protocol": "torrent"}],
                "remotepathmapping": [],
                "indexer": [{**indexer, "enableRss": True}],
            }
            feeder.feeds[app.kind.title()] = app
        feeder.items = {
            "applications": [
                {**provider(1, "Sonarr", "Sonarr"), "syncLevel": "fullSync"},
                {**provider(2, "Radarr", "Radarr"), "syncLevel": "fullSync"},
            ],
            "indexer": [{**provider(1, "Tracker", "Cardigann"), "tags": [7]}],
            "indexerproxy": [{**provider(1, "Solver", "FlareSolverr"), "tags": [7]}],
        }
        yield made


def test_all_is_well(flat: Flat) -> None:
    notes = flat.notes()
    assert notes.findings == []
    assert notes.unknown == []
    assert notes.exit_status == 0
    assert len(notes.well) == 14
    assert probes(flat.host.folder) == []


def client_of(app: FakeArr) -> dict[str, Any]:
    return app.items["downloadclient"][0]


def set_field(client: dict[str, Any], name: str, value: object) -> None:
    client["fields"] = [one for one in client["fields"] if one["name"] != name]
    client["fields"].append(field(name, value))


def another_root(flat: Flat) -> None:
    flat.sonarr.roots = ["/series"]


def more_roots(flat: Flat) -> None:
    flat.sonarr.roots.append("/anime")


def a_root_that_is_gone(flat: Flat) -> None:
    flat.radarr.unreachable = set(flat.radarr.roots)


def no_links(flat: Flat) -> None:
    flat.radarr.settings["config/mediamanagement"]["copyUsingHardlinks"] = False


def unmonitors_with_links_into_the_mount(flat: Flat) -> None:
    flat.host.library("tv", after_delete="symlink")
    key = "autoUnmonitorPreviouslyDownloadedEpisodes"
    flat.sonarr.settings["config/mediamanagement"][key] = True


def unmonitors_nothing_and_is_not_named(flat: Flat) -> None:
    flat.host.library("tv", arr="")


def another_category(flat: Flat) -> None:
    set_field(client_of(flat.sonarr), "tvCategory", "sonarr")


def no_category(flat: Flat) -> None:
    set_field(client_of(flat.sonarr), "tvCategory", None)


def category_of_the_other(flat: Flat) -> None:
    set_field(client_of(flat.sonarr), "tvCategory", "radarr")


def another_category_afterwards(flat: Flat) -> None:
    set_field(client_of(flat.radarr), "movieImportedCategory", "done")


def another_category_of_sabnzbd(flat: Flat) -> None:
    flat.host.config = replace(flat.host.config, sabnzbd=SabnzbdConfig())
    client = provider(2, "SABnzbd", "Sabnzbd", host="sab", tvCategory="series")
    flat.sonarr.items["downloadclient"].append({**client, "enable": True})


def downloads_lie_elsewhere(flat: Flat) -> None:
    completed = str(flat.host.downloads)
    flat.host.configure("qbittorrent", path_map={AbsPath("/downloads"): AbsPath(completed)})
    categories = {**flat.host.config.categories, "radarr": AbsPath("/downloads/movies")}
    flat.host.config = replace(flat.host.config, categories=categories)


def jobs_lie_elsewhere(flat: Flat) -> None:
    flat.host.config = replace(flat.host.config, sabnzbd=SabnzbdConfig())
    client = provider(2, "SABnzbd", "Sabnzbd", host="sab", tvCategory="tv")
    flat.sonarr.items["downloadclient"].append({**client, "enable": True})


def no_application(flat: Flat) -> None:
    del flat.prowlarr.items["applications"][1]


def adds_only(flat: Flat) -> None:
    flat.prowlarr.items["applications"][0]["syncLevel"] = "addOnly"


def tags_that_nobody_has(flat: Flat) -> None:
    flat.prowlarr.items["applications"][0]["tags"] = [9]


def unreachable(flat: Flat) -> None:
    flat.prowlarr.unreachable = {"Radarr"}


def proxy_without_tags(flat: Flat) -> None:
    flat.prowlarr.items["indexerproxy"][0]["tags"] = []


def proxy_that_nobody_uses(flat: Flat) -> None:
    flat.prowlarr.items["indexer"][0]["tags"] = []


def no_indexer(flat: Flat) -> None:
    flat.radarr.items["indexer"] = [provider(9, "Own", "Torznab")]


def stale_key(flat: Flat) -> None:
    flat.sonarr.take_key("of yesterday")


@pytest.mark.parametrize(
    ("fault", "subject", "what"),
    [
        (another_root, "sonarr: root folders", "none of its root folders (/series) is"),
        (more_roots, "sonarr: root folders", "its root folder /anime lies in no library"),
        (a_root_that_is_gone, "radarr: root folders", "it cannot reach its root folder /"),
        (no_links, "radarr: media management", "Use Hardlinks instead of Copy is off"),
        (unmonitors_with_links_into_the_mount, "sonarr: media management",
         "Unmonitor Deleted is on"),
        (unmonitors_nothing_and_is_not_named, "sonarr: media management",
         "Unmonitor Deleted is off"),
        (another_category, "sonarr: download clients", "it gives the category 'sonarr'"),
        (no_category, "sonarr: download clients", "it gives no category"),
        (category_of_the_other, "sonarr: download clients", "it gives the category 'radarr'"),
        (another_category_afterwards, "radarr: download clients", "after an import qBittorrent"),
        (another_category_of_sabnzbd, "sonarr: download clients", "it gives the category 'series'"),
        (downloads_lie_elsewhere, "radarr: remote path mappings",
         "qBittorrent calls the downloads of radarr /downloads/movies"),
        (jobs_lie_elsewhere, "sonarr: remote path mappings",
         "SABnzbd calls the downloads of tv /data/complete/tv"),
        (no_application, "prowlarr: applications", "it has no application Radarr"),
        (adds_only, "prowlarr: applications", "the sync level of Sonarr is addOnly"),
        (tags_that_nobody_has, "prowlarr: applications", "Sonarr has tags that no indexer has"),
        (unreachable, "prowlarr: applications", "Radarr fails its test: Unable to connect"),
        (proxy_without_tags, "prowlarr: FlareSolverr", "the proxy Solver has no tag"),
        (proxy_that_nobody_uses, "prowlarr: FlareSolverr", "no indexer shares a tag"),
        (no_indexer, "radarr: key of prowlarr", "no indexer of prowlarr's is in radarr"),
        (stale_key, "sonarr: key of prowlarr", "its indexer Tracker (Prowlarr) does not answer"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(
    flat: Flat, fault: Callable[[Flat], object], subject: str, what: str
) -> None:
    fault(flat)
    notes = flat.notes()
    found = [one for one in notes.findings if one.subject == subject and what in one.what]
    assert len(found) == 1
    assert found[0].why
    assert found[0].do
    assert notes.exit_status == 3
    # a root folder elsewhere is in no library, too
    assert len(notes.findings) == (2 if fault is another_root else 1)
    assert what in "\n".join(as_text(notes))
    assert json.loads(json.dumps(as_json(notes)))["outcome"] == "findings"


def mapped_by_the_app(flat: Flat) -> None:
    downloads_lie_elsewhere(flat)
    local = f"{flat.host.downloads}/movies/"
    mapping = {"id": 1, "host": "LOCALHOST", "remotePath": "/downloads/movies/", "localPath": local}
    flat.radarr.items["remotepathmapping"] = [mapping]


def mapped_by_us(flat: Flat) -> None:
    downloads_lie_elsewhere(flat)
    table = replace(
        flat.host.config.arr["radarr"],
        path_map={AbsPath(str(flat.host.downloads)): AbsPath("/downloads")},
    )
    flat.tables(radarr=table)


def root_seen_elsewhere(flat: Flat) -> None:
    flat.sonarr.roots = ["/tv"]
    path_map = {AbsPath(str(flat.host.tv)): AbsPath("/tv")}
    flat.tables(sonarr=replace(flat.host.config.arr["sonarr"], path_map=path_map))


def switched_off(flat: Flat) -> None:
    another = copy.deepcopy(client_of(flat.sonarr))
    set_field(another, "tvCategory", "other")
    flat.sonarr.items["downloadclient"].append({**another, "enable": False})


def jobs_are_mapped(flat: Flat) -> None:
    jobs_lie_elsewhere(flat)
    place = "/mnt/storage/data/usenet"
    mapping = {"id": 1, "host": "sab", "remotePath": "/data/complete", "localPath": place}
    flat.sonarr.items["remotepathmapping"] = [mapping]


@pytest.mark.parametrize(
    "change", [mapped_by_the_app, mapped_by_us, root_seen_elsewhere, switched_off, jobs_are_mapped]
)
def test_what_is_right_in_another_way_is_not_found(
    flat: Flat, change: Callable[[Flat], object]
) -> None:
    change(flat)
    assert flat.notes().findings == []


@pytest.mark.parametrize("break_", ["shape", "page", "switch"])
def test_what_cannot_be_looked_at_is_neither_well_nor_wrong(flat: Flat, break_: str) -> None:
    if break_ == "shape":
        flat.sonarr.items["downloadclient"] = [{"id": 1}]
    elif break_ == "page":
        flat.sonarr.answers = [(200, HTML, LOGIN_PAGE)]
    else:
        key = "autoUnmonitorPreviouslyDownloadedEpisodes"
        del flat.sonarr.settings["config/mediamanagement"][key]
    notes = flat.notes()
    assert notes.findings == []
    assert notes.exit_status == 75
    assert {one.subject.partition(":")[0] for one in notes.unknown} == {"sonarr"}
    assert "unknown  arr: sonarr" in "\n".join(as_text(notes))


def trials_of(app: FakeArr) -> int:
    return sum(one == ("POST", "/api/v3/indexer/test") for one in app.asked)


def test_an_indexer_is_tried_once_a_day_unless_it_is_asked_for(flat: Flat) -> None:
    stale_key(flat)
    flat.notes(asked=False)
    assert (trials_of(flat.sonarr), trials_of(flat.radarr)) == (1, 1)
    flat.host.later(HOUR)
    notes = flat.notes(asked=False)
    assert (trials_of(flat.sonarr), trials_of(flat.radarr)) == (1, 1)
    assert [one.subject for one in notes.findings] == ["sonarr: key of prowlarr"]
    flat.notes(asked=True)
    assert (trials_of(flat.sonarr), trials_of(flat.radarr)) == (2, 2)
    flat.sonarr.take_key(flat.prowlarr.key)
    flat.host.later(DAY)
    assert flat.notes(asked=False).findings == []
    assert flat.notes(asked=False).findings == []
    assert trials_of(flat.sonarr) == 3


def test_keys_are_repaired(flat: Flat) -> None:
    stale_key(flat)
    rehearsal = flat.repair(dry_run=True)
    assert statuses(rehearsal) == [("sync-indexers", "prowlarr", "planned")]
    assert reasons(rehearsal) == {"radarr": "Tracker (Prowlarr) answers to its key"}
    assert "command" not in flat.prowlarr.items

    report = flat.repair()

    assert statuses(report) == [("sync-indexers", "prowlarr", "done")]
    assert flat.prowlarr.items["command"][0]["body"]["forceSync"] is True
    assert try_one(flat.app("sonarr")).trouble == ""
    assert flat.notes(asked=False).findings == []
    assert statuses(flat.repair()) == []


def test_a_key_that_a_sync_does_not_reach_is_told(flat: Flat) -> None:
    stale_key(flat)
    adds_only(flat)
    report = flat.repair()
    assert statuses(report) == [("sync-indexers", "prowlarr", "failed")]
    assert report.exit_status == 3
    assert "Full Sync" in (report.results[0].error or "")


def test_a_command_that_does_not_succeed_is_told(flat: Flat) -> None:
    stale_key(flat)
    broken = {"id": 1, "name": "x", "status": "failed", "message": "no such column"}
    flat.prowlarr.answers = [
        (201, {"Content-Type": "application/json"}, json.dumps({"id": 1}).encode()),
        (200, {"Content-Type": "application/json"}, json.dumps(broken).encode()),
    ]
    report = flat.repair()
    assert report.results[0].error == (
        "prowlarr: ApplicationIndexerSync ended failed: no such column"
    )


def test_an_app_that_is_away_hinders_no_other(flat: Flat) -> None:
    stale_key(flat)
    flat.radarr.answers = [(200, HTML, LOGIN_PAGE)] * 9
    report = flat.repair()
    assert statuses(report) == [("sync-indexers", "prowlarr", "done")]
    assert report.exit_status == 75
    assert "radarr" in reasons(report)


def test_there_is_no_prowlarr(flat: Flat) -> None:
    tables = {name: one for name, one in flat.host.config.arr.items() if name != "prowlarr"}
    flat.host.config = replace(flat.host.config, arr=tables)
    with pytest.raises(ConfigError, match="no table of a Prowlarr"):
        flat.repair()


# the probe


def test_a_link_between_two_file_systems_is_found(host: Host) -> None:
    with other_file_system() as elsewhere:
        library = replace(host.config.libraries["tv"], root=AbsPath(elsewhere))
        host.config = replace(host.config, libraries={"tv": library})
        notes = Notes()
        probe.examine(host.config, notes)
        assert [one.what for one in notes.findings] == [
            "no file can be linked: Invalid cross-device link"
        ]
        assert os.listdir(elsewhere) == []
    assert os.listdir(host.downloads / "tv") == []


@contextlib.contextmanager
def other_file_system() -> Iterator[str]:
    """Give a folder on another file system than the temporary folder of the tests."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield folder


def test_the_probe_takes_away_what_a_crash_left_and_nothing_else(host: Host) -> None:
    old = host.downloads / "tv" / ".mediapipe-probe-old"
    new = host.downloads / "tv" / ".mediapipe-probe-new"
    full = host.downloads / "tv" / ".mediapipe-probe-full"
    for folder in (old, new, full):
        host.write(folder / "probe")
    host.write(full / "film.mkv")
    for folder in (old, full):
        os.utime(folder, (0, 0))
    notes = Notes()
    probe.examine(host.config, notes)
    assert notes.findings == []
    assert not old.exists()
    assert (new / "probe").exists()
    assert (full / "film.mkv").exists()


def test_a_folder_where_it_cannot_be_tried_is_not_known(host: Host) -> None:
    (host.downloads / "tv").rmdir()
    notes = Notes()
    probe.examine(host.config, notes)
    assert notes.findings == []
    assert [one.reason for one in notes.unknown] == [
        f"{host.downloads}/tv: No such file or directory"
    ]


def test_the_probe_is_taken_away_when_it_is_stopped(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_source: str, _target: str) -> None:
        raise Stopped

    monkeypatch.setattr("os.link", stop)
    with pytest.raises(Stopped):
        probe.why_not_linkable(str(host.downloads / "tv"), str(host.tv))
    assert probes(host.folder) == []


def probes(folder: Path) -> list[Path]:
    return list(folder.rglob(".mediapipe-probe*"))
