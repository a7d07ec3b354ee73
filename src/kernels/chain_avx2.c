/* chain_avx2.c - the sweeps of fused chains with AVX2, bit-equal to chain_scalar.c. */
#include "fkernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#    include "eltwise_avx2.h"

#    include <math.h>
#    include <string.h>

typedef struct {
    __m256 cap;
    int relu; /* a constant at every inlined use */
} limits;

INLINE __m256 all_lanes(void)
{
    return _mm256_castsi256_ps(_mm256_set1_epi32(-1));
}

/* max and min return their second operand for NaN and for zeros of two signs, as the comparisons of the scalar one do.
 */
INLINE __m256 clamp8(__m256 v, const limits *k, __m256 *pass)
{
    *pass = all_lanes();
    if (!k->relu)
        return v;
    v = _mm256_min_ps(k->cap, _mm256_max_ps(_mm256_setzero_ps(), v));
    *pass = _mm256_and_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ), _mm256_cmp_ps(v, k->cap, _CMP_LT_OQ));
    return v;
}

INLINE void put_bits(uint8_t *mask, __m256 pass, int32_t n)
{
    const int bits = _mm256_movemask_ps(pass);
    *mask = (uint8_t)(n >= W ? bits : bits & ((1 << n) - 1));
}

INLINE void put_codes(uint8_t *codes, __m256i q, int32_t n)
{
    const __m128i bytes = bytes8(q);
    if (n >= W) {
        _mm_storel_epi64((__m128i *)(void *)codes, bytes);
        return;
    }
    uint8_t b[16];
    _mm_storeu_si128((__m128i *)(void *)b, bytes);
    memcpy(codes, b, (size_t)n);
}

/* codes or y is NULL. */
INLINE void map(uint8_t *codes, float *y, uint8_t *mask, const float *x, const nb_kmap *p, const grid *g, int64_t rows,
                int32_t c, int relu)
{
    const __m256i m = lanes(c % W);
    const limits k = {_mm256_set1_ps(p->clamp.cap), relu};
    const int64_t stride = nb_mask_bytes(c);
    for (int64_t r = 0; r < rows; r++) {
        const int64_t at = r * c;
        for (int32_t j = 0; j < c; j += W) {
            const int32_t n = c - j;
            const __m256 ax = _mm256_mul_ps(load(x + at + j, n, m), load(p->a + j, n, m));
            __m256 pass, inside;
            const __m256 v = clamp8(_mm256_add_ps(ax, load(p->b + j, n, m)), &k, &pass);
            if (codes) {
                put_codes(codes + at + j, quantize8(v, g, &inside), n);
                pass = _mm256_and_ps(pass, inside);
            } else {
                store(y + at + j, v, n, m);
            }
            if (mask)
                put_bits(mask + r * stride + j / W, pass, n);
        }
    }
}

TARGET void nb_k_map_float__avx2(float *y, uint8_t *mask, const float *x, const nb_kmap *m, int64_t rows, int32_t c)
{
    if (m->clamp.relu)
        map(NULL, y, mask, x, m, NULL, rows, c, 1);
    else
        map(NULL, y, mask, x, m, NULL, rows, c, 0);
}

TARGET void nb_k_map_codes__avx2(uint8_t *codes, uint8_t *mask, const float *x, const nb_kmap *m, const nb_kgrid *g,
                                 int64_t rows, int32_t c)
{
    const grid to = grid_of(g->scale, g->zero, g->lo, g->hi);
    if (m->clamp.relu)
        map(codes, NULL, mask, x, m, &to, rows, c, 1);
    else
        map(codes, NULL, mask, x, m, &to, rows, c, 0);
}

/* A join with its constants in registers; n_in, codes and relu are constants at every inlined use. */
typedef struct {
    const uint8_t *data[2]; /* floats are read at 4 times the offset */
    __m256 scale[2];
    __m256i zero[2];
    __m128i flip[2]; /* the top bit of s8 codes: flipped, they are u8 with 128 added */
    limits k;
    int n_in, codes;
} operands;

INLINE operands operands_of(const nb_kjoin *j, int n_in, int codes, int relu)
{
    operands o = {
        .k = {_mm256_set1_ps(j->clamp.cap), relu},
          .n_in = n_in, .codes = codes
    };
    for (int i = 0; i < n_in; i++) {
        const int32_t flip = j->in[i].is_signed ? 128 : 0;
        o.data[i] = j->in[i].data;
        o.scale[i] = _mm256_set1_ps(j->in[i].scale);
        o.zero[i] = _mm256_set1_epi32(j->in[i].zero + flip);
        o.flip[i] = _mm_set1_epi8((char)flip);
    }
    return o;
}

INLINE __m256 operand8(const operands *o, int i, int64_t at)
{
    if (!o->codes)
        return _mm256_loadu_ps((const float *)(const void *)o->data[i] + at);
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(o->data[i] + at));
    const __m256i q = _mm256_sub_epi32(_mm256_cvtepu8_epi32(_mm_xor_si128(bytes, o->flip[i])), o->zero[i]);
    return _mm256_mul_ps(o->scale[i], _mm256_cvtepi32_ps(q));
}

INLINE __m256 joined8(const operands *o, int64_t at, __m256 *pass)
{
    __m256 v = operand8(o, 0, at);
    if (o->n_in > 1)
        v = _mm256_add_ps(v, operand8(o, 1, at));
    return clamp8(v, &o->k, pass);
}

/* The part of a join behind the last full vector, for the scalar sweep. */
static nb_kjoin rest_of(const nb_kjoin *j, int64_t at)
{
    nb_kjoin rest = *j;
    for (int32_t i = 0; i < j->n_in; i++)
        rest.in[i].data = (const uint8_t *)j->in[i].data + at * (j->codes ? 1 : (int64_t)sizeof(float));
    return rest;
}

/* Calls sweep(..., n_in, codes, relu) with constants for each of the cases. */
#    define JOIN_CASES(j, sweep, ...)                                                                                  \
        do {                                                                                                           \
            if ((j)->codes && (j)->clamp.relu)                                                                         \
                (j)->n_in > 1 ? sweep(__VA_ARGS__, 2, 1, 1) : sweep(__VA_ARGS__, 1, 1, 1);                             \
            else if ((j)->codes)                                                                                       \
                (j)->n_in > 1 ? sweep(__VA_ARGS__, 2, 1, 0) : sweep(__VA_ARGS__, 1, 1, 0);                             \
            else if ((j)->clamp.relu)                                                                                  \
                (j)->n_in > 1 ? sweep(__VA_ARGS__, 2, 0, 1) : sweep(__VA_ARGS__, 1, 0, 1);                             \
            else                                                                                                       \
                (j)->n_in > 1 ? sweep(__VA_ARGS__, 2, 0, 0) : sweep(__VA_ARGS__, 1, 0, 0);                             \
        } while (0)

INLINE void minmax(float *min, float *max, const nb_kjoin *j, int64_t n, int n_in, int codes, int relu)
{
    const operands o = operands_of(j, n_in, codes, relu);
    __m256 lo0 = _mm256_set1_ps(INFINITY), hi0 = _mm256_set1_ps(-INFINITY), lo1 = lo0, hi1 = hi0, pass;
    __m256 bad = _mm256_setzero_ps();
    int64_t i = 0;
    for (; i + 2 * W <= n; i += 2 * W) {
        const __m256 a = joined8(&o, i, &pass), b = joined8(&o, i + W, &pass);
        lo0 = _mm256_min_ps(a, lo0);
        hi0 = _mm256_max_ps(a, hi0);
        lo1 = _mm256_min_ps(b, lo1);
        hi1 = _mm256_max_ps(b, hi1);
        bad = _mm256_or_ps(bad, _mm256_cmp_ps(a, b, _CMP_UNORD_Q));
    }
    float l[W + 1], h[W + 1], lo = INFINITY, hi = -INFINITY;
    _mm256_storeu_ps(l, _mm256_min_ps(lo0, lo1));
    _mm256_storeu_ps(h, _mm256_max_ps(hi0, hi1));
    int nan = _mm256_movemask_ps(bad), count = W;
    if (i < n) {
        const nb_kjoin rest = rest_of(j, i);
        nb_k_join_minmax__scalar(&l[W], &h[W], &rest, n - i);
        nan |= l[W] != l[W];
        count++;
    }
    for (int k = 0; k < count; k++) {
        lo = l[k] < lo ? l[k] : lo;
        hi = h[k] > hi ? h[k] : hi;
    }
    *min = nan ? NAN : lo + 0.0f;
    *max = nan ? NAN : hi + 0.0f;
}

TARGET void nb_k_join_minmax__avx2(float *min, float *max, const nb_kjoin *j, int64_t n)
{
    JOIN_CASES(j, minmax, min, max, j, n);
}

INLINE void to_float(float *y, uint8_t *mask, const nb_kjoin *j, int64_t n, int n_in, int codes, int relu)
{
    const operands o = operands_of(j, n_in, codes, relu);
    for (int64_t i = 0; i + W <= n; i += W) {
        __m256 pass;
        _mm256_storeu_ps(y + i, joined8(&o, i, &pass));
        if (mask)
            put_bits(mask + i / W, pass, W);
    }
}

TARGET void nb_k_join_float__avx2(float *y, uint8_t *mask, const nb_kjoin *j, int64_t n)
{
    JOIN_CASES(j, to_float, y, mask, j, n);
    const int64_t at = n / W * W;
    const nb_kjoin rest = rest_of(j, at);
    if (at < n)
        nb_k_join_float__scalar(y + at, mask ? mask + at / W : NULL, &rest, n - at);
}

INLINE void to_codes(uint8_t *codes_out, uint8_t *mask, const nb_kjoin *j, const grid *g, int64_t n, int n_in,
                     int codes, int relu)
{
    const operands o = operands_of(j, n_in, codes, relu);
    for (int64_t i = 0; i + W <= n; i += W) {
        __m256 pass, inside;
        const __m256 v = joined8(&o, i, &pass);
        put_codes(codes_out + i, quantize8(v, g, &inside), W);
        if (mask)
            put_bits(mask + i / W, _mm256_and_ps(pass, inside), W);
    }
}

TARGET void nb_k_join_codes__avx2(uint8_t *codes, uint8_t *mask, const nb_kjoin *j, const nb_kgrid *g, int64_t n)
{
    const grid to = grid_of(g->scale, g->zero, g->lo, g->hi);
    JOIN_CASES(j, to_codes, codes, mask, j, &to, n);
    const int64_t at = n / W * W;
    const nb_kjoin rest = rest_of(j, at);
    if (at < n)
        nb_k_join_codes__scalar(codes + at, mask ? mask + at / W : NULL, &rest, g, n - at);
}
#else
typedef int nb_not_here; /* ISO C wants a declaration */
#endif
