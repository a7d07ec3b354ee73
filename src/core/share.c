/* share.c - gradients that are the same numbers in the same memory.
 *
 * A step that passes its gradient on (a residual add) gives each input the step's own gradient, masked. Masked in
 * place, it already stands where the inputs want it, so they share its memory: no copy at all, and along a row of
 * residual blocks one buffer carries the gradient from the last to the first. x may join when this step is the first to
 * write x's gradient, and no one who shares is still to be read when another is written to again. Writes after this
 * step: the other readers of x on their way back, and x's own step when it passes gradients on itself. */
#include "planning.h"

static bool passes(const nb_step *s)
{
    return s->fusion && (s->fusion->flags & NB_FUSION_PASSES_GRAD);
}

/* Slots of the step's first node that read x. */
static int32_t slots(const nb_step *s, const nb_node *x)
{
    int32_t n = 0;
    for (int32_t k = 0; k < s->node[0]->n_in; k++)
        n += nb_plan_root(s->node[0]->in[k]) == x;
    return n;
}

/* The first time after step s ran backward at which x's gradient is written to. */
static int32_t next_write(const nb_planning *p, int32_t s, const nb_node *x)
{
    int32_t from = passes(&p->step[p->step_of[x->id]]) ? p->step_of[x->id] : -1;
    for (int32_t i = x->id + 1; i < p->g->n; i++) {
        const nb_node *n = p->g->node[i];
        for (int32_t k = 0; k < n->n_in; k++)
            if (p->step_of[i] >= 0 && p->step_of[i] < s && nb_plan_root(n->in[k]) == x)
                from = p->step_of[i] > from ? p->step_of[i] : from;
    }
    return from < 0 ? INT32_MAX : p->end - from;
}

static bool in_the_way(const nb_planning *p, int32_t s, const nb_node *x, const nb_node *other)
{
    return p->grad[x->id].last >= next_write(p, s, other) || p->grad[other->id].last >= next_write(p, s, x);
}

static bool may_share(const nb_planning *p, int32_t s, int32_t k, nb_node *const *joined, int32_t n_joined)
{
    const nb_node *x = nb_plan_root(p->step[s].node[0]->in[k]);
    if ((x->flags & NB_NODE_LEAF) || !p->grad[x->id].bytes || p->last_reader[x->id] != s || slots(&p->step[s], x) != 1)
        return false;
    for (int32_t i = 0; i < n_joined; i++)
        if (in_the_way(p, s, x, joined[i]))
            return false;
    return true;
}

/* From the loss down, so that a step's own owner is known when its inputs join. Lifetimes of single gradients are kept
 * for the questions above and become those of the memory at the end. */
void nb_plan_share(nb_planning *p)
{
    for (int32_t s = p->n_steps - 1; s >= 0; s--) {
        const nb_step *step = &p->step[s];
        const nb_node *out = nb_step_last(step);
        nb_node *joined[NB_MAX_IN];
        int32_t n_joined = 0;
        for (int32_t k = 0; passes(step) && p->grad[out->id].bytes && k < step->node[0]->n_in; k++)
            if (may_share(p, s, k, joined, n_joined)) {
                joined[n_joined] = nb_plan_root(step->node[0]->in[k]);
                p->owner[joined[n_joined++]->id] = p->owner[out->id];
            }
    }
    for (int32_t i = 0; i < p->g->n; i++) {
        nb_usage *own = &p->grad[p->owner[i]], *u = &p->grad[i];
        if (own == u)
            continue;
        own->last = own->last > u->last ? own->last : u->last;
        u->bytes = 0;
    }
}
