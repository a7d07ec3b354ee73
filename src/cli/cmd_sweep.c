/* cmd_sweep.c - many runs from one file, and the tables they come to. */
#include "cli/output.h"
#include "cli/run_folder.h"
#include "cli/signals.h"
#include "cli/sweep_jobs.h"

#include "base/check.h"
#include "base/files.h"
#include "base/ranks.h"
#include "base/textbuf.h"

#include <string.h>

enum { NAMED_RUNS = 4 };

typedef struct {
    cli *c;
    nb_sweep *sweep;
    sweep_jobs jobs;
    nb_table_format format;
    nb_lock lock;
} session;

/* ---- what is printed ---- */

static nb_status add_table(nb_ctx *ctx, nb_text *text, nb_table *t, nb_table_format format)
{
    char *part = NULL;
    nb_status st = nb_table_print_as(t, format, &part);
    if (st == NB_OK)
        nb_text_add(text, part);
    nb_free(ctx, part);
    nb_table_free(t);
    return st;
}

/* One grid for each table and way to make it. */
static nb_status grids(const nb_sweep *s, nb_table_format format, char **out)
{
    nb_text text;
    bool simulated = false;
    nb_text_init(s->ctx, &text);
    for (int32_t i = 0; i < s->n_tables; i++)
        for (int32_t k = 0; k < s->table[i].n_hows; k++) {
            nb_table *t;
            NB_TRY(nb_sweep_grid(s, i, k, &t));
            nb_text_printf(&text, format == NB_TABLE_MARKDOWN ? "%s**%s, %s**\n\n" : "%s%s, %s\n\n",
                           text.len ? "\n" : "", s->table[i].name, s->table[i].how[k]);
            nb_status st = add_table(s->ctx, &text, t, format);
            if (st != NB_OK) {
                nb_text_free(&text);
                return st;
            }
        }
    for (int32_t i = 0; i < s->n_runs; i++)
        simulated = simulated || strstr(s->run[i].kind, "simulated");
    nb_text_printf(&text,
                   "\n%s in percent on the test images, of the last epoch; over seeds: mean ±standard deviation\n",
                   nb_sweep_metric(s));
    if (simulated)
        nb_text_add(&text, "~ simulated in floats: there are no integers of it\n");
    return nb_text_take(&text, out);
}

static nb_status text_of(const nb_sweep *s, nb_table_format format, char **out)
{
    if (format == NB_TABLE_TEXT || format == NB_TABLE_MARKDOWN)
        return grids(s, format, out);
    nb_table *t;
    NB_TRY(nb_sweep_cells(s, &t));
    nb_status st = nb_table_print_as(t, format, out);
    nb_table_free(t);
    return st;
}

static nb_status save_text(session *s, const char *name, char *text)
{
    char path[CLI_PATH_BYTES];
    nb_status st = cli_file_in(s->c, s->sweep->out, name, path);
    if (st == NB_OK)
        st = nb_file_write(s->c->ctx, path, text, strlen(text));
    nb_free(s->c->ctx, text);
    return st;
}

static nb_status save_tables(session *s)
{
    char *text;
    nb_table *t;
    NB_TRY(text_of(s->sweep, NB_TABLE_CSV, &text));
    NB_TRY(save_text(s, "cells.csv", text));
    NB_TRY(text_of(s->sweep, NB_TABLE_MARKDOWN, &text));
    NB_TRY(save_text(s, "tables.md", text));
    NB_TRY(nb_sweep_runs(s->sweep, &t));
    nb_status st = nb_table_print_csv(t, &text);
    nb_table_free(t);
    return st == NB_OK ? save_text(s, "runs.csv", text) : st;
}

static nb_status print_tables(session *s)
{
    char *text;
    NB_TRY(text_of(s->sweep, s->format, &text));
    printf("%s", text);
    nb_free(s->c->ctx, text);
    return NB_OK;
}

static nb_status print_commands(session *s)
{
    static const char *const states[] = {"missing", "done", "failed"};
    for (int32_t i = 0; i < s->sweep->n_runs; i++) {
        const nb_sweep_run *r = &s->sweep->run[i];
        char *command;
        NB_TRY(sweep_jobs_command(&s->jobs, i, &command));
        printf("# %s: %s%s\n%s\n", r->name, s->jobs.stale[i] ? "another run is there" : states[r->state],
               r->wanted ? "" : ", only if cells are close", command);
        nb_free(s->c->ctx, command);
    }
    return NB_OK;
}

/* ---- what is there ---- */

static nb_status refuse_stale(session *s)
{
    const nb_sweep *w = s->sweep;
    char names[512] = "";
    size_t at = 0;
    int32_t n = 0;
    for (int32_t i = 0; i < w->n_runs; i++) {
        if (!w->run[i].wanted || !s->jobs.stale[i])
            continue;
        if (n < NAMED_RUNS && at < sizeof names)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", n ? ", " : "", w->run[i].name);
        n++;
    }
    if (n == 0 || cli_flag(s->c, "--force"))
        return NB_OK;
    return nb_fail(
        s->c->ctx, NB_E_CONFIG,
        "%s: %d %s there that this file would make in another way (%s%s): --force moves them aside and makes "
        "them again, another `out` keeps them",
        w->out, n, n == 1 ? "run is" : "runs are", names, n > NAMED_RUNS ? ", ..." : "");
}

static int32_t count_state(const nb_sweep *s, nb_sweep_state state)
{
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_runs; i++)
        n += s->run[i].wanted && s->run[i].state == state;
    return n;
}

static nb_status make(session *s)
{
    nb_ctx *ctx = s->c->ctx;
    NB_TRY(nb_make_dirs(ctx, s->sweep->out));
    if (nb_rank() == 0)
        NB_TRY(nb_lock_take(ctx, s->sweep->out, 0, &s->lock));
    const int32_t there = count_state(s->sweep, NB_SWEEP_DONE);
    if (there)
        printf("%d %s there already\n", there, there == 1 ? "run is" : "runs are");
    s->jobs.stop = cli_signals_ask(CLI_AGAIN_ENDS);
    do
        NB_TRY(sweep_jobs_make(&s->jobs));
    while (nb_sweep_want_more(s->sweep) > 0);
    if (nb_rank() == 0)
        NB_TRY(save_tables(s));
    printf("\n");
    return NB_OK;
}

static nb_status run_session(session *s)
{
    cli *c = s->c;
    NB_TRY(cli_table_format(c, &s->format));
    NB_TRY(cli_count(c, "--jobs", 1, SWEEP_MAX_JOBS, &s->jobs.jobs));
    NB_TRY(nb_sweep_open(c->ctx, c->arg[0], &s->sweep));
    s->jobs.sweep = s->sweep;
    s->jobs.threads = s->jobs.jobs > 1 && !cli_value(c, "--threads") ? "1" : cli_value(c, "--threads");
    const bool looks = cli_flag(c, "--dry-run") || cli_flag(c, "--table"); /* also while another process makes runs */
    if (!looks && nb_rank() == 0)
        NB_TRY(nb_lock_check(c->ctx, s->sweep->out));
    NB_TRY(sweep_jobs_open(&s->jobs));
    if (cli_flag(c, "--dry-run"))
        return print_commands(s);
    if (!looks) {
        NB_TRY(refuse_stale(s));
        NB_TRY(make(s));
    }
    while (looks && nb_sweep_want_more(s->sweep) > 0)
        ;
    NB_TRY(print_tables(s));
    const int32_t failed = count_state(s->sweep, NB_SWEEP_FAILED);
    if (failed == 0)
        return NB_OK;
    return nb_fail(c->ctx, NB_E_IO, "%d %s failed; NAME.log below %s says why, and the same command tries again",
                   failed, failed == 1 ? "run has" : "runs have", s->sweep->out);
}

static nb_status run(cli *c)
{
    session *s = nb_alloc(c->ctx, sizeof *s);
    if (!s)
        return NB_E_NOMEM;
    s->c = s->jobs.c = c;
    nb_status st = run_session(s);
    nb_lock_release(&s->lock);
    sweep_jobs_close(&s->jobs);
    nb_sweep_close(s->sweep);
    nb_free(c->ctx, s);
    return st;
}

static const cli_option options[] = {
    {"--jobs", "N", "so many runs at a time, each on one thread (default 1, on all); of each rank"},
    {"--table", NULL, "only the tables, of what is there"},
    CLI_TABLE_FORMAT,
    {"--dry-run", NULL, "the command that makes each run, and which are there"},
    {"--force", NULL, "runs of another config that are in the way are moved aside"},
    CLI_THREADS,
    {0}};

const cli_command cli_command_sweep = {
    .name = "sweep",
    .usage = "SWEEP.yaml",
    .help = "many runs from one file, side by side in tables",
    .more =
        "The file names a config, tables of what changes in it, seeds, and ways to make each network:\n"
        "\n"
        "  config: configs/fmnist-resnet8.yaml          beside the sweep file\n"
        "  out: runs/ranges                             every run is a folder below\n"
        "  seeds: [1, 2, 3]\n"
        "  more_seeds: {within: 0.3, seeds: [4, 5]}     for cells closer than that to another of their row\n"
        "  start: {train.phases: [{epochs: 12, lr: 0.1}]}                   once per seed, others begin with it\n"
        "  starts: runs/starts                          where starts are, for all sweeps that say so; else below out\n"
        "  reference: {train.phases: [{epochs: 3, lr: 0.01}]}               what accuracies are compared with\n"
        "  how: {after: quantize, trained: {train.phases: [{epochs: 3, lr: 0.01, quant: on}]}}\n"
        "  tables:\n"
        "    - name: ranges\n"
        "      rows: {W8A8: {quant.weights.bits: 8}, W4A8: {quant.weights.bits: 4}}\n"
        "      columns: {quant.activations.range: [ema, mse]}\n"
        "\n"
        "`config` is relative to the sweep file; `out`, `starts` and `data.path` to where one stands.\n"
        "Changes are what --set takes. A list of maps combines axes; `set` in the file or a table holds for all its\n"
        "runs, a table may have a config, seeds, start and reference of its own, `how: [trained]` in a table picks,\n"
        "and `init: \"\"` in a way begins from scratch. The same command goes on after any interruption; the tables\n"
        "are also in tables.md, cells.csv and runs.csv of `out`. A run that fails is named and the others go on.\n"
        "`mpirun -n 4 nibble sweep FILE` makes four runs at a time, one on each of four processes, which all see "
        "`out`.\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_FILE,
    .ranks = true,
    .run = run,
};
