/* autograd.c - forward is a loop up over the steps, backward a loop down.
 *
 * Gradients of values live in planned memory that held something else a moment ago, so the first reader on the way back
 * must not add to what it finds: `fresh` (set by plan.c) says which inputs that is. Fusions and ops that write
 * (NB_OP_BWD_SETS) look at it themselves; for the others the gradient is cleared here. Parameter gradients are cleared
 * once per step and only ever added to.
 *
 * Of a graph that ranks share, gradients of weights travel while the pass goes on (gather_later.h): steps that make weights
 * of parameters alone, their quantizers, wait until all are there, and who else works on weights waits for what is under way. */
#include <nibble/extend/fusion.h>

#include "base/check.h"
#include "base/ranks.h"
#include "core/gather_later.h"

#include <string.h>

void nb_forward_step(nb_graph *g, int32_t i, const nb_run *r)
{
    NB_ASSERT(!g->blank);
    const nb_step *s = &g->step[i];
    if (s->fusion)
        s->fusion->forward(s, r);
    else if (s->node[0]->op->forward)
        s->node[0]->op->forward(s->node[0], r);
}

void nb_forward(nb_graph *g, const nb_run *r)
{
    NB_ASSERT(g->frozen);
    for (int32_t i = 0; i < g->n_steps; i++)
        nb_forward_step(g, i, r);
}

static void clear(nb_tensor *t)
{
    memset(t->grad, 0, (size_t)nb_count(t) * sizeof(float));
}

void nb_backward_begin(nb_graph *g)
{
    NB_ASSERT(g->frozen && g->loss && g->loss->out.grad);
    for (int32_t i = 0; i < g->n; i++)
        if ((g->node[i]->flags & NB_NODE_PARAM) && g->node[i]->out.grad)
            clear(&g->node[i]->out);
    clear(&g->loss->out);
    g->loss->out.grad[0] = 1.0f;
}

void nb_backward_step(nb_graph *g, int32_t i, const nb_run *r)
{
    const nb_step *s = &g->step[i];
    nb_node *n = nb_step_last(s);
    bool asks = n->tap && (n->flags & NB_NODE_NEEDS_GRAD);
    if (!n->out.grad && !asks)
        return;
    if (s->fusion) {
        s->fusion->backward(s, r);
        return;
    }
    if (!n->op->backward)
        return;
    for (int32_t k = 0; k < n->n_in && !(n->op->flags & NB_OP_BWD_SETS); k++)
        if ((n->fresh >> k & 1) && n->in[k]->out.grad)
            clear(&n->in[k]->out);
    n->op->backward(n, r);
}

void nb_backward(nb_graph *g, const nb_run *r)
{
    nb_backward_begin(g);
    for (int32_t i = g->n_steps - 1; i >= 0; i--) {
        const nb_step *s = &g->step[i];
        if (s->waits)
            continue;
        if (g->later && !(nb_step_last(s)->flags & NB_NODE_BATCHED))
            nb_later_finish(g->later);
        nb_backward_step(g, i, r);
        nb_ranks_poke();
    }
    nb_later_finish(g->later);
    for (int32_t i = g->n_steps - 1; i >= 0; i--)
        if (g->step[i].waits)
            nb_backward_step(g, i, r);
}

float nb_graph_loss(const nb_graph *g)
{
    return ((const float *)g->loss->out.data)[0];
}

int32_t nb_graph_correct(const nb_graph *g)
{
    return (int32_t)((const float *)g->loss->out.data)[1];
}

const float *nb_graph_logits(const nb_graph *g)
{
    return g->loss->in[0]->out.data;
}
