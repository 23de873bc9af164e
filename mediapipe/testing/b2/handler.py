"""HTTP: from a request to the right call, and its answer, or its trouble, back."""

import contextlib
import json
import re
import socket
import struct
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote, urlsplit

from mediapipe.testing.b2 import account, downloads, files, uploads
from mediapipe.testing.b2.calls import Call, Json
from mediapipe.testing.b2.downloads import Download
from mediapipe.testing.b2.errors import ApiError, InjectedResetError, refuse
from mediapipe.testing.b2.faults import Fault
from mediapipe.testing.b2.uploads import Upload
from mediapipe.testing.b2.world import World

CHUNK = 1 << 20  # bytes
STRIDE = 1 << 23  # bytes
FINE_CHUNK = 1 << 16  # bytes, where a fault or a slow line asks for finer steps
DRAIN_LIMIT = 1 << 27  # bytes; a refused body up to this size is read, so the refusal arrives
SERVER_ERRORS = 500
API_PATH = re.compile(r"/b2api/v(\d)/(b2_[a-z0-9_]+)(?:/.*)?")

JSON_CALLS: dict[str, Callable[[World, Call], Json]] = {
    "b2_authorize_account": account.authorize_account,
    "b2_list_buckets": account.list_buckets,
    "b2_create_bucket": account.create_bucket,
    "b2_update_bucket": account.update_bucket,
    "b2_delete_bucket": account.delete_bucket,
    "b2_list_file_names": files.list_file_names,
    "b2_list_file_versions": files.list_file_versions,
    "b2_get_file_info": files.get_file_info,
    "b2_hide_file": files.hide_file,
    "b2_delete_file_version": files.delete_file_version,
    "b2_copy_file": files.copy_file,
    "b2_copy_part": files.copy_part,
    "b2_get_upload_url": uploads.get_upload_url,
    "b2_get_upload_part_url": uploads.get_upload_part_url,
    "b2_start_large_file": uploads.start_large_file,
    "b2_finish_large_file": uploads.finish_large_file,
    "b2_cancel_large_file": uploads.cancel_large_file,
    "b2_list_parts": uploads.list_parts,
    "b2_list_unfinished_large_files": uploads.list_unfinished_large_files,
}
UPLOADS: dict[str, Callable[[World, Upload], Json]] = {
    "b2_upload_file": uploads.upload_file,
    "b2_upload_part": uploads.upload_part,
}
DOWNLOADS: dict[str, Callable[[World, Call, str | None], Download]] = {
    "b2_download_file_by_id": downloads.download_file_by_id,
    "b2_download_file_by_name": downloads.download_file_by_name,
}


class Handler(BaseHTTPRequestHandler):
    """Serves one connection; `world` is set by the server."""

    world: World
    protocol_version = "HTTP/1.1"
    server_version = "mediapipe-b2"
    timeout = 120  # seconds without a byte
    disable_nagle_algorithm = True
    rbufsize = CHUNK

    _fault: Fault | None = None
    _body_left = 0  # bytes not read yet

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_args: Any, **_kwargs: Any) -> None:
        """Say nothing: `stats()` tells what happened."""

    def _serve(self) -> None:
        url = urlsplit(self.path)
        api, version = _route(url.path)
        self._fault = None
        self._body_left = int(self.headers.get("Content-Length") or 0)
        if api is None:
            self._answer(404, {"status": 404, "code": "not_found", "message": url.path})
            return
        label = f"{api} HEAD" if self.command == "HEAD" else api
        self.world.meter.call(label)
        status = 0
        try:
            self.world.trouble.pause(self.world.latency)
            self.world.trouble.check_network()
            status = self._dispatch(api, version, url.path, url.query)
        except ApiError as error:
            status = error.status
            self._refuse(api, error)
        except InjectedResetError:
            self._reset()
        except OSError:
            self.close_connection = True  # the client went away
        finally:
            self.world.meter.answer(label, status)

    def _dispatch(self, api: str, version: int, path: str, query: str) -> int:
        """Carry the call out and return the HTTP status."""
        token = self.headers.get("Authorization") or ""
        body = {} if api in UPLOADS else self._json_body(path, query)
        self._fault = self.world.trouble.pick(api, self._file_name(body, token))
        self.world.trouble.before(self._fault)
        call = Call(api, version, token, body)
        try:
            if api in DOWNLOADS:
                download = DOWNLOADS[api](self.world, call, self.headers.get("Range"))
                self._send(download)
                return download.status
            if api in UPLOADS:
                upload = Upload(self.headers, token, self._body_left, self._chunks)
                answer = UPLOADS[api](self.world, upload)
            else:
                answer = JSON_CALLS[api](self.world, call)
        except (KeyError, TypeError, ValueError) as error:
            refuse(f"{type(error).__name__}: {error}", "bad_json")
        if self._fault is not None and self._fault.lose_response:
            raise InjectedResetError
        self._answer(200, answer)
        return 200

    def _file_name(self, body: Json, token: str) -> str:
        """Return the name of the file that the call is about, as well as it can be known."""
        ticket = self.world.access.ticket(token)
        file_id = body.get("fileId") or body.get("largeFileId") or (ticket and ticket.file_id)
        version = self.world.store.version(file_id) if file_id else None
        if version is not None:
            return version.name
        header = unquote(self.headers.get("X-Bz-File-Name") or "")
        return header or str(body.get("fileName") or unquote(body.get("path", "")))

    # Bodies coming in

    def _json_body(self, path: str, query: str) -> Json:
        text = self.rfile.read(self._body_left)
        self._body_left = 0
        fields = json.loads(text) if text else dict(parse_qsl(query))
        return {**fields, "path": path}

    def _chunks(self, size: int) -> Iterator[memoryview]:
        return self.world.trouble.shape(self._raw_chunks(size), self._fault)

    def _raw_chunks(self, size: int) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(min(size, self._chunk_size())))
        while size:
            got = self.rfile.readinto1(buffer[: min(size, len(buffer))])
            if not got:
                message = "the body ended early"
                raise ConnectionError(message)
            size -= got
            self._body_left -= got
            self.world.meter.add(bytes_in=got)
            yield buffer[:got]

    def _chunk_size(self) -> int:
        return FINE_CHUNK if self._fault or self.world.trouble.bandwidth else CHUNK

    # Answers going out

    def _answer(self, status: int, answer: Json, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _refuse(self, api: str, error: ApiError) -> None:
        if api in UPLOADS and error.status >= SERVER_ERRORS:
            # B2 wants the client to ask for another upload URL after such an error.
            self.world.access.retire(self.headers.get("Authorization") or "")
        answer = {"status": error.status, "code": error.code, "message": error.message}
        try:
            if self._body_left > DRAIN_LIMIT:
                self.close_connection = True
            else:
                for _ in self._raw_chunks(self._body_left):
                    pass
            self._answer(error.status, answer, error.headers)
        except OSError:
            self.close_connection = True

    def _send(self, download: Download) -> None:
        self.send_response(download.status)
        for name, value in download.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        length = download.end - download.begin
        path = self.world.store.blobs.path(download.blob)
        with self.world.store.blobs.open(download.blob) as source:
            if path is not None and self._chunk_size() == CHUNK:
                self._send_fast(source, download.begin, download.end)
                return
            source.seek(download.begin)
            blocks = _blocks(source.read, length, self._chunk_size())
            for chunk in self.world.trouble.shape(blocks, self._fault):
                self.wfile.write(chunk)
                self.world.meter.add(bytes_out=len(chunk))

    def _send_fast(self, source: BinaryIO, begin: int, end: int) -> None:
        """Let the kernel copy, in strides after which a cut network is noticed."""
        for offset in range(begin, end, STRIDE):
            self.world.trouble.check_network()
            sent = self.connection.sendfile(source, offset, min(STRIDE, end - offset))
            self.world.meter.add(bytes_out=sent)

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            # Lingering for 0 seconds makes the kernel send RST instead of FIN.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()


def _route(path: str) -> tuple[str | None, int]:
    """Return the API that a path names, and the API version."""
    if path.startswith("/file/"):
        return "b2_download_file_by_name", 1
    match = API_PATH.fullmatch(path)
    if match is None or match[2] not in (*JSON_CALLS, *UPLOADS, *DOWNLOADS):
        return None, 0
    return match[2], int(match[1])


def _blocks(read: Callable[[int], bytes], length: int, size: int) -> Iterator[memoryview]:
    while length:
        block = read(min(length, size))
        if not block:
            message = "the blob is shorter than its version says"
            raise ConnectionError(message)
        length -= len(block)
        yield memoryview(block)
