#!/usr/bin/env bash
# run.sh - ResNet-8 on Fashion-MNIST: 12 float epochs per seed, then W8A8, W4A8, W4A4 and W2A8 from them, with 6 quantized epochs (`trained`) and
# without any (`after`: `nibble quantize`), activation ranges by `mse` and by `ema`.
#
# usage: [JOBS=1] experiments/fmnist-resnet8/run.sh [SEED...]      (default: 1 2 3) from the repository's root, after `make`
# Writes experiments/fmnist-resnet8/results.csv and prints the tables; accuracies are the integer engine's on all 10,000 test images. JOBS runs are
# made at a time, with one thread each when there are several; results do not depend on it. Finished runs are kept, interrupted ones are resumed.
# Environment: RUNS=runs/fmnist-resnet8 is where the run folders go.
set -euo pipefail
nibble=${NIBBLE:-build/current/nibble}
config=configs/fmnist-resnet8.yaml
jobs=${JOBS:-1} base=${RUNS:-runs/fmnist-resnet8} csv=$(dirname "$0")/results.csv
float='train.phases=[{name: float, epochs: 12, lr: 0.1, warmup: 1, schedule: cosine, quant: off}]'
qat='train.phases=[{name: qat, epochs: 6, lr: 0.02, schedule: cosine, quant: on}]'
[ "$jobs" = 1 ] || export OMP_NUM_THREADS=1

. experiments/train.bash

# one SEED float | one SEED BITS RANGE: the runs that one line of results.csv, or two, are made from
one() {
    local from=$base/$1-float/last.safetensors dir=$base/$1-$2-${3:-}
    if [ "$2" = float ]; then
        train "$base/$1-float" --set seed="$1" --set "$float"
        return
    fi
    local w=${2:1:1} a=${2:3:1}
    local keys=(--set seed="$1" --set quant.weights.bits="$w" --set quant.activations.bits="$a" --set quant.activations.range="$3")
    train "$dir-trained" "${keys[@]}" --set init="$from" --set "$qat"
    [ -f "$dir-after/done" ] && return
    "$nibble" quantize "$config" --from "$from" -o "$dir-after" --force --steps none "${keys[@]}" >&2
    touch "$dir-after/done"
}

accuracy() {
    "$nibble" eval "$1" --json | sed -n 's/.*"accuracy":\([0-9.]*\).*/\1/p'
}

if [ "${1:-}" = --one ]; then # a job of the ones below
    shift
    one "$@"
    exit
fi

seeds=("${@:-1}")
[ $# -gt 0 ] || seeds=(1 2 3)
printf '%s float\n' "${seeds[@]}" | xargs -P "$jobs" -L 1 "$0" --one
for seed in "${seeds[@]}"; do
    for bits in W8A8 W4A8 W4A4 W2A8; do
        printf '%s %s %s\n' "$seed" "$bits" mse "$seed" "$bits" ema
    done
done | xargs -P "$jobs" -L 1 "$0" --one

echo "bits,how,range,seed,accuracy" >"$csv"
for seed in "${seeds[@]}"; do
    echo "float,,,$seed,$(accuracy "$base/$seed-float/last.safetensors")"
    for bits in W8A8 W4A8 W4A4 W2A8; do
        for how in trained after; do
            for range in mse ema; do
                echo "$bits,$how,$range,$seed,$(accuracy "$base/$seed-$bits-$range-$how/model.int.safetensors")"
            done
        done
    done
done >>"$csv"

awk -F, '
    NR == 1 { next }
    { k = $1 "," $2 "," $3; if (!(k in n)) order[++rows] = k; n[k]++; v[k, n[k]] = 100 * $5; sum[k] += 100 * $5 }
    END {
        for (i = 1; i <= rows; i++) {
            k = order[i]; split(k, f, ",")
            printf "| %s | %s | %s |", f[1], f[2], f[3]
            for (j = 1; j <= n[k]; j++) printf " %.2f |", v[k, j]
            printf " %.2f |\n", sum[k] / n[k]
        }
    }' "$csv"
