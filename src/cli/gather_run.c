/* gather_run.c - a run folder or a checkpoint: its files, its network, what that says of the test images. */
#include "cli/gather.h"

#include "cli/compare.h"
#include "cli/float_accuracy.h"

#include "base/check.h"
#include "base/files.h"
#include "train/range_log.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { MAX_TEXT = 1 << 26, BATCH = 32 };

nb_status gather_without(gathering *g, const char *what, nb_status st)
{
    if (st == NB_OK || st == NB_E_NOMEM || st == NB_E_STOPPED)
        return st;
    return nb_report_lacks(&g->r, what, nb_ctx_error(g->c->ctx));
}

nb_status gather_text(gathering *g, const char *folder, const char *name, const char **out)
{
    char path[CLI_PATH_BYTES];
    uint8_t *bytes = NULL;
    size_t len;
    *out = NULL;
    NB_TRY(cli_file_in(g->c, folder, name, path));
    const nb_status st = nb_file_read(g->c->ctx, path, MAX_TEXT, &bytes, &len);
    if (st == NB_OK)
        *out = nb_arena_strdup(g->r.arena, (const char *)bytes);
    nb_free(g->c->ctx, bytes);
    if (st == NB_OK)
        return *out ? NB_OK : NB_E_NOMEM;
    return gather_without(g, name, st);
}

static nb_status read_csv(gathering *g, const char *folder, const char *name, nb_csv *csv)
{
    const char *text;
    NB_TRY(gather_text(g, folder, name, &text));
    NB_TRY(nb_csv_parse(g->r.arena, text ? text : "", csv));
    if (text && csv->n_rows == 0)
        return nb_report_lacks(&g->r, name, "it holds no whole line");
    if (csv->dropped > 0) {
        const char *why = nb_arena_printf(g->r.arena, "%d lines of %d are not whole", (int)csv->dropped,
                                          (int)(csv->dropped + csv->n_rows));
        return why ? nb_report_lacks(&g->r, name, why) : NB_E_NOMEM;
    }
    return NB_OK;
}

/* ---- the network ---- */

/* Of the float network that it was made from, by its own run, or the checkpoint that it began with. */
static nb_status find_before(gathering *g)
{
    const nb_experiment *e = &g->model.experiment.exp;
    const char *from = cli_value(g->c, "--from");
    nb_checkpoint *c = NULL;
    double found = cli_float_accuracy(g->c, g->c->arg[0], &g->model);
    from = from ? from : g->model.experiment.config && *e->init ? e->init : NULL;
    if (found < 0 && from) {
        char meant[CLI_PATH_BYTES];
        NB_TRY(cli_init_file(g->c, from, meant));
        NB_TRY(nb_checkpoint_open(g->c->ctx, meant, &c));
        found = c->quantized ? -1 : c->accuracy;
        nb_checkpoint_close(g->c->ctx, c);
    }
    g->r.before = found;
    return NB_OK;
}

/* "2025-11-30", in UTC: a copied file may have the day on which it was copied. */
static void find_date(gathering *g)
{
    struct stat s;
    struct tm day;
    if (stat(g->model.path, &s) == 0 && gmtime_r(&s.st_mtime, &day))
        strftime(g->r.date, sizeof g->r.date, "%Y-%m-%d", &day);
}

static nb_status describe(gathering *g)
{
    nb_ctx *ctx = g->c->ctx;
    nb_report *r = &g->r;
    const cli_model *m = &g->model;
    r->model = m->path;
    r->kind = cli_model_kind(m, g->kind, sizeof g->kind);
    r->simulated = m->experiment.simulated;
    r->calibrated = m->checkpoint && m->checkpoint->quantized && !*m->checkpoint->metrics;
    find_date(g);
    r->graph = m->graph;
    r->integers = m->integers;
    if (!r->config)
        r->config = m->experiment.text;
    NB_TRY(m->integers ? nb_layers_of_integers(ctx, m->integers, &r->layers)
                       : nb_layers_of_graph(m->graph, &r->layers));
    if (!m->integers)
        return NB_OK;
    r->engine_bytes = (int64_t)nb_engine_arena_bytes(&m->integers->e);
    return gather_without(g, "size of the exported C", nb_exporter_find("c")->size(ctx, m->integers, &r->exported));
}

static nb_status evaluate(gathering *g)
{
    nb_ctx *ctx = g->c->ctx;
    cli_images images;
    NB_TRY(cli_model_need_data(g->c, &g->model));
    NB_TRY(cli_experiment_split(g->c, &g->model.experiment, "test", &images));
    g->r.images = images.data;
    g->r.data = nb_data_common(images.data)->name;
    g->r.validation = nb_data_common(images.data)->validation;
    if (g->model.info.task != NB_TASK_CLASSES) /* there are no answers to tell */
        return cli_model_evaluate(g->c, &g->model, &images, &g->r.eval, &g->said);
    const size_t n = (size_t)images.n, all = n * (size_t)g->model.info.classes;
    g->said = (nb_answers){.labels = nb_alloc(ctx, n * sizeof(int32_t)),
                           .answers = nb_alloc(ctx, n * sizeof(int32_t)),
                           .logits = nb_alloc(ctx, all * sizeof(float))};
    if (!g->said.labels || !g->said.answers || !g->said.logits)
        return NB_E_NOMEM;
    cli_progress_text(&g->progress, "evaluating");
    NB_TRY(cli_model_evaluate(g->c, &g->model, &images, &g->r.eval, &g->said));
    g->r.said = (nb_answered){.n = images.n,
                              .classes = g->model.info.classes,
                              .labels = g->said.labels,
                              .answers = g->said.answers,
                              .logits = g->said.logits,
                              .class_names = g->model.info.class_names};
    if (!g->r.said.class_names)
        g->r.said.class_names = nb_data_info(images.data)->class_names;
    return NB_OK;
}

/* ---- all of it ---- */

/* Did a phase of it have quantizers? */
static bool trained_quantized(const nb_csv *m)
{
    const int32_t at = nb_csv_column(m, "quantized");
    int32_t i = 0;
    while (i < m->n_rows && !strcmp(nb_csv_text(m, i, at), "no"))
        i++;
    return i < m->n_rows;
}

/* Was it made by calibration alone? There are no epochs then, and not even the head of their table. */
static bool never_trained(gathering *g, const char *folder)
{
    char path[CLI_PATH_BYTES];
    nb_checkpoint *c = NULL;
    bool never = false;
    if (cli_file_in(g->c, folder, "last.safetensors", path) == NB_OK &&
        nb_checkpoint_open(g->c->ctx, path, &c) == NB_OK)
        never = !*c->metrics;
    nb_checkpoint_close(g->c->ctx, c);
    return never;
}

/* What training leaves; ranges of quantized phases alone. */
static nb_status open_training(gathering *g, const char *folder)
{
    nb_report *r = &g->r;
    NB_TRY(read_csv(g, folder, "metrics.csv", &r->metrics));
    NB_TRY(read_csv(g, folder, "timing.csv", &r->timing));
    return trained_quantized(&r->metrics) ? read_csv(g, folder, NB_RANGES_FILE, &r->ranges) : NB_OK;
}

static nb_status open_model(gathering *g, const char *path)
{
    const char *file;
    NB_TRY(cli_meant_file(g->c, path, CLI_MODEL, g->file, &file));
    if (nb_is_folder(file))
        return nb_fail(g->c->ctx, NB_E_IO, "%s: holds no checkpoint (model.int.safetensors, last.safetensors)", path);
    return cli_model_open(g->c, file, BATCH, &g->model);
}

nb_status gather_run(gathering *g, const char *path)
{
    const bool folder = nb_is_folder(path);
    if (folder)
        NB_TRY(gather_text(g, path, "config.yaml", &g->r.config));
    const bool never = folder && never_trained(g, path);
    if (folder && !never)
        NB_TRY(open_training(g, path));
    nb_status st = open_model(g, path);
    if (st != NB_OK && !folder)
        return st;
    if (st != NB_OK)
        return gather_without(g, "the network", st);
    if (!folder && g->model.checkpoint)
        NB_TRY(nb_csv_parse(g->r.arena, g->model.checkpoint->metrics, &g->r.metrics));
    NB_TRY(describe(g));
    g->r.calibrated = g->r.calibrated || never;
    NB_TRY(gather_without(g, "answers on test images", evaluate(g)));
    NB_TRY(gather_without(g, "accuracy of the float network", find_before(g)));
    if (!g->r.eval.n)
        return nb_report_lacks(&g->r, "what quantization costs, proofs", "they need the images");
    if (!g->model.experiment.exp.quant)
        return NB_OK;
    NB_TRY(gather_without(g, "what quantization costs", gather_analysis(g)));
    return g->model.integers ? gather_without(g, "proofs", gather_proofs(g)) : NB_OK;
}

void gather_close(gathering *g)
{
    nb_ctx *ctx = g->c->ctx;
    cli_progress_clear(&g->progress);
    nb_free(ctx, g->checks);
    nb_free(ctx, g->proof.rows);
    if (g->analysis.arena)
        nb_analysis_free(&g->analysis);
    nb_free(ctx, g->indices);
    if (g->networks.c)
        analyze_close(&g->networks);
    nb_free(ctx, g->said.logits);
    nb_free(ctx, g->said.answers);
    nb_free(ctx, g->said.labels);
    nb_free(ctx, g->r.layers.rows);
    cli_model_close(g->c, &g->trained);
    cli_model_close(g->c, &g->model);
    nb_arena_free(g->r.arena);
}
