/* shuffle.h - Fisher and Yates's, by a counter: the order depends on seed and stream alone. */
#ifndef NB_TRAIN_SHUFFLE_H
#define NB_TRAIN_SHUFFLE_H

#include "base/rng.h"

static inline void nb_shuffle(int32_t *v, int32_t n, uint64_t seed, uint64_t stream)
{
    nb_rng r = nb_rng_make(seed, stream);
    for (int32_t i = n - 1; i > 0; i--) {
        const int32_t k = (int32_t)nb_rng_below(&r, (uint32_t)i + 1), t = v[i];
        v[i] = v[k];
        v[k] = t;
    }
}

#endif
