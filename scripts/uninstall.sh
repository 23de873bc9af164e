#!/bin/sh
# Usage: uninstall.sh PREFIX [DESTDIR]        (called by `make uninstall`)
# Takes away what `make install` put there, by its own list. Configuration, state, secrets, the
# user and media stay: they are not ours.
set -eu

prefix=$1
destination=${2:-}
home=$prefix/lib/mediapipe
list=$destination$home/installed

if ! [ -e "$list" ]; then
    echo "nothing is installed below $destination$prefix: there is no $list" >&2
    exit 1
fi

if [ -z "$destination" ] && [ -d /run/systemd/system ]; then
    sed -n "s,^\.$prefix/lib/systemd/system/\([^/]*\)\$,\1,p" "$list" | while read -r unit; do
        systemctl disable --quiet --now "$unit" </dev/null 2>/dev/null || true
    done
fi

# Read whole before it goes with the rest. In reverse, a folder comes after what lies in it.
paths=$(LC_ALL=C sort -r "$list")
printf '%s\n' "$paths" | (
    cd "$destination/"
    rm -rf ".$home"
    while read -r path; do
        case $path in
            */) if [ -d "$path" ]; then rmdir --ignore-fail-on-non-empty "$path"; fi ;;
            *) rm -f "$path" ;;
        esac
    done
)
if [ -z "$destination" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

echo "uninstalled; configuration (/etc/mediapipe), state (/var/lib/mediapipe) and media are as they were"
