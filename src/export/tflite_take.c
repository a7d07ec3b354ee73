/* tflite_take.c - moved codes in TensorFlow Lite: PAD where rows, columns or channels are put around what there is, GATHER
 * along every axis that picks its own, zeros among them from one more row behind the last. */
#include "export/tflite_writer.h"

#include "base/check.h"

#include <string.h>

typedef struct { /* of one axis: zeros before and behind, then those of the index */
    int32_t before, behind;
    bool picks;
} plan;

static plan plan_of(const nb_take *t, int32_t axis)
{
    const int32_t *index = t->index[axis], n = t->out[axis], in = t->in[axis];
    plan p = {0};
    while (p.before < n && index[p.before] < 0)
        p.before++;
    p.behind = n - p.before - in;
    p.picks = p.behind < 0;
    for (int32_t i = 0; i < n; i++)
        p.picks = p.picks || index[i] != (i >= p.before && i - p.before < in ? i - p.before : -1);
    if (!p.picks)
        return p;
    p = (plan){.picks = true};
    for (int32_t i = 0; i < n; i++)
        p.behind = index[i] < 0 ? 1 : p.behind;
    return p;
}

static int32_t put_padding(tfl_writer *w, int32_t i, int32_t x, const plan *p)
{
    tfl_shape shape = tfl_shape_of(w->o, x);
    int32_t sides[8] = {0};
    bool any = false;
    for (int32_t axis = 0; axis < 3; axis++) {
        sides[2 * axis + 2] = p[axis].before;
        sides[2 * axis + 3] = p[axis].behind;
        shape.d[axis + 1] += p[axis].before + p[axis].behind;
        any = any || p[axis].before || p[axis].behind;
    }
    if (!any)
        return x;
    const int32_t in[2] = {x, tfl_constant(w->o, "padding", TFL_INT32, (tfl_shape){2, {4, 2}}, sides, sizeof sides)};
    const int32_t out = tfl_like(w->o, x, tfl_name(w, i, "padded"), shape);
    tfl_op(w->o, TFL_PAD, in, 2, out, (tfl_options){0});
    return out;
}

nb_status tfl_take(tfl_writer *w, int32_t i)
{
    static const char *const what[3] = {"rows", "columns", "channels"};
    const nb_estep *s = &w->m->e.steps[i];
    const nb_etensor *from = tfl_etensor(w, s->in[0]), *to = tfl_etensor(w, s->out);
    const nb_take own = {.in = {from->h, from->w, from->c},
                         .out = {to->h, to->w, to->c},
                         .index = {s->index[0], s->index[1], s->index[2]}},
                  *t = &own;
    plan p[3];
    for (int32_t axis = 0; axis < 3; axis++)
        p[axis] = plan_of(t, axis);
    int32_t x = put_padding(w, i, tfl_codes(w, s->in[0], tfl_shape4(t->in[0], t->in[1], t->in[2])), p);
    for (int32_t axis = 0; axis < 3; axis++) {
        if (!p[axis].picks)
            continue;
        const size_t n = (size_t)t->out[axis];
        int32_t *at = nb_alloc(w->ctx, n * sizeof *at);
        if (!at)
            return NB_E_NOMEM;
        for (size_t k = 0; k < n; k++)
            at[k] = t->index[axis][k] < 0 ? t->in[axis] : t->index[axis][k];
        tfl_shape shape = tfl_shape_of(w->o, x);
        shape.d[axis + 1] = t->out[axis];
        const int32_t in[2] = {x, tfl_constant(w->o, tfl_name(w, i, "index"), TFL_INT32, (tfl_shape){1, {t->out[axis]}},
                                               at, n * sizeof *at)};
        nb_free(w->ctx, at);
        x = tfl_like(w->o, x, tfl_name(w, i, what[axis]), shape);
        tfl_op(w->o, TFL_GATHER, in, 2, x, (tfl_options){.v = {axis + 1}});
    }
    w->at[s->out] = x;
    return NB_OK;
}
