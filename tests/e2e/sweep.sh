#!/usr/bin/env bash
# sweep.sh - a sweep killed anywhere and started again ends in the tables of an undisturbed one; cells are what train and quantize make;
# more seeds where cells are close; what is wrong is said before anything is trained; compare shows runs side by side.
set -eu
. tests/e2e/common.bash
small_config >"$WORK/net.yaml"
cd "$WORK"
sed -i 's/range: ema/range: ema, momentum: 0.1/; s/count: 240/count: 128/; s/freeze_bn_at: 2, freeze_ranges_at: 2//' net.yaml
phase() { echo "train.phases: [{name: $1, epochs: $2, lr: $3, schedule: cosine, quant: $4}]"; }
cat >s.yaml <<END
config: net.yaml
out: runs
seeds: [1, 2]
start: {$(phase float 2 0.1 off)}
reference: {$(phase float 1 0.02 off)}
how: {after: quantize, trained: {$(phase qat 1 0.02 on)}}
tables:
  - name: bits
    rows: {W8A8: {quant.weights.bits: 8}, W2A2: {quant.weights.bits: 2, quant.activations.bits: 2}}
    columns: {quant.activations.range: [minmax, mse]} # the config says momentum, which minmax has not
END

# undisturbed, on two processes
run 0 sweep s.yaml --jobs 2
[ ! -s err ] || { cat err >&2; die "has remarks"; }
[ "$(grep -c ' begins, its epochs are in runs/' out)" = 2 ] || die "both starts must say where their epochs can be seen"
log=$(sed -n 's/.* begins, its epochs are in //p' out | head -1)
[ "$(grep -cE '^float +[12]/2 ' "$log")" = 2 ] || die "$log has not a line for each epoch"
for file in cells.csv runs.csv tables.md; do
    [ -s runs/$file ] || die "no $file"
done
[ "$(wc -l <runs/cells.csv)" = 9 ] || die "cells.csv has not a line for each of 8 cells"
! grep -q -e missing -e failed runs/cells.csv || die "cells are missing"
run 0 sweep s.yaml
says "20 runs are there already"
run 0 sweep s.yaml --table --format json
grep -q '"how": "trained"' out || die "no JSON"
run 0 sweep s.yaml --table --format markdown
grep -q '^| W8A8 | ' out || die "no Markdown"

# a cell is what its command makes
run 0 sweep s.yaml --dry-run
line=$(grep -A1 '^# bits/trained-W2A2-mse-seed2: done' out | tail -1)
eval "set -- ${line#nibble }"
run 0 "$@" --set out=again
cmp again/metrics.csv runs/bits/trained-W2A2-mse-seed2/metrics.csv || die "the command of a cell makes another network"

# killed, again and again
sed 's/out: runs/out: killed/' s.yaml >k.yaml
for i in 1 2 3 4 5 6 7 8; do
    "$NIBBLE" sweep k.yaml --jobs 2 >killed.out 2>&1 &
    sleep "0.$((i * 7 % 10))"
    signal=KILL
    [ "$i" != 4 ] || signal=TERM
    kill -$signal $! 2>/dev/null || true # it may be done
    wait $! 2>/dev/null || true
done
code=0
for _ in 1 2 3 4 5; do # a run of a killed sweep may still be on its way out
    code=0
    timeout 60 "$NIBBLE" sweep k.yaml >out 2>err </dev/null || code=$?
    [ $code = 0 ] && break
    sleep 0.2
done
[ $code = 0 ] || { cat out err >&2; die "does not go on after kills"; }
for file in cells.csv runs.csv tables.md; do
    cmp runs/$file killed/$file || die "$file differs after kills"
done

# a start that is damaged or gone
rm killed/bits/trained-W2A2-mse-seed1.result
head -c 500 runs/start/seed1/last.safetensors >killed/start/seed1/last.safetensors
refuses 1 'delete the folder killed/start/seed1; with --force it and what begins with it are made again' sweep k.yaml
rm -r killed/start/seed1
refuses 2 '--force moves them aside and makes them again' sweep k.yaml
run 0 sweep k.yaml --force
cmp runs/cells.csv killed/cells.csv || die "a start that was made again gives another table"

# its results go where its folder goes
mv killed moved
sed 's/out: runs/out: moved/' s.yaml >moved.yaml
run 0 sweep moved.yaml
says "20 runs are there already"

# two sweeps begin with the same starts; another recipe has starts of its own
sed 's/out: runs/out: first\nstarts: floats-shared/' s.yaml >first.yaml
sed 's/out: runs/out: second\nstarts: floats-shared/; s/float 1 0.02/float 1 0.03/' s.yaml >second.yaml
sed 's/out: runs/out: third\nstarts: floats-shared/; s/seeds: .*/seeds: [1]/; s/epochs: 2, lr: 0.1/epochs: 1, lr: 0.1/' s.yaml >third.yaml
run 0 sweep first.yaml
cmp runs/cells.csv first/cells.csv || die "shared starts give another table"
[ ! -e first/start ] || die "a start is below out"
run 0 report first -o first.html
! grep -q 'Missing: bytes of a run' first.html || die "report looks for shared starts below the sweep's folder"
run 0 sweep second.yaml
says "2 runs are there already"
cmp runs/bits/trained-W2A2-mse-seed2/metrics.csv second/bits/trained-W2A2-mse-seed2/metrics.csv || die "another start"
run 0 sweep third.yaml
[ "$(ls -d floats-shared/net-*-seed?/ | wc -l)" = 3 ] || die "not three starts: $(ls floats-shared)"

# what changed is named, kept or made again
sed 's/epochs: 1, lr: 0.02, schedule: cosine, quant: on/epochs: 2, lr: 0.02, schedule: cosine, quant: on/' s.yaml >changed.yaml
refuses 2 "8 runs are there that this file would make in another way (bits/trained-W8A8-minmax-seed1" sweep changed.yaml
run 0 sweep changed.yaml --force --jobs 2
says "12 runs are there already"

# close cells get more seeds
sed 's/out: runs/out: close/; s/seeds: \[1, 2\]/seeds: [1]/; s/^start/more_seeds: {within: 100, seeds: [7]}\nstart/' s.yaml >close.yaml
run 0 sweep close.yaml --jobs 2
grep -q '^bits,after,W8A8,minmax,2,' close/cells.csv || die "no more seeds"

# what is simulated is marked
sed 's/out: runs/out: floats/; s/seeds: \[1, 2\]/seeds: [1]/; s/rows: .*/rows: {W4A32: {quant.activations: off}}/; /columns:/d' s.yaml >sim.yaml
run 0 sweep sim.yaml
grep -qE '^W4A32 +~[0-9.]+$' out || die "a simulated accuracy is not marked"
grep -q '^bits,trained,W4A32,,1,.*,simulation,done$' floats/cells.csv || die "nor in cells.csv"

# one run fails, the others do not
sed 's/out: runs/out: fails/; s/seeds: \[1, 2\]/seeds: [1]/; s/columns: .*/columns: {good: {}, wild: {train.optimizer.clip: 0, train.phases.0.lr: 1000}}/; s/{after: quantize, /{/' s.yaml >f.yaml
run 1 sweep f.yaml
says "failed"
grep -q '^bits,trained,W8A8,good,1,.*,done$' fails/cells.csv || die "a good cell is not done"
grep -q '^bits,trained,W8A8,wild,0,.*,failed$' fails/cells.csv || die "the failure is not in the table"

# what is wrong is said with its place, before anything is made
bad() { # TEXT SED-SCRIPT
    sed "s/out: runs/out: none/; $2" s.yaml >bad.yaml
    refuses 2 "$1" sweep bad.yaml
    [ ! -e none ] || die "began although: $1"
}
bad 'bad.yaml:9: tables.rowz: unknown key (did you mean "rows"?)' 's/rows:/rowz:/'
bad 'after: quantise: must be `quantize`' 's/quantize/quantise/'
bad 'needs something to quantize' '/^start/d'
bad 'out: the sweep sets it' 's/quant.weights.bits: 2/out: elsewhere/'
bad 'seeds: 1: is there already' 's/\[1, 2\]/[1, 1]/'
bad 'bits/after-W2A2-minmax-seed1: --set quant.weights.bits=9' 's/quant.weights.bits: 2/quant.weights.bits: 9/'
bad 'quant.weights.bitz: unknown key' 's/quant.weights.bits: 2/quant.weights.bitz: 2/'
sed 's/net.yaml/nowhere.yaml/' s.yaml >bad.yaml
refuses 1 'nowhere.yaml: cannot open' sweep bad.yaml
refuses 2 '--format: xml: must be text, csv, json or markdown' sweep s.yaml --format xml

# a signal to the sweep alone ends what it runs, and not after that: this would take hours
sed -e 's/out: runs/out: long/' -e 's/epochs: 2/epochs: 999999/' s.yaml >long.yaml
"$NIBBLE" sweep long.yaml >long.out 2>&1 &
until [ -s long/start/seed1/metrics.csv ]; do
    sleep 0.1
    kill -0 $! 2>/dev/null || { cat long.out >&2; die "the long sweep did not begin"; }
done
kill -TERM $!
code=0
wait $! || code=$?
[ $code != 0 ] || die "an interrupted sweep ends well"
grep -q 'the same command goes on' long.out || { cat long.out >&2; die "does not say how to go on"; }

# side by side
run 0 compare runs/start/seed1 runs/bits/trained-W2A2-mse-seed2
says "train.phases.0.lr"
says "integers W2A2"
run 1 compare runs/start/seed1/last.safetensors runs
says 'runs: is the folder of a sweep, not of a run: name runs of it (runs.csv lists them), or see all of them with `nibble report runs`'
run 0 compare runs/start/seed1 runs/bits/trained-W2A2-mse-seed2 --format json
grep -q '"accuracy_percent"' out || die "no JSON"
# of what was calibrated the float accuracy, and of what is simulated the bits
run 0 compare runs/start/seed1 runs/bits/after-W2A2-minmax-seed1 floats/bits/after-W4A32-seed1 --format csv
awk -F, 'NR == 2 { start = $3 } NR > 2 { sub(/"[^"]*"/, "") } NR > 2 && ($4 != start || $5 == "") { exit 1 }' out || die "the float accuracy is missing: $(<out)"
run 0 compare runs/start/seed1 runs/bits/after-W2A2-minmax-seed1 floats/bits/after-W4A32-seed1
grep -qE '^fc +W8 A32 +W8 A32 *$' out && grep -qE '^b1\.c1 +W2 A2 +W4 *$' out || die "bits of simulated networks are missing: $(<out)"
head -c 300 runs/bits/trained-W2A2-mse-seed2/model.int.safetensors >cut.safetensors
run 1 compare runs/bits/trained-W2A2-mse-seed2/model.int.safetensors cut.safetensors nowhere
says "cannot be read"
says "and others that cannot be read either"

# ---- networks that reconstruct: the tables name what they measure ----
cat >ae.yaml <<'END'
data: {name: synth, count: 128, test_count: 32, height: 4, width: 4, channels: 3, classes: 4}
model: [input, {linear: {out: 8}}, relu, {linear: {out: 48}}, mse]
quant: {weights: {bits: 8}, activations: {bits: 8}}
train: {batch: 32, phases: [{epochs: 1, lr: 0.01}]}
END
printf 'config: ae.yaml\nout: ae\nstart: {train.phases: [{epochs: 1, lr: 0.01}]}\nhow: {after: quantize}\ntables:\n  - {name: bits, rows: {W8A8: {quant.weights.bits: 8}}}\n' >ae-sweep.yaml
run 0 sweep ae-sweep.yaml
says 'AUC in percent on the test images'
grep -q '^run,seed,AUC,network,state,folder$' ae/runs.csv || die "runs.csv must name its metric"
run 0 sweep ae-sweep.yaml --format csv # from what is kept
says 'table,how,row,column,seeds,AUC,spread'
run 0 report ae -o ae.html
grep -q ',metric$' ae/start/seed1/metrics.csv && grep -q ',AUC$' ae/start/seed1/metrics.csv || die "metrics.csv must name its metric"
run 0 quantize ae.yaml --from ae/start/seed1/last.safetensors -o aeq --json
says '"metric":"AUC"'
LC_ALL=C sed 's/"crc32"/"CRC32"/;s/name: synth/nane: synth/' aeq/model.int.safetensors >damaged.int.safetensors
refuses 1 'data: must be a map with a name' eval damaged.int.safetensors
refuses 2 'data.nane: unknown key' eval aeq/model.int.safetensors --set data.nane=x
