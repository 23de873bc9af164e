"""The machine with a real systemd, booted once for each worker of a test run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.machine import Machine, why_impossible

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine without anything of ours; skipped only where no machine is possible at all."""
    if reason := why_impossible():
        pytest.skip(f"NO SYSTEMD WAS TESTED: {reason}")
    with Machine(tmp_path_factory.mktemp("machine")) as booted:
        yield booted
