"""The trigger of an upload: taken first, whatever it is, and dropped by the hook of the apps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mediapipe import triggers
from tests.test_idle_pass import environment

UPLOAD = Path(sys.executable).parent / "qbt-upload-b2"
HOOK = Path(__file__).parent.parent / "systemd" / "arr-import-hook.sh"
NOBODY = 65534


def run_upload(state: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run an upload as systemd does, with a configuration that is worth nothing."""
    config = state.parent / "config.toml"
    config.write_text("[nonsense")
    return subprocess.run(
        [UPLOAD, "--config", str(config), *options],
        env={**environment(), "STATE_DIRECTORY": str(state)},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def test_a_run_takes_it_first_even_where_the_configuration_is_worth_nothing(state: Path) -> None:
    triggers.drop(str(state), "watch")
    (state / "upload.d" / "arr-1000").symlink_to("/nowhere")
    assert run_upload(state).returncode == 78
    assert list((state / "upload.d").iterdir()) == []


def test_a_dry_run_takes_nothing(state: Path) -> None:
    triggers.drop(str(state), "watch")
    run_upload(state, "--dry-run")
    assert (state / "upload.d" / "watch").exists()


def test_what_cannot_be_removed_goes_aside_with_the_folder(state: Path) -> None:
    for number in (1, 2):
        triggers.drop(str(state), "watch")
        poison = state / "upload.d" / "folder"
        poison.mkdir()
        (poison / "file").write_bytes(b"")
        assert f"is in {state}/upload.d.bad-{number} now" in run_upload(state).stderr
        assert list((state / "upload.d").iterdir()) == []
        assert (state / "upload.d").stat().st_mode & 0o7777 == 0o770
        assert (state / f"upload.d.bad-{number}" / "folder" / "file").exists()


def test_the_first_run_makes_the_folder_for_the_group(state: Path) -> None:
    run_upload(state)
    assert (state / "upload.d").stat().st_mode & 0o7777 == 0o770


def shells() -> list[list[str]]:
    """Give the shells of the hosts and containers that run the hook."""
    found = [["dash"], ["bash", "--posix"], ["busybox", "sh"]]
    return [one for one in found if shutil.which(one[0])]


@pytest.mark.parametrize("shell", shells(), ids=" ".join)
@pytest.mark.parametrize(
    ("event", "dropped"),
    [
        ({"sonarr_eventtype": "Download"}, True),
        ({"radarr_eventtype": "Download"}, True),
        ({"lidarr_eventtype": "AlbumDownload"}, True),
        ({"sonarr_eventtype": "Rename"}, True),
        ({}, True),
        ({"sonarr_eventtype": "Test"}, False),
        ({"sonarr_eventtype": "Grab"}, False),
        ({"radarr_eventtype": "HealthIssue"}, False),
    ],
)
def test_the_hook_asks_after_an_import(
    shell: list[str], event: dict[str, str], dropped: bool, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [*shell, str(HOOK)],
        env={"PATH": os.environ["PATH"], **event, "MEDIAPIPE_TRIGGER": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [one.name for one in tmp_path.iterdir()] == (["arr-0"] if dropped else [])


def test_the_hook_says_what_is_missing_and_spoils_no_import(tmp_path: Path) -> None:
    def run(folder: Path) -> str:
        ended = subprocess.run(
            ["sh", str(HOOK)], user=NOBODY, capture_output=True, text=True, check=False, cwd="/",
            env={"PATH": os.environ["PATH"], "MEDIAPIPE_TRIGGER": str(folder)},
        )  # fmt: skip
        assert ended.returncode == 0
        return ended.stderr

    assert "is qbt-upload-b2.path started?" in run(tmp_path / "nothing")
    folder = Path("/var/tmp") / f"mediapipe-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        assert "may not write" in run(folder)
    finally:
        folder.rmdir()
