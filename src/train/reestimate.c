/* reestimate.c - batch-norm statistics as they are over a sample of images, not as training's moving average left them.
 *
 * The statistics of a batch norm are the mean and (unbiased) variance of what it reads in evaluation, codes of the
 * layers before it and their new statistics included: it takes one pass over the images for each batch norm, up to
 * there, in the order of the network. Sums are in double, over parts that depend on the batch alone, added in order: the
 * same bits for any number of threads. */
#include "train/reestimate.h"

#include <nibble/extend/fusion.h>

#include "base/check.h"
#include "core/cut_gather.h"
#include "core/oihw.h"
#include "kernels/sweeps/sweep.h"

#include <math.h>
#include <stdio.h>

typedef struct {
    nb_graph *g;
    const nb_data *data;
    const int32_t *indices;
    int32_t n;
    uint8_t *pixels;
    double *sums; /* [NB_TAP_MAX_PARTS][2][c] of all batches so far */
    const nb_node *x;
    int32_t step; /* that x is the value of */
} work;

static bool is_norm(const nb_node *n)
{
    return n->op->role == NB_ROLE_AFFINE && nb_leaf_of(n, "mean") && nb_leaf_of(n, "var");
}

int32_t nb_graph_norms(const nb_graph *g)
{
    int32_t norms = 0;
    for (int32_t i = 0; i < g->n; i++)
        norms += is_norm(g->node[i]);
    return norms;
}

static void sum_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const work *w = arg;
    const nb_cut *cut = w->x->cut;
    const int32_t c = nb_channels(&w->x->out);
    const int64_t each = nb_rows(&w->x->out) / cut->images, first = nb_cut_part_at(cut, (int32_t)part) * each;
    double *sum = w->sums + part * 2 * c;
    nb_k_channel_stats(sum, sum + c, NULL, NULL, (const float *)w->x->out.data + first * c,
                       nb_cut_part_at(cut, (int32_t)part + 1) * each - first, c);
}

/* The sums of x over all images. What only training computes (op.h, statistics_of) is asked for by itself. */
static nb_status run_batches(work *w, bool training_only)
{
    const nb_dsinfo *d = nb_data_info(w->data);
    const size_t image = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    for (int32_t at = 0; at < w->n;) {
        const int32_t size = w->n - at < w->g->max_batch ? w->n - at : w->g->max_batch;
        const nb_cut *cut = w->x->cut;
        int32_t label;
        nb_graph_set_batch(w->g, size);
        for (int32_t i = 0; i < cut->images; i++) {
            const int32_t k = at + cut->first + i;
            nb_data_get(w->data, w->indices ? w->indices[k] : k, w->pixels + (size_t)i * image, &label);
        }
        NB_TRY(nb_data_check(w->g->ctx, w->data));
        at += size;
        const nb_run r = {.pixels = w->pixels}, training = {.train = true, .freeze_ranges = true, .pixels = w->pixels};
        for (int32_t s = 0; s < w->step; s++)
            nb_forward_step(w->g, s, &r);
        nb_forward_step(w->g, w->step, training_only ? &training : &r);
        nb_cut_run(cut, sum_part, w);
        nb_gather_parts(cut, &(nb_gathered){w->sums, 2 * (size_t)nb_channels(&w->x->out) * sizeof *w->sums}, 1);
    }
    return NB_OK;
}

/* Writes the new statistics; *moved: by how many sigmas a mean moved, or the logarithm of a sigma, whichever is most. */
static nb_status settle(const work *w, const nb_node *norm, double *moved)
{
    const int32_t c = nb_channels(&w->x->out);
    float *mean = nb_leaf_of(norm, "mean")->out.data, *var = nb_leaf_of(norm, "var")->out.data;
    const double rows = (double)w->n * (double)(nb_rows(&w->x->out) / w->x->out.shape.d[0]);
    *moved = 0;
    for (int32_t k = 0; k < c; k++) {
        double sum = 0, squares = 0;
        for (int32_t p = 0; p < NB_TAP_MAX_PARTS; p++) {
            sum += w->sums[(int64_t)p * 2 * c + k];
            squares += w->sums[((int64_t)p * 2 + 1) * c + k];
        }
        const double mu = sum / rows, unbiased = fmax(squares - sum * mu, 0) / (rows > 1 ? rows - 1 : 1);
        if (!isfinite(mu) || !isfinite(unbiased))
            return nb_fail(w->g->ctx, NB_E_DIVERGED,
                           "what batch norm %s reads of these images is not a number: its network's weights are "
                           "unusable",
                           norm->name);
        const float was_mean = mean[k], was_var = var[k];
        mean[k] = (float)mu;
        var[k] = (float)unbiased;
        if (var[k] > 0 && was_var > 0) /* a dead channel moves nothing */
            *moved = fmax(*moved, fmax(fabs((double)was_mean - (double)mean[k]) / sqrt((double)var[k]),
                                       fabs(log((double)was_var / (double)var[k])) / 2));
    }
    return NB_OK;
}

static nb_status one_norm(work *w, const nb_node *norm, const nb_reestimate_report *report)
{
    double moved;
    w->x = norm->in[norm->op->statistics_of];
    w->step = 0;
    while (nb_step_last(&w->g->step[w->step]) != w->x)
        w->step++;
    w->sums = nb_alloc(w->g->ctx, (size_t)NB_TAP_MAX_PARTS * 2 * (size_t)nb_channels(&w->x->out) * sizeof(double));
    if (!w->sums)
        return NB_E_NOMEM;
    nb_status st = run_batches(w, norm->op->statistics_of > 0);
    if (st == NB_OK)
        st = settle(w, norm, &moved);
    nb_free(w->g->ctx, w->sums);
    if (st == NB_OK && report)
        report->norm(report->ud, norm->name, moved);
    return st;
}

nb_status nb_reestimate_bn(nb_graph *g, const nb_data *data, const int32_t *indices, int32_t n,
                           const nb_reestimate_report *report)
{
    const nb_dsinfo *d = nb_data_info(data);
    NB_ASSERT(g->frozen && n >= 1 && (indices || n <= d->count));
    NB_TRY(nb_check_images(g, data));
    work w = {.g = g, .data = data, .indices = indices, .n = n};
    w.pixels = nb_alloc(g->ctx, (size_t)g->room * (size_t)d->h * (size_t)d->w * (size_t)d->c);
    nb_status st = w.pixels ? NB_OK : NB_E_NOMEM;
    for (int32_t i = 0; i < g->n && st == NB_OK; i++)
        if (is_norm(g->node[i]))
            st = one_norm(&w, g->node[i], report);
    nb_graph_set_batch(g, g->max_batch);
    nb_free(g->ctx, w.pixels);
    return st;
}

nb_status nb_check_reestimate(nb_ctx *ctx, const nb_train_job *job, int32_t phase, const nb_graph *g)
{
    const int32_t n = job->plan->phase[phase].keys.reestimate_bn;
    const int32_t images = job->indices ? job->n_indices : nb_data_info(job->data)->count;
    const nb_phase *ph = &job->plan->phase[phase];
    const nb_conf *at = nb_conf_get(ph->entry, "reestimate_bn");
    if (n > images)
        return nb_conf_fail(ctx, at, ph->where, NB_E_CONFIG,
                            "reestimate_bn: %d: must be at most %d, the number of training images", n, images);
    if (n && nb_graph_norms(g) == 0)
        return nb_conf_fail(ctx, at, ph->where, NB_E_CONFIG,
                            "reestimate_bn: %d: changes nothing: the network of this phase has no batch norm%s", n,
                            g->quantized ? " (quant.batchnorm: fold puts them into the weights; keep and "
                                           "fold_corrected leave them)"
                                         : "");
    return NB_OK;
}
