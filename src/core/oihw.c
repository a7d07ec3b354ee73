/* oihw.c - see oihw.h. */
#include "core/oihw.h"

#include <string.h>

nb_node *nb_leaf_of(const nb_node *layer, const char *what)
{
    size_t n = strlen(layer->name);
    for (int32_t k = 0; k < layer->n_in; k++) {
        nb_node *x = layer->in[k];
        if ((x->flags & (NB_NODE_PARAM | NB_NODE_BUFFER)) && strncmp(x->name, layer->name, n) == 0 &&
            x->name[n] == '.' && strcmp(x->name + n + 1, what) == 0)
            return x;
    }
    return NULL;
}

const void *nb_bound_key(const nb_node *layer, const char *name, nb_kind kind)
{
    for (const nb_key *k = layer->op->keys; k && k->name; k++)
        if (k->kind == kind && strcmp(k->name, name) == 0)
            return (const char *)layer->attr + k->offset;
    return NULL;
}

/* The image whose pixels are the values of x's rows, through everything that works value by value; false when there is
 * none or its order does not matter. */
static bool image_behind(const nb_node *x, nb_oihw *r)
{
    while (x->out.shape.ndim == 2 && x->n_in > 0 &&
           (x->op->flags & NB_OP_VIEW || x->op->role == NB_ROLE_CLAMP || x->op->role == NB_ROLE_AFFINE ||
            x->op->flags & NB_OP_TRAIN_ONLY))
        x = x->in[0];
    const nb_shape *s = &x->out.shape;
    if (s->ndim != 4 || s->d[1] * (int64_t)s->d[2] == 1)
        return false;
    r->h = s->d[1];
    r->w = s->d[2];
    r->c = s->d[3];
    return true;
}

nb_oihw nb_oihw_of(const nb_node *layer, const nb_node *leaf)
{
    const nb_shape *s = &leaf->out.shape;
    nb_oihw r = {.o = 1, .y = 1, .x = 1, .i = s->d[s->ndim - 1]};
    if (s->ndim == 4) {
        r.o = s->d[0];
        r.y = s->d[1];
        r.x = s->d[2];
    }
    const nb_node *x = layer->in[0];
    bool per_column =
        layer->op->role == NB_ROLE_AFFINE ? x->out.shape.ndim == 2 : layer->out.shape.ndim == 2 && s->ndim == 4;
    r.columns = per_column && image_behind(x, &r);
    r.same = !r.columns && r.y * r.x == 1;
    return r;
}

int64_t nb_oihw_place(const nb_oihw *r, int64_t o, int64_t y, int64_t x, int64_t i)
{
    if (!r->columns)
        return ((o * r->i + i) * r->y + y) * r->x + x;
    int64_t c = i % r->c, pixel = i / r->c;
    return o * r->i + c * r->h * r->w + pixel;
}
