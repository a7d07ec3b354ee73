/* onnx_layout.c - atoms are split where a Reshape cuts an axis, and joined again where they come to stand in order. */
#include "import/onnx_layout.h"

#include "import/onnx_net.h"

#include <stdio.h>
#include <string.h>

/* ---- building ---- */

/* Neighbours in one dimension that count on are one atom. */
void onnx_layout_add(onnx_layout *l, int32_t dim, onnx_atom a)
{
    const int32_t n = l->first[dim + 1];
    onnx_atom *last = n > l->first[dim] ? &l->atom[n - 1] : NULL;
    if (a.axis != ONNX_AXIS_N && a.size == 1)
        return;
    if (last && a.axis != ONNX_AXIS_N && last->axis == a.axis && last->stride == a.size * a.stride) {
        last->size *= a.size;
        last->stride = a.stride;
        return;
    }
    if (n == ONNX_ATOMS)
        return;
    l->atom[n] = a;
    for (int32_t i = dim + 1; i <= ONNX_FILE_DIMS; i++)
        l->first[i] = n + 1;
}

static int32_t axis_size(const onnx_v_entry *v, int32_t axis)
{
    return axis == ONNX_AXIS_C ? v->c : axis == ONNX_AXIS_H ? v->h : v->w;
}

static onnx_layout made_of(const onnx_v_entry *v, const int32_t *axis, const int32_t *dim, int32_t rank)
{
    onnx_layout l = {.rank = rank};
    for (int32_t i = 0; i < ONNX_AXES; i++)
        onnx_layout_add(&l, dim[i], (onnx_atom){axis[i], axis[i] == ONNX_AXIS_N ? 0 : axis_size(v, axis[i]), 1});
    return l;
}

static onnx_layout usual(const onnx_v_entry *v, bool flat)
{
    static const int32_t axes[] = {ONNX_AXIS_N, ONNX_AXIS_C, ONNX_AXIS_H, ONNX_AXIS_W};
    static const int32_t dims[2][4] = {{0, 1, 2, 3}, {0, 1, 1, 1}};
    return made_of(v, axes, dims[flat], flat ? 2 : 4);
}

onnx_layout onnx_layout_of(const onnx_v_entry *v)
{
    return v->layout.rank ? v->layout : usual(v, v->flat);
}

static bool equal_dims(const onnx_layout *a, int32_t i, const onnx_layout *b, int32_t k)
{
    const int32_t n = a->first[i + 1] - a->first[i];
    if (n != b->first[k + 1] - b->first[k])
        return false;
    for (int32_t j = 0; j < n; j++) {
        const onnx_atom *p = &a->atom[a->first[i] + j], *q = &b->atom[b->first[k] + j];
        if (p->axis != q->axis || p->size != q->size || p->stride != q->stride)
            return false;
    }
    return true;
}

static bool equal(const onnx_layout *a, const onnx_layout *b)
{
    bool same = a->rank == b->rank;
    for (int32_t i = 0; i < a->rank && same; i++)
        same = equal_dims(a, i, b, i);
    return same;
}

void onnx_layout_set(onnx_v_entry *v, const onnx_layout *l)
{
    const onnx_layout image = usual(v, false), rows = usual(v, true);
    v->layout = *l;
    v->flat = equal(l, &rows);
    if (v->flat || equal(l, &image))
        v->layout = (onnx_layout){0};
}

/* ---- asking ---- */

int64_t onnx_layout_size(const onnx_layout *l, int32_t dim, bool *images)
{
    int64_t size = 1;
    *images = false;
    for (int32_t i = l->first[dim]; i < l->first[dim + 1]; i++) {
        *images = *images || l->atom[i].axis == ONNX_AXIS_N;
        size *= l->atom[i].axis == ONNX_AXIS_N ? 1 : l->atom[i].size;
    }
    return size;
}

bool onnx_layout_axes(const onnx_v_entry *v, int32_t axis[ONNX_FILE_DIMS], int32_t *rank)
{
    static const char *const orders[] = {"NCHW", "NHWC", "NCW", "NWC", "NCH", "NHC", "NC", "NW"};
    static const char names[] = "NCHW";
    const onnx_layout l = onnx_layout_of(v);
    for (size_t k = 0; k < sizeof orders / sizeof *orders; k++) {
        const int32_t n = (int32_t)strlen(orders[k]);
        bool fits = n == l.rank, missing[ONNX_AXES] = {true, true, true, true};
        for (int32_t i = 0; i < n && fits; i++) {
            axis[i] = (int32_t)(strchr(names, orders[k][i]) - names);
            missing[axis[i]] = false;
            const int32_t size = axis[i] == ONNX_AXIS_N ? 0 : axis_size(v, axis[i]);
            onnx_layout one = {.rank = 1};
            onnx_layout_add(&one, 0, (onnx_atom){axis[i], size, 1});
            fits = equal_dims(&l, i, &one, 0);
        }
        for (int32_t a = ONNX_AXIS_C; a < ONNX_AXES && fits; a++)
            fits = !missing[a] || axis_size(v, a) == 1;
        *rank = n;
        if (fits)
            return true;
    }
    return false;
}

/* All dimensions but N as one. */
static onnx_layout as_rows(const onnx_v_entry *v)
{
    const onnx_layout l = onnx_layout_of(v);
    onnx_layout one = {.rank = 2};
    for (int32_t i = 0; i < l.first[l.rank]; i++)
        onnx_layout_add(&one, i > 0, l.atom[i]);
    return one;
}

bool onnx_layout_in_order(const onnx_v_entry *v)
{
    const onnx_layout one = as_rows(v), rows = usual(v, true);
    return equal(&one, &rows);
}

bool onnx_layout_is_ours(const onnx_v_entry *v)
{
    const onnx_layout one = as_rows(v);
    const onnx_atom want[3] = {{ONNX_AXIS_H, v->h, 1}, {ONNX_AXIS_W, v->w, 1}, {ONNX_AXIS_C, v->c, 1}};
    int32_t at = 1;
    for (int32_t i = 0; i < 3; i++)
        if (want[i].size > 1) {
            const onnx_atom *a = &one.atom[at++];
            if (at > one.first[2] || a->axis != want[i].axis || a->size != want[i].size)
                return false;
        }
    return at == one.first[2];
}

int64_t onnx_layout_place(const onnx_v_entry *v, const onnx_layout *l, int32_t dim, int64_t j)
{
    const int64_t step[ONNX_AXES] = {0, (int64_t)v->h * v->w, v->w, 1};
    int64_t at = 0;
    for (int32_t i = l->first[dim + 1] - 1; i >= l->first[dim]; i--) {
        const onnx_atom *a = &l->atom[i];
        if (a->axis == ONNX_AXIS_N)
            continue;
        at += j % a->size * a->stride * step[a->axis];
        j /= a->size;
    }
    return at;
}

const char *onnx_layout_text(const onnx_layout *l, char *buf)
{
    static const char *const names[] = {"N", "channels", "rows", "columns"};
    size_t at = (size_t)snprintf(buf, ONNX_LAYOUT_TEXT, "[");
    for (int32_t i = 0; i < l->rank && at < ONNX_LAYOUT_TEXT; i++) {
        at += (size_t)snprintf(buf + at, ONNX_LAYOUT_TEXT - at, "%s%s", i ? ", " : "",
                               l->first[i] == l->first[i + 1] ? "1" : "");
        for (int32_t k = l->first[i]; k < l->first[i + 1] && at < ONNX_LAYOUT_TEXT; k++)
            at += (size_t)snprintf(buf + at, ONNX_LAYOUT_TEXT - at, "%s%s", k > l->first[i] ? "*" : "",
                                   names[l->atom[k].axis]);
    }
    if (at < ONNX_LAYOUT_TEXT)
        snprintf(buf + at, ONNX_LAYOUT_TEXT - at, "]");
    return buf;
}

/* ---- changing ---- */

void onnx_layout_like(onnx_v_entry *y, const onnx_v_entry *x, const bool *gone)
{
    int32_t axis[ONNX_FILE_DIMS], rank;
    onnx_layout l = {0};
    if (!onnx_layout_axes(x, axis, &rank))
        return;
    for (int32_t i = 0; i < rank; i++) {
        const int32_t a = axis[i];
        if (gone && gone[a])
            continue;
        onnx_layout_add(&l, l.rank++, (onnx_atom){a, a == ONNX_AXIS_N ? 0 : axis_size(y, a), 1});
    }
    onnx_layout_set(y, &l);
}

onnx_layout onnx_layout_transposed(const onnx_layout *l, const int64_t *perm)
{
    onnx_layout y = {.rank = l->rank};
    for (int32_t i = 0; i < l->rank; i++)
        for (int32_t k = l->first[perm[i]]; k < l->first[perm[i] + 1]; k++)
            onnx_layout_add(&y, i, l->atom[k]);
    return y;
}

/* Atoms worth `need` elements from *at on into dimension dim; rest: what is left of atom *at. */
static bool take_atoms(const onnx_layout *l, int32_t *at, onnx_atom *rest, int64_t need, onnx_layout *y, int32_t dim)
{
    while (need > 1) {
        if (*at == l->first[l->rank] || rest->axis == ONNX_AXIS_N)
            return false;
        if (need % rest->size == 0) {
            onnx_layout_add(y, dim, *rest);
            need /= rest->size;
            if (++*at < l->first[l->rank])
                *rest = l->atom[*at];
            continue;
        }
        if (rest->size % need)
            return false;
        const int32_t inner = (int32_t)(rest->size / need);
        onnx_layout_add(y, dim, (onnx_atom){rest->axis, (int32_t)need, rest->stride * inner});
        rest->size = inner;
        return true;
    }
    return true;
}

bool onnx_layout_reshaped(const onnx_layout *l, const int64_t *to, int32_t rank, onnx_layout *out)
{
    int64_t all = 1, rest_of = 1;
    const int32_t n = l->first[l->rank];
    onnx_layout y = {.rank = rank};
    if (rank < 1 || rank > ONNX_FILE_DIMS || n == 0 || l->atom[0].axis != ONNX_AXIS_N)
        return false;
    for (int32_t i = 1; i < n; i++)
        all *= l->atom[i].size;
    for (int32_t i = 1; i < rank; i++) {
        if (to[i] < 1 || rest_of > INT32_MAX / to[i])
            return false;
        rest_of *= to[i];
    }
    if (all % rest_of)
        return false;
    int32_t at = 1;
    onnx_atom rest = n > 1 ? l->atom[1] : (onnx_atom){0};
    onnx_layout_add(&y, 0, l->atom[0]);
    bool fits = take_atoms(l, &at, &rest, all / rest_of, &y, 0);
    for (int32_t i = 1; i < rank && fits; i++)
        fits = take_atoms(l, &at, &rest, to[i], &y, i);
    if (!fits || at != n || y.first[rank] == ONNX_ATOMS)
        return false;
    *out = y;
    return true;
}
