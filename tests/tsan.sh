#!/usr/bin/env bash
# tsan.sh - float and quantized training, evaluation and the engine on 4 threads under ThreadSanitizer: no report. Needs NIBBLE, a tool
# built with SAN=thread, RACE, a program of that build with a race on purpose (tests/tsan/race.c), and WORK, an empty folder (tests/run.sh).
set -eu
. tests/e2e/common.bash
nm "$NIBBLE" | grep -q __tsan_init || die "$NIBBLE was not built with SAN=thread"
! "$RACE" >"$WORK/out" 2>"$WORK/err" || die "ThreadSanitizer does not see a race between two chunks"
grep -q 'WARNING: ThreadSanitizer: data race' "$WORK/err"
cd "$WORK"
small_config | sed 's/count: 240/count: 128/; s/epochs: 3/epochs: 1/; s/, freeze[a-z_]*: 2//; s/, warmup: 0.5//; s/, freeze.*}/}/' >tiny.yaml
run 0 train tiny.yaml --threads 4 # `run` fails on whatever a sanitizer says
run 0 eval run/model.int.safetensors --threads 4
run 0 eval run/last.safetensors --threads 4
run 0 verify run/last.safetensors --images 10
run 0 quantize tiny.yaml --from run/last.safetensors -o ptq --threads 4

# A layer for OpenBLAS (on AVX-512, where OPENBLAS_CORETYPE may say Haswell: with kernels of ours that are as wide).
sed -e 's/^  - avgpool.*/  - conv2d: {out: 80, kernel: 1}\n  - conv2d: {out: 128, kernel: 3, pad: 1}\n  - batchnorm\n  - relu\n&/' \
    -e 's/^out: .*/out: wide/' tiny.yaml >wide.yaml
grep -q 'out: 128' wide.yaml
! grep -q avx512 /proc/cpuinfo || export NB_CPU=avx2
run 0 train wide.yaml --threads 4
