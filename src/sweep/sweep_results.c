/* sweep_results.c - what runs come to: mean and spread, which cells are close, tables for people and for programs. */
#include "sweep/sweep_plan.h"

#include "base/check.h"
#include "base/numtext.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CELL_BYTES = 64 };

static const char *by_of(const nb_sweep_run *r)
{
    return strstr(r->kind, "simulated") ? "simulation" : strncmp(r->kind, "integers", 8) == 0 ? "integers" : "float";
}

const char *nb_sweep_metric(const nb_sweep *s)
{
    for (int32_t i = 0; i < s->n_runs; i++)
        if (s->run[i].state == NB_SWEEP_DONE && *s->run[i].metric)
            return s->run[i].metric;
    return "accuracy";
}

nb_sweep_stats nb_sweep_stats_of(const nb_sweep *s, const int32_t *runs, int32_t n)
{
    nb_sweep_stats r = {.by = ""};
    double squares = 0;
    for (int32_t i = 0; i < n; i++) {
        const nb_sweep_run *run = &s->run[runs[i]];
        r.wanted += run->wanted;
        r.failed += run->wanted && run->state == NB_SWEEP_FAILED;
        if (!run->wanted || run->state != NB_SWEEP_DONE)
            continue;
        r.n++;
        r.mean += run->accuracy;
        r.by = by_of(run);
    }
    r.mean = r.n ? r.mean / r.n : 0;
    for (int32_t i = 0; i < n; i++)
        if (s->run[runs[i]].wanted && s->run[runs[i]].state == NB_SWEEP_DONE)
            squares += (s->run[runs[i]].accuracy - r.mean) * (s->run[runs[i]].accuracy - r.mean);
    r.spread = r.n > 1 ? sqrt(squares / (r.n - 1)) : 0;
    return r;
}

static nb_sweep_stats stats_of_cell(const nb_sweep *s, const nb_sweep_cell *c)
{
    const nb_sweep_table *t = &s->table[c->table];
    return nb_sweep_stats_of(s, c->run, c->more ? t->n_all_seeds : t->n_seeds);
}

static nb_sweep_stats stats_of_reference(const nb_sweep *s, const nb_sweep_table *t)
{
    return t->reference ? nb_sweep_stats_of(s, t->reference, t->more ? t->n_all_seeds : t->n_seeds)
                        : (nb_sweep_stats){.by = ""};
}

const nb_sweep_cell *nb_sweep_cell_at(const nb_sweep *s, int32_t table, int32_t how, int32_t row, int32_t column)
{
    for (int32_t i = 0; i < s->n_cells; i++) {
        const nb_sweep_cell *c = &s->cell[i];
        if (c->table == table && c->how == how && c->row == row && c->column == column)
            return c;
    }
    return NULL;
}

/* ---- more seeds ---- */

static bool is_close(const nb_sweep *s, const nb_sweep_cell *c)
{
    const nb_sweep_table *t = &s->table[c->table];
    const nb_sweep_stats own = stats_of_cell(s, c);
    for (int32_t k = 0; own.n && k < t->n_columns; k++) {
        const nb_sweep_cell *other = nb_sweep_cell_at(s, c->table, c->how, c->row, k);
        const nb_sweep_stats o = stats_of_cell(s, other);
        if (other != c && o.n && 100 * fabs(own.mean - o.mean) < t->within)
            return true;
    }
    return false;
}

static void want(nb_sweep *s, int32_t i)
{
    for (; i >= 0; i = s->run[i].start)
        s->run[i].wanted = true;
}

int32_t nb_sweep_want_more(nb_sweep *s)
{
    bool *close = nb_arena_array(s->arena, (size_t)s->n_cells + 1, sizeof *close);
    int32_t added = 0;
    for (int32_t i = 0; close && i < s->n_cells; i++) /* all are judged before any of them gets more */
        close[i] = s->table[s->cell[i].table].within > 0 && !s->cell[i].more && is_close(s, &s->cell[i]);
    for (int32_t i = 0; close && i < s->n_cells; i++) {
        nb_sweep_table *t = &s->table[s->cell[i].table];
        s->cell[i].more = s->cell[i].more || close[i];
        t->more = t->more || close[i];
        for (int32_t k = t->n_seeds; close[i] && k < t->n_all_seeds; k++) {
            want(s, s->cell[i].run[k]);
            want(s, t->reference ? t->reference[k] : -1);
        }
        added += close[i];
    }
    return added;
}

/* ---- tables ---- */

/* "93.24 ±0.08", "~91.02" simulated, "failed", "missing", "93.24 (1 of 3)". */
static void add_stats(nb_table *t, const nb_sweep_stats *r)
{
    char text[CELL_BYTES];
    int at = 0;
    if (r->n == 0) {
        nb_table_add_text(t, r->failed ? "failed" : "missing");
        return;
    }
    at += snprintf(text, sizeof text, "%s%.2f", strcmp(r->by, "simulation") == 0 ? "~" : "", nb_percent(r->mean));
    if (r->n > 1)
        at += snprintf(text + at, sizeof text - (size_t)at, " ±%.2f", nb_percent(r->spread));
    if (r->n < r->wanted)
        snprintf(text + at, sizeof text - (size_t)at, " (%d of %d%s)", r->n, r->wanted, r->failed ? ", failed" : "");
    nb_table_add_text(t, text);
}

nb_status nb_sweep_grid(const nb_sweep *s, int32_t table, int32_t how, nb_table **out)
{
    const nb_sweep_table *t = &s->table[table];
    const nb_sweep_stats reference = stats_of_reference(s, t);
    nb_table *grid;
    char percent[32];
    snprintf(percent, sizeof percent, "%s %%", nb_sweep_metric(s));
    NB_TRY(nb_table_create(s->ctx, &grid));
    nb_table_column(grid, "row", t->name, NB_LEFT);
    for (int32_t k = 0; k < t->n_columns; k++)
        nb_table_column(grid, t->column[k], *t->column[k] ? t->column[k] : percent, NB_RIGHT);
    for (int32_t i = 0; i < t->n_rows; i++) {
        nb_table_row(grid);
        nb_table_add_text(grid, t->row[i]);
        for (int32_t k = 0; k < t->n_columns; k++) {
            const nb_sweep_stats r = stats_of_cell(s, nb_sweep_cell_at(s, table, how, i, k));
            add_stats(grid, &r);
        }
    }
    if (reference.wanted) {
        nb_table_footer(grid);
        nb_table_add_text(grid, "reference");
        add_stats(grid, &reference);
    }
    *out = grid;
    return NB_OK;
}

static const char *state_of(const nb_sweep_stats *r)
{
    return r->n == r->wanted ? "done" : r->failed ? "failed" : "missing";
}

nb_status nb_sweep_cells(const nb_sweep *s, nb_table **out)
{
    static const char *const text[] = {"table", "how", "row", "column"};
    const char *const number[] = {"seeds", nb_sweep_metric(s), "spread", "gap"};
    nb_table *t;
    NB_TRY(nb_table_create(s->ctx, &t));
    for (int32_t i = 0; i < 4; i++)
        nb_table_column(t, text[i], text[i], NB_LEFT);
    for (int32_t i = 0; i < 4; i++)
        nb_table_column(t, number[i], number[i], NB_RIGHT);
    nb_table_column(t, "by", "by", NB_LEFT);
    nb_table_column(t, "state", "state", NB_LEFT);
    for (int32_t i = 0; i < s->n_cells; i++) {
        const nb_sweep_cell *c = &s->cell[i];
        const nb_sweep_table *of = &s->table[c->table];
        const nb_sweep_stats r = stats_of_cell(s, c), reference = stats_of_reference(s, of);
        nb_table_row(t);
        nb_table_add_text(t, of->name);
        nb_table_add_text(t, of->how[c->how]);
        nb_table_add_text(t, of->row[c->row]);
        nb_table_add_text(t, of->column[c->column]);
        nb_table_add_int(t, r.n);
        nb_table_add_real(t, r.n ? r.mean : (double)NAN, 4);
        nb_table_add_real(t, r.n > 1 ? r.spread : (double)NAN, 4);
        nb_table_add_real(t, r.n && reference.n ? r.mean - reference.mean : (double)NAN, 4);
        nb_table_add_text(t, r.by);
        nb_table_add_text(t, state_of(&r));
    }
    *out = t;
    return NB_OK;
}

nb_status nb_sweep_runs(const nb_sweep *s, nb_table **out)
{
    static const char *const state[] = {"missing", "done", "failed"};
    nb_table *t;
    NB_TRY(nb_table_create(s->ctx, &t));
    nb_table_column(t, "run", "run", NB_LEFT);
    nb_table_column(t, "seed", "seed", NB_RIGHT);
    nb_table_column(t, nb_sweep_metric(s), nb_sweep_metric(s), NB_RIGHT);
    nb_table_column(t, "network", "network", NB_LEFT);
    nb_table_column(t, "state", "state", NB_LEFT);
    nb_table_column(t, "folder", "folder", NB_LEFT); /* only where it is not below this sweep's, which can be moved */
    for (int32_t i = 0; i < s->n_runs; i++) {
        const nb_sweep_run *r = &s->run[i];
        if (!r->wanted)
            continue;
        nb_table_row(t);
        nb_table_add_text(t, r->name);
        nb_table_add_int(t, (int64_t)r->seed);
        nb_table_add_real(t, r->state == NB_SWEEP_DONE ? r->accuracy : (double)NAN, 4);
        nb_table_add_text(t, r->state == NB_SWEEP_DONE ? r->kind : "");
        nb_table_add_text(t, state[r->state]);
        nb_table_add_text(t, strcmp(r->below, s->out) == 0 ? "" : r->below);
    }
    *out = t;
    return NB_OK;
}
