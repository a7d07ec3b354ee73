/* qnet_moves.c - what moves codes and does not compute with them: Pad, Slice, Gather along an axis, and the mixture of pixels
 * that our exporter writes for a bilinear upsampling; and tables, a Gather from a constant. Each becomes one step. */
#include "import/fill.h"
#include "import/qnet.h"

#include "base/check.h"

#include <nibble/take.h>

#include <math.h>
#include <string.h>

enum { AXES = 3, MOST_SIZE = 1 << 14, ROUNDED = 2 /* nodes that round a mixture */ };

/* An image, or a vector, on its way into a step. */
typedef struct {
    const q_value *v;
    int32_t tensor, size[AXES];
    int32_t *index[AXES]; /* rows, columns, channels of the output */
} move;

static nb_status new_index(qnet *n, int32_t count, int32_t **out)
{
    *out = nb_arena_array(n->arena, (size_t)count, sizeof **out);
    return *out ? NB_OK : NB_E_NOMEM;
}

static nb_status begin(qnet *n, const onnx_node *d, move *m)
{
    NB_TRY(q_real(n, d, 0, &m->v));
    const q_value *v = m->v;
    if ((v->flat || v->last) && v->h * v->w > 1)
        return q_fail(n, d, "its input is no image [N, channels, rows, columns]");
    NB_TRY(q_codes(n, d, v, &m->tensor));
    m->size[0] = v->h;
    m->size[1] = v->w;
    m->size[2] = v->c;
    for (int32_t axis = 0; axis < AXES; axis++) {
        NB_TRY(new_index(n, m->size[axis], &m->index[axis]));
        for (int32_t i = 0; i < m->size[axis]; i++)
            m->index[axis][i] = i;
    }
    return NB_OK;
}

/* Our axis; -1: that of the images. */
static nb_status axis_of(const qnet *n, const onnx_node *d, const move *m, int64_t axis, int32_t *out)
{
    static const int32_t image[4] = {-1, 2, 0, 1};
    const int32_t rank = m->v->flat ? 2 : 4;
    if (axis < -rank || axis >= rank)
        return q_fail(n, d, "axis %lld: must be in %d..%d", (long long)axis, -rank, rank - 1);
    *out = image[axis < 0 ? axis + rank : axis];
    return NB_OK;
}

static nb_status end(qnet *n, const onnx_node *d, const move *m, nb_step_kind kind)
{
    const q_grid g = q_tensor_grid(n, m->tensor);
    q_value y = *m->v;
    nb_estep s = {.kind = (int32_t)kind, .n_in = 1, .in = {m->tensor}};
    const nb_sinfo info = {.name = d->out[0]};
    s.lo = g.is_signed ? INT8_MIN : 0;
    s.hi = g.is_signed ? INT8_MAX : UINT8_MAX;
    for (int32_t axis = 0; axis < AXES; axis++)
        s.index[axis] = kind == NB_STEP_BLEND && axis == 2 ? NULL : m->index[axis];
    y.h = m->size[0];
    y.w = m->size[1];
    y.c = m->size[2];
    NB_TRY(q_tensor(n, d->out[0], &y, g, &s.out));
    NB_TRY(q_add_step(n, d, &s, &info));
    const bool in_codes = y.open.in_codes || kind == NB_STEP_BLEND;
    y.open = q_of_tensor(n, s.out);
    y.open.in_codes = in_codes;
    return q_output(n, d, y);
}

/* The axis becomes those of its places that at[] lists; -1: zeros. */
static nb_status pick(qnet *n, const onnx_node *d, move *m, int32_t axis, const int32_t *at, int64_t count)
{
    int32_t *index;
    if (count < 1 || count > MOST_SIZE)
        return q_fail(n, d, "gives %lld rows, columns or channels: must be 1..%d", (long long)count, MOST_SIZE);
    NB_TRY(new_index(n, (int32_t)count, &index));
    for (int32_t i = 0; i < (int32_t)count; i++)
        index[i] = at[i] < 0 ? -1 : m->index[axis][at[i]];
    m->index[axis] = index;
    m->size[axis] = (int32_t)count;
    return NB_OK;
}

/* ---- Pad ---- */

static nb_status pad_axis(qnet *n, const onnx_node *d, move *m, int32_t axis, double before, double behind)
{
    int32_t *at;
    if (!(before >= 0 && behind >= 0 && before + behind <= MOST_SIZE))
        return q_fail(n, d, "pads: %g and %g: must be in 0..%d", before, behind, MOST_SIZE);
    const int32_t first = (int32_t)before, all = first + m->size[axis] + (int32_t)behind;
    NB_TRY(new_index(n, all, &at));
    for (int32_t i = 0; i < all; i++)
        at[i] = i >= first && i - first < m->size[axis] ? i - first : -1;
    return pick(n, d, m, axis, at, all);
}

/* With real 0: in codes the zero point. */
nb_status q_op_pad(qnet *n, const onnx_node *d)
{
    const nb_st_tensor *pads, *value;
    double with = 0;
    move m;
    NB_TRY(begin(n, d, &m));
    for (size_t i = 0; i < d->n_attr; i++)
        if (strcmp(d->attr[i].name, "mode") == 0 &&
            (d->attr[i].kind != ONNX_A_STRING || strcmp(d->attr[i].s, "constant") != 0))
            return q_fail(n, d, "mode: must be constant");
    NB_TRY(q_constant(n, d, 1, &pads));
    if (q_input(n, d, 2)) {
        NB_TRY(q_constant(n, d, 2, &value));
        with = q_number(value, 0);
    }
    const int32_t zero = m.v->open.in_codes ? q_tensor_grid(n, m.tensor).zero : 0, rank = m.v->flat ? 2 : 4;
    if (with != zero)
        return q_fail(n, d, "pads with %g: must be the zero point, %d", with, zero);
    if (q_input(n, d, 3) || pads->count != 2 * rank)
        return q_fail(n, d, "pads: must be %d numbers, and no axes", 2 * rank);
    for (int32_t i = 0; i < rank; i++) {
        int32_t axis = 0;
        const double before = q_number(pads, i), behind = q_number(pads, rank + i);
        NB_TRY(axis_of(n, d, &m, i, &axis));
        if (axis < 0 && (before != 0 || behind != 0))
            return q_fail(n, d, "pads: of the images themselves");
        if (axis >= 0)
            NB_TRY(pad_axis(n, d, &m, axis, before, behind));
    }
    return end(n, d, &m, NB_STEP_TAKE);
}

/* ---- Slice, Gather ---- */

static double within(double v, double size, double lo, double hi)
{
    v += v < 0 ? size : 0;
    return v < lo ? lo : v > hi ? hi : v;
}

static nb_status slice_axis(qnet *n, const onnx_node *d, move *m, int32_t axis, const double range[3])
{
    const double size = m->size[axis], step = range[2];
    int32_t *at, count = 0;
    if (!(step != 0 && step >= -MOST_SIZE && step <= MOST_SIZE))
        return q_fail(n, d, "steps: %g", step);
    const double from = within(range[0], size, 0, step > 0 ? size : size - 1);
    const double to = step > 0 ? within(range[1], size, 0, size) : within(range[1], size, -1, size - 1);
    NB_TRY(new_index(n, m->size[axis], &at));
    for (double v = from; step > 0 ? v < to : v > to; v += step)
        at[count++] = (int32_t)v;
    return pick(n, d, m, axis, at, count);
}

nb_status q_op_slice(qnet *n, const onnx_node *d)
{
    const nb_st_tensor *t[4] = {0}; /* starts, ends, axes, steps */
    move m;
    NB_TRY(begin(n, d, &m));
    for (size_t k = 0; k < 4; k++)
        if (k < 2 || q_input(n, d, k + 1))
            NB_TRY(q_constant(n, d, k + 1, &t[k]));
    for (size_t k = 1; k < 4; k++)
        if (t[k] && t[k]->count != t[0]->count)
            return q_fail(n, d, "starts, ends, axes and steps differ in length");
    for (int64_t i = 0; i < t[0]->count; i++) {
        const double range[3] = {q_number(t[0], i), q_number(t[1], i), t[3] ? q_number(t[3], i) : 1};
        int32_t axis = 0;
        NB_TRY(axis_of(n, d, &m, t[2] ? (int64_t)q_number(t[2], i) : i, &axis));
        if (axis < 0)
            return q_fail(n, d, "axes: of the images themselves");
        NB_TRY(slice_axis(n, d, &m, axis, range));
    }
    return end(n, d, &m, NB_STEP_TAKE);
}

static nb_status gather_axis(qnet *n, const onnx_node *d)
{
    const nb_st_tensor *t;
    int32_t axis = 0, *at;
    move m;
    NB_TRY(begin(n, d, &m));
    NB_TRY(q_constant(n, d, 1, &t));
    NB_TRY(axis_of(n, d, &m, q_int(d, "axis", 0), &axis));
    if (axis < 0 || t->ndim != 1 || t->count < 1 || t->count > MOST_SIZE)
        return q_fail(n, d, "indices must be a list, of channels, rows or columns");
    NB_TRY(new_index(n, (int32_t)t->count, &at));
    for (int32_t i = 0; i < (int32_t)t->count; i++) {
        const double v = q_number(t, i);
        if (!(v >= -m.size[axis] && v < m.size[axis]))
            return q_fail(n, d, "indices: %g: must be one of %d", v, m.size[axis]);
        at[i] = (int32_t)v + (v < 0 ? m.size[axis] : 0);
    }
    NB_TRY(pick(n, d, &m, axis, at, t->count));
    return end(n, d, &m, NB_STEP_TAKE);
}

/* ---- tables ---- */

/* Entries are in the order of codes, of s8 ones from -128 on; the engine's are in that of bytes. */
static nb_status codes_of(qnet *n, const nb_st_tensor *t, bool is_signed, uint8_t **out)
{
    *out = nb_arena_array(n->arena, (size_t)t->count, 1);
    if (!*out)
        return NB_E_NOMEM;
    for (int64_t i = 0; i < t->count; i++)
        (*out)[i] = ((const uint8_t *)t->data)[is_signed ? i ^ 128 : i];
    return NB_OK;
}

static nb_status table_of_codes(qnet *n, const onnx_node *d, const q_value *v)
{
    const nb_st_tensor *t;
    uint8_t *codes;
    q_value y = *v;
    q_grid g;
    int32_t tensor;
    NB_TRY(q_codes(n, d, v, &tensor));
    const bool is_signed = q_tensor_grid(n, tensor).is_signed;
    NB_TRY(q_constant(n, d, 0, &t));
    if (!v->open.in_codes || v->open.base != (is_signed ? 128 : 0))
        return q_fail(n, d, "its indices are no codes, or begin elsewhere than a table does");
    if ((t->dtype != NB_ST_U8 && t->dtype != NB_ST_I8) || t->ndim != 1 ||
        (t->count != 256 && t->count != 256 * (int64_t)v->c))
        return q_fail(n, d, "a table has 256 codes for all channels, or for each");
    NB_TRY(q_reader_grid(n, d, d->out[0], &g));
    g.is_signed = t->dtype == NB_ST_I8;
    NB_TRY(codes_of(n, t, is_signed, &codes));
    nb_estep s = {
        .kind = NB_STEP_TABLE, .n_in = 1, .in = {tensor}, .table = codes, .one_table = t->count == 256 && v->c > 1};
    const nb_sinfo info = {.name = d->out[0]};
    s.lo = g.is_signed ? INT8_MIN : 0;
    s.hi = g.is_signed ? INT8_MAX : UINT8_MAX;
    NB_TRY(q_tensor(n, d->out[0], &y, g, &s.out));
    NB_TRY(q_add_step(n, d, &s, &info));
    y.open = q_of_tensor(n, s.out);
    y.open.in_codes = true;
    return q_output(n, d, y);
}

nb_status q_op_gather(qnet *n, const onnx_node *d)
{
    const q_value *from = q_input(n, d, 0), *by = q_input(n, d, 1);
    if (from && from->kind == Q_REAL)
        return gather_axis(n, d);
    if (by && by->kind == Q_REAL)
        return table_of_codes(n, d, by);
    return q_fail(n, d, "only tables, and channels, rows or columns are read back into integers");
}

/* ---- mixtures ---- */

static bool is_image(const q_value *v)
{
    return v->kind == Q_REAL && !((v->flat || v->last) && v->h * v->w > 1);
}

/* Two neighbours and their shares, in 2048ths: of output i, the k-th of `of`. */
static double share_at(const nb_st_tensor *t, int32_t axis, int64_t i, int64_t k)
{
    return q_number(t, axis ? k * t->shape[1] + i : i * t->shape[1] + k);
}

static nb_status read_shares(qnet *n, const onnx_node *d, const nb_st_tensor *t, int32_t axis, int32_t of,
                             int32_t **out)
{
    if (nb_fill_is_float(t) || t->ndim != 2 || t->shape[axis ? 0 : 1] != of || t->shape[axis ? 1 : 0] < 1 ||
        t->shape[axis ? 1 : 0] > MOST_SIZE)
        return q_fail(n, d, "is no mixture of pixels as our exporter writes it");
    const int32_t count = (int32_t)t->shape[axis ? 1 : 0];
    NB_TRY(new_index(n, count, out));
    for (int32_t i = 0; i < count; i++) {
        int32_t at = 0;
        while (at < of && share_at(t, axis, i, at) == 0)
            at++;
        const double first = at < of ? share_at(t, axis, i, at) : 0,
                     then = at + 1 < of ? share_at(t, axis, i, at + 1) : 0;
        if (!(first > 0 && then >= 0 && first + then == NB_BLEND_ONE))
            return q_fail(n, d, "is no mixture of two neighbours");
        for (int32_t k = at + 2; k < of; k++)
            if (share_at(t, axis, i, k) != 0)
                return q_fail(n, d, "is no mixture of two neighbours");
        (*out)[i] = at * NB_BLEND_ONE + (int32_t)then;
    }
    return NB_OK;
}

/* A constant of integers times codes: rows, then columns. */
nb_status q_op_matmul(qnet *n, const onnx_node *d)
{
    const q_value *a = q_input(n, d, 0), *b = q_input(n, d, 1);
    const bool rows = a && b && a->kind == Q_CONSTANT && is_image(b) && b->open.in_codes,
               columns = a && b && b->kind == Q_CONSTANT && a->kind == Q_REAL && a->open.kind == NB_STEP_BLEND;
    if (!rows && !columns)
        return q_op_gemm(n, d);
    q_value v = rows ? *b : *a;
    int32_t *shares = NULL;
    if (columns && v.open.share[1])
        return q_fail(n, d, "mixes columns a second time");
    NB_TRY(read_shares(n, d, rows ? &a->t : &b->t, columns, rows ? v.h : v.w, &shares));
    *(rows ? &v.h : &v.w) = (int32_t)(rows ? a->t.shape[0] : b->t.shape[1]);
    if (rows) {
        const int32_t base = v.open.base;
        int32_t tensor;
        NB_TRY(q_codes(n, d, b, &tensor));
        v.open =
            (q_open){.kind = NB_STEP_BLEND, .in = {tensor}, .n_in = 1, .lo = -INFINITY, .hi = INFINITY, .base = base};
    }
    v.open.share[columns] = shares;
    return q_output(n, d, v);
}

/* What rounds: half of what is then divided by, and back to where codes begin. */
nb_status q_round_blend(qnet *n, const onnx_node *d, const q_value *v, double by)
{
    static const double steps[ROUNDED] = {1 << (2 * NB_BLEND_BITS - 1), 1 << (2 * NB_BLEND_BITS)};
    q_value y = *v;
    const int32_t done = y.open.rounded;
    if (!y.open.share[1] || (done < ROUNDED ? by != steps[done] : by != y.open.base))
        return q_fail(n, d, "%g: is not what a mixture of pixels is rounded with", by);
    y.open.rounded++;
    return q_output(n, d, y);
}

nb_status q_end_blend(qnet *n, const onnx_node *d, const q_value *v)
{
    const q_grid g = q_tensor_grid(n, v->open.in[0]);
    move m = {.v = v, .tensor = v->open.in[0], .size = {v->h, v->w, v->c}};
    if (v->open.rounded != ROUNDED + 1 || v->open.base != (g.is_signed ? 128 : 0))
        return q_fail(n, d, "ends a mixture of pixels before it is rounded");
    m.index[0] = v->open.share[0];
    m.index[1] = v->open.share[1];
    return end(n, d, &m, NB_STEP_BLEND);
}
