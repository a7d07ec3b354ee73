/* block_invres.c - the inverted residual of MobileNetV2 (Sandler et al. 2018): 1x1 expansion, depthwise convolution,
 * 1x1 projection, each with batch norm, the first two with a capped relu.
 *
 * The projection stays linear: it leads to few channels, where a relu would lose what it clips. The input is added when
 * neither size nor channels change. With expand: 1 there is no expansion. `repeat` chains blocks; only the first has
 * the stride. */
#include <nibble/extend/block.h>
#include <nibble/model.h>

#include "base/check.h"

#include <math.h>
#include <stdio.h>

typedef struct {
    int32_t out, expand, kernel, stride, repeat;
    float cap;
} invres_attr;

static const nb_key invres_keys[] = {
    NB_KEY_INT(invres_attr, out, NULL, 1, 65536, "output channels (required)"),
    NB_KEY_INT(invres_attr, expand, "6", 1, 64, "channels between expansion and projection per input channel"),
    NB_KEY_INT(invres_attr, kernel, "3", 1, 31, "rows and columns of the depthwise window; odd"),
    NB_KEY_INT(invres_attr, stride, "1", 1, 8, "stride of the first block's depthwise convolution"),
    NB_KEY_INT(invres_attr, repeat, "1", 1, 256, "number of blocks in a row"),
    NB_KEY_FLOAT(invres_attr, cap, "6", 1e-6, INFINITY, "upper bound of the two relus; inf: none"),
    {0}};

/* Layer `op` reading *x, then batchnorm, then a relu if there is a cap: <name>.<part>, <name>.<part>.bn,
 * <name>.<part>.relu. *x becomes the last. */
typedef struct {
    const char *op, *part, *keys;
    const float *cap;
} unit;

static nb_status add_unit(nb_model_builder *b, const char *name, const unit *u, nb_node **x)
{
    char layer[160], relu[64];
    snprintf(layer, sizeof layer, "%s.%s", name, u->part);
    NB_TRY(nb_model_layer(b, u->op, layer, u->keys, x, 1, x));
    snprintf(layer, sizeof layer, "%s.%s.bn", name, u->part);
    NB_TRY(nb_model_layer(b, "batchnorm", layer, "", x, 1, x));
    if (!u->cap)
        return NB_OK;
    snprintf(layer, sizeof layer, "%s.%s.relu", name, u->part);
    snprintf(relu, sizeof relu, "{cap: %.9g}", (double)*u->cap);
    return nb_model_layer(b, "relu", layer, relu, x, 1, x);
}

static nb_status one_block(nb_model_builder *b, const char *name, const invres_attr *a, int32_t stride, nb_node **x)
{
    nb_node *both[2] = {*x, *x};
    const int32_t c = nb_channels(&both[0]->out);
    char layer[160], keys[128];
    if (a->expand > 1) {
        snprintf(keys, sizeof keys, "{out: %lld, kernel: 1, bias: no}", (long long)c * a->expand);
        NB_TRY(add_unit(b, name, &(unit){"conv2d", "expand", keys, &a->cap}, &both[1]));
    }
    snprintf(keys, sizeof keys, "{kernel: %d, stride: %d, pad: %d, bias: no}", a->kernel, stride, a->kernel / 2);
    NB_TRY(add_unit(b, name, &(unit){"dwconv2d", "depth", keys, &a->cap}, &both[1]));
    snprintf(keys, sizeof keys, "{out: %d, kernel: 1, bias: no}", a->out);
    NB_TRY(add_unit(b, name, &(unit){"conv2d", "project", keys, NULL}, &both[1]));
    *x = both[1];
    if (stride != 1 || c != a->out)
        return NB_OK;
    snprintf(layer, sizeof layer, "%s.add", name);
    return nb_model_layer(b, "add", layer, "", both, 2, x);
}

static nb_status invres_expand(nb_model_builder *b, const char *name, const void *attr, nb_node *in, nb_node **out)
{
    const invres_attr *a = attr;
    nb_node *x = in;
    if (a->kernel % 2 == 0)
        return nb_block_fail(b, name, NB_E_CONFIG, "kernel: %d: must be odd", a->kernel);
    for (int32_t i = 0; i < a->repeat; i++) {
        char block[128];
        int len = a->repeat > 1 ? snprintf(block, sizeof block, "%s.%d", name, i + 1)
                                : snprintf(block, sizeof block, "%s", name);
        if (len < 0 || (size_t)len >= sizeof block)
            return nb_block_fail(b, name, NB_E_CONFIG, "the name is too long");
        NB_TRY(one_block(b, block, a, i == 0 ? a->stride : 1, &x));
    }
    *out = x;
    return NB_OK;
}

const nb_block nb_block_invres = {
    .name = "invres",
    .help = "inverted residual of MobileNetV2: 1x1 expansion, depthwise convolution, linear 1x1 projection",
    .keys = invres_keys,
    .attr_size = sizeof(invres_attr),
    .expand = invres_expand,
    .examples = (const char *const[]){"invres: {out: 8}", "invres: {out: 16, stride: 2, repeat: 3}",
                                      "invres: {out: 12, expand: 1, kernel: 5, cap: inf}", NULL}};
