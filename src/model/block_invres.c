/* block_invres.c - the inverted residual of MobileNetV2 (Sandler et al. 2018): 1x1 expansion, depthwise convolution,
 * 1x1 projection, each with batch norm, the first two with a capped relu. With se and another activation it is the block of
 * MobileNetV3 (Howard et al. 2019).
 *
 * The projection stays linear: it leads to few channels, where a relu would lose what it clips. The input is added when
 * neither size nor channels change. There is no expansion to as many channels as there are. `repeat` chains blocks; only
 * the first has the stride. */
#include "model/units.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>

typedef struct {
    int32_t out, expand, expanded, kernel, stride, repeat;
    float cap;
    const nb_conf *se, *act;
} invres_attr;

static const nb_key invres_keys[] = {
    NB_KEY_INT(invres_attr, out, NULL, 1, 65536, "output channels (required)"),
    NB_KEY_INT(invres_attr, expand, "6", 1, 64, "channels between expansion and projection per input channel"),
    NB_KEY_INT(invres_attr, expanded, "0", 0, 65536, "channels between them; 0: as expand says"),
    NB_KEY_INT(invres_attr, kernel, "3", 1, 31, "rows and columns of the depthwise window; odd"),
    NB_KEY_INT(invres_attr, stride, "1", 1, 8, "stride of the first block's depthwise convolution"),
    NB_KEY_INT(invres_attr, repeat, "1", 1, 256, "number of blocks in a row"),
    NB_KEY_FLOAT(invres_attr, cap, "6", 1e-6, INFINITY, "upper bound of the two relus; inf: none"),
    NB_UNIT_ACT(invres_attr, "activation in the place of both relus"),
    NB_KEY_NODE(invres_attr, se, "keys of se", "squeeze-and-excite behind the depthwise convolution (default: none)"),
    {0}};

static nb_status one_block(nb_model_builder *b, const char *name, const void *attr, int32_t i, nb_node **x)
{
    const invres_attr *a = attr;
    const int32_t stride = i == 0 ? a->stride : 1, c = nb_channels(&(*x)->out);
    const int64_t expanded = a->expanded ? a->expanded : (int64_t)c * a->expand;
    nb_node *both[2] = {*x, *x};
    char layer[160], keys[128], relu[64];
    snprintf(relu, sizeof relu, "{cap: %.9g}", (double)a->cap);
    if (expanded != c) {
        snprintf(keys, sizeof keys, "{out: %lld, kernel: 1, bias: no}", (long long)expanded);
        NB_TRY(nb_unit_add(b, name, &(nb_unit){"conv2d", "expand", keys, "", relu, a->act}, &both[1]));
    }
    snprintf(keys, sizeof keys, "{kernel: %d, stride: %d, pad: %d, bias: no}", a->kernel, stride, a->kernel / 2);
    NB_TRY(nb_unit_add(b, name, &(nb_unit){"dwconv2d", "depth", keys, "", relu, a->act}, &both[1]));
    snprintf(layer, sizeof layer, "%s.se", name);
    if (a->se)
        NB_TRY(nb_model_add(b, "se", layer, a->se, &both[1], 1, &both[1]));
    snprintf(keys, sizeof keys, "{out: %d, kernel: 1, bias: no}", a->out);
    NB_TRY(nb_unit_add(b, name, &(nb_unit){"conv2d", "project", keys, "", NULL, NULL}, &both[1]));
    *x = both[1];
    if (stride != 1 || c != a->out)
        return NB_OK;
    snprintf(layer, sizeof layer, "%s.add", name);
    return nb_model_layer(b, "add", layer, "", both, 2, x);
}

static nb_status invres_expand(nb_model_builder *b, const char *name, const void *attr, nb_node *in, nb_node **out)
{
    const invres_attr *a = attr;
    if (a->kernel % 2 == 0)
        return nb_block_fail(b, name, NB_E_CONFIG, "kernel: %d: must be odd", a->kernel);
    *out = in;
    return nb_unit_repeat(b, name, a->repeat, one_block, attr, out);
}

const nb_block nb_block_invres = {
    .name = "invres",
    .help = "inverted residual of MobileNetV2: 1x1 expansion, depthwise convolution, linear 1x1 projection",
    .keys = invres_keys,
    .attr_size = sizeof(invres_attr),
    .expand = invres_expand,
    .examples = (const char *const[]){"invres: {out: 8}", "invres: {out: 16, stride: 2, repeat: 3}",
                                      "invres: {out: 12, expand: 1, kernel: 5, cap: inf}",
                                      "invres: {out: 8, expanded: 20, act: hardswish, se: {gate: hardsigmoid}}", NULL}};
