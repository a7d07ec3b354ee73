/* icodes_avx2.c - sums to codes with AVX2, for the integer convolution (icodes_ymm.h), and sums and products of tensors:
 * products of 64 bits for even and odd lanes apart, shifted and put together again. */
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"
#include "kernels/rescale.h"

#ifdef NB_WITH_AVX2

#    include "kernels/integer/icodes_ymm.h"

/* Two vectors of 8 rescaled sums to 16 codes. Saturating to s16 first changes nothing: lo and hi, which are limits
 * minus the zero point, are within -383..383. */
AVX2_INLINE __m128i codes16(__m256i a, __m256i b, __m256i lo, __m256i hi, __m256i zero)
{
    __m256i y = _mm256_packs_epi32(a, b); /* a0-3 b0-3 | a4-7 b4-7 */
    y = _mm256_add_epi16(_mm256_min_epi16(_mm256_max_epi16(y, lo), hi), zero);
    y = _mm256_and_si256(y, _mm256_set1_epi16(0xff));
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1)); /* a0-3 b0-3 a4-7 b4-7 */
    return _mm_shuffle_epi32(bytes, 0xD8);
}

/* 8 channels of as many rows as make groups of four; returns how many that were. */
AVX2_INLINE int64_t requantize_fours(uint8_t *codes, const int32_t *acc, const nb_channels8 *k, int64_t rows, int32_t c)
{
    const int64_t stride = c;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4, acc += 4 * stride, codes += 4 * stride) {
        const __m256i v[4] = {load256(acc), load256(acc + stride), load256(acc + 2 * stride),
                              load256(acc + 3 * stride)};
        nb_store_codes8(codes, stride, v, k);
    }
    return r;
}

/* Shifts below 32 (a factor of 1/2 and more) are rare. */
static void requantize_wide(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c,
                            int32_t c0, int32_t lanes)
{
    for (int64_t r = 0; r < rows; r++)
        for (int32_t i = c0; i < c0 + lanes; i++)
            codes[r * c + i] =
                (uint8_t)nb_rescale(acc[r * c + i] + q->bias[i], q->mult[i], q->shift[i], q->zero, q->lo, q->hi);
}

/* Up to 8 channels from c0 on. */
AVX2_INLINE void requantize8(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c,
                             int32_t c0)
{
    const int32_t lanes = c - c0 < 8 ? c - c0 : 8;
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const nb_channels8 k = nb_channels8_at(q, c0, mask);
    if (_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_and_si256(k.shift, mask)))) { /* one is negative */
        requantize_wide(codes, acc, q, rows, c, c0, lanes);
        return;
    }
    int64_t r = 0;
    codes += c0;
    acc += c0;
    if (lanes == 8)
        r = requantize_fours(codes, acc, &k, rows, c);
    acc += r * c;
    codes += r * c;
    for (; r < rows; r++, acc += c, codes += c) {
        const __m256i y = nb_rescale8(_mm256_maskload_epi32(acc, mask), &k);
        const int64_t bytes = _mm_cvtsi128_si64(codes16(y, y, k.lo, k.hi, k.zero));
        memcpy(codes, &bytes, (size_t)lanes);
    }
}

AVX2 void nb_icodes_requantize_avx2(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c)
{
    for (int32_t c0 = 0; c0 < c; c0 += 8)
        requantize8(codes, acc, q, rows, c, c0);
}

/* Constants of a sum or a product. The zero points of a sum go into `add`, together with half of the last place and 2^63: the
 * logical shift (v + 2^63) >> s is (v >> s) + 2^(63 - s), and `sub` takes that off again. */
typedef struct {
    __m256i mult_a, mult_b, add, sub, lo, hi, zero;
    __m128i shift;
} pair_constants;

AVX2_INLINE pair_constants constants_of(const nb_ipair *p)
{
    const int64_t sum = (int64_t)p->zero[0] * p->mult[0] + (int64_t)p->zero[1] * p->mult[1];
    const int64_t zeros = p->product ? 0 : sum;
    const uint64_t add = ((uint64_t)1 << (p->shift - 1)) + ((uint64_t)1 << 63) - (uint64_t)zeros;
    pair_constants k = {.mult_a = _mm256_set1_epi64x(p->mult[0]), .mult_b = _mm256_set1_epi64x(p->mult[1])};
    k.add = _mm256_set1_epi64x((int64_t)add);
    k.shift = _mm_cvtsi32_si128(p->shift);
    k.sub = _mm256_set1_epi32((int32_t)(uint32_t)((uint64_t)1 << (63 - p->shift)));
    k.lo = _mm256_set1_epi16((int16_t)(p->lo - p->y_zero));
    k.hi = _mm256_set1_epi16((int16_t)(p->hi - p->y_zero));
    k.zero = _mm256_set1_epi16((int16_t)p->y_zero);
    return k;
}

/* 64-bit numbers of even and odd lanes, rounded and shifted. */
AVX2_INLINE __m256i shifted8(__m256i e, __m256i o, const pair_constants *k)
{
    e = _mm256_srl_epi64(_mm256_add_epi64(e, k->add), k->shift);
    o = _mm256_srl_epi64(_mm256_add_epi64(o, k->add), k->shift);
    return _mm256_sub_epi32(_mm256_blend_epi32(e, _mm256_slli_epi64(o, 32), 0xAA), k->sub);
}

/* 8 codes each, widened to 32 bits, to 8 rounded sums. */
AVX2_INLINE __m256i add8(__m256i a, __m256i b, const pair_constants *k)
{
    const __m256i e = _mm256_add_epi64(_mm256_mul_epi32(a, k->mult_a), _mm256_mul_epi32(b, k->mult_b));
    const __m256i o = _mm256_add_epi64(_mm256_mul_epi32(_mm256_shuffle_epi32(a, 0xF5), k->mult_a),
                                       _mm256_mul_epi32(_mm256_shuffle_epi32(b, 0xF5), k->mult_b));
    return shifted8(e, o, k);
}

/* The same of codes without their zero points, to 8 rounded products. */
AVX2_INLINE __m256i mul8(__m256i a, __m256i b, const pair_constants *k)
{
    const __m256i product = _mm256_mullo_epi32(a, b);
    return shifted8(_mm256_mul_epi32(product, k->mult_a),
                    _mm256_mul_epi32(_mm256_shuffle_epi32(product, 0xF5), k->mult_a), k);
}

AVX2_INLINE __m256i widen8(const uint8_t *x, int32_t is_signed)
{
    const __m128i v = _mm_loadl_epi64((const void *)x);
    return is_signed ? _mm256_cvtepi8_epi32(v) : _mm256_cvtepu8_epi32(v);
}

AVX2_INLINE int64_t add_blocks(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p,
                               const int32_t a_signed, const int32_t b_signed)
{
    const pair_constants k = constants_of(p);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i lo = add8(widen8(a + i, a_signed), widen8(b + i, b_signed), &k);
        const __m256i hi = add8(widen8(a + i + 8, a_signed), widen8(b + i + 8, b_signed), &k);
        _mm_storeu_si128((void *)(y + i), codes16(lo, hi, k.lo, k.hi, k.zero));
    }
    return i;
}

/* |sum| + half < 2^40 + 2^(shift-1): with shift >= 10 the rounded sum fits in 32 bits. */
AVX2 void nb_icodes_add_avx2(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p)
{
    int64_t done = 0;
    if (p->shift >= 10) {
        if (p->x_signed[0])
            done = p->x_signed[1] ? add_blocks(y, a, b, n, p, 1, 1) : add_blocks(y, a, b, n, p, 1, 0);
        else
            done = p->x_signed[1] ? add_blocks(y, a, b, n, p, 0, 1) : add_blocks(y, a, b, n, p, 0, 0);
    }
    if (done < n)
        nb_iconv_scalar.add(y + done, a + done, b + done, n - done, p);
}

AVX2_INLINE __m256i real8(const uint8_t *x, int32_t is_signed, __m256i zero)
{
    return _mm256_sub_epi32(widen8(x, is_signed), zero);
}

/* |product| + half < 2^47 + 2^(shift-1): with shift >= 17 what is rounded fits in 32 bits. */
AVX2 void nb_icodes_mul_avx2(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p)
{
    const pair_constants k = constants_of(p);
    const __m256i za = _mm256_set1_epi32(p->zero[0]), zb = _mm256_set1_epi32(p->zero[1]);
    const int32_t a_signed = p->x_signed[0], b_signed = p->x_signed[1];
    int64_t i = 0;
    for (; p->shift >= 17 && i + 16 <= n; i += 16) {
        const __m256i lo = mul8(real8(a + i, a_signed, za), real8(b + i, b_signed, zb), &k);
        const __m256i hi = mul8(real8(a + i + 8, a_signed, za), real8(b + i + 8, b_signed, zb), &k);
        _mm_storeu_si128((void *)(y + i), codes16(lo, hi, k.lo, k.hi, k.zero));
    }
    if (i < n)
        nb_iconv_scalar.mul(y + i, a + i, b + i, n - i, p);
}

#endif
