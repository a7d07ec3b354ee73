/* analyze.c - see analyze.h: the trials of an analysis, and what their sums come to. */
#include "analysis/analyze.h"

#include "base/arena.h"
#include "base/check.h"
#include "quant/fakequant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEGLIGIBLE 0.01

/* Sums of one layer over all images. */
typedef struct {
    double signal, noise;  /* cumulative */
    double *bias;          /* what it comes to */
    double *mean, *square; /* [channels] of the float value before the relu, and its square */
    double *error[2];      /* [channels] quantized less float; of every other image */
    int64_t rows[2];
} layer_sums;

typedef struct {
    nb_probe *p;
    const nb_analysis_job *job;
    nb_analysis *out;
    layer_sums *sums;
    nb_trial *trial; /* alone of each site, without each site, both of each layer, all weights, all outputs */
    nb_probe_change *change;
    int32_t n_trials, n_changes;
    double *weights_signal, *weights_noise; /* [n_sites] */
} work;

/* ---- which networks ---- */

static nb_probe_change *add_change(work *w, int32_t site, nb_node *by)
{
    nb_probe_change *c = &w->change[w->n_changes++];
    *c = (nb_probe_change){site, by};
    return c;
}

static nb_trial *add_trial(work *w, nb_probe_network base, const nb_probe_change *change, int32_t n, const nb_node *at)
{
    nb_trial *t = &w->trial[w->n_trials++];
    *t = (nb_trial){.network = {.base = base, .change = change, .n_changes = n}, .at = at};
    return t;
}

/* All sites of one kind on. */
static void add_kind(work *w, bool weights)
{
    const nb_probe_change *first = &w->change[w->n_changes];
    int32_t n = 0;
    for (int32_t i = 0; i < w->out->n_sites; i++) {
        const nb_probe_site *s = nb_probe_site_at(w->p, i);
        if (s->weights != weights)
            continue;
        add_change(w, i, s->fq);
        n++;
    }
    add_trial(w, NB_PROBE_FLOAT, first, n, NULL);
}

static nb_status make_trials(work *w)
{
    nb_arena *a = w->out->arena;
    const int32_t sites = w->out->n_sites, layers = w->out->n_layers;
    w->trial = nb_arena_array(a, (size_t)(2 * sites + layers + 2), sizeof *w->trial);
    w->change = nb_arena_array(a, (size_t)(3 * sites + 2 * layers), sizeof *w->change);
    if (!w->trial || !w->change)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < sites; i++) {
        const nb_probe_site *s = nb_probe_site_at(w->p, i);
        add_trial(w, NB_PROBE_FLOAT, add_change(w, i, s->fq), 1, nb_probe_layer_at(w->p, s->layer)->out);
    }
    for (int32_t i = 0; i < sites; i++)
        add_trial(w, NB_PROBE_QUANTIZED, add_change(w, i, NULL), 1, NULL);
    for (int32_t i = 0; i < layers; i++) {
        const nb_probe_layer *y = nb_probe_layer_at(w->p, i);
        const nb_probe_change *first = &w->change[w->n_changes];
        int32_t n = 0;
        const int32_t both[] = {y->weights, y->output};
        for (int32_t k = 0; k < 2; k++)
            if (both[k] >= 0) {
                add_change(w, both[k], nb_probe_site_at(w->p, both[k])->fq);
                n++;
            }
        add_trial(w, NB_PROBE_FLOAT, first, n, y->out)->network.until = y->out;
    }
    add_kind(w, true);
    add_kind(w, false);
    return NB_OK;
}

/* ---- what is looked at beside answers ---- */

static void add_bias(const work *w, int32_t l, int32_t first)
{
    layer_sums *s = &w->sums[l];
    const nb_node *n = nb_probe_layer_at(w->p, l)->linear;
    const float *f = nb_probe_value(w->p, NB_PROBE_FLOAT, n), *q = nb_probe_value(w->p, NB_PROBE_QUANTIZED, n);
    const int32_t c = nb_channels(&n->out), images = n->out.shape.d[0];
    const int64_t rows = nb_rows(&n->out) / images;
    for (int32_t i = 0; i < images; i++) {
        const int32_t half = (first + i) & 1;
        for (int64_t r = 0; r < rows; r++, f += c, q += c)
            for (int32_t k = 0; k < c; k++) {
                s->mean[k] += (double)f[k];
                s->square[k] += (double)f[k] * (double)f[k];
                s->error[half][k] += (double)q[k] - (double)f[k];
            }
        s->rows[half] += rows;
    }
}

static void see_batch(void *ud, nb_probe *p, int32_t first, int32_t n)
{
    work *w = ud;
    (void)n;
    for (int32_t i = 0; i < w->out->n_layers; i++) {
        nb_trial_add_noise(p, NB_PROBE_QUANTIZED, nb_probe_layer_at(p, i)->out, &w->sums[i].signal, &w->sums[i].noise);
        add_bias(w, i, first);
    }
    for (int32_t i = 0; first == 0 && i < w->out->n_sites; i++) {
        const nb_probe_site *s = nb_probe_site_at(p, i);
        if (s->weights)
            nb_trial_add_noise(p, NB_PROBE_QUANTIZED, s->fq, &w->weights_signal[i], &w->weights_noise[i]);
    }
}

static nb_status make_sums(work *w)
{
    nb_arena *a = w->out->arena;
    w->sums = nb_arena_array(a, (size_t)w->out->n_layers, sizeof *w->sums);
    w->weights_signal = nb_arena_array(a, 2 * (size_t)w->out->n_sites, sizeof(double));
    if (!w->sums || !w->weights_signal)
        return NB_E_NOMEM;
    w->weights_noise = w->weights_signal + w->out->n_sites;
    for (int32_t i = 0; i < w->out->n_layers; i++) {
        layer_sums *s = &w->sums[i];
        const size_t c = (size_t)nb_channels(&nb_probe_layer_at(w->p, i)->linear->out);
        s->mean = nb_arena_array(a, 5 * c, sizeof(double));
        if (!s->mean)
            return NB_E_NOMEM;
        s->bias = s->mean + 4 * c;
        s->square = s->mean + c;
        s->error[0] = s->square + c;
        s->error[1] = s->error[0] + c;
    }
    return NB_OK;
}

/* ---- what it comes to ---- */

static void settle_bias(const work *w, int32_t l)
{
    const layer_sums *s = &w->sums[l];
    nb_analysis_layer *y = &w->out->layer[l];
    double sum = 0, rest = 0;
    y->channels = nb_channels(&nb_probe_layer_at(w->p, l)->linear->out);
    y->worst_channel = -1;
    y->error = s->bias;
    int32_t alive = 0;
    for (int32_t k = 0; k < y->channels; k++) {
        const double rows = (double)(s->rows[0] + s->rows[1]), mean = s->mean[k] / rows;
        const double deviation = sqrt(fmax(s->square[k] / rows - mean * mean, 0));
        s->bias[k] = NAN;
        if (!(deviation > 1e-6 * fabs(mean))) /* a channel that is constant has no unit to say it in */
            continue;
        const double error = (s->error[0][k] + s->error[1][k]) / rows / deviation;
        const double odd = s->rows[1] ? s->error[1][k] / (double)s->rows[1] / deviation : error;
        const double even = s->error[0][k] / (double)s->rows[0] / deviation;
        s->bias[k] = error;
        if (y->worst_channel < 0 || fabs(error) > fabs(y->bias)) {
            y->worst_channel = k;
            y->bias = error;
        }
        sum += error * error;
        rest += (odd - even) * (odd - even);
        alive++;
    }
    y->bias_all = alive ? sqrt(sum / alive) : 0;
    y->bias_after = alive && s->rows[1] ? sqrt(rest / alive) : y->bias_all;
}

static double mean_kl(const nb_probe_score *s)
{
    return s->n ? s->kl / (double)s->n : 0;
}

static void settle_sites(work *w)
{
    const int32_t n = w->out->n_sites;
    double all = 0;
    for (int32_t i = 0; i < n; i++) {
        nb_analysis_site *s = &w->out->site[i];
        const nb_probe_site *of = nb_probe_site_at(w->p, i);
        const nb_fakequant_attr *a = of->fq->attr;
        const nb_trial *alone = &w->trial[i];
        *s = (nb_analysis_site){.name = nb_probe_layer_at(w->p, of->layer)->name,
                                .weights = of->weights,
                                .layer = of->layer,
                                .bits = of->bits,
                                .per_channel = of->per_channel,
                                .values = of->values,
                                .alone = alone->score,
                                .without = w->trial[n + i].score};
        const bool learned = a->learning->n_state > 0;
        snprintf(s->range, sizeof s->range, "%s", learned ? a->learning->name : a->range->name);
        /* an output's quantizer is what the layer's value is taken behind */
        s->sqnr = of->weights ? nb_decibels(w->weights_signal[i], w->weights_noise[i])
                              : nb_decibels(alone->signal, alone->noise);
        s->cost = mean_kl(&s->alone);
        all += s->cost;
    }
    for (int32_t i = 0; i < n; i++)
        w->out->site[i].negligible = w->out->site[i].cost < NEGLIGIBLE * all;
}

static void settle_layers(work *w)
{
    const int32_t sites = w->out->n_sites;
    for (int32_t i = 0; i < w->out->n_layers; i++) {
        const nb_probe_layer *of = nb_probe_layer_at(w->p, i);
        const nb_trial *both = &w->trial[2 * sites + i];
        nb_analysis_layer *y = &w->out->layer[i];
        *y = (nb_analysis_layer){.name = of->name,
                                 .kind = of->node->op->name,
                                 .weights = of->weights,
                                 .output = of->output,
                                 .by_weights = INFINITY,
                                 .by_output = INFINITY,
                                 .negligible = true};
        y->local = nb_decibels(both->signal, both->noise);
        y->cumulative = nb_decibels(w->sums[i].signal, w->sums[i].noise);
        settle_bias(w, i);
        if (of->weights >= 0)
            y->by_weights = nb_decibels(w->trial[of->weights].signal, w->trial[of->weights].noise);
        if (of->output >= 0)
            y->by_output = nb_decibels(w->trial[of->output].signal, w->trial[of->output].noise);
        const int32_t own[] = {of->weights, of->output};
        for (int32_t k = 0; k < 2; k++)
            if (own[k] >= 0) {
                y->cost += w->out->site[own[k]].cost;
                y->negligible = y->negligible && w->out->site[own[k]].negligible;
            }
    }
}

/* Indices of n costs, the largest first; of equals the one that comes first in the network. */
static void by_cost(int32_t *order, const double *cost, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t k = i;
        for (; k > 0 && cost[i] > cost[order[k - 1]]; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
}

static nb_status rank(const work *w)
{
    nb_analysis *o = w->out;
    double *cost = nb_arena_array(o->arena, (size_t)(o->n_sites + o->n_layers), sizeof *cost);
    if (!cost)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < o->n_sites; i++)
        cost[i] = o->site[i].cost;
    by_cost(o->sites_by_cost, cost, o->n_sites);
    for (int32_t i = 0; i < o->n_layers; i++)
        cost[i] = o->layer[i].cost;
    by_cost(o->layers_by_cost, cost, o->n_layers);
    for (int32_t i = 0; i < o->n_layers; i++)
        cost[i] = o->layer[i].bias_all;
    by_cost(o->layers_by_bias, cost, o->n_layers);
    return NB_OK;
}

static nb_status analyze(work *w)
{
    nb_analysis *o = w->out;
    o->n_sites = nb_probe_sites(w->p);
    o->n_layers = nb_probe_layers(w->p);
    o->site = nb_arena_array(o->arena, (size_t)o->n_sites, sizeof *o->site);
    o->layer = nb_arena_array(o->arena, (size_t)o->n_layers, sizeof *o->layer);
    o->sites_by_cost = nb_arena_array(o->arena, (size_t)o->n_sites, sizeof(int32_t));
    o->layers_by_cost = nb_arena_array(o->arena, (size_t)o->n_layers, sizeof(int32_t));
    o->layers_by_bias = nb_arena_array(o->arena, (size_t)o->n_layers, sizeof(int32_t));
    if (!o->site || !o->layer || !o->sites_by_cost || !o->layers_by_cost || !o->layers_by_bias)
        return NB_E_NOMEM;
    NB_TRY(make_trials(w));
    NB_TRY(make_sums(w));
    const nb_trials t = {.images = w->job->images,
                         .trial = w->trial,
                         .n_trials = w->n_trials,
                         .floats = &o->floats,
                         .quantized = &o->quantized,
                         .batch = see_batch,
                         .ud = w,
                         .watch = w->job->watch};
    NB_TRY(nb_trials_run(w->p, &t));
    settle_sites(w);
    settle_layers(w);
    o->weights = w->trial[w->n_trials - 2].score;
    o->outputs = w->trial[w->n_trials - 1].score;
    NB_TRY(rank(w));
    return w->job->calibration.n ? nb_analyze_remedies(w->p, w->job, o) : NB_OK;
}

nb_status nb_analyze(nb_probe *p, const nb_analysis_job *job, nb_analysis *out)
{
    nb_analysis a = {0};
    NB_TRY(nb_arena_create(nb_probe_graph(p)->ctx, &a.arena));
    work w = {.p = p, .job = job, .out = &a};
    const nb_status st = analyze(&w);
    if (st == NB_OK)
        *out = a;
    else
        nb_analysis_free(&a);
    return st;
}

void nb_analysis_free(nb_analysis *a)
{
    nb_arena_free(a->arena);
    *a = (nb_analysis){0};
}
