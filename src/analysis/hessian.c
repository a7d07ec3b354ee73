/* hessian.c - see hessian.h. Weights move by STEP of their root mean square: far enough that the differences of float
 * gradients have digits left, and less than rounding to 8 bits moves them. */
#include "analysis/hessian.h"

#include <nibble/train.h>

#include "base/check.h"
#include "base/rng.h"
#include "train/loader.h"

#include <math.h>
#include <string.h>

static const double STEP = 1.0 / 128;

enum { SEED = 0x68657373 }; /* the vectors are the same each time */

/* The weights of a row. */
typedef struct {
    nb_node *leaf;
    float *own;  /* their values */
    double size; /* root mean square of them */
    double there, sum, squares;
} block;

typedef struct {
    nb_graph *g;
    block *b;
    int32_t n;
    nb_loader *images;
    const nb_data *data; /* that it loads */
    const nb_watch *watch;
    int64_t n_images, done, all;
} job;

static nb_status open_block(nb_graph *g, nb_hessian_row *row, block *b)
{
    b->leaf = nb_graph_find(g, row->leaf);
    NB_ASSERT(b->leaf && b->leaf->out.grad && b->leaf->out.dtype == NB_F32);
    row->n = nb_count(&b->leaf->out);
    b->own = nb_alloc(g->ctx, (size_t)row->n * sizeof(float));
    if (!b->own)
        return NB_E_NOMEM;
    memcpy(b->own, b->leaf->out.data, (size_t)row->n * sizeof(float));
    for (int64_t i = 0; i < row->n; i++)
        b->size += (double)b->own[i] * (double)b->own[i];
    b->size = sqrt(b->size / (double)row->n);
    return NB_OK;
}

/* Vector k's sign of every weight of block b: 32 to a word. */
typedef struct {
    nb_rng r;
    uint32_t word;
    int32_t left;
} signs;

static signs signs_of(int32_t k, int32_t b)
{
    return (signs){.r = nb_rng_make(nb_mix(SEED, (uint64_t)k), (uint64_t)b)};
}

static double next_sign(signs *s)
{
    if (s->left == 0) {
        s->word = nb_rng_u32(&s->r);
        s->left = 32;
    }
    s->left--;
    const double sign = s->word & 1 ? 1 : -1;
    s->word >>= 1;
    return sign;
}

static void move(const job *j, int32_t k, double step)
{
    for (int32_t i = 0; i < j->n; i++) {
        const block *b = &j->b[i];
        float *w = b->leaf->out.data;
        signs s = signs_of(k, i);
        for (int64_t c = nb_count(&b->leaf->out), at = 0; at < c; at++)
            w[at] = (float)((double)b->own[at] + step * b->size * next_sign(&s));
    }
}

/* Adds share times the product of vector k and the gradient to what there is of each block. */
static nb_status add_products(const job *j, int32_t k, double share)
{
    for (int32_t i = 0; i < j->n; i++) {
        block *b = &j->b[i];
        double product = 0;
        signs s = signs_of(k, i);
        for (int64_t c = nb_count(&b->leaf->out), at = 0; at < c; at++)
            product += next_sign(&s) * (double)b->leaf->out.grad[at];
        if (!isfinite(product))
            return nb_fail(j->g->ctx, NB_E_DIVERGED, "the gradient of %s is no number", b->leaf->name);
        b->there += share * product;
    }
    return NB_OK;
}

/* All images with weights moved by step along vector k. */
static nb_status pass(job *j, int32_t k, double step)
{
    move(j, k, step);
    const int32_t batches = nb_loader_steps_per_epoch(j->images);
    nb_loader_seek(j->images, 0, 0);
    for (int32_t i = 0; i < batches; i++) {
        const nb_batch *b = nb_loader_next(j->images);
        NB_TRY(nb_data_check(j->g->ctx, j->data));
        const nb_run r = {.pixels = b->pixels, .labels = b->labels};
        nb_graph_set_batch(j->g, b->n);
        nb_forward(j->g, &r);
        nb_backward(j->g, &r);
        NB_TRY(add_products(j, k, (step > 0 ? 1 : -1) * (double)b->n / (double)j->n_images));
        if (j->watch && j->watch->at)
            j->watch->at(j->watch->ud, ++j->done, j->all);
        if (j->watch && j->watch->stop)
            NB_TRY(j->watch->stop(j->watch->ud));
    }
    return NB_OK;
}

/* A block of zeros does not move, and tells nothing. */
static nb_status sample(job *j, int32_t k)
{
    for (int32_t i = 0; i < j->n; i++)
        j->b[i].there = 0;
    NB_TRY(pass(j, k, STEP));
    NB_TRY(pass(j, k, -STEP));
    for (int32_t i = 0; i < j->n; i++) {
        block *b = &j->b[i];
        const double trace = b->size > 0 ? b->there / (2 * STEP * b->size) : 0;
        b->sum += trace;
        b->squares += trace * trace;
    }
    return NB_OK;
}

static nb_status run(job *j, nb_hessian_row *rows, int32_t vectors)
{
    nb_status st = NB_OK;
    j->all = 2 * (int64_t)vectors * nb_loader_steps_per_epoch(j->images);
    for (int32_t i = 0; i < j->n && st == NB_OK; i++)
        st = open_block(j->g, &rows[i], &j->b[i]);
    for (int32_t k = 0; k < vectors && st == NB_OK; k++)
        st = sample(j, k);
    for (int32_t i = 0; i < j->n; i++) {
        const block *b = &j->b[i];
        const double mean = b->sum / vectors, spread = fmax(0, b->squares / vectors - mean * mean);
        rows[i].trace = mean;
        rows[i].error = vectors > 1 ? sqrt(spread / (vectors - 1)) : 0;
        if (b->own)
            memcpy(b->leaf->out.data, b->own, (size_t)rows[i].n * sizeof(float));
        nb_free(j->g->ctx, b->own);
    }
    nb_graph_set_batch(j->g, j->g->max_batch);
    return st;
}

nb_status nb_hessian_traces(nb_graph *g, nb_hessian_row *rows, int32_t n, const nb_images *images, int32_t vectors,
                            const nb_watch *watch)
{
    NB_ASSERT(g->frozen && !g->quantized && vectors >= 1 && images->n >= 1);
    NB_TRY(nb_check_images(g, images->data));
    const int32_t batch = g->max_batch < images->n ? g->max_batch : images->n;
    int32_t *all = images->indices ? NULL : nb_alloc(g->ctx, (size_t)images->n * sizeof *all);
    for (int32_t i = 0; all && i < images->n; i++)
        all[i] = i;
    const nb_loader_spec spec = {.batch = batch, .subset = all ? all : images->indices, .n_subset = images->n};
    job j = {.g = g,
             .n = n,
             .data = images->data,
             .n_images = images->n,
             .watch = watch,
             .b = nb_alloc(g->ctx, ((size_t)n + 1) * sizeof *j.b)};
    nb_status st = j.b && spec.subset ? nb_loader_open(g->ctx, images->data, &spec, &j.images) : NB_E_NOMEM;
    nb_free(g->ctx, all);
    if (st == NB_OK)
        st = run(&j, rows, vectors);
    nb_loader_close(g->ctx, j.images);
    nb_free(g->ctx, j.b);
    return st;
}

/* An estimate that may be 0 by chance is no leave to take every bit away. */
static const double SURE = 2 /* standard errors */, LEAST_TRACE = 1e-6;

double nb_hessian_cost(const nb_hessian_row *row, double squared_error)
{
    const double trace = row->trace > SURE * row->error
                             ? row->trace
                             : fmax(fmax(row->trace + SURE * row->error, row->error), LEAST_TRACE);
    return row->n > 0 ? 0.5 * trace / (double)row->n * squared_error : 0;
}
