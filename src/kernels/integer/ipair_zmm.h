/* ipair_zmm.h - sums and products of two tensors of codes with AVX-512, a template: included once per way to multiply
 * pairs of 16 bits, which is why it has no guard. Wanted before: PAIRS(acc, a, b), PAIR_TARGET; icodes_zmm.h.
 *
 * A sum is (a * m + b * n + constant) >> shift. With m = m1 * 2^16 + m0, and n and the constant alike, it is
 * (a * m1 + b * n1 + c1 + (a * m0 + b * n0 + c0 >> 16)) >> (shift - 16), where all fits in 32 bits: a and b are bytes
 * (s8 moved by 128, which the constant takes off again), m1 and n1 of 16 bits, and |constant| < 2^42. */
#define PAIR_INLINE static inline __attribute__((always_inline)) PAIR_TARGET

enum { LEAST_SHIFT = 17, MOST_SHIFT = 40 }; /* of a sum: 2^39 + 2^41 is the largest constant */

typedef struct {
    __m512i high, low, c1, c0;
    __m512i flip_a, flip_b, lo, hi, zero;
    __m128i shift;
} pair512;

static inline int32_t upper16(int32_t mult)
{
    return (int32_t)(((int64_t)mult - (int16_t)mult) >> 16);
}

static inline int32_t two16(int32_t first, int32_t second)
{
    return (int32_t)((uint32_t)(uint16_t)first | (uint32_t)(uint16_t)second << 16);
}

static inline bool sum_fits(const nb_ipair *p)
{
    return p->shift >= LEAST_SHIFT && p->shift <= MOST_SHIFT && upper16(p->mult[0]) <= INT16_MAX &&
           upper16(p->mult[1]) <= INT16_MAX;
}

PAIR_INLINE pair512 sum_constants(const nb_ipair *p)
{
    const int64_t zero_a = p->zero[0] + (p->x_signed[0] ? 128 : 0), zero_b = p->zero[1] + (p->x_signed[1] ? 128 : 0);
    const int64_t c = ((int64_t)1 << (p->shift - 1)) - zero_a * p->mult[0] - zero_b * p->mult[1];
    return (pair512){.high = _mm512_set1_epi32(two16(upper16(p->mult[0]), upper16(p->mult[1]))),
                     .low = _mm512_set1_epi32(two16((int16_t)p->mult[0], (int16_t)p->mult[1])),
                     .c1 = _mm512_set1_epi32((int32_t)(c >> 16)),
                     .c0 = _mm512_set1_epi32((int32_t)(c & 0xffff)),
                     .flip_a = _mm512_set1_epi8((char)(p->x_signed[0] ? 0x80 : 0)),
                     .flip_b = _mm512_set1_epi8((char)(p->x_signed[1] ? 0x80 : 0)),
                     .lo = _mm512_set1_epi8((char)p->lo),
                     .hi = _mm512_set1_epi8((char)p->hi),
                     .zero = _mm512_set1_epi16((int16_t)p->y_zero),
                     .shift = _mm_cvtsi32_si128(p->shift - 16)};
}

/* 16 pairs of u16 to rounded sums. */
PAIR_INLINE __m512i sums16(__m512i ab, const pair512 *k)
{
    const __m512i high = PAIRS(k->c1, ab, k->high), low = PAIRS(k->c0, ab, k->low);
    return _mm512_sra_epi32(PAIRS(high, low, _mm512_set1_epi32(1 << 16)), k->shift); /* high + (low >> 16) */
}

PAIR_INLINE __m512i clamped64(__m512i a, __m512i b, const pair512 *k, const bool is_signed)
{
    a = _mm512_adds_epi16(a, k->zero);
    b = _mm512_adds_epi16(b, k->zero);
    if (is_signed)
        return _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(a, b), k->lo), k->hi);
    return _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(a, b), k->lo), k->hi);
}

/* Unpacking and packing both keep to their quarters, so that values end where they began. */
PAIR_INLINE __m512i sums64(__m512i a, __m512i b, const pair512 *k, const bool is_signed)
{
    const __m512i none = _mm512_setzero_si512();
    a = _mm512_xor_si512(a, k->flip_a);
    b = _mm512_xor_si512(b, k->flip_b);
    const __m512i front = _mm512_unpacklo_epi8(a, b), back = _mm512_unpackhi_epi8(a, b);
    const __m512i y0 = sums16(_mm512_unpacklo_epi8(front, none), k), y1 = sums16(_mm512_unpackhi_epi8(front, none), k);
    const __m512i y2 = sums16(_mm512_unpacklo_epi8(back, none), k), y3 = sums16(_mm512_unpackhi_epi8(back, none), k);
    return clamped64(_mm512_packs_epi32(y0, y1), _mm512_packs_epi32(y2, y3), k, is_signed);
}

PAIR_INLINE __mmask64 first_bytes(int64_t n)
{
    return n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
}

PAIR_INLINE void add_all(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const pair512 *k,
                         const bool is_signed)
{
    int64_t i = 0;
    for (; i + 64 <= n; i += 64)
        _mm512_storeu_si512(y + i, sums64(_mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i), k, is_signed));
    const __mmask64 m = first_bytes(n - i);
    if (i < n)
        _mm512_mask_storeu_epi8(
            y + i, m, sums64(_mm512_maskz_loadu_epi8(m, a + i), _mm512_maskz_loadu_epi8(m, b + i), k, is_signed));
}

PAIR_TARGET static void add(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p)
{
    if (!sum_fits(p)) {
        nb_iconv_scalar.add(y, a, b, n, p);
        return;
    }
    const pair512 k = sum_constants(p);
    if (p->lo < 0)
        add_all(y, a, b, n, &k, true);
    else
        add_all(y, a, b, n, &k, false);
}

/* 32 products of u16 less their zero points, as four quarters of 4 + 4. */
PAIR_INLINE void products32(__m512i to[2], __m512i a, __m512i b, __m512i zero_a, __m512i zero_b)
{
    a = _mm512_sub_epi16(a, zero_a);
    b = _mm512_sub_epi16(b, zero_b);
    const __m512i low = _mm512_mullo_epi16(a, b), high = _mm512_mulhi_epi16(a, b);
    to[0] = _mm512_unpacklo_epi16(low, high);
    to[1] = _mm512_unpackhi_epi16(low, high);
}

typedef struct {
    __m512i flip_a, flip_b, zero_a, zero_b;
    nb_channels16 k;
    nb_grid512 grid;
} product512;

PAIR_INLINE product512 product_constants(const nb_ipair *p)
{
    const int32_t flip_a = p->x_signed[0] ? 128 : 0, flip_b = p->x_signed[1] ? 128 : 0;
    const __m512i mult = _mm512_set1_epi32(p->mult[0]);
    return (product512){
        .flip_a = _mm512_set1_epi8((char)flip_a),
        .flip_b = _mm512_set1_epi8((char)flip_b),
        .zero_a = _mm512_set1_epi16((int16_t)(p->zero[0] + flip_a)),
        .zero_b = _mm512_set1_epi16((int16_t)(p->zero[1] + flip_b)),
        .k = {.mult = mult, .mult_odd = mult, .shift = _mm512_set1_epi32(p->shift - NB_ICONV_LEAST_SHIFT)},
        .grid = nb_grid512_of(&(nb_irequant){.zero = p->y_zero, .lo = p->lo, .hi = p->hi})};
}

PAIR_INLINE __m512i products64(__m512i a, __m512i b, const product512 *c)
{
    const __m512i none = _mm512_setzero_si512();
    __m512i v[4];
    a = _mm512_xor_si512(a, c->flip_a);
    b = _mm512_xor_si512(b, c->flip_b);
    products32(v, _mm512_unpacklo_epi8(a, none), _mm512_unpacklo_epi8(b, none), c->zero_a, c->zero_b);
    products32(v + 2, _mm512_unpackhi_epi8(a, none), _mm512_unpackhi_epi8(b, none), c->zero_a, c->zero_b);
    for (int32_t i = 0; i < 4; i++)
        v[i] = nb_halves16(v[i], &c->k);
    return nb_clamped64(v, &c->grid);
}

PAIR_TARGET static void mul(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p)
{
    if (p->shift < NB_ICONV_LEAST_SHIFT) {
        nb_iconv_scalar.mul(y, a, b, n, p);
        return;
    }
    const product512 c = product_constants(p);
    int64_t i = 0;
    for (; i + 64 <= n; i += 64)
        _mm512_storeu_si512(y + i, products64(_mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i), &c));
    const __mmask64 m = first_bytes(n - i);
    if (i < n)
        _mm512_mask_storeu_epi8(y + i, m,
                                products64(_mm512_maskz_loadu_epi8(m, a + i), _mm512_maskz_loadu_epi8(m, b + i), &c));
}
