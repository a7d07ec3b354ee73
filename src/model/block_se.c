/* block_se.c - squeeze-and-excite (Hu et al. 2018): each channel of the input times a factor of 0..1, computed from the
 * means of all channels by two 1x1 convolutions with a relu between them and a gate behind. */
#include <nibble/extend/block.h>
#include <nibble/model.h>

#include "base/check.h"

#include <stdio.h>

enum { GATE_SIGMOID, GATE_HARDSIGMOID };
static const char *const gates[] = {"sigmoid", "hardsigmoid"};

typedef struct {
    int32_t reduce, channels, gate;
} se_attr;

static const nb_key se_keys[] = {
    NB_KEY_INT(se_attr, reduce, "4", 1, 1024, "channels of the input per channel between the convolutions"),
    NB_KEY_INT(se_attr, channels, "0", 0, 65536, "how many these are; 0: as reduce says"),
    NB_KEY_ENUM(se_attr, gate, "sigmoid", "sigmoid|hardsigmoid",
                "what makes a factor of the second convolution's value"),
    {0}};

/* Layer <name>.<part> behind *x, which it becomes. */
static nb_status add(nb_model_builder *b, const char *name, const char *part, const char *op, const char *keys,
                     nb_node **x)
{
    char layer[160];
    snprintf(layer, sizeof layer, "%s.%s", name, part);
    return nb_model_layer(b, op, layer, keys, x, 1, x);
}

static nb_status se_expand(nb_model_builder *b, const char *name, const void *attr, nb_node *in, nb_node **out)
{
    const se_attr *a = attr;
    const int32_t c = nb_channels(&in->out), some = a->channels ? a->channels : c / a->reduce,
                  few = some > 1 ? some : 1;
    nb_node *both[2] = {in, in}, **x = &both[1];
    char keys[64], layer[160];
    NB_TRY(add(b, name, "pool", "avgpool", "{global: yes}", x));
    snprintf(keys, sizeof keys, "{out: %d, kernel: 1}", few);
    NB_TRY(add(b, name, "squeeze", "conv2d", keys, x));
    NB_TRY(add(b, name, "relu", "relu", "", x));
    snprintf(keys, sizeof keys, "{out: %d, kernel: 1}", c);
    NB_TRY(add(b, name, "excite", "conv2d", keys, x));
    NB_TRY(add(b, name, "gate", gates[a->gate], "", x));
    snprintf(layer, sizeof layer, "%s.mul", name);
    return nb_model_layer(b, "mul", layer, "", both, 2, out);
}

const nb_block nb_block_se = {
    .name = "se",
    .help = "squeeze-and-excite: each channel times a factor that depends on the means of all",
    .keys = se_keys,
    .attr_size = sizeof(se_attr),
    .expand = se_expand,
    .examples = (const char *const[]){"se", "se: {reduce: 8, gate: hardsigmoid}", "se: {channels: 3}", NULL}};
