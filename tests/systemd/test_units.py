"""The units as systemd runs them: timers, order, exit statuses, journal, stop, reboot."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.systemd.box import COMPLETED, SHOW, TV

if TYPE_CHECKING:
    from tests.systemd.box import MediaBox

pytestmark = pytest.mark.real

ALERT = """
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo told of $MONITOR_UNIT: $MONITOR_SERVICE_RESULT $MONITOR_EXIT_STATUS'
"""
OFTEN = "[Timer]\nOnBootSec=\nOnUnitInactiveSec=\nOnActiveSec=10ms\nOnUnitInactiveSec=300ms\n"
UNLIMITED = "[Unit]\nStartLimitIntervalSec=0\n"
UPLOAD, CLEANUP, CATEGORIES = (
    "qbt-upload-b2.service",
    "qbt-cleanup.service",
    "qbt-categories.service",
)


def alerts(box: MediaBox, unit: str) -> list[str]:
    told = box.machine.journal(f"mediapipe-alert@{unit}.service", SYSLOG_IDENTIFIER="sh")
    return [one["MESSAGE"] for one in told]


def refused(box: MediaBox, unit: str) -> bool:
    return "78/CONFIG" in box.machine.messages(unit)


def test_an_upload_runs_as_the_service_user_with_its_credential(box: MediaBox) -> None:
    box.add_show()
    assert box.start(UPLOAD)["Result"] == "success"
    told = box.machine.sh(f"stat -c '%U %G %a' {SHOW}.uploaded")
    assert told.split() == ["media", "media", "664"]
    (done,) = box.events(job="upload", action="upload", path=SHOW)
    assert done["PRIORITY"] == "6"
    assert done["SYSLOG_IDENTIFIER"] == "qbt-upload-b2"
    assert done["_SYSTEMD_UNIT"] == UPLOAD
    assert done["_SYSTEMD_SLICE"] == "mediapipe.slice"
    assert box.events(job="upload", outcome="done")


def test_timers_start_the_jobs_again_and_again_and_after_a_reboot(box: MediaBox) -> None:
    machine = box.machine
    machine.drop_in("qbt-upload-b2.timer", OFTEN)
    machine.drop_in(UPLOAD, UNLIMITED)
    machine.systemctl("enable", "--now", "qbt-upload-b2.timer")
    box.add_show()
    marker = f"{SHOW}.uploaded"
    machine.wait_for(lambda: machine.exists(marker), what="the first upload by the timer")
    machine.reboot()
    box.wait_for_b2()
    assert machine.systemctl("is-active", "qbt-upload-b2.timer") == "active\n"
    second = f"{TV}/Show/S01E02.mkv"
    box.add_show(second)
    machine.wait_for(
        lambda: machine.exists(f"{second}.uploaded"), what="an upload after the reboot"
    )
    assert machine.exists(marker)


def test_the_timers_wait_as_long_as_they_say(box: MediaBox) -> None:
    box.machine.systemctl("start", "qbt-upload-b2.timer", "qbt-cleanup.timer")
    told = box.machine.systemctl("show", "qbt-upload-b2.timer", "--property=TimersMonotonic")
    assert "OnBootUSec=1min" in told
    assert "OnUnitInactiveUSec=2min" in told
    told = box.machine.systemctl("show", "qbt-cleanup.timer", "--property=TimersMonotonic")
    assert "OnBootUSec=5min" in told
    assert "OnUnitInactiveUSec=10min" in told


def test_categories_wait_for_qbittorrent_to_answer(box: MediaBox) -> None:
    """It is started first, and qBittorrent's process answers only seconds after its start."""
    machine = box.machine
    machine.systemctl("start", "--no-block", CATEGORIES)
    machine.wait_for(
        lambda: machine.show(CATEGORIES, "ActiveState")["ActiveState"] == "activating",
        what="categories to wait",
    )
    machine.systemctl("start", "qbittorrent-nox.service")
    machine.wait_for(
        lambda: machine.show(CATEGORIES, "ActiveState")["ActiveState"] == "inactive",
        what="categories to end",
    )
    assert machine.show(CATEGORIES, "Result")["Result"] == "success"
    (made,) = box.events(job="categories", action="create-category")
    assert made["MEDIAPIPE_PATH"] == f"{COMPLETED}/tv"
    # with qBittorrent comes whoever installed it: categories are declared whenever it starts
    machine.systemctl("enable", CATEGORIES)
    assert CATEGORIES in machine.show("qbittorrent-nox.service", "Wants")["Wants"]


def test_categories_are_tried_again_where_qbittorrent_does_not_answer(box: MediaBox) -> None:
    machine = box.machine
    machine.write("/etc/systemd/system/mediapipe-alert@.service", ALERT)
    machine.drop_in(
        CATEGORIES,
        "[Unit]\nStartLimitBurst=3\n[Service]\nRestartSec=100ms\nExecStart=\n"
        "ExecStart=/usr/local/bin/qbt-categories --wait 0s\n",
    )
    machine.run("systemctl", "start", "--no-block", CATEGORIES)
    machine.wait_for(lambda: alerts(box, CATEGORIES), what="the alert after the last try")
    assert len(box.events(job="categories", outcome="unavailable")) == 3
    assert len(alerts(box, CATEGORIES)) == 1


def test_an_outage_is_no_failure_and_a_mistake_is_one_without_restarts(box: MediaBox) -> None:
    machine = box.machine
    machine.write("/etc/systemd/system/mediapipe-alert@.service", ALERT)
    machine.systemctl("daemon-reload")
    box.machine.sh(f"echo x >{COMPLETED}/download; chown media {COMPLETED}/download")
    away = box.start(CLEANUP)
    assert away["Result"] == "success"
    assert box.events(job="cleanup", outcome="unavailable")
    assert alerts(box, CLEANUP) == []

    box.configure(("[paths]", "[pahts]"))
    for unit in (CATEGORIES, UPLOAD, CLEANUP):
        ended = box.start(unit)
        assert ended == {
            "Result": "exit-code", "ExecMainStatus": "78",
            "ActiveState": "failed", "NRestarts": "0",
        }, unit  # fmt: skip
        machine.wait_for(partial(alerts, box, unit), what="the alert")
        assert alerts(box, unit) == [f"told of {unit}: exit-code 78"]
    told = [one for one in machine.journal(UPLOAD) if "pahts" in str(one["MESSAGE"])]
    assert {one["PRIORITY"] for one in told} == {"3"}


def test_a_trigger_and_a_wrong_configuration_start_no_loop(box: MediaBox) -> None:
    """A .path unit starts its job while there is a file: it must be taken, or take its time."""
    machine = box.machine
    box.configure(("[paths]", "[pahts]"))
    for unit, folder in (("qbt-upload-b2", "upload.d"), ("sab-postprocess", "sabnzbd")):
        place = f"/var/lib/mediapipe/{folder}"
        machine.sh(f"install -d -o media -g media {place} && install -o media /dev/null {place}/x")
        machine.systemctl("start", f"{unit}.path")
        machine.wait_for(partial(refused, box, f"{unit}.service"), what=unit)
    assert not machine.exists("/var/lib/mediapipe/upload.d/x")
    told = machine.show("sab-postprocess.service", "SubState", "ExecMainStatus")
    assert told == {"SubState": "stop-post", "ExecMainStatus": "78"}

    box.configure(("[upload]", f'[sabnzbd]\nhost_complete_dir = "{COMPLETED}"\n\n[upload]'))
    waits = ("kill", "--signal=KILL", "sab-postprocess.service")
    machine.systemctl(*waits)
    machine.wait_for(
        lambda: not machine.exists("/var/lib/mediapipe/sabnzbd/x"), what="the file to be taken"
    )
    assert machine.systemctl("is-active", "sab-postprocess.path", "qbt-upload-b2.path") == (
        "active\nactive\n"
    )
    machine.systemctl(*waits, status=None)


def test_a_file_in_the_spool_and_a_history_that_cannot_be_opened_start_no_loop(
    box: MediaBox,
) -> None:
    """The file stays until a person has mended that: it must not take a processor for itself."""
    machine = box.machine
    box.configure(("[upload]", f'[sabnzbd]\nhost_complete_dir = "{COMPLETED}"\n\n[upload]'))
    place = "/var/lib/mediapipe/sabnzbd"
    machine.sh(f"install -d -o media -g media {place} /var/lib/mediapipe/history.db")
    machine.sh(f"install -o media /dev/null {place}/x")
    machine.systemctl("start", "sab-postprocess.path")
    unit = "sab-postprocess.service"
    machine.wait_for(
        lambda: machine.show(unit, "ExecMainStatus") == {"ExecMainStatus": "78"}, what="78"
    )
    machine.sh("sleep 1")
    assert machine.show(unit, "SubState") == {"SubState": "stop-post"}

    machine.sh("rmdir /var/lib/mediapipe/history.db")
    waits = ("kill", "--signal=KILL", unit)
    machine.systemctl(*waits)
    machine.wait_for(lambda: not machine.exists(f"{place}/x"), what="the file to be taken")
    machine.systemctl("stop", "sab-postprocess.path")
    machine.systemctl(*waits, status=None)


def test_a_stopped_upload_leaves_nothing_half_and_goes_on_later(box: MediaBox) -> None:
    machine = box.machine
    box.configure(('settle = "0s"', 'settle = "0s"\nbandwidth = "256k"'))
    box.add_show(kib=8192)
    machine.systemctl("start", "--no-block", UPLOAD)
    status = machine.wait_for(
        lambda: next((text for text in [machine.show(UPLOAD, "StatusText")["StatusText"]]
                      if text.startswith("Uploading 0 of 1") and " 0 %" not in text), ""),
        what="bytes to move",
    )  # fmt: skip
    assert "S01E01.mkv" in status
    assert "rclone" in machine.systemctl("status", UPLOAD, status=None)
    machine.systemctl("stop", UPLOAD)
    assert "SIGKILL" not in machine.messages(UPLOAD)
    assert "rclone" not in machine.sh("cat /proc/[0-9]*/comm 2>/dev/null || true").split()
    assert not machine.exists(f"{SHOW}.uploaded")
    (ended,) = box.events(job="upload", outcome="unavailable")
    assert "stopped by a signal" in ended["MESSAGE"]
    assert machine.show(UPLOAD, "ActiveState", "Result") == {
        "ActiveState": "inactive", "Result": "success",
    }  # fmt: skip

    box.configure()
    assert box.start(UPLOAD)["Result"] == "success"
    assert machine.exists(f"{SHOW}.uploaded")


def test_logs_shows_the_jobs_words_and_systemds(box: MediaBox) -> None:
    box.add_show()
    box.start(UPLOAD)
    box.start(CLEANUP)
    told = box.machine.run("mediapipe", "logs", "upload", "--since", "5m").stdout
    assert "action.done" in told
    assert "Starting" in told
    assert "qbt-cleanup" not in told
    both = box.machine.run("mediapipe", "logs").stdout
    assert "qbt-cleanup" in both
    assert "qbt-upload-b2" in both
    box.machine.start_program("follower", "sh", "-c", "mediapipe logs -f upload >/run/followed")
    box.machine.wait_for(
        lambda: "action.done" in box.machine.read("/run/followed"), what="the last lines"
    )
    entry = b"MESSAGE=told just now\nMEDIAPIPE_JOB=upload\n"
    box.machine.run("logger", "--journald", stdin=entry)
    box.machine.wait_for(
        lambda: "told just now" in box.machine.read("/run/followed"), what="the line to arrive"
    )
    box.machine.systemctl("stop", "follower")
