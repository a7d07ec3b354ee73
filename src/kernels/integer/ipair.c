/* ipair.c - sums and products of two tensors of codes.
 *
 * Kernels see runs of equal length. What is repeated is written out into a small buffer first, a few pixels at a time
 * and no more often than it changes: that costs little beside 64-bit rescaling. */
#include "kernels/integer/ipair.h"

#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"

enum { RUN = 1024 }; /* values that are written out at a time */

void nb_k_pair_codes(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p)
{
    const nb_variant *v = nb_variant_best(nb_iconv_variants);
    if (p->product)
        NB_ICONV_FUNCTION(v, mul)(y, a, b, n, p);
    else
        NB_ICONV_FUNCTION(v, add)(y, a, b, n, p);
}

typedef struct { /* one input */
    const uint8_t *x;
    nb_isize size;
    const uint8_t *have; /* what buf repeats now, and how many values of that it holds */
    int32_t count;
    uint8_t buf[RUN];
} operand;

/* Codes of `pixels` pixels from (row, col) on, of channels c0 <= c < c0 + n; several pixels are whole ones. */
static const uint8_t *run_of(operand *o, const nb_isize *out, int32_t row, int32_t col, int32_t pixels, int32_t c0,
                             int32_t n)
{
    const int32_t across = o->size.w > 1, deep = o->size.c == out->c;
    const int64_t pixel = (int64_t)(o->size.h > 1 ? row : 0) * o->size.w + (across ? col : 0);
    const uint8_t *x = o->x + pixel * o->size.c + (deep ? c0 : 0);
    if (deep && (pixels == 1 || o->size.w == out->w))
        return x;
    if (!across && o->have == x && o->count >= pixels * n)
        return o->buf;
    for (int32_t i = 0; i < pixels; i++) {
        if (deep)
            memcpy(o->buf + i * n, x, (size_t)n);
        else
            memset(o->buf + i * n, x[across ? i : 0], (size_t)n);
    }
    o->have = across ? NULL : x;
    o->count = pixels * n;
    return o->buf;
}

static int32_t is_whole(const nb_isize *size, const nb_isize *out)
{
    return size->h == out->h && size->w == out->w && size->c == out->c;
}

void nb_k_pair_rows(uint8_t *y, const uint8_t *const x[2], const nb_isize size[2], const nb_isize *out, int32_t y0,
                    int32_t y1, const nb_ipair *p)
{
    const int64_t row_values = (int64_t)out->w * out->c;
    if (is_whole(&size[0], out) && is_whole(&size[1], out)) {
        const int64_t from = y0 * row_values;
        nb_k_pair_codes(y + from, x[0] + from, x[1] + from, (y1 - y0) * row_values, p);
        return;
    }
    operand in[2];
    for (int32_t k = 0; k < 2; k++) {
        in[k].x = x[k];
        in[k].size = size[k];
        in[k].have = NULL;
        in[k].count = 0;
    }
    const int32_t most_channels = out->c < RUN ? out->c : RUN, most_pixels = out->c < RUN ? RUN / out->c : 1;
    for (int32_t row = y0; row < y1; row++)
        for (int32_t col = 0; col < out->w; col += most_pixels)
            for (int32_t c = 0; c < out->c; c += most_channels) {
                const int32_t pixels = out->w - col < most_pixels ? out->w - col : most_pixels,
                              n = out->c - c < most_channels ? out->c - c : most_channels;
                const uint8_t *a = run_of(&in[0], out, row, col, pixels, c, n),
                              *b = run_of(&in[1], out, row, col, pixels, c, n);
                nb_k_pair_codes(y + row * row_values + (int64_t)col * out->c + c, a, b, (int64_t)pixels * n, p);
            }
}
