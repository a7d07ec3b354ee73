#!/usr/bin/env bash
# run.sh - every implementation of eight integer networks on 10,000 images each, and how fast the exported C is.
#
# usage: experiments/deploy/run.sh >experiments/deploy/results.txt        from the repository's root, after `make`
# Trains two small networks with every kind of step for an epoch or two in float, then one quantized epoch for each of W8A8, W4A8, W4A4, W2A8, and
# runs `nibble verify --all` on each; it stops when a logit differs. Then the demo network, after one epoch: the exported C against the engine's
# scalar kernels, the best of ROUNDS interleaved runs. Finished runs are kept. Half an hour on two cores.
# Environment: NB_PYTHON (a Python with onnxruntime), IMAGES=10000, ROUNDS=5.
set -euo pipefail
nibble=${NIBBLE:-build/current/nibble}
here=experiments/deploy
qat='train.phases=[{name: qat, epochs: 1, lr: 0.02, schedule: cosine, quant: on}]'

. experiments/train.bash

for net in joins odd; do
    config=$here/$net.yaml
    base=runs/deploy-$net
    train "$base-float"
    for bits in 8:8 4:8 4:4 2:8; do
        w=${bits%:*} a=${bits#*:}
        run=$base-w${w}a$a
        train "$run" --set init="$base-float/last.safetensors" --set "$qat" --set quant.weights.bits="$w" --set quant.activations.bits="$a"
        printf '\n%s W%sA%s: accuracy %s %%, %s\n\n' "$net" "$w" "$a" "$("$nibble" eval "$run/model.int.safetensors" | sed 's/.*accuracy \([0-9.]*\).*/\1/')" \
            "$(python3 $here/gammas.py "$run/last.safetensors")"
        "$nibble" verify "$run/model.int.safetensors" --all --images "${IMAGES:-10000}" --timeout 3000
    done
done

config=configs/fmnist-cnn.yaml
run=runs/deploy-demo
train "$run" --set "$qat"
printf '\nthe demo network, W4A8: processor time per image, best of %s runs\n\n' "${ROUNDS:-5}"
for ((i = 0; i < ${ROUNDS:-5}; i++)); do
    "$nibble" verify "$run/model.int.safetensors" --all --images 200 --json
done | python3 -c '
import json, sys
best = {}
for line in sys.stdin:
    for row in json.loads(line)["implementations"]:
        if row["microseconds"] is not None:
            best[row["implementation"]] = min(row["microseconds"], best.get(row["implementation"], 1e9))
scalar = best["engine scalar, 1 thread"]
for name in ("engine scalar, 1 thread", "C, gcc -O3", "C, clang -O3"):
    if name in best:
        print(f"{name:24} {best[name]:8.1f} us  {best[name] / scalar:5.2f} of scalar")
'
