/* iconv_depthwise_vnni.c - 3x3 depthwise convolution of bytes with AVX-512 VNNI, 64 channels at a time.
 *
 * The three bytes of a column of the window, and a zero, are made neighbours by unpacking three rows; vpdpbusd multiplies
 * them for 16 channels. A column serves three windows. Unpacking keeps to quarters of a register: its k-th result has
 * channels 16 * L + 4 * k .. + 3 in quarter L, and so have weights, constants and sums. Packing sums to codes undoes it.
 * Up to 32 channels that are left are done for two pixels of a row, a half of the row apart. s8 codes are moved by 128,
 * which the sums' start takes off. */
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"

#ifdef NB_WITH_VNNI

#    include "kernels/integer/icodes_zmm.h"

#    define VNNI        __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#    define VNNI_INLINE static inline __attribute__((always_inline)) VNNI

enum { LANES = NB_ICONV_LANES, QUADS = 4, COLUMNS = 3, WIDE = 64, HALF = 32 };

typedef struct { /* of 64 channels, or twice 32 */
    __m512i weights[COLUMNS][QUADS];
    __m512i start[QUADS]; /* less the bias, which channels has */
    nb_channels16 channels[QUADS];
    nb_grid512 grid;
    __m512i flip;
    int32_t lanes; /* channels, of each half if there are two */
} block;

typedef struct { /* n pixels of one row of windows, the second half `second` pixels behind the first */
    const uint8_t *x;
    int64_t row, column, step; /* bytes */
    int64_t first, second;     /* of the first pixel; to the other half, or 0 */
    int32_t n, c0;
} span;

/* to[k], quarter L = from[L], quarter k. */
VNNI_INLINE void swap_quarters(__m512i to[QUADS], const __m512i from[QUADS])
{
    const __m512i a = _mm512_shuffle_i32x4(from[0], from[1], 0x44), b = _mm512_shuffle_i32x4(from[0], from[1], 0xEE);
    const __m512i c = _mm512_shuffle_i32x4(from[2], from[3], 0x44), d = _mm512_shuffle_i32x4(from[2], from[3], 0xEE);
    to[0] = _mm512_shuffle_i32x4(a, c, 0x88);
    to[1] = _mm512_shuffle_i32x4(a, c, 0xDD);
    to[2] = _mm512_shuffle_i32x4(b, d, 0x88);
    to[3] = _mm512_shuffle_i32x4(b, d, 0xDD);
}

/* Panel of 16 channels (iconv_isa.h: pairs of taps of 16 bits) to bytes: a quad of each column. */
VNNI_INLINE void column_weights(__m512i to[COLUMNS], const int16_t *panel)
{
    const __m512i low = _mm512_set1_epi32(0xff), high = _mm512_set1_epi32(0xff0000);
    const __m512i left = _mm512_loadu_si512(panel + 3 * 2 * LANES), right = _mm512_loadu_si512(panel + 4 * 2 * LANES);
    const __m512i lowest[COLUMNS] = {_mm512_slli_epi32(_mm512_and_si512(left, low), 16), _mm512_and_si512(left, high),
                                     _mm512_and_si512(right, high)};
    for (int k = 0; k < COLUMNS; k++) {
        const __m512i pair = _mm512_loadu_si512(panel + k * 2 * LANES);
        const __m512i second = _mm512_srli_epi32(_mm512_and_si512(pair, high), 8);
        to[k] = _mm512_or_si512(_mm512_or_si512(_mm512_and_si512(pair, low), second), lowest[k]);
    }
}

/* Which 16 channels a quarter holds: those behind the last are the last again, and never stored. */
VNNI_INLINE int32_t panel_at(int32_t quarter, int32_t lanes)
{
    const int32_t panels = (lanes + LANES - 1) / LANES, k = lanes <= HALF ? quarter % 2 : quarter;
    return k < panels ? k : panels - 1;
}

VNNI_INLINE void block_weights(block *b, const nb_iconv_job *j, int32_t c0)
{
    __m512i column[QUADS][COLUMNS], of[QUADS], minus[QUADS];
    for (int q = 0; q < QUADS; q++) {
        column_weights(column[q], (const int16_t *)j->panels +
                                      (ptrdiff_t)(c0 / LANES + panel_at(q, b->lanes)) * j->steps * 2 * LANES);
        minus[q] = _mm512_setzero_si512();
        for (int k = 0; k < COLUMNS && j->is_signed; k++)
            minus[q] = _mm512_dpbusd_epi32(minus[q], _mm512_set1_epi8((char)0x80), column[q][k]);
        minus[q] = _mm512_sub_epi32(_mm512_setzero_si512(), minus[q]);
    }
    swap_quarters(b->start, minus);
    for (int k = 0; k < COLUMNS; k++) {
        for (int q = 0; q < QUADS; q++)
            of[q] = column[q][k];
        swap_quarters(b->weights[k], of);
    }
}

VNNI_INLINE void block_channels(block *b, const nb_irequant *q, int32_t c0, int32_t channels)
{
    __m512i bias[QUADS], mult[QUADS], shift[QUADS], of[QUADS];
    for (int k = 0; k < QUADS; k++) {
        const int32_t c = c0 + panel_at(k, b->lanes) * LANES;
        const __mmask16 mask = nb_mask16(channels - c);
        bias[k] = _mm512_maskz_loadu_epi32(mask, q->bias + c);
        mult[k] = _mm512_maskz_loadu_epi32(mask, q->mult + c);
        shift[k] = _mm512_maskz_loadu_epi32(mask, q->shift + c);
    }
    swap_quarters(of, bias);
    for (int k = 0; k < QUADS; k++)
        b->start[k] = _mm512_add_epi32(b->start[k], of[k]);
    swap_quarters(of, mult);
    for (int k = 0; k < QUADS; k++) {
        b->channels[k].mult = of[k];
        b->channels[k].mult_odd = _mm512_shuffle_epi32(of[k], 0xF5);
    }
    swap_quarters(of, shift);
    for (int k = 0; k < QUADS; k++)
        b->channels[k].shift = _mm512_sub_epi32(of[k], _mm512_set1_epi32(NB_ICONV_LEAST_SHIFT));
    b->grid = nb_grid512_of(q);
}

/* second: bytes to the other half, or 0 for 64 channels. */
VNNI_INLINE __m512i load_codes(const uint8_t *x, int64_t second, __m512i flip)
{
    if (second == 0)
        return _mm512_xor_si512(_mm512_loadu_si512(x), flip);
    const __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)x));
    return _mm512_xor_si512(_mm512_inserti64x4(first, _mm256_loadu_si256((const void *)(x + second)), 1), flip);
}

VNNI_INLINE void load_column(__m512i to[QUADS], const uint8_t *x, int64_t row, int64_t second, __m512i flip)
{
    const __m512i a = load_codes(x, second, flip), b = load_codes(x + row, second, flip);
    const __m512i c = load_codes(x + 2 * row, second, flip), none = _mm512_setzero_si512();
    const __m512i front = _mm512_unpacklo_epi8(a, b), back = _mm512_unpackhi_epi8(a, b);
    const __m512i front2 = _mm512_unpacklo_epi8(c, none), back2 = _mm512_unpackhi_epi8(c, none);
    to[0] = _mm512_unpacklo_epi16(front, front2);
    to[1] = _mm512_unpackhi_epi16(front, front2);
    to[2] = _mm512_unpacklo_epi16(back, back2);
    to[3] = _mm512_unpackhi_epi16(back, back2);
}

/* n bytes, a multiple of 8. */
VNNI_INLINE void store_bytes(uint8_t *to, __m256i v, int32_t n)
{
    __m128i part = _mm256_castsi256_si128(v);
    if (n >= HALF) {
        _mm256_storeu_si256((void *)to, v);
        return;
    }
    if (n & 16) {
        _mm_storeu_si128((void *)to, part);
        part = _mm256_extracti128_si256(v, 1);
        to += 16;
    }
    if (n & 8)
        _mm_storel_epi64((void *)to, part);
}

VNNI_INLINE void store_codes(uint8_t *to, int64_t second, const __m512i sums[QUADS], const block *b)
{
    __m512i halves[QUADS];
    for (int k = 0; k < QUADS; k++)
        halves[k] = nb_halves16(sums[k], &b->channels[k]);
    const __m512i y = nb_clamped64(halves, &b->grid);
    if (second == 0 && b->lanes == WIDE) {
        _mm512_storeu_si512(to, y);
        return;
    }
    store_bytes(to, _mm512_castsi512_si256(y), b->lanes);
    if (second || b->lanes > HALF)
        store_bytes(to + (second ? second : HALF), _mm512_extracti64x4_epi64(y, 1),
                    second ? b->lanes : b->lanes - HALF);
}

VNNI_INLINE void store_sums(int32_t *to, int64_t second, const __m512i sums[QUADS], const block *b)
{
    __m512i y[QUADS];
    swap_quarters(y, sums);
    for (int k = 0; k < QUADS; k++) {
        const int32_t at = (second ? k % 2 : k) * LANES;
        int32_t *const one = to + at + (second && k > 1 ? second : 0);
        if (b->lanes >= at + LANES)
            _mm512_storeu_si512(one, y[k]);
        else if (b->lanes > at)
            _mm256_storeu_si256((void *)one, _mm512_castsi512_si256(y[k]));
    }
}

/* ahead, between: of two columns, and of the halves in the input; codes and halves are constants in every call. */
VNNI_INLINE void windows(const nb_iconv_job *j, const span *s, const block *b, const int stride, const bool codes,
                         const bool halves)
{
    const int64_t second_x = halves ? s->second * s->step : 0, second_y = halves ? s->second * j->acc_stride : 0;
    const uint8_t *x = s->x;
    int64_t at = s->first * j->acc_stride + s->c0;
    __m512i column[COLUMNS][QUADS], sums[QUADS];
    load_column(column[0], x, s->row, second_x, b->flip);
    load_column(column[1], x + s->column, s->row, second_x, b->flip);
    for (int32_t i = 0; i < s->n; i++, x += s->step, at += j->acc_stride) {
        load_column(column[2], x + 2 * s->column, s->row, second_x, b->flip);
        for (int q = 0; q < QUADS; q++) {
            sums[q] = _mm512_dpbusd_epi32(b->start[q], column[0][q], b->weights[0][q]);
            sums[q] = _mm512_dpbusd_epi32(sums[q], column[1][q], b->weights[1][q]);
            sums[q] = _mm512_dpbusd_epi32(sums[q], column[2][q], b->weights[2][q]);
            column[0][q] = column[stride][q];
        }
        if (stride == 1)
            memcpy(column[1], column[2], sizeof column[1]);
        else if (i + 1 < s->n)
            load_column(column[1], x + 3 * s->column, s->row, second_x, b->flip);
        if (codes)
            store_codes(j->codes + at, second_y, sums, b);
        else
            store_sums(j->acc + at, second_y, sums, b);
    }
}

VNNI_INLINE void any_windows(const nb_iconv_job *j, const span *s, const block *b, const bool codes, const bool halves)
{
    if (s->step == 2 * s->column)
        windows(j, s, b, 2, codes, halves);
    else
        windows(j, s, b, 1, codes, halves);
}

VNNI static void run_span(const nb_iconv_job *j, span *s, const block *b)
{
    if (b->lanes <= HALF && s->n > 1) {
        const int32_t n = s->n;
        s->n = (n + 1) / 2;
        s->second = n - s->n;
        if (j->codes)
            any_windows(j, s, b, true, true);
        else
            any_windows(j, s, b, false, true);
    } else if (j->codes)
        any_windows(j, s, b, true, false);
    else
        any_windows(j, s, b, false, false);
}

VNNI void nb_iconv_depthwise3_vnni(const nb_iconv_job *j)
{
    for (int32_t c0 = 0; c0 < j->channels; c0 += WIDE) {
        block b = {.lanes = j->channels - c0 < WIDE ? j->channels - c0 : WIDE,
                   .flip = _mm512_set1_epi8((char)(j->is_signed ? 0x80 : 0))};
        block_weights(&b, j, c0);
        if (j->codes)
            block_channels(&b, j->q, c0, j->channels);
        for (int32_t p = 0, n; p < j->n; p += n) {
            const int32_t column = j->runs[1], step = p + 1 < j->n ? j->px[p + 1] - j->px[p] : column;
            for (n = 1; (step == column || step == 2 * column) && p + n < j->n; n++)
                if (j->px[p + n] - j->px[p + n - 1] != step)
                    break;
            span s = {.x = (const uint8_t *)j->x + j->px[p] + c0,
                      .row = j->runs[3],
                      .column = column,
                      .step = step,
                      .first = p,
                      .n = n,
                      .c0 = c0};
            run_span(j, &s, &b);
        }
    }
}

#endif
