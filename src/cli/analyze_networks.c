/* analyze_networks.c - three ways to say what is analysed come to two things: weights, and whether ranges are theirs.
 *
 *   CONFIG --from CKPT     CKPT's weights, quantized as `nibble quantize` would
 *   a float checkpoint     the same by its own config
 *   a quantized one        as it is; with --from CKPT beside that float network, else beside its own weights unrounded
 *
 * The graph that is opened first is the one that becomes integers. The one that is measured, and the reference, are made
 * from it: quantizers on switches, floats between them. */
#include "cli/analyze_networks.h"

#include "cli/alike.h"

#include "base/check.h"
#include "base/rng.h"

#include <string.h>

enum { QUANTIZE_BATCH = 64 /* as of nibble quantize */, MOST_BATCH = 32, DEFAULT_RANGES = 1024 };
static const int64_t memory_budget = (int64_t)384 << 20; /* bytes of values that a probe keeps */

/* ---- files ---- */

static nb_status open_checkpoint(cli *c, const char *given, char buf[CLI_PATH_BYTES], nb_checkpoint **out)
{
    const char *path;
    NB_TRY(cli_meant_file(c, given, CLI_FLOATS, buf, &path));
    return nb_checkpoint_open(c->ctx, path, out);
}

static nb_status need_quant(const analyze_networks *a)
{
    if (a->e.exp.quant)
        return NB_OK;
    return nb_conf_fail(a->c->ctx, nb_config_root(a->e.config), "quant", NB_E_CONFIG,
                        "required key is missing: it says what to analyse (e.g. {weights: {bits: 8}, activations: "
                        "{bits: 8}})");
}

static nb_status open_files(analyze_networks *a)
{
    cli *c = a->c;
    const char *from = cli_value(c, "--from");
    NB_TRY(cli_meant_file(c, c->arg[0], CLI_FLOATS, a->meant, &a->file));
    if (cli_is_config(a->file)) {
        NB_TRY(cli_experiment_load(c, a->file, &a->e));
        if (!from)
            return cli_usage(c, "--from CKPT is missing: the checkpoint whose weights %s quantizes", a->file);
        NB_TRY(open_checkpoint(c, from, a->meant_from, &a->weights));
        a->anew = true;
        return need_quant(a);
    }
    NB_TRY(nb_checkpoint_open(c->ctx, a->file, &a->weights));
    NB_TRY(cli_experiment_parse(c, a->file, a->weights->config, &a->e));
    a->anew = !a->weights->quantized;
    if (from && a->anew)
        return cli_usage(c, "--from: %s is a float network itself: it is compared with its own quantized form",
                         a->file);
    if (from) {
        NB_TRY(open_checkpoint(c, from, a->meant_from, &a->floats));
        if (a->floats->quantized)
            return cli_usage(c, "--from: %s: is quantized, not the float network to compare with", a->floats->path);
    }
    return need_quant(a);
}

/* ---- graphs ---- */

/* The reference has the values that were rounded: those behind the steps on floats. A step more is no part of it. */
static nb_status before_quant(void *ud, nb_graph *g)
{
    analyze_networks *a = ud;
    if (a->bare)
        return NB_OK;
    if (a->anew)
        NB_TRY(cli_post_steps_run(&a->steps, g));
    if (a->more.list.n)
        return cli_post_steps_run(&a->more, g);
    if (a->anew)
        nb_probe_take_values(a->reference, g);
    return NB_OK;
}

static nb_status only_own_steps(void *ud, nb_graph *g)
{
    return cli_post_steps_run(&((analyze_networks *)ud)->steps, g);
}

static nb_graph_spec spec_of(const analyze_networks *a, int32_t batch, nb_plan_mode plan)
{
    return (nb_graph_spec){.experiment = &a->e.exp,
                           .info = &a->weights->info,
                           .max_batch = batch,
                           .quant = true,
                           .plan = plan,
                           .compute = NB_COMPUTE_F32};
}

/* Weights rounded on new ranges, with the steps before and after. */
static nb_status quantize(analyze_networks *a, nb_graph **out)
{
    int32_t batch;
    NB_TRY(nb_model_batch(a->c->ctx, &a->e.exp, &a->weights->info, QUANTIZE_BATCH, &batch));
    nb_graph_spec spec = spec_of(a, batch, NB_PLAN_INFER);
    const nb_params_source from = {.file = a->weights, .mode = NB_PARAMS_CALIBRATE};
    spec.before_quant = before_quant;
    spec.ud = a;
    nb_graph *g;
    NB_TRY(nb_graph_open(a->c->ctx, &spec, &from, &g));
    nb_status st = (a->c->together ? nb_calibrate_shared : nb_calibrate)(g, a->e.train,
                                                                         cli_post_steps_images(&a->steps), a->n_ranges);
    if (st == NB_OK && a->anew && !a->bare)
        st = cli_post_steps_run(&a->steps, g);
    if (st == NB_OK && a->more.list.n)
        st = cli_post_steps_run(&a->more, g);
    if (st == NB_OK)
        *out = g;
    else
        nb_graph_free(g);
    return st;
}

static nb_status open_quantized(analyze_networks *a, nb_graph **out)
{
    if (a->anew)
        return quantize(a, out);
    const nb_graph_spec spec = spec_of(a, QUANTIZE_BATCH, NB_PLAN_INFER);
    const nb_params_source from = {.file = a->weights, .mode = NB_PARAMS_MODEL};
    return nb_graph_open(a->c->ctx, &spec, &from, out);
}

static nb_status open_twin(const analyze_networks *a, const nb_graph *g, nb_graph **out)
{
    const int64_t fit = memory_budget / (nb_probe_bytes_per_image(g) + 1);
    nb_graph_spec spec = spec_of(a, fit < 1 ? 1 : fit > MOST_BATCH ? MOST_BATCH : (int32_t)fit, NB_PLAN_INFER);
    const nb_params_source from = {.graph = g, .mode = NB_PARAMS_MODEL};
    spec.simulate = spec.reference = true;
    return nb_graph_open(a->c->ctx, &spec, &from, out);
}

/* The float network that was quantized; NULL: nobody says which. */
static nb_status open_reference(analyze_networks *a, nb_status (*steps)(void *ud, nb_graph *g))
{
    const nb_checkpoint *file = a->anew ? a->weights : a->floats;
    if (!file)
        return NB_OK;
    nb_graph_spec spec = spec_of(a, 1, NB_PLAN_INFER);
    const nb_params_source from = {.file = file, .mode = NB_PARAMS_CALIBRATE};
    spec.simulate = spec.reference = true;
    spec.before_quant = steps;
    spec.ud = a;
    nb_graph_free(a->reference);
    a->reference = NULL;
    return nb_graph_open(a->c->ctx, &spec, &from, &a->reference);
}

nb_status analyze_open_floats(const analyze_networks *a, int32_t batch, nb_graph **out)
{
    nb_graph_spec spec = spec_of(a, batch, NB_PLAN_TRAIN);
    const nb_params_source from = {
        .graph = a->reference ? a->reference : a->twin, .mode = NB_PARAMS_CALIBRATE, .folded = true};
    spec.unrounded = true;
    return nb_graph_open(a->c->ctx, &spec, &from, out);
}

static nb_status bind_data_free(const analyze_networks *a, bool *yes)
{
    const nb_conf *asked = nb_conf_get(a->e.exp.quant, "data_free");
    const nb_key *k = nb_quant_section_keys;
    while (strcmp(k->name, "data_free") != 0)
        k++;
    return asked ? nb_conf_value(a->c->ctx, asked, "quant", k, yes) : NB_OK;
}

bool analyze_was_trained(const analyze_networks *a)
{
    return !a->anew && *a->weights->metrics;
}

/* As `nibble quantize` does: the config's list, which may look at images where no range does, or the recommended steps on as
 * many as ranges are found on, but for learned rounding: other bits and ranges are asked of weights that have not been rounded
 * yet, and what it gains is a row of its own. What was trained has had its list alone. */
static nb_status open_steps(analyze_networks *a)
{
    cli *c = a->c;
    bool data_free = false;
    NB_TRY(bind_data_free(a, &data_free));
    a->steps.unrounded = true;
    NB_TRY(cli_post_steps_open(c, &a->e, data_free ? 0 : a->n_ranges, &a->steps));
    a->steps.quiet = true;
    if (data_free && a->anew)
        NB_TRY(nb_post_check_blind(&a->steps.list));
    data_free = data_free || (a->reference && !cli_value(c, "--calibrate") && nb_quant_data_free(a->reference));
    a->n_ranges = data_free ? 0 : a->n_ranges;
    const bool listed = nb_conf_get(a->e.exp.quant, "steps") && !a->steps.list.tried;
    return listed || analyze_was_trained(a) || a->only_listed_steps ? NB_OK
                                                                    : cli_post_steps_recommend(&a->steps, data_free);
}

static nb_status open_networks(analyze_networks *a)
{
    nb_graph *g;
    NB_TRY(open_reference(a, NULL));
    NB_TRY(open_steps(a));
    if (!a->anew)
        NB_TRY(open_reference(a, only_own_steps));
    NB_TRY(open_quantized(a, &g));
    nb_quant_ranges_text(g, a->ranges, sizeof a->ranges);
    cli_experiment_note(&a->e, g);
    nb_status st = *a->e.simulated ? NB_OK : nb_lower(g, a->e.text, &a->integers);
    if (st == NB_OK)
        st = open_twin(a, g, &a->twin);
    nb_graph_free(g);
    if (st == NB_OK)
        st = nb_probe_open(a->twin, a->reference, &a->probe);
    if (st == NB_OK && a->c->together)
        nb_probe_share(a->probe);
    return st;
}

static nb_status named(const analyze_networks *a, nb_status st)
{
    const bool bare = st == NB_E_DIVERGED || st == NB_E_RANGE || st == NB_E_UNSUPPORTED;
    return bare ? nb_fail(a->c->ctx, st, "%s: %s", a->weights->path, nb_ctx_error(a->c->ctx)) : st;
}

nb_status analyze_open(analyze_networks *a)
{
    cli *c = a->c;
    NB_TRY(open_files(a));
    a->e.features = a->weights->info.features;
    NB_TRY(cli_experiment_open_train(c, &a->e));
    NB_TRY(cli_experiment_open_test(c, &a->e));
    NB_TRY(nb_experiment_check(c->ctx, &a->e.exp, nb_data_info(a->e.train)));
    NB_TRY(cli_ranks_alike(c, &(cli_alike){.file = a->weights->path,
                                           .config = nb_mix(nb_hash_text(a->e.text), a->floats != NULL),
                                           .data = {a->e.train, a->e.test}}));
    NB_TRY(cli_count(c, "--calibrate", DEFAULT_RANGES, INT32_MAX, &a->n_ranges));
    a->n_ranges = a->n_ranges < a->e.n_train ? a->n_ranges : a->e.n_train;
    return named(a, open_networks(a));
}

void analyze_close(analyze_networks *a)
{
    cli *c = a->c;
    nb_probe_close(a->probe);
    nb_graph_free(a->twin);
    nb_graph_free(a->reference);
    nb_intmodel_free(c->ctx, a->integers);
    if (a->steps.ctx)
        cli_post_steps_close(&a->steps);
    nb_checkpoint_close(c->ctx, a->weights);
    nb_checkpoint_close(c->ctx, a->floats);
    cli_experiment_close(c, &a->e);
}

/* ---- one step more ---- */

static bool has_step(const analyze_networks *a, const char *name)
{
    for (int32_t i = 0; i < a->steps.list.n; i++)
        if (strcmp(nb_post_step_name(a->steps.list.entry[i].step), name) == 0)
            return true;
    return false;
}

/* What has been done is not done again, but for what training may have undone; and codes are chosen of weights that have none. */
static bool is_worth_trying(const analyze_networks *a, const char *name)
{
    const nb_post_step *s = nb_registry_find(nb_post_steps, name);
    if (!s || nb_post_step_needless(s, a->twin) || (nb_post_step_rounds(s) && !a->anew))
        return false;
    return analyze_was_trained(a) || !has_step(a, name);
}

/* a->more is that step alone; config: what it was bound from. */
static nb_status bind_step(analyze_networks *a, const char *name, nb_config **config)
{
    cli *c = a->c;
    char text[128];
    snprintf(text, sizeof text, "quant: {steps: [%s]}\n", name);
    NB_TRY(nb_config_parse(c->ctx, "analyze", text, strlen(text), NULL, 0, config));
    /* a step may look at images where ranges need none */
    const int32_t n = a->n_ranges ? a->n_ranges : DEFAULT_RANGES;
    NB_TRY(cli_post_steps_open(c, &a->e, n < a->e.n_train ? n : a->e.n_train, &a->more));
    a->more.quiet = true;
    nb_post_free(&a->more.list);
    return nb_post_bind(c->ctx, nb_conf_get(nb_config_root(*config), "quant"), nb_post_steps, &a->more.list);
}

static nb_status measure_step(analyze_networks *a, const nb_images *images, nb_probe_score *score)
{
    nb_graph *g = NULL, *twin = NULL;
    nb_probe *probe = NULL;
    nb_status st = quantize(a, &g);
    if (st == NB_OK)
        st = open_twin(a, g, &twin);
    nb_graph_free(g);
    if (st == NB_OK)
        st = nb_probe_open(twin, a->reference ? a->reference : a->twin, &probe);
    if (st == NB_OK)
        st = nb_trials_run(probe, &(nb_trials){.images = *images, .quantized = score});
    nb_probe_close(probe);
    nb_graph_free(twin);
    return st;
}

static nb_status without_steps(analyze_networks *a, const nb_images *images, nb_probe_score *score, bool *done)
{
    *done = a->anew && a->steps.list.n > 0;
    if (!*done)
        return NB_OK;
    a->bare = true;
    const nb_status st = measure_step(a, images, score);
    a->bare = false;
    return named(a, st);
}

nb_status analyze_with_step(analyze_networks *a, const char *step, const nb_images *images, nb_probe_score *score,
                            bool *done)
{
    nb_config *config = NULL;
    if (!step)
        return without_steps(a, images, score, done);
    *done = false;
    if (!is_worth_trying(a, step))
        return NB_OK;
    nb_status st = bind_step(a, step, &config);
    if (st == NB_OK && nb_post_check(&a->more.list, a->twin) == NB_OK) {
        st = measure_step(a, images, score);
        *done = st == NB_OK;
    }
    if (a->more.ctx)
        cli_post_steps_close(&a->more);
    nb_config_free(a->c->ctx, config);
    return named(a, st);
}

nb_status analyze_try_step(analyze_networks *a, int32_t i, const nb_images *images, nb_probe_score *score,
                           char name[ANALYZE_NAME], bool *done)
{
    static const char *const steps[ANALYZE_STEPS] = {NULL,           "equalize",      "absorb",
                                                     "bias_correct", "reestimate_bn", "adaround"};
    snprintf(name, ANALYZE_NAME, "%s %s%s", a->anew ? "quantized" : "ranges anew", steps[i] ? "with " : "without steps",
             steps[i] ? steps[i] : "");
    return analyze_with_step(a, steps[i], images, score, done);
}
