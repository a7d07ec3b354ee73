/* moves.c - moves floats and codes by indices, or mixes those of four pixels; codes stay on their grid and go the way of
 * the engine's. n->priv is the nb_take, from build on. */
#include "moves.h"

#include "layer.h"

#include "base/check.h"
#include "kernels/integer/itake.h"

#include <nibble/extend/lowering.h>

#include <string.h>

enum { MAX_SIZE = 1 << 14, MAX_CHANNELS = 65536 };

void nb_take_in(const nb_node *n, int32_t in[3])
{
    const nb_shape *s = &n->in[0]->out.shape;
    in[0] = s->ndim == 4 ? s->d[1] : 1;
    in[1] = s->ndim == 4 ? s->d[2] : 1;
    in[2] = s->d[s->ndim - 1];
}

nb_status nb_take_axis(nb_graph *g, nb_node *n, int32_t axis, int64_t out, int32_t **index)
{
    static const char *const names[3] = {"rows", "columns", "channels"};
    const int32_t most = axis < 2 ? MAX_SIZE : MAX_CHANNELS;
    nb_take *t = n->priv ? n->priv : nb_graph_alloc(g, sizeof *t);
    if (!t)
        return NB_E_NOMEM;
    n->priv = t;
    if (out < 1 || out > most)
        return nb_node_fail(g, n, NB_E_SHAPE, "%lld %s would come of %s: must be 1..%d", (long long)out, names[axis],
                            n->in[0]->name, most);
    *index = nb_graph_alloc(g, (size_t)out * sizeof **index);
    t->out[axis] = (int32_t)out;
    t->index[axis] = *index;
    return *index ? NB_OK : NB_E_NOMEM;
}

nb_status nb_take_same(nb_graph *g, nb_node *n, int32_t axis)
{
    int32_t in[3], *index = NULL;
    nb_take_in(n, in);
    NB_TRY(nb_take_axis(g, n, axis, in[axis], &index));
    for (int32_t i = 0; i < in[axis]; i++)
        index[i] = i;
    return NB_OK;
}

nb_status nb_take_done(nb_graph *g, nb_node *n)
{
    nb_take *t = n->priv;
    const bool image = n->in[0]->out.shape.ndim == 4;
    nb_take_in(n, t->in);
    if (!t->index[2])
        t->out[2] = t->in[2];
    if (!image)
        NB_TRY(t->out[0] * t->out[1] == 1 ? NB_OK : nb_layer_need_image(g, n, 0));
    n->out.shape =
        image ? nb_shape_of(4, g->room, t->out[0], t->out[1], t->out[2]) : nb_shape_of(2, g->room, t->out[2], 0, 0);
    n->flags |= n->in[0]->flags & NB_NODE_NONNEGATIVE;
    return NB_OK;
}

nb_status nb_take_prepare(nb_graph *g, nb_node *n)
{
    (void)g;
    nb_layer_keep_grid(n);
    return NB_OK;
}

static int64_t values(const int32_t size[3])
{
    return (int64_t)size[0] * size[1] * size[2];
}

/* The two rows (columns) a place lies between, and their shares; those of the second may be the first again, and 0. */
typedef struct {
    int64_t at[2];
    float share[2];
} between;

static between around(int32_t place)
{
    const int32_t behind = place % NB_BLEND_ONE, at = place / NB_BLEND_ONE;
    return (between){{at, behind ? at + 1 : at},
                     {(float)(NB_BLEND_ONE - behind) / NB_BLEND_ONE, (float)behind / NB_BLEND_ONE}};
}

/* The four pixels around pixel (i, j) of the output, and their shares. */
static void corners(const nb_take *t, int32_t i, int32_t j, int64_t at[4], float share[4])
{
    const between row = around(t->index[0][i]), col = around(t->index[1][j]);
    for (int32_t p = 0; p < 4; p++) {
        at[p] = (row.at[p / 2] * t->in[1] + col.at[p % 2]) * t->in[2];
        share[p] = row.share[p / 2] * col.share[p % 2];
    }
}

static void blend_floats(float *y, const float *x, const nb_take *t)
{
    const int32_t c = t->out[2];
    for (int32_t i = 0; i < t->out[0]; i++)
        for (int32_t j = 0; j < t->out[1]; j++, y += c) {
            int64_t at[4];
            float share[4];
            corners(t, i, j, at, share);
            for (int32_t k = 0; k < c; k++)
                y[k] = share[0] * x[at[0] + k] + share[1] * x[at[1] + k] + share[2] * x[at[2] + k] +
                       share[3] * x[at[3] + k];
        }
}

static void forward_image(void *arg, int64_t image, int32_t thread)
{
    (void)thread;
    nb_node *n = arg;
    const nb_take *t = n->priv;
    const nb_tensor *x = &n->in[0]->out;
    const int64_t at_x = image * values(t->in), at_y = image * values(t->out);
    float *yf = (float *)n->out.data + at_y;
    const float *xf = (const float *)x->data + at_x;
    uint8_t *yc = (uint8_t *)n->out.data + at_y;
    const uint8_t *xc = (const uint8_t *)x->data + at_x;
    const bool codes = nb_layer_is_codes(x);
    if (t->index[2] && codes)
        nb_k_take(yc, xc, t, 1, x->q->zero[0], 0, t->out[0]);
    else if (t->index[2])
        nb_k_take(yf, xf, t, sizeof *yf, 0, 0, t->out[0]);
    else if (codes)
        nb_k_blend_codes(yc, xc, x->dtype == NB_S8, t, 0, t->out[0]);
    else
        blend_floats(yf, xf, t);
}

void nb_take_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_parallel_for(n->out.shape.d[0], forward_image, n);
}

static void give_back(float *dx, const float *dy, const nb_take *t)
{
    for (int32_t i = 0; i < t->out[0]; i++)
        for (int32_t j = 0; j < t->out[1]; j++, dy += t->out[2]) {
            const int64_t row = t->index[0][i], col = t->index[1][j];
            float *to = dx + (row * t->in[1] + col) * t->in[2];
            for (int32_t k = 0; row >= 0 && col >= 0 && k < t->out[2]; k++)
                if (t->index[2][k] >= 0)
                    to[t->index[2][k]] += dy[k];
        }
}

static void share_back(float *dx, const float *dy, const nb_take *t)
{
    for (int32_t i = 0; i < t->out[0]; i++)
        for (int32_t j = 0; j < t->out[1]; j++, dy += t->out[2]) {
            int64_t at[4];
            float share[4];
            corners(t, i, j, at, share);
            for (int32_t p = 0; p < 4; p++)
                for (int32_t k = 0; k < t->out[2]; k++)
                    dx[at[p] + k] += share[p] * dy[k];
        }
}

static void backward_image(void *arg, int64_t image, int32_t thread)
{
    (void)thread;
    const nb_node *n = arg;
    const nb_take *t = n->priv;
    float *dx = n->in[0]->out.grad + image * values(t->in);
    const float *dy = n->out.grad + image * values(t->out);
    if (nb_layer_fresh(n, 0))
        memset(dx, 0, (size_t)values(t->in) * sizeof *dx);
    (t->index[2] ? give_back : share_back)(dx, dy, t);
}

void nb_take_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    if (n->in[0]->out.grad)
        nb_parallel_for(n->out.shape.d[0], backward_image, n);
}

nb_status nb_take_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_take(lo, n, n->priv);
}
