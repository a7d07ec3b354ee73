/* ipool.c - pools, residual add and concat on codes.
 *
 * Inner loops run over channels, contiguous in NHWC, so that compilers vectorize them. What depends on one code alone
 * is put into a table of 256 entries first: the same arithmetic, done once per code instead of once per element. */
#include "kernels/integer/ipool.h"
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"
#include "kernels/rescale.h"

enum {
    CHUNK = 64
}; /* channels per pass of the average pool: one cache line of codes, sums in registers or on the stack */

static void max_into(uint8_t *restrict y, const uint8_t *restrict x, int32_t is_signed, int32_t n)
{
    const uint8_t flip = is_signed ? 0x80 : 0; /* orders s8 bit patterns like u8 */
    for (int32_t i = 0; i < n; i++) {
        const uint8_t a = (uint8_t)(y[i] ^ flip), b = (uint8_t)(x[i] ^ flip);
        y[i] = (uint8_t)((a > b ? a : b) ^ flip);
    }
}

static void clamp_codes(uint8_t *y, int32_t is_signed, int32_t lo, int32_t hi, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = (uint8_t)nb_clamp_code(nb_code(y[i], is_signed), lo, hi);
}

void nb_k_maxpool_codes(uint8_t *y, const uint8_t *x, int32_t is_signed, int32_t lo, int32_t hi, const nb_geom *g)
{
    const int32_t c = g->c, full = is_signed ? lo <= -128 && hi >= 127 : lo <= 0 && hi >= 255;
    for (int32_t oy = 0; oy < g->oh; oy++)
        for (int32_t ox = 0; ox < g->ow; ox++, y += c) {
            int32_t taps = 0;
            for (int32_t ky = 0; ky < g->kh; ky++)
                for (int32_t kx = 0; kx < g->kw; kx++) {
                    const int32_t iy = oy * g->stride - g->pad + ky;
                    const int32_t ix = ox * g->stride - g->pad + kx;
                    if (iy < 0 || iy >= g->h || ix < 0 || ix >= g->w)
                        continue;
                    const uint8_t *px = x + ((int64_t)iy * g->w + ix) * c;
                    if (taps++ == 0)
                        memcpy(y, px, (size_t)c);
                    else
                        max_into(y, px, is_signed, c);
                }
            if (!full)
                clamp_codes(y, is_signed, lo, hi, c);
        }
}

/* Sums of the window at x (first pixel, first channel of the chunk), n <= CHUNK channels. */
static void window_sums(int32_t *sum, const uint8_t *x, int32_t flip, const nb_geom *g, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        sum[i] = 0;
    for (int32_t ky = 0; ky < g->kh; ky++)
        for (int32_t kx = 0; kx < g->kw; kx++) {
            const uint8_t *px = x + ((int64_t)ky * g->w + kx) * g->c;
            for (int32_t i = 0; i < n; i++)
                sum[i] += px[i] ^ flip;
        }
}

void nb_k_avgpool_codes(uint8_t *y, const uint8_t *x, const nb_regrid *r, const nb_geom *g)
{
    /* An s8 code is its byte with the top bit flipped, minus 128: sum the flipped bytes and take both offsets off at
     * the end. */
    const int32_t flip = r->x_signed ? 0x80 : 0, offset = (r->x_zero + flip) * (g->kh * g->kw);
    for (int32_t oy = 0; oy < g->oh; oy++)
        for (int32_t ox = 0; ox < g->ow; ox++, y += g->c)
            for (int32_t c0 = 0; c0 < g->c; c0 += CHUNK) {
                const int32_t n = g->c - c0 < CHUNK ? g->c - c0 : CHUNK;
                int32_t sum[CHUNK];
                window_sums(sum, x + ((int64_t)oy * g->w + ox) * g->stride * g->c + c0, flip, g, n);
                for (int32_t i = 0; i < n; i++)
                    y[c0 + i] = (uint8_t)nb_rescale(sum[i] - offset, r->mult, r->shift, r->y_zero, r->lo, r->hi);
            }
}

void nb_avgpool_multiplier(int32_t count, int32_t *mult, int32_t *shift)
{
    int32_t bits = 0; /* 2^bits >= count: 2^(30 + bits) / count is then in [2^30, 2^31) */
    while ((int64_t)1 << bits < count)
        bits++;
    /* Long division of 2^(31 + bits) by count, bit by bit: 64-bit division is a library call on small machines. One bit
     * more than needed. */
    int64_t rest = 0, quotient = 0;
    for (int32_t i = 31 + bits; i >= 0; i--) {
        rest = 2 * rest + (i == 31 + bits);
        quotient *= 2;
        if (rest >= count) {
            rest -= count;
            quotient++;
        }
    }
    quotient = (quotient + 1) >> 1; /* to the nearest; < 2^31 because count > 2^(bits - 1) strictly */
    *mult = (int32_t)quotient;
    *shift = 30 + bits;
}

void nb_k_add_codes(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_iadd *p)
{
    NB_ICONV_FUNCTION(nb_variant_best(nb_iconv_variants), add)(y, a, b, n, p);
}

void nb_k_concat_codes(uint8_t *y, int64_t y_stride, const uint8_t *x, int64_t rows, int32_t c, const nb_regrid *r)
{
    uint8_t map[256];
    for (int32_t v = 0; v < 256; v++)
        map[v] = (uint8_t)nb_rescale(nb_code((uint8_t)v, r->x_signed) - r->x_zero, r->mult, r->shift, r->y_zero, r->lo,
                                     r->hi);
    for (int64_t row = 0; row < rows; row++, y += y_stride, x += c)
        for (int32_t i = 0; i < c; i++)
            y[i] = map[x[i]];
}
