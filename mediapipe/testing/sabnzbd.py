"""A real SABnzbd for tests: started in seconds, on loopback only, with folders of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from mediapipe.testing.loopback import HOST, ServerError, end, free_port, spawn, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEY: Final = "0123456789abcdef0123456789abcdef"
START_SECONDS: Final = 60.0
IMPATIENCE: Final = """\
import queue

def get(self, block=True, timeout=None, real=queue.Queue.get):
    return real(self, block, timeout and min(timeout, 0.1))

queue.Queue.get = get  # it looks at two queues in turn, two seconds at each
"""

INI: Final = """\
__version__ = 19
__encoding__ = utf-8
[misc]
host = 127.0.0.1
port = {server.port}
api_key = {key}
nzb_key = {nzb_key}
download_dir = {server.incomplete}
complete_dir = {server.complete}
script_dir = {server.scripts}
admin_dir = {server.admin}
log_dir = {server.admin}
auto_browser = 0
check_new_rel = 0
enable_broadcast = 0
enable_https_verification = 0
no_penalties = 1
deobfuscate_final_filenames = 0
{options}
[servers]
[[fake]]
host = 127.0.0.1
port = {server.news_port}
ssl = 0
connections = 4
enable = 1
displayname = fake
[categories]
{categories}
"""


class SabnzbdServer:
    """One SABnzbd process; started and stopped as a context manager.

    `categories` is name → folder below `complete`; `script` is run after each job. `faults` are
    lines of Python that run inside SABnzbd before anything of its own: how a share that refuses is
    played. `binary` may be a whole command line.
    """

    def __init__(
        self,
        folder: Path,
        news_port: int,
        *,
        categories: Mapping[str, str] | None = None,
        script: str = "",
        options: Mapping[str, str] | None = None,
        binary: str | Sequence[str] = "sabnzbdplus",
    ) -> None:
        """Only remember the settings, and make the folders."""
        self.folder = folder.absolute()
        self.port, self.news_port = free_port(), news_port
        self.complete, self.incomplete = self.folder / "complete", self.folder / "incomplete"
        self.scripts, self.admin = self.folder / "scripts", self.folder / "admin"
        self.faults = self.folder / "faults"
        self._categories = {"tv": "tv", "movies": "movies"} if categories is None else categories
        self._script, self._options = script, options or {}
        self._command = [binary] if isinstance(binary, str) else [*binary]
        self._process: subprocess.Popen[bytes] | None = None
        for place in (self.complete, self.incomplete, self.scripts, self.admin, self.faults):
            place.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        """The address, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    def start(self, faults: str = "") -> Self:
        """Return as soon as its queue is shown. `faults` run inside it from now on."""
        (self.faults / "sitecustomize.py").write_text(IMPATIENCE + faults)
        ini = self.folder / "sabnzbd.ini"
        blocks = [
            f"[[{name}]]\nname = {name}\norder = {number}\ndir = {folder}\npp = 3\n"
            f"script = {self._script or 'None'}\npriority = 0"
            for number, (name, folder) in enumerate({"*": "", **self._categories}.items())
        ]
        options = "\n".join(f"{key} = {value}" for key, value in self._options.items())
        ini.write_text(
            INI.format(
                server=self, key=KEY, nzb_key=KEY[::-1], categories="\n".join(blocks),
                options=options,
            )
        )  # fmt: skip
        arguments = ["-f", os.fspath(ini), "-b", "0", "-l", "1", "--disable-file-log", "--console"]
        environment = [f"PYTHONPATH={self.faults}"]
        command = ["env", *environment, *self._command, *arguments]
        self._process = spawn(command, self.folder, "apt-get install sabnzbdplus")
        try:
            wait_until(self._is_up, seconds=START_SECONDS, what=self._about)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Ask it to end (SIGTERM); after a while kill it."""
        if self._process is not None:
            end(self._process, 15)
            self._process = None

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
        self.stop()

    def ask(self, mode: str, **query: str) -> Any:
        """Ask its API."""
        words = {"mode": mode, "output": "json", "apikey": KEY, **query}
        answer = httpx.get(f"{self.url}/api", params=words, timeout=10, trust_env=False)
        return answer.json()

    def add(self, nzb: Path, category: str = "tv") -> str:
        """Add a job; gives its nzo_id."""
        answer = self.ask("addlocalfile", name=os.fspath(nzb), cat=category)
        if not answer.get("nzo_ids"):
            raise ServerError(f"{nzb.name} was refused: {answer}; {self._about()}")
        return str(answer["nzo_ids"][0])

    def slot(self, job: str) -> dict[str, Any]:
        """Give a job's entry in the history; empty while it has none."""
        slots: list[dict[str, Any]] = self.ask("history", limit="500")["history"]["slots"]
        return next((one for one in slots if one["nzo_id"] == job), {})

    def wait(self, job: str, *states: str, seconds: float = 40) -> dict[str, Any]:
        """Wait until a job has ended, or is in one of these states; gives its entry."""
        found: dict[str, Any] = {}

        def there() -> bool:
            found.update(self.slot(job))
            status = found.get("status")
            if states:
                return status in states
            return status == "Failed" or (status == "Completed" and bool(found["storage"]))

        wait_until(there, seconds=seconds, what=lambda: f"the end of {job}: {found}")
        return found

    def log_tail(self, lines: int = 40) -> str:
        """Give the last lines that it wrote."""
        console = self.folder / "console"
        text = console.read_text("utf-8", "replace") if console.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _about(self) -> str:
        return f"{self._command[0]} at {self.url}, whose log ends:\n{self.log_tail()}"

    def _is_up(self) -> bool:
        if self._process is None or (status := self._process.poll()) is not None:
            raise ServerError(f"exit status {status} of {self._about()}")
        try:
            return "queue" in self.ask("queue", limit="1")
        except (httpx.HTTPError, ValueError):
            return False
