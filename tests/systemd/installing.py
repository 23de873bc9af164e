"""`make` of this checkout, as tests call it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.machine import CHECKOUT

INTERPRETER = Path(sys.base_prefix, "bin", "python3")
"""Not the checkout's own, which is a link in its environment."""


def make(*words: str) -> str:
    """Run `make` of this checkout, off the settings of the make that runs the tests."""
    settings = {
        k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    return subprocess.run(
        ["make", "--silent", *words], cwd=CHECKOUT, env=settings,
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
