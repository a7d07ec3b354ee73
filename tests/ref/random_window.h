/* random_window.h - strides, dilations and padding of every kind, half of them the same for rows and columns. */
#ifndef NB_TESTS_REF_RANDOM_WINDOW_H
#define NB_TESTS_REF_RANDOM_WINDOW_H

#include <nibble/geom.h>

#include "base/rng.h"

static inline int32_t ref_random_size(nb_rng *r, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(r, (uint32_t)(hi - lo + 1));
}

static inline void ref_random_window(nb_geom *g, nb_rng *r, int32_t max_stride, int32_t max_pad)
{
    int32_t v[8];
    for (int32_t i = 0; i < 8; i++) {
        const int32_t pad = ref_random_size(r, 0, max_pad), stride = ref_random_size(r, 1, max_stride);
        v[i] = i < 4 ? pad : i < 6 ? stride : ref_random_size(r, 0, 3) ? 1 : ref_random_size(r, 2, 3);
    }
    if (ref_random_size(r, 0, 1))
        for (int32_t i = 1; i < 8; i++)
            v[i] = i < 4 ? v[0] : v[i & ~1];
    g->pad = (nb_sides){v[0], v[1], v[2], v[3]};
    g->stride = (nb_hw){v[4], v[5]};
    g->dilation = (nb_hw){v[6], v[7]};
}

#endif
