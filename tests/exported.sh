#!/usr/bin/env bash
# exported.sh - random networks as C programs, under compilers that agree on nothing but the standard: 0 differing logits.
#
# usage: tests/exported.sh TEST_EXPORTED_C      (the built tests/prop/test_exported_c)
# 300 networks through tcc, which compiles them in seconds (`make test-long`: 2,000; 100 through gcc -O0 where there is no tcc);
# some of them through the compilers people ship with, each with all its warnings as errors, as C++, as 32-bit code where the machine can link it, and under sanitizers.
# shellcheck disable=SC2086
set -u
test=$1
warn="-Wall -Wextra -Wpedantic -Wconversion -Wshadow"
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} # networks so small train in less time than waiting threads spin
count=0

run() { # FIRST NETWORKS COMPILER...: side by side, as many as there are processors
    [ "$(jobs -rp | wc -l)" -lt "$(nproc)" ] || wait -n
    count=$((count + 1))
    one "$@" >"$dir/$count.out" 2>&1 &
}
one() {
    local first=$1 networks=$2 said
    shift 2
    if said=$(NB_TEST_SEED=$first NB_TEST_NETWORKS=$networks NB_TEST_CC="$*" "$test" 2>&1); then
        echo "  ok $networks networks: $*"
    else
        echo "$said"
        echo "FAILED networks $first..$((first + networks - 1)): $*"
    fi
}

here() { # COMPILER OPTION...: is there, and links?
    echo 'int main(void) { return 0; }' | "$@" -x c -o "$dir/here" - 2>/dev/null || {
        echo "  (skipped: $* makes no program here)"
        return 1
    }
}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
gcc="$warn $(tests/werror.sh gcc)"
if here tcc; then run 0 300 tcc -w; else run 0 100 gcc -std=c99 -O0 -w; fi
run 0 10 gcc -std=c99 -O3 $gcc
run 10 10 gcc -std=c99 -Os $gcc
# shellcheck disable=SC2046
here clang && run 20 10 clang -std=c99 -O2 $warn $(tests/werror.sh clang)
# shellcheck disable=SC2046
here g++ && run 30 10 g++ -x c++ -O1 -Wall -Wextra $(tests/werror.sh g++)
here gcc -fsanitize=undefined,address && run 40 10 gcc -std=c99 -O1 -fsanitize=undefined,address -fno-sanitize-recover=all
here gcc -m32 && run 50 10 gcc -m32 -std=c99 -O2 $gcc # needs libc6-dev-i386
wait
cat "$dir"/*.out
passed=$(cat "$dir"/*.out | grep -c '^  ok [0-9]* networks: ')
failed=$((count - passed))
echo "$passed $failed" >>"${NB_RESULTS:-/dev/null}"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
