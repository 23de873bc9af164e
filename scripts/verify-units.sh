#!/bin/sh
# Usage: verify-units.sh
# Holds the units, as `make install-units` installs them, against systemd's own checks:
# no warning at all from `verify`, an exposure level of at most 2.0 from `security`.
set -eu

cd "$(dirname "$0")/.."
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
trap 'exit 1' HUP INT TERM

"${MAKE:-make}" --silent --no-print-directory install-units DESTDIR="$stage" PREFIX=/usr/local >/dev/null
units=$stage/usr/local/lib/systemd/system

# verify demands that each program exists; here ours do not yet, and others may be missing.
for service in "$units"/*.service; do
    grep -q '^ExecStart=/usr/local/bin/' "$service" || {
        echo "$(basename "$service"): ExecStart= does not point below PREFIX/bin" >&2
        exit 1
    }
    sed 's,^\(Exec[A-Za-z]*=[-+!:@]*\)/[^ ]*,\1/bin/true,' "$service" >"$service.new"
    mv "$service.new" "$service"
done

# Warnings alone leave the status at 0, so what counts is that nothing is printed.
status=0
complaints=$(
    cd "$units"
    # shellcheck disable=SC2046
    SYSTEMD_UNIT_PATH="$units:" systemd-analyze verify --man=no --recursive-errors=no \
        $(find . -maxdepth 1 -type f) 2>&1
) || status=$?
if [ "$status" -ne 0 ] || [ -n "$complaints" ]; then
    printf '%s\n' "$complaints" "systemd-analyze verify: status $status" >&2
    exit 1
fi

for sandbox in "$units"/*.service.d/10-sandbox.conf; do
    service=$(dirname "$sandbox")
    service=${service%.d}
    # The threshold is in tenths: 20 is 2.0.
    systemd-analyze security --offline=true --threshold=20 --no-pager "$service" >"$stage/report" || {
        cat "$stage/report" >&2
        exit 1
    }
    sed -n 's/^[^A-Za-z]*\(Overall exposure level for [^:]*: [0-9.]*\).*/\1/p' "$stage/report"
done
echo "systemd units: no complaints"
