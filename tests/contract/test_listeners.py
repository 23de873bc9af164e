"""The port Listener: a real `rclone mount` before a B2 server, and a Jellyfin of our own."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.adapters.jellyfin import Jellyfin
from mediapipe.adapters.rc import Mount
from mediapipe.adapters.rclone_program import find_binary
from mediapipe.config import JellyfinConfig
from mediapipe.errors import ActionFailed, ConfigError, Unavailable
from mediapipe.testing.loopback import free_port, wait_until
from mediapipe.units import AbsPath
from tests.hosts import sha1
from tests.jellyfin import KEY, FakeJellyfin
from tests.mounts import PATIENCE, RealMount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real


def put(server: B2Server, name: str, content: bytes = b"") -> bytes:
    content = content or os.fsencode(name)
    server.put(name, content, sha1=sha1(content))
    return content


def listings(server: B2Server) -> int:
    return server.stats().calls.get("b2_list_file_names", 0)


# The mount

OLD = ("tv/Show/S1/E1.mkv", "tv/Show/S2/E1.mkv", "tv/Other/E1.mkv", "movies/Film/film.mkv")


@pytest.fixture(params=["port", "socket"])
def mount(request: Any, b2: B2Server, tmp_path: Path) -> Iterator[RealMount]:
    """A mount that has listed the whole bucket, and believes that for an hour."""
    for name in OLD:
        put(b2, name)
    unix = request.param == "socket"
    with RealMount(tmp_path / "mount", b2, tmp_path / "state", unix=unix) as mount:
        assert mount.shown() == set(OLD)
        yield mount


def told(mount: RealMount) -> Mount:
    return Mount(mount.rc_addr, str(mount.file.parent))


NEW = {
    "a new file in an old folder": "tv/Show/S1/E2.mkv",
    "a new file in a new folder": "tv/Show/S3/E1.mkv",
    "a new file in new folders": "tv/New/S1/Extras/E1.mkv",
    "a new folder at the top": "downloads/Foo/Subs/en.srt",
    "a new file at the top": "readme.txt",
}


@pytest.mark.parametrize("name", NEW.values(), ids=NEW)
def test_what_is_new_is_shown_at_once(name: str, mount: RealMount, b2: B2Server) -> None:
    content = put(b2, name)
    assert mount.shown() == set(OLD)

    told(mount).uploaded([name])

    assert (mount.point / name).read_bytes() == content
    assert mount.shown() == {*OLD, name}


def test_many_at_once_are_shown_at_once(mount: RealMount, b2: B2Server) -> None:
    names = [f"tv/Show {number % 50}/E{number}.mkv" for number in range(600)]
    for name in names:
        put(b2, name)
    assert mount.shown() == set(OLD)

    told(mount).uploaded(names)

    assert mount.shown() == {*OLD, *names}


def test_what_was_replaced_is_read_anew(mount: RealMount, b2: B2Server) -> None:
    name = "movies/Film/film.mkv"
    for new in (b"longer than it was" * 1000, b"short", b"SHORT"):
        old = (mount.point / name).read_bytes()
        put(b2, name, new)
        assert (mount.point / name).read_bytes() == old

        told(mount).uploaded([name])

        # the kernel believes for a second what it has just been shown
        shown = partial(reads, mount.point / name, new)
        wait_until(shown, seconds=PATIENCE, what="the new bytes")


def reads(path: Path, content: bytes) -> bool:
    return path.read_bytes() == content


def test_a_program_that_stands_in_a_folder_sees_what_comes(mount: RealMount, b2: B2Server) -> None:
    """What forgets a whole tree leaves such a program with a picture that is never mended."""
    folder = os.open(mount.point / "tv/Show/S1", os.O_RDONLY)
    try:
        for name in ("E2.mkv", "E3.mkv", "E4.mkv"):
            put(b2, f"tv/Show/S1/{name}")
            put(b2, f"tv/Show/S9/{name}")
            told(mount).uploaded([f"tv/Show/S1/{name}", f"tv/Show/S9/{name}"])
            assert name in os.listdir(folder)
    finally:
        os.close(folder)


def test_telling_asks_nothing_of_b2_and_looking_asks_for_the_way_there_alone(
    mount: RealMount, b2: B2Server
) -> None:
    put(b2, "tv/Show/S3/E1.mkv")
    before = listings(b2)

    told(mount).uploaded(["tv/Show/S3/E1.mkv"])

    assert listings(b2) == before
    mount.shown()
    assert listings(b2) - before == len(["", "tv", "tv/Show", "tv/Show/S3"])
    mount.shown()
    assert listings(b2) - before == 4


ODD = (
    "new\nline", "stray\udcff", "tab\t\x1b", "\x7f", "back\\slash\\", "＼full", "／ ： ＊ ．", "．",
    "dot.", "space ", "nfd Zoe\u0308", "nfc Zo\u00eb", 'q"u&o+t=e;', "%41", "\ufffd", "-",
    "\U0001f39e\ufe0f",
)  # fmt: skip


def test_folders_of_any_name_are_listed_anew(
    mount: RealMount, b2: B2Server, tmp_path: Path
) -> None:
    """Sent by rclone, as uploads are: what it makes of such names is its own doing."""
    for number, round_ in enumerate(("first", "second"), 1):
        for name in ODD:
            path = tmp_path / "source" / name / round_
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        subprocess.run(
            [find_binary("rclone"), "--config", str(mount.folder / "mount.conf"), "copy",
             "--no-unicode-normalization", str(tmp_path / "source"), f"b2:{b2.bucket}"],
            check=True, capture_output=True,
        )  # fmt: skip
        told(mount).uploaded([f"{name}/{round_}" for name in ODD])
        assert len(mount.shown() - set(OLD)) == number * len(ODD)


def test_where_no_mount_has_run_there_is_nobody_to_tell(tmp_path: Path) -> None:
    Mount("127.0.0.1:9", str(tmp_path)).uploaded(["tv/x.mkv"])


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("end", ["in order", "by force"])
def test_a_mount_that_has_ended_is_not_told(end: str, mount: RealMount) -> None:
    mount.stop(kill=end == "by force")

    assert mount.file.exists()
    told(mount).uploaded(["tv/x.mkv"])
    # httpcore leaves a Unix socket that could not be connected to the collector
    gc.collect()


def test_a_wrong_password_is_for_a_person_to_mend(mount: RealMount) -> None:
    mount.write_login("wrong")

    with pytest.raises(ConfigError, match=r"rc\.json") as caught:
        told(mount).uploaded(["tv/x.mkv"])
    assert "start the mount anew" in caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "17", '{"user": "a"}', "\xff"])
def test_a_login_that_is_not_whole_waits_for_the_next_run(text: str, tmp_path: Path) -> None:
    (tmp_path / "rc.json").write_bytes(text.encode("latin-1"))

    with pytest.raises(Unavailable, match="not whole"):
        Mount("127.0.0.1:9", str(tmp_path)).uploaded(["tv/x.mkv"])


def test_a_login_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "rc.json").mkdir()

    with pytest.raises(ConfigError, match="no regular file"):
        Mount("127.0.0.1:9", str(tmp_path)).uploaded(["tv/x.mkv"])


def test_an_rclone_that_mounts_nothing_is_not_taken_for_the_mount(tmp_path: Path) -> None:
    """Its 500 has a reason in it; a mount's own answer repeats what it was told."""
    address = f"127.0.0.1:{free_port()}"
    state = tmp_path / "state"
    state.mkdir()
    (state / "rc.json").write_text('{"user": "me", "password": "secret"}')
    command = [find_binary("rclone"), "rcd", "--rc-addr", address, "--rc-user", "me",
               "--rc-pass", "secret", "--config", os.devnull]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        host, _, port = address.partition(":")
        wait_until(partial(listens, host, int(port)), seconds=PATIENCE, what="rclone rcd")
        with pytest.raises(Unavailable, match="answers 500"):
            Mount(address, str(state)).uploaded(["tv/x.mkv"])
    finally:
        process.terminate()
        process.wait(PATIENCE)


def listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b""),
        (200, {}, b"<html>"),
        (200, {}, b"[]"),
        (200, {}, b'{"forgotten": null}'),
        (200, {}, b'{"forgotten": ["other"]}'),
        (204, {}, b""),
        (302, {"Location": "/elsewhere"}, b""),
        (404, {}, b"not here"),
        (500, {}, b'{"error": "no"}'),
    ],
)
def test_a_stranger_at_its_address_is_not_taken_for_the_mount(
    answer: tuple[int, dict[str, str], bytes], jellyfin: FakeJellyfin, tmp_path: Path
) -> None:
    jellyfin.answer = answer
    (tmp_path / "rc.json").write_text('{"user": "me", "password": "secret"}')
    address = jellyfin.url.removeprefix("http://")

    with pytest.raises(Unavailable, match=f"answers {answer[0]}") as caught:
        Mount(address, str(tmp_path)).uploaded(["tv/x.mkv"])
    assert "secret" not in str(caught.value)
    assert jellyfin.asked == ["/vfs/forget"]


# Jellyfin


@pytest.fixture
def jellyfin() -> Iterator[FakeJellyfin]:
    with FakeJellyfin() as server:
        yield server


def client(url: str, key: str = KEY, **path_map: str) -> Jellyfin:
    table = {AbsPath(f"/{here}"): AbsPath(there) for here, there in path_map.items()}
    return Jellyfin(JellyfinConfig(url=url, path_map=table), "/media/b2", lambda: key)


def test_jellyfin_is_told_the_paths_of_the_mount(jellyfin: FakeJellyfin) -> None:
    client(jellyfin.url).uploaded(["tv/Show/E1.mkv", "movies/Zo\u00eb “x”.mkv"])

    assert jellyfin.told == ["/media/b2/tv/Show/E1.mkv", "/media/b2/movies/Zo\u00eb “x”.mkv"]
    assert len(jellyfin.asked) == 1


def test_paths_are_told_as_jellyfin_sees_them(jellyfin: FakeJellyfin) -> None:
    client(jellyfin.url, media="/data").uploaded(["tv/E1.mkv"])

    assert jellyfin.told == ["/data/b2/tv/E1.mkv"]


def test_names_are_told_as_the_mount_shows_them(jellyfin: FakeJellyfin) -> None:
    client(jellyfin.url).uploaded(["a\nb.mkv", "stray\udcff.mkv"])

    assert jellyfin.told == ["/media/b2/a\u240ab.mkv", "/media/b2/stray\ufffd.mkv"]


@pytest.mark.parametrize("ending", ["", "/"])
def test_jellyfin_may_be_served_below_a_folder(ending: str) -> None:
    with FakeJellyfin("/jellyfin") as server:
        client(server.url + ending).uploaded(["tv/E1.mkv"])
        assert server.told == ["/media/b2/tv/E1.mkv"]


def test_a_wrong_key_is_for_a_person_to_mend(jellyfin: FakeJellyfin) -> None:
    with pytest.raises(ConfigError, match=r"refuses the key \(401\)") as caught:
        client(jellyfin.url, key="0" * 32).uploaded(["tv/E1.mkv"])
    assert "jellyfin.api_key_file" in caught.value.hint
    jellyfin.answer = (403, {}, b"")
    with pytest.raises(ConfigError, match="refuses the key"):
        client(jellyfin.url).uploaded(["tv/E1.mkv"])


@pytest.mark.parametrize("key", ["two\nlines", 'quo"ted', "Kéy", "a b", "r\r"])
def test_what_cannot_be_a_key_is_neither_sent_nor_shown(key: str, jellyfin: FakeJellyfin) -> None:
    with pytest.raises(ConfigError) as caught:
        client(jellyfin.url, key=key).uploaded(["tv/E1.mkv"])
    assert key not in str(caught.value)
    assert jellyfin.asked == []


@pytest.mark.parametrize("status", [200, 301, 302, 307, 404, 405, 500, 503])
def test_any_other_answer_is_none(status: int, jellyfin: FakeJellyfin) -> None:
    jellyfin.answer = (status, {"Location": f"{jellyfin.url}/Library/Media/Updated"}, b"<html>")

    with pytest.raises(Unavailable, match=f"answers {status}"):
        client(jellyfin.url).uploaded(["tv/E1.mkv"])
    assert len(jellyfin.asked) == 1


def test_what_it_does_not_understand_is_refused_for_ever(jellyfin: FakeJellyfin) -> None:
    jellyfin.answer = (400, {}, b"")

    with pytest.raises(ActionFailed):
        client(jellyfin.url).uploaded(["tv/E1.mkv"])


def test_an_address_without_a_server_is_an_outage() -> None:
    with pytest.raises(Unavailable, match="does not run"):
        client(f"http://127.0.0.1:{free_port()}").uploaded(["tv/E1.mkv"])


@pytest.mark.parametrize("url", ["http://\x01", "http://[::1"])
def test_an_address_that_is_none_is_a_mistake_of_the_configuration(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be asked"):
        client(url).uploaded(["tv/E1.mkv"])


def test_a_server_that_hangs_up_is_an_outage() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(Unavailable, match="does not answer"):
            client(f"http://127.0.0.1:{server.getsockname()[1]}").uploaded(["tv/E1.mkv"])
        thread.join()


def test_a_proxy_of_the_environment_sees_nothing(
    jellyfin: FakeJellyfin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    client(jellyfin.url).uploaded(["tv/E1.mkv"])

    assert len(jellyfin.told) == 1
