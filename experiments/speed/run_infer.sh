#!/usr/bin/env bash
# run_infer.sh - integer inference of ResNet-20 (32x32x3, W8A8) side by side: Nibble and other runtimes in turns, ROUNDS times, medians.
#
# usage: experiments/speed/run_infer.sh [PYTHON]   a Python with torch, onnx, onnxruntime (and openvino, ai-edge-litert); from the repository's root, after `make`
# Environment: ROUNDS=3 STEPS=5 OUT=experiments/speed/results/KIND (kind.sh). Writes OUT/inference.csv (one line per round and contender) and prints the table.
set -euo pipefail
nibble=${NIBBLE:-build/current/nibble} python=${1:-python3}
here=$(dirname "$0")
rounds=${ROUNDS:-3} steps=${STEPS:-5}
out=${OUT:-$here/results/$("$here/kind.sh")}
csv=$out/inference.csv
"$here/kind.sh" "$out" >/dev/null
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
data="data={name: synth, height: 32, width: 32, channels: 3, classes: 10, count: 256}" # speed does not depend on the pixels
# The network that LiteRT runs is our own export.
"$nibble" train configs/cifar10-resnet20.yaml --quiet --set out="$work/run" --set "$data" --set quant.weights.bits=8 \
    --set "train.phases=[{epochs: 1, lr: 0.01, quant: on}]" >/dev/null
"$nibble" export "$work/run" -o "$work/net.tflite" >/dev/null
echo "round,runtime,batch,threads,ms" >"$csv"

# Two lines, batch 128 and batch 1: name,batch,threads,ms
nibble_engine() {
    local name=$1 threads=$2
    shift 2
    "$nibble" bench configs/cifar10-resnet20.yaml --steps "$steps" --threads "$threads" --json --set train.batch=128 --set "$data" "$@" |
        sed -n -e "s/.*\"integer engine, 128 images\", \"ms\": \([0-9.]*\).*/$name,128,$threads,\1/p" \
            -e "s/.*\"integer engine, one image\", \"ms\": \([0-9.]*\).*/$name,1,$threads,\1/p"
}

for round in $(seq "$rounds"); do
    {
        for threads in 1 2; do
            nibble_engine "nibble" "$threads" --set quant.weights.bits=8
            nibble_engine "nibble W4A8" "$threads"
        done
        "$python" "$here/infer_peers.py" "$steps" "$work/net.tflite" 2>/dev/null
    } | sed "s/^/$round,/" >>"$csv"
done

"$here/tables.sh" inference "$csv"
