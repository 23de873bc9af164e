"""Links that are looked for where they are likely to be, and threads where the disk is slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from mediapipe.disk import links
from mediapipe.disk.index import Names, look
from mediapipe.disk.links import find_links

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from mediapipe.disk.index import File


def linked(first: Path, *others: Path) -> File:
    first.parent.mkdir(parents=True, exist_ok=True)
    first.write_bytes(b"data")
    for other in others:
        other.parent.mkdir(parents=True, exist_ok=True)
        os.link(first, other)
    file = look(str(first))
    assert file is not None
    return file


def test_where_the_counts_are_met_no_walk_begins(tmp_path: Path) -> None:
    own, link = tmp_path / "completed" / "a.mkv", tmp_path / "tv" / "Show" / "b.mkv"
    file = linked(own, link)
    likely = [str(own.parent), str(link.parent)]
    # a walk would tell that this root cannot be read
    found = find_links(["/nowhere"], [file], likely)
    assert found.names == {file.inode: (str(own), str(link))}
    assert found.unreadable == ()


def test_what_is_not_met_is_walked_for_from_the_beginning(tmp_path: Path) -> None:
    own, link = tmp_path / "completed" / "a.mkv", tmp_path / "tv" / "Show" / "b.mkv"
    file = linked(own, link, tmp_path / "tv" / "other" / "c.mkv")
    likely = [str(own.parent), str(link.parent), str(tmp_path / "gone")]
    found = find_links([str(tmp_path / "tv"), str(tmp_path / "completed")], [file], likely)
    assert sorted(found.names[file.inode]) == sorted(
        [str(own), str(link), str(tmp_path / "tv" / "other" / "c.mkv")]
    )


def test_a_folder_by_two_names_counts_once(tmp_path: Path) -> None:
    """Two names of one name would hide the link that is elsewhere."""
    own = tmp_path / "completed" / "a.mkv"
    file = linked(own, tmp_path / "elsewhere" / "b.mkv")
    alias = tmp_path / "alias"
    alias.symlink_to(own.parent)
    likely = [str(own.parent), str(alias), f"{own.parent}/"]
    found = find_links([str(own.parent)], [file], likely)
    assert found.names == {file.inode: (str(own),)}


def test_a_subvolume_with_the_number_of_a_file_is_no_link(tmp_path: Path) -> None:
    """Btrfs numbers its subvolumes from 256 on, and so the files of each."""
    own, library = tmp_path / "completed" / "a.mkv", tmp_path / "tv"
    file = linked(own, tmp_path / "elsewhere" / "b.mkv")
    (library / "subvolume").mkdir(parents=True)
    (library / "fifo").touch()
    number = file.inode[1]

    def listed(folder: str) -> Names:
        if folder == str(library):
            numbers = {"subvolume": number, "fifo": number}
            return Names(numbers, folders=frozenset({"subvolume"}), odd=frozenset({"fifo"}))
        return Names({own.name: number}, frozenset(), frozenset())

    found = find_links([], [file], [str(own.parent), str(library)], listed)
    assert file.inode not in found.names


def test_a_link_below_another_file_is_out_of_sight(tmp_path: Path) -> None:
    """In a mount table of its own, so that nothing is left of it."""
    own, link, other = tmp_path / "completed" / "a", tmp_path / "tv" / "b c", tmp_path / "other"
    linked(own, link)
    other.write_bytes(b"what is mounted there")
    told = (
        "import json, sys; from mediapipe.disk.index import look;"
        "from mediapipe.disk.links import find_links; file = look(sys.argv[1]);"
        "print(json.dumps([*find_links([], [file], sys.argv[2:]).names.values()]))"
    )
    ask = [sys.executable, "-c", told, str(own), str(own.parent), str(link.parent)]
    bind = f'mount --bind "{other}" "{link}" && exec "$@"'
    apart = ["unshare", "--mount", "--map-root-user", "sh", "-c", bind, "sh", *ask]
    for command, expected in ((ask, [[str(own), str(link)]]), (apart, [])):
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(ended.stdout) == expected


def test_threads_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cold cache cannot be had on demand: any folder counts as slow."""
    files = [
        linked(tmp_path / "completed" / f"{number}" / "a.mkv", tmp_path / "tv" / f"{number}" / "b")
        for number in range(300)
    ]
    roots = [str(tmp_path / "completed"), str(tmp_path / "tv"), str(tmp_path / "gone")]
    files.append(linked(tmp_path / "tv" / "x" / "c", tmp_path / "elsewhere" / "d"))
    warm = find_links(roots, files)
    monkeypatch.setattr(links, "_COLD", 0)
    cold = find_links(roots, files)
    assert {inode: sorted(names) for inode, names in cold.names.items()} == {
        inode: sorted(names) for inode, names in warm.names.items()
    }
    assert (len(cold.names), sorted(cold.unreadable)) == (301, sorted(warm.unreadable))
    assert cold.unreadable == (f"{tmp_path}/gone: No such file or directory",)
