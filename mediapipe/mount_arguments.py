"""The options of the commands around the mount, and the help that teaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

VERBS = ("cache", "ls", "mount", "warm")

_MOUNT = """\
Mounts [rclone] remote at mount_point, read-only, with the flags of [rclone.mount]. What an rclone
that was killed left there is taken away first. rclone takes the place of this command, so that
systemd hears from rclone itself when the mount is ready (rclone-b2-mount.service). Its remote
control at rc_addr always asks for a login: a password of its own for each start, and the logins of
rc_htpasswd_file."""
_LS = """\
Lists what is on the remote. PATH is a name below the remote (tv/Show), a full one (b2:bucket/tv), a
path below the mount, or one in a library, for what its files are called on the remote. Asks the
remote itself: one call for a folder, and no mount is needed."""
_CACHE = """\
Shows what the mount keeps on disk, what it is reading now and what it read lately: rclone's remote
control is asked, and the folder of its cache. What it holds in all is counted once a minute."""
_WARM = """\
Reads files through the mount, so that they lie in its cache when somebody wants to see them. PATH
as for `mediapipe ls`; of a folder all files. A file that would not fit in what is left of
vfs_cache_max_size, or of the disk above vfs_cache_min_free_space, is not begun: rclone would drop
others for it, the ones just read not excepted."""


def add(make: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands; `make` takes verb, summary and description, and gives a parser."""
    mount = make("mount", "mount the remote, read-only, and stay", _MOUNT)
    one = mount.add_mutually_exclusive_group()
    one.add_argument(
        "--dry-run", dest="show", action="store_true",
        help="print rclone's command line; mount and write nothing",
    )  # fmt: skip
    one.add_argument(
        "--unmount", action="store_true",
        help="only take away what an rclone that has ended left at the mount point",
    )  # fmt: skip
    ls = make("ls", "list what is on the remote", _LS)
    ls.add_argument("path", nargs="?", default="", metavar="PATH", help="default: all of it")
    ls.add_argument("-R", "--recursive", action="store_true", help="with all that lies below")
    cache = make("cache", "what the mount keeps on disk, and reads now", _CACHE)
    cache.add_argument("--watch", action="store_true", help="again every two seconds")
    warm = make("warm", "read files into the mount's cache", _WARM)
    warm.add_argument("paths", nargs="+", metavar="PATH", help="a file, or a folder with its files")
    for parser in (ls, cache, warm):
        parser.add_argument("--json", action="store_true", help="answer as one JSON object")
