"""The port TorrentClient: one suite for qBittorrent's adapter, on a real one, and for the fake.

Then what only an adapter can meet: refused logins, silence, and answers that are not qBittorrent's.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from mediapipe.adapters.qbittorrent import Qbittorrent
from mediapipe.config import QbittorrentConfig
from mediapipe.errors import (
    ActionFailed,
    ConfigError,
    LoginRefused,
    MediapipeError,
    Unavailable,
)
from mediapipe.ports import Torrent, TorrentFile
from mediapipe.testing.loopback import HOST, free_port, wait_until
from mediapipe.testing.qbittorrent import make_torrent
from mediapipe.units import AbsPath, Seconds
from tests.conftest import PASSWORD
from tests.fakes import FakeTorrents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mediapipe.ports import TorrentClient
    from mediapipe.testing.qbittorrent import QbittorrentServer

pytestmark = pytest.mark.real

HOSTILE = (
    'Tom & Jerry\'s "best" (1940) [x265] 100%',
    "-rf #1; $HOME `id`",
    "Zo\u0308e und Zo\u00eb \U0001f39e＼",
    "dots... and a space at the end .x y",
)


def client_of(url: str, *, path_map: Mapping[str, str] | None = None, **login: str) -> Qbittorrent:
    config = QbittorrentConfig(
        url=url,
        username=login.get("username", ""),
        timeout=Seconds(int(login.get("timeout", "5"))),
        path_map={AbsPath(key): AbsPath(value) for key, value in (path_map or {}).items()},
    )
    return Qbittorrent(config, login.get("password", ""), login.get("api_key", ""))


# The world behind the port, real or not: what a test sets up without the port


class Setting(Protocol):
    client: TorrentClient
    default: str

    def declare(self, category: str, save_path: str) -> None: ...
    def add(self, name: str, files: Mapping[str, bytes], *, complete: bool) -> str: ...
    def mapped(self, host: str) -> TorrentClient: ...


class Real:
    """A running qBittorrent."""

    def __init__(self, server: QbittorrentServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self.client: TorrentClient = client_of(server.url)
        self.default = str(server.completed)

    def declare(self, category: str, save_path: str) -> None:
        self._server.client().torrents_create_category(category, save_path=save_path)

    def add(self, name: str, files: Mapping[str, bytes], *, complete: bool) -> str:
        target = self._server.completed / name
        source = target if complete else self._folder / name
        write(source, files)
        torrent = make_torrent(source, self._folder / "the.torrent")
        hash_ = self._server.add(torrent.path)
        if complete:
            self._server.wait_complete([hash_], 30)
        else:
            self._server.wait_state(hash_, ["stalledDL", "downloading"], 30)
        return hash_

    def mapped(self, host: str) -> TorrentClient:
        return client_of(self._server.url, path_map={self.default: host})


class Fake:
    """Dictionaries, filled as qBittorrent would fill its list."""

    def __init__(self, folder: Path) -> None:
        self._fake = FakeTorrents(default_save_path=str(folder / "completed"))
        self.client: TorrentClient = self._fake
        self.default = self._fake.default_save_path

    def declare(self, category: str, save_path: str) -> None:
        self._fake.saved[category] = save_path

    def add(self, name: str, files: Mapping[str, bytes], *, complete: bool) -> str:
        from pathlib import Path

        hash_ = random.Random(name).randbytes(20).hex()
        size = sum(map(len, files.values()))
        if complete:
            write(Path(self.default) / name, files)
        self._fake.add(
            Torrent(
                hash_,
                name,
                "",
                "stalledUP" if complete else "stalledDL",
                1.0 if complete else 0.0,
                0 if complete else size,
                self.default,
                size,
                0,
                0.0,
            ),
            *(
                TorrentFile(
                    os.path.join(self.default, name, path).rstrip("/"),
                    len(content),
                    wanted=True,
                    progress=1.0 if complete else 0.0,
                )
                for path, content in files.items()
            ),
        )
        return hash_

    def mapped(self, host: str) -> TorrentClient:
        pytest.skip("a fake is given paths as this host sees them")


def write(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a file (`{"": content}`) or a folder of files."""
    for name, content in files.items():
        path = target / name if name else target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def content(name: str, size: int = 50_000) -> bytes:
    return random.Random(name).randbytes(size)


@pytest.fixture(params=["real", "fake"])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
    if request.param == "fake":
        return Fake(tmp_path)
    return Real(request.getfixturevalue("qbittorrent"), tmp_path)


def only(client: TorrentClient, hash_: str) -> Torrent:
    (torrent,) = [one for one in client.torrents() if one.hash == hash_]
    return torrent


# Categories


def test_without_categories_there_are_none(setting):
    assert dict(setting.client.categories()) == {}


def test_a_category_that_was_created_is_there_with_its_path(setting):
    setting.client.create_category("tv-sonarr", f"{setting.default}/tv")

    assert dict(setting.client.categories()) == {"tv-sonarr": f"{setting.default}/tv"}


@pytest.mark.parametrize(
    ("declared", "path"),
    [
        ("", "{default}/films"),
        ("mine", "{default}/mine"),
        ("a/b", "{default}/a/b"),
        ("/elsewhere/films", "/elsewhere/films"),
        ("/elsewhere/films/", "/elsewhere/films"),
    ],
)
def test_blank_and_relative_save_paths_come_out_absolute(setting, declared, path):
    setting.declare("films", declared)

    assert setting.client.categories()["films"] == path.format(default=setting.default)


def test_a_category_cannot_be_created_twice(setting):
    setting.client.create_category("tv-sonarr", "/one")

    with pytest.raises(ActionFailed, match="tv-sonarr"):
        setting.client.create_category("tv-sonarr", "/two")
    assert setting.client.categories()["tv-sonarr"] == "/one"


@pytest.mark.parametrize("name", ["a//b", "/a", "a/"])
def test_a_category_name_that_qbittorrent_refuses_fails_that_action_alone(setting, name):
    with pytest.raises(ActionFailed):
        setting.client.create_category(name, "/one")
    setting.client.create_category("Café & 'co' #1", "/two")
    assert dict(setting.client.categories()) == {"Café & 'co' #1": "/two"}


# Torrents and their files


def test_without_torrents_the_list_is_empty(setting):
    assert setting.client.torrents() == ()


def test_a_complete_torrent(setting):
    hash_ = setting.add("Pack", {"a.mkv": content("a"), "sub/b.mkv": content("b")}, complete=True)

    torrent = only(setting.client, hash_)
    assert torrent.complete
    assert (torrent.name, torrent.category) == ("Pack", "")
    assert torrent.save_path == setting.default
    assert (torrent.size, torrent.amount_left, torrent.progress) == (100_000, 0, 1)
    assert torrent.seeding_time >= 0
    assert torrent.ratio >= 0


def test_an_incomplete_torrent(setting):
    hash_ = setting.add("Waiting", {"a.mkv": content("a")}, complete=False)

    torrent = only(setting.client, hash_)
    assert not torrent.complete
    assert torrent.amount_left > 0
    (file,) = setting.client.files(torrent)
    assert file.progress < 1
    assert file.path == f"{setting.default}/Waiting/a.mkv"


@pytest.mark.parametrize("name", HOSTILE)
def test_files_are_told_by_the_paths_they_have_on_disk(setting, name):
    files = {f"{name}.mkv": content("a"), f"{name}/{name}.nfo": content("b", 10)}
    hash_ = setting.add(name, files, complete=True)

    torrent = only(setting.client, hash_)
    told = {file.path: file.size for file in setting.client.files(torrent)}
    assert torrent.name == name
    assert told == {f"{setting.default}/{name}/{path}": len(data) for path, data in files.items()}
    for path, size in told.items():
        assert os.stat(path).st_size == size


def test_a_torrent_of_a_single_file(setting):
    hash_ = setting.add("film.mkv", {"": content("film")}, complete=True)

    (file,) = setting.client.files(only(setting.client, hash_))
    assert file == TorrentFile(f"{setting.default}/film.mkv", 50_000, wanted=True, progress=1.0)


def test_the_path_map_turns_qbittorrents_paths_into_ours(setting):
    hash_ = setting.add("Mapped", {"a.mkv": content("a")}, complete=True)
    client = setting.mapped("/on/this/host")

    torrent = only(client, hash_)
    assert torrent.save_path == "/on/this/host"
    assert [file.path for file in client.files(torrent)] == ["/on/this/host/Mapped/a.mkv"]


def test_an_unknown_torrent_has_no_files(setting):
    hash_ = setting.add("Gone", {"a.mkv": content("a")}, complete=True)
    torrent = only(setting.client, hash_)
    setting.client.remove(torrent)

    assert setting.client.files(torrent) == ()


# Removal


def test_a_removed_torrent_leaves_the_list_and_its_files_stay(setting):
    going = setting.add("Going", {"a.mkv": content("a")}, complete=True)
    staying = setting.add("Staying", {"b.mkv": content("b")}, complete=True)
    torrent = only(setting.client, going)
    (file,) = setting.client.files(torrent)

    setting.client.remove(torrent)

    wait_until(
        lambda: [one.hash for one in setting.client.torrents()] == [staying],
        seconds=10,
        what="the torrent to leave the list",
    )
    with open(file.path, "rb") as stream:
        assert stream.read() == content("a")


def test_a_torrent_that_is_gone_can_be_removed_once_more(setting):
    hash_ = setting.add("Twice", {"a.mkv": content("a")}, complete=True)
    torrent = only(setting.client, hash_)

    setting.client.remove(torrent)
    setting.client.remove(torrent)

    assert setting.client.torrents() == ()


# The adapter alone, on a real qBittorrent


def wrong_logins(server: QbittorrentServer) -> int:
    """Count what qBittorrent has noted of refused logins."""
    log = server.profile / "qBittorrent/data/logs/qbittorrent.log"
    return log.read_text().count("WebAPI login failure")


def test_a_wrong_password_is_sent_once(locked):
    before = wrong_logins(locked)
    client = client_of(locked.url, username="admin", password="wrong")

    with pytest.raises(LoginRefused) as caught:
        client.wait(30)

    assert caught.value.service == "qbittorrent"
    wait_until(lambda: wrong_logins(locked) > before, seconds=10, what="the refusal in the log")
    assert wrong_logins(locked) == before + 1
    right = client_of(locked.url, username="admin", password=PASSWORD)
    assert right.torrents() == ()


def test_without_a_login_where_one_is_needed_the_configuration_is_to_blame(locked):
    with pytest.raises(ConfigError, match="wants a login"):
        client_of(locked.url).torrents()


def test_a_ban_is_told_as_one(locked):
    for _ in range(6):
        with contextlib.suppress(MediapipeError):
            client_of(locked.url, username="admin", password="wrong").torrents()

    with pytest.raises(MediapipeError, match="banned"):
        client_of(locked.url, username="admin", password=PASSWORD).torrents()


def test_the_same_client_goes_on_after_qbittorrent_was_restarted(locked):
    client = client_of(locked.url, username="admin", password=PASSWORD)
    assert client.torrents() == ()
    locked.stop()
    with pytest.raises(Unavailable):
        client.torrents()
    locked.start()

    assert client.torrents() == ()


def test_a_host_name_that_qbittorrent_does_not_know_is_told(qbittorrent):
    with (
        front(lambda _path: relay(qbittorrent, {"Host": "elsewhere:1"})) as answers,
        pytest.raises(ConfigError, match="401"),
    ):
        client_of(answers.url).torrents()


# The adapter alone, before a server that answers as it is told to


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """Sent as it is instead of an answer."""
    silent: bool = False


class Front:
    """An HTTP server on loopback that counts what it is asked."""

    def __init__(self, answer: Callable[[str], Answer]) -> None:
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        """The header Authorization of each request."""
        self.cookies: list[str | None] = []
        self.released = threading.Event()
        front = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                path = self.path.split("?")[0]
                front.paths.append(path)
                front.keys.append(self.headers.get("Authorization"))
                front.cookies.append(self.headers.get("Cookie"))
                told = answer(path)
                if told.silent:
                    front.released.wait(60)
                    return
                if told.raw is not None:
                    self.wfile.write(told.raw)
                    self.close_connection = True
                    return
                self.send_response(told.status)
                fields = {"Content-Type": told.kind, "Content-Length": str(len(told.body))}
                for key, value in {**fields, **told.headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(told.body)

            do_POST = do_GET  # noqa: N815 - the name that the base class looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://{HOST}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def logins(self) -> int:
        return sum(path.endswith("/auth/login") for path in self.paths)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextlib.contextmanager
def front(answer: Callable[[str], Answer]) -> Iterator[Front]:
    server = Front(answer)
    try:
        yield server
    finally:
        server.close()


def relay(server: QbittorrentServer, headers: dict[str, str]) -> Answer:
    """Ask a real qBittorrent for its version under other headers."""
    import http.client

    connection = http.client.HTTPConnection(HOST, server.web_port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/api/v2/app/version", headers=headers)
        reply = connection.getresponse()
        return Answer(reply.status, reply.read(), "text/plain")


TORRENT = Torrent("ab" * 20, "name", "", "stalledUP", 1.0, 0, "/downloads", 1, 0, 0.0)
CALLS: dict[str, Callable[[Qbittorrent], Any]] = {
    "wait": lambda client: client.wait(0),
    "categories": lambda client: client.categories(),
    "create_category": lambda client: client.create_category("tv", "/tv"),
    "torrents": lambda client: client.torrents(),
    "files": lambda client: client.files(TORRENT),
    "remove": lambda client: client.remove(TORRENT),
}
READS = ("categories", "torrents", "files")
HTML = b"<!DOCTYPE html>\n<html>\n<body>welcome to the router</body>\n</html>\n"


def one_line(error: BaseException) -> None:
    """Demand a sentence for a person: one line, and what to do about it."""
    assert isinstance(error, MediapipeError)
    assert len(str(error).splitlines()) == 1, str(error)
    assert str(error).strip()
    assert error.hint


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"Fails."), (401, b"Unauthorized")], ids=["before 5.2", "since"]
)
@pytest.mark.parametrize("call", CALLS)
def test_a_refused_login_is_tried_exactly_once(call, status, body):
    def answer(path: str) -> Answer:
        login = path.endswith("/auth/login")
        return Answer(status, body, "text/plain") if login else Answer(403, b"Forbidden")

    with front(answer) as server:
        client = client_of(server.url, username="admin", password="wrong")
        with pytest.raises(LoginRefused) as caught:
            CALLS[call](client)
        assert server.logins() == 1
    one_line(caught.value)


@pytest.mark.parametrize("call", ["wait", "torrents"])
def test_silence_is_an_outage_and_is_not_waited_for_again_and_again(call):
    with front(lambda _path: Answer(silent=True)) as server:
        with pytest.raises(Unavailable) as caught:
            CALLS[call](client_of(server.url, timeout="1"))
        assert len(server.paths) <= 2, "each attempt costs a whole time-out"
    one_line(caught.value)


@pytest.mark.parametrize("call", CALLS)
def test_a_refused_connection_is_an_outage(call):
    with pytest.raises(Unavailable) as caught:
        CALLS[call](client_of(f"http://{HOST}:{free_port()}"))
    one_line(caught.value)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(500, b"Internal\nServer\nError", "text/plain"), id="500"),
        pytest.param(Answer(502, HTML, "text/html"), id="502"),
        pytest.param(Answer(503, b"", "text/plain"), id="503"),
        pytest.param(Answer(404, HTML, "text/html"), id="404"),
        pytest.param(Answer(409, HTML, "text/html"), id="409"),
        pytest.param(Answer(400, b"bad", "text/plain"), id="400"),
        pytest.param(Answer(405, b"no", "text/plain"), id="405"),
        pytest.param(Answer(418, b"teapot", "text/plain"), id="418"),
        pytest.param(Answer(302, headers={"Location": "/login"}), id="redirects for ever"),
        pytest.param(Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n"), id="not HTTP"),
        pytest.param(Answer(raw=b""), id="closes at once"),
        pytest.param(Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]"), id="cut short"),
        pytest.param(Answer(body=b"plain", headers={"Content-Encoding": "gzip"}), id="bad gzip"),
    ],
)
def test_what_is_no_answer_of_qbittorrent_ends_in_one_line(call, answer):
    expected: tuple[type[Exception], ...] = (Unavailable, ConfigError)
    with front(lambda _path: answer) as server:
        client = client_of(server.url)
        if (call, answer.status) == ("files", 404):  # so it tells of an unknown torrent
            assert client.files(TORRENT) == ()
            return
        if (call, answer.status) == ("create_category", 409):
            expected = (ActionFailed,)
        with pytest.raises(expected) as caught:
            CALLS[call](client)
    if expected != (ActionFailed,):
        one_line(caught.value)


LIES = {
    "HTML": HTML,
    "nothing": b"",
    "half of it": b'[{"hash": "ab',
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "null": b"null",
    "a number": b"17",
    "a string": b'"no"',
    "numbers": b"[1, 2]",
    "lists": b"[[], []]",
    "an error": b'{"error": "starting up"}',
    "nulls": json.dumps(
        [dict.fromkeys(["hash", "name", "category", "state", "progress", "save_path"])]
    ).encode(),
    "words for numbers": json.dumps(
        [
            {
                **dict.fromkeys(["hash", "name", "category", "state", "save_path"], "x"),
                **dict.fromkeys(["progress", "amount_left", "size", "priority"], "many"),
            }
        ]
    ).encode(),
    "too deep": b"[" * 100_000,
}


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("lie", LIES)
def test_a_body_that_is_not_qbittorrents_ends_in_one_line(call, lie):
    with (
        front(lambda _path: Answer(200, LIES[lie])) as server,
        pytest.raises((Unavailable, ConfigError)) as caught,
    ):
        CALLS[call](client_of(server.url))
    one_line(caught.value)


@pytest.mark.parametrize("call", ["create_category", "remove"])
def test_a_login_page_is_not_taken_for_success(call):
    """A proxy in front of qBittorrent answers a POST by sending the browser to its own page."""

    def answer(path: str) -> Answer:
        page = Answer(200, HTML, "text/html")
        return page if path == "/login" else Answer(302, headers={"Location": "/login"})

    with front(answer) as server, pytest.raises((Unavailable, ConfigError)) as caught:
        CALLS[call](client_of(server.url))
    one_line(caught.value)


def test_403_without_a_ban_asks_for_a_login():
    with (
        front(lambda _path: Answer(403, b"Forbidden", "text/plain")) as server,
        pytest.raises(ConfigError, match="wants a login") as caught,
    ):
        client_of(server.url).torrents()
    one_line(caught.value)


def test_403_with_a_ban_is_an_outage_that_ends():
    text = b"Your IP address has been banned after too many failed authentication attempts."
    with front(lambda _path: Answer(403, text, "text/plain")) as server:
        with pytest.raises(Unavailable, match="banned") as caught:
            client_of(server.url, username="admin", password="right").torrents()
        assert server.logins() <= 1
    one_line(caught.value)


@pytest.mark.parametrize(
    ("status", "cookie"), [(200, "SID"), (204, "QBT_SID_8080")], ids=["before 5.2", "since"]
)
def test_s32_a_login_is_good_by_its_status_and_its_cookie_has_any_name(status, cookie):
    """From 5.2 on a login answers 204 without a word, and the cookie is named after the port."""

    def answer(path: str) -> Answer:
        if path.endswith("/auth/login"):
            body = b"Ok." if status == 200 else b""
            return Answer(status, body, "text/plain", {"Set-Cookie": f"{cookie}=abc; path=/"})
        known = server.cookies[-1] == f"{cookie}=abc"
        return Answer(200, b"[]") if known else Answer(403, b"Forbidden", "text/plain")

    with front(answer) as server:
        client = client_of(server.url, username="admin", password="right")
        assert client.torrents() == ()
        assert client.torrents() == ()
        assert server.logins() == 1


def test_an_api_key_goes_with_each_request_and_no_login_is_tried():
    with front(lambda _path: Answer(200, b"[]")) as server:
        client = client_of(server.url, username="admin", api_key="qbt_key")
        assert client.torrents() == ()
        assert client.files(TORRENT) == ()
        assert server.logins() == 0
        assert set(server.keys) == {"Bearer qbt_key"}


def test_waiting_ends_as_soon_as_qbittorrent_answers():
    port = free_port()
    client = client_of(f"http://{HOST}:{port}")
    refused = threading.Event()

    def serve() -> None:
        # it comes up only after the client has found nobody there once
        refused.wait(20)
        with socket.create_server((HOST, port)) as listener:
            listener.settimeout(20)
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n"
                connection.sendall(f"{head}v4.5.2".encode())

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(Unavailable):
        client.wait(0)
    refused.set()
    client.wait(30)
    thread.join(20)
    assert not thread.is_alive()
