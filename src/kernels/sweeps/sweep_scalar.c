/* sweep_scalar.c - the sweeps in plain C: the reference every SIMD variant equals bit for bit.
 *
 * Order and rounding are part of the contract: no fused multiply-add, channel sums in double, one row after the other.
 */
#include "kernels/sweeps/sweep_isa.h"

#include <math.h>
#include <string.h>

/* 1.5 * 2^23: adding it pushes the fraction out of a float, so the sum is rounded half to even; exact for |v| < 2^22.
 */
#define ROUND_MAGIC 12582912.0f

static void minmax(float *min, float *max, const float *x, int64_t n)
{
    float lo = x[0], hi = x[0];
    bool nan = false;
    for (int64_t i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
        nan |= x[i] != x[i];
    }
    /* -0 becomes +0: which of the two came first must not show */
    *min = nan ? NAN : lo + 0.0f;
    *max = nan ? NAN : hi + 0.0f;
}

static void quantize(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, int32_t zero, int32_t lo,
                     int32_t hi)
{
    float first = (float)(lo - zero), last = (float)(hi - zero);
    if (mask)
        memset(mask, 0, (size_t)((n + 7) / 8));
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] / scale;
        bool nan = v != v;
        /* one step outside the grid is as good as infinity, and small enough to round */
        v = v < first - 1.0f ? first - 1.0f : v > last + 1.0f ? last + 1.0f : v;
        float r = (v + ROUND_MAGIC) - ROUND_MAGIC;
        if (mask && r >= first && r <= last)
            mask[i / 8] = (uint8_t)(mask[i / 8] | 1u << (i % 8));
        r = r < first ? first : r > last ? last : r;
        codes[i] = (uint8_t)((nan ? 0 : (int32_t)r) + zero);
    }
}

static void dequantize(float *y, const uint8_t *codes, int64_t n, float scale, int32_t zero, int32_t is_signed)
{
    /* flipping the top bit of an s8 code makes it u8 with 128 added */
    uint32_t flip = is_signed ? 128 : 0;
    int32_t offset = zero + (int32_t)flip;
    for (int64_t i = 0; i < n; i++)
        y[i] = scale * (float)((int32_t)(codes[i] ^ flip) - offset);
}

static void ste_backward(float *dx, const float *dy, const uint8_t *mask, int64_t n, int32_t add)
{
    for (int64_t i = 0; i < n; i++) {
        float g = mask[i / 8] >> (i % 8) & 1 ? dy[i] : 0.0f;
        dx[i] = add ? dx[i] + g : g;
    }
}

/* Keeps the smaller or larger; a NaN on either side stays. */
static void extend(float *min, float *max, float x)
{
    if (*min != *min)
        return;
    *min = !(x >= *min) ? x : *min;
    *max = !(x <= *max) ? x : *max;
}

static void channel_stats(double *sum, double *sumsq, float *min, float *max, const float *x, int64_t rows, int32_t c)
{
    for (int64_t r = 0; r < rows; r++, x += c)
        for (int32_t j = 0; j < c; j++) {
            double v = x[j];
            sum[j] += v;
            sumsq[j] += v * v;
            if (min)
                extend(&min[j], &max[j], x[j]);
        }
    for (int32_t j = 0; min && j < c; j++) {
        min[j] += 0.0f; /* -0 becomes +0, as in minmax */
        max[j] += 0.0f;
    }
}

static void channel_affine(float *y, const float *x, const float *a, const float *b, int64_t rows, int32_t c)
{
    for (int64_t r = 0; r < rows; r++, x += c, y += c)
        for (int32_t j = 0; j < c; j++)
            y[j] = x[j] * a[j] + b[j];
}

static float masked(float g, const uint8_t *mask, int32_t j)
{
    return !mask || (mask[j / 8] >> (j % 8) & 1) ? g : 0.0f;
}

static void channel_grad_sums(double *sum_dy, double *sum_dyx, const float *dy, const uint8_t *mask, const float *x,
                              const float *mean, int64_t rows, int32_t c)
{
    const int64_t stride = nb_mask_bytes(c);
    for (int64_t from = 0; from < rows; from += NB_GRAD_BLOCK)
        for (int32_t j = 0; j < c; j++) {
            float s = 0.0f, q = 0.0f;
            for (int64_t r = from; r < rows && r < from + NB_GRAD_BLOCK; r++) {
                float g = masked(dy[r * c + j], mask ? mask + r * stride : NULL, j);
                s += g;
                q += g * (x[r * c + j] - mean[j]);
            }
            sum_dy[j] += (double)s;
            sum_dyx[j] += (double)q;
        }
}

static void channel_grad(float *dx, const float *dy, const uint8_t *mask, const float *x, const nb_kgrad *k,
                         int64_t rows, int32_t c, int32_t add)
{
    for (int64_t r = 0; r < rows; r++, x += c, dy += c, dx += c, mask = mask ? mask + nb_mask_bytes(c) : NULL)
        for (int32_t j = 0; j < c; j++) {
            float g = (k->a[j] * masked(dy[j], mask, j) + k->b[j] * x[j]) + k->d[j];
            dx[j] = add ? dx[j] + g : g;
        }
}

static void acc_to_real(float *y, const int32_t *acc, const int32_t *bias, const float *scale, const float *shift,
                        int64_t rows, int32_t c)
{
    for (int64_t r = 0; r < rows; r++, acc += c, y += c)
        for (int32_t j = 0; j < c; j++)
            y[j] = (float)(int32_t)((uint32_t)acc[j] + (uint32_t)bias[j]) * scale[j] + shift[j];
}

/* Past the end `from` is infinite and `level` the last one: infinity finds it all the same. */
static float nearest(const nb_kreals *t, float v)
{
    int32_t i = 0;
    for (int32_t step = NB_REALS / 2; step > 0; step /= 2)
        i += v >= t->from[i + step] ? step : 0;
    return t->level[i];
}

static void quantize_reals(float *y, uint8_t *mask, const float *x, int64_t n, float scale, const nb_kreals *t)
{
    if (mask)
        memset(mask, 0, (size_t)((n + 7) / 8));
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] / scale;
        y[i] = v == v ? scale * nearest(t, v) : 0.0f;
        if (mask && v >= t->first && v <= t->last)
            mask[i / 8] = (uint8_t)(mask[i / 8] | 1u << (i % 8));
    }
}

static void scale_grad_reals(double *lane, const float *dy, const float *x, float scale, const nb_kreals *t, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] / scale;
        if (v != v)
            continue;
        const float level = nearest(t, v);
        lane[i % NB_SCALE_LANES] += (double)(dy[i] * (v >= t->first && v <= t->last ? level - v : level));
    }
}

static void grid_errors(double *sum, const float *x, int64_t n, const nb_ktries *t)
{
    for (int32_t k = 0; k < t->n; k++)
        for (int64_t i = 0; i < n; i++) {
            float q = rintf(x[i] / t->scale[k]);
            q = q < t->first[k] ? t->first[k] : q > t->last[k] ? t->last[k] : q;
            const double e = (double)x[i] - (double)(q * t->scale[k]);
            sum[k] += e * e;
        }
}

const nb_sweep_isa nb_sweep_scalar = {
#define SWEEP(name, parameters, arguments) .name = name,
#include "kernels/sweeps/sweep_list.def"
};
