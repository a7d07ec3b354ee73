/* cmd_train.c - trains an experiment into its run folder.
 *
 * Everything that can be wrong is looked at before the first step: config, data, both forms of the network, whether the
 * folder can be written. A folder that holds a run is never overwritten: it is resumed, or moved aside by --force. */
#include "cli/build_info.h"
#include "cli/compare.h"
#include "cli/meant_file.h"
#include "cli/open_model.h"
#include "cli/output.h"
#include "cli/overwrite.h"
#include "cli/post_steps.h"
#include "cli/progress.h"
#include "cli/run_folder.h"
#include "cli/signals.h"
#include "cli/teacher.h"

#include "base/check.h"
#include "base/files.h"
#include "base/numtext.h"
#include "base/ranks.h"
#include "train/events.h"
#include "train/init_file.h"
#include "train/oscillation.h"
#include "train/range_log.h"

#include <string.h>

enum { STEP_IMAGES = 1024 }; /* what quant.steps may look at, as many as `quantize` takes */

typedef struct {
    cli *c;
    cli_experiment e;
    nb_train_plan *plan;
    cli_progress progress;
    cli_images eval; /* what is evaluated after every epoch */
    cli_post_steps steps;
    cli_teacher teacher;
    bool said_build;
    int32_t warned_for; /* phases that were found dead, or are over: one warning each */
    nb_lock lock;       /* of the run folder */
    char init[CLI_PATH_BYTES + NB_INIT_HASH_BYTES];
} session;

/* ---- the trainer's questions ---- */

static nb_status evaluate(void *ud, nb_graph *g, nb_eval *out)
{
    session *s = ud;
    const nb_graph_facts about = nb_graph_about(g);
    if (!about.quantized || about.simulated)
        return nb_evaluate_graph(g, s->eval.data, s->eval.indices, s->eval.n, out);
    nb_intmodel *m;
    NB_TRY(nb_lower(g, "", &m));
    nb_status st = cli_compare_few(s->c, s->e.out, g, m, s->eval.data);
    if (st == NB_OK)
        st = nb_intmodel_evaluate_shared(s->c->ctx, m, s->eval.data, s->eval.indices, s->eval.n, out, &(nb_answers){0});
    nb_intmodel_free(s->c->ctx, m);
    return st;
}

static void say_data(const session *s)
{
    const nb_dsinfo *d = nb_data_info(s->e.train), *test = nb_data_info(s->e.test);
    printf("data: %d training and %d test %s of %dx%dx%d, ", d->count, test->count, d->features ? "samples" : "images",
           d->h, d->w, d->c);
    if (d->task == NB_TASK_CLASSES)
        printf("%d classes, ", d->classes);
    printf("%.1f MB of memory%s\n", (double)(d->bytes + test->bytes) / 1e6,
           d->streams ? ", each is made ready when it is needed" : "");
    fflush(stdout); /* whoever looks on through a pipe sees that it has begun */
}

/* The first lines, once nothing can be refused any more. */
static void say_build(session *s)
{
    if (!s->said_build && !s->progress.quiet) {
        cli_print_build();
        say_data(s);
    }
    s->said_build = true;
}

static void on_step(void *ud, const nb_progress *p)
{
    session *s = ud;
    say_build(s);
    cli_progress_step(&s->progress, p);
}

/* A network that cannot become integers, and is not simulated, is refused before hours of training, not after. */
static nb_status can_lower(void *ud, const nb_graph *g)
{
    session *s = ud;
    nb_intmodel *m = NULL;
    cli_experiment_note(&s->e, g);
    if (*s->e.simulated)
        return NB_OK;
    nb_status st = nb_lower(g, "", &m);
    nb_intmodel_free(s->c->ctx, m);
    return st;
}

/* Steps on the quantized network find it calibrated; without them its ranges begin with the first batch, as ever. */
static nb_status before_quant(void *ud, nb_graph *g)
{
    session *s = ud;
    cli_progress_clear(&s->progress);
    say_build(s);
    s->progress.titled = s->progress.titled && s->steps.list.n == 0; /* the table of epochs goes on below their lines */
    if (!nb_graph_about(g).quantized)
        return cli_post_steps_run(&s->steps, g);
    if (!nb_post_has(&s->steps.list, NB_POST_QUANTIZED))
        return NB_OK;
    NB_TRY(nb_calibrate_shared(g, s->e.train, cli_post_steps_images(&s->steps), s->steps.n_sample));
    return cli_post_steps_run(&s->steps, g);
}

/* Which ranges `auto` has become, and whether they use the codes there are: as a quantized phase begins. */
static nb_status on_ranges(void *ud, const nb_graph *g)
{
    session *s = ud;
    char text[320];
    if (s->progress.quiet)
        return NB_OK;
    cli_progress_clear(&s->progress);
    say_build(s);
    nb_quant_ranges_text(g, text, sizeof text);
    printf("ranges: %s\n", text);
    NB_TRY(nb_quant_unused_text(g, text, sizeof text));
    if (*text)
        printf("%s\n", text);
    return NB_OK;
}

static nb_status teach(void *ud, const uint8_t *pixels, int32_t n, int32_t whole, float *logits)
{
    session *s = ud;
    return cli_teacher_logits(&s->teacher, pixels, n, whole, logits);
}

/* A network that is dead trains on at chance, and nothing else would say so. */
static void on_epoch(void *ud, const nb_epoch_report *r)
{
    session *s = ud;
    say_build(s);
    cli_progress_epoch(&s->progress, r);
    if (r->phase < s->warned_for || r->eval.unlike > 0)
        return;
    s->warned_for = r->phase + 1;
    char what[96];
    snprintf(what, sizeof what, "phase %.40s, after epoch %d", r->plan->phase[r->phase].keys.name, r->epoch + 1);
    cli_compare_warn_dead(what, &r->eval);
}

/* *resume: there is a checkpoint to go on from. */
static nb_status prepare_folder(session *s, bool *resume)
{
    *resume = false;
    if (cli_flag(s->c, "--resume"))
        return cli_run_folder_resume(s->c, s->e.out, s->e.text, &s->lock, resume);
    return cli_run_folder_begin(s->c, s->e.out, " continue it with --resume,", s->e.text, &s->lock);
}

/* ---- the end ---- */

typedef struct {
    char file[CLI_PATH_BYTES];     /* the checkpoint that was taken */
    char integers[CLI_PATH_BYTES]; /* "" when the network is a float one */
    nb_eval test;
} final_model;

/* The result is the last epoch's network. With validation images it is the best one by those: the choice then has not
 * seen the test images, on which it is measured here. */
static nb_status make_final(session *s, final_model *f)
{
    cli *c = s->c;
    bool best = s->e.n_validation > 0 && nb_phase_competes(s->plan, s->plan->n_phases - 1);
    cli_images test;
    cli_model m = {0};
    NB_TRY(cli_file_in(c, s->e.out, best ? "best.safetensors" : "last.safetensors", f->file));
    NB_TRY(cli_experiment_split(c, &s->e, "test", &test));
    nb_status st = cli_model_open(c, f->file, 64, &m);
    if (st == NB_OK && m.integers)
        st = cli_compare_few(c, f->file, m.graph, m.integers, test.data);
    if (st == NB_OK)
        st = cli_model_evaluate(c, &m, &test, &f->test, &(nb_answers){0});
    if (st == NB_OK && m.integers) {
        m.integers->accuracy = f->test.accuracy;
        st = cli_file_in(c, s->e.out, "model.int.safetensors", f->integers);
        if (st == NB_OK)
            st = nb_intmodel_save(c->ctx, m.integers, f->integers);
    }
    cli_model_close(c, &m);
    return st;
}

/* Names a file of the run, if it is there: a run that was resumed from its checkpoint alone has not all of them. */
static nb_status print_file(const session *s, const char *name, const char *before, const char *between, bool *any)
{
    char path[CLI_PATH_BYTES];
    NB_TRY(cli_file_in(s->c, s->e.out, name, path));
    if (nb_file_exists(path)) {
        if (*any)
            printf("%s%s", between, name);
        else
            printf("%s%s", before, name);
        *any = true;
    }
    return NB_OK;
}

static nb_status print_files(const session *s)
{
    static const char *const also[] = {"config.yaml", "metrics.csv",      NB_RANGES_FILE, NB_OSCILLATION_FILE,
                                       "timing.csv",  "best.safetensors", NB_EVENTS_FILE};
    bool any = false;
    printf("also in %s:", s->e.out);
    for (size_t i = 0; i < sizeof also / sizeof *also; i++)
        NB_TRY(print_file(s, also[i], " ", ", ", &any));
    printf("\n");
    any = false;
    for (int32_t i = 0; i + 1 < s->plan->n_phases; i++) {
        char *name;
        NB_TRY(nb_phase_file(s->c->ctx, s->plan, i, &name));
        nb_status st = print_file(s, name, "the ends of earlier phases, for `init:`: ", ", ", &any);
        nb_free(s->c->ctx, name);
        NB_TRY(st);
    }
    if (any)
        printf("\n");
    return NB_OK;
}

static nb_status print_results(const session *s, const nb_train_result *r, const final_model *f)
{
    char text[CLI_BITS_BYTES];
    nb_table *t;
    NB_TRY(nb_table_create(s->c->ctx, &t));
    nb_table_column(t, "phase", "phase", NB_LEFT);
    nb_table_column(t, "bits", "bits", NB_LEFT);
    nb_table_column(t, "epochs", "epochs", NB_RIGHT);
    nb_table_column(t, "train_loss", "train loss", NB_RIGHT);
    nb_table_column(t, "train_percent", "train %", NB_RIGHT);
    nb_table_column(t, "eval_percent", "eval %", NB_RIGHT);
    nb_table_column(t, "time", "time", NB_RIGHT);
    for (int32_t i = 0; i < s->plan->n_phases; i++) {
        const nb_phase_keys *k = &s->plan->phase[i].keys;
        const nb_phase_result *p = &r->phase[i];
        nb_table_row(t);
        nb_table_add_text(t, k->name);
        nb_table_add_text(t, cli_phase_bits(&s->e, k, text));
        nb_table_add_int(t, p->epochs_done);
        nb_table_add_real(t, p->loss, 4);
        nb_table_add_real(t, 100 * p->train_accuracy, 2);
        nb_table_add_real(t, 100 * p->accuracy, 2);
        nb_table_add_text(t, cli_duration(p->seconds, text, sizeof text));
    }
    printf("\n");
    NB_TRY(cli_table_print(s->c->ctx, t));
    printf("\ntest %s %.2f %% on %d image%s, by %s\n", f->test.metric, nb_percent(f->test.accuracy), f->test.n,
           nb_plural(f->test.n),
           *f->integers        ? "the integer engine"
           : f->test.simulated ? "the quantized network, simulated in floats"
                               : "the float network");
    printf("checkpoint    %s\n", f->file);
    if (*f->integers)
        printf("integers      %s\n", f->integers);
    cli_say_simulated(&f->test, s->e.simulated);
    return print_files(s);
}

/* ---- all of it ---- */

static nb_train_job job_of(session *s)
{
    return (nb_train_job){.experiment = &s->e.exp,
                          .plan = s->plan,
                          .config_text = s->e.text,
                          .out = s->e.out,
                          .data = s->e.train,
                          .test = s->e.test,
                          .indices = s->e.order,
                          .n_indices = s->e.n_train,
                          .reference = cli_flag(s->c, "--reference"),
                          .evaluate = evaluate,
                          .check = can_lower,
                          .before_quant = before_quant,
                          .on_ranges = on_ranges,
                          .teach = teach,
                          .teacher_hash = s->teacher.hash,
                          .on_step = on_step,
                          .on_epoch = on_epoch,
                          .ud = s};
}

/* Only full batches are steps. Which images are left over changes from epoch to epoch. */
static void say_left_over(const session *s)
{
    int32_t batch = s->plan->keys.batch, rest = s->e.n_train % batch;
    if (rest && !cli_flag(s->c, "--quiet"))
        printf("%d of %d training images %s a batch of %d and %s out an epoch, %s each time\n", rest, s->e.n_train,
               rest == 1 ? "does not fill" : "do not fill", batch, rest == 1 ? "sits" : "sit",
               rest == 1 ? "another one" : "other ones");
}

static void say_simulated(const session *s)
{
    if (*s->e.simulated && !cli_flag(s->c, "--quiet"))
        printf("quantized phases are simulated in floats and end without integers: %s\n", s->e.simulated);
}

static nb_status train(session *s, nb_train_result *result)
{
    cli *c = s->c;
    nb_train_job job = job_of(s);
    char last[CLI_PATH_BYTES];
    NB_TRY(cli_file_in(c, s->e.out, "last.safetensors", last));
    job.resume = cli_flag(c, "--resume") && nb_file_exists(last);
    NB_TRY(nb_train_check(c->ctx, &job));
    if (!job.resume)
        NB_TRY(cli_run_outputs_check(c, s->e.out, s->e.text));
    if (nb_rank() == 0) /* whose folder it is */
        NB_TRY(prepare_folder(s, &job.resume));
    if (cli_flag(c, "--resume") && !job.resume)
        fprintf(stderr, "nibble: %s: no checkpoint yet, starting from the beginning\n", s->e.out);
    if (!job.resume)
        say_left_over(s);
    say_simulated(s);
    cli_progress_init(&s->progress, cli_flag(c, "--quiet"));
    s->steps.quiet = cli_flag(c, "--quiet");
    job.stop = cli_signals_ask(CLI_AGAIN_ENDS); /* the first Ctrl-C asks the trainer to save and stop */
    nb_status st = nb_train(c->ctx, &job, result);
    cli_progress_clear(&s->progress);
    return st;
}

/* Before anything is read that takes time; prepare_folder asks again, under the lock. */
static nb_status look_at_folder(session *s)
{
    return cli_flag(s->c, "--resume") ? nb_lock_check(s->c->ctx, s->e.out)
                                      : cli_run_folder_check(s->c, s->e.out, " continue it with --resume,");
}

/* A run folder stands for its checkpoint; the config goes on saying the folder, as it was given. */
static nb_status settle_init(session *s)
{
    const char *given = s->e.exp.init;
    char path[CLI_PATH_BYTES];
    if (!*given)
        return NB_OK;
    NB_TRY(cli_init_file(s->c, given, path));
    snprintf(s->init, sizeof s->init, "%s%s", path, given + nb_init_path_bytes(given));
    s->e.exp.init = s->init;
    return NB_OK;
}

static nb_status run_session(session *s, nb_train_result *result)
{
    cli *c = s->c;
    final_model f = {0};
    if (cli_flag(c, "--resume") && cli_flag(c, "--force"))
        return cli_usage(c, "--resume and --force exclude each other");
    NB_TRY(cli_experiment_load(c, c->arg[0], &s->e));
    if (!s->e.exp.train)
        return nb_conf_fail(c->ctx, nb_config_root(s->e.config), "train", NB_E_CONFIG,
                            "required key is missing (optimizer and phases: {phases: [{epochs: 8, lr: 0.1}], ...})");
    NB_TRY(nb_train_plan_create(c->ctx, s->e.exp.train, &s->plan));
    NB_TRY(settle_init(s));
    if (nb_rank() == 0)
        NB_TRY(look_at_folder(s));
    NB_TRY(cli_experiment_open_train(c, &s->e));
    NB_TRY(cli_experiment_open_test(c, &s->e));
    NB_TRY(cli_experiment_split(c, &s->e, s->e.n_validation ? "validation" : "test", &s->eval));
    s->steps.unrounded = true; /* training finds the codes */
    NB_TRY(cli_post_steps_open(c, &s->e, STEP_IMAGES, &s->steps));
    NB_TRY(cli_teacher_open(c, s->plan, nb_data_info(s->e.train), &s->teacher));
    NB_TRY(train(s, result));
    if (nb_rank() > 0)
        return NB_OK;
    NB_TRY(make_final(s, &f));
    return print_results(s, result, &f);
}

static nb_status run(cli *c)
{
    session *s = nb_alloc(c->ctx, sizeof *s);
    if (!s)
        return NB_E_NOMEM;
    s->c = c;
    nb_train_result result = {0};
    nb_status st = run_session(s, &result);
    nb_lock_release(&s->lock);
    nb_free(c->ctx, result.phase);
    nb_train_plan_free(c->ctx, s->plan);
    cli_post_steps_close(&s->steps);
    cli_teacher_close(c, &s->teacher);
    cli_experiment_close(c, &s->e);
    nb_free(c->ctx, s);
    return st;
}

static const cli_option options[] = {
    CLI_SET,
    {"--resume", NULL, "continue from the run folder's last checkpoint (from the beginning when there is none)"},
    {"--force", NULL, "start over: an earlier run in the folder is moved aside"},
    {"--quiet", NULL, "only the table at the end"},
    CLI_REFERENCE,
    CLI_THREADS,
    {0}};

const cli_command cli_command_train = {
    .name = "train",
    .usage = "CONFIG",
    .help = "train an experiment; ends with the integers when its last phase is quantized",
    .more =
        "The run folder (key `out`) receives the resolved config, metrics.csv, ranges.csv, last and best.safetensors, "
        "the end of "
        "each\n"
        "phase but the last (phase-1-NAME.safetensors: `init:` branches off from it), and model.int.safetensors, "
        "unless\n"
        "what `quant` asks for cannot be integers: then it is simulated in floats, which every result says. Only\n"
        "one process at a time writes there. --resume goes on only with the same config and the same data.\n"
        "Ctrl-C, SIGTERM, SIGHUP and SIGXCPU save a checkpoint first; the keys train.save_steps and save_seconds save\n"
        "now and then. A second Ctrl-C, a second later or more, ends at once. When nobody reads the output any more\n"
        "(| head, | tee and Ctrl-C), training goes on; what it printed is in metrics.csv.\n"
        "The same config gives the same bytes again: with any number of threads, interrupted and resumed or not, and "
        "on\n"
        "any number of machines: `mpirun -n 4 nibble train CONFIG` divides every batch among four processes.\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_CONFIG,
    .ranks = true,
    .run = run,
};
