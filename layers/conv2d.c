/* conv2d.c - 2-D convolution, NHWC by OHWI, and the depthwise one: as many groups as channels, `multiplier` filters for
 * each. What they compute on floats and on codes is in mac.c. */
#include "mac.h"

#include "layer.h"

#include "base/check.h"

#include <nibble/extend/lowering.h>

enum { MAX_CHANNELS = 65536 };

typedef struct {
    nb_hw kernel, stride, dilation;
    nb_sides pad;
    int32_t out, groups; /* conv2d */
    int32_t multiplier;  /* dwconv2d; 0: conv2d */
    bool bias, turned;
} conv_attr;

#define WINDOW_KEYS                                                                                                    \
    NB_KEY_HW(conv_attr, kernel, "3", 1, 64, "rows and columns of the window"),                                        \
        NB_KEY_HW(conv_attr, stride, "1", 1, 16, "pixels from window to window"),                                      \
        NB_KEY_SIDES(conv_attr, pad, "0", 64, "zeros around the image, in pixels; same: image / stride windows"),      \
        NB_KEY_HW(conv_attr, dilation, "1", 1, 16, "pixels between the taps of a window")
#define BIAS_KEY NB_KEY_BOOL(conv_attr, bias, "yes", "add one learned number per output channel")

static const nb_key conv_keys[] = {
    NB_KEY_INT(conv_attr, out, NULL, 1, MAX_CHANNELS, "output channels"),
    WINDOW_KEYS,
    NB_KEY_INT(conv_attr, groups, "1", 1, MAX_CHANNELS, "independent groups of channels"),
    BIAS_KEY,
    NB_KEY_BOOL(
        conv_attr, turned, "no",
        "half of a convtranspose2d: other programs' weights are [in, out, rows, columns], turned by 180 degrees"),
    {0}};

static const nb_key dwconv_keys[] = {
    WINDOW_KEYS, NB_KEY_INT(conv_attr, multiplier, "1", 1, 64, "output channels per input channel"), BIAS_KEY, {0}};

static nb_geom conv_window(const nb_node *n)
{
    const conv_attr *a = n->attr;
    nb_geom q = nb_layer_window(n, a->kernel, a->stride, a->pad, a->dilation);
    q.oc = a->multiplier ? q.c * a->multiplier : a->out;
    q.groups = a->multiplier ? q.c : a->groups;
    return q;
}

static nb_status conv_build(nb_graph *g, nb_node *n)
{
    const conv_attr *a = n->attr;
    NB_TRY(nb_layer_need_image(g, n, 0));
    const int32_t c = n->in[0]->out.shape.d[3];
    if ((int64_t)c * a->multiplier > MAX_CHANNELS)
        return nb_node_fail(g, n, NB_E_SHAPE, "multiplier: %d: %d channels would become more than %d", a->multiplier, c,
                            MAX_CHANNELS);
    nb_geom q = conv_window(n);
    if (q.c % q.groups || q.oc % q.groups)
        return nb_node_fail(g, n, NB_E_SHAPE, "groups: %d: must divide the %d input and the %d output channels",
                            q.groups, q.c, q.oc);
    if (a->turned && (q.stride.h != 1 || q.stride.w != 1 || q.pad.top > q.dilation.h * (q.kh - 1) ||
                      q.pad.left > q.dilation.w * (q.kw - 1)))
        return nb_node_fail(g, n, NB_E_CONFIG,
                            "turned: needs stride 1 and a pad of less than the window: convtranspose2d sees to it");
    NB_TRY(nb_layer_set_shape(g, n, &q));
    return nb_mac_leaves(g, n, &q, a->bias);
}

/* Fan-out keeps the size of gradients: He et al. 2015, as torchvision initialises its networks. */
static void conv_init(nb_node *n, uint64_t seed)
{
    nb_geom q = conv_window(n);
    nb_mac_init_he(n, seed, (double)q.kh * q.kw * q.oc / q.groups);
}

static nb_status conv_prepare(nb_graph *g, nb_node *n)
{
    nb_geom q = conv_window(n);
    return nb_mac_prepare(g, n, &q, 1);
}

static nb_status conv_lower(nb_lowering *lo, const nb_node *n)
{
    nb_geom q = conv_window(n);
    return nb_lower_mac(lo, n, &q);
}

static int64_t conv_macs(const nb_node *n)
{
    nb_geom q = conv_window(n);
    return (int64_t)q.oh * q.ow * q.oc * q.kh * q.kw * (q.c / q.groups);
}

const nb_op nb_op_conv2d = {
    .name = "conv2d",
    .help = "2-D convolution; weights start as He normal over fan-out, the bias as 0",
    .keys = conv_keys,
    .attr_size = sizeof(conv_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_NEEDS_IN | NB_OP_BWD_SETS | NB_OP_TAPS,
    .role = NB_ROLE_MAC,
    .build = conv_build,
    .init = conv_init,
    .prepare = conv_prepare,
    .forward = nb_mac_forward,
    .backward = nb_mac_backward,
    .lower = conv_lower,
    .macs = conv_macs,
    .window = conv_window,
    .examples = (const char *const[]){"conv2d: {out: 8}", "conv2d: {out: 6, kernel: 3, pad: 1, stride: 2, bias: no}",
                                      "conv2d: {out: 4, kernel: 1}", "conv2d: {out: 4, kernel: 2, pad: 2, dilation: 2}",
                                      "conv2d: {out: 5, kernel: [3, 2], stride: [1, 2], pad: [0, 1, 2, 0]}",
                                      "conv2d: {out: 4, kernel: [1, 3], dilation: [1, 2], pad: same}", NULL},
};

const nb_op nb_op_dwconv2d = {
    .name = "dwconv2d",
    .help = "depthwise convolution; weights start as He normal over fan-out, the bias as 0",
    .keys = dwconv_keys,
    .attr_size = sizeof(conv_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_NEEDS_IN | NB_OP_BWD_SETS | NB_OP_TAPS,
    .role = NB_ROLE_MAC,
    .build = conv_build,
    .init = conv_init,
    .prepare = conv_prepare,
    .forward = nb_mac_forward,
    .backward = nb_mac_backward,
    .lower = conv_lower,
    .macs = conv_macs,
    .window = conv_window,
    .examples = (const char *const[]){"dwconv2d: {kernel: 3, pad: 1}",
                                      "dwconv2d: {kernel: 3, stride: 2, pad: 1, multiplier: 2, bias: no}",
                                      "dwconv2d: {kernel: [2, 3], stride: [2, 1], pad: same}", NULL},
};
