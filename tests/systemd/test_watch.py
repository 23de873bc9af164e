"""The watcher and the trigger under a real systemd."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.machine import Machine

pytestmark = pytest.mark.real

WATCH, UPLOAD, TRIGGER = "mediapipe-watch.service", "qbt-upload-b2.service", "qbt-upload-b2.path"
ALERT = "mediapipe-alert@.service"
STATE = "/var/lib/mediapipe"
CONFIG = """
[paths]
completed = "/srv/watch/downloads"
extracted = "/srv/watch/extracted"
[categories]
tv = "/srv/watch/downloads/tv"
[libraries.tv]
root = "/srv/watch/tv"
remote = "tv"
category = "tv"
[rclone]
remote = "nowhere:bucket"
"""
FOLDERS = "mkdir -p /srv/watch/tv /srv/watch/downloads/tv && chown -R media:media /srv/watch"


@pytest.fixture
def box(installed: Machine) -> Iterator[Machine]:
    """The machine with folders, a configuration, and the trigger's unit started."""
    installed.write("/etc/mediapipe/config.toml", CONFIG)
    installed.sh(FOLDERS)
    # the upload fails here, for want of a remote: nobody is to be told
    installed.systemctl("mask", "--runtime", ALERT)
    installed.systemctl("start", TRIGGER)
    yield installed
    installed.systemctl("stop", WATCH, TRIGGER, UPLOAD)
    installed.systemctl("unmask", "--runtime", ALERT)
    installed.systemctl("reset-failed")
    installed.sh(f"rm -rf /srv/watch {STATE}/* /etc/mediapipe/config.toml")


def runs(machine: Machine) -> int:
    """Count how often the upload was started."""
    started = machine.journal(UNIT=UPLOAD, MESSAGE_ID="7d4958e842da4a758f6c1cdc7b36dcc5")
    return len(started)


def quiet(machine: Machine) -> int:
    """Wait until every trigger is taken; gives the runs so far."""
    machine.wait_for(
        lambda: (
            not machine.sh(f"ls {STATE}/upload.d").strip()
            and machine.show(UPLOAD, "ActiveState")["ActiveState"] in ("inactive", "failed")
        ),
        what="the trigger to be taken",
    )
    return runs(machine)


def test_a_link_into_a_library_starts_the_upload(box: Machine) -> None:
    box.systemctl("start", WATCH)
    assert "/srv/watch/tv: watched, 1 folders" in box.show(WATCH, "StatusText")["StatusText"]
    before = quiet(box)
    box.sh("echo film >/srv/watch/downloads/tv/a.mkv; mkdir /srv/watch/tv/Show")
    box.sh("ln /srv/watch/downloads/tv/a.mkv /srv/watch/tv/Show/a.mkv")
    box.wait_for(lambda: runs(box) > before, what="the upload")
    quiet(box)
    assert box.show(TRIGGER, "ActiveState")["ActiveState"] == "active"
    assert box.show(WATCH, "User", "NRestarts") == {"User": "media", "NRestarts": "0"}


def test_a_stopped_watcher_is_restarted_by_the_watchdog(box: Machine) -> None:
    box.drop_in(WATCH, "[Service]\nWatchdogSec=1s\nRestartSec=100ms\n")
    box.systemctl("start", WATCH)
    pid = box.show(WATCH, "MainPID")["MainPID"]
    box.run("kill", "-STOP", pid)
    box.wait_for(
        lambda: (
            box.show(WATCH, "ActiveState", "NRestarts")
            == {"ActiveState": "active", "NRestarts": "1"}
        ),
        what="the restart",
    )
    assert box.show(WATCH, "MainPID")["MainPID"] != pid
    box.drop_in(WATCH, "")


def test_a_reload_keeps_it_running(box: Machine) -> None:
    box.systemctl("start", WATCH)
    pid = box.show(WATCH, "MainPID")["MainPID"]
    box.sh("mkdir /srv/watch/more && chown media: /srv/watch/more")
    more = '[libraries.more]\nroot = "/srv/watch/more"\nremote = "more"\n'
    box.write("/etc/mediapipe/config.toml", CONFIG + more)
    box.systemctl("reload", WATCH)
    box.wait_for(
        lambda: "/srv/watch/more: watched" in box.show(WATCH, "StatusText")["StatusText"],
        what="the new library",
    )
    assert box.show(WATCH, "MainPID")["MainPID"] == pid


def test_a_configuration_that_is_wrong_ends_it_without_a_loop(box: Machine) -> None:
    box.write("/etc/mediapipe/config.toml", "[nonsense]\n")
    box.systemctl("start", WATCH, status=None)
    shown = box.show(WATCH, "ActiveState", "NRestarts", "ExecMainStatus")
    assert shown == {"ActiveState": "failed", "NRestarts": "0", "ExecMainStatus": "78"}


def test_a_dead_mount_stops_only_its_own_root(box: Machine) -> None:
    box.sh("mkdir -p /srv/watch/far /srv/watch/source && chown media: /srv/watch/far")
    command = ["/usr/local/lib/mediapipe/bin/rclone", "mount", "/srv/watch/source",
               "/srv/watch/far", "--allow-other", "--config", "/dev/null",
               "--attr-timeout", "0"]  # fmt: skip
    box.start_program("far", *command)
    try:
        box.wait_for(
            lambda: box.run("mountpoint", "-q", "/srv/watch/far", status=None).returncode == 0,
            what="the mount",
        )
        far = '[libraries.far]\nroot = "/srv/watch/far/library"\nremote = "far"\n'
        box.write("/etc/mediapipe/config.toml", CONFIG + far)
        box.systemctl("kill", "--signal=STOP", "far")
        box.systemctl("start", WATCH)
        text = box.show(WATCH, "StatusText")["StatusText"]
        assert "/srv/watch/far/library: does not answer; the timers look at it" in text
        # the upload that was asked for at the start hangs there, too, and takes no trigger
        box.sh(f"rm -f {STATE}/upload.d/watch && echo film >/srv/watch/tv/a.mkv")
        box.wait_for(lambda: box.exists(f"{STATE}/upload.d/watch"), what="the trigger")
        assert box.show(WATCH, "NRestarts")["NRestarts"] == "0"
    finally:
        box.systemctl("kill", "--signal=CONT", "far")
        box.systemctl("stop", WATCH)
        box.systemctl("stop", "far", status=None)
        # rclone leaves a mount that somebody still looks at, such as that upload
        box.run("umount", "--lazy", "/srv/watch/far", status=None)


def test_a_poisoned_trigger_leaves_the_path_unit_alive(box: Machine) -> None:
    box.systemctl("start", UPLOAD, status=None)
    box.sh(f"mkdir {STATE}/upload.d/poison && touch {STATE}/upload.d/poison/file")
    box.wait_for(
        lambda: box.exists(f"{STATE}/upload.d.bad-1/poison/file"), what="the poison to go aside"
    )
    before = quiet(box)
    box.sh(f"touch {STATE}/upload.d/arr-0")
    box.wait_for(lambda: runs(box) > before, what="the next run")
    quiet(box)
    assert box.show(TRIGGER, "ActiveState")["ActiveState"] == "active"


def test_a_storm_of_imports_leaves_the_path_unit_alive(box: Machine) -> None:
    box.systemctl("start", UPLOAD, status=None)
    hook = "/usr/local/share/mediapipe/arr-import-hook.sh"
    for _ in range(12):
        box.sh(f"sonarr_eventtype=Download {hook}")
        box.wait_for(lambda: not box.sh(f"ls {STATE}/upload.d").strip(), what="a run")
    quiet(box)
    assert box.show(TRIGGER, "ActiveState")["ActiveState"] == "active"
    assert box.show(UPLOAD, "Result")["Result"] != "start-limit-hit"


def test_the_group_may_ask_and_others_may_not(box: Machine) -> None:
    box.systemctl("start", UPLOAD, status=None)
    box.run("useradd", "--system", "--groups", "media", "sonarr", status=None)
    ask = f"touch {STATE}/upload.d/x"
    before = quiet(box)
    box.run("setpriv", "--reuid=sonarr", "--regid=sonarr", "--init-groups", "sh", "-c", ask)
    box.wait_for(lambda: runs(box) > before, what="the upload")
    stranger: subprocess.CompletedProcess[str] = box.run(
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", ask, status=None
    )
    assert "Permission denied" in stranger.stderr
