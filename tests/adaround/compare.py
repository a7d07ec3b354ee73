#!/usr/bin/env python3
"""compare.py - AdaRound of the paper in NumPy on the layers that dump_layers.c wrote, and how Nibble's codes compare.

usage: compare.py DIR [ITERATIONS [LR]]

The reference makes smaller, by Adam over random batches of 512 rows, what Nagel et al. 2020 do: the mean over rows of
the sum over filters of squared errors, plus 0.01 sum(1 - |2h - 1|^beta), without it for a fifth of the iterations, then with beta
from 20 to 2 along a cosine. Printed per layer: mean squared error of nearest rounding, of the reference and of Nibble on the rows that
were learned from, and Nibble's drop as a share of the reference's there and on rows of other images.
"""
import glob
import sys

import numpy as np

ITERATIONS = int(sys.argv[2]) if len(sys.argv) > 2 else 10000
LR = float(sys.argv[3]) if len(sys.argv) > 3 else 1e-2
BATCH, LAMBDA, WARMUP, ZETA, GAMMA = 512, 0.01, 0.2, 1.1, -0.1


def read(path):
    b = open(path, "rb").read()
    at = 0

    def take(dtype, *shape):
        nonlocal at
        n = int(np.prod(shape))
        a = np.frombuffer(b, dtype, n, at).reshape(shape)
        at += 4 * n
        return a

    f, k, g, rows, held = take("<i4", 5)
    p = {"groups": int(g), "f": int(f), "k": int(k)}
    p["low"], p["high"] = take("<f4", 2)
    for name in ("mul", "add", "step"):
        p[name] = take("<f4", f)
    p["first"], p["last"] = take("<i4", f), take("<i4", f)
    p["w"] = take("<f4", f, k)
    p["x"], p["y"] = take("<f4", rows, g, k), take("<f4", rows, f)
    p["held_x"], p["held_y"] = take("<f4", held, g, k), take("<f4", held, f)
    p["code"] = take("<i4", f, k)
    assert at == len(b), path
    return p


def sums(p, x, w):
    each = p["f"] // p["groups"]
    if p["groups"] == 1:
        return x[:, 0, :] @ w.T
    return np.einsum("rgk,gek->rge", x, w.reshape(p["groups"], each, p["k"]), optimize=True).reshape(len(x), p["f"])


def back(p, x, d):
    each = p["f"] // p["groups"]
    if p["groups"] == 1:
        return d.T @ x[:, 0, :]
    return np.einsum("rge,rgk->gek", d.reshape(len(x), p["groups"], each), x, optimize=True).reshape(p["f"], p["k"])


def given(p, x, w):
    v = sums(p, x, w) * p["mul"] + p["add"]
    return v, np.clip(v, p["low"], p["high"])


def error(p, code, x="x", y="y"):
    return float(((given(p, p[x], (code * p["step"][:, None]).astype("f4"))[1] - p[y]) ** 2).sum(1).mean())


def reference(p, rng):
    units = p["w"].astype("f8") / p["step"][:, None]
    low = np.clip(np.floor(units), p["first"][:, None], p["last"][:, None] - 1)
    free = (units >= p["first"][:, None]) & (units < p["last"][:, None])
    fraction = np.clip(units - low, 0, 1)
    v = -np.log((ZETA - GAMMA) / (fraction - GAMMA) - 1).astype("f4")
    fixed = np.clip(np.rint(units), p["first"][:, None], p["last"][:, None])
    m1, m2 = np.zeros_like(v), np.zeros_like(v)
    step = p["step"][:, None]
    for t in range(ITERATIONS):
        rows = rng.integers(0, len(p["x"]), BATCH)
        x, y = p["x"][rows], p["y"][rows]
        s = 1 / (1 + np.exp(-v))
        raw = s * (ZETA - GAMMA) + GAMMA
        h = np.clip(raw, 0, 1)
        w = (step * np.where(free, low + h, fixed)).astype("f4")
        pre, out = given(p, x, w)
        d = np.where(pre == out, out - y, 0) * p["mul"] * (2 / BATCH)
        g = back(p, x, d.astype("f4")) * step
        at = t / ITERATIONS
        if at >= WARMUP:
            beta = 2 + 9 * (1 + np.cos(np.pi * (at - WARMUP) / (1 - WARMUP)))
            u = 2 * h - 1
            g = g - LAMBDA * 2 * beta * np.abs(u) ** (beta - 1) * np.sign(u)
        g = np.where(free & (raw > 0) & (raw < 1), g * (ZETA - GAMMA) * s * (1 - s), 0)
        m1 += 0.1 * (g - m1)
        m2 += 0.001 * (g * g - m2)
        v -= LR * (m1 / (1 - 0.9 ** (t + 1))) / (np.sqrt(m2 / (1 - 0.999 ** (t + 1))) + 1e-8)
    h = np.clip((ZETA - GAMMA) / (1 + np.exp(-v)) + GAMMA, 0, 1)
    return np.where(free, low + (h >= 0.5), fixed).astype("i4")


print("layer    nearest  reference     nibble   drop of the reference's   on other images")
worst = 10.0
for path in sorted(glob.glob(sys.argv[1] + "/*.bin")):
    p = read(path)
    units = p["w"].astype("f8") / p["step"][:, None]
    nearest = np.clip(np.rint(units), p["first"][:, None], p["last"][:, None])
    theirs = reference(p, np.random.default_rng(1))
    e = [error(p, c) for c in (nearest, theirs, p["code"])]
    o = [error(p, c, "held_x", "held_y") for c in (nearest, theirs, p["code"])]
    drop, other = (e[0] - e[2]) / (e[0] - e[1]), (o[0] - o[2]) / (o[0] - o[1])
    worst = min(worst, drop, other)
    print("%-5s %10.5g %10.5g %10.5g %25.3f %17.3f" % (path[-6:-4], *e, drop, other), flush=True)
print("worst: %.3f" % worst)
