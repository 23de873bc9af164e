"""What the mount shows: the fake and a real `rclone mount` tell the same."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from mediapipe import layout
from mediapipe.adapters.mounted import Mounted, demand_answers
from mediapipe.config_load import load
from mediapipe.errors import ActionFailed, Unavailable
from mediapipe.testing.box import Box
from tests.fakes import FakeMount, FakeRemote
from tests.mounts import RealMount

if TYPE_CHECKING:
    from pathlib import Path

    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real

MIB = 1 << 20
HANGS = {
    "looking": lambda mounted, paths: mounted.read_ends(paths),
    "walking": lambda mounted, paths: mounted.walk(paths),
    "reading": lambda mounted, paths: mounted.read(paths[0], lambda _count: None),
}
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


def test_files_are_walked_by_name_and_read_to_their_end(b2: B2Server, tmp_path: Path) -> None:
    for name, content in FILES.items():
        b2.put(name, content)
    with RealMount(tmp_path, b2, tmp_path / "state") as mount:
        point = str(mount.point)
        mounted = Mounted(point)
        found = mounted.walk([f"{point}/tv/Show", f"{point}/tv/empty.mkv", f"{point}/gone"])
        assert [(one.path.removeprefix(point), one.size, one.trouble) for one in found] == [
            ('/tv/Show/it\'s "one" MiB.mkv', MIB, ""),
            ("/tv/Show/small.mkv", 5, ""),
            ("/tv/Show/\u00fcber.mkv", 3 * MIB + 8, ""),
            ("/tv/empty.mkv", 0, ""),
            ("/gone", 0, "No such file or directory"),
        ]
        for one in found[:-1]:
            parts: list[int] = []
            mounted.read(one.path, parts.append)
            assert sum(parts) == one.size
        with pytest.raises(ActionFailed, match="No such file"):
            mounted.read(f"{point}/gone", print)


@pytest.mark.parametrize("how", HANGS)
def test_a_mount_that_hangs_ends_at_its_deadline(how: str, b2: B2Server, tmp_path: Path) -> None:
    b2.put("tv/a.mkv", b"a")
    with RealMount(tmp_path, b2, tmp_path / "state") as mount:
        mount.signal(signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable, match="stalled for 1 s"):
                HANGS[how](Mounted(str(mount.point), timeout=1.0), [f"{mount.point}/tv/a.mkv"])
        finally:
            mount.signal(signal.SIGCONT)


def test_a_root_that_hangs_is_told_before_a_job_touches_it(b2: B2Server, tmp_path: Path) -> None:
    """A library on a merged tree or a server: who lists a dead one can be ended by nobody."""
    b2.put("tv/a.mkv", b"a")
    box = Box(tmp_path / "box", "http://127.0.0.1:9", b2.rclone_config())
    with RealMount(tmp_path, b2, tmp_path / "state") as mount:
        box.write_config(**{"libraries.tv": {"root": f"{mount.point}/tv"}})
        config = load(str(box.config_path))
        roots = layout.on_servers(config)
        assert roots == (f"{mount.point}/tv",)
        demand_answers((*roots, str(tmp_path / "gone")))
        mount.signal(signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable, match=f"{roots[0]} does not answer"):
                demand_answers((str(tmp_path), *roots), timeout=1.0)
        finally:
            mount.signal(signal.SIGCONT)
