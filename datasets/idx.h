/* idx.h - the IDX container of the MNIST family: a magic number that says type and dimensions, big-endian sizes, then
 * numbers. */
#ifndef NB_DATASETS_IDX_H
#define NB_DATASETS_IDX_H

#include "array.h"

/* Trusts nothing; name stands in messages. */
nb_status nb_idx_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_array *out);

#endif
