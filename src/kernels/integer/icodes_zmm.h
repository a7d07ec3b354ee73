/* icodes_zmm.h - sums to codes with AVX-512, inlined where sums are still in registers. Only for files that were found
 * to be compiled for it.
 *
 * (p + 2^(s-1)) >> s is (p >> (s-1)) + 1 >> 1. With s >= 33 the upper half of the 64-bit product p holds all of the
 * inner shift; the outer one is done in 16 bits, where saturating changes nothing: limits less the zero point are
 * within -383..383. */
#ifndef NB_KERNELS_ICODES_ZMM_H
#define NB_KERNELS_ICODES_ZMM_H

#include "kernels/integer/iconv_isa.h"

#include <immintrin.h>

#define ICODES_ZMM        __attribute__((target("avx512f,avx512bw,avx512vl")))
#define ICODES_ZMM_INLINE __attribute__((target("avx512f,avx512bw,avx512vl"), always_inline)) static inline

typedef struct { /* of 16 channels */
    __m512i bias, mult, mult_odd, shift;
} nb_channels16;

typedef struct { /* of all: 2 * zero + 1 in 16 bits, limits in 8 */
    __m512i zero, lo, hi;
    __m512i order; /* 4 x 4 quads of codes, as instructions leave them, to rows */
    int32_t is_signed;
} nb_grid512;

ICODES_ZMM_INLINE nb_grid512 nb_grid512_of(const nb_irequant *q)
{
    return (nb_grid512){.zero = _mm512_set1_epi16((int16_t)(2 * q->zero + 1)),
                        .lo = _mm512_set1_epi8((char)q->lo),
                        .hi = _mm512_set1_epi8((char)q->hi),
                        .order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
                        .is_signed = q->lo < 0};
}

ICODES_ZMM_INLINE __mmask16 nb_mask16(int32_t n)
{
    return (__mmask16)(n >= 16 ? 0xffff : (1 << n) - 1);
}

/* Up to 16 channels from c0 on; those outside of the mask give something that nobody stores. */
ICODES_ZMM_INLINE nb_channels16 nb_channels16_at(const nb_irequant *q, int32_t c0, __mmask16 mask)
{
    const __m512i mult = _mm512_maskz_loadu_epi32(mask, q->mult + c0);
    const __m512i shift = _mm512_maskz_loadu_epi32(mask, q->shift + c0);
    return (nb_channels16){.bias = _mm512_maskz_loadu_epi32(mask, q->bias + c0),
                           .mult = mult,
                           .mult_odd = _mm512_shuffle_epi32(mult, 0xF5),
                           .shift = _mm512_sub_epi32(shift, _mm512_set1_epi32(NB_ICONV_LEAST_SHIFT))};
}

/* Twice the rescaled sums, which have their bias, rounded down. */
ICODES_ZMM_INLINE __m512i nb_halves16(__m512i v, const nb_channels16 *k)
{
    const __m512i even = _mm512_mul_epi32(v, k->mult);
    const __m512i odd = _mm512_mul_epi32(_mm512_shuffle_epi32(v, 0xF5), k->mult_odd);
    return _mm512_srav_epi32(_mm512_mask_shuffle_epi32(odd, 0x5555, even, 0xF5), k->shift);
}

ICODES_ZMM_INLINE __m512i nb_rounded32(__m512i a, __m512i b, const nb_grid512 *g)
{
    return _mm512_srai_epi16(_mm512_adds_epi16(_mm512_packs_epi32(a, b), g->zero), 1);
}

/* Four vectors of halves to codes; those of a quarter of each lie in the same quarter of the result. */
ICODES_ZMM_INLINE __m512i nb_clamped64(const __m512i halves[4], const nb_grid512 *g)
{
    const __m512i a = nb_rounded32(halves[0], halves[1], g), b = nb_rounded32(halves[2], halves[3], g);
    if (g->is_signed)
        return _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(a, b), g->lo), g->hi);
    return _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(a, b), g->lo), g->hi);
}

/* The codes of four rows of 16 channels, row after row. */
ICODES_ZMM_INLINE __m512i nb_codes64(const __m512i halves[4], const nb_grid512 *g)
{
    return _mm512_permutexvar_epi32(g->order, nb_clamped64(halves, g));
}

/* Rows `stride` bytes apart. */
ICODES_ZMM_INLINE void nb_store_rows(uint8_t *to, int64_t stride, __m512i codes)
{
    if (stride == 16) {
        _mm512_storeu_si512(to, codes);
        return;
    }
    _mm_storeu_si128((void *)to, _mm512_castsi512_si128(codes));
    _mm_storeu_si128((void *)(to + stride), _mm512_extracti32x4_epi32(codes, 1));
    _mm_storeu_si128((void *)(to + 2 * stride), _mm512_extracti32x4_epi32(codes, 2));
    _mm_storeu_si128((void *)(to + 3 * stride), _mm512_extracti32x4_epi32(codes, 3));
}

typedef struct {
    nb_channels16 channels;
    nb_grid512 grid;
} nb_codes_zmm;

ICODES_ZMM_INLINE nb_codes_zmm nb_codes_zmm_at(const nb_irequant *q, int32_t c0)
{
    return (nb_codes_zmm){nb_channels16_at(q, c0, 0xffff), nb_grid512_of(q)};
}

/* Four rows of sums. */
ICODES_ZMM_INLINE void nb_codes_zmm_store(uint8_t *to, int64_t stride, const __m512i sums[4], const nb_codes_zmm *k)
{
    __m512i v[4];
    for (int i = 0; i < 4; i++)
        v[i] = nb_halves16(_mm512_add_epi32(sums[i], k->channels.bias), &k->channels);
    nb_store_rows(to, stride, nb_codes64(v, &k->grid));
}

#endif
