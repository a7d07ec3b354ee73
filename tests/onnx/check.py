"""check.py - what ONNX Runtime makes of exported networks, against the engine's logits (files of export_networks.c).

usage: check.py DIR      needs onnx and onnxruntime
Every model must pass onnx.checker. Per network: in how many images a logit is off by more than rounding, and where the largest logit is
another one. On x86 without VNNI ONNX Runtime's default u8 x s8 kernels saturate; session.x64quantprecision makes them exact.
"""
import glob
import sys

import numpy as np
import onnx
import onnxruntime


def load(path):
    raw = open(path, "rb").read()
    n, c, h, w, k = np.frombuffer(raw, np.int32, 5)
    scale = np.frombuffer(raw, np.float32, 1, 20)[0]
    pixels = np.frombuffer(raw, np.uint8, n * c * h * w, 24).reshape(n, c, h, w)
    return scale, pixels, np.frombuffer(raw, np.float32, n * k, 24 + pixels.size).reshape(n, k)


images = other = inexact = 0
bad = []
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.x64quantprecision", "1")
options.log_severity_level = 3
models = sorted(glob.glob(sys.argv[1] + "/n*.onnx"))
for path in models:
    onnx.checker.check_model(path, full_check=True)
    scale, pixels, want = load(path[:-5] + ".bin")
    got = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, {"pixels": pixels})[0]
    spread = want.max() - want.min() + 1e-30
    far = np.abs(got - want).max(axis=1)
    images += len(want)
    differs = (far > max(scale, 1e-5 * spread)).sum()
    # a tie in the integers is no difference
    best = want.max(axis=1)
    wrong = (want[np.arange(len(want)), got.argmax(axis=1)] < best).sum()
    inexact += differs
    other += wrong
    if differs > 0.5 * len(want):
        bad.append((path, float(differs / len(want)), float(far.max() / spread)))
print(f"{len(models)} models pass onnx.checker")
print(f"{images} images: {inexact} with a logit off by more than rounding ({100 * inexact / images:.2f} %), {other} with another top-1 ({100 * other / images:.3f} %)")
for path, share, far in sorted(bad, key=lambda b: -b[1])[:20]:
    print(f"  {path}: {100 * share:.0f} % of the images differ, by up to {100 * far:.1f} % of the logits' spread")
sys.exit(bool(bad))
