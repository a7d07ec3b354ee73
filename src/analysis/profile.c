/* profile.c - three passes over the images, each over every value: extents, moments, then outliers and rounding errors on
 * the grids that the first two imply. Weights are there at once.
 *
 * Images of a batch are cut into parts that depend on its size alone (fusion.h); a part's sums are merged in order. Ranks
 * compute all values, and look at some of the tensors each: it is looking that takes long. */
#include "analysis/profile.h"

#include <nibble/extend/fusion.h>
#include <nibble/model.h>

#include "analysis/profile_cells.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/parallel.h"
#include "base/ranks.h"
#include "post/paired.h"
#include "quant/fakequant.h"

#include <string.h>

typedef enum { PASS_EXTENT, PASS_MOMENTS, PASS_ERRORS, PASSES } pass;

typedef struct {
    const nb_profile_job *job;
    nb_profile *p;
    const char **name;        /* of the values, as nb_pair_run wants them */
    int32_t *value, n_values; /* their tensors */
    float **weights;          /* [p->n], NULL of values */
    pass pass;
    /* Of the tensor under way: */
    nb_profile_tensor *t;
    const nb_tensor *x;
    int32_t groups; /* whose sums are kept apart: channels, or 1 */
    /* Of each part: */
    nb_stats *stats;  /* [part][1 + groups] */
    nb_rounded *sums; /* [part][cells][groups] */
    int64_t *count;   /* [part][cells][codes] */
} work;

/* ---- which tensors there are ---- */

static nb_status add_tensor(nb_profile *p, const char *layer, bool weights, int32_t channels)
{
    nb_profile_tensor *t = &p->tensor[p->n++];
    *t = (nb_profile_tensor){.layer = nb_arena_strdup(p->arena, layer), .weights = weights, .channels = channels};
    t->stats.extent = NB_EXTENT_NONE;
    if (!t->layer)
        return NB_E_NOMEM;
    if (weights || p->channels) {
        t->channel = nb_arena_array(p->arena, (size_t)channels, sizeof *t->channel);
        t->channel_fit = nb_arena_array(p->arena, (size_t)channels, sizeof *t->channel_fit);
        if (!t->channel || !t->channel_fit)
            return NB_E_NOMEM;
        for (int32_t c = 0; c < channels; c++)
            t->channel[c].extent = NB_EXTENT_NONE;
    }
    return nb_profile_cells_make(p, t);
}

/* The batch norm whose factor goes into the MAC's weights before they are rounded, or NULL. */
static const nb_node *norm_of(const nb_graph *g, const nb_node *mac, bool corrected)
{
    const nb_node *r = corrected ? nb_node_only_reader(g, mac) : NULL;
    return r && r->op->fold && r->in[0] == mac ? r : NULL;
}

static nb_status copy_weights(work *w, const nb_node *mac, bool corrected)
{
    const nb_graph *g = w->job->graph;
    const nb_node *norm = norm_of(g, mac, corrected);
    const int32_t channels = mac->in[1]->out.shape.d[0];
    const int64_t n = nb_count(&mac->in[1]->out), per = n / channels;
    float *copy = nb_arena_array(w->p->arena, (size_t)n, sizeof *copy);
    double *mul = nb_arena_array(w->p->arena, 2 * (size_t)channels, sizeof *mul);
    if (!copy || !mul)
        return NB_E_NOMEM;
    memcpy(copy, mac->in[1]->out.data, (size_t)n * sizeof *copy);
    if (norm)
        norm->op->affine(norm, mul, mul + channels);
    for (int64_t i = 0; norm && i < n; i++)
        copy[i] = (float)((double)copy[i] * mul[i / per]);
    w->weights[w->p->n - 1] = copy;
    return NB_OK;
}

/* placed has fake-quant nodes where they are by default. */
static nb_status list_tensors(work *w, const nb_graph *placed, bool corrected)
{
    const nb_graph *g = w->job->graph;
    nb_profile *p = w->p;
    for (int32_t i = 0; i < placed->n; i++) {
        const nb_node *fq = placed->node[i];
        if (!nb_is_quantizer(fq))
            continue;
        const bool weights = nb_fakequant_of_weights(fq);
        const nb_node *reader = nb_node_only_reader(placed, fq);
        const char *layer = weights ? reader->name : fq->in[0]->name;
        const nb_node *n = nb_graph_find(g, layer);
        NB_ASSERT(n);
        if ((w->job->layer && strcmp(w->job->layer, layer) != 0) || (!weights && w->job->n == 0))
            continue;
        NB_TRY(add_tensor(p, layer, weights, weights ? n->in[1]->out.shape.d[0] : nb_channels(&n->out)));
        if (weights) {
            NB_TRY(copy_weights(w, n, corrected));
            continue;
        }
        w->name[w->n_values] = n->name;
        w->value[w->n_values++] = p->n - 1;
    }
    return p->n ? NB_OK
                : nb_fail(p->ctx, NB_E_CONFIG,
                          "%s: there is no layer of this name whose weights or outputs would be rounded",
                          w->job->layer ? w->job->layer : "the network");
}

/* The same network without values, as default placement leaves it. */
static nb_status find_tensors(work *w)
{
    const nb_profile_job *job = w->job;
    const nb_experiment *e = job->experiment;
    nb_quant_section section = {0};
    nb_binding b = {nb_quant_section_keys, &section};
    NB_TRY(nb_conf_bind(w->p->ctx, e->quant, "quant", &b, 1));
    nb_graph *placed;
    NB_TRY(nb_model_build(w->p->ctx, e, &job->graph->info, 1, &placed));
    nb_status st = nb_model_fold(placed, e->quant);
    if (st == NB_OK)
        st = nb_quant_place(placed, NULL);
    const size_t most = (size_t)placed->n;
    nb_arena *a = w->p->arena;
    if (st == NB_OK) {
        w->p->tensor = nb_arena_array(a, most, sizeof *w->p->tensor);
        w->name = nb_arena_array(a, most, sizeof *w->name);
        w->value = nb_arena_array(a, most, sizeof *w->value);
        w->weights = nb_arena_array(a, most, sizeof *w->weights);
        st = w->p->tensor && w->name && w->value && w->weights ? NB_OK : NB_E_NOMEM;
    }
    if (st == NB_OK)
        st = list_tensors(w, placed, section.batchnorm == NB_BATCHNORM_FOLD_CORRECTED);
    nb_graph_free(placed);
    return st;
}

/* ---- looking ---- */

static void look(pass at, nb_stats *s, const nb_stats *whole, const float *x, int64_t n, int64_t stride)
{
    if (at == PASS_EXTENT)
        nb_extent_add(&s->extent, x, n, stride);
    else if (at == PASS_MOMENTS)
        nb_moments_add(&s->moments, &whole->extent, x, n, stride);
    else
        nb_outliers_add(&s->outliers, whole, x, n, stride);
}

static void merge(pass at, nb_stats *to, const nb_stats *from)
{
    if (at == PASS_EXTENT)
        nb_extent_merge(&to->extent, &from->extent);
    else if (at == PASS_MOMENTS)
        nb_moments_merge(&to->moments, &from->moments);
    else
        nb_outliers_merge(&to->outliers, &from->outliers);
}

static void look_at_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const work *w = arg;
    const nb_profile_tensor *t = w->t;
    const int32_t images = w->x->shape.d[0], first = nb_tap_part(images, (int32_t)part);
    const int64_t each = nb_count(w->x) / images, n = (nb_tap_part(images, (int32_t)part + 1) - first) * each;
    const float *x = (const float *)w->x->data + first * each;
    nb_stats *s = w->stats + part * (1 + w->groups);
    for (int32_t i = 0; i <= w->groups; i++)
        s[i] = (nb_stats){.extent = NB_EXTENT_NONE};
    look(w->pass, s, &t->stats, x, n, 1);
    for (int32_t c = 0; t->channel && c < t->channels; c++)
        look(w->pass, s + 1 + c, &t->channel[c], x + c, n / t->channels, t->channels);
    if (w->pass != PASS_ERRORS)
        return;
    const int64_t sums = (int64_t)t->n_cells * w->groups, counts = (int64_t)t->n_cells * NB_GRID_CODES;
    memset(w->sums + part * sums, 0, (size_t)sums * sizeof *w->sums);
    memset(w->count + part * counts, 0, (size_t)counts * sizeof *w->count);
    nb_profile_cells_measure(w->p, t, x, n, w->groups, w->sums + part * sums, w->count + part * counts);
}

/* The rank that looks at a value. */
static int32_t looks_at(const work *w, int32_t value)
{
    return w->job->shared ? value % nb_ranks() : nb_rank();
}

static void look_at(work *w, const nb_pair_view *v)
{
    nb_profile_tensor *t = w->t = &w->p->tensor[w->value[v->layer]];
    w->x = &v->floats->out;
    w->groups = w->p->channels ? t->channels : 1;
    const int32_t parts = nb_tap_parts(v->images);
    nb_parallel_for(parts, look_at_part, w);
    for (int32_t i = 0; i < parts; i++) {
        const nb_stats *s = w->stats + i * (1 + w->groups);
        merge(w->pass, &t->stats, s);
        for (int32_t c = 0; t->channel && c < t->channels; c++)
            merge(w->pass, &t->channel[c], &s[1 + c]);
        if (w->pass == PASS_ERRORS)
            nb_profile_cells_add(t, w->groups, w->sums + (int64_t)i * t->n_cells * w->groups,
                                 w->count + (int64_t)i * t->n_cells * NB_GRID_CODES);
    }
}

static void see(void *ud, const nb_pair_view *v)
{
    work *w = ud;
    if (looks_at(w, v->layer) == nb_rank())
        look_at(w, v);
    if (w->job->progress && v->layer == w->n_values - 1)
        w->job->progress(w->job->ud, (int64_t)w->pass * w->job->n + v->first + v->images, (int64_t)PASSES * w->job->n);
}

/* What the rank that looked at a tensor has found. */
static void bring(const work *w, nb_profile_tensor *t, int32_t from)
{
    const size_t channels = (size_t)t->channels;
    const nb_piece stats[] = {{&t->stats, sizeof t->stats, from, 0},
                              {t->channel, t->channel ? channels * sizeof *t->channel : 0, from, 0}};
    nb_ranks_share(stats, 2);
    for (int32_t i = 0; w->pass == PASS_ERRORS && i < t->n_cells; i++) {
        nb_profile_cell *c = &t->cell[i];
        const nb_piece sums[] = {{&c->all, sizeof c->all, from, 0},
                                 {c->channel, c->channel ? channels * sizeof *c->channel : 0, from, 0},
                                 {c->count, c->count ? (size_t)c->n_codes * sizeof *c->count : 0, from, 0}};
        nb_ranks_share(sums, 3);
    }
}

static nb_status check_numbers(const nb_profile *p)
{
    for (int32_t i = 0; i < p->n; i++)
        if (!isfinite(p->tensor[i].stats.extent.sum))
            return nb_fail(p->ctx, NB_E_DIVERGED,
                           "%s %s: a value is not a finite number: the network's weights are unusable",
                           p->tensor[i].weights ? "the weights of" : "what comes out of", p->tensor[i].layer);
    return NB_OK;
}

static void fit_tensor(nb_profile_tensor *t)
{
    t->fit = nb_density_fit(&t->stats);
    for (int32_t c = 0; t->channel && c < t->channels; c++)
        t->channel_fit[c] = nb_density_fit(&t->channel[c]);
}

static void weights_of(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    const work *w = arg;
    nb_profile_tensor *t = &w->p->tensor[i];
    const float *x = w->weights[i];
    if (!x)
        return;
    const int64_t per = t->stats.extent.n / t->channels;
    t->stats = nb_stats_of(x, t->stats.extent.n, 1);
    for (int32_t c = 0; c < t->channels; c++)
        t->channel[c] = nb_stats_of(x + c * per, per, 1);
    fit_tensor(t);
    if (isfinite(t->stats.extent.sum))
        nb_profile_cells_of_weights(w->p, t, x);
}

static nb_status look_at_weights(work *w)
{
    for (int32_t i = 0; i < w->p->n; i++)
        if (w->weights[i])
            w->p->tensor[i].stats.extent.n = nb_count(&nb_graph_find(w->job->graph, w->p->tensor[i].layer)->in[1]->out);
    nb_parallel_for(w->p->n, weights_of, w);
    for (int32_t i = 0; i < w->p->n; i++)
        if (!w->weights[i])
            w->p->tensor[i].stats.extent.sum = 0;
    return check_numbers(w->p);
}

/* What parts need, for the tensor that needs most. */
static nb_status make_room(work *w)
{
    const nb_profile *p = w->p;
    size_t stats = 0, sums = 0, counts = 0;
    for (int32_t i = 0; i < w->n_values; i++) {
        const nb_profile_tensor *t = &p->tensor[w->value[i]];
        const size_t groups = p->channels ? (size_t)t->channels : 1, cells = (size_t)t->n_cells;
        stats = 1 + groups > stats ? 1 + groups : stats;
        sums = cells * groups > sums ? cells * groups : sums;
        counts = cells > counts ? cells : counts;
    }
    w->stats = nb_arena_array(p->arena, NB_TAP_MAX_PARTS * stats, sizeof *w->stats);
    w->sums = nb_arena_array(p->arena, NB_TAP_MAX_PARTS * sums, sizeof *w->sums);
    w->count = nb_arena_array(p->arena, NB_TAP_MAX_PARTS * counts * NB_GRID_CODES, sizeof *w->count);
    return w->stats && w->sums && w->count ? NB_OK : NB_E_NOMEM;
}

static nb_status look_at_values(work *w)
{
    const nb_profile_job *job = w->job;
    const nb_pair run = {.floats = job->graph, .data = job->data, .indices = job->indices, .n = job->n};
    NB_TRY(make_room(w));
    for (int32_t i = PASS_EXTENT; w->n_values && i < PASSES; i++) {
        w->pass = (pass)i;
        for (int32_t k = 0; i == PASS_ERRORS && k < w->n_values; k++) {
            fit_tensor(&w->p->tensor[w->value[k]]);
            nb_profile_cells_settle(w->p, &w->p->tensor[w->value[k]]);
        }
        NB_TRY(nb_pair_run(&run, w->name, w->n_values, see, w));
        for (int32_t k = 0; job->shared && k < w->n_values; k++)
            bring(w, &w->p->tensor[w->value[k]], looks_at(w, k));
        NB_TRY(check_numbers(w->p));
    }
    return NB_OK;
}

nb_status nb_profile_run(const nb_profile_job *job, nb_profile **out)
{
    nb_ctx *ctx = job->graph->ctx;
    nb_profile *p = nb_alloc(ctx, sizeof *p);
    if (!p)
        return NB_E_NOMEM;
    *p = (nb_profile){
        .ctx = ctx, .formats = job->formats, .images = job->n, .channels = job->channels, .target_db = job->target_db};
    work w = {.job = job, .p = p};
    nb_status st = nb_arena_create(ctx, &p->arena);
    if (st == NB_OK)
        st = find_tensors(&w);
    if (st == NB_OK)
        st = look_at_weights(&w);
    if (st == NB_OK)
        st = look_at_values(&w);
    if (st == NB_OK)
        *out = p;
    else
        nb_profile_free(p);
    return st;
}

void nb_profile_free(nb_profile *p)
{
    if (!p)
        return;
    nb_arena_free(p->arena);
    nb_free(p->ctx, p);
}

/* ---- decibels ---- */

static double over(const nb_profile_tensor *t, double mean_error)
{
    return nb_decibel(t->stats.extent.squares, mean_error * (double)t->stats.extent.n);
}

double nb_profile_sqnr(const nb_profile_tensor *t, const nb_profile_cell *c)
{
    return nb_decibel(t->stats.extent.squares, c->all.noise);
}

double nb_profile_sqnr_predicted(const nb_profile_tensor *t, const nb_profile_cell *c)
{
    return over(t, c->predicted);
}

double nb_profile_sqnr_uniform(const nb_profile_tensor *t, const nb_profile_cell *c)
{
    return over(t, c->uniform);
}

double nb_profile_psnr(const nb_profile_tensor *t, const nb_profile_cell *c)
{
    return nb_decibel(c->peak * c->peak * (double)t->stats.extent.n, c->all.noise);
}

const nb_profile_cell *nb_profile_best(const nb_profile_tensor *t, int32_t format)
{
    const nb_profile_cell *best = NULL;
    for (int32_t i = 0; i < t->n_cells; i++)
        if (t->cell[i].format == format && (!best || t->cell[i].all.noise < best->all.noise))
            best = &t->cell[i];
    return best;
}

const char *nb_profile_range_name(nb_profile_range r)
{
    static const char *const names[] = {"minmax", "clip", "own"};
    return names[r];
}
