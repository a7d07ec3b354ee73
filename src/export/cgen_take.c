/* cgen_take.c - steps that move codes in an exported program. Indices that are a line, with zeros before and behind it,
 * are written as one; others become constants. */
#include "export/cgen.h"

#include "base/check.h"
#include "engine/engine_check.h"

#include <stdio.h>
#include <string.h>

static const char names[] = "rck", variables[] = "ijk";
static const char *const from[] = {"row", "column", "channel"};

/* index[i] = start + (i - first) * step, or start + (i - first + phase) / wide, for i in first..last - 1; else -1. */
typedef struct {
    int32_t first, last, start, step, wide, phase;
} line;

static int32_t at_line(const line *l, int32_t i)
{
    if (i < l->first || i >= l->last)
        return -1;
    return l->start + (l->wide > 1 ? (i - l->first + l->phase) / l->wide : (i - l->first) * l->step);
}

static bool is_line(const int32_t *index, int32_t n, line *l)
{
    *l = (line){.step = 1, .wide = 1};
    while (l->first < n && index[l->first] < 0)
        l->first++;
    for (l->last = n; l->last > l->first && index[l->last - 1] < 0;)
        l->last--;
    if (l->first == l->last)
        return true;
    const int32_t *run = index + l->first, length = l->last - l->first;
    int32_t ahead = 1, next;
    while (ahead < length && run[ahead] == run[0])
        ahead++;
    for (next = ahead + 1; next < length && run[next] == run[ahead];)
        next++;
    l->start = run[0];
    l->step = length > 1 ? run[1] - run[0] : 1;
    if (ahead < length && next - ahead > 1) { /* as many of each as of the second */
        l->wide = next - ahead;
        l->phase = l->wide - ahead;
    }
    for (int32_t i = 0; i < n; i++)
        if (at_line(l, i) != index[i])
            return false;
    return l->phase >= 0;
}

/* Of one constant index; 0: the axis has a line, or no indices. */
static int32_t entry_bytes(const nb_intmodel *m, int32_t step, int32_t axis)
{
    const nb_estep *s = &m->e.steps[step];
    const int32_t n = nb_estep_indices(&m->e, s, axis);
    line l;
    if (n == 0 || (s->kind == NB_STEP_TAKE && is_line(s->index[axis], n, &l)))
        return 0;
    for (int32_t i = 0; i < n; i++)
        if (s->index[axis][i] > INT16_MAX)
            return 4;
    return 2;
}

size_t cgen_index_bytes(const nb_intmodel *m, int32_t step, int32_t axis)
{
    return (size_t)entry_bytes(m, step, axis) * (size_t)nb_estep_indices(&m->e, &m->e.steps[step], axis);
}

static const char *entry_type(const cgen *g, int32_t step, int32_t axis)
{
    return entry_bytes(g->m, step, axis) == 2 ? "int16_t" : "int32_t";
}

void cgen_index_data(cgen *g, int32_t step)
{
    const nb_estep *s = &g->m->e.steps[step];
    for (int32_t axis = 0; axis < 3; axis++) {
        const int32_t n = nb_estep_indices(&g->m->e, s, axis);
        if (!entry_bytes(g->m, step, axis))
            continue;
        cgen_printf(g, "static const %s net_%c%d[%d] = {", entry_type(g, step, axis), names[axis], step, n);
        for (int32_t i = 0; i < n; i++) {
            nb_text_add(&g->out, i % 16 == 0 ? "\n    " : " ");
            nb_text_printf(&g->out, "%d,", s->index[axis][i]);
        }
        nb_text_add(&g->out, "\n};\n");
    }
}

void cgen_index_sizes(cgen *g, int32_t step)
{
    for (int32_t axis = 0; axis < 3; axis++)
        if (entry_bytes(g->m, step, axis))
            cgen_printf(g, " + sizeof(net_%c%d)", names[axis], step);
}

void cgen_index_arguments(cgen *g, int32_t step)
{
    for (int32_t axis = 0; axis < 3; axis++)
        if (entry_bytes(g->m, step, axis))
            cgen_printf(g, ", net_%c%d", names[axis], step);
}

static void put_head(cgen *g, int32_t step)
{
    const nb_estep *s = &g->m->e.steps[step];
    const char *type = cgen_type(g->m->e.tensors[s->out].type);
    cgen_printf(g, "net_STEP void net_step%d(%s *y, const %s *x", step, type, type);
    for (int32_t axis = 0; axis < 3; axis++)
        if (entry_bytes(g->m, step, axis))
            cgen_printf(g, ", const %s *%ss", entry_type(g, step, axis), from[axis]);
    nb_text_add(&g->out, ")\n{\n    int32_t i, j, k;\n");
}

/* A loop over an axis of the output, and where in the input it is. */
static void put_loop(cgen *g, int32_t step, int32_t axis)
{
    const nb_estep *s = &g->m->e.steps[step];
    const int32_t n = nb_estep_indices(&g->m->e, s, axis), indent = 4 * axis + 4;
    const char v = variables[axis];
    line l;
    cgen_printf(g, "%*sfor (%c = 0; %c < %d; %c++) {\n", indent, "", v, v, n, v);
    cgen_printf(g, "%*sconst int32_t %s = ", indent + 4, "", from[axis]);
    if (!is_line(s->index[axis], n, &l)) {
        cgen_printf(g, "%ss[%c];\n", from[axis], v);
        return;
    }
    if (l.first > 0)
        cgen_printf(g, "%c < %d%s", v, l.first, l.last < n ? " || " : " ? -1 : ");
    if (l.last < n)
        cgen_printf(g, "%c >= %d ? -1 : ", v, l.last);
    const int32_t add = l.wide > 1 ? l.phase - l.first : l.start - l.first * l.step;
    if (l.first == l.last)
        nb_text_add(&g->out, "-1;\n");
    else if (l.wide > 1)
        cgen_printf(g, "%d + (%c + %d) / %d;\n", l.start, v, add, l.wide);
    else
        cgen_printf(g, "%d + %c * %d;\n", add, v, l.step);
}

static bool has_zeros(const int32_t *index, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (index[i] < 0)
            return true;
    return false;
}

static void put_take(cgen *g, int32_t step)
{
    const nb_estep *s = &g->m->e.steps[step];
    const nb_etensor *in = &g->m->e.tensors[s->in[0]], *out = &g->m->e.tensors[s->out];
    bool any = false;
    for (int32_t axis = 0; axis < 3; axis++)
        put_loop(g, step, axis);
    cgen_printf(g, "                *y++ = (%s)(", cgen_type(out->type));
    for (int32_t axis = 0; axis < 3; axis++)
        if (has_zeros(s->index[axis], nb_estep_indices(&g->m->e, s, axis))) {
            cgen_printf(g, "%s%s < 0", any ? " || " : "", from[axis]);
            any = true;
        }
    if (any)
        cgen_printf(g, " ? %d : ", out->zero);
    cgen_printf(g, "x[(row * %d + column) * %d + channel]);\n            }\n        }\n    }\n}\n\n", in->w, in->c);
}

/* s8 codes are moved by 128 on the way, so that no sum is negative. */
static void put_blend(cgen *g, int32_t step)
{
    const nb_estep *s = &g->m->e.steps[step];
    const nb_etensor *in = &g->m->e.tensors[s->in[0]], *out = &g->m->e.tensors[s->out];
    const char *more = out->type == NB_EI_S8 ? " + 128" : "", *less = out->type == NB_EI_S8 ? " - 128" : "";
    cgen_printf(g, "    for (i = 0; i < %d; i++) {\n        const int32_t v = rows[i] %% %d;\n", out->h, NB_BLEND_ONE);
    cgen_printf(g, "        const %s *top = x + rows[i] / %d * %d, *low = v ? top + %d : top;\n", cgen_type(in->type),
                NB_BLEND_ONE, in->w * in->c, in->w * in->c);
    cgen_printf(g, "        for (j = 0; j < %d; j++) {\n            const int32_t u = columns[j] %% %d;\n", out->w,
                NB_BLEND_ONE);
    cgen_printf(g, "            const int32_t a = columns[j] / %d * %d, b = u ? a + %d : a;\n", NB_BLEND_ONE, in->c,
                in->c);
    cgen_printf(g, "            for (k = 0; k < %d; k++) {\n", out->c);
    cgen_printf(g, "                const int32_t t = (top[a + k]%s) * (%d - u) + (top[b + k]%s) * u;\n", more,
                NB_BLEND_ONE, more);
    cgen_printf(g, "                const int32_t l = (low[a + k]%s) * (%d - u) + (low[b + k]%s) * u;\n", more,
                NB_BLEND_ONE, more);
    cgen_printf(g, "                *y++ = (%s)(((t * (%d - v) + l * v + %d) >> %d)%s);\n            }\n",
                cgen_type(out->type), NB_BLEND_ONE, 1 << (2 * NB_BLEND_BITS - 1), 2 * NB_BLEND_BITS, less);
    nb_text_add(&g->out, "        }\n    }\n}\n\n");
}

void cgen_take(cgen *g, int32_t step)
{
    put_head(g, step);
    (g->m->e.steps[step].kind == NB_STEP_TAKE ? put_take : put_blend)(g, step);
}
