#!/usr/bin/env bash
# resume_kill.sh - a run killed at ten random moments and resumed each time ends in the same bytes as one never interrupted; so does one
# stopped by Ctrl-C, which saves first.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
mkdir whole pieces ctrl-c
(cd whole && run 0 train ../tiny.yaml)
says '16 of 240 training images do not fill a batch of 32 and sit out an epoch'
says ' on 100 images' # evaluation leaves none out

# Checkpoints are written every second step, so each piece gets further than the one before; a run that ends before it is killed
# counts as resumed, and the next begins anew.
cd "$WORK/pieces"
seconds=$( (time -p "$NIBBLE" train ../tiny.yaml --set out=timed >/dev/null) 2>&1 | awk '/^real/ { print $2 }')
killed=0 begun=1
for ((try = 0; killed < 10; try++)); do
    [ "$try" -lt 200 ] || die "only $killed of $try runs could be killed in time"
    pause=$(awk -v s="$seconds" -v r="$RANDOM" 'BEGIN { print 0.002 + 0.2 * s * r / 32768 }')
    "$NIBBLE" train ../tiny.yaml --resume >/dev/null 2>&1 &
    pid=$!
    sleep "$pause"
    kill -KILL "$pid" 2>/dev/null || true
    code=0
    wait "$pid" 2>/dev/null || code=$?
    case $code in
    137) killed=$((killed + 1)) ;;
    0)
        same_run run ../whole/run
        rm -r run
        begun=$((begun + 1))
        ;;
    *) die "a killed run could not be resumed (exit code $code)" ;;
    esac
done
run 0 train ../tiny.yaml --resume
same_run run ../whole/run
[ -z "$(find run -name '*.tmp.*')" ] || die "temporary files are left"
echo "$killed kills in $begun runs"

# Ctrl-C, in the middle of either phase.
cd "$WORK/ctrl-c"
set -m # so that the background job does not ignore SIGINT
longer=(--set train.save_steps=0 --set train.phases.0.epochs=20 --set train.phases.1.epochs=20)
interrupt() { # SIGNAL PHASE ROWS [TRY]: once metrics.csv has so many lines
    local again=${4:-1}
    rm -rf before
    [ ! -e run ] || cp -r run before
    "$NIBBLE" train ../tiny.yaml --resume "${longer[@]}" >/dev/null 2>err &
    pid=$!
    for ((try = 0; try < 3000; try++)); do
        [ -e run/metrics.csv ] && [ "$(wc -l <run/metrics.csv)" -ge "$3" ] && break
        sleep 0.005
    done
    kill -"$1" "$pid"
    code=0
    wait "$pid" || code=$?
    if [ "$code" = 0 ] && [ "$again" -lt 10 ]; then # a busy machine: it was over before we saw the line
        rm -r run
        [ ! -e before ] || mv before run
        interrupt "$1" "$2" "$3" $((again + 1))
        return
    fi
    [ "$code" = 1 ] || die "an interrupted run must exit with 1, not $code: $(cat err)"
    grep -q "interrupted in phase $2.*saved; continue with --resume" err || die "no sentence after $1: $(cat err)"
    [ -s run/last.safetensors ] || die "$1 must save a checkpoint"
}
run 0 train ../tiny.yaml --set out=never-stopped "${longer[@]}"
interrupt INT float 4
interrupt INT float 9
interrupt TERM qat 24
run 0 train ../tiny.yaml --resume "${longer[@]}"
cmp run/metrics.csv never-stopped/metrics.csv
for file in last.safetensors best.safetensors; do # all but the header, where `out` stands
    cmp <(tail -c 9000 "run/$file") <(tail -c 9000 "never-stopped/$file") || die "$file differs after Ctrl-C"
done
