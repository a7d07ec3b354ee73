/* aug_flip.c - mirror left and right: at random, or, as in airbench (Jordan 2024), at random once and then in every other epoch, so
 * that two epochs show both sides of every image. */
#include "augment.h"

#include <string.h>

typedef enum { MODE_RANDOM, MODE_ALTERNATE } flip_mode;

typedef struct {
    float prob;
    int32_t mode;
} flip_attr;

static const nb_key flip_keys[] = {
    NB_KEY_FLOAT(flip_attr, prob, "0.5", 0, 1, "probability of a flip; with alternate: in the first epoch"),
    NB_KEY_ENUM(flip_attr, mode, "random", "random|alternate",
                "draw anew in every epoch, or once: the other way in every other epoch"),
    {0}};

static bool is_flipped(const flip_attr *a, nb_rng *rng)
{
    if (a->mode == MODE_RANDOM)
        return nb_rng_uniform(rng) < a->prob;
    nb_rng once = nb_rng_make(rng->seed, nb_augment_sample(rng));
    return (nb_rng_uniform(&once) < a->prob) != (nb_augment_epoch(rng) & 1);
}

static void flip_apply(const void *attr, const nb_dsinfo *info, nb_rng *rng, uint8_t *dst, const uint8_t *src)
{
    const int64_t row = (int64_t)info->w * info->c;
    if (!is_flipped(attr, rng)) {
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
