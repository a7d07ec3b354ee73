#!/usr/bin/env bash
# all.sh - everything in this folder, one after the other: training of three networks and inference beside the peers that PYTHON has, how we scale,
# and every kernel under the roof of the machine. About twenty minutes on two quiet cores.
#
# usage: experiments/speed/all.sh PYTHON      one with torch, onnx, onnxruntime, openvino; from the repository's root, after `make`
set -euo pipefail
here=$(dirname "$0") python=${1:?usage: experiments/speed/all.sh PYTHON}
bf16=$(grep -m1 -ow 'avx512_bf16\|amx_bf16' /proc/cpuinfo || true) # without, a step of autocast takes minutes
section() { printf '\n==== %s\n\n' "$*"; }
section training, ResNet-20
TORCH="qat pt2e float compiled${bf16:+ bf16 compiled-bf16}" "$here/run.sh" "$python"
section training, MobileNetV2
STEPS=2 ROUNDS=2 TORCH="qat float${bf16:+ bf16}" "$here/run.sh" "$python" mobilenetv2
section training, a wide network
STEPS=2 ROUNDS=2 TORCH="qat float${bf16:+ bf16}" "$here/run.sh" "$python" wide
section integer inference
"$here/run_infer.sh" "$python"
section scaling
THREADS="2 1" "$here/scaling.sh"
section kernels
"$here/roofline.sh"
"${NIBBLE:-build/current/nibble}" bench --kernels
section all kinds of processors so far
"$here/tables.sh" kinds
