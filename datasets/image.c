/* image.c - PNG to the pixels a network sees: decode (libpng), composite alpha, choose channels, scale.
 *
 * libpng only ever hands out 8-bit RGBA; everything after is our own integer arithmetic, so the same file gives the
 * same bytes with any libpng. A header may claim any size: before memory is taken, the claim is held against what the
 * file's bytes could inflate to. */
#include <nibble/image.h>

#include <base/check.h>
#include <base/files.h>
#include <png.h>
#include <string.h>

enum {
    MAX_SIDE = 1 << 14,
    MAX_PIXELS = 1 << 26,
    INFLATE_RATIO = 1040, /* deflate cannot do better than 1032:1 */
    BITS_A_BYTE = 8       /* the smallest pixel is one bit */
};
static const size_t max_file_bytes = (size_t)1 << 28;

/* Reads the header. On success the caller owes png_image_free. */
static nb_status begin(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, png_image *im)
{
    memset(im, 0, sizeof *im);
    im->version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_memory(im, bytes, len)) {
        nb_status st = nb_fail(ctx, NB_E_FORMAT, "%s: not a readable PNG: %s", name, im->message);
        png_image_free(im);
        return st;
    }
    const uint64_t pixels = (uint64_t)im->width * im->height;
    nb_status st = NB_OK;
    if (im->width == 0 || im->height == 0 || im->width > MAX_SIDE || im->height > MAX_SIDE || pixels > MAX_PIXELS)
        st = nb_fail(ctx, NB_E_FORMAT, "%s: %u pixels high, %u wide: at most %d a side and %d together can be read",
                     name, (unsigned)im->height, (unsigned)im->width, MAX_SIDE, MAX_PIXELS);
    else if (pixels / BITS_A_BYTE / INFLATE_RATIO > len)
        st = nb_fail(ctx, NB_E_FORMAT, "%s: damaged: the header promises %ux%u pixels, more than %zu bytes can hold",
                     name, (unsigned)im->height, (unsigned)im->width, len);
    if (st != NB_OK)
        png_image_free(im);
    return st;
}

static nb_status decode_rgba(nb_ctx *ctx, const char *name, png_image *im, uint8_t **out)
{
    im->format = PNG_FORMAT_RGBA;
    im->flags |= PNG_IMAGE_FLAG_16BIT_sRGB; /* 16-bit files are plain pixels with more digits, not linear light */
    uint8_t *rgba = nb_alloc(ctx, PNG_IMAGE_SIZE(*im));
    if (!rgba) {
        png_image_free(im);
        return NB_E_NOMEM;
    }
    if (!png_image_finish_read(im, NULL, rgba, 0, NULL)) { /* frees im's memory in either case */
        nb_free(ctx, rgba);
        return nb_fail(ctx, NB_E_FORMAT, "%s: damaged PNG: %s", name, im->message);
    }
    *out = rgba;
    return NB_OK;
}

/* rgba to c channels in place: the pixel written never overtakes the one read, because c <= 4. */
static void flatten(uint8_t *px, int64_t pixels, int32_t c, int32_t background)
{
    for (int64_t i = 0; i < pixels; i++) {
        int32_t v[3];
        const int32_t alpha = px[4 * i + 3];
        for (int32_t k = 0; k < 3; k++)
            v[k] = (px[4 * i + k] * alpha + background * (255 - alpha) + 127) / 255;
        if (c == 1)
            px[i] = (uint8_t)((19595 * v[0] + 38470 * v[1] + 7471 * v[2] + 32768) >> 16); /* the weights sum to 65536 */
        else
            for (int32_t k = 0; k < 3; k++)
                px[3 * i + k] = (uint8_t)v[k];
    }
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
    png_image im;
    NB_TRY(begin(ctx, name, bytes, len, &im));
    const int32_t h = (int32_t)im.height, w = (int32_t)im.width;
    const bool same = h == spec->h && w == spec->w;
    if (!same && !spec->resize) {
        png_image_free(&im);
        return nb_fail(ctx, NB_E_FORMAT, "%s: %d pixels high, %d wide: must be %dx%d, or ask for resizing", name, h, w,
                       spec->h, spec->w);
    }
    uint8_t *px = NULL;
    NB_TRY(decode_rgba(ctx, name, &im, &px));
    NB_ASSERT(px);
    flatten(px, (int64_t)h * w, spec->c, spec->background);
    nb_status st = NB_OK;
    if (same)
        memcpy(hwc, px, (size_t)h * (size_t)w * (size_t)spec->c);
    else
        st = scale(ctx, hwc, px, h, w, spec);
    nb_free(ctx, px);
    return st;
}

nb_status nb_png_load(nb_ctx *ctx, const char *path, const nb_png_spec *spec, uint8_t *hwc)
{
    uint8_t *bytes;
    size_t len;
    NB_TRY(nb_file_read(ctx, path, max_file_bytes, &bytes, &len));
    nb_status st = nb_png_decode(ctx, path, bytes, len, spec, hwc);
    nb_free(ctx, bytes);
    return st;
}

nb_status nb_png_size(nb_ctx *ctx, const char *path, int32_t *h, int32_t *w, int32_t *c)
{
    uint8_t *bytes;
    size_t len;
    NB_TRY(nb_file_read(ctx, path, max_file_bytes, &bytes, &len));
    png_image im;
    nb_status st = begin(ctx, path, bytes, len, &im);
    if (st == NB_OK) {
        *h = (int32_t)im.height;
        *w = (int32_t)im.width;
        *c = im.format & PNG_FORMAT_FLAG_COLOR ? 3 : 1;
        png_image_free(&im);
    }
    nb_free(ctx, bytes);
    return st;
}
