#!/usr/bin/env bash
# simulated.sh - what cannot be integers is trained, evaluated and calibrated in floats, says so wherever a result is printed, and is refused
# where integers are wanted; the same bytes on any number of threads, node by node and after a break.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
short='train.phases=[{name: float, epochs: 1, lr: 0.1}, {name: qat, epochs: 2, lr: 0.02, quant: on}]'
same_floats() {
    for file in last.safetensors best.safetensors metrics.csv; do
        cmp "$1/$file" "$2/$file" || die "$file differs between $1 and $2"
    done
}

# whole NAME WHY OPTIONS...: what is true of every simulated network.
whole() {
    local name=$1 why=$2
    shift 2
    run 0 train tiny.yaml --set "out=$name" --set "$short" "$@" --threads 2
    says "quantized phases are simulated in floats and end without integers: $why"
    says "by the quantized network, simulated in floats"
    [ "$(grep -c '  simulated' out)" = 2 ] || die "$name: two epochs are simulated"
    [ ! -e "$name/model.int.safetensors" ] || die "$name: integers of a simulated network"
    [ "$(cut -d, -f3 "$name/metrics.csv" | tr '\n' ' ')" = "quantized no simulated simulated " ] || die "$name: metrics.csv"
    run 0 eval "$name/last.safetensors"
    says "$why"
    run 0 eval "$name/last.safetensors" --json
    says '"simulated":true'
    run 0 info "$name/last.safetensors"
    says "simulated in floats, no integers: $why"
    refuses 1 "it has no integers to export: $why" export "$name/last.safetensors" -o never.c
    refuses 1 "it has no integers to export: $why" export "$name/last.safetensors" -o never.onnx
    refuses 1 "it has no integers to verify: $why" verify "$name/last.safetensors"
    refuses 1 "it has no integers to verify: $why" verify --all "$name/last.safetensors"
    run 0 quantize tiny.yaml --from "$name/phase-1-float.safetensors" -o "$name.ptq" --images 64 "$@"
    says "no integers   $why"
    [ ! -e "$name.ptq/model.int.safetensors" ] || die "$name: integers of a simulated network"
}

whole w4a32 "activations of input1: off" --set quant.activations=off
run 0 eval w4a32/last.safetensors
says "quantized W4A32, simulated"
whole full "activations of input1: granularity channel" --set quant.weights.granularity=full --set quant.weights.learn=lsq \
    --set quant.activations.granularity=channel --set quant.activations.learn=lsq
for how in "--threads 1" "--reference"; do
    # shellcheck disable=SC2086 # words are meant
    run 0 train tiny.yaml --set out=full --set "$short" --set quant.weights.granularity=full --set quant.weights.learn=lsq \
        --set quant.activations.granularity=channel --set quant.activations.learn=lsq $how --force
    same_floats full full.old1
    rm -r full.old1
done

# A run that is killed among its simulated epochs goes on to the same bytes.
grown='train.phases=[{name: float, epochs: 1, lr: 0.1}, {name: qat, epochs: 3, lr: 0.02, quant: on}]'
mkdir once twice
(cd once && run 0 train ../tiny.yaml --set "$grown" --set quant.activations=off)
(
    cd twice
    "$NIBBLE" train ../tiny.yaml --set "$grown" --set quant.activations=off >/dev/null 2>&1 &
    pid=$!
    until grep -q qat run/metrics.csv 2>/dev/null || ! kill -0 $pid 2>/dev/null; do sleep 0.01; done
    kill -KILL $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
    run 0 train ../tiny.yaml --set "$grown" --set quant.activations=off --resume
)
same_floats once/run twice/run

# Forced, it is close to the integers; the other commands.
run 0 train tiny.yaml --set out=plain --set "$short"
run 0 quantize tiny.yaml --from plain/phase-1-float.safetensors -o forced --set quant.simulate=yes --json
says '"simulated":true'
run 0 bench tiny.yaml --steps 1 --set quant.weights=off
says "simulated in floats, no integers to run: weights of c1: off"
says "float network, one image"
! grep -q "the integers are" out || die "no integers, no gain"
refuses 2 'quant.layers.c1.activations: never: must be a map of keys' train tiny.yaml --set quant.layers.c1.activations=never

# Small floats and long logarithms, after training and calibrated.
whole fp8 "activations of input1: format fp8_e5m2 with 8 bits does not fit -127..127" --set 'quant.weights={format: fp8_e4m3}' \
    --set 'quant.activations={format: fp8_e5m2, learn: lsq}'
says "lost          of weights 0.00 % are beyond the largest level"

# ---- rounding: the same bytes on any number of threads, node by node; floored weights are integers all the same ----
how=(--set quant.weights.rounding=stochastic --set quant.activations.rounding=stochastic --set quant.weights.bits=3)
run 0 train tiny.yaml --set out=dice --set "$short" "${how[@]}" --threads 2
for other in "--threads 1" "--reference"; do
    # shellcheck disable=SC2086 # words are meant
    run 0 train tiny.yaml --set out=dice --set "$short" "${how[@]}" $other --force
    same_run dice dice.old1
    rm -r dice.old1
done
run 0 verify dice/model.int.safetensors --from dice/last.safetensors
run 0 train tiny.yaml --set out=floor --set "$short" --set quant.weights.rounding=floor
run 0 verify floor/model.int.safetensors --from floor/last.safetensors
