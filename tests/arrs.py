"""Sonarr, Radarr, Lidarr and Prowlarr, as far as we speak to them, with their state and faults.

Written after their sources, since the real ones cannot be had where these tests run: which
key wins, what start-up answers, what is masked, which status a change has.
"""

from __future__ import annotations

import json
import threading
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY = "0123456789abcdef0123456789abcdef"
MASK = "********"
JSON = {"Content-Type": "application/json; charset=utf-8"}
HTML = {"Content-Type": "text/html"}
LOGIN_PAGE = b"<!doctype html><title>Login</title>"
_VERSIONS = {"sonarr": "v3", "radarr": "v3", "lidarr": "v1", "prowlarr": "v1"}
_FAILURE = {
    "propertyName": "", "errorMessage": "Unable to connect, invalid credentials",
    "severity": "error", "isWarning": False,
}  # fmt: skip
_TELLING = ("sonarr", "radarr", "lidarr")
"""Apps whose commands have a result; Prowlarr's have a status alone."""
_EVENTS = {1: "grabbed", 3: "downloadFolderImported", 4: "downloadFailed"}

Answer = tuple[int, "Mapping[str, str]", bytes]


def starting_up(kind: str) -> Answer:
    """Give what StartingUpMiddleware answers."""
    words = {"errorMessage": f"{kind.title()} is starting up, please try again later"}
    return (503, JSON, json.dumps(words).encode())


class FakeArr:
    """Serves from `with` on, at a port of its own."""

    def __init__(self, kind: str, *, base: str = "", config: Path | None = None) -> None:
        """`base` is its URL base; `config` is where it keeps its config.xml, with its key."""
        self.kind = kind
        self.key = KEY
        self.base = base
        self.answers: list[Answer] = []
        """What it answers next, instead."""
        self.hangs = False
        self.hanging = threading.Semaphore(0)
        """Released by each request that hangs."""
        self.cookies = False
        """Whether a login proxy stands before it, which knows its visitors by cookie."""
        self.asked: list[tuple[str, str]] = []
        """Method and target of every request that came."""
        self.keys: list[str | None] = []
        """The X-Api-Key of each of them."""
        self.roots: list[str] = []
        self.result, self.looks = "unsuccessful", 0
        """How each command ends, after it was looked at so often."""
        self.items: dict[str, list[dict[str, Any]]] = {}
        """Resource → what it has of it."""
        self.settings: dict[str, dict[str, Any]] = {}
        """Path of a single resource → that."""
        self.prowlarr: FakeArr | None = None
        """Where its indexers ask."""
        self.feeds: dict[str, FakeArr] = {}
        """Of a Prowlarr: name of an application → the app."""
        self.unreachable: set[str] = set()
        """Names of applications that do not answer to their key, and root folders that are gone."""
        self._config = config
        self._visitors: set[str] = set()
        self._let_go = threading.Event()

        class Handler(_Handler):
            arr = self

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._write_config()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def restart(self, *, key: str = "") -> None:
        """Restart it and what stands before it; with a new key where config.xml was lost."""
        self._visitors.clear()
        if key:
            self.key = key
            self._write_config()

    def let_go(self) -> None:
        """Answer what hangs."""
        self.hangs = False
        self._let_go.set()

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request."""
        if self.hangs:
            self.hanging.release()
            self._let_go.wait()
        elif self.answers:
            return self.answers.pop(0)
        extra: dict[str, str] = {}
        if self.cookies:
            morsel = SimpleCookie(headers.get("Cookie", "")).get("session")
            if morsel is not None and morsel.value not in self._visitors:
                return (401, {}, b"")
            visitor = str(len(self._visitors) + 1)
            self._visitors.add(visitor)
            extra = {"Set-Cookie": f"session={visitor}; Path=/"}
        status, given, content = self._route(method, target, headers, body)
        return (status, {**given, **extra}, content)

    def _route(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        if self.base and not parts.path.startswith(self.base + "/"):
            return (307, {"Location": self.base + target}, b"")  # UrlBaseMiddleware
        route = parts.path.removeprefix(self.base)
        prefix = f"/api/{_VERSIONS[self.kind]}/"
        if not route.startswith(prefix):
            return (200, HTML, LOGIN_PAGE)  # its web page, whatever the path
        given = query.get("apikey", [headers.get("X-Api-Key") or headers.get("Authorization")])[0]
        if given != self.key:
            return (401, {}, b"")
        status, found = self._resource(method, route.removeprefix(prefix), query, body)
        if found == "{}":  # the tests of providers answer a string, which goes out as text
            return (status, {"Content-Type": "text/plain; charset=utf-8"}, b"{}")
        return (status, JSON, json.dumps(found).encode())

    def _resource(
        self, method: str, path: str, query: Mapping[str, list[str]], body: bytes
    ) -> tuple[int, Any]:
        if method == "GET":
            return self._shown(path, query)
        data: dict[str, Any] = json.loads(body or b"{}")
        match method, path:
            case "POST", "command":
                return 201, self._command(data)
            case "POST", "indexer/test":
                return self._test_indexer(data)
            case "POST", "indexer/testall":
                return 400, [{"id": 1, "isValid": False, "validationFailures": [_FAILURE]}]
            case "POST", "applications/testall":
                told = [self._test_application(one) for one in self.items["applications"]]
                return (200 if all(one["isValid"] for one in told) else 400), told
            case "PUT", "episode/monitor" | "movie/editor":
                return 202, self._monitor(path.partition("/")[0], data)
        return 404, {"message": "NotFound", "description": path}

    def _shown(self, path: str, query: Mapping[str, list[str]]) -> tuple[int, Any]:
        if path == "system/status":
            return 200, {"appName": self.kind.title(), "version": "4.0.15.2941", "isDebug": False}
        if path == "wanted/missing":
            wanted = self.items.get("album", [])
            return 200, {"page": 1, "pageSize": 10, "totalRecords": len(wanted), "records": wanted}
        if path in self.settings:
            return 200, self.settings[path]
        if path == "history":
            return 200, self._history(query)
        if path == "rootfolder":
            roots = enumerate(self.roots, 1)
            return 200, [
                {"id": number, "path": root, "accessible": root not in self.unreachable}
                for number, root in roots
            ]
        name, _, number = path.partition("/")
        found = [_masked(one) for one in self.items.get(name, []) if _fits(one, query)]
        if not number:
            return 200, found
        for one in found:
            if str(one["id"]) == number:
                return 200, self._in_time(one) if name == "command" else one
        return 404, {"message": "NotFound"}

    def _history(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """Give a page of what it did, chosen by download and by kind."""
        kinds = [_EVENTS[int(one)] for one in query.get("eventType", ())]
        downloads = [one.upper() for one in query.get("downloadId", ())]
        records = [
            one
            for one in self.items.get("history", [])
            if (not kinds or one["eventType"] in kinds)
            and (not downloads or one["downloadId"] in downloads)
        ]
        page, size = int(query.get("page", ["1"])[0]), int(query.get("pageSize", ["10"])[0])
        shown = records[(page - 1) * size : page * size]
        about = {"page": page, "pageSize": size, "totalRecords": len(records)}
        return {**about, "sortKey": "date", "sortDirection": "descending", "records": shown}

    def _command(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Take every command; how it went is told later."""
        done = self.items.setdefault("command", [])
        new = {"id": len(done) + 1, "name": data["name"], "commandName": data["name"], "body": data}
        result = self.result
        if data["name"] == "ApplicationIndexerSync":
            result = "successful"
            # without force a masked key passes for equal, and nothing is rewritten
            for one in self.items.get("applications", ()) if data.get("forceSync") else ():
                if one["syncLevel"] == "fullSync" and one["name"] in self.feeds:
                    self.feeds[one["name"]].take_key(self.key)
        done.append({**new, "status": "completed", **self._told(result), "looks": self.looks})
        return {**new, "status": "queued", **self._told("unknown")}

    def _told(self, result: str) -> dict[str, str]:
        """Give how a command went, as far as this kind of app tells it."""
        return {"result": result} if self.kind in _TELLING else {}

    def take_key(self, key: str) -> None:
        """Take the key with which its synced indexers ask from now on."""
        for one in self.items["indexer"]:
            for field in one["fields"]:
                if field["name"] == "apiKey":
                    field["value"] = key

    def _test_indexer(self, data: Mapping[str, Any]) -> tuple[int, Any]:
        """Let it search once; a masked key stands for the one that is stored."""
        if self.prowlarr is None:
            return 200, "{}"
        stored = next(one for one in self.items["indexer"] if one["id"] == data["id"])
        keys = [one["value"] for one in stored["fields"] if one["name"] == "apiKey"]
        given = [one["value"] for one in data["fields"] if one["name"] == "apiKey"]
        asks = keys if given == [MASK] else given
        return (200, "{}") if asks == [self.prowlarr.key] else (400, [_FAILURE])

    def _test_application(self, one: Mapping[str, Any]) -> dict[str, Any]:
        good = one["name"] not in self.unreachable
        return {"id": one["id"], "isValid": good, "validationFailures": [] if good else [_FAILURE]}

    def _in_time(self, command: dict[str, Any]) -> dict[str, Any]:
        """Give a command as it is for now."""
        stored = self.items["command"][command["id"] - 1]
        if stored.get("looks", 0) <= 0:
            return command
        stored["looks"] -= 1
        return {**command, "status": "started", "result": "unknown"}

    def _monitor(self, resource: str, data: Mapping[str, Any]) -> list[dict[str, Any]]:
        wanted = data.get("episodeIds", data.get("movieIds"))
        changed = [one for one in self.items[resource] if one["id"] in wanted]
        for one in changed:
            one["monitored"] = data["monitored"]
        return changed

    def _write_config(self) -> None:
        if self._config is not None:
            text = f"<Config>\n  <Port>8686</Port>\n  <ApiKey>{self.key}</ApiKey>\n</Config>\n"
            self._config.write_text(text)


def _fits(one: Mapping[str, Any], query: Mapping[str, list[str]]) -> bool:
    return all(str(one[name]) in values for name, values in query.items() if name in one)


def _masked(one: Mapping[str, Any]) -> dict[str, Any]:
    """Give a resource as every GET does: without its secrets."""
    secret = {"apiKey", "password"}
    fields = [
        {**field, "value": MASK} if field["name"] in secret else field
        for field in one.get("fields", ())
    ]
    return {**one, "fields": fields} if fields else dict(one)


class _Handler(BaseHTTPRequestHandler):
    arr: FakeArr
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        self.arr.asked.append((self.command, self.path))
        self.arr.keys.append(self.headers.get("X-Api-Key"))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, content = self.arr.answer(
            self.command, self.path, dict(self.headers), body
        )
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = _serve  # noqa: N815
    do_POST = _serve  # noqa: N815
    do_PUT = _serve  # noqa: N815
    do_DELETE = _serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def handle(self) -> None:
        """Serve until the client has gone, who may not wait for the end of an answer."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True
