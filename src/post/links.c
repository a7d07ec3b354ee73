/* links.c - see links.h. */
#include "post/links.h"

#include "core/oihw.h"

#include <math.h>

float *nb_link_leaf(const nb_node *n, const char *what)
{
    nb_node *leaf = nb_leaf_of(n, what);
    return leaf ? leaf->out.data : NULL;
}

bool nb_link_is_norm(const nb_node *n)
{
    return n->op->role == NB_ROLE_AFFINE && nb_leaf_of(n, "gamma") && nb_leaf_of(n, "beta");
}

int64_t nb_link_filter_size(const nb_node *mac)
{
    return nb_count(&mac->in[1]->out) / mac->in[1]->out.shape.d[0];
}

nb_link_reader nb_link_reader_of(const nb_node *sink, int32_t channels)
{
    const nb_tensor *x = &sink->in[0]->out, *w = &sink->in[1]->out;
    const bool rows = sink->out.shape.ndim == 2;
    const int64_t values = rows ? nb_count(x) / x->shape.d[0] : nb_channels(x);
    nb_link_reader r = {
        .wide = w->shape.d[3], .size = nb_link_filter_size(sink), .filters = w->shape.d[0], .channels = channels};
    r.filters_each = r.filters / (values / r.wide);
    return r;
}

/* Scales each channel through: max(0, x), windows of one channel, views, dropout. */
static bool homogeneous(const nb_node *n)
{
    const float *cap = nb_bound_key(n, "cap", NB_K_FLOAT);
    if (n->op->role == NB_ROLE_CLAMP)
        return cap && isinf(*cap);
    return (n->op->role == NB_ROLE_KEEP && !(n->op->flags & NB_OP_MOVES)) || (n->op->flags & NB_OP_HOMOGENEOUS);
}

static const char *why_not(const nb_graph *g, const nb_node *n)
{
    if (nb_node_consumers(g, n) != 1)
        return "which several layers read";
    if (n->op->flags & NB_OP_MOVES)
        return "which moves channels, or pads with zeros";
    switch (n->op->role) {
    case NB_ROLE_CLAMP:
        return "whose cap is one for all channels; a relu without `cap` could be crossed";
    case NB_ROLE_JOIN:
        return "which joins values";
    case NB_ROLE_PRODUCT:
        return "which multiplies values";
    case NB_ROLE_INPUT:
        return "the images";
    default:
        return "which scales values in a way of its own";
    }
}

nb_link nb_link_find(const nb_graph *g, const nb_node *sink)
{
    nb_link l = {.sink = sink};
    const nb_node *n = sink->in[0];
    while (nb_node_consumers(g, n) == 1 && homogeneous(n)) {
        l.relu = l.relu || n->op->role == NB_ROLE_CLAMP;
        n = n->in[0];
    }
    l.stop = n;
    if (nb_node_consumers(g, n) == 1 && (n->op->role == NB_ROLE_MAC || nb_link_is_norm(n)))
        l.source = n;
    else
        l.why = why_not(g, n);
    l.channels = nb_channels(&n->out);
    return l;
}
