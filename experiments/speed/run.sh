#!/usr/bin/env bash
# run.sh - training steps of a network side by side: Nibble and PyTorch in turns, ROUNDS times, medians, ratios, peak memory.
#
# usage: experiments/speed/run.sh [PYTHON [NETWORK]]     a Python with PyTorch; from the repository's root, after `make`
# NETWORK: resnet20 (default), mobilenetv2 or wide (wide.yaml). Environment: BATCH=128 STEPS=6 ROUNDS=3 THREADS=2,
# TORCH="qat float qat-nchw float-nchw": which variants of torch_step.py; also pt2e, compiled, bf16 and compiled-bf16 (which take minutes per step without
# bf16 instructions); OUT=experiments/speed/results/KIND (kind.sh).
# Writes OUT/training-NETWORK.csv (round, variant, ms per step, peak MiB) and prints the table. Peak memory is that of one process: of a
# short `nibble train`, and of torch_step.py, Python and its libraries included.
set -euo pipefail
nibble=${NIBBLE:-build/current/nibble} python=${1:-python3} network=${2:-resnet20}
here=$(dirname "$0") config=configs/cifar10-$network.yaml side=32
[ "$network" != wide ] || config=$here/wide.yaml side=28
out=${OUT:-$here/results/$("$here/kind.sh")}
batch=${BATCH:-128} steps=${STEPS:-6} rounds=${ROUNDS:-3} threads=${THREADS:-2} torch=${TORCH:-qat float qat-nchw float-nchw}
csv=$out/training-$network.csv
"$here/kind.sh" "$out" >/dev/null
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pixels="name: synth, height: $side, width: $side, channels: 3, classes: 10" # speed does not depend on the pixels
echo "round,variant,ms,peak_mib" >"$csv"

# peak_mib QUANT ARGUMENT...: of two training steps and an evaluation on one batch
peak_mib() {
    "$python" - "$nibble" train "$config" --threads "$threads" --quiet --set out="$(mktemp -d -p "$work")/run" --set train.batch="$batch" \
        --set "data={$pixels, count: $((2 * batch)), test_count: $batch}" --set "train.phases=[{epochs: 1, lr: 0.01, quant: $1}]" "${@:2}" <<'END'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024))
END
}

# nibble_steps PEAK-OF-FLOAT PEAK-OF-QUANTIZED ARGUMENT...: one line per training step variant: name,ms,MiB
nibble_steps() {
    "$nibble" bench "$config" --steps "$steps" --threads "$threads" --json --set train.batch="$batch" \
        --set "data={$pixels, count: 1024}" "${@:3}" |
        sed -n 's/.*"what": "training step, \([^"]*\)", "ms": \([0-9.]*\).*/nibble \1,\2/p' |
        sed "s/^nibble float.*/&,$1/; /float/!s/\$/,$2/"
}

w8a8=(--set quant.weights.bits=8) w4a4=(--set quant.weights.bits=4 --set quant.activations.bits=4)
float_mib=$(peak_mib off) w8a8_mib=$(peak_mib on "${w8a8[@]}") w4a4_mib=$(peak_mib on "${w4a4[@]}")
for round in $(seq "$rounds"); do
    {
        nibble_steps "$float_mib" "$w8a8_mib" "${w8a8[@]}"
        nibble_steps "$float_mib" "$w4a4_mib" "${w4a4[@]}" | grep -v float
        for variant in $torch; do
            "$python" "$here/torch_step.py" "$network" "$variant" "$batch" "$steps" "$threads"
        done
    } | sed "s/^/$round,/" >>"$csv"
done

echo "$network, $threads threads"
"$here/tables.sh" training "$csv"
