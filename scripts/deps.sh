#!/usr/bin/env bash
# deps.sh - installs the Debian (Ubuntu) packages that are missing: as root without asking, else it prints the one command to run
# and exits with 2. On other systems it only checks that the compilers and libraries are there.
# What is wanted but cannot be had (a compiler that has left the distribution) is named in one line; its tests are skipped.
#
# usage: scripts/deps.sh demo|test
set -eu

needed="build-essential pkg-config libpng-dev zlib1g-dev libyaml-dev libcjson-dev dataset-fashion-mnist"
wanted=""
modules="libpng zlib yaml-0.1 libcjson openblas"
programs="cc make pkg-config"
wanted_programs=""
case "${1:-}" in
demo) ;;
test)
    needed="$needed libcmocka-dev"
    wanted="clang libomp-dev tcc libprotobuf-c-dev protobuf-c-compiler libonnx-dev openmpi-bin libopenmpi-dev"
    modules="$modules cmocka"
    programs="$programs gcc"
    wanted_programs="g++ clang tcc"
    ;;
*)
    echo "usage: scripts/deps.sh demo|test" >&2
    exit 2
    ;;
esac

skipped() { # WORD...: a line about what is not here and will not be
    [ $# = 0 ] || echo "not to be had here: $*; the tests that need it are skipped"
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    missing="" absent=""
    for p in $programs; do
        command -v "$p" >/dev/null || missing="$missing $p"
    done
    for p in $wanted_programs; do
        command -v "$p" >/dev/null || absent="$absent $p"
    done
    for m in $modules; do
        pkg-config --exists "$m" 2>/dev/null || missing="$missing $m"
    done
    if [ -n "$missing" ]; then
        echo "not a Debian system; please install:$missing" >&2
        exit 2
    fi
    # shellcheck disable=SC2086
    skipped $absent
    exit 0
fi

installed() { # PACKAGE; dpkg prints a line per architecture
    dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}
available() { # PACKAGE: apt's lists have it
    apt-cache show "$1" >/dev/null 2>&1
}
# Sets needs and wants to what is not installed. clang's sanitizers are a package of their own in Debian, part of clang in Ubuntu: ask
# the compiler.
look() {
    local p dir
    needs="" wants=""
    for p in $needed; do
        installed "$p" || needs="$needs $p"
    done
    # OpenBLAS comes in flavours. The one without threads locks nothing: products side by side could be wrong (fblas.c).
    # Any other will do, also one that no package brought.
    installed libopenblas-pthread-dev || installed libopenblas-openmp-dev ||
        { pkg-config --exists openblas 2>/dev/null && ! installed libopenblas-serial-dev; } ||
        needs="$needs libopenblas-pthread-dev"
    for p in $wanted; do
        installed "$p" || wants="$wants $p"
    done
    [ -n "$wanted" ] || return 0
    dir=$(mktemp -d)
    if ! echo 'int main(void) { return 0; }' | clang -fsanitize=address -x c -o "$dir/program" - 2>/dev/null; then
        wants="$wants libclang-rt-dev"
    fi
    rm -rf "$dir"
}
# Splits wants into have (in apt's lists) and absent.
split() {
    local p
    have="" absent=""
    for p in $wants; do
        if available "$p"; then have="$have $p"; else absent="$absent $p"; fi
    done
}

look
split
if [ -z "$needs$wants" ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    # Without lists nothing seems to be there: then all of it is asked for.
    available libpng-dev || { have=$wants absent=""; }
    # shellcheck disable=SC2086
    skipped $absent
    [ -n "$needs$have" ] || exit 0
    echo "packages are missing, please run:" >&2
    echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends$needs$have" >&2
    exit 2
fi
export DEBIAN_FRONTEND=noninteractive
# A fresh machine has no package lists; a stale list is no reason to stop, a failing install is.
[ -z "$needs$have" ] && available libpng-dev ||
    apt-get update -qq || echo "apt-get update failed, trying with the lists that are there" >&2
split
install() {
    [ $# = 0 ] || apt-get install -y -qq --no-install-recommends "$@"
}
[ -z "$needs$have" ] || echo "installing:$needs$have"
# shellcheck disable=SC2086
if ! install $needs $have; then
    install $needs
    for p in $have; do # each on its own: one that cannot be installed takes no other with it
        install "$p" || absent="$absent $p"
    done
fi
# shellcheck disable=SC2086
skipped $absent
