/* cmd_quantize.c - post-training quantization: a checkpoint and a `quant` section in, integers out, nothing trained.
 *
 * The weights are taken as they are (averaged ones where there are any) but for what the steps of quant.steps do to
 * them; ranges come from a sample of the training images. Everything is done before the run folder is touched. Who looks at no
 * image (data_free) needs no data set: the checkpoint says what its samples are; then nothing is measured. */
#include "cli/alike.h"
#include "cli/compare.h"
#include "cli/kept_parts.h"
#include "cli/meant_file.h"
#include "cli/open_experiment.h"
#include "cli/output.h"
#include "cli/overwrite.h"
#include "cli/post_steps.h"
#include "cli/run_folder.h"

#include "base/check.h"
#include "base/files.h"
#include "base/numtext.h"
#include "base/ranks.h"
#include "base/rng.h"
#include "base/textbuf.h"
#include "train/checkpoint.h"
#include "train/init_file.h"

#include <ctype.h>
#include <string.h>

enum { MOST_BATCH = 64, DEFAULT_IMAGES = 1024 };

typedef struct {
    cli *c;
    cli_experiment e;
    nb_checkpoint *from;
    nb_graph *graph;
    nb_intmodel *integers;
    cli_post_steps steps;
    cli_kept_parts kept;
    bool data_free; /* quant.data_free */
    int32_t n_sample, batch;
    char ranges[256], unused[320]; /* nb_quant_ranges_text, nb_quant_unused_text */
    nb_eval before, after;         /* n == 0: unknown */
    char unmeasured[1024];         /* why there are no test images; "": there are */
    char last[CLI_PATH_BYTES], model[CLI_PATH_BYTES], meant[CLI_PATH_BYTES];
    nb_lock lock; /* of the run folder, while it is written */
} session;

/* ---- data ---- */

static nb_status bind_data_free(session *s)
{
    cli *c = s->c;
    const nb_conf *asked = nb_conf_get(s->e.exp.quant, "data_free");
    const nb_key *k = nb_quant_section_keys;
    while (strcmp(k->name, "data_free") != 0)
        k++;
    if (asked)
        NB_TRY(nb_conf_value(c->ctx, asked, "quant", k, &s->data_free));
    if (!s->data_free || !cli_value(c, "--images"))
        return NB_OK;
    if (cli_flag(c, "--data-free"))
        return cli_usage(c, "--images and --data-free exclude each other: leave one of them out");
    return nb_conf_fail(c->ctx, asked, "quant.data_free", NB_E_CONFIG,
                        "no image is looked at, so --images says nothing: leave it out, or take the images with "
                        "--set quant.data_free=no");
}

/* What is read but not to be had is no obstacle to who looks at no image. */
static nb_status open_data(session *s)
{
    static nb_status (*const open[])(cli *, cli_experiment *) = {cli_experiment_open_train, cli_experiment_open_test};
    for (int32_t i = 0; i < 2; i++) {
        const nb_status st = open[i](s->c, &s->e);
        if (st != NB_OK && (st != NB_E_IO || !s->data_free))
            return st;
        if (st != NB_OK && i == 1)
            snprintf(s->unmeasured, sizeof s->unmeasured, "%s", nb_ctx_error(s->c->ctx));
    }
    return NB_OK;
}

static const nb_dsinfo *info_of(const session *s)
{
    return s->e.train ? nb_data_info(s->e.train) : &s->from->info;
}

/* ---- networks ---- */

static nb_status calibrate(session *s)
{
    nb_ctx *ctx = s->c->ctx;
    if (!cli_value(s->c, "--images") && nb_quant_data_free(s->graph))
        s->n_sample = 0;
    nb_status st = nb_calibrate_shared(s->graph, s->e.train, cli_post_steps_images(&s->steps), s->n_sample);
    return st == NB_E_DIVERGED || st == NB_E_CONFIG ? nb_fail(ctx, st, "%s: %s", s->from->path, nb_ctx_error(ctx)) : st;
}

/* Whoever needed the checkpoint's tensors has them. */
static nb_status before_quant(void *ud, nb_graph *g)
{
    session *s = ud;
    nb_checkpoint_drop_tensors(s->c->ctx, s->from);
    return cli_post_steps_run(&s->steps, g);
}

static nb_status open_graph(session *s, bool quant, nb_graph **out)
{
    nb_graph_spec spec = {.experiment = &s->e.exp,
                          .info = info_of(s),
                          .max_batch = s->batch,
                          .quant = quant,
                          .plan = NB_PLAN_INFER,
                          .compute = NB_COMPUTE_F32,
                          .before_quant = before_quant,
                          .ud = s};
    nb_params_source from = {.file = s->from, .mode = quant ? NB_PARAMS_CALIBRATE : NB_PARAMS_MODEL};
    return nb_graph_open(s->c->ctx, &spec, &from, out);
}

/* The float network that these weights are. A quantized checkpoint whose batch norms were folded has none. */
static nb_status evaluate_before(session *s, const cli_images *test)
{
    const nb_conf *fold = nb_conf_get(s->e.exp.quant, "batchnorm");
    nb_graph *g;
    if (s->from->quantized && fold && nb_conf_text(fold) && !strcmp(nb_conf_text(fold), "fold"))
        return NB_OK;
    NB_TRY(open_graph(s, false, &g));
    nb_status st = nb_evaluate_graph_shared(g, test->data, test->indices, test->n, &s->before, &(nb_answers){0});
    nb_graph_free(g);
    return st == NB_E_DIVERGED ? nb_fail(s->c->ctx, st, "%s: %s", s->from->path, nb_ctx_error(s->c->ctx)) : st;
}

/* Of the network that is shipped. */
static nb_status evaluate_after(session *s, const cli_images *test)
{
    const nb_answers none = {0};
    if (!s->integers)
        return nb_evaluate_graph_shared(s->graph, test->data, test->indices, test->n, &s->after, &none);
    NB_TRY(cli_compare_few(s->c, s->from->path, s->graph, s->integers, test->data));
    NB_TRY(nb_intmodel_evaluate_shared(s->c->ctx, s->integers, test->data, test->indices, test->n, &s->after, &none));
    s->integers->accuracy = s->after.accuracy;
    return NB_OK;
}

static nb_status quantize(session *s)
{
    const bool measure = s->e.test != NULL;
    cli_images test;
    if (measure) {
        NB_TRY(cli_experiment_split(s->c, &s->e, "test", &test));
        NB_TRY(evaluate_before(s, &test));
    }
    NB_TRY(open_graph(s, true, &s->graph));
    NB_TRY(calibrate(s));
    NB_TRY(cli_post_steps_run(&s->steps, s->graph));
    NB_TRY(cli_post_steps_print(&s->steps));
    nb_quant_ranges_text(s->graph, s->ranges, sizeof s->ranges);
    cli_experiment_note(&s->e, s->graph);
    if (!*s->e.simulated) {
        NB_TRY(nb_quant_unused_text(s->graph, s->unused, sizeof s->unused));
        NB_TRY(nb_lower(s->graph, s->e.text, &s->integers));
    }
    return measure ? evaluate_after(s, &test) : NB_OK;
}

/* ---- results ---- */

static nb_status save(session *s)
{
    nb_ctx *ctx = s->c->ctx;
    const double accuracy = s->after.n ? s->after.accuracy : -1;
    nb_checkpoint_spec spec = {.graph = s->graph,
                               .config = s->e.text,
                               .metrics = "",
                               .phase_name = "calibration",
                               .at = {.best_accuracy = accuracy},
                               .accuracy = accuracy,
                               .float_accuracy = s->before.n ? s->before.accuracy : 0};
    nb_c_locale locale;     /* numbers in checkpoints have a point */
    nb_together_begin(ctx); /* config, checkpoint and integers are of one network, or none of them is there */
    nb_status st = nb_c_locale_enter(&locale) ? cli_run_folder_begin(s->c, s->e.out, "", s->e.text, &s->lock)
                                              : nb_fail(ctx, NB_E_NOMEM, "out of memory");
    if (st == NB_OK)
        st = nb_checkpoint_save(ctx, s->last, &spec);
    if (st == NB_OK && s->integers)
        st = nb_intmodel_save(ctx, s->integers, s->model);
    nb_c_locale_leave(&locale);
    return nb_together_end(ctx, st);
}

static nb_status print_json(session *s, const char *bits)
{
    cJSON *o = s->steps.json;
    s->steps.json = NULL;
    cJSON_AddStringToObject(o, "from", s->from->path);
    cJSON_AddStringToObject(o, "bits", bits);
    cJSON_AddNumberToObject(o, "calibration_images", s->n_sample);
    cJSON_AddNumberToObject(o, "batch", s->batch);
    cJSON_AddStringToObject(o, "ranges", s->ranges);
    if (*s->unused)
        cJSON_AddStringToObject(o, "unused_codes", s->unused);
    cJSON_AddNumberToObject(o, "images", s->after.n);
    if (s->before.n) {
        cJSON_AddNumberToObject(o, "float_accuracy", s->before.accuracy);
        cJSON_AddNumberToObject(o, "float_loss", s->before.loss);
    }
    if (s->after.n) {
        cJSON_AddStringToObject(o, "metric", s->after.metric); /* what these accuracies are */
        cJSON_AddNumberToObject(o, "accuracy", s->after.accuracy);
        cJSON_AddNumberToObject(o, "loss", s->after.loss);
    } else {
        cJSON_AddStringToObject(o, "unmeasured", s->unmeasured);
    }
    cJSON_AddStringToObject(o, "checkpoint", s->last);
    cli_json_simulated(o, &s->after);
    if (s->integers)
        cJSON_AddStringToObject(o, "integers", s->model);
    return cli_json_print(s->c->ctx, o);
}

static void add_row(nb_table *t, const char *network, const char *bits, const nb_eval *e)
{
    nb_table_row(t);
    nb_table_add_text(t, network);
    nb_table_add_text(t, bits);
    nb_table_add_real(t, 100 * e->accuracy, 2);
    nb_table_add_real(t, e->loss, 4);
}

static nb_status print_measured(session *s, const char *bits)
{
    nb_table *t;
    NB_TRY(nb_table_create(s->c->ctx, &t));
    nb_table_column(t, "network", "network", NB_LEFT);
    nb_table_column(t, "bits", "bits", NB_LEFT);
    nb_table_column(t, "accuracy_percent", cli_metric_percent(&s->after), NB_RIGHT);
    nb_table_column(t, "loss", "loss", NB_RIGHT);
    if (s->before.n)
        add_row(t, "before", "float", &s->before);
    add_row(t, s->integers ? "integers" : "quantized", bits, &s->after);
    NB_TRY(cli_table_print(s->c->ctx, t));
    printf("\non %d test image%s, %s", s->after.n, nb_plural(s->after.n),
           s->integers ? "the integers by the integer engine" : "the quantized network simulated in floats");
    return NB_OK;
}

static nb_status print(session *s)
{
    char bits[CLI_BITS_BYTES];
    cli_bits_text(&s->e, true, bits);
    cli_compare_warn_dead(s->integers ? s->model : s->last, &s->after);
    if (cli_flag(s->c, "--json"))
        return print_json(s, bits);
    if (s->after.n)
        NB_TRY(print_measured(s, bits));
    else
        printf("\n%s%s", s->integers ? "integers " : "quantized ", bits);
    char from[96] = "no images, from the weights alone";
    if (s->n_sample)
        snprintf(from, sizeof from, "%d training image%s%s%.0d%s", s->n_sample, nb_plural(s->n_sample),
                 s->batch < MOST_BATCH ? ", in batches of " : "", s->batch < MOST_BATCH ? s->batch : 0,
                 s->batch < MOST_BATCH ? ", as they are large" : "");
    printf("; ranges from %s\nranges: %s\n", from, s->ranges);
    if (!s->after.n)
        printf("accuracy was not measured, there are no test images: %s\n", s->unmeasured);
    if (*s->unused)
        printf("%s\n", s->unused);
    printf("checkpoint    %s\n", s->last);
    if (s->integers)
        printf("integers      %s\n", s->model);
    if (s->after.n)
        cli_say_simulated(&s->after, s->e.simulated);
    return NB_OK;
}

/* ---- all of it ---- */

/* What options say of the config are more overrides, the last: the config that is kept says it, too. */
static void add_quoted(nb_text *t, const char *value)
{
    nb_text_add(t, "out=\"");
    for (const char *p = value; *p; p++)
        nb_text_printf(t, *p == '"' || *p == '\\' ? "\\%c" : iscntrl((unsigned char)*p) ? "\\x%02X" : "%c", *p);
    nb_text_add(t, "\"");
}

typedef struct {
    nb_text out, option, steps; /* what -o and --steps set, and the latter as it was given */
} said_texts;

/* Do the command's own changes say anything of activations? */
static bool sets_activations(const cli *c)
{
    static const char key[] = "quant.activations";
    bool any = false;
    for (int32_t i = 0; i < c->n_sets; i++)
        any = any || strncmp(c->set[i], key, sizeof key - 1) == 0;
    return any;
}

/* Of a list on the command line they may be left out. */
static bool has_brackets(const char *steps)
{
    return !*steps || steps[strspn(steps, " ")] == '[' || !strcmp(steps, "none") || !strcmp(steps, "recommended");
}

static nb_status load_with(session *s, said_texts *t)
{
    cli *c = s->c;
    const char *out = cli_value(c, "--output"), *steps = cli_value(c, "--steps");
    cli_said said[4];
    int32_t n = 0;
    if (out) {
        add_quoted(&t->out, out);
        said[n++] = (cli_said){"--output", t->out.s};
    }
    if (steps) {
        nb_text_printf(&t->option, "--steps %s", *steps ? steps : "''");
        nb_text_printf(&t->steps, has_brackets(steps) ? "quant.steps=%s" : "quant.steps=[%s]", steps);
        said[n++] = (cli_said){t->option.s, t->steps.s};
    }
    if (cli_flag(c, "--data-free")) {
        said[n++] = (cli_said){"--data-free", "quant.data_free=yes"};
        if (!sets_activations(c)) /* the range of the config is for those who have images */
            said[n++] = (cli_said){"--data-free", "quant.activations.range=bn"};
    }
    NB_TRY(t->out.st);
    NB_TRY(t->option.st);
    NB_TRY(t->steps.st);
    return cli_experiment_load_said(c, c->arg[0], said, n, &s->e);
}

static nb_status load_experiment(session *s)
{
    cli *c = s->c;
    const char *out = cli_value(c, "--output");
    said_texts t;
    if (out && !*out)
        return cli_usage(c, "--output: must name a folder");
    nb_text_init(c->ctx, &t.out);
    nb_text_init(c->ctx, &t.option);
    nb_text_init(c->ctx, &t.steps);
    nb_status st = load_with(s, &t);
    nb_text_free(&t.steps);
    nb_text_free(&t.option);
    nb_text_free(&t.out);
    NB_TRY(st);
    if (s->e.exp.quant)
        return NB_OK;
    return nb_conf_fail(c->ctx, nb_config_root(s->e.config), "quant", NB_E_CONFIG,
                        "required key is missing (e.g. {weights: {bits: 8}, activations: {bits: 8}})");
}

/* Can every range of the config's network be found without images? */
static nb_status ranges_need_none(const session *s, bool *none)
{
    nb_graph *g;
    NB_TRY(nb_model_build(s->c->ctx, &s->e.exp, info_of(s), 1, &g));
    nb_status st = nb_model_quantize(g, s->e.exp.quant);
    if (st == NB_OK)
        *none = nb_quant_data_free(g);
    nb_graph_free(g);
    return st;
}

/* Images are for who asks for them: without a list of steps, a network whose ranges need none does without. */
static nb_status open_steps(session *s)
{
    cli *c = s->c;
    bool data_free = s->data_free;
    if (cli_flag(c, "--json"))
        s->steps.json = cJSON_CreateObject();
    s->steps.measure = true;
    NB_TRY(cli_post_steps_open(c, &s->e, s->n_sample, &s->steps));
    if (data_free)
        NB_TRY(nb_post_check_blind(&s->steps.list));
    if (nb_conf_get(s->e.exp.quant, "steps") && !s->steps.list.tried)
        return NB_OK;
    if (!data_free && !cli_value(c, "--images"))
        NB_TRY(ranges_need_none(s, &data_free));
    return cli_post_steps_recommend(&s->steps, data_free);
}

/* An imported config knows its weights: does it get them? Of other files it says nothing. */
static nb_status check_from(session *s)
{
    const char *init = s->e.exp.init;
    char path[CLI_PATH_BYTES];
    int len = snprintf(path, sizeof path, "%.*s", (int)nb_init_path_bytes(init), init);
    const bool own = len > 0 && (size_t)len < sizeof path && cli_same_file(path, s->from->path);
    return own ? nb_init_check(s->c->ctx, &s->e.exp, s->from) : NB_OK;
}

static nb_status open_kept(session *s)
{
    if (!s->steps.list.n)
        return NB_OK;
    NB_TRY(cli_kept_parts_open(s->c, &s->steps, &s->kept));
    s->steps.store = &s->kept.store;
    if (s->kept.found)
        nb_log(s->c->ctx, "%s: goes on from what an interrupted run has left (%d parts of steps)", s->kept.path,
               s->kept.found);
    return NB_OK;
}

/* What was kept counts, too: who goes on from more of it does other things. */
static nb_status check_ranks(session *s)
{
    const uint64_t config = nb_mix(nb_hash_text(s->e.text), (uint64_t)s->kept.found);
    return cli_ranks_alike(s->c,
                           &(cli_alike){.file = s->from->path, .config = config, .data = {s->e.train, s->e.test}});
}

static nb_status run_session(session *s)
{
    cli *c = s->c;
    const char *from = cli_value(c, "--from");
    if (!from)
        return cli_usage(c, "--from CKPT is missing: the checkpoint to quantize");
    NB_TRY(load_experiment(s));
    NB_TRY(cli_file_in(c, s->e.out, "last.safetensors", s->last));
    NB_TRY(cli_file_in(c, s->e.out, "model.int.safetensors", s->model));
    if (nb_rank() == 0)
        NB_TRY(cli_run_folder_check(c, s->e.out, ""));
    NB_TRY(cli_meant_file(c, from, CLI_FLOATS, s->meant, &from));
    NB_TRY(nb_checkpoint_open(c->ctx, from, &s->from));
    NB_TRY(check_from(s));
    s->e.features = s->from->info.features;
    NB_TRY(bind_data_free(s));
    NB_TRY(open_data(s));
    NB_TRY(nb_experiment_check(c->ctx, &s->e.exp, info_of(s)));
    NB_TRY(nb_model_batch(c->ctx, &s->e.exp, info_of(s), MOST_BATCH, &s->batch));
    if (!s->data_free)
        NB_TRY(cli_images_count(c, DEFAULT_IMAGES, s->e.n_train, "training", &s->n_sample));
    if (nb_rank() == 0)
        NB_TRY(cli_run_outputs_check(c, s->e.out, s->e.text));
    if (s->from->quantized && *s->from->metrics) /* calibration alone leaves weights and metrics as they were */
        nb_log(c->ctx,
               "%s: was trained with rounding, and its weights are not those of a float network: the end of the "
               "run's float phase, phase-1-float.safetensors or the like, may be meant",
               from);
    NB_TRY(open_steps(s));
    NB_TRY(open_kept(s));
    NB_TRY(check_ranks(s));
    NB_TRY(quantize(s));
    if (nb_rank() > 0)
        return NB_OK;
    NB_TRY(save(s));
    return print(s);
}

static nb_status run(cli *c)
{
    session *s = nb_alloc(c->ctx, sizeof *s);
    if (!s)
        return NB_E_NOMEM;
    s->c = c;
    nb_status st = run_session(s);
    nb_lock_release(&s->lock);
    cli_kept_parts_close(&s->kept);
    nb_intmodel_free(c->ctx, s->integers);
    nb_graph_free(s->graph);
    nb_checkpoint_close(c->ctx, s->from);
    cli_post_steps_close(&s->steps);
    cli_experiment_close(c, &s->e);
    nb_free(c->ctx, s);
    return st;
}

static const cli_option options[] = {
    {"--from", "CKPT", "the checkpoint to quantize: float, or a quantized one whose ranges are set anew"},
    {"--images", "N",
     "find ranges on N training images (default 1024, or all there are; none where no range needs them)"},
    {"--steps", "LIST",
     "what is done to the network, in place of quant.steps: none, recommended, or as there, \"equalize, "
     "bias_correct\""},
    {"--data-free", NULL, "look at no image at all (quant.data_free: yes); the data set need not be there"},
    {"--output,-o", "DIR", "the run folder (default: the config's key `out`)"},
    {"--force", NULL, "an earlier run in the folder is moved aside"},
    CLI_SET,
    CLI_THREADS,
    CLI_JSON,
    {0},
};

const cli_command cli_command_quantize = {
    .name = "quantize",
    .usage = "CONFIG --from CKPT",
    .help = "post-training quantization: integers from a checkpoint, without training",
    .more =
        "Ranges are found by the methods of the config's `quant` section on a sample of the training images, not "
        "augmented;\n"
        "weights and batch-norm statistics stay, but for what steps do to them: those of quant.steps, or without that "
        "key\n"
        "the recommended ones (equalize, absorb, reestimate_bn, adaround for weights of 4 bits and fewer, "
        "bias_correct), each\n"
        "of which stays only if it gains: less loss on the sample, or outputs nearer to the float network's with a "
        "loss that is\n"
        "the same but for chance. Where the float network does no better on it than guessing, or it is fewer than 64 "
        "images, the\noutputs judge alone.\n"
        "--data-free sets ranges from batch norms and looks at no image; where there are test images they are measured "
        "on.\n"
        "The run folder receives the resolved config, last.safetensors (to train on from with `init:`, to verify) "
        "and\n"
        "model.int.safetensors. The same command gives the same bytes again, also\n"
        "`mpirun -n 4 nibble quantize ...`, which divides calibration and evaluations among four processes.\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_CONFIG,
    .ranks = true,
    .run = run,
};
