/* png_write.c - libpng's simplified writer, which needs no jumps. The same pixels give the same bytes with one libpng and zlib. */
#include <nibble/image.h>

#include "base/check.h"

#include <png.h>
#include <string.h>

nb_status nb_png_write(nb_ctx *ctx, const uint8_t *hwc, int32_t h, int32_t w, int32_t c, uint8_t **out, size_t *len)
{
    static const png_uint_32 format[] = {PNG_FORMAT_GRAY, PNG_FORMAT_GA, PNG_FORMAT_RGB, PNG_FORMAT_RGBA};
    NB_ASSERT(c >= 1 && c <= 4);
    png_image image;
    memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    image.width = (png_uint_32)w;
    image.height = (png_uint_32)h;
    image.format = format[c - 1];
    png_alloc_size_t room = PNG_IMAGE_PNG_SIZE_MAX(image);
    uint8_t *bytes = nb_alloc(ctx, room);
    if (!bytes)
        return NB_E_NOMEM;
    if (!png_image_write_to_memory(&image, bytes, &room, 0, hwc, 0, NULL)) {
        nb_free(ctx, bytes);
        return nb_fail(ctx, NB_E_UNSUPPORTED, "an image of %dx%dx%d cannot be written as PNG: %s", h, w, c,
                       image.message);
    }
    *out = bytes;
    *len = room;
    return NB_OK;
}
