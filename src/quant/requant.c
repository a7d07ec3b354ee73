/* requant.c - see requant.h; arithmetic of kernels/rescale.h: y = clamp(((acc + bias) * mult + half) >> shift + zero).
 */
#include "quant/requant.h"

#include <math.h>
#include <stdlib.h>

static const int64_t ACC_LIMIT = (int64_t)1 << 31;

bool nb_multiplier(double m, int32_t *mult, int32_t *shift)
{
    if (!(m > 0) || isinf(m))
        return false;
    int exponent;
    double fraction = frexp(m, &exponent); /* m = fraction * 2^exponent, fraction in [0.5, 1) */
    int64_t q = llrint(ldexp(fraction, 31));
    if (q == (int64_t)1 << 31) {
        q >>= 1;
        exponent++;
    }
    if (31 - exponent < 1 || 31 - exponent > 62)
        return false;
    *mult = (int32_t)q;
    *shift = 31 - exponent;
    return true;
}

static double clamped_code(const nb_requant_spec *s, double real)
{
    double v = nearbyint(real / s->out_scale) + s->y_zero;
    return v < s->y_lo ? s->y_lo : v > s->y_hi ? s->y_hi : v;
}

/* The channel's output hardly depends on its input: weights 0, and a bias that is already on the output grid. */
static bool constant_channel(const nb_requant_spec *s, int8_t *w, int64_t n, double reach, nb_requant *out)
{
    bool same = clamped_code(s, s->bias - reach) == clamped_code(s, s->bias + reach);
    if (!same && reach > 0.5 * s->out_scale)
        return false;
    for (int64_t i = 0; i < n; i++)
        w[i] = 0;
    double code = clamped_code(s, s->bias) - s->y_zero;
    *out = (nb_requant){.bias = (int32_t)code, .mult = 1 << 30, .shift = 30, .bound = llabs((long long)code)};
    return true;
}

bool nb_requant_channel(const nb_requant_spec *s, int8_t *w, int64_t n, nb_requant *out)
{
    if (!isfinite(s->scale) || !isfinite(s->bias))
        return false; /* of damaged statistics: there is no integer for it */
    int64_t sum = 0, size = 0;
    int32_t sign = s->scale < 0 ? -1 : 1;
    for (int64_t i = 0; i < n; i++) {
        sum += sign * w[i];
        size += abs(w[i]);
    }
    int64_t centred = s->x_hi - s->x_zero > s->x_zero - s->x_lo ? s->x_hi - s->x_zero : s->x_zero - s->x_lo;
    int64_t raw = s->x_hi > -s->x_lo ? s->x_hi : -s->x_lo;
    double scale = fabs(s->scale), bias = s->bias / scale;
    nb_requant r;
    bool sound = nb_multiplier(scale / s->out_scale, &r.mult, &r.shift) && fabs(bias) < (double)ACC_LIMIT;
    if (sound) {
        int64_t b = llrint(bias), folded = b - s->x_zero * sum;
        int64_t bound_raw = size * raw + llabs(folded), bound_centred = size * centred + llabs(b);
        r.bound = bound_raw > bound_centred ? bound_raw : bound_centred;
        r.bias = (int32_t)folded;
        sound = r.bound < ACC_LIMIT;
    }
    if (!sound)
        return constant_channel(s, w, n, scale * (double)(size * centred), out);
    for (int64_t i = 0; i < n && sign < 0; i++)
        w[i] = (int8_t)-w[i];
    *out = r;
    return true;
}
