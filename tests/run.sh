#!/usr/bin/env bash
# run.sh - runs test programs (cmocka binaries, or scripts that count as one test each), prints what they print in the order they
# were named, and counts. Exits with 1 if any failed.
#
# usage: tests/run.sh PROGRAM...
#   NB_QUIET=1        of passing programs show one line only
#   NB_RESULTS=FILE   append "passed failed" to FILE
#   NB_TIMEOUT=300    seconds a program may take
#   NB_JOBS=N         programs at a time; the number of processors
# A script runs in the repository's root with NIBBLE (the tool) and WORK (an empty folder of its own) in the environment; it exits
# with 0, with 77 when it had to be skipped, or else has failed.
set -u

run_one() { # run_one FOLDER NUMBER PROGRAM: leaves NUMBER.out, NUMBER.rc, NUMBER.seconds (by the clock, and of processors)
    local at="$1/$2" program=$3 TIMEFORMAT='%0R %U %S'
    case $program in */*) ;; *) program=./$program ;; esac
    export WORK="$at.work"
    mkdir "$WORK"
    { time { timeout -k 10 "${NB_TIMEOUT:-300}" "$program" >"$at.out" 2>&1 </dev/null; echo $? >"$at.rc"; }; } 2>&1 |
        awk '{ printf "%d s, processor %.0f s\n", $1, $2 + $3 }' >"$at.seconds"
    rm -rf "$WORK"
}

if [ "${1:-}" = --one ]; then
    run_one "$2" "$3" "$4"
    exit 0
fi

# Programs run side by side: waiting threads must sleep, not spin on a processor another test could use.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
export LC_ALL=C UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
i=0
for program in "$@"; do
    printf '%d\0%s\0' $((i++)) "$program"
done | xargs -0 -r -n 2 -P "${NB_JOBS:-$(env -u OMP_NUM_THREADS nproc)}" "$0" --one "$scratch"

# Sets ok, skip and wrong from a cmocka report. A test that crashes its program never reports: what was announced and did not pass
# has failed.
count_report() {
    read -r ok skip wrong <<<"$(awk '
        /^\[       OK \]/ { ok++ }
        /^\[  SKIPPED \] [^0-9]/ { skip++ }
        sub(/^\[==========\].* Running /, "") && /^[0-9]+ test\(s\)/ { announced += $1 }
        END { print ok + 0, skip + 0, announced - ok - skip }' "$1")"
    [ "$rc" = 0 ] && wrong=0
    [ "$rc" != 0 ] && [ "$wrong" -le 0 ] && wrong=1
}

passed=0 failed=0 skipped=0 bad="" i=0
for program in "$@"; do
    out="$scratch/$i.out" rc=$(<"$scratch/$i.rc") seconds=$(<"$scratch/$i.seconds")
    i=$((i + 1)) ok=0 skip=0 wrong=0
    case $program in
    *.sh) case $rc in 0) ok=1 ;; 77) skip=1 rc=0 ;; *) wrong=1 ;; esac ;;
    *) count_report "$out" ;;
    esac
    if [ "$rc" != 0 ]; then
        bad="$bad $program"
        cat "$out"
        [ "$rc" = 124 ] && echo "$program: stopped after ${NB_TIMEOUT:-300} s"
        echo "FAILED $program (exit $rc)"
    else
        [ "${NB_QUIET:-0}" = 1 ] || cat "$out"
        echo "  ok ${program##*/}: $ok passed$([ "$skip" = 0 ] || echo ", $skip skipped") ($seconds)"
    fi
    passed=$((passed + ok)) failed=$((failed + wrong)) skipped=$((skipped + skip))
done

echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
[ -n "${NB_RESULTS:-}" ] && echo "$passed $failed" >>"$NB_RESULTS"
[ -z "$bad" ] && exit 0
echo "failed:$bad"
exit 1
