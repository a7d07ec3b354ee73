/* diagnose.c - finds the first layer whose numbers are not finite.
 *
 * Planned memory is reused within a step and fused steps store nothing in between, so a value must be looked at right
 * after its node has run: forward is repeated here node by node. Gradients of parameters have memory of their own and
 * still hold what the failed step left. */
#include "train/diagnose.h"

#include <nibble/extend/fusion.h>

#include <math.h>
#include <stdio.h>

static bool all_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static const nb_node *bad_leaf(const nb_graph *g)
{
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        if ((n->flags & (NB_NODE_PARAM | NB_NODE_BUFFER)) && !all_finite(n->out.data, nb_count(&n->out)))
            return n;
    }
    return NULL;
}

/* NULL also when there is no memory for it. */
static const nb_node *bad_output(nb_graph *g, const nb_run *r)
{
    g->fusions = NULL;
    if (nb_graph_freeze(g, NB_PLAN_TRAIN) != NB_OK)
        return NULL;
    for (int32_t i = 0; i < g->n_steps; i++) {
        const nb_node *n = nb_step_last(&g->step[i]);
        nb_forward_step(g, i, r);
        if (n->out.dtype == NB_F32 && !all_finite(n->out.data, nb_count(&n->out)))
            return n;
    }
    return NULL;
}

/* The way back runs from the loss to the input: the last bad one in graph order went bad first. */
static const nb_node *bad_gradient(const nb_graph *g)
{
    for (int32_t i = g->n - 1; i >= 0; i--) {
        const nb_node *n = g->node[i];
        if ((n->flags & NB_NODE_PARAM) && n->out.grad && !all_finite(n->out.grad, nb_count(&n->out)))
            return n;
    }
    return NULL;
}

bool nb_params_finite(const nb_graph *g)
{
    return !bad_leaf(g);
}

bool nb_diagnose(nb_graph *g, const nb_run *r, char *buf, size_t len)
{
    const nb_node *leaf = bad_leaf(g);
    if (leaf) {
        snprintf(buf, len, "the parameter %s", leaf->name);
        return true;
    }
    const nb_node *grad = bad_gradient(g), *out = r->pixels ? bad_output(g, r) : NULL;
    if (out)
        snprintf(buf, len, "the output of %s %s", out->op->name, out->name);
    else if (grad)
        snprintf(buf, len, "the gradient of %s", grad->name);
    return out || grad;
}
