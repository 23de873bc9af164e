"""The mount of the remote, told through rclone's remote control to look again.

`vfs/forget` with `file` makes rclone forget the listing of the folder that the file lies in, and no
other: nothing is asked of B2 until somebody looks there, then one call for each such folder. Each
folder on the way to an object is named, since it may be as new as the object. The other ways fail
(measured, 1.75.2):
- `vfs/refresh` of a folder that is not in the listing of its parent does nothing, and says so with
  status 200; where all goes well it costs a call for each folder, whether anybody looks or not;
- `vfs/forget` of a whole tree makes B2 be asked for all of it again, and a program that stands in
  one of its folders never sees anything new there.
A listing under way is waited for, so that it cannot bring the old picture back. What was looked at
within the last second (`--attr-timeout`) the kernel shows as it was until then.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from mediapipe import regular
from mediapipe.adapters import b2_names, http
from mediapipe.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

NAME = "rc.json"
"""In the state folder, written anew at each start of the mount: {"user": "…", "password": "…"}."""
_LARGEST = 1 << 16
"""Bytes of it that are read."""
_OK, _REFUSED = 200, (401, 403)
_SHORT = 200
"""Characters of an answer that are quoted."""
_SERVICE = "the mount's remote control"


class RemoteControl:
    """What answers at `rc_addr`, to the login that the mount wrote at its start."""

    def __init__(self, rc_addr: str, state: str) -> None:
        """`rc_addr` is `host:port` or `unix:///path`, `state` the state folder. Nothing is sent."""
        self.socket = rc_addr.removeprefix("unix://") if rc_addr.startswith("unix://") else None
        host = "rclone" if self.socket else rc_addr
        self._url = f"http://{'127.0.0.1' if host.startswith(':') else ''}{host}/"
        self._where = f"{_SERVICE} at {rc_addr}"
        self._file = os.path.join(state, NAME)

    def listens(self) -> bool:
        """Whether anything listens there, whatever it is; it is told no secret."""
        try:
            self._post("rc/noop", b"", {}, None)
        except http.NotThere:
            return False
        except Unavailable:
            return True
        return True

    def ask(self, command: str) -> dict[str, Any]:
        """Ask for something that takes no words, such as `core/stats`.

        Raises Unavailable where no mount runs or answers, ConfigError where it refuses us.
        """
        login = self.login()
        if login is None:
            raise Unavailable(
                f"no mount has been started: there is no {self._file}",
                hint="systemctl start rclone-b2-mount",
            )
        try:
            answer = self._post(command, b"", {}, login)
        except http.NotThere as error:
            raise Unavailable(str(error), hint="systemctl start rclone-b2-mount") from None
        try:
            fields = json.loads(answer.content)
        except ValueError:
            fields = None
        if answer.status_code != _OK or not isinstance(fields, dict):
            raise self._unsound(answer)
        return fields

    def forget(self, names: Sequence[str]) -> None:
        """Make the mount forget the listings of the folders that these names lie in.

        Raises http.NotThere where it does not run, and as `ask`.
        """
        # a form, since JSON cannot hold names that are not UTF-8
        form = {f"file{number}": os.fsencode(name) for number, name in enumerate(names)}
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._post("vfs/forget", urlencode(form).encode(), kind, self.login())
        # status 200 alone is no proof that it was rclone, and that it understood
        if answer.status_code != _OK or _forgotten(answer.content) != {
            b2_names.as_json_shows(name) for name in names
        }:
            raise self._unsound(answer)

    def _post(
        self,
        command: str,
        content: bytes,
        headers: Mapping[str, str],
        login: tuple[str, str] | None,
    ) -> httpx.Response:
        answer = http.post(
            _SERVICE, self._url + command, content, headers, login=login, socket=self.socket
        )
        if login is not None and answer.status_code in _REFUSED:
            raise ConfigError(
                f"{self._where} refuses the password of {self._file}",
                hint="does another rclone listen there? else start the mount anew",
            )
        return answer

    def _unsound(self, answer: httpx.Response) -> Unavailable:
        words = " ".join(answer.text.split())[:_SHORT]
        return Unavailable(f"{self._where} answers {answer.status_code}: {words}")

    def login(self) -> tuple[str, str] | None:
        """Read user and password, or give None where no mount has ever run."""
        try:
            with open(self._file, "rb", opener=regular.itself) as file:
                entries = json.loads(file.read(_LARGEST))
            user, password = entries["user"], entries["password"]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(
                f"cannot read {self._file}: {error.strerror}",
                hint="the mount and the jobs must run as the same user",
            ) from None
        except (ValueError, KeyError, TypeError):
            raise Unavailable(f"{self._file} is not whole; start the mount anew") from None
        return str(user), str(password)


class Mount:
    """A `Listener` port that is filled by `rclone mount --rc`."""

    name = "mount"

    def __init__(self, rc_addr: str, state: str) -> None:
        """Take what RemoteControl takes. Nothing is sent."""
        self._control = RemoteControl(rc_addr, state)

    def uploaded(self, names: Sequence[str]) -> None:
        """Make the folders of new objects be listed anew when somebody looks next."""
        if not names or self._control.login() is None:
            return
        # one that does not run left its file behind, and took its picture with it
        with contextlib.suppress(http.NotThere):
            self._control.forget(_one_in_each_folder(names))


def _forgotten(content: bytes) -> set[str]:
    """Read which names rclone says it has forgotten; none where it is not rclone that speaks."""
    try:
        return set(json.loads(content)["forgotten"])
    except (ValueError, KeyError, TypeError):
        return set()


def _one_in_each_folder(names: Sequence[str]) -> tuple[str, ...]:
    """Give a name in each folder that leads to one of the objects, the root's included."""
    found: dict[str, str] = {}
    for name in names:
        inner = b2_names.as_mount_shows(name)
        while inner:
            folder = os.path.dirname(inner)
            found.setdefault(folder, inner)
            inner = folder
    return tuple(found.values())
