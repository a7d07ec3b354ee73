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

static bool is_level(const nb_requant_spec *s, int32_t code)
{
    for (int32_t i = 0; i < s->n_levels; i++)
        if (s->level[i] == code)
            return true;
    return !s->level;
}

static bool symmetric(const nb_requant_spec *s)
{
    for (int32_t i = 0; s->level && i < s->n_levels; i++)
        if (s->level[i] != -s->level[s->n_levels - 1 - i])
            return false;
    return true;
}

/* What a channel's codes and inputs can add up to. */
typedef struct {
    int64_t sum, size;    /* of codes, of their magnitudes */
    int64_t raw, centred; /* largest magnitude of an input, and of an input less its zero point */
} reach;

static reach reach_of(const nb_requant_spec *s, const int8_t *w, int64_t n)
{
    reach r = {.raw = s->x_hi > -s->x_lo ? s->x_hi : -s->x_lo};
    r.centred = s->x_hi - s->x_zero > s->x_zero - s->x_lo ? s->x_hi - s->x_zero : s->x_zero - s->x_lo;
    for (int64_t i = 0; i < n; i++) {
        r.sum += w[i];
        r.size += abs(w[i]);
    }
    return r;
}

/* Folds bias b, which is one of sums without the input's zero point; false when a sum could leave 31 bits. */
static bool fold_bias(const nb_requant_spec *s, const reach *r, int64_t b, nb_requant *out)
{
    const int64_t folded = b - s->x_zero * r->sum;
    const int64_t raw = r->size * r->raw + llabs(folded), centred = r->size * r->centred + llabs(b);
    out->bound = raw > centred ? raw : centred;
    out->bias = (int32_t)folded;
    return out->bound < ACC_LIMIT;
}

/* The channel's output hardly depends on its input: weights 0, and a bias that is already on the output grid. Without a
 * level 0 the bias is the code times 2^k > twice any sum, and the shift k more: the sum is lost in rounding. */
static bool constant_channel(const nb_requant_spec *s, const reach *r, int8_t *w, int64_t n, nb_requant *out)
{
    const double moved = fabs(s->scale) * (double)(r->size * r->centred);
    const bool same = clamped_code(s, s->bias - moved) == clamped_code(s, s->bias + moved);
    if (!same && moved > 0.5 * s->out_scale)
        return false;
    const double code = clamped_code(s, s->bias) - s->y_zero;
    nb_requant c = {.bias = (int32_t)code, .mult = 1 << 30, .shift = 30, .bound = llabs((long long)code)};
    if (is_level(s, 0)) {
        for (int64_t i = 0; i < n; i++)
            w[i] = 0;
    } else {
        while (c.shift < 61 && ((int64_t)1 << (c.shift - 30)) <= 2 * r->size * r->centred)
            c.shift++;
        if (fabs(ldexp(code, c.shift - 30)) >= (double)ACC_LIMIT ||
            !fold_bias(s, r, (int64_t)ldexp(code, c.shift - 30), &c))
            return false;
    }
    *out = c;
    return true;
}

nb_requant_result nb_requant_channel(const nb_requant_spec *s, int8_t *w, int64_t n, nb_requant *out)
{
    if (!isfinite(s->scale) || !isfinite(s->bias))
        return NB_REQUANT_TOO_LARGE; /* of damaged statistics: there is no integer for it */
    const double scale = fabs(s->scale), bias = s->bias / scale;
    const reach as_trained = reach_of(s, w, n);
    reach r = as_trained;
    nb_requant q;
    if (s->scale < 0)
        r.sum = -r.sum;
    if (!nb_multiplier(scale / s->out_scale, &q.mult, &q.shift) || !(fabs(bias) < (double)ACC_LIMIT) ||
        !fold_bias(s, &r, llrint(bias), &q))
        return constant_channel(s, &as_trained, w, n, out) ? NB_REQUANT_DONE : NB_REQUANT_TOO_LARGE;
    if (s->scale < 0 && !symmetric(s))
        return constant_channel(s, &as_trained, w, n, out) ? NB_REQUANT_DONE : NB_REQUANT_UNSYMMETRIC;
    for (int64_t i = 0; i < n && s->scale < 0; i++)
        w[i] = (int8_t)-w[i];
    *out = q;
    return NB_REQUANT_DONE;
}
