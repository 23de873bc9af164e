"""Moves a job in a process of its own, for tests that kill it or inject faults into it.

Arguments: source, destination and, if wanted, the last stage of an earlier process. Prints each
stage and what came of it, as one JSON object per line.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from mediapipe.errors import ActionFailed, MediapipeError, Stale
from mediapipe.moving import Stage, move


def main() -> None:
    source, destination, *rest = sys.argv[1:]
    last = Stage(**json.loads(rest[0])) if rest else None
    try:
        moved = move(
            Path(source), Path(destination), journal=lambda stage: tell(asdict(stage)), last=last
        )
        tell(asdict(moved))
    except (ActionFailed, Stale, MediapipeError) as error:
        tell({"error": type(error).__name__, "message": str(error)})


def tell(told: dict[str, object]) -> None:
    print(json.dumps(told, default=str), flush=True)


if __name__ == "__main__":
    main()
