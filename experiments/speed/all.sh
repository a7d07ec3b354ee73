#!/usr/bin/env bash
# all.sh - everything in this folder, one after the other: training of two networks and inference beside the peers that PYTHON has, how we scale,
# and every kernel under the roof of the machine. About twenty minutes on two quiet cores.
#
# usage: experiments/speed/all.sh PYTHON      one with torch, onnx, onnxruntime, openvino; from the repository's root, after `make`
set -euo pipefail
here=$(dirname "$0") python=${1:?usage: experiments/speed/all.sh PYTHON}
section() { printf '\n==== %s\n\n' "$*"; }
section training, ResNet-20
TORCH="qat float compiled" "$here/run.sh" "$python"
section training, MobileNetV2
STEPS=2 ROUNDS=2 TORCH="qat float" "$here/run.sh" "$python" mobilenetv2
section integer inference
"$here/run_infer.sh" "$python"
section scaling
THREADS="2 1" "$here/scaling.sh"
section kernels
"$here/roofline.sh"
"${NIBBLE:-build/current/nibble}" bench --kernels
