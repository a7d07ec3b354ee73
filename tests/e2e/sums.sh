#!/usr/bin/env bash
# sums.sh - networks whose sums, biases or weights leave 32-bit accumulators little room train, lower and are as good as the float network.
set -eu
. tests/e2e/common.bash
cd "$WORK"

be32() { # N: four bytes, most significant first
    # shellcheck disable=SC2059
    printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)))"
}
bytes() { # N OCTAL...: the bytes, N times
    local n=$1 text
    shift
    text=$(printf '\\%s' "$@")
    # shellcheck disable=SC2046,SC2059
    printf "$text%.0s" $(seq "$n")
}
accuracy() { # ARGS...: of `eval`, in per cent
    run 0 eval "$@" --json
    sed -n 's/.*"accuracy":\([0-9.]*\).*/\1/p' "$WORK/out"
}
good() { # RUN LEAST: the integers are as good as the network that was trained, and no worse than LEAST
    local integers trained
    integers=$(accuracy "$1/model.int.safetensors")
    trained=$(accuracy "$1/last.safetensors" --reference)
    awk -v a="$integers" -v b="$trained" -v least="$2" 'BEGIN { exit !(a >= least && a > b - 0.05 && a < b + 0.05) }' ||
        die "$1: integers $integers, trained network $trained, expected $2"
}

# A linear layer of 76,800 inputs: its sums could leave 32 bits if every weight were as large as the largest.
cat >large.yaml <<'END'
seed: 1
out: large
data: {name: synth, height: 160, width: 160, channels: 3, classes: 4, count: 64, test_count: 32}
model: [input, flatten, linear: {name: fc, out: 4}]
quant: {weights: {bits: 8}}
train: {batch: 16, phases: [{name: qat, epochs: 3, lr: 0.005, quant: on}]}
END
for granularity in channel tensor; do
    run 0 train large.yaml --quiet --set out=$granularity --set quant.weights.granularity=$granularity
    good $granularity 0.3
    run 0 export $granularity/model.int.safetensors --format c -o $granularity.c
done

# Images of one grey, batch norms folded: activations are next to nothing, biases are all there is.
mkdir grey
for split in train:64 t10k:16; do
    n=${split#*:} name=grey/${split%:*}
    { printf '\0\0\010\003' && be32 "$n" && be32 8 && be32 8 && bytes $((n * 64)) 200; } >"$name-images-idx3-ubyte"
    { printf '\0\0\010\001' && be32 "$n" && bytes $((n / 2)) 000 001; } >"$name-labels-idx1-ubyte"
done
cat >grey.yaml <<'END'
seed: 1
out: grey
data: {name: mnist, path: grey}
model:
  - input
  - conv2d: {name: c1, out: 8, pad: 1}
  - batchnorm
  - relu
  - conv2d: {name: c2, out: 16, pad: 1}
  - batchnorm
  - relu
  - linear: {name: fc, out: 10}
quant: {weights: {bits: 8}}
train:
  batch: 32
  phases:
    - {name: float, epochs: 20, lr: 0.01}
    - {name: qat, epochs: 8, lr: 0.01, quant: on}
END
for batchnorm in keep fold; do
    run 0 train grey.yaml --quiet --set out=grey-$batchnorm --set quant.batchnorm=$batchnorm
    good grey-$batchnorm 0.5
done

# Weights of a millionth beside a bias of 1: a PyTorch state dict, 2 classes, the first for what is bright.
header='{"fc.weight":{"dtype":"F32","shape":[2,16],"data_offsets":[0,128]},"fc.bias":{"dtype":"F32","shape":[2],"data_offsets":[128,136]}}'
{
    bytes 1 "$(printf %03o ${#header})" 000 000 000 000 000 000 000
    printf %s "$header"
    bytes 16 275 067 206 065 # 1e-6
    bytes 16 275 067 206 265 # -1e-6
    bytes 2 000 000 200 077  # 1
} >tiny.safetensors
mkdir light
for split in train t10k; do
    { printf '\0\0\010\003' && be32 64 && be32 4 && be32 4 && bytes 32 360 360 360 360 360 360 360 360 360 360 360 360 360 360 360 360 \
        020 020 020 020 020 020 020 020 020 020 020 020 020 020 020 020; } >light/$split-images-idx3-ubyte
    { printf '\0\0\010\001' && be32 64 && bytes 32 000 001; } >light/$split-labels-idx1-ubyte
done
cat >tiny.yaml <<'END'
seed: 1
out: tiny
data: {name: idx, path: light, classes: 2}
model: [input, flatten, linear: {name: fc, out: 2}]
quant: {weights: {bits: 8}}
END
run 0 import tiny.safetensors --config tiny.yaml -o tiny-float.safetensors
for granularity in channel tensor; do
    run 0 quantize tiny.yaml --from tiny-float.safetensors -o tiny-$granularity --set quant.weights.granularity=$granularity
    good tiny-$granularity 1
done
