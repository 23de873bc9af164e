"""The rclone program itself: which one it is, its configuration, and lists of names for it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING

from mediapipe import regular
from mediapipe.adapters import process
from mediapipe.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mediapipe.config import RcloneConfig

ONCE = ("--retries", "1", "--low-level-retries", "3", "--timeout", "60s", "--contimeout", "15s")
"""For questions: an answer that does not come soon is none, and the next run asks again."""
_OLDEST = (1, 73, 5)
"""Below it B2's newer keys are refused and the RC has known holes (CONTRACT)."""
_NUL_LISTS = (1, 75, 0)
"""First version with --files-from0: the only list that can hold a name with a newline."""


class Program:
    """rclone as it is installed here; nothing is started before the first command."""

    def __init__(self, config: RcloneConfig) -> None:
        """Only remember where it is configured to be."""
        self._config = config
        self._base: list[str] = []
        self._nul_lists = False

    @contextlib.contextmanager
    def listed(self, names: Sequence[str]) -> Iterator[list[str]]:
        """Write the names to a list of their own; names never stand on a command line."""
        nul = self.knows_nul_lists()
        end = b"\0" if nul else b"\n"
        with tempfile.NamedTemporaryFile(prefix="mediapipe-") as file:
            file.write(b"".join(os.fsencode(name) + end for name in names))
            file.flush()
            yield ["--files-from0" if nul else "--files-from-raw", file.name]

    def knows_nul_lists(self) -> bool:
        """Whether it takes lists whose names may have line breaks; it is asked the first time."""
        self.command("")
        return self._nul_lists

    def command(self, verb: str) -> list[str]:
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
        try:
            os.close(regular.opener(path, os.O_RDONLY))
        except OSError as error:
            raise ConfigError(
                f"rclone.config_file: cannot read {path}: {error.strerror}",
                hint="name the file that `rclone config` wrote, readable for the user of the jobs",
            ) from None
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
