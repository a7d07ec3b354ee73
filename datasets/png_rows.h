/* png_rows.h - the samples that a PNG file stores, unpacked by nobody yet. */
#ifndef NB_DATASETS_PNG_ROWS_H
#define NB_DATASETS_PNG_ROWS_H

#include <nibble/context.h>
#include <stdbool.h>

enum { NB_PNG_MAX_BYTES = 1 << 28 }; /* of a file */

typedef struct {
    int32_t h, w;
    int32_t depth;         /* bits of a sample: 1, 2, 4, 8 or 16 */
    int32_t samples;       /* of a pixel: 1 grey or index, 2 grey and alpha, 3 colour, 4 colour and alpha */
    bool indexed;          /* the sample is an entry of the palette */
    int32_t n_colors;      /* of the palette */
    uint8_t color[256][4]; /* red, green, blue, alpha */
    bool has_key;          /* one grey or colour is transparent: tRNS without a palette */
    uint16_t key[3];
} nb_png_header;

/* Everything before the pixels. */
nb_status nb_png_read_header(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_png_header *out);
/* The rows as they are stored, most significant bits first, *stride bytes each; freed with nb_free. */
nb_status nb_png_read_rows(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_png_header *out,
                           uint8_t **rows, size_t *stride);

#endif
