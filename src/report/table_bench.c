/* table_bench.c - how long an experiment takes: in all, by step of the graph, by step of the integers. */
#include "report/tables.h"

#include <nibble/extend/fusion.h>

#include "base/check.h"
#include "lower/intcheck.h"

#include <stdio.h>

nb_status nb_table_of_speed(nb_ctx *ctx, const nb_speed_row *rows, int32_t n, nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(ctx, &t));
    nb_table_column(t, "what", "", NB_LEFT);
    nb_table_column(t, "ms", "ms", NB_RIGHT);
    nb_table_column(t, "per_second", "images/s", NB_RIGHT);
    nb_table_column(t, "ratio", "to float", NB_RIGHT);
    for (int32_t i = 0; i < n; i++) {
        nb_table_row(t);
        nb_table_add_text(t, rows[i].what);
        nb_table_add_real(t, 1e3 * rows[i].seconds, rows[i].seconds < 1e-3 ? 4 : 2);
        nb_table_add_real(t, rows[i].images / rows[i].seconds, 0);
        if (rows[i].base > 0)
            nb_table_add_real(t, rows[i].seconds / rows[i].base, 2);
    }
    *out = t;
    return NB_OK;
}

/* "batchnorm+relu+fakequant" for a fused chain. */
static const char *kind_of(const nb_step *s, char *buf, size_t len)
{
    size_t at = 0;
    for (int32_t i = 0; i < s->n && at < len; i++)
        at += (size_t)snprintf(buf + at, len - at, "%s%s", i ? "+" : "", s->node[i]->op->name);
    return buf;
}

nb_status nb_table_of_passes(const nb_graph *g, const double *forward, const double *backward, const char *title,
                             nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(g->ctx, &t));
    nb_table_column(t, "layer", title, NB_LEFT);
    nb_table_column(t, "kind", "kind", NB_LEFT);
    nb_table_column(t, "forward_ms", "forward ms", NB_RIGHT);
    nb_table_column(t, "backward_ms", "backward ms", NB_RIGHT);
    nb_table_column(t, "gmacs", "forward GMAC/s", NB_RIGHT);
    for (int32_t i = 0; i < g->n_steps; i++) {
        const nb_node *n = g->step[i].node[0];
        char kind[128];
        nb_table_row(t);
        nb_table_add_text(t, n->name);
        nb_table_add_text(t, kind_of(&g->step[i], kind, sizeof kind));
        nb_table_add_real(t, 1e3 * forward[i], 3);
        nb_table_add_real(t, 1e3 * backward[i], 3);
        if (n->op->macs && forward[i] > 0)
            nb_table_add_real(t, 1e-9 * (double)n->op->macs(n) * g->batch / forward[i], 1);
    }
    *out = t;
    return NB_OK;
}

nb_status nb_table_of_steps(nb_ctx *ctx, const nb_intmodel *m, const double *seconds, nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(ctx, &t));
    nb_table_column(t, "layer", "integers, one thread", NB_LEFT);
    nb_table_column(t, "kind", "kind", NB_LEFT);
    nb_table_column(t, "us", "us per image", NB_RIGHT);
    nb_table_column(t, "share", "share %", NB_RIGHT);
    nb_table_column(t, "gmacs", "GMAC/s", NB_RIGHT);
    double all = 0;
    for (int32_t i = 0; i < m->e.n_steps; i++)
        all += seconds[i];
    for (int32_t i = 0; i < m->e.n_steps; i++) {
        nb_table_row(t);
        nb_table_add_text(t, m->steps[i].name);
        nb_table_add_text(t, nb_step_names[m->e.steps[i].kind]);
        nb_table_add_real(t, 1e6 * seconds[i], 2);
        nb_table_add_real(t, 100 * seconds[i] / all, 1);
        if (m->steps[i].macs > 0)
            nb_table_add_real(t, 1e-9 * (double)m->steps[i].macs / seconds[i], 1);
    }
    *out = t;
    return NB_OK;
}
