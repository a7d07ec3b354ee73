/* eltwise_avx2.h - what the AVX2 sweeps share: 8 values at a time, the last ones under a mask of lanes, codes and bits
 * of 8 values. Only for files that were found to be compiled for x86-64. */
#ifndef NB_KERNELS_ELTWISE_AVX2_H
#define NB_KERNELS_ELTWISE_AVX2_H

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

/* The low bytes of 8 integers. */
INLINE __m128i bytes8(__m256i q)
{
    q = _mm256_and_si256(q, _mm256_set1_epi32(255));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    return _mm_packus_epi16(words, words);
}

/* v where the bits of *mask are 1, else 0. */
INLINE __m256 where(__m256 v, const uint8_t *mask)
{
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i on = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi8((char)*mask), bits), bits);
    return _mm256_and_ps(v, _mm256_castsi256_ps(on));
}

#endif
