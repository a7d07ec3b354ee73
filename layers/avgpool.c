/* avgpool.c - mean over each window, or over the whole image. Codes stay on their grid: the same integer function as
 * the engine's makes them; its rounding is passed straight through on the way back. */
#include "layer.h"

#include "base/check.h"
#include "kernels/integer/ipool.h"

#include <nibble/extend/lowering.h>

#include <string.h>

typedef struct {
    int32_t kernel, stride;
    bool global;
} avgpool_attr;

static const nb_key avgpool_keys[] = {
    NB_KEY_INT(avgpool_attr, kernel, "0", 0, 64, "rows and columns of the window (required unless global)"),
    NB_KEY_INT(avgpool_attr, stride, "0", 0, 64, "pixels from window to window; 0 = kernel"),
    NB_KEY_BOOL(avgpool_attr, global, "no", "one window: the whole image"),
    {0}};

static nb_geom avgpool_geom(const nb_node *n)
{
    const avgpool_attr *a = n->attr;
    if (!a->global)
        return nb_layer_window(n, a->kernel, a->stride ? a->stride : a->kernel, 0, 1);
    const int32_t *d = n->in[0]->out.shape.d;
    return nb_geom_whole(d[1], d[2], d[3], d[3], d[3]);
}

static nb_status avgpool_build(nb_graph *g, nb_node *n)
{
    const avgpool_attr *a = n->attr;
    NB_TRY(nb_layer_need_image(g, n, 0));
    if (a->global && a->kernel > 0)
        return nb_node_fail(g, n, NB_E_CONFIG, "kernel: %d: leave it out with `global: yes`", a->kernel);
    if (!a->global && a->kernel == 0)
        return nb_node_fail(g, n, NB_E_CONFIG, "needs `kernel: N` or `global: yes`");
    nb_geom q = avgpool_geom(n);
    NB_TRY(nb_layer_set_shape(g, n, &q));
    if ((int64_t)q.kh * q.kw > 1 << 22)
        return nb_node_fail(g, n, NB_E_SHAPE, "a window of %d x %d is too large to sum", q.kh, q.kw);
    n->flags |= n->in[0]->flags & NB_NODE_NONNEGATIVE;
    return NB_OK;
}

static nb_status avgpool_prepare(nb_graph *g, nb_node *n)
{
    const nb_geom q = avgpool_geom(n);
    return nb_layer_pool_prepare(g, n, &q);
}

static void mean_image(float *y, const float *x, const nb_geom *q)
{
    float count = (float)(q->kh * q->kw);
    for (int32_t oy = 0; oy < q->oh; oy++)
        for (int32_t ox = 0; ox < q->ow; ox++, y += q->c) {
            const float *corner = x + ((int64_t)oy * q->w + ox) * q->stride * q->c;
            memset(y, 0, (size_t)q->c * sizeof *y);
            for (int32_t ky = 0; ky < q->kh; ky++)
                for (int32_t kx = 0; kx < q->kw; kx++) {
                    const float *pixel = corner + ((int64_t)ky * q->w + kx) * q->c;
                    for (int32_t c = 0; c < q->c; c++)
                        y[c] += pixel[c];
                }
            for (int32_t c = 0; c < q->c; c++)
                y[c] /= count;
        }
}

static void forward_image(void *arg, int64_t image, int32_t thread)
{
    (void)thread;
    nb_node *n = arg;
    const nb_geom *q = n->priv;
    const nb_tensor *x = &n->in[0]->out;
    int64_t at_x = image * q->h * q->w * q->c;
    int64_t at_y = image * q->oh * q->ow * q->c;
    if (!nb_layer_is_codes(x)) {
        mean_image((float *)n->out.data + at_y, (const float *)x->data + at_x, q);
        return;
    }
    int32_t zero = x->q->zero[0];
    nb_regrid to = {.x_signed = x->dtype == NB_S8, .x_zero = zero, .y_zero = zero, .lo = x->q->lo, .hi = x->q->hi};
    nb_avgpool_multiplier(q->kh * q->kw, &to.mult, &to.shift);
    nb_k_avgpool_codes((uint8_t *)n->out.data + at_y, (const uint8_t *)x->data + at_x, &to, q);
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
    float share = 1.0f / (float)(q->kh * q->kw);
    for (int32_t oy = 0; oy < q->oh; oy++)
        for (int32_t ox = 0; ox < q->ow; ox++, dy += q->c)
            for (int32_t ky = 0; ky < q->kh; ky++)
                for (int32_t kx = 0; kx < q->kw; kx++) {
                    float *pixel = dx + ((int64_t)(oy * q->stride + ky) * q->w + ox * q->stride + kx) * q->c;
                    for (int32_t c = 0; c < q->c; c++)
                        pixel[c] += dy[c] * share;
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
    nb_geom q = avgpool_geom(n);
    return nb_lower_pool(lo, n, NB_POOL_AVG, &q);
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
    .build = avgpool_build,
    .prepare = avgpool_prepare,
    .forward = avgpool_forward,
    .backward = avgpool_backward,
    .lower = avgpool_lower,
    .examples = (const char *const[]){"avgpool: {global: yes}", "avgpool: {kernel: 2}",
                                      "avgpool: {kernel: 3, stride: 1}", NULL},
};
