"""A box with Sonarr and Radarr: what cleanup deletes does not come back."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.archive_files import rar_volumes_of
from tests.arrs import FakeArr
from tests.end_to_end.attack import Attack, done, kept

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Attack]:
    with Attack(tmp_path) as attack:
        attack.job("categories", status=0)
        yield attack


@pytest.fixture
def sonarr(box: Attack) -> Iterator[FakeArr]:
    """A Sonarr in a container, which sees the library as /tv."""
    config = box.folder / "config.xml"
    with FakeArr("sonarr", config=config) as app:
        app.roots = ["/tv"]
        series = {"id": 1, "title": "Show", "path": "/tv/Show", "monitored": True}
        app.items = {"series": [series], "episodefile": [], "episode": [], "history": []}
        box.box.write_config(**{
            "libraries.tv": {"arr": "sonarr"},
            "libraries.movies": {"arr": ""},
            "arr.sonarr": {"url": app.url, "api_key_file": str(config)},
            "arr.sonarr.path_map": {},
        })  # fmt: skip
        text = box.box.config_path.read_text()
        mapped = f'[arr.sonarr.path_map]\n"{box.box.tv}" = "/tv"\n'
        box.box.config_path.write_text(text.replace("[arr.sonarr.path_map]\n", mapped))
        yield app


def have(app: FakeArr, number: int, name: str) -> None:
    """Let it have an episode's file, and monitor it."""
    app.items["episodefile"].append({"id": number, "seriesId": 1, "path": f"/tv/Show/{name}"})
    episode = {"id": 100 + number, "seriesId": 1, "episodeFileId": number, "monitored": True}
    app.items["episode"].append(episode)


def monitored(app: FakeArr) -> dict[int, bool]:
    return {one["id"]: one["monitored"] for one in app.items["episode"]}


def test_an_episode_goes_and_stays_away(box: Attack, sonarr: FakeArr) -> None:
    tv = box.box.completed / "tv"
    download = box.write(tv / "Show.S01E01" / "e1.mkv")
    link = box.link(download, box.box.tv / "Show" / "Show - S01E01.mkv")
    box.torrent(download.parent, category="tv-sonarr", save_path=tv)
    have(sonarr, 1, link.name)
    have(sonarr, 2, "Show - S01E02.mkv")
    box.upload()
    box.due()

    sonarr.answers = [(401, {}, b"")] * 50  # its key was changed behind our back
    waits = box.cleanup()
    assert "refuses the key" in kept(waits)["Show.S01E01"]
    assert link.exists()
    assert len(box.listed()) == 1
    sonarr.answers = []
    sonarr.restart(key="anewone")  # read from its own config.xml

    rehearsal = box.cleanup("--dry-run")
    assert [one["action"] for one in rehearsal["actions"]][:2] == ["unmonitor", "remove-torrent"]
    assert monitored(sonarr) == {101: True, 102: True}

    report = box.cleanup()
    box.holds()
    first = report["actions"][0]
    assert (first["action"], first["status"], first["path"]) == ("unmonitor", "done", str(link))
    assert (first["app"], first["title"], first["ids"]) == ("sonarr", "Show", [101])
    assert monitored(sonarr) == {101: False, 102: True}
    assert box.box.tree(box.box.completed) | box.box.tree(box.box.tv) == set()
    status = tell(box, "status", "--json")
    assert status["apps"]["sonarr"]["rebuilds"] >= 1
    assert "unmonitor" in said(box, "history")


def test_volumes_that_sonarr_imported_are_not_sent(box: Attack, sonarr: FakeArr) -> None:
    tv = box.box.completed / "tv"
    episode = {"E01.mkv": random.Random(1).randbytes(90_000)}
    volumes = rar_volumes_of(episode, 40_000, new_names=True)
    box.pack(tv / "Pack", {f"p.part{n}.rar": raw for n, raw in enumerate(volumes, 1)}, episode)
    hash_ = box.torrent(tv / "Pack", category="tv-sonarr", save_path=tv)
    link = box.write(box.box.tv / "Show" / "Show - S01E01.mkv", episode["E01.mkv"])
    sonarr.items["history"] = [{
        "id": 1, "eventType": "downloadFolderImported", "downloadId": hash_.upper(),
        "data": {"importedPath": f"/tv/Show/{link.name}"},
    }]  # fmt: skip
    box.upload()
    box.due()
    report = box.cleanup()
    box.holds()
    assert len(done(report, "delete-file")) == len(volumes)
    assert box.box.tree(box.box.completed) == set()
    assert link.exists()
    assert set(box.contents()) == {f"tv/Show/{link.name}"}
    restored = box.folder / "back"
    restored.mkdir()
    said(box, "restore", str(tv / "Pack"), "--to", str(restored))
    (file,) = [Path(folder, name) for folder, _, names in os.walk(restored) for name in names]
    assert file.read_bytes() == episode["E01.mkv"]
    assert "b2:" not in str(file)


def said(box: Attack, *words: str) -> str:
    script = str(Path(sys.executable).parent / "mediapipe")
    ended = subprocess.run(
        [script, *words, "--config", str(box.box.config_path)],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def tell(box: Attack, *words: str) -> Any:

    return json.loads(said(box, *words))
