#!/bin/sh
# Tells the host that SABnzbd has finished a job: drops one small JSON file into the spool, which
# starts `sab-postprocess` there. Mount this file into SABnzbd's scripts folder, the spool at /spool,
# and choose it as the script of each category. Needs no network, and no program but sh, sed, mv, date.
#
# What cannot be told is not lost: a timer on the host asks SABnzbd's history. So a failure is the
# last line of the output, which SABnzbd shows, and not an exit status, which could fail the job.
set -u
export LC_ALL=C
umask 002

spool=${MEDIAPIPE_SPOOL:-/spool}
# By hand: sabnzbd-hook.sh FOLDER NZB NAME '' CATEGORY GROUP STATUS, as SABnzbd calls it.
folder=${SAB_COMPLETE_DIR:-${1:-}}
name=${SAB_FINAL_NAME:-${3:-}}
category=${SAB_CAT:-${5:-*}}
status=${SAB_PP_STATUS:-${7:-0}}
moment=$(date +%s)
id=${SAB_NZO_ID:-by-hand-$moment-$$}

# The point keeps the line breaks at a name's end, which $(…) drops. Control characters stay as they
# are: the reader allows them.
text() {
    escaped=$(printf '%s.' "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g')
    printf '"%s"' "${escaped%.}"
}

if [ -z "$folder" ]; then
    echo "usage: ${0##*/} FOLDER NZB NAME '' CATEGORY GROUP STATUS (SABnzbd gives all of them)"
    exit 2
fi

case $id in
    *[!A-Za-z0-9_-]*) file=job-$moment-$$ ;;
    *) file=$id ;;
esac

# Hidden until it is whole: the host starts the job by the first name that is not.
part=$spool/.$file.$$.part
if {
    printf '{"version": 1, "nzo_id": %s, "status": %s, ' "$(text "$id")" "$(text "$status")"
    printf '"complete_dir": %s, "name": %s, ' "$(text "$folder")" "$(text "$name")"
    printf '"category": %s}\n' "$(text "$category")"
} >"$part" && mv -f "$part" "$spool/$file.json"; then
    echo "told the host of ${folder##*/}"
else
    rm -f "$part"
    echo "the host's timer will find it: nothing could be written to $spool (mounted? writable?)"
fi
