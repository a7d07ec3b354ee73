/* cmd_eval.c - accuracy of a checkpoint on images; quantized networks are run by the integer engine. */
#include "cli/compare.h"
#include "cli/open_model.h"
#include "cli/output.h"
#include "cli/overwrite.h"
#include "cli/progress.h"

#include "base/check.h"
#include "base/measure.h"
#include "base/safetensors.h"

enum { BATCH = 64 };

/* The logits of every image in order and the labels, for comparison with other programs. */
static nb_status save_logits(cli *c, const cli_model *m, const cli_images *im, const char *path)
{
    const nb_dsinfo *d = nb_data_info(im->data);
    const int64_t classes = m->info.classes, n = im->n, shape[2] = {n, classes};
    float *logits = nb_alloc(c->ctx, (size_t)(n * classes) * sizeof *logits);
    int32_t *labels = nb_alloc(c->ctx, (size_t)n * sizeof *labels);
    uint8_t *pixels = nb_alloc(c->ctx, (size_t)d->h * (size_t)d->w * (size_t)d->c);
    nb_st_writer *w = NULL;
    nb_status st = logits && labels && pixels ? nb_st_writer_create(c->ctx, &w) : NB_E_NOMEM;
    for (int32_t i = 0; st == NB_OK && i < n; i++) {
        nb_data_get(im->data, im->indices ? im->indices[i] : i, pixels, &labels[i]);
        st = cli_model_logits(c, m, pixels, logits + i * classes);
    }
    if (st == NB_OK)
        st = nb_st_add(w, "logits", NB_ST_F32, 2, shape, logits);
    if (st == NB_OK)
        st = nb_st_add(w, "labels", NB_ST_I32, 1, shape, labels);
    if (st == NB_OK)
        st = nb_st_save(w, path);
    nb_st_writer_free(w);
    nb_free(c->ctx, pixels);
    nb_free(c->ctx, labels);
    nb_free(c->ctx, logits);
    return st;
}

static nb_status print_json(cli *c, const cli_model *m, const cli_images *im, const nb_eval *e, double seconds)
{
    char kind[CLI_BITS_BYTES + 16];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "file", m->path);
    cJSON_AddStringToObject(o, "kind", cli_model_kind(m, kind, sizeof kind));
    cli_json_simulated(o, e);
    cJSON_AddStringToObject(o, "split", im->name);
    cJSON_AddNumberToObject(o, "images", e->n);
    cJSON_AddNumberToObject(o, "correct", e->correct);
    cJSON_AddNumberToObject(o, "accuracy", e->accuracy);
    cJSON_AddNumberToObject(o, "loss", e->loss);
    cJSON_AddNumberToObject(o, "seconds", seconds);
    return cli_json_print(c->ctx, o);
}

static nb_status evaluate(cli *c, cli_model *m)
{
    cli_images images;
    nb_eval e;
    char kind[CLI_BITS_BYTES + 16];
    NB_TRY(cli_model_open(c, c->arg[0], BATCH, m));
    if (!m->experiment.config)
        return nb_fail(c->ctx, NB_E_UNSUPPORTED, "%s: holds no config, so its data set is not known", m->path);
    bool reference = cli_flag(c, "--reference");
    if (reference && !m->graph)
        return cli_usage(c, "--reference: %s holds integers alone; it takes a training checkpoint", m->path);
    NB_TRY(cli_experiment_split(c, &m->experiment, cli_value(c, "--split"), &images));
    if (cli_value(c, "--logits"))
        NB_TRY(cli_output_check(c, "--logits", cli_value(c, "--logits")));
    double start = nb_now();
    if (reference)
        NB_TRY(nb_evaluate_graph(m->graph, images.data, images.indices, images.n, &e));
    else
        NB_TRY(cli_model_evaluate(c, m, &images, &e));
    double seconds = nb_now() - start;
    if (cli_value(c, "--logits"))
        NB_TRY(save_logits(c, m, &images, cli_value(c, "--logits")));
    cli_compare_warn_dead(m->path, &e);
    if (cli_flag(c, "--json"))
        return print_json(c, m, &images, &e, seconds);
    printf("%s: %s on %d %s images: accuracy %.2f %%, loss %.4f (%.0f images/s)\n", m->path,
           cli_model_kind(m, kind, sizeof kind), e.n, images.name, 100 * e.accuracy, e.loss,
           (double)e.n / (seconds > 1e-9 ? seconds : 1e-9));
    cli_say_simulated(&e, m->experiment.simulated);
    return NB_OK;
}

static nb_status run(cli *c)
{
    cli_model m = {0};
    nb_status st = evaluate(c, &m);
    cli_model_close(c, &m);
    return st;
}

static const cli_option options[] = {
    {"--split", "NAME", "test (default), validation or train"},
    {"--reference", NULL, "by the network that was trained, node by node: what the engine is checked against"},
    {"--logits", "FILE", "also write every image's logits, and the labels, as safetensors"},
    CLI_SET,
    CLI_THREADS,
    CLI_JSON,
    {0}};

const cli_command cli_command_eval = {
    .name = "eval",
    .usage = "FILE",
    .help = "accuracy and loss of a checkpoint on its test images",
    .more =
        "FILE is a training checkpoint (last.safetensors, best.safetensors) or an integer one "
        "(model.int.safetensors).\n"
        "A quantized network is lowered and run by the integer engine: the accuracy is the one that ships. One that\n"
        "cannot be integers is simulated in floats, and the line says so.\n"
        "The data set is the one in the file's config; --set data.path=DIR says where it lies on this machine.\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_MODEL,
    .run = run,
};
