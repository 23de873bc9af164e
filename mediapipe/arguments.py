"""The options of every command, and the help that teaches them."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from mediapipe import __version__, descriptions, mount_arguments
from mediapipe.errors import UsageError
from mediapipe.logs import SERVICES
from mediapipe.units import Seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = {
    "categories": "qbt-categories",
    "upload": "qbt-upload-b2",
    "cleanup": "qbt-cleanup",
    "postprocess": "sab-postprocess",
}
"""Verb → the console script and systemd unit that people type."""

INQUIRIES = (
    *("alert", "config check", "doctor", "explain", "history", "lifecycle", "logs", "status"),
    *("wait-for", "watch", *mount_arguments.VERBS),
)
"""The verbs that are no jobs."""

_SUMMARIES = {
    "categories": "declare qBittorrent's download categories",
    "upload": "upload the library and uncategorized downloads to B2, with proof",
    "cleanup": "remove seeded torrents, their files and library links, once all is proven on B2",
    "postprocess": "move what SABnzbd finished to where the *arr apps look, and tell them",
}
_DESCRIPTIONS = {
    "categories": """\
Creates the categories of [categories] that qBittorrent does not have. One that it has with
another save path is reported and left: changing it would move or lose its torrents.""",
    "upload": """\
Uploads what has no valid .uploaded marker: the libraries first, then the uncategorized downloads,
each newest first. Every object is looked up after the copy (there, size, SHA-1) before its marker
is written. With nothing pending no service is asked.""",
    "cleanup": """\
Removes torrents past their seeding time, then their files, their hard links in the library, their
markers and the folders that this empties. A file goes only if the remote confirms its size and
SHA-1 in this very run. What cannot be looked at is kept.""",
    "postprocess": """\
Moves each download that SABnzbd's history calls completed to the folder of its category, once, and
tells the *arr app of it. For a SABnzbd in a container on a share where its own renames fail. Finds
the files in _UNPACK_ folders that a failed rename left, never takes what is still worked on, and
reports what failures leave behind. What it does not move it names, with the reason.""",
}

_STATUS = """\
Reads what the jobs remember: when each ran and how it ended, what is not asked or tried for now
and how to end that, deletions that were begun and not finished, what cleanup wants uploaded, and
how much is proven. Reads only: no lock, no service, no network."""
_LIFECYCLE = """\
Shows the lifecycle rules of the bucket, and the one that is offered: a hidden or replaced version
is kept for 30 days, an unfinished upload for one. With --apply it is set, for our folder alone;
rules for other folders stay. It needs a key with writeBuckets. No job ever changes a rule."""
_WAIT_FOR = """\
Waits until an app answers as itself, to the key or login that is configured: an open port is not
enough. APP is the NAME of an [arr.NAME], or qbittorrent, sabnzbd, jellyfin or mount (something is
mounted at [rclone] mount_point, and lists its files). A refused key ends the wait at once. For
ExecStartPre=, with RestartPreventExitStatus=78."""

_EXPLAIN = """\
Tells for a file, a folder, a library path, a download or a torrent (by its hash, the beginning of
that, or its name): all its names, the torrents that hold it, its markers and proofs, the object as
the remote tells it now, and what upload and cleanup would do with it, by the jobs' own plans. Works
without qBittorrent or B2 as far as it can. Takes no lock and writes nothing."""
_HISTORY = """\
Shows what was changed on disk and in services, oldest first, as audit.jsonl has it. PATH chooses
the changes of a file, or of all below a folder; a remote name (b2:bucket/tv/…) or the name of a
torrent does the same. With --json the lines stand as they are: one JSON object per line."""
_RESTORE = """\
Fetches a file, or all files of a folder, that cleanup deleted back from B2; by the id of the very
version where the object was replaced or hidden since. Size and SHA-1 are compared before it gets
its name; nothing that stands there is overwritten. Of archives B2 has the members: with --to FOLDER
these are fetched."""
_LOGS = """\
Shows the journal of the jobs and services that systemd starts: what they told, what their programs
printed, and what systemd says of their units. Without JOB all are shown; it is one of
  {jobs}
It runs journalctl, so that the pager, the keys and the colours are the ones you know. To see what
is not yours takes the group systemd-journal, or root.

Each event has fields of its own, which journalctl can choose by:
  journalctl MEDIAPIPE_JOB=cleanup MEDIAPIPE_ACTION=delete-file
  journalctl MEDIAPIPE_OUTCOME=unavailable --since today
  journalctl MEDIAPIPE_PATH=/media/arr/tv/Show/S01E01.mkv"""
_DOCTOR = """\
Looks at what the jobs rest on, and tells of each finding what it is, why it matters and what to do.
TOPIC is config, mounts, qbittorrent, sabnzbd, remote, arr or units; without one, all. arr looks at
root folders, hard links (a real one is tried), categories, path mappings, Prowlarr's applications
and FlareSolverr; and lets each app try one indexer of Prowlarr's, which searches its tracker: at
most daily, unless arr is named. Nothing is changed. 3 with findings; 75 where something could not
be looked at."""
_REPAIR = """\
Lets each app try one indexer of Prowlarr's. Where one fails, Prowlarr writes all of its indexers
into its applications anew (ApplicationIndexerSync with forceSync), and they are tried again. With
--dry-run nothing is written."""

_EXIT = """\
exit status:
  0   done, or nothing to do
  1   a bug, with its traceback
  2   the command line is wrong
  3   some actions failed, or a guard refused the plan
  75  a service or a mount is not there, or another run is under way: try again later
  78  the configuration, a secret or a program has to change
"""

_EPILOG = """\
first steps:
  mediapipe config check           is the configuration sound? (no network, nothing is touched)
  mediapipe upload --dry-run       what would be uploaded, and what waits for what
  mediapipe cleanup --dry-run      what would be deleted, and why the rest is kept
  mediapipe status                 what ran when, and what is held up by what
  mediapipe doctor                 is everything that the jobs rest on in order?
  mediapipe explain PATH           why is it still here, or what became of it?
  mediapipe logs -f                follow the jobs that systemd's timers start

"""


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints end in the one place that exits."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help")


def parse_job(verb: str, words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line of a console script such as `qbt-cleanup`."""
    parser = _Parser(
        prog=UNITS[verb],
        description=f"{_DESCRIPTIONS[verb]}\n\nThe same as `mediapipe {verb}`.",
        epilog=_EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_job_options(parser, verb)
    parser.set_defaults(verb=verb)
    return parser.parse_args(words)


def parse_umbrella(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line of `mediapipe`."""
    parser = _Parser(
        prog="mediapipe",
        description="Moves finished downloads to Backblaze B2 and frees the disk once that is "
        "proven.",
        epilog=_EPILOG + _EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mediapipe {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for verb, unit in UNITS.items():
        description = f"{_DESCRIPTIONS[verb]}\n\nThe same as `{unit}`."
        _add_job_options(_add_verb(verbs, verb, _SUMMARIES[verb], description), verb)
    config = verbs.add_parser("config", help="check the configuration")
    checks = config.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = checks.add_parser(
        "check",
        help="name every mistake in a configuration file",
        description="Needs no network, no secret and no existing path.",
    )
    check.add_argument("file", nargs="?", metavar="FILE", help="default: see --config")
    _add_config(check)
    check.set_defaults(verb="config check")
    _add_inquiries(verbs)
    if not words:
        parser.print_help(sys.stdout)
        parser.exit(2)
    return parser.parse_args(words)


def _add_inquiries(verbs: argparse._SubParsersAction[_Parser]) -> None:
    words = {
        "status": ("what ran when, what is held up and by what, what is proven", _STATUS),
        "doctor": ("what is wrong around the jobs, why it matters, what to do", _DOCTOR),
        "explain": ("all that is known of a file or torrent, and what becomes of it", _EXPLAIN),
        "history": ("what the jobs changed", _HISTORY),
        "restore": ("fetch deleted files back from B2", _RESTORE),
        "lifecycle": (
            "the bucket's lifecycle rules, and the one that keeps old versions for 30 days",
            _LIFECYCLE,
        ),
    }
    parsers = {verb: _add_verb(verbs, verb, *about) for verb, about in words.items()}
    parsers["doctor"].add_argument("topics", nargs="*", metavar="TOPIC", help="default: all")
    parsers["explain"].add_argument("subject", metavar="PATH|HASH|NAME")
    parsers["history"].add_argument("path", nargs="?", metavar="PATH", help="default: all")
    parsers["history"].add_argument(
        "--since", type=_seconds, metavar="DURATION", help="only the last 2d, 3h, 90m …"
    )
    parsers["restore"].add_argument("path", metavar="PATH", help="a file or folder, as it was")
    parsers["restore"].add_argument("--to", metavar="FOLDER", help="default: where it was")
    parsers["lifecycle"].add_argument(
        "--apply", action="store_true", help="set the rule that is offered"
    )
    for verb, parser in parsers.items():
        if verb == "restore":
            _add_job_options(parser, verb)
        else:
            _add_config(parser)
            shape = "object per line" if verb == "history" else "object"
            parser.add_argument("--json", action="store_true", help=f"answer as one JSON {shape}")
    _add_logs(verbs)
    repair = verbs.add_parser("repair", help="mend what the doctor found")
    repairs = repair.add_subparsers(title="commands", metavar="COMMAND", required=True)
    keys = _add_verb(repairs, "prowlarr-keys", "make Prowlarr write its key anew", _REPAIR)
    _add_job_options(keys, "repair")
    keys.set_defaults(verb="repair")
    wait = _add_verb(verbs, "wait-for", "wait until an app is ready", _WAIT_FOR)
    wait.add_argument("app", metavar="APP", help="what to wait for")
    wait.add_argument(
        "--timeout",
        type=_plain_seconds,
        default=Seconds.parse("60s"),
        metavar="DURATION",
        help="how long it may take; a plain number is of seconds (default: 60s)",
    )
    _add_config(wait)
    alert = _add_verb(
        verbs, "alert", "tell people what failed, and what works again", descriptions.ALERT
    )
    alert.add_argument("unit", nargs="?", metavar="UNIT", help="what failed, or: test")
    alert.add_argument(
        "--dry-run", action="store_true", help="show what would be told; remember nothing"
    )
    _add_config(alert)
    watch = _add_verb(
        verbs, "watch", "ask for an upload as soon as something is new", descriptions.WATCH
    )
    watch.add_argument("-v", "--verbose", action="store_true", help="log each change")
    _add_config(watch)
    mount_arguments.add(functools.partial(_add_inquiry, verbs))


def _add_inquiry(
    verbs: argparse._SubParsersAction[_Parser], verb: str, summary: str, description: str
) -> _Parser:
    parser = _add_verb(verbs, verb, summary, description)
    _add_config(parser)
    return parser


def _add_logs(verbs: argparse._SubParsersAction[_Parser]) -> None:
    about = _LOGS.format(jobs=", ".join(SERVICES))
    logs = _add_verb(verbs, "logs", "the journal of the jobs and services", about)
    logs.add_argument("job", nargs="?", choices=[*SERVICES], metavar="JOB", help="default: all")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as lines arrive")
    logs.add_argument(
        "--since", type=_seconds, metavar="DURATION", help="only the last 2d, 3h, 90m …"
    )
    logs.add_argument(
        "-n", "--lines", type=_count, metavar="N",
        help="only the last N lines (default: 100, or with --since all)",
    )  # fmt: skip
    logs.add_argument("--json", action="store_true", help="one JSON object per line")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines")
    return int(text)


def _add_verb(
    verbs: argparse._SubParsersAction[_Parser], verb: str, summary: str, description: str
) -> _Parser:
    parser = verbs.add_parser(
        verb,
        help=summary,
        description=description,
        epilog=_EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(verb=verb)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="default: $MEDIAPIPE_CONFIG, else /etc/mediapipe/config.toml",
    )


def _add_job_options(parser: argparse.ArgumentParser, verb: str) -> None:
    _add_config(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan that would run; write nothing"
    )
    parser.add_argument("--json", action="store_true", help="report as one JSON object")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="log each item that is kept, and why"
    )
    name = f"{UNITS.get(verb, 'mediapipe')} {__version__}"
    parser.add_argument("--version", action="version", version=name)
    if verb == "categories":
        parser.add_argument(
            "--wait",
            type=_seconds,
            default=Seconds.parse("60s"),
            metavar="DURATION",
            help="how long qBittorrent may take to answer (default: 60s)",
        )
    if verb == "postprocess":
        parser.add_argument(
            "--adopt",
            type=os.path.abspath,
            metavar="PATH",
            help="move this folder, though SABnzbd calls its job failed or knows none: look first",
        )
        parser.add_argument(
            "--sweep",
            action="store_true",
            help="delete unfinished jobs that SABnzbd does not know, untouched for 7 days",
        )
    if verb == "cleanup":
        parser.add_argument(
            "--force", action="store_true", help="lift [cleanup] max_deletes, and nothing else"
        )
        parser.add_argument(
            "--accept-loss",
            action="store_true",
            help="take qBittorrent's present list as the new base, however short it is",
        )
        parser.add_argument(
            "--orphans-now",
            action="store_true",
            help="give downloads without a torrent no grace; proof is demanded as always",
        )


def _seconds(text: str) -> Seconds:
    try:
        return Seconds.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _plain_seconds(text: str) -> Seconds:
    """As systemd has it: a number without a unit is of seconds."""
    return _seconds(f"{text}s" if text.isdecimal() else text)
