/* plan.c - freezing: dtypes, steps, who needs a gradient, lifetimes, one memory plan for the whole step.
 *
 * Times are those of planning.h: forward of step i at i, backward at end - i.
 *   value     [its step, last reader], or the last reader's backward if that reads values
 *   gradient  [backward of the last reader, backward of its step]: the last reader is the first to run on the way back
 *   saved     [its step, or that of the node it taps; backward of its step]
 *   scratch   one region for all nodes, since one step runs at a time; one slice per thread
 * What a step reads to answer for a tapped node's gradient lives until that node has run backward. A view shares its
 * input's value and gradient, so its readers count as readers of the *root*. Between the nodes of a fused chain nothing
 * is stored. Inference has no second half. */
#include "planning.h"

#include "base/check.h"
#include "base/parallel.h"
#include "core/gather_later.h"

#include <string.h>

enum { ALIGN = 64, PER_NODE = 3 };

static size_t round_up(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static nb_status prepare_all(nb_graph *g)
{
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *n = g->node[i];
        if (n->flags & NB_NODE_LEAF)
            continue;
        n->out.dtype = n->op->flags & NB_OP_VIEW ? n->in[0]->out.dtype : NB_F32;
        n->out.q = n->op->flags & NB_OP_VIEW ? n->in[0]->out.q : NULL;
        n->saved_bytes = n->scratch_bytes = 0;
        n->tap = NULL;
        n->flags &= ~(uint32_t)NB_NODE_READS_IN;
        if (n->op->prepare)
            NB_TRY(n->op->prepare(g, n));
    }
    return NB_OK;
}

static bool is_inner(const nb_planning *p, const nb_node *n)
{
    int32_t s = p->step_of[n->id];
    return s >= 0 && nb_step_last(&p->step[s]) != n;
}

/* Which nodes stand between a parameter and the loss, and the last step that reads each. */
static void mark_gradients(nb_planning *p)
{
    nb_graph *g = p->g;
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *n = g->node[i];
        n->fresh = 0;
        n->flags &= ~(uint32_t)NB_NODE_NEEDS_GRAD;
        if (p->mode == NB_PLAN_TRAIN && (n->flags & NB_NODE_PARAM))
            n->flags |= NB_NODE_NEEDS_GRAD;
        for (int32_t k = 0; k < n->n_in; k++)
            n->flags |= n->in[k]->flags & NB_NODE_NEEDS_GRAD;
        p->last_reader[i] = p->step_of[i];
    }
    for (int32_t i = 0; i < g->n; i++)
        for (int32_t k = 0; p->step_of[i] >= 0 && k < g->node[i]->n_in; k++)
            p->last_reader[nb_plan_root(g->node[i]->in[k])->id] = p->step_of[i];
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *n = g->node[i];
        for (int32_t k = 0; p->step_of[i] >= 0 && k < n->n_in; k++) {
            nb_node *x = nb_plan_root(n->in[k]);
            bool first_slot = true;
            for (int32_t j = 0; j < k; j++)
                first_slot &= nb_plan_root(n->in[j]) != x;
            if (first_slot && p->last_reader[x->id] == p->step_of[i] && !(x->flags & NB_NODE_LEAF))
                n->fresh |= 1u << k;
        }
    }
}

static int32_t readers_of(const nb_graph *g, const nb_node *x)
{
    int32_t n = 0;
    for (int32_t i = 0; i < g->n; i++)
        for (int32_t k = 0; k < g->node[i]->n_in; k++)
            n += g->node[i]->in[k] == x;
    return n;
}

/* Steps on leaves that nobody else reads: quantizers of weights. Nothing that comes back after them depends on them, and no
 * gradient is added up in another order, when their gradient comes late. */
static void mark_waiting(nb_planning *p)
{
    for (int32_t i = 0; i < p->n_steps; i++) {
        nb_step *s = &p->step[i];
        const nb_node *n = s->node[0];
        s->waits = p->g->later && s->n == 1 && n->n_in > 0;
        for (int32_t k = 0; s->waits && k < n->n_in; k++)
            s->waits = n->in[k]->flags & NB_NODE_LEAF && readers_of(p->g, n->in[k]) == 1;
    }
}

static void extend(nb_usage *u, int32_t to)
{
    u->last = u->last > to ? u->last : to;
}

/* A fused chain reads no value of its own on the way back: it saves what it needs. */
static void set_lifetime(nb_planning *p, nb_node *n)
{
    int32_t s = p->step_of[n->id];
    bool grad = n->flags & NB_NODE_NEEDS_GRAD;
    int32_t back = grad ? (p->step[s].waits ? p->end : p->end - s) : s;
    const bool reads = (n->op->flags & NB_OP_BWD_NEEDS_IN) || (n->flags & NB_NODE_READS_IN);
    for (int32_t k = 0; k < n->n_in; k++)
        extend(&p->value[nb_plan_root(n->in[k])->id], reads ? back : s);
    p->saved[n->id] = (nb_usage){.first = s, .last = back, .bytes = n->saved_bytes};
    if (is_inner(p, n))
        return;
    size_t count = (size_t)nb_count(&n->out);
    nb_usage *v = &p->value[n->id];
    v->first = s;
    v->bytes = count * nb_dtype_bytes(n->out.dtype);
    extend(v, (n->op->flags & NB_OP_BWD_NEEDS_OUT) && !p->step[s].fusion ? back : s);
    if (p->mode == NB_PLAN_TRAIN && grad && !n->tap)
        p->grad[n->id] =
            (nb_usage){.first = p->end - p->last_reader[n->id], .last = back, .bytes = count * sizeof(float)};
}

/* The step that taps x takes x's values while x runs forward, and computes x's gradient while x runs backward. */
static void keep_for_tap(nb_planning *p, const nb_node *x)
{
    const nb_step *s = x->tap->step;
    int32_t back = p->end - p->step_of[x->id];
    for (int32_t i = 0; i < s->n; i++)
        p->saved[s->node[i]->id].first = p->step_of[x->id];
    if (!(x->flags & NB_NODE_NEEDS_GRAD))
        return;
    extend(&p->value[x->id], back);
    extend(&p->grad[nb_step_last(s)->id], back);
    for (int32_t i = 0; i < s->n; i++)
        extend(&p->saved[s->node[i]->id], back);
}

static void set_lifetimes(nb_planning *p)
{
    nb_graph *g = p->g;
    for (int32_t i = 0; i < g->n; i++)
        if (p->step_of[i] >= 0)
            set_lifetime(p, g->node[i]);
    for (int32_t i = 0; i < g->n; i++)
        if (g->node[i]->tap)
            keep_for_tap(p, g->node[i]);
    if (g->loss) { /* read by the caller after forward and after backward */
        p->value[g->loss->id].last = p->end + 1;
        extend(&p->value[nb_plan_root(g->loss->in[0])->id], p->n_steps);
    }
    nb_plan_share(p);
}

/* base NULL: of a blank graph, whose values have no place. */
static void place(const nb_planning *p, unsigned char *base, unsigned char *scratch)
{
    nb_graph *g = p->g;
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *n = g->node[i];
        n->scratch = scratch;
        if (n->flags & NB_NODE_LEAF)
            continue;
        if (n->op->flags & NB_OP_VIEW) {
            n->out.data = n->in[0]->out.data;
            n->out.grad = n->in[0]->out.grad;
            continue;
        }
        const nb_usage *v = &p->value[i], *d = &p->grad[p->owner[i]], *s = &p->saved[i];
        n->out.data = base && v->bytes ? base + v->offset : NULL;
        n->out.grad = base && d->bytes ? (float *)(void *)(base + d->offset) : NULL;
        n->saved = base && s->bytes ? base + s->offset : NULL;
    }
}

/* Gradients of weights may travel while layers before theirs go back. */
static nb_status make_room_to_wait(nb_graph *g, nb_plan_mode mode)
{
    nb_later_free(g->ctx, g->later);
    g->later = NULL;
    if (mode == NB_PLAN_TRAIN && g->cut.shared && g->later_bytes)
        NB_TRY(nb_later_create(g->ctx, g->later_bytes, &g->later));
    return NB_OK;
}

static nb_status param_gradients(nb_graph *g)
{
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *n = g->node[i];
        if (!(n->flags & NB_NODE_PARAM) || n->out.grad)
            continue;
        size_t bytes = (size_t)nb_count(&n->out) * sizeof(float);
        g->param_bytes += bytes;
        if (g->blank)
            continue;
        n->out.grad = nb_graph_alloc(g, bytes);
        if (!n->out.grad)
            return NB_E_NOMEM;
    }
    return NB_OK;
}

/* Lifetimes to offsets; takes the buffer. u is the array behind p->value, grad and saved, with one more for scratch. */
static nb_status plan_memory(nb_planning *p, nb_usage *u)
{
    nb_graph *g = p->g;
    mark_gradients(p);
    mark_waiting(p);
    set_lifetimes(p);
    size_t scratch = 0, bytes;
    for (int32_t i = 0; i < g->n; i++) {
        g->node[i]->scratch_bytes = round_up(g->node[i]->scratch_bytes);
        scratch = g->node[i]->scratch_bytes > scratch ? g->node[i]->scratch_bytes : scratch;
    }
    nb_usage *common = &u[PER_NODE * g->n];
    *common = (nb_usage){.first = 0, .last = p->end + 1, .bytes = scratch * (size_t)nb_threads()};
    NB_TRY(nb_memplan(g->ctx, u, PER_NODE * g->n + 1, ALIGN, &bytes));
    unsigned char *buffer = g->blank ? NULL : nb_alloc(g->ctx, bytes);
    if (!buffer && !g->blank)
        return NB_E_NOMEM;
    place(p, buffer, buffer ? buffer + common->offset : NULL);
    nb_free(g->ctx, g->buffer);
    g->buffer = buffer;
    g->planned_bytes = bytes;
    g->step = p->step;
    g->n_steps = p->n_steps;
    return NB_OK;
}

nb_status nb_graph_freeze(nb_graph *g, nb_plan_mode mode)
{
    NB_ASSERT(g->n > 0 && g->batch == g->max_batch);
    g->frozen = false;
    nb_graph_resize(g, g->room);
    g->infers = mode == NB_PLAN_INFER;
    g->later_bytes = 0;
    NB_TRY(prepare_all(g));
    NB_TRY(make_room_to_wait(g, mode));
    nb_planning p = {.g = g, .mode = mode};
    nb_usage *u = nb_alloc(g->ctx, (size_t)(PER_NODE * g->n + 1) * sizeof *u);
    int32_t *numbers = nb_alloc(g->ctx, 3 * (size_t)g->n * sizeof *numbers);
    nb_status st = u && numbers ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK) {
        p.value = u;
        p.grad = u + g->n;
        p.saved = u + 2 * g->n;
        p.step_of = numbers;
        p.last_reader = numbers + g->n;
        p.owner = numbers + 2 * g->n;
        for (int32_t i = 0; i < g->n; i++)
            p.owner[i] = i;
        st = nb_plan_steps(&p);
    }
    if (st == NB_OK)
        st = plan_memory(&p, u);
    nb_free(g->ctx, u);
    nb_free(g->ctx, numbers);
    if (st == NB_OK && mode == NB_PLAN_TRAIN)
        st = param_gradients(g);
    g->frozen = st == NB_OK;
    nb_graph_set_batch(g, g->batch);
    return st;
}

void *nb_node_scratch(const nb_node *n, int32_t thread)
{
    return (unsigned char *)n->scratch + (size_t)thread * n->scratch_bytes;
}
