/* qgrad_avx2.c - 16-bit gradients with AVX2: 6 rows x 16 columns are 12 of 16 registers. The sweeps serve the wider
 * variants too. */
#include "kernels/grad16/qgrad_isa.h"

#ifdef NB_WITH_AVX2
#    include "kernels/grad16/qgrad_ymm.h"
#    include <nibble/extend/tensor.h>

#    define V_DOT(a, x, w) __asm__ volatile("vpaddd %1, %0, %0" : "+x"(a) : "x"(_mm256_madd_epi16(x, w)))
#    define TILE_TARGET    __attribute__((target("avx2")))
#    include "kernels/grad16/qgrad_tile.h"
#    include "kernels/grad16/qgrad_winograd_tile.h"

enum { W = 8 };

/* The first n of 8 lanes on; n may be beyond 0..8. */
TILE_INLINE __m256i lanes(int32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

TILE_INLINE __m256 load(const float *p, __m256i mask, const bool all)
{
    return all ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, mask);
}

/* At most 16 columns of all rows; all: exactly 16, a cache line. */
TILE_INLINE void max16(int32_t *max, const float *x, int64_t n_rows, int32_t stride, int32_t cols, const bool all)
{
    const __m256i m0 = lanes(cols), m1 = lanes(cols - W), sign_off = _mm256_set1_epi32(INT32_MAX);
    int32_t top[2 * W];
    __m256i a = _mm256_setzero_si256(), b = a;
    for (int64_t i = 0; i < n_rows; i++, x += stride) {
        a = _mm256_max_epi32(a, _mm256_and_si256(_mm256_castps_si256(load(x, m0, all)), sign_off));
        b = _mm256_max_epi32(b, _mm256_and_si256(_mm256_castps_si256(load(x + W, m1, all)), sign_off));
    }
    _mm256_storeu_si256((__m256i *)(void *)top, a);
    _mm256_storeu_si256((__m256i *)(void *)(top + W), b);
    for (int32_t j = 0; j < cols; j++)
        max[j] = top[j] > max[j] ? top[j] : max[j];
}

TILE_TARGET void nb_qgrad_max__avx2(int32_t *max, const float *x, int64_t n_rows, int32_t c)
{
    int32_t j = 0;
    for (; j + 2 * W <= c; j += 2 * W)
        max16(max + j, x + j, n_rows, c, 2 * W, true);
    if (j < c)
        max16(max + j, x + j, n_rows, c, c - j, false);
}

TILE_INLINE __m256i code8(const float *x, const float *a, __m256 b)
{
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x), _mm256_loadu_ps(a)), b));
}

TILE_TARGET void nb_qgrad_codes__avx2(int16_t *q, const float *x, const float *a, float b, int64_t n_rows, int32_t c)
{
    const __m256 times = _mm256_set1_ps(b);
    for (int64_t i = 0; i < n_rows; i++, x += c, q += c) {
        int32_t j = 0;
        for (; j + 2 * W <= c; j += 2 * W) { /* packing works within halves of 128 bits */
            const __m256i both = _mm256_packs_epi32(code8(x + j, a + j, times), code8(x + j + W, a + j + W, times));
            _mm256_storeu_si256((__m256i *)(void *)(q + j), _mm256_permute4x64_epi64(both, 0xD8));
        }
        if (j < c)
            nb_qgrad_scalar.codes(q + j, x + j, a + j, b, 1, c - j);
    }
}

/* Rows i and i + 1 side by side: 16 bits of the one and 16 of the other. */
TILE_INLINE void pair8(int16_t *q, const float *x, const float *next, __m256 a, __m256i mask, const bool all)
{
    const __m256i lo = _mm256_cvtps_epi32(_mm256_mul_ps(load(x, mask, all), a));
    const __m256i hi = _mm256_cvtps_epi32(_mm256_mul_ps(load(next, mask, all), a));
    _mm256_storeu_si256((__m256i *)(void *)q, _mm256_blend_epi16(lo, _mm256_slli_epi32(hi, 16), 0xAA));
}

TILE_INLINE void pair_rows(int16_t *q, const float *x, const float *a, int32_t n, int32_t stride, int32_t cols,
                           const bool all)
{
    const __m256i m0 = lanes(cols), m1 = lanes(cols - W);
    const __m256 a0 = load(a, m0, all), a1 = load(a + W, m1, all);
    for (; n > 1; n -= 2, x += 2 * (int64_t)stride, q += 2 * NB_PANEL) {
        pair8(q, x, x + stride, a0, m0, all);
        pair8(q + 2 * W, x + W, x + stride + W, a1, m1, all);
    }
}

TILE_TARGET void nb_qgrad_pairs__avx2(int16_t *q, const float *x, const float *a, int32_t n, int32_t stride,
                                      int32_t cols)
{
    const int32_t even = n / 2 * 2;
    if (cols == NB_PANEL)
        pair_rows(q, x, a, even, stride, cols, true);
    else
        pair_rows(q, x, a, even, stride, cols, false);
    if (even < n)
        nb_qgrad_scalar.pairs(q + (ptrdiff_t)even * NB_PANEL, x + (ptrdiff_t)even * stride, a, 1, stride, cols);
}

TILE_INLINE __m256i wide(__m128i codes, const bool is_signed, __m256i zero)
{
    return _mm256_sub_epi16(is_signed ? _mm256_cvtepi8_epi16(codes) : _mm256_cvtepu8_epi16(codes), zero);
}

TILE_INLINE void beside16(int16_t *q, const uint8_t *a, const uint8_t *b, int64_t n, const bool is_signed, __m256i zero)
{
    for (int64_t i = 0; i < n; i += 2 * W, q += 4 * W) {
        const __m128i x = _mm_loadu_si128((const void *)(a + i)), y = _mm_loadu_si128((const void *)(b + i));
        V_STORE(q, wide(_mm_unpacklo_epi8(x, y), is_signed, zero));
        V_STORE(q + 2 * W, wide(_mm_unpackhi_epi8(x, y), is_signed, zero));
    }
}

TILE_TARGET void nb_qgrad_beside__avx2(int16_t *q, const uint8_t *a, const uint8_t *b, int64_t n,
                                       const nb_fconv_image *like)
{
    const __m256i zero = _mm256_set1_epi16((int16_t)like->zero);
    const int64_t most = n / (2 * W) * 2 * W;
    if (like->dtype == NB_S8)
        beside16(q, a, b, most, true, zero);
    else
        beside16(q, a, b, most, false, zero);
    nb_qgrad_scalar.beside(q + 2 * most, a + most, b + most, n - most, like);
}

TILE_INLINE void widen16(int16_t *to, const uint8_t *x, ptrdiff_t stride, int32_t n, const bool is_signed, __m256i zero)
{
    for (int32_t i = 0; i < n; i++)
        V_STORE(to + i * NB_PANEL, wide(_mm_loadu_si128((const void *)(x + i * stride)), is_signed, zero));
}

TILE_TARGET void nb_qgrad_widen__avx2(int16_t *to, const uint8_t *x, int32_t stride, const nb_fconv_image *like,
                                      int32_t n)
{
    const __m256i zero = _mm256_set1_epi16((int16_t)like->zero);
    if (like->dtype == NB_S8)
        widen16(to, x, stride, n, true, zero);
    else
        widen16(to, x, stride, n, false, zero);
}

const nb_qgrad_isa nb_qgrad_avx2 = QGRAD_TILE_ISA;
#endif
