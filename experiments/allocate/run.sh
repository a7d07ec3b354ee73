#!/usr/bin/env bash
# run.sh CONFIG...: uniform 4 bits against allocated bits at the same bytes and at 85 % of them, after training and trained for an
# epoch; a row each on standard output. From the top of the source tree; goes on where it was interrupted.
set -eu
cd "$(dirname "$0")/../.."
nibble=${NIBBLE:-build/current/nibble}
. experiments/train.bash
number() { # KEY [tail]: of the JSON on standard input, where it stands first, or last
    grep -o "\"$1\": *[0-9.e-]*" | "${2:-head}" -n 1 | sed 's/.*: *//'
}
row() { # NAME CONFIG PREDICTED
    local at=$dir/$1 flash
    config=$2
    flash=$("$nibble" info "$2" --json | number flash_bytes)
    [ -f "$at.ptq" ] || { "$nibble" quantize "$2" --from "$float" -o "$at-quantized" --force --json >"$at.part" && mv "$at.part" "$at.ptq"; }
    train "$at-trained" --set init="$float" --set 'train.phases=[{name: qat, epochs: 1, lr: 0.01, schedule: cosine, quant: on}]'
    printf '| %s | %s | %s | %s | %s, %s | %s |\n' "$name" "${1//-/ }" "$flash" "$3" "$(number accuracy tail <"$at.ptq")" "$(number loss tail <"$at.ptq")" \
        "$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "eval_accuracy") c = i } END { print $c }' "$at-trained/metrics.csv")"
}
allocated() { # NAME BUDGET SETTING...: writes NAME.yaml
    local what=$1 budget=$2
    shift 2
    "$nibble" allocate "$base" --from "$float" --budget "$budget" "$@" -o "$dir/$what.yaml" --json >"$dir/$what.json"
    row "$what" "$dir/$what.yaml" "$(number predicted_divergence <"$dir/$what.json")"
}
for base in "$@"; do
    name=$(basename "$base" .yaml) dir=runs/allocate/$(basename "$base" .yaml)
    mkdir -p "$dir"
    config=$base
    train "$dir/float" --set 'train.phases=[{name: float, epochs: 2, lr: 0.1, warmup: 0.3, schedule: cosine, quant: off}]'
    float=$dir/float/last.safetensors
    sed '/^quant:/,/^[a-z]/s/weights: {bits: [0-9]*/weights: {bits: 4/' "$base" >"$dir/uniform-W4.yaml"
    row uniform-W4 "$dir/uniform-W4.yaml" ""
    bytes=$("$nibble" info "$dir/uniform-W4.yaml" --json | number flash_bytes)
    allocated allocated "$bytes"
    allocated allocated,-85-% $((bytes * 85 / 100))
    allocated allocated,-85-%,-free $((bytes * 85 / 100)) --set quant.first_last_bits=0
done
