"""What a job can and cannot do in its sandbox, tried from inside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.machine import CHECKOUT
from tests.systemd.box import COMPLETED, PYTHON, TV
from tests.systemd.probe import SANDBOXED, allowed, told_from_inside

if TYPE_CHECKING:
    from tests.systemd.box import MediaBox

pytestmark = pytest.mark.real

UPLOAD, CLEANUP = "qbt-upload-b2.service", "qbt-cleanup.service"


@pytest.mark.parametrize("unit", SANDBOXED)
def test_it_may_link_and_rename_and_nothing_that_is_not_its_own(box: MediaBox, unit: str) -> None:
    assert told_from_inside(box, unit) == allowed(box, unit)


def test_an_archive_is_extracted_and_uploaded_in_it(box: MediaBox) -> None:
    box.machine.sh(
        f"cd {COMPLETED} && echo inside >member && {PYTHON} -m zipfile -c album.zip member && "
        "rm member && chown media:media album.zip"
    )
    box.machine.systemctl("start", "qbittorrent-nox.service")
    box.machine.run("mediapipe", "wait-for", "qbittorrent")
    assert box.start(UPLOAD)["Result"] == "success"
    (done,) = box.events(job="upload", action="extract")
    assert done["MEDIAPIPE_PATH"] == f"{COMPLETED}/album.zip"
    assert box.machine.exists(f"{COMPLETED}/album.zip.uploaded")


def test_a_library_that_the_sandbox_closes_is_told_with_the_drop_in(box: MediaBox) -> None:
    """The advice is followed word for word, and then it works."""
    shows, films = "/usr/local/media/tv", "/usr/local/media/completed"
    box.machine.sh(f"install -d -o media -g media {shows} {films} {films}/tv")
    changed = ((TV, shows), (COMPLETED, films))
    box.configure(*changed)
    told = box.machine.run("mediapipe", "config", "check")
    assert "warning: the units that we ship may not write to paths.completed" in told.stderr
    assert "ReadWritePaths=/usr/local/media\n" in told.stderr

    box.add_show(f"{shows}/Show/S01E01.mkv")
    assert box.start(UPLOAD)["ExecMainStatus"] == "78"
    (ended,) = box.events(job="upload", outcome="error")
    assert f"read-only from here, though its disk is not: {films}" in ended["MESSAGE"]
    assert ended["PRIORITY"] == "3"
    advice = re.search(r"`systemctl edit (\S+)` and write there\n(.*)", ended["MESSAGE"], re.DOTALL)
    assert advice is not None
    box.machine.drop_in(advice[1], re.sub(r" planned=.*", "", advice[2]))
    assert box.start(UPLOAD)["Result"] == "success"
    assert box.machine.exists(f"{shows}/Show/S01E01.mkv.uploaded")
    box.machine.sh("rm -rf /usr/local/media")


def test_a_unit_says_nothing_to_systemd_that_could_touch_a_hung_mount() -> None:
    """Conditions on paths are looked at by PID 1 itself: on a dead FUSE mount it hangs for good."""
    for path in sorted((CHECKOUT / "systemd").iterdir()):
        text = path.read_text() if path.suffix in (".service", ".timer", ".path") else ""
        keys = re.findall(
            r"(?m)^(Condition\w*|Assert\w*|RequiresMountsFor|WorkingDirectory)=", text
        )
        assert keys == [], path.name


def test_every_service_tells_of_its_failure() -> None:
    for path in sorted((CHECKOUT / "systemd").glob("*.service")):
        line = "\nOnFailure=mediapipe-alert@%n.service\n" in path.read_text()
        assert line != path.name.startswith("mediapipe-alert"), path.name


def test_a_drop_in_of_the_owner_wins_over_the_sandbox(box: MediaBox) -> None:
    box.machine.drop_in(CLEANUP, "[Service]\nProtectSystem=no\n")
    assert box.machine.show(CLEANUP, "ProtectSystem") == {"ProtectSystem": "no"}
    assert box.machine.show(UPLOAD, "ProtectSystem") == {"ProtectSystem": "full"}
