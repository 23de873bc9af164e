"""SABnzbd through its API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mediapipe.adapters import http
from mediapipe.errors import ConfigError, Unavailable
from mediapipe.usenet import Job, Queued

if TYPE_CHECKING:
    from mediapipe.config import SabnzbdConfig

_OK, _SHORT = 200, 200
_LAST = 1e11
"""Epoch seconds that no clock will show."""
_PAGE = 200
"""Entries that are asked for at once; without a limit it gives ten."""


class Sabnzbd:
    """One SABnzbd.

    Every method raises Unavailable where no sound answer came, and ConfigError where it refuses the
    key.
    """

    def __init__(self, config: SabnzbdConfig, key: str) -> None:
        """Nothing is sent yet."""
        self._config = config
        self._key = key

    def ready(self) -> str:
        """Give its version, once it shows its queue for the key.

        Without a key it tells its version to everybody.
        """
        return str(self._ask("queue", limit="1").get("version") or "without a version")

    def history(self) -> tuple[Job, ...]:
        """Give the whole history, with what the *arr apps have archived.

        The first entries are jobs that it still works on. One that moves on while the pages are
        read may stand on two of them. One that is not understood says why.
        """
        found: dict[str, Job] = {}
        for archive in ("0", "1"):
            for slot in self._slots("history", archive=archive):
                job = self._job(slot)
                key = job.id or repr(slot)
                if key not in found or not job.ended:
                    found[key] = job
        return tuple(found.values())

    def queue(self) -> tuple[Queued, ...]:
        """Give what waits or is being downloaded."""
        return tuple(
            Queued(self._word(slot, "nzo_id"), self._word(slot, "filename"))
            for slot in self._slots("queue")
        )

    def _slots(self, mode: str, **query: str) -> list[Any]:
        """Give all entries of a list, page by page."""
        found: list[Any] = []
        while True:
            body = self._ask(mode, start=str(len(found)), limit=str(_PAGE), **query)
            slots = body.get("slots")
            if not isinstance(slots, list):
                raise self._strange(f"gives no list for mode={mode}")
            found += slots
            total = body.get("noofslots")
            if not slots or not isinstance(total, int) or len(found) >= total:
                return found

    def _job(self, slot: Any) -> Job:
        """Read an entry; of one of another shape, what it may be called."""
        try:
            return self._understood(slot)
        except Unavailable as error:
            fields = slot if isinstance(slot, dict) else {}
            words = [fields.get(name) for name in ("nzo_id", "name", "path")]
            id_, name, folder = (one if isinstance(one, str) else "" for one in words)
            return Job(id_, name, "", "", "", 0.0, folder, strange=str(error))

    def _understood(self, slot: Any) -> Job:
        id_ = self._word(slot, "nzo_id")
        completed = slot.get("completed")
        moment = completed if isinstance(completed, int | float) else 0
        return Job(
            id_,
            self._word(slot, "name"),
            self._word(slot, "category"),
            self._word(slot, "status"),
            self._word(slot, "storage"),
            float(moment) if 0 <= moment < _LAST else 0.0,
            self._word(slot, "path"),
            self._word(slot, "fail_message"),
            retry=bool(slot.get("retry")),
        )

    def _word(self, slot: Any, name: str) -> str:
        """Give a text of an entry; what has none has it empty, but a job has an id and a status."""
        if not isinstance(slot, dict):
            raise self._strange(f"gives {ascii(slot)[:_SHORT]} as a job")
        word = slot.get(name)
        if word is None and name not in ("nzo_id", "status", "filename"):
            return ""
        if not isinstance(word, str) or "\0" in word or (name == "nzo_id" and not word):
            raise self._strange(f"gives {ascii(word)[:_SHORT]} as {name} of a job")
        return word

    def _ask(self, mode: str, **query: str) -> dict[str, Any]:
        """Ask for a queue or history."""
        words = {"mode": mode, "output": "json", "apikey": self._key, **query}
        answer = http.get("SABnzbd", f"{self._config.url.rstrip('/')}/api", query=words)
        body = http.json_of(answer)
        found = body.get(mode) if isinstance(body, dict) else None
        if answer.status_code == _OK and isinstance(found, dict):
            return found
        told = " ".join(answer.text.split())[:_SHORT]
        where = f"SABnzbd at {self._config.url}"
        if "api key" in told.lower():  # a status of 200 or 403, as text or as JSON
            raise ConfigError(
                f"{where} refuses the key: {told}",
                hint="put the API key (Config, General; not the NZB key) into "
                "[sabnzbd] api_key_file",
            )
        if "hostname verification" in told.lower():
            raise ConfigError(
                f"{where} does not know itself by this name",
                hint="add it to its host_whitelist, or write the IP address",
            )
        raise self._strange(f"answers {answer.status_code}: {told}")

    def _strange(self, what: str) -> Unavailable:
        return Unavailable(f"SABnzbd at {self._config.url} {what}", hint="check [sabnzbd] url")
