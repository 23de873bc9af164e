"""From a new file in the library to a mount that shows it, and a Jellyfin that knows of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mediapipe.testing.box import Box
from tests.jellyfin import KEY, FakeJellyfin
from tests.mounts import RealMount

if TYPE_CHECKING:
    from pathlib import Path

    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real

NOBODY = "http://127.0.0.1:9"
"""No item of a library needs qBittorrent's word."""


def test_what_is_uploaded_can_be_played_at_once(b2: B2Server, tmp_path: Path) -> None:
    box = Box(tmp_path / "box", NOBODY, b2.rclone_config("restricted"))
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    with RealMount(tmp_path / "mount", b2, box.state) as mount, FakeJellyfin() as jellyfin:
        box.write_config(
            rclone={"rc_addr": mount.rc_addr, "mount_point": str(mount.point)},
            jellyfin={"url": jellyfin.url, "api_key_file": str(key)},
            **{"jellyfin.path_map": {json.dumps(str(mount.point)): "/media"}},
        )
        assert mount.shown() == set()
        for number in (1, 2):
            name = f"Show/Season {number}/E{number}.mkv"
            (box.tv / name).parent.mkdir(parents=True)
            (box.tv / name).write_text(name)

            box.report("upload", "--dry-run")
            assert mount.shown() == {f"tv/Show/Season {one}/E{one}.mkv" for one in range(1, number)}
            box.report("upload")

            assert (mount.point / "tv" / name).read_text() == name
            assert jellyfin.told[number - 1 :] == [f"/media/tv/{name}"]


def test_trouble_with_those_who_are_told_leaves_the_run_as_good(
    b2: B2Server, tmp_path: Path
) -> None:
    box = Box(tmp_path / "box", NOBODY, b2.rclone_config("restricted"))
    box.write_config(jellyfin={"url": NOBODY, "api_key_file": str(tmp_path / "missing")})
    (box.tv / "E1.mkv").write_text("one")

    ended = box.run("upload")

    assert ended.returncode == 0, ended.stderr
    events = [json.loads(line) for line in ended.stderr.splitlines()]
    (warning,) = [one for one in events if one["event"] == "listener.failed"]
    assert (warning["listener"], warning["level"]) == ("jellyfin", "warning")
    assert "cannot read" in warning["reason"]
    assert (box.tv / "E1.mkv.uploaded").exists()
