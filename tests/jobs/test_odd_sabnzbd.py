"""A SABnzbd whose history has entries of another shape, which no real one gives on demand."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mediapipe.adapters.sabnzbd import Sabnzbd
from mediapipe.config import SabnzbdConfig
from mediapipe.errors import Unavailable
from tests.jobs.test_postprocess import COMPLETE, Host, kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@contextlib.contextmanager
def serving(host: Host, history: list[Any], queue: list[Any] | None = None) -> Iterator[None]:
    """Let a SABnzbd answer with these entries."""
    lists = {"history": history, "queue": queue or []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            slots = lists[query["mode"][0]]
            if query.get("archive") == ["1"]:
                slots = []
            start, limit = int(query["start"][0]), int(query["limit"][0])
            page = {"slots": slots[start : start + limit], "noofslots": len(slots)}
            content = json.dumps({query["mode"][0]: page}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        host.usenet = Sabnzbd(replace(SabnzbdConfig(), url=url), "key")
        yield
        server.shutdown()
        thread.join()


def entry(name: str, **fields: object) -> dict[str, object]:
    return {
        "nzo_id": f"id-{name}", "name": name, "category": "tv", "status": "Completed",
        "storage": f"{COMPLETE}/tv/{name}", "completed": 1, "path": f"/data/incomplete/{name}",
        **fields,
    }  # fmt: skip


ODD: dict[str, object] = {
    "no object": "Bad",
    "null": None,
    "list": [{"name": "Bad"}],
    "no id": {key: word for key, word in entry("Bad").items() if key != "nzo_id"},
    "empty id": entry("Bad", nzo_id=""),
    "id null": entry("Bad", nzo_id=None),
    "id a number": entry("Bad", nzo_id=7),
    "status a number": entry("Bad", status=7),
    "storage a list": entry("Bad", storage=[f"{COMPLETE}/tv/Bad"]),
    "storage with NUL": entry("Bad", storage=f"{COMPLETE}/tv/Bad\0"),
    "name a number": {**entry("Bad"), "name": 1e400},
    "category an object": entry("Bad", category={}),
    "long": entry("Bad", status=["x" * 5000]),
}


@pytest.mark.parametrize("what", ODD)
def test_an_entry_of_another_shape_is_told_once_and_the_others_are_handled(
    host: Host, what: str
) -> None:
    host.write("tv/Good/a", "tv/Bad/a", "tv/Better/a")
    old = host.folder / "incomplete" / "Old" / "part.1"
    old.parent.mkdir()
    old.write_text("x")
    host.now += 8 * 86400
    history = [entry("Good"), ODD[what], *(entry(f"Gone {one}") for one in range(250)),
               ODD[what], entry("Better")]  # fmt: skip
    with serving(host, history):
        report = host.run(sweep=True)
        again = host.run(sweep=True)
    assert host.arrived() == {"tv/Good/a", "tv/Better/a"}
    assert (report.exit_status, again.exit_status) == (0, 0)
    told = [one for one in report.kept if "is not understood" in one.reason]
    assert len(told) == 1
    assert len(str(told)) < 1000
    # what the entry is of is not known: it may be any folder
    assert (host.complete / "tv/Bad/a").exists()
    assert str(host.complete / "tv/Bad") not in kept(report)
    assert old.exists()
    assert json.dumps(report.as_json()).isascii()
    with serving(host, [entry("Good"), entry("Bad"), entry("Better")]):
        host.run(sweep=True)
    assert "tv/Bad/a" in host.arrived()
    assert not old.exists()


def test_a_queue_of_another_shape_is_no_answer(host: Host) -> None:
    """What it works on is not known then, and so not what may be moved."""
    host.write("tv/Good/a")
    with serving(host, [entry("Good")], [{"nzo_id": 7}]), pytest.raises(Unavailable):
        host.run()
    assert host.arrived() == set()
