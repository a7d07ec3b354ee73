#!/usr/bin/env bash
# scaling.sh - how a training step of a CIFAR ResNet grows with batch, depth, width and threads: milliseconds per image, float and W8A8.
#
# usage: experiments/speed/scaling.sh       from the repository's root, after `make`
# Environment: STEPS=6 THREADS="1 2". One factor varies at a time, around ResNet-20, width 1 (16, 32, 64 channels), batch 128:
# batch 32..1024, depth 8, 20, 56, width 0.5, 1, 2, each with each number of threads. Writes OUT/scaling.csv (OUT=experiments/speed/results/KIND, kind.sh) and prints the table.
# `per_mac` is the time of an image per multiply-accumulate of the forward pass, relative to the first line of the same threads and bits: 1.00
# everywhere would be perfect scaling.
set -euo pipefail
nibble=${NIBBLE:-build/current/nibble}
steps=${STEPS:-6} threads=${THREADS:-1 2}
here=$(dirname "$0")
out=${OUT:-$here/results/$("$here/kind.sh")}
csv=$out/scaling.csv
"$here/kind.sh" "$out" >/dev/null
data="data={name: synth, height: 32, width: 32, channels: 3, classes: 10, count: 1024}"

# model DEPTH WIDTH-IN-HALVES: the model section; depth is 6n + 2
model() {
    local n=$((($1 - 2) / 6)) c=$((8 * $2))
    echo "model=[input, conv2d: {out: $c, kernel: 3, pad: 1, bias: no}, batchnorm, relu, resblock: {out: $c, repeat: $n}," \
        "resblock: {out: $((2 * c)), stride: 2, repeat: $n}, resblock: {out: $((4 * c)), stride: 2, repeat: $n}, avgpool: {global: yes}," \
        "linear: {out: 10}]"
}

# measure BATCH DEPTH WIDTH-IN-HALVES THREADS: two lines, float and W8A8
measure() {
    local macs
    macs=$("$nibble" info configs/cifar10-resnet20.yaml --set "$data" --set "$(model "$2" "$3")" | awk '$1 == "all" { print $3 }')
    "$nibble" bench configs/cifar10-resnet20.yaml --steps "$steps" --threads "$4" --json --set train.batch="$1" --set "$data" \
        --set "$(model "$2" "$3")" --set quant.weights.bits=8 |
        sed -n 's/.*"what": "training step, \([^"]*\)", "ms": \([0-9.]*\).*/\1 \2/p' |
        awk -v b="$1" -v d="$2" -v w="$3" -v t="$4" -v macs="$macs" '{ printf "%d,%d,%g,%d,%s,%d,%.2f,%.4f\n", b, d, w / 2, t, $1, macs, $2, $2 / b }'
}

echo "batch,depth,width,threads,bits,macs,ms_per_step,ms_per_image" >"$csv"
for t in $threads; do
    for batch in 128 32 64 256 512 1024; do
        measure $batch 20 2 "$t"
    done
    for depth in 8 56; do
        measure 128 $depth 2 "$t"
    done
    for width in 1 4; do
        measure 128 20 $width "$t"
    done
done >>"$csv"

awk -F, '
    NR == 1 { printf "%6s %6s %6s %8s %6s %12s %12s %14s %8s\n", "batch", "depth", "width", "threads", "bits", "MACs", "ms/step", "ms/image", "per_mac"; next }
    { k = $4 "," $5; per = $8 / $6; if (!(k in base)) base[k] = per
      printf "%6d %6d %6g %8d %6s %12d %12.1f %14.4f %8.2f\n", $1, $2, $3, $4, $5, $6, $7, $8, per / base[k] }' "$csv"
