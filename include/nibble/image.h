/* image.h - one PNG file to the u8 pixels a network sees, and back. */
#ifndef NIBBLE_IMAGE_H
#define NIBBLE_IMAGE_H

#include <nibble/context.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t h, w, c;    /* wanted size; c is 1 (grey) or 3 (red, green, blue) */
    int32_t background; /* 0..255: the grey that lies behind transparent pixels */
    bool resize;        /* scale images of another size; otherwise they are NB_E_FORMAT */
    const char *remedy; /* what the caller's user does to have them scaled, for that message: "--resize"; or NULL */
} nb_png_spec;

/* Any PNG (grey, colour, palette, alpha, 1..16 bits) to hwc [h, w, c]. Stored values count, as in PIL, OpenCV and
 * torchvision: gamma and colour profiles (gAMA, cHRM, sRGB, iCCP) are not applied, 16 bits keep their upper 8.
 * Conversions are integer arithmetic, the same everywhere: alpha is composited onto the background, colour becomes grey
 * with weights 0.299, 0.587, 0.114, and scaling is a triangle filter (bilinear when enlarging, area-covering when
 * shrinking), ties up. */
NB_API nb_status nb_png_load(nb_ctx *ctx, const char *path, const nb_png_spec *spec, uint8_t *hwc);
/* The same from memory; name stands in messages where the path would. */
NB_API nb_status nb_png_decode(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, const nb_png_spec *spec,
                               uint8_t *hwc);
/* Size from the header alone, and 1 or 3 channels (alpha does not count; a palette counts as colour). */
NB_API nb_status nb_png_size(nb_ctx *ctx, const char *path, int32_t *h, int32_t *w, int32_t *c);
/* The other way: hwc [h, w, c] as a PNG file in memory, c 1..4 (grey, with alpha, colour, with alpha). *out is freed with
 * nb_free. */
NB_API nb_status nb_png_write(nb_ctx *ctx, const uint8_t *hwc, int32_t h, int32_t w, int32_t c, uint8_t **out,
                              size_t *len);

#ifdef __cplusplus
}
#endif
#endif
