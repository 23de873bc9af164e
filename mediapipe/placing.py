"""The name that a moved job gets: taken by nothing else, or by the very same job."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mediapipe.disk.calls import rename_new, sync
from mediapipe.disk.copying import is_equal, reading
from mediapipe.disk.mounts import mount_of, mounts
from mediapipe.disk.tree import held, inode_of, is_stuck, opened, scan
from mediapipe.errors import ActionFailed, ConfigError, Stale
from mediapipe.plan import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from mediapipe.disk.index import File, Inode
    from mediapipe.disk.tree import Place, Tree

_MOST_NAMES = 1000
"""Names that are tried for one job: `X`, `X.1` … `X.999`."""
_NAME_MAX = 255


def names(name: str, *, is_folder: bool) -> Iterator[str]:
    """Give the names that SABnzbd takes one after the other: `X.1`, or `film.1.mkv` for a file."""
    yield name
    stem, ending = (name, "") if is_folder else os.path.splitext(name)
    for number in range(1, _MOST_NAMES):
        other = f"{stem}.{number}{ending}"
        if len(os.fsencode(other)) > _NAME_MAX:
            raise ActionFailed(f"{shown(name)} is taken, and too long for a number behind it")
        yield other
    raise ActionFailed(f"{shown(name)} is taken, and all numbers behind it")


@dataclass
class Placing:
    """Puts the job at `old` under a name beside `new`."""

    old: Place
    new: Place
    tell: Callable[[Literal["placing", "placed"], str, int], None]
    """Gets the path and the inode number, before it stands there and once it surely does."""
    lock: Callable[[], AbstractContextManager[None]]
    check: Callable[[int], None]
    """Raises Stopped."""

    def free_name(self, tree: Tree) -> tuple[str, Tree | None]:
        """Give the first name that is free, or that the identical job has: then with its tree."""
        for name in names(self.new.name, is_folder=tree.is_folder):
            if self.new.look(name) is None:
                return name, None
            there = None
            with contextlib.suppress(ActionFailed, Stale, PermissionError):
                there = scan(self.new, name)
            if there is not None and there.shape == tree.shape:
                self._demand_apart(tree, there)
                if self.is_equal(tree.files, name, there):
                    return name, there
        raise AssertionError(name)

    def is_equal(self, files: Mapping[str, File], name: str, there: Tree) -> bool:
        """Whether these files of the source lie there, durably, with the same bytes."""
        for path, file in files.items():
            if there.files[path].inode == file.inode:
                continue
            with (
                held(self.old.folder, self.old.name, path) as (above, old_name),
                held(self.new.folder, name, path) as (folder, new_name),
                reading(above, old_name, file) as source,
            ):
                if not is_equal(source, folder, new_name, self.check):
                    return False
        for path in there.folders:
            with opened(self.new.folder, f"{name}/{path}" if path else name) as folder:
                sync(folder)
        sync(self.new.folder)
        return True

    def _demand_apart(self, tree: Tree, there: Tree) -> None:
        """Refuse where both are one and the same, seen twice: dropping one would drop the other.

        Two mounts of one folder may have different device numbers (mergerfs and its branch, NFS
        on its own server): only a file that shows up on both sides tells.
        """
        same = bool(set(tree.folders.values()) & set(there.folders.values()))
        if not same:
            probe = f".mediapipe-{os.urandom(8).hex()}.probe"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(probe, flags, 0o600, dir_fd=self.old.folder))
            try:
                same = self.new.look(probe) is not None
            finally:
                os.unlink(probe, dir_fd=self.old.folder)
        if same:
            raise ActionFailed(
                f"{shown(self.old.parent)} and {shown(self.new.parent)} show the same folder: "
                "there is nothing to move"
            )

    def put(self, place: Place, inode: Inode, name: str) -> None:
        """Rename to the final name; after a refusal once more, by a fresh look.

        Raises FileExistsError where the name is taken by now, OSError.
        """
        path = self.new.other(name)
        with self.lock():
            self.tell("placing", path, inode[1])
            try:
                rename_new(place.folder, place.name, self.new.folder, name)
            except OSError as error:
                if not is_stuck(error):
                    raise
                place.look_again()
                self.new.look_again()
                found = place.look()
                if found is None or inode_of(found) != inode:
                    raise Stale(f"{shown(place.path)} changed while it was moved") from None
                rename_new(place.folder, place.name, self.new.folder, name)
            sync(self.new.folder)
            if place.parent != self.new.parent:
                sync(place.folder)
            self.tell("placed", path, inode[1])

    def two_mounts(self) -> ConfigError:
        """Tell why there is an EXDEV although both lie on one file system."""
        table = mounts()
        points = [
            shown(mount_of(os.path.realpath(one.parent), table).point)
            for one in (self.old, self.new)
        ]
        return ConfigError(
            f"{shown(self.old.path)} cannot be renamed into {shown(self.new.parent)} (EXDEV), "
            f"though both are of one file system, seen at {' and '.join(points)}",
            hint="most likely the unit file has two ReadWritePaths= for them, which makes two "
            "mounts: give it the one folder above both",
        )
