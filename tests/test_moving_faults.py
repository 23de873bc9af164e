"""What the kernel refuses in the midst of a move, and death at each of its steps."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from mediapipe.disk import calls
from mediapipe.errors import Stale
from mediapipe.moving import Moved, Stage, move
from tests.crashes import Crash, Steps
from tests.disks import destination, names, snapshot, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOVER = Path(__file__).parent / "mover.py"


@pytest.fixture(params=["same", "other"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with destination(tmp_path, request.param) as point:
        yield point


@pytest.fixture
def same(tmp_path: Path) -> Path:
    (tmp_path / "usenet").mkdir()
    return tmp_path / "usenet"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Path]:
    with destination(tmp_path, "other") as point:
        yield point


def job(folder: Path) -> Path:
    top = folder / "complete" / "X"
    write(top / "film.mkv", os.urandom(100_000))
    write(top / "Subs" / "film.srt", b"words")
    for path in (top / "Subs", top):
        os.utime(path, ns=(0, 1_400_000_000_000_000_001))
    return top


def faulty(source: Path, target: Path, *faults: str) -> list[dict[str, Any]]:
    """Move in a process whose system calls fail as told; gives what it told, the end last."""
    strace = shutil.which("strace")
    probe = [strace or "", "-qq", "-e", "trace=none", "true"]
    if strace is None or subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT TESTED: strace is not there or may not trace")
    words = [word for fault in faults for word in ("-e", f"inject={fault}")]
    watched = "trace=" + ",".join(fault.partition(":")[0] for fault in faults)
    trace = target.parent.with_name("trace")
    ended = subprocess.run(
        [strace, "-f", "-qq", "-o", trace, "-e", watched, *words, sys.executable, MOVER, source,
         target],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


STUCK = ["EBUSY", "ESTALE", "ENOTEMPTY"]


@pytest.mark.parametrize("error", STUCK)
def test_a_refused_rename_is_tried_once_more_after_a_fresh_look(
    tmp_path: Path, same: Path, error: str
) -> None:
    source = job(tmp_path)
    seen, number = snapshot(source), source.stat().st_ino
    *_, end = faulty(source, same / "X", f"renameat2:error={error}:when=1")
    assert (end["how"], end["reasons"]) == ("renamed", [])
    assert (same / "X").stat().st_ino == number
    assert snapshot(same / "X") == seen


@pytest.mark.parametrize("error", STUCK)
def test_refused_twice_it_goes_file_by_file(tmp_path: Path, same: Path, error: str) -> None:
    source = job(tmp_path)
    seen, number = snapshot(source), (source / "film.mkv").stat().st_ino
    *_, end = faulty(source, same / "X", f"renameat2:error={error}:when=1..2")
    assert (end["how"], end["left"]) == ("renamed", [])
    assert "file by file" in end["reasons"][0]
    assert (same / "X" / "film.mkv").stat().st_ino == number
    assert snapshot(same / "X") == seen
    assert (names(source.parent), names(same)) == (set(), {"X"})


def test_one_refused_file_is_tried_once_more(tmp_path: Path, same: Path) -> None:
    source = job(tmp_path)
    seen = snapshot(source)
    faults = ["renameat2:error=EBUSY:when=1..2", "linkat:error=ESTALE:when=2"]
    *_, end = faulty(source, same / "X", *faults)
    assert end["how"] == "renamed"
    assert snapshot(same / "X") == seen
    assert (names(source.parent), names(same)) == (set(), {"X"})


@pytest.mark.parametrize("call", ["linkat", "renameat2"])
def test_what_is_refused_for_ever_is_given_up_and_rolled_back(
    tmp_path: Path, same: Path, call: str
) -> None:
    source = job(tmp_path)
    seen = snapshot(source)
    faults = ["renameat2:error=EBUSY", *(["linkat:error=ESTALE:when=2+"] * (call == "linkat"))]
    *_, end = faulty(source, same / "X", *faults)
    assert end["error"] == "ActionFailed"
    assert os.strerror(errno.EBUSY if call == "renameat2" else errno.ESTALE) in end["message"]
    assert snapshot(source) == seen
    assert names(same) == set()


def test_without_hard_links_it_is_copied(tmp_path: Path, same: Path) -> None:
    source = job(tmp_path)
    seen = snapshot(source)
    faults = ["renameat2:error=EBUSY:when=1..2", "linkat:error=EPERM"]
    *_, end = faulty(source, same / "X", *faults)
    assert end["how"] == "copied"
    assert snapshot(same / "X") == seen
    assert (names(source.parent), names(same)) == (set(), {"X"})


@pytest.mark.parametrize("fault", ["renameat2:error=ENOSYS", "renameat2:error=EINVAL"])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_file_system_without_the_flag_overwrites_nothing(
    tmp_path: Path, there: Path, fault: str, kind: str
) -> None:
    source = job(tmp_path)
    if kind == "file":
        source = source / "film.mkv"
    seen = snapshot(source)
    *_, end = faulty(source, there / source.name, fault)
    assert end["path"] == str(there / source.name)
    assert snapshot(there / source.name) == seen
    again = job(tmp_path / "again")
    if kind == "file":
        again = again / "film.mkv"
    other_one = snapshot(again)
    *_, end = faulty(again, there / source.name, fault)
    assert snapshot(there / source.name) == seen
    assert snapshot(Path(end["path"])) == other_one
    assert len(names(there)) == 2


@pytest.mark.parametrize("kind", ["folder", "file"])
@pytest.mark.parametrize("links", [True, False])
def test_the_checked_way_replaces_nothing(
    tmp_path: Path, same: Path, kind: str, links: bool
) -> None:
    """Where a name is taken after it was chosen: seen at the call itself."""
    source = job(tmp_path)
    if kind == "file":
        source = source / "film.mkv"
    write(same / "Y" / "kept" if kind == "folder" else same / "Y")
    before = snapshot(same)
    old, new = (os.open(path, os.O_RDONLY) for path in (source.parent, same))
    try:
        with refusing(errno.ENOSYS), refused_links(not links), pytest.raises(FileExistsError):
            calls.rename_new(old, source.name, new, "Y")
    finally:
        os.close(old)
        os.close(new)
    assert snapshot(same) == before
    assert source.exists()


def refusing(code: int) -> Any:
    """A C library whose renameat2 fails."""

    class Library:
        def renameat2(self, *_: object) -> int:
            ctypes.set_errno(code)
            return -1

    return patch.object(calls, "_libc", Library())


def refused_links(refused: bool) -> Any:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    return patch.object(os, "link", link if refused else os.link)


@pytest.mark.parametrize("error", [*STUCK, "EIO"])
def test_what_cannot_be_removed_is_told_and_removed_later(
    tmp_path: Path, other: Path, error: str
) -> None:
    source = job(tmp_path)
    seen = snapshot(source)
    *_, end = faulty(source, other / "X", f"unlinkat:error={error}")
    assert (end["how"], end["left"]) == ("copied", sorted(end["left"]))
    assert {str(source / "film.mkv"), str(source / "Subs" / "film.srt")} <= set(end["left"])
    assert snapshot(other / "X") == seen
    assert (source / "film.mkv").exists()
    moved = move(source, other / "X")
    assert (moved.path, moved.how, moved.left) == (other / "X", "already-there", ())
    assert (names(source.parent), names(other)) == (set(), {"X"})


@pytest.mark.parametrize(
    "fault",
    ["syncfs:error=EIO", "write:error=EIO:when=3", "mkdirat:error=EROFS",
     "preadv2:error=EIO", "write:error=EDQUOT:when=3"],
)  # fmt: skip
def test_a_failing_disk_leaves_the_source(tmp_path: Path, other: Path, fault: str) -> None:
    source = job(tmp_path)
    seen = snapshot(source)
    *_, end = faulty(source, other / "X", fault)
    assert end["error"] == "ActionFailed", end
    assert snapshot(source) == seen
    assert names(other) == set()


def test_a_disk_that_knows_no_owners_and_modes(tmp_path: Path, other: Path) -> None:
    source = job(tmp_path)
    seen = snapshot(source)
    *_, end = faulty(source, other / "X", "fchmod:error=EPERM", "fchown:error=EPERM")
    assert end["how"] == "copied"
    assert {name: facts[1:] for name, facts in snapshot(other / "X").items()} == {
        name: facts[1:] for name, facts in seen.items()
    }
    assert (names(source.parent), names(other)) == (set(), {"X"})


def test_a_disk_that_fails_at_the_last_step_leaves_both(tmp_path: Path, other: Path) -> None:
    source = job(tmp_path)
    seen = snapshot(source)
    *_, end = faulty(source, other / "X", "fsync:error=EIO")
    assert end["error"] == "ActionFailed"
    assert (snapshot(source), snapshot(other / "X")) == (seen, seen)
    assert move(source, other / "X").how == "already-there"
    assert (names(source.parent), names(other)) == (set(), {"X"})


# death


class _Library:
    """The C library with a rename that counts as a step."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.real = calls._libc

    def renameat2(self, *words: Any) -> int:
        return self.steps.take("renameat2", lambda: self.real.renameat2(*words))

    def syncfs(self, descriptor: int) -> int:
        return self.steps.take("syncfs", lambda: self.real.syncfs(descriptor))


CHANGING = (
    "mkdir", "rmdir", "unlink", "rename", "link", "write", "fsync", "fchmod", "utime", "ftruncate",
)  # fmt: skip


def dies_at(last: int, run: Callable[[], object]) -> Steps:
    """Run until a step; nothing that is tried after it has any effect."""
    steps = Steps(last)
    real_open = os.open

    def opening(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        do = functools.partial(real_open, path, flags, *rest, **options)
        return steps.take(f"create {path!r}", do) if flags & os.O_CREAT else do()

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *words, **options: steps.take(name, lambda: real(*words, **options))

    library: Any = _Library(steps)
    patches = [patch.object(os, name, counted(name, getattr(os, name))) for name in CHANGING]
    patches += [patch.object(os, "open", opening), patch.object(calls, "_libc", library)]
    try:
        for one in patches:
            one.start()
        run()
    except Crash:
        assert steps.dead
    finally:
        for one in patches:
            one.stop()
    return steps


@pytest.mark.parametrize("kind", ["folder", "file", "leftovers", "there"])
@pytest.mark.parametrize("remembered", [True, False])
def test_death_at_any_step_leaves_one_of_both_whole_and_the_next_call_ends_it(
    tmp_path: Path, there: Path, kind: str, remembered: bool
) -> None:
    dice = random.Random(1)
    for last in range(1, 1000):
        source, target = job(tmp_path), there / "X"
        if kind == "file":
            shutil.move(source / "film.mkv", source.with_name("film.mkv"))
            shutil.rmtree(source)
            source, target = source.with_name("film.mkv"), there / "film.mkv"
        seen = snapshot(source)
        if kind == "leftovers":
            write(source / "Subs" / ".nfs0001")
        elif kind == "there":
            subprocess.run(["cp", "-rp", source, target], check=True)
        stages: list[Stage] = []
        steps = dies_at(last, functools.partial(move, source, target, journal=stages.append))
        where = f"{last}: {steps.taken[-1]}"
        whole = [path for path in (source, target) if path.exists() and holds(path, seen)]
        assert whole, where
        assert not target.exists() or holds(target, seen), where
        if steps.dead and source.exists():  # and the next one dies, too
            stage = stages[-1] if stages and remembered else None
            again = functools.partial(move_again, source, target, stage, stages.append)
            dies_at(dice.randrange(1, 40), again)
            whole = [path for path in (source, target) if path.exists() and holds(path, seen)]
            assert whole, where
            assert not target.exists() or holds(target, seen), where
        stage = stages[-1] if stages and remembered else None
        if source.exists():
            ended = move_again(source, target, stage)
        elif stage is not None:
            ended = move_again(source, target, stage)
            assert ended is not None, where
        assert snapshot(target).keys() == seen.keys(), where
        assert holds(target, seen), where
        assert names(there) == {target.name}, where
        assert not source.exists() or kind == "leftovers" or not any(source.iterdir()), where
        shutil.rmtree(tmp_path / "complete")
        subprocess.run(["rm", "-r", target], check=True)
        if not steps.dead:
            assert last > 2
            return
    raise AssertionError("it never ends")


def move_again(
    source: Path, target: Path, last: Stage | None, journal: Callable[[Stage], None] | None = None
) -> Moved | None:
    with contextlib.suppress(Stale):  # nothing but empty folders or leftovers is there any more
        return move(source, target, last=last, journal=journal)
    return None


def holds(path: Path, seen: dict[bytes, tuple[object, ...]]) -> bool:
    """Whether all files of a job are there, whatever else is."""
    found = snapshot(path)
    return all(found.get(name) == facts for name, facts in seen.items() if len(facts) > 2)
