/* idx.h - the IDX container of the MNIST family: a magic number that says type and dimensions, big-endian sizes, then
 * bytes. */
#ifndef NB_DATASETS_IDX_H
#define NB_DATASETS_IDX_H

#include <nibble/context.h>

typedef struct {
    int32_t count, h, w, c; /* labels: h = w = c = 1 */
    const uint8_t *data;    /* inside the bytes that were parsed */
} nb_idx;

/* Trusts nothing; name stands in messages. Images are [count, h, w] or [count, h, w, c], labels [count], all unsigned
 * bytes. */
nb_status nb_idx_images(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_idx *out);
nb_status nb_idx_labels(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_idx *out);

#endif
