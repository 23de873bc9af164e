"""Nix, once for each worker of a test run."""

from __future__ import annotations

import pytest

from tests.nixos import Nix


@pytest.fixture(scope="session")
def nix(tmp_path_factory: pytest.TempPathFactory) -> Nix:
    return Nix(tmp_path_factory.mktemp("nix"))
