/* evaluate_float.c - the float evaluator: forward in evaluation mode, loss and accuracy from the logits.
 *
 * The loss is the plain cross entropy (no label smoothing), in double, image by image in order: comparable with the
 * engine's. */
#include <nibble/extend/op.h>
#include <nibble/train.h>

#include "base/check.h"
#include "base/measure.h"
#include "quant/fakequant.h"
#include "train/loader.h"

#include <math.h>
#include <string.h>

static void keep_answer(const nb_answers *a, int64_t i, const float *logits, int32_t classes, int32_t best,
                        int32_t label)
{
    if (a->labels)
        a->labels[i] = label;
    if (a->answers)
        a->answers[i] = best;
    if (a->logits)
        memcpy(a->logits + i * classes, logits, (size_t)classes * sizeof *logits);
}

/* Adds one image's cross entropy and counts it when the largest logit, ties to the lowest index, is its label. */
static void score(const float *logits, int32_t classes, int32_t label, nb_eval *e, double *loss, const nb_answers *each)
{
    const int32_t best = nb_argmax_float(logits, classes);
    keep_answer(each, e->n, logits, classes, best, label);
    double sum = 0;
    for (int32_t c = 0; c < classes; c++)
        sum += exp((double)logits[c] - (double)logits[best]);
    *loss += log(sum) + (double)logits[best] - (double)logits[label];
    e->correct += best == label;
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

/* Of weights, of activations. */
static void add_lost(const nb_graph *g, nb_lost_counts c[2])
{
    for (int32_t i = 0; g->simulated && i < g->n; i++)
        if (nb_is_quantizer(g->node[i]))
            nb_fakequant_lost(g->node[i], &c[!(g->node[i]->in[0]->flags & NB_NODE_LEAF)]);
}

static nb_lost share_of(const nb_lost_counts *c)
{
    const double n = c->values > 0 ? (double)c->values : 1;
    return (nb_lost){(double)c->over / n, (double)c->under / n};
}

static nb_status forward_and_score(nb_graph *g, const nb_batch *b, float *first, nb_eval *e, double *loss,
                                   const nb_answers *each)
{
    const int32_t classes = g->info.classes;
    const size_t bytes = (size_t)classes * sizeof *first;
    nb_graph_set_batch(g, b->n);
    nb_forward(g, &(nb_run){.pixels = b->pixels});
    NB_TRY(check_logits(g, b, e->n));
    const float *logits = nb_graph_logits(g);
    for (int32_t i = 0; i < b->n; i++, logits += classes) {
        if (e->n == 0)
            memcpy(first, logits, bytes);
        e->unlike += memcmp(first, logits, bytes) != 0;
        score(logits, classes, b->labels[i], e, loss, each);
    }
    return NB_OK;
}

nb_status nb_evaluate_graph_each(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n, nb_eval *out,
                                 const nb_answers *each)
{
    const nb_dsinfo *d = nb_data_info(data);
    if (d->h != g->info.h || d->w != g->info.w || d->c != g->info.c || d->classes != g->info.classes)
        return nb_fail(g->ctx, NB_E_SHAPE,
                       "the data have images of %dx%dx%d in %d classes, the network takes %dx%dx%d in %d", d->h, d->w,
                       d->c, d->classes, g->info.h, g->info.w, g->info.c, g->info.classes);
    if (!nb_features_equal(d->features, g->info.features))
        return nb_fail(g->ctx, NB_E_SHAPE, "the data's numbers become codes in another way than the network's input");
    nb_loader_spec spec = {.batch = g->max_batch, .subset = indices, .n_subset = n};
    int32_t *first_n = NULL;
    if (!indices && n < d->count) {
        first_n = nb_alloc(g->ctx, (size_t)n * sizeof *first_n);
        if (!first_n)
            return NB_E_NOMEM;
        for (int32_t i = 0; i < n; i++)
            first_n[i] = i;
        spec.subset = first_n;
    }
    nb_loader *loader;
    nb_status st = nb_loader_open(g->ctx, data, &spec, &loader);
    nb_free(g->ctx, first_n);
    if (st != NB_OK)
        return st;
    nb_eval e = {.simulated = g->simulated != NULL};
    nb_lost_counts lost[2] = {{0}};
    double loss = 0;
    float *first = nb_alloc(g->ctx, (size_t)d->classes * sizeof *first);
    st = first ? NB_OK : NB_E_NOMEM;
    for (int32_t step = 0; st == NB_OK && step < nb_loader_steps_per_epoch(loader); step++) {
        st = forward_and_score(g, nb_loader_next(loader), first, &e, &loss, each);
        add_lost(g, lost);
    }
    nb_loader_close(g->ctx, loader);
    nb_graph_set_batch(g, g->max_batch);
    nb_free(g->ctx, first);
    if (st != NB_OK)
        return st;
    e.accuracy = (double)e.correct / (double)e.n;
    e.loss = loss / (double)e.n;
    e.any_lost = lost[0].values + lost[1].values > 0;
    e.weights = share_of(&lost[0]);
    e.activations = share_of(&lost[1]);
    *out = e;
    return NB_OK;
}

nb_status nb_evaluate_graph(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n, nb_eval *out)
{
    return nb_evaluate_graph_each(g, data, indices, n, out, &(nb_answers){0});
}
