"""The mount as systemd runs it: ready when it is, back when it dies, told of uploads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.systemd.box import SHOW, TV

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.systemd.box import MediaBox

pytestmark = pytest.mark.real

MOUNT = "rclone-b2-mount.service"
POINT = "/media/b2"
SHOWN = f"{POINT}/tv/Show/S01E01.mkv"
FLAGS = (
    "[upload]",
    '[rclone.mount]\nvfs_cache_min_free_space = "1M"\ndir_cache_time = "1h"\n\n[upload]',
)
ALERT = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo told of $MONITOR_UNIT'\n"
PLAYER = f"""
[Unit]
BindsTo={MOUNT}
After={MOUNT}
[Service]
ExecStart=/bin/sleep infinity
"""


@pytest.fixture
def mounted(box: MediaBox) -> Iterator[MediaBox]:
    """A box on which a person has done what docs/how-to/mount.md says."""
    machine = box.machine
    machine.sh(f"install -d -o media -g media {POINT}; echo user_allow_other >/etc/fuse.conf")
    # as udev makes it; this host's own is not to be changed
    machine.sh(
        "umount /dev/fuse 2>/dev/null || :; rm -f /dev/fuse; mknod -m 666 /dev/fuse c 10 229"
    )
    box.configure(FLAGS)
    started = machine.run("systemctl", "start", MOUNT, status=None)
    assert started.returncode == 0, machine.messages(MOUNT)
    yield box
    machine.run("pkill", "-CONT", "-x", "rclone", status=None)
    machine.systemctl("stop", MOUNT)


def pid(box: MediaBox) -> int:
    """Give the process of a mount that is up, or 0."""
    about = box.machine.show(MOUNT, "ActiveState", "MainPID")
    return int(about["MainPID"]) if about["ActiveState"] == "active" else 0


def test_it_is_up_when_it_says_so_and_everybody_may_read_and_nobody_its_secrets(
    mounted: MediaBox,
) -> None:
    machine = mounted.machine
    assert machine.sh(f"stat -f -c %T {POINT}") == "fuseblk\n"
    assert machine.run("setpriv", "--reuid=65534", "ls", POINT).returncode == 0
    rclone = pid(mounted)
    assert machine.sh(f"ps -o user=,comm= -p {rclone}").split() == ["media", "rclone"]
    login = json.loads(machine.read("/var/lib/mediapipe/rc.json"))
    assert login["password"] not in machine.sh("ps -eo args; cat /proc/*/environ 2>/dev/null || :")
    modes = machine.sh("stat -c '%U %a' /var/lib/mediapipe/rc.json /run/rclone-b2-mount")
    assert modes.splitlines() == ["media 600", "media 700"]
    assert "CapEff:\t0000000000000000" in machine.read(f"/proc/{rclone}/status")


def test_an_upload_is_shown_at_once(mounted: MediaBox) -> None:
    mounted.machine.run("ls", POINT)
    mounted.add_show()
    assert mounted.start("qbt-upload-b2.service")["Result"] == "success"
    mounted.machine.run("cmp", SHOW, SHOWN)
    told = mounted.machine.messages("qbt-upload-b2.service")
    assert "listener.failed" not in told
    second = f"{TV}/Show/S01E02.mkv"
    mounted.add_show(second)
    assert mounted.start("qbt-upload-b2.service")["Result"] == "success"
    mounted.machine.run("cmp", second, f"{POINT}/tv/Show/S01E02.mkv")


@pytest.mark.parametrize("sign", ["KILL", "STOP"])
def test_it_comes_back_and_what_needs_it_too(sign: str, mounted: MediaBox) -> None:
    machine = mounted.machine
    machine.write("/etc/systemd/system/player.service", PLAYER)
    machine.drop_in(MOUNT, "[Unit]\nUpholds=player.service\n[Service]\nTimeoutStopSec=1s\n")
    machine.systemctl("restart", MOUNT)
    player = machine.wait_for(
        lambda: machine.show("player.service", "MainPID")["MainPID"].strip("0"), what="the player"
    )
    before = pid(mounted)
    # somebody watches: the dead mount is busy
    machine.sh(f"cd {POINT}; sleep 600 >/dev/null 2>&1 &")
    machine.run("kill", f"-{sign}", str(before))
    if sign == "STOP":
        machine.systemctl("restart", "--no-block", MOUNT)

    after = machine.wait_for(
        lambda: pid(mounted) if pid(mounted) != before else 0, what="the mount to come back"
    )

    assert after
    machine.run("timeout", "10", "ls", POINT)
    assert machine.sh(f"grep -c ' {POINT} ' /proc/self/mountinfo") == "1\n"
    machine.wait_for(
        lambda: (
            (now := machine.show("player.service", "MainPID")["MainPID"]) != "0" and now != player
        ),
        what="the player to come back",
    )
    machine.run("pkill", "-x", "sleep", status=None)


def test_an_outage_at_the_start_is_waited_for_and_a_mistake_is_not(mounted: MediaBox) -> None:
    machine = mounted.machine
    machine.write("/etc/systemd/system/mediapipe-alert@.service", ALERT)
    machine.drop_in(MOUNT, "[Service]\nRestartSec=100ms\n")
    machine.systemctl("stop", MOUNT, "b2.service")
    machine.systemctl("start", "--no-block", MOUNT)
    machine.wait_for(
        lambda: int(machine.show(MOUNT, "NRestarts")["NRestarts"]) > 1, what="further tries"
    )
    machine.systemctl("start", "b2.service")
    machine.wait_for(lambda: pid(mounted), what="the mount")

    mounted.configure(FLAGS, ("b2:entertainment-netmount", "b2:entertainment-netmuont"))
    machine.systemctl("restart", MOUNT, status=1)
    about = machine.show(MOUNT, "ActiveState", "ExecMainStatus", "NRestarts")
    assert about == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
    machine.wait_for(
        lambda: f"told of {MOUNT}" in machine.messages(f"mediapipe-alert@{MOUNT}.service"),
        what="the alert",
    )
    mounted.configure(FLAGS)
    machine.systemctl("start", MOUNT)
