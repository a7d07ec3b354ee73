/* avgpool.c - mean over each window, or over the whole image. Codes stay on their grid: the same integer function as
 * the engine's makes them; its rounding is passed straight through on the way back. Or it opens, and the mean is real. */
#include "layer.h"

#include "base/check.h"
#include "kernels/integer/ipool.h"

#include <nibble/extend/lowering.h>

#include <string.h>

typedef struct {
    nb_hw kernel, stride;
    nb_sides pad;
    bool count_pad, ceil, global;
} avgpool_attr;

static const nb_key avgpool_keys[] = {
    NB_KEY_HW(avgpool_attr, kernel, "0", 0, 64, "rows and columns of the window (required unless global)"),
    NB_KEY_HW(avgpool_attr, stride, "0", 0, 64, "pixels from window to window; 0 = kernel"),
    NB_KEY_SIDES(avgpool_attr, pad, "0", 63, "zeros around the image, less than kernel; same: image / stride windows"),
    NB_KEY_BOOL(avgpool_attr, count_pad, "yes", "zeros of pad count (PyTorch); no: mean of the pixels inside (Keras)"),
    NB_KEY_BOOL(avgpool_attr, ceil, "no", "a last window may reach over the edge; what is beyond does not count"),
    NB_KEY_BOOL(avgpool_attr, global, "no", "one window: the whole image"),
    {0}};

static nb_geom avgpool_window(const nb_node *n)
{
    const avgpool_attr *a = n->attr;
    return nb_layer_pool_window(n, a->kernel, a->stride, a->pad, a->ceil, a->global);
}

/* Does a window that reaches over the edge count its pixels of the image alone? */
static bool counts_inside(const avgpool_attr *a)
{
    return !a->count_pad || a->ceil;
}

static nb_status avgpool_build(nb_graph *g, nb_node *n)
{
    const avgpool_attr *a = n->attr;
    NB_TRY(nb_layer_need_image(g, n, 0));
    if (a->global && (a->kernel.h > 0 || a->kernel.w > 0))
        return nb_node_fail(g, n, NB_E_CONFIG, "kernel: leave it out with `global: yes`");
    if (a->global)
        NB_TRY(nb_layer_pool_alone(g, n, a->stride, a->pad, a->ceil));
    if (!a->global && (a->kernel.h == 0 || a->kernel.w == 0))
        return nb_node_fail(g, n, NB_E_CONFIG, "needs `kernel: N` or `global: yes`");
    nb_geom q = avgpool_window(n);
    NB_TRY(nb_layer_set_shape(g, n, &q));
    if (a->ceil && a->count_pad && (a->pad.top | a->pad.left | a->pad.bottom | a->pad.right))
        return nb_node_fail(g, n, NB_E_CONFIG,
                            "ceil: with pad, set count_pad: no: what is beyond the edge is not told apart");
    if (!nb_pool_touches(&q))
        return nb_node_fail(g, n, NB_E_CONFIG, "pad: must be less than the kernel, %d x %d", q.kh, q.kw);
    if ((int64_t)q.kh * q.kw > 1 << 22)
        return nb_node_fail(g, n, NB_E_SHAPE, "a window of %d x %d is too large to sum", q.kh, q.kw);
    n->flags |= n->in[0]->flags & NB_NODE_NONNEGATIVE;
    return NB_OK;
}

static nb_status avgpool_prepare(nb_graph *g, nb_node *n)
{
    const nb_geom q = avgpool_window(n);
    NB_TRY(nb_layer_pool_prepare(g, n, &q));
    if (n->flags & NB_NODE_REGRIDS) {
        n->out.dtype = NB_F32;
        n->out.q = NULL;
    }
    return NB_OK;
}

/* An engine step has one multiplier, so all windows must hold as many pixels. */
static bool avgpool_regrids(const nb_node *n)
{
    const nb_geom q = avgpool_window(n);
    return !counts_inside(n->attr) || nb_geom_inside(&q);
}

/* Pixels of in[0] that make one output pixel: rows [y0, y1), columns [x0, x1). */
typedef struct {
    int32_t y0, y1, x0, x1;
    float count; /* what their sum is divided by */
} part;

static part part_of(const nb_geom *q, bool inside, int32_t oy, int32_t ox)
{
    const int32_t top = oy * q->stride.h - q->pad.top, left = ox * q->stride.w - q->pad.left;
    part p = {.y0 = top > 0 ? top : 0,
              .y1 = top + q->kh < q->h ? top + q->kh : q->h,
              .x0 = left > 0 ? left : 0,
              .x1 = left + q->kw < q->w ? left + q->kw : q->w};
    p.count = (float)(inside ? (p.y1 - p.y0) * (p.x1 - p.x0) : q->kh * q->kw);
    return p;
}

static void mean_image(float *y, const float *x, const nb_geom *q, bool inside)
{
    for (int32_t oy = 0; oy < q->oh; oy++)
        for (int32_t ox = 0; ox < q->ow; ox++, y += q->c) {
            const part p = part_of(q, inside, oy, ox);
            memset(y, 0, (size_t)q->c * sizeof *y);
            for (int32_t iy = p.y0; iy < p.y1; iy++)
                for (int32_t ix = p.x0; ix < p.x1; ix++) {
                    const float *pixel = x + ((int64_t)iy * q->w + ix) * q->c;
                    for (int32_t c = 0; c < q->c; c++)
                        y[c] += pixel[c];
                }
            for (int32_t c = 0; c < q->c; c++)
                y[c] /= p.count;
        }
}

/* Sums of codes below 2^24 are exact in floats. */
static void mean_of_codes(float *y, const uint8_t *x, const nb_geom *q, const nb_tensor *t)
{
    const bool is_signed = t->dtype == NB_S8;
    const float zero = (float)t->q->zero[0], unit = t->q->scale[0];
    for (int32_t oy = 0; oy < q->oh; oy++)
        for (int32_t ox = 0; ox < q->ow; ox++, y += q->c) {
            const part p = part_of(q, false, oy, ox);
            memset(y, 0, (size_t)q->c * sizeof *y);
            for (int32_t iy = p.y0; iy < p.y1; iy++)
                for (int32_t ix = p.x0; ix < p.x1; ix++) {
                    const uint8_t *pixel = x + ((int64_t)iy * q->w + ix) * q->c;
                    for (int32_t c = 0; c < q->c; c++)
                        y[c] += (float)(is_signed ? (int8_t)pixel[c] : pixel[c]) - zero;
                }
            for (int32_t c = 0; c < q->c; c++)
                y[c] = unit * (y[c] / p.count);
        }
}

static void forward_image(void *arg, int64_t image, int32_t thread)
{
    (void)thread;
    nb_node *n = arg;
    const nb_geom *q = n->priv;
    const bool inside = counts_inside(n->attr);
    const nb_tensor *x = &n->in[0]->out;
    int64_t at_x = image * q->h * q->w * q->c;
    int64_t at_y = image * q->oh * q->ow * q->c;
    if (!nb_layer_is_codes(x)) {
        mean_image((float *)n->out.data + at_y, (const float *)x->data + at_x, q, inside);
        return;
    }
    if (n->flags & NB_NODE_REGRIDS) {
        mean_of_codes((float *)n->out.data + at_y, (const uint8_t *)x->data + at_x, q, x);
        return;
    }
    int32_t zero = x->q->zero[0];
    nb_regrid to = {.x_signed = x->dtype == NB_S8, .x_zero = zero, .y_zero = zero, .lo = x->q->lo, .hi = x->q->hi};
    nb_avgpool_multiplier(q->kh * q->kw, &to.mult, &to.shift);
    nb_k_avgpool_codes((uint8_t *)n->out.data + at_y, (const uint8_t *)x->data + at_x, &to, q, inside);
}

static void avgpool_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_parallel_for(n->out.shape.d[0], forward_image, n);
}

static void backward_image(void *arg, int64_t image, int32_t thread)
{
    (void)thread;
    const nb_node *n = arg;
    const nb_geom *q = n->priv;
    float *dx = nb_layer_pool_grad(n, image);
    const float *dy = n->out.grad + image * q->oh * q->ow * q->c;
    const bool inside = counts_inside(n->attr);
    for (int32_t oy = 0; oy < q->oh; oy++)
        for (int32_t ox = 0; ox < q->ow; ox++, dy += q->c) {
            const part p = part_of(q, inside, oy, ox);
            const float share = 1.0f / p.count;
            for (int32_t iy = p.y0; iy < p.y1; iy++)
                for (int32_t ix = p.x0; ix < p.x1; ix++) {
                    float *pixel = dx + ((int64_t)iy * q->w + ix) * q->c;
                    for (int32_t c = 0; c < q->c; c++)
                        pixel[c] += dy[c] * share;
                }
        }
}

static void avgpool_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    if (n->in[0]->out.grad)
        nb_parallel_for(n->out.shape.d[0], backward_image, n);
}

static nb_status avgpool_lower(nb_lowering *lo, const nb_node *n)
{
    nb_geom q = avgpool_window(n);
    if (n->flags & NB_NODE_REGRIDS)
        return nb_lower_mean(lo, n, &q);
    return nb_lower_pool(lo, n, counts_inside(n->attr) && !nb_geom_inside(&q) ? NB_POOL_AVG_INSIDE : NB_POOL_AVG, &q);
}

const nb_op nb_op_avgpool = {
    .name = "avgpool",
    .help = "mean over each window, or over the whole image",
    .keys = avgpool_keys,
    .attr_size = sizeof(avgpool_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_SETS | NB_OP_KEEPS_MEAN,
    .role = NB_ROLE_KEEP,
    .regrids = avgpool_regrids,
    .build = avgpool_build,
    .prepare = avgpool_prepare,
    .forward = avgpool_forward,
    .backward = avgpool_backward,
    .lower = avgpool_lower,
    .window = avgpool_window,
    .examples = (const char *const[]){"avgpool: {global: yes}", "avgpool: {kernel: 2}",
                                      "avgpool: {kernel: 3, stride: 1}", "avgpool: {kernel: 3, stride: 1, pad: 1}",
                                      "avgpool: {kernel: [2, 3], stride: 2, pad: same, count_pad: no}",
                                      "avgpool: {kernel: [3, 2], stride: 2, ceil: yes}", NULL},
};
