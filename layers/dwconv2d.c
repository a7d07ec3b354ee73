/* dwconv2d.c - depthwise convolution: every input channel has `multiplier` filters of its own. A convolution with as
 * many groups as channels; what it computes is in mac.c. */
#include "mac.h"

#include "layer.h"

#include "base/check.h"

#include <nibble/lowering.h>

typedef struct {
    int32_t kernel, stride, pad, dilation, multiplier;
    bool bias;
} dwconv_attr;

static const nb_key dwconv_keys[] = {
    NB_KEY_INT(dwconv_attr, kernel, "3", 1, 31, "rows and columns of the window"),
    NB_KEY_INT(dwconv_attr, stride, "1", 1, 16, "pixels from window to window"),
    NB_KEY_INT(dwconv_attr, pad, "0", 0, 64, "zeros around the image, in pixels"),
    NB_KEY_INT(dwconv_attr, dilation, "1", 1, 16, "pixels between the taps of a window"),
    NB_KEY_INT(dwconv_attr, multiplier, "1", 1, 64, "output channels per input channel"),
    NB_KEY_BOOL(dwconv_attr, bias, "yes", "add one learned number per output channel"),
    {0}};

static nb_geom dwconv_geom(const nb_node *n)
{
    const dwconv_attr *a = n->attr;
    nb_geom q = nb_layer_window(n, a->kernel, a->stride, a->pad, a->dilation);
    q.oc = q.c * a->multiplier;
    return q;
}

static nb_status dwconv_build(nb_graph *g, nb_node *n)
{
    const dwconv_attr *a = n->attr;
    NB_TRY(nb_layer_need_image(g, n, 0));
    if ((int64_t)n->in[0]->out.shape.d[3] * a->multiplier > 65536)
        return nb_node_fail(g, n, NB_E_SHAPE, "multiplier: %d: %d channels would become more than 65536", a->multiplier,
                            n->in[0]->out.shape.d[3]);
    nb_geom q = dwconv_geom(n);
    NB_TRY(nb_layer_set_shape(g, n, &q));
    return nb_mac_leaves(g, n, &q, a->bias);
}

static void dwconv_init(nb_node *n, uint64_t seed)
{
    nb_geom q = dwconv_geom(n);
    nb_mac_init_he(n, seed, (double)q.kh * q.kw * q.oc / q.groups);
}

static nb_status dwconv_prepare(nb_graph *g, nb_node *n)
{
    nb_geom q = dwconv_geom(n);
    return nb_mac_prepare(g, n, &q, 1);
}

static nb_status dwconv_lower(nb_lowering *lo, const nb_node *n)
{
    nb_geom q = dwconv_geom(n);
    return nb_lower_mac(lo, n, &q);
}

static int64_t dwconv_macs(const nb_node *n)
{
    nb_geom q = dwconv_geom(n);
    return (int64_t)q.oh * q.ow * q.oc * q.kh * q.kw;
}

const nb_op nb_op_dwconv2d = {
    .name = "dwconv2d",
    .help = "depthwise convolution; weights start as He normal over fan-out, the bias as 0",
    .keys = dwconv_keys,
    .attr_size = sizeof(dwconv_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_NEEDS_IN | NB_OP_BWD_SETS | NB_OP_TAPS,
    .role = NB_ROLE_MAC,
    .build = dwconv_build,
    .init = dwconv_init,
    .prepare = dwconv_prepare,
    .forward = nb_mac_forward,
    .backward = nb_mac_backward,
    .lower = dwconv_lower,
    .macs = dwconv_macs,
    .examples = (const char *const[]){"dwconv2d: {kernel: 3, pad: 1}",
                                      "dwconv2d: {kernel: 3, stride: 2, pad: 1, multiplier: 2, bias: no}", NULL},
};
