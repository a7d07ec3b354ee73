#!/usr/bin/env bash
# exported_calls.sh - no compiler leaves out a step of exported C: GCC 12 at -O2 did, where it knew the places of a step's tensors and
# had not inlined it, which is what happens in large networks and what the option below makes of a small one.
set -eu
. tests/e2e/common.bash
cc=$(command -v gcc || command -v cc) || exit 77
cd "$WORK"
cat >net.yaml <<'END'
seed: 3
out: run
data: {name: synth, count: 16, test_count: 8, height: 16, width: 16, channels: 3, classes: 4}
model:
  - input
  - conv2d: {out: 16, kernel: 3, pad: 1}
  - relu
  - conv2d: {out: 8, kernel: 1}
  - relu
  - conv2d: {out: 8, kernel: 3, pad: 1}
  - relu
  - concat: {in: [relu2, relu3]}
  - avgpool: {global: yes}
  - linear: {out: 4}
quant: {}
train: {batch: 16, phases: [{epochs: 1, lr: 0.05, quant: on}]}
END
run 0 train net.yaml --quiet
run 0 export run/model.int.safetensors --prefix net --format c -o net.c
cat >main.c <<'END'
#include "net.h"
static uint8_t pixels[NET_INPUT_BYTES];
static int32_t logits[NET_CLASSES];
int main(void) { return (int)net_selftest(pixels, logits); }
END
for options in -O2 -O3 -Os '-O2 -fno-inline-functions-called-once' '-O3 -fno-inline-functions-called-once'; do
    # shellcheck disable=SC2086
    "$cc" $options -o net net.c main.c || die "$options: does not compile"
    ./net || die "$options: image $? gives other logits"
done
