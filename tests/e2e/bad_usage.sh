#!/usr/bin/env bash
# bad_usage.sh - wrong usage: exit code 2 and one line that says what would be right.
# shellcheck disable=SC2016 # backquotes in messages are meant
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml

refuses 2 'trian: unknown command (did you mean "train"?)' trian
refuses 2 '--resum: unknown option (did you mean "--resume"?)' train tiny.yaml --resum
refuses 2 '--quite: unknown option (did you mean "--quiet"?)' train tiny.yaml --quite
refuses 2 '--epochs: unknown option; a key of the config is changed by --set, see `nibble keys epochs`' train tiny.yaml --epochs 3
refuses 2 '--out: unknown option; a key of the config is changed by --set' train tiny.yaml --out=there
refuses 2 '--seed: options follow the command' --seed 3 train tiny.yaml
refuses 2 'an argument is empty: nibble train CONFIG' train ''
refuses 2 '--kernels measures no experiment' bench tiny.yaml --kernels
refuses 2 '--kernels measures no experiment' bench --kernels --layers
refuses 2 '--json is for --list' import x.safetensors --config tiny.yaml -o y --json
refuses 2 'missing argument: nibble train CONFIG' train
refuses 2 'one argument too many' train tiny.yaml tiny.yaml
refuses 2 '--set: needs a value' train tiny.yaml --set
refuses 2 '--quiet: takes no value' train tiny.yaml --quiet=1
refuses 2 '--threads: 0: must be in 1..1024' train tiny.yaml --threads 0
refuses 2 '--resume and --force exclude each other' train tiny.yaml --resume --force
refuses 2 'conv: no section, layer, data set, method or key has this name (did you mean "conv2d"?)' keys conv
refuses 2 'train.batsh: no section, layer, data set, method or key has this name (did you mean "batch"?)' keys train.batsh
refuses 2 'xyzzy: no section, layer, data set, method or key has this name (sections: experiment, data,' keys xyzzy
refuses 2 '-o OUT is missing' export x.safetensors
refuses 2 '--format: onyx: must be one of' export x.safetensors --format onyx -o y
for out in noext data.png .onnx/net x.C net.h; do
    refuses 2 "-o: $out: its ending says no format: must be .txt (text), .c (c), .onnx (onnx) or .tflite (tflite), or --format says which" \
        export x.safetensors -o $out
done
NB_CPU=avx3 refuses 2 'NB_CPU=avx3: must be scalar, avx2' keys
NB_CPU=avxvnni run 0 keys

small_config | sed 's/count: 240, test_count: 100/count: 32, test_count: 8/;s/epochs: 3/epochs: 1/;s/, freeze.*}/}/;s/, warmup: 0.5//' >less.yaml
run 0 train less.yaml --quiet
refuses 2 '--split: tset: must be test, validation or train' eval run/last.safetensors --split tset
refuses 2 '--split validation: this experiment has no validation images' eval run/last.safetensors --split validation
refuses 2 '--images: 0: must be a whole number from 1 on' verify run/last.safetensors --images 0
refuses 2 '--images: few: must be a whole number from 1 on' verify run/last.safetensors --images few
refuses 2 '--json: takes no value' eval run/last.safetensors --json=yes
refuses 2 '--threads: 1x: must be in' eval run/last.safetensors --threads 1x
refuses 2 '--set x: must be section.key=value' eval run/last.safetensors --set x
refuses 2 'missing argument: nibble run FILE IMAGE.png|SAMPLES.npy...' run run/last.safetensors
refuses 1 '--json: cannot open' eval -- --json
refuses 1 'is not a quantized training checkpoint' verify run/model.int.safetensors --from run/model.int.safetensors
cp run/model.int.safetensors alone.safetensors
refuses 1 'alone.safetensors: is compared with the training checkpoint it was lowered from, but there is no last.safetensors' verify alone.safetensors
