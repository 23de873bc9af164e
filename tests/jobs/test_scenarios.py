"""What cost people their files with other programs: each once, under a number."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mediapipe import companions, layout
from mediapipe.disk import mounts
from mediapipe.errors import ConfigError, LoginRefused, MediapipeError, Unavailable
from mediapipe.ports import TorrentFile
from mediapipe.units import AbsPath
from tests.hosts import HOUR, WEEK, Host, contents, reasons, snapshot, statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mediapipe.ports import Torrent


@pytest.fixture
def film(host: Host) -> Torrent:
    """Give a due torrent that is imported and proven; alone it would go."""
    path = host.write(host.downloads / "movies" / "Film" / "film.mkv")
    host.link(path, host.movies / "Film (2020)" / "Film.mkv")
    torrent = host.torrent("Film", path, category="radarr")
    assert {one.status for one in host.upload().results} == {"done"}
    return torrent


@pytest.fixture
def orphan(host: Host, film: Torrent) -> Path:
    """Give a proven download without a torrent, past its grace; a torrent seeds beside it."""
    path = host.write(host.downloads / "Orphan" / "a.mkv")
    host.torrents.change(film.hash, seeding_time=60)
    host.upload()
    host.cleanup()
    host.later(HOUR)
    return path


def on_call(host: Host, method: str, number: int, act: Callable[[], None]) -> None:
    """Let something happen at the n-th call of a method from now on."""
    host.torrents.calls.clear()

    def before(called: str) -> None:
        if called == method and host.torrents.calls.count(method) == number:
            act()

    host.torrents.before = before


def silence() -> None:
    raise Unavailable("qBittorrent does not answer")


def kept(host: Host) -> bool:
    """Whether a run leaves everything that is downloaded and imported as it is."""
    before = snapshot(host.downloads), snapshot(host.folder / "media")
    host.later(HOUR)
    host.cleanup(orphans_now=True)
    return before == (snapshot(host.downloads), snapshot(host.folder / "media"))


def test_the_orphan_of_these_scenarios_would_go(host: Host, orphan: Path) -> None:
    assert not kept(host)
    assert not orphan.exists()


def test_s01_an_empty_list_makes_no_orphans(host: Host, orphan: Path) -> None:
    host.torrents.listed.clear()
    assert kept(host)
    report = host.cleanup(orphans_now=True)
    assert (report.outcome, orphan.exists()) == ("refused", True)


def test_s02_one_file_list_of_many_does_not_come(host: Host, film: Torrent) -> None:
    second = host.write(host.downloads / "movies" / "Second" / "b.mkv")
    host.torrent("Second", second, category="radarr", seeding_time=60)
    on_call(host, "files", 2, silence)
    before = host.names()
    with pytest.raises(Unavailable):
        host.cleanup()
    assert (host.names(), film.hash in host.torrents.listed) == (before, True)


def test_s03_a_torrent_lists_no_files(host: Host, orphan: Path) -> None:
    path = host.write(host.downloads / "tv" / "other name" / "b.mkv")
    torrent = host.torrent("Other", path, seeding_time=60)
    host.torrents.lists[torrent.hash] = ()
    with pytest.raises(Unavailable, match="lists no files for the torrent Other"):
        host.cleanup(orphans_now=True)
    assert orphan.exists()


def test_s04_the_save_path_changed_and_the_files_did_not_move(host: Host, film: Torrent) -> None:
    (one,) = host.torrents.lists[film.hash]
    moved = host.downloads / "tv"
    host.torrents.change(film.hash, save_path=str(moved))
    host.torrents.lists[film.hash] = (replace(one, path=f"{moved}/Film/film.mkv"),)
    host.cleanup()
    assert kept(host)
    assert film.hash in host.torrents.listed


@pytest.mark.parametrize("name", ["b.mkv.!qB", ".abc.parts", "b.mkv.part"])
def test_s05_an_unfinished_file_makes_no_orphan(host: Host, orphan: Path, name: str) -> None:
    host.write(orphan.with_name(name))
    assert kept(host)


def test_s06_a_prefix_that_is_not_mapped_makes_no_orphans(host: Host, orphan: Path) -> None:
    for torrent in list(host.torrents.listed.values()):
        host.torrents.change(torrent.hash, save_path="/data/movies")
        listed = host.torrents.lists[torrent.hash]
        host.torrents.lists[torrent.hash] = tuple(
            replace(one, path=one.path.replace(str(host.downloads), "/data")) for one in listed
        )
    assert kept(host)
    assert "is [qbittorrent.path_map] right?" in reasons(host.cleanup(orphans_now=True))["Orphan"]
    assert orphan.exists()


def test_s07_a_name_in_another_normal_form_makes_no_orphan(host: Host, orphan: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Amélie") for form in ("NFC", "NFD"))
    path = host.write(host.downloads / "movies" / decomposed / "a.mkv")
    torrent = host.torrent(composed, path, category="radarr", seeding_time=60)
    (one,) = host.torrents.lists[torrent.hash]
    renamed = replace(one, path=unicodedata.normalize("NFC", one.path))
    host.torrents.lists[torrent.hash] = (renamed,)
    assert kept(host)
    assert orphan.exists()


def in_another_form(host: Host, torrent: Torrent, path: Path) -> None:
    """Let qBittorrent name a file composed that has a decomposed name on disk."""
    host.torrents.lists[torrent.hash] = tuple(
        replace(one, path=unicodedata.normalize("NFC", one.path)) if one.path == str(path) else one
        for one in host.torrents.lists[torrent.hash]
    )


def test_s07_one_name_of_many_in_another_normal_form_is_no_orphan(host: Host, orphan: Path) -> None:
    """All files of a torrent lie in the category folder itself; one of them is not found there."""
    name = unicodedata.normalize("NFD", "é.mkv")
    first, other = (host.write(host.downloads / "movies" / one) for one in ("a.mkv", name))
    torrent = host.torrent("T", first, other, category="radarr", seeding_time=60)
    host.link(first, host.movies / "T" / "a.mkv")
    host.link(other, host.movies / "T" / name)
    host.upload()
    in_another_form(host, torrent, other)
    outcome = host.cleanup(orphans_now=True)
    assert other.exists()
    assert not orphan.exists()  # what lies elsewhere is no concern of it
    assert reasons(outcome)[name] == f"{name}: a torrent in the list holds its data"


def test_s07_what_a_due_torrent_shares_under_another_normal_form_stays(host: Host) -> None:
    name = unicodedata.normalize("NFD", "é.mkv")
    folder = host.downloads / "movies" / "T"
    first, other = host.write(folder / "a.mkv"), host.write(folder / name, b"other")
    for one in (first, other):
        host.link(one, host.movies / "T" / one.name)
    torrent = host.torrent("Seeds", first, other, category="radarr", seeding_time=60)
    host.torrent("Due", other, category="radarr")
    host.upload()
    in_another_form(host, torrent, other)
    host.cleanup()
    assert other.exists()
    assert (host.movies / "T" / name).exists()


@pytest.mark.parametrize("why", ["deselected", "unfinished"])
def test_s07_a_file_that_need_not_be_there_protects_nothing(
    host: Host, orphan: Path, why: str
) -> None:
    first = host.write(host.downloads / "movies" / "a.mkv")
    missing = host.downloads / "movies" / "b.mkv"
    torrent = host.torrent("T", first, missing, category="radarr", seeding_time=60)
    if why == "deselected":
        host.unselect(torrent, missing, progress=0.0)
    else:
        host.torrents.lists[torrent.hash] = tuple(
            replace(one, progress=0.5) if one.path == str(missing) else one
            for one in host.torrents.lists[torrent.hash]
        )
    assert not kept(host)
    assert not orphan.exists()


def test_s08_a_torrent_that_appears_after_the_list_was_read_protects(
    host: Host, film: Torrent
) -> None:
    path = host.downloads / "movies" / "Film" / "film.mkv"

    def appears() -> None:
        host.torrent("New", path, category="radarr")

    on_call(host, "torrents", 2, appears)
    assert {status for _kind, _path, status in statuses(host.cleanup())} == {"stale"}
    assert (path.exists(), film.hash in host.torrents.listed) == (True, True)


@pytest.mark.parametrize("how", ["gone", "empty", "foreign"])
def test_s09_a_root_that_is_not_there_stops_everything(host: Host, film: Torrent, how: str) -> None:
    host.movies.rename(host.folder / "unmounted")
    if how != "gone":
        host.movies.mkdir()
    if how == "foreign":
        host.write(host.movies / ".mediapipe-root", b"another\n")
    with pytest.raises(Unavailable, match="movies"):
        host.cleanup()
    assert (host.downloads / "movies" / "Film" / "film.mkv").exists()
    assert film.hash in host.torrents.listed


def test_s10_a_torrent_that_somebody_else_removed_waits_for_its_grace(
    host: Host, film: Torrent
) -> None:
    host.torrent("Stays", host.write(host.downloads / "movies" / "Stays"), seeding_time=60)
    host.torrents.change(film.hash, seeding_time=60)
    host.cleanup()
    del host.torrents.listed[film.hash]
    first, soon = host.cleanup(), host.cleanup()
    assert (first.results, soon.results) == ((), ())
    host.later(HOUR)
    assert ("delete-file", "film.mkv", "done") in statuses(host.cleanup())


def test_s11_the_data_of_another_torrent_is_not_deleted_with_it(host: Host, film: Torrent) -> None:
    path = host.downloads / "movies" / "Film" / "film.mkv"
    host.torrent("Same file", path, category="radarr", seeding_time=60)
    assert statuses(host.cleanup()) == [("remove-torrent", "Film", "done")]
    assert (path.exists(), film.hash in host.torrents.listed) == (True, False)


def test_s12_what_is_cross_seeded_from_another_folder_stays(host: Host, film: Torrent) -> None:
    path = host.downloads / "movies" / "Film" / "film.mkv"
    cross = host.link(path, host.downloads / "movies" / "Film-CROSS" / "film.mkv")
    host.torrent("Film-CROSS", cross, category="radarr", seeding_time=60)
    assert statuses(host.cleanup()) == [("remove-torrent", "Film", "done")]
    assert cross.exists()
    assert (host.movies / "Film (2020)" / "Film.mkv").exists()
    assert film.hash not in host.torrents.listed


def test_s13_a_path_that_cannot_be_looked_at_is_not_without_links(
    host: Host, film: Torrent
) -> None:
    odd = f"{host.downloads}/movies/Film/{'x' * 256}.mkv"
    host.torrents.lists[film.hash] += (TorrentFile(odd, 1, True, 1.0),)
    assert kept(host)
    assert "cannot be read" in reasons(host.cleanup())["Film"]


def test_s13_what_is_left_of_a_deletion_is_not_forgotten_unseen(host: Host, film: Torrent) -> None:
    """A folder that cannot be gone into says nothing of what is in it."""
    (host.movies / "circle").symlink_to("circle")
    with host.writing() as history:
        history.intend("Old", "gone", {f"{host.movies}/circle/old.mkv": None}, host.now)
        companions.remember([f"{host.movies}/circle/other.mkv"], history, host.now)
    host.torrents.change(film.hash, seeding_time=60)
    assert kept(host)
    history = host.history()
    assert [one.name for one in history.intents()] == ["Old"]
    assert companions.remembered(history) == {f"{host.movies}/circle/other.mkv"}
    assert "cannot be read" in reasons(host.cleanup())["Old"]


def test_s13_a_link_in_a_folder_that_cannot_be_read_is_not_elsewhere(
    host: Host, film: Torrent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where links elsewhere are of no concern."""
    host.configure("cleanup", links_elsewhere="ignore")
    folder = host.movies / "Film (2020)"
    folder.rename(host.movies / "Moved")
    closed = str(host.movies / "Moved")
    scandir = os.scandir

    def scan(path: str) -> object:
        if path == closed:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)  # root reads what it likes
    assert kept(host)
    reason = reasons(host.cleanup())["Film"]
    assert reason.endswith(f"where one cannot look: {closed}: Permission denied")
    monkeypatch.undo()
    assert not kept(host)


@pytest.mark.parametrize("back", ["library", "another name", "downloads"])
def test_s13_a_link_that_was_elsewhere_and_comes_back_is_still_covered(
    host: Host, film: Torrent, back: str
) -> None:
    """The rest of a file that was freed with links_elsewhere = "ignore"."""
    host.configure("cleanup", links_elsewhere="ignore")
    own = host.downloads / "movies" / "Film" / "film.mkv"
    content = own.read_bytes()
    elsewhere = host.link(own, host.folder / "elsewhere" / "film.mkv")
    assert not kept(host)
    assert not own.exists()
    home = {
        "library": host.movies / "Film (2020)" / "Film.mkv",
        "another name": host.movies / "Film (2020)" / "Other.mkv", "downloads": own,
    }[back]  # fmt: skip
    home.parent.mkdir(parents=True, exist_ok=True)
    elsewhere.rename(home)
    host.torrent("Other", host.write(host.downloads / "tv" / "b.mkv"), seeding_time=60)
    for _ in range(3):
        assert host.upload().outcome == "done"
        assert host.cleanup().outcome == "done"
        host.later(HOUR)
        assert content in contents(host.downloads, host.movies) or host.remote.has(content)
    assert home.exists() == (back != "downloads")  # an orphan goes, under the same proof
    assert host.remote.has(content)


def test_s14_an_import_that_silently_was_a_copy_loses_nothing(host: Host) -> None:
    path = host.write(host.downloads / "movies" / "Film" / "film.mkv", b"film" * 50)
    copy = host.write(host.movies / "Film (2020)" / "Film.mkv", path.read_bytes())
    host.torrent("Film", path, category="radarr")
    for _ in range(3):
        host.upload()
        host.cleanup()
        host.later(HOUR)
    # the copy goes with its download, as a link would: what it proves is there
    assert not path.exists()
    assert not copy.exists()
    assert host.remote.versions["movies/Film (2020)/Film.mkv"][-1].content == b"film" * 50


@pytest.mark.parametrize("kind", ["fuse.mergerfs", "cifs", "fuse.rclone", "virtiofs"])
def test_s15_made_up_inode_numbers_keep_everything(
    host: Host, film: Torrent, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = host.folder / "mountinfo"
    table.write_text(f"1 0 0:1 / {host.folder} rw - {kind} x rw\n")
    monkeypatch.setattr(mounts, "_TABLE", str(table))
    assert kept(host)
    assert f"{kind} makes up inode numbers" in reasons(host.cleanup())["Film"]
    assert film.hash in host.torrents.listed


def test_s16_a_file_that_took_the_place_of_the_planned_one_stays(host: Host, film: Torrent) -> None:
    path = host.downloads / "movies" / "Film" / "film.mkv"
    about = path.stat()

    def replaced() -> None:
        path.unlink()
        path.write_bytes(b"x" * about.st_size)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 1))

    on_call(host, "remove", 1, replaced)
    assert ("delete-file", "film.mkv", "stale") in statuses(host.cleanup())
    assert path.read_bytes() == b"x" * about.st_size
    assert film.hash not in host.torrents.listed


def test_s17_a_fresh_link_to_old_content_is_young(host: Host, film: Torrent) -> None:
    host.torrents.change(film.hash, seeding_time=60)
    host.cleanup()
    old = host.write(host.downloads / "Fresh" / "a.mkv")
    os.utime(old, ns=(0, 0))
    host.upload()
    for _ in range(2):
        assert "Fresh" in reasons(host.cleanup())
    assert old.exists()


def test_s18_a_rename_in_the_library_is_no_deletion(host: Host, film: Torrent) -> None:
    old = host.movies / "Film (2020)" / "Film.mkv"
    new = host.movies / "Film (2021)" / "Film again.mkv"
    new.parent.mkdir()
    host.torrents.change(film.hash, seeding_time=60)
    old.rename(new)
    host.cleanup()
    assert (new.exists(), film.hash in host.torrents.listed) == (True, True)
    host.torrents.change(film.hash, seeding_time=WEEK)
    assert ("delete-link", "Film again.mkv", "done") in statuses(host.cleanup())


def test_s29_a_deletion_that_ended_half_way_is_finished(host: Host, film: Torrent) -> None:
    def crash() -> None:
        del host.torrents.listed[film.hash]
        raise KeyboardInterrupt

    on_call(host, "remove", 1, crash)
    with pytest.raises(KeyboardInterrupt):
        host.cleanup()
    assert (host.downloads / "movies" / "Film" / "film.mkv").exists()
    host.torrents.before = lambda _method: None
    host.cleanup()
    assert contents(host.downloads, host.movies) == {
        (host.movies / ".mediapipe-root").read_bytes(),
        (host.downloads / ".mediapipe-root").read_bytes(),
    }


def test_s30_no_root_and_no_category_folder_is_pruned(host: Host, film: Torrent) -> None:
    host.cleanup()
    assert film.hash not in host.torrents.listed
    assert host.names() == {"downloads/completed/movies", "downloads/completed/tv"}
    assert (host.tv.is_dir(), host.movies.is_dir()) == (True, True)


def test_s31_a_mount_that_is_offline_stops_the_job_before_it_looks(host: Host) -> None:
    host.configure("paths", require_mounts=(AbsPath(str(host.folder)),))
    with pytest.raises(Unavailable, match="nothing is mounted at"):
        layout.demand_mounts(host.config)


def test_s33_a_refused_login_is_tried_once(host: Host, film: Torrent) -> None:
    host.torrents.calls.clear()
    host.torrents.failures["torrents"] = LoginRefused("qbittorrent", "refused", hint="mend it")
    with pytest.raises(ConfigError):
        host.cleanup()
    assert host.torrents.calls == ["torrents"]
    assert film.hash in host.torrents.listed


@pytest.mark.parametrize("error", [Unavailable("down"), ConfigError("a login is wanted", hint="")])
@pytest.mark.parametrize("method", ["torrents", "files", "remove"])
def test_s34_an_error_of_the_service_deletes_nothing(
    host: Host, film: Torrent, method: str, error: MediapipeError
) -> None:
    before = snapshot(host.downloads)
    host.torrents.failures[method] = error
    if method == "remove":
        assert host.cleanup().trouble == error
    else:
        with pytest.raises(type(error)):
            host.cleanup()
    assert film.hash in host.torrents.listed
    after = snapshot(host.downloads)
    assert {path for path in before if path.endswith(".mkv")} <= after.keys()


@pytest.mark.parametrize("told", [0, -1, 5])
def test_s35_a_seeding_time_that_stands_still_or_steps_back_ends_by_our_own_record(
    host: Host, film: Torrent, told: int
) -> None:
    host.torrents.change(film.hash, seeding_time=told)
    host.cleanup()
    for _ in range(WEEK // 1800 - 1):
        host.later(1800)
        with host.writing() as history:
            history.seed(host.torrents.listed.values(), host.now)
    host.cleanup()
    assert film.hash in host.torrents.listed
    host.later(1800)
    host.cleanup()
    assert film.hash not in host.torrents.listed
