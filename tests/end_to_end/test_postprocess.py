"""Downloads of a real SABnzbd, moved by the real command."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from mediapipe import remains, usenet_status
from mediapipe.adapters.sabnzbd import Sabnzbd
from mediapipe.config_load import load
from mediapipe.disk import calls
from mediapipe.errors import ActionFailed, Stale
from mediapipe.history import open_history
from mediapipe.jobs import postprocess
from mediapipe.runner import Context
from mediapipe.testing.box import Box
from mediapipe.testing.loopback import wait_until
from mediapipe.testing.nntp import NewsServer
from mediapipe.testing.sabnzbd import KEY, SabnzbdServer
from tests.arrs import HTML, LOGIN_PAGE, FakeArr
from tests.arrs import KEY as ARR_KEY
from tests.crashes import Crash, Steps, connecting
from tests.disks import tmpfs
from tests.fakes import FakeWatcher
from tests.newer_sabnzbd import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOOK = Path(__file__).parents[2] / "systemd" / "sabnzbd-hook.sh"

# Runs inside SABnzbd: a share that refuses to rename certain folders, and what it tries instead.
FAULTS = """
import errno, os, shutil

def refuse(real, word, number):
    def call(one, *rest, **options):
        path = os.fspath(one)
        if "/complete/" in path and "_UNPACK_" in path and word in path:
            if "HalfMade" in path and real is not os_rename:
                os.mkdir(rest[0])
            raise OSError(number, "played", one)
        return real(one, *rest, **options)
    return call

os_rename = os.rename
os.rename = refuse(os.rename, "Busy", errno.EBUSY)
shutil.copytree = refuse(shutil.copytree, "NoCopy", errno.ESTALE)
shutil.rmtree = refuse(shutil.rmtree, "NoDelete", errno.EBUSY)
"""
SCRIPT = """\
#!/bin/sh
# once: SABnzbd 5 runs it again after a kill
case $SAB_FINAL_NAME in *Hang*) [ -e {folder}/hung ] || {{ : >{folder}/hung; sleep 600; }} ;; esac
MEDIAPIPE_SPOOL={folder}/spool exec {hook} "$@"
"""


@dataclass
class Host:
    """A SABnzbd, and the host that sees its folders under another path."""

    sabnzbd: SabnzbdServer
    news: NewsServer
    box: Box

    @property
    def share(self) -> Path:
        """The folders of SABnzbd, as this host sees them."""
        return self.box.folder / "share"

    @property
    def tv(self) -> Path:
        """Where shows go."""
        return self.box.folder / "usenet" / "tv"

    def add(self, *names: str, missing: bool = False) -> list[str]:
        """Add jobs, and give their ids."""
        ids = []
        for name in names:
            files = {f"{name}.{number}.bin": os.urandom(300_000) for number in range(2)}
            nzb = self.news.post(self.sabnzbd.folder / f"{name}.nzb", files)
            if missing:
                self.news.articles.clear()
            ids.append(self.sabnzbd.add(nzb))
        return ids

    def download(self, *names: str) -> list[dict[str, Any]]:
        """Download jobs, and give their entries in the history."""
        return [self.sabnzbd.wait(job) for job in self.add(*names)]

    def report(self, *options: str, status: int = 0) -> dict[str, Any]:
        return self.box.report("postprocess", *options, status=status)

    def moved(self) -> dict[str, bytes]:
        """Give what lies where shows go."""
        return contents(self.tv)

    def history(self) -> Sabnzbd:
        settings = load(str(self.box.config_path)).sabnzbd
        assert settings is not None
        return Sabnzbd(settings, KEY)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".mediapipe-root"
    }


def done(report: dict[str, Any], action: str) -> list[dict[str, Any]]:
    return [one for one in report["actions"] if one["action"] == action and one["status"] == "done"]


def kept(report: dict[str, Any]) -> dict[str, str]:
    return {Path(one["path"]).name: one["reason"] for one in report["kept"]}


@pytest.fixture(scope="module")
def news() -> Iterator[NewsServer]:
    with NewsServer() as server:
        yield server


@pytest.fixture(
    scope="module", params=["installed", pytest.param("newest", marks=pytest.mark.soak)]
)
def server(
    request: pytest.FixtureRequest, news: NewsServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SabnzbdServer]:
    folder = tmp_path_factory.mktemp("sabnzbd")
    newest = request.param == "newest"
    binary = unpack(tmp_path_factory.mktemp("newest")) if newest else "sabnzbdplus"
    server = SabnzbdServer(folder, news.port, script=HOOK.name, binary=binary)
    script = server.scripts / HOOK.name
    script.write_text(SCRIPT.format(folder=folder, hook=HOOK))
    script.chmod(0o755)
    server.start(FAULTS)
    yield server
    server.stop()


@pytest.fixture
def host(server: SabnzbdServer, news: NewsServer, tmp_path: Path) -> Host:
    """Give a host of the test's own, before an empty share."""
    for folder in (server.complete, server.incomplete, server.folder / "spool"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    server.ask("history", name="delete", value="all", archive="0")
    server.ask("queue", name="delete", value="all")
    (tmp_path / "key").write_text(KEY)
    # the host sees the share at another place than SABnzbd does
    (tmp_path / "share").symlink_to(server.folder)
    box = Box(tmp_path, "http://127.0.0.1:1", "")
    box.settings["sabnzbd.destinations"] = {}
    for name, category in (("tv", "tv"), ("movies", "movies"), ("other", '"*"')):
        place = tmp_path / "usenet" / name
        place.mkdir(parents=True)
        box.settings["sabnzbd.destinations"][category] = str(place)
    box.write_config(
        sabnzbd={
            "url": server.url,
            "api_key_file": str(tmp_path / "key"),
            "complete_dir": str(server.complete),
            "host_complete_dir": str(tmp_path / "share" / "complete"),
            "host_incomplete_dir": str(tmp_path / "share" / "incomplete"),
            "spool": str(tmp_path / "share" / "spool"),
        }
    )
    return Host(server, news, box)


def test_a_job_is_moved_once(host: Host) -> None:
    (entry,) = host.download("Show.S01E01")
    before = contents(Path(entry["storage"]).parent)
    planned = host.report("--dry-run")["actions"]
    assert [*(host.share / "spool").iterdir()] != []
    report = host.report()
    assert [{**one, "status": "done"} for one in planned] == report["actions"]
    assert [one["to"] for one in done(report, "move")] == [str(host.tv / "Show.S01E01")]
    assert host.moved() == before
    assert len(before) == 2
    assert not Path(entry["storage"]).exists()
    assert [*(host.share / "spool").iterdir()] == []
    again = host.report()
    assert again["actions"] == []
    assert again["kept"] == []
    script = str(Path(sys.executable).with_name("mediapipe"))
    words = [script, "status", "--config", str(host.box.config_path)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    told += subprocess.run(
        [script, "history", *words[2:]], check=True, capture_output=True, text=True
    ).stdout
    assert f"to {host.tv}/Show.S01E01" in told
    assert "last day   1 of 1 downloads completed (100 %), 1 moved" in told


def test_what_failed_renames_leave_is_moved_whole(host: Host) -> None:
    names = ["Busy.Show", "Busy.NoCopy.Gone", "Busy.NoCopy.HalfMade", "Busy.NoDelete.Twice", "Same"]
    entries = host.download(*names, "Same")
    tv = host.share / "complete" / "tv"
    # the shapes, as the real SABnzbd leaves them
    assert not (tv / "Busy.NoCopy.Gone").exists()
    assert [*(tv / "Busy.NoCopy.HalfMade").iterdir()] == []
    assert (tv / "Busy.NoDelete.Twice" / "_UNPACK_Busy.NoDelete.Twice").exists() or (
        tv / "_UNPACK_Busy.NoDelete.Twice"
    ).exists()
    assert {one["status"] for one in entries} == {"Completed"}
    # what an *arr app has taken out of the history is only archived
    host.sabnzbd.ask("history", name="delete", value=entries[0]["nzo_id"], archive="1")
    report = host.report()
    assert len(done(report, "move")) == 6
    assert {path.split("/")[0] for path in host.moved()} == {*names, "Same.1"}
    assert all(len(path.split("/")) == 2 for path in host.moved())
    assert len(host.moved()) == 12
    left = host.box.tree(tv)
    assert {Path(path).parts[0] for path in left} == {"_UNPACK_Busy.NoDelete.Twice"}
    assert host.report()["actions"] == []


def test_a_job_that_a_kill_made_fail_is_moved_on_demand_alone(host: Host) -> None:
    (job,) = host.add("Hang.Show")
    flag = host.sabnzbd.folder / "hung"
    wait_until(flag.exists, seconds=40, what="the script")
    assert host.report()["actions"] == []
    host.sabnzbd.kill()
    # without SABnzbd nothing is decided
    assert "SABnzbd" in host.report(status=75)["reason"]
    host.sabnzbd.start(FAULTS)
    assert host.sabnzbd.wait(job)["status"] == "Failed"
    folder = host.share / "complete" / "tv" / "Hang.Show"
    settings = {"url": host.sabnzbd.url}
    host.box.write_config(sabnzbd=settings)
    report = host.report()
    assert report["actions"] == []
    assert folder.is_dir()
    assert [*host.tv.glob("*.Show")] == []
    outside = host.report("--adopt", str(host.tv), status=2)
    assert "no folder below" in outside["reason"]
    assert len(done(host.report("--adopt", str(folder)), "move")) == 1
    assert {Path(path).parts[0] for path in host.moved()} == {"Hang.Show"}
    assert host.report()["actions"] == []


def test_without_a_key_the_hook_alone_decides(host: Host) -> None:
    host.box.write_config(sabnzbd={"api_key_file": ""})
    host.download("By.Hook", "Busy.NoCopy.HalfMade")
    report = host.report()
    assert [Path(one["to"]).name for one in done(report, "move")] == ["By.Hook"]
    assert "only its history tells" in kept(report)["Busy.NoCopy.HalfMade"]
    assert host.report()["actions"] == []


def test_a_wrong_key_is_told_and_the_spool_is_empty_all_the_same(host: Host) -> None:
    host.download("Show")
    (host.box.folder / "key").write_text("wrong")
    assert "refuses the key" in host.report(status=78)["reason"]
    assert [*(host.share / "spool").iterdir()] == []
    (host.box.folder / "key").write_text(KEY)
    assert len(done(host.report(), "move")) == 1


def test_the_app_is_told_and_what_it_makes_of_it(host: Host, tmp_path: Path) -> None:
    (tmp_path / "arr-key").write_text(ARR_KEY)
    with FakeArr("sonarr") as arr:
        arr.result, arr.looks = "successful", 2
        host.box.write_config(
            **{
                "arr.sonarr": {"url": arr.url, "api_key_file": str(tmp_path / "arr-key")},
                "arr.sonarr.path_map": {f'"{host.tv.parent}"': "/usenet"},
                "sabnzbd.arr": {"tv": "sonarr"},
            }
        )
        (first,) = host.download("First")
        report = host.report()
        assert done(report, "notify-arr")[0]["app"] == "sonarr"
        sent = arr.items["command"][0]["body"]
        assert sent == {
            "name": "DownloadedEpisodesScan",
            "path": "/usenet/tv/First",
            "downloadClientId": first["nzo_id"],
            "importMode": "Move",
        }
        # it imports nothing: told once, and the download stays where it is
        host.download("Second")
        arr.result = "unsuccessful"
        report = host.report(status=3)
        assert "imported nothing" in str(report["actions"])
        assert (host.tv / "Second").is_dir()
        # a login page is in its place: the download is moved, and the app is told by a later run
        host.download("Third")
        arr.answers = [(200, HTML, LOGIN_PAGE)]
        report = host.report(status=75)
        assert len(done(report, "move")) + len(done(report, "notify-arr")) == 1
        assert (host.tv / "Third").is_dir()
        arr.answers, arr.result = [], "successful"
        report = host.report()
        assert [one["action"] for one in report["actions"]] == ["notify-arr"]
        assert host.report()["actions"] == []


def test_what_is_left_among_the_unfinished(host: Host) -> None:
    """Of jobs that SABnzbd knows nothing is listed; the clock is a week ahead."""
    host.sabnzbd.ask("pause")
    host.add("Waiting")
    unfinished = host.share / "incomplete"
    stray = unfinished / "Stray" / "__ADMIN__"
    stray.mkdir(parents=True)
    (stray / "SABnzbd_attrib").write_bytes(b"x" * 100)
    usenet = host.history()
    queue, jobs = usenet.queue(), usenet.history()
    assert [one.name for one in queue] == ["Waiting"]
    later = time.time() + 8 * remains.DAY
    assert remains.left_in(str(unfinished), queue, jobs, time.time()) == ()
    (left,) = remains.left_in(str(unfinished), queue, jobs, later)
    assert (left.path, left.size) == (str(unfinished / "Stray"), 100)
    seen = remains.told(remains.debris([str(unfinished)]), [left], jobs, (), later)
    assert "1 unfinished that no queue knows (100 B)" in "".join(usenet_status.as_text(seen, later))
    # a job that was renamed keeps its folder, and is known by the state of it that lies there
    host.sabnzbd.ask("queue", name="rename", value=queue[0].id, value2="Another")
    renamed = usenet.queue()
    assert [one.name for one in renamed] == ["Another"]
    assert remains.left_in(str(unfinished), renamed, jobs, later) == (left,)
    shutil.move(unfinished / "Waiting" / "__ADMIN__", host.share / "spare")
    assert remains.left_in(str(unfinished), renamed, jobs, later) == ()
    shutil.move(host.share / "spare", unfinished / "Waiting" / "__ADMIN__")
    with pytest.raises(Stale):
        remains.remove(left, time.time())
    (stray / ".nfs0001").write_bytes(b"open")
    with pytest.raises(ActionFailed, match="nfs0001"):
        remains.remove(left, later)
    assert host.box.tree(unfinished / "Stray") == {"__ADMIN__/.nfs0001"}
    (stray / ".nfs0001").unlink()
    remains.remove(left, later)
    assert not stray.parent.exists()
    host.sabnzbd.ask("resume")


# death


@pytest.mark.parametrize("place", ["same file system", "another"])
def test_death_at_any_step_moves_each_job_once(host: Host, tmp_path: Path, place: str) -> None:
    with tmpfs(host.tv) if place == "another" else contextlib.nullcontext():
        die_at_each_step(host, tmp_path)


def die_at_each_step(host: Host, tmp_path: Path) -> None:
    (entry,) = host.download("Show")
    source = Path(entry["storage"])
    spare = tmp_path / "spare"
    shutil.copytree(source, spare)
    expected = {f"Show/{name}": content for name, content in contents(spare).items()}
    config = load(str(host.box.config_path))
    usenet = host.history()
    jobs, queue = usenet.history(), usenet.queue()

    class Remembered:
        """What the real SABnzbd has answered."""

        def history(self) -> Any:
            return jobs

        def queue(self) -> Any:
            return queue

    def run(state: Path) -> None:
        state.mkdir(exist_ok=True)
        with contextlib.closing(open_history(str(state))) as history:
            context = Context(
                config, history, lambda *_, **__: None, FakeWatcher(), str(state),
                time.time() + 3600, dry_run=False, path="",
            )  # fmt: skip
            report = postprocess.run(context, Remembered(), lambda _: pytest.fail("told"), options)
            assert report.exit_status == 0, report.as_json()

    options = postprocess.Options()
    for last in itertools.count(1):
        for path in host.tv.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(source, ignore_errors=True)
        shutil.copytree(spare, source)
        state = tmp_path / f"state{last}"
        steps = dies_at(last, functools.partial(run, state))
        run(state)
        assert host.moved() == expected, steps.taken[-1]
        assert not source.exists()
        run(state)
        assert host.moved() == expected
        if not steps.dead:
            assert last > 10
            return


class _Library:
    """The C library, of which each call counts as a step."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.real = calls._libc

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self.real, name)
        return lambda *words: self.steps.take(name, lambda: call(*words))


def dies_at(last: int, run: Callable[[], object]) -> Steps:
    """Run until a step; nothing that is tried after it has any effect."""
    steps = Steps(last)

    def counted(name: str) -> Any:
        real = getattr(os, name)
        return patch.object(os, name, lambda *words, **options: steps.take(
            name, lambda: real(*words, **options)))  # fmt: skip

    library: Any = _Library(steps)
    with contextlib.ExitStack() as stack:
        for name in ("mkdir", "rmdir", "unlink", "rename", "link", "write", "fsync", "fdatasync"):
            stack.enter_context(counted(name))
        stack.enter_context(patch.object(calls, "_libc", library))
        stack.enter_context(patch.object(sqlite3, "connect", connecting(steps)))
        with contextlib.suppress(Crash):
            run()
    return steps
