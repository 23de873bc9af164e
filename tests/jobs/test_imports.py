"""Archives that others unpacked go once all their media are imported, and proven on B2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mediapipe import audit
from mediapipe.adapters.archives import Unarchiver
from mediapipe.errors import ConfigError
from tests.archive_files import rar_volumes_of
from tests.arrs import HTML, LOGIN_PAGE, FakeArr
from tests.hosts import Host, reasons, statuses
from tests.jobs.test_unmonitoring import use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mediapipe.ports import Torrent

FIRST, SECOND = b"1" * 5000, b"2" * 7000


class World:
    """A torrent of archive volumes, which others unpacked and imported."""

    def __init__(self, host: Host, app: FakeArr) -> None:
        self.host, self.app = host, app
        folder = host.downloads / "tv" / "Pack"
        content = {"E1.mkv": FIRST, "E2.mkv": SECOND, "about.nfo": b"x"}
        self.volumes = [
            host.write(folder / f"pack.part{number}.rar", data)
            for number, data in enumerate(rar_volumes_of(content, 4500, new_names=True), 1)
        ]
        self.nfo = host.write(folder / "pack.nfo", b"words")
        self.torrent: Torrent = host.torrent("Pack", *self.volumes, self.nfo)
        self.first = host.write(host.tv / "Show/E1.mkv", FIRST)
        self.second = host.write(host.tv / "Show/E2.mkv", SECOND)
        app.items["history"] = [self.record(self.first), self.record(self.second)]

    def record(self, path: Path) -> dict[str, Any]:
        return {
            "id": 1,
            "eventType": "downloadFolderImported",
            "downloadId": self.torrent.hash.upper(),
            "data": {"importedPath": str(path)},
        }


@pytest.fixture
def world(host: Host) -> Iterator[World]:
    host.archives = Unarchiver()  # type: ignore[assignment]
    host.configure("upload", leftovers="keep")
    with FakeArr("sonarr") as app:
        app.roots = [str(host.tv)]
        app.items = {"series": [], "episodefile": [], "episode": []}
        use(host, app)
        yield World(host, app)


def test_volumes_go_when_every_medium_in_them_is_imported_and_proven(world: World) -> None:
    world.host.upload()
    report = world.host.cleanup()
    assert report.outcome == "done"
    assert world.host.torrents.listed == {}
    assert not any(one.exists() for one in (*world.volumes, world.nfo))
    assert world.first.exists()
    assert world.second.exists()
    lines = [one for one in audit.read(str(world.host.state)) if one]
    volume = next(one for one in lines if one["path"] == str(world.volumes[0]))
    remotes = ["b2:bucket/tv/Show/E1.mkv", "b2:bucket/tv/Show/E2.mkv"]
    assert [one["remote"] for one in volume["objects"]] == remotes


def one_is_short(world: World) -> None:
    del world.app.items["history"][0]


def one_has_another_size(world: World) -> None:
    world.host.write(world.first, FIRST + b"more")
    world.host.upload()


def one_is_gone(world: World) -> None:
    world.second.unlink()


def one_is_not_on_the_remote(world: World) -> None:
    del world.host.remote.versions["tv/Show/E2.mkv"]


def one_is_imported_elsewhere(world: World) -> None:
    other = world.host.write(world.host.folder / "elsewhere/E2.mkv", SECOND)
    world.app.items["history"][1] = world.record(other)


def one_stands_for_two(world: World) -> None:
    world.app.items["history"][1] = world.record(world.first)


def one_volume_is_missing(world: World) -> None:
    world.volumes[1].write_bytes(b"not a rar at all")


def nothing_was_imported(world: World) -> None:
    world.app.items["history"] = []


@pytest.mark.parametrize(
    "short",
    [
        one_is_short,
        one_has_another_size,
        one_is_gone,
        one_is_not_on_the_remote,
        one_is_imported_elsewhere,
        one_stands_for_two,
        one_volume_is_missing,
        nothing_was_imported,
    ],
)
def test_one_member_short_keeps_them(world: World, short: Callable[[World], None]) -> None:
    world.host.upload()
    short(world)
    report = world.host.cleanup()
    assert statuses(report) == []
    assert world.torrent.hash in world.host.torrents.listed
    assert all(one.exists() for one in (*world.volumes, world.nfo))
    # and the next run does not take it for proven
    assert statuses(world.host.cleanup()) == []


def test_an_import_that_is_not_uploaded_yet_proves_nothing(world: World) -> None:
    report = world.host.cleanup()
    assert statuses(report) == []
    assert "nothing proves" in reasons(report)["Pack"]


def test_what_is_short_goes_up_as_leftovers(world: World) -> None:
    world.host.configure("upload", leftovers="upload")
    world.host.upload()
    one_is_short(world)
    world.host.cleanup()
    world.host.upload()
    assert any(name.startswith("downloads/Pack/") for name in world.host.remote.versions)
    world.host.cleanup()
    assert world.host.torrents.listed == {}


@pytest.mark.parametrize("silent", ["app", "program"])
def test_nothing_goes_up_while_it_cannot_be_told(world: World, silent: str) -> None:
    world.host.configure("upload", leftovers="upload")
    world.host.upload()
    if silent == "app":
        world.app.answers = [(200, HTML, LOGIN_PAGE)] * 50
    else:
        world.host.archives = without_program()  # type: ignore[assignment]
    report = world.host.cleanup()
    assert "whether it was imported cannot be told" in reasons(report)["Pack"]
    world.host.upload()
    assert not any(name.startswith("downloads/") for name in world.host.remote.versions)


def without_program() -> object:
    class Missing:
        """No lsar."""

        def list(self, path: str) -> None:
            raise ConfigError(f"lsar is not installed, so {path} stays")

    return Missing()


def test_a_crash_after_the_torrent_is_gone_is_finished(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.host.upload()

    def die(path: str) -> None:
        raise RuntimeError(path)

    with monkeypatch.context() as patch:
        patch.setattr("os.unlink", die)
        with pytest.raises(RuntimeError):
            world.host.cleanup()
    assert world.host.torrents.listed == {}
    assert world.volumes[0].exists()
    world.app.items["history"].clear()  # nobody could tell any more
    world.host.cleanup()
    assert not any(one.exists() for one in (*world.volumes, world.nfo))


def test_nothing_is_asked_of_a_torrent_without_archives(world: World) -> None:
    world.host.torrents.listed.clear()
    source = world.host.write(world.host.downloads / "tv/Extra/x.mkv")
    world.host.torrent("Extra", source)
    world.host.cleanup()
    assert world.app.asked == []
