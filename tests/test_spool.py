"""What SABnzbd's hook script writes, and what a stranger may have written in its place."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe import spool
from mediapipe.config import SabnzbdConfig
from mediapipe.errors import ConfigError
from mediapipe.history import open_history
from mediapipe.units import AbsPath

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOOK = Path(__file__).parents[1] / "systemd" / "sabnzbd-hook.sh"
SHELLS = [["dash"], ["busybox", "sh"]]
NAMES = [
    "Show.S01E01", "it's \"quoted\"", "back\\slash\\n", "two\nlines\n", "tab\there",
    "$(touch oops)", "`touch oops`", "-n", "%s%d", "Ünï ©ode", "\udcff\udcfe bytes", "a" * 200,
    " ", "*", "../../up",
]  # fmt: skip


def told(settings: SabnzbdConfig, state: Path) -> dict[str, Any]:
    """Take what lies in the spool, and give what the history knows then."""
    events: list[Any] = []
    spool.take(settings, str(state), lambda *words, **fields: events.append((words, fields)))
    with contextlib.closing(open_history(str(state))) as history:
        return {id_: job for id_, (job, _) in history.spooled().items()}


def hook(shell: Sequence[str], folder: Path, *words: str, **variables: str) -> str:
    ended = subprocess.run(
        [*shell, HOOK, *words],
        env={"PATH": os.environ["PATH"], "MEDIAPIPE_SPOOL": str(folder), **variables},
        cwd=folder.parent, stdin=subprocess.DEVNULL, capture_output=True, check=True,
    )  # fmt: skip
    return ended.stdout.decode(errors="surrogateescape")


@pytest.fixture
def settings(tmp_path: Path) -> SabnzbdConfig:
    (tmp_path / "spool").mkdir()
    return SabnzbdConfig(spool=AbsPath(str(tmp_path / "spool")))


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_hook_tells_every_name(
    shell: list[str], settings: SabnzbdConfig, tmp_path: Path
) -> None:
    for number, name in enumerate(NAMES):
        hook(
            shell, Path(settings.spool), SAB_COMPLETE_DIR=f"/data/complete/tv/{name}",
            SAB_FINAL_NAME=name, SAB_CAT="tv", SAB_PP_STATUS="0", SAB_NZO_ID=f"id-{number}",
            SAB_API_KEY="a secret",
        )  # fmt: skip
    files = [*Path(settings.spool).iterdir()]
    assert len(files) == len(NAMES)
    assert not any(b"secret" in file.read_bytes() for file in files)
    known = told(settings, tmp_path / "state")
    assert [known[f"id-{number}"] for number in range(len(NAMES))] == [
        {"nzo_id": f"id-{number}", "name": name, "category": "tv", "status": "0",
         "complete_dir": f"/data/complete/tv/{name}"}
        for number, name in enumerate(NAMES)
    ]  # fmt: skip
    assert [*Path(settings.spool).iterdir()] == []
    assert not (tmp_path / "oops").exists()


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_hook_by_hand_and_where_it_cannot_write(
    shell: list[str], settings: SabnzbdConfig, tmp_path: Path
) -> None:
    folder = Path(settings.spool)
    words = ["/data/complete/tv/Show", "Show.nzb", "Show", "", "tv", "alt.binaries", "0"]
    assert hook(shell, folder, *words) == "told the host of Show\n"
    # an odd id is no file name
    hook(shell, folder, *words, SAB_NZO_ID="../../escape")
    assert {job["name"] for job in told(settings, tmp_path / "state").values()} == {"Show"}
    shutil.rmtree(folder)
    # the last line is shown in SABnzbd; an exit status could make the job fail there
    assert "the host's timer will find it" in hook(shell, folder, *words)
    assert not folder.exists()


def test_failed_jobs_are_not_remembered(settings: SabnzbdConfig, tmp_path: Path) -> None:
    hook(["dash"], Path(settings.spool), "/x", "", "X", "", "tv", "", "1", SAB_NZO_ID="one")
    assert told(settings, tmp_path / "state") == {}
    assert [*Path(settings.spool).iterdir()] == []


GOOD = {"version": 1, "nzo_id": "x", "status": "0", "complete_dir": "/d/X", "name": "X",
        "category": "tv"}  # fmt: skip
BAD = {
    "empty": b"",
    "torn": json.dumps(GOOD).encode()[:-9],
    "no object": b"[1]",
    "deep": b"[" * 60_000,
    "other version": json.dumps({**GOOD, "version": 2}).encode(),
    "no id": json.dumps({**GOOD, "nzo_id": ""}).encode(),
    "long id": json.dumps({**GOOD, "nzo_id": "x" * 201}).encode(),
    "id of control characters": json.dumps({**GOOD, "nzo_id": "a\nb"}).encode(),
    "a number for a text": json.dumps({**GOOD, "name": 7}).encode(),
    "NUL": json.dumps({**GOOD, "complete_dir": "/d/\0"}).encode(),
    "missing": json.dumps({"version": 1, "nzo_id": "x"}).encode(),
    "large": json.dumps({**GOOD, "more": "x" * 70_000}).encode(),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_set_aside_with_its_reason(
    name: str, settings: SabnzbdConfig, tmp_path: Path
) -> None:
    folder = Path(settings.spool)
    (folder / f"{name}.json").write_bytes(BAD[name])
    (folder / "good.json").write_text(json.dumps(GOOD))
    assert told(settings, tmp_path / "state") == {"x": {key: GOOD[key] for key in spool._TEXTS}}
    # systemd's DirectoryNotEmpty= sees no hidden name
    assert [path.name for path in folder.iterdir()] == [spool.FAILED]
    aside = {path.suffix: path for path in (folder / spool.FAILED).iterdir()}
    assert aside[".json"].read_bytes() == BAD[name]
    assert aside[".reason"].read_text().startswith("it")


def test_what_is_no_file_is_set_aside_too(settings: SabnzbdConfig, tmp_path: Path) -> None:
    folder = Path(settings.spool)
    (folder / "folder").mkdir()
    (folder / "folder" / "inner").write_bytes(b"")
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / os.fsdecode(b"\xff" + b"x" * 254)).write_bytes(b"")
    assert told(settings, tmp_path / "state") == {}
    assert [path.name for path in folder.iterdir()] == [spool.FAILED]
    assert len([*(folder / spool.FAILED).glob("*.reason")]) == 4
    assert Path("/etc/passwd").exists()


def _by_a_stranger(folder: Path, way: str) -> None:
    """Leave in the spool what only its maker may move to another folder, or no such folder."""
    match way:
        case "a folder of somebody else":
            (folder / "folder").mkdir(mode=0o755)
        case "a file called .failed":
            (folder / spool.FAILED).write_bytes(b"")
        case "a link called .failed":
            (folder.parent / "elsewhere").mkdir()
            os.chown(folder.parent / "elsewhere", NOBODY, NOBODY)
            (folder / spool.FAILED).symlink_to(folder.parent / "elsewhere")
        case "somebody else's .failed":
            (folder / spool.FAILED).mkdir(mode=0o755)


NOBODY = 65534
WAYS = [
    "a folder of somebody else", "a file called .failed", "a link called .failed",
    "somebody else's .failed",
]  # fmt: skip


@pytest.fixture
def of_nobody() -> Iterator[Path]:
    """A folder of another user's: that of pytest may be entered by its owner alone."""
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY, NOBODY)
        yield Path(name)


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("way", WAYS)
def test_what_a_stranger_made_holds_up_no_job(way: str, of_nobody: Path, tmp_path: Path) -> None:
    """Everybody in the container may write to the spool: nothing there may wedge the host's job."""
    folder = of_nobody / "spool"
    settings = SabnzbdConfig(spool=AbsPath(str(folder)))
    told(settings, tmp_path / "state")  # makes it, and imports what the other user may not
    os.chown(folder, NOBODY, NOBODY)
    _by_a_stranger(folder, way)
    (folder / "bad.json").write_bytes(b"bad")
    (folder / "good.json").write_text(json.dumps(GOOD))
    os.seteuid(NOBODY)
    try:
        assert [*told(settings, of_nobody / "state")] == ["x"]
    finally:
        os.seteuid(0)
    # systemd's DirectoryNotEmpty= sees no hidden name
    assert [path.name for path in folder.iterdir() if path.name[0] != "."] == []
    assert not [*of_nobody.glob("elsewhere/*")]
    kept = [path for path in folder.rglob("*") if path.is_file() and path.read_bytes() == b"bad"]
    assert len(kept) == 1
    os.utime(kept[0], (1, 1))
    told(settings, tmp_path / "state")
    assert kept[0].exists()


def test_what_cannot_be_taken_away_is_told(settings: SabnzbdConfig, tmp_path: Path) -> None:
    shutil.rmtree(settings.spool)
    Path(settings.spool).write_bytes(b"")
    with pytest.raises(ConfigError, match="out of the spool"):
        told(settings, tmp_path / "state")


def test_the_spool_is_made_and_what_a_killed_hook_left_goes(
    settings: SabnzbdConfig, tmp_path: Path
) -> None:
    shutil.rmtree(settings.spool)
    assert told(settings, tmp_path / "state") == {}
    old, new = (Path(settings.spool) / f".{name}.part" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"{")
    os.utime(old, (1, 1))
    told(settings, tmp_path / "state")
    assert [*Path(settings.spool).iterdir()] == [new]
