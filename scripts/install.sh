#!/bin/sh
# Usage: install.sh PREFIX [DESTDIR]        (called by `make install`; $PYTHON is the interpreter)
# Installs the programs in an environment of their own, units, man pages and the example of a
# configuration. All is built aside first: what fails leaves what was installed before as it was.
set -eu
umask 022

prefix=$1
destination=${2:-}
python=${PYTHON:-python3}
cd "$(dirname "$0")/.."

case $prefix in
    *[!A-Za-z0-9/._+-]* | [!/]* | "" | */)
        echo "PREFIX is '$prefix': it has to be an absolute path, of letters and digits" >&2
        exit 2
        ;;
esac
home=$prefix/lib/mediapipe
if [ -e "$destination$home" ] && ! [ -e "$destination$home/installed" ]; then
    echo "$destination$home is there, and was not made by make install: move it away" >&2
    exit 1
fi

# The units run as a user who may not enter the home of somebody else.
if [ -z "$destination" ] && [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    real=$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')
    if ! setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$real"; then
        echo "$real can be run by root alone, but the units run as the user media." >&2
        echo "Take the interpreter of the distribution:  make install PYTHON=/usr/bin/python3" >&2
        exit 1
    fi
fi

# A tool of the build, never installed: pip and what makes our wheel.
tools=build/tools
if ! cmp -s requirements/build.txt "$tools/.ready" || ! "$tools/bin/python" -c 'import pip'; then
    rm -rf "$tools"
    "$python" -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --require-hashes --requirement requirements/build.txt
    cp requirements/build.txt "$tools/.ready"
fi
rm -rf build/wheel
"$tools/bin/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
trap 'exit 1' HUP INT TERM
environment=$stage$home

"$python" -m venv --without-pip "$environment"
into() { "$tools/bin/python" -m pip --python "$environment/bin/python" install --quiet --no-compile "$@"; }
into --require-hashes --requirement requirements/runtime.txt --requirement requirements/rclone.txt
into --no-deps --no-index --find-links build/wheel mediapipe-host
"$environment/bin/python" scripts/manpages.py docs/reference "$stage$prefix/share/man"
commands=$("$environment/bin/python" - <<'END'
from importlib.metadata import distribution
for script in distribution("mediapipe-host").entry_points.select(group="console_scripts"):
    print(script.name)
END
)
# It was built elsewhere: its files name the place where it is going to be.
find "$environment" -maxdepth 2 -type f -exec grep -qIF "$stage" {} \; -exec sed -i "s,$stage,,g" {} +
"$environment/bin/python" -m compileall -q -s "$stage" -p / "$environment/lib"

install -d "$stage$prefix/bin"
for command in $commands; do
    ln -s "../lib/mediapipe/bin/$command" "$stage$prefix/bin/$command"
done
"${MAKE:-make}" --silent --no-print-directory install-units PREFIX="$prefix" DESTDIR="$stage" >/dev/null
install -D -m 0644 systemd/mediapipe.sysusers "$stage$prefix/lib/sysusers.d/mediapipe.conf"
install -D -m 0644 systemd/mediapipe.tmpfiles "$stage$prefix/lib/tmpfiles.d/mediapipe.conf"
install -D -m 0644 docs/reference/config.example.toml "$stage/etc/mediapipe/config.toml.example"

# What `make uninstall` takes away again: our files, and the folders (with a slash at the end) that
# were not there before. What an older version put there and this one does not goes now.
list=$home/installed
(cd "$stage" && find . ! -type d ! -path ".$home/*" | LC_ALL=C sort) >"$stage$list"
(cd "$stage" && find . -mindepth 1 -type d ! -path ".$home*" | LC_ALL=C sort) >build/folders
while read -r folder; do
    if ! [ -d "$destination/$folder" ]; then echo "$folder/"; fi
done <build/folders >build/made
if [ -e "$destination$list" ]; then
    grep '/$' "$destination$list" >>build/made || true
    LC_ALL=C comm -23 "$destination$list" "$stage$list" | sed '/\/$/d' | while read -r old; do
        rm -f "$destination/$old"
    done
fi
LC_ALL=C sort -u -o "$stage$list" "$stage$list" build/made

# One rename changes the environment under a job that runs; a folder that is a link stays one.
install -d "$destination$prefix/lib"
rm -rf "$destination$home.new" "$destination$home.old"
cp -a "$environment" "$destination$home.new"
if [ -e "$destination$home" ]; then mv "$destination$home" "$destination$home.old"; fi
mv "$destination$home.new" "$destination$home"
rm -rf "$destination$home.old"
grep -v '/$' "$stage$list" | tar -C "$stage" -cf build/rest.tar -T -
tar -C "${destination:-/}" --keep-directory-symlink --no-same-owner -xf build/rest.tar

if [ -n "$destination" ]; then
    echo "installed below $destination"
    exit 0
fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
cat <<END
Installed; nothing is enabled. What is left to do:

  systemd-sysusers $prefix/lib/sysusers.d/mediapipe.conf
  systemd-tmpfiles --create $prefix/lib/tmpfiles.d/mediapipe.conf
  cp /etc/mediapipe/config.toml.example /etc/mediapipe/config.toml    # then change it
  $prefix/bin/mediapipe config check
  systemctl enable --now qbt-categories.service qbt-upload-b2.timer qbt-cleanup.timer
END
