#!/usr/bin/env bash
# run.sh - runs test programs (cmocka binaries, or scripts that count as one test each), prints what they print, counts.
# Exits with 1 if any failed.
#
# usage: tests/run.sh PROGRAM...
#   NB_QUIET=1        of passing programs show one line only
#   NB_RESULTS=FILE   append "passed failed" to FILE
#   NB_TIMEOUT=300    seconds a program may take
# Scripts run in the repository's root with NIBBLE (the tool) in the environment and an empty folder of their own in WORK; they say
# in the end what went wrong and exit non-zero, or print nothing of note. Exit 77 means skipped.
set -u
export LC_ALL=C UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 skipped=0 bad=""

sum() { # numbers from lines that match $1, added
    sed -n "s/$1/\1/p" "$scratch/out" | awk '{ n += $1 } END { print n + 0 }'
}

for program in "$@"; do
    export WORK="$scratch/work"
    rm -rf "$WORK" && mkdir "$WORK"
    case $program in */*) ;; *) program=./$program ;; esac
    start=$(date +%s)
    timeout -k 10 "${NB_TIMEOUT:-300}" "$program" >"$scratch/out" 2>&1 </dev/null
    rc=$?
    seconds=$(($(date +%s) - start))
    ok=0 skip=0 wrong=0
    case $program in
    *.sh)
        case $rc in 0) ok=1 ;; 77) skip=1 ;; *) wrong=1 ;; esac
        ;;
    *)
        # A test that crashes its program never reports: what was announced and did not pass has failed.
        ok=$(grep -c '^\[       OK \]' "$scratch/out")
        skip=$(grep -c '^\[  SKIPPED \] [^0-9]' "$scratch/out")
        wrong=$(($(sum '^\[==========\].* Running \([0-9]*\) test(s).*') - ok - skip))
        [ "$rc" != 0 ] && [ "$wrong" -le 0 ] && wrong=1
        [ "$rc" = 0 ] && wrong=0
        ;;
    esac
    if [ "$rc" != 0 ] && [ "$rc" != 77 ]; then
        bad="$bad $program"
        cat "$scratch/out"
        [ "$rc" = 124 ] && echo "$program: stopped after ${NB_TIMEOUT:-300} s"
        echo "FAILED $program (exit $rc)"
    elif [ "${NB_QUIET:-0}" = 1 ]; then
        echo "  ok ${program##*/}: $ok passed$([ "$skip" != 0 ] && echo ", $skip skipped") (${seconds} s)"
    else
        cat "$scratch/out"
        case $program in *.sh) echo "  ok ${program##*/} (${seconds} s)" ;; esac
    fi
    passed=$((passed + ok)) failed=$((failed + wrong)) skipped=$((skipped + skip))
done

echo "$passed passed, $failed failed$([ "$skipped" != 0 ] && echo ", $skipped skipped")"
[ -n "${NB_RESULTS:-}" ] && echo "$passed $failed" >>"$NB_RESULTS"
[ -z "$bad" ] && exit 0
echo "failed:$bad"
exit 1
