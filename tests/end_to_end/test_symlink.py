"""`after_delete = "symlink"` with a real mount: what plays from the library goes on playing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.attack import Attack, done, kept
from tests.mounts import RealMount

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real

MIB = 1 << 20


def test_a_library_path_is_read_through_the_mount_before_and_after(tmp_path: Path) -> None:
    content = os.urandom(3 * MIB + 17)
    with Attack(tmp_path) as attack, RealMount(tmp_path, attack.b2, attack.box.state) as mount:
        point = str(mount.point)
        sections = {"libraries.movies": {"after_delete": "symlink"}}
        away = {"mount_point": str(tmp_path / "nothing is mounted here")}
        attack.box.write_config(rclone=away, **sections)
        attack.job("categories", status=0)
        film = attack.film(data=content)
        category = attack.qbt.client().torrents_set_category
        category(category="radarr", torrent_hashes=film.hash)
        attack.upload()
        attack.due()
        report = attack.cleanup()  # without the mount nothing of it goes
        assert "nothing is mounted at" in kept(report)["Film.2024"]
        assert film.download.exists()
        assert not film.link.is_symlink()

        rclone = {"mount_point": point, "rc_addr": mount.rc_addr}
        attack.box.write_config(rclone=rclone, **sections)
        report = attack.cleanup()
        assert done(report, "symlink") == [str(film.link)]
        assert not film.download.exists()
        assert film.link.is_symlink()
        assert os.readlink(film.link) == f"{point}/{film.remote}"
        assert film.link.read_bytes() == content  # all of it, from B2
        before = attack.b2.objects()
        attack.upload()
        assert attack.cleanup()["actions"] == []
        assert attack.b2.objects() == before
        assert film.link.is_symlink()
