/* aug_crop.c - pad by some pixels on every side, then cut the original size out at a random place: a random shift. */
#include "augment.h"

#include <string.h>

#include "base/check.h"

typedef enum { MODE_ZERO, MODE_REFLECT } crop_mode;

typedef struct {
    int32_t pad, mode;
} crop_attr;

static const nb_key crop_keys[] = {
    NB_KEY_INT(crop_attr, pad, "4", 1, 1024, "pixels added on every side before cutting"),
    NB_KEY_ENUM(crop_attr, mode, "zero", "zero|reflect",
                "what the added pixels hold: black (0 of features), or the image mirrored at its edge"),
    {0}};

static nb_status crop_check(nb_ctx *ctx, void *attr, const nb_dsinfo *info, const char *where)
{
    const crop_attr *a = attr;
    const int32_t side = info->h < info->w ? info->h : info->w;
    if (a->pad >= side) /* mirroring reaches no further, and a shift that leaves nothing of the image teaches nothing */
        return nb_fail(ctx, NB_E_CONFIG, "%s: crop.pad: %d: must be in 1..%d for images of %dx%d", where, a->pad,
                       side - 1, info->h, info->w);
    return NB_OK;
}

/* Index into 0..n-1 of a place up to n-1 outside, mirrored without repeating the edge. */
static int32_t mirror(int32_t i, int32_t n)
{
    return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
}

static void reflect_row(uint8_t *dst, const uint8_t *row, int32_t dx, int32_t w, size_t c)
{
    for (int32_t x = 0; x < w; x++)
        memcpy(dst + (size_t)x * c, row + (size_t)mirror(x + dx, w) * c, c);
}

static void zero_row(uint8_t *dst, const uint8_t *row, int32_t dx, int32_t w, size_t c, uint8_t blank)
{
    const size_t before = dx < 0 ? (size_t)-dx * c : 0, after = dx > 0 ? (size_t)dx * c : 0;
    const size_t kept = (size_t)w * c - before - after;
    memset(dst, blank, before);
    memcpy(dst + before, row + after, kept);
    memset(dst + before + kept, blank, after);
}

static void crop_apply(const void *attr, const nb_dsinfo *info, nb_rng *rng, uint8_t *dst, const uint8_t *src)
{
    const crop_attr *a = attr;
    const int32_t h = info->h, w = info->w, places = 2 * a->pad + 1;
    const size_t c = (size_t)info->c;
    const int32_t dy = (int32_t)nb_rng_below(rng, (uint32_t)places) - a->pad,
                  dx = (int32_t)nb_rng_below(rng, (uint32_t)places) - a->pad;
    const int64_t row = (int64_t)w * info->c;
    for (int32_t y = 0; y < h; y++) {
        const int32_t sy = y + dy;
        uint8_t *out = dst + y * row;
        if (a->mode == MODE_REFLECT)
            reflect_row(out, src + mirror(sy, h) * row, dx, w, c);
        else if (sy < 0 || sy >= h)
            memset(out, nb_augment_blank(info), (size_t)row);
        else
            zero_row(out, src + sy * row, dx, w, c, nb_augment_blank(info));
    }
}

extern const nb_augmentation nb_augmentation_crop;
const nb_augmentation nb_augmentation_crop = {.name = "crop",
                                              .help =
                                                  "pad and cut at a random place; crop4 is short for {crop: {pad: 4}}",
                                              .keys = crop_keys,
                                              .number_key = "pad",
                                              .attr_size = sizeof(crop_attr),
                                              .check = crop_check,
                                              .apply = crop_apply};
