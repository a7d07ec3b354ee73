"""check.py - what ONNX Runtime makes of exported networks, against the engine's logits (files of export_networks.c).

usage: check.py DIR      needs onnx and onnxruntime
Every model must pass onnx.checker. Per form: in how many images a logit is off by more than rounding, and where the largest logit is
another one. On x86 without VNNI ONNX Runtime's default u8 x s8 kernels saturate; session.x64quantprecision makes them exact.
"""
import glob
import os
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


def check(form):
    """Prints what one form's models gave; returns whether any of them is wrong in most images."""
    images = other = inexact = 0
    farthest = 0.0
    bad = []
    models = sorted(glob.glob(f"{sys.argv[1]}/n*.{form}.onnx"))
    for path in models:
        onnx.checker.check_model(path, full_check=True)
        scale, pixels, want = load(path[: -len(f"{form}.onnx")] + "bin")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        got = np.concatenate([session.run(None, {"pixels": pixels[i : i + 500]})[0] for i in range(0, len(pixels), 500)])
        spread = want.max() - want.min() + 1e-30
        far = np.abs(got - want).max(axis=1)
        images += len(want)
        differs = (far > max(scale, 1e-5 * spread)).sum()
        # a tie in the integers is no difference
        best = want.max(axis=1)
        other += (want[np.arange(len(want)), got.argmax(axis=1)] < best).sum()
        inexact += differs
        farthest = max(farthest, float(far.max() / spread))
        if differs > 0.5 * len(want):
            bad.append((path, float(differs / len(want)), float(far.max() / spread)))
    size = sum(os.path.getsize(path) for path in models)
    print(f"{form}: {len(models)} models pass onnx.checker, {size} bytes in all")
    print(f"{form}: {images} images: {inexact} with a logit off by more than rounding ({100 * inexact / images:.2f} %, at most {100 * farthest:.2f} % of the spread), {other} with another top-1 ({100 * other / images:.3f} %)")
    for path, share, far in sorted(bad, key=lambda b: -b[1])[:20]:
        print(f"  {path}: {100 * share:.0f} % of the images differ, by up to {100 * far:.1f} % of the logits' spread")
    return bool(bad)


options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.x64quantprecision", "1")
options.log_severity_level = 3
sys.exit(any([check("qdq"), check("operator")]))
