#!/usr/bin/env bash
# street.sh - from a config to integers, and everything one can ask about them.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml

run 0 train tiny.yaml
for file in config.yaml metrics.csv ranges.csv timing.csv last.safetensors best.safetensors model.int.safetensors; do
    [ -s "run/$file" ] || die "run/$file is missing"
done
says "by the integer engine"
[ "$(wc -l <run/metrics.csv)" = 7 ] || die "metrics.csv must have a head and 6 epochs"

# The accuracy of the last quantized epoch, of its checkpoint and of its integers is one number.
last=$(tail -n 1 run/metrics.csv | cut -d, -f9)
run 0 eval run/model.int.safetensors --json
says "\"accuracy\":$last"
run 0 eval run/last.safetensors --json
says "\"accuracy\":$last"
says '"kind":"integers W4A8"'
run 0 eval run/last.safetensors --split train
says "240 train images"

run 0 info tiny.yaml
says "quantized phase"
sed '/^train:/,$d' tiny.yaml >network.yaml # enough for quantize and import, so for info as well
run 0 info network.yaml
grep -qE '^b1\.c1 +conv2d +6x6x12 +4 ' out || die "a config without train has a network: $(<out)"
run 0 info run/last.safetensors --json
says '"layer":"b1.c1"'
run 0 info run/model.int.safetensors
says "12x12x8"
run 0 verify run/last.safetensors --images 50
says "50 images"
run 0 verify run/model.int.safetensors --json
says '"largest":'
run 0 export run/model.int.safetensors --format text -o listing.txt
[ -s listing.txt ] || die "no listing"
# without --format the ending says what is meant
run 0 export run/model.int.safetensors -o ending.c
[ -s ending.h ] || die "-o ending.c must be format c"
run 0 export run/last.safetensors -o listing2.txt
run 0 export run/model.int.safetensors -o net.tflite
says "net.tflite: $(wc -c <net.tflite) bytes of flash"
run 0 export run/model.int.safetensors -o pixels.tflite --input pixels
grep -q nibble.pixels net.tflite || die "no codes of pixels go along"
! grep -q nibble.pixels pixels.tflite || die "--input pixels: the codes are in the network"
if "$NIBBLE" export run/model.int.safetensors --format onnx -o qdq.onnx >/dev/null 2>&1; then # a build may lack ONNX
    run 0 export run/model.int.safetensors --format onnx --form qdq -o same.onnx
    cmp qdq.onnx same.onnx || die "qdq is the default form"
    run 0 export run/model.int.safetensors --format onnx --form operator -o operator.onnx
    grep -q QLinearConv operator.onnx || die "no QLinearConv in the operator form"
    run 0 import operator.onnx -o back.int.safetensors
    run 0 eval back.int.safetensors
    run 2 import qdq.onnx -o back
    says "becomes one file of integers: name it OUT.int.safetensors"
    run 2 import qdq.onnx -o back.int.safetensors --data synth
    says "--data is not for a quantized ONNX model"
    run 2 import qdq.onnx -o back.int.safetensors --mean 0.5
    says "--mean and --std go together"
    run 2 export run/model.int.safetensors --format onnx --form operator --opset 21 -o none.onnx
    says "INT4 weights have no operator form"
    [ ! -e none.onnx ] || die "a refused export left a file"
fi

# Benchmarks run, name every layer and every kernel, and write nothing.
before=$(ls)
run 0 bench tiny.yaml --steps 1 --layers
says "training step, W4A8"
says "integers, one thread"
grep -qE '^the integers are [0-9.]+ times as fast as the float network on 32 images, [0-9.]+ times on one$' out || die "bench must print the gain of integers"
[ "$(grep -c '^b1.c1  *conv ' out)" = 1 ] || die "every layer of the integers must be listed"
run 0 bench tiny.yaml --steps 1 --layers --json
says '"integers":'
run 0 bench tiny.yaml --steps 1 --json
says '"what": "integer engine, one image"'
[ "$(grep -c '"what": "\(float network\|integer engine\), \(32 images\|one image\)"' out)" = 4 ] || die "both networks on a batch and on one image"
# The ratio is to the float network in the row above.
tr -d '{},' <out | awk '/"what": "float network/ { base = $(NF - 4) } /"what": "integer engine/ { n++; r = $(NF - 4) / base; if (r / $NF > 1.001 || r / $NF < 0.999) exit 1 }
    END { if (n != 2) exit 1 }' || die "the ratio of the engine is to the float network"
run 0 bench --kernels --steps 1 --json
says '"kernel": "W8A8 forward"'
says '"kernel": "map_codes"'
run 0 bench --kernels --steps 1
says "peaks measured here"
run 2 bench
run 2 bench tiny.yaml --steps 0
[ "$(ls)" = "$before" ] || die "a benchmark must not write"

# A run is never overwritten by accident.
before=$(cksum <run/last.safetensors)
run 2 train tiny.yaml
says "holds a run already"
run 0 train tiny.yaml --resume # nothing is left to do
[ "$(cksum <run/last.safetensors)" = "$before" ] || die "resuming a finished run changed it"
run 0 train tiny.yaml --force --quiet
same_run run run.old1

# From a checkpoint; a float network has no integers.
run 0 train tiny.yaml --set out=tuned --set init=run/last.safetensors \
    --set 'train.phases=[{name: more, epochs: 1, lr: 0.01, quant: on}]'
run 0 train tiny.yaml --set out=plain --set 'train.phases=[{name: float, epochs: 1, lr: 0.1}]' --set data.validation=40
says "by the float network"
[ ! -e plain/model.int.safetensors ] || die "a float run must not leave integers"
run 0 eval plain/best.safetensors --split validation
says "40 validation images"
run 1 export plain/last.safetensors -o x.txt
says "is a float network"
run 1 verify plain/last.safetensors

# Images from files: one that fits, one that must be resized.
base64 -d >stripes.png <<'END'
iVBORw0KGgoAAAANSUhEUgAAAAwAAAAMCAIAAADZF8uwAAAAFklEQVR42mPQAIMTYICLzTCqaDAqAgAR7sqBPJBTZQAAAABJRU5ErkJggg==
END
base64 -d >small.png <<'END'
iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFCAIAAAAG+GGPAAAAE0lEQVR42mPQAIMTYABnM9BIFABZ7SyJzg1B3gAAAABJRU5ErkJggg==
END
run 0 run run/model.int.safetensors stripes.png
[ "$(grep -c ' %  ' out)" = 4 ] || die "four classes, so four lines of probabilities"
awk '/%/ { s += $1 } END { exit !(s > 99.9 && s < 100.1) }' out || die "probabilities must add up to 1"
run 0 run plain/last.safetensors stripes.png --json
says '"probability":'
run 1 run run/model.int.safetensors small.png
says "small.png"
run 0 run run/model.int.safetensors small.png stripes.png --resize

# Help is everywhere and costs nothing.
for command in train quantize eval run info verify export bench keys; do
    run 0 "$command" --help
    says "usage: nibble $command"
done
run 0
says "usage: nibble COMMAND"
run 0 help keys
run 0 --version
run 0 keys
says "weight_decay"
run 0 keys conv2d
says "stride"
