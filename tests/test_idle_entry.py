"""The upload's entry point: what it answers itself, and what it leaves to the whole program."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.disk import folder_index
from tests.hosts import Host
from tests.test_idle_pass import CONFIG, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCRIPT = Path(sys.executable).parent / "qbt-upload-b2"
DAY = 86400.0

# Runs the console script itself, and notes whether it went on with the whole program, what it
# opened, and where it stood at the end.
WITNESS = """
import os, sys
opened = []
sys.addaudithook(lambda event, words: opened.append(words[0]) if event == "open" else None)
before = set(sys.modules)
script, result, prelude = sys.argv[1:4]
sys.argv = [script, *sys.argv[4:]]
exec(prelude)
with open(script) as file:
    code = compile(file.read(), script, "exec")
del opened[:]
try:
    exec(code, {"__name__": "__main__"})
finally:
    seen = [os.fsdecode(one) for one in opened if isinstance(one, (str, bytes))]
    loaded = sorted(set(sys.modules) - before)
    import json
    with open(result, "w") as file:
        json.dump({"loaded": loaded, "opened": seen, "folder": os.getcwd()}, file)
"""


@dataclass(frozen=True)
class Pass:
    """How a pass ended."""

    status: int
    output: str
    errors: str
    loaded: list[str]
    opened: list[str]
    folder: str

    @property
    def whole(self) -> bool:
        """Whether the whole program was loaded."""
        return "mediapipe.cli" in self.loaded


@dataclass(frozen=True)
class Idle:
    """A host on which all is uploaded, or stays until it is changed itself."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def index(self) -> Path:
        return self.state / folder_index.NAME

    def edit(self, **facts: object) -> None:
        """Write the index anew with other facts, as sound as before."""
        found = folder_index.read(str(self.index))
        assert found is not None
        folder_index.write(str(self.index), {**found.facts, **facts}, found.stamps())

    def run(
        self,
        *options: str,
        words: Sequence[str] | None = None,
        prelude: str = "",
        folder: Path | None = None,
        env: dict[str, str] | None = None,
        redirect: str = "",
    ) -> Pass:
        result = self.folder / "witness.json"
        words = ["--config", str(self.config), *options] if words is None else words
        shell = ["sh", "-c", f'exec "$@" {redirect}', "sh"] if redirect else []
        ended = subprocess.run(
            [*shell, sys.executable, "-c", WITNESS, str(SCRIPT), str(result), prelude, *words],
            env={**environment(), **(env or {})}, cwd=folder or self.folder,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        told: dict[str, Any] = json.loads(result.read_text())
        result.unlink()
        assert "Traceback" not in ended.stderr, ended.stderr
        return Pass(ended.returncode, ended.stdout, ended.stderr, **told)

    def run_whole(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the same pass past the entry point."""
        return subprocess.run(
            [sys.executable, "-c", "from mediapipe.cli import upload; upload()",
             "--config", str(self.config), *options],
            env=environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip


@pytest.fixture
def idle(tmp_path: Path) -> Idle:
    host = Host(tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG.format(folder=tmp_path))
    host.write(host.tv / "Show" / "Season 1" / "a.mkv")
    host.write(host.tv / "new\nline" / "b.mkv")
    host.write(host.tv / "Later" / "c.mkv.part")
    host.write(host.tv / "Later" / "c.srt")
    host.write(host.downloads / "Loose" / "disc 1" / "d.mkv")
    host.write(host.downloads / "Linked" / "e.mkv")
    (host.downloads / "Linked" / "f.mkv").symlink_to("e.mkv")
    host.upload()
    host.upload()
    own = Idle(tmp_path)
    # the host's clock is an hour ahead, so that what was just written counts as settled
    own.edit(full=time.time() - 60)
    return own


def summary(output: str) -> str:
    """Give an output without its seconds."""
    return re.sub(r"\d+\.\d s$", "N s", output, flags=re.MULTILINE)


# What it answers itself


def test_a_pass_with_nothing_to_do_ends_without_the_whole_program(idle: Idle) -> None:
    told = idle.run()
    assert (told.whole, told.status, told.errors) == (False, 0, "")
    assert summary(told.output) == "upload: 0 done, 3 kept, N s\n"


def test_it_says_what_the_whole_program_says(idle: Idle) -> None:
    whole, own = idle.run_whole(), idle.run()
    assert not own.whole
    expected = (whole.returncode, summary(whole.stdout), whole.stderr)
    assert (own.status, summary(own.output), own.errors) == expected
    kept = json.loads(idle.run_whole("--json").stdout)["kept"]
    assert sorted(os.path.basename(one["path"]) for one in kept) == [
        "Linked",
        "c.mkv.part",
        "c.srt",
    ]


def test_the_configuration_may_be_named_in_the_environment(idle: Idle) -> None:
    told = idle.run(words=[], env={"MEDIAPIPE_CONFIG": str(idle.config)})
    assert (told.whole, told.status) == (False, 0)


def test_a_relative_name_is_that_of_the_folder_one_stands_in(idle: Idle) -> None:
    other = idle.folder / "other"
    other.mkdir()
    (other / "config.toml").write_text("no TOML")
    idle.edit(program=_program(idle, "config.toml"))
    here = idle.run(words=["--config", "config.toml"])
    assert (here.whole, here.status, here.folder) == (False, 0, str(idle.folder))
    there = idle.run(words=["--config", "config.toml"], folder=other)
    assert (there.whole, there.status) == (True, 78)


def test_it_stays_where_it_was_started(idle: Idle) -> None:
    assert idle.run(folder=idle.folder / "media").folder == str(idle.folder / "media")


def test_with_a_state_folder_of_systemd_it_reads_no_toml_and_never_a_database(idle: Idle) -> None:
    told = idle.run(env={"STATE_DIRECTORY": str(idle.state)})
    assert not told.whole
    roots = ("media/tv", "media/movies", "downloads/completed")
    ours = {one for one in told.opened if one.startswith(str(idle.folder))}
    assert ours <= {
        str(idle.index),
        str(idle.state / "upload.lock"),
        *(f"{idle.folder}/{root}/.mediapipe-root" for root in roots),
    }
    heavy = {"tomllib", "sqlite3", "_sqlite3", "typing", "logging", "dataclasses", "argparse"}
    assert heavy.isdisjoint(told.loaded)


def test_under_systemd_it_says_nothing(idle: Idle) -> None:
    prelude = "found = os.fstat(1); os.environ['JOURNAL_STREAM'] = f'{found.st_dev}:{found.st_ino}'"
    told = idle.run(prelude=prelude)
    assert (told.whole, told.status, told.output, told.errors) == (False, 0, "", "")


def test_what_is_mounted_is_no_reason_for_more(idle: Idle) -> None:
    idle.edit(mounts=["/", "/proc"])
    assert not idle.run().whole


def test_it_leaves_only_the_time_at_which_it_looked(idle: Idle) -> None:
    def look() -> dict[str, tuple[int, bytes]]:
        return {
            str(path): (path.stat().st_ino, path.read_bytes())
            for path in idle.folder.rglob("*")
            if path.is_file() and not path.is_symlink()
        }

    os.utime(idle.index, (0, 0))
    before = look()
    assert not idle.run().whole
    assert look() == before
    assert idle.index.stat().st_mtime > 0


# What it leaves to the whole program


def _program(idle: Idle, path: str, version: str = "") -> list[object]:
    from mediapipe import __version__

    return [version or __version__, path, folder_index.file_stamp(str(idle.config))]


def _root(idle: Idle) -> Path:
    return idle.folder / "media" / "tv" / ".mediapipe-root"


def _replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _replace_by_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


REASONS: dict[str, tuple[int, Callable[[Idle], object]]] = {
    "configuration touched": (0, lambda idle: os.utime(idle.config)),
    "configuration gone": (78, lambda idle: idle.config.unlink()),
    "configuration broken": (78, lambda idle: idle.config.write_text("[paths")),
    "configuration of other shape": (78, lambda idle: idle.config.write_text("paths = 3")),
    "state of other shape": (78, lambda idle: idle.config.write_text("[paths]\nstate = [1]")),
    "other version": (0, lambda idle: idle.edit(program=_program(idle, str(idle.config), "0"))),
    "other configuration": (0, lambda idle: idle.edit(program=_program(idle, "/else.toml"))),
    "trigger": (0, lambda idle: (idle.state / "upload.due").write_bytes(b"")),
    "root file of another": (75, lambda idle: _root(idle).write_text("f" * 32 + "\n")),
    "root file gone": (75, lambda idle: _root(idle).unlink()),
    "root file empty": (75, lambda idle: _root(idle).write_bytes(b"")),
    "root file of odd bytes": (75, lambda idle: _root(idle).write_bytes(b"\xff\x00")),
    "root file a fifo": (75, lambda idle: _replace_by_fifo(_root(idle))),
    "root file a link": (75, lambda idle: _replace_by_link(_root(idle))),
    "full pass due": (0, lambda idle: idle.edit(full=time.time() - DAY - 1)),
    "full pass of the future": (0, lambda idle: idle.edit(full=time.time() + DAY)),
    "full pass at no time": (0, lambda idle: idle.edit(full=float("nan"))),
    "mount gone": (0, lambda idle: idle.edit(mounts=["/", str(idle.folder / "media")])),
    "not whole": (0, lambda idle: idle.edit(whole=False)),
    "no index": (0, lambda idle: idle.index.unlink()),
    "index cut": (0, lambda idle: idle.index.write_bytes(idle.index.read_bytes()[:-1])),
    "index empty": (0, lambda idle: idle.index.write_bytes(b"")),
    "no lock": (0, lambda idle: (idle.state / "upload.lock").unlink()),
    "a category's folder is there now": (
        0,
        lambda idle: idle.edit(absent=[str(idle.folder / "media")]),
    ),
    "new folder": (0, lambda idle: (idle.folder / "media/tv/Show/Season 2").mkdir()),
}


@pytest.mark.parametrize("reason", REASONS)
def test_out_of_the_ordinary_means_the_whole_program(idle: Idle, reason: str) -> None:
    status, change = REASONS[reason]
    change(idle)
    told = idle.run()
    assert told.whole
    assert told.status == status, told.errors


@pytest.mark.parametrize(
    "facts",
    [
        {"program": None},
        {"program": {}},
        {"full": "yesterday"},
        {"full": None},
        {"full": [1]},
        {"roots": []},
        {"roots": None},
        {"roots": {"/": 3}},
        {"mounts": [3]},
        {"mounts": 3},
        {"refused": None},
        {"refused": [3]},
        {"refused": [["/media", 3]]},
        {"refused": {"a": 1}},
        {"absent": None},
        {"absent": [3]},
    ],
    ids=str,
)
def test_facts_that_are_none_are_not_believed(idle: Idle, facts: dict[str, object]) -> None:
    idle.edit(**facts)
    told = idle.run()
    assert (told.whole, told.status) == (True, 0), told.errors
    assert summary(told.output) == "upload: 0 done, 3 kept, N s\n"
    found = folder_index.read(str(idle.index))
    assert found is not None
    assert all(found.facts[name] != value for name, value in facts.items()), "it is written anew"


@pytest.mark.parametrize(
    "fact", ["program", "full", "whole", "roots", "mounts", "absent", "refused"]
)
def test_a_fact_that_is_missing_is_not_made_up(idle: Idle, fact: str) -> None:
    found = folder_index.read(str(idle.index))
    assert found is not None
    del found.facts[fact]
    folder_index.write(str(idle.index), found.facts, found.stamps())
    told = idle.run()
    assert (told.whole, told.status) == (True, 0), told.errors
    assert summary(told.output) == "upload: 0 done, 3 kept, N s\n"


def test_another_run_is_told_of_and_not_waited_for(idle: Idle) -> None:
    with open(idle.state / "upload.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = idle.run()
    assert (told.whole, told.status, told.output) == (True, 75, "")
    assert "another run holds" in told.errors


def test_what_stops_it_late_does_not_lock_out_the_whole_program(idle: Idle) -> None:
    """The index of another owner can be read, and its time cannot be set."""
    refuse = "os.utime = lambda *_, **__: (_ for _ in ()).throw(PermissionError(1, 'not yours'))"
    told = idle.run(prelude=refuse)
    assert (told.whole, told.status) == (True, 0), told.errors


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--json"], 0),
        (["-v"], 0),
        (["--dry-run"], 0),
        (["--help"], 0),
        (["--version"], 0),
        (["--nonsense"], 2),
        (["--config"], 2),
        (["more"], 2),
    ],
    ids=str,
)
def test_any_option_is_for_the_whole_program(idle: Idle, words: list[str], status: int) -> None:
    told = idle.run(words=words, env={"MEDIAPIPE_CONFIG": str(idle.config)})
    assert (told.whole, told.status) == (True, status), told.errors


def test_options_beside_the_configuration_are_too(idle: Idle) -> None:
    for words in ([f"--config={idle.config}"], ["--config", str(idle.config), "--json"]):
        told = idle.run(words=words)
        assert (told.whole, told.status) == (True, 0), words


def test_on_a_terminal_what_is_kept_is_listed(idle: Idle) -> None:
    ours, theirs = pty.openpty()
    try:
        command = [str(SCRIPT), "--config", str(idle.config)]
        ended = subprocess.run(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(), check=False,
            timeout=60,
        )  # fmt: skip
        shown = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.returncode == 0
    assert "c.mkv.part is not finished" in shown
    assert "upload: 0 done, 3 kept" in shown


@pytest.mark.parametrize("redirect", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_without_a_standard_stream_it_is_for_the_whole_program(idle: Idle, redirect: str) -> None:
    told = idle.run(redirect=redirect)
    assert (told.whole, told.status) == (True, 0), told.errors


@pytest.mark.parametrize("full", [False, True], ids=["reader gone", "disk full"])
def test_where_nobody_takes_the_report_it_ends_as_the_whole_program(idle: Idle, full: bool) -> None:
    def run(*command: str) -> tuple[int, str]:
        if full:
            writer = os.open("/dev/full", os.O_WRONLY)
        else:
            reader, writer = os.pipe()
            os.close(reader)
        ended = subprocess.run(
            [*command, "--config", str(idle.config)], env=environment(), stdout=writer,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
        os.close(writer)
        return ended.returncode, ended.stderr

    whole = run(sys.executable, "-c", "from mediapipe.cli import upload; upload()")
    assert run(str(SCRIPT)) == whole
    assert "Traceback" not in whole[1]
    assert "ignored" not in whole[1]
