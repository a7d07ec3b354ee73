/* probe.c - see probe.h.
 *
 * Every node has memory of its own for each of the three networks, but a quantizer that is off, and a view, whose value is
 * its input's. A try marks what stands behind a changed switch; all other values are the base's, where they lie. Which
 * memory a node works in is set (out.data) right before it runs, as its inputs have been by then. */
#include "analysis/probe.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/measure.h"
#include "quant/fakequant.h"

#include <math.h>
#include <string.h>

enum { NETWORKS = 3 };

struct nb_probe {
    nb_graph *g;
    nb_arena *arena;
    nb_probe_site *site;
    nb_probe_layer *layer;
    int32_t n_sites, n_layers;
    int32_t *site_of, *layer_of;           /* [g->n], -1: none */
    float **own[NETWORKS], **at[NETWORKS]; /* [g->n]: memory, and where the value is */
    nb_node **by;                          /* [n_sites] of the network that is computed */
    bool *moved;                           /* [g->n] of the try under way */
    const uint8_t *pixels;
    const int32_t *labels;
    int32_t n;
    bool shared;
};

/* ---- what there is ---- */

static const nb_node *begins_layer(const nb_probe *p, const nb_node *n)
{
    const nb_role r = n->op->role;
    const bool open = r == NB_ROLE_AFFINE || r == NB_ROLE_CLAMP || r == NB_ROLE_TABLE;
    const bool opens = r == NB_ROLE_MAC || r == NB_ROLE_JOIN || r == NB_ROLE_PRODUCT || r == NB_ROLE_INPUT ||
                       n->flags & NB_NODE_REGRIDS;
    return opens || (open && p->layer_of[n->id] < 0) ? n : NULL;
}

/* The chain from its first node on. */
static void follow(nb_probe *p, int32_t l)
{
    nb_probe_layer *y = &p->layer[l];
    const nb_node *n = y->node;
    y->linear = y->out = n;
    bool clamped = n->op->role == NB_ROLE_CLAMP;
    for (;;) {
        p->layer_of[n->id] = l;
        y->out = n;
        y->linear = clamped ? y->linear : n;
        n = nb_node_only_reader(p->g, n);
        if (!n)
            return;
        if (nb_is_quantizer(n)) {
            y->out = n;
            y->output = p->site_of[n->id];
            return;
        }
        if ((n->op->role != NB_ROLE_AFFINE && n->op->role != NB_ROLE_CLAMP))
            return;
        clamped = clamped || n->op->role == NB_ROLE_CLAMP;
    }
}

static void describe_site(nb_probe *p, int32_t i, nb_node *fq, int32_t layer)
{
    const nb_fakequant_attr *a = fq->attr;
    const int32_t batch = fq->flags & NB_NODE_BATCHED ? p->g->max_batch : 1;
    p->site[i] = (nb_probe_site){.fq = fq,
                                 .layer = layer,
                                 .weights = a->weights,
                                 .bits = a->bits,
                                 .per_channel = a->per_channel,
                                 .values = nb_count(&fq->out) / batch};
}

static int32_t weights_of(const nb_probe *p, const nb_node *n)
{
    return n->op->role == NB_ROLE_MAC && nb_is_quantizer(n->in[1]) ? p->site_of[n->in[1]->id] : -1;
}

static void find_layers(nb_probe *p)
{
    nb_graph *g = p->g;
    for (int32_t i = 0; i < g->n; i++) {
        p->layer_of[i] = p->site_of[i] = -1;
        if (nb_is_quantizer(g->node[i]))
            p->site_of[i] = p->n_sites++;
    }
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        if ((n->flags & NB_NODE_LEAF) || !begins_layer(p, n))
            continue;
        nb_probe_layer *y = &p->layer[p->n_layers];
        *y = (nb_probe_layer){.name = n->name, .node = n, .weights = weights_of(p, n), .output = -1};
        follow(p, p->n_layers);
        if (y->weights >= 0)
            describe_site(p, y->weights, n->in[1], p->n_layers);
        if (y->output >= 0)
            describe_site(p, y->output, g->node[y->out->id], p->n_layers);
        p->n_layers += y->weights >= 0 || y->output >= 0;
    }
}

/* ---- memory ---- */

static bool has_value(const nb_node *n)
{
    return !(n->flags & NB_NODE_LEAF) && !(n->op->flags & NB_OP_VIEW) && n->op->role != NB_ROLE_LOSS;
}

int64_t nb_probe_bytes_per_image(const nb_graph *g)
{
    int64_t values = 0;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        if (has_value(n) && (n->flags & NB_NODE_BATCHED))
            values += nb_count(&n->out) / n->out.shape.d[0] * (nb_is_quantizer(n) ? NETWORKS - 1 : NETWORKS);
    }
    return values * (int64_t)sizeof(float);
}

/* A leaf's value in the float network, and in the others. */
static nb_status take_leaf(nb_probe *p, const nb_graph *reference, const nb_node *n)
{
    const nb_node *theirs = reference ? nb_graph_find(reference, n->name) : NULL;
    for (int32_t k = 0; k < NETWORKS; k++)
        p->at[k][n->id] = n->out.data;
    if (!theirs || (n->flags & NB_NODE_QUANTIZER))
        return NB_OK;
    if (!nb_shape_equal(&theirs->out.shape, &n->out.shape))
        return nb_fail(p->g->ctx, NB_E_SHAPE, "%s has another shape in the float network: it is another network",
                       n->name);
    p->at[NB_PROBE_FLOAT][n->id] = theirs->out.data;
    return NB_OK;
}

static nb_status make_room(nb_probe *p, const nb_graph *reference)
{
    nb_graph *g = p->g;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        if (n->flags & NB_NODE_LEAF)
            NB_TRY(take_leaf(p, reference, n));
        for (int32_t k = nb_is_quantizer(n) ? 1 : 0; has_value(n) && k < NETWORKS; k++) {
            NB_ASSERT(n->out.dtype == NB_F32);
            p->own[k][i] = nb_arena_array(p->arena, (size_t)nb_count(&n->out), sizeof(float));
            if (!p->own[k][i])
                return NB_E_NOMEM;
        }
    }
    return NB_OK;
}

static nb_status fill(nb_probe *p, const nb_graph *reference)
{
    const size_t n = (size_t)p->g->n;
    p->site_of = nb_arena_array(p->arena, n, sizeof *p->site_of);
    p->layer_of = nb_arena_array(p->arena, n, sizeof *p->layer_of);
    p->site = nb_arena_array(p->arena, n, sizeof *p->site);
    p->layer = nb_arena_array(p->arena, n, sizeof *p->layer);
    p->by = nb_arena_array(p->arena, n, sizeof *p->by);
    p->moved = nb_arena_array(p->arena, n, sizeof *p->moved);
    if (!p->site_of || !p->layer_of || !p->site || !p->layer || !p->by || !p->moved)
        return NB_E_NOMEM;
    for (int32_t k = 0; k < NETWORKS; k++) {
        p->own[k] = nb_arena_array(p->arena, n, sizeof(float *));
        p->at[k] = nb_arena_array(p->arena, n, sizeof(float *));
        if (!p->own[k] || !p->at[k])
            return NB_E_NOMEM;
    }
    find_layers(p);
    return make_room(p, reference);
}

nb_status nb_probe_open(nb_graph *g, const nb_graph *reference, nb_probe **out)
{
    NB_ASSERT(g->frozen && g->quantized && g->simulated && !g->fusions && g->batch == g->max_batch);
    nb_arena *arena = NULL;
    if (g->info.task != NB_TASK_CLASSES)
        return nb_fail(g->ctx, NB_E_UNSUPPORTED,
                       "what quantizers cost is told from logits of classes, and this network "
                       "reconstructs its input: nibble eval of it and of its float network "
                       "tells what all cost");
    NB_TRY(nb_arena_create(g->ctx, &arena));
    nb_probe *p = nb_arena_alloc(arena, sizeof *p);
    nb_status st = p ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK) {
        p->g = g;
        p->arena = arena;
        st = fill(p, reference);
    }
    if (st == NB_OK)
        *out = p;
    else
        nb_arena_free(arena);
    return st;
}

void nb_probe_take_values(nb_graph *to, const nb_graph *from)
{
    for (int32_t i = 0; i < to->n; i++) {
        const nb_node *n = to->node[i], *theirs = nb_graph_find(from, n->name);
        const bool value = n->flags & (NB_NODE_PARAM | NB_NODE_BUFFER) && !(n->flags & NB_NODE_QUANTIZER);
        if (value && theirs && nb_shape_equal(&theirs->out.shape, &n->out.shape))
            memcpy(n->out.data, theirs->out.data, (size_t)nb_count(&n->out) * sizeof(float));
    }
}

void nb_probe_close(nb_probe *p)
{
    for (int32_t i = 0; p && i < p->g->n; i++)
        if (p->g->node[i]->flags & NB_NODE_LEAF)
            p->g->node[i]->out.data = p->at[NB_PROBE_QUANTIZED][i];
    if (p)
        nb_arena_free(p->arena);
}

void nb_probe_share(nb_probe *p)
{
    p->shared = true;
}

bool nb_probe_is_shared(const nb_probe *p)
{
    return p->shared;
}

nb_graph *nb_probe_graph(nb_probe *p)
{
    return p->g;
}

int32_t nb_probe_sites(const nb_probe *p)
{
    return p->n_sites;
}

const nb_probe_site *nb_probe_site_at(const nb_probe *p, int32_t i)
{
    NB_ASSERT(0 <= i && i < p->n_sites);
    return &p->site[i];
}

int32_t nb_probe_layers(const nb_probe *p)
{
    return p->n_layers;
}

const nb_probe_layer *nb_probe_layer_at(const nb_probe *p, int32_t i)
{
    NB_ASSERT(0 <= i && i < p->n_layers);
    return &p->layer[i];
}

/* ---- running ---- */

/* What the value of node n in network w is computed with, without its batch: to its own memory. */
static void run_node(nb_probe *p, nb_probe_network w, nb_node *n, const nb_run *r)
{
    const int32_t site = p->site_of[n->id];
    nb_node *by = site >= 0 ? p->by[site] : n, *in = n->in[0];
    p->at[w][n->id] = p->own[w][n->id];
    n->out.data = p->own[w][n->id];
    if (by != n)
        by->out = (nb_tensor){n->out.shape, NB_F32, n->out.data, NULL, by->out.q};
    /* Weights that were changed after they were float, beside a layer that is quantized alone. */
    float *const given = site >= 0 && (in->flags & NB_NODE_LEAF) ? in->out.data : NULL;
    if (given)
        in->out.data = p->at[NB_PROBE_QUANTIZED][in->id];
    by->op->forward(by, r);
    if (given)
        in->out.data = given;
}

static bool passes(const nb_probe *p, const nb_node *n)
{
    const int32_t site = p->site_of[n->id];
    return (n->op->flags & NB_OP_VIEW) || (site >= 0 && !p->by[site]);
}

/* Network w, p->by[..] in force; where nothing moved, the base's values. base NULL: everything is computed. */
static void run(nb_probe *p, nb_probe_network w, float *const *base, const nb_node *until)
{
    const nb_run r = {.pixels = p->pixels};
    for (int32_t i = 0; i < p->g->n; i++) {
        nb_node *n = p->g->node[i];
        if (n->flags & NB_NODE_LEAF) {
            n->out.data = p->at[w][i];
            continue;
        }
        if (n->op->role == NB_ROLE_LOSS)
            continue;
        for (int32_t k = 0; base && k < n->n_in; k++)
            p->moved[i] = p->moved[i] || p->moved[n->in[k]->id];
        if (base && !p->moved[i])
            n->out.data = p->at[w][i] = base[i];
        else if (passes(p, n))
            n->out.data = p->at[w][i] = p->at[w][n->in[0]->id];
        else
            run_node(p, w, n, &r);
        if (n == until)
            return;
    }
}

static void run_whole(nb_probe *p, nb_probe_network w)
{
    for (int32_t i = 0; i < p->n_sites; i++)
        p->by[i] = w == NB_PROBE_FLOAT ? NULL : p->site[i].fq;
    run(p, w, NULL, NULL);
}

nb_status nb_probe_batch(nb_probe *p, const uint8_t *pixels, const int32_t *labels, int32_t n, bool quantized)
{
    nb_graph_set_batch(p->g, n);
    p->pixels = pixels;
    p->labels = labels;
    p->n = n;
    run_whole(p, NB_PROBE_FLOAT);
    const int32_t classes = p->g->info.classes;
    const float *logits = nb_probe_value(p, NB_PROBE_FLOAT, p->g->loss->in[0]);
    for (int64_t i = 0; i < (int64_t)n * classes; i++)
        if (!isfinite(logits[i]))
            return nb_fail(p->g->ctx, NB_E_DIVERGED, "the float network gives no result: a logit is %g",
                           (double)logits[i]);
    if (quantized)
        run_whole(p, NB_PROBE_QUANTIZED);
    return NB_OK;
}

void nb_probe_try(nb_probe *p, const nb_probe_trial *t)
{
    NB_ASSERT(t->base != NB_PROBE_TRIED);
    memset(p->moved, 0, (size_t)p->g->n * sizeof *p->moved);
    for (int32_t i = 0; i < p->n_sites; i++)
        p->by[i] = t->base == NB_PROBE_FLOAT ? NULL : p->site[i].fq;
    for (int32_t i = 0; i < t->n_changes; i++) {
        const nb_probe_change *c = &t->change[i];
        p->moved[p->site[c->site].fq->id] = p->moved[p->site[c->site].fq->id] || p->by[c->site] != c->by;
        p->by[c->site] = c->by;
    }
    for (int32_t i = 0; i < p->g->n; i++)
        if (p->g->node[i]->flags & NB_NODE_LEAF)
            p->at[NB_PROBE_TRIED][i] = p->at[t->base][i];
    run(p, NB_PROBE_TRIED, p->at[t->base], t->until);
}

void nb_probe_observe(nb_probe *p, int32_t site, nb_node *by, int32_t batch)
{
    nb_node *fq = p->site[site].fq, *in = fq->in[0];
    const bool leaf = in->flags & NB_NODE_LEAF;
    void *const was = in->out.data;
    in->out.data = p->at[leaf ? NB_PROBE_QUANTIZED : NB_PROBE_FLOAT][in->id];
    by->out = (nb_tensor){fq->out.shape, NB_F32, p->own[NB_PROBE_TRIED][fq->id], NULL, by->out.q};
    by->op->forward(by, &(nb_run){.train = true, .freeze_bn = true, .calibration = batch});
    in->out.data = was;
}

const float *nb_probe_value(const nb_probe *p, nb_probe_network w, const nb_node *n)
{
    return p->at[w][n->id];
}

/* ---- scores ---- */

/* log of the sum of exp. */
static double log_sum(const float *logits, int32_t classes)
{
    const double most = (double)logits[nb_argmax_float(logits, classes)];
    double sum = 0;
    for (int32_t c = 0; c < classes; c++)
        sum += exp((double)logits[c] - most);
    return log(sum) + most;
}

void nb_probe_add_score(const nb_probe *p, nb_probe_network w, nb_probe_score *s)
{
    const int32_t classes = p->g->info.classes;
    const float *f = nb_probe_value(p, NB_PROBE_FLOAT, p->g->loss->in[0]);
    const float *q = nb_probe_value(p, w, p->g->loss->in[0]);
    for (int32_t i = 0; i < p->n; i++, f += classes, q += classes) {
        const int32_t label = p->labels[i];
        const double of = log_sum(f, classes), ours = log_sum(q, classes), loss = ours - (double)q[label];
        const double more = loss - (of - (double)f[label]);
        for (int32_t c = 0; c < classes; c++) {
            const double log_f = (double)f[c] - of, log_q = (double)q[c] - ours;
            s->kl += exp(log_f) * (log_f - log_q);
        }
        s->n++;
        s->correct += nb_argmax_float(q, classes) == label;
        s->loss += loss;
        s->more += more;
        s->more_squared += more * more;
        nb_probe_add_noise(&s->signal, &s->noise, f, q, classes);
    }
}

void nb_probe_add_noise(double *signal, double *noise, const float *x, const float *y, int64_t n)
{
    enum { LANES = 8 };
    double square[LANES] = {0}, lost[LANES] = {0};
    for (int64_t i = 0; i < n; i += LANES)
        for (int64_t k = 0; k < LANES && i + k < n; k++) {
            const double d = (double)x[i + k] - (double)y[i + k];
            square[k] += (double)x[i + k] * (double)x[i + k];
            lost[k] += d * d;
        }
    for (int32_t k = 0; k < LANES; k++) {
        *signal += square[k];
        *noise += lost[k];
    }
}

double nb_decibels(double signal, double noise)
{
    return noise > 0 ? 10 * log10(signal / noise) : INFINITY;
}
