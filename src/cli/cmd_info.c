/* cmd_info.c - what a config or a checkpoint is made of: layers, shapes, bits, parameters, MACs, bytes, memory. */
#include "cli/open_model.h"
#include "cli/output.h"

#include "base/check.h"
#include "base/numtext.h"
#include "report/tables.h"

#include <inttypes.h>
#include <string.h>

typedef struct {
    nb_layer_rows layers;
    char kind[CLI_BITS_BYTES + 16], data[96];
    char no_data[512];      /* why the files of the data were not read: all is as the config says; "": they were */
    char features[256];     /* how numbers become codes; "": pixels */
    int64_t train_bytes[2]; /* planned memory of a training step, float and quantized; 0: not used */
    int32_t batch;
    int64_t leaf_bytes;               /* values and gradients of parameters */
    int64_t engine_bytes;             /* arena of the engine; 0: no integers */
    nb_export_size exported;          /* as C; macs 0: not known */
    char not_exported[CLI_WHY_BYTES]; /* why it cannot be; "": it can, or nothing is quantized */
    double accuracy;                  /* < 0: unknown */
    nb_task task;
    char ranges[256]; /* "": not quantized */
    char unused[320]; /* "": codes are used */
    char simulated[CLI_WHY_BYTES];
} summary;

/* "0.25", or "-3..12.5" of several. */
static void range_text(const float *v, int32_t n, char buf[48])
{
    float low = v[0], high = v[0];
    for (int32_t i = 1; i < n; i++) {
        low = v[i] < low ? v[i] : low;
        high = v[i] > high ? v[i] : high;
    }
    if (low == high)
        snprintf(buf, 48, "%.6g", (double)low);
    else
        snprintf(buf, 48, "%.6g..%.6g", (double)low, (double)high);
}

static void say_features(summary *s, const nb_features *f)
{
    char center[48], gain[48];
    range_text(f->center, f->n, center);
    range_text(f->gain, f->n, gain);
    snprintf(s->features, sizeof s->features,
             "%s features in 8 bits: code = round((x - center) * gain) + %d, 0..255; center %s, gain %s%s", f->dtype,
             f->zero, center, gain, f->n > 1 ? ", of each column" : "");
}

static void say_data(summary *s, const nb_dsinfo *d)
{
    const char *what = *s->no_data ? "inputs" : d->features ? "features" : "pixels";
    if (d->task == NB_TASK_RECONSTRUCT)
        snprintf(s->data, sizeof s->data, "%dx%dx%d %s, reconstructed", d->h, d->w, d->c, what);
    else
        snprintf(s->data, sizeof s->data, "%dx%dx%d %s, %d classes", d->h, d->w, d->c, what, d->classes);
    s->task = d->task;
    if (d->features)
        say_features(s, d->features);
}

static nb_status from_graph(const nb_graph *g, summary *s)
{
    const nb_dsinfo *d = nb_graph_about(g).info;
    const char *why = nb_graph_about(g).simulated;
    snprintf(s->simulated, sizeof s->simulated, "%s", why ? why : "");
    say_data(s, d);
    nb_quant_ranges_text(g, s->ranges, sizeof s->ranges);
    return nb_layers_of_graph(g, &s->layers);
}

static nb_status from_integers(cli *c, const nb_intmodel *m, summary *s)
{
    const nb_etensor *in = &m->e.tensors[nb_intmodel_input(m)];
    say_data(s,
             &(nb_dsinfo){
                 .h = in->h, .w = in->w, .c = in->c, .classes = m->classes, .features = m->features, .task = m->task});
    return nb_layers_of_integers(c->ctx, m, &s->layers);
}

/* ---- what is asked for ---- */

/* A config that is not for training: its network, quantized where there is a `quant` section. */
static nb_status rows_of_network(cli *c, const cli_experiment *e, const nb_dsinfo *info, summary *s)
{
    nb_graph_spec spec = {.experiment = &e->exp,
                          .info = info,
                          .max_batch = 1,
                          .quant = e->exp.quant != NULL,
                          .plan = NB_PLAN_INFER,
                          .blank = true,
                          .reference = cli_flag(c, "--reference")};
    nb_graph *g;
    NB_TRY(nb_graph_open(c->ctx, &spec, &(nb_params_source){0}, &g));
    nb_status st = from_graph(g, s);
    nb_graph_free(g);
    return st;
}

/* Planned memory of both forms of training; rows of the form it ends with, unless there are rows already. */
static nb_status plan_training(cli *c, const cli_experiment *e, const nb_dsinfo *info, summary *s)
{
    nb_train_plan *plan;
    if (!e->exp.train)
        return s->layers.rows ? NB_OK : rows_of_network(c, e, info, s);
    NB_TRY(nb_train_plan_create(c->ctx, e->exp.train, &plan));
    bool ends_quant = plan->phase[plan->n_phases - 1].keys.quant, used[2] = {false, plan->any_quant};
    for (int32_t i = 0; i < plan->n_phases; i++)
        used[0] = used[0] || !plan->phase[i].keys.quant;
    const nb_compute compute = (nb_compute)plan->keys.compute;
    s->batch = plan->keys.batch;
    nb_train_plan_free(c->ctx, plan);
    bool need_rows = !s->layers.rows;
    nb_status st = NB_OK;
    for (int32_t quant = 0; quant < 2 && st == NB_OK; quant++) {
        if (!used[quant])
            continue;
        nb_graph_spec spec = {.experiment = &e->exp,
                              .info = info,
                              .max_batch = s->batch,
                              .quant = quant == 1,
                              .plan = NB_PLAN_TRAIN,
                              .compute = compute,
                              .blank = true,
                              .reference = cli_flag(c, "--reference")};
        nb_graph *g;
        NB_TRY(nb_graph_open(c->ctx, &spec, &(nb_params_source){0}, &g));
        const nb_graph_facts about = nb_graph_about(g);
        s->train_bytes[quant] = (int64_t)about.planned_bytes;
        s->leaf_bytes = (int64_t)about.param_bytes > s->leaf_bytes ? (int64_t)about.param_bytes : s->leaf_bytes;
        if (need_rows && (quant == 1) == ends_quant)
            st = from_graph(g, s);
        nb_graph_free(g);
    }
    return st;
}

/* What the exported C will take, where the config says how the network is quantized, trained so or by nibble quantize. */
static nb_status plan_export(cli *c, const cli_experiment *e, const nb_dsinfo *info, summary *s)
{
    if (!e->exp.quant)
        return NB_OK;
    const nb_status st = nb_export_size_before(c->ctx, &e->exp, info, &s->exported);
    if (st == NB_OK || st == NB_E_NOMEM)
        return st;
    snprintf(s->not_exported, sizeof s->not_exported, "%s", nb_ctx_error(c->ctx));
    return NB_OK;
}

/* Of the training images, or of what the config says of them where they are not here. */
static nb_status about_data(cli *c, cli_experiment *e, summary *s, nb_dsinfo *info)
{
    const nb_status st = cli_experiment_open_train(c, e);
    if (st == NB_OK)
        *info = *nb_data_info(e->train);
    if (st != NB_E_IO)
        return st;
    snprintf(s->no_data, sizeof s->no_data, "%s", nb_ctx_error(c->ctx));
    const nb_status said = nb_data_describe(c->ctx, e->exp.data, info);
    return said == NB_E_CONFIG ? nb_fail(c->ctx, st, "%s", s->no_data) : said;
}

static nb_status of_config(cli *c, const char *path, summary *s)
{
    cli_experiment e = {0};
    nb_dsinfo info;
    nb_status st = cli_experiment_load(c, path, &e);
    if (st == NB_OK)
        st = about_data(c, &e, s, &info);
    if (st == NB_OK)
        st = nb_experiment_check(c->ctx, &e.exp, &info);
    if (st == NB_OK)
        st = plan_training(c, &e, &info, s);
    if (st == NB_OK)
        st = plan_export(c, &e, &info, s);
    snprintf(s->kind, sizeof s->kind, "config");
    cli_experiment_close(c, &e);
    return st;
}

static nb_status of_checkpoint(cli *c, const char *path, summary *s)
{
    cli_model m = {0};
    nb_status st = cli_model_open(c, path, 1, &m);
    if (st == NB_OK) {
        cli_model_kind(&m, s->kind, sizeof s->kind);
        s->accuracy = m.checkpoint ? m.checkpoint->accuracy : m.integers->accuracy;
        st = m.graph ? from_graph(m.graph, s) : from_integers(c, m.integers, s);
    }
    if (st == NB_OK && m.graph && m.integers)
        st = nb_quant_unused_text(m.graph, s->unused, sizeof s->unused);
    if (st == NB_OK && m.integers) {
        s->engine_bytes = (int64_t)nb_engine_arena_bytes(&m.integers->e);
        st = nb_exporter_find("c")->size(c->ctx, m.integers, &s->exported);
    }
    if (st == NB_OK && m.checkpoint && !m.integers)
        st = plan_export(c, &m.experiment, &m.info, s);
    if (st == NB_OK && m.checkpoint)
        st = plan_training(c, &m.experiment, &m.info, s);
    cli_model_close(c, &m);
    return st;
}

/* ---- printing ---- */

static void print_memory(const char *what, int64_t bytes)
{
    if (bytes > 0)
        printf("%-34s %10.2f MiB\n", what, (double)bytes / (1 << 20));
}

static void print_export(const summary *s)
{
    const char *about = s->exported.settled ? "" : "about ";
    if (s->exported.macs > 0) {
        printf("%-34s %10" PRId64 " multiply-accumulates per image\n", "exported C (nibble export)", s->exported.macs);
        printf("%-34s %s%*" PRId64 " bytes of constants, without code%s\n", "  flash", about, *about ? 4 : 10,
               s->exported.flash_bytes,
               *about ? "; a byte or so a channel depends on the weights, whose grid is not symmetric" : "");
        printf("%-34s %10" PRId64 " bytes, static\n", "  RAM", s->exported.ram_bytes);
    } else if (*s->not_exported && !*s->simulated)
        printf("it cannot be exported as C: %s\n", s->not_exported);
}

static nb_status print_text(cli *c, const summary *s, nb_table *t)
{
    printf("%s: %s, %s\n\n", c->arg[0], s->kind, s->data);
    NB_TRY(cli_table_print(c->ctx, t));
    printf("\n");
    if (*s->no_data)
        printf("without the data, shape and classes are the config's: %s\n", s->no_data);
    if (*s->features)
        printf("input: %s\n", s->features);
    if (*s->ranges)
        printf("ranges: %s\n", s->ranges);
    if (*s->unused)
        printf("%s\n", s->unused);
    if (*s->simulated)
        printf("simulated in floats, no integers: %s\n", s->simulated);
    if (s->batch)
        printf("memory of a training step, planned, batch %d:\n", s->batch);
    print_memory("  float phase", s->train_bytes[0]);
    print_memory("  quantized phase", s->train_bytes[1]);
    print_memory("  parameters and their gradients", s->leaf_bytes);
    print_memory("integer engine, one image", s->engine_bytes);
    print_export(s);
    if (s->accuracy >= 0)
        printf("%s when it was written: %.2f %%\n",
               s->task == NB_TASK_CLASSES ? "accuracy" : "AUC, or explained share,", nb_percent(s->accuracy));
    return NB_OK;
}

static nb_status print_json(cli *c, const summary *s, nb_table *t)
{
    cJSON *o = cJSON_CreateObject();
    const nb_layer_row all = nb_layers_total(&s->layers);
    cJSON_AddStringToObject(o, "file", c->arg[0]);
    cJSON_AddStringToObject(o, "kind", s->kind);
    if (*s->simulated)
        cJSON_AddStringToObject(o, "simulated", s->simulated);
    cJSON_AddNumberToObject(o, "parameters", (double)all.parameters);
    cJSON_AddNumberToObject(o, "macs", (double)all.macs);
    cJSON_AddNumberToObject(o, "bytes", (double)all.bytes);
    cJSON_AddNumberToObject(o, "batch", s->batch);
    cJSON_AddNumberToObject(o, "float_step_bytes", (double)s->train_bytes[0]);
    cJSON_AddNumberToObject(o, "quantized_step_bytes", (double)s->train_bytes[1]);
    cJSON_AddNumberToObject(o, "parameter_bytes", (double)s->leaf_bytes);
    cJSON_AddNumberToObject(o, "engine_bytes", (double)s->engine_bytes);
    if (s->exported.macs > 0) {
        cJSON_AddNumberToObject(o, "flash_bytes", (double)s->exported.flash_bytes);
        cJSON_AddNumberToObject(o, "ram_bytes", (double)s->exported.ram_bytes);
        cJSON_AddNumberToObject(o, "exported_macs", (double)s->exported.macs);
        cJSON_AddBoolToObject(o, "flash_settled", s->exported.settled);
    } else if (*s->not_exported)
        cJSON_AddStringToObject(o, "not_exported", s->not_exported);
    if (s->accuracy >= 0)
        cJSON_AddNumberToObject(o, "accuracy", s->accuracy);
    if (*s->no_data)
        cJSON_AddStringToObject(o, "no_data", s->no_data);
    if (*s->features)
        cJSON_AddStringToObject(o, "features", s->features);
    if (*s->ranges)
        cJSON_AddStringToObject(o, "ranges", s->ranges);
    if (*s->unused)
        cJSON_AddStringToObject(o, "unused_codes", s->unused);
    return cli_json_print_table(c->ctx, o, "layers", t);
}

static nb_status run(cli *c)
{
    summary s = {.accuracy = -1};
    nb_table *t = NULL;
    nb_status st = cli_is_config(c->arg[0]) ? of_config(c, c->arg[0], &s) : of_checkpoint(c, c->arg[0], &s);
    if (st == NB_OK)
        st = nb_table_of_layers(c->ctx, &s.layers, &t);
    if (st == NB_OK)
        st = cli_flag(c, "--json") ? print_json(c, &s, t) : print_text(c, &s, t);
    nb_free(c->ctx, s.layers.rows);
    return st;
}

static const cli_option options[] = {CLI_SET, CLI_REFERENCE, CLI_THREADS, CLI_JSON, {0}};

const cli_command cli_command_info = {
    .name = "info",
    .usage = "FILE|CONFIG",
    .help = "layers, shapes, bits, parameters, MACs, bytes, memory",
    .more =
        "Of a config (.yaml), a training checkpoint or an integer one. Bytes are what is deployed: packed weights with "
        "int32\n"
        "biases, multipliers and shifts, or floats. Output bits are missing where a layer is merged into the next "
        "one.\n"
        "Flash and RAM are those of the exported C, of a config the figures that net.h will state after training.\n"
        "Planned memory depends a little on the number of threads (--threads).\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_MODEL,
    .run = run,
};
