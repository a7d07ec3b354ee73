/* iconv_avx2.c - the integer convolution kernels with AVX2.
 *
 * s16: a tile of up to 6 pixels x 16 channels lives in 12 registers; each step broadcasts two consecutive s16 values of
 * a pixel and multiplies them into both halves of the panel; vpmaddwd adds the two products in 32 bits, exactly.
 * bytes: vpmaddubsw multiplies four consecutive bytes into eight channels and adds pairs in 16 bits, where it
 * saturates: it is used only for layers whose codes prove that it never does (nb_iconv_direct_pair_max <= 32767). `burst` such sums fit
 * in 16 bits, so that many are added before vpmaddwd by ones widens them.
 * depthwise: pairs of taps side by side for vpmaddwd. What sums become is in icodes_avx2.c. */
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_direct.h"
#include "kernels/integer/iconv_isa.h"
#include "kernels/integer/iconv_winograd.h"

#ifdef NB_WITH_AVX2

#    include "kernels/integer/iavx2.h"

enum { TILE = 6, LANES = NB_ICONV_LANES, STEP = 64 /* bytes */ };

AVX2_INLINE __m256i broadcast_pair(const int16_t *x)
{
    int32_t v;
    memcpy(&v, x, sizeof v);
    return _mm256_set1_epi32(v);
}

AVX2_INLINE void store_lanes(int32_t *to, __m256i lo, __m256i hi, int32_t lanes)
{
    int32_t all[LANES];
    _mm256_storeu_si256((void *)all, lo);
    _mm256_storeu_si256((void *)(all + 8), hi);
    memcpy(to, all, (size_t)lanes * sizeof *to);
}

/* rows is a constant in every call, here and below: the arrays become registers. */
AVX2_INLINE void store_tile(const nb_iconv_job *j, int32_t p, const __m256i *lo, const __m256i *hi, const int32_t rows)
{
    int32_t *to = j->acc + p * j->acc_stride;
    if (j->channels >= LANES)
        for (int32_t r = 0; r < rows; r++, to += j->acc_stride) {
            _mm256_storeu_si256((void *)to, lo[r]);
            _mm256_storeu_si256((void *)(to + 8), hi[r]);
        }
    else
        for (int32_t r = 0; r < rows; r++, to += j->acc_stride)
            store_lanes(to, lo[r], hi[r], j->channels);
}

AVX2 static void widen(int16_t *to, const uint8_t *from, int32_t is_signed, int64_t n)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m128i v = _mm_loadu_si128((const void *)(from + i));
        _mm256_storeu_si256((void *)(to + i), is_signed ? _mm256_cvtepi8_epi16(v) : _mm256_cvtepu8_epi16(v));
    }
    for (; i < n; i++)
        to[i] = (int16_t)nb_code(from[i], is_signed);
}

AVX2_INLINE void tile(const nb_iconv_job *j, int32_t p, const int32_t rows)
{
    __m256i lo[TILE], hi[TILE];
    const int16_t *x[TILE], *w = j->panels;
    for (int32_t r = 0; r < rows; r++) {
        lo[r] = hi[r] = _mm256_setzero_si256();
        x[r] = (const int16_t *)j->x + j->px[p + r];
    }
    for (int32_t run = 0; run < j->n_runs; run++) {
        const int64_t first = j->runs[run], end = first + 2 * j->steps;
        for (int64_t k = first; k < end; k += 2, w += 2 * LANES) {
            const __m256i w0 = load256(w), w1 = load256(w + LANES);
            for (int32_t r = 0; r < rows; r++) {
                const __m256i v = broadcast_pair(x[r] + k);
                lo[r] = _mm256_add_epi32(lo[r], _mm256_madd_epi16(v, w0));
                hi[r] = _mm256_add_epi32(hi[r], _mm256_madd_epi16(v, w1));
            }
        }
    }
    store_tile(j, p, lo, hi, rows);
}

/* One pixel (linear layers): four pairs of accumulators over k, so that additions do not wait for each other. */
AVX2_INLINE void tile_of_one(const nb_iconv_job *j, int32_t p)
{
    __m256i lo[4], hi[4];
    const int16_t *w = j->panels;
    for (int32_t i = 0; i < 4; i++)
        lo[i] = hi[i] = _mm256_setzero_si256();
    for (int32_t run = 0; run < j->n_runs; run++) {
        const int16_t *x = (const int16_t *)j->x + j->px[p] + j->runs[run];
        int32_t k = 0;
        for (; k + 4 <= j->steps; k += 4, x += 8)
            for (int32_t i = 0; i < 4; i++, w += 2 * LANES) {
                const __m256i v = broadcast_pair(x + 2 * i);
                lo[i] = _mm256_add_epi32(lo[i], _mm256_madd_epi16(v, load256(w)));
                hi[i] = _mm256_add_epi32(hi[i], _mm256_madd_epi16(v, load256(w + LANES)));
            }
        for (; k < j->steps; k++, x += 2, w += 2 * LANES) {
            const __m256i v = broadcast_pair(x);
            lo[0] = _mm256_add_epi32(lo[0], _mm256_madd_epi16(v, load256(w)));
            hi[0] = _mm256_add_epi32(hi[0], _mm256_madd_epi16(v, load256(w + LANES)));
        }
    }
    lo[0] = _mm256_add_epi32(_mm256_add_epi32(lo[0], lo[1]), _mm256_add_epi32(lo[2], lo[3]));
    hi[0] = _mm256_add_epi32(_mm256_add_epi32(hi[0], hi[1]), _mm256_add_epi32(hi[2], hi[3]));
    store_tile(j, p, lo, hi, 1);
}

AVX2_INLINE void some_pixels(const nb_iconv_job *j, int32_t p, int32_t n)
{
    switch (n) {
    case TILE:
        tile(j, p, TILE);
        break;
    case 5:
        tile(j, p, 5);
        break;
    case 4:
        tile(j, p, 4);
        break;
    case 3:
        tile(j, p, 3);
        break;
    case 2:
        tile(j, p, 2);
        break;
    default:
        tile_of_one(j, p);
    }
}

AVX2 static void s16_panel(const nb_iconv_job *j)
{
    int32_t p = 0, left = j->n;
    while (left > 0) { /* tiles of 6; what is left is shared out, 8 as 4 and 4 */
        const int32_t rows = left >= 11 || left == TILE ? TILE : left > TILE ? (left + 1) / 2 : left;
        some_pixels(j, p, rows);
        p += rows;
        left -= rows;
    }
}

/* Calls f for each panel, as a job of its own. */
static void each_panel(const nb_iconv_job *j, int64_t panel_bytes, void (*f)(const nb_iconv_job *one))
{
    nb_iconv_job one = *j;
    for (; one.channels > 0; one.channels -= LANES) {
        f(&one);
        one.acc += LANES;
        one.panels = (const char *)one.panels + panel_bytes;
        one.start += LANES;
    }
}

static void dense_s16(const nb_iconv_job *j)
{
    each_panel(j, (int64_t)j->n_runs * j->steps * STEP, s16_panel);
}

/* ---- bytes ---- */

AVX2_INLINE __m256i products(const uint8_t *x, __m256i w)
{
    int32_t v;
    memcpy(&v, x, sizeof v);
    return _mm256_maddubs_epi16(_mm256_set1_epi32(v), w);
}

AVX2_INLINE __m256i widened(__m256i s16)
{
    return _mm256_madd_epi16(s16, _mm256_set1_epi16(1));
}

/* 4 pixels and less; `both`: two steps at a time are added in 16 bits. */
AVX2_INLINE void bytes_tile(const nb_iconv_job *j, int32_t p, const int32_t rows, const bool both)
{
    __m256i lo[TILE], hi[TILE];
    const uint8_t *x[TILE], *w = j->panels;
    for (int32_t r = 0; r < rows; r++) {
        lo[r] = load256(j->start);
        hi[r] = load256(j->start + 8);
        x[r] = (const uint8_t *)j->x + j->px[p + r];
    }
    for (int32_t run = 0; run < j->n_runs; run++) {
        int64_t k = j->runs[run];
        const int64_t end = k + 4 * j->steps;
        for (; both && k + 4 < end; k += 8, w += 2 * STEP) {
            const __m256i w0 = load256(w), w1 = load256(w + 32), w2 = load256(w + 64), w3 = load256(w + 96);
            for (int32_t r = 0; r < rows; r++) {
                const __m256i a = _mm256_add_epi16(products(x[r] + k, w0), products(x[r] + k + 4, w2));
                const __m256i b = _mm256_add_epi16(products(x[r] + k, w1), products(x[r] + k + 4, w3));
                lo[r] = _mm256_add_epi32(lo[r], widened(a));
                hi[r] = _mm256_add_epi32(hi[r], widened(b));
            }
        }
        for (; k < end; k += 4, w += STEP) {
            const __m256i w0 = load256(w), w1 = load256(w + 32);
            for (int32_t r = 0; r < rows; r++) {
                lo[r] = _mm256_add_epi32(lo[r], widened(products(x[r] + k, w0)));
                hi[r] = _mm256_add_epi32(hi[r], widened(products(x[r] + k, w1)));
            }
        }
    }
    store_tile(j, p, lo, hi, rows);
}

typedef int32_t __attribute__((may_alias, aligned(1))) four_bytes;

/* Four bytes of one pixel into 16 channels, in 16 bits. Assembly, because 12 sums, 2 weights and 2 temporaries are all
 * registers there are: gcc moves the loads of six pixels to the front and then spills the sums. */
AVX2_INLINE void burst_step(__m256i *lo, __m256i *hi, const uint8_t *x, __m256i w0, __m256i w1)
{
    __m256i a, b;
    __asm__("vpbroadcastd %4, %2\n\t"
            "vpmaddubsw %5, %2, %3\n\t"
            "vpmaddubsw %6, %2, %2\n\t"
            "vpaddw %3, %0, %0\n\t"
            "vpaddw %2, %1, %1"
            : "+x"(*lo), "+x"(*hi), "=&x"(a), "=&x"(b)
            : "m"(*(const four_bytes *)x), "x"(w0), "x"(w1));
}

/* Long bursts: 16-bit sums in registers, 32-bit sums in memory. */
AVX2_INLINE void burst_tile(const nb_iconv_job *j, int32_t p, const int32_t rows)
{
    __m256i lo[TILE], hi[TILE];
    const uint8_t *x[TILE], *w = j->panels;
    for (int32_t r = 0; r < rows; r++) {
        lo[r] = load256(j->start);
        hi[r] = load256(j->start + 8);
        x[r] = (const uint8_t *)j->x + j->px[p + r];
    }
    for (int32_t run = 0; run < j->n_runs; run++) {
        int64_t k = j->runs[run];
        const int64_t end = k + 4 * j->steps;
        while (k < end) {
            __m256i lo16[TILE], hi16[TILE];
            const int64_t stop = end - k < 4 * j->burst ? end : k + 4 * j->burst;
            for (int32_t r = 0; r < rows; r++)
                lo16[r] = hi16[r] = _mm256_setzero_si256();
            for (; k < stop; k += 4, w += STEP) {
                const __m256i w0 = load256(w), w1 = load256(w + 32);
                for (int32_t r = 0; r < rows; r++)
                    burst_step(&lo16[r], &hi16[r], x[r] + k, w0, w1);
            }
            for (int32_t r = 0; r < rows; r++) {
                lo[r] = _mm256_add_epi32(lo[r], widened(lo16[r]));
                hi[r] = _mm256_add_epi32(hi[r], widened(hi16[r]));
            }
        }
    }
    store_tile(j, p, lo, hi, rows);
}

AVX2 static void burst_panel(const nb_iconv_job *j)
{
    int32_t p = 0;
    for (; p + TILE <= j->n; p += TILE)
        burst_tile(j, p, TILE);
    for (; p + 2 <= j->n; p += 2)
        burst_tile(j, p, 2);
    for (; p < j->n; p++)
        burst_tile(j, p, 1);
}

AVX2 static void single_panel(const nb_iconv_job *j)
{
    int32_t p = 0;
    for (; p + 4 <= j->n; p += 4)
        bytes_tile(j, p, 4, false);
    for (; p < j->n; p++)
        bytes_tile(j, p, 1, false);
}

AVX2 static void double_panel(const nb_iconv_job *j)
{
    int32_t p = 0;
    for (; p + 4 <= j->n; p += 4)
        bytes_tile(j, p, 4, true);
    for (; p < j->n; p++)
        bytes_tile(j, p, 1, true);
}

static void dense_bytes(const nb_iconv_job *j)
{
    each_panel(j, (int64_t)j->n_runs * j->steps * STEP,
               j->burst == 1                  ? single_panel
               : j->burst < 4 || j->steps < 4 ? double_panel
                                              : burst_panel);
}

/* How many results of vpmaddubsw may be added in 16 bits. */
static int32_t choose_bytes(const nb_iconv_facts *f)
{
    const int32_t most = nb_iconv_direct_pair_max(f->w, f->x, f->geom);
    return most ? INT16_MAX / most : INT16_MAX;
}

/* ---- depthwise ---- */

/* Interleaves 16 channels of two taps: (a0 b0 a1 b1 ...), which is how the weights lie. unpack works within 128-bit
 * halves, so lo holds channels 0-3 and 8-11; the weights are permuted alike and the sums are put in order at the end.
 */
AVX2_INLINE void depthwise_tile(const nb_iconv_job *j, int32_t p, const int32_t rows)
{
    __m256i lo[TILE], hi[TILE];
    const int16_t *x[TILE], *w = j->panels;
    for (int32_t r = 0; r < rows; r++) {
        lo[r] = hi[r] = _mm256_setzero_si256();
        x[r] = (const int16_t *)j->x + j->px[p + r];
    }
    for (int32_t k = 0; k < j->steps; k++, w += 2 * LANES) {
        const int64_t first = j->runs[2 * k], second = j->runs[2 * k + 1];
        const __m256i w0 = load256(w), w1 = load256(w + LANES);
        const __m256i w_lo = _mm256_permute2x128_si256(w0, w1, 0x20), w_hi = _mm256_permute2x128_si256(w0, w1, 0x31);
        for (int32_t r = 0; r < rows; r++) {
            const __m256i a = load256(x[r] + first), b = load256(x[r] + second);
            lo[r] = _mm256_add_epi32(lo[r], _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w_lo));
            hi[r] = _mm256_add_epi32(hi[r], _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w_hi));
        }
    }
    for (int32_t r = 0; r < rows; r++) {
        const __m256i low = _mm256_permute2x128_si256(lo[r], hi[r], 0x20);
        hi[r] = _mm256_permute2x128_si256(lo[r], hi[r], 0x31);
        lo[r] = low;
    }
    store_tile(j, p, lo, hi, rows);
}

AVX2 static void depthwise_panel(const nb_iconv_job *j)
{
    int32_t p = 0;
    for (; p + 4 <= j->n; p += 4)
        depthwise_tile(j, p, 4);
    for (; p < j->n; p++)
        depthwise_tile(j, p, 1);
}

static void depthwise(const nb_iconv_job *j)
{
    nb_iconv_job one = *j;
    for (; one.channels > 0; one.channels -= LANES) {
        depthwise_panel(&one);
        one.acc += LANES;
        one.x = (const int16_t *)one.x + LANES;
        one.panels = (const char *)one.panels + (int64_t)j->steps * STEP;
    }
}

/* 3x3, eight channels at a time, from bytes. A column's upper two rows make one operand, its lowest row and that of the
 * next column another; both are made once and serve all windows that see the column. The last weight stands alone:
 * pair 4 is (nothing, w22) on the operand of columns 1 and 2. */
AVX2_INLINE __m256i two_of(const uint8_t *a, const uint8_t *b, const int32_t is_signed)
{
    const __m128i both = _mm_unpacklo_epi8(_mm_loadl_epi64((const void *)a), _mm_loadl_epi64((const void *)b));
    return is_signed ? _mm256_cvtepi8_epi16(both) : _mm256_cvtepu8_epi16(both);
}

AVX2_INLINE __m256i window(const __m256i *w, __m256i upper0, __m256i upper1, __m256i upper2, __m256i lower0,
                           __m256i lower1)
{
    const __m256i a = _mm256_add_epi32(_mm256_madd_epi16(upper0, w[0]), _mm256_madd_epi16(upper1, w[1]));
    const __m256i b = _mm256_add_epi32(_mm256_madd_epi16(upper2, w[2]), _mm256_madd_epi16(lower0, w[3]));
    return _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_madd_epi16(lower1, w[4]));
}

/* n windows beside each other, `stride` (1 or 2, a constant) columns of c bytes apart. */
AVX2_INLINE void depthwise3_row(int32_t *acc, int64_t acc_stride, const uint8_t *x, int64_t row, int64_t c,
                                const int16_t *panel, int32_t n, const int32_t stride, const int32_t is_signed)
{
    const uint8_t *mid = x + row, *low = mid + row;
    __m256i w[5];
    for (int32_t i = 0; i < 5; i++)
        w[i] = load256(panel + (ptrdiff_t)i * 2 * LANES);
    __m256i upper0 = two_of(x, mid, is_signed), upper1 = two_of(x + c, mid + c, is_signed);
    __m256i lower0 = two_of(low, low + c, is_signed);
    for (; n > 0; n--, acc += acc_stride) {
        const __m256i upper2 = two_of(x + 2 * c, mid + 2 * c, is_signed);
        const __m256i lower1 = two_of(low + c, low + 2 * c, is_signed);
        store256(acc, window(w, upper0, upper1, upper2, lower0, lower1));
        x += stride * c;
        mid += stride * c;
        low += stride * c;
        if (stride == 1) {
            upper0 = upper1;
            upper1 = upper2;
            lower0 = lower1;
        } else if (n > 1) {
            upper0 = upper2;
            upper1 = two_of(x + c, mid + c, is_signed);
            lower0 = two_of(low, low + c, is_signed);
        }
    }
}

AVX2 static void depthwise3_run(int32_t *acc, const uint8_t *x, const int16_t *panel, int32_t n, const nb_iconv_job *j,
                                int32_t step)
{
    const int64_t c = j->runs[1], row = j->runs[3];
    if (step == c && j->is_signed)
        depthwise3_row(acc, j->acc_stride, x, row, c, panel, n, 1, 1);
    else if (step == c)
        depthwise3_row(acc, j->acc_stride, x, row, c, panel, n, 1, 0);
    else if (j->is_signed)
        depthwise3_row(acc, j->acc_stride, x, row, c, panel, n, 2, 1);
    else
        depthwise3_row(acc, j->acc_stride, x, row, c, panel, n, 2, 0);
}

/* Pixels that follow each other in the image, as one run; a step between two that is neither 1 nor 2 columns begins the
 * next. */
static void depthwise3(const nb_iconv_job *j)
{
    for (int32_t p = 0, n; p < j->n; p += n) {
        const int32_t step = p + 1 < j->n ? j->px[p + 1] - j->px[p] : 0;
        for (n = 1; (step == j->runs[1] || step == 2 * j->runs[1]) && p + n < j->n; n++)
            if (j->px[p + n] - j->px[p + n - 1] != step)
                break;
        for (int32_t c = 0; c < j->channels; c += 8)
            depthwise3_run(j->acc + p * j->acc_stride + c, (const uint8_t *)j->x + j->px[p] + c,
                           (const int16_t *)j->panels + (ptrdiff_t)(c / LANES) * j->steps * 2 * LANES + c % LANES * 2,
                           n, j, step);
    }
}

static const nb_iconv_method s16 = {.name = "s16", .form = NB_ICONV_S16, .dense = dense_s16};
static const nb_iconv_method bytes = {
    .name = "bytes", .form = NB_ICONV_BYTES, .choose = choose_bytes, .dense = dense_bytes};
static const nb_iconv_method winograd = {.name = "winograd",
                                         .form = NB_ICONV_WINOGRAD,
                                         .choose = nb_iconv_winograd_choose,
                                         .winograd = &nb_iconv_winograd_avx2};
static const nb_iconv_method *const methods[] = {&winograd, &bytes, &s16, NULL};

const nb_iconv_isa nb_iconv_avx2 = {.methods = methods,
                                    .widen = widen,
                                    .depthwise = depthwise,
                                    .depthwise3 = depthwise3,
                                    .requantize = nb_icodes_requantize_avx2,
                                    .add = nb_icodes_add_avx2,
                                    .mul = nb_icodes_mul_avx2};

#endif
