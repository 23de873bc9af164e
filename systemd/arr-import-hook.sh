#!/bin/sh
# For Sonarr, Radarr, Lidarr: Settings, Connect, Custom Script, with "On File Import" and "On File
# Upgrade". Asks for an upload by dropping a file into a folder that systemd watches: nothing stays
# resident, and the app waits for nothing. See docs/how-to/instant-uploads.md.
set -eu

folder=${MEDIAPIPE_TRIGGER:-/var/lib/mediapipe/upload.d}
event=${sonarr_eventtype:-${radarr_eventtype:-${lidarr_eventtype:-}}}

trouble() {
    echo "mediapipe: $1" >&2
    # a test by hand shows its output; an import is not to be undone by us
    exit 0
}

case $event in Grab | Health* | Application* | ManualInteraction*) exit 0 ;; esac
[ -d "$folder" ] || trouble "there is no folder $folder: is qbt-upload-b2.path started?"
[ -w "$folder" ] || trouble "$(id -un) may not write to $folder: add that user to its group, restart the app"
[ "$event" = Test ] && exit 0

# one name for each user: nobody can write over another's
: >"$folder/arr-$(id -u)"
