#!/usr/bin/env bash
# ranks_work.sh - what mpirun divides beside training: the images of an evaluation and of a calibration, what an analysis tries, the
# tensors of a profile, the runs of a sweep. All of it is the same as of one process, to the last bit.
# NB_RANKS_MORE=1 tries 3, 4 and 5 ranks, too.
set -eu
. tests/e2e/common.bash
. tests/e2e/ranks.bash

# like NAME FILE.. -- ARGS...: a command prints the same on one rank and on several, but for times, and leaves the same FILEs
like() {
    local name=$1 n files=()
    shift
    while [ "$1" != -- ]; do
        files+=("$1")
        shift
    done
    shift
    run 0 "$@"
    sed 's/"seconds":[^,}]*//; s/([0-9]* images.s)//' out >"one-$name"
    for file in ${files[@]+"${files[@]}"}; do mv "$file" "one-$name-${file##*/}"; done
    for n in 2 ${NB_RANKS_MORE:+3 4 5}; do
        rm -rf quantized # whose files have been taken
        ranks "$n" 0 "$NIBBLE" "$@"
        sed 's/"seconds":[^,}]*//; s/([0-9]* images.s)//' out | diff "one-$name" - || die "$name: $n ranks print something else"
        for file in ${files[@]+"${files[@]}"}; do
            cmp "one-$name-${file##*/}" "$file" || die "$name: $file is not that of one rank"
            [ ! -d quantized ] || [ -z "$(find quantized* -name '*.tmp.*' -o -name '*steps.safetensors')" ] || die "temporary files are left"
        done
    done
    echo "  ok $name"
}
run 0 train tiny.yaml --quiet
like integers logits.st -- eval run --json --confusion --mistakes 5 --mirror --logits logits.st
like floats logits.st -- eval run/phase-1-float.safetensors --json --classes --logits logits.st
float=run/phase-1-float.safetensors
like calibrated quantized/last.safetensors quantized/model.int.safetensors -- quantize tiny.yaml --from $float -o quantized
like analysis -- analyze tiny.yaml --from $float --json
like profile -- profile $float --json --channels
if [ -n "${NB_RANKS_MORE:-}" ]; then
    like steps quantized/last.safetensors -- quantize tiny.yaml --from $float -o quantized --steps '[equalize, reestimate_bn, adaround: {iterations: 50}]'
    like trained -- analyze run/last.safetensors --json
    like bits.yaml bits.yaml -- allocate tiny.yaml --from $float --budget 4000 -o bits.yaml --json
    like reference -- eval run/last.safetensors --reference --classes
    run 0 train tiny.yaml --quiet --set out=simulated --set quant.weights.bits=8 --set quant.weights.format=fp8_e4m3
    like simulated -- eval simulated --json
fi
mkdir elsewhere
cp -r run elsewhere
cp run/best.safetensors elsewhere/run/model.int.safetensors
folder=elsewhere ranks 2 2 bash rank.sh eval run/model.int.safetensors
sentence "rank 1 on $(uname -n) has another file than rank 0 on $(uname -n): nothing was done"
echo "  ok ranks that are not alike do nothing"

# Of two ranks the first evaluates images 0 to 63, the second looks at all of them a second time: in its copy one of the first's is damaged.
run 0 pack tiny.yaml -o packed
cp -r packed elsewhere
shard=elsewhere/packed/test-00000.safetensors
printf x | dd of=$shard bs=1 seek=$(($(od -An -tu8 -N8 $shard) + 8 + 2 * 100 * 4 + 30 * 192)) conv=notrunc 2>/dev/null
cp run/model.int.safetensors elsewhere/run
folder=elsewhere ranks 2 1 bash rank.sh eval run/model.int.safetensors --mirror --set 'data={name: packed, path: packed}'
sentence "test-00000.safetensors: damaged: image"
! grep -q accuracy out || die "numbers of a damaged image"
folder=elsewhere ranks 2 0 bash rank.sh eval run/model.int.safetensors --set 'data={name: packed, path: packed}'
echo "  ok a rank that finds a damaged image ends the job before anything is printed"

cat >sweep.yaml <<'END'
config: tiny.yaml
out: swept
seeds: [1]
start: {train.phases: [{epochs: 1, lr: 0.1}]}
how: {after: quantize, trained: {train.phases: [{epochs: 1, lr: 0.02, quant: on}]}}
tables:
  - {name: bits, rows: {W8A8: {quant.weights.bits: 8}, W4A8: {quant.weights.bits: 4}}, columns: {quant.activations.range: [ema]}}
END
run 0 sweep sweep.yaml
sed '1,/^$/d' out >tables
mv swept one-swept
begin swept/start/seed1.result sweep sweep.yaml
kill -KILL "$(<pid.1)"
ended
ranks 2 0 "$NIBBLE" sweep sweep.yaml
sed '1,/^$/d' out | diff tables - || die "the tables are not those of one rank"
(cd one-swept && find . -name '*.safetensors' -o -name '*.result' -o -name '*.csv' -o -name tables.md) | grep -v timing >files
while read -r file; do cmp "one-swept/$file" "swept/$file" || die "$file is not that of one rank"; done <files
[ "$(wc -l <files)" -gt 15 ] || die "runs leave files"
[ -z "$(find swept -name '*.tmp.*' -o -name .nibble.lock)" ] || die "temporary files are left"
sed 's/lr: 0.02/lr: -1/' sweep.yaml >wrong.yaml
ranks 2 2 "$NIBBLE" sweep wrong.yaml
sentence "lr: -1: must be"
echo "  ok two ranks make the runs of a sweep, again after one was killed"
