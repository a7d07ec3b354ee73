/* cmd_compare.c - runs side by side: what they reach, what they cost, their bits, and the keys in which they differ. */
#include "cli/float_accuracy.h"
#include "cli/meant_file.h"
#include "cli/open_model.h"
#include "cli/output.h"

#include "base/check.h"
#include "base/files.h"
#include "base/textbuf.h"
#include "report/tables.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = NB_TABLE_MAX_COLUMNS - 1, MAX_FILE_BYTES = 1 << 28, MAX_KEYS = 4096 };

typedef struct {
    const char *name; /* as it was given */
    char meant[CLI_PATH_BYTES];
    char kind[CLI_BITS_BYTES + 16], why[512]; /* why: it cannot be shown */
    cli_model model;
    nb_layer_rows layers;
    nb_layer_row total;
    double accuracy, before; /* < 0: unknown */
    int64_t file_bytes;
    double seconds; /* of training; 0: unknown */
} contender;

typedef struct {
    cli *c;
    nb_table_format format;
    contender *of;
    int32_t n, n_bad;
    cJSON *json;
} session;

/* ---- what a run is ---- */

/* Text of a file beside the model; NULL when there is none. */
static char *beside(const session *s, const contender *k, const char *name)
{
    char path[CLI_PATH_BYTES];
    uint8_t *bytes = NULL;
    size_t len;
    if (!nb_is_folder(k->name) || cli_file_in(s->c, k->name, name, path) != NB_OK || !nb_file_exists(path) ||
        nb_file_read(s->c->ctx, path, MAX_FILE_BYTES, &bytes, &len) != NB_OK)
        return NULL;
    return (char *)bytes;
}

/* Seconds of all epochs, from timing.csv: phase,epoch,train_seconds,eval_seconds. */
static double seconds_of(const session *s, const contender *k)
{
    char *text = beside(s, k, "timing.csv");
    double sum = 0;
    for (const char *line = text; line && (line = strchr(line, '\n')) && *++line;) {
        double train, eval;
        if (sscanf(line, "%*d,%*d,%lf,%lf", &train, &eval) == 2)
            sum += train + eval;
    }
    nb_free(s->c->ctx, text);
    return sum;
}

/* Does the network have rounded weights or outputs? */
static bool is_quantized(const contender *k)
{
    return k->model.integers || *k->model.experiment.simulated;
}

/* What its own run says of the float network, or the checkpoint that `init` names. */
static double accuracy_before(const session *s, const contender *k)
{
    const nb_experiment *e = &k->model.experiment.exp;
    nb_checkpoint *c = NULL;
    char init[CLI_PATH_BYTES];
    double found = cli_float_accuracy(s->c, k->name, &k->model);
    if (found >= 0 || !is_quantized(k) || !k->model.experiment.config || !*e->init ||
        cli_init_file(s->c, e->init, init) != NB_OK || nb_checkpoint_open(s->c->ctx, init, &c) != NB_OK)
        return found;
    found = c->quantized ? c->float_accuracy : c->accuracy;
    nb_checkpoint_close(s->c->ctx, c);
    return found;
}

static int64_t bytes_of(const session *s, const char *path)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    nb_status st = nb_file_read(s->c->ctx, path, MAX_FILE_BYTES, &bytes, &len);
    nb_free(s->c->ctx, bytes);
    return st == NB_OK ? (int64_t)len : 0;
}

static nb_status open_one(session *s, contender *k)
{
    const char *path;
    NB_TRY(cli_meant_file(s->c, k->name, CLI_MODEL, k->meant, &path));
    if (path == k->name && cli_holds_sweep(s->c, k->name))
        return nb_fail(s->c->ctx, NB_E_CONFIG,
                       "%s: is the folder of a sweep, not of a run: name runs of it (runs.csv lists them), or see all "
                       "of them with `nibble report %s`",
                       k->name, k->name);
    NB_TRY(cli_model_open(s->c, path, 1, &k->model));
    NB_TRY(k->model.integers ? nb_layers_of_integers(s->c->ctx, k->model.integers, &k->layers)
                             : nb_layers_of_graph(k->model.graph, &k->layers));
    k->total = nb_layers_total(&k->layers);
    k->accuracy =
        k->model.integers && !k->model.checkpoint ? k->model.integers->accuracy : k->model.checkpoint->accuracy;
    cli_model_kind(&k->model, k->kind, sizeof k->kind);
    k->before = accuracy_before(s, k);
    k->seconds = seconds_of(s, k);
    k->file_bytes = bytes_of(s, path);
    return NB_OK;
}

/* ---- tables ---- */

static nb_status show(session *s, const char *name, const char *title, nb_table *t)
{
    char *text = NULL;
    if (s->format == NB_TABLE_JSON)
        return cli_json_table(s->c->ctx, s->json, name, t);
    nb_status st = nb_table_print_as(t, s->format, &text);
    if (st == NB_OK)
        printf("%s%s%s", title, *title ? "\n\n" : "", text);
    nb_free(s->c->ctx, text);
    nb_table_free(t);
    return st;
}

static void add_percent(nb_table *t, double v)
{
    if (v >= 0)
        nb_table_add_real(t, 100 * v, 2);
    else
        nb_table_add_blank(t);
}

/* Of runs that reconstruct the accuracy is an AUC, as `eval` says. */
static const char *heading_of(const session *s)
{
    int32_t others = 0;
    for (int32_t i = 0; i < s->n; i++)
        others += s->of[i].model.info.task != NB_TASK_CLASSES;
    return others == 0 ? "accuracy %" : others == s->n ? "AUC %" : "accuracy or AUC %";
}

static nb_status show_runs(session *s)
{
    static const struct {
        const char *key, *header;
    } columns[] = {{"run", "run"},
                   {"network", "network"},
                   {"accuracy_percent", "accuracy %"},
                   {"float_percent", "float %"},
                   {"gap", "gap"},
                   {"parameters", "parameters"},
                   {"macs", "MACs"},
                   {"bytes", "bytes"},
                   {"file_bytes", "file bytes"},
                   {"seconds", "seconds"}};
    nb_table *t;
    NB_TRY(nb_table_create(s->c->ctx, &t));
    for (int32_t i = 0; i < (int32_t)(sizeof columns / sizeof *columns); i++)
        nb_table_column(t, columns[i].key, i == 2 ? heading_of(s) : columns[i].header, i < 2 ? NB_LEFT : NB_RIGHT);
    for (int32_t i = 0; i < s->n; i++) {
        const contender *k = &s->of[i];
        nb_table_row(t);
        nb_table_add_text(t, k->name);
        nb_table_add_text(t, *k->why ? "cannot be read" : k->kind);
        if (*k->why)
            continue;
        add_percent(t, k->accuracy);
        add_percent(t, k->before);
        if (k->accuracy >= 0 && k->before >= 0 && is_quantized(k))
            nb_table_add_real(t, 100 * (k->accuracy - k->before), 2);
        else
            nb_table_add_blank(t);
        nb_table_add_int(t, k->total.parameters);
        nb_table_add_int(t, k->total.macs);
        nb_table_add_int(t, k->total.bytes);
        nb_table_add_int(t, k->file_bytes);
        if (k->seconds > 0)
            nb_table_add_real(t, k->seconds, 0);
    }
    return show(s, "runs", "", t);
}

static const nb_layer_row *layer_named(const contender *k, const char *name)
{
    for (int32_t i = 0; i < k->layers.n; i++)
        if (strcmp(k->layers.rows[i].name, name) == 0)
            return &k->layers.rows[i];
    return NULL;
}

/* Bits of what a layer puts out: in integers its own row's, in a graph those behind the batch norm and relu that follow. */
static int32_t puts_out(const contender *k, const nb_layer_row *row)
{
    const nb_layer_row *end = k->layers.rows + k->layers.n, *at = row;
    while (at + 1 < end && at->output_bits == 0 && at[1].weight_bits == 0)
        at++;
    return at->output_bits;
}

/* A row per layer with weights of any run, in the order of the first run that has it. */
static nb_status show_layers(session *s)
{
    nb_table *t;
    NB_TRY(nb_table_create(s->c->ctx, &t));
    nb_table_column(t, "layer", "layer", NB_LEFT);
    for (int32_t i = 0; i < s->n; i++)
        nb_table_column(t, s->of[i].name, s->of[i].name, NB_LEFT);
    for (int32_t i = 0; i < s->n; i++)
        for (int32_t r = 0; r < s->of[i].layers.n; r++) {
            const nb_layer_row *row = &s->of[i].layers.rows[r];
            bool shown = row->weight_bits == 0 || !is_quantized(&s->of[i]);
            for (int32_t k = 0; k < i; k++)
                shown = shown || (is_quantized(&s->of[k]) && layer_named(&s->of[k], row->name));
            if (shown)
                continue;
            nb_table_row(t);
            nb_table_add_text(t, row->name);
            for (int32_t k = 0; k < s->n; k++) {
                const nb_layer_row *own = layer_named(&s->of[k], row->name);
                char text[64] = "";
                const int32_t out = own ? puts_out(&s->of[k], own) : 0;
                if (own && is_quantized(&s->of[k]))
                    snprintf(text, sizeof text, out ? "W%d A%d" : "W%d", own->weight_bits, out);
                nb_table_add_text(t, text);
            }
        }
    return show(s, "bits", "\nbits of weights and of what a layer puts out", t);
}

/* ---- keys ---- */

typedef struct {
    char *key;
    char *value[MAX_RUNS]; /* NULL: not written */
} key_row;

typedef struct {
    nb_ctx *ctx;
    key_row *row;
    int32_t n;
} key_rows;

static nb_status add_key(key_rows *r, const char *key, const char *text, int32_t run)
{
    int32_t i = 0;
    while (i < r->n && strcmp(r->row[i].key, key) != 0)
        i++;
    if (i == MAX_KEYS)
        return NB_OK;
    if (i == r->n) {
        r->row[r->n].key = nb_strdup(r->ctx, key);
        if (!r->row[r->n].key)
            return NB_E_NOMEM;
        r->n++;
    }
    if (!r->row[i].value[run])
        r->row[i].value[run] = nb_strdup(r->ctx, text);
    return r->row[i].value[run] ? NB_OK : NB_E_NOMEM;
}

/* Every scalar below c by its path, as --set writes it. */
static nb_status walk(key_rows *r, const nb_conf *c, const char *path, int32_t run)
{
    if (nb_conf_count(c) == 0)
        return *path && c ? add_key(r, path, nb_conf_text(c) ? nb_conf_text(c) : "", run) : NB_OK;
    for (int32_t i = 0; i < nb_conf_count(c); i++) {
        char own[512];
        if (nb_conf_is_map(c))
            snprintf(own, sizeof own, "%.250s%s%.250s", path, *path ? "." : "", nb_conf_key_at(c, i));
        else
            snprintf(own, sizeof own, "%.480s.%d", path, i);
        NB_TRY(walk(r, nb_conf_at(c, i), own, run));
    }
    return NB_OK;
}

static bool differs(const session *s, const key_row *row)
{
    const char *first = NULL;
    bool any = false;
    if (strcmp(row->key, "out") == 0)
        return false;
    for (int32_t i = 0; i < s->n; i++) {
        if (!s->of[i].model.experiment.config)
            continue;
        const char *own = row->value[i] ? row->value[i] : "";
        if (any && strcmp(first, own) != 0)
            return true;
        first = own;
        any = true;
    }
    return false;
}

static nb_status table_of_keys(const session *s, const key_rows *r, nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(s->c->ctx, &t));
    nb_table_column(t, "key", "key", NB_LEFT);
    for (int32_t i = 0; i < s->n; i++)
        nb_table_column(t, s->of[i].name, s->of[i].name, NB_LEFT);
    for (int32_t k = 0; k < r->n; k++) {
        if (!differs(s, &r->row[k]))
            continue;
        nb_table_row(t);
        nb_table_add_text(t, r->row[k].key);
        for (int32_t i = 0; i < s->n; i++)
            nb_table_add_text(t, r->row[k].value[i] ? r->row[k].value[i] : "");
    }
    *out = t;
    return NB_OK;
}

static nb_status show_keys(session *s)
{
    key_rows r = {.ctx = s->c->ctx, .row = nb_alloc(s->c->ctx, MAX_KEYS * sizeof *r.row)};
    nb_status st = r.row ? NB_OK : NB_E_NOMEM;
    for (int32_t i = 0; st == NB_OK && i < s->n; i++)
        if (s->of[i].model.experiment.config)
            st = walk(&r, nb_config_root(s->of[i].model.experiment.config), "", i);
    nb_table *t;
    if (st == NB_OK)
        st = table_of_keys(s, &r, &t);
    if (st == NB_OK)
        st = show(s, "keys", "\nkeys in which their configs differ", t);
    for (int32_t k = 0; k < r.n; k++) {
        nb_free(s->c->ctx, r.row[k].key);
        for (int32_t i = 0; i < s->n; i++)
            nb_free(s->c->ctx, r.row[k].value[i]);
    }
    nb_free(s->c->ctx, r.row);
    return st;
}

/* ---- all of it ---- */

static nb_status show_all(session *s)
{
    s->json = s->format == NB_TABLE_JSON ? cJSON_CreateObject() : NULL;
    nb_status st = show_runs(s);
    if (st == NB_OK && s->format != NB_TABLE_CSV) /* one file of CSV is one table */
        st = show_layers(s);
    if (st == NB_OK && s->format != NB_TABLE_CSV)
        st = show_keys(s);
    if (s->format != NB_TABLE_JSON)
        return st;
    if (st == NB_OK)
        return cli_json_print(s->c->ctx, s->json);
    cJSON_Delete(s->json);
    return st;
}

static nb_status run_session(session *s)
{
    cli *c = s->c;
    NB_TRY(cli_table_format(c, &s->format));
    s->of = nb_alloc(c->ctx, (size_t)c->n_args * sizeof *s->of);
    if (!s->of)
        return NB_E_NOMEM;
    for (s->n = 0; s->n < c->n_args; s->n++) {
        contender *k = &s->of[s->n];
        k->name = c->arg[s->n];
        k->accuracy = k->before = -1;
        if (open_one(s, k) == NB_OK)
            continue;
        snprintf(k->why, sizeof k->why, "%s", nb_ctx_error(c->ctx));
        s->n_bad++;
    }
    NB_TRY(show_all(s));
    for (int32_t i = 0; i < s->n; i++)
        if (*s->of[i].why)
            return nb_fail(c->ctx, NB_E_IO, "%s%s", s->of[i].why,
                           s->n_bad > 1 ? ", and others that cannot be read either" : "");
    return NB_OK;
}

static nb_status run(cli *c)
{
    session s = {.c = c};
    nb_status st = run_session(&s);
    for (int32_t i = 0; s.of && i < s.n; i++) {
        nb_free(c->ctx, s.of[i].layers.rows);
        cli_model_close(c, &s.of[i].model);
    }
    nb_free(c->ctx, s.of);
    return st;
}

static const cli_option options[] = {CLI_TABLE_FORMAT, {0}};

const cli_command cli_command_compare = {
    .name = "compare",
    .usage = "RUN RUN...",
    .help = "runs side by side: accuracy, size, bits, the keys that differ",
    .more =
        "Run folders, training checkpoints or integer ones. Accuracy is what their files say; `float` is the last\n"
        "float epoch of the same run, what `quantize` measured, or of the checkpoint it began with (`init`); `gap` is\n"
        "the difference, with all that was trained since in it (what rounding costs: `nibble analyze`). Bytes are what "
        "is\n"
        "deployed. What cannot be read is named, and the others are shown. CSV has the first table alone.\n",
    .options = options,
    .min_args = 2,
    .max_args = MAX_RUNS,
    .first = CLI_FILE,
    .run = run,
};
