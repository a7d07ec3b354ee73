/* aciq.c - optimal clips and their noise; see aciq.h.
 *
 * With c clip / spread and k = 12 intervals^2 / width^2, width 2 of [-c, c] and 1 of [0, c] (the paper's 3 * 4^bits and
 * 12 * 4^bits), noise is c^2 / k plus, one-sided or not alike,
 *     Laplace   2 e^-c
 *     Gaussian  (c^2 + 1) erfc(c / sqrt 2) - c sqrt(2 / pi) e^(-c^2 / 2)
 *     uniform   (1 - c)^3 / 3
 * and its derivative is zero where c e^c = k, or c / k = sqrt(2 / pi) e^(-c^2 / 2) - c erfc(c / sqrt 2), or
 * 2 c / k = (1 - c)^2: the end levels of a uniform one then stand half a step within it. */
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
    if (c->fit == NB_FIT_UNIFORM)
        return 1 / (1 + 1 / k + sqrt((2 + 1 / k) / k)); /* the smaller root; written so that nothing cancels */
    return c->fit == NB_FIT_LAPLACE ? nb_lambert_w(k) : gaussian_factor(k);
}

double nb_clip_noise(const nb_clip_case *c, double clip)
{
    const double steps = clip * clip / weight_of_steps(c);
    if (c->fit == NB_FIT_LAPLACE)
        return steps + 2 * exp(-clip);
    if (c->fit == NB_FIT_UNIFORM)
        return steps + (clip < 1 ? (1 - clip) * (1 - clip) * (1 - clip) / 3 : 0);
    return steps + (clip * clip + 1) * erfc(clip * SQRT_HALF) - clip * SQRT_2_PI * exp(-clip * clip / 2);
}

double nb_fit_width(nb_fit fit, double spread)
{
    const double of[] = {[NB_FIT_GAUSSIAN] = sqrt(2 * PI * E), [NB_FIT_LAPLACE] = 2 * E, [NB_FIT_UNIFORM] = 2};
    return of[fit] * spread;
}

nb_fit nb_fit_choose(double mean_size, double root_mean_square)
{
    const double laplace = nb_fit_width(NB_FIT_LAPLACE, mean_size);
    return laplace < nb_fit_width(NB_FIT_GAUSSIAN, root_mean_square) ? NB_FIT_LAPLACE : NB_FIT_GAUSSIAN;
}
