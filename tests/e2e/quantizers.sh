#!/usr/bin/env bash
# quantizers.sh - formats and learned quantizers end to end: trained, the same bytes on any number of threads, node by node and after a
# break, evaluated, verified in every form, exported, calibrated anew, and taken from and to checkpoints of other quantizers.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
lsq=(--set quant.weights.learn=lsq --set quant.activations.learn=lsq)
short='train.phases=[{name: float, epochs: 2, lr: 0.1}, {name: qat, epochs: 2, lr: 0.02, quant: on, freeze_ranges_at: 1}]'

# The integers of all are verified as C: of the first under every compiler here, of the others under tcc, which is the fastest by far.
compilers=$NIBBLE
if tcc=$(command -v tcc); then
    mkdir quick && ln -s "$tcc" quick/cc
    printf '#!/bin/sh\nPATH="%s" exec "%s" "$@"\n' "$WORK/quick" "$NIBBLE" >quick/nibble
    chmod +x quick/nibble
fi

# whole NAME OPTIONS...: what is true of every quantizer.
whole() {
    local name=$1
    shift
    run 0 train tiny.yaml --set "out=$name" --set "$short" "$@" --threads 2
    for file in last.safetensors model.int.safetensors; do
        run 0 eval "$name/$file" --json
        sed 's/.*"correct":\([0-9]*\).*/\1/' out >"$name.$file.correct"
    done
    cmp "$name.last.safetensors.correct" "$name.model.int.safetensors.correct" || die "$name: checkpoint and integers differ"
    run 0 verify "$name/model.int.safetensors" --from "$name/last.safetensors"
    NIBBLE=$compilers run 0 verify "$name/model.int.safetensors" --all --images 16
    says "C, "
    [ ! -e quick/nibble ] || compilers=$WORK/quick/nibble
    run 0 export "$name/model.int.safetensors" --format c -o "$name.c"
    run 0 quantize tiny.yaml --from "$name/phase-1-float.safetensors" -o "$name.ptq" --images 64 "$@"
    run 0 verify "$name.ptq/model.int.safetensors" --images 16
}

# ---- pow2 ----
whole pow2 --set quant.weights.format=pow2 --set quant.activations.format=pow2 --set quant.weights.range=mse --set quant.activations.learn=lsq

# ---- log ----
whole log --set quant.weights.format=log --set quant.weights.bits=3 --set quant.weights.range=mse
whole log2 --set quant.weights.format=log --set quant.weights.bits=4 --set quant.first_last_bits=4 --set quant.weights.learn=lsq

# ---- dorefa, and levels without a 0 ----
whole dorefa --set quant.weights.format=odd --set quant.weights.bits=2 --set quant.weights.learn=dorefa --set quant.activations.learn=dorefa
refuses 2 'quant.weights: learn: dorefa: has weights of 2^bits values without 0: set format: odd' train tiny.yaml --set out=never --set quant.weights.learn=dorefa
refuses 2 'has codes of 2..7 bits' train tiny.yaml --set out=never --set quant.weights.format=odd --set quant.weights.bits=8

# ---- lsqplus, scale_zero, tqt, pact: the same bytes node by node, and as integers ----
learns() {
    local name=$1
    shift
    run 0 train tiny.yaml --set "out=$name" --set "$short" "$@" --threads 2
    run 0 verify "$name/model.int.safetensors" --from "$name/last.safetensors"
    run 0 train tiny.yaml --set "out=$name" --set "$short" "$@" --threads 1 --reference --force
    same_run "$name" "$name.old1"
}
learns plus --set quant.weights.learn=lsqplus --set quant.activations.learn=lsq+ --set quant.activations.bits=3
learns zero --set quant.weights.learn=tqt --set quant.weights.format=pow2 --set quant.activations.learn=scale_zero --set quant.activations.bits=3
learns clip --set quant.activations.learn=pact --set quant.activations.bits=3 --set quant.activations.decay=0.001
learns book --set quant.weights.learn=codebook --set quant.weights.bits=3 --set quant.weights.granularity=tensor
learns three --set quant.weights.learn=ttq --set quant.weights.bits=2 --set quant.weights.granularity=tensor

# ---- block: exponents are no state ----
blocks=(--set quant.weights.format=block --set quant.weights.range=auto --set quant.weights.bits=3 --set quant.weights.block=8)
whole block "${blocks[@]}"
learns stochastic "${blocks[@]}" --set quant.weights.rounding=stochastic --set quant.weights.granularity=tensor
run 0 info stochastic/model.int.safetensors
refuses 2 'learn: lsq: format block takes its powers of two from the weights' train tiny.yaml --set out=never "${blocks[@]}" --set quant.weights.learn=lsq

# ---- lsq ----
whole lsq "${lsq[@]}"
for how in "--threads 1" "--reference"; do
    # shellcheck disable=SC2086 # words are meant
    run 0 train tiny.yaml --set out=lsq --set "$short" "${lsq[@]}" $how --force
    same_run lsq lsq.old1
    rm -r lsq.old1
done
# A run that is killed among its quantized epochs goes on to the same bytes.
grown='train.phases=[{name: float, epochs: 2, lr: 0.1}, {name: qat, epochs: 3, lr: 0.02, quant: on}]'
mkdir once twice
learned=(--set quant.weights.learn=tqt --set quant.activations.learn=lsqplus) # logarithms, and rows of two values
(cd once && run 0 train ../tiny.yaml --set "$grown" "${learned[@]}")
(
    cd twice
    "$NIBBLE" train ../tiny.yaml --set "$grown" "${learned[@]}" >/dev/null 2>&1 &
    pid=$!
    until grep -q qat run/metrics.csv 2>/dev/null || ! kill -0 $pid 2>/dev/null; do sleep 0.01; done
    kill -KILL $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
    run 0 train ../tiny.yaml --set "$grown" "${learned[@]}" --resume
)
same_run once/run twice/run
# From a checkpoint without learned scales, and from one with to none; a general rule that a layer refines.
run 0 train tiny.yaml --set out=plain --set "$short"
more='train.phases=[{name: qat, epochs: 1, lr: 0.02, quant: on}]'
run 0 train tiny.yaml --set out=to --set "$more" --set init=plain/last.safetensors "${lsq[@]}" --set quant.layers.c1.weights.lr=0.1
run 0 train tiny.yaml --set out=other --set "$more" --set init=to/last.safetensors "${learned[@]}" # whose rows mean something else
run 0 train tiny.yaml --set out=back --set "$more" --set init=to/last.safetensors
refuses 2 'quant.weights.lr: unknown key' train tiny.yaml --set out=never --set quant.weights.lr=0.1
run 0 train tiny.yaml --set out=swap "${lsq[@]}" --set quant.weights.lr=0.1 --set "$more"
