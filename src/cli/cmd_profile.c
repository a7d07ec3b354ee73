/* cmd_profile.c - what the values of a float network are like, and what each format and width would make of them. */
#include "cli/alike.h"
#include "cli/meant_file.h"
#include "cli/open_experiment.h"
#include "cli/output.h"
#include "cli/progress.h"

#include "analysis/profile.h"
#include "base/check.h"
#include "base/measure.h"
#include "base/numtext.h"
#include "base/rng.h"
#include "report/table_profile.h"
#include "train/loader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BATCH = 32, DEFAULT_IMAGES = 256 };
#define DEFAULT_BITS   "2,3,4,6,8"
#define DEFAULT_TARGET "18" /* about what 4 bits leave of values like a bell: networks live with that */

typedef struct {
    cli *c;
    const char *file; /* the checkpoint */
    char meant[CLI_PATH_BYTES];
    cli_experiment e;
    nb_checkpoint *from;
    nb_graph *graph;
    nb_profile_formats formats;
    nb_profile *profile;
    int32_t *sample;
    double target, start;
    cli_progress progress;
} session;

/* ---- tables ---- */

static const struct {
    const char *name, *title;
    nb_status (*make)(const nb_profile *p, nb_table **out);
    bool shown; /* by default, as text */
} tables[] = {
    {"statistics", "values (>4 std: how many are farther than that from the mean)", nb_table_of_statistics, true},
    {"channels", "channels", nb_table_of_channels, false},
    {"sqnr",
     "signal to quantization noise in dB, measured and predicted from the fit: the best range, one scale or one "
     "per channel",
     nb_table_of_sqnr, true},
    {"network", "over the network", nb_table_of_network, true},
    {"errors", "rounding errors (clip: cut off where the fit says it costs least)", nb_table_of_errors, false},
    {"codes", "codes", nb_table_of_codes, false},
    {"proposals", "fewest bits for the wanted dB", nb_table_of_proposals, true},
};
enum { TABLES = sizeof tables / sizeof *tables, TABLE_OF_CSV = 4 };

static nb_status table_asked_for(cli *c, int32_t *out)
{
    const char *names[TABLES];
    for (int32_t i = 0; i < TABLES; i++)
        names[i] = tables[i].name;
    return cli_table_asked_for(c, names, TABLES, out);
}

static nb_status print_table(const session *s, int32_t i, nb_table_format format)
{
    nb_table *t;
    NB_TRY(tables[i].make(s->profile, &t));
    return cli_table_print_as(s->c->ctx, t, format);
}

static nb_status print_text(session *s)
{
    const cli *c = s->c;
    const nb_profile *p = s->profile;
    char about[64] = "weights alone";
    if (p->images)
        snprintf(about, sizeof about, "over %d training image%s", p->images, nb_plural(p->images));
    printf("%s: %s, %.1f s\n", s->file, about, nb_now() - s->start);
    for (int32_t i = 0; i < TABLES; i++) {
        const bool of_one = strcmp(tables[i].name, "errors") == 0 && cli_value(c, "--layer");
        const bool of_channels = strcmp(tables[i].name, "channels") == 0 && p->channels;
        if (!tables[i].shown && !of_one && !of_channels)
            continue;
        printf("\n%s\n\n", tables[i].title);
        NB_TRY(print_table(s, i, NB_TABLE_TEXT));
    }
    printf("\nproposed for at least %g dB: noise of 1/%.0f of the values' power; quant.layers.NAME.weights or "
           ".activations "
           "takes the keys\n",
           p->target_db, pow(10, p->target_db / 10));
    return NB_OK;
}

/* Counts of every code; a row per code would say the same in ten times the bytes. */
static cJSON *json_codes(const nb_profile *p)
{
    cJSON *all = cJSON_CreateArray();
    for (int32_t i = 0; i < p->n; i++)
        for (int32_t k = 0; k < p->tensor[i].n_cells; k++) {
            const nb_profile_cell *c = &p->tensor[i].cell[k];
            if (!c->count)
                continue;
            cJSON *o = cJSON_CreateObject();
            cJSON_AddStringToObject(o, "layer", p->tensor[i].layer);
            cJSON_AddStringToObject(o, "of", p->tensor[i].weights ? "weights" : "output");
            cJSON_AddStringToObject(o, "format", p->formats->of[c->format].format->name);
            cJSON_AddNumberToObject(o, "bits", p->formats->of[c->format].bits);
            cJSON_AddStringToObject(o, "range", nb_profile_range_name(c->range));
            cJSON_AddNumberToObject(o, "scale", (double)c->scale);
            cJSON_AddNumberToObject(o, "zero", c->zero);
            cJSON *counts = cJSON_AddArrayToObject(o, "counts"), *values = cJSON_AddArrayToObject(o, "values");
            for (int32_t code = 0; code < c->n_codes; code++) {
                cJSON_AddItemToArray(counts, cJSON_CreateNumber((double)c->count[code]));
                cJSON_AddItemToArray(values, cJSON_CreateNumber(c->level[code]));
            }
            cJSON_AddItemToArray(all, o);
        }
    return all;
}

static nb_status print_json(const session *s)
{
    const nb_profile *p = s->profile;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "file", s->file);
    cJSON_AddNumberToObject(o, "images", p->images);
    cJSON_AddNumberToObject(o, "target_db", p->target_db);
    nb_status st = NB_OK;
    for (int32_t i = 0; st == NB_OK && i < TABLES; i++) {
        nb_table *t;
        if (tables[i].make == nb_table_of_codes) {
            cJSON_AddItemToObject(o, "codes", json_codes(p));
            continue;
        }
        if (tables[i].make == nb_table_of_channels && !p->channels)
            continue;
        st = tables[i].make(p, &t);
        if (st == NB_OK)
            st = cli_json_table(s->c->ctx, o, tables[i].name, t);
    }
    if (st == NB_OK)
        return cli_json_print(s->c->ctx, o);
    cJSON_Delete(o);
    return st;
}

/* ---- what is profiled ---- */

static nb_status open_network(session *s)
{
    cli *c = s->c;
    const char *from = cli_value(c, "--from");
    const bool config = cli_is_config(c->arg[0]);
    if (config && !from)
        return cli_usage(c, "--from CKPT is missing: whose weights the network of %s has", c->arg[0]);
    if (!config && from)
        return cli_usage(c, "--from: %s is no config; a checkpoint is given alone", c->arg[0]);
    NB_TRY(cli_meant_file(c, config ? from : c->arg[0], CLI_FLOATS, s->meant, &s->file));
    NB_TRY(nb_checkpoint_open(c->ctx, s->file, &s->from));
    NB_TRY(config ? cli_experiment_load(c, c->arg[0], &s->e)
                  : cli_experiment_parse(c, s->file, s->from->config, &s->e));
    s->e.features = s->from->info.features;
    NB_TRY(nb_experiment_check(c->ctx, &s->e.exp, &s->from->info));
    if (s->from->quantized)
        nb_log(c->ctx, "%s: is of a quantized network: its weights are taken as they are, before they are rounded",
               s->file);
    int32_t batch;
    NB_TRY(nb_model_batch(c->ctx, &s->e.exp, &s->from->info, MOST_BATCH, &batch));
    const nb_graph_spec spec = {.experiment = &s->e.exp,
                                .info = &s->from->info,
                                .max_batch = batch,
                                .quant = true,
                                .unrounded = true,
                                .plan = NB_PLAN_INFER,
                                .reference = true};
    const nb_params_source source = {.file = s->from, .mode = NB_PARAMS_CALIBRATE};
    return nb_graph_open(c->ctx, &spec, &source, &s->graph);
}

/* The images that `nibble quantize` would find ranges on. */
static nb_status open_images(session *s, nb_profile_job *job)
{
    cli *c = s->c;
    if (cli_flag(c, "--weights")) {
        if (cli_value(c, "--images"))
            return cli_usage(c, "--images: --weights looks at none");
        return NB_OK;
    }
    NB_TRY(cli_experiment_open_train(c, &s->e));
    NB_TRY(cli_images_count(c, DEFAULT_IMAGES, s->e.n_train, "training", &job->n));
    if (!s->e.order)
        NB_TRY(nb_split_order(c->ctx, s->e.n_train, 0, s->e.exp.seed, &s->sample));
    job->data = s->e.train;
    job->indices = s->sample ? s->sample : s->e.order;
    return NB_OK;
}

static void on_progress(void *ud, int64_t done, int64_t all)
{
    session *s = ud;
    char text[96], left[32];
    const double seconds = nb_now() - s->start;
    snprintf(text, sizeof text, "%d %% of three looks at the images, %s left", (int)(100 * done / all),
             cli_duration(seconds * (double)(all - done) / (double)done, left, sizeof left));
    cli_progress_text(&s->progress, text);
}

static nb_status bind_target(session *s)
{
    const char *text = cli_value(s->c, "--target");
    char *end;
    s->target = strtod(text ? text : DEFAULT_TARGET, &end);
    return *end || !(s->target > 0 && s->target <= 100)
               ? cli_usage(s->c, "--target: %s: must be a number of dB, above 0 and at most 100", text)
               : NB_OK;
}

static nb_status run_session(session *s)
{
    cli *c = s->c;
    int32_t table;
    const char *formats = cli_value(c, "--formats"), *bits = cli_value(c, "--bits");
    if (cli_flag(c, "--json") && (cli_flag(c, "--csv") || cli_value(c, "--table")))
        return cli_usage(c, "--json: has all tables; --csv and --table are for one");
    NB_TRY(table_asked_for(c, &table));
    NB_TRY(bind_target(s));
    NB_TRY(nb_profile_formats_parse(c->ctx, formats ? formats : "uniform", bits ? bits : DEFAULT_BITS, &s->formats));
    NB_TRY(open_network(s));
    nb_profile_job job = {.graph = s->graph,
                          .experiment = &s->e.exp,
                          .formats = &s->formats,
                          .layer = cli_value(c, "--layer"),
                          .channels =
                              cli_flag(c, "--channels") || (table >= 0 && tables[table].make == nb_table_of_channels),
                          .target_db = s->target,
                          .progress = on_progress,
                          .ud = s};
    NB_TRY(open_images(s, &job));
    NB_TRY(cli_ranks_alike(c, &(cli_alike){.file = s->file,
                                           .config = nb_mix(nb_hash_text(s->e.text), (uint64_t)job.n),
                                           .data[0] = job.data}));
    job.shared = c->together;
    s->start = nb_now();
    cli_progress_init(&s->progress, cli_flag(c, "--json"));
    const nb_status st = nb_profile_run(&job, &s->profile);
    cli_progress_clear(&s->progress);
    if (st != NB_OK)
        return st == NB_E_NOMEM ? st : nb_fail(c->ctx, st, "%s: %s", s->file, nb_ctx_error(c->ctx));
    if (cli_flag(c, "--json"))
        return print_json(s);
    if (cli_flag(c, "--csv") || table >= 0)
        return print_table(s, table >= 0 ? table : TABLE_OF_CSV, cli_flag(c, "--csv") ? NB_TABLE_CSV : NB_TABLE_TEXT);
    return print_text(s);
}

static nb_status run(cli *c)
{
    session *s = nb_alloc(c->ctx, sizeof *s);
    if (!s)
        return NB_E_NOMEM;
    s->c = c;
    const nb_status st = run_session(s);
    nb_profile_free(s->profile);
    nb_profile_formats_free(&s->formats);
    nb_graph_free(s->graph);
    nb_checkpoint_close(c->ctx, s->from);
    nb_free(c->ctx, s->sample);
    cli_experiment_close(c, &s->e);
    nb_free(c->ctx, s);
    return st;
}

static const cli_option options[] = {
    {"--from", "CKPT", "for a config: the checkpoint whose weights its network has"},
    {"--images", "N", "activations over N training images (default 256), those that quantize takes"},
    {"--weights", NULL, "weights alone: no images are needed"},
    {"--formats", "LIST", "formats to try, separated by commas (default uniform; nibble keys formats lists them)"},
    {"--bits", "LIST", "widths to try (default " DEFAULT_BITS ")"},
    {"--target", "DB", "proposals have at least this much signal to noise (default " DEFAULT_TARGET ")"},
    {"--layer", "NAME", "this layer alone, with every error"},
    {"--channels", NULL, "every channel, too"},
    {"--table", "NAME", "one table: statistics, channels, sqnr, network, errors, codes or proposals"},
    {"--csv", NULL, "one table as CSV (default: errors)"},
    CLI_SET,
    CLI_THREADS,
    CLI_JSON,
    {0}};

const cli_command cli_command_profile = {
    .name = "profile",
    .usage = "FILE|CONFIG",
    .help = "what a float network's values are like, and what each format and width makes of them",
    .more =
        "FILE is a training checkpoint; of a quantized one the float weights are looked at. A config takes --from.\n"
        "Looks at what would be rounded: the weights of every layer, and every value that placement closes, over\n"
        "training images that are not augmented, as the float network computes it. No value is sampled.\n"
        "fit: the likeliest of Gaussian, Laplace, uniform and, where nothing is negative, half-normal, exponential "
        "and\n"
        "uniform from 0 (by the Bayesian information criterion; zeros apart). SQNR is what compares layers: see\n"
        "docs/choosing.md, Profile. Ranges: minmax cuts nothing off; clip cuts where the fit says it costs least.\n"
        "`mpirun -n 4 nibble profile FILE` divides the tensors among four processes.\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_FLOATS,
    .ranks = true,
    .run = run,
};
