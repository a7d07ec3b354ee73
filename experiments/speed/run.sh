#!/usr/bin/env bash
# run.sh - training steps of ResNet-20 (32x32x3) side by side: Nibble and PyTorch in turns, ROUNDS times, medians and ratios.
#
# usage: experiments/speed/run.sh [PYTHON]     a Python with PyTorch; from the repository's root, after `make`
# Environment: BATCH=128 STEPS=6 ROUNDS=3 THREADS=2. Writes experiments/speed/results.csv (one line per round and variant) and prints the table.
set -euo pipefail
nibble=${NIBBLE:-build/current/nibble} python=${1:-python3}
here=$(dirname "$0")
batch=${BATCH:-128} steps=${STEPS:-6} rounds=${ROUNDS:-3} threads=${THREADS:-2}
csv=$here/results.csv
data="data={name: synth, height: 32, width: 32, channels: 3, classes: 10, count: 1024}" # speed does not depend on the pixels
echo "round,variant,ms" >"$csv"

# One line per training step variant: name,ms
nibble_steps() {
    "$nibble" bench configs/cifar10-resnet20.yaml --steps "$steps" --threads "$threads" --json --set train.batch="$batch" \
        --set "$data" "$@" |
        sed -n 's/.*"what": "training step, \([^"]*\)", "ms": \([0-9.]*\).*/nibble \1,\2/p'
}

for round in $(seq "$rounds"); do
    {
        nibble_steps --set quant.weights.bits=8
        nibble_steps --set quant.weights.bits=4 --set quant.activations.bits=4 | grep -v float
        "$python" "$here/torch_step.py" "$batch" "$steps" "$threads" | grep -v '^#'
    } | sed "s/^/$round,/" >>"$csv"
done

echo "median of $rounds rounds, batch $batch, $threads threads"
sort -t, -k2,2 -k3,3n "$csv" | awk -F, -v batch="$batch" '
    $1 == "round" { next }
    { v[$2, ++n[$2]] = $3; if (!($2 in seen)) { seen[$2] = 1; order[++m] = $2 } }
    END {
        for (i = 1; i <= m; i++) { k = order[i]; med[k] = v[k, int((n[k] + 1) / 2)]; if (k ~ /torch QAT/ && (!qat || med[k] < qat)) qat = med[k] }
        printf "%-30s %10s %12s %22s\n", "", "ms/step", "images/s", "speed to torch QAT"
        for (i = 1; i <= m; i++) { k = order[i]; printf "%-30s %10.1f %12.0f %21.2fx\n", k, med[k], 1000 * batch / med[k], qat / med[k] }
    }'
