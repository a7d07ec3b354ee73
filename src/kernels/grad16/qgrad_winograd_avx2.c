/* qgrad_winograd_avx2.c - the transforms and products of qgrad_winograd.c with AVX2; rows and columns by the same
 * one-dimensional transform. */
#include "kernels/grad16/qgrad_winograd.h"

#ifdef NB_WITH_AVX2
#    include "kernels/integer/iavx2.h"
#    include "kernels/integer/iconv_winograd.h"
#    include <nibble/extend/tensor.h>

enum { IN = 4, OUT = 2, POINTS = 16, ROWS = 4, W = 8 };

/* t = B'd, s16. */
AVX2_INLINE void to_points(__m256i *t, const __m256i *d)
{
    t[0] = _mm256_sub_epi16(d[0], d[2]);
    t[1] = _mm256_add_epi16(d[1], d[2]);
    t[2] = _mm256_sub_epi16(d[2], d[1]);
    t[3] = _mm256_sub_epi16(d[1], d[3]);
}

/* t = Gd of two values. */
AVX2_INLINE void expand(__m256i *t, __m256i a, __m256i b)
{
    t[0] = _mm256_add_epi16(a, a);
    t[1] = _mm256_add_epi16(a, b);
    t[2] = _mm256_sub_epi16(a, b);
    t[3] = _mm256_add_epi16(b, b);
}

/* ---- gradient of the input ---- */

AVX2 static void input(int16_t *v, int64_t plane, const int16_t *dy, int64_t row, int32_t c)
{
    for (int32_t k = 0; k < c; k += 2 * W, v += 2 * W, dy += 2 * W) {
        __m256i t[IN][IN], d[IN], p[IN];
        for (int32_t j = 0; j < IN; j++) {
            for (int32_t i = 0; i < IN; i++)
                d[i] = load256(dy + i * row + (int64_t)j * c);
            to_points(p, d);
            for (int32_t i = 0; i < IN; i++)
                t[i][j] = p[i];
        }
        for (int32_t i = 0; i < IN; i++) {
            to_points(p, t[i]);
            for (int32_t j = 0; j < IN; j++)
                store256(v + (i * IN + j) * plane, p[j]);
        }
    }
}

AVX2 static void multiply(int32_t *m, const int16_t *v, const int16_t *u, int32_t tiles, int32_t c, int32_t oc)
{
    nb_iconv_winograd_avx2.multiply(m, v, u, tiles, c, oc);
}

/* y = A'm, modulo 2^32. */
AVX2_INLINE void from_points(__m256i *y, const __m256i *m)
{
    y[0] = _mm256_add_epi32(_mm256_add_epi32(m[0], m[1]), m[2]);
    y[1] = _mm256_sub_epi32(_mm256_sub_epi32(m[1], m[2]), m[3]);
}

/* rows, cols and add are constants at every call but that for tiles on an edge. */
AVX2_INLINE void output8(const nb_qtile *t, int32_t k, const int32_t *m, int64_t plane, const int32_t rows,
                         const int32_t cols, const bool add)
{
    const __m256 scale = _mm256_set1_ps(t->scale);
    __m256i s[OUT][IN], d[IN], p[OUT];
    for (int32_t j = 0; j < IN; j++) {
        for (int32_t i = 0; i < IN; i++)
            d[i] = load256(m + (i * IN + j) * plane);
        from_points(p, d);
        s[0][j] = p[0];
        s[1][j] = p[1];
    }
    for (int32_t i = 0; i < rows; i++) {
        from_points(p, s[i]);
        for (int32_t j = 0; j < cols; j++) {
            float *to = t->dx + k + i * t->row + (int64_t)j * t->c;
            const __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(p[j]), scale);
            _mm256_storeu_ps(to, add ? _mm256_add_ps(_mm256_loadu_ps(to), y) : y);
        }
    }
}

AVX2 static void output(const nb_qtile *t, const int32_t *m, int64_t plane)
{
    const bool whole = t->rows == OUT && t->cols == OUT;
    for (int32_t k = 0; k < t->c; k += W)
        if (whole && t->add)
            output8(t, k, m + k, plane, OUT, OUT, true);
        else if (whole)
            output8(t, k, m + k, plane, OUT, OUT, false);
        else
            output8(t, k, m + k, plane, t->rows, t->cols, t->add);
}

/* ---- gradient of the weights ---- */

/* Two tiles' codes of 8 channels side by side, in 16 bits. */
AVX2_INLINE __m256i pair_of_codes(const uint8_t *a, const uint8_t *b, const int32_t is_signed)
{
    const __m128i both = _mm_unpacklo_epi8(_mm_loadl_epi64((const void *)a), _mm_loadl_epi64((const void *)b));
    return is_signed ? _mm256_cvtepi8_epi16(both) : _mm256_cvtepu8_epi16(both);
}

/* The zero point is a sum that only one point has: B' has rows that sum to 0, and one to 2. */
AVX2_INLINE void pair_x8(int16_t *v, int64_t plane, const uint8_t *a, const uint8_t *b, int64_t row, int32_t c,
                         const int32_t is_signed, __m256i zeros)
{
    __m256i t[IN][IN], d[IN], p[IN];
    for (int32_t j = 0; j < IN; j++) {
        for (int32_t i = 0; i < IN; i++)
            d[i] = pair_of_codes(a + i * row + (int64_t)j * c, b + i * row + (int64_t)j * c, is_signed);
        to_points(p, d);
        for (int32_t i = 0; i < IN; i++)
            t[i][j] = p[i];
    }
    for (int32_t i = 0; i < IN; i++) {
        to_points(p, t[i]);
        if (i == 1)
            p[1] = _mm256_sub_epi16(p[1], zeros);
        for (int32_t j = 0; j < IN; j++)
            store256(v + (i * IN + j) * plane, p[j]);
    }
}

AVX2 static void pair_x(int16_t *v, int64_t plane, const uint8_t *const tile[2], int64_t row, int32_t c,
                        const nb_fconv_image *like)
{
    const __m256i zeros = _mm256_set1_epi16((int16_t)(4 * like->zero));
    for (int32_t k = 0; k < 2 * W; k += W)
        if (like->dtype == NB_S8)
            pair_x8(v + 2 * k, plane, tile[0] + k, tile[1] + k, row, c, 1, zeros);
        else
            pair_x8(v + 2 * k, plane, tile[0] + k, tile[1] + k, row, c, 0, zeros);
}

/* Two tiles' codes of dy of 8 channels side by side. */
AVX2_INLINE __m256i pair_of_dy(const int16_t *a, const int16_t *b)
{
    const __m128i x = _mm_loadu_si128((const void *)a), y = b ? _mm_loadu_si128((const void *)b) : _mm_setzero_si128();
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi16(x, y)), _mm_unpackhi_epi16(x, y), 1);
}

AVX2_INLINE void pair_dy8(int16_t *v, int64_t plane, const int16_t *a, const int16_t *b, int64_t row, int32_t c)
{
    __m256i t[OUT][IN], p[IN];
    for (int32_t j = 0; j < OUT; j++)
        expand(t[j], pair_of_dy(a + (int64_t)j * c, b ? b + (int64_t)j * c : NULL),
               pair_of_dy(a + row + (int64_t)j * c, b ? b + row + (int64_t)j * c : NULL));
    for (int32_t i = 0; i < IN; i++) {
        expand(p, t[0][i], t[1][i]);
        for (int32_t j = 0; j < IN; j++)
            store256(v + (i * IN + j) * plane, p[j]);
    }
}

AVX2 static void pair_dy(int16_t *v, int64_t plane, const int16_t *const tile[2], int64_t row, int32_t c)
{
    for (int32_t k = 0; k < 2 * W; k += W)
        if (tile[1])
            pair_dy8(v + 2 * k, plane, tile[0] + k, tile[1] + k, row, c);
        else
            pair_dy8(v + 2 * k, plane, tile[0] + k, NULL, row, c);
}

/* m [16, 16] of one point, four input channels at a time. */
AVX2_INLINE void products(int32_t *m, const int16_t *x, const int16_t *dy, int32_t n)
{
    for (int32_t c = 0; c < NB_PANEL; c += ROWS) {
        const int16_t *px = x + 2 * c, *py = dy;
        __m256i lo[ROWS], hi[ROWS];
        for (int32_t r = 0; r < ROWS; r++)
            lo[r] = hi[r] = _mm256_setzero_si256();
        for (int32_t i = 0; i < n; i++, px += 2 * NB_PANEL, py += 2 * NB_PANEL) {
            const __m256i w0 = load256(py), w1 = load256(py + NB_PANEL);
            for (int32_t r = 0; r < ROWS; r++)
                nb_pair_step(&lo[r], &hi[r], px + 2 * r, w0, w1);
        }
        for (int32_t r = 0; r < ROWS; r++, m += NB_PANEL) {
            store256(m, lo[r]);
            store256(m + W, hi[r]);
        }
    }
}

/* y = C'm, modulo 2^32. */
AVX2_INLINE void to_weights(__m256i *y, const __m256i *m)
{
    const __m256i sum = _mm256_add_epi32(m[1], m[2]);
    y[0] = _mm256_add_epi32(m[0], sum);
    y[1] = _mm256_sub_epi32(m[1], m[2]);
    y[2] = _mm256_sub_epi32(sum, m[3]);
}

/* One input channel and 8 output channels; m: points are 16 * 16 values apart. */
AVX2_INLINE void weights8(float *slot, int32_t c, const int32_t *m, __m256 scale)
{
    __m256i t[3][IN], d[IN], p[3];
    for (int32_t j = 0; j < IN; j++) {
        for (int32_t i = 0; i < IN; i++)
            d[i] = load256(m + (ptrdiff_t)(i * IN + j) * NB_PANEL * NB_PANEL);
        to_weights(p, d);
        for (int32_t i = 0; i < 3; i++)
            t[i][j] = p[i];
    }
    for (int32_t i = 0; i < 3; i++) {
        to_weights(p, t[i]);
        for (int32_t j = 0; j < 3; j++) {
            float *to = slot + (int64_t)(i * 3 + j) * c * NB_PANEL;
            const __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(p[j]), scale);
            _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), y));
        }
    }
}

AVX2 static void weights(float *slot, int32_t c, const int16_t *x, const int16_t *dy, int64_t plane, int32_t n,
                         const float *scale)
{
    int32_t m[POINTS * NB_PANEL * NB_PANEL];
    const __m256 gain = _mm256_set1_ps(1.0f / NB_QGRAD_TILE_GAIN);
    const __m256 lo = _mm256_mul_ps(_mm256_loadu_ps(scale), gain), hi = _mm256_mul_ps(_mm256_loadu_ps(scale + W), gain);
    for (int32_t k = 0; k < POINTS; k++)
        products(m + (ptrdiff_t)k * NB_PANEL * NB_PANEL, x + k * plane, dy + k * plane, n);
    for (int32_t i = 0; i < NB_PANEL; i++, slot += NB_PANEL) {
        weights8(slot, c, m + (ptrdiff_t)i * NB_PANEL, lo);
        weights8(slot + W, c, m + (ptrdiff_t)i * NB_PANEL + W, hi);
    }
}

const nb_qgrad_winograd nb_qgrad_winograd_avx2 = {
    .input = input, .multiply = multiply, .output = output, .pair_x = pair_x, .pair_dy = pair_dy, .weights = weights};
#endif
