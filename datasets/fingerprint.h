/* fingerprint.h - is a data set still the one that it was? A hash of pixels and labels, fed image by image. */
#ifndef NB_DATASETS_FINGERPRINT_H
#define NB_DATASETS_FINGERPRINT_H

#include <nibble/dataset.h>

/* Images are hashed in chunks of so many, counted from the first of the split; the chunks' hashes are mixed in order. */
enum { NB_FINGERPRINT_CHUNK = 128 };

/* Within a chunk, and of chunk after chunk; begins as zeros. */
void nb_fingerprint_image(nb_fingerprint *chunk, const uint8_t *hwc, size_t bytes, int32_t label);
void nb_fingerprint_chunk(nb_fingerprint *all, const nb_fingerprint *chunk);
/* By asking for every image. */
nb_status nb_fingerprint_measure(nb_ctx *ctx, const nb_data *d, nb_fingerprint *out);

#endif
