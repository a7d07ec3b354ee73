#!/usr/bin/env bash
# resume_kill.sh - a run killed at ten random moments and resumed ends in the same bytes as one never interrupted; Ctrl-C saves first.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
mkdir whole pieces ctrl-c
(cd whole && run 0 train ../tiny.yaml)

cd "$WORK/pieces"
seconds=$( (time -p "$NIBBLE" train ../tiny.yaml --set out=timed >/dev/null) 2>&1 | awk '/^real/ { print $2 }')
for i in 1 2 3 4 5 6 7 8 9 10; do
    wait=$(awk -v s="$seconds" -v i="$i" -v r="$RANDOM" 'BEGIN { print s * (0.05 + 0.3 * r / 32768) + i * 0.001 }')
    "$NIBBLE" train ../tiny.yaml --resume >/dev/null 2>&1 &
    pid=$!
    sleep "$wait"
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
done
run 0 train ../tiny.yaml --resume
same_run run ../whole/run
[ -z "$(find run -name '*.tmp.*')" ] || die "temporary files are left"

cd "$WORK/ctrl-c"
set -m # so that the background job does not ignore SIGINT
"$NIBBLE" train ../tiny.yaml --set train.phases.0.epochs=2000 --set train.save_steps=0 >/dev/null 2>err &
pid=$!
tries=0
while [ ! -s run/metrics.csv ] && [ "$tries" -lt 300 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -INT "$pid"
code=0
wait "$pid" || code=$?
[ "$code" = 1 ] || die "an interrupted run must exit with 1, not $code"
grep -q "interrupted in phase float.*saved; continue with --resume" err || die "no sentence after Ctrl-C: $(cat err)"
[ -s run/last.safetensors ] || die "Ctrl-C must save a checkpoint"
