#!/usr/bin/env bash
# tensorboard.sh - `log: {tensorboard: yes}`: the event file of a run that was killed again and again holds every line of metrics.csv once,
# at steps and times that grow; by a reader of its own, and by TensorBoard where PYTHON (default python3) has it.
set -eu
. tests/e2e/common.bash
python=${PYTHON:-python3}
command -v "$python" >/dev/null || {
    echo "skipped: no $python"
    exit 77
}
cd "$WORK"
small_config >tiny.yaml
events=run/events.out.tfevents.nibble
train=("$NIBBLE" train tiny.yaml --set log.tensorboard=yes --resume)

cat >read.py <<'END'
import csv, struct, sys

raw = open(sys.argv[1], "rb").read()
rows = [[int(r["phase"])] + [float(r[k]) for k in ("train_loss", "eval_loss", "train_accuracy", "eval_accuracy", "lr")]
        for r in csv.DictReader(open(sys.argv[2]))]

def points_of_file():
    at = 0
    while at < len(raw):
        size, = struct.unpack_from("<Q", raw, at)
        message = raw[at + 12:at + 12 + size]
        at += 16 + size
        time, = struct.unpack_from("<d", message, 1)
        if b"brain.Event" in message:
            continue
        step = value = shift = 0
        for byte in message[10:]:
            step |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        def scalar(tag):
            return struct.unpack_from("<f", message, message.index(tag) + len(tag) + 1)[0]
        yield time, step, [scalar(t) for t in (b"schedule/phase", b"loss/train", b"loss/eval", b"accuracy/train", b"accuracy/eval", b"schedule/lr")]
    assert at == len(raw), "the end of the file is no whole record"

def check(points, reader):
    assert len(points) == len(rows), f"{reader}: {len(points)} points of {len(rows)} epochs"
    for i, (time, step, values) in enumerate(points):
        assert step == (i + 1) * 7, f"{reader}: epoch {i + 1} is at step {step}"
        assert i == 0 or time >= points[i - 1][0], f"{reader}: the clock went back"
        assert values == [struct.unpack("<f", struct.pack("<f", v))[0] for v in rows[i]], f"{reader}: epoch {i + 1}: {values}, not {rows[i]}"
    print(f"{reader}: {len(points)} epochs")

check(list(points_of_file()), "reader of its own")
try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    print("TensorBoard: not here")
    sys.exit()
board = EventAccumulator(sys.argv[1])
board.Reload()
tags = ["schedule/phase", "loss/train", "loss/eval", "accuracy/train", "accuracy/eval", "schedule/lr"]
assert sorted(board.Tags()["scalars"]) == sorted(tags), board.Tags()
of = [board.Scalars(t) for t in tags]
check([(p[0].wall_time, p[0].step, [q.value for q in p]) for p in zip(*of)], "TensorBoard")
END

killed=0
for ((try = 0; try < 60; try++)); do
    "${train[@]}" >/dev/null 2>&1 &
    pid=$!
    sleep "$(awk -v r="$RANDOM" 'BEGIN { print 0.01 + 0.15 * r / 32768 }')"
    kill -KILL "$pid" 2>/dev/null || true
    code=0
    wait "$pid" 2>/dev/null || code=$?
    [ "$code" = 137 ] || break
    killed=$((killed + 1))
done
echo "killed $killed times"
run 0 train tiny.yaml --set log.tensorboard=yes --resume
"$python" read.py $events run/metrics.csv

# What is there stays; a half record, as a kill may leave, and a file that is gone are made good.
cp $events before
run 0 train tiny.yaml --set log.tensorboard=yes --resume
cmp before $events || die "resuming a finished run changed its events"
head -c -5 before >$events
run 0 train tiny.yaml --set log.tensorboard=yes --resume
cmp -n "$(($(stat -c %s before) - 300))" before $events || die "whole records were not kept"
"$python" read.py $events run/metrics.csv
rm $events
run 0 train tiny.yaml --set log.tensorboard=yes --resume
"$python" read.py $events run/metrics.csv

# A run that began without goes on with it, from its first epoch on.
rm -r run
run 0 train tiny.yaml --quiet
[ ! -e $events ] || die "event files are on request"
run 0 train tiny.yaml --set log.tensorboard=yes --resume
"$python" read.py $events run/metrics.csv
run 0 train tiny.yaml --resume

run 2 train tiny.yaml --set log.tensorbord=yes --set out=other
says '(did you mean "tensorboard"?)'
run 0 keys log
says tensorboard
run 0 train tiny.yaml --set out=without --set 'train.phases=[{epochs: 1, lr: 0.1}]'
[ ! -e without/events.out.tfevents.nibble ] || die "event files are on request"
