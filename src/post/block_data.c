/* block_data.c - see block_data.h. */
#include "post/block_data.h"

#include <nibble/extend/fusion.h>
#include <nibble/extend/quant.h>

#include "base/check.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "post/block_run.h"

#include <math.h>
#include <string.h>

typedef struct {
    const nb_block_source *s;
    const nb_node *from, *to;               /* of the copy */
    const nb_node *floats_from, *floats_to; /* of the float network */
    nb_block_data *d;
    uint8_t *pixels;
    int32_t *labels, *drawn;
    double *squares; /* [out] */
} reading;

/* The float network has everything but what rounds. */
static const nb_node *twin_of(const nb_graph *floats, const nb_node *n)
{
    while (n->op->role == NB_ROLE_QUANTIZER)
        n = n->in[0];
    n = nb_graph_find(floats, n->name);
    NB_ASSERT(n);
    return n;
}

static int64_t values_of(const nb_node *n)
{
    return nb_count(&n->out) / n->out.shape.d[0];
}

/* What dropout leaves out is what evaluation does. */
static nb_run run_for(const nb_node *n, const nb_run *r)
{
    nb_run own = *r;
    own.train = !(n->op->flags & NB_OP_TRAIN_ONLY);
    return own;
}

static void copy_value(float *all, const nb_node *n, int32_t at, int32_t images)
{
    const int64_t each = values_of(n);
    memcpy(all + at * each, n->out.data, (size_t)(images * each) * sizeof *all);
}

/* One label per image, by what the network thinks of it. */
static void draw_labels(const nb_graph *g, int32_t at, int32_t *label)
{
    const int64_t classes = values_of(g->loss->in[0]);
    for (int32_t i = 0; i < g->batch; i++) {
        const float *z = nb_graph_logits(g) + i * classes;
        nb_rng random = nb_rng_make(nb_hash_text("labels"), (uint64_t)at + (uint64_t)i);
        double sum = 0, most = -INFINITY;
        for (int64_t c = 0; c < classes; c++)
            most = fmax(most, (double)z[c]);
        for (int64_t c = 0; c < classes; c++)
            sum += exp((double)z[c] - most);
        double left = (double)nb_rng_uniform(&random) * sum;
        label[i] = 0;
        for (int32_t c = 0; c + 1 < classes && left >= exp((double)z[c] - most); c++) {
            left -= exp((double)z[c] - most);
            label[i] = c + 1;
        }
    }
}

static void square_gradient(const reading *r, int32_t at, const nb_run *run)
{
    nb_graph *g = r->s->floats;
    nb_run drawn = *run;
    const int64_t each = r->d->out;
    drawn.labels = r->drawn;
    draw_labels(g, at, r->drawn);
    nb_backward_begin(g);
    for (int32_t i = g->n_steps - 1; g->step[i].node[0] != r->floats_to; i--) {
        const nb_run own = run_for(g->step[i].node[0], &drawn);
        nb_backward_step(g, i, &own);
    }
    const float *dy = r->floats_to->out.grad;
    for (int64_t i = 0; i < g->batch * each; i++) { /* of an image's own loss, not of the batch's mean */
        const double own = (double)dy[i] * g->batch;
        r->squares[i % each] += own * own;
    }
}

static void read_floats(const reading *r, int32_t at, int32_t images)
{
    nb_graph *g = r->s->floats;
    nb_graph_set_batch(g, images);
    const nb_run run = {.freeze_bn = true, .freeze_ranges = true, .pixels = r->pixels, .labels = r->labels};
    for (int32_t i = 0; i < g->n_steps; i++) {
        const nb_node *n = g->step[i].node[0];
        const nb_run own = run_for(n, &run);
        nb_forward_step(g, i, &own);
        if (n == r->floats_from && r->d->floats)
            copy_value(r->d->floats, n, at, images);
        if (n == r->floats_to)
            copy_value(r->d->y, n, at, images);
        if (n == r->floats_to && !r->d->weight)
            return;
    }
    square_gradient(r, at, &run);
}

static void read_quantized(const reading *r, int32_t at, int32_t images)
{
    nb_graph_set_batch(r->s->copy, images);
    nb_block_graph_run(r->s->copy, r->from, &(nb_run){.pixels = r->pixels, .labels = r->labels});
    copy_value(r->d->x, r->from, at, images);
}

static void read_images(const reading *r)
{
    const nb_block_source *s = r->s;
    const nb_graph *g = s->copy;
    const size_t image = (size_t)g->info.h * (size_t)g->info.w * (size_t)g->info.c;
    const int32_t most = g->max_batch < s->floats->max_batch ? g->max_batch : s->floats->max_batch;
    for (int32_t at = 0, images; at < r->d->n; at += images) {
        images = r->d->n - at < most ? r->d->n - at : most;
        for (int32_t i = 0; i < images; i++)
            nb_data_get(s->data, s->indices ? s->indices[at + i] : at + i, r->pixels + (size_t)i * image,
                        &r->labels[i]);
        read_quantized(r, at, images);
        read_floats(r, at, images);
    }
}

/* So that the mean is 1. All 0, of a network that is sure of everything: as if it had not been asked for. */
static void normalize(const nb_block_data *d, const double *squares)
{
    double sum = 0;
    for (int64_t i = 0; i < d->out; i++)
        sum += squares[i];
    for (int64_t i = 0; i < d->out; i++)
        d->weight[i] = sum > 0 ? (float)(squares[i] * (double)d->out / sum) : 1.0f;
}

static nb_status read_all(reading *r)
{
    nb_ctx *ctx = r->s->copy->ctx;
    const nb_graph *g = r->s->copy;
    nb_block_data *d = r->d;
    const size_t n = (size_t)d->n, batch = (size_t)g->max_batch;
    d->x = nb_alloc(ctx, n * (size_t)d->in * sizeof *d->x);
    d->y = nb_alloc(ctx, n * (size_t)d->out * sizeof *d->y);
    d->floats = r->s->mix ? nb_alloc(ctx, n * (size_t)d->in * sizeof *d->floats) : NULL;
    d->weight = r->s->fisher ? nb_alloc(ctx, (size_t)d->out * sizeof *d->weight) : NULL;
    r->pixels = nb_alloc(ctx, batch * (size_t)g->info.h * (size_t)g->info.w * (size_t)g->info.c);
    r->labels = nb_alloc(ctx, 2 * batch * sizeof *r->labels);
    r->squares = nb_alloc(ctx, (size_t)d->out * sizeof *r->squares);
    if (!d->x || !d->y || (r->s->mix && !d->floats) || (r->s->fisher && !d->weight) || !r->pixels || !r->labels ||
        !r->squares)
        return NB_E_NOMEM;
    r->drawn = r->labels + batch;
    read_images(r);
    NB_TRY(nb_data_check(ctx, r->s->data));
    if (d->weight)
        normalize(d, r->squares);
    return NB_OK;
}

nb_status nb_block_data_read(const nb_block_source *s, const nb_post_block *block, nb_block_data *out)
{
    nb_ctx *ctx = s->copy->ctx;
    reading r = {.s = s, .d = out, .from = s->copy->node[block->from->id], .to = s->copy->node[block->to->id]};
    r.floats_from = twin_of(s->floats, r.from);
    r.floats_to = twin_of(s->floats, r.to);
    *out = (nb_block_data){.in = values_of(r.from), .out = values_of(r.to)};
    const int64_t each = (1 + s->mix) * out->in + out->out;
    const int64_t fit = NB_BLOCK_BYTES / (each * (int64_t)sizeof(float));
    out->n = s->n < fit ? s->n : fit < 1 ? 1 : (int32_t)fit;
    nb_status st = nb_check_images(s->copy, s->data);
    if (st == NB_OK)
        st = read_all(&r);
    nb_free(ctx, r.pixels);
    nb_free(ctx, r.labels);
    nb_free(ctx, r.squares);
    return st;
}

void nb_block_data_free(nb_ctx *ctx, nb_block_data *d)
{
    float *const all[] = {d->x, d->y, d->floats, d->weight};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        nb_free(ctx, all[i]);
    *d = (nb_block_data){0};
}
