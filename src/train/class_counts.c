/* class_counts.c - see class_counts.h. */
#include "train/class_counts.h"

#include "base/check.h"

#include <string.h>

nb_status nb_class_counts(nb_ctx *ctx, const nb_data *data, const int32_t *indices, int32_t n, int32_t *label,
                          int32_t *count)
{
    const nb_dsinfo *d = nb_data_info(data);
    uint8_t *pixels = nb_alloc(ctx, (size_t)d->h * (size_t)d->w * (size_t)d->c);
    if (!pixels)
        return NB_E_NOMEM;
    if (count)
        memset(count, 0, (size_t)d->classes * sizeof *count);
    for (int32_t i = 0; i < n; i++) {
        int32_t one;
        if (!nb_data_label(data, indices ? indices[i] : i, &one))
            nb_data_get(data, indices ? indices[i] : i, pixels, &one);
        if (label)
            label[i] = one;
        if (count)
            count[one]++;
    }
    nb_free(ctx, pixels);
    return nb_data_check(ctx, data);
}
