/* aug_erase.c - random erasing (Zhong et al. 2017): a random rectangle is overwritten.
 *
 * As in the paper a rectangle that does not fit is drawn anew; the loop is bounded, and an image whose draws all fail
 * stays whole. The aspect ratio is uniform in [aspect, 1] or, as often, one over that: uniform arithmetic and one
 * square root, the same on every machine. */
#include "augment.h"

#include <math.h>
#include <string.h>

#include "base/check.h"

typedef enum { FILL_RANDOM, FILL_MEAN, FILL_ZERO } erase_fill;

typedef struct {
    float prob, area_min, area_max, aspect;
    int32_t fill;
} erase_attr;

enum { MAX_TRIES = 100 };

static const nb_key erase_keys[] = {
    NB_KEY_FLOAT(erase_attr, prob, "0.5", 0, 1, "probability that an image loses a rectangle"),
    NB_KEY_FLOAT(erase_attr, area_min, "0.02", 0.0001, 1, "smallest rectangle, as a share of the image"),
    NB_KEY_FLOAT(erase_attr, area_max, "0.4", 0.0001, 1, "largest rectangle, as a share of the image"),
    NB_KEY_FLOAT(erase_attr, aspect, "0.3", 0.01, 1,
                 "flattest rectangle, height by width; the steepest is one over it"),
    NB_KEY_ENUM(erase_attr, fill, "random", "random|mean|zero",
                "what the rectangle holds: noise, the data set's mean colour, or black (0 of features)"),
    {0}};

static nb_status erase_check(nb_ctx *ctx, void *attr, const nb_dsinfo *info, const char *where)
{
    const erase_attr *a = attr;
    (void)info;
    if (a->area_min > a->area_max)
        return nb_fail(ctx, NB_E_CONFIG, "%s: erase.area_min: %g: must be at most area_max, %g", where,
                       (double)a->area_min, (double)a->area_max);
    return NB_OK;
}

static int32_t rounded(float v)
{
    return (int32_t)(v + 0.5f);
}

/* False when the size drawn does not fit. */
static bool draw_size(const erase_attr *a, const nb_dsinfo *info, nb_rng *rng, int32_t *h, int32_t *w)
{
    const float area =
        (a->area_min + nb_rng_uniform(rng) * (a->area_max - a->area_min)) * (float)info->h * (float)info->w;
    const float flat = a->aspect + nb_rng_uniform(rng) * (1.0f - a->aspect);
    const float aspect = nb_rng_u32(rng) & 1 ? 1.0f / flat : flat;
    *h = rounded(sqrtf(area * aspect));
    *w = rounded(sqrtf(area / aspect));
    return *h > 0 && *w > 0 && *h <= info->h && *w <= info->w;
}

static void fill_row(const erase_attr *a, const nb_dsinfo *info, nb_rng *rng, uint8_t *dst, int32_t pixels)
{
    const int32_t c = info->c;
    uint32_t word = 0;
    for (int32_t i = 0; i < pixels * c; i++) {
        word = i % 4 ? word >> 8 : a->fill == FILL_RANDOM ? nb_rng_u32(rng) : 0;
        dst[i] = a->fill == FILL_MEAN   ? (uint8_t)rounded(info->mean[i % c] * 255.0f)
                 : a->fill == FILL_ZERO ? nb_augment_blank(info)
                                        : (uint8_t)word;
    }
}

static void erase_apply(const void *attr, const nb_dsinfo *info, nb_rng *rng, uint8_t *dst, const uint8_t *src)
{
    const erase_attr *a = attr;
    const int64_t row = (int64_t)info->w * info->c;
    memcpy(dst, src, (size_t)(info->h * row));
    if (nb_rng_uniform(rng) >= a->prob)
        return;
    int32_t h, w;
    for (int32_t tries = 0; !draw_size(a, info, rng, &h, &w); tries++)
        if (tries == MAX_TRIES)
            return;
    const int32_t top = (int32_t)nb_rng_below(rng, (uint32_t)(info->h - h + 1));
    const int32_t left = (int32_t)nb_rng_below(rng, (uint32_t)(info->w - w + 1));
    for (int32_t y = top; y < top + h; y++)
        fill_row(a, info, rng, dst + y * row + (int64_t)left * info->c, w);
}

extern const nb_augmentation nb_augmentation_erase;
const nb_augmentation nb_augmentation_erase = {.name = "erase",
                                               .help = "overwrite a random rectangle (random erasing)",
                                               .keys = erase_keys,
                                               .attr_size = sizeof(erase_attr),
                                               .check = erase_check,
                                               .apply = erase_apply};
