"""The small host that the doctor visits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hosts import Host

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Give a small host with real folders."""
    return Host(tmp_path)
