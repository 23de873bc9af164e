"""The machine itself: a systemd of its own, off this host, and gone without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mediapipe.testing.loopback import wait_until
from tests.machine import CHECKOUT, children_of

if TYPE_CHECKING:
    from tests.machine import Machine

pytestmark = pytest.mark.real

KILLED = """
import sys, time
from pathlib import Path
from tests.machine import Machine
with Machine(Path(sys.argv[1])) as machine:
    print(machine.pid, flush=True)
    time.sleep(600)
"""


def test_it_runs_services_timers_and_a_journal(machine: Machine) -> None:
    unit = "[Service]\nType=oneshot\nSyslogIdentifier=toy\nExecStart=/bin/echo ticked\n"
    machine.write("/etc/systemd/system/toy.service", unit)
    machine.write("/etc/systemd/system/toy.timer", "[Timer]\nOnActiveSec=10ms\nAccuracySec=1ms\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "toy.timer")
    machine.wait_for(lambda: "ticked" in machine.messages("toy.service"), what="the timer")
    (entry,) = machine.journal(SYSLOG_IDENTIFIER="toy")
    assert entry["_SYSTEMD_UNIT"] == "toy.service"


def test_its_disk_network_and_processes_are_its_own(machine: Machine, tmp_path: Path) -> None:
    machine.write("/etc/only-inside", "x")
    assert machine.read("/etc/only-inside") == "x"
    assert not Path("/etc/only-inside").exists()
    assert not machine.exists(str(tmp_path))
    assert machine.sh("cut -d: -f1 /proc/net/dev | tail -n +3").split() == ["lo"]
    assert machine.sh("cat /proc/1/comm").strip() == "systemd"
    # loopback is up, and this checkout can be run from
    probe = "import socket, mediapipe; socket.create_server(('127.0.0.1', 0)); print('up')"
    assert machine.run(sys.executable, "-c", probe).stdout == "up\n"
    refused = machine.run("touch", str(CHECKOUT / "never"), status=None)
    assert "Read-only" in refused.stderr


def test_a_reboot_keeps_the_disk_and_empties_run(machine: Machine) -> None:
    machine.write("/var/lib/kept", "kept")
    machine.write("/run/forgotten", "forgotten")
    machine.reboot()
    assert machine.read("/var/lib/kept") == "kept"
    assert not machine.exists("/run/forgotten")


def test_a_killed_test_run_takes_its_machine_along(machine: Machine, tmp_path: Path) -> None:
    """The fixture is asked for so that this is skipped where no machine is possible."""
    folder = tmp_path / "machine"
    folder.mkdir()
    command = [sys.executable, "-c", KILLED, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        inside = [pid, *children_of(pid)]
        assert len(inside) > 1
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    wait_until(lambda: not any(Path(f"/proc/{one}").exists() for one in inside),
               seconds=10, what="the machine of the killed run to end")  # fmt: skip
    assert machine.sh("echo alive") == "alive\n"
