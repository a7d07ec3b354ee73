#!/usr/bin/env bash
# run.sh - does training with 16-bit gradients end where training with float gradients does? ResNet-8 on Fashion-MNIST: one float checkpoint, from
# it W4A8 and W4A4 with train.compute f32 and int16, the same seeds for both.
#
# usage: [EPOCHS=1] experiments/int16-gradients/run.sh [SEED...]      (default: 1 2) from the repository's root, after `make`
# Prints one line per run: bits, compute, seed, integer accuracy on all 10,000 test images, training loss of the last epoch. Finished runs are
# kept, interrupted ones are resumed.
set -eu
nibble=${NIBBLE:-build/current/nibble}
config=configs/fmnist-resnet8.yaml
base=runs/int16-gradients
float='train.phases=[{name: float, epochs: 12, lr: 0.1, warmup: 1, schedule: cosine, quant: off}]'
qat="train.phases=[{name: qat, epochs: ${EPOCHS:-1}, lr: 0.02, schedule: cosine, quant: on}]"

. experiments/train.bash

train "$base/float" --set "$float"
[ $# -gt 0 ] || set -- 1 2
for s in "$@"; do
    for bits in 4:8 4:4; do
        w=${bits%:*} a=${bits#*:}
        for compute in f32 int16; do
            dir=$base/w${w}a$a-$compute-$s
            train "$dir" --set seed="$s" --set init="$base/float/last.safetensors" --set "$qat" --set train.compute="$compute" --set quant.activations.range=ema \
                --set quant.weights.bits="$w" --set quant.activations.bits="$a"
            accuracy=$("$nibble" eval "$dir/model.int.safetensors" --json | sed -n 's/.*"accuracy": *\([0-9.]*\).*/\1/p')
            echo "W${w}A$a,$compute,$s,$accuracy,$(tail -1 "$dir/metrics.csv" | cut -d, -f6)"
        done
    done
done
