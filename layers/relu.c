/* relu.c - y = min(max(x, 0), cap). Lowering only narrows the clamp of the open accumulator; on codes it clamps codes.
 *
 * A NaN stays a NaN: the trainer must see divergence. The gradient is 0 at both ends, as in PyTorch's relu and relu6.
 */
#include "relu.h"

#include "layer.h"

#include <nibble/extend/lowering.h>

#include <math.h>

typedef struct {
    float cap;
} relu_attr;

static const nb_key relu_keys[] = {NB_KEY_FLOAT(relu_attr, cap, "inf", 1e-6, INFINITY, "upper bound, e.g. 6"), {0}};

float nb_relu_cap(const nb_node *n)
{
    return ((const relu_attr *)n->attr)->cap;
}

static nb_status relu_build(nb_graph *g, nb_node *n)
{
    (void)g;
    n->out.shape = n->in[0]->out.shape;
    n->flags |= NB_NODE_NONNEGATIVE;
    return NB_OK;
}

static nb_status relu_prepare(nb_graph *g, nb_node *n)
{
    (void)g;
    nb_layer_keep_grid(n);
    return NB_OK;
}

/* First and last code of the result on its grid; the scale moves during training, so this is asked at each use. */
static void code_range(const nb_node *n, int32_t *lo, int32_t *hi)
{
    const nb_qparams *q = n->out.q;
    double top = nearbyint((double)nb_relu_cap(n) / (double)q->scale[0]) + q->zero[0];
    *lo = q->zero[0];
    *hi = top < q->hi ? (int32_t)top : q->hi;
}

static int32_t code_at(const nb_tensor *t, int64_t i)
{
    return t->dtype == NB_S8 ? ((const int8_t *)t->data)[i] : ((const uint8_t *)t->data)[i];
}

static void forward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    nb_node *n = arg;
    int64_t first = chunk * NB_LAYER_GRAIN;
    int64_t end = nb_chunk_end(nb_count(&n->out), NB_LAYER_GRAIN, chunk);
    if (nb_layer_is_codes(&n->out)) {
        int32_t lo;
        int32_t hi;
        code_range(n, &lo, &hi);
        for (int64_t i = first; i < end; i++) {
            int32_t v = code_at(&n->in[0]->out, i);
            ((uint8_t *)n->out.data)[i] = (uint8_t)(v < lo ? lo : v > hi ? hi : v);
        }
        return;
    }
    const float *x = n->in[0]->out.data;
    const float cap = nb_relu_cap(n);
    float *y = n->out.data;
    for (int64_t i = first; i < end; i++) {
        float v = x[i] < 0.0f ? 0.0f : x[i];
        y[i] = v > cap ? cap : v;
    }
}

static void relu_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_parallel_for(nb_chunks(nb_count(&n->out), NB_LAYER_GRAIN), forward_chunk, n);
}

static void backward_codes(const nb_node *n, int64_t first, int64_t end)
{
    int32_t lo;
    int32_t hi;
    code_range(n, &lo, &hi);
    bool capped = hi < n->out.q->hi, fresh = nb_layer_fresh(n, 0);
    float *dx = n->in[0]->out.grad;
    for (int64_t i = first; i < end; i++) {
        int32_t v = code_at(&n->out, i);
        float d = v > lo && !(capped && v >= hi) ? n->out.grad[i] : 0.0f;
        dx[i] = fresh ? d : dx[i] + d;
    }
}

static void backward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const nb_node *n = arg;
    int64_t first = chunk * NB_LAYER_GRAIN;
    int64_t end = nb_chunk_end(nb_count(&n->out), NB_LAYER_GRAIN, chunk);
    if (nb_layer_is_codes(&n->out)) {
        backward_codes(n, first, end);
        return;
    }
    const float *y = n->out.data;
    const float *dy = n->out.grad;
    const float cap = nb_relu_cap(n);
    float *dx = n->in[0]->out.grad;
    bool fresh = nb_layer_fresh(n, 0);
    for (int64_t i = first; i < end; i++) {
        /* both comparisons and both loads always happen: a select, not a branch to mispredict */
        float pass = (float)((y[i] > 0.0f) & (y[i] < cap));
        float d = dy[i];
        dx[i] = fresh ? (pass > 0.0f ? d : 0.0f) : dx[i] + (pass > 0.0f ? d : 0.0f);
    }
}

static void relu_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    if (n->in[0]->out.grad)
        nb_parallel_for(nb_chunks(nb_count(&n->out), NB_LAYER_GRAIN), backward_chunk, n);
}

static void relu_bounds(const nb_node *n, float *low, float *high)
{
    *low = fmaxf(*low, 0.0f);
    *high = fminf(*high, nb_relu_cap(n));
}

static nb_status relu_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_clamp(lo, n, 0.0, (double)nb_relu_cap(n));
}

const nb_op nb_op_relu = {
    .name = "relu",
    .help = "rectified linear unit: max(x, 0), optionally capped",
    .keys = relu_keys,
    .attr_size = sizeof(relu_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_NEEDS_OUT | NB_OP_BWD_SETS,
    .role = NB_ROLE_CLAMP,
    .build = relu_build,
    .prepare = relu_prepare,
    .forward = relu_forward,
    .backward = relu_backward,
    .lower = relu_lower,
    .bounds = relu_bounds,
    .examples = (const char *const[]){"relu", "relu: {cap: 6}", NULL},
};
