/* onnx_fit.c - operators are written for images [N, c, h, w] and rows [N, c*h*w]. Those that work value by value take any
 * layout, with their constants turned to ours; 1-D operators become operators over images of one row; channels that a
 * Reshape and a Transpose have shuffled are shuffled; everything else is refused with both layouts' names. */
#include "import/onnx_fit.h"

#include "base/check.h"
#include "import/onnx_fold.h"

#include <string.h>

/* Another name for what a node reads, which no file can have: they hold no line feed of ours. */
static nb_status rename_input(onnx_net *n, onnx_node *d, size_t k, const onnx_v_entry *v)
{
    const char **in = nb_arena_array(n->arena, d->n_in, sizeof *in);
    char *name = nb_arena_printf(n->arena, "%s\n%d.%zu", d->in[k], n->renamed++, k);
    onnx_v_entry *e = in && name ? onnx_intern(n, name) : NULL;
    if (!e)
        return NB_E_NOMEM;
    memcpy(in, d->in, d->n_in * sizeof *in);
    in[k] = name;
    d->in = in;
    *e = *v;
    e->name = name;
    return NB_OK;
}

/* ---- value by value ---- */

static nb_status turn_constant(onnx_net *n, onnx_node *d, size_t k, const onnx_v_entry *x)
{
    const onnx_v_entry *e = onnx_input(n, d, k);
    const nb_st_tensor *t = &e->constant;
    const fold_job job = {.n = n, .d = d, .in = {t}, .n_in = 1};
    int32_t axis[ONNX_FILE_DIMS], rank;
    const int64_t size[ONNX_AXES] = {1, x->c, x->h, x->w};
    int64_t dims[ONNX_AXES] = {1, 1, 1, 1}, stride[ONNX_AXES] = {0}, step = 1;
    if (t->count == 1)
        return NB_OK;
    bool fits = onnx_layout_axes(x, axis, &rank) && t->ndim <= rank;
    for (int32_t i = t->ndim - 1; i >= 0 && fits; i--) {
        const int32_t a = axis[rank - t->ndim + i];
        fits = t->shape[i] == 1 || t->shape[i] == size[a];
        dims[a] = t->shape[i];
        stride[a] = t->shape[i] == 1 ? 0 : step;
        step *= t->shape[i];
    }
    if (!fits)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "input %zu, '%.80s', does not fit the order of its other input", k,
                         e->name);
    onnx_v_entry turned = *e;
    NB_TRY(fold_new(&job, t->dtype, ONNX_AXES, dims, &turned.constant));
    fold_copy(t, 0, stride, &turned.constant);
    return rename_input(n, d, k, &turned);
}

static bool same_order(const onnx_v_entry *a, const onnx_v_entry *b)
{
    int32_t p[ONNX_FILE_DIMS], q[ONNX_FILE_DIMS], n_p, n_q;
    if (onnx_layout_axes(a, p, &n_p) && onnx_layout_axes(b, q, &n_q))
        return n_p == n_q && memcmp(p, q, (size_t)n_p * sizeof *p) == 0;
    return a->c == b->c && a->h == b->h && a->w == b->w && memcmp(&a->layout, &b->layout, sizeof a->layout) == 0;
}

static nb_status fit_each(onnx_net *n, onnx_node *d)
{
    const onnx_v_entry *x = NULL;
    for (size_t k = 0; k < d->n_in; k++) {
        const onnx_v_entry *e = onnx_input(n, d, k);
        if (e && e->kind == ONNX_V_DATA && (!x || e->layout.rank))
            x = e;
    }
    if (!x || !x->layout.rank)
        return NB_OK;
    for (size_t k = 0; k < d->n_in; k++) {
        const onnx_v_entry *e = onnx_input(n, d, k);
        char a[ONNX_LAYOUT_TEXT], b[ONNX_LAYOUT_TEXT];
        if (e && e->kind == ONNX_V_CONSTANT)
            NB_TRY(turn_constant(n, d, k, x));
        if (!e || e->kind != ONNX_V_DATA || e == x || same_order(e, x))
            continue;
        const onnx_layout p = onnx_layout_of(e), q = onnx_layout_of(x);
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "joins values that stand as %s and as %s", onnx_layout_text(&p, a),
                         onnx_layout_text(&q, b));
    }
    return NB_OK;
}

/* ---- images ---- */

/* {N} {c / groups, groups inside out} {h} {w}: how many groups, or 0. */
static int32_t shuffled(const onnx_v_entry *v)
{
    const onnx_layout l = v->layout;
    const int32_t at = l.first[1];
    onnx_layout rest = {.rank = 4};
    if (l.rank != 4 || l.first[2] != at + 2)
        return 0;
    const onnx_atom *outer = &l.atom[at], *inner = &l.atom[at + 1];
    if (outer->axis != ONNX_AXIS_C || inner->axis != ONNX_AXIS_C || outer->stride != 1 ||
        inner->stride != outer->size || outer->size * inner->size != v->c)
        return 0;
    onnx_layout_add(&rest, 0, (onnx_atom){ONNX_AXIS_N, 0, 1});
    onnx_layout_add(&rest, 1, (onnx_atom){ONNX_AXIS_C, v->c, 1});
    for (int32_t i = 2; i < 4; i++)
        for (int32_t k = l.first[i]; k < l.first[i + 1]; k++)
            onnx_layout_add(&rest, i, l.atom[k]);
    onnx_v_entry y = *v;
    onnx_layout_set(&y, &rest);
    return y.layout.rank || y.flat ? 0 : inner->size;
}

/* From here on the name stands for the shuffled channels: whoever reads it next finds them in order. */
nb_status onnx_fit_shuffle(onnx_net *n, const onnx_node *d, onnx_v_entry *x)
{
    const int32_t groups = x->layout.rank ? shuffled(x) : 0;
    onnx_node unnamed = *d;
    int32_t l;
    if (!groups)
        return NB_OK;
    unnamed.name = "";
    NB_TRY(onnx_add_layer(n, &unnamed, "shuffle", NULL, &x->layer, 1, &l));
    onnx_keys(n, l, "groups: %d", groups);
    x->layer = l;
    x->layout = (onnx_layout){0};
    return NB_OK;
}

static nb_status fit_images(onnx_net *n, const onnx_node *d)
{
    for (size_t k = 0; k < d->n_in; k++) {
        onnx_v_entry *e = onnx_input(n, d, k);
        char text[ONNX_LAYOUT_TEXT];
        if (!e || e->kind != ONNX_V_DATA || !e->layout.rank)
            continue;
        NB_TRY(onnx_fit_shuffle(n, d, e));
        if (e->layout.rank)
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "its input stands as %s, must be [N, channels, rows, columns]",
                             onnx_layout_text(&e->layout, text));
    }
    return NB_OK;
}

/* ---- signals ---- */

static bool is_signal(const onnx_v_entry *e)
{
    int32_t axis[ONNX_FILE_DIMS], rank;
    return e && e->kind == ONNX_V_DATA && e->layout.rank == 3 && onnx_layout_axes(e, axis, &rank) &&
           axis[1] == ONNX_AXIS_C && axis[2] == ONNX_AXIS_W;
}

/* One number for the columns becomes two, and two pads become four. */
static nb_status widen_attributes(const onnx_net *n, onnx_node *d)
{
    static const struct {
        const char *name;
        int64_t row;
    } ones[] = {{"kernel_shape", 1}, {"strides", 1}, {"dilations", 1}, {"output_padding", 0}, {"output_shape", 1}};
    onnx_attr *attr = nb_arena_array(n->arena, d->n_attr + 1, sizeof *attr);
    if (!attr)
        return NB_E_NOMEM;
    for (size_t i = 0; i < d->n_attr; i++) {
        attr[i] = d->attr[i];
        int64_t *v = nb_arena_array(n->arena, 4, sizeof *v);
        if (!v)
            return NB_E_NOMEM;
        for (size_t k = 0; k < sizeof ones / sizeof *ones; k++)
            if (attr[i].kind == ONNX_A_INTS && attr[i].n == 1 && strcmp(attr[i].name, ones[k].name) == 0) {
                v[0] = ones[k].row;
                v[1] = d->attr[i].ints[0];
                attr[i].ints = v;
                attr[i].n = 2;
            }
        if (attr[i].kind == ONNX_A_INTS && attr[i].n == 2 && strcmp(attr[i].name, "pads") == 0) {
            v[1] = d->attr[i].ints[0];
            v[3] = d->attr[i].ints[1];
            attr[i].ints = v;
            attr[i].n = 4;
        }
    }
    d->attr = attr;
    return NB_OK;
}

static nb_status fit_signal(onnx_net *n, onnx_node *d)
{
    NB_TRY(widen_attributes(n, d));
    for (size_t k = 0; k < d->n_in; k++) {
        const onnx_v_entry *e = onnx_input(n, d, k);
        onnx_v_entry v = e ? *e : (onnx_v_entry){0};
        if (is_signal(e)) {
            v.layout = (onnx_layout){0};
        } else if (e && e->kind == ONNX_V_CONSTANT && v.constant.ndim == 3) {
            v.constant.ndim = 4;
            v.constant.shape[3] = v.constant.shape[2];
            v.constant.shape[2] = 1;
        } else {
            continue;
        }
        NB_TRY(rename_input(n, d, k, &v));
    }
    return NB_OK;
}

/* ---- images of one column ---- */

/* [N, c, w, 1]: an Unsqueeze has put the last axis behind a signal. */
static bool is_column(const onnx_v_entry *e)
{
    if (!e || e->kind != ONNX_V_DATA || e->layout.rank != 4 || e->h != 1 || e->w == 1)
        return false;
    onnx_v_entry turned = *e;
    const int64_t perm[4] = {0, 1, 3, 2};
    const onnx_layout l = onnx_layout_transposed(&e->layout, perm);
    onnx_layout_set(&turned, &l);
    return turned.layout.rank == 0 && !turned.flat;
}

static nb_status turn_attributes(const onnx_net *n, onnx_node *d)
{
    static const char *const pairs[] = {"kernel_shape", "strides", "dilations", "output_padding", "output_shape"};
    onnx_attr *attr = nb_arena_array(n->arena, d->n_attr + 1, sizeof *attr);
    int64_t *v = nb_arena_array(n->arena, 4 * d->n_attr + 1, sizeof *v);
    if (!attr || !v)
        return NB_E_NOMEM;
    for (size_t i = 0; i < d->n_attr; i++, v += 4) {
        const onnx_attr *a = &d->attr[i];
        bool turns = a->kind == ONNX_A_INTS && a->n == 4 && strcmp(a->name, "pads") == 0;
        for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
            turns = turns || (a->kind == ONNX_A_INTS && a->n == 2 && strcmp(a->name, pairs[k]) == 0);
        attr[i] = *a;
        for (size_t k = 0; turns && k < a->n; k++)
            v[k] = a->ints[k ^ 1];
        if (turns)
            attr[i].ints = v;
    }
    d->attr = attr;
    return NB_OK;
}

static nb_status fit_column(onnx_net *n, onnx_node *d)
{
    NB_TRY(turn_attributes(n, d));
    for (size_t k = 0; k < d->n_in; k++) {
        const onnx_v_entry *e = onnx_input(n, d, k);
        onnx_v_entry v = e ? *e : (onnx_v_entry){0};
        if (is_column(e)) {
            v.layout = (onnx_layout){0};
        } else if (e && e->kind == ONNX_V_CONSTANT && v.constant.ndim == 4) {
            if (e->constant.shape[2] != 1 && e->constant.shape[3] != 1)
                return onnx_fail(n, d, NB_E_UNSUPPORTED, "input %zu: a window of %lldx%lld over images of one column",
                                 k, (long long)e->constant.shape[2], (long long)e->constant.shape[3]);
            v.constant.shape[2] = e->constant.shape[3];
            v.constant.shape[3] = e->constant.shape[2];
        } else {
            continue;
        }
        NB_TRY(rename_input(n, d, k, &v));
    }
    return NB_OK;
}

void onnx_fit_back(onnx_net *n, const onnx_node *d, onnx_turn turn)
{
    onnx_v_entry *y = onnx_intern(n, d->out[0]);
    onnx_layout l = {.rank = 3};
    if (turn == ONNX_COLUMN && y->kind == ONNX_V_DATA && !y->layout.rank && !y->flat) {
        const onnx_layout row = onnx_layout_of(y);
        const int64_t perm[4] = {0, 1, 3, 2};
        l = onnx_layout_transposed(&row, perm);
        onnx_layout_set(y, &l);
    }
    if (turn == ONNX_COLUMN)
        return;
    if (y->kind != ONNX_V_DATA || y->h != 1 || y->layout.rank || y->flat)
        return;
    onnx_layout_add(&l, 0, (onnx_atom){ONNX_AXIS_N, 0, 1});
    onnx_layout_add(&l, 1, (onnx_atom){ONNX_AXIS_C, y->c, 1});
    onnx_layout_add(&l, 2, (onnx_atom){ONNX_AXIS_W, y->w, 1});
    onnx_layout_set(y, &l);
}

nb_status onnx_fit(onnx_net *n, const onnx_node *d, onnx_fit_kind kind, const onnx_node **out, onnx_turn *turn)
{
    onnx_node *copy = nb_arena_alloc(n->arena, sizeof *copy);
    if (!copy)
        return NB_E_NOMEM;
    *copy = *d;
    *out = copy;
    const onnx_v_entry *x = kind == ONNX_FIT_WINDOW && d->n_in > 0 ? onnx_input(n, d, 0) : NULL;
    *turn = is_signal(x) ? ONNX_SIGNAL : is_column(x) ? ONNX_COLUMN : ONNX_AS_IT_IS;
    if (kind == ONNX_FIT_ANY)
        return NB_OK;
    if (kind == ONNX_FIT_EACH)
        return fit_each(n, copy);
    return *turn == ONNX_SIGNAL   ? fit_signal(n, copy)
           : *turn == ONNX_COLUMN ? fit_column(n, copy)
                                  : fit_images(n, copy);
}
