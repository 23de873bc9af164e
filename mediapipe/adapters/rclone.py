"""rclone as the way to the object store: one child copies many files, another looks them up."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from mediapipe import layout
from mediapipe.adapters import b2_bucket, b2_names, process, rclone_fetch, rclone_log
from mediapipe.adapters.rclone_program import ONCE, Program
from mediapipe.adapters.rclone_questions import (
    LOOK_TIMEOUT,
    SIDE_BY_SIDE,
    Questions,
    json_list,
)
from mediapipe.errors import ConfigError, MediapipeError, Unavailable
from mediapipe.gradually import Gradually
from mediapipe.ports import Copied, RemoteObject

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Mapping, Sequence

    from mediapipe.bucket import Bucket
    from mediapipe.config import RcloneConfig, UploadConfig
    from mediapipe.ports import Range, Watcher

_TRAVERSE_FROM = 100
_REPLACED = "\ufffd"
"""What JSON shows for bytes that are not UTF-8: several names may look like this one."""
_COPY_TIMEOUT = 3600.0
_NO_FOLDER = 3
_FATAL = 7


class Rclone:
    """A `Remote` port (see `ports.Remote`) that is filled by the rclone program."""

    def __init__(self, config: RcloneConfig, upload: UploadConfig) -> None:
        """Nothing is started here: a pass with nothing to do starts no child."""
        self._config = config
        self._upload = upload
        self._program = Program(config)
        self._questions = Questions(self._program)

    def address(self, name: str) -> str:
        """Give the full remote name of an object."""
        return layout.address(self._config.remote, name)

    def why_not_storable(self, name: str) -> str:
        """Tell why a name cannot be stored and found again, or give an empty string."""
        if reason := b2_names.why_not_storable(name):
            return reason
        if ("\n" in name or "\r" in name) and not self._program.knows_nul_lists():
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
    ) -> Generator[Sequence[str], None, Copied]:
        """Copy many files in one child; its log tells progress, heartbeat and what failed."""
        upload = self._upload
        shown = Counter(map(b2_names.as_json_shows, names))
        # of names that JSON shows alike nobody can tell which one is meant
        shown_as = {
            b2_names.as_json_shows(name): name
            for name in names
            if shown[b2_names.as_json_shows(name)] == 1
        }
        log = rclone_log.CopyLog(watcher)
        # fmt: off
        options = [
            "--checksum", "--transfers", str(upload.transfers),
            "--stats", f"{watcher.interval:g}s", "--stats-log-level", "NOTICE",
            "--use-json-log", "-v", "--retries", "3", "--low-level-retries", "10",
            # two names that differ only in how an accent is written are two files
            "--no-unicode-normalization",
            # small files cost round trips and large ones processor time: side by side neither waits
            # for the other, and no crowd of small ones is left to look at when the last has arrived
            "--order-by", "size,mixed,50",
        ]
        # fmt: on
        # a look at each name costs one call of 10 ms, a look at its folder one for all in it
        options += ["--no-traverse"] if len(names) < _TRAVERSE_FROM else []
        options += ["--ignore-times"] if anew else []
        options += ["--bwlimit", upload.bandwidth] if upload.bandwidth else []
        # fmt: off
        ended: process.Ended | None = None
        trouble: MediapipeError | None = None
        with self._program.listed(names) as listed, contextlib.ExitStack() as stack:
            stack.callback(watcher.end)
            copy = Gradually(
                process.running(
                    [*self._program.command("copy"), *options, *upload.extra_args, *listed, root,
                     self.address(prefix)],
                    timeout=max(float(upload.stall_timeout), 2 * watcher.interval),
                    on_line=log.line,
                )
            )
            stack.callback(copy.close)
            try:
                for _turn in copy:
                    there, log.arrived = log.arrived, []
                    yield [shown_as[name] for name in there if name in shown_as]
                ended = copy.outcome
            except Unavailable as stall:
                trouble = stall  # what arrived before it can be proven all the same
        # fmt: on
        failures = {
            shown_as[name]: error for name, error in log.failures.items() if name in shown_as
        }
        if ended is not None and ended.status != 0:
            trouble = rclone_log.trouble(ended)
            # files that failed for reasons of their own are no trouble for the others
            if failures and ended.status != _FATAL and not isinstance(trouble, ConfigError):
                trouble = None
        return Copied(failures, trouble)

    def get_ready(self) -> None:
        """Start what answers, so that it outlives the thread that asks."""
        self._questions.get_ready()

    def look(
        self, names: Sequence[str], *, go_on: Callable[[], bool] = lambda: True
    ) -> Mapping[str, RemoteObject]:
        """Look up objects, one HEAD each; what is not in the answer is not there."""
        wanted: dict[str, str] = {}
        for name in names:
            wanted.setdefault(b2_names.as_json_shows(name), name)
        # names that JSON shows alike are looked up apart
        again = sorted(set(names) - set(wanted.values()))
        found = dict(self.look(again, go_on=go_on)) if again else {}
        for entry in self._questions.entries(self.address(""), list(wanted.values()), go_on):
            known = wanted.get(str(entry.get("Path")))
            if known is not None:
                found[known] = _object(entry)
        if len(found) < len(set(names)):
            self.demand_bucket()
        return found

    def look_below(self, prefix: str, wanted: Container[str]) -> Mapping[str, RemoteObject]:
        """List a folder with all below it: one call for each 1000 objects, whatever is wanted."""
        found: dict[str, RemoteObject] = {}

        def take(line: bytes) -> None:
            line = line.strip(b"[], ")
            for entry in json_list(b"[" + line + b"]"):
                name = f"{prefix}/{entry.get('Path')}"
                if name in wanted and _REPLACED not in name:
                    found[name] = _object(entry)

        # fmt: off
        ended = process.run(
            [*self._program.command("lsjson"), "-R", "--hash", "--files-only", "--fast-list",
             "--no-mimetype", "--no-modtime", "--use-json-log", *ONCE, self.address(prefix)],
            timeout=LOOK_TIMEOUT, on_output=take,
        )
        # fmt: on
        if ended.status not in (0, _NO_FOLDER):
            raise rclone_log.trouble(ended)
        return found

    def read(
        self, ranges: Sequence[Range], *, go_on: Callable[[], bool] = lambda: True
    ) -> Sequence[bytes]:
        """Read ranges of objects, some of them at the same time: each costs several round trips."""
        return self._questions.read(self.address(""), ranges, go_on)

    def copy_within(self, sources: Mapping[str, str]) -> None:
        """Copy objects to other names (target → source) on the remote itself, one child each."""
        # fmt: off
        commands = [
            [*self._program.command("copyto"), "--checksum", "--use-json-log", *ONCE,
             self.address(source), self.address(target)]
            for target, source in sources.items()
        ]
        # fmt: on
        process.gather(commands, timeout=_COPY_TIMEOUT, most=SIDE_BY_SIDE)

    def fetch(self, name: str, path: str, watcher: Watcher) -> None:
        """Copy an object into a file of this host, in one child."""
        timeout = max(float(self._upload.stall_timeout), 2 * watcher.interval)
        rclone_fetch.fetch(self._program, self.address(name), path, watcher, timeout)

    def hide(self, names: Sequence[str]) -> None:
        """Hide objects: B2 keeps their versions, whatever rclone's configuration says of that."""
        with self._program.listed(names) as listed:
            # fmt: off
            ended = process.run(
                [*self._program.command("delete"), "--b2-hard-delete=false", "--no-traverse",
                 "--use-json-log", *ONCE, *listed, self.address("")],
                timeout=LOOK_TIMEOUT,
            )
            # fmt: on
        if ended.status != 0:
            raise rclone_log.trouble(ended)

    def why_hides(self) -> str:
        """Tell which lifecycle rule hides our objects by their age, or give an empty string."""
        bucket, folder = b2_names.bucket_and_folder(self._config.remote)
        # fmt: off
        ended = process.run(
            [*self._program.command("backend"), "lifecycle", bucket, "--use-json-log", *ONCE],
            timeout=LOOK_TIMEOUT,
        )
        # fmt: on
        if ended.status != 0:
            raise rclone_log.trouble(ended)
        for rule in json_list(ended.output or b"[]"):
            days, prefix = rule.get("daysFromUploadingToHiding"), str(rule.get("fileNamePrefix"))
            if days and (prefix.startswith(folder) or folder.startswith(prefix)):
                return f"{bucket} hides {prefix or 'everything'} {days} days after its upload"
        return ""

    def bucket(self) -> Bucket | None:
        """Give the bucket behind a remote of type b2; its key is in rclone's configuration."""
        ended = process.run([*self._program.command("config"), "dump"], timeout=LOOK_TIMEOUT)
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
                [*self._program.command("lsf"), "--max-depth", "1", "--dirs-only", "--use-json-log",
                 *ONCE, place],
                timeout=LOOK_TIMEOUT,
            )
            # fmt: on
            if ended.status == 0:
                return
            if ended.status != _NO_FOLDER:
                raise rclone_log.trouble(ended)
        # a spent cap looks the same to rclone
        if (bucket := self.bucket()) is not None:
            bucket.rules()
            return
        raise ConfigError(
            f"{remote} does not exist",
            hint="check [rclone] remote, or make it: rclone mkdir",
        )


def _object(entry: Mapping[str, Any]) -> RemoteObject:
    hashes = entry.get("Hashes") or {}
    sha1 = str(hashes.get("sha1") or "").lower()
    if not isinstance(entry.get("Size"), int):
        raise Unavailable("rclone lsjson gave no size")
    return RemoteObject(entry["Size"], sha1, str(entry.get("ID") or ""))
