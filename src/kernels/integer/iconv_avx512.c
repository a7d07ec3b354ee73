/* iconv_avx512.c - the integer convolution kernels with AVX-512 (F, BW, DQ, VL).
 *
 * dense: 12 pixels x 32 channels are 24 of 32 registers; vpmaddwd multiplies 16 channels by 2 values of s16 each and
 * adds the two products in 32 bits, exactly. Codes: icodes_zmm.h. */
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"
#include "kernels/integer/iconv_winograd.h"

#ifdef NB_WITH_AVX512

#    define AVX512        __attribute__((target("avx512f,avx512bw,avx512vl")))
#    define AVX512_INLINE static inline __attribute__((always_inline)) AVX512

#    include "kernels/integer/icodes_zmm.h"
#    include "kernels/integer/izmm.h"
#    define V_DOT(acc, x, w) _mm512_add_epi32(acc, _mm512_madd_epi16(x, w))
#    define TILE_BYTES       0
#    define TILE_TARGET      AVX512
#    include "kernels/integer/iconv_tile.h"

#    define PAIRS(acc, a, b) V_DOT(acc, a, b)
#    define PAIR_TARGET      AVX512
#    include "kernels/integer/ipair_zmm.h"

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
        _mm512_mask_storeu_epi32(j->acc + (p + r) * j->acc_stride + c0, nb_mask16(j->channels - c0), acc[r]);
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

enum { WIDE = 4 /* times 16 channels whose constants are at hand */, BLOCK = 4096 /* values between two of those */ };

/* One row of up to 16 channels. */
AVX512_INLINE void requantize_row(uint8_t *codes, const int32_t *acc, const nb_channels16 *k, const nb_grid512 *grid,
                                  __mmask16 mask)
{
    const __m512i v = nb_halves16(_mm512_add_epi32(_mm512_maskz_loadu_epi32(mask, acc), k->bias), k);
    const __m512i four[4] = {v, v, v, v};
    _mm_mask_storeu_epi8(codes, mask, _mm512_castsi512_si128(nb_codes64(four, grid)));
}

/* Some rows of up to 64 channels from c0 on. */
AVX512_INLINE void requantize64(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c,
                                int32_t c0)
{
    const int32_t whole = (c - c0) / LANES < WIDE ? (c - c0) / LANES : WIDE;
    const int32_t more = whole < WIDE ? c - c0 - whole * LANES : 0;
    const int64_t stride = c;
    nb_channels16 k[WIDE + 1];
    for (int32_t i = 0; i <= whole; i++)
        k[i] = nb_channels16_at(q, c0 + i * LANES, nb_mask16(i < whole ? LANES : more));
    const nb_grid512 grid = nb_grid512_of(q);
    int64_t r = 0;
    codes += c0;
    acc += c0;
    for (; r < rows; r += 4, acc += 4 * stride, codes += 4 * stride) {
        const int32_t n = rows - r < 4 ? (int32_t)(rows - r) : 4;
        for (int32_t i = 0; i < whole && n == 4; i++) {
            __m512i v[4];
            for (int32_t j = 0; j < 4; j++)
                v[j] =
                    nb_halves16(_mm512_add_epi32(_mm512_loadu_si512(acc + j * stride + i * LANES), k[i].bias), &k[i]);
            nb_store_rows(codes + i * LANES, stride, nb_codes64(v, &grid));
        }
        for (int32_t i = n == 4 ? whole : 0; i < whole + (more > 0); i++)
            for (int32_t j = 0; j < n; j++)
                requantize_row(codes + j * stride + i * LANES, acc + j * stride + i * LANES, &k[i], &grid,
                               nb_mask16(i < whole ? LANES : more));
    }
}

AVX512 static void requantize(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c)
{
    if (!nb_iconv_shifts_fit(q, c)) {
        nb_iconv_scalar.requantize(codes, acc, q, rows, c);
        return;
    }
    const int64_t some = c <= WIDE * LANES ? rows : c < BLOCK / 4 ? BLOCK / c / 4 * 4 : 4;
    for (int64_t r = 0, n; r < rows; r += n) {
        n = rows - r < some ? rows - r : some;
        for (int32_t c0 = 0; c0 < c; c0 += WIDE * LANES)
            requantize64(codes + r * c, acc + r * c, q, n, c, c0);
    }
}

static const nb_iconv_method s16 = {.name = "s16", .form = NB_ICONV_S16, .dense = dense, .gives_codes = true};
static const nb_iconv_method winograd = {.name = "winograd",
                                         .form = NB_ICONV_WINOGRAD,
                                         .choose = nb_iconv_winograd_choose,
                                         .winograd = &nb_iconv_winograd_avx512};
static const nb_iconv_method *const methods[] = {&winograd, &s16, NULL};

const nb_iconv_isa nb_iconv_avx512 = {
    .methods = methods, .widen = widen, .depthwise = depthwise, .requantize = requantize, .add = add, .mul = mul};

#endif
