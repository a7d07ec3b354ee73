#!/usr/bin/env bash
# arm.sh - the tests of kernels and engine for aarch64: cross-compiled, run by qemu-user. See README.md for what is needed.
# Exits with 0 when it had to be skipped, too, and says so.
set -u
cd "$(dirname "$0")/../.." || exit 1
CC=${CC_ARM:-aarch64-linux-gnu-gcc}

skip()
{
    echo "check-arm: skipped: $*; see tests/emulated/README.md"
    exit 0
}

command -v "$CC" >/dev/null || skip "$CC is not installed"
QEMU=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) || skip "qemu-aarch64 is not installed"
scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT
echo '#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
int main(void) { return 0; }' | "$CC" -x c -o "$scratch" - -lcmocka -lpng -lyaml -lcjson 2>/dev/null ||
    skip "libcmocka, libpng, libyaml or libcjson is not installed for arm64"

# -O2: gcc 12.2 for aarch64 stops with an internal error on one of our files at -O3.
# Kernels need none of these libraries, which are seldom there for another processor.
options=(CC="$CC" CFLAGS=-O2 BLAS=none ONNX=0 MPI=0)
tests=""
for t in iconv engine ipool rescale fconv variant sweep cpu; do
    tests="$tests $(${MAKE:-make} "${options[@]}" -s print-B)/tests/unit/test_$t"
done
# shellcheck disable=SC2086 # a list
${MAKE:-make} --no-print-directory "${options[@]}" $tests || exit 1
passed=0 failed=0
for t in $tests; do
    for level in neon dotprod; do
        if out=$(NB_CPU=$level "$QEMU" "$t" 2>&1); then
            ok=$(grep -c '^\[       OK \]' <<<"$out")
            passed=$((passed + ok))
            echo "  ok ${t##*/} on $level: $ok passed"
        else
            failed=$((failed + 1))
            echo "$out"
            echo "FAILED ${t##*/} on $level"
        fi
    done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
