/* units.c - what blocks are made of (units.h). */
#include "model/units.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 160, MAX_ACTIVATIONS = 64 };

static bool is_activation(const nb_op *o)
{
    return (o->role == NB_ROLE_CLAMP || o->role == NB_ROLE_TABLE) && o->max_in == 1 && !(o->flags & NB_OP_INTERNAL);
}

/* What `act` says; *kind NULL: none. */
static nb_status read_act(nb_model_builder *b, const char *name, const nb_conf *act, const char **kind,
                          const nb_conf **keys)
{
    const char *names[MAX_ACTIVATIONS] = {"none"};
    int32_t n = 1;
    NB_TRY(nb_conf_named(nb_block_ctx(b), act, name, kind, keys));
    if (strcmp(*kind, "none") == 0) {
        *kind = NULL;
        return NB_OK;
    }
    for (int32_t i = 0; nb_layers[i]; i++) {
        if (!is_activation(nb_layers[i]))
            continue;
        if (strcmp(nb_layers[i]->name, *kind) == 0)
            return NB_OK;
        NB_ASSERT(n < MAX_ACTIVATIONS);
        names[n++] = nb_layers[i]->name;
    }
    return nb_conf_unknown(nb_block_ctx(b), act, name, "activation", names, n);
}

static nb_status add_act(nb_model_builder *b, const char *unit, const nb_unit *u, nb_node **x)
{
    char layer[NAME_BYTES + 40];
    const char *kind;
    const nb_conf *keys;
    if (!u->act) {
        snprintf(layer, sizeof layer, "%s.relu", unit);
        return nb_model_layer(b, "relu", layer, u->relu, x, 1, x);
    }
    snprintf(layer, sizeof layer, "%s.act", unit);
    NB_TRY(read_act(b, layer, u->act, &kind, &keys));
    if (!kind)
        return NB_OK;
    snprintf(layer, sizeof layer, "%s.%s", unit, kind);
    return nb_model_add(b, kind, layer, keys, x, 1, x);
}

nb_status nb_unit_add(nb_model_builder *b, const char *name, const nb_unit *u, nb_node **x)
{
    char unit[NAME_BYTES], layer[NAME_BYTES + 8];
    snprintf(unit, sizeof unit, "%s%s%s", name, u->part[0] ? "." : "", u->part);
    NB_TRY(nb_model_layer(b, u->op, unit, u->keys, x, 1, x));
    snprintf(layer, sizeof layer, "%s.bn", unit);
    if (u->norm)
        NB_TRY(nb_model_layer(b, "batchnorm", layer, u->norm, x, 1, x));
    return u->relu ? add_act(b, unit, u, x) : NB_OK;
}

/* <name>.short.slice, <name>.short */
static nb_status add_zeros(nb_model_builder *b, const char *name, int32_t out, int32_t stride, nb_node **x)
{
    const int32_t more = out - nb_channels(&(*x)->out);
    char layer[NAME_BYTES], keys[96];
    if (more < 0)
        return nb_block_fail(b, name, NB_E_CONFIG,
                             "shortcut: zeros: %d channels cannot become %d: the conv shortcut can",
                             nb_channels(&(*x)->out), out);
    if (stride > 1) {
        snprintf(layer, sizeof layer, "%s.short.slice", name);
        snprintf(keys, sizeof keys, "{rows: \"::%d\", cols: \"::%d\"}", stride, stride);
        NB_TRY(nb_model_layer(b, "slice", layer, keys, x, 1, x));
    }
    snprintf(layer, sizeof layer, "%s.short", name);
    snprintf(keys, sizeof keys, "{channels: [%d, %d]}", more / 2, more - more / 2);
    return more > 0 ? nb_model_layer(b, "pad", layer, keys, x, 1, x) : NB_OK;
}

static nb_status add_shortcut(nb_model_builder *b, const char *name, nb_shortcut kind, int32_t out, int32_t stride,
                              nb_node **x)
{
    char keys[96];
    if (stride == 1 && nb_channels(&(*x)->out) == out)
        return NB_OK;
    if (kind == NB_SHORTCUT_ZEROS)
        return add_zeros(b, name, out, stride, x);
    const bool plain = kind == NB_SHORTCUT_PLAIN;
    snprintf(keys, sizeof keys, "{out: %d, kernel: 1, stride: %d, bias: %s}", out, stride, plain ? "yes" : "no");
    return nb_unit_add(b, name, &(nb_unit){.op = "conv2d", .part = "short", .keys = keys, .norm = plain ? NULL : ""},
                       x);
}

nb_status nb_unit_residual(nb_model_builder *b, const char *name, nb_shortcut kind, int32_t stride,
                           nb_node *const both[2], nb_node **out)
{
    nb_node *x[2] = {both[0], both[1]}, *sum;
    char layer[NAME_BYTES];
    NB_TRY(add_shortcut(b, name, kind, nb_channels(&x[0]->out), stride, &x[1]));
    snprintf(layer, sizeof layer, "%s.add", name);
    NB_TRY(nb_model_layer(b, "add", layer, "", x, 2, &sum));
    snprintf(layer, sizeof layer, "%s.relu", name);
    return nb_model_layer(b, "relu", layer, "", &sum, 1, out);
}

nb_status nb_unit_repeat(nb_model_builder *b, const char *name, int32_t repeat, nb_unit_block *block, const void *attr,
                         nb_node **x)
{
    for (int32_t i = 0; i < repeat; i++) {
        char one[128];
        int len = repeat > 1 ? snprintf(one, sizeof one, "%s.%d", name, i + 1) : snprintf(one, sizeof one, "%s", name);
        if (len < 0 || (size_t)len >= sizeof one)
            return nb_block_fail(b, name, NB_E_CONFIG, "the name is too long");
        NB_TRY(block(b, one, attr, i, x));
    }
    return NB_OK;
}
