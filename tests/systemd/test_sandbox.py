"""What a job can and cannot do in its sandbox, tried from inside it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.machine import CHECKOUT
from tests.systemd.box import COMPLETED, TV

if TYPE_CHECKING:
    from tests.systemd.box import MediaBox

pytestmark = pytest.mark.real

UPLOAD, CLEANUP = "qbt-upload-b2.service", "qbt-cleanup.service"
SANDBOXED = [
    path.name
    for path in sorted((CHECKOUT / "systemd").glob("*.service"))
    if not re.search(r"(?m)^# No sandbox.conf: .", path.read_text())
]

# Each attempt gives "" where it succeeds, else the name of the error.
PROBE = r"""
import ctypes, errno, json, os, socket, stat

def attempt(do, *words):
    try:
        do(*words)
    except OSError as error:
        return errno.errorcode[error.errno]
    return ""

def libc(name, *words):
    if ctypes.CDLL(None, use_errno=True)[name](*words) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

def write(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))

tv, completed = "{tv}", "{completed}"
write(f"{{completed}}/probe")
os.mkdir(f"{{completed}}/folder")
print(json.dumps({{
    "link": attempt(os.link, f"{{completed}}/probe", f"{{tv}}/probe"),
    "rename": attempt(os.rename, f"{{completed}}/folder", f"{{tv}}/folder"),
    "state": attempt(write, os.environ["STATE_DIRECTORY"] + "/probe"),
    "temporary": attempt(write, "/tmp/probe"),
    "/usr": attempt(write, "/usr/probe"),
    "/boot": attempt(write, "/boot/probe"),
    "/etc": attempt(write, "/etc/probe"),
    "others": attempt(write, "/srv/b2/probe"),
    "credentials of others": attempt(os.listdir, "/etc/credstore"),
    "setuid": attempt(os.chmod, f"{{tv}}/probe", 0o4755),
    "namespace": attempt(libc, "unshare", 0x10000000),
    "mount": attempt(libc, "mount", b"x", b"/tmp", b"tmpfs", 0, None),
    "raw": attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "netlink": attempt(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW),
    "devices": sorted(set(os.listdir("/dev")) & {{"null", "urandom", "fuse", "kvm"}}),
    "processes": sorted(p for p in os.listdir("/proc") if p == "1"),
    "temporary files": os.listdir("/tmp"),
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line[:3] == "Cap"],
    "umask": oct(os.umask(0)),
    "user": os.getuid(),
}}))
"""


def told_from_inside(box: MediaBox, unit: str) -> dict[str, Any]:
    """Run the probe in the place of a unit's program."""
    probe = PROBE.format(tv=TV, completed=COMPLETED)
    box.machine.write("/srv/probe.py", probe)
    box.machine.drop_in(
        unit,
        "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nExecStartPre=\nExecStart=\n"
        "ExecStart=/usr/bin/python3 -B /srv/probe.py\n",
    )
    box.machine.run("touch", "/tmp/of-somebody-else")
    box.start(unit)
    told = box.machine.messages(unit)
    (line,) = [one for one in told.splitlines() if one.startswith("{")] or [told]
    return json.loads(line)


@pytest.mark.parametrize("unit", SANDBOXED)
def test_it_may_link_and_rename_and_nothing_that_is_not_its_own(box: MediaBox, unit: str) -> None:
    user = int(box.machine.sh("id -u media"))
    told = told_from_inside(box, unit)
    assert told == {
        "link": "", "rename": "", "state": "", "temporary": "",
        "/usr": "EROFS", "/boot": "EROFS", "/etc": "EROFS", "others": "EACCES",
        "credentials of others": "EACCES",
        "setuid": "EPERM", "namespace": "EPERM", "mount": "EPERM", "raw": "EPERM",
        "netlink": "EAFNOSUPPORT",
        "devices": ["null", "urandom"],
        "processes": [],
        "temporary files": ["probe"],
        "capabilities": ["0" * 16] * 5,
        "umask": "0o2",
        "user": user,
    }  # fmt: skip


def test_an_archive_is_extracted_and_uploaded_in_it(box: MediaBox) -> None:
    box.machine.sh(
        f"cd {COMPLETED} && echo inside >member && python3 -m zipfile -c album.zip member && "
        "rm member && chown media:media album.zip"
    )
    box.machine.systemctl("start", "qbittorrent-nox.service")
    box.machine.run("mediapipe", "wait-for", "qbittorrent")
    assert box.start(UPLOAD)["Result"] == "success"
    (done,) = box.events(job="upload", action="extract")
    assert done["MEDIAPIPE_PATH"] == f"{COMPLETED}/album.zip"
    assert box.machine.exists(f"{COMPLETED}/album.zip.uploaded")


def test_a_library_that_the_sandbox_closes_is_told_with_the_drop_in(box: MediaBox) -> None:
    """The advice is followed word for word, and then it works."""
    shows, films = "/usr/local/media/tv", "/usr/local/media/completed"
    box.machine.sh(f"install -d -o media -g media {shows} {films} {films}/tv")
    changed = ((TV, shows), (COMPLETED, films))
    box.configure(*changed)
    told = box.machine.run("mediapipe", "config", "check")
    assert "warning: the units that we ship may not write to paths.completed" in told.stderr
    assert "ReadWritePaths=/usr/local/media\n" in told.stderr

    box.add_show(f"{shows}/Show/S01E01.mkv")
    assert box.start(UPLOAD)["ExecMainStatus"] == "78"
    (ended,) = box.events(job="upload", outcome="error")
    assert f"read-only for {UPLOAD}" in ended["MESSAGE"]
    assert ended["PRIORITY"] == "3"
    advice = re.search(r"`systemctl edit (\S+)` and write there\n(.*)", ended["MESSAGE"], re.DOTALL)
    assert advice is not None
    box.machine.drop_in(advice[1], re.sub(r" planned=.*", "", advice[2]))
    assert box.start(UPLOAD)["Result"] == "success"
    assert box.machine.exists(f"{shows}/Show/S01E01.mkv.uploaded")
    box.machine.sh("rm -rf /usr/local/media")


def test_a_unit_says_nothing_to_systemd_that_could_touch_a_hung_mount() -> None:
    """Conditions on paths are looked at by PID 1 itself: on a dead FUSE mount it hangs for good."""
    for path in sorted((CHECKOUT / "systemd").iterdir()):
        text = path.read_text() if path.suffix in (".service", ".timer", ".path") else ""
        keys = re.findall(
            r"(?m)^(Condition\w*|Assert\w*|RequiresMountsFor|WorkingDirectory)=", text
        )
        assert keys == [], path.name


def test_every_service_tells_of_its_failure() -> None:
    for path in sorted((CHECKOUT / "systemd").glob("*.service")):
        line = "\nOnFailure=mediapipe-alert@%n.service\n" in path.read_text()
        assert line == (path.name != "mediapipe-alert@.service"), path.name


def test_a_drop_in_of_the_owner_wins_over_the_sandbox(box: MediaBox) -> None:
    box.machine.drop_in(CLEANUP, "[Service]\nProtectSystem=no\n")
    assert box.machine.show(CLEANUP, "ProtectSystem") == {"ProtectSystem": "no"}
    assert box.machine.show(UPLOAD, "ProtectSystem") == {"ProtectSystem": "full"}
