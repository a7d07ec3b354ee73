#!/usr/bin/env python3
"""make_adaround.py - AdaRound of a small layer in NumPy (doubles), for the test of src/post/adaround.c.

Writes adaround_golden.h: the layer, and per number of iterations the codes that are learned, with a relu behind the layer and without, and with a cap, refined and not. What is
made smaller, by Adam over batches of rows in order, is for each filter its squared error as a share of what rounding to nearest costs,
plus lambda sum(1 - |2h - 1|^beta) behind the warm-up, beta from 20 to 2 along half a cosine. Then single codes are turned as long as that
makes the error smaller, in four sweeps at most. Needs numpy; run it in this folder.
"""
import numpy as np

FILTERS, SIZE, ROWS, BATCH = 3, 10, 48, 16
LR, LAMBDA, WARMUP, ZETA, GAMMA = 0.1, 0.3, 0.2, 1.1, -0.1
FIRST, LAST = -7, 7


def clamp(v, cap):
    return np.clip(v, 0, cap) if cap else v


def given(p, w, rows, cap):
    v = p["mul"] * (p["x"][rows] @ w.T) + p["add"]
    return v, clamp(v, cap)


def errors(p, code, cap):
    rows = slice(0, ROWS)
    return ((given(p, code * p["step"][:, None], rows, cap)[1] - clamp(p["y"], cap)) ** 2).sum(0)


def refine(p, code, base, free, sweeps, cap):
    now = errors(p, code, cap)
    for _ in range(sweeps):
        better = False
        for i in range(SIZE):
            for f in range(FILTERS):
                other = code.copy()
                other[f, i] = 2 * base[f, i] + 1 - code[f, i]
                e = errors(p, other, cap)[f]
                if free[f, i] and e < now[f] * (1 - 1e-6):
                    code, now[f], better = other, e, True
        if not better:
            break
    return code, now


def learn(p, iterations, sweeps, cap):
    units = p["w"] / p["step"][:, None]
    base, free = np.clip(np.floor(units), FIRST, LAST), (units >= FIRST) & (units < LAST)
    nearest = np.clip(np.rint(units), FIRST, LAST)
    was = errors(p, nearest, cap)
    v = -np.log((ZETA - GAMMA) / (units - np.floor(units) - GAMMA) - 1)
    m1 = m2 = np.zeros_like(v)
    for t in range(iterations):
        rows = slice(t % (ROWS // BATCH) * BATCH, (t % (ROWS // BATCH) + 1) * BATCH)
        s = 1 / (1 + np.exp(-v))
        raw = s * (ZETA - GAMMA) + GAMMA
        h = np.clip(raw, 0, 1)
        pre, out = given(p, p["step"][:, None] * (base + free * h), rows, cap)
        d = np.where(pre == out, p["mul"] * (out - clamp(p["y"][rows], cap)), 0)
        g = 2 * (d.T @ p["x"][rows]) * p["step"][:, None] * (ROWS // BATCH) / was[:, None]
        at = t / iterations
        if at >= WARMUP:
            beta = 2 + 9 * (1 + np.cos(np.pi * (at - WARMUP) / (1 - WARMUP)))
            g -= 2 * LAMBDA * beta * np.abs(2 * h - 1) ** (beta - 1) * np.sign(2 * h - 1)
        g *= free * ((raw > 0) & (raw < 1)) * (ZETA - GAMMA) * s * (1 - s)
        m1, m2 = 0.9 * m1 + 0.1 * g, 0.999 * m2 + 0.001 * g * g
        v = v - LR * (m1 / (1 - 0.9 ** (t + 1))) / (np.sqrt(m2 / (1 - 0.999 ** (t + 1))) + 1e-8)
    h = (ZETA - GAMMA) / (1 + np.exp(-v)) + GAMMA
    code, now = refine(p, base + free * (h >= 0.5), base, free, sweeps, cap)
    code = np.where((now < was)[:, None], code, nearest)
    return code.astype(int), was.sum(), np.minimum(now, was).sum(), int((code != nearest).sum())


def array(f, kind, name, a):
    f.write("static const %s %s[] = {\n" % (kind, name))
    form = "%.3ff" if kind == "float" else "%d"
    a = np.ravel(a)
    for i in range(0, len(a), SIZE):
        f.write("    " + " ".join(form % v + "," for v in a[i:i + SIZE]) + "\n")
    f.write("};\n")


if __name__ == "__main__":
    rng = np.random.default_rng(11)
    mix = rng.normal(size=(SIZE, SIZE))
    p = {"x": np.round(rng.normal(size=(ROWS, SIZE)) @ mix * 0.3, 3), "w": np.round(rng.normal(size=(FILTERS, SIZE)) * 0.4, 3)}
    p["step"], p["mul"], p["add"] = np.array([0.375, 0.5, 0.42]), np.array([1.5, -0.75, 1.0]), np.array([0.1, 0.2, -0.3])
    p["y"] = np.round(p["mul"] * (p["x"] @ p["w"].T) + p["add"], 3)
    with open("adaround_golden.h", "w") as f:
        f.write("/* adaround_golden.h - written by make_adaround.py from NumPy. */\n/* clang-format off */\n#include <stdint.h>\n\n")
        f.write("enum { G_FILTERS = %d, G_SIZE = %d, G_ROWS = %d, G_BATCH = %d, G_FIRST = %d, G_LAST = %d };\n"
                % (FILTERS, SIZE, ROWS, BATCH, FIRST, LAST))
        for name in ("x", "w", "y", "step", "mul", "add"):
            array(f, "float", "golden_" + name, p[name])
        f.write("static const struct {\n    int32_t iterations, refine;\n    double cap; /* 0: neither relu nor cap */\n    double nearest, learned;\n"
                "    int32_t flipped, code[%d];\n} golden_learned[] = {\n" % (FILTERS * SIZE))
        for iterations in (1, 60, 250):
            for cap in (0, 0.8, 1000):
                for sweeps in (0, 1, 4):
                    code, was, now, flipped = learn(p, iterations, sweeps, cap)
                    f.write("    {%d, %d, %g, %.9g, %.9g, %d, {%s}},\n"
                            % (iterations, sweeps, cap, was, now, flipped, ", ".join(map(str, code.ravel()))))
        f.write("};\n")
