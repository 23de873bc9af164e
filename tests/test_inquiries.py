"""The commands that are no jobs, as people meet them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.lifecycle import offer
from mediapipe.testing.box import Box
from tests.hosts import snapshot

if TYPE_CHECKING:
    from mediapipe.testing.b2 import B2Server

pytestmark = pytest.mark.real

NOWHERE = "http://127.0.0.1:9"
PHOTOS = {"fileNamePrefix": "photos/", "daysFromUploadingToHiding": 9}


@pytest.fixture
def box(tmp_path: Path, b2: B2Server) -> Box:
    return Box(tmp_path / "box", NOWHERE, b2.rclone_config())


def ask(box: Box, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `mediapipe` with these words; demands its status, and no traceback."""
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "mediapipe"), *words, "--config", str(box.config_path)],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended


def answer(box: Box, *words: str, status: int = 0) -> dict[str, Any]:
    told = ask(box, *words, "--json", status=status).stdout
    assert told.count("\n") == 1
    found = json.loads(told)
    assert isinstance(found, dict)
    return found


def audit(box: Box) -> list[dict[str, Any]]:
    path = box.state / "audit.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


# lifecycle


def test_rules_are_shown_and_nothing_is_changed(b2: B2Server, box: Box) -> None:
    rules = [PHOTOS, {"fileNamePrefix": "tv/", "daysFromUploadingToHiding": 3}]
    b2.set_lifecycle(rules)
    before = snapshot(box.folder)

    told, shown = answer(box, "lifecycle"), ask(box, "lifecycle").stdout

    assert (told["outcome"], told["in_force"], told["folder"]) == ("done", False, "")
    assert told["before"] == told["after"] == rules
    assert told["offered"] == offer("")
    assert any("cleanup refuses" in one and "'tv/'" in one for one in told["warnings"])
    assert "hidden 9 days after the upload" in shown
    assert "cleanup refuses" in shown
    assert "first remove" in shown
    assert b2.lifecycle() == rules
    assert snapshot(box.folder) == before


def test_the_offered_rule_is_set_when_asked_for(b2: B2Server, box: Box) -> None:
    b2.set_lifecycle([{"fileNamePrefix": "", "daysFromHidingToDeleting": 1}])
    assert "to set it  mediapipe lifecycle --apply" in ask(box, "lifecycle").stdout

    shown = ask(box, "lifecycle", "--apply").stdout

    assert b2.lifecycle() == [offer("")]
    assert "deleted after 1 day\n" in shown
    assert "rules after  the whole bucket: hidden and replaced versions deleted" in shown
    (line,) = audit(box)
    assert (line["action"], line["path"]) == ("set-lifecycle", f"b2:{b2.bucket}")
    assert line["before"] == [{"fileNamePrefix": "", "daysFromHidingToDeleting": 1}]
    assert line["rules"] == [offer("")]
    again = answer(box, "lifecycle", "--apply")
    assert (again["in_force"], again["warnings"]) == (True, [])
    assert len(audit(box)) == 1


def test_rules_for_other_folders_stay(b2: B2Server, box: Box) -> None:
    b2.set_lifecycle([PHOTOS])
    box.write_config(rclone={"remote": f"b2:{b2.bucket}/media"})

    told = answer(box, "lifecycle", "--apply")

    assert told["after"] == b2.lifecycle() == [PHOTOS, offer("media/")]


def test_the_folder_is_the_one_that_all_of_ours_lie_in(b2: B2Server, box: Box) -> None:
    box.write_config(
        rclone={"remote": f"b2:{b2.bucket}/a/"},
        upload={"uncategorized_remote": "b/c/downloads"},
        **{"libraries.tv": {"remote": "b/c/tv"}, "libraries.movies": {"remote": "b/c/films"}},
    )
    assert answer(box, "lifecycle")["folder"] == "a/b/c/"


@pytest.mark.parametrize("prefix", ["", "tv/"])
def test_a_rule_of_somebody_else_is_not_dropped(b2: B2Server, box: Box, prefix: str) -> None:
    rules = [{"fileNamePrefix": prefix, "daysFromUploadingToHiding": 9}]
    b2.set_lifecycle(rules)

    ended = ask(box, "lifecycle", "--apply", status=3)
    told = answer(box, "lifecycle", "--apply", status=3)

    assert "rules now" in ended.stdout
    assert "refused: nothing was changed" in ended.stderr
    assert "hint: remove that rule" in ended.stderr
    assert told["outcome"] == "refused"
    assert b2.lifecycle() == rules
    assert audit(box) == []


def test_a_key_for_uploads_shows_and_cannot_set(b2: B2Server, tmp_path: Path) -> None:
    box = Box(tmp_path / "box", NOWHERE, b2.rclone_config("restricted"))
    assert answer(box, "lifecycle")["before"] == []

    ended = ask(box, "lifecycle", "--apply", status=78)

    assert "writeBuckets, for this once" in ended.stderr
    assert b2.lifecycle() == []
    assert audit(box) == []


def test_what_cannot_be_written_down_is_not_done(b2: B2Server, box: Box) -> None:
    (box.state / "audit.jsonl").mkdir()

    ask(box, "lifecycle", "--apply", status=75)

    assert b2.lifecycle() == []


def test_behind_another_remote_there_are_no_rules(b2: B2Server, tmp_path: Path) -> None:
    config = f"{b2.rclone_config()}\n[a]\ntype = alias\nremote = b2:{b2.bucket}\n"
    box = Box(tmp_path / "box", NOWHERE, config)
    box.write_config(rclone={"remote": "a:x"})

    assert "is not plainly B2" in ask(box, "lifecycle", status=78).stderr


def test_an_outage_is_one(b2: B2Server, box: Box) -> None:
    b2.stop()

    assert answer(box, "lifecycle", status=75)["outcome"] == "unavailable"
