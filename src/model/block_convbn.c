/* block_convbn.c - convolution without bias, batch norm, activation: what most networks are made of. */
#include "model/units.h"

#include "base/check.h"

#include <stdio.h>

typedef struct {
    int32_t out, groups, repeat;
    nb_hw kernel, stride;
    nb_sides pad;
    const nb_conf *act;
} convbn_attr;

static const nb_key convbn_keys[] = {
    NB_KEY_INT(convbn_attr, out, NULL, 1, 65536, "output channels (required)"),
    NB_KEY_HW(convbn_attr, kernel, "3", 1, 64, "rows and columns of the window"),
    NB_KEY_HW(convbn_attr, stride, "1", 1, 16, "pixels from window to window, of the first of them"),
    NB_KEY_SIDES(convbn_attr, pad, "same", 64, "zeros around the image, in pixels; same: image / stride windows"),
    NB_KEY_INT(convbn_attr, groups, "1", 1, 65536, "independent groups of channels"),
    NB_KEY_INT(convbn_attr, repeat, "1", 1, 256, "number of them in a row"),
    NB_UNIT_ACT(convbn_attr, "activation behind the batch norm (default: relu)"),
    {0}};

static nb_status one_block(nb_model_builder *b, const char *name, const void *attr, int32_t i, nb_node **x)
{
    const convbn_attr *a = attr;
    const nb_hw stride = i == 0 ? a->stride : (nb_hw){1, 1};
    char pad[64] = "same", keys[192];
    if (a->pad.top >= 0)
        snprintf(pad, sizeof pad, "[%d, %d, %d, %d]", a->pad.top, a->pad.left, a->pad.bottom, a->pad.right);
    snprintf(keys, sizeof keys, "{out: %d, kernel: [%d, %d], stride: [%d, %d], pad: %s, groups: %d, bias: no}", a->out,
             a->kernel.h, a->kernel.w, stride.h, stride.w, pad, a->groups);
    return nb_unit_add(b, name, &(nb_unit){"conv2d", "", keys, "", "", a->act}, x);
}

static nb_status convbn_expand(nb_model_builder *b, const char *name, const void *attr, nb_node *in, nb_node **out)
{
    *out = in;
    return nb_unit_repeat(b, name, ((const convbn_attr *)attr)->repeat, one_block, attr, out);
}

const nb_block nb_block_convbn = {
    .name = "convbn",
    .help = "convolution without bias, batch norm, activation",
    .keys = convbn_keys,
    .attr_size = sizeof(convbn_attr),
    .expand = convbn_expand,
    .examples =
        (const char *const[]){"convbn: {out: 8}", "convbn: {out: 12, kernel: [1, 7], groups: 4, act: hardswish}",
                              "convbn: {out: 8, stride: 2, pad: 0, repeat: 2, act: none}", NULL}};
