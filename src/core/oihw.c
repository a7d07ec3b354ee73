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

static bool value_by_value(const nb_node *x)
{
    return x->op->flags & (NB_OP_VIEW | NB_OP_TRAIN_ONLY) || x->op->role == NB_ROLE_CLAMP ||
           x->op->role == NB_ROLE_AFFINE || x->op->role == NB_ROLE_TABLE;
}

static bool joins(const nb_node *x)
{
    return x->op->role == NB_ROLE_JOIN || x->op->role == NB_ROLE_PRODUCT;
}

/* An input as wide as x; NULL: x has its inputs side by side. */
static const nb_node *whole_input(const nb_node *x)
{
    for (int32_t k = 0; k < x->n_in; k++)
        if (nb_channels(&x->in[k]->out) == nb_channels(&x->out))
            return x->in[k];
    return NULL;
}

/* Channel by channel where an image was flattened; through everything that works value by value, and joins part by part. */
int64_t nb_oihw_column(const nb_node *x, int64_t i)
{
    while (x->out.shape.ndim == 2 && x->n_in > 0 && (value_by_value(x) || joins(x))) {
        const nb_node *whole = joins(x) ? whole_input(x) : x->in[0];
        if (whole) { /* all parts of a sum have one order */
            x = whole;
            continue;
        }
        int64_t first = 0;
        int32_t k = 0;
        while (i - first >= nb_channels(&x->in[k]->out))
            first += nb_channels(&x->in[k++]->out);
        return first + nb_oihw_column(x->in[k], i - first);
    }
    const nb_shape *s = &x->out.shape;
    if (s->ndim != 4)
        return i;
    return i % s->d[3] * s->d[1] * s->d[2] + i / s->d[3];
}

static bool moves(const nb_node *x)
{
    const int64_t n = nb_count(&x->out) / x->out.shape.d[0];
    for (int64_t i = 0; i < n; i++)
        if (nb_oihw_column(x, i) != i)
            return true;
    return false;
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
    const bool *turned = nb_bound_key(layer, "turned", NB_K_BOOL);
    const int32_t *groups = nb_bound_key(layer, "groups", NB_K_INT);
    r.turned = turned && *turned && s->ndim == 4;
    r.groups = groups ? *groups : 1;
    const nb_node *x = layer->in[0];
    const bool per_channel = layer->op->role == NB_ROLE_AFFINE || layer->op->role == NB_ROLE_TABLE;
    const bool per_column = per_channel ? x->out.shape.ndim == 2 && nb_count(&leaf->out) == nb_channels(&x->out)
                                        : layer->out.shape.ndim == 2 && s->ndim == 4;
    r.rows = x;
    r.columns = per_column && moves(x);
    r.same = !r.columns && !r.turned && r.y * r.x == 1;
    return r;
}

void nb_oihw_sizes(const nb_oihw *r, int64_t sizes[4])
{
    sizes[0] = r->turned ? r->i * r->groups : r->o;
    sizes[1] = r->turned ? r->o / r->groups : r->i;
    sizes[2] = r->y;
    sizes[3] = r->x;
}

int64_t nb_oihw_place(const nb_oihw *r, int64_t o, int64_t y, int64_t x, int64_t i)
{
    if (r->turned) {
        const int64_t each = r->o / r->groups;
        return (((o / each * r->i + i) * each + o % each) * r->y + r->y - 1 - y) * r->x + r->x - 1 - x;
    }
    if (!r->columns)
        return ((o * r->i + i) * r->y + y) * r->x + x;
    return o * r->i + nb_oihw_column(r->rows, i);
}
