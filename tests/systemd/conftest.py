"""The machine with a real systemd, booted once for each worker of a test run."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from tests.machine import Machine, why_impossible
from tests.systemd.box import MediaBox
from tests.systemd.installing import INTERPRETER, make

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
            make("install", f"DESTDIR={tree}", f"PYTHON={INTERPRETER}")
    return tree


@pytest.fixture(scope="session")
def installed(machine: Machine, staged: Path) -> Machine:
    """The machine after `make install`, with the user and the folders, and nothing configured."""
    machine.install(staged)
    machine.run("systemd-sysusers", "/usr/local/lib/sysusers.d/mediapipe.conf")
    machine.run("systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/mediapipe.conf")
    return machine


@pytest.fixture(scope="session")
def _box(installed: Machine) -> MediaBox:
    box = MediaBox(installed)
    box.set_up()
    return box


@pytest.fixture
def box(_box: MediaBox) -> Iterator[MediaBox]:
    """A configured media box; what a test adds to units and library is taken away after it."""
    _box.configure()
    yield _box
    _box.reset()
