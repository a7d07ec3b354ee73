/* block_dwsep.c - the depthwise separable convolution of MobileNetV1 (Howard et al. 2017): every channel filtered on its
 * own, then a 1x1 convolution over all channels, each with batch norm and activation. */
#include "model/units.h"

#include "base/check.h"

#include <stdio.h>

typedef struct {
    int32_t out, repeat;
    nb_hw kernel, stride;
    const nb_conf *act;
} dwsep_attr;

static const nb_key dwsep_keys[] = {
    NB_KEY_INT(dwsep_attr, out, NULL, 1, 65536, "output channels (required)"),
    NB_KEY_HW(dwsep_attr, kernel, "3", 1, 64,
              "rows and columns of the depthwise window; padded to the size of the input / stride"),
    NB_KEY_HW(dwsep_attr, stride, "1", 1, 16, "stride of the first block's depthwise convolution"),
    NB_KEY_INT(dwsep_attr, repeat, "1", 1, 256, "number of blocks in a row"),
    NB_UNIT_ACT(dwsep_attr, "activation behind both batch norms (default: relu)"),
    {0}};

static nb_status one_block(nb_model_builder *b, const char *name, const void *attr, int32_t i, nb_node **x)
{
    const dwsep_attr *a = attr;
    const nb_hw stride = i == 0 ? a->stride : (nb_hw){1, 1};
    char keys[128];
    snprintf(keys, sizeof keys, "{kernel: [%d, %d], stride: [%d, %d], pad: same, bias: no}", a->kernel.h, a->kernel.w,
             stride.h, stride.w);
    NB_TRY(nb_unit_add(b, name, &(nb_unit){"dwconv2d", "depth", keys, "", "", a->act}, x));
    snprintf(keys, sizeof keys, "{out: %d, kernel: 1, bias: no}", a->out);
    return nb_unit_add(b, name, &(nb_unit){"conv2d", "point", keys, "", "", a->act}, x);
}

static nb_status dwsep_expand(nb_model_builder *b, const char *name, const void *attr, nb_node *in, nb_node **out)
{
    *out = in;
    return nb_unit_repeat(b, name, ((const dwsep_attr *)attr)->repeat, one_block, attr, out);
}

const nb_block nb_block_dwsep = {
    .name = "dwsep",
    .help = "depthwise separable convolution of MobileNetV1: depthwise, then 1x1",
    .keys = dwsep_keys,
    .attr_size = sizeof(dwsep_attr),
    .expand = dwsep_expand,
    .examples = (const char *const[]){"dwsep: {out: 12}", "dwsep: {out: 16, kernel: [5, 1], stride: 2, repeat: 2}",
                                      "dwsep: {out: 8, act: {leakyrelu: {slope: 0.1}}}", NULL}};
