/* aciq.c - optimal clips and their noise; see aciq.h.
 *
 * With c clip / spread and k = 12 intervals^2 / width^2, width 2 of [-c, c] and 1 of [0, c] (the paper's 3 * 4^bits and
 * 12 * 4^bits), noise is c^2 / k plus, one-sided or not alike,
 *     Laplace   2 e^-c
 *     Gaussian  (c^2 + 1) erfc(c / sqrt 2) - c sqrt(2 / pi) e^(-c^2 / 2)
 * and its derivative is zero where c e^c = k, or c / k = sqrt(2 / pi) e^(-c^2 / 2) - c erfc(c / sqrt 2). */
#include "quant/aciq.h"

#include <math.h>

static const double SQRT_HALF = 0.70710678118654752440, SQRT_2_PI = 0.79788456080286535588, E = 2.71828182845904523536,
                    PI = 3.14159265358979323846;

double nb_lambert_w(double x)
{
    double w = log1p(x);
    for (int i = 0; i < 64 && w > 0; i++) { /* Halley; from above it falls to the root in a few steps */
        const double e = exp(w), f = w * e - x, step = f / (e * (w + 1) - (w + 2) * f / (2 * w + 2));
        w -= step;
        if (fabs(step) <= 1e-15 * w)
            break;
    }
    return w;
}

static double weight_of_steps(const nb_clip_case *c)
{
    return 12 * c->intervals * c->intervals / (c->one_sided ? 1 : 4);
}

/* Falls where clipping more would cost less than finer steps save. */
static double gaussian_slope(double clip, double k)
{
    return clip / k + clip * erfc(clip * SQRT_HALF) - SQRT_2_PI * exp(-clip * clip / 2);
}

static double gaussian_factor(double k)
{
    double low = 0, high = 40; /* the slope is negative at 0, positive beyond, and has one root */
    while (high - low > 1e-14 * high) {
        const double middle = (low + high) / 2;
        if (middle <= low || middle >= high)
            break;
        *(gaussian_slope(middle, k) < 0 ? &low : &high) = middle;
    }
    return (low + high) / 2;
}

double nb_clip_factor(const nb_clip_case *c)
{
    const double k = weight_of_steps(c);
    return c->fit == NB_FIT_LAPLACE ? nb_lambert_w(k) : gaussian_factor(k);
}

double nb_clip_noise(const nb_clip_case *c, double clip)
{
    const double steps = clip * clip / weight_of_steps(c);
    if (c->fit == NB_FIT_LAPLACE)
        return steps + 2 * exp(-clip);
    return steps + (clip * clip + 1) * erfc(clip * SQRT_HALF) - clip * SQRT_2_PI * exp(-clip * clip / 2);
}

nb_fit nb_fit_choose(double mean_size, double root_mean_square)
{
    /* per value the log likelihoods are -log(2 e b) and -log(sigma sqrt(2 pi e)), one-sided both less by log 2 */
    return 2 * E * mean_size < sqrt(2 * PI * E) * root_mean_square ? NB_FIT_LAPLACE : NB_FIT_GAUSSIAN;
}
