/* trials.c - batch by batch: the float and the quantized network once, then every trial on top of them. */
#include "analysis/trials.h"

#include <nibble/train.h>

#include "base/check.h"
#include "base/ranks.h"
#include "base/spread.h"

#include <string.h>

typedef struct {
    nb_probe *p;
    const nb_images *images;
    const nb_watch *watch;
    uint8_t *pixels;
    int32_t *labels;
    int64_t done, all;
} walk;

static nb_status tell(walk *w, int64_t more)
{
    w->done += more;
    if (!w->watch)
        return NB_OK;
    if (w->watch->at)
        w->watch->at(w->watch->ud, w->done, w->all);
    return w->watch->stop ? w->watch->stop(w->watch->ud) : NB_OK;
}

static int32_t batch_size(const walk *w)
{
    const int32_t most = nb_probe_graph(w->p)->max_batch;
    return w->images->n < most ? w->images->n : most;
}

static nb_status open_walk(walk *w, nb_probe *p, const nb_images *images, const nb_watch *watch)
{
    const nb_graph *g = nb_probe_graph(p);
    const nb_dsinfo *d = nb_data_info(images->data);
    NB_ASSERT(images->n >= 1 && (images->indices || images->n <= d->count));
    NB_TRY(nb_check_images(g, images->data));
    *w = (walk){.p = p, .images = images, .watch = watch};
    w->pixels = nb_alloc(g->ctx, (size_t)batch_size(w) * (size_t)d->h * (size_t)d->w * (size_t)d->c);
    w->labels = nb_alloc(g->ctx, (size_t)batch_size(w) * sizeof *w->labels);
    return w->pixels && w->labels ? NB_OK : NB_E_NOMEM;
}

static void close_walk(walk *w)
{
    nb_graph *g = nb_probe_graph(w->p);
    nb_graph_set_batch(g, g->max_batch);
    nb_free(g->ctx, w->pixels);
    nb_free(g->ctx, w->labels);
}

/* Images from `from` on into w, *taken of them. */
static nb_status take_batch(walk *w, int32_t from, int32_t *taken)
{
    const nb_dsinfo *d = nb_data_info(w->images->data);
    const size_t each = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    const int32_t most = batch_size(w), n = w->images->n - from < most ? w->images->n - from : most;
    for (int32_t i = 0; i < n; i++)
        nb_data_get(w->images->data, w->images->indices ? w->images->indices[from + i] : from + i,
                    w->pixels + (size_t)i * each, &w->labels[i]);
    *taken = n;
    return nb_data_check(nb_probe_graph(w->p)->ctx, w->images->data);
}

void nb_trial_add_noise(const nb_probe *p, nb_probe_network w, const nb_node *at, double *signal, double *noise)
{
    nb_probe_add_noise(signal, noise, nb_probe_value(p, NB_PROBE_FLOAT, at), nb_probe_value(p, w, at),
                       nb_count(&at->out));
}

static bool needs_quantized(const nb_trials *t)
{
    return t->n_trials > 0 || t->quantized;
}

/* Trials that are this rank's are order[from] .. order[end - 1] of all. */
typedef struct {
    int32_t *order;
    int32_t from, end;
} own_trials;

/* Every rank has some of the first, some of the last: what changes late in a network is computed soon. */
static nb_status divide(nb_probe *p, int32_t n, own_trials *own)
{
    const int32_t ranks = nb_probe_is_shared(p) ? nb_ranks() : 1;
    own->order = nb_alloc(nb_probe_graph(p)->ctx, ((size_t)n + 1) * sizeof *own->order);
    if (!own->order)
        return NB_E_NOMEM;
    for (int32_t r = 0, k = 0; r < ranks; r++)
        for (int32_t i = r; i < n; i += ranks)
            own->order[k++] = i;
    own->from = ranks > 1 ? (int32_t)nb_spread_at(n, nb_rank()) : 0;
    own->end = ranks > 1 ? (int32_t)nb_spread_at(n, nb_rank() + 1) : n;
    return NB_OK;
}

typedef struct {
    double signal, noise;
    nb_probe_score score;
} found;

/* What other ranks' trials have come to. */
static nb_status bring(nb_probe *p, const nb_trials *t, const own_trials *own)
{
    nb_ctx *ctx = nb_probe_graph(p)->ctx;
    found *all = nb_alloc(ctx, ((size_t)t->n_trials + 1) * sizeof *all);
    if (!all)
        return NB_E_NOMEM;
    for (int32_t i = own->from; i < own->end; i++) {
        const nb_trial *k = &t->trial[own->order[i]];
        all[i] = (found){k->signal, k->noise, k->score};
    }
    nb_spread_bring(t->n_trials, &(nb_spread_row){all, sizeof *all, 1, t->n_trials}, 1);
    for (int32_t i = 0; i < t->n_trials; i++) {
        nb_trial *k = &t->trial[own->order[i]];
        k->signal = all[i].signal;
        k->noise = all[i].noise;
        k->score = all[i].score;
    }
    nb_free(ctx, all);
    return NB_OK;
}

static nb_status run_batch(walk *w, const nb_trials *t, const own_trials *own, int32_t first, int32_t n)
{
    NB_TRY(nb_probe_batch(w->p, w->pixels, w->labels, n, needs_quantized(t)));
    if (t->floats)
        nb_probe_add_score(w->p, NB_PROBE_FLOAT, t->floats);
    if (t->quantized)
        nb_probe_add_score(w->p, NB_PROBE_QUANTIZED, t->quantized);
    if (t->batch)
        t->batch(t->ud, w->p, first, n);
    NB_TRY(tell(w, 1 + needs_quantized(t)));
    for (int32_t i = own->from; i < own->end; i++) {
        nb_trial *k = &t->trial[own->order[i]];
        nb_probe_try(w->p, &k->network);
        if (k->at)
            nb_trial_add_noise(w->p, NB_PROBE_TRIED, k->at, &k->signal, &k->noise);
        if (!k->network.until)
            nb_probe_add_score(w->p, NB_PROBE_TRIED, &k->score);
        NB_TRY(tell(w, 1));
    }
    return NB_OK;
}

nb_status nb_trials_run(nb_probe *p, const nb_trials *t)
{
    walk w = {.p = p};
    own_trials own = {0};
    nb_status st = open_walk(&w, p, &t->images, t->watch);
    if (st == NB_OK)
        st = divide(p, t->n_trials, &own);
    w.all = st == NB_OK
                ? (int64_t)((t->images.n - 1) / batch_size(&w) + 1) * (own.end - own.from + 1 + needs_quantized(t))
                : 0;
    for (int32_t from = 0, n; st == NB_OK && from < t->images.n; from += n) {
        st = take_batch(&w, from, &n);
        if (st == NB_OK)
            st = run_batch(&w, t, &own, from, n);
    }
    if (st == NB_OK && nb_probe_is_shared(p))
        st = bring(p, t, &own);
    close_walk(&w);
    nb_free(nb_probe_graph(p)->ctx, own.order);
    return st;
}

nb_status nb_candidates_calibrate(nb_probe *p, const nb_candidate *c, int32_t n, const nb_images *images,
                                  const nb_watch *watch)
{
    walk w = {.p = p};
    nb_status st = open_walk(&w, p, images, watch);
    w.all = images->n;
    for (int32_t from = 0, batch = 1, size; st == NB_OK && from < images->n; from += size, batch++) {
        st = take_batch(&w, from, &size);
        if (st == NB_OK)
            st = nb_probe_batch(p, w.pixels, w.labels, size, false);
        for (int32_t i = 0; st == NB_OK && i < n; i++)
            if (batch == 1 || !nb_probe_site_at(p, c[i].site)->weights)
                nb_probe_observe(p, c[i].site, c[i].by, batch);
        if (st == NB_OK)
            st = tell(&w, size);
    }
    close_walk(&w);
    return st;
}
