/* balanced.c - see balanced.h. */
#include "train/balanced.h"

#include "base/check.h"
#include "train/class_counts.h"
#include "train/shuffle.h"

#include <string.h>

struct nb_balanced {
    int32_t *image, *drawn; /* [n]: by class, as given; in an epoch's order */
    int32_t *begin;         /* [n_classes + 1] of those that have any */
    int32_t n, n_classes;
};

static void sort_by_class(nb_balanced *b, const int32_t *subset, const int32_t *label, const int32_t *count,
                          int32_t classes)
{
    int32_t at = 0;
    for (int32_t c = 0; c < classes; c++) {
        if (!count[c])
            continue;
        b->begin[b->n_classes++] = at;
        for (int32_t i = 0; i < b->n; i++)
            if (label[i] == c)
                b->image[at++] = subset[i];
    }
    b->begin[b->n_classes] = at;
}

nb_status nb_balanced_create(nb_ctx *ctx, const nb_data *data, const int32_t *subset, int32_t n, nb_balanced **out)
{
    const size_t classes = (size_t)nb_data_info(data)->classes;
    nb_balanced *b = nb_alloc(ctx, sizeof *b);
    int32_t *label = nb_alloc(ctx, (size_t)n * sizeof *label), *count = nb_alloc(ctx, classes * sizeof *count);
    nb_status st = NB_E_NOMEM;
    if (b && label && count) {
        *b = (nb_balanced){.image = nb_alloc(ctx, (size_t)n * sizeof *b->image),
                           .drawn = nb_alloc(ctx, (size_t)n * sizeof *b->drawn),
                           .begin = nb_alloc(ctx, (classes + 1) * sizeof *b->begin),
                           .n = n};
        st = b->image && b->drawn && b->begin ? nb_class_counts(ctx, data, subset, n, label, count) : NB_E_NOMEM;
    }
    if (st == NB_OK)
        sort_by_class(b, subset, label, count, (int32_t)classes);
    nb_free(ctx, label);
    nb_free(ctx, count);
    if (st == NB_OK)
        *out = b;
    else
        nb_balanced_free(ctx, b);
    return st;
}

void nb_balanced_free(nb_ctx *ctx, nb_balanced *b)
{
    if (b) {
        nb_free(ctx, b->image);
        nb_free(ctx, b->drawn);
        nb_free(ctx, b->begin);
    }
    nb_free(ctx, b);
}

void nb_balanced_order(nb_balanced *b, uint64_t seed, int32_t epoch, int32_t *order, int32_t *again)
{
    const uint64_t key = nb_mix(seed, nb_hash_text("balanced"));
    memcpy(b->drawn, b->image, (size_t)b->n * sizeof *b->drawn);
    for (int32_t c = 0; c < b->n_classes; c++)
        nb_shuffle(b->drawn + b->begin[c], b->begin[c + 1] - b->begin[c], nb_mix(key, (uint64_t)c), (uint64_t)epoch);
    for (int32_t i = 0; i < b->n; i++) {
        const int32_t c = i % b->n_classes, k = i / b->n_classes, size = b->begin[c + 1] - b->begin[c];
        order[i] = b->drawn[b->begin[c] + k % size];
        again[i] = k / size;
    }
}
