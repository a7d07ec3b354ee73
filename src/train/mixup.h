/* mixup.h - images mixed in pairs (Zhang et al. 2018): both images of a pair become mixtures, of both labels. */
#ifndef NB_TRAIN_MIXUP_H
#define NB_TRAIN_MIXUP_H

#include "base/rng.h"

/* A number from Beta(a, a), 0 < a <= 1. */
float nb_mixup_draw(nb_rng *rng, float a);
/* Mixes image i of pixels [n][bytes] with image n - 1 - i, in place; of an odd number the middle one stays. share: what the
 * other image makes up of each, at most 1/2, in 256ths; other: its label. key: of the random numbers of this batch. */
void nb_mixup(uint8_t *pixels, int32_t n, int64_t bytes, const int32_t *label, float a, uint64_t key, int32_t *other,
              float *share);

#endif
