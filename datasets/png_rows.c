/* png_rows.c - libpng as an unpacker: chunks, filters and interlacing, and nothing else of it.
 *
 * No transformation of libpng's is asked for, least of all that of its simplified reader, which applies a gAMA chunk
 * and so hands out other numbers than the file stores. What the samples mean is decided in image.c, in our own integer
 * arithmetic: the same bytes with any libpng. Chunks that speak of colour spaces (gAMA, cHRM, sRGB, iCCP, sBIT) and
 * all others without a pixel in them are skipped unread; a wrong check sum is an error in any chunk.
 *
 * A header may claim any size: before memory is taken, the claim is held against what the file's bytes could inflate
 * to. */
#include "png_rows.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "base/check.h"
#include "base/file_kind.h"

enum {
    MAX_SIDE = 1 << 14,
    MAX_PIXELS = 1 << 26,
    INFLATE_RATIO = 1040, /* deflate cannot do better than 1032:1 */
    SIGNATURE = 8
};

/* All that lives across libpng's longjmp is behind a pointer. */
typedef struct {
    nb_ctx *ctx;
    const char *name;
    const uint8_t *bytes;
    size_t len, at;
    bool no_memory;
    char message[96];
    png_structp png;
    png_infop info;
    nb_png_header *header;
    uint8_t *rows;
    size_t stride;
} reader;

/* ---- what libpng calls ---- */

static void on_error(png_structp png, png_const_charp text)
{
    reader *r = png_get_error_ptr(png);
    snprintf(r->message, sizeof r->message, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
    reader *r = png_get_io_ptr(png);
    if (n > r->len - r->at)
        png_error(png, "it ends too early");
    memcpy(to, r->bytes + r->at, n);
    r->at += n;
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t n)
{
    reader *r = png_get_mem_ptr(png);
    void *p = nb_alloc(r->ctx, n);
    r->no_memory = r->no_memory || !p;
    return p;
}

static void on_free(png_structp png, png_voidp p)
{
    nb_free(((reader *)png_get_mem_ptr(png))->ctx, p);
}

/* ---- the header ---- */

static void take_palette(reader *r)
{
    nb_png_header *h = r->header;
    png_colorp palette;
    png_bytep alpha = NULL;
    int n = 0, n_alpha = 0;
    if (!png_get_PLTE(r->png, r->info, &palette, &n))
        png_error(r->png, "its palette is missing");
    if (!png_get_tRNS(r->png, r->info, &alpha, &n_alpha, NULL))
        n_alpha = 0;
    h->n_colors = n;
    for (int32_t i = 0; i < n; i++) {
        h->color[i][0] = palette[i].red;
        h->color[i][1] = palette[i].green;
        h->color[i][2] = palette[i].blue;
        h->color[i][3] = alpha && i < n_alpha ? alpha[i] : 255;
    }
}

static void take_key(reader *r)
{
    nb_png_header *h = r->header;
    png_color_16p color = NULL;
    if (!png_get_tRNS(r->png, r->info, NULL, NULL, &color) || !color)
        return;
    const uint32_t mask = (1u << h->depth) - 1; /* the bits above a sample's mean nothing */
    const uint32_t value[3] = {color->red, color->green, color->blue};
    h->has_key = true;
    for (int32_t i = 0; i < 3; i++)
        h->key[i] = (uint16_t)((h->samples == 1 ? color->gray : value[i]) & mask);
}

static void take_header(reader *r)
{
    nb_png_header *h = r->header;
    const int type = png_get_color_type(r->png, r->info);
    const png_uint_32 height = png_get_image_height(r->png, r->info), width = png_get_image_width(r->png, r->info);
    *h = (nb_png_header){.h = height > INT32_MAX ? INT32_MAX : (int32_t)height,
                         .w = width > INT32_MAX ? INT32_MAX : (int32_t)width};
    h->depth = png_get_bit_depth(r->png, r->info);
    h->samples = png_get_channels(r->png, r->info);
    h->indexed = type == PNG_COLOR_TYPE_PALETTE;
    if (h->indexed)
        take_palette(r);
    else if (!(type & PNG_COLOR_MASK_ALPHA))
        take_key(r);
}

static nb_status check_claim(const reader *r)
{
    const nb_png_header *h = r->header;
    const uint64_t pixels = (uint64_t)h->w * (uint64_t)h->h, bits = (uint64_t)h->depth * (uint64_t)h->samples;
    if (h->w < 1 || h->h < 1 || h->w > MAX_SIDE || h->h > MAX_SIDE || pixels > MAX_PIXELS)
        return nb_fail(r->ctx, NB_E_FORMAT,
                       "%s: %d pixels high, %d wide: at most %d a side and %d together can be read", r->name, h->h,
                       h->w, MAX_SIDE, MAX_PIXELS);
    if (pixels * bits / 8 / INFLATE_RATIO > r->len)
        return nb_fail(r->ctx, NB_E_FORMAT,
                       "%s: damaged: the header promises %dx%d pixels, more than %zu bytes can hold", r->name, h->h,
                       h->w, r->len);
    return NB_OK;
}

/* ---- reading ---- */

static nb_status not_png(const reader *r)
{
    char kind[640];
    const char *what = nb_file_kind(r->name, r->bytes, r->len, kind, sizeof kind);
    return what ? nb_fail(r->ctx, NB_E_FORMAT, "%s: not a readable PNG: it is %s", r->name, what)
                : nb_fail(r->ctx, NB_E_FORMAT, "%s: not a readable PNG: it does not begin as one", r->name);
}

static nb_status start(reader *r)
{
    if (r->len < SIGNATURE || png_sig_cmp(r->bytes, 0, SIGNATURE) != 0)
        return not_png(r);
    r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_error, on_warning, r, on_malloc, on_free);
    r->info = r->png ? png_create_info_struct(r->png) : NULL;
    if (r->info)
        return NB_OK;
    return r->no_memory ? NB_E_NOMEM : nb_fail(r->ctx, NB_E_UNSUPPORTED, "libpng cannot be used: %s", r->message);
}

static nb_status failed(const reader *r, const char *what)
{
    return r->no_memory ? NB_E_NOMEM : nb_fail(r->ctx, NB_E_FORMAT, "%s: %s PNG: %s", r->name, what, r->message);
}

static nb_status read_info(reader *r)
{
    if (setjmp(png_jmpbuf(r->png)))
        return failed(r, "not a readable");
    png_set_read_fn(r->png, r, on_read);
    png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); /* -1: whatever holds no pixels */
    png_read_info(r->png, r->info);
    take_header(r);
    return check_claim(r);
}

static nb_status read_rows(reader *r)
{
    if (setjmp(png_jmpbuf(r->png)))
        return failed(r, "damaged");
    const int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    r->stride = png_get_rowbytes(r->png, r->info);
    r->rows = nb_alloc(r->ctx, r->stride * (size_t)r->header->h);
    if (!r->rows)
        return NB_E_NOMEM;
    for (int32_t y = 0; y < passes * r->header->h; y++)
        png_read_row(r->png, r->rows + (size_t)(y % r->header->h) * r->stride, NULL);
    return NB_OK;
}

nb_status nb_png_read_header(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_png_header *out)
{
    reader r = {.ctx = ctx, .name = name, .bytes = bytes, .len = len, .header = out};
    nb_status st = start(&r);
    if (st == NB_OK)
        st = read_info(&r);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    return st;
}

nb_status nb_png_read_rows(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_png_header *out,
                           uint8_t **rows, size_t *stride)
{
    reader r = {.ctx = ctx, .name = name, .bytes = bytes, .len = len, .header = out};
    nb_status st = start(&r);
    if (st == NB_OK)
        st = read_info(&r);
    if (st == NB_OK)
        st = read_rows(&r);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    if (st == NB_OK) {
        *rows = r.rows;
        *stride = r.stride;
    } else {
        nb_free(ctx, r.rows);
    }
    return st;
}
