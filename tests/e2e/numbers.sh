#!/usr/bin/env bash
# numbers.sh - the integers are those of the network: batch norms behind a flatten, what is rounding and what is not,
# and a network that is dead says so.
set -eu
. tests/e2e/common.bash
cd "$WORK"

# MODEL OUT
config() {
    cat <<END
seed: 3
out: $2
data: {name: synth, count: 160, test_count: 300, height: 10, width: 8, channels: 3, classes: 4}
model: [input, $1, linear: {out: 4}]
quant: {weights: {bits: 8}}
train:
  batch: 32
  phases:
    - {name: float, epochs: 1, lr: 0.05}
    - {name: qat, epochs: 1, lr: 0.01, quant: on}
END
}

# Train and quantize compare before they print; a batch norm with one gamma per value of an image is the same there.
norm='conv2d: {name: c, out: 4, kernel: 3}, relu, maxpool, flatten, batchnorm'
config "$norm" flat >flat.yaml
run 0 train flat.yaml --quiet
run 0 quantize flat.yaml --from flat/best.safetensors -o ptq
for images in 8 32 256; do
    for file in flat/last.safetensors ptq/model.int.safetensors; do
        run 0 verify $file --images $images --json
        [ "$(grep -o '"faults":0' out | wc -l)" = "$(grep -o '"layer":' out | wc -l)" ] || die "$file: faults on $images images"
    done
done
run 0 verify flat/last.safetensors
says "rounding"
says "faults"

# Rows joined by add and concat have integers, too.
config "conv2d: {name: c, out: 2, kernel: 3}, flatten: {name: r}, batchnorm: {name: n}, add: {name: s, in: [r, n]}, concat: {in: [s, r]}, batchnorm" rows >rows.yaml
run 0 train rows.yaml --quiet
run 0 verify rows/model.int.safetensors

# One byte of a bias is no rounding: the layer is named, and the exit code is 1. Layers behind it are not blamed.
python3 - flat/model.int.safetensors other.safetensors <<'END' || exit 77
import json, struct, sys
b = bytearray(open(sys.argv[1], "rb").read())
n = struct.unpack("<Q", b[:8])[0]
head = json.loads(b[8:8 + n])
at = 8 + n + head["c.bias"]["data_offsets"][0]
b[at + 1] ^= 1
open(sys.argv[2], "wb").write(b.replace(b'"crc32"', b'"CRC32"'))  # the checksum would be what is refused
END
run 1 verify other.safetensors --from flat/last.safetensors
says "other.safetensors: c: on "
says "outputs engine and training network differ"
grep -E '^linear1 ' out | awk '{ exit $5 != 0 }' || die "a layer is blamed for what it inherits"

# gamma starts at 0 and relu hands no gradient on: every image has the same logits, for ever. One line per phase.
config 'conv2d: {out: 4}, batchnorm: {zero_init: yes}, relu' dead >dead.yaml
run 0 train dead.yaml --set 'train.phases=[{name: float, epochs: 2, lr: 0.05}, {name: qat, epochs: 2, lr: 0.01, quant: on}]'
[ "$(grep -c '^nibble: warning: phase .*: all 300 images have the same logits' err)" = 2 ] || die "one warning per phase"
says "phase float, after epoch 1: all 300"
run 0 eval dead/model.int.safetensors
says "warning: dead/model.int.safetensors: all 300 images have the same logits"
run 0 quantize dead.yaml --from dead/last.safetensors -o dead8 --json
says "warning: dead8/model.int.safetensors: all 300 images"
run 0 eval flat/last.safetensors
! grep -q warning err || die "a network that lives is called dead"
