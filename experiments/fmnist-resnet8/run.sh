#!/usr/bin/env bash
# run.sh - ResNet-8 on Fashion-MNIST: 12 float epochs once, then 6 quantized epochs for each of W8A8, W4A8, W4A4, W2A8, and none (`nibble quantize`).
#
# usage: experiments/fmnist-resnet8/run.sh [SEED...]      (default: 1) from the repository's root, after `make`
# Each line of the table is one command below; its accuracy is the integer engine's on all 10,000 test images. Finished runs are kept, interrupted
# ones are resumed.
set -eu
nibble=${NIBBLE:-build/current/nibble}
config=configs/fmnist-resnet8.yaml
float='train.phases=[{name: float, epochs: 12, lr: 0.1, warmup: 1, schedule: cosine, quant: off}]'
qat='train.phases=[{name: qat, epochs: 6, lr: 0.02, schedule: cosine, quant: on}]'

. experiments/train.bash

for seed in "${@:-1}"; do
    base=runs/fmnist-resnet8-$seed
    train "$base-float" --set seed="$seed" --set "$float"
    for bits in 8:8 4:8 4:4 2:8; do
        w=${bits%:*} a=${bits#*:}
        train "$base-w${w}a$a" --set seed="$seed" --set init="$base-float/last.safetensors" --set "$qat" \
            --set quant.weights.bits="$w" --set quant.activations.bits="$a"
        [ -d "$base-ptq-w${w}a$a" ] || "$nibble" quantize "$config" --from "$base-float/last.safetensors" -o "$base-ptq-w${w}a$a" \
            --set seed="$seed" --set quant.weights.bits="$w" --set quant.activations.bits="$a" >/dev/null
    done
    for run in float w8a8 w4a8 w4a4 w2a8 ptq-w8a8 ptq-w4a8 ptq-w4a4 ptq-w2a8; do
        file=$base-$run/model.int.safetensors
        [ "$run" = float ] && file=$base-$run/last.safetensors
        "$nibble" eval "$file"
    done
done
