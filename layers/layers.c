/* layers.c - the list of all layers, and the few functions they share. */
#include "layer.h"

#include "base/check.h"
#include "kernels/sweeps/sweep.h"

#include <string.h>

const nb_op *const nb_layers[] = {
#define NB_LAYER(x) &nb_op_##x,
#include "layers.def"
#undef NB_LAYER
    NULL};

nb_status nb_layer_need_image(nb_graph *g, const nb_node *n, int32_t k)
{
    const nb_shape *s = &n->in[k]->out.shape;
    if (s->ndim == 4)
        return NB_OK;
    char text[64];
    return nb_node_fail(g, n, NB_E_SHAPE, "needs an image (batch x height x width x channels), but %s gives %s",
                        n->in[k]->name, nb_shape_text(s, text, sizeof text));
}

/* Zeros before and behind `in` rows, or columns, so that there is a window for every `stride` of them. */
static void pad_same(int32_t in, int32_t k, int32_t stride, int32_t dilation, int32_t *before, int32_t *behind)
{
    const int32_t reach = (in - 1) / stride * stride + dilation * (k - 1) + 1, pads = reach > in ? reach - in : 0;
    *before = pads / 2;
    *behind = pads - pads / 2;
}

nb_geom nb_layer_window(const nb_node *n, nb_hw kernel, nb_hw stride, nb_sides pad, nb_hw dilation)
{
    const int32_t *d = n->in[0]->out.shape.d;
    nb_geom g = {.h = d[1],
                 .w = d[2],
                 .c = d[3],
                 .oc = d[3],
                 .kh = kernel.h,
                 .kw = kernel.w,
                 .stride = stride,
                 .pad = pad,
                 .dilation = dilation,
                 .groups = d[3]};
    if (pad.top < 0) {
        pad_same(g.h, g.kh, stride.h, dilation.h, &g.pad.top, &g.pad.bottom);
        pad_same(g.w, g.kw, stride.w, dilation.w, &g.pad.left, &g.pad.right);
    }
    nb_geom_fit(&g);
    return g;
}

nb_status nb_layer_set_shape(nb_graph *g, nb_node *n, const nb_geom *q)
{
    if (q->oh < 1 || q->ow < 1)
        return nb_node_fail(g, n, NB_E_SHAPE, "a %d x %d window does not fit into the %d x %d image of %s", q->kh,
                            q->kw, q->h, q->w, n->in[0]->name);
    n->out.shape = nb_shape_of(4, g->room, q->oh, q->ow, q->oc);
    return NB_OK;
}

nb_status nb_layer_need_float(nb_graph *g, const nb_node *n, int32_t k)
{
    if (!nb_layer_is_codes(&n->in[k]->out))
        return NB_OK;
    return nb_node_fail(g, n, NB_E_UNSUPPORTED, "takes real values, but %s gives codes: put a dequantize in between",
                        n->in[k]->name);
}

nb_node *nb_layer_leaf(const nb_node *n, int32_t k)
{
    nb_node *x = n->in[k];
    while (!(x->flags & NB_NODE_LEAF)) {
        NB_ASSERT(x->n_in > 0);
        x = x->in[0];
    }
    return x;
}

void nb_layer_keep_grid(nb_node *n)
{
    n->out.dtype = n->in[0]->out.dtype;
    n->out.q = n->in[0]->out.q;
}

const float *nb_layer_values(float *buf, const nb_tensor *t, int64_t from, int64_t count)
{
    if (!nb_layer_is_codes(t))
        return (const float *)t->data + from;
    nb_k_dequantize(buf, (const uint8_t *)t->data + from, count, t->q->scale[0], t->q->zero[0], t->dtype == NB_S8);
    return buf;
}

void nb_layer_pass_grad(float *dx, const float *dy, int64_t count, bool fresh)
{
    if (fresh) {
        memcpy(dx, dy, (size_t)count * sizeof *dx);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        dx[i] += dy[i];
}

nb_status nb_layer_pool_alone(nb_graph *g, const nb_node *n, nb_hw stride, nb_sides pad, bool ceil)
{
    if (!(stride.h | stride.w | pad.top | pad.left | pad.bottom | pad.right) && !ceil)
        return NB_OK;
    return nb_node_fail(g, n, NB_E_CONFIG,
                        "global: one window is the whole image: leave kernel, stride, pad and ceil out");
}

static void reach_over(int32_t in, int32_t k, int32_t stride, int32_t before, int32_t *behind, int32_t out)
{
    if (out > 0 && out * stride < in + before) /* where one window more would begin */
        *behind = out * stride + k - in - before > *behind ? out * stride + k - in - before : *behind;
}

nb_geom nb_layer_pool_window(const nb_node *n, nb_hw kernel, nb_hw stride, nb_sides pad, bool ceil, bool global)
{
    const int32_t *d = n->in[0]->out.shape.d;
    if (global)
        return nb_geom_whole(d[1], d[2], d[3], d[3], d[3]);
    const nb_hw step = {stride.h ? stride.h : kernel.h, stride.w ? stride.w : kernel.w};
    nb_geom q = nb_layer_window(n, kernel, step, pad, nb_hw_of(1));
    if (ceil) {
        reach_over(q.h, q.kh, step.h, q.pad.top, &q.pad.bottom, q.oh);
        reach_over(q.w, q.kw, step.w, q.pad.left, &q.pad.right, q.ow);
        nb_geom_fit(&q);
    }
    return q;
}

nb_status nb_layer_pool_prepare(nb_graph *g, nb_node *n, const nb_geom *q)
{
    nb_geom *kept = nb_graph_alloc(g, sizeof *kept);
    if (!kept)
        return NB_E_NOMEM;
    *kept = *q;
    n->priv = kept;
    nb_layer_keep_grid(n);
    return NB_OK;
}

float *nb_layer_pool_grad(const nb_node *n, int64_t image)
{
    const nb_geom *q = n->priv;
    const int64_t pixels = (int64_t)q->h * q->w * q->c;
    float *dx = n->in[0]->out.grad + image * pixels;
    if (nb_layer_fresh(n, 0))
        memset(dx, 0, (size_t)pixels * sizeof *dx);
    return dx;
}
