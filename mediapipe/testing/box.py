"""A whole media box in one folder: qBittorrent, a library, a configuration, the real commands."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMANDS = {
    "categories": "qbt-categories",
    "upload": "qbt-upload-b2",
    "cleanup": "qbt-cleanup",
    "postprocess": "sab-postprocess",
}
BUCKET = "entertainment-netmount"


class Places:
    """The folders of a box, below one folder."""

    folder: Path

    @property
    def completed(self) -> Path:
        """Where qBittorrent's finished downloads lie."""
        return self.folder / "downloads" / "completed"

    @property
    def tv(self) -> Path:
        """The library of shows."""
        return self.folder / "media" / "tv"

    @property
    def movies(self) -> Path:
        """The library of films."""
        return self.folder / "media" / "movies"

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / "state"


@dataclass
class Box(Places):
    """Folders and configuration as on a real box; sections may be changed before `write_config`."""

    folder: Path
    qbittorrent_url: str
    rclone_config: str
    """Text of rclone.conf, with a remote named b2."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the folders that exist on a box before mediapipe comes."""
        for path in (self.completed, self.tv, self.movies, self.state):
            path.mkdir(parents=True, exist_ok=True)
        self.folder.joinpath("rclone.conf").write_text(self.rclone_config)
        self.write_config()

    @property
    def config_path(self) -> Path:
        """The configuration file."""
        return self.folder / "config.toml"

    def write_config(self, **sections: dict[str, Any]) -> None:
        """Write the configuration, with keys added to its sections (`upload={"settle": "0s"}`)."""
        for name, keys in sections.items():
            self.settings.setdefault(name, {}).update(keys)
        tables: dict[str, dict[str, Any]] = {
            "paths": {
                "completed": str(self.completed),
                "extracted": str(self.folder / "downloads" / "extracted"),
                "state": str(self.state),
            },
            "qbittorrent": {"url": self.qbittorrent_url, "timeout": "5s"},
            "categories": {
                "tv-sonarr": str(self.completed / "tv"),
                "radarr": str(self.completed / "movies"),
            },
            "libraries.tv": {"root": str(self.tv), "remote": "tv", "category": "tv-sonarr"},
            "libraries.movies": {
                "root": str(self.movies), "remote": "movies", "category": "radarr",
            },
            "rclone": {
                "remote": f"b2:{BUCKET}",
                "config_file": str(self.folder / "rclone.conf"),
            },
            "upload": {"settle": "0s"},
            "cleanup": {"seeding_time": "1s", "orphan_grace": "0s"},
        }  # fmt: skip
        for name, keys in self.settings.items():
            tables.setdefault(name, {}).update(keys)
        lines = []
        for name, keys in tables.items():
            lines.append(f"[{name}]")
            # a JSON string, number, boolean or list is one in TOML too
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        self.config_path.write_text("\n".join(lines) + "\n")

    def command(self, verb: str, *options: str) -> list[str]:
        """Give the command line of a job, as a person would type it."""
        script = Path(sys.executable).parent / COMMANDS[verb]
        return [str(script), "--config", str(self.config_path), *options]

    def run(
        self, verb: str, *options: str, env: dict[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a job's real console script to its end; `timeout` in seconds."""
        return subprocess.run(
            self.command(verb, *options),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=timeout,
            check=False,
            env={**os.environ, **(env or {})},
        )

    def report(self, verb: str, *options: str, status: int = 0) -> dict[str, Any]:
        """Run a job with `--json` and give its report; demands the exit status."""
        ended = self.run(verb, "--json", *options)
        if ended.returncode != status or "Traceback" in ended.stderr:
            raise AssertionError(
                f"{shlex.join(self.command(verb, *options))} ended with {ended.returncode}, not "
                f"{status}\n{ended.stdout}\n{ended.stderr}"
            )
        report: dict[str, Any] = json.loads(ended.stdout)
        return report

    def tree(self, root: Path) -> set[str]:
        """Give the paths of all files below a folder, relative to it, but for root files."""
        return {
            os.path.relpath(os.path.join(folder, name), root)
            for folder, _, names in os.walk(root)
            for name in names
            if name != ".mediapipe-root"
        }
