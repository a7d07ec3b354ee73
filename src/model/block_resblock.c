/* block_resblock.c - the basic residual block (He et al. 2015): conv3x3-bn-relu-conv3x3-bn, shortcut, add, relu.
 *
 * The shortcut is the input itself, or when stride or channels change a strided 1x1 convolution with batch norm, or every
 * stride-th pixel and channels of zeros (option A: no parameters).
 * `repeat` chains blocks; only the first has the stride. */
#include <nibble/extend/block.h>
#include <nibble/model.h>

#include "base/check.h"

#include <stdio.h>

typedef struct {
    int32_t out, stride, repeat;
    int32_t shortcut;
    bool zero_init;
} resblock_attr;

enum { SHORTCUT_CONV, SHORTCUT_ZEROS };

static const nb_key resblock_keys[] = {
    NB_KEY_INT(resblock_attr, out, NULL, 1, 65536, "output channels (required)"),
    NB_KEY_INT(resblock_attr, stride, "1", 1, 8, "stride of the first block's first convolution and shortcut"),
    NB_KEY_INT(resblock_attr, repeat, "1", 1, 256, "number of blocks in a row"),
    NB_KEY_ENUM(resblock_attr, shortcut, "conv", "conv|zeros",
                "where stride or channels change: a 1x1 convolution, or pixels left out and channels of zeros"),
    NB_KEY_BOOL(resblock_attr, zero_init, "no",
                "start the last batch norm's gamma at 0, so that a block starts as identity"),
    {0}};

/* conv -> batchnorm [-> relu], named <name>.<part>, <name>.<part>.bn, <name>.<part>.relu */
typedef struct {
    const char *part;
    int32_t out, kernel, stride;
    bool relu, zero_init;
} unit;

static nb_status add_unit(nb_model_builder *b, const char *name, const unit *u, nb_node *in, nb_node **out)
{
    char layer[160], keys[128];
    snprintf(layer, sizeof layer, "%s.%s", name, u->part);
    snprintf(keys, sizeof keys, "{out: %d, kernel: %d, stride: %d, pad: %d, bias: no}", u->out, u->kernel, u->stride,
             u->kernel / 2);
    nb_node *x;
    NB_TRY(nb_model_layer(b, "conv2d", layer, keys, &in, 1, &x));
    snprintf(layer, sizeof layer, "%s.%s.bn", name, u->part);
    NB_TRY(nb_model_layer(b, "batchnorm", layer, u->zero_init ? "{zero_init: yes}" : "", &x, 1, &x));
    snprintf(layer, sizeof layer, "%s.%s.relu", name, u->part);
    if (u->relu)
        NB_TRY(nb_model_layer(b, "relu", layer, "", &x, 1, &x));
    *out = x;
    return NB_OK;
}

/* <name>.short.slice, <name>.short */
static nb_status add_zeros(nb_model_builder *b, const char *name, int32_t out_channels, int32_t stride, nb_node *in,
                           nb_node **out)
{
    const int32_t more = out_channels - nb_channels(&in->out);
    char layer[160], keys[96];
    nb_node *x = in;
    if (more < 0)
        return nb_block_fail(b, name, NB_E_CONFIG,
                             "shortcut: zeros: %d channels cannot become %d: the conv shortcut can",
                             nb_channels(&in->out), out_channels);
    if (stride > 1) {
        snprintf(layer, sizeof layer, "%s.short.slice", name);
        snprintf(keys, sizeof keys, "{rows: \"::%d\", cols: \"::%d\"}", stride, stride);
        NB_TRY(nb_model_layer(b, "slice", layer, keys, &x, 1, &x));
    }
    snprintf(layer, sizeof layer, "%s.short", name);
    snprintf(keys, sizeof keys, "{channels: [%d, %d]}", more / 2, more - more / 2);
    if (more > 0)
        NB_TRY(nb_model_layer(b, "pad", layer, keys, &x, 1, &x));
    *out = x;
    return NB_OK;
}

static nb_status one_block(nb_model_builder *b, const char *name, const resblock_attr *a, int32_t stride, nb_node *in,
                           nb_node **out)
{
    nb_node *x[2], *sum;
    char layer[160];
    NB_TRY(add_unit(b, name, &(unit){"c1", a->out, 3, stride, true, false}, in, &x[0]));
    NB_TRY(add_unit(b, name, &(unit){"c2", a->out, 3, 1, false, a->zero_init}, x[0], &x[0]));
    x[1] = in;
    const bool changes = stride != 1 || nb_channels(&in->out) != a->out;
    if (changes && a->shortcut == SHORTCUT_ZEROS)
        NB_TRY(add_zeros(b, name, a->out, stride, in, &x[1]));
    else if (changes)
        NB_TRY(add_unit(b, name, &(unit){"short", a->out, 1, stride, false, false}, in, &x[1]));
    snprintf(layer, sizeof layer, "%s.add", name);
    NB_TRY(nb_model_layer(b, "add", layer, "", x, 2, &sum));
    snprintf(layer, sizeof layer, "%s.relu", name);
    return nb_model_layer(b, "relu", layer, "", &sum, 1, out);
}

static nb_status resblock_expand(nb_model_builder *b, const char *name, const void *attr, nb_node *in, nb_node **out)
{
    const resblock_attr *a = attr;
    nb_node *x = in;
    for (int32_t i = 0; i < a->repeat; i++) {
        char block[128];
        int len = a->repeat > 1 ? snprintf(block, sizeof block, "%s.%d", name, i + 1)
                                : snprintf(block, sizeof block, "%s", name);
        if (len < 0 || (size_t)len >= sizeof block)
            return nb_block_fail(b, name, NB_E_CONFIG, "the name is too long");
        NB_TRY(one_block(b, block, a, i == 0 ? a->stride : 1, x, &x));
    }
    *out = x;
    return NB_OK;
}

const nb_block nb_block_resblock = {
    .name = "resblock",
    .help = "basic residual block: two 3x3 convolutions and a shortcut",
    .keys = resblock_keys,
    .attr_size = sizeof(resblock_attr),
    .expand = resblock_expand,
    .examples = (const char *const[]){"resblock: {out: 8}", "resblock: {out: 16, stride: 2, repeat: 2}",
                                      "resblock: {out: 11, stride: 2, shortcut: zeros}", NULL}};
