#!/bin/sh
# Usage: machine.sh start FOLDER CGROUP ROOT UNIT SHARED...     (called by tests/machine.py)
# Boots a real systemd over a throw-away overlay of ROOT, again and again until it powers off.
# SHARED are folders of this host that the machine sees at the same path, read-only.
#
# start   in a mount namespace of its own: holds the writable layer, which outlives a reboot
# enter   in the machine's cgroup, from which the cgroup namespace of `inside` is rooted
# inside  as PID 1 of the machine: mounts what a machine has, then becomes systemd
#
# A systemd outside its own cgroup and PID namespace would seize every process of this host.
set -eu

umask 022
verb=$1 folder=$2 cgroup=$3 root=$4 unit=$5
shift 5
machine=$folder/root
layer=$folder/layer

start() {
    mount --make-rprivate /
    mkdir -p "$folder/cgroup" "$machine" "$layer"
    mount -t cgroup2 cgroup2 "$folder/cgroup"
    mount -t tmpfs -o mode=755 machine "$layer"
    mkdir "$layer/upper" "$layer/work"
    own=$folder/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
    forget_the_dead
    while :; do
        mkdir "$own/$cgroup"
        status=0
        # without this signal the machine would outlive a caller that was killed
        setpriv --pdeathsig KILL "$0" enter "$folder" "$own/$cgroup" "$root" "$unit" "$@" || status=$?
        remove "$own/$cgroup"
        # reboot(2) inside a PID namespace ends its PID 1: by HUP for a reboot, by INT for a power-off
        [ "$status" = 129 ] || exit "$status"
    done
}

# Cgroups outlive their processes: those of killed runs are found by the PID in their name.
forget_the_dead() {
    for old in "$own"/mediapipe-test-*; do
        owner=${old##*/mediapipe-test-}
        if [ -d "$old" ] && ! [ -d "/proc/${owner%%-*}" ]; then remove "$old"; fi
    done
}

remove() {
    tries=0
    until find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || [ "$tries" = 50 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
}

enter() {
    echo $$ >"$cgroup/cgroup.procs"
    exec unshare --mount --pid --fork --cgroup --uts --ipc --net --kill-child \
        "$0" inside "$folder" "$cgroup" "$root" "$unit" "$@"
}

inside() {
    if [ $$ != 1 ] || [ "$(sed -n 's/^0:://p' /proc/self/cgroup)" != / ]; then
        echo "not in a PID and cgroup namespace of our own: no systemd is started here" >&2
        exit 1
    fi
    mount --make-rprivate /
    mount -t overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" machine "$machine"
    if ! [ -e "$machine/etc/.machine-prepared" ]; then prepare "$@"; fi
    mount_the_kernels
    for shared in "$@"; do
        mkdir -p "$machine$shared"
        mount --bind "$shared" "$machine$shared"
        mount -o remount,bind,ro "$machine$shared"
    done
    cd "$machine"
    mkdir -p .old
    pivot_root . .old
    umount -l /.old
    rmdir /.old
    # PID 1 of a container leaves that to who made it; without it credentials arrive empty
    mount --make-rshared /
    for systemd in /usr/lib/systemd/systemd /lib/systemd/systemd; do
        if [ -x "$systemd" ]; then
            exec env -i container=mediapipe-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
                "$systemd" "--unit=$unit" --show-status=false --log-target=journal </dev/null
        fi
    done
    echo "$root has no systemd" >&2
    exit 1
}

# The host's own settings stay out, and so does what would reach through to its kernel.
prepare() {
    etc=$machine/etc
    : >"$etc/machine-id"
    : >"$etc/fstab"
    echo machine >"$etc/hostname"
    printf '127.0.0.1 localhost machine\n::1 localhost\n' >"$etc/hosts"
    rm -rf "$machine/var/log/journal" "$etc"/rc[0-6S].d "$etc"/systemd/system/*.wants "$etc/mediapipe"
    mkdir -p "$etc/systemd/system" "$etc/tmpfiles.d"
    for name in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-kernel.socket \
        systemd-udevd-control.socket systemd-sysctl.service systemd-modules-load.service \
        systemd-journald-audit.socket systemd-update-utmp.service systemd-resolved.service \
        systemd-timesyncd.service systemd-logind.service getty.target sys-kernel-debug.mount \
        sys-kernel-tracing.mount sys-kernel-config.mount dev-hugepages.mount; do
        ln -sf /dev/null "$etc/systemd/system/$name"
    done
    # its rules empty /tmp, where a shared folder may lie
    ln -sf /dev/null "$etc/tmpfiles.d/tmp.conf"
    # users of the machine must reach what is shared with them
    for shared in "$@"; do
        while [ "$shared" != / ]; do
            if [ -d "$machine$shared" ]; then chmod a+rx "$machine$shared"; fi
            shared=$(dirname "$shared")
        done
    done
    : >"$etc/.machine-prepared"
}

mount_the_kernels() {
    mount -t proc -o nosuid,nodev,noexec proc "$machine/proc"
    mount --bind "$machine/proc/sys" "$machine/proc/sys"
    mount -o remount,bind,ro "$machine/proc/sys"
    mount -t sysfs -o nosuid,nodev,noexec,ro sysfs "$machine/sys"
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$machine/sys/fs/cgroup"
    dev=$machine/dev
    mount -t tmpfs -o nosuid,mode=755 tmpfs "$dev"
    for name in null zero full random urandom tty fuse; do
        if [ -e "/dev/$name" ]; then
            : >"$dev/$name"
            mount --bind "/dev/$name" "$dev/$name"
        fi
    done
    mkdir "$dev/pts" "$dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$dev/pts"
    mount -t tmpfs -o nosuid,nodev tmpfs "$dev/shm"
    ln -s pts/ptmx "$dev/ptmx"
    ln -s /proc/self/fd "$dev/fd"
    ln -s fd/0 "$dev/stdin"
    ln -s fd/1 "$dev/stdout"
    ln -s fd/2 "$dev/stderr"
    mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs "$machine/run"
    mount -t tmpfs -o nosuid,nodev tmpfs "$machine/tmp"
}

"$verb" "$@"
