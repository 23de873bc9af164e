"""One move in a process of its own. Arguments: source, destination, yes or no for verify.

Prints as JSON its seconds, the CPU seconds among them, and the bytes written by system calls.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from mediapipe.moving import move


def written() -> int:
    """Give the bytes that this process has handed to write(2) so far."""
    fields = Path("/proc/self/io").read_text().split()
    return int(fields[fields.index("wchar:") + 1])


def main() -> None:
    """Move once."""
    source, destination, verify = sys.argv[1:]
    before, started, cpu = written(), time.perf_counter(), time.process_time()
    moved = move(Path(source), Path(destination), verify=verify == "yes")
    told = {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "written": written() - before,
        "how": moved.how,
    }
    print(json.dumps(told), end=os.linesep)


if __name__ == "__main__":
    main()
