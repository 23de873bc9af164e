"""What the mount shows: the fake and a real `rclone mount` tell the same."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from mediapipe.adapters.mounted import Mounted
from mediapipe.errors import Unavailable
from tests.fakes import FakeMount, FakeRemote
from tests.mounts import RealMount

if TYPE_CHECKING:
    from pathlib import Path

    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real

MIB = 1 << 20
FILES = {
    "tv/empty.mkv": b"",
    "tv/Show/small.mkv": b"small",
    'tv/Show/it\'s "one" MiB.mkv': b"m" * MIB,
    "tv/Show/\u00fcber.mkv": b"begin" + b"." * 3 * MIB + b"end",
}


def test_fake_and_mount_show_the_same(b2: B2Server, tmp_path: Path) -> None:
    remote = FakeRemote()
    for name, content in FILES.items():
        b2.put(name, content)
        remote.put(name, content)
    with RealMount(tmp_path, b2, tmp_path / "state") as mount:
        point = str(mount.point)
        paths = [f"{point}/{name}" for name in (*FILES, "tv/gone.mkv", "tv/Show")]
        found = Mounted(point).read_ends(paths)
        assert found == FakeMount(point, remote).read_ends(paths)
        assert [size for size, _digest in found.values()] == [len(one) for one in FILES.values()]
        assert Mounted(point).read_ends([]) == {}


def test_nothing_mounted_is_no_empty_mount(tmp_path: Path) -> None:
    (tmp_path / "film.mkv").write_bytes(b"on this disk")
    with pytest.raises(Unavailable, match="nothing is mounted at"):
        Mounted(str(tmp_path)).read_ends([f"{tmp_path}/film.mkv"])


def test_a_mount_that_hangs_ends_at_its_deadline(b2: B2Server, tmp_path: Path) -> None:
    b2.put("tv/a.mkv", b"a")
    with RealMount(tmp_path, b2, tmp_path / "state") as mount:
        mount.signal(signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable, match="stalled for 1 s"):
                Mounted(str(mount.point), timeout=1.0).read_ends([f"{mount.point}/tv/a.mkv"])
        finally:
            mount.signal(signal.SIGCONT)
