"""What systemd tells of our units: what failed, and what is installed and never starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediapipe.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mediapipe.doctor.findings import Notes

UNITS = (
    "qbt-categories.service", "qbt-upload-b2.service", "qbt-cleanup.service",
    "sab-postprocess.service", "rclone-b2-mount.service", "mediapipe-watch.service",
    "mediapipe-doctor.service", "qbt-upload-b2.timer", "qbt-cleanup.timer",
    "sab-postprocess.timer", "mediapipe-doctor.timer",
)  # fmt: skip
ASKED = "Id,LoadState,ActiveState,UnitFileState,Result"


def examine(show: Callable[[], str], notes: Notes, *, asked: bool) -> None:
    """Look at the units that are installed; `show` gives what `systemctl show` prints of them.

    A host without them starts the jobs in another way: that is told of where it is `asked` for.
    """
    if not asked and not any(_read(show())):
        return
    with notes.looking("units", "systemd") as found:
        units = list(_read(show()))
        if not units:
            raise Unavailable(
                "no systemd on this host knows a unit of ours", hint="make install, then enable"
            )
        for unit in units:
            name, timer = unit["Id"], unit["Id"].endswith(".timer")
            if unit["ActiveState"] == "failed":
                found(
                    f"{name} has failed ({unit['Result']})",
                    "what it does is not done",
                    f"journalctl -u {name} -n 50; then systemctl restart {name}",
                )
            elif timer and unit["ActiveState"] != "active":
                found(
                    f"{name} is installed and {unit['UnitFileState']}, and not started",
                    "its job runs when somebody types it, and never else",
                    f"systemctl enable --now {name}",
                )


def _read(text: str) -> Iterator[Mapping[str, str]]:
    """Give the properties of each unit that is installed."""
    for block in text.split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if unit.get("LoadState") == "loaded":
            yield unit
