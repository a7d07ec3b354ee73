/* requant.c - see requant.h; arithmetic of kernels/rescale.h: y = clamp(((acc + bias) * mult + half) >> shift + zero).
 */
#include "quant/requant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

bool nb_multiplier_or_most(double m, int32_t *mult, int32_t *shift)
{
    return nb_multiplier(isfinite(m) && m > NB_MULTIPLIER_MOST ? NB_MULTIPLIER_MOST : m, mult, shift);
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

int64_t nb_sum_bound(int32_t x_lo, int32_t x_hi, int32_t x_zero, int64_t size, int64_t sum, int64_t bias)
{
    const int64_t centred = x_hi - x_zero > x_zero - x_lo ? x_hi - x_zero : x_zero - x_lo;
    const int64_t raw = x_hi > -x_lo ? x_hi : -x_lo;
    const int64_t bound_raw = size * raw + llabs(bias - x_zero * sum), bound_centred = size * centred + llabs(bias);
    return bound_raw > bound_centred ? bound_raw : bound_centred;
}

/* Half of the limit is for the products, half for the bias. A code is at most |w| / scale + 1/2, and at most twice
 * |w| / scale: below one half it is 0. */
double nb_scale_floor(int32_t x_lo, int32_t x_hi, int32_t x_zero, double total, int64_t n, double bias)
{
    const int32_t raw = x_hi > -x_lo ? x_hi : -x_lo;
    const double half = 0.5 * (double)NB_SUM_LIMIT, most = floor(half / (raw + abs(x_zero)));
    const double rounding = 0.5 * (double)n, twice = 2 * total / most;
    const double apart = rounding < most ? total / (most - rounding) : twice;
    return fmax(fmin(apart, twice), fabs(bias) / half) * (1 + 0x1p-20); /* a float's rounding changes nothing */
}

typedef struct { /* a channel's codes */
    int8_t *w;
    int64_t n, size, sum;
} codes;

static codes count(int8_t *w, int64_t n)
{
    codes c = {.w = w, .n = n};
    for (int64_t i = 0; i < n; i++) {
        c.sum += w[i];
        c.size += abs(w[i]);
    }
    return c;
}

/* The channel's output hardly depends on its input: weights 0, and a bias that is already on the output grid. Without a
 * level 0 the bias is the code times 2^k > twice any sum, and the shift k more: the sum is lost in rounding. */
static bool constant_channel(const nb_requant_spec *s, const codes *c, nb_requant *out)
{
    const int64_t centred = s->x_hi - s->x_zero > s->x_zero - s->x_lo ? s->x_hi - s->x_zero : s->x_zero - s->x_lo;
    const int64_t most = c->size * centred;
    const double moved = fabs(s->scale) * (double)most;
    const bool same = clamped_code(s, s->bias - moved) == clamped_code(s, s->bias + moved);
    if (!same && moved > 0.5 * s->out_scale)
        return false;
    const double code = clamped_code(s, s->bias) - s->y_zero;
    nb_requant r = {.bias = (int32_t)code, .mult = 1 << 30, .shift = 30, .bound = llabs((long long)code), .coarser = 1};
    if (is_level(s, 0)) {
        memset(c->w, 0, (size_t)c->n);
        *out = r;
        return true;
    }
    while (r.shift < 61 && ((int64_t)1 << (r.shift - 30)) <= 2 * most)
        r.shift++;
    const double bias = ldexp(code, r.shift - 30);
    if (fabs(bias) >= (double)NB_SUM_LIMIT)
        return false;
    r.bias = (int32_t)((int64_t)bias - s->x_zero * c->sum);
    r.bound = nb_sum_bound(s->x_lo, s->x_hi, s->x_zero, c->size, c->sum, (int64_t)bias);
    if (r.bound >= NB_SUM_LIMIT)
        return false;
    *out = r;
    return true;
}

/* The contract's integers for these codes as they are; scale > 0. */
static bool exact_channel(const nb_requant_spec *s, double scale, int32_t sign, const codes *c, nb_requant *out)
{
    nb_requant r = {.coarser = 1};
    const double bias = s->bias / scale;
    if (!nb_multiplier_or_most(scale / s->out_scale, &r.mult, &r.shift) || !(fabs(bias) < (double)NB_SUM_LIMIT))
        return false;
    const int64_t b = llrint(bias), folded = b - s->x_zero * sign * c->sum;
    r.bound = nb_sum_bound(s->x_lo, s->x_hi, s->x_zero, c->size, sign * c->sum, b);
    r.bias = (int32_t)folded;
    if (r.bound >= NB_SUM_LIMIT)
        return false;
    *out = r;
    return true;
}

/* Codes of a scale at which everything fits. A single weight stays what it is worth to the last bit. */
static bool coarse_channel(const nb_requant_spec *s, double scale, int32_t sign, const codes *c, nb_requant *out)
{
    double coarser = nb_scale_floor(s->x_lo, s->x_hi, s->x_zero, (double)c->size, c->n, s->bias / scale);
    if (!(coarser > 1))
        return false; /* it is not for want of room */
    if (s->blocks)
        coarser = ldexp(1, (int)ceil(log2(coarser)));
    else if (c->n == 1 && coarser < abs(c->w[0]))
        coarser = abs(c->w[0]) / floor(abs(c->w[0]) / coarser);
    codes less = {.n = c->n};
    for (int64_t i = 0; i < c->n; i++) {
        const int64_t code = (int64_t)nearbyint(c->w[i] / coarser);
        less.sum += code;
        less.size += llabs(code);
    }
    if (!exact_channel(s, scale * coarser, sign, &less, out))
        return false;
    for (int64_t i = 0; i < c->n; i++)
        c->w[i] = (int8_t)nearbyint(c->w[i] / coarser);
    out->coarser = coarser;
    return true;
}

nb_requant_result nb_requant_channel(const nb_requant_spec *s, int8_t *w, int64_t n, nb_requant *out)
{
    if (!isfinite(s->scale) || !isfinite(s->bias))
        return NB_REQUANT_TOO_LARGE; /* of damaged statistics: there is no integer for it */
    const codes c = count(w, n);
    const int32_t sign = s->scale < 0 ? -1 : 1;
    const double scale = fabs(s->scale);
    nb_requant r;
    const bool exact = exact_channel(s, scale, sign, &c, &r);
    if (!exact && constant_channel(s, &c, out))
        return NB_REQUANT_DONE;
    if (!exact && (s->level || !coarse_channel(s, scale, sign, &c, &r))) /* a coarser code may be no level */
        return NB_REQUANT_TOO_LARGE;
    for (int64_t i = 0; i < n && sign < 0; i++)
        w[i] = (int8_t)-w[i];
    r.negated = sign < 0;
    *out = r;
    return NB_REQUANT_DONE;
}
