"""`mediapipe doctor` and `repair`, as a person types them, with real services around."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.config import SabnzbdConfig
from mediapipe.doctor import host as of_host
from mediapipe.doctor import services, units
from mediapipe.doctor.findings import Notes
from mediapipe.errors import Unavailable
from mediapipe.history import open_history
from mediapipe.testing.box import Box
from mediapipe.units import AbsPath
from tests.arrs import FakeArr
from tests.mounts import RealMount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediapipe.testing.b2 import B2Server
    from mediapipe.testing.qbittorrent import QbittorrentServer
    from tests.hosts import Host

real = pytest.mark.real


@pytest.fixture
def box(tmp_path: Path, b2: B2Server, qbittorrent: QbittorrentServer) -> Box:
    """Give a box on which all is well."""
    box = Box(tmp_path / "box", qbittorrent.url, b2.rclone_config())
    for folder in ("tv", "movies"):
        (box.completed / folder).mkdir()
    (box.folder / "rclone.conf").chmod(0o600)
    box.write_config(**{"libraries.tv": {"arr": ""}, "libraries.movies": {"arr": ""}})
    client = qbittorrent.client()
    client.torrents_create_category("tv-sonarr", save_path=str(box.completed / "tv"))
    client.torrents_create_category("radarr", save_path=str(box.completed / "movies"))
    return box


def ask(box: Box, *words: str, status: int) -> subprocess.CompletedProcess[str]:
    script = str(Path(sys.executable).parent / "mediapipe")
    ended = subprocess.run(
        [script, *words, "--config", str(box.config_path)],
        capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended


def answer(box: Box, *words: str, status: int) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(ask(box, *words, "--json", status=status).stdout)
    return told


def whats(told: dict[str, Any]) -> list[str]:
    return [one["what"] for one in told["findings"]]


@real
def test_all_is_well(box: Box) -> None:
    before = sorted(box.folder.rglob("*"))
    told = answer(box, "doctor", status=0)
    assert told["outcome"] == "well"
    assert (told["findings"], told["unknown"]) == ([], [])
    assert {one["topic"] for one in told["well"]} == {
        "config", "mounts", "qbittorrent", "remote", "arr",
    }  # fmt: skip
    new = set(box.folder.rglob("*")) - set(before)
    assert {one.parent for one in new} <= {box.state}
    text = ask(box, "doctor", status=0)
    assert text.stdout.splitlines()[-1].startswith("doctor: 0 findings, 0 not looked at, ")
    assert text.stderr == ""


@real
def test_topics_are_chosen_by_name(box: Box) -> None:
    told = answer(box, "doctor", "config", "mounts", status=0)
    assert {one["topic"] for one in told["well"]} == {"config", "mounts"}
    ended = ask(box, "doctor", "everything", status=2)
    assert "there is no topic 'everything'" in ended.stderr
    assert "qbittorrent" in ended.stderr
    assert "hint" in ended.stderr


@real
def test_what_is_down_is_not_known_and_hides_no_finding(box: Box) -> None:
    box.qbittorrent_url = "http://127.0.0.1:9"
    box.write_config()
    told = answer(box, "doctor", status=75)
    assert told["outcome"] == "unavailable"
    assert [one["topic"] for one in told["unknown"]] == ["qbittorrent"]
    box.write_config(rclone={"remote": "b2:another"})
    told = answer(box, "doctor", status=3)
    assert [one["topic"] for one in told["findings"]] == ["remote"]
    assert [one["topic"] for one in told["unknown"]] == ["qbittorrent"]
    box.write_config(upload={"colour": "blue"})
    assert answer(box, "doctor", status=78)["outcome"] == "error"


@real
def test_categories_of_qbittorrent(box: Box, qbittorrent: QbittorrentServer) -> None:
    client = qbittorrent.client()
    client.torrents_remove_categories(categories="radarr")
    told = answer(box, "doctor", "qbittorrent", status=3)
    assert whats(told) == ["it has no category radarr"]
    client.torrents_create_category("radarr", save_path="/elsewhere")
    told = answer(box, "doctor", "qbittorrent", status=3)
    assert whats(told)[0].startswith("its category radarr saves to /elsewhere, [categories] says")


@real
def test_a_rule_that_hides_is_found(box: Box, b2: B2Server) -> None:
    rule = {"fileNamePrefix": "tv/", "daysFromUploadingToHiding": 1,
            "daysFromHidingToDeleting": 1}  # fmt: skip
    b2.set_lifecycle([rule])
    told = answer(box, "doctor", "remote", status=3)
    assert len(whats(told)) == 1
    assert "cleanup deletes nothing" in told["findings"][0]["why"]


@real
def test_secrets_and_tables(box: Box) -> None:
    (box.folder / "rclone.conf").chmod(0o644)
    box.write_config(**{
        "libraries.tv": {"arr": "sonarr"},
        "arr.radarr": {"url": "http://127.0.0.1:9", "api_key_file": f"{box.folder}/none"},
    })  # fmt: skip
    told = answer(box, "doctor", "config", status=3)
    assert whats(told) == [
        "libraries.tv.arr names 'sonarr', which has no table [arr.sonarr]",
        f"rclone.config_file: everybody on this host can read {box.folder}/rclone.conf",
        f"arr.radarr.api_key_file: {box.folder}/none cannot be read: No such file or directory",
    ]


@real
def test_what_is_not_mounted(box: Box) -> None:
    box.tv.rmdir()
    box.write_config(
        paths={"require_mounts": [str(box.folder)]},
        rclone={"mount_point": str(box.folder / "b2")},
        **{"libraries.movies": {"after_delete": "symlink"}},
    )
    told = answer(box, "doctor", "mounts", status=3)
    assert whats(told) == [
        "nothing is mounted there, and [paths] require_mounts names it",
        f"{box.tv} does not exist",
        f"nothing is mounted at {box.folder}/b2",
    ]


@real
def test_a_library_without_inodes_and_a_mount_that_is_dead(box: Box, b2: B2Server) -> None:
    b2.put("tv/a.mkv", b"bytes")
    with RealMount(box.folder, b2, box.state) as mount:
        box.write_config(**{"libraries.tv": {"root": str(mount.point / "tv")}})
        (what,) = whats(answer(box, "doctor", "mounts", status=3))
        assert "fuse" in what

        box.write_config(
            rclone={"mount_point": str(mount.point)},
            **{"libraries.tv": {"root": str(box.tv), "after_delete": "symlink"}},
        )
        assert answer(box, "doctor", "mounts", status=0)["findings"] == []
        assert mount._process is not None
        mount._process.kill()
        mount._process.wait()
        (what,) = whats(answer(box, "doctor", "mounts", status=3))
        assert "is mounted, and dead" in what


@pytest.fixture
def prowlarr(box: Box) -> Iterator[FakeArr]:
    """A Prowlarr and the Sonarr that it feeds, whose key is of yesterday."""
    with FakeArr("sonarr") as sonarr, FakeArr("prowlarr") as app:
        app.key = "prowlarrkey"
        for one in (sonarr, app):
            key = box.folder / f"{one.kind}.key"
            key.write_text(one.key)
            key.chmod(0o600)
            box.write_config(**{f"arr.{one.kind}": {"url": one.url, "api_key_file": str(key)}})
        sonarr.roots = [str(box.tv)]
        sonarr.prowlarr, app.feeds = app, {"Sonarr": sonarr}
        sonarr.settings["config/mediamanagement"] = {
            "id": 1, "copyUsingHardlinks": True, "autoUnmonitorPreviouslyDownloadedEpisodes": True,
        }  # fmt: skip
        fields = [{"name": "apiKey", "value": "yesterday"}]
        indexer = {"id": 1, "name": "Tracker (Prowlarr)", "implementation": "Torznab"}
        sonarr.items = {
            "downloadclient": [], "remotepathmapping": [],
            "indexer": [{**indexer, "fields": fields, "tags": [], "enableRss": True}],
        }  # fmt: skip
        application = {"id": 1, "name": "Sonarr", "implementation": "Sonarr"}
        app.items = {
            "applications": [{**application, "syncLevel": "fullSync", "tags": []}],
            "indexer": [], "indexerproxy": [],
        }  # fmt: skip
        yield app


@real
def test_a_stale_key_is_found_and_repaired(box: Box, prowlarr: FakeArr) -> None:
    told = answer(box, "doctor", "arr", status=3)
    assert [one["do"] for one in told["findings"]] == ["mediapipe repair prowlarr-keys"]

    rehearsal = ask(box, "repair", "prowlarr-keys", "--dry-run", status=0).stdout
    assert "would  sync-indexers of prowlarr: sonarr: Tracker (Prowlarr): Unable" in rehearsal
    assert "command" not in prowlarr.items

    report = answer(box, "repair", "prowlarr-keys", status=0)
    assert [(one["action"], one["path"], one["apps"], one["status"])
            for one in report["actions"]] == [
        ("sync-indexers", "prowlarr", ["sonarr"], "done")
    ]  # fmt: skip
    lines = (box.state / "audit.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["action"] == "sync-indexers"
    assert answer(box, "doctor", "arr", status=0)["findings"] == []
    status = answer(box, "status", status=0)
    assert status["apps"]["sonarr"]["circuit"] == "closed"
    assert status["apps"]["sonarr"]["calls"] > 10
    assert "sonarr      in use; " in ask(box, "status", status=0).stdout


@real
def test_a_wrong_key_is_a_finding_and_an_app_that_is_down_is_not(
    box: Box, prowlarr: FakeArr
) -> None:
    prowlarr.restart(key="another")
    told = answer(box, "doctor", "arr", status=3)
    assert len(whats(told)) == 1
    assert "refuses the key" in whats(told)[0]
    box.write_config(**{"arr.prowlarr": {"url": "http://127.0.0.1:9"}})
    told = answer(box, "doctor", "arr", status=75)
    assert [one["subject"] for one in told["unknown"]] == ["prowlarr"]


@real
def test_a_credential_of_the_unit_is_no_finding(box: Box) -> None:
    box.write_config(**{"arr.sonarr": {"url": "http://127.0.0.1:9", "api_key_file": "key"}})
    told = answer(box, "doctor", "arr", status=75)
    assert "is a credential" in told["unknown"][0]["reason"]
    assert "systemctl start mediapipe-doctor" in told["unknown"][0]["do"]


@real
def test_a_state_that_is_not_ours_is_no_obstacle(box: Box) -> None:
    for path in box.state.iterdir():
        path.unlink()
    box.state.rmdir()
    assert answer(box, "doctor", "mounts", "arr", status=0)["findings"] == []
    assert not box.state.exists()


# what the real parts cannot be made to show here


@real
def test_a_history_that_cannot_be_read_is_told_and_hides_nothing(box: Box) -> None:
    history = box.state / "history.db"
    history.write_bytes(b"SQLite format 3" + bytes(5000))
    told = answer(box, "doctor", status=3)
    assert [(one["topic"], one["subject"]) for one in told["findings"]] == [
        ("config", str(history))
    ]
    assert "is damaged" in whats(told)[0]
    assert {"mounts", "qbittorrent", "remote"} <= {one["topic"] for one in told["well"]}
    assert history.read_bytes().endswith(bytes(5000))


def shown(name: str, active: str, enabled: str = "enabled", load: str = "loaded") -> str:
    return (
        f"Id={name}\nLoadState={load}\nActiveState={active}\nUnitFileState={enabled}\n"
        "Result=exit-code\n"
    )


@pytest.mark.parametrize(
    ("name", "active", "enabled", "what"),
    [
        ("qbt-upload-b2.timer", "active", "enabled", ""),
        ("qbt-upload-b2.service", "inactive", "static", ""),
        ("qbt-upload-b2.service", "failed", "static", "qbt-upload-b2.service has failed"),
        ("qbt-cleanup.timer", "inactive", "disabled",
         "qbt-cleanup.timer is installed and disabled, and not started"),
    ],
)  # fmt: skip
def test_units(name: str, active: str, enabled: str, what: str) -> None:
    others = shown("mediapipe-watch.service", "inactive", load="not-found")
    notes = Notes()
    units.examine(lambda: f"{shown(name, active, enabled)}\n{others}", notes, asked=False)
    assert [one.what.startswith(what) for one in notes.findings] == ([True] if what else [])
    assert len(notes.well) == (0 if what else 1)


def test_a_host_without_units_is_told_of_where_it_is_asked() -> None:
    notes = Notes()
    units.examine(lambda: "", notes, asked=False)
    assert (notes.findings, notes.unknown, notes.well) == ([], [], [])
    units.examine(lambda: "", notes, asked=True)
    assert notes.exit_status == 75


def test_folders_of_sabnzbd(host: Host) -> None:
    made = AbsPath(str(host.write(host.folder / "usenet" / "tv" / "x").parent))
    table = SabnzbdConfig(host_complete_dir=made, destinations={"tv": made})
    host.config = replace(host.config, sabnzbd=table)
    notes = Notes()
    services.examine_sabnzbd(lambda: "4.5.0", host.config, notes)
    assert (notes.findings, len(notes.well)) == ([], 2)
    gone = AbsPath(f"{made}/gone")
    table = SabnzbdConfig(host_complete_dir=gone, destinations={"tv": gone})
    host.config = replace(host.config, sabnzbd=table)

    def silent() -> str:
        raise Unavailable("SABnzbd does not answer")

    services.examine_sabnzbd(silent, host.config, notes)
    assert [one.what for one in notes.findings] == [
        f"{gone}, where jobs of 'tv' go, is no folder",
        f"host_complete_dir {gone} is no folder",
    ]
    assert [one.reason for one in notes.unknown] == ["SABnzbd does not answer"]


def test_a_disk_that_is_full(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.statvfs(host.tv)

    class Full:
        f_bavail, f_frsize, f_blocks = 1, whole.f_frsize, 1000

    monkeypatch.setattr("os.statvfs", lambda _: Full)
    notes = Notes()
    history = open_history(str(host.state))
    of_host.examine_mounts(host.config, history, lambda: None, notes)
    history.close()
    assert len(notes.findings) == 3
    assert "its disk has" in notes.findings[0].what


@real
def test_a_refused_login_is_sent_once_and_never_again(box: Box, locked: QbittorrentServer) -> None:
    password = box.folder / "password"
    password.write_text("wrong")
    password.chmod(0o600)
    box.qbittorrent_url = locked.url
    box.write_config(qbittorrent={"username": "admin", "password_file": str(password)})
    told = answer(box, "doctor", "qbittorrent", status=3)
    assert "refuses the login" in whats(told)[0]
    told = answer(box, "doctor", "qbittorrent", status=3)  # it bans an address after five
    assert "nothing was sent this time" in whats(told)[0]
    password.write_text("correct horse")
    told = answer(
        box, "doctor", "qbittorrent", status=3
    )  # it lets us in; its categories are not ours
    assert {one.partition("category ")[2].split()[0] for one in whats(told)} == {
        "tv-sonarr",
        "radarr",
    }
