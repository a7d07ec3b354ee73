#!/usr/bin/env bash
# run.sh - a depthwise network with weights quantized per tensor and per channel, after training and during it.
#
# usage: experiments/depthwise/run.sh [SEED]      (default: 1) from the repository's root, after `make`
# Trains configs/fmnist-mobilenet.yaml in float once, then for 8 and 4 bits, batch norm kept or folded into the weights first, per channel and per
# tensor: `ptq` only watches the ranges of one epoch (learning rate 0), `qat` trains 4 epochs. Writes experiments/depthwise/results.csv and prints
# the table; accuracies are the integer engine's on all test images. Finished runs are kept, interrupted ones are resumed.
# Environment: THREADS=2, HOW="ptq qat": either alone is possible.
set -euo pipefail
nibble=${NIBBLE:-build/current/nibble} seed=${1:-1} threads=${THREADS:-2}
config=configs/fmnist-mobilenet.yaml
base=runs/depthwise-$seed
csv=$(dirname "$0")/results.csv
float='train.phases=[{name: float, epochs: 8, lr: 0.1, warmup: 1, schedule: cosine, quant: off}]'
ptq='train.phases=[{name: ptq, epochs: 1, lr: 0, quant: on, freeze_bn_at: 0}]'
qat='train.phases=[{name: qat, epochs: 4, lr: 0.01, schedule: cosine, quant: on}]'

. experiments/train.bash

# accuracy FILE: per cent correct on the test images
accuracy() {
    "$nibble" eval "$1" --threads "$threads" --json | sed -n 's/.*"accuracy":\([0-9.]*\).*/\1/p'
}

common=(--threads "$threads" --set seed="$seed")
train "$base/float" "${common[@]}" --set "$float"
echo "bits,batchnorm,granularity,how,accuracy" >"$csv"
echo "32,,,float,$(accuracy "$base/float/last.safetensors")" >>"$csv"
for how in ${HOW:-ptq qat}; do
    for bits in 8 4; do
        for bn in keep fold; do
            for granularity in channel tensor; do
                dir=$base/$how-w$bits-$bn-$granularity
                train "$dir" "${common[@]}" --set init="$base/float/last.safetensors" --set "${!how}" --set quant.weights.bits=$bits \
                    --set quant.weights.granularity=$granularity --set quant.batchnorm=$bn
                echo "$bits,$bn,$granularity,$how,$(accuracy "$dir/model.int.safetensors")" >>"$csv"
            done
        done
    done
done

awk -F, '
    $4 == "float" { printf "float %.2f %%\n\n%-6s %-10s %-12s %10s %10s\n", 100 * $5, "bits", "batch norm", "weights per", "ptq", "qat" }
    NR > 2 { k = "W" $1 "A8   " sprintf("%-10s %-12s", $2, $3); if (!(k in seen)) { seen[k] = 1; order[++n] = k }; v[k, $4] = sprintf("%.2f %%", 100 * $5) }
    function cell(k, how) { return (k, how) in v ? v[k, how] : "-" }
    END { for (i = 1; i <= n; i++) printf "%s %10s %10s\n", order[i], cell(order[i], "ptq"), cell(order[i], "qat") }' "$csv"
