/* cgen_plan.c - where an exported program keeps its tensors: the engine's lifetimes, packed as tightly as bytes allow.
 *
 * The engine aligns tensors to cache lines; a microcontroller has none, so 4 bytes are enough here. int32 logits go
 * straight to the caller. */
#include "export/cgen.h"

#include "base/check.h"
#include "base/memplan.h"
#include "engine/engine_check.h"

enum { ALIGN = 4 };

bool cgen_depthwise(const nb_geom *g)
{
    return g->c == g->groups && g->oc == g->c;
}

int64_t cgen_row(const nb_geom *g)
{
    return (int64_t)g->kh * g->kw * (g->c / g->groups);
}

int32_t cgen_width(const nb_intmodel *m, int32_t step)
{
    return m->steps[step].weight_bits;
}

bool cgen_in_bytes(const nb_intmodel *m, int32_t step)
{
    return m->steps[step].packing == NB_PACKING_CODES && m->steps[step].weight_bits == 8;
}

bool cgen_has_table(const nb_intmodel *m, int32_t step)
{
    return m->steps[step].packing == NB_PACKING_LEVELS || m->steps[step].packing == NB_PACKING_OFFSET;
}

size_t cgen_scratch_bytes(const nb_intmodel *m, int32_t step)
{
    const nb_estep *s = &m->e.steps[step];
    if (s->kind != NB_STEP_CONV || (cgen_in_bytes(m, step) && !cgen_windowed(m, step)))
        return 0;
    return (size_t)(cgen_row(&s->geom) * (cgen_depthwise(&s->geom) ? s->geom.oc : 2));
}

static void set_lifetimes(const nb_intmodel *m, nb_usage *u)
{
    const int32_t n = m->e.n_tensors;
    for (int32_t t = 0; t < n; t++) {
        const nb_etensor *e = &m->e.tensors[t];
        u[t] = (nb_usage){.first = -1, .last = -1, .bytes = (size_t)nb_etensor_values(e)};
        if (e->type == NB_EI_S32)
            u[t].bytes = 0; /* the logits: the caller's */
    }
    for (int32_t i = 0; i < m->e.n_steps; i++) {
        const nb_estep *s = &m->e.steps[i];
        u[s->out].first = u[s->out].last = i;
        for (int32_t k = 0; k < s->n_in; k++)
            u[s->in[k]].last = i;
        u[n + i] = (nb_usage){.first = i, .last = i, .bytes = cgen_scratch_bytes(m, i)};
    }
    u[nb_intmodel_output(m)].last = m->e.n_steps; /* read once more, into the logits */
}

static int32_t busiest_step(const nb_usage *u, int32_t n, int32_t steps)
{
    size_t most = 0;
    int32_t found = 0;
    for (int32_t i = 0; i < steps; i++) {
        size_t sum = 0;
        for (int32_t k = 0; k < n; k++)
            sum += u[k].first <= i && i <= u[k].last ? u[k].bytes : 0;
        if (sum > most) {
            most = sum;
            found = i;
        }
    }
    return found;
}

nb_status cgen_plan(cgen *g)
{
    const int32_t n = g->m->e.n_tensors, steps = g->m->e.n_steps;
    nb_usage *u = nb_alloc(g->ctx, (size_t)(n + steps) * sizeof *u);
    if (!u)
        return NB_E_NOMEM;
    set_lifetimes(g->m, u);
    nb_status st = nb_memplan(g->ctx, u, n + steps, ALIGN, &g->ram);
    g->live = nb_memplan_lower_bound(u, n + steps, 1);
    g->busiest = busiest_step(u, n + steps, steps);
    for (int32_t t = 0; st == NB_OK && t < n; t++)
        g->offset[t] = g->m->e.tensors[t].type == NB_EI_S32 ? CGEN_IN_LOGITS : (int64_t)u[t].offset;
    for (int32_t i = 0; st == NB_OK && i < steps; i++)
        g->scratch[i] = (int64_t)u[n + i].offset;
    nb_free(g->ctx, u);
    return st;
}
