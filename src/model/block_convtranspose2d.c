/* block_convtranspose2d.c - transposed convolution: zeros between the pixels, then an ordinary convolution.
 *
 * With stride s, kernel k, padding p and dilation d the image gets s - 1 zeros between its rows and columns, and the
 * convolution, whose kernel is that of the transposed one turned by 180 degrees, pads with d (k - 1) - p zeros, behind by
 * output_pad more. */
#include <nibble/extend/block.h>
#include <nibble/geom.h>
#include <nibble/model.h>

#include "base/check.h"

#include <stdio.h>

enum { MAX_PAD = 64 }; /* of conv2d */

typedef struct {
    int32_t out, groups;
    nb_hw kernel, stride, dilation, output_pad;
    nb_sides pad;
    bool bias;
} transposed_attr;

static const nb_key transposed_keys[] = {
    NB_KEY_INT(transposed_attr, out, NULL, 1, 65536, "output channels (required)"),
    NB_KEY_HW(transposed_attr, kernel, "3", 1, 64, "rows and columns of the window"),
    NB_KEY_HW(transposed_attr, stride, "1", 1, 16, "pixels of the output from one of the input to the next"),
    NB_KEY_SIDES(transposed_attr, pad, "0", 64, "rows and columns that the output lacks on each side"),
    NB_KEY_HW(transposed_attr, output_pad, "0", 0, 64, "rows below and columns on the right that it has more"),
    NB_KEY_HW(transposed_attr, dilation, "1", 1, 16, "pixels between the taps of a window"),
    NB_KEY_INT(transposed_attr, groups, "1", 1, 65536, "independent groups of channels"),
    NB_KEY_BOOL(transposed_attr, bias, "yes", "add one learned number per output channel"),
    {0}};

static bool fits(const nb_sides *p)
{
    return p->top >= 0 && p->left >= 0 && p->bottom >= 0 && p->right >= 0 && p->top <= MAX_PAD && p->left <= MAX_PAD &&
           p->bottom <= MAX_PAD && p->right <= MAX_PAD;
}

static nb_status transposed_expand(nb_model_builder *b, const char *name, const void *attr, nb_node *in, nb_node **out)
{
    const transposed_attr *a = attr;
    const int32_t high = a->dilation.h * (a->kernel.h - 1), wide = a->dilation.w * (a->kernel.w - 1);
    const nb_sides p = {high - a->pad.top, wide - a->pad.left, high - a->pad.bottom + a->output_pad.h,
                        wide - a->pad.right + a->output_pad.w};
    char layer[160], keys[256];
    nb_node *x = in;
    if (a->pad.top < 0 || !fits(&p))
        return nb_block_fail(b, name, NB_E_CONFIG,
                             "pad: must be numbers, at most dilation * (kernel - 1), %d and %d, and so that "
                             "zeros added to the image are %d at most",
                             high, wide, MAX_PAD);
    if (a->stride.h > 1 || a->stride.w > 1) {
        snprintf(layer, sizeof layer, "%s.zeros", name);
        snprintf(keys, sizeof keys, "{between: [%d, %d]}", a->stride.h - 1, a->stride.w - 1);
        NB_TRY(nb_model_layer(b, "pad", layer, keys, &x, 1, &x));
    }
    snprintf(
        keys, sizeof keys,
        "{out: %d, kernel: [%d, %d], pad: [%d, %d, %d, %d], dilation: [%d, %d], groups: %d, bias: %s, turned: yes}",
        a->out, a->kernel.h, a->kernel.w, p.top, p.left, p.bottom, p.right, a->dilation.h, a->dilation.w, a->groups,
        a->bias ? "yes" : "no");
    return nb_model_layer(b, "conv2d", name, keys, &x, 1, out);
}

const nb_block nb_block_convtranspose2d = {
    .name = "convtranspose2d",
    .help = "transposed convolution: zeros between the pixels, then a convolution",
    .keys = transposed_keys,
    .attr_size = sizeof(transposed_attr),
    .expand = transposed_expand,
    .examples = (const char *const[]){"convtranspose2d: {out: 6, kernel: 2, stride: 2}",
                                      "convtranspose2d: {out: 4, kernel: [3, 4], stride: [2, 1], pad: [1, 2, 0, 1], "
                                      "output_pad: [1, 0], groups: 2, bias: no}",
                                      NULL}};
