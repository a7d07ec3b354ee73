#!/usr/bin/env python3
"""make_profile.py - numbers from NumPy and SciPy that tests of src/analysis/value_stats.c, density.c and profile.c compare with.

Writes profile_golden.h: moments and fits of drawn values, and rounding noise that is integrated numerically from SciPy's densities: nothing
here knows the closed forms. Needs numpy, scipy; run it in this folder.
"""
import numpy as np
from scipy import integrate, stats

RNG = np.random.default_rng(11)
DRAWN = {
    "gaussian": RNG.normal(0.1, 0.7, 120),
    "laplace": RNG.laplace(-0.2, 0.3, 120),
    "uniform": RNG.uniform(-1, 2, 120),
    "half_normal": np.maximum(RNG.normal(0, 2, 120), 0),          # a relu: half of them are 0
    "exponential": np.maximum(RNG.laplace(0, 0.5, 120), 0),
    "uniform_from_0": RNG.uniform(0, 6, 120),
    "shifted": RNG.normal(4, 0.5, 120),                           # no value is negative, but 0 is no end of it
    "outliers": np.append(RNG.normal(0, 0.01, 118), [3.0, -0.5]),
}
# name in density.h, SciPy's density for (center, spread)
DENSITIES = {
    ("GAUSSIAN", False): lambda c, s: stats.norm(c, s), ("LAPLACE", False): lambda c, s: stats.laplace(c, s),
    ("UNIFORM", False): lambda c, s: stats.uniform(c - s, 2 * s), ("GAUSSIAN", True): lambda c, s: stats.halfnorm(0, s),
    ("LAPLACE", True): lambda c, s: stats.expon(0, s), ("UNIFORM", True): lambda c, s: stats.uniform(0, s),
}


def fits(x):
    """(criterion, name, one-sided, center, spread) of every fit that is tried, by SciPy's log densities."""
    some, n = x[x != 0], np.count_nonzero(x)
    mean = some.mean()
    tried = [("GAUSSIAN", False, mean, some.std()), ("LAPLACE", False, mean, np.abs(some - mean).mean()),
             ("UNIFORM", False, (x.min() + x.max()) / 2, (x.max() - x.min()) / 2)]
    if x.min() >= 0:
        tried += [("GAUSSIAN", True, 0, np.sqrt((some ** 2).mean())), ("LAPLACE", True, 0, mean), ("UNIFORM", True, 0, x.max())]
    for name, one_sided, center, spread in tried:
        d = DENSITIES[name, one_sided](center, spread)
        inside = np.clip(some, *(d.support() if name == "UNIFORM" else (-np.inf, np.inf)))  # an end is inside, whatever rounding says
        if (name, one_sided) == ("LAPLACE", False):  # about the mean, which is not where its likelihood is largest
            likelihood = -np.log(2 * spread) - 1
        else:
            likelihood = d.logpdf(inside).mean()
        yield likelihood - (1 if one_sided else 2) * np.log(n) / (2 * n), name, one_sided, center, spread


def values(out):
    out.write("enum { GOLDEN_VALUES = 120 };\nstatic const struct {\n    const char *name;\n    float x[GOLDEN_VALUES];\n    int64_t zeros, beyond4, beyond6;\n"
              "    double mean, std, kurtosis;\n    nb_fit fit;\n    int one_sided;\n    double center, spread, criterion;\n} golden_drawn[] = {\n")
    for name, x in DRAWN.items():
        x = x.astype(np.float32)
        text = ", ".join(f"{v!r}f" if "." in repr(v) or "e" in repr(v) else f"{v!r}.f" for v in map(float, x)).replace("0.0f", "0.f")
        x = x.astype(np.float64)
        far = np.abs(x - x.mean()) / x.std()
        c, fit, one_sided, center, spread = max(fits(x))
        out.write(f"    {{\"{name}\", {{{text}}},\n     {np.count_nonzero(x == 0)}, {np.count_nonzero(far > 4)}, {np.count_nonzero(far > 6)},\n"
                  f"     {x.mean()!r}, {x.std()!r}, {stats.kurtosis(x, fisher=False)!r},\n"
                  f"     NB_FIT_{fit}, {int(one_sided)}, {float(center)!r}, {float(spread)!r}, {float(c)!r}}},\n".replace("np.float64(", "").replace("),", ","))
    out.write("};\n")


def noise(out):
    out.write("static const struct {\n    nb_fit fit;\n    int one_sided;\n    double center, spread, zeros, low, step;\n    int levels;\n    double noise;\n"
              "} golden_noise[] = {\n")
    for (name, one_sided), make in DENSITIES.items():
        for center, spread, zeros, low, step, n in [(0, 1, 0, -3, 1, 7), (0, 1, 0, -1.5, 0.5, 7), (0.3, 0.7, 0.25, -1, 0.125, 16),
                                                     (0, 2, 0.5, 0, 0.2, 16), (-0.1, 0.05, 0, -1.27, 0.01, 255)]:
            if one_sided:
                center = 0
            d = make(center, spread)
            level = low + step * np.arange(n)
            edges = np.concatenate([[-np.inf], (level[1:] + level[:-1]) / 2, [np.inf]])
            first, last = d.support()
            total = 0
            for i in range(n):
                a, b = max(edges[i], first, center - 45 * spread), min(edges[i + 1], last, center + 45 * spread)
                stops = [a] + [t for t in np.sort(center + spread * np.array([-12, -4, -1, 0, 1, 4, 12])) if a < t < b] + [b]
                for s, t in zip(stops[:-1], stops[1:]):
                    if t > s:
                        total += integrate.quad(lambda x: (x - level[i]) ** 2 * d.pdf(x), s, t, epsabs=1e-16, epsrel=1e-11)[0]
            zero = np.min(np.abs(level)) ** 2
            out.write(f"    {{NB_FIT_{name}, {int(one_sided)}, {center}, {spread}, {zeros}, {low}, {step}, {n}, {float((1 - zeros) * total + zeros * zero)!r}}},\n")
    out.write("};\n")


if __name__ == "__main__":
    with open("profile_golden.h", "w") as f:
        f.write("/* profile_golden.h - written by make_profile.py from NumPy and SciPy. */\n/* clang-format off */\n")
        values(f)
        noise(f)
