/* op_take.c - Slice, Split, Gather and Pad of images: what becomes a `slice`, a `shuffle` or a `pad`. Zeros around an
 * image wait for the convolution that reads them (onnx_net.h). */
#include "base/check.h"
#include "import/fill.h"
#include "import/onnx_fit.h"
#include "import/op_affine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TEXT = ONNX_KEYS - 60 /* of the numbers of one axis */, MAX_WAITING = 64, MAX_PAD = 4096, MAX_VALUE = 1000 };

/* Our axes are rows, columns, channels; *our is -1 where d's axis is that of the images. */
static nb_status our_axis(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, int64_t axis, int32_t *our)
{
    static const int32_t ours[ONNX_AXES] = {-1, 2, 0, 1};
    int32_t at = ONNX_AXIS_N;
    NB_TRY(onnx_image_axis(n, d, x, axis, &at));
    *our = ours[at];
    return NB_OK;
}

static int32_t rank_of(const onnx_v_entry *x)
{
    return onnx_layout_of(x).rank;
}

static int32_t size_of(const onnx_v_entry *x, int32_t axis)
{
    return axis == 0 ? x->h : axis == 1 ? x->w : x->c;
}

/* An image in any order, or rows that are no flattened image, whose values would stand in another order. */
static nb_status take_data(onnx_net *n, const onnx_node *d, onnx_v_entry **x)
{
    int32_t axes[ONNX_FILE_DIMS], rank;
    NB_TRY(onnx_data(n, d, 0, x));
    NB_TRY(onnx_fit_shuffle(n, d, *x));
    if (!onnx_layout_axes(*x, axes, &rank))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "works on flattened images; on images it is supported");
    return NB_OK;
}

/* ---- numbers of an axis as the text of a slice ---- */

/* How many from k on are as far apart as the first two. */
static int32_t run_of(const int32_t *at, int32_t k, int32_t count)
{
    int32_t end = k + 2;
    while (end < count && at[end] - at[end - 1] == at[k + 1] - at[k])
        end++;
    return end < count ? end - k : count - k;
}

static bool add_run(char *text, size_t len, const int32_t *at, int32_t n, int32_t size)
{
    const size_t used = strlen(text);
    const char *comma = used ? ", " : "";
    const int32_t step = n > 1 ? at[1] - at[0] : 1, behind = at[n - 1] + step;
    char from[16] = "", to[16] = "", by[16] = "";
    if (n > 1) {
        if (at[0] != (step > 0 ? 0 : size - 1))
            snprintf(from, sizeof from, "%d", at[0]);
        if (step > 0 ? behind < size : behind >= 0)
            snprintf(to, sizeof to, "%d", step > 0 ? at[n - 1] + 1 : behind);
        if (step != 1)
            snprintf(by, sizeof by, ":%d", step);
    }
    const int put = n == 1 ? snprintf(text + used, len - used, "%s%d", comma, at[0])
                           : snprintf(text + used, len - used, "%s%s:%s%s", comma, from, to, by);
    return put > 0 && (size_t)put < len - used;
}

static bool slice_text(char *text, size_t len, const int32_t *at, int32_t count, int32_t size)
{
    bool fits = true;
    *text = '\0';
    for (int32_t k = 0, n; k < count && fits; k += n) {
        n = count - k < 2 ? count - k : run_of(at, k, count);
        const int32_t step = n > 1 ? at[k + 1] - at[k] : 1;
        if (step == 0 || (n == 2 && step != 1 && (count > 2 || step < 0)))
            n = 1;
        fits = add_run(text, len, at + k, n, size);
    }
    return fits;
}

/* at: of all groups in turn? */
static int32_t shuffle_groups(const int32_t *at, int32_t count, int32_t size)
{
    const int32_t each = count > 1 ? at[1] - at[0] : 0, groups = each > 1 && size % each == 0 ? size / each : 0;
    bool all = groups > 1 && count == size;
    for (int32_t k = 0; k < count && all; k++)
        all = at[k] == k % groups * each + k / groups;
    return all ? groups : 0;
}

/* Several axes of one node become one layer, if its keys have room. */
nb_status onnx_pick(onnx_net *n, const onnx_node *d, onnx_v_entry *x, int32_t axis, const int32_t *at, int32_t count)
{
    static const char *const keys[3] = {"rows", "cols", "channels"};
    const int32_t size = size_of(x, axis), groups = axis == 2 ? shuffle_groups(at, count, size) : 0;
    const onnx_v_entry before = *x;
    char text[MAX_TEXT];
    bool same = count == size;
    for (int32_t i = 0; i < count; i++)
        same = same && at[i] == i;
    if (same)
        return NB_OK;
    if (!groups && !slice_text(text, sizeof text, at, count, size))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "picks %d of %d %s in an order that is too long for a config", count,
                         size, keys[axis]);
    const onnx_layer *l = &n->layer[x->layer];
    const bool goes_on = !x->name && strcmp(l->op, "slice") == 0 && !groups && !strstr(l->keys, keys[axis]) &&
                         strlen(l->keys) + strlen(text) + 20 < sizeof l->keys;
    if (!goes_on)
        NB_TRY(onnx_add_layer(n, d, groups ? "shuffle" : "slice", NULL, &x->layer, 1, &x->layer));
    if (groups)
        onnx_keys(n, x->layer, "groups: %d", groups);
    else
        onnx_keys(n, x->layer, "%s: \"%s\"", keys[axis], text);
    *(axis == 0 ? &x->h : axis == 1 ? &x->w : &x->c) = count;
    x->name = NULL; /* no other name for what was there */
    onnx_layout_like(x, &before, NULL);
    return NB_OK;
}

static nb_status new_indices(const onnx_net *n, int64_t count, int32_t **out)
{
    *out = nb_arena_array(n->arena, (size_t)(count ? count : 1), sizeof **out);
    return *out ? NB_OK : NB_E_NOMEM;
}

/* ---- Slice ---- */

typedef struct {
    int64_t from[ONNX_SHAPE_MAX], to[ONNX_SHAPE_MAX], axis[ONNX_SHAPE_MAX], step[ONNX_SHAPE_MAX];
    int32_t n;
} slices;

static nb_status read_slices(const onnx_net *n, const onnx_node *d, slices *s)
{
    int32_t to, axes, steps;
    NB_TRY(onnx_integers(n, d, 1, "starts", s->from, &s->n));
    NB_TRY(onnx_integers(n, d, 2, "ends", s->to, &to));
    NB_TRY(onnx_integers(n, d, 3, "axes", s->axis, &axes));
    NB_TRY(onnx_integers(n, d, 4, NULL, s->step, &steps));
    if (to != s->n || (axes && axes != s->n) || (steps && steps != s->n))
        return onnx_fail(n, d, NB_E_FORMAT, "starts, ends, axes and steps differ in length");
    for (int32_t i = 0; i < s->n; i++) {
        s->axis[i] = axes ? s->axis[i] : i;
        s->step[i] = steps ? s->step[i] : 1;
        if (s->step[i] == 0 || s->step[i] > INT32_MAX || s->step[i] < -INT32_MAX)
            return onnx_fail(n, d, NB_E_FORMAT, "steps: %lld", (long long)s->step[i]);
    }
    return NB_OK;
}

static int64_t clamped(int64_t v, int64_t size, int64_t lo, int64_t hi)
{
    v += v < 0 ? size : 0;
    return v < lo ? lo : v > hi ? hi : v;
}

static nb_status slice_axis(onnx_net *n, const onnx_node *d, const slices *s, int32_t i, onnx_v_entry *x)
{
    const int64_t step = s->step[i];
    int32_t *at, count = 0, axis = -1;
    NB_TRY(our_axis(n, d, x, s->axis[i], &axis));
    if (axis == -1 && s->from[i] == 0 && step == 1 && (s->to[i] >= INT32_MAX || s->to[i] == ONNX_BATCH))
        return NB_OK;
    if (axis < 0)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "axes: %lld: only channels, rows and columns of images can be cut",
                         (long long)s->axis[i]);
    const int64_t size = size_of(x, axis);
    const int64_t from = clamped(s->from[i], size, 0, step > 0 ? size : size - 1);
    const int64_t to = step > 0 ? clamped(s->to[i], size, 0, size) : clamped(s->to[i], size, -1, size - 1);
    NB_TRY(new_indices(n, size, &at));
    for (int64_t v = from; step > 0 ? v < to : v > to; v += step)
        at[count++] = (int32_t)v;
    if (count == 0)
        return onnx_fail(n, d, NB_E_FORMAT, "starts and ends leave nothing of %d", (int)size);
    return onnx_pick(n, d, x, axis, at, count);
}

nb_status onnx_op_slice(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *data;
    slices s;
    NB_TRY(take_data(n, d, &data));
    NB_TRY(read_slices(n, d, &s));
    onnx_v_entry x = *data;
    for (int32_t i = 0; i < s.n; i++)
        NB_TRY(slice_axis(n, d, &s, i, &x));
    return onnx_output(n, d, &x);
}

/* ---- Split, Gather ---- */

static nb_status split_sizes(const onnx_net *n, const onnx_node *d, int32_t size, const int64_t **out, int64_t *own)
{
    const onnx_v_entry *e = onnx_input(n, d, 1);
    const onnx_attr *a = onnx_attr_find(d, "split");
    int64_t sum = 0;
    size_t given = a ? a->n : e ? (size_t)e->constant.count : 0;
    if ((a && a->kind != ONNX_A_INTS) || (!a && e && (e->kind != ONNX_V_CONSTANT || e->constant.dtype != NB_ST_I64)))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "split: must be known integers");
    *out = a ? a->ints : e ? e->constant.data : own;
    const int64_t each = (size + (int64_t)d->n_out - 1) / (int64_t)d->n_out;
    for (size_t k = 0; !given && k < d->n_out; k++)
        own[k] = k + 1 < d->n_out ? each : size - each * ((int64_t)d->n_out - 1);
    for (size_t k = 0; k < d->n_out && (!given || given == d->n_out); k++)
        sum += (*out)[k] > 0 && (*out)[k] <= size ? (*out)[k] : size + 1;
    if (sum != size)
        return onnx_fail(n, d, NB_E_FORMAT, "split: its parts are not the whole, %d", size);
    return NB_OK;
}

nb_status onnx_op_split(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    const int64_t *sizes = NULL;
    int64_t axis;
    int32_t *at, from = 0, our = -1;
    NB_TRY(take_data(n, d, &x));
    NB_TRY(onnx_attr_int(n, d, "axis", 0, &axis));
    NB_TRY(our_axis(n, d, x, axis, &our));
    if (our < 0)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "axis: %lld: only channels, rows and columns of images can be split",
                         (long long)axis);
    int64_t *own = nb_arena_array(n->arena, d->n_out + 1, sizeof *own);
    if (!own)
        return NB_E_NOMEM;
    NB_TRY(split_sizes(n, d, size_of(x, our), &sizes, own));
    NB_TRY(new_indices(n, size_of(x, our), &at));
    for (size_t k = 0; k < d->n_out; from += (int32_t)sizes[k++]) {
        onnx_v_entry part = *x;
        for (int32_t i = 0; i < (int32_t)sizes[k]; i++)
            at[i] = from + i;
        if (!*d->out[k] || !onnx_is_read(n, d->out[k]))
            continue;
        NB_TRY(onnx_pick(n, d, &part, our, at, (int32_t)sizes[k]));
        NB_TRY(onnx_output_at(n, d, k, &part));
    }
    return NB_OK;
}

nb_status onnx_op_gather(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x, *e = onnx_input(n, d, 1);
    int64_t axis;
    int32_t *at, our = -1;
    NB_TRY(take_data(n, d, &x));
    NB_TRY(onnx_attr_int(n, d, "axis", 0, &axis));
    NB_TRY(our_axis(n, d, x, axis, &our));
    const int32_t size = our < 0 ? 0 : size_of(x, our);
    if (our < 0)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "axis: %lld: only channels, rows and columns of images can be picked",
                         (long long)axis);
    if (!e || e->kind != ONNX_V_CONSTANT || e->constant.dtype != NB_ST_I64 || e->constant.ndim != 1 ||
        e->constant.count < 1 || e->constant.count > ONNX_MAX_SIDE)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "indices: must be a known list of integers");
    NB_TRY(new_indices(n, e->constant.count, &at));
    for (int32_t i = 0; i < (int32_t)e->constant.count; i++) {
        const int64_t v = ((const int64_t *)e->constant.data)[i];
        if (v < -size || v >= size)
            return onnx_fail(n, d, NB_E_FORMAT, "indices: %lld: must be one of %d", (long long)v, size);
        at[i] = (int32_t)(v < 0 ? v + size : v);
    }
    onnx_v_entry y = *x;
    NB_TRY(onnx_pick(n, d, &y, our, at, (int32_t)e->constant.count));
    return onnx_output(n, d, &y);
}

/* ---- Pad ---- */

/* sides: top, left, bottom, right, channels before and behind. */
static nb_status read_pads(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, int64_t sides[6])
{
    static const int32_t place[3][2] = {{0, 2}, {1, 3}, {4, 5}}; /* of rows, columns, channels */
    int64_t pads[ONNX_SHAPE_MAX], axes[ONNX_SHAPE_MAX];
    int32_t count, n_axes;
    NB_TRY(onnx_integers(n, d, 1, "pads", pads, &count));
    NB_TRY(onnx_integers(n, d, 3, NULL, axes, &n_axes));
    const int32_t rank = rank_of(x);
    for (int32_t i = 0; n_axes == 0 && i < rank; i++)
        axes[i] = i;
    n_axes = n_axes ? n_axes : rank;
    if (count != 2 * n_axes)
        return onnx_fail(n, d, NB_E_FORMAT, "pads: %d numbers: must be %d", count, 2 * n_axes);
    for (int32_t i = 0; i < 2 * n_axes; i++) {
        int32_t our = -1;
        NB_TRY(our_axis(n, d, x, axes[i % n_axes], &our));
        if (our < 0 && pads[i] == 0)
            continue;
        if (our < 0 || pads[i] < -MAX_PAD || pads[i] > MAX_PAD)
            return onnx_fail(n, d, NB_E_UNSUPPORTED,
                             "pads: %lld on axis %lld: only channels, rows and columns, %d at most", (long long)pads[i],
                             (long long)axes[i % n_axes], MAX_PAD);
        sides[place[our][i / n_axes]] = pads[i];
    }
    return NB_OK;
}

/* Ours by the mode; "": with one value. */
static nb_status read_mode(const onnx_net *n, const onnx_node *d, const char **mode, float *value)
{
    const onnx_attr *a = onnx_attr_find(d, "mode");
    const char *theirs = a && a->kind == ONNX_A_STRING ? a->s : a ? "?" : "constant";
    *value = 0;
    if (strcmp(theirs, "reflect") == 0 || strcmp(theirs, "edge") == 0 || strcmp(theirs, "wrap") == 0) {
        *mode = theirs;
        return NB_OK;
    }
    *mode = "";
    if (strcmp(theirs, "constant") != 0)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "mode: '%.40s' is not supported", theirs);
    NB_TRY(onnx_attr_float(n, d, "value", 0, value));
    if (onnx_input(n, d, 2)) {
        const nb_st_tensor *t;
        NB_TRY(onnx_floats(n, d, 2, &t));
        if (t->count != 1)
            return onnx_fail(n, d, NB_E_FORMAT, "constant_value: must be one number");
        *value = nb_fill_element(t, 0);
    }
    return fabsf(*value) <= MAX_VALUE ? NB_OK
                                      : onnx_fail(n, d, NB_E_UNSUPPORTED, "pads with %g: must be in -%d..%d",
                                                  (double)*value, MAX_VALUE, MAX_VALUE);
}

nb_status onnx_add_pad(onnx_net *n, const onnx_node *d, const char *mode, const int64_t p[6], onnx_v_entry *x)
{
    const onnx_v_entry before = *x;
    NB_TRY(onnx_add_layer(n, d, "pad", NULL, &x->layer, 1, &x->layer));
    if (p[0] || p[1] || p[2] || p[3])
        onnx_keys(n, x->layer, "pad: [%d, %d, %d, %d]", (int)p[0], (int)p[1], (int)p[2], (int)p[3]);
    if (*mode)
        onnx_keys(n, x->layer, "mode: %s", mode);
    if (p[4] || p[5])
        onnx_keys(n, x->layer, "channels: [%d, %d]", (int)p[4], (int)p[5]);
    x->h += (int32_t)(p[0] + p[2]);
    x->w += (int32_t)(p[1] + p[3]);
    x->c += (int32_t)(p[4] + p[5]);
    x->name = NULL;
    onnx_layout_like(x, &before, NULL);
    return NB_OK;
}

/* What is negative is cut off first, by an axis; their p becomes 0. */
static nb_status cut(onnx_net *n, const onnx_node *d, int64_t p[6], onnx_v_entry *x)
{
    static const int32_t place[3][2] = {{0, 2}, {1, 3}, {4, 5}};
    for (int32_t axis = 0; axis < 3; axis++) {
        int64_t *before = &p[place[axis][0]], *behind = &p[place[axis][1]];
        const int64_t from = *before < 0 ? -*before : 0, less = from + (*behind < 0 ? -*behind : 0);
        const int32_t left = (int32_t)(size_of(x, axis) - less);
        int32_t *at;
        if (less == 0)
            continue;
        if (left < 1)
            return onnx_fail(n, d, NB_E_FORMAT, "pads: cuts off all of %d", size_of(x, axis));
        NB_TRY(new_indices(n, left, &at));
        for (int32_t i = 0; i < left; i++)
            at[i] = (int32_t)from + i;
        NB_TRY(onnx_pick(n, d, x, axis, at, left));
        *before = *before < 0 ? 0 : *before;
        *behind = *behind < 0 ? 0 : *behind;
    }
    return NB_OK;
}

/* Padded with zeros where it is less by that much. */
static nb_status pad_with(onnx_net *n, const onnx_node *d, float value, const int64_t p[6], onnx_v_entry *x)
{
    onnx_v_entry less, y;
    NB_TRY(onnx_affine_by(n, d, x, value, ONNX_MINUS, &less));
    NB_TRY(onnx_add_pad(n, d, "", p, &less));
    NB_TRY(onnx_affine_by(n, d, &less, value, ONNX_PLUS, &y));
    *x = y;
    return NB_OK;
}

nb_status onnx_op_pad(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *data;
    const char *mode;
    float value;
    int64_t p[6] = {0};
    NB_TRY(onnx_data_padded(n, d, 0, &data));
    bool waits = data->layout.rank == 0 && !data->flat;
    if (!waits)
        NB_TRY(take_data(n, d, &data));
    NB_TRY(read_mode(n, d, &mode, &value));
    NB_TRY(read_pads(n, d, data, p));
    waits = waits && !*mode && value == 0.0f && p[4] == 0 && p[5] == 0;
    for (int32_t i = 0; i < 4; i++)
        waits = waits && p[i] >= 0 && p[i] + data->pad[i] <= MAX_WAITING;
    onnx_v_entry y = *data;
    if (waits) {
        for (int32_t i = 0; i < 4; i++)
            y.pad[i] += (int32_t)p[i];
        return onnx_output(n, d, &y);
    }
    NB_TRY(take_data(n, d, &data));
    y = *data;
    NB_TRY(cut(n, d, p, &y));
    if (*mode && (p[4] || p[5]))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "mode: %s: not of channels", mode);
    if (p[0] || p[1] || p[2] || p[3] || p[4] || p[5])
        NB_TRY(value == 0.0f ? onnx_add_pad(n, d, mode, p, &y) : pad_with(n, d, value, p, &y));
    return onnx_output(n, d, &y);
}
