/* ref_optim.c - see ref_optim.h. */
#include "ref/ref_optim.h"

#include <math.h>

void ref_optim_sgd(const ref_optim *o, ref_optim_state *s, double g)
{
    s->t++;
    g += o->weight_decay * s->w;
    if (o->momentum != 0) {
        s->m = s->t == 1 ? g : o->momentum * s->m + (1 - o->dampening) * g;
        g = o->nesterov ? g + o->momentum * s->m : s->m;
    }
    s->w -= o->lr * g;
}

void ref_optim_adam(const ref_optim *o, ref_optim_state *s, double g)
{
    s->t++;
    if (o->decoupled)
        s->w -= o->lr * o->weight_decay * s->w;
    else
        g += o->weight_decay * s->w;
    s->m = o->beta1 * s->m + (1 - o->beta1) * g;
    s->v = o->beta2 * s->v + (1 - o->beta2) * g * g;
    double mean = s->m / (1 - pow(o->beta1, s->t)), square = s->v / (1 - pow(o->beta2, s->t));
    s->w -= o->lr * mean / (sqrt(square) + o->eps);
}
