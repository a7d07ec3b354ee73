/* gather_sweep.c - the folder of a sweep: its runs and cells as they were written, and the bytes of each run's network. */
#include "cli/gather.h"

#include "base/check.h"
#include "base/files.h"

#include <math.h>
#include <string.h>

/* Parameters as deployed, and who chose their bits; NaN: there is no network that can be read. */
static nb_status look_at(gathering *g, const char *below, nb_report_run *run)
{
    char path[CLI_PATH_BYTES], meant[CLI_PATH_BYTES];
    const char *file;
    cli_model m = {0};
    nb_layer_rows rows = {0};
    run->bytes = NAN;
    nb_status st = cli_file_in(g->c, below, run->name, path);
    if (st == NB_OK)
        st = cli_meant_file(g->c, path, CLI_MODEL, meant, &file);
    if (st == NB_OK)
        st = cli_model_open(g->c, file, 1, &m);
    if (st == NB_OK)
        st = m.integers ? nb_layers_of_integers(g->c->ctx, m.integers, &rows) : nb_layers_of_graph(m.graph, &rows);
    if (st == NB_OK)
        run->bytes = (double)nb_layers_total(&rows).bytes;
    if (st == NB_OK && m.experiment.config)
        run->allocated = nb_conf_text(nb_conf_get(m.experiment.exp.quant, "allocated")) != NULL;
    nb_free(g->c->ctx, rows.rows);
    cli_model_close(g->c, &m);
    return st;
}

/* A sweep of networks that reconstruct names another one. */
static int32_t column_of_metric(const nb_csv *runs)
{
    static const char *const names[] = {"accuracy", "AUC", "explained"};
    int32_t found = -1;
    for (size_t i = 0; i < sizeof names / sizeof *names && found < 0; i++)
        found = nb_csv_column(runs, names[i]);
    return found;
}

static nb_status open_runs(gathering *g)
{
    nb_report *r = &g->r;
    const int32_t name = nb_csv_column(&r->runs, "run"), network = nb_csv_column(&r->runs, "network"),
                  folder = nb_csv_column(&r->runs, "folder"), accuracy = column_of_metric(&r->runs), n = r->runs.n_rows;
    nb_report_run *run = nb_arena_array(r->arena, (size_t)n + 1, sizeof *run);
    int32_t unread = 0, missing = 0;
    if (!run)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < n; i++) {
        char text[64];
        run[i] = (nb_report_run){.name = nb_csv_text(&r->runs, i, name),
                                 .network = nb_csv_text(&r->runs, i, network),
                                 .accuracy = nb_csv_real(&r->runs, i, accuracy),
                                 .bytes = NAN};
        snprintf(text, sizeof text, "run %d of %d", (int)i + 1, (int)n);
        cli_progress_text(&g->progress, text);
        if (!isfinite(run[i].accuracy)) {
            missing++;
            continue;
        }
        const char *below = folder >= 0 ? nb_csv_text(&r->runs, i, folder) : "";
        const nb_status st = look_at(g, *below ? below : g->c->arg[0], &run[i]);
        if (st == NB_E_NOMEM)
            return st;
        if (st != NB_OK && ++unread == 1)
            NB_TRY(gather_without(g, "bytes of a run, and of others like it", st));
    }
    r->run = run;
    r->n_runs = n;
    if (missing == 0)
        return NB_OK;
    const char *why = nb_arena_printf(r->arena, "%d of %d have no result", (int)missing, (int)n);
    return why ? nb_report_lacks(r, "runs", why) : NB_E_NOMEM;
}

static nb_status read_table(gathering *g, const char *name, nb_csv *csv)
{
    const char *text;
    NB_TRY(gather_text(g, g->c->arg[0], name, &text));
    NB_TRY(nb_csv_parse(g->r.arena, text ? text : "", csv));
    return text && (csv->n_rows == 0 || csv->dropped) ? nb_report_lacks(&g->r, name, "lines of it are not whole")
                                                      : NB_OK;
}

nb_status gather_sweep(gathering *g, const char *folder)
{
    (void)folder;
    NB_TRY(read_table(g, "runs.csv", &g->r.runs));
    NB_TRY(read_table(g, "cells.csv", &g->r.cells));
    return open_runs(g);
}
