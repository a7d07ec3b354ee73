/* fuzz_png.c - bytes as one file of a folder of PNGs, at its own size and scaled.
 *
 * The first byte chooses size, channels and background. The check sums of chunks are made right first, so that
 * changes reach what lies behind them. What is accepted is accepted again with the same pixels. */
#include <nibble/image.h>

#include "base/check.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* A chunk is its length, four letters, that many bytes and a check sum of letters and bytes. */
static void repair(uint8_t *png, size_t len)
{
    for (size_t at = 8; len >= 12 && at <= len - 12;) {
        const size_t n = (size_t)png[at] << 24 | (size_t)png[at + 1] << 16 | (size_t)png[at + 2] << 8 | png[at + 3];
        if (n > len - 12 - at)
            return;
        const uint32_t sum = (uint32_t)crc32(0, png + at + 4, (uInt)n + 4);
        for (int i = 0; i < 4; i++)
            png[at + 8 + n + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += 12 + n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    nb_ctx *ctx = nb_ctx_create();
    uint8_t *png = malloc(len);
    if (!ctx || !png) {
        nb_ctx_destroy(ctx);
        free(png);
        return 0;
    }
    len--;
    memcpy(png, bytes + 1, len);
    repair(png, len);
    const uint8_t how = bytes[0];
    const nb_png_spec spec = {.h = 1 + how % 8,
                              .w = 1 + how / 8 % 4,
                              .c = how & 32 ? 3 : 1,
                              .background = how & 64 ? 255 : 0,
                              .resize = how < 128};
    uint8_t first[8 * 4 * 3], again[8 * 4 * 3];
    memset(first, 1, sizeof first);
    memset(again, 2, sizeof again);
    if (nb_png_decode(ctx, "fuzz", png, len, &spec, first) == NB_OK) {
        NB_ASSERT(nb_png_decode(ctx, "fuzz", png, len, &spec, again) == NB_OK);
        NB_ASSERT(memcmp(first, again, (size_t)(spec.h * spec.w * spec.c)) == 0);
    } else {
        NB_ASSERT(nb_ctx_error(ctx)[0]);
    }
    nb_ctx_destroy(ctx);
    free(png);
    return 0;
}
