"""`mediapipe logs`: which journal entries it asks journalctl for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mediapipe.arguments import UNITS, parse_umbrella
from mediapipe.errors import UsageError
from mediapipe.logs import SERVICES, command

MEDIAPIPE = Path(sys.executable).parent / "mediapipe"
OURS = Path(__file__).parent.parent / "systemd"


def asked(*words: str) -> list[str]:
    return command(parse_umbrella(["logs", *words]))


def test_a_job_is_found_by_its_own_words_its_unit_and_systemds_words() -> None:
    assert asked("upload") == [
        "journalctl", "--quiet", "--lines=100",
        "_SYSTEMD_UNIT=qbt-upload-b2.service",
        "+", "MEDIAPIPE_JOB=upload",
        "+", "SYSLOG_IDENTIFIER=qbt-upload-b2",
        "+", "_PID=1", "UNIT=qbt-upload-b2.service",
    ]  # fmt: skip


def test_options_become_journalctls() -> None:
    assert asked("--since", "2h", "upload")[:3] == ["journalctl", "--quiet", "--since=-7200s"]
    words = asked("-f", "-n", "5", "--since", "1d", "--json")
    assert {"--lines=5", "--follow", "--since=-86400s", "--output=json"} <= {*words}
    assert "_SYSTEMD_SLICE=mediapipe.slice" in words


@pytest.mark.parametrize("words", [["never"], ["-n", "x"], ["--since", "yesterday"]])
def test_a_wrong_word_is_told(words: list[str]) -> None:
    with pytest.raises(UsageError):
        asked(*words)


def test_every_service_of_ours_can_be_asked_for() -> None:
    assert SERVICES.items() >= UNITS.items()
    units = {one.stem for one in OURS.glob("*.service") if "@" not in one.name}
    assert units <= {*SERVICES.values()}


def test_without_a_journalctl_it_says_so(tmp_path: Path) -> None:
    assert shutil.which("journalctl", path=str(tmp_path)) is None
    ended = subprocess.run(
        [str(MEDIAPIPE), "logs"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 78
    assert "there is no journalctl here" in ended.stderr
    assert "Traceback" not in ended.stderr
