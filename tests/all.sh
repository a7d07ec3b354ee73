#!/usr/bin/env bash
# all.sh - everything `make test` promises, one part after the other; a part that fails does not stop the next.
# The last line is "N passed, N failed" over all parts; the exit code is 1 if anything failed.
set -u
MAKE="${MAKE:-make} --no-print-directory -j$(nproc)"
NB_RESULTS=$(mktemp)
export NB_RESULTS
export -n MAKEFLAGS MFLAGS MAKELEVEL 2>/dev/null
trap 'rm -f "$NB_RESULTS"' EXIT
begin=$(date +%s)

# part NAME COMMAND...: programs below it add their counts to NB_RESULTS; a command that adds nothing is one test itself.
part() {
    local name=$1 before after
    shift
    echo "==== $name"
    before=$(wc -l <"$NB_RESULTS")
    if "$@"; then
        after=$(wc -l <"$NB_RESULTS")
        [ "$after" = "$before" ] && echo "1 0" >>"$NB_RESULTS"
    else
        after=$(wc -l <"$NB_RESULTS")
        echo "FAILED part: $name"
        awk -v n="$before" 'NR > n && $2 > 0 { bad = 1 } END { exit !bad }' "$NB_RESULTS" || echo "0 1" >>"$NB_RESULTS"
    fi
    echo "     ($(($(date +%s) - begin)) s)"
}

# shellcheck disable=SC2086
{
    part "build, gcc, warnings are errors" $MAKE CC=gcc WERROR=1 all
    part "unit and property tests, gcc" $MAKE CC=gcc WERROR=1 check-fast
    part "lint" $MAKE CC=gcc WERROR=1 lint
    part "random networks exported as C, several compilers" $MAKE CC=gcc WERROR=1 check-exported
    export NB_QUIET=1
    part "end to end" $MAKE CC=gcc WERROR=1 check-e2e
    part "unit and property tests, clang, warnings are errors" $MAKE CC=clang WERROR=1 all check-fast
    part "kernel tests on each instruction set" $MAKE CC=gcc WERROR=1 check-isa
    part "tests on 1 and 4 threads" $MAKE CC=gcc WERROR=1 check-threads # all before ran on as many as there are processors
    part "unit and property tests without OpenMP" $MAKE CC=gcc WERROR=1 OMP=0 BLAS=none CFLAGS=-O1 all check-fast
    for cc in gcc clang; do
        part "unit and property tests, $cc, ASan and UBSan" $MAKE CC=$cc SAN=address,undefined OMP=0 check-fast
        part "fuzz corpus, $cc, ASan and UBSan" $MAKE CC=$cc SAN=address,undefined OMP=0 fuzz-replay
    done
    part "end to end with bad input, gcc, ASan and UBSan" $MAKE CC=gcc SAN=address,undefined OMP=0 check-bad
    part "install, build against it, uninstall" $MAKE CC=gcc WERROR=1 check-install
}

awk '{ p += $1; f += $2 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 }' "$NB_RESULTS"
