"""The units of NixOS configurations, as NixOS writes them: run by a real systemd."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.machine import Machine, why_impossible
from tests.nixos import CHECKOUT, MINIMAL, PACKAGE, SECRETS, UNITS, Nix, write_tmpfiles, write_units

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VENV = CHECKOUT / ".venv"
PROGRAM = re.compile(r"^(Exec\w*=[-+!:@]*)/\S+", re.MULTILINE)
EVERYTHING = f"""{{
  services.mediapipe = {{
    enable = true;
    user = "films";
    createFolders = true;
    {SECRETS}
    secrets.lidarr-key = "/run/secrets/lidarr";
    settings.arr.lidarr = {{ url = "http://127.0.0.1:8686"; api_key_file = "lidarr-key"; }};
    settings.sabnzbd.api_key_file = "/run/secrets/lidarr";
    settings.upload.transfers = 2;
    upload.timerConfig = {{ OnCalendar = [ "*-01-01" "*-07-01" ]; Persistent = true; }};
    cleanup.extraServiceConfig = {{ Nice = 19; TimeoutStartSec = "2h"; }};
    categories.extraServiceConfig.ExecStart = [ "" "{PACKAGE}/bin/qbt-categories --wait 1s" ];
    waitFor.reader = "lidarr";
  }};
  services.qbittorrent.enable = true;
  services.sonarr.enable = true;
  services.jellyfin.enable = true;
  systemd.services.reader.serviceConfig = {{ Type = "oneshot"; ExecStart = "/bin/true"; }};
  systemd.services.qbittorrent.serviceConfig.ExecStart = "/bin/true";
  systemd.services.sonarr.serviceConfig.ExecStart = "/bin/true";
}}"""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as the package brings them; on NixOS all of them are linked into one folder."""
    stage = tmp_path_factory.mktemp("package")
    words = ["--silent", "--no-print-directory", "install-units", f"DESTDIR={stage}"]
    subprocess.run(
        ["make", *words, f"PREFIX={PACKAGE}"], cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL
    )
    return stage / PACKAGE[1:] / "lib" / "systemd" / "system"


def write_system(nix: Nix, configuration: str, shipped: Path, root: Path) -> Path:
    """Write what a configuration puts into /etc below `root`; gives the folder of the units."""
    units = root / "etc" / "systemd" / "system"
    shutil.copytree(shipped, units)
    data = nix.evaluate(configuration)
    write_units(data, units)
    write_tmpfiles(data, root / "etc" / "tmpfiles.d" / "mediapipe.conf")
    config = root / "etc" / "mediapipe" / "config.toml"
    config.parent.mkdir()
    shutil.copy(nix.build_config(configuration, str(VENV)), config)
    return units


@pytest.mark.parametrize("configuration", [MINIMAL, EVERYTHING], ids=["minimal", "everything"])
def test_systemd_has_no_complaint(
    configuration: str, nix: Nix, shipped: Path, tmp_path: Path
) -> None:
    units = write_system(nix, configuration, shipped, tmp_path)
    # verify looks whether each program exists, and the package is not installed here
    for file in [*units.rglob("*.service"), *units.rglob("*.conf")]:
        if file.is_file() and not file.is_symlink():
            file.write_text(PROGRAM.sub(r"\1/bin/true", file.read_text()))
    names = sorted(one.name for one in units.iterdir() if one.is_file())
    assert {one.name for one in UNITS.glob("*.timer")} <= set(names)
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *names],
        cwd=units, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


@pytest.fixture(scope="module")
def machine(nix: Nix, shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the second configuration, booted as NixOS would leave it."""
    if reason := why_impossible():
        pytest.skip(f"NO SYSTEMD WAS TESTED: {reason}")
    root = tmp_path_factory.mktemp("system")
    no_remote = "{ services.mediapipe.mount.enable = false; }"
    units = write_system(nix, f"{{ imports = [ {EVERYTHING} {no_remote} ]; }}", shipped, root)
    # the program is not installed here but comes from this checkout, which PrivateTmp= may hide
    for service in UNITS.glob("*.service"):
        drop_in = units / f"{service.name}.d" / "zz-checkout.conf"
        drop_in.parent.mkdir(exist_ok=True)
        drop_in.write_text(f"[Service]\nBindReadOnlyPaths={CHECKOUT}\n")
    programs = root / PACKAGE[1:] / "bin"
    programs.mkdir(parents=True)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    for name in (*project["scripts"], "rclone"):
        (programs / name).symlink_to(VENV / "bin" / name)
    with Machine(tmp_path_factory.mktemp("machine")) as booted:
        booted.sh("groupadd --system media; useradd --system --gid media films")
        booted.install(root)
        booted.write("/etc/secrets/rclone.conf", "the remote\n", mode=0o400)
        booted.write("/etc/secrets/lidarr", "0123456789abcdef0123456789abcdef\n", mode=0o400)
        booted.write("/etc/tmpfiles.d/secrets.conf", "C /run/secrets - - - - /etc/secrets\n")
        booted.write("/var/lib/arr/config.xml", "<Config><ApiKey>k</ApiKey></Config>", mode=0o600)
        booted.reboot()
        yield booted


@pytest.mark.real
def test_timers_and_paths_run_without_an_install_section(machine: Machine) -> None:
    for unit in (*UNITS.glob("*.timer"), *UNITS.glob("*.path")):
        assert machine.show(unit.name, "ActiveState")["ActiveState"] == "active", unit.name
    own = machine.systemctl("show", "qbt-upload-b2.timer")
    assert "TimersMonotonic" not in own
    assert "OnCalendar=*-01-01" in own
    assert "OnCalendar=*-07-01" in own
    assert "OnUnitInactiveUSec=10min" in machine.systemctl("show", "qbt-cleanup.timer")


@pytest.mark.real
def test_a_job_runs_in_the_shipped_way_as_the_named_user_with_its_secrets(machine: Machine) -> None:
    probe = "ls -l $CREDENTIALS_DIRECTORY; cat $CREDENTIALS_DIRECTORY/rclone.conf; id -un; nice"
    machine.drop_in(
        "qbt-cleanup.service", f"[Service]\nExecStart=\nExecStart=/bin/sh -c '{probe}'\n",
        name="zz-probe",
    )  # fmt: skip
    machine.systemctl("start", "qbt-cleanup.service")
    told = machine.messages("qbt-cleanup.service")
    assert "the remote\nfilms\n19\n" in told
    assert "lidarr-key" in told
    shown = machine.show("qbt-cleanup.service", "NoNewPrivileges", "TimeoutStartUSec", "KillMode")
    assert shown == {"NoNewPrivileges": "yes", "TimeoutStartUSec": "2h", "KillMode": "mixed"}
    machine.run("rm", "-r", "/etc/systemd/system/qbt-cleanup.service.d/zz-probe.conf")
    machine.systemctl("daemon-reload")


@pytest.mark.real
def test_the_program_reads_the_configuration_that_was_built(machine: Machine) -> None:
    """Without a qBittorrent the job says so and waits for its timer: 75 is no failure."""
    machine.systemctl("start", "qbt-cleanup.service")
    assert machine.show("qbt-cleanup.service", "Result", "ExecMainStatus")["Result"] == "success"
    assert "qBittorrent at http://127.0.0.1:8080" in machine.messages("qbt-cleanup.service")
    assert machine.run(f"{PACKAGE}/bin/mediapipe", "config", "check").returncode == 0


@pytest.mark.real
def test_a_plan_can_be_looked_at_by_hand_with_the_secrets_of_a_job(machine: Machine) -> None:
    """The command of the how-to; without a qBittorrent there is nothing to plan yet."""
    told = machine.run(
        "systemd-run", "--pipe", "--wait", "--collect", "--property=User=films",
        "--property=StateDirectory=mediapipe",
        "--property=LoadCredential=rclone.conf:/run/secrets/rclone.conf",
        f"{PACKAGE}/bin/mediapipe", "cleanup", "--dry-run", status=75,
    )  # fmt: skip
    assert "qBittorrent at http://127.0.0.1:8080" in told.stderr


@pytest.mark.real
def test_missing_folders_are_made_for_the_group(machine: Machine) -> None:
    folders = ("/media/arr/tv", "/var/lib/qBittorrent/completed", "/var/lib/qBittorrent/extracted")
    told = machine.run("stat", "--format=%a %U %G", *folders).stdout
    assert told.splitlines() == ["2775 films media"] * 3


@pytest.mark.real
def test_a_unit_that_waits_for_an_app_does_not_start_before_it(machine: Machine) -> None:
    machine.systemctl("start", "--no-block", "reader.service")
    machine.wait_for(
        lambda: "waiting for lidarr" in machine.messages("reader.service"), what="the waiting"
    )
    shown = machine.show("reader.service", "ActiveState", "SubState")
    assert shown == {"ActiveState": "activating", "SubState": "start-pre"}
    machine.systemctl("stop", "reader.service")
