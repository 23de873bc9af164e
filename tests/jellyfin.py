"""The one corner of Jellyfin that we speak to, as strict as the real one, or stricter."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "0123456789abcdef0123456789abcdef"
_PATH = "/Library/Media/Updated"
_TYPES = {"Created", "Modified", "Deleted"}


class FakeJellyfin:
    """Serves from `with` on, at a port of its own; `told` are the paths that it has taken."""

    def __init__(self, base: str = "") -> None:
        """`base` is the path that it is served below, as behind a proxy."""
        self.told: list[str] = []
        self.asked: list[str] = []
        """Every request, by its path."""
        self.answer: tuple[int, Mapping[str, str], bytes] | None = None
        """What it answers instead, until it is taken out again."""
        self.base = base

        class Handler(_Handler):
            jellyfin = self

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever)
        self.url = f"http://127.0.0.1:{self._http.server_port}{base}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def info(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Answer who it is, to whom it knows."""
        if path != f"{self.base}/System/Info":
            return 404, b""
        if headers.get("Authorization") != f'MediaBrowser Token="{KEY}"':
            return 401, b""
        about = {"Id": "5f", "Version": "12.0.0", "ProductName": "Jellyfin Server"}
        return 200, json.dumps(about).encode()

    def take(self, path: str, headers: Mapping[str, str], content: bytes) -> int:
        """Answer a request with a status, as Jellyfin 12 does."""
        if path != f"{self.base}{_PATH}":
            return 404
        # the older ways to send a key are off
        if headers.get("Authorization") != f'MediaBrowser Token="{KEY}"':
            return 401
        if headers.get("Content-Type", "").partition(";")[0] != "application/json":
            return 415
        try:
            paths = [_checked(one) for one in json.loads(content.decode())["Updates"]]
        except (ValueError, KeyError, TypeError):
            return 400
        self.told += paths
        return 204


def _checked(update: Any) -> str:
    """Give the path of an update; raises ValueError or KeyError where it is none."""
    path = update["Path"]
    path.encode()  # .NET knows no stray bytes
    if not os.path.isabs(path) or update["UpdateType"] not in _TYPES:
        raise ValueError(update)
    return str(path)


class _Handler(BaseHTTPRequestHandler):
    jellyfin: FakeJellyfin
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.jellyfin.asked.append(self.path)
        status, headers, body = self.jellyfin.answer or (0, {}, b"")
        if not status:
            status, body = self.jellyfin.info(self.path, dict(self.headers))
        self._send(status, headers, body)

    def do_POST(self) -> None:
        jellyfin = self.jellyfin
        jellyfin.asked.append(self.path)
        content = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, body = jellyfin.answer or (0, {}, b"")
        status = status or jellyfin.take(self.path, dict(self.headers), content)
        self._send(status, headers, body)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""
