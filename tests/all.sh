#!/usr/bin/env bash
# all.sh - everything `make test` promises, one part after the other; a part that fails does not stop the next.
# The last line is "N passed, N failed" over all parts; the exit code is 1 if anything failed.
#
# Compilers that are not here are named and left out. Warnings are errors for compilers that somebody has tried (werror.sh).
# NB_PARTS='lint|install' runs the parts whose headlines match. What takes longer is in long.sh.
set -u
. tests/parts.bash

# Sets w to WERROR=1 where it applies.
warnings_of() {
    w=""
    if [ -n "$(tests/werror.sh "$1")" ]; then
        w="WERROR=1"
    else
        echo "$1: a version that nobody has tried: its warnings are no errors"
    fi
}
current() { # what the user built last
    readlink build/current || echo nothing
}
stays() {
    [ "$(current)" = "$built" ] || { echo "build/current was $built and is $(current)"; return 1; }
}

built=$(current)
warnings_of gcc
gcc="CC=gcc $w"
# shellcheck disable=SC2086
{
    part "build, gcc" $MAKE $gcc products
    part "unit and property tests, gcc" $MAKE $gcc check-fast
    part "lint" $MAKE $gcc lint
    part "random networks exported as C, several compilers" $MAKE $gcc check-exported
    export NB_QUIET=1
    NB_JOBS=$(($(nproc) + 1)) part "end to end" $MAKE $gcc check-e2e # some of them wait
    if links clang; then
        warnings_of clang
        # its -O1 compiles in two thirds of the time; -O3, and all tests, are in long.sh
        part "kernel and property tests, clang" $MAKE CC=clang CFLAGS=-O1 $w products check-computed
    else
        leave_out "kernel and property tests, clang" "there is no clang here"
    fi
    part "kernel tests on each instruction set" $MAKE $gcc check-isa
    part "tests on 4 threads" $MAKE $gcc THREADS=4 check-threads
    if links gcc -fsanitize=address,undefined; then # clang's, and those that compute long, are in long.sh
        san="CC=gcc SAN=address,undefined OMP=0 BLAS=none" # also the build without threads and without a BLAS
        part "unit and property tests, gcc, ASan and UBSan, neither threads nor BLAS" $MAKE $san products check-short
        part "fuzz corpus, gcc, ASan and UBSan" $MAKE $san fuzz-replay
        part "end to end with bad input, gcc, ASan and UBSan" $MAKE $san check-bad
    else
        leave_out "unit and property tests, fuzz corpus, bad input, gcc, ASan and UBSan" "there is no gcc with these sanitizers here"
    fi
    if links gcc -fsanitize=thread; then
        part "training on 4 threads, gcc, TSan" $MAKE CC=gcc check-tsan
    else
        leave_out "training on 4 threads, gcc, TSan" "there is no gcc with ThreadSanitizer here"
    fi
    part "install, build against it, uninstall" $MAKE $gcc check-install
    part "the Makefile in a folder with spaces and quotes" $MAKE $gcc check-make
    part "build/current is what it was" stays
}
sum_up
