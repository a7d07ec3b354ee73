/* eltwise_avx2.c - the sweeps with AVX2, bit-equal to eltwise_scalar.c: the same operations in the same order per
 * value.
 *
 * Channels go 8 at a time; the last c % 8 are read and written under a mask, which never touches memory beyond them. */
#include "fkernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#    include <immintrin.h>
#    include <math.h>
#    include <string.h>

#    define TARGET __attribute__((target("avx2,fma")))
#    define INLINE static inline __attribute__((always_inline)) TARGET

enum { W = 8 };

/* The first n lanes on; n >= W is all. */
INLINE __m256i lanes(int32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE __m256 load(const float *p, int32_t n, __m256i mask)
{
    return n >= W ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, mask);
}

INLINE void store(float *p, __m256 v, int32_t n, __m256i mask)
{
    if (n >= W)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, mask, v);
}

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

typedef struct {
    __m256 scale, first, last;
    __m256i zero;
} grid;

/* Codes of 8 floats as 32-bit integers; bit k of *inside: the unclamped code of x[k] is on the grid. */
INLINE __m256i quantize8(const float *x, const grid *g, int *inside)
{
    __m256 r =
        _mm256_round_ps(_mm256_div_ps(_mm256_loadu_ps(x), g->scale), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    *inside = _mm256_movemask_ps(
        _mm256_and_ps(_mm256_cmp_ps(r, g->first, _CMP_GE_OQ), _mm256_cmp_ps(r, g->last, _CMP_LE_OQ)));
    r = _mm256_and_ps(r, _mm256_cmp_ps(r, r, _CMP_ORD_Q)); /* NaN becomes 0 */
    r = _mm256_min_ps(_mm256_max_ps(r, g->first), g->last);
    return _mm256_add_epi32(_mm256_cvtps_epi32(r), g->zero);
}

TARGET void nb_k_quantize__avx2(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, int32_t zero,
                                int32_t lo, int32_t hi)
{
    const grid g = {_mm256_set1_ps(scale), _mm256_set1_ps((float)(lo - zero)), _mm256_set1_ps((float)(hi - zero)),
                    _mm256_set1_epi32(zero)};
    const __m256i low_byte = _mm256_set1_epi32(255), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    int64_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W) {
        __m256i q[4];
        int inside[4];
        for (int k = 0; k < 4; k++)
            q[k] = _mm256_and_si256(quantize8(x + i + k * W, &g, &inside[k]), low_byte);
        const __m256i words0 = _mm256_packus_epi32(q[0], q[1]), words1 = _mm256_packus_epi32(q[2], q[3]);
        /* packing works within halves of 128 bits, so groups of four bytes come out shuffled */
        const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(words0, words1), order);
        _mm256_storeu_si256((__m256i *)(void *)(codes + i), bytes);
        for (int k = 0; mask && k < 4; k++)
            mask[i / 8 + k] = (uint8_t)inside[k];
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
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    int64_t i = 0;
    for (; i + W <= n; i += W) {
        const __m256i m = _mm256_and_si256(_mm256_set1_epi32(mask[i / 8]), bits);
        __m256 g = _mm256_and_ps(_mm256_loadu_ps(dy + i), _mm256_castsi256_ps(_mm256_cmpeq_epi32(m, bits)));
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

/* Squares of floats are exact in double, so the fused form rounds as the plain one does. */
INLINE void add_squares(sums *s, sums *q, __m256 v)
{
    const __m256d l = low(v), h = high(v);
    s->low = _mm256_add_pd(s->low, l);
    s->high = _mm256_add_pd(s->high, h);
    q->low = _mm256_fmadd_pd(l, l, q->low);
    q->high = _mm256_fmadd_pd(h, h, q->high);
}

TARGET void nb_k_channel_sums__avx2(double *sum, double *sumsq, const float *x, int64_t rows, int32_t c)
{
    for (int32_t j = 0; j < c; j += 2 * W) { /* 16 channels: eight sums in flight hide the latency of an addition */
        const int32_t n = c - j, n1 = n - W;
        const __m256i m = lanes(n), m1 = lanes(n1);
        sums s = sums_load(sum + j, n), q = sums_load(sumsq + j, n), s1 = {0}, q1 = {0};
        if (n1 > 0) {
            s1 = sums_load(sum + j + W, n1);
            q1 = sums_load(sumsq + j + W, n1);
        }
        const float *p = x + j;
        for (int64_t r = 0; r < rows; r++, p += c) {
            add_squares(&s, &q, load(p, n, m));
            if (n1 > 0)
                add_squares(&s1, &q1, load(p + W, n1, m1));
        }
        sums_store(sum + j, s, n);
        sums_store(sumsq + j, q, n);
        if (n1 > 0) {
            sums_store(sum + j + W, s1, n1);
            sums_store(sumsq + j + W, q1, n1);
        }
    }
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

TARGET void nb_k_channel_grad_sums__avx2(double *sum_dy, double *sum_dyx, const float *dy, const float *x,
                                         const float *mean, int64_t rows, int32_t c)
{
    for (int32_t j = 0; j < c; j += W) {
        const int32_t n = c - j;
        const __m256i m = lanes(n);
        const __m256 mu = load(mean + j, n, m);
        const __m256d mu_low = low(mu), mu_high = high(mu);
        sums s = sums_load(sum_dy + j, n), q = sums_load(sum_dyx + j, n);
        const float *px = x + j, *pdy = dy + j;
        for (int64_t r = 0; r < rows; r++, px += c, pdy += c) {
            const __m256 vx = load(px, n, m), vg = load(pdy, n, m);
            const __m256d gl = low(vg), gh = high(vg);
            s.low = _mm256_add_pd(s.low, gl);
            s.high = _mm256_add_pd(s.high, gh);
            q.low = _mm256_add_pd(q.low, _mm256_mul_pd(gl, _mm256_sub_pd(low(vx), mu_low)));
            q.high = _mm256_add_pd(q.high, _mm256_mul_pd(gh, _mm256_sub_pd(high(vx), mu_high)));
        }
        sums_store(sum_dy + j, s, n);
        sums_store(sum_dyx + j, q, n);
    }
}

TARGET void nb_k_channel_grad__avx2(float *dx, const float *dy, const float *x, const float *a, const float *b,
                                    const float *d, int64_t rows, int32_t c, int32_t add)
{
    const __m256i m = lanes(c % W);
    for (int64_t r = 0; r < rows; r++, x += c, dy += c, dx += c)
        for (int32_t j = 0; j < c; j += W) {
            const int32_t n = c - j;
            __m256 g = _mm256_add_ps(_mm256_mul_ps(load(a + j, n, m), load(dy + j, n, m)),
                                     _mm256_mul_ps(load(b + j, n, m), load(x + j, n, m)));
            g = _mm256_add_ps(g, load(d + j, n, m));
            if (add)
                g = _mm256_add_ps(load(dx + j, n, m), g);
            store(dx + j, g, n, m);
        }
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
