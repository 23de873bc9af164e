"""A small host in a temporary folder: real files and a real history, the services as fakes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mediapipe.config import (
    CleanupConfig,
    Config,
    Library,
    Paths,
    QbittorrentConfig,
    RcloneConfig,
    UploadConfig,
)
from mediapipe.explain import Contexts, explain
from mediapipe.history import History, copy_history, open_history
from mediapipe.jobs import categories, cleanup, restore, upload
from mediapipe.ports import Torrent, TorrentFile
from mediapipe.runner import Context, Report, opened
from mediapipe.testing.box import Places
from mediapipe.units import AbsPath
from tests.fakes import FakeArchives, FakeMount, FakeRemote, FakeTorrents, FakeWatcher, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mediapipe.explanation import Explanation
    from mediapipe.ports import Listener
    from mediapipe.titles import ArrLibrary
    from mediapipe.unmonitoring import Apps

WEEK = 7 * 86400
HOUR = 3600.0


def sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def unasked(name: str) -> ArrLibrary:
    """Stand for apps that no test has configured."""
    raise AssertionError(f"{name} was asked")


def config_for(folder: Path) -> Config:
    """Give the default configuration with its places below a folder."""
    completed = f"{folder}/downloads/completed"
    return Config(
        paths=Paths(
            AbsPath(completed),
            AbsPath(f"{folder}/downloads/extracted"),
            AbsPath(f"{folder}/state"),
        ),
        qbittorrent=QbittorrentConfig(),
        categories={
            "tv-sonarr": AbsPath(f"{completed}/tv"),
            "radarr": AbsPath(f"{completed}/movies"),
            "books": AbsPath(f"{completed}/books"),
        },
        libraries={
            "tv": Library(AbsPath(f"{folder}/media/tv"), "tv", "tv-sonarr", "sonarr"),
            "movies": Library(AbsPath(f"{folder}/media/movies"), "movies", "radarr", "radarr"),
        },
        rclone=RcloneConfig(remote="b2:bucket", mount_point=AbsPath(f"{folder}/b2")),
        upload=UploadConfig(),
        cleanup=CleanupConfig(),
    )


@dataclass
class Host(Places):
    """Folders as on a real host; the clock is a number that the test moves."""

    folder: Path
    torrents: FakeTorrents = field(default_factory=FakeTorrents)
    remote: FakeRemote = field(default_factory=FakeRemote)
    archives: FakeArchives = field(default_factory=FakeArchives)
    watcher: FakeWatcher = field(default_factory=FakeWatcher)
    mount: FakeMount = field(default_factory=FakeMount)
    listeners: Sequence[Listener] = ()
    apps: Apps = unasked
    """Gives the library of an app."""
    now: float = field(default_factory=lambda: time.time() + HOUR)
    """An hour ahead, so that what a test has just written is settled."""
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mount.point, self.mount.remote = str(self.folder / "b2"), self.remote
        self._take(config_for(self.folder))
        for path in (self.tv, self.movies, *(self.downloads / one for one in ("tv", "movies"))):
            path.mkdir(parents=True, exist_ok=True)

    @property
    def downloads(self) -> Path:
        return self.completed

    def configure(self, section: str, **keys: Any) -> None:
        """Change keys of one section of the configuration."""
        changed = replace(getattr(self.config, section), **keys)
        self._take(replace(self.config, **{section: changed}))

    def library(self, name: str, **keys: Any) -> None:
        """Change keys of one library."""
        libraries = self.config.libraries
        changed = {**libraries, name: replace(libraries[name], **keys)}
        self._take(replace(self.config, libraries=changed))

    def _take(self, config: Config) -> None:
        """Take a configuration, as a person would have edited it."""
        self.config = config
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.toml").write_text(repr(config))

    def later(self, seconds: float) -> None:
        self.now += seconds

    # what happens on a host

    def write(self, path: Path, content: bytes = b"") -> Path:
        """Write a file; without content it holds its own path, so that no two are alike."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content or os.fsencode(path))
        return path

    def pack(self, first: Path, members: dict[str, bytes], volumes: int = 1) -> list[Path]:
        """Write an archive; gives its volumes."""
        return [type(first)(path) for path in pack(str(first), members, volumes)]

    def unpacked(self, first: Path) -> dict[str, bytes]:
        """Give the members of an archive. Raises ActionFailed where it does not open."""
        return unpack(str(first))[0]

    def link(self, source: Path, target: Path) -> Path:
        """Import by hard link, as Sonarr does."""
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
        return target

    def torrent(
        self, name: str, *files: Path, category: str = "tv-sonarr", save: Path | None = None,
        **fields: Any,
    ) -> Torrent:  # fmt: skip
        """List a torrent, complete and past its seeding time; its files are those given."""
        default = self.config.categories.get(category) or str(self.downloads)
        save_path = str(save or default)
        sizes = [path.stat().st_size if path.exists() else 1 for path in files]
        torrent = Torrent(
            hash=sha1(name.encode(errors="surrogateescape")),
            name=name,
            category=category,
            state="stalledUP",
            progress=1.0,
            amount_left=0,
            save_path=save_path,
            size=sum(sizes),
            seeding_time=WEEK,
            ratio=1.0,
        )
        entries = [
            TorrentFile(str(path), size, True, 1.0) for path, size in zip(files, sizes, strict=True)
        ]
        return self.torrents.add(replace(torrent, **fields), *entries)

    def unselect(self, torrent: Torrent, path: Path, *, progress: float) -> None:
        """Deselect a file of a torrent, as far as it was downloaded by then."""
        self.torrents.lists[torrent.hash] = tuple(
            replace(one, wanted=False, progress=progress) if one.path == str(path) else one
            for one in self.torrents.lists[torrent.hash]
        )

    # the jobs

    def upload(self, *, dry_run: bool = False) -> Report:
        with opened(str(self.state), "upload", dry_run=dry_run) as history:
            context = self.context(history, dry_run=dry_run)
            return upload.run(
                context,
                lambda: self.torrents,
                lambda: self.remote,
                lambda: self.archives,
                lambda: self.listeners,
            )

    def cleanup(self, *, dry_run: bool = False, **options: bool) -> Report:
        with opened(str(self.state), "cleanup", dry_run=dry_run) as history:
            context = self.context(history, dry_run=dry_run)
            chosen = cleanup.Options(**options)
            return cleanup.run(
                context,
                self.torrents,
                lambda: self.remote,
                chosen,
                self.mount.read_ends,
                self.apps,
                lambda: self.archives,
            )

    def restore(self, path: Path, to: Path | str = "", *, dry_run: bool = False) -> Report:
        with opened(str(self.state), "restore", dry_run=dry_run) as history:
            context = self.context(history, dry_run=dry_run)
            wish = restore.Options(str(path), str(to))
            return restore.run(context, lambda: self.torrents, lambda: self.remote, wish)

    def explain(self, word: Path | str) -> Explanation:
        with (
            opened(str(self.state), "upload", dry_run=True) as one,
            opened(str(self.state), "cleanup", dry_run=True) as other,
        ):
            contexts = Contexts(self.context(one, dry_run=True), self.context(other, dry_run=True))
            return explain(
                str(word),
                contexts,
                lambda: self.torrents,
                lambda: self.remote,
                self.mount.read_ends,
                self.apps,
                lambda: self.archives,
            )

    def categories(self, *, dry_run: bool = False) -> Report:
        with opened(str(self.state), "categories", dry_run=dry_run) as history:
            return categories.run(self.context(history, dry_run=dry_run), self.torrents)

    def context(self, history: History, *, dry_run: bool = False) -> Context:
        state, path = str(self.state), self.folder / "config.toml"
        return Context(
            self.config, history, self._tell, self.watcher, state, self.now, dry_run, str(path)
        )

    def writing(self) -> AbstractContextManager[History]:
        """Open the history itself, to put something into it."""
        return contextlib.closing(open_history(str(self.state)))

    def history(self) -> History:
        """Open a copy of the history, to look into it."""
        return copy_history(str(self.state))

    def _tell(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        self.events.append((event, {"level": level, **fields}))

    # what a test looks at

    def names(self, *folders: Path) -> set[str]:
        """Give every name below the media and download folders, without the root files."""
        found = set()
        for folder in folders or (self.downloads, self.tv, self.movies):
            for parent, names, files in os.walk(folder):
                for name in [*names, *files]:
                    if name != ".mediapipe-root":
                        found.add(os.path.relpath(os.path.join(parent, name), self.folder))
        return found


def contents(*folders: Path) -> set[bytes]:
    """Give the bytes of every regular file below some folders."""
    found = set()
    for folder in folders:
        for parent, _names, files in os.walk(folder):
            for name in files:
                path = os.path.join(parent, name)
                if not os.path.islink(path):
                    with open(path, "rb") as file:
                        found.add(file.read())
    return found


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """Give all that a stranger could tell to have changed below a folder, and the folder itself."""
    found: dict[str, tuple[object, ...]] = {}
    for parent, names, files in os.walk(folder):
        for name in [*names, *files, "."]:
            path = os.path.join(parent, name)
            about = os.lstat(path)
            content: object = None
            if stat.S_ISREG(about.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            found[os.path.normpath(path)] = (
                about.st_ino, about.st_mode, about.st_nlink, about.st_uid, about.st_size,
                about.st_mtime_ns, about.st_ctime_ns, content,
            )  # fmt: skip
    return found


def statuses(report: Report) -> list[tuple[str, str, str]]:
    """Give (kind, last part of the path, status) of each action, in order."""
    return [
        (one.action.kind, os.path.basename(one.action.path), one.status) for one in report.results
    ]


def reasons(report: Report) -> dict[str, str]:
    """Give last part of the path → why it is kept."""
    return {os.path.basename(one.path): one.reason for one in report.kept}
