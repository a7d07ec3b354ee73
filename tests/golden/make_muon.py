#!/usr/bin/env python3
"""make_muon.py - Muon in NumPy, in double: numbers that tests/unit/test_muon.c compares with. Run it in this folder; needs NumPy.

A case k: tensors "k.w" before, "k.g" [steps, out, columns], "k.after" [steps, out, columns], and in the metadata "k.keys" (of the
optimizer), "k.lr", "k.decay". Gradients of the later steps depend on nothing, so that an error does not feed itself.
"""
import numpy as np

from make_golden import save


def orthogonal(g, steps):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (np.linalg.norm(g) + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if tall else x


def run(w, gradients, lr, momentum, nesterov, steps, decay, normalize):
    m, after = np.zeros_like(w), []
    for g in gradients:
        m = momentum * m + g
        d = g + momentum * m if nesterov else m
        if normalize:
            w = w * np.sqrt(w.shape[0]) / np.linalg.norm(w)
        w = (1 - lr * decay) * w - lr * np.sqrt(max(1, w.shape[0] / w.shape[1])) * orthogonal(d, steps)
        after.append(w)
    return np.stack(after)


def main():
    rng = np.random.default_rng(15)
    tensors, meta = {}, {}
    for k, (out, columns, lr, momentum, nesterov, steps, decay, normalize) in enumerate([
        (8, 27, 0.05, 0.95, True, 5, 0.0, False),
        (24, 9, 0.1, 0.6, True, 3, 0.01, False),
        (6, 6, 0.02, 0.9, False, 5, 0.1, False),
        (1, 18, 0.1, 0.5, True, 4, 0.0, False),
        (12, 36, 0.24, 0.6, True, 3, 0.001, True),
    ]):
        w = rng.normal(size=(out, columns)).astype(np.float32)
        g = (rng.normal(size=(4, out, columns)) * 10.0 ** rng.integers(-3, 3, size=(4, 1, 1))).astype(np.float32)
        after = run(w.astype(np.float64), g.astype(np.float64), lr, momentum, nesterov, steps, decay, normalize)
        tensors.update({f"{k}.w": w, f"{k}.g": g, f"{k}.after": after.astype(np.float32)})
        word = {True: "yes", False: "no"}
        meta.update({f"{k}.keys": f"{{momentum: {momentum}, nesterov: {word[nesterov]}, steps: {steps}, normalize: {word[normalize]}}}",
                     f"{k}.lr": str(lr), f"{k}.decay": str(decay)})
    save("muon.safetensors", tensors, meta)


if __name__ == "__main__":
    main()
