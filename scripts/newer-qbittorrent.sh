#!/bin/sh
# Usage: newer-qbittorrent.sh FOLDER
# Puts the qbittorrent-nox of Debian 13 into FOLDER, with all that it needs, and a command
# FOLDER/bin/qbittorrent-nox that runs it. Needs apt and dpkg; no root, no chroot, and nothing of
# this machine's own packages is touched.
set -eu

folder=$1
[ ! -x "$folder/bin/qbittorrent-nox" ] || exit 0

for command in apt-get dpkg-deb; do
    if ! command -v "$command" >/dev/null; then
        echo "newer-qbittorrent.sh: $command is missing; this needs Debian or one of its kin" >&2
        exit 1
    fi
done
rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/root" "$folder/apt/lists/partial" "$folder/apt/archives/partial"
folder=$(cd "$folder" && pwd)

# As if nothing at all were installed: then everything that it needs is fetched.
: >"$folder/apt/status"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
# shellcheck disable=SC1091
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# From where this machine has its own packages.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $release" | sort | head -n 1)
echo "deb [signed-by=$keys] $mirror trixie main" >"$folder/apt/sources.list"
cat >"$folder/apt/apt.conf" <<END
Dir::Etc::sourcelist "$folder/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$folder/apt/lists";
Dir::State::status "$folder/apt/status";
Dir::Cache::archives "$folder/apt/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Debug::NoLocking "true";
END
export APT_CONFIG="$folder/apt/apt.conf" DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --download-only qbittorrent-nox >/dev/null
for package in "$folder"/apt/archives/*.deb; do
    dpkg-deb --extract "$package" "$folder/root"
done
rm -rf "$folder/apt"

# Its own loader and libraries: this machine's are too old for it.
loader=$(find "$folder/root" -name 'ld-linux*.so.*' | head -n 1)
plugins=$(find "$folder/root" -type d -path '*/qt6/plugins')
libraries=$(dirname "$(find "$folder/root" -name 'libQt6Core.so.6' | head -n 1)")
cat >"$folder/bin/qbittorrent-nox" <<END
#!/bin/sh
QT_PLUGIN_PATH=$plugins exec $loader --library-path $libraries:$libraries/libproxy \\
    $folder/root/usr/bin/qbittorrent-nox "\$@"
END
chmod +x "$folder/bin/qbittorrent-nox"
