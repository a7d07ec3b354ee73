/* planning.h - what the passes of a freeze hand on: steps, then lifetimes, then shared gradients (plan.c runs them).
 *
 * One time axis: forward of step i is t = i, its backward t = end - i with end = 2 * n_steps - 1. */
#ifndef NB_CORE_PLANNING_H
#define NB_CORE_PLANNING_H

#include <nibble/extend/fusion.h>

#include "base/memplan.h"

typedef struct {
    nb_graph *g;
    nb_plan_mode mode;
    nb_step *step;                  /* [n_steps] in the graph's arena */
    int32_t n_steps, end;           /* end: the time of the first step's backward */
    int32_t *step_of;               /* [g->n] the step a node belongs to; -1 for leaves and views */
    int32_t *last_reader;           /* [g->n] the last step that reads a value; its own step when nobody does */
    int32_t *owner;                 /* [g->n] the node whose gradient memory this node uses; itself unless shared */
    nb_usage *value, *grad, *saved; /* [g->n] each, of one array */
} nb_planning;

/* The node that owns x's value and gradient: x, or what it is a view of. */
static inline nb_node *nb_plan_root(nb_node *x)
{
    while (x->op->flags & NB_OP_VIEW)
        x = x->in[0];
    return x;
}

/* Cuts the prepared graph into steps (p->step, n_steps, end, step_of) and prepares the fused ones. */
nb_status nb_plan_steps(nb_planning *p);
/* Lets the inputs of steps that pass their gradient on share its memory where nobody is in the way. */
void nb_plan_share(nb_planning *p);
/* Tensors with so many images: as many as there is room for while memory is planned. */
void nb_graph_resize(nb_graph *g, int32_t images);

#endif
