/* fused_sweep_avx2.c - the sweeps of fused chains with AVX2, bit-equal to fused_sweep_scalar.c. */
#include "kernels/sweeps/sweep_isa.h"

#ifdef NB_WITH_AVX2
#    include "kernels/sweeps/sweep_avx2.h"

#    include <math.h>
#    include <string.h>

/* What comes after the sum or product; relu (0: none, 1: without cap, 2: with) is a constant at every inlined use. */
typedef struct {
    __m256 cap;
    int relu;
} limits;

static int relu_kind(const nb_kclamp *k)
{
    return !k->relu ? 0 : k->cap == INFINITY ? 1 : 2;
}

/* max and min return their second operand for NaN and for zeros of two signs, as the comparisons of the scalar one do.
 */
INLINE __m256 clamp8(__m256 v, const limits *k)
{
    return k->relu ? _mm256_min_ps(k->cap, _mm256_max_ps(_mm256_setzero_ps(), v)) : v;
}

/* Where clamp8 passes the gradient of its result v. */
INLINE __m256 passes8(__m256 v, const limits *k)
{
    if (!k->relu)
        return _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    return _mm256_and_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ), _mm256_cmp_ps(v, k->cap, _CMP_LT_OQ));
}

/* The grid in 16-bit integers, wide enough for one step beyond it. */
typedef struct {
    __m256 scale, beyond;
    __m256i zero, lo, hi;
    limits k;
} quantizer;

INLINE quantizer quantizer_of(const nb_kgrid *g, float cap, int relu)
{
    return (quantizer){.scale = _mm256_set1_ps(g->scale),
                       .beyond = _mm256_set1_ps((float)(g->hi - g->zero + 1)),
                       .zero = _mm256_set1_epi16((int16_t)g->zero),
                       .lo = _mm256_set1_epi16((int16_t)g->lo),
                       .hi = _mm256_set1_epi16((int16_t)g->hi),
                       .k = {_mm256_set1_ps(cap), relu}};
}

/* v / scale, rounded, and where the clamp passes. A NaN is 0 and passes nothing; so is what an uncapped relu cuts off,
 * which spares the clamp itself. One step beyond the grid is as good as infinity; far below it, conversion and packing
 * saturate. */
INLINE __m256i steps8(__m256 v, const quantizer *z, __m256 *pass)
{
    if (z->k.relu == 2)
        v = clamp8(v, &z->k);
    *pass = z->k.relu ? _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ) : _mm256_cmp_ps(v, v, _CMP_ORD_Q);
    const __m256 d = _mm256_and_ps(_mm256_div_ps(v, z->scale), *pass);
    if (z->k.relu == 2)
        *pass = _mm256_and_ps(*pass, _mm256_cmp_ps(v, z->k.cap, _CMP_LT_OQ));
    return _mm256_cvtps_epi32(_mm256_min_ps(d, z->beyond));
}

/* Two halves of 8 bytes each that packing has left crosswise. */
INLINE __m128i in_order(__m128i bytes)
{
    return _mm_shuffle_epi32(bytes, 0xd8);
}

INLINE void put_bits(uint8_t *mask, int bits, int32_t n, int full)
{
    if (!full)
        bits &= (1 << n) - 1;
    mask[0] = (uint8_t)bits;
    if (full || n > W)
        mask[1] = (uint8_t)(bits >> W);
}

/* 16 codes; mask may be NULL. */
INLINE void put_codes(uint8_t *codes, uint8_t *mask, pair v, const quantizer *z, int32_t n, int full)
{
    __m256 p0, p1;
    const __m256i q0 = steps8(v.v[0], z, &p0), q1 = steps8(v.v[1], z, &p1);
    const __m256i code = _mm256_adds_epi16(_mm256_packs_epi32(q0, q1), z->zero);
    const __m256i on_grid = _mm256_min_epi16(_mm256_max_epi16(code, z->lo), z->hi);
    const __m256i low_bytes = _mm256_and_si256(on_grid, _mm256_set1_epi16(255));
    const __m128i bytes =
        in_order(_mm_packus_epi16(_mm256_castsi256_si128(low_bytes), _mm256_extracti128_si256(low_bytes, 1)));
    if (full) {
        _mm_storeu_si128((__m128i *)(void *)codes, bytes);
    } else {
        uint8_t b[2 * W];
        _mm_storeu_si128((__m128i *)(void *)b, bytes);
        memcpy(codes, b, (size_t)n);
    }
    if (!mask)
        return;
    const __m256i pass = _mm256_and_si256(_mm256_cmpeq_epi16(code, on_grid),
                                          _mm256_packs_epi32(_mm256_castps_si256(p0), _mm256_castps_si256(p1)));
    const __m128i pass_bytes =
        in_order(_mm_packs_epi16(_mm256_castsi256_si128(pass), _mm256_extracti128_si256(pass, 1)));
    put_bits(mask, _mm_movemask_epi8(pass_bytes), n, full);
}

INLINE void put_floats(float *y, uint8_t *mask, pair v, const limits *k, int32_t n, int full)
{
    v = (pair){{clamp8(v.v[0], k), clamp8(v.v[1], k)}};
    store16(y, v, n, full);
    if (mask)
        put_bits(mask, _mm256_movemask_ps(passes8(v.v[0], k)) | _mm256_movemask_ps(passes8(v.v[1], k)) << W, n, full);
}

/* codes, or y if that is NULL. */
INLINE void map_block(uint8_t *codes, float *y, uint8_t *mask, const float *x, const nb_kmap *p, const quantizer *z,
                      int32_t c, int64_t from, int64_t to, int32_t j, int full)
{
    const int32_t n = full ? 2 * W : c - j;
    const int64_t stride = nb_mask_bytes(c);
    const pair a = load16(p->a + j, n, full), b = load16(p->b + j, n, full);
    for (int64_t r = from; r < to; r++) {
        const int64_t at = r * c + j;
        pair v = load16(x + at, n, full);
        for (int i = 0; i < 2; i++)
            v.v[i] = _mm256_add_ps(_mm256_mul_ps(v.v[i], a.v[i]), b.v[i]);
        uint8_t *bits = mask ? mask + r * stride + j / W : NULL;
        if (codes)
            put_codes(codes + at, bits, v, z, n, full);
        else
            put_floats(y + at, bits, v, &z->k, n, full);
    }
}

TARGET static void map_float(float *y, uint8_t *mask, const float *x, const nb_kmap *m, int64_t rows, int32_t c)
{
    const quantizer none = {.k = {_mm256_set1_ps(m->clamp.cap), 0}}, relu = {.k = {none.k.cap, 1}};
    if (m->clamp.relu)
        FOR_BLOCKS(block_rows(8, c, 8 * W), rows, c, map_block, NULL, y, mask, x, m, &relu, c)
    else
        FOR_BLOCKS(block_rows(8, c, 8 * W), rows, c, map_block, NULL, y, mask, x, m, &none, c)
}

INLINE void map_codes_with(uint8_t *codes, uint8_t *mask, const float *x, const nb_kmap *m, const nb_kgrid *g,
                           int64_t rows, int32_t c, int relu)
{
    const quantizer z = quantizer_of(g, m->clamp.cap, relu);
    FOR_BLOCKS(block_rows(8, c, 8 * W), rows, c, map_block, codes, NULL, mask, x, m, &z, c)
}

TARGET static void map_codes(uint8_t *codes, uint8_t *mask, const float *x, const nb_kmap *m, const nb_kgrid *g,
                             int64_t rows, int32_t c)
{
    switch (relu_kind(&m->clamp)) {
    case 0:
        map_codes_with(codes, mask, x, m, g, rows, c, 0);
        break;
    case 1:
        map_codes_with(codes, mask, x, m, g, rows, c, 1);
        break;
    default:
        map_codes_with(codes, mask, x, m, g, rows, c, 2);
    }
}

/* A step of the scale, and what comes before it. The integers are constants at every inlined use. */
typedef struct {
    __m256 inverse, first, last;
    limits k;
    int map;    /* is there x * a + b and the clamp k */
    int from_0; /* behind a relu, to a grid that begins with 0: no value is below it */
    int ends;   /* are the sums at the ends wanted */
} stepper;

/* Sums of one block: 16 lanes each. */
typedef struct {
    pair scale, above, below;
} block_sums;

/* What 8 values make of a step of the scale: min and max take the end of the grid for a NaN. *r: rounded;
 * *inside: where that is a code. */
INLINE __m256 by_scale8(__m256 y, const stepper *z, __m256 *r, __m256 *inside)
{
    const __m256 v = _mm256_mul_ps(y, z->inverse);
    *r = _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 code = _mm256_min_ps(z->from_0 ? *r : _mm256_max_ps(*r, z->first), z->last);
    *inside = _mm256_cmp_ps(*r, code, _CMP_EQ_OQ);
    return _mm256_sub_ps(code, _mm256_and_ps(v, *inside));
}

/* The value that is quantized. Where nothing is below 0, a NaN is 0, the first end: it counts for nothing either way. */
INLINE __m256 mapped8(__m256 x, __m256 a, __m256 b, const stepper *z)
{
    const __m256 y = _mm256_add_ps(_mm256_mul_ps(x, a), b);
    if (!z->from_0)
        return clamp8(y, &z->k);
    const __m256 up = _mm256_max_ps(y, _mm256_setzero_ps());
    return z->k.relu == 2 ? _mm256_min_ps(z->k.cap, up) : up;
}

/* Rows of 16 channels, or of the last n. */
INLINE void add_by_scale(block_sums *s, const float *dy, const float *x, const nb_kmap *m, const stepper *z,
                         int64_t rows, int32_t j, int32_t c, int32_t n, int full)
{
    pair a, b;
    if (z->map) {
        a = load16(m->a + j, n, full);
        b = load16(m->b + j, n, full);
    }
    for (int64_t r = 0; r < rows; r++) {
        const pair d = load16(dy + r * c + j, n, full);
        const pair in = load16(x + r * c + j, n, full);
        for (int i = 0; i < 2; i++) {
            __m256 near, inside;
            const __m256 y = z->map ? mapped8(in.v[i], a.v[i], b.v[i], z) : in.v[i],
                         t = by_scale8(y, z, &near, &inside);
            s->scale.v[i] = _mm256_add_ps(s->scale.v[i], _mm256_mul_ps(d.v[i], t));
            if (!z->ends)
                continue;
            const __m256 above = z->from_0 ? _mm256_andnot_ps(inside, d.v[i])
                                           : _mm256_and_ps(d.v[i], _mm256_cmp_ps(near, z->last, _CMP_GT_OQ));
            s->above.v[i] = _mm256_add_ps(s->above.v[i], above);
            if (!z->from_0)
                s->below.v[i] =
                    _mm256_add_ps(s->below.v[i], _mm256_and_ps(d.v[i], _mm256_cmp_ps(near, z->first, _CMP_LT_OQ)));
        }
    }
}

INLINE void add_doubles(double *lane, pair s)
{
    for (int i = 0; i < 2; i++, lane += W) {
        const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(s.v[i])),
                      high = _mm256_cvtps_pd(_mm256_extractf128_ps(s.v[i], 1));
        _mm256_storeu_pd(lane, _mm256_add_pd(_mm256_loadu_pd(lane), low));
        _mm256_storeu_pd(lane + 4, _mm256_add_pd(_mm256_loadu_pd(lane + 4), high));
    }
}

_Static_assert(NB_SCALE_LANES == 2 * W && NB_SCALE_RUN % NB_SCALE_LANES == 0, "a lane is a place in a pair");

INLINE void learn_sums(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                       int32_t c, stepper z)
{
    z.inverse = _mm256_set1_ps(1.0f / g->scale);
    z.first = _mm256_set1_ps((float)(g->lo - g->zero));
    z.last = _mm256_set1_ps((float)(g->hi - g->zero));
    z.k.cap = _mm256_set1_ps(z.map ? m->clamp.cap : 0);
    const int64_t block = c > NB_SCALE_RUN ? 1 : NB_SCALE_ROWS;
    const pair none = {{_mm256_setzero_ps(), _mm256_setzero_ps()}};
    for (int64_t r = 0; r < rows; r += block)
        for (int32_t from = 0; from < c; from += NB_SCALE_RUN) {
            const int32_t end = c - from < NB_SCALE_RUN ? c : from + NB_SCALE_RUN;
            const int64_t n = rows - r < block ? rows - r : block;
            int32_t j = from;
            block_sums s = {none, none, none};
            for (; j + 2 * W <= end; j += 2 * W)
                add_by_scale(&s, dy + r * c, x + r * c, m, &z, n, j, c, 2 * W, 1);
            if (j < end)
                add_by_scale(&s, dy + r * c, x + r * c, m, &z, n, j, c, end - j, 0);
            add_doubles(lane, s.scale);
            if (z.ends)
                add_doubles(lane + NB_SCALE_LANES, s.above);
            if (z.ends && !z.from_0)
                add_doubles(lane + 2 * NB_SCALE_LANES, s.below);
        }
}

INLINE void learn_sums_of(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g,
                          int64_t rows, int32_t c, int ends)
{
    const int relu = m ? relu_kind(&m->clamp) : 0, from_0 = g->lo == g->zero;
    if (!m)
        learn_sums(lane, dy, x, m, g, rows, c, (stepper){.ends = ends});
    else if (relu == 0)
        learn_sums(lane, dy, x, m, g, rows, c, (stepper){.ends = ends, .map = 1});
    else if (relu == 1 && from_0)
        learn_sums(lane, dy, x, m, g, rows, c, (stepper){.ends = ends, .map = 1, .k.relu = 1, .from_0 = 1});
    else if (relu == 1)
        learn_sums(lane, dy, x, m, g, rows, c, (stepper){.ends = ends, .map = 1, .k.relu = 1});
    else if (from_0)
        learn_sums(lane, dy, x, m, g, rows, c, (stepper){.ends = ends, .map = 1, .k.relu = 2, .from_0 = 1});
    else
        learn_sums(lane, dy, x, m, g, rows, c, (stepper){.ends = ends, .map = 1, .k.relu = 2});
}

TARGET static void scale_grad(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g,
                              int64_t rows, int32_t c)
{
    learn_sums_of(lane, dy, x, m, g, rows, c, 0);
}

TARGET static void end_grads(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g,
                             int64_t rows, int32_t c)
{
    learn_sums_of(lane, dy, x, m, g, rows, c, 1);
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
    operands o = {.k = {_mm256_set1_ps(j->clamp.cap), relu}, .n_in = n_in, .codes = codes};
    for (int i = 0; i < n_in; i++) {
        const int32_t flip = j->in[i].is_signed ? 128 : 0;
        o.data[i] = j->in[i].data;
        o.scale[i] = _mm256_set1_ps(j->in[i].scale);
        o.zero[i] = _mm256_set1_epi32(j->in[i].zero + flip);
        o.flip[i] = _mm_set1_epi8((char)flip);
    }
    return o;
}

INLINE __m256 values8(const operands *o, int i, __m128i bytes)
{
    return _mm256_mul_ps(o->scale[i], _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_cvtepu8_epi32(bytes), o->zero[i])));
}

INLINE pair operand16(const operands *o, int i, int64_t at)
{
    if (!o->codes)
        return load16((const float *)(const void *)o->data[i] + at, 2 * W, 1);
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(o->data[i] + at));
    const __m128i u8 = _mm_xor_si128(bytes, o->flip[i]);
    return (pair){{values8(o, i, u8), values8(o, i, _mm_srli_si128(u8, W))}};
}

/* The sum, before the clamp. */
INLINE pair joined16(const operands *o, int64_t at)
{
    pair v = operand16(o, 0, at);
    if (o->n_in > 1) {
        const pair b = operand16(o, 1, at);
        v = (pair){{_mm256_add_ps(v.v[0], b.v[0]), _mm256_add_ps(v.v[1], b.v[1])}};
    }
    return v;
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
#    define JOIN_RELU(j, sweep, n_in, codes, ...)                                                                      \
        switch (relu_kind(&(j)->clamp)) {                                                                              \
        case 0:                                                                                                        \
            sweep(__VA_ARGS__, n_in, codes, 0);                                                                        \
            break;                                                                                                     \
        case 1:                                                                                                        \
            sweep(__VA_ARGS__, n_in, codes, 1);                                                                        \
            break;                                                                                                     \
        default:                                                                                                       \
            sweep(__VA_ARGS__, n_in, codes, 2);                                                                        \
        }
#    define JOIN_CASES(j, sweep, ...)                                                                                  \
        if ((j)->codes && (j)->n_in > 1)                                                                               \
            JOIN_RELU(j, sweep, 2, 1, __VA_ARGS__)                                                                     \
        else if ((j)->codes)                                                                                           \
            JOIN_RELU(j, sweep, 1, 1, __VA_ARGS__)                                                                     \
        else if ((j)->n_in > 1)                                                                                        \
            JOIN_RELU(j, sweep, 2, 0, __VA_ARGS__)                                                                     \
        else                                                                                                           \
            JOIN_RELU(j, sweep, 1, 0, __VA_ARGS__)

INLINE void minmax(float *min, float *max, const nb_kjoin *j, int64_t n, int n_in, int codes, int relu)
{
    const operands o = operands_of(j, n_in, codes, relu);
    __m256 lo0 = _mm256_set1_ps(INFINITY), hi0 = _mm256_set1_ps(-INFINITY), lo1 = lo0, hi1 = hi0;
    __m256 bad = _mm256_setzero_ps();
    int64_t i = 0;
    for (; i + 2 * W <= n; i += 2 * W) {
        const pair v = joined16(&o, i);
        const __m256 a = clamp8(v.v[0], &o.k), b = clamp8(v.v[1], &o.k);
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
        nb_fused_scalar.join_minmax(&l[W], &h[W], &rest, n - i);
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

TARGET static void join_minmax(float *min, float *max, const nb_kjoin *j,
                               int64_t n){JOIN_CASES(j, minmax, min, max, j, n)}

INLINE void to_float(float *y, uint8_t *mask, const nb_kjoin *j, int64_t n, int n_in, int codes, int relu)
{
    const operands o = operands_of(j, n_in, codes, relu);
    for (int64_t i = 0; i + 2 * W <= n; i += 2 * W)
        put_floats(y + i, mask ? mask + i / W : NULL, joined16(&o, i), &o.k, 2 * W, 1);
}

TARGET static void join_float(float *y, uint8_t *mask, const nb_kjoin *j, int64_t n)
{
    JOIN_CASES(j, to_float, y, mask, j, n)
    const int64_t at = n / (2 * W) * 2 * W;
    const nb_kjoin rest = rest_of(j, at);
    if (at < n)
        nb_fused_scalar.join_float(y + at, mask ? mask + at / W : NULL, &rest, n - at);
}

INLINE void to_codes(uint8_t *y, uint8_t *mask, const nb_kjoin *j, const nb_kgrid *g, int64_t n, int n_in, int codes,
                     int relu)
{
    const operands o = operands_of(j, n_in, codes, relu);
    const quantizer z = quantizer_of(g, j->clamp.cap, relu);
    for (int64_t i = 0; i + 2 * W <= n; i += 2 * W)
        put_codes(y + i, mask ? mask + i / W : NULL, joined16(&o, i), &z, 2 * W, 1);
}

TARGET static void join_codes(uint8_t *codes, uint8_t *mask, const nb_kjoin *j, const nb_kgrid *g, int64_t n)
{
    JOIN_CASES(j, to_codes, codes, mask, j, g, n)
    const int64_t at = n / (2 * W) * 2 * W;
    const nb_kjoin rest = rest_of(j, at);
    if (at < n)
        nb_fused_scalar.join_codes(codes + at, mask ? mask + at / W : NULL, &rest, g, n - at);
}

const nb_fused_isa nb_fused_avx2 = {
#    define SWEEP(name, parameters, arguments) .name = name,
#    include "kernels/sweeps/fused_sweep_list.def"
};
#endif
