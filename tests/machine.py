"""A real systemd as PID 1 of a machine of its own, inside this one and in about a second.

The machine has its own processes, mounts, cgroups, host name and network (loopback alone). Its
disk is a throw-away layer over the root of this host (or over another tree): it sees the programs
that are installed here, and nothing that it writes is left. See `machine.sh` for how it is made.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from mediapipe.testing.loopback import spawn, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCRIPT = Path(__file__).with_suffix(".sh")
CHECKOUT = SCRIPT.parent.parent
SHARED = (str(CHECKOUT), sys.base_prefix)
"""May lie on another file system than the root, and below folders that only root may enter."""
BOOT_SECONDS = 60.0
PATIENCE = 60.0
"""Seconds that a condition may take before a test gives it up."""
PROGRAMS = ("unshare", "nsenter", "setpriv", "pivot_root", "mount", "systemctl", "journalctl")
NAMESPACES = ("--mount", "--pid", "--fork", "--cgroup", "--uts", "--ipc", "--net")
TRIAL = """
mount --make-rprivate /
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /mnt
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/all
mount -t overlay trial -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/all
"""
BOOTED = ("running", "degraded")

T = TypeVar("T")
_numbers = count()


class MachineError(RuntimeError):
    """The machine could not be booted or ended; the text holds what it said."""


def why_impossible() -> str:
    """Tell what this host lacks for a machine, or give an empty string."""
    if os.geteuid() != 0:
        return "only root can make namespaces with a systemd in them"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (apt-get install systemd util-linux)"
    trial = subprocess.run(
        ["unshare", *NAMESPACES, "sh", "-ec", TRIAL], capture_output=True, text=True, check=False
    )
    if trial.returncode != 0:
        return f"this host allows no namespaces of our own: {trial.stderr.strip()}"
    return ""


class Machine:
    """One machine: `with Machine(folder) as machine: machine.run("systemctl", "status")`."""

    def __init__(
        self,
        folder: Path,
        *,
        root: str = "/",
        shared: Sequence[str] = SHARED,
        unit: str = "multi-user.target",
    ) -> None:
        """`folder` is empty and ours; `root` is the tree below the throw-away layer.

        `shared` are folders of this host that are there too, read-only and at the same path.
        """
        self.folder = folder
        self._root = root
        self._shared = [one for one in shared if not one.startswith("/usr/")]
        self._unit = unit
        self._cgroup = f"mediapipe-test-{os.getpid()}-{next(_numbers)}"
        self._holder: subprocess.Popen[bytes] | None = None
        self.pid = 0
        """PID 1 of the machine, as this host counts."""

    def __enter__(self) -> Self:
        """Boot. Raises MachineError with what the boot said."""
        words = [str(self.folder), self._cgroup, self._root, self._unit, *self._shared]
        command = ["unshare", "--mount", "--fork", "--kill-child", str(SCRIPT), "start", *words]
        self._holder = spawn(command, self.folder, "apt-get install util-linux")
        try:
            self._await_boot()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Power off in order; whatever happens, nothing of the machine stays."""
        try:
            self.run("systemctl", "poweroff", "--no-block", status=None)
            if self._holder is not None:
                self._holder.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise MachineError(f"the machine did not power off:\n{self._console()}") from None
        finally:
            self._kill()

    def reboot(self) -> None:
        """Restart the whole machine: its disk stays, /run and /tmp do not."""
        before = self.pid
        self.run("systemctl", "reboot", "--no-block", status=None)
        self.wait_for(lambda: not Path(f"/proc/{before}").exists(), what="the machine to go down")
        self._await_boot()

    def run(
        self, *command: str, status: int | None = 0, stdin: bytes = b"", seconds: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root inside, off the caller's environment; None allows any status."""
        ended = subprocess.run(
            [*self.inside(), *command],
            input=stdin, capture_output=True, timeout=seconds, check=False,
        )  # fmt: skip
        out, err = (text.decode(errors="surrogateescape") for text in (ended.stdout, ended.stderr))
        if status is not None and ended.returncode != status:
            words = " ".join(command)
            raise AssertionError(f"{words}: status {ended.returncode}, not {status}\n{out}{err}")
        return subprocess.CompletedProcess(command, ended.returncode, out, err)

    def inside(self) -> list[str]:
        """Give the beginning of a command line that runs its rest inside."""
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        settings = [f"PATH={path}", "HOME=/root", "LC_ALL=C.UTF-8", "SYSTEMD_PAGER="]
        return ["nsenter", "--target", str(self.pid), "--all", "env", "-i", *settings]

    def sh(self, script: str, *, status: int | None = 0) -> str:
        """Run a shell script inside and give its output."""
        return self.run("sh", "-eu", "-c", script, status=status).stdout

    def systemctl(self, *words: str, status: int | None = 0) -> str:
        """Run systemctl and give its output."""
        return self.run("systemctl", *words, status=status).stdout

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Give properties of a unit, such as ActiveState, Result, ExecMainStatus, StatusText."""
        told = self.systemctl("show", unit, *(f"--property={name}" for name in properties))
        return dict(line.split("=", 1) for line in told.splitlines())

    def write(
        self, path: str, content: str | bytes, *, mode: int = 0o644, owner: str = "root:root"
    ) -> None:
        """Write a file inside, with its folders."""
        raw = content.encode() if isinstance(content, str) else content
        script = 'mkdir -p "${1%/*}" && cat >"$1" && chown "$2" "$1" && chmod "$3" "$1"'
        self.run("sh", "-eu", "-c", script, "sh", path, owner, f"{mode:o}", stdin=raw)

    def read(self, path: str) -> str:
        """Read a file inside."""
        return self.run("cat", path).stdout

    def exists(self, path: str) -> bool:
        """Whether something is there inside; a broken link is."""
        return self.run("test", "-e", path, "-o", "-L", path, status=None).returncode == 0

    def install(self, tree: Path) -> None:
        """Copy a tree of this host over the machine's root, such as one of `make install`."""
        packed = subprocess.run(
            ["tar", "-C", str(tree), "--owner=root", "--group=root", "-c", "."],
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        self.run("tar", "-C", "/", "--no-overwrite-dir", "-x", stdin=packed.stdout)
        self.systemctl("daemon-reload")

    def drop_in(self, unit: str, text: str, *, name: str = "50-test") -> None:
        """Add to a unit, as `systemctl edit` does, and reload; an empty text takes it away."""
        path = f"/etc/systemd/system/{unit}.d/{name}.conf"
        if text:
            self.write(path, text)
        else:
            self.run("rm", "-f", path)
        self.systemctl("daemon-reload")

    def journal(self, unit: str = "", **fields: str) -> list[dict[str, Any]]:
        """Give the journal's entries of a unit, or with these fields: `MEDIAPIPE_JOB="upload"`."""
        self.run("journalctl", "--sync")
        words = [f"--unit={unit}"] if unit else []
        words += [f"{name}={value}" for name, value in fields.items()]
        told = self.run("journalctl", "--output=json", "--all", "--no-pager", *words).stdout
        return [json.loads(line) for line in told.splitlines()]

    def messages(self, unit: str) -> str:
        """Give the journal's lines of a unit as one text, for a failing assertion."""
        return "\n".join(str(entry.get("MESSAGE")) for entry in self.journal(unit))

    def wait_for(self, condition: Callable[[], T], *, seconds: float = PATIENCE, what: str) -> T:
        """Poll until a condition holds and give its value; raises TimeoutError."""
        return wait_until(condition, seconds=seconds, what=what)

    def start_program(self, name: str, *command: str, **environment: str) -> None:
        """Run a program of the test's own inside, as the unit `name`.service."""
        settings = [f"--setenv={key}={value}" for key, value in environment.items()]
        self.run("systemd-run", "--quiet", f"--unit={name}", *settings, "--", *command)

    def _await_boot(self) -> None:
        try:
            wait_until(self._has_booted, seconds=BOOT_SECONDS, what="the machine to boot")
        except TimeoutError:
            jobs = self.run("systemctl", "list-jobs", status=None).stdout if self.pid else ""
            raise MachineError(f"the machine does not boot:\n{jobs}{self._console()}") from None

    def _has_booted(self) -> bool:
        if self._holder is None or self._holder.poll() is not None:
            raise MachineError(f"the machine ended during its boot:\n{self._console()}")
        self.pid = self._init()
        if not self.pid:
            return False
        told = subprocess.run(
            [*self.inside(), "systemctl", "is-system-running"],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        ).stdout.strip()  # fmt: skip
        return told in BOOTED

    def _init(self) -> int:
        """Give the PID of the machine's systemd, or 0 while there is none."""
        pid = self._holder.pid if self._holder else 0
        for _ in range(4):  # unshare, machine.sh start, unshare, systemd
            if name_of(pid) == "systemd":
                return pid
            children = children_of(pid)
            if not children:
                return 0
            pid = children[0]
        return pid if name_of(pid) == "systemd" else 0

    def _kill(self) -> None:
        """End what is left, which takes the whole PID namespace with it."""
        if self._holder is not None:
            if self._holder.poll() is None:
                os.kill(self._holder.pid, signal.SIGKILL)
            self._holder.wait()
            self._holder = None
        self.pid = 0

    def _console(self) -> str:
        return (self.folder / "console").read_text(errors="replace")[-4000:]


def name_of(pid: int) -> str:
    """Give a process's name, or an empty string where it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def children_of(pid: int) -> list[int]:
    """Give a process's children, as this host counts."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
