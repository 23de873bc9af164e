"""An rclone that answers every question with what it was told to: `impostor.py SOCKET ANSWER`.

Of itself it says that no error was met.
"""

from __future__ import annotations

import socketserver
import sys
from http.server import BaseHTTPRequestHandler


class _Server(socketserver.ThreadingUnixStreamServer):
    """Answers on a Unix socket, as `rclone rcd` does."""


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        told = b'{"errors": 0}' if self.path == "/core/stats" else sys.argv[2].encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(told)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


if __name__ == "__main__":
    _Server(sys.argv[1], _Handler).serve_forever()
