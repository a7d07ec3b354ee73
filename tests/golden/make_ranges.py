#!/usr/bin/env python3
"""make_ranges.py - numbers from SciPy and NumPy that tests of src/quant/aciq.c and range_percentile.c compare with.

Writes aciq_golden.h and percentile_golden.h. Clips are found by minimising the noise, which is integrated numerically from the densities: nothing
here knows the closed forms. Needs numpy, scipy; run it in this folder.
"""
import numpy as np
from scipy import integrate, optimize, special, stats

DENSITIES = {("GAUSSIAN", False): stats.norm.pdf, ("LAPLACE", False): stats.laplace.pdf, ("UNIFORM", False): stats.uniform(-1, 2).pdf,
             ("GAUSSIAN", True): stats.halfnorm.pdf, ("LAPLACE", True): stats.expon.pdf, ("UNIFORM", True): stats.uniform(0, 1).pdf}


def noise(pdf, one_sided, intervals, clip):
    step = (1 if one_sided else 2) * clip / intervals
    end = clip + 80 if pdf(2) > 0 else max(clip, 1)  # a uniform one ends at 1
    beyond = integrate.quad(lambda x: (x - clip) ** 2 * pdf(x), clip, end, epsabs=1e-15, epsrel=1e-12, limit=400)[0]
    return step * step / 12 + (1 if one_sided else 2) * beyond


def clips(out):
    out.write("static const struct {\n    nb_fit fit;\n    bool one_sided;\n    double intervals, factor, noise, noise_at_2;\n} golden_clips[] = {\n")
    for (fit, one_sided), pdf in DENSITIES.items():
        for intervals in [2, 3, 4, 8, 16, 32, 64, 128, 256]:
            best = optimize.minimize_scalar(lambda c: noise(pdf, one_sided, intervals, c), bounds=(0.05, 30), method="bounded",
                                            options={"xatol": 1e-10})
            out.write(f"    {{NB_FIT_{fit}, {str(one_sided).lower()}, {intervals}, {best.x:.10g}, {best.fun:.12g}, "
                      f"{noise(pdf, one_sided, intervals, 2.0):.12g}}},\n")
    out.write("};\n")


def lambert(out):
    out.write("static const double golden_lambert[][2] = {\n")
    for x in [0, 1e-12, 1e-3, 0.5, 1, 2.718281828459045, 12, 48, 192, 3072, 196608, 1e6, 1e100]:
        out.write(f"    {{{float(x)!r}, {float(special.lambertw(x).real)!r}}},\n")
    out.write("};\n")


def percentiles(out):
    rng = np.random.default_rng(3)
    out.write("static const float golden_values[] = {\n")
    values = np.round(rng.standard_t(3, 96), 2).astype(np.float32)
    values[5:9] = values[4]  # ranks that share a value
    values[20] = -0.0
    for i in range(0, len(values), 12):
        out.write("    " + " ".join(f"{v:.2f}f," for v in values[i:i + 12]) + "\n")
    out.write("};\nstatic const struct {\n    int32_t n; /* of the first n values */\n    double percent, value;\n} golden_percentiles[] = {\n")
    for n in [1, 2, 7, 64, 96]:
        for p in [0, 0.01, 1, 12.5, 50, 77.7, 99, 99.99, 100]:
            out.write(f"    {{{n}, {p}, {np.percentile(values[:n].astype(np.float64), p):.9g}}},\n")
    out.write("};\n")


def write(path, *tables):
    with open(path, "w") as f:
        f.write(f"/* {path} - written by make_ranges.py from SciPy and NumPy. */\n/* clang-format off */\n")
        for table in tables:
            table(f)


if __name__ == "__main__":
    write("aciq_golden.h", lambert, clips)
    write("percentile_golden.h", percentiles)
