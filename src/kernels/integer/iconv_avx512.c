/* iconv_avx512.c - the integer convolution kernels with AVX-512 (F, BW, DQ, VL).
 *
 * dense: 12 pixels x 32 channels are 24 of 32 registers; vpmaddwd multiplies 16 channels by 2 values of s16 each and
 * adds the two products in 32 bits, exactly. Codes: 64-bit products and true arithmetic shifts, so any shift will do;
 * the rounded value saturates at 32 bits, far outside of every grid, before it is clamped. */
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"

#ifdef NB_WITH_AVX512

#    define AVX512        __attribute__((target("avx512f,avx512bw,avx512vl")))
#    define AVX512_INLINE static inline __attribute__((always_inline)) AVX512

#    include "kernels/integer/izmm.h"
#    define V_DOT(acc, x, w) _mm512_add_epi32(acc, _mm512_madd_epi16(x, w))
#    define TILE_BYTES       0
#    define TILE_TARGET      AVX512
#    include "kernels/integer/iconv_tile.h"

AVX512_INLINE __mmask16 first_lanes(int32_t n)
{
    return (__mmask16)(n >= LANES ? 0xffff : (1 << n) - 1);
}

AVX512 static void widen(int16_t *to, const uint8_t *from, int32_t is_signed, int64_t n)
{
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i v = _mm256_loadu_si256((const void *)(from + i));
        _mm512_storeu_si512(to + i, is_signed ? _mm512_cvtepi8_epi16(v) : _mm512_cvtepu8_epi16(v));
    }
    for (; i < n; i++)
        to[i] = (int16_t)nb_code(from[i], is_signed);
}

/* 16 channels of two taps, interleaved as the weights lie: a0 b0 a1 b1 ... */
AVX512_INLINE __m512i interleave(const int16_t *a, const int16_t *b)
{
    const __m512i wide_a = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)a));
    const __m512i wide_b = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)b));
    return _mm512_or_si512(wide_a, _mm512_slli_epi32(wide_b, 16));
}

/* rows is a constant in every call. */
AVX512_INLINE void depthwise_tile(const nb_iconv_job *j, int32_t p, int32_t c0, const int32_t rows)
{
    const int16_t *x[4], *w = (const int16_t *)j->panels + (int64_t)c0 * j->steps * 2;
    __m512i acc[4];
    for (int32_t r = 0; r < rows; r++) {
        acc[r] = _mm512_setzero_si512();
        x[r] = (const int16_t *)j->x + j->px[p + r] + c0;
    }
    for (int32_t k = 0; k < j->steps; k++, w += 2 * LANES) {
        const int64_t first = j->runs[2 * k], second = j->runs[2 * k + 1];
        const __m512i weights = _mm512_loadu_si512(w);
        for (int32_t r = 0; r < rows; r++)
            acc[r] = _mm512_add_epi32(acc[r], _mm512_madd_epi16(interleave(x[r] + first, x[r] + second), weights));
    }
    for (int32_t r = 0; r < rows; r++)
        _mm512_mask_storeu_epi32(j->acc + (p + r) * j->acc_stride + c0, first_lanes(j->channels - c0), acc[r]);
}

AVX512 static void depthwise(const nb_iconv_job *j)
{
    for (int32_t c0 = 0; c0 < j->channels; c0 += LANES) {
        int32_t p = 0;
        for (; p + 4 <= j->n; p += 4)
            depthwise_tile(j, p, c0, 4);
        for (; p < j->n; p++)
            depthwise_tile(j, p, c0, 1);
    }
}

typedef struct { /* of 8 channels, as 64-bit numbers */
    __m512i mult, shift, half;
} channels8;

AVX512_INLINE channels8 channels8_of(__m256i mult, __m256i shift)
{
    channels8 k = {.mult = _mm512_cvtepi32_epi64(mult), .shift = _mm512_cvtepi32_epi64(shift)};
    k.half = _mm512_srlv_epi64(_mm512_sllv_epi64(_mm512_set1_epi64(1), k.shift), _mm512_set1_epi64(1));
    return k;
}

AVX512_INLINE __m256i rescale8(__m256i acc, const channels8 *k)
{
    const __m512i product = _mm512_mul_epi32(_mm512_cvtepi32_epi64(acc), k->mult);
    return _mm512_cvtsepi64_epi32(_mm512_srav_epi64(_mm512_add_epi64(product, k->half), k->shift));
}

/* Up to 16 channels of all rows. Channels outside of the mask give something that nobody stores. */
AVX512 static void requantize16(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c,
                                int32_t c0)
{
    const __mmask16 mask = first_lanes(c - c0);
    const __m512i bias = _mm512_maskz_loadu_epi32(mask, q->bias + c0);
    const __m512i mult = _mm512_maskz_loadu_epi32(mask, q->mult + c0);
    const __m512i shift = _mm512_maskz_loadu_epi32(mask, q->shift + c0);
    const channels8 low = channels8_of(_mm512_castsi512_si256(mult), _mm512_castsi512_si256(shift));
    const channels8 high = channels8_of(_mm512_extracti64x4_epi64(mult, 1), _mm512_extracti64x4_epi64(shift, 1));
    const __m512i zero = _mm512_set1_epi32(q->zero);
    const __m512i lo = _mm512_set1_epi32(q->lo - q->zero), hi = _mm512_set1_epi32(q->hi - q->zero);
    for (int64_t r = 0; r < rows; r++) {
        const __m512i v = _mm512_add_epi32(_mm512_maskz_loadu_epi32(mask, acc + r * c + c0), bias);
        const __m256i y_low = rescale8(_mm512_castsi512_si256(v), &low);
        const __m256i y_high = rescale8(_mm512_extracti64x4_epi64(v, 1), &high);
        __m512i y = _mm512_inserti64x4(_mm512_castsi256_si512(y_low), y_high, 1);
        y = _mm512_add_epi32(_mm512_min_epi32(_mm512_max_epi32(y, lo), hi), zero);
        _mm512_mask_cvtepi32_storeu_epi8(codes + r * c + c0, mask, y);
    }
}

static void requantize(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c)
{
    for (int32_t c0 = 0; c0 < c; c0 += LANES)
        requantize16(codes, acc, q, rows, c, c0);
}

AVX512_INLINE __m512i codes8(const uint8_t *x, int32_t is_signed)
{
    const __m128i v = _mm_loadl_epi64((const void *)x);
    return is_signed ? _mm512_cvtepi8_epi64(v) : _mm512_cvtepu8_epi64(v);
}

/* The zero points go into the constant that is added, together with half of the last place. */
AVX512 static void add(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p)
{
    const int64_t zeros = (int64_t)p->zero[0] * p->mult[0] + (int64_t)p->zero[1] * p->mult[1];
    const __m512i constant = _mm512_set1_epi64(((int64_t)1 << (p->shift - 1)) - zeros);
    const __m512i mult_a = _mm512_set1_epi64(p->mult[0]), mult_b = _mm512_set1_epi64(p->mult[1]);
    const __m256i lo = _mm256_set1_epi32(p->lo - p->y_zero), hi = _mm256_set1_epi32(p->hi - p->y_zero);
    const __m256i zero = _mm256_set1_epi32(p->y_zero);
    const __m128i shift = _mm_cvtsi32_si128(p->shift);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m512i sum = _mm512_add_epi64(_mm512_mul_epi32(codes8(a + i, p->x_signed[0]), mult_a),
                                             _mm512_mul_epi32(codes8(b + i, p->x_signed[1]), mult_b));
        __m256i v = _mm512_cvtsepi64_epi32(_mm512_sra_epi64(_mm512_add_epi64(sum, constant), shift));
        v = _mm256_add_epi32(_mm256_min_epi32(_mm256_max_epi32(v, lo), hi), zero);
        _mm_storel_epi64((void *)(y + i), _mm256_cvtepi32_epi8(v));
    }
    if (i < n)
        nb_iconv_scalar.add(y + i, a + i, b + i, n - i, p);
}

AVX512 static void mul(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p)
{
    const __m512i half = _mm512_set1_epi64((int64_t)1 << (p->shift - 1)), mult = _mm512_set1_epi64(p->mult[0]);
    const __m512i zero_a = _mm512_set1_epi64(p->zero[0]), zero_b = _mm512_set1_epi64(p->zero[1]);
    const __m256i lo = _mm256_set1_epi32(p->lo - p->y_zero), hi = _mm256_set1_epi32(p->hi - p->y_zero);
    const __m256i zero = _mm256_set1_epi32(p->y_zero);
    const __m128i shift = _mm_cvtsi32_si128(p->shift);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m512i product = _mm512_mul_epi32(_mm512_sub_epi64(codes8(a + i, p->x_signed[0]), zero_a),
                                                 _mm512_sub_epi64(codes8(b + i, p->x_signed[1]), zero_b));
        const __m512i wide = _mm512_add_epi64(_mm512_mul_epi32(product, mult), half);
        __m256i v = _mm512_cvtsepi64_epi32(_mm512_sra_epi64(wide, shift));
        v = _mm256_add_epi32(_mm256_min_epi32(_mm256_max_epi32(v, lo), hi), zero);
        _mm_storel_epi64((void *)(y + i), _mm256_cvtepi32_epi8(v));
    }
    if (i < n)
        nb_iconv_scalar.mul(y + i, a + i, b + i, n - i, p);
}

static const nb_iconv_method s16 = {.name = "s16", .form = NB_ICONV_S16, .dense = dense};
static const nb_iconv_method *const methods[] = {&s16, NULL};

const nb_iconv_isa nb_iconv_avx512 = {
    .methods = methods, .widen = widen, .depthwise = depthwise, .requantize = requantize, .add = add, .mul = mul};

#endif
