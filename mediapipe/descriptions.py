"""What `--help` teaches of each command."""

from __future__ import annotations

WATCH = """\
Watches the libraries and the uncategorized downloads, and asks systemd for an upload when something
is new there: it drops a file into upload.d in the state folder, which qbt-upload-b2.path sees. It
asks once more after `[upload] settle`. What it cannot watch it names, with what to do; the timers
look there all the same. SIGHUP reads the configuration again. Made for mediapipe-watch.service."""

ALERT = """\
With UNIT (qbt-upload-b2.service) tells that it failed: how, since when, and its last ten log lines,
to the journal and to the apprise URLs of `[notify] urls_file`; the same failure at most once a day.
It is the OnFailure= of all units. Without UNIT, as the timer starts it, tells of outages that have
lasted an hour, of what works again, and what could not be told before. UNIT `test` sends a test
message, as does `systemctl start mediapipe-alert@test.service`."""

SUMMARIES = {
    "categories": "declare qBittorrent's download categories",
    "upload": "upload the library and uncategorized downloads to B2, with proof",
    "cleanup": "remove seeded torrents, their files and library links, once all is proven on B2",
    "postprocess": "move what SABnzbd finished to where the *arr apps look, and tell them",
}
DESCRIPTIONS = {
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

STATUS = """\
Reads what the jobs remember: when each ran and how it ended, what is not asked or tried for now
and how to end that, deletions that were begun and not finished, what cleanup wants uploaded, and
how much is proven. Reads only: no lock, no service, no network."""
LIFECYCLE = """\
Shows the lifecycle rules of the bucket, and the one that is offered: a hidden or replaced version
is kept for 30 days, an unfinished upload for one. With --apply it is set, for our folder alone;
rules for other folders stay. It needs a key with writeBuckets. No job ever changes a rule."""
WAIT_FOR = """\
Waits until an app answers as itself, to the key or login that is configured: an open port is not
enough. APP is the NAME of an [arr.NAME], or qbittorrent, sabnzbd, jellyfin or mount (something is
mounted at [rclone] mount_point, and lists its files). A refused key ends the wait at once. For
ExecStartPre=, with RestartPreventExitStatus=78."""

EXPLAIN = """\
Tells for a file, a folder, a library path, a download or a torrent (by its hash, the beginning of
that, or its name): all its names, the torrents that hold it, its markers and proofs, the object as
the remote tells it now, and what upload and cleanup would do with it, by the jobs' own plans. Works
without qBittorrent or B2 as far as it can. Takes no lock and writes nothing."""
HISTORY = """\
Shows what was changed on disk and in services, oldest first, as audit.jsonl has it. PATH chooses
the changes of a file, or of all below a folder; a remote name (b2:bucket/tv/…) or the name of a
torrent does the same. With --json the lines stand as they are: one JSON object per line."""
RESTORE = """\
Fetches a file, or all files of a folder, that cleanup deleted back from B2; by the id of the very
version where the object was replaced or hidden since. Size and SHA-1 are compared before it gets
its name; nothing that stands there is overwritten. Of archives B2 has the members: with --to FOLDER
these are fetched."""
LOGS = """\
Shows the journal of the jobs and services that systemd starts: what they told, what their programs
printed, and what systemd says of their units. Without JOB all are shown; it is one of
  {jobs}
It runs journalctl, so that the pager, the keys and the colours are the ones you know. To see what
is not yours takes the group systemd-journal, or root.

Each event has fields of its own, which journalctl can choose by:
  journalctl MEDIAPIPE_JOB=cleanup MEDIAPIPE_ACTION=delete-file
  journalctl MEDIAPIPE_OUTCOME=unavailable --since today
  journalctl MEDIAPIPE_PATH=/media/arr/tv/Show/S01E01.mkv"""
DOCTOR = """\
Looks at what the jobs rest on, and tells of each finding what it is, why it matters and what to do.
TOPIC is config, mounts, qbittorrent, sabnzbd, remote, arr or units; without one, all. arr looks at
root folders, hard links (a real one is tried), categories, path mappings, Prowlarr's applications
and FlareSolverr; and lets each app try one indexer of Prowlarr's, which searches its tracker: at
most daily, unless arr is named. Nothing is changed. 3 with findings; 75 where something could not
be looked at."""
REPAIR = """\
Lets each app try one indexer of Prowlarr's. Where one fails, Prowlarr writes all of its indexers
into its applications anew (ApplicationIndexerSync with forceSync), and they are tried again. With
--dry-run nothing is written."""

EXIT = """\
exit status:
  0   done, or nothing to do
  1   a bug, with its traceback
  2   the command line is wrong
  3   some actions failed, or a guard refused the plan
  75  a service or a mount is not there, or another run is under way: try again later
  78  the configuration, a secret or a program has to change
"""

EPILOG = """\
first steps:
  mediapipe config check           is the configuration sound? (no network, nothing is touched)
  mediapipe upload --dry-run       what would be uploaded, and what waits for what
  mediapipe cleanup --dry-run      what would be deleted, and why the rest is kept
  mediapipe status                 what ran when, and what is held up by what
  mediapipe doctor                 is everything that the jobs rest on in order?
  mediapipe explain PATH           why is it still here, or what became of it?
  mediapipe logs -f                follow the jobs that systemd's timers start

"""
