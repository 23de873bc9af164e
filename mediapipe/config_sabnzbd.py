"""What is wrong with a table [sabnzbd] that each of its keys alone cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from mediapipe.config import SabnzbdConfig


def mistakes(settings: SabnzbdConfig, apps: Container[str]) -> Iterator[str]:
    """Find folders that cannot be meant, and apps that are not there; `apps` are those of [arr]."""
    yield from _categories(settings)
    complete, incomplete = settings.host_complete_dir, settings.host_incomplete_dir
    for category, place in settings.destinations.items():
        for name, folder in (("complete", complete), ("incomplete", incomplete)):
            if _inside(place, folder) or _inside(folder, place):
                yield (
                    f"sabnzbd.destinations.{category}: {place} and host_{name}_dir {folder} must "
                    "lie beside each other"
                )
    if _inside(complete, incomplete):
        yield f"sabnzbd.host_complete_dir: {complete} lies inside host_incomplete_dir {incomplete}"
    for category, app in settings.arr.items():
        if app and app not in apps:
            yield f"sabnzbd.arr.{category}: there is no table [arr.{app}]"


def _categories(settings: SabnzbdConfig) -> Iterator[str]:
    tables: dict[str, Iterable[str]] = {
        "destinations": settings.destinations,
        "category_folders": settings.category_folders,
        "arr": settings.arr,
    }
    for table, categories in tables.items():
        for category in categories:
            if category != category.lower():
                yield f"sabnzbd.{table}.{category}: SABnzbd's categories are in lower case"
    for category, folder in settings.category_folders.items():
        parts = folder.strip("/").split("/")
        if folder.endswith("*") or (folder and {"", ".", ".."} & set(parts)):
            yield (
                f"sabnzbd.category_folders.{category}: {folder!r} must be a folder below "
                "complete_dir, without a * at its end"
            )


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")
