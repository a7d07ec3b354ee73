/* report_sweep.c - accuracy against bytes of the runs of a sweep, its cells and its runs. */
#include "report/report.h"

#include <math.h>
#include <string.h>

/* What a sweep starts with and compares with: many times as large, it would push the others into a corner. */
static bool is_float(const nb_report_run *run)
{
    return strcmp(run->network, "float") == 0;
}

/* Is there no other quantized one that takes at most as many bytes and is at least as good, and better in one? */
static bool unbeaten(const nb_report *r, int32_t i)
{
    const nb_report_run *a = &r->run[i];
    if (is_float(a) || !isfinite(a->bytes) || !isfinite(a->accuracy))
        return false;
    for (int32_t k = 0; k < r->n_runs; k++) {
        const nb_report_run *b = &r->run[k];
        if (!is_float(b) && b->bytes <= a->bytes && b->accuracy >= a->accuracy &&
            (b->bytes < a->bytes || b->accuracy > a->accuracy))
            return false;
    }
    return true;
}

static void points(const nb_report *r, nb_page *p)
{
    const size_t n = (size_t)r->n_runs;
    double *x = nb_arena_array(p->arena, 2 * n + 1, sizeof *x), *y = x ? x + n : NULL;
    const char **label = nb_arena_array(p->arena, n + 1, sizeof *label);
    bool *best = nb_arena_array(p->arena, 2 * n + 1, sizeof *best), *allocated = best ? best + n : NULL, any = false;
    static const char *const is[] = {"a run", "on the line", "allocated"};
    int32_t known = 0;
    if (!x || !label || !best) {
        nb_page_ok(p, NB_E_NOMEM);
        return;
    }
    for (int32_t i = 0; i < r->n_runs; i++) {
        x[i] = is_float(&r->run[i]) ? (double)NAN : r->run[i].bytes;
        y[i] = 100 * r->run[i].accuracy;
        label[i] = r->run[i].name;
        best[i] = unbeaten(r, i);
        allocated[i] = r->run[i].allocated;
        any = any || (allocated[i] && isfinite(x[i]) && isfinite(y[i]));
        known += isfinite(x[i]) && isfinite(y[i]);
    }
    if (known == 0)
        return;
    nb_page_figures(p);
    nb_page_points(p, "accuracy-bytes",
                   "A quantized run is a point; on the line are those that no other beats in both. Names: point at "
                   "one, or see the table.",
                   &(nb_svg_points){.title = "Accuracy in percent against bytes of parameters",
                                    .x_title = "bytes as deployed",
                                    .n = r->n_runs,
                                    .x = x,
                                    .y = y,
                                    .label = label,
                                    .best = best,
                                    .marked = any ? allocated : NULL,
                                    .is = is});
    nb_page_figures_end(p);
}

static void table_of_runs(const nb_report *r, nb_page *p)
{
    nb_table *t;
    if (!nb_page_ok(p, nb_table_create(p->ctx, &t)))
        return;
    nb_table_column(t, "run", "run", NB_LEFT);
    nb_table_column(t, "network", "network", NB_LEFT);
    nb_table_column(t, "accuracy_percent", "accuracy %", NB_RIGHT);
    nb_table_column(t, "bytes", "bytes", NB_RIGHT);
    nb_table_column(t, "bits_by", "bits by", NB_LEFT);
    nb_table_column(t, "unbeaten", "", NB_LEFT);
    for (int32_t i = 0; i < r->n_runs; i++) {
        const nb_report_run *run = &r->run[i];
        nb_table_row(t);
        nb_table_add_text(t, run->name);
        nb_table_add_text(t, run->network);
        if (isfinite(run->accuracy))
            nb_table_add_real(t, 100 * run->accuracy, 2);
        else
            nb_table_add_blank(t);
        if (isfinite(run->bytes))
            nb_table_add_int(t, (int64_t)run->bytes);
        else
            nb_table_add_blank(t);
        nb_table_add_text(t, run->allocated ? "allocate" : "");
        nb_table_add_text(t, unbeaten(r, i) ? "on the line" : "");
    }
    nb_page_table(p, "runs", "The runs", t);
}

/* Is the first cell of the column that is not empty one? */
static bool is_of_numbers(const nb_csv *c, int32_t column)
{
    int32_t i = 0;
    while (i < c->n_rows - 1 && !*nb_csv_text(c, i, column))
        i++;
    return isfinite(nb_csv_real(c, i, column));
}

static void add_cell(nb_table *t, const nb_csv *c, int32_t row, int32_t column)
{
    const char *text = nb_csv_text(c, row, column);
    if (strchr(text, '.') && isfinite(nb_csv_real(c, row, column)))
        nb_table_add_real(t, nb_csv_real(c, row, column), 4);
    else
        nb_table_add_text(t, text);
}

static void table_of_cells(const nb_csv *c, nb_page *p)
{
    nb_table *t;
    if (c->n_rows == 0 || c->n_columns > NB_TABLE_MAX_COLUMNS || !nb_page_ok(p, nb_table_create(p->ctx, &t)))
        return;
    for (int32_t k = 0; k < c->n_columns; k++)
        nb_table_column(t, c->cell[k], c->cell[k], is_of_numbers(c, k) ? NB_RIGHT : NB_LEFT);
    for (int32_t i = 0; i < c->n_rows; i++) {
        nb_table_row(t);
        for (int32_t k = 0; k < c->n_columns; k++)
            add_cell(t, c, i, k);
    }
    nb_page_table(p, "cells", "The cells: mean over seeds, its spread, the gap to the reference", t);
}

void nb_section_sweep(const nb_report *r, nb_page *p)
{
    if (r->runs.n_columns == 0 && r->cells.n_columns == 0)
        return;
    nb_page_section(p, "sweep", "Sweep");
    points(r, p);
    table_of_cells(&r->cells, p);
    if (r->n_runs > 0)
        table_of_runs(r, p);
}
