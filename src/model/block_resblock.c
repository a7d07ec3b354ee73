/* block_resblock.c - the basic residual block (He et al. 2015): conv3x3-bn-relu-conv3x3-bn, shortcut, add, relu.
 *
 * The shortcut is the input itself, or when stride or channels change what the key says; zeros (option A of the paper)
 * have no parameters. `repeat` chains blocks; only the first has the stride. */
#include "model/units.h"

#include "base/check.h"

#include <stdio.h>

typedef struct {
    int32_t out, stride, repeat;
    int32_t shortcut;
    bool zero_init;
} resblock_attr;

static const nb_key resblock_keys[] = {
    NB_KEY_INT(resblock_attr, out, NULL, 1, 65536, "output channels (required)"),
    NB_KEY_INT(resblock_attr, stride, "1", 1, 8, "stride of the first block's first convolution and shortcut"),
    NB_KEY_INT(resblock_attr, repeat, "1", 1, 256, "number of blocks in a row"),
    NB_UNIT_SHORTCUT(resblock_attr),
    NB_KEY_BOOL(resblock_attr, zero_init, "no",
                "start the last batch norm's gamma at 0, so that a block starts as identity"),
    {0}};

static nb_status one_block(nb_model_builder *b, const char *name, const void *attr, int32_t i, nb_node **x)
{
    const resblock_attr *a = attr;
    const int32_t stride = i == 0 ? a->stride : 1;
    nb_node *both[2] = {*x, *x};
    char keys[96];
    snprintf(keys, sizeof keys, "{out: %d, stride: %d, pad: 1, bias: no}", a->out, stride);
    NB_TRY(nb_unit_add(b, name, &(nb_unit){"conv2d", "c1", keys, "", "", NULL}, &both[0]));
    snprintf(keys, sizeof keys, "{out: %d, pad: 1, bias: no}", a->out);
    NB_TRY(nb_unit_add(b, name, &(nb_unit){"conv2d", "c2", keys, a->zero_init ? "{zero_init: yes}" : "", NULL, NULL},
                       &both[0]));
    return nb_unit_residual(b, name, (nb_shortcut)a->shortcut, stride, both, x);
}

static nb_status resblock_expand(nb_model_builder *b, const char *name, const void *attr, nb_node *in, nb_node **out)
{
    *out = in;
    return nb_unit_repeat(b, name, ((const resblock_attr *)attr)->repeat, one_block, attr, out);
}

const nb_block nb_block_resblock = {.name = "resblock",
                                    .help = "basic residual block: two 3x3 convolutions and a shortcut",
                                    .keys = resblock_keys,
                                    .attr_size = sizeof(resblock_attr),
                                    .expand = resblock_expand,
                                    .examples = (const char *const[]){"resblock: {out: 8}",
                                                                      "resblock: {out: 16, stride: 2, repeat: 2}",
                                                                      "resblock: {out: 11, stride: 2, shortcut: zeros}",
                                                                      "resblock: {out: 6, shortcut: plain}", NULL}};
