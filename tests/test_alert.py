"""`mediapipe alert`: what is told and what is spared, and the command with real receivers."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.adapters import notify
from mediapipe.alert_memory import Store
from mediapipe.alerts import DAY, LASTING, Failure, Memory, failed, good, held_up, outage
from mediapipe.errors import ConfigError
from mediapipe.history import open_history
from mediapipe.records import Run
from tests.test_idle_pass import CONFIG, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = Path(sys.executable).parent / "mediapipe"
UNIT = "qbt-cleanup.service"
SECRET = "gets-nowhere"
NOW = 1_800_000_000.0
MINUTE = 60.0


def exit_status(status: int) -> Failure:
    return Failure(UNIT, "exit-code", str(status))


def told_of(*failures: tuple[float, int]) -> list[float]:
    """Give when something is told of failures at these times with these exit statuses."""
    memory, told = Memory(), []
    for moment, status in failures:
        memory, message = failed(memory, exit_status(status), [], "box", NOW + moment)
        told += [moment] if message else []
    return told


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        ([(0, 78)], [0]),
        ([(0, 78), (120, 78), (DAY - 1, 78)], [0]),
        ([(0, 78), (DAY, 78), (DAY + 120, 78)], [0, DAY]),
        ([(0, 78), (120, 3), (240, 78), (360, 3)], [0, 120]),
        # a clock that was a year ahead silences nothing
        ([(0, 78), (-365 * DAY, 78)], [0, -365 * DAY]),
    ],
)
def test_the_same_failure_is_told_once_a_day(
    failures: list[tuple[float, int]], told: list[float]
) -> None:
    assert told_of(*failures) == told


def test_a_recovery_is_told_once_and_only_to_who_knows_of_the_failure() -> None:
    memory, _ = failed(Memory(), exit_status(78), [], "box", NOW)
    assert good(memory, UNIT, None, "box") == (memory, None)
    assert good(memory, UNIT, NOW - 1, "box") == (memory, None)
    memory, message = good(memory, UNIT, NOW + 3600, "box")
    assert message is not None
    assert (message.title, message.kind) == (f"box: {UNIT} works again", "success")
    assert "it was not well for 1 h" in message.body
    assert good(memory, UNIT, NOW + 7200, "box") == (memory, None)
    # the same failure on the same day is spared, and so is the end of it
    memory, message = failed(memory, exit_status(78), [], "box", NOW + 7300)
    assert message is None
    assert good(memory, UNIT, NOW + 7400, "box")[1] is None


def test_a_failure_is_told_with_how_since_when_and_the_last_lines() -> None:
    memory, _ = failed(Memory(), exit_status(3), [], "box", NOW)
    lines = ["one", "two"]
    _, message = failed(memory, exit_status(78), lines, "box", NOW + 60)
    assert message is not None
    assert message.title == f"box: {UNIT} failed"
    how, since, *rest = message.body.splitlines()
    assert how == "exit status 78: the configuration, a secret or a program has to change"
    assert since.startswith("failing since ")
    assert since.endswith(", 2 times")
    assert rest == ["", "one", "two", "", f"journalctl -u {UNIT} tells all of it"]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure(UNIT, "exit-code", "9"), "exit status 9"),
        (Failure(UNIT, "signal", "KILL"), "ended by signal KILL"),
        (Failure(UNIT, "watchdog", "ABRT"), "it gave no sign of life, and was ended"),
        (Failure(UNIT, "something-new", ""), "something-new"),
        (Failure(UNIT), "how is not known"),
    ],
)
def test_each_failure_is_put_into_words(failure: Failure, words: str) -> None:
    assert failure.words() == words


def test_an_outage_is_told_once_it_has_lasted_an_hour() -> None:
    memory = Memory()
    told = []
    for minutes in range(0, 200, 10):
        now = NOW + minutes * MINUTE
        memory, message = held_up(memory, UNIT, NOW, "no B2", "box", now)
        told += [(minutes, message.title)] if message else []
    assert told == [(60, f"box: {UNIT} is held up")]
    _, message = good(memory, UNIT, NOW + 200 * MINUTE, "box")
    assert message is not None
    assert "not well for 3 h 20 min" in message.body


def test_a_short_outage_is_told_to_nobody_and_neither_is_its_end() -> None:
    memory, message = held_up(Memory(), UNIT, NOW, "no B2", "box", NOW + LASTING - 1)
    assert message is None
    assert good(memory, UNIT, NOW + LASTING, "box")[1] is None


def run(started: float, outcome: str = "unavailable", seconds: float = 1.0) -> Run:
    return Run("cleanup", NOW + started, seconds, outcome, 0, 0, 0, f"reason at {started:g}")


@pytest.mark.parametrize(
    ("runs", "since", "until"),
    [
        ([], None, None),
        ([run(0, "done")], None, None),
        ([run(0, "unavailable"), run(600, "done")], None, None),
        ([run(0, "done"), run(600), run(1200), run(1800)], 601, 1801),
        ([run(0, "partial"), run(600)], 601, 601),
        # the box was off for a night
        ([run(0), run(600), run(40_000), run(40_600)], 40_001, 40_601),
        # an upload of five hours that ended with the outage
        ([run(0, seconds=18_000), run(18_100)], 18_000, 18_101),
    ],
)
def test_an_outage_begins_with_the_end_of_the_first_run_that_met_it(
    runs: list[Run], since: float | None, until: float | None
) -> None:
    found = outage(list(reversed(runs)))
    if since is None or until is None:
        assert found is None
    else:
        assert found == (NOW + since, NOW + until, runs[-1].reason)


# the command


@dataclass
class Receiver:
    """A real HTTP server that takes what apprise's json:// sends."""

    url: str = ""
    taken: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200

    def titles(self) -> list[str]:
        return [one["title"].partition(": ")[2] for one in self.taken]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if found.status == 200:
                found.taken.append(json.loads(body))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"json://127.0.0.1:{server.server_address[1]}/{SECRET}"
        yield found
        server.shutdown()


@dataclass
class Box:
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def urls(self) -> Path:
        return self.folder / "urls"

    def alert(
        self, *words: str, status: int = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [COMMAND, "alert", *words, "--config", str(self.config)],
            env={**environment(), **(env or {})}, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        said = ended.stdout + ended.stderr
        assert "Traceback" not in said, said
        assert SECRET not in said
        assert ended.returncode == status, said
        return ended

    def fails(self, status: int = 0, *, exit_status: int = 78) -> str:
        """Let systemd tell of a failure of the unit; gives what was said."""
        monitor = {"MONITOR_UNIT": UNIT, "MONITOR_SERVICE_RESULT": "exit-code",
                   "MONITOR_EXIT_CODE": "exited", "MONITOR_EXIT_STATUS": str(exit_status),
                   "MONITOR_INVOCATION_ID": "0" * 32}  # fmt: skip
        return self.alert(UNIT, status=status, env=monitor).stdout

    def record(self, outcome: str, *, ago: float) -> None:
        """Let a run of cleanup have ended so, so long ago."""
        with contextlib.closing(open_history(str(self.folder / "state"))) as history:
            started = time.time() - ago
            history.record_run("cleanup", started, 1.0, outcome, (1, 0, 0), "B2 does not answer")


@pytest.fixture
def box(tmp_path: Path, receiver: Receiver) -> Box:
    found = Box(tmp_path)
    found.urls.write_text(f"# people\n\n{receiver.url}\n")
    found.config.write_text(
        CONFIG.format(folder=tmp_path) + f'[notify]\nurls_file = "{tmp_path}/urls"\n'
    )
    return found


def test_a_failure_reaches_people_once_and_so_does_its_end(box: Box, receiver: Receiver) -> None:
    assert "failed" in box.fails()
    assert "told within a day" in box.fails()
    box.record("done", ago=-1)
    box.alert()
    box.alert()
    assert receiver.titles() == [f"{UNIT} failed", f"{UNIT} works again"]
    assert [one["type"] for one in receiver.taken] == ["failure", "success"]
    assert "exit status 78" in receiver.taken[0]["message"]


def test_an_outage_reaches_people_after_an_hour(box: Box, receiver: Receiver) -> None:
    for minutes in (50, 30, 10):
        box.record("unavailable", ago=minutes * MINUTE)
    box.alert()
    assert receiver.titles() == []
    with contextlib.closing(open_history(str(box.folder / "state"))) as history:
        history._db.execute("UPDATE runs SET started = started - 900")
    box.record("unavailable", ago=1)
    box.alert()
    box.alert()
    assert receiver.titles() == [f"{UNIT} is held up"]
    assert receiver.taken[0]["message"].startswith("B2 does not answer\nfor 1 h ")


def test_what_reached_nobody_is_told_once_somebody_listens(box: Box, receiver: Receiver) -> None:
    receiver.status = 500
    ended = box.alert(UNIT, status=75)
    assert "not reached: line 3 (json)" in ended.stderr
    box.alert(status=75)
    receiver.status = 200
    box.alert()
    box.alert()
    assert receiver.titles() == [f"{UNIT} failed"]


def test_who_was_reached_is_not_told_again(box: Box, receiver: Receiver) -> None:
    box.urls.write_text(f"{receiver.url}\njson://127.0.0.1:9/{SECRET}\n")
    assert "line 2 (json)" in box.alert(UNIT, status=75).stderr
    box.alert(status=75)
    assert len(receiver.taken) == 1


@pytest.mark.parametrize(
    ("urls", "words", "status"),
    [
        (None, "cannot read", 78),
        (b"\xff", "it is no text", 78),
        (f"nonsense://{SECRET}\n".encode(), "line 1 (nonsense): no URL that apprise knows", 78),
        (SECRET.encode(), "line 1 (no URL): no URL that apprise knows", 78),
    ],
)
def test_a_file_of_urls_that_is_no_good_is_told_clearly(
    box: Box, urls: bytes | None, words: str, status: int
) -> None:
    box.urls.unlink()
    if urls is not None:
        box.urls.write_bytes(urls)
    assert words in box.alert(UNIT, status=status).stderr


def test_a_broken_configuration_is_told_all_the_same(box: Box, receiver: Receiver) -> None:
    box.config.write_text(box.config.read_text() + "[nonsense]\n")
    box.fails()
    assert receiver.titles() == [f"{UNIT} failed"]
    assert "nonsense" in receiver.taken[0]["message"]


def test_a_configuration_that_is_no_toml_leaves_the_credential(
    box: Box, receiver: Receiver
) -> None:
    box.config.write_text("[")
    box.urls.rename(box.folder / "notify-urls")
    folders = {"STATE_DIRECTORY": f"{box.folder}/state", "CREDENTIALS_DIRECTORY": str(box.folder)}
    box.alert(UNIT, env=folders)
    assert receiver.titles() == [f"{UNIT} failed"]


def test_a_damaged_history_silences_nothing_and_floods_nobody(box: Box, receiver: Receiver) -> None:
    (box.folder / "state").mkdir()
    (box.folder / "state" / "history.db").write_bytes(b"damaged" * 1000)
    box.fails()
    box.fails()
    box.alert()
    assert receiver.titles() == [f"{UNIT} failed"]


def test_where_the_state_takes_nothing_the_runtime_folder_remembers(
    box: Box, receiver: Receiver
) -> None:
    (box.folder / "state").mkdir()
    (box.folder / "state" / "alerts").write_text("a file in its place")
    runtime = {"RUNTIME_DIRECTORY": str(box.folder / "run")}
    box.alert(UNIT, env=runtime)
    box.alert(UNIT, env=runtime)
    assert len(receiver.taken) == 1
    assert "cannot remember what was told" in box.alert(UNIT, status=75).stderr


def test_a_dry_run_tells_nobody_and_remembers_nothing(box: Box, receiver: Receiver) -> None:
    assert "would tell: " in box.alert(UNIT, "--dry-run").stdout
    box.alert("--dry-run")
    assert receiver.taken == []
    assert not (box.folder / "state").exists()


def test_a_test_message_shows_whether_people_are_reached(box: Box, receiver: Receiver) -> None:
    assert "everybody was reached" in box.alert("test").stdout
    assert receiver.titles() == ["a test"]
    receiver.status = 500
    box.alert("test", status=75)
    box.config.write_text(CONFIG.format(folder=box.folder))
    assert "urls_file is blank" in box.alert("test", status=78).stderr


def test_nobody_is_told_of_alerts_themselves(box: Box, receiver: Receiver) -> None:
    box.alert(f"mediapipe-alert@{UNIT}")
    box.alert("cleanup", status=2)
    box.alert("../x.service", status=2)
    assert receiver.taken == []


def test_without_a_journal_it_is_told_all_the_same(box: Box, receiver: Receiver) -> None:
    (box.folder / "bin").mkdir()
    ended = box.alert(UNIT, env={"PATH": str(box.folder / "bin")})
    assert "cannot start journalctl" in ended.stderr
    assert "(no log)" in receiver.taken[0]["message"]


def test_a_memory_that_is_none_is_begun_anew(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    os.makedirs(tmp_path / "alerts")
    for text in ("", "[]", '{"since": 1}', '{"owed": {}}', "null"):
        (tmp_path / "alerts" / f"{UNIT}.json").write_text(text)
        assert store.read(UNIT) == Memory()
    memory, _ = failed(Memory(), exit_status(78), ["x"], "box", NOW)
    store.write(UNIT, memory)
    assert store.read(UNIT) == memory
    assert store.units() == (UNIT,)


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_a_file_of_urls_that_never_ends_hangs_no_alert(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "urls"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="it is no regular file"):
        notify.read_urls(str(path))
