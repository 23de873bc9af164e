"""Run the server as a process of its own: `python -m mediapipe.testing.b2 --root DIR`."""

import argparse
import signal
import sys
from pathlib import Path

from mediapipe.testing.b2.server import B2Server

DISCARD = ":null:"


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m mediapipe.testing.b2", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 = any free one")
    parser.add_argument(
        "--root", default=DISCARD, help=f"folder; {DISCARD} forgets nearly all bytes"
    )
    parser.add_argument("--bucket", default="entertainment-netmount")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds added to each call")
    arguments = parser.parse_args()
    root = None if arguments.root == DISCARD else Path(arguments.root)
    # Blocked before the server's threads start, so that they inherit it and only we get the signal.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with B2Server(root=root, bucket=arguments.bucket, port=arguments.port) as server:
        server.latency = arguments.latency
        sys.stdout.write(f"listening on {server.url}\n")
        sys.stdout.flush()
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
