/* block_bottleneck.c - the bottleneck residual block (He et al. 2015): 1x1 to few channels, 3x3 with the stride, 1x1 to many,
 * each with batch norm, the first two with a relu; shortcut, add, relu.
 *
 * The stride is the 3x3 convolution's (ResNet-50 v1.5), not the first's as in the paper. With groups it is the block of
 * ResNeXt (Xie et al. 2017). `repeat` chains blocks; only the first has the stride. */
#include "model/units.h"

#include "base/check.h"

#include <stdio.h>

typedef struct {
    int32_t out, mid, stride, groups, repeat;
    int32_t shortcut;
    bool zero_init;
} bottleneck_attr;

static const nb_key bottleneck_keys[] = {
    NB_KEY_INT(bottleneck_attr, out, NULL, 1, 65536, "output channels (required)"),
    NB_KEY_INT(bottleneck_attr, mid, "0", 0, 65536, "channels of the 3x3 convolution; 0: a quarter of out"),
    NB_KEY_INT(bottleneck_attr, stride, "1", 1, 8, "stride of the first block's 3x3 convolution and shortcut"),
    NB_KEY_INT(bottleneck_attr, groups, "1", 1, 65536, "independent groups of channels in the 3x3 convolution"),
    NB_KEY_INT(bottleneck_attr, repeat, "1", 1, 256, "number of blocks in a row"),
    NB_UNIT_SHORTCUT(bottleneck_attr),
    NB_KEY_BOOL(bottleneck_attr, zero_init, "no",
                "start the last batch norm's gamma at 0, so that a block starts as identity"),
    {0}};

static nb_status one_block(nb_model_builder *b, const char *name, const void *attr, int32_t i, nb_node **x)
{
    const bottleneck_attr *a = attr;
    const int32_t stride = i == 0 ? a->stride : 1, quarter = a->out < 4 ? 1 : a->out / 4,
                  mid = a->mid ? a->mid : quarter;
    nb_node *both[2] = {*x, *x};
    char keys[128];
    snprintf(keys, sizeof keys, "{out: %d, kernel: 1, bias: no}", mid);
    NB_TRY(nb_unit_add(b, name, &(nb_unit){"conv2d", "c1", keys, "", "", NULL}, &both[0]));
    snprintf(keys, sizeof keys, "{out: %d, stride: %d, pad: 1, groups: %d, bias: no}", mid, stride, a->groups);
    NB_TRY(nb_unit_add(b, name, &(nb_unit){"conv2d", "c2", keys, "", "", NULL}, &both[0]));
    snprintf(keys, sizeof keys, "{out: %d, kernel: 1, bias: no}", a->out);
    NB_TRY(nb_unit_add(b, name, &(nb_unit){"conv2d", "c3", keys, a->zero_init ? "{zero_init: yes}" : "", NULL, NULL},
                       &both[0]));
    return nb_unit_residual(b, name, (nb_shortcut)a->shortcut, stride, both, x);
}

static nb_status bottleneck_expand(nb_model_builder *b, const char *name, const void *attr, nb_node *in, nb_node **out)
{
    *out = in;
    return nb_unit_repeat(b, name, ((const bottleneck_attr *)attr)->repeat, one_block, attr, out);
}

const nb_block nb_block_bottleneck = {
    .name = "bottleneck",
    .help = "bottleneck residual block: 1x1, 3x3 and 1x1 convolutions and a shortcut",
    .keys = bottleneck_keys,
    .attr_size = sizeof(bottleneck_attr),
    .expand = bottleneck_expand,
    .examples = (const char *const[]){"bottleneck: {out: 8}", "bottleneck: {out: 16, stride: 2, repeat: 2}",
                                      "bottleneck: {out: 12, mid: 8, groups: 4, shortcut: zeros}", NULL}};
