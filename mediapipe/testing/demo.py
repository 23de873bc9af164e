"""`make demo`: the whole pipeline, for real, on this machine, in about a minute.

Two qbittorrent-nox, one rclone and a B2 server talk over loopback; the jobs are the real console
scripts. It ends with a table of what lies where, and with status 0 only if every byte is on B2.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mediapipe.plan import human
from mediapipe.testing.box import BUCKET, COMMANDS, Box
from mediapipe.testing.qbittorrent import QbittorrentServer, make_torrent, wait_until

SEEDING_TIME = 15
SHOW = "Night.Ferry.S01.1080p.WEB.x265-DEMO"
FILM = "The.Long.Tide.2024.2160p.BluRay-DEMO"
EXTRA = "Ferry maps & timetables (1911).zip"
MIB = 1 << 20


@dataclass(frozen=True)
class Tracked:
    """A file that the demo follows."""

    name: str
    download: Path
    link: Path | None
    remote: str
    digest: str
    size: int


def main() -> int:
    """Run the demo; gives its exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the servers and files")
    keep: bool = parser.parse_args().keep
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="mediapipe-demo-"))
    try:
        held = play(folder, keep=keep)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{'All held' if held else 'NOT all held'}, in {time.monotonic() - started:.0f} s.")
    return 0 if held else 1


def play(folder: Path, *, keep: bool) -> bool:
    """Play every act; tells whether all held."""
    say("The box", f"everything happens below {folder}, on 127.0.0.1 only")
    with Servers(folder, keep=keep) as servers:
        box = Box(folder, servers.downloader.url, servers.rclone_config)
        box.write_config(upload={"settle": "1s"}, cleanup={"seeding_time": f"{SEEDING_TIME}s"})
        say("Categories", "qBittorrent learns where Sonarr's and Radarr's downloads belong")
        good = job(box, "categories")
        say("Download", "three torrents travel from one qBittorrent to the other")
        tracked = download(box, servers)
        say("Import", "a stand-in for Sonarr and Radarr hard-links them under clean names")
        imported(tracked)
        say("Upload", "first the plan, then the same plan for real")
        time.sleep(1)  # the settle time of this configuration
        good &= job(box, "upload", "--dry-run") & job(box, "upload")
        say("Cleanup, too early", f"the torrents have to seed for {SEEDING_TIME} s (here; 7 days)")
        good &= job(box, "cleanup", "--dry-run") & job(box, "cleanup")
        say("Cleanup, in time", "first the plan with its reasons, then the same plan for real")
        wait_for_seeding(box)
        good &= job(box, "cleanup", "--dry-run") & job(box, "cleanup")
        say("What lies where now", "")
        good &= table(box, servers, tracked)
        if keep:
            how_to_look(box, servers)
    return good


class Servers:
    """The two qBittorrents and the B2 server, each a process of its own."""

    def __init__(self, folder: Path, *, keep: bool) -> None:
        """Nothing is started yet."""
        self._keep = keep
        self._folder = folder
        completed = folder / "downloads" / "completed"
        self.seeder = QbittorrentServer(folder / "seeder", die_with_parent=not keep)
        self.downloader = QbittorrentServer(
            folder / "downloader",
            completed=completed,
            incomplete=folder / "downloads" / "incomplete",
            die_with_parent=not keep,
        )
        self.rclone_config = ""

    def __enter__(self) -> Self:
        """Start all three."""
        command = [sys.executable, "-m", "mediapipe.testing.b2", "--root", str(self._folder / "b2")]
        # its complaints go to a file: what outlives us must not hold our terminal or pipe
        with (self._folder / "b2.log").open("w") as log:
            self._b2 = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=self._keep,
            )
        assert self._b2.stdout is not None
        self.b2_url = self._b2.stdout.readline().rsplit(" ", 1)[-1].strip()
        if not self.b2_url:
            raise SystemExit("the B2 server did not start")
        self.rclone_config = (
            f"[b2]\ntype = b2\naccount = master\nkey = master-secret\nendpoint = {self.b2_url}\n"
        )
        self.seeder.start()
        self.downloader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them, unless they are to be looked at."""
        if self._keep:
            return
        self.downloader.stop()
        self.seeder.stop()
        self._b2.terminate()
        self._b2.wait(10)

    @property
    def pids(self) -> list[int]:
        """The processes that KEEP=1 leaves."""
        return [self.downloader.pid, self.seeder.pid, self._b2.pid]


def download(box: Box, servers: Servers) -> list[Tracked]:
    """Make three torrents from generated files and let them travel; gives what arrived."""
    source = servers.seeder.completed
    show, film, extra = source / SHOW, source / FILM, source / EXTRA
    write(show / "Night.Ferry.S01E01.mkv", 6 * MIB)
    write(show / "Night.Ferry.S01E02.mkv", 5 * MIB)
    (show / "Night.Ferry.S01.nfo").write_text("the only thing here that nobody misses\n")
    write(film / "The.Long.Tide.2024.mkv", 9 * MIB)
    with zipfile.ZipFile(extra, "w") as archive:
        archive.writestr("map.txt", "here be dragons\n" * 5000)
    hashes = []
    for content, category in ((show, "tv-sonarr"), (film, "radarr"), (extra, None)):
        torrent = make_torrent(content, box.folder / f"{content.name}.torrent")
        servers.seeder.add(torrent.path, save_path=source)
        hashes.append(servers.downloader.add(torrent.path, category=category))
    travel(servers, hashes)
    season = box.tv / "Night Ferry" / "Season 01"
    tv, movies = box.completed / "tv" / SHOW, box.completed / "movies" / FILM
    found = [
        track(tv / "Night.Ferry.S01E01.mkv", season / "Night Ferry - S01E01 - Cast Off.mkv", "tv"),
        track(tv / "Night.Ferry.S01E02.mkv", season / "Night Ferry - S01E02 - Fog.mkv", "tv"),
        track(
            movies / "The.Long.Tide.2024.mkv",
            box.movies / "The Long Tide (2024)" / "The Long Tide (2024).mkv",
            "movies",
        ),
        unpacked(box.completed / EXTRA, "map.txt"),
    ]
    for one in found:
        print(f"  {one.download.relative_to(box.folder)}  ({human(one.size)})")
    return found


def travel(servers: Servers, hashes: list[str]) -> None:
    """Let the torrents arrive; a peer that was met too early is tried again after a restart."""
    for left in (2, 1, 0):
        for infohash in hashes:
            servers.downloader.connect(infohash, servers.seeder)
        try:
            servers.downloader.wait_complete(hashes, 20)
        except TimeoutError:
            if not left:
                raise
            servers.downloader.restart()
        else:
            return


def track(path: Path, link: Path, remote: str) -> Tracked:
    """Note what a file is now, and where it has to be in the end."""
    library = next(parent for parent in link.parents if parent.parent.name == "media")
    return noted(path.name, path, link, f"{remote}/{link.relative_to(library)}", path.read_bytes())


def unpacked(archive: Path, member: str) -> Tracked:
    """Note what a member of an archive is, and where it has to be in the end."""
    data = zipfile.ZipFile(archive).read(member)
    remote = f"downloads/{archive.name}/{member}"
    return noted(f"{archive.name}: {member}", archive, None, remote, data)


def noted(name: str, path: Path, link: Path | None, remote: str, data: bytes) -> Tracked:
    """Note the bytes that have to come back."""
    return Tracked(name, path, link, remote, hashlib.sha256(data).hexdigest(), len(data))


def imported(tracked: list[Tracked]) -> None:
    """Hard-link each download under its clean name, as Sonarr and Radarr do."""
    for one in tracked:
        if one.link is not None:
            one.link.parent.mkdir(parents=True, exist_ok=True)
            os.link(one.download, one.link)
            print(f"  {one.download.name}  =  {'/'.join(one.link.parts[-3:])}")


def wait_for_seeding(box: Box) -> None:
    """Wait until the plan wants to remove all three torrents; the plan itself tells."""

    def due() -> bool:
        actions = box.report("cleanup", "--dry-run")["actions"]
        torrents = [action for action in actions if action["action"] == "remove-torrent"]
        return len(torrents) == len((SHOW, FILM, EXTRA))

    print("  waiting …", flush=True)
    wait_until(due, seconds=60, what="all three torrents to be past their seeding time")


def table(box: Box, servers: Servers, tracked: list[Tracked]) -> bool:
    """Print what lies where, fetching every object back from B2; tells whether all held."""
    rows = [("item", "was", "is now", "bytes", "equal")]
    good = True
    back = box.folder / "fetched-back"
    program = Path(sys.executable).parent / "rclone"
    rclone = [str(program), "--config", str(box.folder / "rclone.conf")]
    for one in tracked:
        fetched = back / one.remote
        remote = f"b2:{BUCKET}/{one.remote}"
        # rclone fetches it back: it shares no code with the jobs
        command = [*rclone, "copyto", remote, str(fetched)]
        subprocess.run(command, check=False, stdin=subprocess.DEVNULL)
        same = fetched.is_file() and (
            hashlib.sha256(fetched.read_bytes()).hexdigest() == one.digest
        )
        left = [path for path in (one.download, one.link) if path and os.path.lexists(path)]
        good &= same and not left
        was = "download" if one.link is None else "download + library link"
        now = remote if not left else f"{remote} AND still on disk"
        rows.append((one.name, was, now, human(one.size), "yes" if same else "NO"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    torrents = servers.downloader.client().torrents_info()
    left_over = box.tree(box.completed) | box.tree(box.tv) | box.tree(box.movies)
    print(f"\n  torrents left: {len(torrents)}; files left in downloads and libraries: "
          f"{', '.join(sorted(left_over)) or 'none'}")  # fmt: skip
    return good and not torrents and not left_over


def how_to_look(box: Box, servers: Servers) -> None:
    """Say what is left and how to look at it."""
    rclone = Path(sys.executable).parent / "rclone"
    pids = " ".join(str(pid) for pid in servers.pids)
    print(f"""
== KEEP=1: the servers are up
  qBittorrent (downloads):  {servers.downloader.url}   (no login)
  qBittorrent (seeds):      {servers.seeder.url}
  B2:                       {rclone} --config {box.folder}/rclone.conf lsf -R b2:{BUCKET}
  run a job again:          {Path(sys.executable).parent / COMMANDS["cleanup"]} --config {box.config_path} --dry-run
  audit:                    {box.state}/audit.jsonl
  end it all:               kill {pids}; rm -r {box.folder}""")  # noqa: E501 - to be pasted


def say(title: str, text: str) -> None:
    """Announce an act."""
    print(f"\n== {title}" + (f": {text}" if text else ""), flush=True)


def job(box: Box, verb: str, *options: str) -> bool:
    """Run a job in front of the audience; tells whether it ended well."""
    print(f"$ {' '.join([COMMANDS[verb], *options])}", flush=True)
    ended = box.run(verb, *options)
    for line in ended.stdout.splitlines():
        print("  " + line.replace(f"{box.folder}/", ""))
    if ended.returncode != 0:
        print(f"  ended with status {ended.returncode}\n{ended.stderr}")
    return ended.returncode == 0


def write(path: Path, size: int) -> None:
    """Write `size` bytes that do not compress and are the same in each demo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(path.name).randbytes(size))  # noqa: S311 - no secret


if __name__ == "__main__":
    sys.exit(main())
