/* aug_brightness.c - all pixels lighter or darker by the same amount. */
#include "aug_light.h"

typedef struct {
    float most;
} brightness_attr;

static const nb_key brightness_keys[] = {
    NB_KEY_FLOAT(brightness_attr, most, "0.2", 0, 1, "largest shift, up or down, as a share of white"), {0}};

static void brightness_apply(const void *attr, const nb_dsinfo *info, nb_rng *rng, uint8_t *dst, const uint8_t *src)
{
    const float most = ((const brightness_attr *)attr)->most;
    nb_light_apply(info, dst, src, 1, 0, 255 * most * (2 * nb_rng_uniform(rng) - 1));
}

extern const nb_augmentation nb_augmentation_brightness;
const nb_augmentation nb_augmentation_brightness = {.name = "brightness",
                                                    .help = "lighter or darker",
                                                    .keys = brightness_keys,
                                                    .attr_size = sizeof(brightness_attr),
                                                    .apply = brightness_apply};
