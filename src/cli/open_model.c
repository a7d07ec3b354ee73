/* open_model.c - tells the two kinds of checkpoint apart by their metadata and opens either. */
#include "cli/open_model.h"

#include "base/check.h"
#include "base/safetensors.h"

#include <math.h>
#include <string.h>

static nb_status is_training_checkpoint(cli *c, const char *path, bool *yes)
{
    nb_st_file *f;
    NB_TRY(nb_st_open(c->ctx, path, &f));
    const char *format = nb_st_meta(f, "format");
    const bool ours = format && !strncmp(format, "nibble-", strlen("nibble-"));
    *yes = ours && !strncmp(format, "nibble-checkpoint", strlen("nibble-checkpoint"));
    nb_st_close(c->ctx, f);
    return ours
               ? NB_OK
               : nb_fail(c->ctx, NB_E_FORMAT,
                         "%s: holds tensors, but is no checkpoint of Nibble's; nibble import %s --config CONFIG -o OUT "
                         "makes one of another framework's weights",
                         path, path);
}

/* The config of integers that come from elsewhere: --set says the rest. */
static const char only_data[] = "model: [input]\n";

/* A config that is wrong as it stands in a file is a file that is damaged. */
static nb_status as_damage(cli *c, nb_status st, bool damaged)
{
    char why[1024];
    if (st != NB_E_CONFIG || !damaged)
        return st;
    snprintf(why, sizeof why, "%s", nb_ctx_error(c->ctx));
    return nb_fail(c->ctx, NB_E_FORMAT, "%s", why);
}

static nb_status parse_config(cli *c, const char *path, const char *config, cli_experiment *e)
{
    const nb_status st = cli_experiment_parse(c, path, config, e);
    e->stored = c->n_sets == 0;
    return as_damage(c, st, e->stored);
}

static nb_status open_checkpoint(cli *c, const char *path, int32_t max_batch, cli_model *m)
{
    NB_TRY(nb_checkpoint_open(c->ctx, path, &m->checkpoint));
    m->info = m->checkpoint->info;
    NB_TRY(parse_config(c, path, m->checkpoint->config, &m->experiment));
    m->experiment.features = m->info.features;
    if (c->n_sets > 0) /* else it was checked before it was trained */
        NB_TRY(nb_experiment_check(c->ctx, &m->experiment.exp, &m->info));
    int32_t batch;
    NB_TRY(as_damage(c, nb_model_batch(c->ctx, &m->experiment.exp, &m->info, max_batch, &batch), m->experiment.stored));
    nb_graph_spec spec = {.experiment = &m->experiment.exp,
                          .info = &m->info,
                          .max_batch = batch,
                          .shared = c->shares,
                          .quant = m->checkpoint->quantized,
                          .plan = NB_PLAN_INFER,
                          .reference = cli_flag(c, "--reference")};
    nb_params_source from = {.file = m->checkpoint, .mode = NB_PARAMS_MODEL};
    NB_TRY(as_damage(c, nb_graph_open(c->ctx, &spec, &from, &m->graph), m->experiment.stored));
    if (!m->checkpoint->quantized)
        return NB_OK;
    cli_experiment_note(&m->experiment, m->graph);
    if (*m->experiment.simulated)
        return NB_OK;
    nb_status st = nb_lower(m->graph, m->experiment.text, &m->integers);
    return st == NB_OK || st == NB_E_NOMEM ? st : nb_fail(c->ctx, st, "%s: %s", path, nb_ctx_error(c->ctx));
}

/* Of the config that integers carry only `data` and `seed` are read again: other overrides would change nothing. */
static nb_status check_sets(cli *c, const char *path)
{
    for (int32_t i = 0; i < c->n_sets; i++) {
        const char *set = c->set[i];
        const size_t section = strcspn(set, ".=[");
        const bool read = section == 4 && (!strncmp(set, "data", 4) || !strncmp(set, "seed", 4));
        if (!read && strchr(set, '='))
            return cli_usage(c,
                             "--set %.80s: changes nothing: %s holds integers, which are made; only its data and "
                             "seed can be set",
                             set, path);
    }
    return NB_OK;
}

static nb_status open_integers(cli *c, const char *path, cli_model *m)
{
    NB_TRY(nb_intmodel_load(c->ctx, path, &m->integers));
    const nb_etensor *in = &m->integers->e.tensors[nb_intmodel_input(m->integers)];
    m->info = (nb_dsinfo){.h = in->h, .w = in->w, .c = in->c, .classes = m->integers->classes};
    m->info.class_names = m->integers->class_names;
    m->info.features = m->integers->features;
    m->info.task = m->integers->task;
    NB_TRY(check_sets(c, path));
    const char *config = *m->integers->config ? m->integers->config : c->n_sets ? only_data : NULL;
    if (config)
        NB_TRY(parse_config(c, path, config, &m->experiment));
    m->experiment.features = m->info.features;
    return NB_OK;
}

nb_status cli_model_open(cli *c, const char *path, int32_t max_batch, cli_model *m)
{
    bool training;
    *m = (cli_model){.path = path};
    NB_TRY(is_training_checkpoint(c, path, &training));
    return training ? open_checkpoint(c, path, max_batch, m) : open_integers(c, path, m);
}

void cli_model_close(cli *c, cli_model *m)
{
    nb_intmodel_free(c->ctx, m->integers);
    nb_graph_free(m->graph);
    cli_experiment_close(c, &m->experiment);
    nb_checkpoint_close(c->ctx, m->checkpoint);
    *m = (cli_model){0};
}

nb_status cli_model_need_integers(cli *c, const cli_model *m, const char *what)
{
    if (m->integers)
        return NB_OK;
    if (!*m->experiment.simulated)
        return nb_fail(c->ctx, NB_E_UNSUPPORTED,
                       "%s: is a float network; it has no integers to %s: make them with `nibble quantize`", m->path,
                       what);
    return nb_fail(c->ctx, NB_E_UNSUPPORTED, "%s: is simulated in floats; it has no integers to %s: %s; %s", m->path,
                   what, m->experiment.simulated, nb_graph_about(m->graph).instead);
}

nb_status cli_model_need_data(cli *c, const cli_model *m)
{
    return m->experiment.config
               ? NB_OK
               : nb_fail(c->ctx, NB_E_UNSUPPORTED,
                         "%s: holds no config, so its data set is not known: say it, as in --set 'data={name: npy, "
                         "path: DIR}'",
                         m->path);
}

const char *cli_model_kind(const cli_model *m, char *buf, size_t len)
{
    char bits[CLI_BITS_BYTES] = "";
    if (m->experiment.config)
        cli_bits_text(&m->experiment, true, bits);
    if (m->integers)
        snprintf(buf, len, "integers%s%s", *bits ? " " : "", bits);
    else if (*m->experiment.simulated)
        snprintf(buf, len, "quantized %s", bits);
    else
        snprintf(buf, len, "float");
    return buf;
}

nb_status cli_model_evaluate(cli *c, const cli_model *m, const cli_images *images, nb_eval *out, const nb_answers *each)
{
    nb_status st = m->integers ? (c->together ? nb_intmodel_evaluate_shared : nb_intmodel_evaluate_each)(
                                     c->ctx, m->integers, images->data, images->indices, images->n, out, each)
                               : (c->together ? nb_evaluate_graph_shared : nb_evaluate_graph_each)(
                                     m->graph, images->data, images->indices, images->n, out, each);
    return st == NB_E_SHAPE || st == NB_E_DIVERGED || st == NB_E_RANGE
               ? nb_fail(c->ctx, st, "%s: %s", m->path, nb_ctx_error(c->ctx))
               : st;
}

nb_status cli_model_logits(cli *c, const cli_model *m, const uint8_t *pixels, float *logits)
{
    if (m->integers) {
        nb_status st = nb_intmodel_logits(c->ctx, m->integers, pixels, logits);
        return st == NB_E_RANGE ? nb_fail(c->ctx, st, "%s: %s", m->path, nb_ctx_error(c->ctx)) : st;
    }
    nb_graph_set_batch(m->graph, 1);
    nb_forward(m->graph, &(nb_run){.pixels = pixels});
    memcpy(logits, nb_graph_logits(m->graph), (size_t)m->info.classes * sizeof *logits);
    for (int32_t i = 0; i < m->info.classes; i++)
        if (!isfinite(logits[i]))
            return nb_fail(c->ctx, NB_E_DIVERGED, "%s: the network gives no result: logit %d is %g", m->path, i,
                           (double)logits[i]);
    return NB_OK;
}

nb_status cli_model_error(cli *c, const cli_model *m, const uint8_t *pixels, const float *logits, double *error)
{
    const int32_t label = 0;
    if (m->integers)
        return nb_intmodel_error(c->ctx, m->integers, pixels, logits, error);
    nb_graph_set_batch(m->graph, 1);
    nb_forward(m->graph, &(nb_run){.pixels = pixels, .labels = &label});
    *error = (double)nb_graph_loss(m->graph);
    return NB_OK;
}
