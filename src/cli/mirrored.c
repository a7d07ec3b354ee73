/* mirrored.c - see mirrored.h. */
#include "cli/mirrored.h"

#include "base/check.h"
#include "base/ranks.h"
#include "base/spread.h"
#include "core/score.h"

#include <string.h>

enum { BLOCK = 256 };

typedef struct {
    int32_t correct;
    double loss;
} block_sum;

typedef struct {
    nb_int_batch *engine;
    uint8_t *pixels, *mirrored;  /* [BLOCK, h, w, c] */
    int32_t *labels, *one, *two; /* [BLOCK]; [BLOCK, classes] */
    double *mean;                /* [classes]: logits of one image */
    block_sum *sums;             /* [blocks] */
} views;

static int64_t blocks_of(const cli_images *images)
{
    return (images->n + BLOCK - 1) / BLOCK;
}

/* Of n images, left and right changed places. */
static void mirror(uint8_t *to, const uint8_t *from, int64_t n, const nb_dsinfo *d)
{
    for (int64_t row = 0; row < n * d->h; row++)
        for (int32_t x = 0; x < d->w; x++)
            memcpy(to + (row * d->w + d->w - 1 - x) * d->c, from + (row * d->w + x) * d->c, (size_t)d->c);
}

static block_sum sum_block(const views *v, const cli_model *m, const cli_images *images, int32_t first, int32_t n)
{
    const nb_dsinfo *d = &m->info;
    const size_t image = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    const double scale = (double)m->integers->tensors[nb_intmodel_output(m->integers)].scale;
    block_sum sum = {0};
    for (int32_t i = 0; i < n; i++)
        nb_data_get(images->data, cli_image_index(images, first + i), v->pixels + (size_t)i * image, &v->labels[i]);
    mirror(v->mirrored, v->pixels, n, d);
    nb_int_batch_integers(v->engine, v->pixels, n, v->one);
    nb_int_batch_integers(v->engine, v->mirrored, n, v->two);
    for (int32_t i = 0; i < n; i++) {
        const int32_t *one = v->one + i * d->classes, *two = v->two + i * d->classes;
        for (int32_t c = 0; c < d->classes; c++)
            v->mean[c] = scale * 0.5 * (double)((int64_t)one[c] + two[c]);
        const nb_score s = nb_score_of(NB_TASK_CLASSES, v->mean, NULL, d->classes, v->labels[i]);
        sum.correct += s.right;
        sum.loss += s.loss;
    }
    return sum;
}

/* Blocks are added in order, so that ranks make no difference. */
static nb_status sum_all(const cli *c, const views *v, const cli_model *m, const cli_images *images, cli_mirrored *out)
{
    const int64_t blocks = blocks_of(images);
    const int64_t from = c->together ? nb_spread_at(blocks, nb_rank()) : 0,
                  end = c->together ? nb_spread_at(blocks, nb_rank() + 1) : blocks;
    for (int64_t b = from; b < end; b++) {
        const int32_t i = (int32_t)b * BLOCK;
        v->sums[b] = sum_block(v, m, images, i, images->n - i < BLOCK ? images->n - i : BLOCK);
    }
    NB_TRY(nb_data_check(c->ctx, images->data)); /* before other ranks hear of it */
    if (c->together)
        nb_spread_bring(blocks, &(nb_spread_row){v->sums, sizeof *v->sums, 1, blocks}, 1);
    *out = (cli_mirrored){0};
    for (int64_t b = 0; b < blocks; b++) {
        out->correct += v->sums[b].correct;
        out->loss += v->sums[b].loss / images->n;
    }
    return NB_OK;
}

nb_status cli_mirrored_evaluate(cli *c, const cli_model *m, const cli_images *images, cli_mirrored *out)
{
    const nb_dsinfo *d = &m->info;
    const size_t image = (size_t)d->h * (size_t)d->w * (size_t)d->c, logits = BLOCK * (size_t)d->classes;
    views v = {.pixels = nb_alloc(c->ctx, BLOCK * image),
               .mirrored = nb_alloc(c->ctx, BLOCK * image),
               .labels = nb_alloc(c->ctx, BLOCK * sizeof(int32_t)),
               .one = nb_alloc(c->ctx, logits * sizeof(int32_t)),
               .two = nb_alloc(c->ctx, logits * sizeof(int32_t)),
               .mean = nb_alloc(c->ctx, (size_t)d->classes * sizeof(double)),
               .sums = nb_alloc(c->ctx, (size_t)blocks_of(images) * sizeof(block_sum))};
    nb_status st = v.pixels && v.mirrored && v.labels && v.one && v.two && v.mean && v.sums
                       ? nb_int_batch_create(c->ctx, m->integers, &v.engine)
                       : NB_E_NOMEM;
    if (st == NB_OK)
        st = sum_all(c, &v, m, images, out);
    nb_int_batch_free(c->ctx, v.engine);
    nb_free(c->ctx, v.pixels);
    nb_free(c->ctx, v.mirrored);
    nb_free(c->ctx, v.labels);
    nb_free(c->ctx, v.one);
    nb_free(c->ctx, v.two);
    nb_free(c->ctx, v.mean);
    nb_free(c->ctx, v.sums);
    return st;
}
