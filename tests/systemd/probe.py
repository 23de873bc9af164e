"""A program that tries, in the place of a unit's own, what the unit's sandbox lets it do."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.machine import CHECKOUT
from tests.systemd.box import B2_PORT, COMPLETED, PYTHON, TV

if TYPE_CHECKING:
    from tests.systemd.box import MediaBox

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
        return errno.errorcode.get(error.errno, "timeout")
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
    "reaches others": not attempt(socket.create_connection, ("127.0.0.1", {port}), 2),
    "user": os.getuid(),
}}))
"""


def told_from_inside(box: MediaBox, unit: str) -> dict[str, Any]:
    """Run the probe in the place of a unit's program."""
    probe = PROBE.format(tv=TV, completed=COMPLETED, port=B2_PORT)
    box.machine.write("/srv/probe.py", probe)
    box.machine.drop_in(
        unit,
        "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\n"
        "ExecStartPre=\nExecStartPost=\nExecStop=\nExecStopPost=\nExecStart=\n"
        f"ExecStart={PYTHON} -B /srv/probe.py\n",
    )
    box.machine.run("touch", "/tmp/of-somebody-else")
    instance = unit.replace("@.", "@probe.")
    box.start(instance)
    told = box.machine.messages(instance)
    (line,) = [one for one in told.splitlines() if one.startswith("{")] or [told]
    return json.loads(line)


def allowed(box: MediaBox, unit: str) -> dict[str, Any]:
    """Give what the probe has to tell: nothing but `IPAddressDeny=` differs between units."""
    closed = "IPAddressDeny=any" in (CHECKOUT / "systemd" / unit).read_text()
    return {
        "link": "", "rename": "", "state": "", "temporary": "",
        "/usr": "EROFS", "/boot": "EROFS", "/etc": "EROFS", "others": "EACCES",
        "credentials of others": "EACCES",
        "setuid": "EPERM", "namespace": "EPERM", "mount": "EPERM", "raw": "EPERM",
        "netlink": "EAFNOSUPPORT",
        "devices": ["null", "urandom"],
        "processes": [],
        "temporary files": ["probe"],
        "capabilities": ["0" * 16] * 5,
        "reaches others": not closed,
        "user": int(box.machine.sh("id -u media")),
    }  # fmt: skip
