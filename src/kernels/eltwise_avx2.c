/* eltwise_avx2.c - the sweeps with AVX2, bit-equal to eltwise_scalar.c: the same operations in the same order per
 * value.
 *
 * Channels go 8 at a time; the last c % 8 are read and written under a mask, which never touches memory beyond them. */
#include "fkernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#    include "eltwise_avx2.h"

#    include <math.h>
#    include <string.h>

TARGET void nb_k_minmax__avx2(float *min, float *max, const float *x, int64_t n)
{
    int64_t i = 0;
    float lo = x[0], hi = x[0];
    int nan = 0;
    if (n >= 2 * W) {
        __m256 lo0 = _mm256_loadu_ps(x), hi0 = lo0, lo1 = lo0, hi1 = lo0, bad = _mm256_setzero_ps();
        for (; i + 2 * W <= n; i += 2 * W) {
            const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + W);
            lo0 = _mm256_min_ps(a, lo0);
            hi0 = _mm256_max_ps(a, hi0);
            lo1 = _mm256_min_ps(b, lo1);
            hi1 = _mm256_max_ps(b, hi1);
            bad = _mm256_or_ps(bad, _mm256_cmp_ps(a, b, _CMP_UNORD_Q));
        }
        float l[W], h[W];
        _mm256_storeu_ps(l, _mm256_min_ps(lo0, lo1));
        _mm256_storeu_ps(h, _mm256_max_ps(hi0, hi1));
        nan = _mm256_movemask_ps(bad);
        for (int k = 0; k < W; k++) {
            lo = l[k] < lo ? l[k] : lo;
            hi = h[k] > hi ? h[k] : hi;
        }
    }
    for (; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
        nan |= x[i] != x[i];
    }
    *min = nan ? NAN : lo + 0.0f;
    *max = nan ? NAN : hi + 0.0f;
}

TARGET void nb_k_quantize__avx2(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, int32_t zero,
                                int32_t lo, int32_t hi)
{
    const grid g = grid_of(scale, zero, lo, hi);
    const __m256i low_byte = _mm256_set1_epi32(255), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    int64_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W) {
        __m256i q[4];
        __m256 inside[4];
        for (int k = 0; k < 4; k++)
            q[k] = _mm256_and_si256(quantize8(_mm256_loadu_ps(x + i + k * W), &g, &inside[k]), low_byte);
        const __m256i words0 = _mm256_packus_epi32(q[0], q[1]), words1 = _mm256_packus_epi32(q[2], q[3]);
        /* packing works within halves of 128 bits, so groups of four bytes come out shuffled */
        const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(words0, words1), order);
        _mm256_storeu_si256((__m256i *)(void *)(codes + i), bytes);
        for (int k = 0; mask && k < 4; k++)
            mask[i / 8 + k] = (uint8_t)_mm256_movemask_ps(inside[k]);
    }
    if (i < n)
        nb_k_quantize__scalar(codes + i, mask ? mask + i / 8 : NULL, x + i, n - i, scale, zero, lo, hi);
}

TARGET void nb_k_dequantize__avx2(float *y, const uint8_t *codes, int64_t n, float scale, int32_t zero,
                                  int32_t is_signed)
{
    const __m256 s = _mm256_set1_ps(scale);
    const __m256i z = _mm256_set1_epi32(zero);
    int64_t i = 0;
    for (; i + W <= n; i += W) {
        const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(codes + i));
        const __m256i q = is_signed ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
        _mm256_storeu_ps(y + i, _mm256_mul_ps(s, _mm256_cvtepi32_ps(_mm256_sub_epi32(q, z))));
    }
    if (i < n)
        nb_k_dequantize__scalar(y + i, codes + i, n - i, scale, zero, is_signed);
}

TARGET void nb_k_ste_backward__avx2(float *dx, const float *dy, const uint8_t *mask, int64_t n, int32_t add)
{
    int64_t i = 0;
    for (; i + W <= n; i += W) {
        __m256 g = where(_mm256_loadu_ps(dy + i), mask + i / 8);
        if (add)
            g = _mm256_add_ps(_mm256_loadu_ps(dx + i), g);
        _mm256_storeu_ps(dx + i, g);
    }
    if (i < n)
        nb_k_ste_backward__scalar(dx + i, dy + i, mask + i / 8, n - i, add);
}

INLINE __m256d low(__m256 v)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}

INLINE __m256d high(__m256 v)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}

/* The doubles of up to 8 channels, in halves. */
typedef struct {
    __m256d low, high;
} sums;

INLINE sums sums_load(const double *p, int32_t n)
{
    double d[W] = {0};
    memcpy(d, p, (size_t)(n < W ? n : W) * sizeof *d);
    return (sums){_mm256_loadu_pd(d), _mm256_loadu_pd(d + 4)};
}

INLINE void sums_store(double *p, sums s, int32_t n)
{
    double d[W];
    _mm256_storeu_pd(d, s.low);
    _mm256_storeu_pd(d + 4, s.high);
    memcpy(p, d, (size_t)(n < W ? n : W) * sizeof *d);
}

/* Statistics of 8 channels. */
typedef struct {
    sums s, q;
    __m256 min, max, nan;
} stats;

INLINE stats stats_load(const double *sum, const double *sumsq, const float *min, const float *max, int32_t n)
{
    const __m256i m = lanes(n);
    stats t = {.s = sums_load(sum, n), .q = sums_load(sumsq, n), .nan = _mm256_setzero_ps()};
    if (min) {
        t.min = load(min, n, m);
        t.max = load(max, n, m);
        t.nan = _mm256_cmp_ps(t.min, t.max, _CMP_UNORD_Q);
    }
    return t;
}

INLINE void stats_store(double *sum, double *sumsq, float *min, float *max, const stats *t, int32_t n)
{
    const __m256i m = lanes(n);
    sums_store(sum, t->s, n);
    sums_store(sumsq, t->q, n);
    if (min) { /* adding +0 takes the sign from -0: which of the two came first must not show */
        store(min, _mm256_or_ps(_mm256_add_ps(t->min, _mm256_setzero_ps()), t->nan), n, m);
        store(max, _mm256_or_ps(_mm256_add_ps(t->max, _mm256_setzero_ps()), t->nan), n, m);
    }
}

/* Squares of floats are exact in double, so the fused form rounds as the plain one does. */
INLINE void stats_add(stats *t, __m256 v, int extremes)
{
    const __m256d l = low(v), h = high(v);
    t->s.low = _mm256_add_pd(t->s.low, l);
    t->s.high = _mm256_add_pd(t->s.high, h);
    t->q.low = _mm256_fmadd_pd(l, l, t->q.low);
    t->q.high = _mm256_fmadd_pd(h, h, t->q.high);
    if (extremes) {
        t->min = _mm256_min_ps(v, t->min);
        t->max = _mm256_max_ps(v, t->max);
        t->nan = _mm256_or_ps(t->nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    }
}

INLINE void channel_stats(double *sum, double *sumsq, float *min, float *max, const float *x, int64_t rows, int32_t c)
{
    for (int32_t j = 0; j < c; j += 2 * W) { /* 16 channels: eight sums in flight hide the latency of an addition */
        const int32_t n = c - j, n1 = n - W;
        const __m256i m = lanes(n), m1 = lanes(n1);
        stats t = stats_load(sum + j, sumsq + j, min ? min + j : NULL, max ? max + j : NULL, n), t1 = {0};
        if (n1 > 0)
            t1 = stats_load(sum + j + W, sumsq + j + W, min ? min + j + W : NULL, max ? max + j + W : NULL, n1);
        const float *p = x + j;
        for (int64_t r = 0; r < rows; r++, p += c) {
            stats_add(&t, load(p, n, m), min != NULL);
            if (n1 > 0)
                stats_add(&t1, load(p + W, n1, m1), min != NULL);
        }
        stats_store(sum + j, sumsq + j, min ? min + j : NULL, max ? max + j : NULL, &t, n);
        if (n1 > 0)
            stats_store(sum + j + W, sumsq + j + W, min ? min + j + W : NULL, max ? max + j + W : NULL, &t1, n1);
    }
}

TARGET void nb_k_channel_stats__avx2(double *sum, double *sumsq, float *min, float *max, const float *x, int64_t rows,
                                     int32_t c)
{
    if (min)
        channel_stats(sum, sumsq, min, max, x, rows, c);
    else
        channel_stats(sum, sumsq, NULL, NULL, x, rows, c);
}

TARGET void nb_k_channel_affine__avx2(float *y, const float *x, const float *a, const float *b, int64_t rows, int32_t c)
{
    const __m256i m = lanes(c % W);
    for (int64_t r = 0; r < rows; r++, x += c, y += c)
        for (int32_t j = 0; j < c; j += W) {
            const int32_t n = c - j;
            const __m256 ax = _mm256_mul_ps(load(x + j, n, m), load(a + j, n, m));
            store(y + j, _mm256_add_ps(ax, load(b + j, n, m)), n, m);
        }
}

/* A block's sums in float, then into the doubles. */
INLINE void add_block(sums *s, __m256 block)
{
    s->low = _mm256_add_pd(s->low, low(block));
    s->high = _mm256_add_pd(s->high, high(block));
}

INLINE __m256 masked(__m256 g, const uint8_t *mask)
{
    return mask ? where(g, mask) : g;
}

/* Channels j.. of all rows, one or two vectors wide; mask is NULL or the rows' bits. */
INLINE void grad_sums(double *sum_dy, double *sum_dyx, const float *dy, const uint8_t *mask, const float *x,
                      const float *mean, int64_t rows, int32_t c, int32_t j, int two)
{
    const int32_t n = two ? W : c - j, n1 = c - j - W;
    const __m256i m = lanes(n), m1 = lanes(n1);
    const __m256 mu = load(mean + j, n, m), mu1 = two ? load(mean + j + W, n1, m1) : mu;
    sums s = sums_load(sum_dy + j, n), q = sums_load(sum_dyx + j, n), s1 = {0}, q1 = {0};
    const int64_t stride = (c + 7) / 8;
    if (two) {
        s1 = sums_load(sum_dy + j + W, n1);
        q1 = sums_load(sum_dyx + j + W, n1);
    }
    for (int64_t r = 0; r < rows;) {
        __m256 bs = _mm256_setzero_ps(), bq = bs, bs1 = bs, bq1 = bs;
        for (int64_t end = r + NB_GRAD_BLOCK < rows ? r + NB_GRAD_BLOCK : rows; r < end; r++) {
            const float *px = x + r * c + j, *pdy = dy + r * c + j;
            const uint8_t *bits = mask ? mask + r * stride + j / W : NULL;
            const __m256 g = masked(load(pdy, n, m), bits);
            bs = _mm256_add_ps(bs, g);
            bq = _mm256_add_ps(bq, _mm256_mul_ps(g, _mm256_sub_ps(load(px, n, m), mu)));
            if (two) {
                const __m256 g1 = masked(load(pdy + W, n1, m1), mask ? bits + 1 : NULL);
                bs1 = _mm256_add_ps(bs1, g1);
                bq1 = _mm256_add_ps(bq1, _mm256_mul_ps(g1, _mm256_sub_ps(load(px + W, n1, m1), mu1)));
            }
        }
        add_block(&s, bs);
        add_block(&q, bq);
        if (two) {
            add_block(&s1, bs1);
            add_block(&q1, bq1);
        }
    }
    sums_store(sum_dy + j, s, n);
    sums_store(sum_dyx + j, q, n);
    if (two) {
        sums_store(sum_dy + j + W, s1, n1);
        sums_store(sum_dyx + j + W, q1, n1);
    }
}

TARGET void nb_k_channel_grad_sums__avx2(double *sum_dy, double *sum_dyx, const float *dy, const uint8_t *mask,
                                         const float *x, const float *mean, int64_t rows, int32_t c)
{
    for (int32_t j = 0; j < c; j += 2 * W) {
        if (mask && c - j > W)
            grad_sums(sum_dy, sum_dyx, dy, mask, x, mean, rows, c, j, 1);
        else if (mask)
            grad_sums(sum_dy, sum_dyx, dy, mask, x, mean, rows, c, j, 0);
        else if (c - j > W)
            grad_sums(sum_dy, sum_dyx, dy, NULL, x, mean, rows, c, j, 1);
        else
            grad_sums(sum_dy, sum_dyx, dy, NULL, x, mean, rows, c, j, 0);
    }
}

INLINE void channel_grad(float *dx, const float *dy, const uint8_t *mask, const float *x, const nb_kgrad *k,
                         int64_t rows, int32_t c, int add)
{
    const __m256i m = lanes(c % W);
    const int64_t stride = (c + 7) / 8;
    for (int64_t r = 0; r < rows; r++, x += c, dy += c, dx += c)
        for (int32_t j = 0; j < c; j += W) {
            const int32_t n = c - j;
            const __m256 d = masked(load(dy + j, n, m), mask ? mask + r * stride + j / W : NULL);
            __m256 g = _mm256_add_ps(_mm256_mul_ps(load(k->a + j, n, m), d),
                                     _mm256_mul_ps(load(k->b + j, n, m), load(x + j, n, m)));
            g = _mm256_add_ps(g, load(k->d + j, n, m));
            if (add)
                g = _mm256_add_ps(load(dx + j, n, m), g);
            store(dx + j, g, n, m);
        }
}

TARGET void nb_k_channel_grad__avx2(float *dx, const float *dy, const uint8_t *mask, const float *x, const nb_kgrad *k,
                                    int64_t rows, int32_t c, int32_t add)
{
    if (mask && !add)
        channel_grad(dx, dy, mask, x, k, rows, c, 0);
    else if (mask)
        channel_grad(dx, dy, mask, x, k, rows, c, 1);
    else
        channel_grad(dx, dy, NULL, x, k, rows, c, add);
}

TARGET void nb_k_acc_to_real__avx2(float *y, const int32_t *acc, const int32_t *bias, const float *scale,
                                   const float *shift, int64_t rows, int32_t c)
{
    const __m256i m = lanes(c % W);
    for (int64_t r = 0; r < rows; r++, acc += c, y += c)
        for (int32_t j = 0; j < c; j += W) {
            const int32_t n = c - j;
            const __m256i mask = n >= W ? lanes(W) : m;
            const __m256i sum =
                _mm256_add_epi32(_mm256_maskload_epi32(acc + j, mask), _mm256_maskload_epi32(bias + j, mask));
            const __m256 real = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), load(scale + j, n, m));
            store(y + j, _mm256_add_ps(real, load(shift + j, n, m)), n, m);
        }
}
#else
typedef int nb_not_here; /* ISO C wants a declaration */
#endif
