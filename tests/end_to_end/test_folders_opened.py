"""Which folders of the libraries a cleanup opens, as the kernel saw it: none without a reason."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.attack import Attack, Film

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real
_OPENED = re.compile(r'openat\(AT_FDCWD, "([^"]+)", \S*O_DIRECTORY\S*\) = \d')


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attack]:
    with Attack(tmp_path_factory.mktemp("opened")) as attack:
        yield attack


@pytest.fixture(scope="module")
def film(box: Attack) -> Film:
    """Give a due film beside shows that nobody seeds, and a due download without any link."""
    for number in range(5):
        box.write(box.box.tv / f"Show {number}" / "Season 1" / "E01.mkv", 1000)
    loose = box.write(box.box.completed / "Loose" / "a.mkv", 1000)
    box.torrent(loose.parent)
    made = box.film()
    box.job("categories", status=0)
    box.qbt.client().torrents_set_category(category="radarr", torrent_hashes=made.hash)
    box.upload()
    box.due()
    return made


def opened(box: Attack) -> tuple[set[str], set[str]]:
    """Plan under strace; gives the libraries' folders that were opened, and what is to go."""
    strace = shutil.which("strace")
    probe = [strace or "", "-qq", "-e", "trace=none", "true"]
    if strace is None or subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT TESTED: strace is not there or may not trace")
    trace = box.folder / "trace"
    command = [strace, "-f", "-qq", "-s", "4096", "-e", "trace=openat", "-o", str(trace)]
    ended = subprocess.run(
        [*command, *box.box.command("cleanup", "--dry-run")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    media = f"{box.box.folder}/media/"
    folders = {path for path in _OPENED.findall(trace.read_text()) if path.startswith(media)}
    gone = set(re.findall(r"remove-torrent (\S+?):? ", ended.stdout))
    return {path.removeprefix(media) for path in folders}, gone


def test_with_nothing_due_no_library_folder_is_opened(box: Attack, film: Film) -> None:
    box.box.write_config(cleanup={"seeding_time": "7d"})
    assert film.hash in box.listed()
    assert opened(box) == (set(), set())


def test_with_nothing_linked_no_library_folder_is_opened(box: Attack, film: Film) -> None:
    later = {"cleanup.categories.radarr": {"seeding_time": "7d"}}
    box.box.write_config(cleanup={"seeding_time": "1s"}, **later)
    assert film.hash in box.listed()
    assert opened(box) == (set(), {"Loose"})


def test_a_link_is_looked_for_where_it_was_proven(box: Attack, film: Film) -> None:
    soon = {"cleanup.categories.radarr": {"seeding_time": "1s"}}
    box.box.write_config(cleanup={"seeding_time": "1s"}, **soon)
    folder = f"movies/{film.link.parent.name}"
    assert opened(box) == ({folder}, {"Loose", film.download.parent.name})


def test_a_link_that_is_elsewhere_costs_one_walk(box: Attack, film: Film) -> None:
    """Else the tests above would prove nothing."""
    film.link.rename(box.box.tv / "Show 3" / "moved.mkv")
    folders, gone = opened(box)
    assert {"tv", *(f"tv/Show {number}" for number in range(3, 5))} <= folders
    assert gone == {"Loose", film.download.parent.name}
