"""The one place that starts processes: what it reads, and that nothing it started stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from mediapipe.adapters import process
from mediapipe.errors import ActionFailed, ConfigError, Stopped, Unavailable
from mediapipe.testing.loopback import wait_until

LONG = 60.0
"""Seconds that no test waits for."""
QUICK = 0.5


def python(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", program, *map(str, arguments)]


def gone(pid: int) -> bool:
    """Whether nothing is left of a process, not even an entry that waits to be read."""
    return not Path(f"/proc/{pid}").exists()


def left(pids: Path) -> list[int]:
    return [pid for pid in map(int, pids.read_text().split()) if not gone(pid)]


# A child that starts a child of its own, writes both numbers, and stays
FAMILY = """
import os, subprocess, sys, time
grandchild = subprocess.Popen(["sleep", "600"])
with open(sys.argv[1], "w") as file:
    file.write(f"{os.getpid()} {grandchild.pid}")
print("ready", file=sys.stderr, flush=True)
time.sleep(600)
"""


def test_output_errors_and_status_come_back():
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"

    assert process.run(python(program), timeout=LONG) == process.Ended(7, b"out\n", "err")


def test_a_child_that_a_signal_ended_has_its_number_as_a_negative_status():
    program = "import os; os.kill(os.getpid(), 9)"

    assert process.run(python(program), timeout=LONG).status == -signal.SIGKILL


def test_both_pipes_are_drained_at_once_and_only_the_errors_tail_is_kept():
    """Either pipe holds 64 KiB: a reader of one alone would wait for ever."""
    program = """
import sys
for number in range(40):
    sys.stdout.buffer.write(bytes([number]) * 65536)
    sys.stderr.write(f"{number:05} " * 11000)
print(" the end", file=sys.stderr)
"""
    ended = process.run(python(program), timeout=LONG)

    assert ended.status == 0
    assert ended.output == b"".join(bytes([number]) * 65536 for number in range(40))
    assert len(ended.errors) <= 1 << 20
    assert ended.errors.endswith("00039  the end")


def test_lines_are_handed_on_whole_also_the_last_without_an_end():
    program = r"""
import os
for part in (b"one\ntw", b"o\n\n\xff three\n", b"last"):
    os.write(2, part)
"""
    lines: list[str] = []

    def keep(line: str) -> bool:
        lines.append(line)
        return True

    process.run(python(program), timeout=LONG, on_line=keep)

    assert lines == ["one", "two", "\ufffd three", "last"]


def test_a_child_reads_nothing():
    assert process.run(["cat"], timeout=LONG).output == b""


def test_a_child_cannot_talk_to_systemd_in_our_name(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "@secret")
    monkeypatch.setenv("OTHER", "stays")
    program = "import json, os; print(json.dumps(dict(os.environ)))"

    environment = json.loads(process.run(python(program), timeout=LONG).output)

    assert "NOTIFY_SOCKET" not in environment
    assert environment["OTHER"] == "stays"


def test_what_cannot_be_started_is_a_matter_of_the_configuration(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("no program")
    for path in (tmp_path / "missing", plain, tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            process.run([str(path)], timeout=LONG)


def test_a_child_without_a_sign_of_life_is_ended_with_its_group(tmp_path):
    pids = tmp_path / "pids"
    with pytest.raises(Unavailable, match="stalled"):
        process.run(python(FAMILY, pids), timeout=3 * QUICK, on_line=lambda _line: False)

    wait_until(lambda: not left(pids), seconds=10, what="the group to end")


def test_lines_that_show_no_life_keep_no_child_alive():
    program = """
import sys, time
while True:
    print("stats", file=sys.stderr, flush=True)
    time.sleep(0.01)
"""
    with pytest.raises(Unavailable, match="stalled"):
        process.run(python(program), timeout=QUICK, on_line=lambda _line: False)


def test_lines_that_show_life_do():
    """The child waits for its own lines to be read, for longer than the time without one."""
    program = """
import sys, time
for _ in range(12):
    print("moved", file=sys.stderr, flush=True)
    time.sleep(0.25)
print("whole")
"""
    ended = process.run(python(program), timeout=2.0, on_line=lambda _line: True)

    assert ended.output == b"whole\n"


def test_without_a_reader_of_lines_each_byte_of_output_is_a_sign_of_life():
    """unar names each member on its standard output, and nothing else."""
    program = """
import sys, time
for _ in range(12):
    sys.stdout.write("m")
    sys.stdout.flush()
    time.sleep(0.25)
"""
    ended = process.run(python(program), timeout=2.0)

    assert ended.output == b"m" * 12


def test_without_a_reader_of_lines_silence_is_a_stall(tmp_path):
    pids = tmp_path / "pids"
    with pytest.raises(Unavailable, match="stalled"):
        process.run(python(FAMILY, pids), timeout=3 * QUICK)

    wait_until(lambda: not left(pids), seconds=10, what="the group to end")


def test_a_watch_that_sees_life_keeps_a_silent_child(tmp_path):
    """unar is silent while it writes one large member; the folder grows."""
    grown = tmp_path / "grown"
    grown.write_bytes(b"")
    program = """
import sys, time
for _ in range(8):
    with open(sys.argv[1], "ab") as file:
        file.write(b"x")
    time.sleep(0.5)
print("whole")
"""
    sizes = [0]

    def watch() -> bool:
        sizes.append(grown.stat().st_size)
        return sizes[-1] != sizes[-2]

    ended = process.run(python(program, grown), timeout=2.5, watch=watch)

    assert ended.output == b"whole\n"
    assert sizes[-1] > 2


def test_a_watch_that_sees_no_life_keeps_nobody(tmp_path):
    pids = tmp_path / "pids"
    with pytest.raises(Unavailable, match="stalled"):
        process.run(python(FAMILY, pids), timeout=3 * QUICK, watch=lambda: False)

    wait_until(lambda: not left(pids), seconds=10, what="the group to end")


def test_a_watch_may_end_the_child(tmp_path):
    pids = tmp_path / "pids"

    def watch() -> bool:
        if pids.exists() and len(pids.read_text().split()) == 2:
            raise ActionFailed("too much")
        return True

    with pytest.raises(ActionFailed, match="too much"):
        process.run(python(FAMILY, pids), timeout=LONG, watch=watch)

    wait_until(lambda: not left(pids), seconds=10, what="the group to end")


def test_no_file_grows_beyond_the_limit(tmp_path):
    large, small = tmp_path / "large", tmp_path / "small"
    program = """
import signal, sys, time
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
with open(sys.argv[2], "wb") as file:
    file.write(bytes(1000))
with open(sys.argv[1], "wb", buffering=0) as file:
    for _ in range(100):
        file.write(bytes(1000))
"""
    ended = process.run(python(program, large, small), timeout=LONG, largest_file=5000)

    assert ended.status == -signal.SIGXFSZ
    assert small.stat().st_size == 1000
    assert large.stat().st_size <= 5000
    assert (large.parent / "ours").write_bytes(bytes(9000)) == 9000, "the limit is the child's"


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("RCLONE_CONFIG", True),
        ("RCLONE_CONFIG_DIR", True),
        ("RCLONE_CONFIG_PASS", True),
        ("RCLONE_PASSWORD_COMMAND", True),
        ("RCLONE_CONFIG_B2_ENDPOINT", False),
        ("RCLONE_B2_VERSIONS", False),
        ("RCLONE_DRY_RUN", False),
        ("RCLONE_", False),
        ("HTTPS_PROXY", True),
    ],
)
def test_only_where_its_configuration_lies_may_be_told_to_rclone(name, stays, monkeypatch):
    monkeypatch.setenv(name, "told")
    program = f"import os; print({name!r} in os.environ)"

    assert process.run(python(program), timeout=LONG).output == f"{stays}\n".encode()


@pytest.mark.parametrize("error", [KeyboardInterrupt, Stopped, RuntimeError])
def test_whatever_ends_us_ends_the_group(tmp_path, error):
    pids = tmp_path / "pids"

    def fail(_line: str) -> bool:
        raise error

    with pytest.raises(error):
        process.run(python(FAMILY, pids), timeout=LONG, on_line=fail)

    child = int(pids.read_text().split()[0])
    assert gone(child)
    wait_until(lambda: not left(pids), seconds=10, what="the group to end")


def test_who_ignores_the_first_signal_gets_the_second(tmp_path):
    pids = tmp_path / "pids"
    program = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
print("ready", file=sys.stderr, flush=True)
time.sleep(600)
"""

    def fail(_line: str) -> bool:
        raise Stopped

    with pytest.raises(Stopped):
        process.run(python(program, pids), timeout=LONG, on_line=fail, grace=QUICK)

    assert left(pids) == []


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_second_stop_during_the_grace_time_ends_the_child_too(monkeypatch, tmp_path):
    """Ctrl-C pressed twice: rclone may hang in its clean-up for minutes while B2 is out."""
    pids = tmp_path / "pids"
    program = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: print("got it", file=sys.stderr, flush=True))
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
print("ready", file=sys.stderr, flush=True)
while True:
    time.sleep(600)
"""
    signals = 0

    def again(_number: int, _frame: object) -> None:
        nonlocal signals
        signals += 1
        raise Stopped if signals == 1 else TimeoutError("still waiting for the child")

    def fail(_line: str) -> bool:
        signal.setitimer(signal.ITIMER_REAL, QUICK, 5)
        raise Stopped

    before = signal.signal(signal.SIGALRM, again)
    stuck = False
    try:
        process.run(python(program, pids), timeout=LONG, on_line=fail)
    except Stopped:
        stuck = bool(left(pids))
    except TimeoutError:
        stuck = True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        for pid in left(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
    assert signals > 0
    assert not stuck


def test_what_outlives_its_parent_in_the_group_is_ended_too(tmp_path):
    """The child itself has ended, but what it left behind holds the pipes open."""
    pids = tmp_path / "pids"
    program = """
import subprocess, sys
grandchild = subprocess.Popen(["sleep", "600"])
with open(sys.argv[1], "w") as file:
    file.write(str(grandchild.pid))
"""
    try:
        with pytest.raises(Unavailable, match="stalled"):
            process.run(python(program, pids), timeout=3 * QUICK)
        wait_until(lambda: not left(pids), seconds=5, what="the group to end")
    finally:
        for pid in left(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


# Several side by side


@pytest.mark.parametrize("most", [1, 3, 6, 100])
def test_children_side_by_side_end_in_the_order_of_their_commands(most, tmp_path):
    """Of the first ones each waits for the next; each tells its own output, errors and status."""
    program = """
import os, sys, time
number, most, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
while number + 1 < min(most, 7) and not os.path.exists(f"{folder}/{number + 1}"):
    time.sleep(0.01)
print("out", number)
print("err", number, file=sys.stderr)
open(f"{folder}/{number}", "w").close()
sys.exit(number)
"""
    ended = process.gather(
        [python(program, number, most, tmp_path) for number in range(7)], timeout=LONG, most=most
    )

    assert ended == [
        process.Ended(number, f"out {number}\n".encode(), f"err {number}") for number in range(7)
    ]


def test_no_more_than_allowed_are_under_way(tmp_path):
    # what must not happen cannot be waited for: a fourth has this long to show itself
    program = """
import os, sys, time
own = os.path.join(sys.argv[1], str(os.getpid()))
open(own, "w").close()
time.sleep(0.1)
print(len(os.listdir(sys.argv[1])))
os.unlink(own)
"""
    ended = process.gather([python(program, tmp_path)] * 7, timeout=LONG, most=3)

    assert max(int(one.output) for one in ended) in (1, 2, 3)
    assert process.gather([], timeout=LONG, most=3) == []


def test_side_by_side_all_pipes_are_drained_at_once():
    program = """
import sys
for number in range(20):
    sys.stdout.buffer.write(bytes([number]) * 65536)
    sys.stderr.write("e" * 65536)
"""
    ended = process.gather([python(program)] * 4, timeout=LONG, most=4)

    assert [(one.status, len(one.output), len(one.errors)) for one in ended] == [
        (0, 20 * 65536, 20 * 65536)
    ] * 4


def test_side_by_side_a_signal_that_ended_one_is_its_status():
    commands = [python("import os; os.kill(os.getpid(), 9)"), python("print(1)")]

    assert [one.status for one in process.gather(commands, timeout=LONG, most=2)] == [-9, 0]


def test_side_by_side_one_that_hangs_ends_all_of_them(tmp_path):
    paths = [tmp_path / str(number) for number in range(3)]
    commands = [python(FAMILY, path) for path in paths]
    with pytest.raises(Unavailable, match="stalled"):
        process.gather([*commands, python("print('whole')")], timeout=4 * QUICK, most=4)

    wait_until(lambda: not any(map(left, paths)), seconds=10, what="the groups to end")


def test_side_by_side_one_that_cannot_be_started_ends_the_others(tmp_path):
    pids = tmp_path / "pids"
    with pytest.raises(ConfigError, match="missing"):
        process.gather([python(FAMILY, pids), [str(tmp_path / "missing")]], timeout=LONG, most=2)

    if pids.exists():
        wait_until(lambda: not left(pids), seconds=10, what="the group to end")


def test_a_signal_ends_all_that_run_side_by_side(tmp_path):
    paths = [tmp_path / str(number) for number in range(3)]

    def stop(_number: int, _frame: object) -> None:
        if all(path.exists() and len(path.read_text().split()) == 2 for path in paths):
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Stopped

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(Stopped):
            process.gather([python(FAMILY, path) for path in paths], timeout=LONG, most=3)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    for path in paths:
        assert gone(int(path.read_text().split()[0]))
    wait_until(lambda: not any(map(left, paths)), seconds=10, what="the groups to end")
