/* aug_flip.c - mirror left and right. */
#include "augment.h"

#include <string.h>

typedef struct {
    float prob;
} flip_attr;

static const nb_key flip_keys[] = {NB_KEY_FLOAT(flip_attr, prob, "0.5", 0, 1, "probability of a flip"), {0}};

static void flip_apply(const void *attr, const nb_dsinfo *info, nb_rng *rng, uint8_t *dst, const uint8_t *src)
{
    const flip_attr *a = attr;
    const int64_t row = (int64_t)info->w * info->c;
    if (nb_rng_uniform(rng) >= a->prob) {
        memcpy(dst, src, (size_t)(info->h * row));
        return;
    }
    for (int32_t y = 0; y < info->h; y++)
        for (int32_t x = 0; x < info->w; x++)
            for (int32_t k = 0; k < info->c; k++)
                dst[y * row + (int64_t)x * info->c + k] = src[y * row + (int64_t)(info->w - 1 - x) * info->c + k];
}

extern const nb_augmentation nb_augmentation_flip;
const nb_augmentation nb_augmentation_flip = {.name = "flip",
                                              .help = "mirror left and right",
                                              .keys = flip_keys,
                                              .attr_size = sizeof(flip_attr),
                                              .apply = flip_apply};
