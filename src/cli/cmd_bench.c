/* cmd_bench.c - how fast is this experiment here: training steps in float and quantized, and inference, the integer engine
 * beside the float network on the same images.
 *
 * All contenders take turns, one step each, so that a busy machine hits them alike; medians are shown. A step is
 * forward, backward and update on one batch that is already in memory. Nothing is learned from and nothing is written.
 */
#include "cli/bench_kernels.h"
#include "cli/bench_ranks.h"
#include "cli/build_info.h"
#include "cli/open_experiment.h"
#include "cli/progress.h"

#include "base/check.h"
#include "base/measure.h"
#include "base/parallel.h"
#include "base/ranks.h"
#include "report/tables.h"
#include "train/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_STEPS = 20,
    MAX_STEPS = 100000,
    WARM_UP = 3,
    ONE_IMAGE = 20 /* times in a row: what a camera sees, not what the first frame sees */
};

typedef struct {
    nb_graph *graph;
    nb_optim *optim;
    int32_t steps;              /* of the graph */
    double *seconds;            /* [rounds] */
    double *forward, *backward; /* per step of the graph, summed over counted rounds */
} contender;

typedef struct {
    cli *c;
    cli_experiment exp;
    nb_train_plan *plan;
    contender train[2]; /* float, quantized */
    nb_graph *floats;   /* the float network for inference, its steps fused like those of `nibble eval` */
    nb_intmodel *integers;
    void *arena, *one_arena;           /* of a batch: one image per thread; of one image on all threads */
    double *engine_batch, *engine_one; /* [rounds] */
    double *float_batch, *float_one;   /* [rounds] */
    double *engine_layer;              /* per step of the integers, summed over counted rounds; NULL without --layers */
    uint8_t *pixels;
    int32_t *labels;
    int32_t batch, rounds;
    bool layers;
} bench;

static nb_status open_contender(bench *b, contender *t, bool quantized)
{
    nb_ctx *ctx = b->c->ctx;
    const nb_graph_spec spec = {.experiment = &b->exp.exp,
                                .info = nb_data_info(b->exp.train),
                                .max_batch = b->batch,
                                .quant = quantized,
                                .plan = NB_PLAN_TRAIN,
                                .compute = (nb_compute)b->plan->keys.compute,
                                .reference = cli_flag(b->c, "--reference")};
    NB_TRY(nb_graph_open(ctx, &spec, &(nb_params_source){0}, &t->graph));
    t->steps = nb_graph_about(t->graph).steps;
    NB_TRY(nb_optim_create(ctx, b->plan, t->graph, &t->optim));
    t->seconds = nb_alloc(ctx, (size_t)b->rounds * sizeof(double));
    t->forward = nb_alloc(ctx, 2 * (size_t)t->steps * sizeof(double));
    if (!t->seconds || !t->forward)
        return NB_E_NOMEM;
    t->backward = t->forward + t->steps;
    return NB_OK;
}

static nb_status open_inference(bench *b)
{
    const nb_graph_spec spec = {.experiment = &b->exp.exp,
                                .info = nb_data_info(b->exp.train),
                                .max_batch = b->batch,
                                .plan = NB_PLAN_INFER,
                                .reference = cli_flag(b->c, "--reference")};
    double **const seconds[] = {&b->engine_batch, &b->engine_one, &b->float_batch, &b->float_one};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        *seconds[i] = nb_alloc(b->c->ctx, (size_t)b->rounds * sizeof(double));
        if (!*seconds[i])
            return NB_E_NOMEM;
    }
    return nb_graph_open(b->c->ctx, &spec, &(nb_params_source){0}, &b->floats);
}

static nb_status open_all(bench *b)
{
    cli *c = b->c;
    NB_TRY(cli_count(c, "--steps", DEFAULT_STEPS, MAX_STEPS, &b->rounds));
    b->layers = cli_flag(c, "--layers");
    NB_TRY(cli_experiment_load(c, c->arg[0], &b->exp));
    NB_TRY(cli_experiment_open_train(c, &b->exp));
    NB_TRY(nb_experiment_check(c->ctx, &b->exp.exp, nb_data_info(b->exp.train)));
    NB_TRY(nb_train_plan_create(c->ctx, b->exp.exp.train, &b->plan));
    const nb_dsinfo *d = nb_data_info(b->exp.train);
    b->batch = b->plan->keys.batch;
    size_t image = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    b->pixels = nb_alloc(c->ctx, (size_t)b->batch * image);
    b->labels = nb_alloc(c->ctx, (size_t)b->batch * sizeof *b->labels);
    if (!b->pixels || !b->labels)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < b->batch; i++)
        nb_data_get(b->exp.train, i % d->count, b->pixels + (size_t)i * image, &b->labels[i]);
    NB_TRY(nb_data_check(c->ctx, b->exp.train));
    NB_TRY(open_contender(b, &b->train[0], false));
    NB_TRY(open_contender(b, &b->train[1], true));
    cli_experiment_note(&b->exp, b->train[1].graph);
    return open_inference(b);
}

/* nb_forward and nb_backward, step by step with a clock. */
static void clocked_pass(contender *t, const nb_run *r)
{
    nb_graph *g = t->graph;
    for (int32_t i = 0; i < t->steps; i++) {
        double start = nb_now();
        nb_forward_step(g, i, r);
        t->forward[i] += nb_now() - start;
    }
    for (int32_t i = t->steps - 1; i >= 0; i--) {
        double start = nb_now();
        nb_backward_step(g, i, r);
        t->backward[i] += nb_now() - start;
    }
}

static void train_step(bench *b, contender *t, int32_t round)
{
    nb_run r = {
        .train = true, .seed = 1, .step = (uint64_t)(round + WARM_UP), .pixels = b->pixels, .labels = b->labels};
    double start = nb_now();
    if (b->layers && round >= 0) {
        nb_backward_begin(t->graph);
        clocked_pass(t, &r);
    } else {
        nb_forward(t->graph, &r);
        nb_backward(t->graph, &r);
    }
    nb_optim_step(t->optim, 1e-3, round + WARM_UP + 1, nb_optim_grad_norm(t->optim));
    if (round >= 0)
        t->seconds[round] = nb_now() - start;
}

static void one_image(void *arg, int64_t i, int32_t thread)
{
    const bench *b = arg;
    const nb_dsinfo *d = nb_data_info(b->exp.train);
    unsigned char *arena =
        (unsigned char *)b->arena + (size_t)thread * nb_round64(nb_engine_arena_bytes(&b->integers->e));
    nb_engine_run(&b->integers->e, arena, b->pixels + (size_t)i * (size_t)d->h * (size_t)d->w * (size_t)d->c);
}

/* On one thread the processor's time, which other programs on the machine do not change; else the clock on the wall. */
static double inference_now(void)
{
    return nb_threads() > 1 ? nb_now() : nb_process_seconds();
}

static void engine_step(bench *b, int32_t round)
{
    double start = inference_now();
    nb_parallel_for(b->batch, one_image, b);
    double middle = inference_now();
    for (int32_t i = 0; i < ONE_IMAGE; i++)
        nb_intmodel_run(b->integers, b->one_arena, b->pixels);
    if (round < 0)
        return;
    b->engine_batch[round] = middle - start;
    b->engine_one[round] = (inference_now() - middle) / ONE_IMAGE;
}

/* The same images on the same threads, in floats. */
static void float_step(bench *b, int32_t round)
{
    const nb_run r = {.pixels = b->pixels};
    nb_graph_set_batch(b->floats, b->batch);
    double start = inference_now();
    nb_forward(b->floats, &r);
    double middle = inference_now();
    nb_graph_set_batch(b->floats, 1);
    for (int32_t i = 0; i < ONE_IMAGE; i++)
        nb_forward(b->floats, &r);
    if (round < 0)
        return;
    b->float_batch[round] = middle - start;
    b->float_one[round] = (inference_now() - middle) / ONE_IMAGE;
}

/* The batch once more on one thread, step by step with a clock. */
static void engine_layers(bench *b, int32_t round)
{
    const nb_dsinfo *d = nb_data_info(b->exp.train);
    const nb_emodel *e = &b->integers->e;
    for (int32_t i = 0; i < b->batch; i++)
        for (int32_t s = 0; s < e->n_steps; s++) {
            const double start = nb_now();
            nb_engine_run_step(e, b->arena, s, b->pixels + (size_t)i * (size_t)d->h * (size_t)d->w * (size_t)d->c);
            if (round >= 0)
                b->engine_layer[s] += nb_now() - start;
        }
}

static nb_status open_engine(bench *b)
{
    nb_ctx *ctx = b->c->ctx;
    NB_TRY(nb_lower(b->train[1].graph, "", &b->integers));
    const nb_emodel *e = &b->integers->e;
    b->arena = nb_alloc(ctx, nb_round64(nb_engine_arena_bytes(e)) * (size_t)nb_threads());
    b->one_arena = nb_alloc(ctx, nb_intmodel_arena_bytes(b->integers));
    b->engine_layer = b->layers ? nb_alloc(ctx, (size_t)e->n_steps * sizeof(double)) : NULL;
    return b->arena && b->one_arena && (b->engine_layer || !b->layers) ? NB_OK : NB_E_NOMEM;
}

static nb_status run_all(bench *b)
{
    for (int32_t round = -WARM_UP; round < b->rounds; round++) {
        train_step(b, &b->train[0], round);
        train_step(b, &b->train[1], round);
        float_step(b, round);
        if (*b->exp.simulated)
            continue;
        if (!b->integers) /* ranges are known after the first quantized step */
            NB_TRY(open_engine(b));
        engine_step(b, round);
        if (b->layers)
            engine_layers(b, round);
    }
    return NB_OK;
}

/* In JSON with --layers, the tables are members of one object. */
static nb_status print_table(bench *b, nb_table *t, const char *key)
{
    const bool json = cli_flag(b->c, "--json"), member = json && b->layers;
    char *text = NULL;
    nb_status st = json ? nb_table_print_json(t, &text) : nb_table_print(t, &text);
    if (st == NB_OK && member)
        printf("\"%s\":\n", key);
    if (st == NB_OK)
        fputs(text, stdout);
    nb_free(b->c->ctx, text);
    nb_table_free(t);
    return st;
}

/* How often the integers are as fast as the float network. */
static void say_gain(const bench *b, const double *batch, const double *one)
{
    printf("\nthe integers are %.2f times as fast as the float network on %d images, %.2f times on one\n",
           batch[0] / batch[1], b->batch, one[0] / one[1]);
}

static nb_status print_totals(bench *b)
{
    char bits[CLI_BITS_BYTES], quantized[CLI_BITS_BYTES + 32], floats[48], engine[48];
    const bool json = cli_flag(b->c, "--json"), integers = b->integers != NULL;
    const double base = nb_median(b->train[0].seconds, b->rounds);
    const double batch[] = {nb_median(b->float_batch, b->rounds), integers ? nb_median(b->engine_batch, b->rounds) : 0};
    const double one[] = {nb_median(b->float_one, b->rounds), integers ? nb_median(b->engine_one, b->rounds) : 0};
    snprintf(quantized, sizeof quantized, "training step, %s", cli_bits_text(&b->exp, true, bits));
    snprintf(floats, sizeof floats, "float network, %d images", b->batch);
    snprintf(engine, sizeof engine, "integer engine, %d images", b->batch);
    nb_speed_row rows[6] = {{"training step, float", base, b->batch, base},
                            {quantized, nb_median(b->train[1].seconds, b->rounds), b->batch, base}};
    int32_t n = 2;
    rows[n++] = (nb_speed_row){floats, batch[0], b->batch, batch[0]};
    if (integers)
        rows[n++] = (nb_speed_row){engine, batch[1], b->batch, batch[0]};
    rows[n++] = (nb_speed_row){"float network, one image", one[0], 1, one[0]};
    if (integers)
        rows[n++] = (nb_speed_row){"integer engine, one image", one[1], 1, one[0]};
    nb_table *t;
    NB_TRY(nb_table_of_speed(b->c->ctx, rows, n, &t));
    if (!json) {
        cli_print_build();
        printf("batch %d, %d threads, median of %d interleaved rounds\n", b->batch, nb_threads(), b->rounds);
        printf("%s%s%s\n", *b->exp.simulated ? "simulated in floats, no integers to run: " : "", b->exp.simulated,
               *b->exp.simulated ? "\n" : "");
    }
    NB_TRY(print_table(b, t, "totals"));
    if (!json && integers)
        say_gain(b, batch, one);
    return NB_OK;
}

/* Sums over counted rounds become seconds of one. */
static void divide(double *v, int32_t n, double by)
{
    for (int32_t i = 0; i < n; i++)
        v[i] /= by;
}

static nb_status print_layers(bench *b, contender *k, const char *title)
{
    nb_table *t;
    divide(k->forward, 2 * k->steps, b->rounds);
    NB_TRY(nb_table_of_passes(k->graph, k->forward, k->backward, title, &t));
    if (!cli_flag(b->c, "--json"))
        printf("\n");
    return print_table(b, t, title);
}

static nb_status print_engine_layers(bench *b)
{
    nb_table *t;
    divide(b->engine_layer, b->integers->e.n_steps, (double)b->rounds * b->batch);
    NB_TRY(nb_table_of_steps(b->c->ctx, b->integers, b->engine_layer, &t));
    if (!cli_flag(b->c, "--json"))
        printf("\n");
    return print_table(b, t, "integers");
}

/* Totals, and with --layers three tables of layers. */
static nb_status print_all(bench *b)
{
    const char *between = cli_flag(b->c, "--json") ? "," : "";
    NB_TRY(print_totals(b));
    if (!b->layers)
        return NB_OK;
    fputs(between, stdout);
    NB_TRY(print_layers(b, &b->train[0], "float"));
    fputs(between, stdout);
    NB_TRY(print_layers(b, &b->train[1], "quantized"));
    if (!b->integers)
        return NB_OK;
    fputs(between, stdout);
    return print_engine_layers(b);
}

static nb_status bench_all(bench *b)
{
    const bool object = cli_flag(b->c, "--json") && cli_flag(b->c, "--layers");
    NB_TRY(open_all(b));
    NB_TRY(run_all(b));
    if (object)
        puts("{");
    NB_TRY(print_all(b));
    if (object)
        puts("}");
    return NB_OK;
}

static nb_status run(cli *c)
{
    bench b = {.c = c};
    if (c->n_args == 0 && !cli_flag(c, "--kernels"))
        return cli_usage(c, "needs a CONFIG, or --kernels");
    if (cli_flag(c, "--ranks")) {
        if (nb_ranks() == 1 || cli_flag(c, "--kernels") || cli_flag(c, "--layers") || cli_flag(c, "--json"))
            return cli_usage(c, "--ranks: is for two or more, `mpirun -n 2 nibble bench CONFIG --ranks`, without "
                                "--kernels, --layers and --json");
        NB_TRY(cli_count(c, "--steps", DEFAULT_STEPS, MAX_STEPS, &b.rounds));
        return cli_bench_ranks(c, b.rounds);
    }
    if (nb_ranks() > 1)
        return cli_usage(c, "started by mpirun it measures ranks: add --ranks");
    if (cli_flag(c, "--kernels")) {
        if (c->n_args > 0 || c->n_sets > 0 || cli_flag(c, "--layers") || cli_flag(c, "--reference"))
            return cli_usage(c, "--kernels measures no experiment: it takes no CONFIG, --set, --layers or --reference");
        NB_TRY(cli_count(c, "--steps", DEFAULT_STEPS, MAX_STEPS, &b.rounds));
        return cli_bench_kernels(c, b.rounds);
    }
    nb_status st = bench_all(&b);
    for (int32_t i = 0; i < 2; i++) {
        nb_optim_free(c->ctx, b.train[i].optim);
        nb_graph_free(b.train[i].graph);
        nb_free(c->ctx, b.train[i].seconds);
        nb_free(c->ctx, b.train[i].forward);
    }
    nb_intmodel_free(c->ctx, b.integers);
    nb_free(c->ctx, b.arena);
    nb_free(c->ctx, b.one_arena);
    nb_free(c->ctx, b.engine_layer);
    nb_free(c->ctx, b.pixels);
    nb_free(c->ctx, b.labels);
    nb_free(c->ctx, b.engine_batch);
    nb_free(c->ctx, b.engine_one);
    nb_free(c->ctx, b.float_batch);
    nb_free(c->ctx, b.float_one);
    nb_graph_free(b.floats);
    nb_train_plan_free(c->ctx, b.plan);
    cli_experiment_close(c, &b.exp);
    return st;
}

static const cli_option options[] = {
    {"--steps", "N", "measure N steps of each (default: 20)"},
    {"--kernels", NULL, "measure every kernel and the limits of the machine instead; takes no CONFIG"},
    {"--ranks", NULL,
     "started by mpirun: what of a training step is computed, waited for and sent, and a model of more ranks"},
    {"--layers", NULL, "also show every layer: forward and backward time, and that of the integers"},
    CLI_SET,
    CLI_REFERENCE,
    CLI_THREADS,
    CLI_JSON,
    {0}};

const cli_command cli_command_bench = {
    .name = "bench",
    .usage = "CONFIG",
    .help = "speed of an experiment here: training steps and inference, in float and in integers",
    .more = "Contenders take turns and medians are shown, so ratios hold on a busy machine.\n"
            "A training step is forward, backward and update on one batch in memory; nothing is written.\n"
            "The float network and the integer engine see the same images on the same threads: the engine one image a\n"
            "thread, the float network a batch, each as `nibble eval` runs it; one image is on all threads for both.\n",
    .options = options,
    .min_args = 0,
    .max_args = 1,
    .first = CLI_CONFIG,
    .ranks = true,
    .run = run,
};
