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


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints end in the one place that exits."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help")


def parse_job(verb: str, words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line of a console script such as `qbt-cleanup`."""
    parser = _Parser(
        prog=UNITS[verb],
        description=f"{descriptions.DESCRIPTIONS[verb]}\n\nThe same as `mediapipe {verb}`.",
        epilog=descriptions.EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_job_options(parser, verb)
    parser.set_defaults(verb=verb)
    return _parse(parser, words)


def parse_umbrella(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line of `mediapipe`."""
    parser = _Parser(
        prog="mediapipe",
        description="Moves finished downloads to Backblaze B2 and frees the disk once that is "
        "proven.",
        epilog=descriptions.EPILOG + descriptions.EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mediapipe {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for verb, unit in UNITS.items():
        description = f"{descriptions.DESCRIPTIONS[verb]}\n\nThe same as `{unit}`."
        _add_job_options(_add_verb(verbs, verb, descriptions.SUMMARIES[verb], description), verb)
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
    return _parse(parser, words)


def _parse(parser: _Parser, words: Sequence[str]) -> argparse.Namespace:
    """Parse; an empty word is a variable that was not set, and would mean the current folder."""
    if any(
        not word or (word.startswith("--") and word.find("=") == len(word) - 1) for word in words
    ):
        raise UsageError(
            "one of the arguments is empty",
            hint=f"is a variable of the shell not set? See {parser.prog} --help",
        )
    return parser.parse_args(words)


def _add_inquiries(verbs: argparse._SubParsersAction[_Parser]) -> None:
    words = {
        "status": (
            "what ran when, what is held up and by what, what is proven",
            descriptions.STATUS,
        ),
        "doctor": (
            "what is wrong around the jobs, why it matters, what to do",
            descriptions.DOCTOR,
        ),
        "explain": (
            "all that is known of a file or torrent, and what becomes of it",
            descriptions.EXPLAIN,
        ),
        "history": ("what the jobs changed", descriptions.HISTORY),
        "restore": ("fetch deleted files back from B2", descriptions.RESTORE),
        "lifecycle": (
            "the bucket's lifecycle rules, and the one that keeps old versions for 30 days",
            descriptions.LIFECYCLE,
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
    keys = _add_verb(
        repairs, "prowlarr-keys", "make Prowlarr write its key anew", descriptions.REPAIR
    )
    _add_job_options(keys, "repair")
    keys.set_defaults(verb="repair")
    wait = _add_verb(verbs, "wait-for", "wait until an app is ready", descriptions.WAIT_FOR)
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
    about = descriptions.LOGS.format(jobs=", ".join(SERVICES))
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
        epilog=descriptions.EXIT,
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
            help="delete unfinished jobs that SABnzbd does not know, and copies of moves that "
            "nobody resumes, untouched for 7 days",
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
