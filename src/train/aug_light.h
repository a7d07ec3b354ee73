/* aug_light.h - what brightness and contrast share: pixels by a table of 256, made for each image. */
#ifndef NB_TRAIN_AUG_LIGHT_H
#define NB_TRAIN_AUG_LIGHT_H

#include "augment.h"

/* A straight line, rounded and kept in 0..255: y = factor * (x - middle) + middle + shift. */
static inline void nb_light_apply(const nb_dsinfo *info, uint8_t *dst, const uint8_t *src, float factor, float middle,
                                  float shift)
{
    uint8_t table[256];
    for (int32_t x = 0; x < 256; x++) {
        const float y = factor * ((float)x - middle) + middle + shift + 0.5f;
        table[x] = y < 0 ? 0 : y > 255 ? 255 : (uint8_t)y;
    }
    for (int64_t i = 0, n = (int64_t)info->h * info->w * info->c; i < n; i++)
        dst[i] = table[src[i]];
}

#endif
