#!/usr/bin/env bash
# deps.sh - installs the Debian (Ubuntu) packages that are missing: as root without asking, else it prints the one command to run
# and exits with 2. On other systems it only checks that the compilers and libraries are there.
#
# usage: scripts/deps.sh demo|test
set -eu

packages="build-essential pkg-config libpng-dev zlib1g-dev libyaml-dev libcjson-dev dataset-fashion-mnist"
modules="libpng zlib yaml-0.1 libcjson"
programs="cc make pkg-config"
case "${1:-}" in
demo) ;;
test)
    packages="$packages clang tcc libcmocka-dev libprotobuf-c-dev protobuf-c-compiler libonnx-dev"
    modules="$modules cmocka"
    programs="$programs gcc g++ clang tcc"
    ;;
*)
    echo "usage: scripts/deps.sh demo|test" >&2
    exit 2
    ;;
esac

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    missing=""
    for p in $programs; do
        command -v "$p" >/dev/null || missing="$missing $p"
    done
    for m in $modules; do
        pkg-config --exists "$m" 2>/dev/null || missing="$missing $m"
    done
    [ -z "$missing" ] && exit 0
    echo "not a Debian system; please install:$missing" >&2
    exit 2
fi

missing=""
for p in $packages; do
    dpkg-query -W -f='${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p" # a line per architecture
done
# clang's sanitizers are a package of their own in Debian, part of clang in Ubuntu: ask the compiler.
if [ "$1" = test ] && ! echo 'int main(void) { return 0; }' | clang -fsanitize=address -x c -o /dev/null - 2>/dev/null; then
    missing="$missing libclang-rt-dev"
fi
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
    echo "packages are missing, please run:" >&2
    echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing" >&2
    exit 2
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# A fresh machine has no package lists; a stale list is no reason to stop, a failing install is.
apt-get update -qq || echo "apt-get update failed, trying with the lists that are there" >&2
case $missing in *libclang-rt-dev*)
    apt-cache show libclang-rt-dev >/dev/null 2>&1 || missing=${missing% libclang-rt-dev} ;;
esac
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing
