/* train_layers.c - see train_layers.h. Of several names that a leaf belongs to the longest counts: a layer inside a block may
 * differ from it. */
#include "train/train_layers.h"

#include <nibble/extend/op.h>

#include "base/arena.h"
#include "base/check.h"

#include <stdio.h>
#include <string.h>

enum { MOST_NAMES = 4096 };

const nb_key nb_train_layer_table[] = {
    NB_KEY_FLOAT(nb_layer_keys, lr, "1", 0, 1000,
                 "factor on the phase's learning rate; 0 = its parameters stand still"),
    {0},
};

bool nb_leaf_is_of(const char *leaf, const char *layer)
{
    const size_t n = strlen(layer);
    return strncmp(leaf, layer, n) == 0 && leaf[n] == '.';
}

nb_status nb_layers_bind(nb_ctx *ctx, nb_train_plan *p)
{
    const nb_conf *c = p->keys.layers;
    char where[192];
    if (nb_conf_is_empty(c))
        return NB_OK;
    if (!nb_conf_is_map(c))
        return nb_conf_fail(ctx, c, "train.layers", NB_E_CONFIG,
                            "must be a map from layer names, like {stem: {lr: 0}}");
    p->layer = nb_arena_array(p->arena, (size_t)nb_conf_count(c), sizeof *p->layer);
    if (!p->layer)
        return NB_E_NOMEM;
    for (; p->n_layers < nb_conf_count(c); p->n_layers++) {
        nb_layer_keys *k = &p->layer[p->n_layers];
        k->name = nb_conf_key_at(c, p->n_layers);
        snprintf(where, sizeof where, "train.layers.%.128s", k->name);
        NB_TRY(nb_conf_bind(ctx, nb_conf_at(c, p->n_layers), where, &(nb_binding){nb_train_layer_table, k}, 1));
    }
    return NB_OK;
}

nb_status nb_layer_is_there(nb_ctx *ctx, const nb_graph *g, const char *layer, const nb_conf *c, const char *where)
{
    const char *names[MOST_NAMES];
    int32_t n = 0;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *node = g->node[i];
        if ((node->flags & NB_NODE_PARAM) && nb_leaf_is_of(node->name, layer))
            return NB_OK;
        if (!(node->flags & NB_NODE_LEAF) && n < MOST_NAMES)
            names[n++] = node->name;
    }
    return nb_conf_fail(ctx, c, where, NB_E_CONFIG, "%.128s: the network has no such layer with parameters%s", layer,
                        nb_did_you_mean(layer, names, n).text);
}

nb_status nb_layers_check(nb_ctx *ctx, const nb_train_plan *p, const nb_graph *g)
{
    for (int32_t i = 0; i < p->n_layers; i++)
        NB_TRY(nb_layer_is_there(ctx, g, p->layer[i].name, nb_conf_at(p->keys.layers, i), "train.layers"));
    return NB_OK;
}

float nb_layers_rate(const nb_train_plan *p, const char *leaf)
{
    float rate = 1;
    size_t longest = 0;
    for (int32_t i = 0; i < p->n_layers; i++) {
        const size_t n = strlen(p->layer[i].name);
        if (n > longest && nb_leaf_is_of(leaf, p->layer[i].name)) {
            longest = n;
            rate = p->layer[i].lr;
        }
    }
    return rate;
}
