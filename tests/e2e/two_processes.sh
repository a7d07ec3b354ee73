#!/usr/bin/env bash
# two_processes.sh - one folder has one writer: whoever comes second is told who is there and changes nothing, whatever command and options;
# the first does not notice. A killed holder holds nothing.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
short='train.phases=[{name: float, epochs: 1, lr: 0.1}, {name: qat, epochs: 1, lr: 0.01, quant: on}]'
long='train.phases=[{name: float, epochs: 100000, lr: 0.01}]'
mkdir whole
(cd whole && run 0 train ../tiny.yaml --set "$short")
ckpt=whole/run/last.safetensors
pid=
trap '[ -z "$pid" ] || kill -KILL $pid 2>/dev/null || true' EXIT

begin() { # OPTIONS...: a run that does not end by itself, in the background, until its first epoch is over; pid
    local try
    "$NIBBLE" train tiny.yaml --quiet --set "$long" "$@" >/dev/null 2>holder.err &
    pid=$!
    for ((try = 0; try < 3000; try++)); do
        [ -s run/metrics.csv ] && grep -qs "process $pid " run/.nibble.lock && return 0
        sleep 0.01
    done
    die "the first process has no first epoch: $(cat holder.err)"
}

# ---- every command that writes there, beside a living trainer ----
begin
there="run: another nibble is writing into this folder (process $pid on $(uname -n) since "
touch run/last.safetensors.tmp.1 # like the one that the trainer has while it saves
refuses 1 "$there" train tiny.yaml
refuses 1 "$there" train tiny.yaml --resume --set "$long"
refuses 1 "$there" train tiny.yaml --force
refuses 1 "$there" quantize tiny.yaml --from $ckpt -o run
refuses 1 "$there" quantize tiny.yaml --from $ckpt -o run --force
refuses 1 "$there" import whole/run/phase-1-float.safetensors --config tiny.yaml -o run/other.safetensors
[ -e run/last.safetensors.tmp.1 ] || die "the living trainer's temporary file was deleted"
[ ! -e run.old1 ] || die "the folder was moved while somebody writes to it"
kill -0 $pid || die "the trainer did not survive its visitors: $(cat holder.err)"
# readers are welcome
run 0 eval run/last.safetensors
cat >sweep.yaml <<'END'
config: tiny.yaml
out: run
how: {after: quantize}
start: {train.phases: [{epochs: 1, lr: 0.1}]}
tables: [{name: bits, rows: {quant.weights.bits: [8, 4]}}]
END
refuses 1 "$there" sweep sweep.yaml
run 0 sweep sweep.yaml --dry-run
run 0 sweep sweep.yaml --table

# ---- the holder ends in each way ----
kill -TERM $pid
wait $pid || true
[ ! -e run/.nibble.lock ] || die "the lock's file is left"
begin --resume
kill -KILL $pid
wait $pid 2>/dev/null || true
[ -e run/.nibble.lock ] || die "a killed process cannot have removed its file"
begin --resume # holds nothing any more
kill -TERM $pid
wait $pid || true
[ -z "$(find run -name '*.tmp.*')" ] || die "what a killed process left is still there"

# ---- both at the same moment ----
rm -r run
both() { # OPTIONS...: exactly one of two may succeed
    local a=0 b=0 one two
    "$NIBBLE" train tiny.yaml --quiet --set "$short" "$@" >/dev/null 2>a.err &
    one=$!
    "$NIBBLE" train tiny.yaml --quiet --set "$short" "$@" >/dev/null 2>b.err &
    two=$!
    wait $one || a=$?
    wait $two || b=$?
    case $a$b in
    01) grep -q 'another nibble is writing' b.err ;;
    10) grep -q 'another nibble is writing' a.err ;;
    02 | 20) grep -q 'holds a run already' a.err b.err ;; # the second was late
    00) [ "$*" != "" ] ;;                                 # the second was late, and allowed to
    *) false ;;
    esac || die "two processes $*: exit codes $a and $b: $(cat a.err b.err)"
}
for ((i = 0; i < 6; i++)); do
    both
    same_run run whole/run
    rm -r run
done
for ((i = 0; i < 3; i++)); do
    cp -r whole/run run
    both --force
    same_run run whole/run
    same_run run.old1 whole/run
    [ -z "$(find . -name '.nibble.lock')" ] || die "the lock's file is left"
    rm -r run run.old*
done
