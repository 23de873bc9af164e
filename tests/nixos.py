"""NixOS configurations evaluated by the real Nix, and written down as units like NixOS does it.

The options of NixOS itself, and nixpkgs' library, are stand-ins (tests/nix/*.nix). Where
NIXPKGS_LIB names a copy of nixpkgs/lib, that is used instead.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parent.parent
MODULES = CHECKOUT / "tests" / "nix"
UNITS = CHECKOUT / "systemd"
PACKAGE = "/opt/mediapipe"
SECRETS = 'secrets."rclone.conf" = "/run/secrets/rclone.conf";'
MINIMAL = f"{{ services.mediapipe = {{ enable = true; {SECRETS} }}; }}"


class NixError(Exception):
    """What Nix said."""


class Nix:
    """Nix with a store of its own below `folder`, so that it needs no rights and leaves nothing."""

    def __init__(self, folder: Path) -> None:
        folder = folder.resolve()  # no part of the path of a store may be a link
        settings = folder / "etc"
        settings.mkdir(parents=True)
        (settings / "nix.conf").write_text(
            "build-users-group =\nsandbox = false\nsubstitute = false\n"
        )
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "NIX_STORE_DIR": str(folder / "store"),
            "NIX_STATE_DIR": str(folder / "var"),
            "NIX_LOG_DIR": str(folder / "log"),
            "NIX_CONF_DIR": str(settings),
        }

    def run(self, *command: str) -> str:
        """Run a command of Nix and give its output; raises NixError with what it complained of."""
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, env=self._environment
        )
        if ended.returncode != 0:
            raise NixError(ended.stderr)
        return ended.stdout

    def value(self, expression: str) -> Any:
        """Evaluate an expression."""
        command = ("nix-instantiate", "--eval", "--strict", "--json", "--expr", expression)
        return json.loads(self.run(*command))

    def evaluate(self, configuration: str) -> dict[str, Any]:
        """Give what a configuration comes to."""
        return dict(self.value(f"({self._evaluated(configuration)}).data"))

    def options(self) -> list[dict[str, Any]]:
        """Give all options of ours."""
        return list(self.value(f"({self._evaluated('{ }')}).options"))

    def build_config(self, configuration: str, package: str) -> Path:
        """Build config.toml, as `nixos-rebuild` would, with the program that lies in `package`."""
        expression = f"({self._evaluated(configuration, package)}).configFile"
        return Path(self.run("nix-build", "--no-out-link", "--expr", expression).strip())

    @staticmethod
    def _evaluated(configuration: str, package: str = PACKAGE) -> str:
        library = os.environ.get("NIXPKGS_LIB")
        words = f"libPath = {library};" if library else ""
        return (
            f"import {MODULES}/evaluate.nix"
            f' {{ {words} package = "{package}"; configuration = {configuration}; }}'
        )


def write_tmpfiles(data: dict[str, Any], file: Path) -> None:
    """Write `systemd.tmpfiles.settings` as NixOS does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rules = [
        f"'{kind}' '{path}' '{rule['mode']}' '{rule['user']}' '{rule['group']}' '-'\n"
        for path, kinds in data["tmpfiles"].items()
        for kind, rule in kinds.items()
    ]
    file.write_text("".join(rules))


def write_units(data: dict[str, Any], folder: Path) -> None:
    """Write the units of a configuration as NixOS does (nixos/lib/systemd-lib.nix).

    A unit that the package brings gets a drop-in; any other is written whole. [Install] is never
    looked at: what starts a unit is a link in a `.wants` folder.
    """
    for kind, section in (("service", "Service"), ("timer", "Timer"), ("path", "Path")):
        for stem, unit in data[f"{kind}s"].items():
            name = f"{stem}.{kind}"
            shipped = (UNITS / name).exists()
            place = folder / (f"{name}.d/overrides.conf" if shipped else name)
            place.parent.mkdir(parents=True, exist_ok=True)
            lines = [*_unit(unit), "", f"[{section}]"]
            if kind == "service":
                lines += _environment(unit)
            lines += _lines(unit[f"{kind}Config"])
            place.write_text("\n".join(lines) + "\n")
            for target in unit["wantedBy"]:
                link = folder / f"{target}.wants" / name
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(f"../{name}")


def _unit(unit: dict[str, Any]) -> list[str]:
    words = {"After": unit["after"], "Wants": unit["wants"], "Requires": unit["requires"]}
    lines = [f"{key}={' '.join(value)}" for key, value in words.items() if value]
    if not unit["restartIfChanged"]:
        lines.append("X-RestartIfChanged=false")
    if unit["restartTriggers"]:
        lines.append(f"X-Restart-Triggers={' '.join(unit['restartTriggers'])}")
    return ["[Unit]", *lines, *_lines(unit["unitConfig"])]


def _environment(unit: dict[str, Any]) -> list[str]:
    """Every service of NixOS gets a PATH, which the shipped units do not mind."""
    folders = [f"{one}/bin" for one in unit["path"]] + ["/usr/bin", "/bin"]
    return [f'Environment="PATH={":".join(folders)}"']


def _lines(section: dict[str, Any]) -> list[str]:
    """Sorted by key, a list as one line for each."""
    return [
        f"{key}={str(one).lower() if isinstance(one, bool) else one}"
        for key, value in sorted(section.items())
        for one in (value if isinstance(value, list) else [value])
    ]
