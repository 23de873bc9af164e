"""A scan with the memory of the pass before finds what a scan without any memory finds.

Real folders, and any order of what people and programs do to them between two passes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mediapipe import layout
from mediapipe.disk import folder_index
from mediapipe.places import TRIGGER
from mediapipe.remembering import FULL_EVERY
from tests.crashes import dying
from tests.examples import steady
from tests.hosts import HOUR, Host

NAMES = st.sampled_from(["A", "B", "C"])
FILES = st.sampled_from(
    ["1.mkv", "2.mkv", "3.mkv.part", "4\n.mkv", "5\udcff.mkv", "6\u2401.mkv", "x.part1.rar",
     "x.part2.rar", ".DS_Store"]
)  # fmt: skip
SEEN: Counter[str] = Counter()
"""What the passes met: a machine that never refuses anything would prove nothing about it."""


Plan = tuple[list[tuple[str, str, str]], list[tuple[str, str]]]
"""What would be uploaded, and what is kept and why."""


class Remembering(RuleBasedStateMachine):
    """Everything that may happen to the folders, and passes over them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mediapipe-index-"))
        self.host = Host(self.folder)
        self.outside = self.folder / "outside"
        self.outside.mkdir()
        self.count = 0
        self.written_in_place = False

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # what is there

    def folders(self) -> list[Path]:
        """Give every real folder that something may happen in."""
        tops = [self.host.tv, self.host.movies, self.host.downloads, self.outside]
        return sorted(
            Path(parent) for top in tops for parent, _folders, _files in os.walk(top)
        )  # fmt: skip

    def movable(self) -> list[Path]:
        reserved = layout.reserved(self.host.config)
        return [
            one for one in self.folders() if str(one) not in reserved and one != self.outside
        ]  # fmt: skip

    def files(self) -> list[Path]:
        return sorted(
            Path(folder) / name
            for folder in self.folders()
            for name in os.listdir(folder)
            if name != ".mediapipe-root" and (folder / name).is_file()
            if not (folder / name).is_symlink()
        )

    def pick(self, data: Any, things: list[Path]) -> Path | None:
        return data.draw(st.sampled_from(things)) if things else None

    def fresh(self) -> bytes:
        self.count += 1
        return b"%06d" % self.count

    @initialize()
    def begin(self) -> None:
        """Begin with a bit of everything, all of it uploaded or refused."""
        for number, name in enumerate(["1.mkv", "2.mkv", "6\u2401.mkv", "3.mkv.part"]):
            for top in (self.host.tv / "A" / "A", self.host.tv / "B" / "A", self.host.movies / "C"):
                if number < 3 or top.parts[-2] == "B":
                    self.host.write(top / name)
            for top in (self.host.downloads, self.host.downloads / "books"):
                self.host.write(top / f"{number}" / "A" / name)
        self.upload(failing=False)
        self.upload(failing=False)

    # what happens to it

    @rule(data=st.data(), name=FILES)
    def write(self, data: Any, name: str) -> None:
        path = data.draw(st.sampled_from(self.folders())) / name
        if not os.path.lexists(path):
            path.write_bytes(self.fresh())

    @rule(data=st.data(), name=NAMES, deep=st.booleans())
    def make_folder(self, data: Any, name: str, deep: bool) -> None:
        path = data.draw(st.sampled_from(self.folders())) / name
        if not os.path.lexists(path) and len(path.parts) < len(self.folder.parts) + 7:
            (path / "A" if deep else path).mkdir(parents=True)

    @rule(name=NAMES, file=FILES)
    def make_book(self, name: str, file: str) -> None:
        """Make something in a folder of uncategorized items that lies in another one."""
        folder = self.host.downloads / "books" / name
        if not os.path.lexists(folder):
            folder.mkdir(parents=True)
        if folder.is_dir() and not folder.is_symlink() and not os.path.lexists(folder / file):
            (folder / file).write_bytes(self.fresh())

    @rule(data=st.data())
    def delete_file(self, data: Any) -> None:
        if path := self.pick(data, self.files()):
            path.unlink()

    @rule(data=st.data())
    def delete_marker(self, data: Any) -> None:
        if path := self.pick(data, [one for one in self.files() if one.suffix == ".uploaded"]):
            path.unlink()

    @rule(data=st.data(), name=FILES)
    def rename_file(self, data: Any, name: str) -> None:
        path = self.pick(data, self.files())
        target = data.draw(st.sampled_from(self.folders())) / name
        if path and not os.path.lexists(target):
            marker = path.with_name(f"{path.name}.uploaded")
            path.rename(target)
            if marker.exists() and data.draw(st.booleans()):
                marker.rename(target.with_name(f"{target.name}.uploaded"))

    @rule(data=st.data())
    def replace_file(self, data: Any) -> None:
        if path := self.pick(data, self.files()):
            new = self.folder / "new"
            new.write_bytes(self.fresh())
            new.rename(path)

    @rule(data=st.data(), name=NAMES)
    def move_folder(self, data: Any, name: str) -> None:
        path = self.pick(data, self.movable())
        target = data.draw(st.sampled_from(self.folders())) / name
        inside = path is not None and (target == path or path in target.parents)
        if path and not inside and not os.path.lexists(target):
            path.rename(target)

    @rule(data=st.data())
    def swap_folders(self, data: Any) -> None:
        one, other = self.pick(data, self.movable()), self.pick(data, self.movable())
        if one and other and one not in (other, *other.parents) and other not in one.parents:
            away = self.folder / "away"
            one.rename(away)
            other.rename(one)
            away.rename(other)

    @rule(data=st.data())
    def delete_folder(self, data: Any) -> None:
        if path := self.pick(data, self.movable()):
            shutil.rmtree(path)

    @rule(data=st.data(), where=st.sampled_from(["itself", "away", "nowhere", "in a circle"]))
    def replace_folder_by_link(self, data: Any, where: str) -> None:
        """Move a folder away and leave a link in its place."""
        path = self.pick(data, self.movable())
        if path is None:
            return
        self.count += 1
        away = self.outside / f"away {self.count}"
        path.rename(away)
        others = {
            "itself": away,
            "away": data.draw(st.sampled_from(self.folders())),
            "nowhere": self.folder / "nowhere",
            "in a circle": path,
        }
        path.symlink_to(others[where])
        SEEN["link"] += 1

    @rule(data=st.data())
    def replace_parent_by_one_with_links(self, data: Any) -> None:
        """Move a folder away, and put links to all that lies in it into its place."""
        path = self.pick(data, self.movable())
        if path is None:
            return
        self.count += 1
        away = self.outside / f"away {self.count}"
        path.rename(away)
        path.mkdir()
        for name in os.listdir(away):
            (path / name).symlink_to(away / name)
        SEEN["link"] += 1

    @rule()
    def put_links_back(self) -> None:
        """Replace every link to a folder by the folder itself."""
        for folder in self.folders():
            for name in os.listdir(folder) if folder.exists() else ():
                path = folder / name
                target = Path(os.path.realpath(path))
                if not path.is_symlink() or target in path.parents:
                    continue
                if target.is_dir() and target in self.movable():
                    path.unlink()
                    target.rename(path)

    @rule(data=st.data(), hidden=st.booleans())
    def write_in_place(self, data: Any, hidden: bool) -> None:
        """Write into a file: no folder changes by that, and its mtime may be put back."""
        if path := self.pick(data, self.files()):
            before = os.stat(path)
            with open(path, "ab") as file:
                file.write(b"more")
            if hidden:
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            self.written_in_place = True

    @rule(data=st.data())
    def restore_mtime_of_folder(self, data: Any) -> None:
        os.utime(data.draw(st.sampled_from(self.folders())), ns=(0, 0))

    @rule()
    def lose_the_index(self) -> None:
        (self.host.state / "upload.index").unlink(missing_ok=True)

    @rule()
    def touch_the_configuration(self) -> None:
        os.utime(self.folder / "config.toml")

    # passes

    def newest(self) -> int:
        """Give when a folder was last changed, in ns."""
        return max(os.stat(one).st_ctime_ns for one in self.folders())

    def tick(self) -> None:
        """Let the file system's clock go on: a host's folders rest for seconds, not for less."""
        newest, probe = self.newest(), self.folder / "probe"
        probe.touch()
        while os.stat(probe).st_ctime_ns <= newest:
            os.utime(probe)

    def compares_all(self) -> bool:
        """Whether the next pass compares every file."""
        index = folder_index.read(str(self.host.state / folder_index.NAME))
        return index is None or not 0 <= self.host.now - index.facts["full"] < FULL_EVERY

    def look(self, *, memory: bool) -> Plan:
        """Plan an upload, with what the pass before left or without."""
        index, aside = self.host.state / folder_index.NAME, self.folder / "aside"
        if index.exists() and not memory:
            index.rename(aside)
        report = self.host.upload(dry_run=True)
        if aside.exists():
            aside.rename(index)
        actions = [
            (one.action.kind, one.action.path, str(one.action.details())) for one in report.results
        ]
        return sorted(actions), sorted((one.path, one.reason) for one in report.kept)

    def run(self) -> None:
        seen_all = self.compares_all()
        report = self.host.upload()
        SEEN.update(result.status for result in report.results)
        SEEN["full"] += seen_all
        if seen_all:
            self.written_in_place = False

    @rule(failing=st.booleans())
    def upload(self, failing: bool) -> None:
        """Upload, long after the last change."""
        if failing:
            self.host.remote.refused = dict.fromkeys(["tv/1.mkv", "movies/2.mkv"], "not today")
        self.tick()
        self.host.later(0.1 * HOUR)
        self.run()
        self.host.remote.refused = {}
        self.tick()

    @rule(seconds=st.sampled_from([0.0, 1.0, 1.999]))
    def upload_at_once(self, seconds: float) -> None:
        """Upload while the clock of a folder may still be at its last change."""
        before, self.host.now = self.host.now, self.newest() / 1e9 + seconds
        self.run()
        self.host.now = before

    @rule(step=st.integers(1, 8), trigger=st.booleans())
    def die(self, step: int, trigger: bool) -> None:
        """Die anywhere in an upload, in one that cleanup has asked for as well."""
        if trigger:
            (self.host.state / TRIGGER).touch()
        self.tick()
        self.host.later(0.1 * HOUR)
        seen_all = self.compares_all()
        with dying(self.host, step) as steps:
            self.host.upload()
        SEEN["death"] += steps.dead
        if seen_all and not steps.dead:
            self.written_in_place = False
        self.tick()

    @rule()
    def a_day_goes_by(self) -> None:
        self.host.later(25 * HOUR)

    # what must always hold

    @invariant()
    def the_memory_changes_nothing(self) -> None:
        if self.written_in_place and not self.compares_all():
            return  # that is found a day later
        with_memory, without = self.look(memory=True), self.look(memory=False)
        SEEN["compared"] += 1
        SEEN["pending"] += bool(without[0])
        SEEN["kept"] += bool(without[1])
        assert with_memory == without


HAPPENED = ("done", "failed", "full", "compared", "pending", "kept", "link", "death")


def test_a_pass_that_remembers_finds_what_one_that_does_not_would_find() -> None:
    SEEN.clear()
    run_state_machine_as_test(Remembering, settings=steady(60, stateful_step_count=20))
    assert [one for one in HAPPENED if not SEEN[one]] == [], SEEN


@pytest.mark.soak
def test_a_pass_that_remembers_finds_the_same_on_many_hosts() -> None:
    run_state_machine_as_test(Remembering, settings=steady(150, stateful_step_count=50))
