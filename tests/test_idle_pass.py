"""What a pass of the upload with nothing to do costs: nothing but itself, every two minutes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Host, statuses

SCRIPT = Path(sys.executable).parent / "qbt-upload-b2"

# Runs the installed console script itself, and tells what it loaded and what it asked of the
# kernel. What Python loads before the script's first line is not the script's doing.
WITNESS = """
import sys
before = set(sys.modules)
watched = ("subprocess.", "os.fork", "os.forkpty", "os.exec", "os.spawn", "os.posix_spawn",
           "os.system", "pty.spawn", "socket.")
asked = []
sys.addaudithook(lambda event, _: asked.append(event) if event.startswith(watched) else None)
script, result = sys.argv[1], sys.argv[2]
sys.argv = [script, *sys.argv[3:]]
status = 1
try:
    with open(script) as file:
        code = compile(file.read(), script, "exec")
    exec(code, {"__name__": "__main__"})
except SystemExit as end:
    status = end.code
finally:
    seen = sorted(set(asked))
    loaded = {name: getattr(sys.modules[name], "__file__", None) or ""
              for name in set(sys.modules) - before if sys.modules[name] is not None}
    import json
    with open(result, "w") as file:
        json.dump({"status": status, "loaded": loaded, "asked": seen}, file)
"""

CONFIG = """
[paths]
completed = "{folder}/downloads/completed"
extracted = "{folder}/downloads/extracted"
state = "{folder}/state"
[categories]
tv-sonarr = "{folder}/downloads/completed/tv"
radarr = "{folder}/downloads/completed/movies"
books = "{folder}/downloads/completed/books"
[libraries.tv]
root = "{folder}/media/tv"
remote = "tv"
category = "tv-sonarr"
arr = "sonarr"
[libraries.movies]
root = "{folder}/media/movies"
remote = "movies"
category = "radarr"
arr = "radarr"
[rclone]
remote = "b2:bucket"
binary = "{folder}/no-such-program"
"""


@pytest.fixture
def idle(tmp_path: Path) -> Path:
    """Give the configuration of a host on which all is uploaded and marked."""
    host = Host(tmp_path)
    for number in range(20):
        host.write(host.tv / "Show" / f"Season {number % 3}" / f"E{number}.mkv")
    host.write(host.movies / "Film (2020)" / "Film.mkv")
    host.write(host.downloads / "Loose" / "disc 1" / "a.mkv")
    host.write(host.downloads / "Loose" / "a.nfo")
    host.write(host.downloads / "single.mkv")
    host.write(host.downloads / "books" / "Book" / "book.epub")
    report = host.upload()
    assert {status for _kind, _path, status in statuses(report)} == {"done"}
    assert len(report.results) == 24
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return path


def run(config: Path, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the console script under the witness; gives its report and the witness's word."""
    result = config.with_name("witness.json")
    command = [sys.executable, "-c", WITNESS, str(SCRIPT), str(result)]
    ended = subprocess.run(
        [*command, "--config", str(config), "--json", *options],
        env=environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.stderr == ""
    return json.loads(ended.stdout), json.loads(result.read_text())


def environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "LC_ALL")
    return {name: os.environ[name] for name in kept if name in os.environ}


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_an_idle_pass_loads_only_what_it_needs(idle: Path, options: tuple[str, ...]) -> None:
    report, told = run(idle, *options)
    assert (report["outcome"], report["actions"], report["kept"]) == ("done", [], [])
    assert told["status"] == 0
    third_party = {
        name: path for name, path in told["loaded"].items() if "site-packages" in Path(path).parts
    }
    assert third_party == {}
    ours = {name for name in told["loaded"] if name.split(".")[0] == "mediapipe"}
    assert "mediapipe.jobs.upload" in ours
    needless = {
        name
        for name in ours
        if name.startswith(("mediapipe.adapters", "mediapipe.testing"))
        or name in ("mediapipe.building", "mediapipe.proving", "mediapipe.holdings")
    }
    assert needless == set(), sorted(told["loaded"])
    costly = {"subprocess", "asyncio", "multiprocessing", "ssl", "http.client", "hypothesis"}
    assert costly & set(told["loaded"]) == set(), sorted(told["loaded"])


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_an_idle_pass_starts_no_child_and_opens_no_socket(
    idle: Path, options: tuple[str, ...]
) -> None:
    _report, told = run(idle, *options)
    assert (told["asked"], told["status"]) == ([], 0)


def test_status_loads_starts_and_asks_as_little(idle: Path) -> None:
    result = idle.with_name("witness.json")
    script = SCRIPT.with_name("mediapipe")
    ended = subprocess.run(
        [sys.executable, "-c", WITNESS, script, result, "status", "--config", idle, "--json"],
        env=environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    told = json.loads(result.read_text())
    assert json.loads(ended.stdout)["proven"]["files"] == 25
    assert (ended.stderr, told["asked"], told["status"]) == ("", [], 0)
    assert [path for path in told["loaded"].values() if "site-packages" in Path(path).parts] == []


def test_the_kernel_sees_one_program_and_no_connection(idle: Path) -> None:
    strace = shutil.which("strace")
    probe = [strace or "", "-qq", "-e", "trace=none", "true"]
    if strace is None or subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("strace is not there or may not trace; the audit hook has watched all the same")
    trace = idle.with_name("trace")
    command = [strace, "-f", "-qq", "-e", "trace=execve,connect,socket", "-o", str(trace)]
    ended = subprocess.run(
        [*command, str(SCRIPT), "--config", str(idle), "--json"],
        env=environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    calls = [line.split(None, 1)[1] for line in trace.read_text().splitlines()]
    started = [call for call in calls if call.startswith("execve(") and call.endswith(" = 0")]
    assert len(started) == 1
    assert [call for call in calls if call.startswith(("connect(", "socket("))] == []


def test_the_witness_sees_what_a_pass_with_work_does(idle: Path) -> None:
    """The same look at a pass that has work: else the tests above would prove nothing."""
    new = idle.parent / "media" / "tv" / "Show" / "Season 0" / "E99.mkv"
    new.write_bytes(b"new")
    os.utime(new, ns=(0, 0))
    os.link(new, idle.parent / "elsewhere.mkv")
    result = idle.with_name("witness.json")
    command = [sys.executable, "-c", WITNESS, str(SCRIPT), str(result), "--config", str(idle)]
    ended = subprocess.run(command, env=environment(), capture_output=True, check=False, timeout=60)
    told = json.loads(result.read_text())
    assert b"no-such-program" in ended.stderr
    assert told["status"] == 78
    assert "mediapipe.adapters.rclone" in told["loaded"]
    assert "structlog" in told["loaded"]
