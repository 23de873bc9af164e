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
        # what makes file systems is out of the way of users, but is theirs to call
        *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" ;;
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
        mkfs.btrfs) echo btrfs-progs ;;
        mkfs.ext4) echo e2fsprogs ;;
        mkfs.xfs) echo xfsprogs ;;
        nix-instantiate) echo nix-bin ;;
        systemd-analyze) echo systemd ;;
        python3) echo "$interpreter" ;;
        python3-venv) echo "$interpreter-venv" ;;
        *) echo "$1" ;;
    esac
}

# SABnzbd is in contrib, its unrar in non-free, and a version of today only in bookworm's backports:
# nothing that a machine's own sources have to hold. They are left as they are.
install_sabnzbd() {
    # shellcheck disable=SC1091
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $release" | sort | head -n 1)
    signer="signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
    lists=$(mktemp -d)
    mkdir -p "$lists/state/partial"
    echo "deb [$signer] $mirror $release main contrib non-free" >"$lists/sources.list"
    suite=$release
    if [ "$release" = bookworm ]; then
        suite=bookworm-backports
        echo "deb [$signer] $mirror $suite main contrib" >>"$lists/sources.list"
    fi
    printf '%s;\n' "Dir::Etc::sourcelist \"$lists/sources.list\"" 'Dir::Etc::sourceparts "/dev/null"' \
        "Dir::State::lists \"$lists/state\"" 'APT::Sandbox::User "root"' >"$lists/apt.conf"
    status=0
    APT_CONFIG=$lists/apt.conf apt-get update -qq >/dev/null &&
        APT_CONFIG=$lists/apt.conf apt-get install -y -qq --no-install-recommends -t "$suite" sabnzbdplus >/dev/null ||
        status=$?
    rm -rf "$lists"
    return "$status"
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
    case " $packages " in
        *" sabnzbdplus "*)
            if grep -q '^ID=debian$' /etc/os-release; then
                install_sabnzbd
                packages=$(echo " $packages " | sed 's/ sabnzbdplus / /')
            fi
            ;;
    esac
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
