/* paired.c - see paired.h. Sums are in double, over parts of the batch that depend on its size alone, added in order. */
#include "post/paired.h"

#include <nibble/extend/fusion.h>
#include <nibble/extend/quant.h>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/sweeps/sweep.h"
#include "quant/fakequant.h"

#include <math.h>
#include <string.h>

/* ---- running ---- */

/* A graph on its way through one batch. */
typedef struct {
    nb_graph *g;
    int32_t next; /* step */
} walk;

static nb_node *layer_of(const nb_graph *g, const char *name)
{
    nb_node *n = g ? nb_graph_find(g, name) : NULL;
    NB_ASSERT(!g || n);
    return n;
}

/* Runs on until the value of n, a step's last node, is there. */
static void walk_to(walk *w, const nb_node *n, const nb_run *r)
{
    for (bool there = !n; !there; w->next++) {
        NB_ASSERT(w->next < w->g->n_steps);
        there = nb_step_last(&w->g->step[w->next]) == n;
        nb_forward_step(w->g, w->next, r);
    }
}

static void run_batch(const nb_pair *p, const char *const *layer, int32_t n_layers, const nb_run *r, nb_pair_view v,
                      void (*see)(void *ud, const nb_pair_view *v), void *ud)
{
    walk quantized = {.g = p->quantized}, floats = {.g = p->floats};
    if (p->quantized)
        nb_graph_set_batch(p->quantized, v.images);
    if (p->floats)
        nb_graph_set_batch(p->floats, v.images);
    for (v.layer = 0; v.layer < n_layers; v.layer++) {
        v.quantized = layer_of(p->quantized, layer[v.layer]);
        v.floats = layer_of(p->floats, layer[v.layer]);
        walk_to(&quantized, v.quantized, r);
        walk_to(&floats, v.floats, r);
        see(ud, &v);
    }
}

static nb_status check(const nb_pair *p, const nb_graph *g)
{
    if (!g)
        return NB_OK;
    NB_ASSERT(g->frozen && p->n >= 1 && (p->data || p->n == 1));
    NB_ASSERT(p->indices || !p->data || p->n <= nb_data_info(p->data)->count);
    return p->data ? nb_check_images(g, p->data) : NB_OK;
}

nb_status nb_pair_run(const nb_pair *p, const char *const *layer, int32_t n_layers,
                      void (*see)(void *ud, const nb_pair_view *v), void *ud)
{
    nb_graph *g = p->quantized ? p->quantized : p->floats;
    const size_t image = (size_t)g->info.h * (size_t)g->info.w * (size_t)g->info.c;
    NB_TRY(check(p, p->quantized));
    NB_TRY(check(p, p->floats));
    NB_ASSERT(!p->floats || p->floats->max_batch >= g->max_batch);
    uint8_t *pixels = nb_alloc(g->ctx, (size_t)g->max_batch * image);
    if (!pixels)
        return NB_E_NOMEM;
    for (int32_t at = 0; at < p->n;) {
        nb_pair_view v = {.first = at};
        for (int32_t label; v.images < g->max_batch && at < p->n; v.images++, at++)
            if (p->data)
                nb_data_get(p->data, p->indices ? p->indices[at] : at, pixels + (size_t)v.images * image, &label);
        run_batch(p, layer, n_layers, &(nb_run){.pixels = pixels}, v, see, ud);
    }
    nb_free(g->ctx, pixels);
    if (p->quantized)
        nb_graph_set_batch(p->quantized, p->quantized->max_batch);
    if (p->floats)
        nb_graph_set_batch(p->floats, p->floats->max_batch);
    return p->data ? nb_data_check(g->ctx, p->data) : NB_OK;
}

nb_status nb_pair_open_twin(const nb_graph *g, const nb_experiment *experiment, bool lends, nb_graph **out)
{
    const nb_graph_spec spec = {.experiment = experiment,
                                .info = &g->info,
                                .max_batch = g->max_batch,
                                .quant = true,
                                .unrounded = true,
                                .plan = NB_PLAN_INFER,
                                .reference = true};
    const nb_params_source from = {.graph = g, .mode = NB_PARAMS_CALIBRATE, .folded = true, .lends = lends};
    return nb_graph_open(g->ctx, &spec, &from, out);
}

/* ---- looking ---- */

const float *nb_pair_floats(float *buf, const nb_node *n, int64_t from, int64_t count)
{
    const nb_tensor *t = &n->out;
    if (t->dtype == NB_F32)
        return (const float *)t->data + from;
    const bool weights = nb_is_quantizer(n) && nb_fakequant_of_weights(n);
    const int64_t c = weights ? from / (nb_count(t) / t->q->n) : 0;
    nb_k_dequantize(buf, (const uint8_t *)t->data + from, count, t->q->scale[c], weights ? 0 : t->q->zero[0],
                    t->dtype == NB_S8);
    return buf;
}

typedef struct {
    nb_pair_moments *m;
    double *parts; /* [NB_TAP_MAX_PARTS][2][c] of one batch */
    const nb_node *n;
} sums;

static void sum_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const sums *s = arg;
    const int32_t batch = s->n->out.shape.d[0], c = nb_channels(&s->n->out);
    const int64_t each = nb_rows(&s->n->out) / batch, first = nb_tap_part(batch, (int32_t)part) * each;
    double *sum = s->parts + part * 2 * c;
    memset(sum, 0, 2 * (size_t)c * sizeof *sum);
    nb_k_channel_stats(sum, sum + c, NULL, NULL, (const float *)s->n->out.data + first * c,
                       nb_tap_part(batch, (int32_t)part + 1) * each - first, c);
}

static void add_sums(sums *s, const nb_node *n, double *sum, double *squares)
{
    if (!n)
        return;
    const int32_t c = nb_channels(&n->out), parts = nb_tap_parts(n->out.shape.d[0]);
    NB_ASSERT(n->out.dtype == NB_F32);
    s->n = n;
    nb_parallel_for(parts, sum_part, s);
    for (int32_t p = 0; p < parts; p++)
        for (int32_t k = 0; k < c; k++) {
            sum[k] += s->parts[p * 2 * c + k];
            squares[k] += s->parts[(p * 2 + 1) * c + k];
        }
}

static void see_sums(void *ud, const nb_pair_view *v)
{
    sums *s = ud;
    const nb_pair_moments *m = &s->m[v->layer];
    add_sums(s, v->floats, m->floats_mean, m->floats_var);
    add_sums(s, v->quantized, m->quantized_mean, m->quantized_var);
}

static void settle(double *mean, double *var, int32_t c, double rows)
{
    for (int32_t k = 0; k < c; k++) {
        mean[k] /= rows;
        var[k] = fmax(var[k] / rows - mean[k] * mean[k], 0);
    }
}

nb_status nb_pair_measure(const nb_pair *p, const char *const *layer, int32_t n_layers, nb_pair_moments *m)
{
    const nb_graph *g = p->quantized ? p->quantized : p->floats;
    sums s = {.m = m};
    int32_t most = 0;
    for (int32_t i = 0; i < n_layers; i++) {
        const int32_t c = nb_channels(&layer_of(g, layer[i])->out);
        double *block = nb_alloc(g->ctx, 4 * (size_t)c * sizeof *block);
        if (!block)
            return NB_E_NOMEM;
        m[i] = (nb_pair_moments){c, block, block + c, block + 2 * c, block + 3 * c};
        most = c > most ? c : most;
    }
    s.parts = nb_alloc(g->ctx, (size_t)NB_TAP_MAX_PARTS * 2 * (size_t)most * sizeof *s.parts);
    nb_status st = s.parts ? nb_pair_run(p, layer, n_layers, see_sums, &s) : NB_E_NOMEM;
    nb_free(g->ctx, s.parts);
    for (int32_t i = 0; i < n_layers && st == NB_OK; i++) {
        const nb_node *n = layer_of(g, layer[i]);
        const double rows = (double)p->n * (double)(nb_rows(&n->out) / n->out.shape.d[0]);
        settle(m[i].floats_mean, m[i].floats_var, m[i].channels, rows);
        settle(m[i].quantized_mean, m[i].quantized_var, m[i].channels, rows);
    }
    return st;
}
