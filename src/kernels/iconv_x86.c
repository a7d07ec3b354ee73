/* iconv_x86.c - the integer convolution kernels with AVX2.
 *
 * s16: a tile of up to 6 pixels x 16 channels lives in 12 registers; each step broadcasts two consecutive s16 values of
 * a pixel and multiplies them into both halves of the panel; vpmaddwd adds the two products in 32 bits, exactly.
 * bytes: vpmaddubsw multiplies four consecutive bytes into eight channels and adds pairs in 16 bits, where it
 * saturates: it is used only for layers whose codes prove that it never does (pair_max <= 32767). `burst` such sums fit
 * in 16 bits, so that many are added before vpmaddwd by ones widens them. requantize: 64-bit products of even and odd
 * lanes, arithmetic shifts by adding 2^63 before a logical shift and taking it off after. */
#include "kernels/ibytes.h"
#include "kernels/iconv_isa.h"
#include "kernels/iconv_winograd.h"
#include "kernels/rescale.h"

typedef int nb_iconv_x86_unused; /* a translation unit may not be empty */

#if defined(__x86_64__) && (!defined(NB_FREESTANDING) || defined(__AVX2__))

#    include <immintrin.h>

#    include "base/cpu.h"

#    define AVX2        __attribute__((target("avx2")))
#    define AVX2_INLINE __attribute__((target("avx2"), always_inline)) static inline

enum { TILE = 6, LANES = NB_ICONV_LANES, STEP = 64 /* bytes */ };

AVX2_INLINE __m256i load256(const void *p)
{
    return _mm256_loadu_si256(p);
}

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
    return f->pair_max ? INT16_MAX / f->pair_max : INT16_MAX;
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

/* ---- sums to codes ---- */

/* Constants of 8 channels. e: lanes 0, 2, 4, 6; o: lanes 1, 3, 5, 7, as 64-bit numbers. */
typedef struct {
    __m256i bias, mult_e, mult_o, shift_e, shift_o, add_e, add_o, sub;
    __m256i lo, hi, zero; /* s16: limits before the zero point is added, and the zero point */
} channels8;

/* (v + 2^63) >> s, logically, is (v >> s) + 2^(63 - s): `sub` takes that off again. With s >= 31 the result fits in 32
 * bits (rescale.h: |acc * mult| < 2^62), so the low words are all that is needed. Channels outside the mask give
 * something that nobody stores. */
AVX2_INLINE channels8 channels_at(const nb_irequant *q, int32_t c0, __m256i mask)
{
    const __m256i mult = _mm256_maskload_epi32(q->mult + c0, mask), shift = _mm256_maskload_epi32(q->shift + c0, mask);
    const __m256i low = _mm256_set1_epi64x(0xffffffff), one = _mm256_set1_epi64x(1), top = _mm256_slli_epi64(one, 63);
    channels8 k = {.bias = _mm256_maskload_epi32(q->bias + c0, mask)};
    k.mult_e = mult;                             /* vpmuldq looks at even lanes only */
    k.mult_o = _mm256_shuffle_epi32(mult, 0xF5); /* not a shift: clang would then lose sight of vpmuldq */
    k.shift_e = _mm256_and_si256(shift, low);
    k.shift_o = _mm256_srli_epi64(shift, 32);
    k.add_e = _mm256_add_epi64(top, _mm256_sllv_epi64(one, _mm256_sub_epi64(k.shift_e, one)));
    k.add_o = _mm256_add_epi64(top, _mm256_sllv_epi64(one, _mm256_sub_epi64(k.shift_o, one)));
    k.sub = _mm256_blend_epi32(_mm256_srlv_epi64(top, k.shift_e),
                               _mm256_slli_epi64(_mm256_srlv_epi64(top, k.shift_o), 32), 0xAA);
    k.lo = _mm256_set1_epi16((int16_t)(q->lo - q->zero));
    k.hi = _mm256_set1_epi16((int16_t)(q->hi - q->zero));
    k.zero = _mm256_set1_epi16((int16_t)q->zero);
    return k;
}

/* 8 accumulators, rescaled; not clamped yet. */
AVX2_INLINE __m256i rescale8(__m256i acc, const channels8 *k)
{
    const __m256i v = _mm256_add_epi32(acc, k->bias);
    __m256i e = _mm256_mul_epi32(v, k->mult_e), o = _mm256_mul_epi32(_mm256_shuffle_epi32(v, 0xF5), k->mult_o);
    e = _mm256_srlv_epi64(_mm256_add_epi64(e, k->add_e), k->shift_e);
    o = _mm256_srlv_epi64(_mm256_add_epi64(o, k->add_o), k->shift_o);
    return _mm256_sub_epi32(_mm256_blend_epi32(e, _mm256_slli_epi64(o, 32), 0xAA), k->sub);
}

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

/* Up to 8 channels, two rows at a time: that many constants fit in registers. */
AVX2 static void requantize8(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c,
                             int32_t c0, int32_t lanes)
{
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const channels8 k = channels_at(q, c0, mask);
    int64_t r = 0;
    codes += c0;
    acc += c0;
    if (lanes == 8)
        for (; r + 2 <= rows; r += 2, acc += 2 * (int64_t)c, codes += 2 * (int64_t)c) {
            const __m128i y = codes16(rescale8(load256(acc), &k), rescale8(load256(acc + c), &k), k.lo, k.hi, k.zero);
            const int64_t first = _mm_cvtsi128_si64(y), second = _mm_extract_epi64(y, 1);
            memcpy(codes, &first, 8);
            memcpy(codes + c, &second, 8);
        }
    for (; r < rows; r++, acc += c, codes += c) {
        const __m256i y = rescale8(_mm256_maskload_epi32(acc, mask), &k);
        const int64_t bytes = _mm_cvtsi128_si64(codes16(y, y, k.lo, k.hi, k.zero));
        memcpy(codes, &bytes, (size_t)lanes);
    }
}

/* Shifts below 31 (a factor of 1/2 and more) may leave 32 bits before clamping; they are rare. */
static void requantize_wide(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c,
                            int32_t c0, int32_t lanes)
{
    for (int64_t r = 0; r < rows; r++)
        for (int32_t i = c0; i < c0 + lanes; i++)
            codes[r * c + i] =
                (uint8_t)nb_rescale(acc[r * c + i] + q->bias[i], q->mult[i], q->shift[i], q->zero, q->lo, q->hi);
}

static void requantize(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c)
{
    for (int32_t c0 = 0; c0 < c; c0 += 8) {
        const int32_t lanes = c - c0 < 8 ? c - c0 : 8;
        int32_t least = 62;
        for (int32_t i = c0; i < c0 + lanes; i++)
            least = q->shift[i] < least ? q->shift[i] : least;
        (least < 31 ? requantize_wide : requantize8)(codes, acc, q, rows, c, c0, lanes);
    }
}

/* Constants of a residual add. The zero points go into `add`, together with half of the last place and 2^63 (see
 * channels_at). */
typedef struct {
    __m256i mult_a, mult_b, add, sub, lo, hi, zero;
    __m128i shift;
} add_constants;

AVX2_INLINE add_constants add_constants_of(const nb_iadd *p)
{
    const int64_t zeros = (int64_t)p->zero[0] * p->mult[0] + (int64_t)p->zero[1] * p->mult[1];
    const uint64_t add = ((uint64_t)1 << (p->shift - 1)) + ((uint64_t)1 << 63) - (uint64_t)zeros;
    add_constants k = {.mult_a = _mm256_set1_epi64x(p->mult[0]), .mult_b = _mm256_set1_epi64x(p->mult[1])};
    k.add = _mm256_set1_epi64x((int64_t)add);
    k.shift = _mm_cvtsi32_si128(p->shift);
    k.sub = _mm256_set1_epi32((int32_t)(uint32_t)((uint64_t)1 << (63 - p->shift)));
    k.lo = _mm256_set1_epi16((int16_t)(p->lo - p->y_zero));
    k.hi = _mm256_set1_epi16((int16_t)(p->hi - p->y_zero));
    k.zero = _mm256_set1_epi16((int16_t)p->y_zero);
    return k;
}

/* 8 codes each, widened to 32 bits, to 8 rounded sums. */
AVX2_INLINE __m256i add8(__m256i a, __m256i b, const add_constants *k)
{
    __m256i e = _mm256_add_epi64(_mm256_mul_epi32(a, k->mult_a), _mm256_mul_epi32(b, k->mult_b));
    __m256i o = _mm256_add_epi64(_mm256_mul_epi32(_mm256_shuffle_epi32(a, 0xF5), k->mult_a),
                                 _mm256_mul_epi32(_mm256_shuffle_epi32(b, 0xF5), k->mult_b));
    e = _mm256_srl_epi64(_mm256_add_epi64(e, k->add), k->shift);
    o = _mm256_srl_epi64(_mm256_add_epi64(o, k->add), k->shift);
    return _mm256_sub_epi32(_mm256_blend_epi32(e, _mm256_slli_epi64(o, 32), 0xAA), k->sub);
}

AVX2_INLINE __m256i widen8(const uint8_t *x, int32_t is_signed)
{
    const __m128i v = _mm_loadl_epi64((const void *)x);
    return is_signed ? _mm256_cvtepi8_epi32(v) : _mm256_cvtepu8_epi32(v);
}

AVX2_INLINE int64_t add_blocks(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_iadd *p,
                               const int32_t a_signed, const int32_t b_signed)
{
    const add_constants k = add_constants_of(p);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i lo = add8(widen8(a + i, a_signed), widen8(b + i, b_signed), &k);
        const __m256i hi = add8(widen8(a + i + 8, a_signed), widen8(b + i + 8, b_signed), &k);
        _mm_storeu_si128((void *)(y + i), codes16(lo, hi, k.lo, k.hi, k.zero));
    }
    return i;
}

/* |sum| + half < 2^40 + 2^(shift-1): with shift >= 10 the rounded sum fits in 32 bits. */
AVX2 static void add(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_iadd *p)
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

static const nb_iconv_method s16 = {.name = "s16", .form = NB_ICONV_S16, .dense = dense_s16};
static const nb_iconv_method bytes = {
    .name = "bytes", .form = NB_ICONV_BYTES, .choose = choose_bytes, .dense = dense_bytes};
static const nb_iconv_method winograd = {.name = "winograd",
                                         .form = NB_ICONV_WINOGRAD,
                                         .choose = nb_iconv_winograd_choose,
                                         .winograd = &nb_iconv_winograd_avx2};
static const nb_iconv_method *const methods[] = {&winograd, &bytes, &s16, NULL};

const nb_iconv_isa nb_iconv_avx2 = {.name = "avx2",
                                    .needs = NB_CPU_AVX2,
                                    .methods = methods,
                                    .widen = widen,
                                    .depthwise = depthwise,
                                    .requantize = requantize,
                                    .add = add};

#endif
