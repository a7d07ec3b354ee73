/* iconv_winograd_avx2.c - the transforms of iconv_winograd.c with AVX2: 16 channels of codes, 8 channels of sums at a
 * time; rows and columns by the same one-dimensional transform. */
#include "kernels/integer/iconv_winograd.h"

#ifdef NB_WITH_AVX2

#    include "kernels/integer/iavx2.h"

enum { IN = 6, OUT = 4, TILE = 6 };

/* t = B' d, s16. */
AVX2_INLINE void to_points(__m256i *t, const __m256i *d)
{
    const __m256i a = _mm256_sub_epi16(d[4], d[2]), b = _mm256_sub_epi16(d[3], d[1]);
    const __m256i b2 = _mm256_add_epi16(b, b);
    t[0] = _mm256_add_epi16(_mm256_slli_epi16(_mm256_sub_epi16(d[0], d[2]), 2), a);
    t[1] = _mm256_sub_epi16(_mm256_add_epi16(d[3], d[4]), _mm256_slli_epi16(_mm256_add_epi16(d[1], d[2]), 2));
    t[2] = _mm256_add_epi16(_mm256_sub_epi16(d[4], d[3]), _mm256_slli_epi16(_mm256_sub_epi16(d[1], d[2]), 2));
    t[3] = _mm256_add_epi16(a, b2);
    t[4] = _mm256_sub_epi16(a, b2);
    t[5] = _mm256_sub_epi16(_mm256_sub_epi16(d[5], d[3]), _mm256_slli_epi16(b, 2));
}

/* y = A' m, int32. */
AVX2_INLINE void from_points(__m256i *y, const __m256i *m)
{
    const __m256i s12 = _mm256_add_epi32(m[1], m[2]), d21 = _mm256_sub_epi32(m[2], m[1]);
    const __m256i s34 = _mm256_add_epi32(m[3], m[4]), d34 = _mm256_sub_epi32(m[3], m[4]);
    y[0] = _mm256_add_epi32(_mm256_sub_epi32(m[0], _mm256_slli_epi32(s12, 2)), s34);
    y[1] = _mm256_add_epi32(_mm256_add_epi32(d21, d21), d34);
    y[2] = _mm256_sub_epi32(s34, s12);
    y[3] = _mm256_add_epi32(_mm256_add_epi32(d21, m[5]), _mm256_add_epi32(d34, d34));
}

AVX2_INLINE void input16(int16_t *v, int64_t plane, const uint8_t *x, int64_t row, int32_t c, const int32_t is_signed)
{
    __m256i t[IN][IN], d[IN], p[IN];
    for (int32_t j = 0; j < IN; j++) {
        for (int32_t i = 0; i < IN; i++) {
            const __m128i codes = _mm_loadu_si128((const void *)(x + i * row + (int64_t)j * c));
            d[i] = is_signed ? _mm256_cvtepi8_epi16(codes) : _mm256_cvtepu8_epi16(codes);
        }
        to_points(p, d);
        for (int32_t i = 0; i < IN; i++)
            t[i][j] = p[i];
    }
    for (int32_t i = 0; i < IN; i++) {
        to_points(p, t[i]);
        for (int32_t j = 0; j < IN; j++)
            _mm256_storeu_si256((void *)(v + (i * IN + j) * plane), p[j]);
    }
}

AVX2 static void input(int16_t *v, int64_t plane, const uint8_t *x, int64_t row, int32_t c, int32_t is_signed)
{
    for (int32_t k = 0; k < c; k += 16)
        if (is_signed)
            input16(v + k, plane, x + k, row, c, 1);
        else
            input16(v + k, plane, x + k, row, c, 0);
}

AVX2_INLINE void output8(int32_t *y, int64_t row, const int32_t *m, int64_t plane, int32_t c)
{
    static const int32_t e[OUT] = {3, 2, 1, 1};
    const __m256i ninth = _mm256_set1_epi32(0x38E38E39); /* 9 * 0x38E38E39 = 2^33 + 1 */
    __m256i t[OUT][IN], d[IN], p[OUT];
    for (int32_t j = 0; j < IN; j++) {
        for (int32_t i = 0; i < IN; i++)
            d[i] = _mm256_loadu_si256((const void *)(m + (i * IN + j) * plane));
        from_points(p, d);
        for (int32_t i = 0; i < OUT; i++)
            t[i][j] = p[i];
    }
    for (int32_t i = 0; i < OUT; i++) {
        from_points(p, t[i]);
        for (int32_t j = 0; j < OUT; j++) {
            const __m256i sum = _mm256_srai_epi32(_mm256_mullo_epi32(p[j], ninth), e[i] + e[j]);
            _mm256_storeu_si256((void *)(y + i * row + (int64_t)j * c), sum);
        }
    }
}

AVX2 static void output(int32_t *y, int64_t row, const int32_t *m, int64_t plane, int32_t c)
{
    for (int32_t k = 0; k < c; k += 8)
        output8(y + k, row, m + k, plane, c);
}

/* n tiles, 16 channels; n is a constant in every call. */
AVX2_INLINE void some_tiles(int32_t *m, const int16_t *v, const int16_t *u, int32_t c, int32_t oc, const int32_t n)
{
    __m256i lo[TILE], hi[TILE];
    for (int32_t r = 0; r < n; r++)
        lo[r] = hi[r] = _mm256_setzero_si256();
    for (int64_t k = 0; k < c; k += 2, u += 2 * NB_ICONV_LANES) {
        const __m256i u0 = _mm256_loadu_si256((const void *)u),
                      u1 = _mm256_loadu_si256((const void *)(u + NB_ICONV_LANES));
        for (int32_t r = 0; r < n; r++)
            nb_pair_step(&lo[r], &hi[r], v + r * (int64_t)c + k, u0, u1);
    }
    for (int32_t r = 0; r < n; r++, m += oc) {
        _mm256_storeu_si256((void *)m, lo[r]);
        _mm256_storeu_si256((void *)(m + 8), hi[r]);
    }
}

/* One panel. Tiles by 6; what is left is shared out, 8 as 4 and 4. */
AVX2_INLINE void all_tiles(int32_t *m, const int16_t *v, const int16_t *u, int32_t tiles, int32_t c, int32_t oc)
{
    for (int32_t left = tiles; left > 0;) {
        const int32_t n = left >= 11 || left == TILE ? TILE : left > TILE ? (left + 1) / 2 : left;
        switch (n) {
        case TILE:
            some_tiles(m, v, u, c, oc, TILE);
            break;
        case 5:
            some_tiles(m, v, u, c, oc, 5);
            break;
        case 4:
            some_tiles(m, v, u, c, oc, 4);
            break;
        case 3:
            some_tiles(m, v, u, c, oc, 3);
            break;
        case 2:
            some_tiles(m, v, u, c, oc, 2);
            break;
        default:
            some_tiles(m, v, u, c, oc, 1);
        }
        m += (int64_t)n * oc;
        v += (int64_t)n * c;
        left -= n;
    }
}

AVX2 static void multiply(int32_t *m, const int16_t *v, const int16_t *u, int32_t tiles, int32_t c, int32_t oc)
{
    for (int32_t c0 = 0; c0 < oc; c0 += NB_ICONV_LANES, u += (int64_t)c * NB_ICONV_LANES)
        all_tiles(m + c0, v, u, tiles, c, oc);
}

const nb_iconv_winograd nb_iconv_winograd_avx2 = {.input = input, .multiply = multiply, .output = output};

#endif
