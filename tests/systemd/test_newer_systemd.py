"""The same units in Debian 13, by its own `make install`: systemd 257 and another Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.machine import CHECKOUT, Machine, why_impossible
from tests.systemd.box import SHOW, TV, MediaBox
from tests.systemd.probe import SANDBOXED, allowed, told_from_inside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.real, pytest.mark.soak]

PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,make,ca-certificates,procps"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
UPLOAD = "qbt-upload-b2.service"
# In a mount namespace of its own, so that nothing is left mounted here.
MAKE_INSTALL = (
    'mount --make-rprivate / && mount -t proc proc "$1/proc" && exec chroot "$1" make -C /src'
)


def prepare(root: Path) -> None:
    """Make a Debian 13, and install there from a copy of this checkout, over the network."""
    debootstrap = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "trixie", str(root)]
    made = subprocess.run(debootstrap, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"NO SYSTEMD 257 WAS TESTED: no Debian 13 to be had:\n{made.stdout[-1000:]}")
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, capture_output=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, files.split(b"\0")):
        source, target = CHECKOUT / os.fsdecode(name), root / "src" / os.fsdecode(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    # a network that ends TLS has certificates of its own
    shutil.copy(CERTIFICATES, root / CERTIFICATES[1:])
    settings = {k: v for k, v in os.environ.items() if k in ("PIP_INDEX_URL", "https_proxy")}
    settings |= {"PATH": os.environ["PATH"], "HOME": "/root", "PIP_CERT": CERTIFICATES}
    subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{MAKE_INSTALL} install", "sh", str(root)],
        env=settings, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if reason := why_impossible():
        pytest.skip(f"NO SYSTEMD WAS TESTED: {reason}")
    if shutil.which("debootstrap") is None:
        pytest.skip("NO SYSTEMD 257 WAS TESTED: debootstrap is not installed")
    root = tmp_path_factory.mktemp("debian") / "root"
    prepare(root)
    with Machine(tmp_path_factory.mktemp("machine"), root=str(root), shared=()) as machine:
        machine.run("systemd-sysusers", "/usr/local/lib/sysusers.d/mediapipe.conf")
        machine.run("systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/mediapipe.conf")
        yield machine
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def _box(newer: Machine) -> MediaBox:
    box = MediaBox(newer, "/usr/local/lib/mediapipe/bin/python")
    box.set_up()
    return box


@pytest.fixture
def box(_box: MediaBox) -> Iterator[MediaBox]:
    yield _box
    _box.reset()


def test_it_is_a_newer_systemd_without_complaints_about_our_units(box: MediaBox) -> None:
    version = int(box.machine.systemctl("--version").split()[1])
    assert version >= 257
    units = "/usr/local/lib/systemd/system"
    told = box.machine.run(
        "sh", "-c", f"systemd-analyze verify --man=no {units}/*.service {units}/*.timer"
    )
    assert told.stdout + told.stderr == ""
    for unit in SANDBOXED:
        words = ("security", "--offline=true", "--threshold=20", "--no-pager", unit)
        box.machine.run("systemd-analyze", *words)


def test_the_timer_uploads_before_and_after_a_reboot(box: MediaBox) -> None:
    machine = box.machine
    often = "[Timer]\nOnBootSec=\nOnUnitInactiveSec=\nOnActiveSec=10ms\nOnUnitInactiveSec=300ms\n"
    machine.drop_in("qbt-upload-b2.timer", often)
    machine.drop_in(UPLOAD, "[Unit]\nStartLimitIntervalSec=0\n")
    machine.systemctl("enable", "--now", "qbt-upload-b2.timer")
    for path in (SHOW, f"{TV}/Show/S01E02.mkv"):
        box.wait_for_b2()
        box.add_show(path)
        machine.wait_for(partial(machine.exists, f"{path}.uploaded"), what=f"{path} to go up")
        machine.reboot()
    assert box.machine.show(UPLOAD, "Result") == {"Result": "success"}


@pytest.mark.parametrize("unit", SANDBOXED)
def test_the_sandbox_is_the_same(box: MediaBox, unit: str) -> None:
    assert told_from_inside(box, unit) == allowed(box, unit)


def test_uninstall_takes_all_away(newer: Machine) -> None:
    """The last one: nothing is installed after it."""
    assert newer.exists("/usr/local/share/man/man1/qbt-upload-b2.1")
    newer.systemctl("enable", "qbt-upload-b2.timer")
    newer.write("/etc/mediapipe/config.toml", "# mine\n")
    newer.run("make", "-C", "/src", "uninstall")
    left = newer.sh("find /usr /etc -name '*qbt-*' -o -name '*mediapipe*'").split()
    assert sorted(left) == ["/etc/mediapipe"]
    assert newer.read("/etc/mediapipe/config.toml") == "# mine\n"
