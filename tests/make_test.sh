#!/usr/bin/env bash
# make_test.sh - the Makefile in a folder whose name has spaces and quotes: builds, says what it made, runs a test, installs and
# uninstalls; build/current is set by `make` alone. Works on a copy of the sources and of the build in B, so that little is compiled.
set -eu
MAKE=${MAKE:-make}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
there="$dir/my \"tree\" isn't here"
fail() {
    cat "$dir/log"
    echo "not ok - $*"
    exit 1
}
make_it() {
    $MAKE --no-print-directory "$@" >"$dir/log" 2>&1
}

mkdir -p "$there/build"
tar -c --exclude=./build --exclude=./runs --exclude=./.git --exclude=./datasets/data . | tar -x -C "$there"
cp -a "$B" "$there/build"
cd "$there"
touch src/cli/main.c layers/relu.c
make_it products || fail "cannot be built"
[ ! -e build/current ] || fail "checks must leave build/current alone"
make_it all || fail "cannot be built"
[ "$(readlink build/current)" = "${B#build/}" ] || fail "build/current must be what was built"
[ build/current/nibble -nt src/cli/main.c ] || fail "must be built anew"
said=$(grep '^made ' "$dir/log") || fail "must say what it made"
[ "$said" = "made build/current/nibble: $(build/current/nibble --version | head -n 2 | paste -sd, | sed 's/,/, /')" ] || fail "says: $said"
[[ $said =~ ^made\ build/current/nibble:\ nibble\ [0-9.]+,\ threads:\ [0-9]+.*,\ kernels:\ [a-z0-9+]+,\ BLAS:.*,\ ONNX:\ (yes|no),\ MPI:\ .+$ ]] || fail "says: $said"
sed -i 's/: one rounding, ties up/: a single rounding, ties up/' src/export/c/net_rescale.c
make_it all || fail "cannot be built"
grep -qF ': a single rounding, ties up' build/current/nibble || fail "the C of exported programs must be what lies in src/export/c"
before=$(cksum <build/current/nibble)
make_it check-e2e E2E=tests/e2e/threads.sh || fail "a test cannot be run"
make_it install DESTDIR="$there/a stage" || fail "cannot be installed"
"$there/a stage/usr/local/bin/nibble" --version >/dev/null
make_it uninstall DESTDIR="$there/a stage" || fail "cannot be uninstalled"
[ -z "$(find "a stage" ! -type d)" ] || fail "left behind"
[ "$before" = "$(cksum <build/current/nibble)" ] || fail "built again for no reason"
make_it clean || fail "cannot be cleaned"
[ -e Makefile ] || fail "clean must remove build only"
[ ! -e build ] || fail "clean must remove build"
[ "$(ls "$dir")" = "$(printf 'log\n%s' "${there##*/}")" ] || fail "something was written outside: $(ls "$dir")"
