"""rclone as the way to the object store: one child copies many files, another looks them up."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from mediapipe import layout
from mediapipe.adapters import b2_bucket, b2_names, process, rclone_log
from mediapipe.errors import ConfigError, MediapipeError, Unavailable
from mediapipe.ports import Copied, RemoteObject

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mediapipe.config import RcloneConfig, UploadConfig
    from mediapipe.ports import Bucket, Watcher

_OLDEST = (1, 73, 5)
"""Below it B2's newer keys are refused and the RC has known holes (CONTRACT)."""
_NUL_LISTS = (1, 75, 0)
"""First version with --files-from0: the only list that can hold a name with a newline."""
_LOOK_TIMEOUT = 300.0
_ONCE = ("--retries", "1", "--low-level-retries", "3", "--timeout", "60s", "--contimeout", "15s")
"""For questions: an answer that does not come soon is none, and the next run asks again."""
_NO_FOLDER = 3
_FATAL = 7


class Rclone:
    """A `Remote` port (see `ports.Remote`) that is filled by the rclone program."""

    def __init__(self, config: RcloneConfig, upload: UploadConfig) -> None:
        """Nothing is started here: a pass with nothing to do starts no child."""
        self._config = config
        self._upload = upload
        self._base: list[str] = []
        self._nul_lists = False

    def address(self, name: str) -> str:
        """Give the full remote name of an object."""
        return layout.address(self._config.remote, name)

    def why_not_storable(self, name: str) -> str:
        """Tell why a name cannot be stored and found again, or give an empty string."""
        if reason := b2_names.why_not_storable(name):
            return reason
        if ("\n" in name or "\r" in name) and not self._started_nul_lists():
            return "its name has a line break, which needs rclone 1.75 or newer"
        return ""

    def copy(
        self,
        root: str,
        names: Sequence[str],
        prefix: str,
        *,
        anew: bool,
        watcher: Watcher,
    ) -> Copied:
        """Copy many files in one child; its log tells progress, heartbeat and what failed."""
        upload = self._upload
        log = rclone_log.CopyLog(watcher)
        # fmt: off
        options = [
            "--checksum", "--no-traverse", "--transfers", str(upload.transfers),
            "--stats", f"{watcher.interval:g}s", "--stats-log-level", "NOTICE",
            "--use-json-log", "-v", "--retries", "3", "--low-level-retries", "10",
            # two names that differ only in how an accent is written are two files
            "--no-unicode-normalization",
        ]
        # fmt: on
        options += ["--ignore-times"] if anew else []
        options += ["--bwlimit", upload.bandwidth] if upload.bandwidth else []
        # fmt: off
        ended: process.Ended | None = None
        trouble: MediapipeError | None = None
        with self._listed(names) as listed, contextlib.ExitStack() as stack:
            stack.callback(watcher.end)
            try:
                ended = process.run(
                    [*self._command("copy"), *options, *upload.extra_args, *listed, root,
                     self.address(prefix)],
                    timeout=max(float(upload.stall_timeout), 2 * watcher.interval),
                    on_line=log.line,
                )
            except Unavailable as stall:
                trouble = stall  # what arrived before it can be proven all the same
        # fmt: on
        shown_as = {b2_names.as_json_shows(name): name for name in names}
        failures = {
            shown_as[name]: error for name, error in log.failures.items() if name in shown_as
        }
        if ended is not None and ended.status != 0:
            trouble = rclone_log.trouble(ended)
            # files that failed for reasons of their own are no trouble for the others
            if failures and ended.status != _FATAL and not isinstance(trouble, ConfigError):
                trouble = None
        return Copied(failures, trouble)

    def look(self, names: Sequence[str]) -> Mapping[str, RemoteObject]:
        """Look up objects in one child, one HEAD each; what is not in the answer is not there."""
        wanted: dict[str, str] = {}
        for name in names:
            wanted.setdefault(b2_names.as_json_shows(name), name)
        # names that JSON shows alike are looked up apart
        again = sorted(set(names) - set(wanted.values()))
        found = dict(self.look(again)) if again else {}
        with self._listed(list(wanted.values())) as listed:
            # fmt: off
            ended = process.run(
                [*self._command("lsjson"), "-R", "--hash", "--files-only", "--no-traverse",
                 "--no-mimetype", "--use-json-log", *_ONCE,
                 *listed, self.address("")],
                timeout=_LOOK_TIMEOUT + len(names),
            )
            # fmt: on
        if ended.status != 0:
            raise rclone_log.trouble(ended)
        for entry in _json_list(ended.output):
            known = wanted.get(str(entry.get("Path")))
            if known is not None:
                hashes = entry.get("Hashes") or {}
                sha1 = str(hashes.get("sha1") or "").lower()
                found[known] = RemoteObject(int(entry["Size"]), sha1, str(entry.get("ID") or ""))
        if len(found) < len(set(names)):
            self.demand_bucket()
        return found

    def read(self, name: str, offset: int, count: int) -> bytes:
        """Read a range of an object."""
        with self._listed([name]) as listed:
            # fmt: off
            ended = process.run(
                [*self._command("cat"), "--offset", str(offset), "--count", str(count),
                 "--no-traverse", "--use-json-log", *_ONCE,
                 *listed, self.address("")],
                timeout=_LOOK_TIMEOUT,
            )
            # fmt: on
        if ended.status != 0:
            raise rclone_log.trouble(ended)
        return ended.output

    def why_hides(self) -> str:
        """Tell which lifecycle rule hides our objects by their age, or give an empty string."""
        bucket, folder = b2_names.bucket_and_folder(self._config.remote)
        # fmt: off
        ended = process.run(
            [*self._command("backend"), "lifecycle", bucket, "--use-json-log", *_ONCE],
            timeout=_LOOK_TIMEOUT,
        )
        # fmt: on
        if ended.status != 0:
            raise rclone_log.trouble(ended)
        for rule in _json_list(ended.output or b"[]"):
            days, prefix = rule.get("daysFromUploadingToHiding"), str(rule.get("fileNamePrefix"))
            if days and (prefix.startswith(folder) or folder.startswith(prefix)):
                return f"{bucket} hides {prefix or 'everything'} {days} days after its upload"
        return ""

    def bucket(self) -> Bucket | None:
        """Give the bucket behind a remote of type b2; its key is in rclone's configuration."""
        ended = process.run([*self._command("config"), "dump"], timeout=_LOOK_TIMEOUT)
        if ended.status != 0:
            raise ConfigError(str(rclone_log.trouble(ended)), hint="check [rclone] config_file")
        return b2_bucket.behind(self._config.remote, ended.output)

    def demand_bucket(self) -> None:
        """Demand that the bucket is there: rclone lists a missing one as empty, with status 0."""
        remote = self._config.remote
        # a key for one folder may not look at the bucket, and an empty folder is none on B2
        for place in dict.fromkeys((remote, b2_names.bucket_and_folder(remote)[0])):
            # fmt: off
            ended = process.run(
                [*self._command("lsf"), "--max-depth", "1", "--dirs-only", "--use-json-log",
                 *_ONCE, place],
                timeout=_LOOK_TIMEOUT,
            )
            # fmt: on
            if ended.status == 0:
                return
            if ended.status != _NO_FOLDER:
                raise rclone_log.trouble(ended)
        raise ConfigError(
            f"{remote} does not exist",
            hint="check [rclone] remote, or make it: rclone mkdir",
        )

    @contextlib.contextmanager
    def _listed(self, names: Sequence[str]) -> Iterator[list[str]]:
        """Write the names to a list of their own; names never stand on a command line."""
        nul = self._started_nul_lists()
        end = b"\0" if nul else b"\n"
        with tempfile.NamedTemporaryFile(prefix="mediapipe-") as file:
            file.write(b"".join(os.fsencode(name) + end for name in names))
            file.flush()
            yield ["--files-from0" if nul else "--files-from-raw", file.name]

    def _started_nul_lists(self) -> bool:
        self._command("")
        return self._nul_lists

    def _command(self, verb: str) -> list[str]:
        """Give the beginning of a command line; finds and checks the program the first time."""
        if not self._base:
            binary = find_binary(self._config.binary)
            version = _version(binary)
            if version < _OLDEST:
                raise ConfigError(
                    f"{binary} is rclone {_dotted(version)}; {_dotted(_OLDEST)} or newer is needed",
                    hint="install a newer rclone and name it in [rclone] binary",
                )
            self._nul_lists = version >= _NUL_LISTS
            self._base = [binary]
            self._base += self._config_option()
        return [self._base[0], verb, *self._base[1:]]

    def _config_option(self) -> list[str]:
        """Name rclone's configuration, and demand that it is there.

        rclone itself would go on without it and complain of something else.
        """
        file = self._config.config_file
        path = file.path()
        if not file:
            return []
        if path is None:
            raise ConfigError(
                f"rclone.config_file = {file!r} is a credential, but $CREDENTIALS_DIRECTORY is not "
                "set",
                hint="start the systemd unit, or give an absolute path",
            )
        if not os.access(path, os.R_OK):
            raise ConfigError(f"rclone.config_file: cannot read {path}")
        return ["--config", path]


def find_binary(configured: str) -> str:
    """Find rclone: a configured path, else the one installed with us, else PATH."""
    if "/" in configured:
        found = shutil.which(configured)
    else:
        beside = os.path.join(os.path.dirname(sys.executable), configured)
        found = shutil.which(beside) or shutil.which(configured)
    if found is None:
        raise ConfigError(
            f"there is no rclone at {configured}" if "/" in configured
            else f"{configured} is not installed",
            hint="install rclone 1.75 or newer, or name it in [rclone] binary",
        )  # fmt: skip
    return found


def _version(binary: str) -> tuple[int, ...]:
    ended = process.run([binary, "version", "--use-json-log"], timeout=60)
    match = re.match(rb"rclone v(\d+)\.(\d+)\.(\d+)", ended.output)
    if match is None:
        raise ConfigError(f"{binary} does not tell its version; is it rclone?")
    return tuple(int(number) for number in match.groups())


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)


def _json_list(output: bytes) -> list[dict[str, Any]]:
    try:
        entries = json.loads(output)
    except ValueError:
        raise Unavailable("rclone lsjson gave no JSON") from None
    if not isinstance(entries, list):
        raise Unavailable("rclone lsjson gave no list")
    return [entry for entry in entries if isinstance(entry, dict)]
