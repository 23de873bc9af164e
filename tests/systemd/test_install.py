"""`make install`: what it puts where, and that `make uninstall` takes exactly that away."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.machine import CHECKOUT
from tests.systemd.installing import INTERPRETER, make

if TYPE_CHECKING:
    from tests.machine import Machine

pytestmark = pytest.mark.real

SCRIPTS = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["scripts"]
UNITS = "usr/local/lib/systemd/system"


def paths(tree: Path) -> set[str]:
    """Give all that lies below a folder, but for what the environment is made of."""
    found = {str(one.relative_to(tree)) for one in tree.rglob("*") if not one.is_dir()}
    return {one for one in found if not one.startswith("usr/local/lib/mediapipe/")}


def test_every_command_is_linked_and_has_its_man_page(staged: Path) -> None:
    assert {one.name for one in (staged / "usr/local/bin").iterdir()} == set(SCRIPTS)
    pages = {one.name for one in (staged / "usr/local/share/man/man1").iterdir()}
    assert pages == {f"{name}.1" for name in SCRIPTS}
    assert (staged / "usr/local/share/man/man5/mediapipe.toml.5").exists()


def test_every_unit_is_installed_and_sandboxed_unless_it_says_why_not(staged: Path) -> None:
    kinds = (".service", ".timer", ".path", ".socket", ".slice")
    ours = [one for one in (CHECKOUT / "systemd").iterdir() if one.suffix in kinds]
    assert ours
    for unit in ours:
        there = staged / UNITS / unit.name
        assert there.exists(), f"{unit.name} is not installed"
        text = unit.read_text()
        sandbox = Path(f"{there}.d/10-sandbox.conf")
        wanted = unit.suffix == ".service" and not re.search(r"(?m)^# No sandbox.conf: .", text)
        assert sandbox.exists() == wanted, unit.name


def test_nobody_s_configuration_is_touched(staged: Path) -> None:
    assert [one.name for one in (staged / "etc/mediapipe").iterdir()] == ["config.toml.example"]


def test_nothing_installed_names_the_place_where_it_was_built(staged: Path) -> None:
    found = subprocess.run(
        ["grep", "-rlF", "-e", str(staged), "-e", str(CHECKOUT), str(staged)],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    assert found == ""


def test_the_example_is_a_sound_configuration(installed: Machine) -> None:
    told = installed.run("mediapipe", "config", "check", "/etc/mediapipe/config.toml.example")
    assert "is sound" in told.stdout
    assert installed.sh("stat -c '%U %a' /var/lib/mediapipe").split() == ["media", "750"]


def test_it_enables_nothing(installed: Machine) -> None:
    files = installed.systemctl("list-unit-files", "--no-legend", "qbt-*", "mediapipe*")
    states = {line.split()[0]: line.split()[1] for line in files.splitlines()}
    assert states
    assert set(states.values()) <= {"disabled", "static"}, states


def test_man_shows_a_page(staged: Path) -> None:
    page = (staged / "usr/local/share/man/man1/mediapipe.1").read_text()
    assert page.startswith('.TH "MEDIAPIPE" "1"')
    assert "\\fBexplain\\fR \\fIPATH\\fR|" in page
    assert ".TP\n75\na service, a mount or the lock" in page
    assert "](" not in page.replace("](ISO", "")
    assert "\n: " not in page


def test_uninstall_leaves_what_is_not_ours(staged: Path, tmp_path: Path) -> None:
    """In a tree of links, since the real one is needed by other tests."""
    root = tmp_path / "root"
    subprocess.run(["cp", "-al", str(staged), str(root)], check=True)
    own = {
        "etc/mediapipe/config.toml": "[paths]\n",
        "usr/local/bin/other": "",
        f"{UNITS}/qbt-cleanup.service.d/50-own.conf": "[Service]\n",
        "var/lib/mediapipe/audit.jsonl": "{}\n",
    }
    for name, text in own.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [str(CHECKOUT / "scripts/uninstall.sh"), "/usr/local", str(root)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "uninstalled" in told
    assert paths(root) == set(own)
    assert not (root / "usr/local/share").exists()
    assert not (root / "usr/local/lib/mediapipe").exists()
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "nothing is installed" in again.stderr


def test_the_list_of_what_is_installed_is_whole(staged: Path) -> None:
    listed = (staged / "usr/local/lib/mediapipe/installed").read_text().splitlines()
    files = {os.path.normpath(line) for line in listed if not line.endswith("/")}
    assert files == paths(staged)


@pytest.mark.soak
def test_an_upgrade_takes_away_what_the_new_version_has_no_more(
    staged: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", str(staged), str(root)], check=True)
    old = root / UNITS / "old-job.service"
    old.write_text("[Service]\nExecStart=/usr/local/bin/old-job\n")
    with (root / "usr/local/lib/mediapipe/installed").open("a") as listed:
        listed.write(f"./{UNITS}/old-job.service\n")
    own = root / UNITS / "own.service"
    own.write_text("[Service]\nExecStart=/bin/true\n")
    make("install", f"DESTDIR={root}", f"PYTHON={INTERPRETER}")
    assert not old.exists()
    assert paths(root) == paths(staged) | {f"{UNITS}/own.service"}
