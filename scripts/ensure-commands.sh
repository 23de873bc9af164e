#!/bin/sh
# Usage: ensure-commands.sh NAME...
# Makes sure that each NAME is on this machine. What is missing is installed where that is
# possible without asking (root on Debian or Ubuntu); elsewhere the packages are named, status 1.
# A NAME is a command, or one of: python3-venv, ca-certificates. $PYTHON is the interpreter meant.
set -eu

python=${PYTHON:-python3}

present() {
    case $1 in
        python3) command -v "$python" ;;
        # Debian splits venv: the module is there, what fills the new environment is not.
        python3-venv) "$python" -c 'import ensurepip, venv' ;;
        ca-certificates)
            for bundle in "${SSL_CERT_FILE:-}" "${NIX_SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt \
                /etc/ssl/cert.pem /etc/ssl/ca-bundle.pem /etc/pki/tls/certs/ca-bundle.crt; do
                if [ -s "$bundle" ]; then return 0; fi
            done
            return 1
            ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

package_of() {
    # A Debian machine may have several interpreters, each with packages of its own.
    case $python in
        python3.*) interpreter=$python ;;
        *) interpreter=python3 ;;
    esac
    case $1 in
        fusermount3) echo fuse3 ;;
        nix-instantiate) echo nix-bin ;;
        systemd-analyze) echo systemd ;;
        python3) echo "$interpreter" ;;
        python3-venv) echo "$interpreter-venv" ;;
        *) echo "$1" ;;
    esac
}

missing() {
    for name in "$@"; do
        present "$name" || echo "$name"
    done
}

packages_of() {
    for name in "$@"; do
        package_of "$name"
    done
}

# Names and packages hold no spaces: splitting the lists into words is what is wanted below.
# shellcheck disable=SC2046
set -- $(missing "$@")
[ $# -gt 0 ] || exit 0
packages=$(packages_of "$@" | paste -sd ' ' -)

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Missing here: $*. Installing with apt-get: $packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
    # shellcheck disable=SC2046
    set -- $(missing "$@")
    [ $# -gt 0 ] || exit 0
    echo "Still missing after apt-get installed $packages: $*" >&2
    exit 1
fi

echo "Missing here: $*" >&2
if command -v apt-get >/dev/null 2>&1; then
    echo "Install with:  sudo apt-get install --no-install-recommends $packages" >&2
else
    echo "Install the packages that hold them (on Debian they are called: $packages), then run this again." >&2
fi
exit 1
