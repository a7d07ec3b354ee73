#!/usr/bin/env bash
# fresh.sh - both commands of the README on a minimal Debian that has make, git and nothing else: what a newcomer will see. Tests what
# was committed last. Run as root; needs debootstrap, 4 GB below NB_FRESH and a quarter of an hour on two quiet cores.
#
# usage: tests/fresh.sh SUITE [COMMAND...]        bookworm, trixie, forky, ...; COMMANDs instead of `make demo` and `make test`
#   NB_FRESH=/var/tmp/nibble-fresh   the folder where SUITE.tar is kept for the next time, and removed by whoever wants a newer one
#   NB_MIRROR=URL                    a Debian mirror; as this machine's apt has it
# The system lives in a folder and ends with this script: mounts and processes are in namespaces of their own.
set -eu
cd "$(dirname "$0")/.."
fail() {
    echo "fresh.sh: $*" >&2
    exit 2
}
[ $# -ge 1 ] || fail "usage: tests/fresh.sh SUITE [COMMAND...]"
suite=$1
shift
[ $# -gt 0 ] || set -- "make demo" "make test"
[ "$(id -u)" = 0 ] || fail "must be run as root"
command -v debootstrap >/dev/null || fail "needs debootstrap"
case $suite in *[!a-z0-9.-]*) fail "$suite: not a name of a suite" ;; esac

if [ "${NB_FRESH_INSIDE:-}" != yes ]; then # once more, where mounts and processes are ours
    NB_FRESH_INSIDE=yes exec unshare --mount --pid --fork --kill-child --propagation private "$0" "$suite" "$@"
fi

keep=${NB_FRESH:-/var/tmp/nibble-fresh}
mkdir -p "$keep"
keep=$(cd "$keep" && pwd)
# shellcheck disable=SC2016 # those are words of apt
mirror=${NB_MIRROR:-$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian \(.*\)/\1/p' | head -n 1)}
[ -n "$mirror" ] || fail "apt here knows no mirror of Debian: set NB_MIRROR"

root=$(mktemp -d "$keep/$suite.XXXXXX")
chmod 755 "$root"
# What was mounted is unmounted first, and nothing behind a mount that would not go is removed.
# shellcheck disable=SC2317 # called by the trap
leave() {
    cd /
    umount "$root/proc" "$root/dev" 2>/dev/null || true
    rm -rf --one-file-system "$root"
}
trap leave EXIT
trap 'exit 1' HUP INT TERM

if [ ! -f "$keep/$suite.tar" ]; then
    script=$suite
    [ -e "/usr/share/debootstrap/scripts/$suite" ] || script=sid # a suite that is younger than this debootstrap
    echo "fresh.sh: $suite from $mirror"
    debootstrap --variant=minbase --include=make,git,ca-certificates "$suite" "$root" "$mirror" "$script" >"$keep/$suite.log" 2>&1 ||
        { tail -n 5 "$keep/$suite.log" >&2; fail "debootstrap failed, see $keep/$suite.log"; }
    umount "$root/proc" 2>/dev/null || true
    tar -C "$root" --one-file-system -cf "$keep/$suite.tar.part" .
    mv "$keep/$suite.tar.part" "$keep/$suite.tar"
else
    tar -C "$root" -xf "$keep/$suite.tar"
fi

# The network of this machine; a mirror that is not of today is none of our business.
for f in /etc/hosts /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
    [ ! -e $f ] || cp -L $f "$root$f"
done
{
    echo 'Acquire::Check-Valid-Until "false"; Acquire::Check-Date "false";'
    apt-config dump | grep -E '^Acquire::https?::Proxy' || true
} >"$root/etc/apt/apt.conf.d/90fresh"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/full" c 1 7
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
mknod -m 666 "$root/dev/tty" c 5 0
mkdir -m 1777 "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
for i in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${i%:*}" "$root/dev/${i#*:}"
done

inside() {
    chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c "cd /root/nibble && $1"
}
[ -z "$(git status --porcelain)" ] || echo "fresh.sh: what is not committed is not tested"
git bundle create --quiet "$root/root/nibble.bundle" HEAD
chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/bin:/bin git clone --quiet /root/nibble.bundle /root/nibble

failed=0
for command in "$@"; do
    echo "==== $suite: $command"
    start=$(date +%s) code=0
    inside "$command" || code=$?
    echo "==== $suite: $command: exit $code after $(($(date +%s) - start)) s, load $(cut -d' ' -f1 /proc/loadavg) on $(nproc) processors"
    [ "$code" = 0 ] || failed=1
    if [ "$command" = "make demo" ]; then
        current=$(readlink "$root/root/nibble/build/current")
    fi
done
if [ -n "${current:-}" ] && [ "$(readlink "$root/root/nibble/build/current")" != "$current" ]; then
    echo "build/current was $current and is $(readlink "$root/root/nibble/build/current")"
    failed=1
fi
[ -c "$root/dev/null" ] || { echo "/dev/null is no device any more"; failed=1; }
[ "$failed" = 0 ] && echo "$suite: well" || echo "$suite: FAILED"
exit $failed
