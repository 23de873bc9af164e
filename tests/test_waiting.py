"""`mediapipe wait-for`, as a unit's ExecStartPre= meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from mediapipe import building, waiting
from mediapipe.config_load import load
from mediapipe.errors import Unavailable
from mediapipe.testing.box import Box
from mediapipe.testing.loopback import free_port
from tests.arrs import HTML, KEY, LOGIN_PAGE, FakeArr, starting_up
from tests.jellyfin import KEY as JELLYFIN_KEY
from tests.jellyfin import FakeJellyfin
from tests.mounts import RealMount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediapipe.testing.b2 import B2Server
    from mediapipe.testing.qbittorrent import QbittorrentServer

pytestmark = pytest.mark.real

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box", NOWHERE, "")


def secret(box: Box, key: str) -> str:
    path = box.folder / "key"
    path.write_text(key)
    return str(path)


def command(box: Box, *words: str) -> list[str]:
    script = str(Path(sys.executable).parent / "mediapipe")
    return [script, "wait-for", *words, "--config", str(box.config_path)]


def wait(box: Box, *words: str, status: int = 0) -> tuple[str, str]:
    """Wait for an app; demands the status, and gives what was printed, and told."""
    ended = subprocess.run(
        command(box, *words),
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended.stdout, ended.stderr


@pytest.fixture(params=["sonarr", "radarr", "lidarr", "prowlarr"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeArr]:
    with FakeArr(request.param, config=tmp_path / "config.xml") as app:
        yield app


@pytest.fixture
def sonarr(box: Box, tmp_path: Path) -> Iterator[FakeArr]:
    with FakeArr("sonarr", config=tmp_path / "config.xml") as app:
        box.write_config(**{"arr.sonarr": {"url": app.url, "api_key_file": secret(box, KEY)}})
        yield app


# The *arr apps


def test_an_arr_that_is_ready(app: FakeArr, box: Box, tmp_path: Path) -> None:
    config = str(tmp_path / "config.xml")
    box.write_config(**{"arr.one": {"kind": app.kind, "url": app.url, "api_key_file": config}})

    assert wait(box, "one") == ("one is ready: 4.0.15.2941\n", "")
    assert len(app.asked) == 1


def test_its_start_up_is_waited_for(sonarr: FakeArr, box: Box) -> None:
    sonarr.answers = [(502, HTML, b"<p>not yet"), (200, HTML, LOGIN_PAGE), starting_up("sonarr")]

    printed, told = wait(box, "sonarr")

    assert "is ready" in printed
    assert told.count("waiting for sonarr:") == 3
    assert "is starting up" in told


def test_the_same_answer_is_told_once(sonarr: FakeArr, box: Box) -> None:
    sonarr.answers = [starting_up("sonarr")] * 3

    assert wait(box, "sonarr")[1].count("waiting for sonarr") == 1


def test_more_failures_than_open_a_circuit_are_waited_for(sonarr: FakeArr, box: Box) -> None:
    sonarr.answers = [starting_up("sonarr")] * 6
    app = building.arr("sonarr", load(str(box.config_path)).arr["sonarr"], waiting=True)
    for number in range(1, 7):
        with pytest.raises(Unavailable, match="starting up"):
            app.ready()
        assert len(sonarr.asked) == number

    assert app.ready()


def test_an_app_that_starts_later(box: Box, tmp_path: Path) -> None:
    """Also where it makes its key when it starts for the first time."""
    key = tmp_path / "lidarr" / "config.xml"
    key.parent.mkdir()
    box.write_config(**{"arr.lidarr": {"url": NOWHERE, "api_key_file": str(key)}})
    with FakeArr("lidarr") as app:
        box.write_config(**{"arr.lidarr": {"url": app.url}})
        waits = subprocess.Popen(command(box, "lidarr"), stderr=subprocess.PIPE, text=True)
        assert waits.stderr is not None
        with waits.stderr:
            assert "is not there yet" in waits.stderr.readline()
            key.write_text(f"<Config><ApiKey>{KEY}</ApiKey></Config>")
            assert waits.wait(60) == 0


def test_not_in_time(box: Box) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    box.write_config(**{"arr.sonarr": {"url": url, "api_key_file": secret(box, KEY)}})

    _, told = wait(box, "sonarr", "--timeout", "1", status=75)

    assert "not ready within 1 s" in told
    assert "Connection refused" in told
    wait(box, "sonarr", "--timeout", "0s", status=75)


def test_a_wrong_key_ends_it_at_once(sonarr: FakeArr, box: Box) -> None:
    sonarr.restart(key="another")

    _, told = wait(box, "sonarr", status=78)

    assert "refuses the key (401)" in told
    assert "[arr.sonarr] api_key_file" in told
    assert len(sonarr.asked) == 2
    assert KEY not in told


def test_no_key_is_no_reason_to_wait(sonarr: FakeArr, box: Box, tmp_path: Path) -> None:
    for file in (str(tmp_path / "nothing"), "", "a-credential"):
        box.write_config(**{"arr.sonarr": {"api_key_file": file}})
        wait(box, "sonarr", status=78)
    assert sonarr.asked == []


def test_another_app_is_not_the_one(sonarr: FakeArr, box: Box) -> None:
    with FakeArr("radarr") as radarr:
        box.write_config(**{"arr.sonarr": {"url": radarr.url}})
        _, told = wait(box, "sonarr", "--timeout", "0s", status=75)
    assert "is 'Radarr', not sonarr" in told


def test_a_name_tells_the_kind_or_kind_does(sonarr: FakeArr, box: Box) -> None:
    box.write_config(**{"arr.tv": {"url": sonarr.url, "api_key_file": secret(box, KEY)}})
    assert 'write kind = "sonarr"' in wait(box, "tv", status=78)[1]
    box.write_config(**{"arr.tv": {"kind": "sonarr"}})
    wait(box, "tv")


def test_names_that_are_none(box: Box, sonarr: FakeArr) -> None:
    _, told = wait(box, "sonar", status=2)
    assert "sonarr, qbittorrent, sabnzbd, jellyfin, mount" in told
    wait(box, status=2)
    wait(box, "sonarr", "--timeout", "soon", status=2)
    assert "no table [sabnzbd]" in wait(box, "sabnzbd", status=78)[1]
    assert "no table [jellyfin]" in wait(box, "jellyfin", status=78)[1]


# qBittorrent


def test_qbittorrent(qbittorrent: QbittorrentServer, box: Box) -> None:
    box.write_config(qbittorrent={"url": qbittorrent.url})
    assert wait(box, "qbittorrent")[0] == f"qbittorrent is ready: it answers at {qbittorrent.url}\n"
    box.write_config(qbittorrent={"url": NOWHERE})
    assert "connection refused" in wait(box, "qbittorrent", "--timeout", "1", status=75)[1]


def test_a_wrong_login_is_sent_once_and_then_never(locked: QbittorrentServer, box: Box) -> None:
    """A unit is restarted again and again, and qBittorrent bans after five."""
    password = secret(box, "wrong")
    login = {"url": locked.url, "username": "admin", "password_file": password}
    box.write_config(qbittorrent=login)
    assert "refuses the login" in wait(box, "qbittorrent", status=78)[1]
    for _ in range(6):
        assert "nothing was sent this time" in wait(box, "qbittorrent", status=78)[1]

    box.report("categories", status=78)
    secret(box, "correct horse")
    wait(box, "qbittorrent")
    box.report("categories")


def test_without_a_state_a_wrong_login_ends_it_all_the_same(
    locked: QbittorrentServer, box: Box
) -> None:
    login = {"url": locked.url, "username": "admin", "password_file": secret(box, "wrong")}
    box.write_config(qbittorrent=login)
    box.state.rmdir()

    assert "refuses the login" in wait(box, "qbittorrent", status=78)[1]

    assert not box.state.exists()


# SABnzbd, Jellyfin


class FakeSabnzbd(HTTPServer):
    """Answers as 5.1 does: with the version to everybody, with its queue to the key."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] | None = None

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805
                status, body = self.answer or self._api(handler.path)
                handler.send_response(status)
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(handler, *_: object) -> None:  # noqa: N805
                """Stay silent."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/sabnzbd"

    def _api(self, target: str) -> tuple[int, bytes]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        if not target.startswith("/sabnzbd/api?"):
            return 404, b"not found"
        if query.get("apikey") != KEY:
            missing = "apikey" not in query
            return 403, b"API Key Required" if missing else b"API Key Incorrect"
        if query["mode"] == "queue" and query["output"] == "json":
            return 200, json.dumps({"queue": {"version": "5.1.3", "slots": []}}).encode()
        return 200, b'{"status": false, "error": "not implemented"}'


@pytest.fixture
def sabnzbd(box: Box) -> Iterator[FakeSabnzbd]:
    server = FakeSabnzbd()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    box.write_config(sabnzbd={"url": server.url, "api_key_file": secret(box, KEY)})
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_sabnzbd(sabnzbd: FakeSabnzbd, box: Box) -> None:
    assert wait(box, "sabnzbd")[0] == "sabnzbd is ready: 5.1.3\n"

    for answer in ((200, b"<html>wizard"), (200, b'{"version": "5.1.3"}'), (503, b'{"queue": {}}')):
        sabnzbd.answer = answer
        wait(box, "sabnzbd", "--timeout", "0", status=75)
    for answer in ((200, b'{"status": false, "error": "API Key Incorrect"}'),
                   (403, b"Access denied - Hostname verification failed")):  # fmt: skip
        sabnzbd.answer = answer
        wait(box, "sabnzbd", status=78)


@pytest.mark.parametrize("key", ["another", "caf\u00e9 & more"])
def test_a_wrong_key_of_sabnzbd(sabnzbd: FakeSabnzbd, box: Box, key: str) -> None:
    secret(box, key)
    _, told = wait(box, "sabnzbd", status=78)
    assert "API Key Incorrect" in told
    assert key not in told


def test_no_sabnzbd_and_no_key_in_what_is_told(sabnzbd: FakeSabnzbd, box: Box) -> None:
    box.write_config(sabnzbd={"url": f"http://127.0.0.1:{free_port()}"})
    assert KEY not in "".join(wait(box, "sabnzbd", "--timeout", "1", status=75))


def test_jellyfin(box: Box) -> None:
    with FakeJellyfin("/base") as server:
        box.write_config(jellyfin={"url": server.url, "api_key_file": secret(box, JELLYFIN_KEY)})
        assert wait(box, "jellyfin")[0] == "jellyfin is ready: 12.0.0\n"
        for status, body in ((503, b"starting"), (200, b"{}"), (200, b"<html>")):
            server.answer = (status, {}, body)
            wait(box, "jellyfin", "--timeout", "0", status=75)
        server.answer = None
        secret(box, "another")
        assert "refuses the key (401)" in wait(box, "jellyfin", status=78)[1]
        secret(box, "no key")
        wait(box, "jellyfin", status=78)


# The mount


@pytest.fixture
def mount(b2: B2Server, box: Box) -> Iterator[RealMount]:
    b2.put("tv/a.mkv", b"bytes")
    with RealMount(box.folder, b2, box.state) as mount:
        box.write_config(rclone={"mount_point": str(mount.point)})
        yield mount


def test_a_mount(mount: RealMount, box: Box) -> None:
    assert wait(box, "mount")[0] == f"mount is ready: fuse.rclone at {mount.point}\n"
    mount.stop()
    assert "nothing is mounted at" in wait(box, "mount", "--timeout", "0", status=75)[1]


def test_a_mount_whose_program_is_gone_is_dead(mount: RealMount, box: Box) -> None:
    assert mount._process is not None
    mount._process.kill()
    mount._process.wait()
    _, told = wait(box, "mount", "--timeout", "0", status=75)
    assert "is mounted, and dead" in told
    assert "Transport endpoint is not connected" in told


def test_a_mount_that_hangs_is_dead(mount: RealMount, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mount._process is not None
    monkeypatch.setattr(waiting, "_LISTING", "0.5")
    os.kill(mount._process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match=r"dead: no listing within 0\.5 s"):
            waiting.mounted(str(mount.point))
    finally:
        os.kill(mount._process.pid, signal.SIGCONT)
    assert "fuse.rclone" in waiting.mounted(str(mount.point))
