/* mirrored.c - see mirrored.h. */
#include "cli/mirrored.h"

#include "base/check.h"
#include "base/ranks.h"
#include "base/spread.h"

#include <string.h>

enum { BLOCK = 256 };

typedef struct {
    nb_int_batch *engine;
    uint8_t *pixels, *mirrored;  /* [BLOCK, h, w, c] */
    int32_t *labels, *one, *two; /* [BLOCK]; [BLOCK, classes] */
} views;

/* Of n images, left and right changed places. */
static void mirror(uint8_t *to, const uint8_t *from, int64_t n, const nb_dsinfo *d)
{
    for (int64_t row = 0; row < n * d->h; row++)
        for (int32_t x = 0; x < d->w; x++)
            memcpy(to + (row * d->w + d->w - 1 - x) * d->c, from + (row * d->w + x) * d->c, (size_t)d->c);
}

static int32_t largest_sum(const int32_t *a, const int32_t *b, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if ((int64_t)a[i] + b[i] > (int64_t)a[best] + b[best])
            best = i;
    return best;
}

static int32_t count_block(const views *v, const cli_model *m, const cli_images *images, int32_t first, int32_t n)
{
    const nb_dsinfo *d = &m->info;
    const size_t image = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    int32_t correct = 0;
    for (int32_t i = 0; i < n; i++)
        nb_data_get(images->data, cli_image_index(images, first + i), v->pixels + (size_t)i * image, &v->labels[i]);
    mirror(v->mirrored, v->pixels, n, d);
    nb_int_batch_integers(v->engine, v->pixels, n, v->one);
    nb_int_batch_integers(v->engine, v->mirrored, n, v->two);
    for (int32_t i = 0; i < n; i++)
        correct += largest_sum(v->one + i * d->classes, v->two + i * d->classes, d->classes) == v->labels[i];
    return correct;
}

static int32_t count_all(const cli *c, const views *v, const cli_model *m, const cli_images *images)
{
    const int64_t blocks = (images->n + BLOCK - 1) / BLOCK;
    const int64_t from = c->together ? nb_spread_at(blocks, nb_rank()) : 0,
                  end = c->together ? nb_spread_at(blocks, nb_rank() + 1) : blocks;
    int32_t each[NB_MAX_RANKS] = {0}, sum = 0;
    for (int64_t b = from; b < end; b++) {
        const int32_t i = (int32_t)b * BLOCK;
        each[nb_rank()] += count_block(v, m, images, i, images->n - i < BLOCK ? images->n - i : BLOCK);
    }
    if (c->together)
        nb_spread_bring(nb_ranks(), &(nb_spread_row){each, sizeof *each, 1, nb_ranks()}, 1);
    for (int32_t r = 0; r < NB_MAX_RANKS; r++)
        sum += each[r];
    return sum;
}

nb_status cli_mirrored_correct(cli *c, const cli_model *m, const cli_images *images, int32_t *correct)
{
    const nb_dsinfo *d = &m->info;
    const size_t image = (size_t)d->h * (size_t)d->w * (size_t)d->c, out = BLOCK * (size_t)d->classes;
    views v = {.pixels = nb_alloc(c->ctx, BLOCK * image),
               .mirrored = nb_alloc(c->ctx, BLOCK * image),
               .labels = nb_alloc(c->ctx, BLOCK * sizeof(int32_t)),
               .one = nb_alloc(c->ctx, out * sizeof(int32_t)),
               .two = nb_alloc(c->ctx, out * sizeof(int32_t))};
    nb_status st = v.pixels && v.mirrored && v.labels && v.one && v.two
                       ? nb_int_batch_create(c->ctx, m->integers, &v.engine)
                       : NB_E_NOMEM;
    if (st == NB_OK)
        *correct = count_all(c, &v, m, images);
    if (st == NB_OK)
        st = nb_data_check(c->ctx, images->data);
    nb_int_batch_free(c->ctx, v.engine);
    nb_free(c->ctx, v.pixels);
    nb_free(c->ctx, v.mirrored);
    nb_free(c->ctx, v.labels);
    nb_free(c->ctx, v.one);
    nb_free(c->ctx, v.two);
    return st;
}
