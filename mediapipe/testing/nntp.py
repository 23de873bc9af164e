"""A news server on loopback that has the articles of a test, and the .nzb files that name them."""

from __future__ import annotations

import contextlib
import socketserver
import threading
import zlib
from typing import TYPE_CHECKING, Self
from xml.sax.saxutils import quoteattr

from mediapipe.testing.loopback import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ARTICLE = 256 << 10
"""Bytes of a file that one article holds."""
LINE = 128
_ENCODED = bytes((one + 42) % 256 for one in range(256))
_CRITICAL = {0x00, 0x0A, 0x0D, 0x3D, 0x2E}  # yEnc's own, and the dot that would begin a line


class NewsServer:
    """Serves from `with` on, at a port of its own; asks nobody for a login."""

    def __init__(self) -> None:
        """Nothing is posted yet."""
        self.articles: dict[str, bytes] = {}
        """Message-id → body; what is not in it is missing on the server."""
        self._posted = 0

        class Handler(_Handler):
            news = self

        self._server = _Server((HOST, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def post(self, nzb: Path, files: Mapping[str, bytes]) -> Path:
        """Post files, by name, and write the .nzb that names their articles; gives that."""
        lines = ['<?xml version="1.0" encoding="UTF-8"?>']
        lines.append('<nzb xmlns="http://www.newzbin.com/DTD/2003/nzb">')
        for name, content in files.items():
            parts = [content[at : at + ARTICLE] for at in range(0, len(content), ARTICLE)] or [b""]
            subject = quoteattr(f'"{name}" yEnc (1/{len(parts)})')
            lines.append(f'<file poster="test" date="1700000000" subject={subject}>')
            lines.append("<groups><group>alt.binaries.test</group></groups><segments>")
            for number, part in enumerate(parts, 1):
                self._posted += 1
                key = f"{self._posted}.{number}@test.example"
                span = (number, len(parts), (number - 1) * ARTICLE)
                self.articles[key] = _encoded(name, len(content), part, span)
                size = len(self.articles[key])
                lines.append(f'<segment bytes="{size}" number="{number}">{key}</segment>')
            lines.append("</segments></file>")
        nzb.write_text("\n".join([*lines, "</nzb>", ""]), "utf-8")
        return nzb


def _encoded(name: str, size: int, part: bytes, span: tuple[int, int, int]) -> bytes:
    """Encode a part in yEnc; `span` are its number, their count and its offset in bytes."""
    number, count, offset = span
    lines = [
        f"=ybegin part={number} total={count} line={LINE} size={size} name={name}".encode(),
        f"=ypart begin={offset + 1} end={offset + len(part)}".encode(),
    ]
    for at in range(0, len(part), LINE):
        line = bytearray()
        for byte in part[at : at + LINE].translate(_ENCODED):
            line += bytes((0x3D, (byte + 64) % 256)) if byte in _CRITICAL else bytes((byte,))
        lines.append(bytes(line))
    lines.append(f"=yend size={len(part)} part={number} pcrc32={zlib.crc32(part):08x}".encode())
    return b"\r\n".join(lines)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


class _Handler(socketserver.StreamRequestHandler):
    news: NewsServer

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # SABnzbd leaves without a word
            self._serve()

    def _serve(self) -> None:
        self._say("200 ready")
        while line := self.rfile.readline():
            verb, _, key = line.decode("ascii", "replace").strip().partition(" ")
            body = self.news.articles.get(key.strip("<>"))
            if verb.upper() == "QUIT":
                self._say("205 bye")
                return
            if verb.upper() == "DATE":
                self._say("111 20261120000000")
            elif verb.upper() not in ("BODY", "ARTICLE", "STAT", "HEAD"):
                self._say("500 what?")
            elif body is None:
                self._say("430 no such article")
            elif verb.upper() == "STAT":
                self._say(f"223 0 {key}")
            else:
                head = b"" if verb.upper() == "BODY" else f"Message-ID: {key}\r\n\r\n".encode()
                code = {"BODY": 222, "ARTICLE": 220, "HEAD": 221}[verb.upper()]
                text = head if code == 221 else head + body  # noqa: PLR2004
                self.wfile.write(f"{code} 0 {key}\r\n".encode() + text + b"\r\n.\r\n")

    def _say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())
