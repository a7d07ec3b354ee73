/* fold.c - folding of batch norm into weights before they are quantized.
 *
 * Static (white paper 4.2): W~ = gamma W / sqrt(var + eps), b~ = beta + (b - mean) gamma / sqrt(var + eps), once and for
 * all. Structure and current values change together: load the float parameters first, then fold.
 * Corrected: again in every step; what that takes is the batch norm's own affair (op->fold). Leaves stay as they are. */
#include <nibble/extend/quant.h>

#include "base/check.h"

/* The batch norm must be the only reader of a MAC. */
static bool foldable(const nb_graph *g, const nb_node *n)
{
    return n->op->role == NB_ROLE_AFFINE && n->op->affine && n->in[0]->op->role == NB_ROLE_MAC &&
           nb_node_consumers(g, n->in[0]) == 1;
}

static nb_status fold_one(nb_graph *g, nb_node *bn)
{
    nb_node *mac = bn->in[0];
    int32_t oc = mac->in[1]->out.shape.d[0];
    if (mac->n_in < 3)
        NB_TRY(nb_graph_late_leaf(g, mac, "bias", nb_shape_of(1, oc, 0, 0, 0), NB_NODE_PARAM, NULL));
    double *mul = nb_alloc(g->ctx, 2 * (size_t)oc * sizeof *mul);
    if (!mul)
        return NB_E_NOMEM;
    double *add = mul + oc;
    bn->op->affine(bn, mul, add);
    float *w = mac->in[1]->out.data, *b = mac->in[2]->out.data;
    int64_t per = nb_count(&mac->in[1]->out) / oc;
    for (int32_t c = 0; c < oc; c++) {
        for (int64_t k = 0; k < per; k++)
            w[c * per + k] = (float)(w[c * per + k] * mul[c]);
        b[c] = (float)(b[c] * mul[c] + add[c]);
    }
    nb_free(g->ctx, mul);
    nb_graph_rewire(g, bn, mac, NULL);
    return NB_OK;
}

nb_status nb_quant_fold(nb_graph *g)
{
    NB_ASSERT(!g->frozen && !g->quantized);
    for (int32_t i = g->n - 1; i >= 0; i--) {
        nb_node *bn = g->node[i];
        if (!foldable(g, bn))
            continue;
        NB_TRY(fold_one(g, bn));
        nb_graph_remove(g, bn->id);
        for (int32_t k = 1; k < bn->n_in; k++)
            nb_graph_remove(g, bn->in[k]->id);
        i = g->n; /* ids moved: start over from the end */
    }
    return NB_OK;
}

nb_status nb_quant_fold_corrected(nb_graph *g, const nb_conf *quant)
{
    NB_ASSERT(!g->frozen && !g->quantized);
    int32_t folded = 0;
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *n = g->node[i];
        if (!n->op->fold || !foldable(g, n))
            continue;
        NB_TRY(n->op->fold(g, n));
        folded++;
        i = n->id; /* it moved up */
    }
    if (folded)
        return NB_OK;
    return nb_conf_fail(g->ctx, nb_conf_get(quant, "batchnorm"), "quant", NB_E_CONFIG,
                        "batchnorm: fold_corrected: changes nothing: no batch norm of the model reads a conv or linear "
                        "layer that nothing else reads; leave the key out, or say keep");
}
