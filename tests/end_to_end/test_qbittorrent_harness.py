"""What a real qBittorrent says about torrents, against what is really on disk.

The cleanup trusts these answers, so every deviation found is pinned here. The same held for
4.5.2 (libtorrent 2.0.8) and 5.1.0, except where a test asks for the version.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import qbittorrentapi
import torf

from mediapipe.testing.qbittorrent import (
    QbittorrentServer,
    ServerError,
    free_port,
    make_torrent,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real

PAUSED = ("pausedUP", "stoppedUP", "pausedDL", "stoppedDL")
NO_TEMP_PATH = {"BitTorrent": {r"Session\TempPathEnabled": "false"}}


@pytest.fixture
def seeder(tmp_path: Path) -> Iterator[QbittorrentServer]:
    """Serve data that already is in its folder `completed`."""
    with QbittorrentServer(tmp_path / "seeder", config=NO_TEMP_PATH) as server:
        yield server


@pytest.fixture
def leecher(tmp_path: Path) -> Iterator[QbittorrentServer]:
    """Download, as in production, first into a folder for what is incomplete."""
    with QbittorrentServer(tmp_path / "leecher") as server:
        yield server


def info(server: QbittorrentServer, torrent_hash: str) -> Any:
    """Return the only answer of torrents/info."""
    (torrent,) = server.client().torrents_info(torrent_hashes=torrent_hash)
    return torrent


def reported(server: QbittorrentServer, torrent_hash: str) -> list[str]:
    """Return the paths in torrents/files, in the order of the torrent."""
    return [file.name for file in server.client().torrents_files(torrent_hash)]


def on_disk(folder: Path) -> dict[str, bytes]:
    """Return {relative path: content}; bytes that are not UTF-8 would show as surrogates."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def download(leecher: QbittorrentServer, seeder: QbittorrentServer, torrent: Path) -> str:
    """Let the leecher get a torrent of data that lies in the seeder's folder."""
    torrent_hash = leecher.add(torrent)
    assert seeder.add(torrent) == torrent_hash
    leecher.connect(torrent_hash, seeder)
    leecher.wait_complete([torrent_hash], 20)
    return torrent_hash


def pack(folder: Path, **sizes: int) -> Path:
    """Make a folder `Pack` of files with random content and these sizes in bytes."""
    content = folder / "Pack"
    content.mkdir()
    for name, size in sizes.items():
        (content / name).write_bytes(os.urandom(size))
    return content


# --- the harness itself -------------------------------------------------------------------------


def test_missing_program_is_named_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"no-such-program not found.*apt-get install"):
        QbittorrentServer(tmp_path, binary="no-such-program").start()


def test_crash_is_told_with_status_and_output(tmp_path: Path) -> None:
    crash = ["sh", "-c", "echo the last words; exit 3", "sh"]
    with pytest.raises(ServerError, match=r"(?s)exit status 3 .*the last words"):
        QbittorrentServer(tmp_path, binary=crash).start()


@pytest.mark.parametrize("which", ["web_port", "peer_port"])
def test_taken_port_is_replaced_unless_asked_for(
    tmp_path: Path, seeder: QbittorrentServer, which: str
) -> None:
    taken = getattr(seeder, which)
    with pytest.raises(ServerError, match="port"):
        QbittorrentServer(tmp_path / "a", **{which: taken}).start()
    unlucky = QbittorrentServer(tmp_path / "b")
    setattr(unlucky, which, taken)  # as if it was taken between our look and the server's
    with unlucky:
        assert getattr(unlucky, which) != taken
        assert unlucky.client().torrents_info() == []


def test_port_that_was_taken_for_a_moment_only_is_replaced_too(tmp_path: Path) -> None:
    unlucky = QbittorrentServer(tmp_path)
    with socket.socket() as brief:  # bound and not listening: nobody is seen to have the port
        brief.bind(("127.0.0.1", unlucky.web_port))
        with unlucky:
            assert unlucky.web_port != brief.getsockname()[1]
            assert unlucky.client().torrents_info() == []


def test_every_socket_is_on_loopback(seeder: QbittorrentServer) -> None:
    inodes = {entry.resolve().name for entry in Path(f"/proc/{seeder.pid}/fd").iterdir()}
    local_addresses = {
        row.split()[1].split(":")[0]
        for table in ("tcp", "tcp6", "udp", "udp6")
        for row in Path("/proc/net", table).read_text("ascii").splitlines()[1:]
        if f"socket:[{row.split()[9]}]" in inodes
    }
    assert local_addresses == {"0100007F"}  # 127.0.0.1 in the byte order of this machine


@pytest.mark.parametrize("die_with_parent", [True, False])
def test_server_dies_with_a_killed_parent_only_if_asked(
    tmp_path: Path, die_with_parent: bool
) -> None:
    program = f"""if True:
        import pathlib, signal, mediapipe.testing.qbittorrent as module
        server = module.QbittorrentServer(
            pathlib.Path({str(tmp_path)!r}), die_with_parent={die_with_parent})
        with server:
            print(server.pid, flush=True)
            signal.pause()
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        server = Path("/proc", parent.stdout.readline().decode().strip())
        parent.kill()

    def ended() -> bool:
        return not server.exists() or "\nState:\tZ" in (server / "status").read_text()

    if not die_with_parent:
        assert not ended()
        os.kill(int(server.name), signal.SIGTERM)
    wait_until(ended, seconds=10, what="the end of the server")


def test_profile_path_in_unicode(tmp_path: Path) -> None:
    with QbittorrentServer(tmp_path / 'ü😀 "x", ;#%') as server:
        assert Path(server.client().app_default_save_path()) == server.completed


def test_wrong_password(tmp_path: Path) -> None:
    with QbittorrentServer(tmp_path, username="me", password="gehéim") as server:
        assert server.client().torrents_info() == []
        wrong = qbittorrentapi.Client(server.url, username="me", password="guess")
        with pytest.raises(qbittorrentapi.LoginFailed):
            wrong.torrents_info()


def test_torrents_survive_kill_and_restart(tmp_path: Path, seeder: QbittorrentServer) -> None:
    content = pack(seeder.completed, a=1000)
    torrent_hash = seeder.add(make_torrent(content, tmp_path / "t.torrent").path)
    seeder.wait_complete([torrent_hash], 10)
    url, pid = seeder.url, seeder.pid
    seeder.kill()
    with pytest.raises(qbittorrentapi.APIConnectionError):
        seeder.client().torrents_info()
    seeder.start()
    seeder.wait_complete([torrent_hash], 10)
    assert (seeder.url, seeder.pid == pid) == (url, False)
    seeder.restart().wait_complete([torrent_hash], 10)


def test_lost_state_folder_is_an_empty_list_and_no_error(
    tmp_path: Path, seeder: QbittorrentServer
) -> None:
    seeder.add(make_torrent(pack(seeder.completed, a=1000), tmp_path / "t.torrent").path)
    seeder.stop()
    shutil.rmtree(seeder.profile / "qBittorrent/data/BT_backup")
    assert seeder.start().client().torrents_info() == []


def test_private_torrent_takes_no_peer(
    tmp_path: Path, seeder: QbittorrentServer, leecher: QbittorrentServer
) -> None:
    content = pack(seeder.completed, a=1000)
    private = make_torrent(content, tmp_path / "t", private=True, trackerless=False)
    seeder.add(private.path)
    leecher.add(private.path)
    leecher.connect(private.infohash, seeder)
    with pytest.raises(TimeoutError, match="Pack"):
        leecher.wait_complete([private.infohash], 0.2)


def test_waiting_ends_and_names_its_purpose() -> None:
    assert wait_until(lambda: "value", seconds=0, what="nothing") == "value"
    with pytest.raises(TimeoutError, match=r"0\.1 s waiting for spring"):
        wait_until(lambda: False, seconds=0.1, what=lambda: "spring")
    assert free_port() != free_port()


# --- places -------------------------------------------------------------------------------------


def test_category_folder_receives_folder_and_single_file(
    tmp_path: Path, seeder: QbittorrentServer, leecher: QbittorrentServer
) -> None:
    folder = pack(seeder.completed, a=3_000_000, b=10)
    single = seeder.completed / "single.mkv"
    single.write_bytes(os.urandom(2_000_000))
    target = tmp_path / "media" / "tv"
    leecher.client().torrents_create_category("tv", os.fspath(target))
    hashes = []
    for content in (folder, single):
        torrent = make_torrent(content, tmp_path / f"{content.name}.torrent")
        hashes.append(leecher.add(torrent.path, category="tv"))
        seeder.add(torrent.path)
        leecher.connect(torrent.infohash, seeder)
    leecher.wait_complete(hashes, 20)
    found = [info(leecher, torrent_hash) for torrent_hash in hashes]
    assert [torrent.content_path for torrent in found] == [f"{target}/Pack", f"{target}/single.mkv"]
    assert {(torrent.save_path, torrent.auto_tmm) for torrent in found} == {(str(target), True)}
    assert on_disk(target) == on_disk(seeder.completed)
    assert on_disk(leecher.incomplete) == {}


def test_content_path_of_a_folder_with_one_file_is_the_file(
    tmp_path: Path, seeder: QbittorrentServer
) -> None:
    content = pack(seeder.completed, a=10)
    torrent_hash = seeder.add(make_torrent(content, tmp_path / "t").path)
    seeder.wait_complete([torrent_hash], 10)
    assert info(seeder, torrent_hash).content_path == str(content / "a")


def test_unwanted_files_are_reported_but_absent_and_their_pieces_hidden(
    tmp_path: Path, seeder: QbittorrentServer, leecher: QbittorrentServer
) -> None:
    """Shared pieces of files with priority 0 lie in `.<hash>.parts` beside the torrent's root."""
    content = pack(seeder.completed, a=40_000, b=40_000, c=200_000, d=500)
    torrent = make_torrent(content, tmp_path / "t")
    torrent_hash = leecher.add(torrent.path, is_paused=True)
    leecher.wait_state(torrent_hash, PAUSED, 10)
    client = leecher.client()
    client.torrents_file_priority(torrent_hash, file_ids=[1, 2], priority=0)
    client.torrents_resume(torrent_hash)
    seeder.add(torrent.path)
    leecher.connect(torrent_hash, seeder)
    leecher.wait_complete([torrent_hash], 20)

    found = info(leecher, torrent_hash)
    assert (found.progress, found.amount_left) == (1, 0)
    assert 40_500 < found.size < found.total_size == 280_500  # size counts whole wanted pieces
    files = client.torrents_files(torrent_hash)
    assert [(file.name, file.priority) for file in files] == [
        ("Pack/a", 1), ("Pack/b", 0), ("Pack/c", 0), ("Pack/d", 1)
    ]  # fmt: skip
    assert 0 < files[1].progress < 1  # although nothing of that name exists
    parts = f".{torrent_hash}.parts"
    assert set(on_disk(leecher.completed)) == {"Pack/a", "Pack/d", parts}

    client.torrents_delete(delete_files=False, torrent_hashes=torrent_hash)
    gone = leecher.completed / parts
    wait_until(lambda: not gone.exists(), seconds=10, what="the removal of the .parts file")
    assert set(on_disk(leecher.completed)) == {"Pack/a", "Pack/d"}


def test_file_unwanted_after_completion_stays(tmp_path: Path, seeder: QbittorrentServer) -> None:
    content = pack(seeder.completed, a=40_000, b=40_000)
    torrent_hash = seeder.add(make_torrent(content, tmp_path / "t").path)
    seeder.wait_complete([torrent_hash], 10)
    seeder.client().torrents_file_priority(torrent_hash, file_ids=[0, 1], priority=0)
    seeder.wait_complete([torrent_hash], 10)
    files = seeder.client().torrents_files(torrent_hash)
    assert [(file.priority, file.progress) for file in files] == [(0, 1), (0, 1)]
    assert set(on_disk(seeder.completed)) == {"Pack/a", "Pack/b"}


def test_delete_without_files_keeps_every_byte(tmp_path: Path, seeder: QbittorrentServer) -> None:
    content = pack(seeder.completed, a=1000, b=0)
    before = on_disk(seeder.completed)
    torrent_hash = seeder.add(make_torrent(content, tmp_path / "t").path)
    seeder.wait_complete([torrent_hash], 10)
    client = seeder.client()
    client.torrents_delete(delete_files=False, torrent_hashes=torrent_hash)
    wait_until(lambda: client.torrents_info() == [], seconds=10, what="an empty list")
    assert on_disk(seeder.completed) == before


# --- names --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Names:
    """The names in a torrent and where its files are then; `inside` is empty for a single file.

    `disk` is left out where the names are taken as they are.
    """

    root: str | bytes
    inside: tuple[str | bytes, ...] = ()
    disk: tuple[str, ...] = ()
    same_content: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths expected in torrents/files and on disk."""
        as_they_are = tuple(f"{self.root!s}/{name!s}" for name in self.inside)
        return self.disk or as_they_are or (str(self.root),)


def nfd(text: str) -> str:
    """Write accents as characters of their own, as macOS does."""
    return unicodedata.normalize("NFD", text)


NAMES = {
    # Taken as they are.
    "spaces": Names("  two  spaces ", (" lead", "trail ", "dot.", " ")),
    "quotes": Names("it's \"q\"", ("`a`$HOME.mkv", "'.mkv")),
    "shell": Names("#hash [glob]*?{a,b}", ("a;b|c&d<e>", "%2F%00", "~", "co:lon")),
    "dashes": Names("-rf", ("--help", "-", "...", ".hidden")),
    "composed": Names("café", ("à.mkv", nfd("à.mkv"))),
    "decomposed": Names(nfd("café"), (nfd("à.mkv"), "ß ﬁ.mkv")),
    "emoji": Names("😀 👩‍👩‍👧", ("😀.mkv", "\U0010ffff")),
    "odd unicode": Names("a\u200bb", ("\u00a0", "\u2028.mkv", "\ufffd", "\x7f\x85", "x\ufeffy")),
    "200 bytes": Names("x" * 196 + ".mkv"),
    "long unicode": Names("é" * 118 + ".mkv"),
    "case": Names("case", ("A.mkv", "a.mkv")),
    "windows": Names("CON", ("NUL", "a.parts", 'b*?"<>|')),
    # Control characters become "_".
    "newline": Names("new\nline.mkv", (), ("new_line.mkv",)),
    "controls": Names("r\r\t\x01t", ("a\nb", "c"), ("r___t/a_b", "r___t/c")),
    # Separators, NUL and marks of writing direction vanish.
    "separators": Names("sl/a\\sh", ("i\\j", "k\0l"), ("slash/ij", "slash/kl")),
    "direction": Names("\u202eroot", ("a\u202eb", "\u200fc"), ("root/ab", "root/c")),
    "leading BOM": Names("\ufeffbom", ("\ufeffa", "b"), ("bom/\ufeffa", "bom/b")),
    # No path leads out of the torrent's folder.
    "parent": Names("up", ("../../a", "./b", "c/../d"), ("up/a", "up/b", "up/c/d")),
    # A name has at most 240 bytes before its extension.
    "255 bytes": Names("L" * 251 + ".mkv", (), ("L" * 240 + ".mkv",)),
    "255 without extension": Names("M" * 255, (), ("M" * 240,)),
    # Bytes that are not UTF-8 become "_", sometimes together with the characters after them.
    "latin-1": Names(b"caf\xe9", (b"f\xe9.mkv", b"\xff\xfe"), ("caf_/f_kv", "caf_/__")),
    "shift-jis": Names(b"\x83\x65\x83\x58", (b"\x83\x65.mkv", b"k"), ("_e_X/_e.mkv", "_e_X/k")),
    # Names that qBittorrent itself uses for what is incomplete or unwanted are taken away.
    ".!qB": Names("p.!qB", ("e.mkv.!qB", "d.!qB/f"), ("p.!qB/e.mkv", "p.!qB/d.!qB/f")),
    ".!qB single": Names("film.mkv.!qB", (), ("film.mkv",)),
    ".unwanted": Names("pu", ("a/.unwanted/b", "c"), ("pu/a/b", "pu/c")),
    ".unwanted root": Names(".unwanted", ("u1", "u2"), ("u1", "u2")),
    # So several files of a torrent can become one on disk, reported as several.
    "clash": Names("clash", ("a\nb", "a\tb", "a_b"), ("clash/a_b",) * 3, same_content=True),
}  # fmt: skip


def to_bytes(name: str | bytes) -> bytes:
    """Encode a name for a torrent, whose strings are bytes."""
    return name if isinstance(name, bytes) else name.encode()


def torrent_with(names: Names, folder: Path) -> tuple[Path, list[bytes]]:
    """Write a torrent with any names at all; also return the content of its files."""
    folder.mkdir()
    content = folder / "content"
    numbers = range(len(names.inside) or 1)
    data = [f"{names.root!r}{0 if names.same_content else number}".encode() for number in numbers]
    if names.inside:
        content.mkdir()
        for number, datum in enumerate(data):
            (content / f"{number:03}").write_bytes(datum)
    else:
        content.write_bytes(*data)
    torrent = torf.Torrent(path=content)
    torrent.generate()
    # torf types the names as text; what is no UTF-8 has to go in as bytes
    metainfo: Any = torrent.metainfo["info"]
    metainfo["name"] = to_bytes(names.root)
    for number, name in enumerate(names.inside):
        metainfo["files"][number]["path"] = to_bytes(name).split(b"/")
    torrent.write(folder / "torrent", validate=False)
    return folder / "torrent", data


@dataclass(frozen=True)
class Downloaded:
    """What the server says about a downloaded torrent, and what there is."""

    torrent: Any
    reported: list[str]
    disk: dict[str, bytes]
    data: list[bytes]


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Downloaded]:
    """Download all of NAMES, each into a folder of its own."""
    folder = tmp_path_factory.mktemp("names")
    seeder = QbittorrentServer(folder / "seeder", config=NO_TEMP_PATH)
    leecher = QbittorrentServer(folder / "leecher")
    data, hashes = {}, {}
    with seeder, leecher:
        for key, names in NAMES.items():
            torrent, data[key] = torrent_with(names, folder / key)
            hashes[key] = plant(seeder, torrent, data[key], folder / "seeded" / key)
            leecher.add(torrent, save_path=folder / "leeched" / key)
        seeder.wait_complete(hashes.values(), 20)
        seeder.client().torrents_resume(hashes.values())
        for torrent_hash in hashes.values():
            leecher.connect(torrent_hash, seeder)
        leecher.wait_complete(hashes.values(), 20)
        return {
            key: Downloaded(
                info(leecher, torrent_hash),
                reported(leecher, torrent_hash),
                on_disk(folder / "leeched" / key),
                data[key],
            )
            for key, torrent_hash in hashes.items()
        }


def plant(server: QbittorrentServer, torrent: Path, data: list[bytes], folder: Path) -> str:
    """Put the data where the server looks for it, whatever the torrent calls it."""
    torrent_hash = server.add(torrent, save_path=folder, is_paused=True)
    for name, datum in zip(reported(server, torrent_hash), data, strict=True):
        # 5.x looks for existing data of ".unwanted root" there, although it reports the other.
        for place in (folder / name, folder / ".unwanted" / name):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(datum)
    server.client().torrents_recheck(torrent_hash)
    return torrent_hash


@pytest.mark.parametrize("key", NAMES)
def test_reported_names_are_the_names_on_disk(key: str, downloaded: dict[str, Downloaded]) -> None:
    names, seen = NAMES[key], downloaded[key]
    assert seen.reported == [*names.paths]
    assert seen.disk == dict(zip(names.paths, seen.data, strict=True))


@pytest.mark.parametrize("key", NAMES)
def test_content_path_is_below_save_path_with_one_exception(
    key: str, downloaded: dict[str, Downloaded]
) -> None:
    names, torrent = NAMES[key], downloaded[key].torrent
    root = "." if key == ".unwanted root" else names.paths[0].split("/")[0]
    assert Path(torrent.content_path) == Path(torrent.save_path) / root


def test_two_torrents_of_one_name_lose_data_although_both_are_complete(
    tmp_path: Path, seeder: QbittorrentServer, leecher: QbittorrentServer
) -> None:
    """They share one place among the incomplete, from which the first takes the file away."""
    client, data, hashes = leecher.client(), {}, {}
    for key in ("slow", "fast"):
        single = tmp_path / "seeded" / key / "film.mkv"
        single.parent.mkdir(parents=True)
        data[key] = os.urandom(2_000_000)
        single.write_bytes(data[key])
        torrent = make_torrent(single, tmp_path / key)
        hashes[key] = torrent.infohash
        seeder.add(torrent.path, save_path=single.parent)
        leecher.add(torrent.path, save_path=tmp_path / "leeched" / key)
    client.torrents_set_download_limit(limit=300_000, torrent_hashes=hashes["slow"])  # bytes/s
    leecher.connect(hashes["slow"], seeder)
    wait_until(
        lambda: info(leecher, hashes["slow"]).progress > 0.1, seconds=20, what="a tenth of it"
    )
    client.torrents_set_download_limit(limit=1000, torrent_hashes=hashes["slow"])
    leecher.connect(hashes["fast"], seeder)
    leecher.wait_complete([hashes["fast"]], 20)
    client.torrents_set_download_limit(limit=-1, torrent_hashes=hashes["slow"])
    leecher.wait_complete([hashes["slow"]], 20)
    assert {info(leecher, torrent_hash).progress for torrent_hash in hashes.values()} == {1}
    files = on_disk(tmp_path / "leeched")
    assert set(files) == {"fast/film.mkv"}
    # The slow one wrote on into the file it held open, which by then was the finished one.
    assert len(files["fast/film.mkv"]) == len(data["fast"])
    assert files["fast/film.mkv"] != data["fast"]


@pytest.mark.parametrize("setting", ["LC_ALL=C", "LC_ALL="])
def test_without_a_locale_in_utf8_old_versions_write_other_names_than_reported(
    tmp_path: Path, seeder: QbittorrentServer, setting: str
) -> None:
    single = seeder.completed / "é.mkv"
    single.write_bytes(os.urandom(1000))
    torrent = make_torrent(single, tmp_path / "t")
    with QbittorrentServer(tmp_path / "c", binary=["env", setting, "qbittorrent-nox"]) as leecher:
        torrent_hash = download(leecher, seeder, torrent.path)
        assert reported(leecher, torrent_hash) == ["é.mkv"]
        major = int(leecher.client().app_version().lstrip("v").split(".")[0])
        assert set(on_disk(leecher.completed)) == {"..mkv" if major < 5 else "é.mkv"}
