/* evaluate_float.c - the float evaluator: forward in evaluation mode, loss and accuracy from the logits.
 *
 * The loss is the plain one (no label smoothing), in double, image by image in order: comparable with the engine's
 * (core/score.h). */
#include <nibble/extend/op.h>
#include <nibble/train.h>

#include "base/check.h"
#include "base/ranks.h"
#include "base/spread.h"
#include "core/cut_gather.h"
#include "core/score.h"
#include "quant/fakequant.h"
#include "train/loader.h"

#include <math.h>
#include <string.h>

/* Of one image. */
typedef struct {
    nb_score score;
    int32_t label;
    bool unlike; /* the first of all has other logits */
} scored;

/* What is summed up, and memory for what is counted together and for one image. */
typedef struct {
    const nb_data *data;
    nb_score_sums sums;
    bool spread;                   /* whole batches are other ranks' */
    scored *batch;                 /* [max_batch]; spread: [n], of all batches */
    double *losses, *out, *target; /* [n], [classes], [classes] */
    int32_t *labels;               /* [n] */
    float *first;                  /* [classes] */
} scoring;

static scored score(const nb_graph *g, const float *logits, const uint8_t *pixels, int32_t label, scoring *s)
{
    const int32_t classes = g->info.classes;
    const float *real = g->input->priv; /* layers/input.c: [c][256] */
    for (int32_t c = 0; c < classes; c++)
        s->out[c] = (double)logits[c];
    for (int32_t i = 0; s->losses && i < classes; i++)
        s->target[i] = (double)real[i % g->info.c * 256 + pixels[i]];
    return (scored){.score = nb_score_of(g->info.task, s->out, s->target, classes, label),
                    .label = label,
                    .unlike = memcmp(s->first, logits, (size_t)classes * sizeof *logits) != 0};
}

static void count(const scored *one, scoring *s, nb_eval *e, const nb_answers *each)
{
    if (each->labels)
        each->labels[e->n] = one->label;
    if (each->answers)
        each->answers[e->n] = one->score.answer;
    s->sums.loss += one->score.loss;
    s->sums.energy += one->score.energy;
    if (s->losses) {
        s->losses[e->n] = one->score.loss;
        s->labels[e->n] = one->label;
    }
    e->unlike += one->unlike;
    e->correct += one->score.right;
    e->n++;
}

/* A result that is no number is none: NaN would count as a wrong answer, or as a right one. */
static nb_status check_logits(const nb_graph *g, const nb_batch *b, int32_t from)
{
    const int32_t classes = g->info.classes;
    const float *logits = nb_graph_logits(g);
    for (int32_t i = 0; i < b->n; i++)
        for (int32_t c = 0; c < classes; c++)
            if (!isfinite(logits[(int64_t)i * classes + c]))
                return nb_fail(g->ctx, NB_E_DIVERGED,
                               "the network gives no result: logit %d of image %d is %g (its weights are so large that "
                               "a sum overflows)",
                               c, from + i, (double)logits[(int64_t)i * classes + c]);
    return NB_OK;
}

/* Of weights, of activations. What all ranks have seen alike counts once. */
static void add_lost(const nb_graph *g, bool spread, nb_lost_counts c[2])
{
    const bool own = spread || g->cut.shared || nb_rank() == 0;
    for (int32_t i = 0; g->simulated && i < g->n; i++) {
        const bool values = nb_is_quantizer(g->node[i]) && !(g->node[i]->in[0]->flags & NB_NODE_LEAF);
        if (nb_is_quantizer(g->node[i]) && (!values || own))
            nb_fakequant_lost(g->node[i], &c[values]);
    }
}

/* Of all ranks. */
static void sum_lost(nb_lost_counts *c)
{
    nb_lost_counts each[NB_MAX_RANKS] = {{0}};
    nb_piece piece[NB_MAX_RANKS];
    each[nb_rank()] = *c;
    for (int32_t r = 0; r < nb_ranks(); r++)
        piece[r] = (nb_piece){&each[r], sizeof each[r], r, 0};
    nb_ranks_share(piece, nb_ranks());
    *c = (nb_lost_counts){0};
    for (int32_t r = 0; r < nb_ranks(); r++) {
        c->values += each[r].values;
        c->over += each[r].over;
        c->under += each[r].under;
    }
}

static nb_lost share_of(const nb_lost_counts *c)
{
    const double n = c->values > 0 ? (double)c->values : 1;
    return (nb_lost){(double)c->over / n, (double)c->under / n};
}

static void score_batch(const nb_graph *g, const nb_batch *b, scored *out, scoring *s)
{
    const size_t image = (size_t)g->info.h * (size_t)g->info.w * (size_t)g->info.c;
    const float *logits = nb_graph_logits(g);
    for (int32_t i = 0; i < b->n; i++)
        out[i] = score(g, logits + (int64_t)i * g->info.classes, b->pixels + (size_t)i * image, b->labels[i], s);
}

/* Of a shared graph every rank scores its images and counts all. */
static nb_status forward_and_score(nb_graph *g, const nb_batch *b, scoring *s, nb_eval *e, const nb_answers *each)
{
    const int32_t classes = g->info.classes;
    const size_t bytes = (size_t)classes * sizeof *s->first;
    nb_graph_set_batch(g, b->whole);
    const nb_cut *cut = &g->cut;
    nb_forward(g, &(nb_run){.pixels = b->pixels});
    NB_TRY(check_logits(g, b, e->n + cut->first));
    const float *logits = nb_graph_logits(g);
    if (e->n == 0) {
        memcpy(s->first, logits, bytes);
        if (cut->shared)
            nb_ranks_share(&(nb_piece){s->first, bytes, 0, 0}, 1);
    }
    NB_ASSERT(!cut->shared || !each->logits);
    if (each->logits)
        memcpy(each->logits + (int64_t)e->n * classes, logits, (size_t)b->n * bytes);
    score_batch(g, b, s->batch + cut->first, s);
    nb_gather_images(cut, s->batch, sizeof *s->batch);
    for (int32_t i = 0; i < b->whole; i++)
        count(&s->batch[i], s, e, each);
    return NB_OK;
}

static nb_status run_all(nb_graph *g, nb_loader *loader, scoring *s, nb_eval *e, const nb_answers *each,
                         nb_lost_counts lost[2])
{
    for (int32_t step = 0; step < nb_loader_steps_per_epoch(loader); step++) {
        const nb_batch *b = nb_loader_next(loader);
        NB_TRY(nb_data_check(g->ctx, s->data)); /* before other ranks hear of it */
        NB_TRY(forward_and_score(g, b, s, e, each));
        add_lost(g, false, lost);
    }
    if (g->shared && g->simulated)
        sum_lost(&lost[1]);
    return NB_OK;
}

/* This rank's batches, whole as they are alone: what other images do to a sum's order stays the same. */
static nb_status run_own(nb_graph *g, nb_loader *loader, int32_t n, scoring *s, const nb_answers *each,
                         nb_lost_counts lost[2])
{
    const int32_t steps = nb_loader_steps_per_epoch(loader), classes = g->info.classes;
    const int32_t from = (int32_t)nb_spread_at(steps, nb_rank()), end = (int32_t)nb_spread_at(steps, nb_rank() + 1);
    const size_t bytes = (size_t)classes * sizeof *s->first;
    int32_t first = 0; /* the rank that has the first batch */
    while (nb_spread_at(steps, first + 1) == 0)
        first++;
    if (from < end)
        nb_loader_seek(loader, 0, from);
    for (int32_t step = from; step < end || step == from; step++) {
        const nb_batch *b = step < end ? nb_loader_next(loader) : NULL;
        const int32_t at = step * g->max_batch;
        if (b) {
            NB_TRY(nb_data_check(g->ctx, s->data));
            nb_graph_set_batch(g, b->n);
            nb_forward(g, &(nb_run){.pixels = b->pixels});
            NB_TRY(check_logits(g, b, at));
            add_lost(g, true, lost);
        }
        if (b && step == 0)
            memcpy(s->first, nb_graph_logits(g), bytes);
        if (step == from)
            nb_ranks_share(&(nb_piece){s->first, bytes, first, 0}, 1);
        if (b && each->logits)
            memcpy(each->logits + (int64_t)at * classes, nb_graph_logits(g), (size_t)b->n * bytes);
        if (b)
            score_batch(g, b, s->batch + at, s);
    }
    const nb_spread_row row[] = {{s->batch, sizeof *s->batch, g->max_batch, n}, {each->logits, bytes, g->max_batch, n}};
    nb_spread_bring(steps, row, sizeof row / sizeof *row);
    if (g->simulated) {
        sum_lost(&lost[0]);
        sum_lost(&lost[1]);
    }
    return NB_OK;
}

static void free_scoring(nb_ctx *ctx, scoring *s)
{
    nb_free(ctx, s->batch);
    nb_free(ctx, s->losses);
    nb_free(ctx, s->labels);
    nb_free(ctx, s->target);
    nb_free(ctx, s->out);
    nb_free(ctx, s->first);
}

static nb_status alloc_scoring(const nb_graph *g, int32_t n, scoring *s)
{
    const size_t classes = (size_t)g->info.classes;
    s->first = nb_alloc(g->ctx, classes * sizeof *s->first);
    s->out = nb_alloc(g->ctx, classes * sizeof *s->out);
    s->batch = nb_alloc(g->ctx, (size_t)(s->spread ? n : g->max_batch) * sizeof *s->batch);
    if (!s->first || !s->out || !s->batch)
        return NB_E_NOMEM;
    if (!nb_task_has_target(g->info.task))
        return NB_OK;
    s->target = nb_alloc(g->ctx, classes * sizeof *s->target);
    s->labels = nb_alloc(g->ctx, (size_t)n * sizeof *s->labels);
    s->losses = nb_alloc(g->ctx, (size_t)n * sizeof *s->losses);
    s->sums.losses = s->losses;
    s->sums.labels = s->labels;
    return s->target && s->labels && s->losses ? NB_OK : NB_E_NOMEM;
}

static nb_status open_loader(const nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n,
                             nb_loader **loader)
{
    nb_loader_spec spec = {.batch = g->max_batch, .subset = indices, .n_subset = n, .shared = g->shared};
    int32_t *first_n = NULL;
    if (!indices && n < nb_data_info(data)->count) {
        first_n = nb_alloc(g->ctx, (size_t)n * sizeof *first_n);
        if (!first_n)
            return NB_E_NOMEM;
        for (int32_t i = 0; i < n; i++)
            first_n[i] = i;
        spec.subset = first_n;
    }
    const nb_status st = nb_loader_open(g->ctx, data, &spec, loader);
    nb_free(g->ctx, first_n);
    return st;
}

static nb_status evaluate(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n, bool spread,
                          nb_eval *out, const nb_answers *each)
{
    nb_loader *loader;
    NB_TRY(nb_score_check(g->ctx, &g->info, nb_data_info(data)));
    NB_TRY(open_loader(g, data, indices, n, &loader));
    nb_eval e = {.simulated = g->simulated != NULL};
    nb_lost_counts lost[2] = {{0}};
    scoring s = {.data = data, .spread = spread};
    nb_status st = alloc_scoring(g, indices ? n : nb_data_info(data)->count, &s);
    if (st == NB_OK)
        st = spread ? run_own(g, loader, n, &s, each, lost) : run_all(g, loader, &s, &e, each, lost);
    for (int32_t i = 0; st == NB_OK && spread && i < n; i++)
        count(&s.batch[i], &s, &e, each);
    nb_loader_close(g->ctx, loader);
    nb_graph_set_batch(g, g->max_batch);
    if (st == NB_OK)
        st = nb_score_finish(g->ctx, g->info.task, &s.sums, &e);
    free_scoring(g->ctx, &s);
    if (st != NB_OK)
        return st;
    e.any_lost = lost[0].values + lost[1].values > 0;
    e.weights = share_of(&lost[0]);
    e.activations = share_of(&lost[1]);
    *out = e;
    return NB_OK;
}

nb_status nb_evaluate_graph_each(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n, nb_eval *out,
                                 const nb_answers *each)
{
    return evaluate(g, data, indices, n, false, out, each);
}

nb_status nb_evaluate_graph(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n, nb_eval *out)
{
    return evaluate(g, data, indices, n, false, out, &(nb_answers){0});
}

nb_status nb_evaluate_graph_shared(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n, nb_eval *out,
                                   const nb_answers *each)
{
    NB_ASSERT(!g->shared);
    return evaluate(g, data, indices, n, nb_ranks() > 1, out, each);
}
