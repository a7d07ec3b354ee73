/* layer.h - what the files of this folder share: sweeps in fixed chunks, checks of inputs, tensors that may hold codes.
 */
#ifndef NB_LAYERS_LAYER_H
#define NB_LAYERS_LAYER_H

#include <nibble/extend/op.h>
#include <nibble/geom.h>

#include "base/parallel.h"

#define NB_LAYER(x) extern const nb_op nb_op_##x;
#include "layers.def"
#undef NB_LAYER

enum { NB_LAYER_GRAIN = 16384 }; /* elements per chunk of a sweep: 64 KiB of floats, so a chunk's operands share L2 */

/* The backward of n is the first to write in[k]'s gradient: it must set, not add. */
static inline bool nb_layer_fresh(const nb_node *n, int32_t k)
{
    return n->fresh >> k & 1;
}

static inline bool nb_layer_is_codes(const nb_tensor *t)
{
    return t->dtype != NB_F32;
}

/* NB_E_SHAPE unless in[k] is [batch, h, w, c]. */
nb_status nb_layer_need_image(nb_graph *g, const nb_node *n, int32_t k);
/* A window over in[0], an image, channel by channel: oc = groups = c. Sides of -1, `pad: same`, become so many that
 * there are as many windows as strides fit into the image, the odd one behind (as TensorFlow pads, ONNX' SAME_UPPER). */
nb_geom nb_layer_window(const nb_node *n, nb_hw kernel, nb_hw stride, nb_sides pad, nb_hw dilation);
/* Sets n's shape to what q's windows give; NB_E_SHAPE when not one fits. */
nb_status nb_layer_set_shape(nb_graph *g, nb_node *n, const nb_geom *q);
/* NB_E_UNSUPPORTED when in[k] holds codes; for prepare. */
nb_status nb_layer_need_float(nb_graph *g, const nb_node *n, int32_t k);
/* The leaf behind in[k], through whatever passes have put on that edge. */
nb_node *nb_layer_leaf(const nb_node *n, int32_t k);
/* n's values are in[0]'s codes on the same grid, or floats when those are; for prepare. */
void nb_layer_keep_grid(nb_node *n);

/* Of pools: a stride of 0 is the window's size. ceil: a last window may reach over the edge, as long as it begins before
 * (PyTorch's ceil_mode). global: one window, the whole image. */
nb_geom nb_layer_pool_window(const nb_node *n, nb_hw kernel, nb_hw stride, nb_sides pad, bool ceil, bool global);
/* Of pools with `global: yes`: NB_E_CONFIG when there is a stride, a pad or a ceil besides. */
nb_status nb_layer_pool_alone(nb_graph *g, const nb_node *n, nb_hw stride, nb_sides pad, bool ceil);
/* Of pools: keeps the window in n->priv, and in[0]'s grid. */
nb_status nb_layer_pool_prepare(nb_graph *g, nb_node *n, const nb_geom *q);
/* Their backward adds to the gradient of this image of in[0], which is 0 when fresh. */
float *nb_layer_pool_grad(const nb_node *n, int64_t image);

/* Real values of t's elements [from, from + count): a pointer into t, or codes expanded into buf. */
const float *nb_layer_values(float *buf, const nb_tensor *t, int64_t from, int64_t count);
/* dx = dy when fresh, else dx += dy. */
void nb_layer_pass_grad(float *dx, const float *dy, int64_t count, bool fresh);

#endif
