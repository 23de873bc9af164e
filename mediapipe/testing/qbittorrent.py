"""Start real qbittorrent-nox servers on loopback and make torrents, for the demo and the tests."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import qbittorrentapi
import torf

from mediapipe.testing import loopback
from mediapipe.testing.loopback import HOST, ServerError, free_port, listens, spawn, wait_until

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

__all__ = ["QbittorrentServer", "ServerError", "free_port", "make_torrent", "wait_until"]

START_SECONDS: Final = 20.0
SEEDING: Final = ("uploading", "stalledUP", "queuedUP", "forcedUP", "pausedUP", "stoppedUP")
ACTIVE: Final = ("uploading", "stalledUP", "forcedUP", "downloading", "stalledDL", "forcedDL")

# RefreshInterval is in ms. By default one torrent a second is checked; over µTP on loopback a few
# percent of the downloads stall.
CONFIG: Final = r"""[LegalNotice]
Accepted=true
[BitTorrent]
Session\DefaultSavePath={completed}
Session\TempPath={incomplete}
Session\TempPathEnabled=true
Session\DisableAutoTMMByDefault=false
Session\Port={server.peer_port}
Session\Interface=lo
Session\InterfaceAddress=127.0.0.1
Session\DHTEnabled=false
Session\LSDEnabled=false
Session\PeXEnabled=false
Session\QueueingSystemEnabled=false
Session\MaxUploads=-1
Session\BTProtocol=TCP
Session\RefreshInterval=100
Session\MaxActiveCheckingTorrents=50
[Preferences]
Connection\ResolvePeerCountries=false
WebUI\Address=127.0.0.1
WebUI\Port={server.web_port}
WebUI\UseUPnP=false
WebUI\LocalHostAuth={ask_login}
WebUI\Username={server.username}
WebUI\Password_PBKDF2="@ByteArray({password})"
"""


class _PortTakenError(ServerError):
    """Some other process listens on a port that this server was told to use."""


class TorrentFile(NamedTuple):
    """A .torrent file on disk and the hash (40 hex digits) by which servers know it."""

    path: Path
    infohash: str


def make_torrent(
    content: Path, destination: Path, *, trackerless: bool = True, private: bool = False
) -> TorrentFile:
    """Write a v1 torrent of `content` (file or folder) to the file `destination`.

    `trackerless=False` names a tracker that never answers. With `private`, `connect` has no effect.
    """
    trackers = None if trackerless else [f"http://{HOST}:9/announce"]  # the discard port
    torrent = torf.Torrent(path=content, trackers=trackers, private=private)
    torrent.generate()
    torrent.write(destination, overwrite=True)
    return TorrentFile(destination, str(torrent.infohash))


class QbittorrentServer:
    """One qbittorrent-nox process with its own profile, listening on 127.0.0.1 only.

    As a context manager it is started and stopped. With `die_with_parent` the kernel kills it as
    soon as the *thread* that called `start` ends, also when that ends by SIGKILL. Without it
    the server outlives the with-block and this program, until `stop` or its pid is signalled.

    Ports not given are chosen; they stay the same over `restart`. Without a password no login is
    asked for. `binary` may be a whole command line; `config` adds to or replaces
    {section: {key: value}} of qBittorrent.conf, values as they stand in that file.
    """

    def __init__(  # noqa: PLR0913
        self,
        folder: Path,
        *,
        username: str = "",
        password: str = "",
        completed: Path | None = None,
        incomplete: Path | None = None,
        web_port: int | None = None,
        peer_port: int | None = None,
        binary: str | Sequence[str] = "qbittorrent-nox",
        config: Mapping[str, Mapping[str, str]] | None = None,
        die_with_parent: bool = True,
    ) -> None:
        """Only remember the settings; nothing is written before `start`."""
        self.profile = folder.absolute() / "profile"
        self.completed = (completed or folder / "completed").absolute()
        self.incomplete = (incomplete or folder / "incomplete").absolute()
        self.username, self.password = username or "admin", password
        wished = [(web_port or free_port(), peer_port or free_port()) for _ in range(5)]
        (self.web_port, self.peer_port), *self._other_ports = wished
        self.die_with_parent = die_with_parent
        self._command = [binary] if isinstance(binary, str) else [*binary]
        self._config = config or {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop, unless the server is meant to live on."""
        if self.die_with_parent:
            self.stop()

    @property
    def url(self) -> str:
        """The address of the WebUI, without a slash at the end."""
        return f"http://{HOST}:{self.web_port}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None or self._process.poll() is not None:
            raise ServerError("qbittorrent-nox is not running")
        return self._process.pid

    def start(self) -> Self:
        """Return as soon as the WebUI answers and the peer port is open."""
        if self._process is not None:
            raise ServerError(f"already started: {self._about()}")
        self._write_config()
        try:
            command = [*self._command, f"--profile={self.profile}"]
            hint = "apt-get install qbittorrent-nox"
            self._process = spawn(command, self.profile, hint, lives_on=not self.die_with_parent)
            wait_until(self._is_up, seconds=START_SECONDS, what=self._about)
        except BaseException as error:
            self.kill()
            if not isinstance(error, _PortTakenError) or not self._other_ports:
                raise
            self.web_port, self.peer_port = self._other_ports.pop()
            return self.start()
        self._other_ports.clear()
        return self

    def stop(self, timeout: float = 10.0) -> None:
        """Ask the server to end (SIGTERM); after `timeout` seconds kill it."""
        if self._process is not None:
            loopback.end(self._process, timeout)
            self._process = None

    def kill(self) -> None:
        """End the server at once (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
        self.stop()

    def restart(self) -> Self:
        """Stop and start again on the same ports, with the settings given at first."""
        self.stop()
        return self.start()

    def client(self) -> qbittorrentapi.Client:
        """Return a client with this server's login; it logs in with its first call."""
        login = (self.username, self.password) if self.password else (None, None)
        arguments = {"timeout": 5, "proxies": {"http": None}}  # seconds; never ask a proxy
        return qbittorrentapi.Client(
            self.url, None, *login, FORCE_SCHEME_FROM_HOST=True, REQUESTS_ARGS=arguments
        )

    def add(
        self,
        torrent_file: Path,
        *,
        category: str | None = None,
        save_path: Path | None = None,
        auto_tmm: bool = True,
        **options: Any,
    ) -> str:
        """Add a torrent, wait until the server lists it, and return its hash.

        A `save_path` switches the automatic torrent management off, which would ignore it.
        `options` are those of qbittorrentapi's `torrents_add`.
        """
        infohash = str(torf.Torrent.read(torrent_file, validate=False).infohash)
        client = self.client()
        answer = client.torrents_add(
            torrent_files=torrent_file.read_bytes(),
            category=category,
            save_path=None if save_path is None else os.fspath(save_path),
            use_auto_torrent_management=auto_tmm and save_path is None,
            **options,
        )
        if answer == "Fails.":
            raise ServerError(f"{torrent_file.name} was refused by {self._about()}")
        listed = partial(client.torrents_info, torrent_hashes=infohash)
        wait_until(listed, seconds=10, what=f"{torrent_file.name} in the list")
        return infohash

    def connect(self, torrent_hash: str, other: QbittorrentServer, deadline: float = 20.0) -> None:
        """Make `other` a peer of ours for this torrent; wait at most `deadline` s for each server.

        A peer met too early is not tried again for a minute, so both must have checked their data.
        """
        for server in (self, other):
            server.wait_state(torrent_hash, ACTIVE, deadline)
        self.client().torrents_add_peers(f"{HOST}:{other.peer_port}", torrent_hash)

    def wait_complete(self, hashes: Collection[str], deadline_seconds: float) -> None:
        """Wait until every torrent has all wanted data at its final place and may be seeded."""
        end = time.monotonic() + deadline_seconds
        for torrent_hash in hashes:
            self.wait_state(torrent_hash, SEEDING, end - time.monotonic(), amount_left=0)

    def wait_state(
        self, torrent_hash: str, states: Collection[str], deadline: float, **facts: object
    ) -> str:
        """Wait at most `deadline` seconds for one of `states` together with `facts`; return it."""
        client, found = self.client(), dict[str, Any]()

        def reached() -> str:
            found.update(*client.torrents_info(torrent_hashes=torrent_hash))
            fits = found.get("state") in states and facts.items() <= found.items()
            return str(found["state"]) if fits else ""

        def failure() -> str:
            now = [found.get(key) for key in ("name", "state", "progress", *facts)]
            return f"{torrent_hash} to be {'/'.join(states)} {facts or ''}; it is {now}"

        return wait_until(reached, seconds=deadline, what=failure)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the server's own log and of what it wrote to the console."""
        logs = (self.profile / "qBittorrent/data/logs/qbittorrent.log", self.profile / "console")
        texts = [log.read_text("utf-8", "replace") for log in logs if log.exists()]
        return "\n".join(line for text in texts for line in text.splitlines()[-lines:])

    def _about(self) -> str:
        return f"{self._command[0]} at {self.url}, whose log ends:\n{self.log_tail()}"

    def _is_up(self) -> bool:
        """Whether both ports are ours and the WebUI answers; raise once that is hopeless."""
        refused = f"port: {self.web_port}. Reason: The bound address is already in use"
        if self._process is None or (status := self._process.poll()) is not None:
            # Whoever had the port may have given it back by now; the log still tells.
            taken = refused in self.log_tail() or listens(os.getpid(), self.web_port) is not None
            error = _PortTakenError if taken else ServerError
            raise error(f"exit status {status} of {self._about()}")
        try:
            ours = [listens(self._process.pid, p) for p in (self.web_port, self.peer_port)]
            if False in ours or (not all(ours) and refused in self.log_tail()):  # 5.1 lives on
                raise _PortTakenError(f"another process has a port of {self._about()}")
            return all(ours) and bool(self.client().app_version())
        except OSError:  # no answer yet, or no process any more
            return False

    def _write_config(self) -> None:
        config = self.profile / "qBittorrent/config/qBittorrent.conf"
        for folder in (self.completed, self.incomplete, config.parent):
            folder.mkdir(parents=True, exist_ok=True)
        salt = os.urandom(16)
        key = hashlib.pbkdf2_hmac("sha512", self.password.encode(), salt, 100_000)
        text = CONFIG.format(
            server=self,
            completed=_escaped(os.fspath(self.completed)),
            incomplete=_escaped(os.fspath(self.incomplete)),
            ask_login=str(bool(self.password)).lower(),
            password=":".join(base64.b64encode(part).decode("ascii") for part in (salt, key)),
        )
        for section, values in self._config.items():  # of a repeated key the last value counts
            text += f"[{section}]\n" + "".join(f"{key}={value}\n" for key, value in values.items())
        config.write_text(text, "ascii")


def _escaped(text: str) -> str:
    """Write each character as an escape: Qt 5 and 6 read other non-ASCII text differently."""
    utf16 = text.encode("utf-16-be")
    return '"' + "".join(f"\\x{utf16[i : i + 2].hex()}" for i in range(0, len(utf16), 2)) + '"'
