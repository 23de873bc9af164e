"""Failures, outages and recoveries as people hear of them, under a real systemd."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.machine import Machine

pytestmark = pytest.mark.real

TOY, UPLOAD = "toy.service", "qbt-upload-b2.service"
PYTHON = "/usr/local/lib/mediapipe/bin/python"
TAKEN = "/srv/alerts/taken"
CONFIG = '[notify]\nurls_file = "notify-urls"\n'
RECEIVER = f"""
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open("{TAKEN}", "ab") as file:
            file.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\\n")
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 8123), Handler).serve_forever()
"""
FAILING = """
[Unit]
OnFailure=mediapipe-alert@%n.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'echo line 1; echo line 2; test -e /srv/alerts/mended || exit 3'
"""


@pytest.fixture
def box(installed: Machine) -> Iterator[Machine]:
    """The machine with somebody who listens, and a unit that fails until it is mended."""
    installed.write("/etc/mediapipe/config.toml", CONFIG)
    installed.write("/etc/credstore/notify-urls", "json://127.0.0.1:8123/secret\n", mode=0o600)
    installed.write("/etc/systemd/system/toy.service", FAILING)
    installed.sh(f"mkdir -p /srv/alerts && : >{TAKEN}")
    installed.systemctl("daemon-reload")
    installed.start_program("receiver", PYTHON, "-c", RECEIVER)
    yield installed
    installed.systemctl("stop", "receiver", TOY, status=None)
    installed.systemctl("reset-failed")
    installed.run("rm", "-rf", "/srv/alerts", "/etc/mediapipe/config.toml",
                  "/etc/credstore/notify-urls", "/etc/systemd/system/toy.service")  # fmt: skip
    installed.sh("rm -rf /var/lib/mediapipe/* /run/mediapipe-alert/*")
    installed.systemctl("daemon-reload")


def taken(box: Machine) -> list[dict[str, Any]]:
    """Give what people were sent."""
    return [json.loads(line) for line in box.read(TAKEN).splitlines()]


def titles(box: Machine) -> list[str]:
    return [one["title"].removeprefix("machine: ") for one in taken(box)]


def alert_of(box: Machine, unit: str) -> str:
    """Wait until the alert of a unit has ended; gives its log."""
    name = f"mediapipe-alert@{unit}.service"
    box.wait_for(
        lambda: (
            box.journal(UNIT=name, MESSAGE_ID="39f53479d3a045ac8e11786248231fbf")
            and box.show(name, "ActiveState")["ActiveState"] == "inactive"
        ),
        what=f"the alert of {unit}",
    )
    return box.messages(name)


def fail(box: Machine) -> None:
    """Let the toy fail, and its alert end."""
    name = f"mediapipe-alert@{TOY}.service"
    done = {"UNIT": name, "MESSAGE_ID": "39f53479d3a045ac8e11786248231fbf"}
    before = len(box.journal(**done))
    box.systemctl("start", TOY, status=1)
    box.wait_for(lambda: len(box.journal(**done)) > before, what="the alert")


def test_a_failure_is_told_once_a_day_and_its_end_once(box: Machine) -> None:
    fail(box)
    fail(box)
    (failure,) = taken(box)
    assert failure["title"] == f"machine: {TOY} failed"
    assert failure["type"] == "failure"
    assert "exit status 3: some actions failed" in failure["message"]
    lines = [line.partition("]: ")[2] for line in failure["message"].splitlines()]
    assert lines.index("line 1") < lines.index("line 2")
    box.systemctl("start", "mediapipe-alert.service")
    assert len(taken(box)) == 1
    box.sh("touch /srv/alerts/mended")
    box.systemctl("start", TOY)
    box.systemctl("start", "mediapipe-alert.service")
    box.systemctl("start", "mediapipe-alert.service")
    assert titles(box) == [f"{TOY} failed", f"{TOY} works again"]
    (entry,) = [one for one in box.journal(SYSLOG_IDENTIFIER="mediapipe-alert", PRIORITY="3")
                if "toy" in str(one["MESSAGE"])]  # fmt: skip
    assert "line 2" in entry["MESSAGE"]
    assert "secret" not in box.messages("mediapipe-alert*")


def test_an_alert_waits_for_a_journal_that_lags_behind(box: Machine) -> None:
    name = f"mediapipe-alert@{TOY}.service"
    box.systemctl("kill", "--signal=STOP", "systemd-journald")
    try:
        box.systemctl("start", TOY, status=1)
        box.wait_for(
            lambda: (
                box.sh("grep -ls -e '[-]-sync' /proc/[0-9]*/cmdline || true")
                or box.show(name, "ActiveState")["ActiveState"] == "inactive"
            ),
            what="the alert, or its question",
        )
    finally:
        box.systemctl("kill", "--signal=CONT", "systemd-journald")
    alert_of(box, TOY)
    assert "line 2" in taken(box)[0]["message"]


def test_a_job_with_a_broken_configuration_is_told(box: Machine) -> None:
    box.write("/etc/mediapipe/config.toml", CONFIG + "[nonsense]\n")
    box.systemctl("start", UPLOAD, status=1)
    alert_of(box, UPLOAD)
    assert titles(box) == [f"{UPLOAD} failed"]
    assert "exit status 78" in taken(box)[0]["message"]
    assert "nonsense" in taken(box)[0]["message"]


def test_a_test_message_can_be_asked_for_and_who_is_not_reached_is_named(box: Machine) -> None:
    box.systemctl("start", "mediapipe-alert@test.service")
    assert titles(box) == ["a test"]
    box.systemctl("stop", "receiver")
    box.systemctl("start", "mediapipe-alert@test.service")
    said = box.messages("mediapipe-alert@test.service")
    assert "not reached: line 1 (json)" in said
    assert "secret" not in said
    name = "mediapipe-alert@test.service"
    assert box.show(name, "Result", "ExecMainStatus")["Result"] == "success"


def test_an_alert_that_fails_alerts_nobody(box: Machine) -> None:
    box.write("/etc/credstore/notify-urls", "nonsense://secret\n", mode=0o600)
    fail_of = f"mediapipe-alert@{TOY}.service"
    box.systemctl("start", TOY, status=1)
    box.wait_for(
        lambda: box.show(fail_of, "ActiveState")["ActiveState"] == "failed", what="the alert"
    )
    assert "line 1 (nonsense): no URL that apprise knows" in box.messages(fail_of)
    assert box.journal(UNIT=f"mediapipe-alert@{fail_of}.service") == []
