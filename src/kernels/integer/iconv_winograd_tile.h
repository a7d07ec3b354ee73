/* iconv_winograd_tile.h - the transforms and products of iconv_winograd.c, a template: a file per instruction set
 * (iconv_winograd_avx2.c, ...) includes it once.
 *
 * Wanted before the include:
 *   V, V_LANES, V_ZERO, V_LOAD(p), V_STORE(p, v), V_ADD, V_SUB(a, b), V_SHL, V_SHR(a, n), V_MUL(a, b)
 *                                   a vector of int32 and its arithmetic; 8 or 16 lanes
 *   PAIR_STEP(acc, x, w)            acc[VECTORS] += the products of the two s16 at x with w[VECTORS], summed per lane
 *   AT_ONCE                         points whose sums are in registers together: 1 or 6, for 4 tiles
 *   CHANNELS, CHANNELS_AT(q, c)     constants for codes of V_LANES channels, from channel c on
 *   STORE_CODES(to, stride, v, k)   4 rows of sums to codes
 *   TILE_TARGET                     function attribute
 *   WINOGRAD                        the name of the nb_iconv_winograd that it defines
 *
 * A column of points at a time: its products with all channels, then the vertical half of the output's transform, so
 * that what is stored between products and sums is 24 vectors a tile instead of 36, and stays in the nearest cache. */
#include "kernels/integer/iconv_winograd.h"

#ifdef __clang__
#    define TILE_UNROLL _Pragma("clang loop unroll(full)")
#else
#    define TILE_UNROLL _Pragma("GCC unroll 36")
#endif
#define TILE_INLINE static inline __attribute__((always_inline)) TILE_TARGET

enum {
    IN = 6,
    OUT = 4,
    TILES = NB_ICONV_TILES,
    LANES = NB_ICONV_LANES,
    VECTORS = LANES / V_LANES,
    CHUNK = LANES, /* channels of codes that are transformed together */
    CHUNK_VALUES = IN * IN * TILES * CHUNK,
    U_STEP = 2 * LANES /* values of one point: 16 filters, two channels */
};

/* t = B' d, s16. */
TILE_INLINE void to_points(__m256i *t, const __m256i *d)
{
    const __m256i a = _mm256_sub_epi16(d[4], d[2]), b = _mm256_sub_epi16(d[3], d[1]);
    const __m256i b2 = _mm256_add_epi16(b, b);
    t[0] = _mm256_add_epi16(_mm256_slli_epi16(_mm256_sub_epi16(d[0], d[2]), 2), a);
    t[1] = _mm256_sub_epi16(_mm256_add_epi16(d[3], d[4]), _mm256_slli_epi16(_mm256_add_epi16(d[1], d[2]), 2));
    t[2] = _mm256_add_epi16(_mm256_sub_epi16(d[4], d[3]), _mm256_slli_epi16(_mm256_sub_epi16(d[1], d[2]), 2));
    t[3] = _mm256_add_epi16(a, b2);
    t[4] = _mm256_sub_epi16(a, b2);
    t[5] = _mm256_sub_epi16(_mm256_sub_epi16(d[5], d[3]), _mm256_slli_epi16(b, 2));
}

/* y = A' m, int32; m: every `step`-th. */
TILE_INLINE void from_points(V *y, const V *m, const int step)
{
    const V s12 = V_ADD(m[step], m[2 * step]), d21 = V_SUB(m[2 * step], m[step]);
    const V s34 = V_ADD(m[3 * step], m[4 * step]), d34 = V_SUB(m[3 * step], m[4 * step]);
    y[0] = V_ADD(V_SUB(m[0], V_SHL(s12, 2)), s34);
    y[1] = V_ADD(V_ADD(d21, d21), d34);
    y[2] = V_SUB(s34, s12);
    y[3] = V_ADD(V_ADD(d21, m[5 * step]), V_ADD(d34, d34));
}

/* 16 channels of one tile. */
TILE_INLINE void input16(int16_t *v, const uint8_t *x, int64_t row, int64_t c, const int32_t is_signed)
{
    __m256i t[IN][IN], d[IN], p[IN];
    TILE_UNROLL
    for (int j = 0; j < IN; j++) {
        TILE_UNROLL
        for (int i = 0; i < IN; i++) {
            const __m128i codes = _mm_loadu_si128((const void *)(x + i * row + j * c));
            d[i] = is_signed ? _mm256_cvtepi8_epi16(codes) : _mm256_cvtepu8_epi16(codes);
        }
        to_points(p, d);
        TILE_UNROLL
        for (int i = 0; i < IN; i++)
            t[i][j] = p[i];
    }
    TILE_UNROLL
    for (int i = 0; i < IN; i++) {
        to_points(p, t[i]);
        TILE_UNROLL
        for (int j = 0; j < IN; j++)
            _mm256_storeu_si256((void *)(v + (j * IN + i) * TILES * CHUNK), p[j]);
    }
}

TILE_TARGET static void input(const nb_iconv_tiles *t)
{
    for (int32_t k = 0; k < t->c; k += CHUNK)
        for (int32_t i = 0; i < t->n; i++) {
            int16_t *v = t->v + (ptrdiff_t)(k / CHUNK) * CHUNK_VALUES + i * CHUNK;
            if (t->is_signed)
                input16(v, t->x[i] + k, t->row, t->c, 1);
            else
                input16(v, t->x[i] + k, t->row, t->c, 0);
        }
}

/* AT_ONCE points of a column from `first` on, of n tiles; v, u: of the column. first and n are constants in every call. */
TILE_INLINE void some_points(V m[IN][TILES][VECTORS], const int16_t *v, const int16_t *u, int32_t c, const int first,
                             const int n)
{
    V acc[AT_ONCE][TILES][VECTORS];
    TILE_UNROLL
    for (int k = 0; k < AT_ONCE * n * VECTORS; k++)
        acc[k / (n * VECTORS)][k / VECTORS % n][k % VECTORS] = V_ZERO;
    v += first * TILES * CHUNK;
    u += (ptrdiff_t)c / 2 * first * U_STEP;
    for (int32_t chunk = 0; chunk < c; chunk += CHUNK, v += CHUNK_VALUES - CHUNK)
        for (int32_t step = 0; step < CHUNK / 2; step++, v += 2, u += AT_ONCE * U_STEP)
            TILE_UNROLL
    for (int i = 0; i < AT_ONCE; i++) {
        V w[VECTORS];
        TILE_UNROLL
        for (int k = 0; k < VECTORS; k++)
            w[k] = V_LOAD(u + i * U_STEP + k * 2 * V_LANES);
        TILE_UNROLL
        for (int t = 0; t < n; t++)
            PAIR_STEP(acc[i][t], v + (i * TILES + t) * CHUNK, w);
    }
    TILE_UNROLL
    for (int k = 0; k < AT_ONCE * n * VECTORS; k++)
        m[first + k / (n * VECTORS)][k / VECTORS % n][k % VECTORS] =
            acc[k / (n * VECTORS)][k / VECTORS % n][k % VECTORS];
}

/* A panel: y[column][row][tile]. */
TILE_INLINE void products(V y[IN][OUT][TILES][VECTORS], const int16_t *v, const int16_t *u, int32_t c, const int n)
{
    for (int j = 0; j < IN; j++, v += IN * TILES * CHUNK, u += (ptrdiff_t)c / 2 * IN * U_STEP) {
        V m[IN][TILES][VECTORS];
        TILE_UNROLL
        for (int i = 0; i < IN; i += AT_ONCE)
            some_points(m, v, u, c, i, n);
        TILE_UNROLL
        for (int k = 0; k < n * VECTORS; k++) {
            V p[OUT];
            from_points(p, &m[0][k / VECTORS][k % VECTORS], TILES * VECTORS);
            TILE_UNROLL
            for (int r = 0; r < OUT; r++)
                y[j][r][k / VECTORS][k % VECTORS] = p[r];
        }
    }
}

/* Four sums of one row of a tile. y: of the first column. */
TILE_INLINE void sums(V *to, const V *y, const int r)
{
    static const int e[OUT] = {3, 2, 1, 1};
    const V ninth = V_SET(0x38E38E39); /* 9 * 0x38E38E39 = 2^33 + 1 */
    V p[OUT];
    from_points(p, y, OUT * TILES * VECTORS);
    TILE_UNROLL
    for (int q = 0; q < OUT; q++)
        to[q] = V_SHR(V_MUL(p[q], ninth), e[r] + e[q]);
}

/* One panel of tile i, V_LANES channels from c0 on. */
TILE_INLINE void output(const nb_iconv_tiles *t, const V *y, int i, int32_t c0, const CHANNELS *k)
{
    const int64_t row = t->to_row[i], oc = t->oc;
    TILE_UNROLL
    for (int r = 0; r < OUT; r++) {
        V s[OUT];
        sums(s, y + r * TILES * VECTORS, r);
        if (k) {
            STORE_CODES((uint8_t *)t->to[i] + r * row + c0, oc, s, k);
            continue;
        }
        TILE_UNROLL
        for (int q = 0; q < OUT; q++)
            V_STORE((int32_t *)t->to[i] + r * row + q * oc + c0, s[q]);
    }
}

/* Functions of their own: inlined both into one, gcc gives neither the registers it needs. */
__attribute__((noinline)) TILE_TARGET static void products_of_4(V y[IN][OUT][TILES][VECTORS], const int16_t *v,
                                                                const int16_t *u, int32_t c)
{
    products(y, v, u, c, TILES);
}

__attribute__((noinline)) TILE_TARGET static void products_of_2(V y[IN][OUT][TILES][VECTORS], const int16_t *v,
                                                                const int16_t *u, int32_t c)
{
    products(y, v, u, c, 2);
}

TILE_TARGET static void tiles(const nb_iconv_tiles *t)
{
    V y[IN][OUT][TILES][VECTORS];
    input(t);
    for (int32_t c0 = 0; c0 < t->oc; c0 += LANES) {
        const int16_t *u = t->u + (ptrdiff_t)c0 / LANES * IN * IN * t->c / 2 * U_STEP;
        if (t->n > 2) /* the products of a third tile that is not there cost little, its sums nothing */
            products_of_4(y, t->v, u, t->c);
        else
            products_of_2(y, t->v, u, t->c);
        for (int k = 0; k < VECTORS; k++) {
            const int32_t c = c0 + k * V_LANES;
            if (t->q) {
                const CHANNELS constants = CHANNELS_AT(t->q, c);
                for (int i = 0; i < t->n; i++)
                    output(t, &y[0][0][i][k], i, c, &constants);
            } else
                for (int i = 0; i < t->n; i++)
                    output(t, &y[0][0][i][k], i, c, NULL);
        }
    }
}

const nb_iconv_winograd WINOGRAD = {.tiles = tiles, .at_once = AT_ONCE};
