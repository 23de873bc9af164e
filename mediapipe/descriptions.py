"""What `--help` teaches about commands that systemd starts."""

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
