"""The life of a host, in any order of events: no byte is ever lost that was once complete.

A state machine over real files and fake services. Each file's bytes are its own, so that what
became of them can be told: they are on the disk, or on the remote in some version.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mediapipe.errors import ActionFailed, Unavailable
from mediapipe.units import Seconds
from tests.crashes import dying
from tests.examples import steady
from tests.hosts import HOUR, WEEK, Host, contents

if TYPE_CHECKING:
    from mediapipe.runner import Report

SHOWS = st.sampled_from(["A", "B", "C"])
EPISODES = st.sampled_from(["1.mkv", "2.mkv"])
CATEGORIES = st.sampled_from(["tv-sonarr", "tv-sonarr", "books", ""])
LARGE = 400
SEEN: Counter[str] = Counter()
"""What happened in all lives: a life without archives would prove nothing about them."""


class Life(RuleBasedStateMachine):
    """Everything that people, Sonarr, qBittorrent and Backblaze do to a host, and our jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mediapipe-life-"))
        self.host = Host(self.folder)
        self.count = 0
        self.deaths = 0
        self.treasure: set[bytes] = set()
        """Bytes that were once a complete wanted file, and that nobody but us may have removed."""

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # what is there

    def place(self, category: str) -> Path:
        return {
            "tv-sonarr": self.host.downloads / "tv",
            "books": self.host.downloads / "books",
        }.get(category, self.host.downloads)

    def fresh(self, size: int = LARGE) -> bytes:
        self.count += 1
        return b"%06d" % self.count * (size // 6)

    def on_disk(self) -> set[bytes]:
        """Give the bytes of every file, and of the members of every archive that opens."""
        found = contents(self.host.downloads, self.host.tv, self.host.movies, self.folder / "mine")
        for path in self.host.downloads.rglob("*.part1.rar"):
            try:
                found |= set(self.host.unpacked(path).values())
            except ActionFailed:
                continue
        return found

    def note(self, report: Report) -> Report:
        for result in report.results:
            SEEN[f"{result.action.kind} {result.status}"] += 1
            if result.action.kind == "upload" and "/completed/tv/" in result.action.path:
                SEEN[f"leftover {result.status}"] += 1
            if result.action.reason.startswith(("it goes with its film", "its item is gone")):
                SEEN[f"{result.action.reason[:10]} {result.status}"] += 1
            if result.action.path.endswith(".part2.rar"):
                SEEN[f"volume {result.status}"] += 1
        return report

    def files(self, folder: Path) -> list[Path]:
        return sorted(
            Path(parent) / name
            for parent, _folders, names in os.walk(folder)
            for name in names
            if name.endswith((".mkv", ".nfo", ".srt", ".rar"))
            and not os.path.islink(os.path.join(parent, name))
        )

    def pick(self, data: Any, things: list[Any]) -> Any:
        return data.draw(st.sampled_from(things))

    def forgive(self, before: set[bytes]) -> None:
        """Forget what an event itself took away: it is not ours to keep."""
        gone = before - self.on_disk()
        self.treasure -= {one for one in gone if not self.host.remote.has(one)}

    # events

    @initialize(
        shows=st.lists(
            st.tuples(SHOWS, CATEGORIES, st.booleans(), st.booleans()), min_size=1, max_size=3
        )
    )
    def begin(self, shows: list[tuple[str, str, bool, bool]]) -> None:
        """Begin with a few torrents, most of them imported, uploaded and seeded."""
        for show, category, extra, packed in shows:
            self.add_torrent(
                show=show, category=category, count=2, extra=extra, imported=True, packed=packed
            )
        self.host.upload()
        self.seed_all(enough=True)

    @rule(
        show=SHOWS, category=CATEGORIES, count=st.integers(1, 2), extra=st.booleans(),
        imported=st.booleans(), packed=st.booleans(),
    )  # fmt: skip
    def add_torrent(
        self, show: str, category: str, count: int, extra: bool, imported: bool, packed: bool
    ) -> None:
        folder = self.place(category) / show
        files = []
        for number in range(1, count + 1):
            path = folder / f"{number}.mkv"
            if not path.exists():
                content = self.fresh()
                self.host.write(path, content)
                self.treasure.add(content)
            files.append(path)
            target = self.host.tv / show / "Season 1" / path.name
            if imported and category == "tv-sonarr" and not os.path.lexists(target):
                self.host.link(path, target)
                beside = target.with_suffix(".en.srt")
                if extra and not beside.exists():
                    content = self.fresh(60)
                    self.host.write(beside, content)
                    self.treasure.add(content)
        if extra:
            path = folder / "info.nfo"
            if not path.exists():
                self.host.write(path, self.fresh(12))
            files.append(path)
            path = folder / "subs.srt"  # in no library, and not discardable
            if not path.exists():
                content = self.fresh(180)
                self.host.write(path, content)
                self.treasure.add(content)
            files.append(path)
        if packed:
            first = folder / "more.part1.rar"
            if not first.exists() and not (folder / "more.part2.rar").exists():
                members = {f"more {self.count}.mkv": self.fresh(), "x/y.nfo": self.fresh(12)}
                self.host.pack(first, members, volumes=2)
                self.treasure |= set(members.values())
            volumes = (first, folder / "more.part2.rar")
            files += [one for one in volumes if one.exists()]
        name = f"{show} {category} {len(self.host.torrents.calls)}"
        self.host.torrent(name, *files, category=category, seeding_time=0)

    @rule(show=SHOWS, episode=EPISODES, copied=st.booleans(), data=st.data())
    def import_by_link(self, show: str, episode: str, copied: bool, data: Any) -> None:
        sources = [one for one in self.files(self.host.downloads) if one.suffix == ".mkv"]
        target = self.host.tv / show / "Season 1" / episode
        if sources and not os.path.lexists(target):
            source = self.pick(data, sources)
            if copied:  # Sonarr does so where it cannot link, and says nothing
                self.host.write(target, source.read_bytes())
            else:
                self.host.link(source, target)

    @rule(data=st.data())
    def cross_seed(self, data: Any) -> None:
        sources = [one for one in self.files(self.host.downloads) if one.suffix == ".mkv"]
        if sources:
            source = self.pick(data, sources)
            name = f"cross {len(self.host.torrents.calls)} {self.count}"
            self.count += 1
            if data.draw(st.booleans()):
                target = self.host.link(source, self.host.downloads / "tv" / name / "x.mkv")
            else:
                target = source
            self.host.torrent(name, target, category="tv-sonarr", seeding_time=0)

    @rule(data=st.data())
    def remove_torrent(self, data: Any) -> None:
        if self.host.torrents.listed:
            self.host.torrents.remove(self.pick(data, list(self.host.torrents.listed.values())))

    @rule(data=st.data(), enough=st.booleans())
    def seed(self, data: Any, enough: bool) -> None:
        if self.host.torrents.listed:
            hash_ = self.pick(data, list(self.host.torrents.listed))
            self.host.torrents.change(hash_, seeding_time=WEEK if enough else 60)

    @rule(enough=st.sampled_from([True, True, True, False]))
    def seed_all(self, enough: bool) -> None:
        for hash_ in self.host.torrents.listed:
            self.host.torrents.change(hash_, state="stalledUP", seeding_time=WEEK if enough else 60)

    @rule(data=st.data(), state=st.sampled_from(["checkingUP", "stalledUP", "missingFiles"]))
    def change_state(self, data: Any, state: str) -> None:
        if self.host.torrents.listed:
            self.host.torrents.change(self.pick(data, list(self.host.torrents.listed)), state=state)

    @rule(data=st.data(), partly=st.booleans())
    def deselect(self, data: Any, partly: bool) -> None:
        """Deselect a file that was complete: its bytes are wanted as long as they are whole."""
        if self.host.torrents.listed:
            torrent = self.pick(data, list(self.host.torrents.listed.values()))
            listed = self.host.torrents.lists[torrent.hash]
            path = Path(self.pick(data, list(listed)).path)
            if partly and path.exists() and path.stat().st_nlink == 1:
                before = self.on_disk()
                path.write_bytes(self.fresh(18))  # only a piece of it ever came
                self.forgive(before)
                for one in list(self.host.torrents.listed.values()):
                    self.host.unselect(one, path, progress=0.2)
            else:
                self.host.unselect(torrent, path, progress=1.0)

    @rule(data=st.data(), where=st.sampled_from(["downloads", "tv"]))
    def replace_file(self, data: Any, where: str) -> None:
        found = self.files(getattr(self.host, where))
        if found:
            before, content = self.on_disk(), self.fresh()
            path = self.pick(data, found)
            self.host.write(self.folder / "new", content).rename(path)
            self.forgive(before)
            self.treasure.add(content)

    @rule(data=st.data())
    def delete_file(self, data: Any) -> None:
        found = self.files(self.host.downloads) + self.files(self.host.tv)
        if found:
            before = self.on_disk()
            self.pick(data, found).unlink()
            self.forgive(before)

    @rule(data=st.data())
    def rename_link(self, data: Any) -> None:
        found = self.files(self.host.tv)
        if found:
            self.count += 1
            self.pick(data, found).rename(self.host.tv / f"renamed {self.count}.mkv")

    @rule(data=st.data(), end=st.sampled_from([".en.srt", "-thumb.jpg", ".trickplay/1.jpg", ""]))
    def write_beside(self, data: Any, end: str) -> None:
        """Do as Jellyfin: put something beside a film, or beside its season."""
        found = [one for one in self.files(self.host.tv) if one.suffix == ".mkv"]
        if found:
            film = self.pick(data, found)
            path = Path(f"{film.with_suffix('')}{end}") if end else film.parent.parent / "show.srt"
            content = self.fresh(180)
            if self.host.tv in path.parents and not path.exists():
                self.host.write(path, content)
                if path.suffix == ".srt":
                    self.treasure.add(content)

    @rule(show=SHOWS, asked=st.booleans())
    def import_from_usenet(self, show: str, asked: bool) -> None:
        """No torrent has ever held it; whether it may go one day is for the library to say."""
        content = self.fresh()
        path = self.host.tv / show / "Season 1" / f"usenet {self.count}.mkv"
        self.host.write(path, content)
        self.treasure.add(content)
        self.host.library("tv", without_torrent=Seconds(3600) if asked else "keep")

    @rule(after_delete=st.sampled_from(["delete", "delete", "symlink"]), mounted=st.booleans())
    def choose_what_becomes_of_links(self, after_delete: str, mounted: bool) -> None:
        self.host.library("tv", after_delete=after_delete)
        self.host.mount.failure = None if mounted else Unavailable("nothing is mounted")

    @rule(data=st.data())
    def keep_a_link_elsewhere(self, data: Any) -> None:
        found = self.files(self.host.tv)
        if found:
            self.count += 1
            self.host.link(self.pick(data, found), self.folder / "mine" / f"{self.count}.mkv")

    @rule(data=st.data())
    def lose_an_object(self, data: Any) -> None:
        if self.host.remote.versions:
            name = self.pick(data, sorted(self.host.remote.versions))
            lost = {one.content for one in self.host.remote.versions[name]}
            self.host.remote.lose(name)
            self.treasure -= {one for one in lost - self.on_disk() if not self.host.remote.has(one)}

    @rule(data=st.data())
    def overwrite_an_object(self, data: Any) -> None:
        if self.host.remote.versions:
            name = self.pick(data, sorted(self.host.remote.versions))
            size = len(self.host.remote.versions[name][-1].content)
            self.host.remote.put(name, self.fresh(size))

    @rule(data=st.data())
    def lose_a_marker(self, data: Any) -> None:
        markers = sorted(self.host.folder.rglob("*.uploaded"))
        if markers:
            path = self.pick(data, markers)
            path.unlink() if data.draw(st.booleans()) else path.write_bytes(b"")

    @rule()
    def lose_the_history(self) -> None:
        shutil.rmtree(self.host.state, ignore_errors=True)
        for root in (self.host.tv, self.host.movies, self.host.downloads):
            (root / ".mediapipe-root").unlink(missing_ok=True)

    @rule()
    def lose_the_list(self) -> None:
        self.host.torrents.listed.clear()
        self.host.torrents.lists.clear()

    @rule(hours=st.sampled_from([0.01, 0.2, 1, 30, -1]))
    def wait(self, hours: float) -> None:
        self.host.later(hours * HOUR)

    # our jobs

    @rule(lie=st.sampled_from(["", "", "", "missing", "wrong_hash", "swallowed"]), data=st.data())
    def upload(self, lie: str, data: Any) -> None:
        unmarked = [one for one in self.files(self.host.tv) if not Path(f"{one}.uploaded").exists()]
        if lie and unmarked:
            name = f"tv/{self.pick(data, unmarked).relative_to(self.host.tv)}"
            getattr(self.host.remote, lie).add(name)
        self.host.later(0.1 * HOUR)
        self.note(self.host.upload())
        for lies in (self.host.remote.missing, self.host.remote.wrong_hash):
            lies.clear()
        self.host.remote.swallowed.clear()

    @rule(
        orphans_now=st.booleans(), accept_loss=st.booleans(), force=st.booleans(),
        down=st.sampled_from([False] * 9 + [True]),
    )  # fmt: skip
    def cleanup(self, orphans_now: bool, accept_loss: bool, force: bool, down: bool) -> None:
        if down:
            self.host.remote.failures["look"] = Unavailable("no route")
        try:
            self.note(
                self.host.cleanup(orphans_now=orphans_now, accept_loss=accept_loss, force=force)
            )
        except Unavailable:
            assert down
        finally:
            self.host.remote.failures.clear()

    @rule(data=st.data())
    def spoil_an_archive(self, data: Any) -> None:
        """Cut a volume short: its members are gone with it, unless they are on the remote."""
        found = [one for one in self.files(self.host.downloads) if one.suffix == ".rar"]
        if found:
            before = self.on_disk()
            path = self.pick(data, found)
            path.write_bytes(path.read_bytes()[:-20])
            self.forgive(before)

    @rule()
    def lose_a_member_on_its_way(self) -> None:
        self.host.archives.swallowed.add("x/y.nfo")
        self.host.later(0.1 * HOUR)
        self.note(self.host.upload())
        self.host.archives.swallowed.clear()

    @rule(extra=st.booleans(), packed=st.booleans(), show=SHOWS)
    def a_week_goes_by(self, extra: bool, packed: bool, show: str) -> None:
        """All goes as it should: so that the odd events above meet every state of a host."""
        self.add_torrent(
            show=show, category="tv-sonarr", count=2, extra=extra, imported=True, packed=packed
        )
        self.host.later(HOUR)
        self.host.upload()
        self.seed_all(enough=True)

    @rule(step=st.integers(1, 60), which=st.sampled_from(["upload", "cleanup"]))
    def die(self, step: int, which: str) -> None:
        self.deaths += 1
        with dying(self.host, step):
            if which == "upload":
                self.host.upload()
            else:
                self.host.cleanup(orphans_now=True)

    @precondition(lambda self: self.count > 3)
    @rule()
    def finish(self) -> None:
        """All is imported, uploaded, seeded: the disk must empty but for what has a reason."""
        for hash_ in self.host.torrents.listed:
            self.host.torrents.change(hash_, state="stalledUP", seeding_time=WEEK)
        for _ in range(2):
            self.host.later(30 * HOUR)
            self.note(self.host.upload())
            report = self.note(self.host.cleanup(accept_loss=True))
            # orphans stay while a torrent's files are not where it says that they are
            blind = "none of the files of the torrent" in (report.reason or "")
            assert report.outcome == ("refused" if blind else "done"), report.reason
            assert not report.count("failed")

    # what must always hold

    @invariant()
    def no_byte_is_lost(self) -> None:
        on_disk = self.on_disk()
        lost = {
            one for one in self.treasure if one not in on_disk and not self.host.remote.has(one)
        }
        assert not lost, f"{len(lost)} files are neither on the disk nor on the remote: {lost}"

    @invariant()
    def roots_and_category_folders_stay(self) -> None:
        for path in (self.host.tv, self.host.movies, self.host.downloads / "tv"):
            assert path.is_dir()

    @invariant()
    def temporary_files_are_left_by_the_dead_alone(self) -> None:
        assert len(list(self.host.folder.rglob(".mediapipe-*.tmp"))) <= self.deaths


def test_no_byte_is_ever_lost() -> None:
    SEEN.clear()
    run_state_machine_as_test(Life, settings=steady(120, stateful_step_count=30))
    happened = (
        "upload done", "upload failed", "extract done", "extract failed", "leftover done",
        "volume done", "remove-torrent done", "delete-link done", "delete-marker done",
        "it goes wi done", "its item i done", "symlink done",
    )  # fmt: skip
    assert [one for one in happened if not SEEN[one]] == [], SEEN


@pytest.mark.soak
def test_no_byte_is_ever_lost_in_many_lives() -> None:
    run_state_machine_as_test(Life, settings=steady(300, stateful_step_count=40))
