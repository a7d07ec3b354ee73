/* ipool.c - pools and concat on codes.
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
                    const int32_t iy = oy * g->stride.h - g->pad.top + ky;
                    const int32_t ix = ox * g->stride.w - g->pad.left + kx;
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

typedef struct { /* rows [y0, y1) and columns [x0, x1) of the image */
    int32_t y0, y1, x0, x1;
} rect;

static int32_t at_least(int32_t v, int32_t least)
{
    return v < least ? least : v;
}

static int32_t at_most(int32_t v, int32_t most)
{
    return v > most ? most : v;
}

static rect pixels_of(const nb_geom *g, int32_t oy, int32_t ox)
{
    const int32_t top = oy * g->stride.h - g->pad.top, left = ox * g->stride.w - g->pad.left;
    const rect r = {at_least(top, 0), at_most(top + g->kh, g->h), at_least(left, 0), at_most(left + g->kw, g->w)};
    return r;
}

int32_t nb_pool_pixels(const nb_geom *g, int32_t oy, int32_t ox)
{
    const rect p = pixels_of(g, oy, ox);
    return (p.y1 - p.y0) * (p.x1 - p.x0);
}

int32_t nb_pool_touches(const nb_geom *g)
{
    const rect first = pixels_of(g, 0, 0), last = pixels_of(g, g->oh - 1, g->ow - 1);
    return first.y1 > 0 && first.x1 > 0 && last.y0 < g->h && last.x0 < g->w;
}

/* Sums over some pixels of n <= CHUNK channels, the first at x. */
static void sums_of(int32_t *sum, const uint8_t *x, int32_t flip, const nb_geom *g, const rect *p, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        sum[i] = 0;
    for (int32_t iy = p->y0; iy < p->y1; iy++)
        for (int32_t ix = p->x0; ix < p->x1; ix++) {
            const uint8_t *px = x + ((int64_t)iy * g->w + ix) * g->c;
            for (int32_t i = 0; i < n; i++)
                sum[i] += px[i] ^ flip;
        }
}

void nb_k_avgpool_codes(uint8_t *y, const uint8_t *x, const nb_regrid *r, const nb_geom *g, int32_t inside)
{
    /* An s8 code is its byte with the top bit flipped, minus 128: sum the flipped bytes and take both offsets off at
     * the end. */
    const int32_t flip = r->x_signed ? 0x80 : 0;
    for (int32_t oy = 0; oy < g->oh; oy++)
        for (int32_t ox = 0; ox < g->ow; ox++, y += g->c) {
            const rect p = pixels_of(g, oy, ox);
            const int32_t count = nb_pool_pixels(g, oy, ox), offset = (r->x_zero + flip) * count;
            int32_t mult = r->mult, shift = r->shift;
            if (inside && count < g->kh * g->kw)
                nb_avgpool_multiplier(count, &mult, &shift);
            for (int32_t c0 = 0; c0 < g->c; c0 += CHUNK) {
                const int32_t n = g->c - c0 < CHUNK ? g->c - c0 : CHUNK;
                int32_t sum[CHUNK];
                sums_of(sum, x + c0, flip, g, &p, n);
                for (int32_t i = 0; i < n; i++)
                    y[c0 + i] = (uint8_t)nb_rescale(sum[i] - offset, mult, shift, r->y_zero, r->lo, r->hi);
            }
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
