/* maxpool.c - largest value of each window; pixels outside the image do not count. Codes stay on their grid.
 *
 * saved: the tap that won, one byte per output value; ties go to the first, a NaN wins. The gradient goes to that tap.
 */
#include "layer.h"

#include "base/check.h"
#include "kernels/integer/ipool.h"

#include <nibble/extend/lowering.h>

#include <string.h>

enum { BLOCK = 64 /* channels at work at once */, MAX_TAPS = 256 /* a tap fits one byte */ };

typedef struct {
    nb_hw kernel, stride;
    nb_sides pad;
    bool ceil, global;
} maxpool_attr;

static const nb_key maxpool_keys[] = {
    NB_KEY_HW(maxpool_attr, kernel, "2", 1, 64, "rows and columns of the window, 256 pixels at most; not with global"),
    NB_KEY_HW(maxpool_attr, stride, "0", 0, 64, "pixels from window to window; 0 = kernel"),
    NB_KEY_SIDES(maxpool_attr, pad, "0", 63, "pixels around the image, less than kernel; same: image / stride windows"),
    NB_KEY_BOOL(maxpool_attr, ceil, "no", "a last window may reach over the edge"),
    NB_KEY_BOOL(maxpool_attr, global, "no", "one window: the whole image, of 256 pixels at most"),
    {0}};

static nb_geom maxpool_window(const nb_node *n)
{
    const maxpool_attr *a = n->attr;
    return nb_layer_pool_window(n, a->kernel, a->stride, a->pad, a->ceil, a->global);
}

static nb_status maxpool_build(nb_graph *g, nb_node *n)
{
    const maxpool_attr *a = n->attr;
    NB_TRY(nb_layer_need_image(g, n, 0));
    if (a->global) /* a kernel of 2 may be the default */
        NB_TRY(nb_layer_pool_alone(g, n, a->stride, a->pad, a->ceil || a->kernel.h != 2 || a->kernel.w != 2));
    nb_geom q = maxpool_window(n);
    if (q.kh * q.kw > MAX_TAPS)
        return nb_node_fail(g, n, NB_E_CONFIG, "kernel: %d x %d: must be %d pixels at most", q.kh, q.kw, MAX_TAPS);
    NB_TRY(nb_layer_set_shape(g, n, &q));
    if (!nb_pool_touches(&q))
        return nb_node_fail(g, n, NB_E_CONFIG, "pad: must be less than the kernel, %d x %d", q.kh, q.kw);
    n->flags |= n->in[0]->flags & NB_NODE_NONNEGATIVE;
    return NB_OK;
}

static nb_status maxpool_prepare(nb_graph *g, nb_node *n)
{
    const nb_geom q = maxpool_window(n);
    n->saved_bytes = (size_t)nb_count(&n->out);
    return nb_layer_pool_prepare(g, n, &q);
}

/* Winners are counted in the width of the values while a block of channels is at work: equal widths vectorize. */
static void take_floats(float *restrict y, int32_t *restrict best, const float *restrict x, int32_t c, int32_t tap)
{
    for (int32_t i = 0; i < c; i++) {
        bool wins = (x[i] > y[i]) | (x[i] != x[i]);
        y[i] = wins ? x[i] : y[i];
        best[i] = wins ? tap : best[i];
    }
}

/* flip is 0x80 for s8: it orders their bit patterns like u8. */
static void take_codes(uint8_t *restrict y, uint8_t *restrict best, const uint8_t *restrict x, int32_t c, uint8_t tap,
                       uint8_t flip)
{
    for (int32_t i = 0; i < c; i++) {
        bool wins = (uint8_t)(x[i] ^ flip) > (uint8_t)(y[i] ^ flip);
        y[i] = wins ? x[i] : y[i];
        best[i] = wins ? tap : best[i];
    }
}

/* The taps of one window that lie inside the image: offsets of their first channel. */
typedef struct {
    int32_t n;
    uint8_t tap[MAX_TAPS];
    int64_t at[MAX_TAPS];
} window;

static void find_taps(window *w, const nb_geom *q, int32_t oy, int32_t ox)
{
    w->n = 0;
    for (int32_t ky = 0; ky < q->kh; ky++)
        for (int32_t kx = 0; kx < q->kw; kx++) {
            int32_t iy = oy * q->stride.h - q->pad.top + ky;
            int32_t ix = ox * q->stride.w - q->pad.left + kx;
            if (iy < 0 || iy >= q->h || ix < 0 || ix >= q->w)
                continue;
            w->tap[w->n] = (uint8_t)(ky * q->kw + kx);
            w->at[w->n++] = ((int64_t)iy * q->w + ix) * q->c;
        }
    NB_ASSERT(w->n > 0); /* every window touches the image */
}

static void max_floats(float *y, uint8_t *best, const float *x, int32_t c, const window *w)
{
    int32_t winner[BLOCK];
    for (int32_t first = 0; first < c; first += BLOCK) {
        int32_t n = c - first < BLOCK ? c - first : BLOCK;
        memcpy(y + first, x + w->at[0] + first, (size_t)n * sizeof *y);
        for (int32_t i = 0; i < n; i++)
            winner[i] = w->tap[0];
        for (int32_t t = 1; t < w->n; t++)
            take_floats(y + first, winner, x + w->at[t] + first, n, w->tap[t]);
        for (int32_t i = 0; i < n; i++)
            best[first + i] = (uint8_t)winner[i];
    }
}

static void max_codes(uint8_t *y, uint8_t *best, const uint8_t *x, int32_t c, const window *w, uint8_t flip)
{
    memcpy(y, x + w->at[0], (size_t)c);
    memset(best, w->tap[0], (size_t)c);
    for (int32_t t = 1; t < w->n; t++)
        take_codes(y, best, x + w->at[t], c, w->tap[t], flip);
}

static void forward_image(void *arg, int64_t image, int32_t thread)
{
    (void)thread;
    nb_node *n = arg;
    const nb_geom *q = n->priv;
    const nb_tensor *x = &n->in[0]->out;
    int64_t at_y = image * q->oh * q->ow * q->c;
    int64_t at_x = image * q->h * q->w * q->c;
    uint8_t *best = n->saved;
    window w;
    for (int32_t oy = 0; oy < q->oh; oy++)
        for (int32_t ox = 0; ox < q->ow; ox++, at_y += q->c) {
            find_taps(&w, q, oy, ox);
            if (nb_layer_is_codes(x))
                max_codes((uint8_t *)n->out.data + at_y, best + at_y, (const uint8_t *)x->data + at_x, q->c, &w,
                          x->dtype == NB_S8 ? 0x80 : 0);
            else
                max_floats((float *)n->out.data + at_y, best + at_y, (const float *)x->data + at_x, q->c, &w);
        }
}

static void maxpool_forward(nb_node *n, const nb_run *r)
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
    int64_t at_y = image * q->oh * q->ow * q->c;
    const float *dy = n->out.grad + at_y;
    const uint8_t *best = (const uint8_t *)n->saved + at_y;
    for (int32_t oy = 0; oy < q->oh; oy++)
        for (int32_t ox = 0; ox < q->ow; ox++, dy += q->c, best += q->c)
            for (int32_t c = 0; c < q->c; c++) {
                int32_t iy = oy * q->stride.h - q->pad.top + best[c] / q->kw;
                int32_t ix = ox * q->stride.w - q->pad.left + best[c] % q->kw;
                dx[((int64_t)iy * q->w + ix) * q->c + c] += dy[c];
            }
}

static void maxpool_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    if (n->in[0]->out.grad)
        nb_parallel_for(n->out.shape.d[0], backward_image, n);
}

static nb_status maxpool_lower(nb_lowering *lo, const nb_node *n)
{
    nb_geom q = maxpool_window(n);
    return nb_lower_pool(lo, n, NB_POOL_MAX, &q);
}

const nb_op nb_op_maxpool = {
    .name = "maxpool",
    .help = "largest value of each window",
    .keys = maxpool_keys,
    .attr_size = sizeof(maxpool_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_SETS,
    .role = NB_ROLE_KEEP,
    .build = maxpool_build,
    .prepare = maxpool_prepare,
    .forward = maxpool_forward,
    .backward = maxpool_backward,
    .lower = maxpool_lower,
    .window = maxpool_window,
    .examples =
        (const char *const[]){"maxpool", "maxpool: {kernel: 3, stride: 2, pad: 1}",
                              "maxpool: {kernel: [2, 3], stride: [1, 2], pad: [1, 0, 0, 2]}",
                              "maxpool: {kernel: [3, 2], stride: 2, ceil: yes}", "maxpool: {global: yes}", NULL},
};
