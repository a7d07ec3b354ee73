# parts.bash - what all.sh and long.sh share; sourced. A part is one or many tests with a headline; one that fails does not stop the next.
MAKE="${MAKE:-make} --no-print-directory -j$(nproc)"
NB_RESULTS=$(mktemp)
export NB_RESULTS
export -n MAKEFLAGS MFLAGS MAKELEVEL 2>/dev/null
trap 'rm -f "$NB_RESULTS" "$NB_RESULTS.times"' EXIT
begin=$(date +%s)
skipped=0

# Sets `processor` to the seconds that all programs so far took: what a part costs, whatever else the machine does.
ask_times() {
    times >"$NB_RESULTS.times" # a subshell would speak of its own children
    processor=$(awk 'NR == 2 { split($1 "m" $2, t, "m"); printf "%.0f", t[1] * 60 + t[2] + t[3] * 60 + t[4] }' "$NB_RESULTS.times")
}

# part NAME COMMAND...: programs below it add their counts to NB_RESULTS; a command that adds nothing is one test itself.
part() {
    local name=$1 before after start cpu
    shift
    [[ $name =~ ${NB_PARTS:-} ]] || return 0
    echo "==== $name"
    ask_times
    start=$(date +%s) cpu=$processor
    before=$(wc -l <"$NB_RESULTS")
    if "$@"; then
        after=$(wc -l <"$NB_RESULTS")
        [ "$after" = "$before" ] && echo "1 0" >>"$NB_RESULTS"
    else
        echo "FAILED part: $name"
        awk -v n="$before" 'NR > n && $2 > 0 { bad = 1 } END { exit !bad }' "$NB_RESULTS" || echo "0 1" >>"$NB_RESULTS"
    fi
    ask_times
    echo "     ($(($(date +%s) - start)) s, processor $((processor - cpu)) s; $(($(date +%s) - begin)) s since the beginning)"
}

links() { # COMMAND...: makes a program of anything at all?
    local to code
    to=$(mktemp)
    echo 'int main(void) { return 0; }' | "$@" -x c -o "$to" - 2>/dev/null
    code=$?
    rm -f "$to"
    return $code
}

# leave_out NAME WHY: a part that cannot run here.
leave_out() {
    skipped=$((skipped + 1))
    echo "==== $1"
    echo "     skipped: $2"
}

# sum_up: the last line; its exit code is 1 if anything failed.
sum_up() {
    [ "$skipped" = 0 ] || echo "$skipped parts skipped"
    awk '{ p += $1; f += $2 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 }' "$NB_RESULTS"
}
