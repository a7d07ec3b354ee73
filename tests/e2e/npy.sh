#!/usr/bin/env bash
# npy.sh - samples that are no image: from arrays of numpy.save to integers, files for `run`, and a program that takes floats.
set -eu
. tests/e2e/common.bash
cc=${CC:-cc}
command -v "${cc%% *}" >/dev/null || exit 77
$cc -std=c11 -O1 -Itests tests/e2e/npy_data.c tests/ref/npy_writer.c -o "$WORK/npy_data"
cd "$WORK"
mkdir set && ./npy_data signals set 320 80
config() {
    cat <<'END'
seed: 3
out: run
data: {name: npy, path: set, validation: 40}
model:
  - input
  - conv2d: {name: c1, out: 12, kernel: [1, 5], stride: [1, 2], pad: same, bias: no}
  - batchnorm
  - relu
  - avgpool: {global: yes}
  - linear: {name: fc, out: 4}
quant:
  weights: {bits: 4}
  activations: {bits: 8, scheme: asymmetric, range: ema}
train:
  batch: 32
  optimizer: {name: sgd, momentum: 0.9}
  phases:
    - {name: float, epochs: 12, lr: 0.1, schedule: cosine}
    - {name: qat, epochs: 2, lr: 0.02, schedule: cosine, quant: on}
END
}
config >net.yaml
run 0 info net.yaml
says "1x32x6 features, 4 classes"
run 0 train net.yaml
run 0 info run/model.int.safetensors
says "1x32x6 features, 4 classes"
says "input: float32 features in 8 bits: code = round((x - center) * gain) + "
says ", of each column"
grep -qE '^input1 +table +1x32x6 .* 256$' out || die "six channels must share one table"
run 0 eval run/last.safetensors --json
awk -F'"accuracy":' '{ exit !($2 + 0 >= 0.9) }' out || die "the network has not learnt: $(<out)"
cp out last.json
run 0 verify run/model.int.safetensors

# A report shows mistakes, which a network that learns nothing makes, and six channels are no colours.
run 0 train net.yaml --set out=raw --set 'train.phases=[{epochs: 1, lr: 0}]'
run 0 report raw
grep -q "data:image/png" raw/report.html || die "the report shows no mistake"

# The map is the model's: evaluation needs no training samples, and others change nothing.
mkdir other && cp set/?_test.npy set/y_train.npy other && ./npy_data signals set 10 80 && cp set/x_train.npy other
rm -r set && mv other set
run 0 eval run/model.int.safetensors --json
[ "$(sed 's/.*"accuracy":\([^,}]*\).*/\1/' out)" = "$(sed 's/.*"accuracy":\([^,}]*\).*/\1/' last.json)" ] ||
    die "other training samples change the accuracy: $(<out)"
rm set/x_train.npy
run 0 eval run/last.safetensors
run 1 train net.yaml --set out=other
says "set/x_train.npy: no such file"

# Samples of a file, alone and in a batch.
run 0 run run/model.int.safetensors set/x_test.npy
[ "$(grep -c '^set/x_test.npy\[' out)" = 80 ] || die "80 samples have 80 answers"
awk '/^set/ { getline; print $3 }' out >said
refuses 1 "set/y_test.npy: an array [80]: the network takes 1x32x6, one sample or several of them" run run/model.int.safetensors set/y_test.npy
printf 'x' >x.png
refuses 1 "x.png: is no .npy file, and the network takes float32 features of 1x32x6" run run/model.int.safetensors x.png

# The exported program makes the same codes of floats, and so the same answers.
run 0 export run/model.int.safetensors -o net.c
cat >main.c <<'END'
#include "net.h"
#include <stdio.h>
int main(void)
{
    static float x[NET_INPUT_BYTES];
    static uint8_t codes[NET_INPUT_BYTES];
    static int32_t logits[NET_CLASSES];
    FILE *f = fopen("set/x_test.npy", "rb");
    if (net_selftest(codes, logits) != 0 || !f || fseek(f, 128, SEEK_SET) != 0)
        return 1;
    while (fread(x, sizeof x, 1, f) == 1) {
        net_features(x, codes);
        net_run(codes, logits);
        printf("%d\n", (int)net_argmax(logits));
    }
    return 0;
}
END
$cc -std=c99 -Wall -Wextra -Wpedantic -Werror main.c net.c -o net
./net >answers
cmp said answers || die "the exported program answers otherwise"

# What is for images is refused, and so is a float normalised twice.
config | sed 's/validation: 40/augment: [flip]/' >flip.yaml
./npy_data signals set 80 80
refuses 2 "flip.yaml:3: data.augment[0]: flip: is for images: samples of 1x32x6 are none" train flip.yaml --set out=other
config | sed 's/- input/- input: {mean: 0.5}/' >mean.yaml
refuses 2 "mean.yaml:5: input input1: mean: features are normalised where they are read: data.mean and data.std" train mean.yaml --set out=other
head -c 1000 set/x_train.npy >short && mv short set/x_train.npy
refuses 1 "set/x_train.npy: header promises 15360 numbers of 4 bytes, but 872 bytes follow it: the file is not whole" train net.yaml --set out=other
[ ! -e other ] || die "a refused training left a folder"
