/* onnx_take.c - see onnx_take.h. */
#include "export/onnx_take.h"

#ifdef NB_ONNX

#    include "base/check.h"

#    include <string.h>

/* What becomes of one axis: zeros before and behind, then those of `index`, of which `step` apart are a Slice. */
typedef struct {
    int64_t before, behind;
    bool picks;
    int64_t step; /* 0: a Gather */
} axis_plan;

/* -1 before and behind all of the input's own. */
static bool only_pads(const int32_t *index, int32_t n, int32_t in, axis_plan *p)
{
    int32_t first = 0;
    while (first < n && index[first] < 0)
        first++;
    for (int32_t i = 0; i < n; i++)
        if (index[i] != (i >= first && i - first < in ? i - first : -1))
            return false;
    p->before = first;
    p->behind = n - first - in;
    return p->behind >= 0;
}

static axis_plan plan_of(const nb_take *t, int32_t axis)
{
    const int32_t *index = t->index[axis], n = t->out[axis];
    axis_plan p = {0};
    if (only_pads(index, n, t->in[axis], &p))
        return p;
    p = (axis_plan){.picks = true, .step = n > 1 ? index[1] - index[0] : 1};
    for (int32_t i = 0; i < n; i++) {
        p.behind = index[i] < 0 ? 1 : p.behind; /* zeros stand behind the last */
        p.step = p.step > 0 && index[i] == index[0] + i * p.step ? p.step : 0;
    }
    p.step = p.behind ? 0 : p.step;
    return p;
}

static const char *integers(onnx_model *o, const char *name, const char *what, const int64_t *v, int64_t n)
{
    return onnx_constant(o, onnx_name(o, "%s.%s", name, what), ONNX_INT64, &n, 1, v, (size_t)n * sizeof *v);
}

static const int64_t places[3] = {2, 3, 1}; /* of rows, columns and channels in NCHW */

static const char *put_pad(onnx_model *o, const char *name, const char *to, const char *x, const axis_plan *p,
                           const onnx_values *k)
{
    int64_t pads[8] = {0};
    for (int32_t axis = 0; axis < 3; axis++)
        if (places[axis] < k->ndim) {
            pads[places[axis]] = p[axis].before;
            pads[k->ndim + places[axis]] = p[axis].behind;
        }
    const char *in[3] = {x, integers(o, name, "pads", pads, 2 * k->ndim),
                         onnx_scalar(o, onnx_name(o, "%s.zero", name), k->type, k->zero)};
    return onnx_add(o, "Pad", to, in, 3);
}

static nb_status put_gather(nb_ctx *ctx, onnx_model *o, const char *to, const char *x, const nb_take *t, int32_t axis)
{
    const int32_t n = t->out[axis], *index = t->index[axis];
    int64_t *at = nb_alloc(ctx, (size_t)n * sizeof *at);
    if (!at)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < n; i++)
        at[i] = index[i] < 0 ? t->in[axis] : index[i];
    const char *in[2] = {x, integers(o, to, "index", at, n)};
    onnx_add(o, "Gather", to, in, 2);
    onnx_int(o, "axis", places[axis]);
    nb_free(ctx, at);
    return NB_OK;
}

static nb_status put_slice(onnx_model *o, const char *to, const char *x, const nb_take *t, int32_t axis, int64_t step)
{
    const int64_t first = t->index[axis][0], last = t->index[axis][t->out[axis] - 1] + 1;
    const char *in[5] = {x, integers(o, to, "starts", &first, 1), integers(o, to, "ends", &last, 1),
                         integers(o, to, "axes", &places[axis], 1), integers(o, to, "steps", &step, 1)};
    onnx_add(o, "Slice", to, in, 5);
    return NB_OK;
}

nb_status onnx_take(nb_ctx *ctx, onnx_model *o, const char *name, const char *x, const nb_take *t, const onnx_values *v)
{
    static const char *const what[3] = {"rows", "columns", "channels"};
    axis_plan plan[3];
    int32_t left = 0; /* nodes that are to come */
    bool pads = false;
    for (int32_t axis = 0; axis < 3; axis++) {
        plan[axis] = plan_of(t, axis);
        left += plan[axis].picks;
        pads = pads || plan[axis].before || plan[axis].behind;
    }
    if (pads)
        x = put_pad(o, name, left ? onnx_name(o, "%s.padded", name) : name, x, plan, v);
    else if (!left)
        onnx_add(o, "Identity", name, &x, 1);
    for (int32_t axis = 0; axis < 3; axis++)
        if (plan[axis].picks) {
            const char *to = --left ? onnx_name(o, "%s.%s", name, what[axis]) : name;
            NB_TRY(plan[axis].step ? put_slice(o, to, x, t, axis, plan[axis].step)
                                   : put_gather(ctx, o, to, x, t, axis));
            x = to;
        }
    return NB_OK;
}

static const char *number(onnx_model *o, const char *name, int32_t v)
{
    return onnx_constant(o, name, ONNX_INT32, NULL, 0, &v, sizeof v);
}

/* Shares of the input's rows in the output's: [out, in], or turned round. */
static nb_status shares(nb_ctx *ctx, onnx_model *o, const char *name, const nb_take *t, int32_t axis, const char **out)
{
    const int32_t n = t->out[axis], of = t->in[axis];
    const int64_t dims[2] = {axis ? of : n, axis ? n : of}, count = (int64_t)n * of;
    int32_t *v = nb_alloc(ctx, (size_t)count * sizeof *v);
    if (!v)
        return NB_E_NOMEM;
    memset(v, 0, (size_t)count * sizeof *v);
    for (int32_t i = 0; i < n; i++) {
        const int32_t at = t->index[axis][i] / NB_BLEND_ONE, behind = t->index[axis][i] % NB_BLEND_ONE;
        v[axis ? at * n + i : i * of + at] = NB_BLEND_ONE - behind;
        if (behind)
            v[axis ? (at + 1) * n + i : i * of + at + 1] = behind;
    }
    *out = onnx_constant(o, name, ONNX_INT32, dims, 2, v, (size_t)count * sizeof *v);
    nb_free(ctx, v);
    return NB_OK;
}

/* s8 codes are moved by 128 on the way: Div cuts towards 0, and must round down. */
nb_status onnx_blend(nb_ctx *ctx, onnx_model *o, const char *name, const char *x, const nb_take *t, int32_t type)
{
    const char *rows, *cols, *by = number(o, onnx_name(o, "%s.by", name), type == ONNX_INT8 ? 128 : 0);
    NB_TRY(shares(ctx, o, onnx_name(o, "%s.rows", name), t, 0, &rows));
    NB_TRY(shares(ctx, o, onnx_name(o, "%s.columns", name), t, 1, &cols));
    x = onnx_add(o, "Cast", onnx_name(o, "%s.wide", name), &x, 1);
    onnx_int(o, "to", ONNX_INT32);
    x = onnx_add(o, "Add", onnx_name(o, "%s.moved", name), (const char *const[]){x, by}, 2);
    x = onnx_add(o, "MatMul", onnx_name(o, "%s.upright", name), (const char *const[]){rows, x}, 2);
    x = onnx_add(o, "MatMul", onnx_name(o, "%s.sum", name), (const char *const[]){x, cols}, 2);
    const char *half = number(o, onnx_name(o, "%s.half", name), 1 << (2 * NB_BLEND_BITS - 1)),
               *one = number(o, onnx_name(o, "%s.one", name), 1 << (2 * NB_BLEND_BITS));
    x = onnx_add(o, "Add", onnx_name(o, "%s.half_up", name), (const char *const[]){x, half}, 2);
    x = onnx_add(o, "Div", onnx_name(o, "%s.mean", name), (const char *const[]){x, one}, 2);
    x = onnx_add(o, "Sub", onnx_name(o, "%s.back", name), (const char *const[]){x, by}, 2);
    onnx_add(o, "Cast", name, &x, 1);
    onnx_int(o, "to", type);
    return NB_OK;
}

#endif
