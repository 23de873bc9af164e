"""What the doctor finds, what it could not look at, and what is well: facts, text and JSON."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from mediapipe.errors import (
    EXIT_STATUS,
    ActionFailed,
    ConfigError,
    LoginRefused,
    MediapipeError,
    Unavailable,
)
from mediapipe.facts import fact
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NOT_OURS = "is it there, and may who runs this look at it?"


@fact
class Finding:
    """Something that is wrong, in three sentences."""

    topic: str
    subject: str
    what: str
    why: str
    do: str


@fact
class Unknown:
    """Something that could not be looked at: neither well nor wrong."""

    topic: str
    subject: str
    reason: str
    do: str


@dataclass
class Notes:
    """What a visit of the doctor brings together."""

    findings: list[Finding] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    well: list[tuple[str, str]] = field(default_factory=list)
    """Topic and subject of what was looked at, and is as it should be."""
    refused: list[LoginRefused] = field(default_factory=list)
    """Secrets that were refused: they must not be sent again."""
    show: Callable[[str], None] = lambda _subject: None
    """Is told what is looked at now."""

    @contextlib.contextmanager
    def looking(self, topic: str, subject: str) -> Iterator[Callable[[str, str, str], None]]:
        """Look at one subject; gives what takes a finding: what, why, what to do.

        What cannot be looked at ends this one look, and no other.
        """
        self.show(f"{topic}: {subject}")
        before = len(self.findings)

        def found(what: str, why: str, do: str) -> None:
            self.findings.append(Finding(topic, subject, what, why, do))

        try:
            yield found
        except (ConfigError, ActionFailed) as error:
            if isinstance(error, LoginRefused):
                self.refused.append(error)
            found(str(error), "nothing that needs it can work", _hint(error, "see its own log"))
        except (Unavailable, OSError) as error:
            self.unknown.append(Unknown(topic, subject, _words(error), _hint(error, _NOT_OURS)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if topic != "arr":  # there alone it is somebody else's answer that is read
                raise
            words = f"an answer of another shape ({type(error).__name__}: {error})"
            self.unknown.append(Unknown(topic, subject, words, "is its version one that we know?"))
        else:
            if len(self.findings) == before:
                self.well.append((topic, subject))

    @property
    def outcome(self) -> str:
        """One word for the visit: findings outweigh what could not be looked at."""
        return "findings" if self.findings else "unavailable" if self.unknown else "well"

    @property
    def exit_status(self) -> int:
        """The process's exit status."""
        if self.findings:
            return EXIT_STATUS["partial"]
        return EXIT_STATUS["unavailable"] if self.unknown else EXIT_STATUS["done"]


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return ": ".join(str(one) for one in (error.filename, error.strerror or error) if one)
    return str(error)


def _hint(error: Exception, otherwise: str) -> str:
    return error.hint if isinstance(error, MediapipeError) else otherwise


def as_json(notes: Notes) -> dict[str, object]:
    """Give the answer for programs."""
    return {
        "outcome": notes.outcome,
        "findings": [asdict(one) for one in notes.findings],
        "unknown": [asdict(one) for one in notes.unknown],
        "well": [{"topic": topic, "subject": subject} for topic, subject in notes.well],
    }


def as_text(notes: Notes) -> Iterator[str]:
    """Give the answer for people, line by line: what has to be done last, where it is seen."""
    for topic, subject in notes.well:
        yield f"   well  {topic}: {shown(subject)}"
    for unknown in notes.unknown:
        yield f"unknown  {unknown.topic}: {shown(unknown.subject)}: {shown(unknown.reason)}"
        if unknown.do:
            yield f"         hint: {shown(unknown.do)}"
    for one in notes.findings:
        yield f"  FOUND  {one.topic}: {shown(one.subject)}: {shown(one.what)}"
        yield f"         why: {shown(one.why)}"
        yield f"         do:  {shown(one.do)}"
    found, unknown_ = len(notes.findings), len(notes.unknown)
    words = f"{found} finding{'' if found == 1 else 's'}, {unknown_} not looked at"
    yield f"doctor: {words}, {len(notes.well)} well"
