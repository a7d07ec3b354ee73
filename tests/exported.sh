#!/usr/bin/env bash
# exported.sh - random networks as C programs, under compilers that agree on nothing but the standard: 0 differing logits.
#
# usage: tests/exported.sh TEST_EXPORTED_C      (the built tests/prop/test_exported_c)
# 1,000 networks through tcc, which compiles them in seconds; some of them through the compilers people ship with, each with all its
# warnings as errors, as C++, as 32-bit code where the machine can link it, and under sanitizers.
set -u
test=$1
warn="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
passed=0 failed=0

run() { # FIRST COUNT COMPILER...
    local first=$1 count=$2
    shift 2
    if NB_TEST_SEED=$first NB_TEST_NETWORKS=$count NB_TEST_CC="$*" "$test" >"$log" 2>&1; then
        passed=$((passed + 1))
        echo "  ok $count networks: $*"
    else
        failed=$((failed + 1))
        cat "$log"
        echo "FAILED networks $first..$((first + count - 1)): $*"
    fi
}

log=$(mktemp)
trap 'rm -f "$log" "$log.out"' EXIT
run 0 1000 tcc -w
run 0 10 gcc -std=c99 -O3 $warn
run 10 10 gcc -std=c99 -Os $warn
run 20 10 clang -std=c99 -O2 $warn
run 30 10 g++ -x c++ -O1 -Wall -Wextra -Werror
run 40 10 gcc -std=c99 -O1 -fsanitize=undefined,address -fno-sanitize-recover=all
if echo 'int main(void) { return 0; }' | gcc -m32 -x c -o "$log.out" - 2>/dev/null; then
    run 50 10 gcc -m32 -std=c99 -O2 $warn
else
    echo "  (this machine cannot link 32-bit programs: install libc6-dev-i386 and lib32gcc-12-dev to test them)"
fi
echo "$passed $failed" >>"${NB_RESULTS:-/dev/null}"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
