#!/usr/bin/env bash
# tsan.sh - float and quantized training, evaluation and the engine on 4 threads under ThreadSanitizer: no report. Needs NIBBLE, a tool
# built with SAN=thread, and WORK, an empty folder (tests/run.sh).
set -eu
. tests/e2e/common.bash
nm "$NIBBLE" | grep -q __tsan_init || die "$NIBBLE was not built with SAN=thread"
cd "$WORK"
small_config | sed 's/count: 240/count: 128/; s/epochs: 3/epochs: 1/; s/, freeze[a-z_]*: 2//; s/, warmup: 0.5//; s/, freeze.*}/}/' >tiny.yaml
run 0 train tiny.yaml --threads 4 # `run` fails on whatever a sanitizer says
run 0 eval run/model.int.safetensors --threads 4
run 0 eval run/last.safetensors --threads 4
run 0 verify run/last.safetensors --images 10
run 0 quantize tiny.yaml --from run/last.safetensors -o ptq --threads 4
