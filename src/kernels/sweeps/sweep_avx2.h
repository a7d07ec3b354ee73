/* sweep_avx2.h - what the AVX2 sweeps share: 8 values at a time, the last ones under a mask of lanes, codes and bits
 * of 8 values. Only for files that were found to be compiled for x86-64. */
#ifndef NB_KERNELS_SWEEP_AVX2_H
#define NB_KERNELS_SWEEP_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define TARGET __attribute__((target("avx2,fma")))
#define INLINE static inline __attribute__((always_inline)) TARGET

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

typedef struct {
    __m256 scale, first, last;
    __m256i zero;
} grid;

INLINE grid grid_of(float scale, int32_t zero, int32_t lo, int32_t hi)
{
    return (grid){_mm256_set1_ps(scale), _mm256_set1_ps((float)(lo - zero)), _mm256_set1_ps((float)(hi - zero)),
                  _mm256_set1_epi32(zero)};
}

/* Codes of 8 floats as 32-bit integers; *inside: lanes whose unclamped code is on the grid. */
INLINE __m256i quantize8(__m256 x, const grid *g, __m256 *inside)
{
    __m256 r = _mm256_round_ps(_mm256_div_ps(x, g->scale), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    *inside = _mm256_and_ps(_mm256_cmp_ps(r, g->first, _CMP_GE_OQ), _mm256_cmp_ps(r, g->last, _CMP_LE_OQ));
    r = _mm256_and_ps(r, _mm256_cmp_ps(r, r, _CMP_ORD_Q)); /* NaN becomes 0 */
    r = _mm256_min_ps(_mm256_max_ps(r, g->first), g->last);
    return _mm256_add_epi32(_mm256_cvtps_epi32(r), g->zero);
}

/* v where the bits of *mask are 1, else 0. */
INLINE __m256 where(__m256 v, const uint8_t *mask)
{
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i on = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi8((char)*mask), bits), bits);
    return _mm256_and_ps(v, _mm256_castsi256_ps(on));
}

/* 16 values, of 16 channels mostly: one cache line. `full` is a constant at every inlined use; without it only the
 * first n are there, which are 0 when loaded and not written when stored. */
typedef struct {
    __m256 v[2];
} pair;

INLINE pair load16(const float *p, int32_t n, int full)
{
    if (full)
        return (pair){{_mm256_loadu_ps(p), _mm256_loadu_ps(p + W)}};
    return (pair){{load(p, n, lanes(n)), n > W ? load(p + W, n - W, lanes(n - W)) : _mm256_setzero_ps()}};
}

INLINE void store16(float *p, pair a, int32_t n, int full)
{
    if (full) {
        _mm256_storeu_ps(p, a.v[0]);
        _mm256_storeu_ps(p + W, a.v[1]);
        return;
    }
    store(p, a.v[0], n, lanes(n));
    if (n > W)
        store(p + W, a.v[1], n - W, lanes(n - W));
}

INLINE pair where16(pair a, const uint8_t *mask, int32_t n, int full)
{
    a.v[0] = where(a.v[0], mask);
    if (full || n > W)
        a.v[1] = where(a.v[1], mask + 1);
    return a;
}

/* Rows of a block: `block`, or one by one where a row has more than `most` channels. Few lines of each row in turn are
 * an order in which processors do not read ahead, and memory then is half as fast. */
INLINE int64_t block_rows(int64_t block, int32_t c, int32_t most)
{
    return c > most ? 1 : block;
}

/* Calls body(..., first row, last row, channel, full) for 16 channels of `block` rows at a time; full ones first. Where
 * there are no more than 16, all rows at once: then the channels' coefficients and sums stay in registers. With more,
 * few rows, so that memory is read in order. */
#define FOR_BLOCKS(block, rows, c, body, ...)                                                                          \
    for (int64_t from_ = 0, to_; from_ < (rows); from_ = to_) {                                                        \
        to_ = (c) > 2 * W && from_ + (block) < (rows) ? from_ + (block) : (rows);                                      \
        for (int32_t j_ = 0; j_ < (c); j_ += 2 * W) {                                                                  \
            if ((c)-j_ >= 2 * W)                                                                                       \
                body(__VA_ARGS__, from_, to_, j_, 1);                                                                  \
            else                                                                                                       \
                body(__VA_ARGS__, from_, to_, j_, 0);                                                                  \
        }                                                                                                              \
    }

#endif
