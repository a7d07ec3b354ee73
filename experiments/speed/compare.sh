#!/usr/bin/env bash
# compare.sh - two builds of Nibble side by side, in turns, so that whatever else the machine does hits both alike: training steps of small
# networks (float and quantized), of a wide linear layer and of a wide network. Prints the median of each and the ratio new / old.
#
# usage: experiments/speed/compare.sh OLD NEW [NETWORK...]       OLD and NEW are programs; networks: all of those below
# Environment: ROUNDS=5 STEPS=5 (of each program in each round), BUSY=0 (processes that do nothing but compute beside them), THREADS=2
set -euo pipefail
old=${1:?usage: experiments/speed/compare.sh OLD NEW [NETWORK...]} new=${2:?usage: experiments/speed/compare.sh OLD NEW [NETWORK...]}
shift 2
rounds=${ROUNDS:-5} steps=${STEPS:-5} threads=${THREADS:-2}
networks=("$@")
[ $# -gt 0 ] || networks=(resnet20 mobilenetv2 resnet8 wide-linear wide-cnn)
work=$(mktemp -d) busy=()
trap '[ ${#busy[@]} = 0 ] || kill "${busy[@]}"; rm -rf "$work"' EXIT
for _ in $(seq "${BUSY:-0}"); do
    (while :; do :; done) &
    busy+=($!)
done

wide() { # CHANNELS SIZE BATCH MODEL-LINES: a config for layers that only their width matters of
    cat <<END
seed: 1
out: runs/wide
data: {name: synth, count: $3, height: $2, width: $2, channels: $1, classes: 10}
model:
  - input
$4
quant: {weights: {bits: 8}, activations: {bits: 8, scheme: asymmetric, range: ema}}
train:
  batch: $3
  optimizer: {name: sgd, momentum: 0.9}
  phases: [{name: float, epochs: 1, lr: 0.01, quant: off}]
END
}
conv() { printf '  - conv2d: {out: %s, kernel: 3, pad: 1, stride: %s, bias: no}\n  - batchnorm\n  - relu\n' "$1" "$2"; }
wide 1 224 64 "$(printf '  - linear: {out: 1024}\n  - relu\n  - linear: {out: 10}\n')" >"$work/wide-linear.yaml"
wide 3 32 32 "$(conv 128 1; conv 128 1; conv 256 2; conv 256 1; conv 512 2; conv 512 1; conv 1024 2; conv 1024 1
    printf '  - avgpool: {global: yes}\n  - linear: {out: 10}\n')" >"$work/wide-cnn.yaml"

pixels() { echo "data={name: synth, height: $1, width: $1, channels: $2, classes: 10, count: 256}"; }
for network in "${networks[@]}"; do
    case $network in
    resnet20) args=(configs/cifar10-resnet20.yaml --set "$(pixels 32 3)") ;;
    mobilenetv2) args=(configs/cifar10-mobilenetv2.yaml --set "$(pixels 32 3)") ;;
    resnet8) args=(configs/fmnist-resnet8.yaml --set "$(pixels 28 1)") ;;
    *) args=("$work/$network.yaml") ;;
    esac
    for _ in $(seq "$rounds"); do
        for which in old new; do
            "${!which}" bench "${args[@]}" --set quant.weights.bits=8 --steps "$steps" --threads "$threads" --json |
                sed -n "s/.*\"what\": \"training step, \([^\"]*\)\", \"ms\": \([0-9.]*\).*/$network, \1,$which,\2/p"
        done
    done
done | sort -t, -k1,3 -k4,4n | awk -F, -v rounds="$rounds" '
    { key = $1 "," $2; v[key, $3, ++n[key, $3]] = $4; if (!(key in seen)) { seen[key] = 1; order[++m] = key } }
    function median(key, which,    k) { k = n[key, which]; return k % 2 ? v[key, which, (k + 1) / 2] : (v[key, which, k / 2] + v[key, which, k / 2 + 1]) / 2 }
    END {
        printf "%-24s %10s %10s %10s   fastest: %10s %10s %10s\n", "training step, ms", "old", "new", "new / old", "old", "new", "new / old"
        for (i = 1; i <= m; i++) {
            k = order[i]; a = median(k, "old"); b = median(k, "new"); c = v[k, "old", 1]; d = v[k, "new", 1]
            printf "%-24s %10.1f %10.1f %10.2f            %10.1f %10.1f %10.2f\n", k, a, b, b / a, c, d, d / c
        }
    }'
