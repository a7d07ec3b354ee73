/* icodes_ymm.h - sums to codes with AVX2, inlined where sums are still in registers: products of 64 bits for even and
 * odd lanes apart, put together again and shifted. Only for files that were found to be compiled for it. */
#ifndef NB_KERNELS_ICODES_YMM_H
#define NB_KERNELS_ICODES_YMM_H

#include "kernels/integer/iavx2.h"
#include "kernels/integer/iconv_isa.h"

/* Constants of 8 channels. e: lanes 0, 2, 4, 6; o: lanes 1, 3, 5, 7, as 64-bit numbers. */
typedef struct {
    __m256i bias, mult_e, mult_o, half_e, half_o;
    __m256i shift;        /* less 32 */
    __m256i lo, hi, zero; /* s16: limits before the zero point is added, and the zero point */
    int32_t is_signed;
} nb_channels8;

/* With s >= 32 the upper half of a sum holds all of (sum >> s), so the shift is one of 32 bits, and arithmetic.
 * Channels outside the mask give something that nobody stores. */
AVX2_INLINE nb_channels8 nb_channels8_at(const nb_irequant *q, int32_t c0, __m256i mask)
{
    const __m256i mult = _mm256_maskload_epi32(q->mult + c0, mask), shift = _mm256_maskload_epi32(q->shift + c0, mask);
    const __m256i low = _mm256_set1_epi64x(0xffffffff), one = _mm256_set1_epi64x(1);
    nb_channels8 k = {.bias = _mm256_maskload_epi32(q->bias + c0, mask)};
    k.mult_e = mult;                             /* vpmuldq looks at even lanes only */
    k.mult_o = _mm256_shuffle_epi32(mult, 0xF5); /* not a shift: clang would then lose sight of vpmuldq */
    k.half_e = _mm256_sllv_epi64(one, _mm256_sub_epi64(_mm256_and_si256(shift, low), one));
    k.half_o = _mm256_sllv_epi64(one, _mm256_sub_epi64(_mm256_srli_epi64(shift, 32), one));
    k.shift = _mm256_sub_epi32(shift, _mm256_set1_epi32(32));
    k.lo = _mm256_set1_epi16((int16_t)(q->lo - q->zero));
    k.hi = _mm256_set1_epi16((int16_t)(q->hi - q->zero));
    k.zero = _mm256_set1_epi16((int16_t)q->zero);
    k.is_signed = q->lo < 0;
    return k;
}

/* 8 accumulators, rescaled; not clamped yet. */
AVX2_INLINE __m256i nb_rescale8(__m256i acc, const nb_channels8 *k)
{
    const __m256i v = _mm256_add_epi32(acc, k->bias);
    const __m256i e = _mm256_add_epi64(_mm256_mul_epi32(v, k->mult_e), k->half_e);
    const __m256i o = _mm256_add_epi64(_mm256_mul_epi32(_mm256_shuffle_epi32(v, 0xF5), k->mult_o), k->half_o);
    return _mm256_srav_epi32(_mm256_blend_epi32(_mm256_shuffle_epi32(e, 0xF5), o, 0xAA), k->shift);
}

/* Two rows of 8 rescaled sums, clamped and moved, in 16 bits: a0-3 b0-3 | a4-7 b4-7. */
AVX2_INLINE __m256i nb_clamped16(__m256i a, __m256i b, const nb_channels8 *k)
{
    return _mm256_add_epi16(_mm256_min_epi16(_mm256_max_epi16(_mm256_packs_epi32(a, b), k->lo), k->hi), k->zero);
}

AVX2_INLINE void nb_store8(uint8_t *first, uint8_t *second, __m128i y)
{
    _mm_storel_epi64((void *)first, y);
    _mm_storeh_pi((void *)second, _mm_castsi128_ps(y));
}

/* Four rows of 8 sums. */
AVX2_INLINE void nb_store_codes8(uint8_t *to, int64_t stride, const __m256i sums[4], const nb_channels8 *k)
{
    const __m256i a = nb_clamped16(nb_rescale8(sums[0], k), nb_rescale8(sums[1], k), k);
    const __m256i b = nb_clamped16(nb_rescale8(sums[2], k), nb_rescale8(sums[3], k), k);
    const __m256i bytes = k->is_signed ? _mm256_packs_epi16(a, b) : _mm256_packus_epi16(a, b);
    const __m256i y = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    nb_store8(to, to + stride, _mm256_castsi256_si128(y));
    nb_store8(to + 2 * stride, to + 3 * stride, _mm256_extracti128_si256(y, 1));
}

#endif
