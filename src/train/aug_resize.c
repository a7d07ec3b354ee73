/* aug_resize.c - random-resized crop (Szegedy et al. 2015): a random rectangle, stretched to the whole image.
 *
 * Area and aspect ratio (uniform in its logarithm) are drawn until the rectangle fits, at most MAX_TRIES times; then the whole
 * image stays. Pixels are bilinear between centres, by integers: a place is in 1/2048 of a pixel. */
#include "augment.h"

#include <math.h>
#include <string.h>

#include "base/check.h"

typedef struct {
    float area_min, area_max, aspect;
} resize_attr;

enum { MAX_TRIES = 10, UNIT = 2048 };

static const nb_key resize_keys[] = {
    NB_KEY_FLOAT(resize_attr, area_min, "0.35", 0.01, 1, "smallest rectangle, as a share of the image"),
    NB_KEY_FLOAT(resize_attr, area_max, "1", 0.01, 1, "largest rectangle, as a share of the image"),
    NB_KEY_FLOAT(resize_attr, aspect, "0.75", 0.1, 1,
                 "flattest rectangle, height by width; the steepest is one over it"),
    {0}};

static nb_status resize_check(nb_ctx *ctx, void *attr, const nb_dsinfo *info, const char *where)
{
    const resize_attr *a = attr;
    (void)info;
    if (a->area_min > a->area_max)
        return nb_fail(ctx, NB_E_CONFIG, "%s: resize.area_min: %g: must be at most area_max, %g", where,
                       (double)a->area_min, (double)a->area_max);
    return NB_OK;
}

typedef struct {
    int32_t top, left, h, w;
} rectangle;

static rectangle draw(const resize_attr *a, const nb_dsinfo *info, nb_rng *rng)
{
    for (int32_t tries = 0; tries < MAX_TRIES; tries++) {
        const float share = a->area_min + nb_rng_uniform(rng) * (a->area_max - a->area_min);
        const double area = (double)share * info->h * info->w;
        const double aspect = exp(log((double)a->aspect) * (2.0 * (double)nb_rng_uniform(rng) - 1.0));
        const int32_t h = (int32_t)floor(sqrt(area * aspect) + 0.5), w = (int32_t)floor(sqrt(area / aspect) + 0.5);
        if (h < 1 || w < 1 || h > info->h || w > info->w)
            continue;
        const int32_t top = (int32_t)nb_rng_below(rng, (uint32_t)(info->h - h + 1));
        return (rectangle){top, (int32_t)nb_rng_below(rng, (uint32_t)(info->w - w + 1)), h, w};
    }
    return (rectangle){0, 0, info->h, info->w};
}

/* Where the centre of pixel i of `to` falls in `from` pixels: the pixel before it, and in *part how far behind that. */
static int32_t place(int32_t i, int32_t from, int32_t to, int32_t *part)
{
    int64_t at = ((2 * i + 1) * (int64_t)from * UNIT / to - UNIT) / 2;
    at = at < 0 ? 0 : at;
    const int64_t most = (int64_t)(from - 1) * UNIT;
    at = at > most ? most : at;
    *part = (int32_t)(at % UNIT);
    return (int32_t)(at / UNIT);
}

static void resize_apply(const void *attr, const nb_dsinfo *info, nb_rng *rng, uint8_t *dst, const uint8_t *src)
{
    const rectangle r = draw(attr, info, rng);
    const int32_t c = info->c;
    const int64_t row = (int64_t)info->w * c;
    for (int32_t y = 0; y < info->h; y++) {
        int32_t fy;
        const int32_t sy = place(y, r.h, info->h, &fy), below = sy + 1 < r.h ? 1 : 0;
        for (int32_t x = 0; x < info->w; x++) {
            int32_t fx;
            const int32_t sx = place(x, r.w, info->w, &fx), right = sx + 1 < r.w ? c : 0;
            const uint8_t *p = src + (r.top + sy) * row + (int64_t)(r.left + sx) * c, *q = p + below * row;
            for (int32_t k = 0; k < c; k++) {
                const int32_t up = p[k] * (UNIT - fx) + p[right + k] * fx,
                              down = q[k] * (UNIT - fx) + q[right + k] * fx;
                dst[y * row + (int64_t)x * c + k] =
                    (uint8_t)(((int64_t)up * (UNIT - fy) + (int64_t)down * fy + UNIT * UNIT / 2) / (UNIT * UNIT));
            }
        }
    }
}

extern const nb_augmentation nb_augmentation_resize;
const nb_augmentation nb_augmentation_resize = {.name = "resize",
                                                .help = "a random rectangle, stretched to the whole image",
                                                .keys = resize_keys,
                                                .attr_size = sizeof(resize_attr),
                                                .check = resize_check,
                                                .apply = resize_apply};
