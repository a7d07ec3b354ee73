/* optim.c - the optimizer's sweep over all parameters of a graph.
 *
 * Parameters are cut into chunks of GRAIN values once; every pass is one parallel_for over that list. Updates are
 * elementwise, so they do not depend on the thread count; the norm adds one double per chunk in list order. Averaged
 * weights follow w with a decay that grows from 2/11 to train.ema over the first updates of a phase: otherwise a short
 * phase would mostly average its starting point. Buffers are not averaged: batch-norm statistics and ranges are
 * averages already. */
#include "train/optim.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/parallel.h"
#include "kernels/float/fblas.h"
#include "quant/fakequant.h"
#include "train/train_layers.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GRAIN = 16384, MOST_KEPT = 12 /* arrays of one slot: the most there can be */ };

static const float LEAST = 0x1p-40f; /* of a learned value that must be positive; its reader has floors of its own */

typedef struct {
    int32_t slot;
    int64_t begin, end;
    double square; /* sum of squared gradients */
} chunk;

struct nb_optim {
    const nb_train_plan *plan;
    nb_slot *slot;
    chunk *chunk;
    nb_kept *kept;
    int32_t n_slots, n_chunks, n_kept;
    struct nb_arena *arena;
    nb_step_args args; /* of the step under way */
    float scale;       /* of the gradients, from clipping */
    float decay;       /* of the averages */
    float look;        /* share of the way that lookahead takes */
    bool freeze_ranges;
    bool multiplies; /* some weights are changed as matrices */
};

/* name is printed by the caller; NULL: no memory. */
static nb_status keep(nb_optim *o, const nb_slot *s, const char *name, bool nonnegative, float **out)
{
    *out = nb_arena_array(o->arena, (size_t)s->n, sizeof(float));
    if (!name || !*out)
        return NB_E_NOMEM;
    NB_ASSERT(o->n_kept < MOST_KEPT * o->n_slots);
    o->kept[o->n_kept++] = (nb_kept){s->leaf, name, *out, nonnegative};
    return NB_OK;
}

nb_status nb_optim_keep(nb_optim *o, int32_t i, const char *what, bool nonnegative, float **out)
{
    const nb_slot *s = &o->slot[i];
    return keep(o, s, nb_arena_printf(o->arena, "opt/%s/%s", s->leaf->name, what), nonnegative, out);
}

void *nb_optim_alloc(nb_optim *o, size_t bytes)
{
    return nb_arena_alloc(o->arena, bytes);
}

const nb_kept *nb_optim_kept(const nb_optim *o, int32_t *n)
{
    *n = o->n_kept;
    return o->kept;
}

/* A weight that the optimizer changes as a whole. */
static nb_status take_matrix(nb_optim *o, const nb_graph *g, nb_slot *s)
{
    const nb_optimizer *opt = o->plan->optimizer;
    const nb_shape *shape = &s->leaf->out.shape;
    char layer[NB_CONFIG_MAX_KEY_BYTES + 256];
    snprintf(layer, sizeof layer, "%s", s->leaf->name);
    *strrchr(layer, '.') = '\0'; /* leaves are named so */
    const nb_node *of = nb_graph_find(g, layer);
    if (!(s->leaf->flags & NB_NODE_DECAY) || !of || !opt->takes(o->plan->optimizer_attr, of->op->window != NULL))
        return NB_OK;
    s->size = (nb_matrix_size){shape->d[0], (int32_t)(s->n / shape->d[0])};
    s->work = nb_arena_array(o->arena, (size_t)opt->work_floats(&s->size), sizeof(float));
    o->multiplies = true;
    return s->work ? NB_OK : NB_E_NOMEM;
}

static nb_status make_slot(nb_optim *o, const nb_graph *g, nb_node *leaf, nb_slot *s)
{
    const nb_optimizer_keys *k = &o->plan->optimizer_keys;
    *s = (nb_slot){.leaf = leaf, .n = nb_count(&leaf->out), .lr = 1};
    const nb_node *quantizer = nb_quantizer_of(g, leaf);
    if (quantizer) {
        const nb_learning_keys own = nb_fakequant_rates(quantizer);
        s->learning = ((const nb_fakequant_attr *)quantizer->attr)->learning;
        s->lr = own.lr;
        s->weight_decay = own.decay;
    } else if (k->decay_all || (leaf->flags & NB_NODE_DECAY)) {
        s->weight_decay = k->weight_decay;
    }
    const float rate = nb_layers_rate(o->plan, leaf->name);
    s->lr *= rate;
    s->still = rate == 0;
    const nb_optimizer *opt = o->plan->optimizer;
    for (int32_t m = 0; m < opt->n_moments; m++)
        NB_TRY(keep(o, s, nb_arena_printf(o->arena, "opt/%s/%d", leaf->name, m), opt->squares >> m & 1, &s->moment[m]));
    if (o->plan->keys.ema > 0)
        NB_TRY(keep(o, s, nb_arena_printf(o->arena, "ema/%s", leaf->name), false, &s->average));
    if (o->plan->lookahead.steps && !s->learning)
        NB_TRY(keep(o, s, nb_arena_printf(o->arena, "opt/%s/slow", leaf->name), false, &s->slow));
    return opt->takes ? take_matrix(o, g, s) : NB_OK;
}

static nb_status make_slots(nb_optim *o, nb_graph *g)
{
    int64_t chunks = 0;
    for (int32_t i = 0; i < g->n; i++)
        if (g->node[i]->flags & NB_NODE_PARAM) {
            o->n_slots++;
            chunks += nb_chunks(nb_count(&g->node[i]->out), GRAIN);
        }
    o->slot = nb_arena_array(o->arena, (size_t)o->n_slots, sizeof(nb_slot));
    o->chunk = nb_arena_array(o->arena, (size_t)chunks, sizeof(chunk));
    o->kept = nb_arena_array(o->arena, (size_t)o->n_slots * MOST_KEPT, sizeof *o->kept);
    if (!o->slot || !o->chunk || !o->kept)
        return NB_E_NOMEM;
    int32_t s = 0;
    for (int32_t i = 0; i < g->n; i++) {
        if (!(g->node[i]->flags & NB_NODE_PARAM))
            continue;
        NB_TRY(make_slot(o, g, g->node[i], &o->slot[s]));
        const int64_t n = o->slot[s].n, grain = o->slot[s].work ? n : GRAIN;
        for (int64_t c = 0; c < nb_chunks(n, grain); c++)
            o->chunk[o->n_chunks++] = (chunk){.slot = s, .begin = c * grain, .end = nb_chunk_end(n, grain, c)};
        s++;
    }
    nb_optim_restart_average(o);
    return NB_OK;
}

nb_status nb_optim_create(nb_ctx *ctx, const nb_train_plan *plan, nb_graph *g, nb_optim **out)
{
    nb_arena *arena;
    NB_TRY(nb_arena_create(ctx, &arena));
    nb_optim *o = nb_arena_alloc(arena, sizeof *o);
    nb_status st = o ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK) {
        *o = (nb_optim){.plan = plan, .arena = arena};
        st = make_slots(o, g);
    }
    if (st == NB_OK)
        *out = o;
    else
        nb_arena_free(arena);
    return st;
}

void nb_optim_free(nb_ctx *ctx, nb_optim *o)
{
    (void)ctx;
    if (o)
        nb_arena_free(o->arena);
}

int32_t nb_optim_count(const nb_optim *o)
{
    return o->n_slots;
}

const nb_slot *nb_optim_slot(const nb_optim *o, int32_t i)
{
    return &o->slot[i];
}

void nb_optim_restart_average(nb_optim *o)
{
    for (int32_t i = 0; i < o->n_slots; i++) {
        const nb_slot *s = &o->slot[i];
        const float *w = s->leaf->out.data;
        for (int64_t k = 0; s->average && k < s->n; k++)
            s->average[k] = w[k];
        for (int64_t k = 0; s->slow && k < s->n; k++)
            s->slow[k] = w[k];
    }
}

static void square_chunk(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    nb_optim *o = arg;
    chunk *c = &o->chunk[i];
    const float *g = o->slot[c->slot].leaf->out.grad;
    double sum[4] = {0}; /* independent sums: the order is fixed, the additions overlap */
    int64_t k = c->begin;
    if (o->slot[c->slot].still) {
        c->square = 0;
        return;
    }
    for (; k + 4 <= c->end; k += 4)
        for (int j = 0; j < 4; j++)
            sum[j] += (double)g[k + j] * g[k + j];
    for (; k < c->end; k++)
        sum[0] += (double)g[k] * g[k];
    c->square = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

double nb_optim_grad_norm(nb_optim *o)
{
    nb_parallel_for(o->n_chunks, square_chunk, o);
    double sum = 0;
    for (int32_t i = 0; i < o->n_chunks; i++)
        sum += o->chunk[i].square;
    return sqrt(sum);
}

/* What must stay positive does, nothing that has begun becomes 0, which means that it has not, and an average begins with
 * the first value there is. What has not begun has no gradient. */
static void after_learning(const nb_slot *s, const chunk *c, float *w, const float *g)
{
    const nb_learning *l = s->learning;
    float *average = s->average ? s->average + c->begin : NULL;
    for (int64_t k = 0; k < c->end - c->begin; k++) {
        const bool positive = (c->begin + k) % l->n_state < l->n_positive;
        if (w[k] == 0.0f ? g[k] != 0.0f : positive && w[k] < LEAST)
            w[k] = LEAST;
        if (average && average[k] == 0.0f)
            average[k] = w[k];
    }
}

static void update_chunk(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    nb_optim *o = arg;
    const chunk *c = &o->chunk[i];
    const nb_slot *s = &o->slot[c->slot];
    int64_t n = c->end - c->begin;
    float *w = (float *)s->leaf->out.data + c->begin, *g = s->leaf->out.grad + c->begin;
    float *moments[NB_MAX_MOMENTS] = {0};
    for (int32_t m = 0; m < o->plan->optimizer->n_moments; m++)
        moments[m] = s->moment[m] + c->begin;
    if (o->scale < 1.0f)
        for (int64_t k = 0; k < n; k++)
            g[k] *= o->scale;
    nb_step_args a = o->args;
    a.weight_decay = s->weight_decay;
    a.lr *= s->lr;
    const nb_optimizer *opt = o->plan->optimizer;
    if (s->work && !s->still)
        opt->matrix(o->plan->optimizer_attr, &a, w, g, moments, &s->size, s->work);
    else if (!s->still && !(s->learning && o->freeze_ranges))
        opt->update(o->plan->optimizer_attr, &a, w, g, moments, n);
    if (s->learning)
        after_learning(s, c, w, g);
    if (s->average) {
        float *avg = s->average + c->begin, d = o->decay;
        for (int64_t k = 0; k < n; k++)
            avg[k] = d * avg[k] + (1.0f - d) * w[k];
    }
}

void nb_optim_step(nb_optim *o, double lr, int64_t t, double norm)
{
    double clip = (double)o->plan->optimizer_keys.clip;
    o->args = (nb_step_args){.lr = (float)lr, .t = t};
    o->scale = clip > 0 && norm > clip ? (float)(clip / (norm + 1e-6)) : 1.0f; /* as torch.nn.utils.clip_grad_norm_ */
    double grown = (1.0 + (double)t) / (10.0 + (double)t), ema = (double)o->plan->keys.ema;
    o->decay = (float)(grown < ema ? grown : ema);
    if (o->multiplies)
        nb_fblas_begin();
    nb_parallel_for(o->n_chunks, update_chunk, o);
    if (o->multiplies)
        nb_fblas_end();
}

static void look_chunk(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    nb_optim *o = arg;
    const chunk *c = &o->chunk[i];
    const nb_slot *s = &o->slot[c->slot];
    float *w = s->leaf->out.data;
    for (int64_t k = c->begin; s->slow && k < c->end; k++) {
        s->slow[k] += o->look * (w[k] - s->slow[k]);
        w[k] = s->slow[k];
    }
}

void nb_optim_look(nb_optim *o, int64_t t, int64_t n)
{
    const nb_lookahead_keys *k = &o->plan->lookahead;
    if (!k->steps || (t % k->steps != 0 && t != n))
        return;
    o->look = (float)(1.0 - (1.0 - (double)k->share) * pow((double)t / (double)n, (double)k->power));
    nb_parallel_for(o->n_chunks, look_chunk, o);
}

void nb_optim_freeze_ranges(nb_optim *o, bool on)
{
    o->freeze_ranges = on;
}

static void swap_chunk(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    nb_optim *o = arg;
    const chunk *c = &o->chunk[i];
    const nb_slot *s = &o->slot[c->slot];
    float *w = s->leaf->out.data;
    for (int64_t k = c->begin; k < c->end; k++) {
        float keep = w[k];
        w[k] = s->average[k];
        s->average[k] = keep;
    }
}

void nb_optim_swap(nb_optim *o)
{
    if (o->plan->keys.ema > 0)
        nb_parallel_for(o->n_chunks, swap_chunk, o);
}
