/* image.c - PNG to the pixels a network sees: stored samples to 8 bits, composite alpha, choose channels, scale.
 *
 * Everything from the stored samples (png_rows.c) on is our own integer arithmetic. It gives what PIL gives:
 * convert("RGB") and convert("L"), transparent images pasted onto the background (tests/golden/png_pil.py). Where PIL
 * has no answer worth having (it clips 16-bit grey at 255) all 16-bit samples keep their upper 8 bits, as its colour
 * images do. No color space is applied: gAMA, cHRM, sRGB and iCCP change nothing. */
#include "png_rows.h"

#include <nibble/image.h>
#include <string.h>

#include "base/check.h"
#include "base/files.h"

enum { MAX_SIDE = 1 << 14 };

/* Sample k of a row, of any depth; 16 bits keep their upper 8, as OpenCV and PIL's colour images do. */
static int32_t sample(const uint8_t *row, int64_t k, int32_t depth)
{
    if (depth >= 8)
        return row[k * (depth / 8)];
    const int64_t bit = k * depth;
    return row[bit / 8] >> (8 - depth - bit % 8) & ((1 << depth) - 1);
}

static int32_t whole_sample(const uint8_t *row, int64_t k, int32_t depth)
{
    return depth == 16 ? row[2 * k] << 8 | row[2 * k + 1] : sample(row, k, depth);
}

static bool is_key(const nb_png_header *h, const uint8_t *row, int64_t x)
{
    bool all = h->has_key;
    for (int32_t k = 0; k < h->samples && all; k++)
        all = whole_sample(row, x * h->samples + k, h->depth) == h->key[k];
    return all;
}

/* Pixel x as red, green, blue, alpha of 8 bits; false: its palette has no such entry. */
static bool read_pixel(const nb_png_header *h, const uint8_t *row, int64_t x, uint8_t rgba[4])
{
    const int64_t at = x * h->samples;
    if (h->indexed) {
        const int32_t index = sample(row, at, h->depth);
        memcpy(rgba, h->color[index], 4);
        return index < h->n_colors;
    }
    const int32_t colors = h->samples < 3 ? 1 : 3, scale = h->depth < 8 ? 255 / ((1 << h->depth) - 1) : 1;
    for (int32_t k = 0; k < 3; k++)
        rgba[k] = (uint8_t)(sample(row, at + (colors == 3 ? k : 0), h->depth) * scale);
    rgba[3] = h->samples > colors ? (uint8_t)sample(row, at + colors, h->depth) : is_key(h, row, x) ? 0 : 255;
    return true;
}

/* c channels of a pixel on the background. The weights of grey sum to 65536. */
static void put_pixel(const uint8_t rgba[4], int32_t c, int32_t background, uint8_t *to)
{
    int32_t v[3];
    for (int32_t k = 0; k < 3; k++)
        v[k] = (rgba[k] * rgba[3] + background * (255 - rgba[3]) + 127) / 255;
    if (c == 1)
        to[0] = (uint8_t)((19595 * v[0] + 38470 * v[1] + 7471 * v[2] + 32768) >> 16);
    else
        for (int32_t k = 0; k < 3; k++)
            to[k] = (uint8_t)v[k];
}

/* The pixels [h, w, c] of a decoded file; h and w are its own. */
static nb_status convert(nb_ctx *ctx, const char *name, const nb_png_header *h, const uint8_t *rows, size_t stride,
                         const nb_png_spec *spec, uint8_t *px)
{
    for (int32_t y = 0; y < h->h; y++)
        for (int32_t x = 0; x < h->w; x++) {
            uint8_t rgba[4];
            if (!read_pixel(h, rows + (size_t)y * stride, x, rgba))
                return nb_fail(ctx, NB_E_FORMAT, "%s: damaged PNG: row %d, column %d: a color behind the palette's %d",
                               name, y, x, h->n_colors);
            put_pixel(rgba, spec->c, spec->background, px + ((int64_t)y * h->w + x) * spec->c);
        }
    return NB_OK;
}

typedef struct {
    int32_t first, n;
    int64_t sum; /* of the weights */
} taps;

/* Weights of output i when n_in samples become n_out: a triangle over the input whose half width is one output or one
 * input sample, whichever is wider. In units of 1 / (2 * n_out) input samples everything is an integer. w has room for
 * n_in entries. */
static taps make_taps(int32_t *w, int32_t i, int32_t n_in, int32_t n_out)
{
    const int64_t centre = (2 * (int64_t)i + 1) * n_in, reach = 2 * (int64_t)(n_in > n_out ? n_in : n_out);
    taps t = {0};
    for (int32_t k = 0; k < n_in; k++) {
        const int64_t at = (2 * (int64_t)k + 1) * n_out, distance = at > centre ? at - centre : centre - at;
        if (distance >= reach)
            continue;
        if (t.n == 0)
            t.first = k;
        w[t.n++] = (int32_t)(reach - distance);
        t.sum += reach - distance;
    }
    NB_ASSERT(t.sum > 0); /* the sample nearest to the centre is always within reach */
    return t;
}

/* Sums stay below 2^51: at most 2^15 taps of weight <= 2^15 on values < 2^16, plus rounding. */
static void scale_columns(uint16_t *dst, const uint8_t *src, const nb_png_spec *s, int32_t h, int32_t w,
                          int32_t *weight)
{
    for (int32_t x = 0; x < s->w; x++) {
        const taps t = make_taps(weight, x, w, s->w);
        for (int32_t y = 0; y < h; y++)
            for (int32_t c = 0; c < s->c; c++) {
                int64_t sum = t.sum / 2;
                for (int32_t k = 0; k < t.n; k++)
                    sum += (int64_t)weight[k] * 257 * src[((int64_t)y * w + t.first + k) * s->c + c];
                dst[((int64_t)y * s->w + x) * s->c + c] = (uint16_t)(sum / t.sum); /* 8 bits to 16: times 257 */
            }
    }
}

static void scale_rows(uint8_t *dst, const uint16_t *src, const nb_png_spec *s, int32_t h, int32_t *weight)
{
    const int64_t row = (int64_t)s->w * s->c;
    for (int32_t y = 0; y < s->h; y++) {
        const taps t = make_taps(weight, y, h, s->h);
        for (int64_t i = 0; i < row; i++) {
            int64_t sum = t.sum * 257 / 2;
            for (int32_t k = 0; k < t.n; k++)
                sum += (int64_t)weight[k] * src[(t.first + k) * row + i];
            dst[y * row + i] = (uint8_t)(sum / (t.sum * 257));
        }
    }
}

static nb_status scale(nb_ctx *ctx, uint8_t *dst, const uint8_t *src, int32_t h, int32_t w, const nb_png_spec *s)
{
    uint16_t *mid = nb_alloc(ctx, sizeof *mid * (size_t)h * (size_t)s->w * (size_t)s->c);
    int32_t *weight = nb_alloc(ctx, sizeof *weight * (size_t)(h > w ? h : w));
    nb_status st = mid && weight ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK) {
        scale_columns(mid, src, s, h, w, weight);
        scale_rows(dst, mid, s, h, weight);
    }
    nb_free(ctx, mid);
    nb_free(ctx, weight);
    return st;
}

nb_status nb_png_decode(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, const nb_png_spec *spec,
                        uint8_t *hwc)
{
    NB_ASSERT((spec->c == 1 || spec->c == 3) && spec->h > 0 && spec->h <= MAX_SIDE && spec->w > 0 &&
              spec->w <= MAX_SIDE);
    nb_png_header h;
    uint8_t *rows = NULL;
    size_t stride = 0;
    NB_TRY(nb_png_read_header(ctx, name, bytes, len, &h));
    const bool same = h.h == spec->h && h.w == spec->w;
    if (!same && !spec->resize)
        return nb_fail(ctx, NB_E_FORMAT, "%s: %d pixels high, %d wide: must be %d high, %d wide%s%s%s", name, h.h, h.w,
                       spec->h, spec->w, spec->remedy ? "; " : "", spec->remedy ? spec->remedy : "",
                       spec->remedy ? " scales it" : "");
    NB_TRY(nb_png_read_rows(ctx, name, bytes, len, &h, &rows, &stride));
    uint8_t *px = same ? hwc : nb_alloc(ctx, (size_t)h.h * (size_t)h.w * (size_t)spec->c);
    nb_status st = px ? convert(ctx, name, &h, rows, stride, spec, px) : NB_E_NOMEM;
    nb_free(ctx, rows);
    if (st == NB_OK && !same)
        st = scale(ctx, hwc, px, h.h, h.w, spec);
    if (!same)
        nb_free(ctx, px);
    return st;
}

nb_status nb_png_load(nb_ctx *ctx, const char *path, const nb_png_spec *spec, uint8_t *hwc)
{
    uint8_t *bytes;
    size_t len;
    NB_TRY(nb_file_read(ctx, path, NB_PNG_MAX_BYTES, &bytes, &len));
    nb_status st = nb_png_decode(ctx, path, bytes, len, spec, hwc);
    nb_free(ctx, bytes);
    return st;
}

nb_status nb_png_size(nb_ctx *ctx, const char *path, int32_t *h, int32_t *w, int32_t *c)
{
    uint8_t *bytes;
    size_t len;
    NB_TRY(nb_file_read(ctx, path, NB_PNG_MAX_BYTES, &bytes, &len));
    nb_png_header header;
    nb_status st = nb_png_read_header(ctx, path, bytes, len, &header);
    if (st == NB_OK) {
        *h = header.h;
        *w = header.w;
        *c = header.indexed || header.samples >= 3 ? 3 : 1;
    }
    nb_free(ctx, bytes);
    return st;
}
