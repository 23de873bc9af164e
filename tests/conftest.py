"""The real services that several test files share, started where they are first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediapipe.testing.b2 import B2Server
from mediapipe.testing.qbittorrent import QbittorrentServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "correct horse"


@pytest.fixture(scope="session")
def qbittorrent_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QbittorrentServer]:
    """A qBittorrent that asks nobody on this host for a login."""
    with QbittorrentServer(tmp_path_factory.mktemp("qbittorrent")) as server:
        yield server


@pytest.fixture
def qbittorrent(qbittorrent_server: QbittorrentServer) -> QbittorrentServer:
    """The same one, without torrents and categories."""
    client = qbittorrent_server.client()
    client.torrents_delete(delete_files=False, torrent_hashes="all")
    client.torrents_remove_categories(categories=list(client.torrents_categories()))
    return qbittorrent_server


@pytest.fixture(scope="session")
def locked_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QbittorrentServer]:
    """A qBittorrent that wants the login of `admin` with PASSWORD."""
    folder = tmp_path_factory.mktemp("locked")
    with QbittorrentServer(folder, username="admin", password=PASSWORD) as server:
        yield server


@pytest.fixture
def locked(locked_server: QbittorrentServer) -> QbittorrentServer:
    """The same one; restarted, since it counts wrong logins until then."""
    return locked_server.restart()


@pytest.fixture
def b2(tmp_path: Path) -> Iterator[B2Server]:
    """A B2 account of the test's own."""
    with B2Server(root=tmp_path / "b2") as server:
        yield server
