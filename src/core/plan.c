/* plan.c - freezing: dtypes, who needs a gradient, lifetimes, one memory plan for the whole step.
 *
 * One time axis: forward of node i is t = i, its backward t = 2n-1-i.
 *   value     [i, last reader], or the last reader's backward if that reads values
 *   gradient  [2n-1-last reader, 2n-1-i]: the last reader is the first to run on the way back
 *   saved     [i, 2n-1-i]
 *   scratch   one region for all nodes, since one node runs at a time; one slice per thread
 * A view shares its input's value and gradient, so its readers count as readers of the *root*. Inference has no second
 * half. */
#include <nibble/graph.h>

#include "base/check.h"
#include "base/memplan.h"
#include "base/parallel.h"

#include <string.h>

enum { ALIGN = 64, VALUE = 0, GRAD = 1, SAVED = 2, PER_NODE = 3 };

static nb_node *root(nb_node *x)
{
    while (x->op->flags & NB_OP_VIEW)
        x = x->in[0];
    return x;
}

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
        if (n->op->prepare)
            NB_TRY(n->op->prepare(g, n));
        n->scratch_bytes = round_up(n->scratch_bytes);
    }
    return NB_OK;
}

/* Which nodes stand between a parameter and the loss, and each node's last reader on the tape. */
static void mark_gradients(nb_graph *g, nb_plan_mode mode, int32_t *last_reader)
{
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *n = g->node[i];
        n->fresh = 0;
        n->flags &= ~(uint32_t)NB_NODE_NEEDS_GRAD;
        if (mode == NB_PLAN_TRAIN && (n->flags & NB_NODE_PARAM))
            n->flags |= NB_NODE_NEEDS_GRAD;
        for (int32_t k = 0; k < n->n_in; k++)
            n->flags |= n->in[k]->flags & NB_NODE_NEEDS_GRAD;
    }
    for (int32_t i = 0; i < g->n; i++)
        if (!(g->node[i]->op->flags & NB_OP_VIEW))
            for (int32_t k = 0; k < g->node[i]->n_in; k++)
                last_reader[root(g->node[i]->in[k])->id] = i;
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *n = g->node[i];
        for (int32_t k = 0; k < n->n_in; k++) {
            nb_node *x = root(n->in[k]);
            bool first_slot = true;
            for (int32_t j = 0; j < k; j++)
                first_slot &= root(n->in[j]) != x;
            if (first_slot && last_reader[x->id] == i && !(x->flags & NB_NODE_LEAF))
                n->fresh |= 1u << k;
        }
    }
}

static void set_lifetimes(const nb_graph *g, nb_plan_mode mode, const int32_t *last_reader, nb_usage *u)
{
    int32_t end = 2 * g->n - 1;
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *n = g->node[i];
        bool grad = n->flags & NB_NODE_NEEDS_GRAD;
        for (int32_t k = 0; k < n->n_in; k++) {
            nb_usage *v = &u[root(n->in[k])->id * PER_NODE + VALUE];
            bool back = grad && (n->op->flags & NB_OP_BWD_NEEDS_IN);
            int32_t t = back ? end - i : i;
            v->last = v->last > t ? v->last : t;
        }
        if ((n->flags & NB_NODE_LEAF) || (n->op->flags & NB_OP_VIEW))
            continue;
        size_t count = (size_t)nb_count(&n->out);
        nb_usage *v = &u[i * PER_NODE + VALUE], *d = &u[i * PER_NODE + GRAD], *s = &u[i * PER_NODE + SAVED];
        int32_t back = grad ? end - i : i;
        v->first = i;
        v->bytes = count * nb_dtype_bytes(n->out.dtype);
        if (n->op->flags & NB_OP_BWD_NEEDS_OUT)
            v->last = v->last > back ? v->last : back;
        v->last = v->last > i ? v->last : i;
        *s = (nb_usage){.first = i, .last = back, .bytes = n->saved_bytes};
        if (mode == NB_PLAN_TRAIN && grad) {
            int32_t reader = n == g->loss ? i : last_reader[i];
            *d = (nb_usage){.first = end - reader, .last = end - i, .bytes = count * sizeof(float)};
        }
    }
    if (g->loss) { /* read by the caller after forward and after backward */
        u[g->loss->id * PER_NODE + VALUE].last = end + 1;
        nb_usage *logits = &u[root(g->loss->in[0])->id * PER_NODE + VALUE];
        logits->last = logits->last > g->n ? logits->last : g->n;
    }
}

static void place(nb_graph *g, const nb_usage *u, unsigned char *base, unsigned char *scratch)
{
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
        const nb_usage *v = &u[i * PER_NODE + VALUE], *d = &u[i * PER_NODE + GRAD], *s = &u[i * PER_NODE + SAVED];
        n->out.data = base + v->offset;
        n->out.grad = d->bytes ? (float *)(void *)(base + d->offset) : NULL;
        n->saved = s->bytes ? base + s->offset : NULL;
    }
}

static nb_status param_gradients(nb_graph *g)
{
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *n = g->node[i];
        if (!(n->flags & NB_NODE_PARAM))
            continue;
        size_t bytes = (size_t)nb_count(&n->out) * sizeof(float);
        n->out.grad = nb_graph_alloc(g, bytes);
        if (!n->out.grad)
            return NB_E_NOMEM;
        g->param_bytes += bytes;
    }
    return NB_OK;
}

nb_status nb_graph_freeze(nb_graph *g, nb_plan_mode mode)
{
    NB_ASSERT(!g->frozen && g->n > 0 && g->batch == g->max_batch);
    NB_TRY(prepare_all(g));
    int32_t n_usage = g->n * PER_NODE + 1;
    nb_usage *u = nb_alloc(g->ctx, (size_t)n_usage * sizeof *u);
    int32_t *last_reader = nb_alloc(g->ctx, (size_t)g->n * sizeof *last_reader);
    nb_status st = u && last_reader ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK) {
        mark_gradients(g, mode, last_reader);
        set_lifetimes(g, mode, last_reader, u);
        size_t scratch = 0;
        for (int32_t i = 0; i < g->n; i++)
            scratch = g->node[i]->scratch_bytes > scratch ? g->node[i]->scratch_bytes : scratch;
        u[n_usage - 1] = (nb_usage){.first = 0, .last = 2 * g->n, .bytes = scratch * (size_t)nb_threads()};
        st = nb_memplan(g->ctx, u, n_usage, ALIGN, &g->planned_bytes);
    }
    if (st == NB_OK) {
        g->buffer = nb_alloc(g->ctx, g->planned_bytes);
        st = g->buffer ? NB_OK : NB_E_NOMEM;
    }
    if (st == NB_OK)
        place(g, u, g->buffer, (unsigned char *)g->buffer + u[n_usage - 1].offset);
    nb_free(g->ctx, u);
    nb_free(g->ctx, last_reader);
    if (st == NB_OK && mode == NB_PLAN_TRAIN)
        st = param_gradients(g);
    g->frozen = st == NB_OK;
    return st;
}

void *nb_node_scratch(const nb_node *n, int32_t thread)
{
    return (unsigned char *)n->scratch + (size_t)thread * n->scratch_bytes;
}
