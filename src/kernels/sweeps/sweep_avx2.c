/* sweep_avx2.c - the sweeps with AVX2, bit-equal to sweep_scalar.c: the same operations in the same order per
 * value.
 *
 * Channels go 8 at a time; the last c % 8 are read and written under a mask, which never touches memory beyond them. */
#include "kernels/sweeps/sweep_isa.h"

#ifdef NB_WITH_AVX2
#    include "kernels/sweeps/sweep_avx2.h"

#    include <math.h>
#    include <string.h>

TARGET static void minmax(float *min, float *max, const float *x, int64_t n)
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

TARGET static void quantize(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, int32_t zero,
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
        nb_sweep_scalar.quantize(codes + i, mask ? mask + i / 8 : NULL, x + i, n - i, scale, zero, lo, hi);
}

TARGET static void dequantize(float *y, const uint8_t *codes, int64_t n, float scale, int32_t zero, int32_t is_signed)
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
        nb_sweep_scalar.dequantize(y + i, codes + i, n - i, scale, zero, is_signed);
}

TARGET static void ste_backward(float *dx, const float *dy, const uint8_t *mask, int64_t n, int32_t add)
{
    int64_t i = 0;
    for (; i + W <= n; i += W) {
        __m256 g = where(_mm256_loadu_ps(dy + i), mask + i / 8);
        if (add)
            g = _mm256_add_ps(_mm256_loadu_ps(dx + i), g);
        _mm256_storeu_ps(dx + i, g);
    }
    if (i < n)
        nb_sweep_scalar.ste_backward(dx + i, dy + i, mask + i / 8, n - i, add);
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

enum { SUM_BLOCK = 16 }; /* rows between loading sums and storing them */

/* The doubles of 16 channels. */
typedef struct {
    sums s[2];
} sums16;

INLINE sums16 load_sums16(const double *p, int32_t n, int full)
{
    if (full)
        return (sums16){
            {{_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}, {_mm256_loadu_pd(p + 8), _mm256_loadu_pd(p + 12)}}};
    return (sums16){{sums_load(p, n), n > W ? sums_load(p + W, n - W) : (sums){{0}, {0}}}};
}

INLINE void store_sums16(double *p, const sums16 *a, int32_t n, int full)
{
    if (full) {
        for (int i = 0; i < 2; i++) {
            _mm256_storeu_pd(p + 8 * i, a->s[i].low);
            _mm256_storeu_pd(p + 8 * i + 4, a->s[i].high);
        }
        return;
    }
    sums_store(p, a->s[0], n);
    if (n > W)
        sums_store(p + W, a->s[1], n - W);
}

INLINE int any_nan(const sums *s)
{
    return _mm256_movemask_pd(_mm256_cmp_pd(s->low, s->high, _CMP_UNORD_Q));
}

/* The rare case: a sum is NaN, from a NaN or from two infinities. */
static void find_nans(float *min, float *max, const float *x, int64_t rows, int32_t c, int32_t n)
{
    for (int64_t r = 0; r < rows; r++)
        for (int32_t j = 0; j < n; j++)
            if (x[r * c + j] != x[r * c + j])
                min[j] = max[j] = NAN;
}

/* Squares of floats are exact in double, so the fused form rounds as the plain one does. min and max keep a NaN they
 * begin with, but pass over those of x: the sum tells that there was one. */
INLINE void stats_block(double *sum, double *sumsq, float *min, float *max, const float *x, int32_t c, int64_t from,
                        int64_t to, int32_t j, int full)
{
    const int32_t n = full ? 2 * W : c - j;
    sums16 s = load_sums16(sum + j, n, full), q = load_sums16(sumsq + j, n, full);
    pair lo = {{{0}}}, hi = {{{0}}};
    if (min) {
        lo = load16(min + j, n, full);
        hi = load16(max + j, n, full);
    }
    for (int64_t r = from; r < to; r++) {
        const pair v = load16(x + r * c + j, n, full);
        for (int i = 0; i < 2; i++) {
            const __m256d l = low(v.v[i]), h = high(v.v[i]);
            s.s[i].low = _mm256_add_pd(s.s[i].low, l);
            s.s[i].high = _mm256_add_pd(s.s[i].high, h);
            q.s[i].low = _mm256_fmadd_pd(l, l, q.s[i].low);
            q.s[i].high = _mm256_fmadd_pd(h, h, q.s[i].high);
            if (min) {
                lo.v[i] = _mm256_min_ps(v.v[i], lo.v[i]);
                hi.v[i] = _mm256_max_ps(v.v[i], hi.v[i]);
            }
        }
    }
    store_sums16(sum + j, &s, n, full);
    store_sums16(sumsq + j, &q, n, full);
    if (!min)
        return;
    for (int i = 0; i < 2; i++) { /* adding +0 takes the sign from -0: which of the two came first must not show */
        lo.v[i] = _mm256_add_ps(lo.v[i], _mm256_setzero_ps());
        hi.v[i] = _mm256_add_ps(hi.v[i], _mm256_setzero_ps());
    }
    store16(min + j, lo, n, full);
    store16(max + j, hi, n, full);
    if (any_nan(&s.s[0]) || any_nan(&s.s[1]))
        find_nans(min + j, max + j, x + from * c + j, to - from, c, n < 2 * W ? n : 2 * W);
}

TARGET static void channel_stats(double *sum, double *sumsq, float *min, float *max, const float *x, int64_t rows,
                                 int32_t c)
{
    if (min)
        FOR_BLOCKS(SUM_BLOCK, rows, c, stats_block, sum, sumsq, min, max, x, c)
    else
        FOR_BLOCKS(SUM_BLOCK, rows, c, stats_block, sum, sumsq, NULL, NULL, x, c)
}

TARGET static void channel_affine(float *y, const float *x, const float *a, const float *b, int64_t rows, int32_t c)
{
    const __m256i m = lanes(c % W);
    for (int64_t r = 0; r < rows; r++, x += c, y += c)
        for (int32_t j = 0; j < c; j += W) {
            const int32_t n = c - j;
            const __m256 ax = _mm256_mul_ps(load(x + j, n, m), load(a + j, n, m));
            store(y + j, _mm256_add_ps(ax, load(b + j, n, m)), n, m);
        }
}

/* Sums of a few rows in float go into the doubles. */
INLINE void add_floats(sums16 *s, const pair *block)
{
    for (int i = 0; i < 2; i++) {
        s->s[i].low = _mm256_add_pd(s->s[i].low, low(block->v[i]));
        s->s[i].high = _mm256_add_pd(s->s[i].high, high(block->v[i]));
    }
}

INLINE pair masked(const float *dy, const uint8_t *mask, int32_t n, int full)
{
    const pair g = load16(dy, n, full);
    return mask ? where16(g, mask, n, full) : g;
}

_Static_assert(SUM_BLOCK % NB_GRAD_BLOCK == 0, "rows that are summed together are summed in floats together");

INLINE void grad_sums_block(double *sum_dy, double *sum_dyx, const float *dy, const uint8_t *mask, const float *x,
                            const float *mean, int32_t c, int64_t from, int64_t to, int32_t j, int full)
{
    const int32_t n = full ? 2 * W : c - j;
    const int64_t stride = nb_mask_bytes(c);
    const pair mu = load16(mean + j, n, full);
    sums16 s = load_sums16(sum_dy + j, n, full), q = load_sums16(sum_dyx + j, n, full);
    for (int64_t r = from; r < to;) {
        pair bs = {{_mm256_setzero_ps(), _mm256_setzero_ps()}}, bq = bs;
        for (int64_t end = r + NB_GRAD_BLOCK < to ? r + NB_GRAD_BLOCK : to; r < end; r++) {
            const pair g = masked(dy + r * c + j, mask ? mask + r * stride + j / W : NULL, n, full);
            const pair v = load16(x + r * c + j, n, full);
            for (int i = 0; i < 2; i++) {
                bs.v[i] = _mm256_add_ps(bs.v[i], g.v[i]);
                bq.v[i] = _mm256_add_ps(bq.v[i], _mm256_mul_ps(g.v[i], _mm256_sub_ps(v.v[i], mu.v[i])));
            }
        }
        add_floats(&s, &bs);
        add_floats(&q, &bq);
    }
    store_sums16(sum_dy + j, &s, n, full);
    store_sums16(sum_dyx + j, &q, n, full);
}

enum { WIDE = 128 }; /* channels whose sums in floats stay in the nearest cache */

/* One row more into the float sums of `wide` channels. */
INLINE void grad_sums_row(float *bs, float *bq, const float *dy, const uint8_t *mask, const float *x, const float *mean,
                          int32_t wide)
{
    for (int32_t j = 0; j < wide; j += 2 * W) {
        const pair g = masked(dy + j, mask ? mask + j / W : NULL, 2 * W, 1), v = load16(x + j, 2 * W, 1);
        const pair mu = load16(mean + j, 2 * W, 1);
        pair s = load16(bs + j, 2 * W, 1), q = load16(bq + j, 2 * W, 1);
        for (int i = 0; i < 2; i++) {
            s.v[i] = _mm256_add_ps(s.v[i], g.v[i]);
            q.v[i] = _mm256_add_ps(q.v[i], _mm256_mul_ps(g.v[i], _mm256_sub_ps(v.v[i], mu.v[i])));
        }
        store16(bs + j, s, 2 * W, 1);
        store16(bq + j, q, 2 * W, 1);
    }
}

/* Channels [j, j + wide), whole sixteens, of all rows: NB_GRAD_BLOCK rows one after the other, with sums in memory. */
INLINE void grad_sums_wide(double *sum_dy, double *sum_dyx, const float *dy, const uint8_t *mask, const float *x,
                           const float *mean, int64_t rows, int32_t c, int32_t wide)
{
    const int64_t stride = nb_mask_bytes(c);
    for (int64_t from = 0; from < rows; from += NB_GRAD_BLOCK) {
        float bs[WIDE], bq[WIDE];
        memset(bs, 0, sizeof bs);
        memset(bq, 0, sizeof bq);
        for (int64_t r = from; r < from + NB_GRAD_BLOCK && r < rows; r++)
            grad_sums_row(bs, bq, dy + r * c, mask ? mask + r * stride : NULL, x + r * c, mean, wide);
        for (int32_t j = 0; j < wide; j += 2 * W) {
            const pair s = load16(bs + j, 2 * W, 1), q = load16(bq + j, 2 * W, 1);
            sums16 to_s = load_sums16(sum_dy + j, 2 * W, 1), to_q = load_sums16(sum_dyx + j, 2 * W, 1);
            add_floats(&to_s, &s);
            add_floats(&to_q, &q);
            store_sums16(sum_dy + j, &to_s, 2 * W, 1);
            store_sums16(sum_dyx + j, &to_q, 2 * W, 1);
        }
    }
}

/* Many channels: rows are read in pieces of WIDE, as block_rows() has it elsewhere; what is no sixteen comes last. */
TARGET static void grad_sums_of_long_rows(double *sum_dy, double *sum_dyx, const float *dy, const uint8_t *mask,
                                          const float *x, const float *mean, int64_t rows, int32_t c)
{
    int32_t j = 0;
    for (int32_t n; (n = (c - j < WIDE ? c - j : WIDE) / (2 * W) * (2 * W)) > 0; j += n)
        if (mask)
            grad_sums_wide(sum_dy + j, sum_dyx + j, dy + j, mask + j / W, x + j, mean + j, rows, c, n);
        else
            grad_sums_wide(sum_dy + j, sum_dyx + j, dy + j, NULL, x + j, mean + j, rows, c, n);
    if (j == c)
        return;
    if (mask)
        grad_sums_block(sum_dy, sum_dyx, dy, mask, x, mean, c, 0, rows, j, 0);
    else
        grad_sums_block(sum_dy, sum_dyx, dy, NULL, x, mean, c, 0, rows, j, 0);
}

TARGET static void channel_grad_sums(double *sum_dy, double *sum_dyx, const float *dy, const uint8_t *mask,
                                     const float *x, const float *mean, int64_t rows, int32_t c)
{
    if (c > 4 * W) {
        grad_sums_of_long_rows(sum_dy, sum_dyx, dy, mask, x, mean, rows, c);
        return;
    }
    if (mask)
        FOR_BLOCKS(SUM_BLOCK, rows, c, grad_sums_block, sum_dy, sum_dyx, dy, mask, x, mean, c)
    else
        FOR_BLOCKS(SUM_BLOCK, rows, c, grad_sums_block, sum_dy, sum_dyx, dy, NULL, x, mean, c)
}

INLINE void grad_block(float *dx, const float *dy, const uint8_t *mask, const float *x, const nb_kgrad *k, int add,
                       int32_t c, int64_t from, int64_t to, int32_t j, int full)
{
    const int32_t n = full ? 2 * W : c - j;
    const int64_t stride = nb_mask_bytes(c);
    const pair a = load16(k->a + j, n, full), b = load16(k->b + j, n, full), d = load16(k->d + j, n, full);
    for (int64_t r = from; r < to; r++) {
        const int64_t at = r * c + j;
        pair g = masked(dy + at, mask ? mask + r * stride + j / W : NULL, n, full);
        const pair v = load16(x + at, n, full), old = add ? load16(dx + at, n, full) : g;
        for (int i = 0; i < 2; i++) {
            g.v[i] = _mm256_add_ps(_mm256_mul_ps(a.v[i], g.v[i]), _mm256_mul_ps(b.v[i], v.v[i]));
            g.v[i] = _mm256_add_ps(g.v[i], d.v[i]);
            if (add)
                g.v[i] = _mm256_add_ps(old.v[i], g.v[i]);
        }
        store16(dx + at, g, n, full);
    }
}

TARGET static void channel_grad(float *dx, const float *dy, const uint8_t *mask, const float *x, const nb_kgrad *k,
                                int64_t rows, int32_t c, int32_t add)
{
    if (mask && !add)
        FOR_BLOCKS(block_rows(8, c, 4 * W), rows, c, grad_block, dx, dy, mask, x, k, 0, c)
    else if (mask)
        FOR_BLOCKS(block_rows(8, c, 4 * W), rows, c, grad_block, dx, dy, mask, x, k, 1, c)
    else if (!add)
        FOR_BLOCKS(block_rows(8, c, 4 * W), rows, c, grad_block, dx, dy, NULL, x, k, 0, c)
    else
        FOR_BLOCKS(block_rows(8, c, 4 * W), rows, c, grad_block, dx, dy, NULL, x, k, 1, c)
}

INLINE __m256 real8(const int32_t *acc, const int32_t *bias, __m256 scale, __m256 shift)
{
    const __m256i sum = _mm256_add_epi32(_mm256_loadu_si256((const void *)acc), _mm256_loadu_si256((const void *)bias));
    return _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale), shift);
}

/* Whole vectors of all rows, and the number of channels that this leaves. */
INLINE int32_t real_rows(float *y, const int32_t *acc, const int32_t *bias, const float *scale, const float *shift,
                         int64_t rows, int32_t c)
{
    for (int64_t r = 0; r < rows; r++, acc += c, y += c)
        for (int32_t j = 0; j + W <= c; j += W)
            _mm256_storeu_ps(y + j, real8(acc + j, bias + j, _mm256_loadu_ps(scale + j), _mm256_loadu_ps(shift + j)));
    return c % W;
}

TARGET static void acc_to_real(float *y, const int32_t *acc, const int32_t *bias, const float *scale,
                               const float *shift, int64_t rows, int32_t c)
{
    const int32_t rest = real_rows(y, acc, bias, scale, shift, rows, c), at = c - rest;
    if (rest == 0)
        return;
    const __m256i m = lanes(rest);
    const __m256i b = _mm256_maskload_epi32(bias + at, m);
    const __m256 s = _mm256_maskload_ps(scale + at, m), d = _mm256_maskload_ps(shift + at, m);
    for (int64_t r = 0; r < rows; r++, acc += c, y += c) {
        const __m256i sum = _mm256_add_epi32(_mm256_maskload_epi32(acc + at, m), b);
        _mm256_maskstore_ps(y + at, m, _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), s), d));
    }
}

/* ---- floats with few bits (kernels/reals.c) ---- */

typedef struct {
    __m256 scale, most, first, last;
    __m256i least, up;
} few_bits;

INLINE few_bits few_bits_of(const nb_kreals *t, float scale)
{
    return (few_bits){
        _mm256_set1_ps(scale),   _mm256_set1_ps(t->level[NB_REALS - 1]), _mm256_set1_ps(t->first),
        _mm256_set1_ps(t->last), _mm256_set1_epi32((int32_t)t->least),   _mm256_set1_epi32((int32_t)t->up)};
}

/* The levels next to v; of NaN any. -0 becomes 0. */
INLINE __m256 nearest8(__m256 v, const few_bits *f)
{
    const __m256 sign = _mm256_set1_ps(-0.0f), exponent = _mm256_castsi256_ps(_mm256_set1_epi32(0x7f800000));
    const __m256 size = _mm256_min_ps(_mm256_andnot_ps(sign, v), f->most);
    const __m256i e = _mm256_max_epi32(_mm256_castps_si256(_mm256_and_ps(size, exponent)), f->least);
    const __m256 far = _mm256_castsi256_ps(_mm256_add_epi32(e, f->up));
    const __m256 r = _mm256_sub_ps(_mm256_add_ps(size, far), far);
    return _mm256_add_ps(_mm256_or_ps(r, _mm256_and_ps(sign, v)), _mm256_setzero_ps());
}

INLINE __m256 inside8(__m256 v, const few_bits *f)
{
    return _mm256_and_ps(_mm256_cmp_ps(v, f->first, _CMP_GE_OQ), _mm256_cmp_ps(v, f->last, _CMP_LE_OQ));
}

TARGET static void quantize_reals(float *y, uint8_t *mask, const float *x, int64_t n, float scale, const nb_kreals *t)
{
    const few_bits f = few_bits_of(t, scale);
    int64_t i = 0;
    for (; t->least && i + W <= n; i += W) {
        const __m256 v = _mm256_div_ps(_mm256_loadu_ps(x + i), f.scale);
        const __m256 r = _mm256_and_ps(nearest8(v, &f), _mm256_cmp_ps(v, v, _CMP_ORD_Q)); /* NaN becomes 0 */
        _mm256_storeu_ps(y + i, _mm256_mul_ps(f.scale, r));
        if (mask)
            mask[i / 8] = (uint8_t)_mm256_movemask_ps(inside8(v, &f));
    }
    if (i < n)
        nb_sweep_scalar.quantize_reals(y + i, mask ? mask + i / 8 : NULL, x + i, n - i, scale, t);
}

TARGET static void scale_grad_reals(double *lane, const float *dy, const float *x, float scale, const nb_kreals *t,
                                    int64_t n)
{
    const few_bits f = few_bits_of(t, scale);
    sums16 s = load_sums16(lane, NB_SCALE_LANES, 1);
    int64_t i = 0;
    for (; t->least && i + NB_SCALE_LANES <= n; i += NB_SCALE_LANES)
        for (int k = 0; k < 2; k++) {
            const __m256 v = _mm256_div_ps(_mm256_loadu_ps(x + i + k * W), f.scale), level = nearest8(v, &f);
            const __m256 d = _mm256_blendv_ps(level, _mm256_sub_ps(level, v), inside8(v, &f));
            const __m256 g = _mm256_mul_ps(_mm256_loadu_ps(dy + i + k * W), d);
            /* what is added for NaN: -0 changes nothing */
            const __m256 add = _mm256_blendv_ps(g, _mm256_set1_ps(-0.0f), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
            s.s[k].low = _mm256_add_pd(s.s[k].low, low(add));
            s.s[k].high = _mm256_add_pd(s.s[k].high, high(add));
        }
    store_sums16(lane, &s, NB_SCALE_LANES, 1);
    if (i < n)
        nb_sweep_scalar.scale_grad_reals(lane, dy + i, x + i, scale, t, n - i);
}

/* A lane for each grid, so every sum is added up in the order of the values. */
TARGET static void grid_errors(double *sum, const float *x, int64_t n, const nb_ktries *t)
{
    const __m256 scale = _mm256_loadu_ps(t->scale), first = _mm256_loadu_ps(t->first), last = _mm256_loadu_ps(t->last);
    __m256d s0 = _mm256_loadu_pd(sum), s1 = _mm256_loadu_pd(sum + W / 2);
    for (int64_t i = 0; i < n; i++) {
        const __m256 v = _mm256_set1_ps(x[i]);
        const __m256 q = _mm256_round_ps(_mm256_div_ps(v, scale), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        /* of a NaN the second operand comes back: it stays */
        const __m256 real = _mm256_mul_ps(_mm256_min_ps(last, _mm256_max_ps(first, q)), scale);
        const __m256d wide = _mm256_set1_pd((double)x[i]);
        const __m256d e0 = _mm256_sub_pd(wide, low(real)), e1 = _mm256_sub_pd(wide, high(real));
        s0 = _mm256_add_pd(s0, _mm256_mul_pd(e0, e0));
        s1 = _mm256_add_pd(s1, _mm256_mul_pd(e1, e1));
    }
    _mm256_storeu_pd(sum, s0);
    _mm256_storeu_pd(sum + W / 2, s1);
}

const nb_sweep_isa nb_sweep_avx2 = {
#    define SWEEP(name, parameters, arguments) .name = name,
#    include "kernels/sweeps/sweep_list.def"
};
#endif
