"""The machine with a real systemd, booted once for each worker of a test run."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.machine import CHECKOUT, Machine, why_impossible

if TYPE_CHECKING:
    from collections.abc import Iterator


def make(*words: str) -> str:
    """Run `make` of this checkout, off the settings of the make that runs the tests."""
    settings = {
        k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    return subprocess.run(
        ["make", "--silent", *words], cwd=CHECKOUT, env=settings,
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine without anything of ours; skipped only where no machine is possible at all."""
    if reason := why_impossible():
        pytest.skip(f"NO SYSTEMD WAS TESTED: {reason}")
    with Machine(tmp_path_factory.mktemp("machine")) as booted:
        yield booted


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make install` puts below an empty DESTDIR; made once for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    tree = shared / "staged"
    with (shared / "staged.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            # not the checkout's own environment, which is an interpreter in a link
            interpreter = Path(sys.base_prefix, "bin", "python3")
            make("install", f"DESTDIR={tree}", f"PYTHON={interpreter}")
    return tree


@pytest.fixture(scope="session")
def installed(machine: Machine, staged: Path) -> Machine:
    """The machine after `make install`, with the user and the folders, and nothing configured."""
    machine.install(staged)
    machine.run("systemd-sysusers", "/usr/local/lib/sysusers.d/mediapipe.conf")
    machine.run("systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/mediapipe.conf")
    return machine
