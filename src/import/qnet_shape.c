/* qnet_shape.c - what gives codes another shape: Flatten, Reshape, Squeeze, Unsqueeze, Transpose. */
#include "import/qnet.h"

#include "base/check.h"

#include <string.h>

nb_status q_op_flatten(qnet *n, const onnx_node *d)
{
    const q_value *v;
    NB_TRY(q_real(n, d, 0, &v));
    q_value out = *v;
    if (q_int(d, "axis", 1) != 1)
        return q_fail(n, d, "axis must be 1");
    out.flat = true;
    return q_output(n, d, out);
}

/* To [N, all], or to [N, all, 1, 1]; or nothing changes. */
nb_status q_op_reshape(qnet *n, const onnx_node *d)
{
    const q_value *v;
    const nb_st_tensor *t;
    NB_TRY(q_real(n, d, 0, &v));
    NB_TRY(q_constant(n, d, 1, &t));
    q_value out = *v;
    const int64_t values = (int64_t)v->c * v->h * v->w;
    const double second = t->count > 1 ? q_number(t, 1) : 0;
    const bool all = second == -1 || second == (double)values || (second == 0 && v->h * v->w == 1),
               ones = t->count == 4 && q_number(t, 2) == 1 && q_number(t, 3) == 1,
               same = t->count == 4 && !v->flat && !v->last && q_number(t, 1) == v->c && q_number(t, 2) == v->h &&
                      q_number(t, 3) == v->w;
    if (!same && !(all && (t->count == 2 || ones)))
        return q_fail(n, d, "reshapes to something else than [N, %lld]", (long long)values);
    out.flat = !same && (t->count == 2 || v->h * v->w > 1);
    return q_output(n, d, out);
}

nb_status q_op_squeeze(qnet *n, const onnx_node *d)
{
    const q_value *v;
    NB_TRY(q_real(n, d, 0, &v));
    q_value out = *v;
    if (v->h * v->w > 1)
        return q_fail(n, d, "squeezes an image of %dx%d", v->h, v->w);
    out.flat = strcmp(d->op, "Squeeze") == 0;
    return q_output(n, d, out);
}

nb_status q_op_transpose(qnet *n, const onnx_node *d)
{
    static const int64_t to_last[4] = {0, 2, 3, 1}, from_last[4] = {0, 3, 1, 2};
    const q_value *v;
    int64_t perm[4] = {0};
    NB_TRY(q_real(n, d, 0, &v));
    NB_TRY(q_ints(n, d, "perm", perm, 4));
    q_value out = *v;
    if (v->flat || memcmp(perm, v->last ? from_last : to_last, sizeof perm) != 0)
        return q_fail(n, d, "turns an image other than between channels first and channels last");
    out.last = !v->last;
    return q_output(n, d, out);
}

nb_status q_as_row(qnet *n, const onnx_node *d, const q_value *v, q_value *out)
{
    const int64_t all = (int64_t)v->c * v->h * v->w;
    int32_t tensor;
    *out = *v;
    if (v->h * v->w == 1) {
        out->flat = out->last = false;
        return NB_OK;
    }
    if (!v->flat || !v->last || all > INT32_MAX)
        return NB_OK;
    NB_TRY(q_codes(n, d, v, &tensor));
    const q_grid g = q_tensor_grid(n, tensor);
    const int32_t c = (int32_t)all;
    nb_estep s = {.kind = NB_STEP_MAXPOOL, .n_in = 1, .in = {tensor}, .geom = nb_geom_pixels(1, 1, c, c, c)};
    s.lo = g.is_signed ? INT8_MIN : 0;
    s.hi = g.is_signed ? INT8_MAX : UINT8_MAX;
    const nb_sinfo info = {.name = nb_arena_printf(n->arena, "%s.row.%d", d->out[0], n->n_rows++)};
    if (!info.name)
        return NB_E_NOMEM;
    out->h = out->w = 1;
    out->c = c;
    out->flat = out->last = false;
    NB_TRY(q_tensor(n, info.name, out, g, &s.out));
    NB_TRY(q_add_step(n, d, &s, &info));
    const bool in_codes = v->open.in_codes;
    out->open = q_of_tensor(n, s.out);
    out->open.in_codes = in_codes;
    return NB_OK;
}
