"""Downloads of a real SABnzbd, moved by the real command."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.history import open_history
from mediapipe.testing.box import Box
from mediapipe.testing.nntp import NewsServer
from mediapipe.testing.sabnzbd import KEY, SabnzbdServer
from tests.arrs import KEY as ARR_KEY
from tests.arrs import FakeArr

if TYPE_CHECKING:
    from collections.abc import Iterator

HOOK = Path(__file__).parents[2] / "systemd" / "sabnzbd-hook.sh"

# Runs inside SABnzbd: the share refuses to rename a folder, and what else a test asks of it.
FAULTS = """\
import errno, os
FAULTS = {faults!r}
def faulty(real, name):
    def call(one, *rest, **options):
        mine = "/complete/" in os.fspath(one) and "Faulty" in os.fspath(one)
        target = os.fspath(rest[0]) if rest else ""
        if mine and name in FAULTS and (name != "rename" or "_UNPACK_" in os.fspath(one)):
            raise OSError(errno.EBUSY if name != "mkdir" else errno.ESTALE, "played", one)
        return real(one, *rest, **options)
    return call
os.rename = faulty(os.rename, "rename")
os.rmdir = faulty(os.rmdir, "rmdir")
os.unlink = faulty(os.unlink, "unlink")
os.remove = faulty(os.remove, "unlink")
if "copy" in FAULTS:
    import shutil
    def copytree(source, *rest, **options):
        raise OSError(errno.ESTALE, "played", source)
    shutil.copytree = copytree
"""


@dataclass
class Host:
    """A SABnzbd, and the host that sees its folders under another path."""

    sabnzbd: SabnzbdServer
    news: NewsServer
    box: Box
    usenet: Path

    @property
    def complete(self) -> Path:
        return self.box.folder / "share" / "complete"

    @property
    def spool(self) -> Path:
        return self.box.folder / "spool"

    def download(self, name: str, *, category: str = "tv", files: int = 2) -> dict[str, Any]:
        """Download a job, and give its entry in the history."""
        content = {f"{name}.{number}.bin": os.urandom(300_000) for number in range(files)}
        nzb = self.news.post(self.sabnzbd.folder / f"{name}.nzb", content)
        return self.sabnzbd.wait(self.sabnzbd.add(nzb, category))

    def report(self, *options: str, status: int = 0) -> dict[str, Any]:
        return self.box.report("postprocess", *options, status=status)

    def moves(self) -> list[tuple[str, str]]:
        """Give what a run moved: from and to."""
        return [(one["path"], one["to"]) for one in self.report()["actions"]
                if one["action"] == "move" and one["status"] == "done"]  # fmt: skip


@pytest.fixture(scope="module")
def news() -> Iterator[NewsServer]:
    with NewsServer() as server:
        yield server


@pytest.fixture(scope="module")
def server(news: NewsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SabnzbdServer]:
    folder = tmp_path_factory.mktemp("sabnzbd")
    server = SabnzbdServer(folder, news.port, script=HOOK.name)
    script = server.scripts / HOOK.name
    script.write_text(f'#!/bin/sh\nMEDIAPIPE_SPOOL={folder}/spool exec {HOOK} "$@"\n')
    script.chmod(0o755)
    with server:
        yield server


@pytest.fixture
def host(server: SabnzbdServer, news: NewsServer, tmp_path: Path) -> Host:
    """Give a host of the test's own, before an empty share."""
    for folder in (server.complete, server.incomplete, server.folder / "spool"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    server.ask("history", name="delete", value="all", archive="0")
    key = tmp_path / "key"
    key.write_text(KEY)
    # the host sees the share at another place than SABnzbd does
    (tmp_path / "share").symlink_to(server.folder)
    usenet = tmp_path / "usenet"
    for name in ("tv", "movies", "other"):
        (usenet / name).mkdir(parents=True)
    box = Box(tmp_path, "http://127.0.0.1:1", "")
    box.write_config(
        sabnzbd={
            "url": server.url,
            "api_key_file": str(key),
            "complete_dir": str(server.complete),
            "host_complete_dir": str(tmp_path / "share" / "complete"),
            "host_incomplete_dir": str(tmp_path / "share" / "incomplete"),
            "spool": str(tmp_path / "share" / "spool"),
        }
    )
    box.settings["sabnzbd.destinations"] = {
        "tv": str(usenet / "tv"), "movies": str(usenet / "movies"), '"*"': str(usenet / "other"),
    }  # fmt: skip
    box.write_config()
    return Host(server, news, box, usenet)


def test_a_job_is_moved_once(host: Host) -> None:
    entry = host.download("Show.S01E01")
    bytes_before = {path.name: path.read_bytes() for path in Path(entry["storage"]).iterdir()}
    planned = host.report("--dry-run")["actions"]
    done = host.report()["actions"]
    assert [{**one, "status": "done"} for one in planned] == done
    assert [(one["action"], one["to"]) for one in done] == [
        ("move", str(host.usenet / "tv" / "Show.S01E01"))
    ]
    moved = host.usenet / "tv" / "Show.S01E01"
    assert {path.name: path.read_bytes() for path in moved.iterdir()} == bytes_before
    assert not Path(entry["storage"]).exists()
    assert [*(host.box.folder / "share" / "spool").iterdir()] == []
    again = host.report()
    assert again["actions"] == [] and again["kept"] == []
