/* op_mac.c - Conv, Gemm, MatMul. */
#include "base/check.h"
#include "import/fill.h"
#include "import/onnx_window.h"

#include <math.h>
#include <string.h>

enum { MAX_KERNEL = 64, MAX_PAD = 64, MAX_STRIDE = 16, MAX_OUT = 65536 };

nb_status onnx_take_bias(onnx_net *n, const onnx_node *d, size_t k, int32_t layer, int64_t channels)
{
    const nb_st_tensor *b = NULL;
    if (onnx_input(n, d, k)) {
        NB_TRY(onnx_floats(n, d, k, &b));
        if (b->count != channels || (b->ndim > 0 && b->shape[b->ndim - 1] != channels))
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "its bias has %lld values for %lld channels", (long long)b->count,
                             (long long)channels);
        nb_st_tensor flat = *b;
        flat.ndim = 1;
        flat.shape[0] = channels;
        onnx_give(n, layer, "bias", &flat);
    }
    n->layer[layer].bias = b != NULL;
    return NB_OK;
}

static nb_status check_conv(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const nb_st_tensor *w,
                            int64_t groups)
{
    if (w->ndim != 4)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "its weights have %d dimensions; images need 4", w->ndim);
    if (groups < 1 || w->shape[0] < 1 || w->shape[0] > MAX_OUT || w->shape[1] < 1 || groups > MAX_OUT ||
        w->shape[1] > MAX_OUT || w->shape[1] * groups != x->c || w->shape[0] % groups)
        return onnx_fail(n, d, NB_E_FORMAT,
                         "weights of %lld x %lld channels in %lld groups do not fit the %d of its input",
                         (long long)w->shape[0], (long long)w->shape[1], (long long)groups, x->c);
    return NB_OK;
}

static nb_status add_conv(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const nb_st_tensor *t,
                          const onnx_window *w, int64_t groups)
{
    static const onnx_window_limits limits = {MAX_KERNEL, MAX_STRIDE, MAX_STRIDE, MAX_PAD};
    NB_TRY(onnx_window_check(n, d, w, &limits));
    const bool depthwise = groups > 1 && groups == x->c && t->shape[0] / groups <= 64;
    int32_t l;
    NB_TRY(onnx_add_layer(n, d, depthwise ? "dwconv2d" : "conv2d", t->name, &x->layer, 1, &l));
    if (!depthwise)
        onnx_keys(n, l, "out: %d", (int)t->shape[0]);
    onnx_window_keys(n, l, w, 1);
    if (depthwise && t->shape[0] != groups)
        onnx_keys(n, l, "multiplier: %d", (int)(t->shape[0] / groups));
    if (!depthwise && groups > 1)
        onnx_keys(n, l, "groups: %d", (int)groups);
    onnx_give(n, l, "weight", t);
    return onnx_take_bias(n, d, 2, l, t->shape[0]);
}

nb_status onnx_op_conv(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    const nb_st_tensor *t;
    onnx_window w;
    int64_t groups;
    NB_TRY(onnx_data_padded(n, d, 0, &x));
    NB_TRY(onnx_floats(n, d, 1, &t));
    NB_TRY(onnx_attr_int(n, d, "group", 1, &groups));
    NB_TRY(check_conv(n, d, x, t, groups));
    NB_TRY(onnx_window_read(n, d, x, &t->shape[2], &w));
    NB_TRY(add_conv(n, d, x, t, &w, groups));
    return onnx_output(n, d,
                       &(onnx_v_entry){.kind = ONNX_V_DATA,
                                       .layer = n->n - 1,
                                       .c = (int32_t)t->shape[0],
                                       .h = (int32_t)w.out[0],
                                       .w = (int32_t)w.out[1]});
}

/* ---- linear ---- */

/* y = alpha x W + beta b. */
typedef struct {
    bool turn_a, turn_b; /* x is [features, N]; W is [out, in] */
    float alpha, beta;
    int32_t dim; /* of x, which the weights run along */
    bool pixel;  /* each pixel for itself */
    int64_t in, out;
} linear;

static bool is_all_of(const onnx_layout *l, int32_t dim, int32_t axis, int32_t size)
{
    const onnx_atom *a = &l->atom[l->first[dim]];
    const int32_t n = l->first[dim + 1] - l->first[dim];
    return size == 1 && axis != ONNX_AXIS_N ? n == 0 : n == 1 && a->axis == axis && a->size == size && a->stride == 1;
}

/* [N, features], or [..., c] with rows, columns and N before: then each pixel is multiplied for itself. */
static nb_status find_features(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, linear *m)
{
    const onnx_layout l = onnx_layout_of(x);
    char text[ONNX_LAYOUT_TEXT];
    bool images;
    m->dim = l.rank == 2 ? !m->turn_a : l.rank - 1;
    m->in = onnx_layout_size(&l, m->dim, &images);
    if (l.rank == 2 && is_all_of(&l, m->turn_a, ONNX_AXIS_N, 0))
        return NB_OK;
    m->pixel = true;
    if (m->turn_a || images || !is_all_of(&l, m->dim, ONNX_AXIS_C, x->c))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "needs rows%s, but its input are images, %s",
                         m->turn_a ? " that transA turns" : "", onnx_layout_text(&l, text));
    return NB_OK;
}

static nb_status linear_weights(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, linear *m, nb_st_tensor *w)
{
    const nb_st_tensor *t;
    NB_TRY(onnx_floats(n, d, 1, &t));
    if (t->ndim != 2 || t->shape[m->turn_b ? 1 : 0] != m->in || t->shape[m->turn_b ? 0 : 1] < 1 ||
        t->shape[m->turn_b ? 0 : 1] > MAX_OUT)
        return onnx_fail(n, d, NB_E_FORMAT, "its weights do not fit the %lld values of its input", (long long)m->in);
    m->out = t->shape[m->turn_b ? 0 : 1];
    *w = *t;
    if (m->turn_b && m->alpha == 1.0f && (m->pixel || onnx_layout_in_order(x)))
        return NB_OK;
    const onnx_layout l = onnx_layout_of(x);
    const int64_t dims[2] = {m->out, m->in};
    float *to;
    NB_TRY(onnx_new_floats(n, t->name, 2, dims, &to, w));
    for (int64_t i = 0; i < m->in; i++) {
        const int64_t place = m->pixel ? i : onnx_layout_place(x, &l, m->dim, i);
        for (int64_t o = 0; o < m->out; o++)
            to[o * m->in + place] = m->alpha * nb_fill_element(t, m->turn_b ? o * m->in + i : i * m->out + o);
    }
    return NB_OK;
}

/* One number for all, or one for each; beta times. */
static nb_status linear_bias(onnx_net *n, const onnx_node *d, const linear *m, int32_t layer)
{
    const nb_st_tensor *b;
    nb_st_tensor all;
    float *to;
    if (!onnx_input(n, d, 2))
        return NB_OK;
    NB_TRY(onnx_floats(n, d, 2, &b));
    if (b->count != 1 && (b->count != m->out || b->shape[b->ndim - 1] != m->out))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "C: must be one number, or one for each of %lld outputs",
                         (long long)m->out);
    NB_TRY(onnx_new_floats(n, b->name, 1, &m->out, &to, &all));
    for (int64_t o = 0; o < m->out; o++)
        to[o] = m->beta * nb_fill_element(b, b->count == 1 ? 0 : o);
    onnx_give(n, layer, "bias", &all);
    n->layer[layer].bias = true;
    return NB_OK;
}

static nb_status add_linear(onnx_net *n, const onnx_node *d, linear *m)
{
    onnx_v_entry *x, y = {.kind = ONNX_V_DATA, .h = 1, .w = 1};
    nb_st_tensor w;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(find_features(n, d, x, m));
    NB_TRY(linear_weights(n, d, x, m, &w));
    const bool pixels = (int64_t)x->h * x->w > 1 && m->pixel;
    NB_TRY(onnx_add_layer(n, d, pixels ? "conv2d" : "linear", w.name, &x->layer, 1, &y.layer));
    onnx_keys(n, y.layer, "out: %d", (int)m->out);
    if (pixels)
        onnx_keys(n, y.layer, "kernel: 1");
    onnx_give(n, y.layer, "weight", &w);
    NB_TRY(linear_bias(n, d, m, y.layer));
    y.c = (int32_t)m->out;
    y.row = !pixels;
    y.h = pixels ? x->h : 1;
    y.w = pixels ? x->w : 1;
    const onnx_layout from = onnx_layout_of(x);
    onnx_layout to = {.rank = from.rank};
    for (int32_t i = 0; i < from.rank; i++) {
        const int32_t at = m->turn_a ? 1 - i : i;
        for (int32_t k = from.first[at]; k < from.first[at + 1] && at != m->dim; k++)
            onnx_layout_add(&to, i, from.atom[k]);
        if (at == m->dim)
            onnx_layout_add(&to, i, (onnx_atom){ONNX_AXIS_C, y.c, 1});
    }
    onnx_layout_set(&y, &to);
    return onnx_output(n, d, &y);
}

/* Gemm whose C is data: the product, and an Add of it. */
static nb_status gemm_and_add(onnx_net *n, const onnx_node *d, linear *m)
{
    const char **names = nb_arena_array(n->arena, 2, sizeof *names);
    char *product = nb_arena_printf(n->arena, "%s\nproduct", d->out[0]);
    onnx_node mul = *d, add = *d;
    if (!names || !product)
        return NB_E_NOMEM;
    names[0] = product;
    names[1] = d->in[2];
    onnx_v_entry *e = onnx_intern(n, product);
    e->uses = 1;
    mul.n_in = 2;
    mul.out = &names[0];
    add.name = "";
    add.in = names;
    add.n_in = 2;
    NB_TRY(add_linear(n, &mul, m));
    return onnx_op_add(n, &add);
}

nb_status onnx_op_gemm(onnx_net *n, const onnx_node *d)
{
    int64_t turn_a, turn_b;
    linear m = {0};
    const onnx_v_entry *c = onnx_input(n, d, 2);
    NB_TRY(onnx_attr_int(n, d, "transA", 0, &turn_a));
    NB_TRY(onnx_attr_int(n, d, "transB", 0, &turn_b));
    NB_TRY(onnx_attr_float(n, d, "alpha", 1, &m.alpha));
    NB_TRY(onnx_attr_float(n, d, "beta", 1, &m.beta));
    m.turn_a = turn_a != 0;
    m.turn_b = turn_b != 0;
    if (!(fabsf(m.alpha) < 1e6f && fabsf(m.beta) < 1e6f))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "alpha: %g, beta: %g: must be below 1e6 in size", (double)m.alpha,
                         (double)m.beta);
    if (c && c->kind == ONNX_V_DATA && m.beta == 1.0f)
        return gemm_and_add(n, d, &m);
    return add_linear(n, d, &m);
}

nb_status onnx_op_matmul(onnx_net *n, const onnx_node *d)
{
    return add_linear(n, d, &(linear){.alpha = 1, .beta = 1});
}
