#!/usr/bin/env bash
# ranges.sh - ranges end to end: what they keep survives a kill to the bit, `quantize` takes every one of them and gives the same bytes
# on any number of threads, without images where none needs them, and says which ranges there are and what they leave unused.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
few='train.phases=[{name: float, epochs: 2, lr: 0.1}, {name: qat, epochs: 3, lr: 0.02, quant: on}]'
logits='quant.layers={fc: {activations: {range: xent}}}'

# Histograms are part of the state: a run that is killed among its quantized epochs goes on to the same bytes.
hist=(--set quant.weights.range=percentile --set quant.activations.range=kl --set quant.output_bits=8 --set "$logits" --set train.save_steps=1)
mkdir once twice
(cd once && run 0 train ../tiny.yaml --set "$few" "${hist[@]}")
(
    cd twice
    "$NIBBLE" train ../tiny.yaml --set "$few" "${hist[@]}" >/dev/null 2>&1 &
    pid=$!
    until grep -q qat run/metrics.csv 2>/dev/null || ! kill -0 $pid 2>/dev/null; do sleep 0.01; done
    kill -KILL $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
    run 0 train ../tiny.yaml --set "$few" "${hist[@]}" --resume
)
same_run once/run twice/run
run 0 verify once/run/model.int.safetensors --from once/run/last.safetensors
float=$PWD/once/run/phase-1-float.safetensors

# Every range, after training.
for range in auto minmax ema mean mse percentile kl aciq; do
    for threads in 1 3; do
        run 0 quantize tiny.yaml --from "$float" --force --images 64 --threads $threads \
            --set "quant={weights: {bits: 3, range: $range}, activations: {bits: 4, range: $range}}"
        mv run/last.safetensors $threads.safetensors
    done
    cmp 1.safetensors 3.safetensors || die "$range: other bytes on three threads"
    rm -r run*
done
run 0 quantize tiny.yaml --from "$float" -o xent --set quant.output_bits=8 --set "$logits"

# Without images, where every value comes from a batch norm.
sed 's/- resblock:.*/- conv2d: {name: c2, out: 12, bias: no}\n  - batchnorm/' tiny.yaml >chain.yaml
run 0 train chain.yaml --set 'train.phases=[{name: float, epochs: 2, lr: 0.1}]' --set out=chain
float=chain/last.safetensors
free=(--set 'quant.activations={range: bn}' --set 'quant.layers={fc: {activations: {range: fixed, lo: -9, hi: 9}}}' --set quant.output_bits=8)
run 0 quantize chain.yaml --from $float -o free "${free[@]}"
grep -q 'ranges from no images' out || die "quantize does not say that it took no images"
grep -q '^ranges: weights minmax (4, 8 bits); activations bn (8 bits), fixed (8 bits)$' out || die "quantize does not name the ranges"
run 0 verify free/model.int.safetensors --images 16
refuses 2 "the output of fc is no batch norm's" quantize chain.yaml --from $float -o no --set 'quant.activations={range: bn}' --set quant.output_bits=8

# What leaves most codes unused is said, once, and by info too.
run 0 quantize chain.yaml --from $float -o coarse --set 'quant.weights={bits: 2, range: fixed, lo: -100, hi: 100}' --set quant.first_last_bits=0
grep -q 'range fixed leaves most codes of its 2-bit weights unused, 100 % of them become 0; range: mse would help' out || die "unused codes are not said"
run 0 info coarse/last.safetensors
grep -q 'leaves most codes of its 2-bit weights unused' out || die "info does not say that codes are unused"
