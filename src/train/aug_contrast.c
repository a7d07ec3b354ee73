/* aug_contrast.c - all pixels nearer to the image's mean, or further away from it. */
#include "aug_light.h"

typedef struct {
    float most;
} contrast_attr;

static const nb_key contrast_keys[] = {
    NB_KEY_FLOAT(contrast_attr, most, "0.2", 0, 1, "the factor is drawn from 1 - most to 1 + most"), {0}};

static void contrast_apply(const void *attr, const nb_dsinfo *info, nb_rng *rng, uint8_t *dst, const uint8_t *src)
{
    const float most = ((const contrast_attr *)attr)->most;
    const int64_t n = (int64_t)info->h * info->w * info->c;
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += src[i];
    nb_light_apply(info, dst, src, 1 + most * (2 * nb_rng_uniform(rng) - 1), (float)((double)sum / (double)n), 0);
}

extern const nb_augmentation nb_augmentation_contrast;
const nb_augmentation nb_augmentation_contrast = {.name = "contrast",
                                                  .help = "more or less contrast",
                                                  .keys = contrast_keys,
                                                  .attr_size = sizeof(contrast_attr),
                                                  .apply = contrast_apply};
