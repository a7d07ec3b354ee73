/* mixup.h - images mixed in pairs (Zhang et al. 2018): both images of a pair become mixtures, of both labels. */
#ifndef NB_TRAIN_MIXUP_H
#define NB_TRAIN_MIXUP_H

#include "base/rng.h"

#include <stdbool.h>

/* A number from Beta(a, a), 0 < a <= 1. */
float nb_mixup_draw(nb_rng *rng, float a);
/* A batch, and images [first, end) of it that somebody wants. */
typedef struct {
    uint8_t *pixels; /* [n][bytes] */
    const int32_t *label;
    int32_t n, first, end;
    int64_t bytes;
} nb_mixed;
/* Image i is mixed with image n - 1 - i. Is it wanted, or its partner? Those that are not need not be there. */
static inline bool nb_mixup_reads(const nb_mixed *m, int32_t i)
{
    const int32_t j = m->n - 1 - i;
    return (i >= m->first && i < m->end) || (j >= m->first && j < m->end);
}
/* Mixes pairs in place; of an odd number the middle one stays. share: what the other image makes up of each, at most 1/2, in
 * 256ths; other: its label. key: of the random numbers of this batch. */
void nb_mixup(const nb_mixed *m, float a, uint64_t key, int32_t *other, float *share);

#endif
