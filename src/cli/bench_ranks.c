/* bench_ranks.c - see bench_ranks.h.
 *
 * The model. A step on one rank takes a + b: b is divided by images, a (packing and rounding weights, the optimizer) is
 * done by every rank. A step on n ranks takes
 *
 *     a + b * share(n) + exchange(now) + max(0, exchange(later) - backward * share(n)) + late * log2(n) / log2(ranks here)
 *
 *     exchange(x) = exchanges of x * latency * log2(n) + bytes of x / bandwidth
 *
 * share(n): the most units of the batch that one rank has, over all units. Beyond as many ranks as there are units it is
 * 1 / n, for a batch that had as many. Exchanges later are those of gradients of weights, which travel while the layers before go
 * back (core/gather_later.h). late: what is waited for beyond messages, because one rank is later than others, which more ranks make
 * more likely, as the largest of n numbers is larger; it is that of this machine and who else works on it.
 *
 * Measured: the step on rank 0 alone while the others wait (a + b), and its backward pass; what is computed of a step on the ranks
 * there are (a + b * share), exchanges and bytes of it, the time of an exchange of one byte and of one that takes a megabyte from
 * each rank. An exchange of n ranks has about log2(n) messages after each other. What comes in for a rank is about the same for
 * any number of them: gradients are added up in pieces (core/cut_gather.h). What is predicted for the ranks there are is without
 * `late`, which is shown beside it: what the model does not know. */
#include "cli/bench_ranks.h"

#include "cli/build_info.h"
#include "cli/open_experiment.h"

#include "base/check.h"
#include "base/measure.h"
#include "base/parallel.h"
#include "base/ranks.h"
#include "core/cut_gather.h"
#include "report/tables.h"
#include "train/optim.h"

#include <math.h>

enum { WARM_UP = 2, EXCHANGES = 200, LARGE = 1 << 20, LARGE_EXCHANGES = 20, MOST_RANKS = 1024 };

typedef struct {
    cli *c;
    cli_experiment exp;
    nb_train_plan *plan;
    uint8_t *pixels; /* of the whole batch */
    int32_t *labels;
    int32_t rounds;
    uint8_t *large; /* [ranks][LARGE] */
    double latency, bandwidth;
} bench;

/* Of one step, medians: on one rank, its backward pass; on all; of the latter, in exchanges. */
typedef struct {
    double alone, backward, together, waited, exchanges, bytes, later_exchanges, later_bytes;
} cost;

static nb_status open_all(bench *b)
{
    cli *c = b->c;
    NB_TRY(cli_experiment_load(c, c->arg[0], &b->exp));
    NB_TRY(cli_experiment_open_train(c, &b->exp));
    NB_TRY(nb_experiment_check(c->ctx, &b->exp.exp, nb_data_info(b->exp.train)));
    NB_TRY(nb_train_plan_create(c->ctx, b->exp.exp.train, &b->plan));
    const nb_dsinfo *d = nb_data_info(b->exp.train);
    const int32_t batch = b->plan->keys.batch;
    const size_t image = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    if (nb_ranks() > nb_cut_units(batch))
        return cli_usage(c, "--ranks: train.batch is %d, which at most %d ranks share", batch, nb_cut_units(batch));
    b->pixels = nb_alloc(c->ctx, (size_t)batch * image);
    b->labels = nb_alloc(c->ctx, (size_t)batch * sizeof *b->labels);
    b->large = nb_alloc(c->ctx, (size_t)nb_ranks() * LARGE);
    if (!b->pixels || !b->labels || !b->large)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < batch; i++)
        nb_data_get(b->exp.train, i % d->count, b->pixels + (size_t)i * image, &b->labels[i]);
    return nb_data_check(c->ctx, b->exp.train);
}

/* Median seconds of steps, of their backward passes, and of what was waited for in them. */
static nb_status clock_steps(bench *b, bool quantized, bool shared, cost *out)
{
    nb_ctx *ctx = b->c->ctx;
    const nb_dsinfo *d = nb_data_info(b->exp.train);
    const int64_t first = nb_cut_of(b->plan->keys.batch, shared).first;
    const nb_graph_spec spec = {.experiment = &b->exp.exp,
                                .info = d,
                                .max_batch = b->plan->keys.batch,
                                .shared = shared,
                                .quant = quantized,
                                .plan = NB_PLAN_TRAIN,
                                .compute = (nb_compute)b->plan->keys.compute};
    nb_graph *g = NULL;
    nb_optim *optim = NULL;
    double *all = nb_alloc(ctx, 3 * (size_t)b->rounds * sizeof *all), *in = all ? all + b->rounds : NULL,
           *back = all ? in + b->rounds : NULL;
    nb_status st = all ? nb_graph_open(ctx, &spec, &(nb_params_source){0}, &g) : NB_E_NOMEM;
    if (st == NB_OK)
        st = nb_optim_create(ctx, b->plan, g, &optim);
    for (int32_t i = -WARM_UP; st == NB_OK && i < b->rounds; i++) {
        const nb_run r = {.train = true,
                          .seed = 1,
                          .step = (uint64_t)(i + WARM_UP),
                          .pixels = b->pixels + first * d->h * d->w * d->c,
                          .labels = b->labels + first};
        const double start = nb_now(), before = nb_ranks_cost().seconds;
        nb_forward(g, &r);
        const double forward = nb_now();
        nb_backward(g, &r);
        const double backward = nb_now() - forward;
        nb_optim_step(optim, 1e-3, i + WARM_UP + 1, nb_optim_grad_norm(optim));
        if (i >= 0) {
            all[i] = nb_now() - start;
            in[i] = nb_ranks_cost().seconds - before;
            back[i] = backward;
        }
    }
    if (st == NB_OK && shared) {
        out->together = nb_median(all, b->rounds);
        out->waited = nb_median(in, b->rounds);
    } else if (st == NB_OK) {
        out->alone = nb_median(all, b->rounds);
        out->backward = nb_median(back, b->rounds);
    }
    nb_optim_free(ctx, optim);
    nb_graph_free(g);
    nb_free(ctx, all);
    return st;
}

static nb_status measure(bench *b, bool quantized, cost *out)
{
    const double steps = b->rounds + WARM_UP;
    if (nb_rank() == 0)
        NB_TRY(clock_steps(b, quantized, false, out));
    nb_ranks_share(&(nb_piece){out, sizeof *out, 0, 0}, 1);
    const nb_ranks_spent before = nb_ranks_cost();
    NB_TRY(clock_steps(b, quantized, true, out));
    const nb_ranks_spent after = nb_ranks_cost();
    out->exchanges = (double)(after.exchanges - before.exchanges) / steps;
    out->bytes = (double)(after.bytes - before.bytes) / steps;
    out->later_exchanges = (double)(after.later_exchanges - before.later_exchanges) / steps;
    out->later_bytes = (double)(after.later_bytes - before.later_bytes) / steps;
    return NB_OK;
}

/* Median seconds of exchanges in which each rank gives so many bytes. */
static double clock_exchange(const bench *b, size_t bytes, int32_t times)
{
    nb_piece piece[NB_MAX_RANKS];
    double seconds[EXCHANGES];
    for (int32_t r = 0; r < nb_ranks(); r++)
        piece[r] = (nb_piece){b->large + (size_t)r * LARGE, bytes, r, 0};
    for (int32_t i = 0; i < times; i++) {
        const double start = nb_now();
        nb_ranks_share(piece, nb_ranks());
        seconds[i] = nb_now() - start;
    }
    return nb_median(seconds, times);
}

static void measure_messages(bench *b)
{
    const double one = clock_exchange(b, 1, EXCHANGES), large = clock_exchange(b, LARGE, LARGE_EXCHANGES);
    const double steps = log2((double)nb_ranks()), bytes = (double)(nb_ranks() - 1) * LARGE;
    b->latency = one / (steps > 0 ? steps : 1);
    b->bandwidth = large > one ? bytes / (large - one) : INFINITY;
}

static double share_of(int32_t batch, int32_t ranks)
{
    const int32_t units = nb_cut_units(batch);
    return ranks > units ? 1.0 / ranks : (double)((units + ranks - 1) / ranks) / units;
}

/* Of messages that are waited for. */
static double messages(const bench *b, const cost *c, int32_t ranks)
{
    const double each = b->latency * log2(ranks);
    const double now = (c->exchanges - c->later_exchanges) * each + (c->bytes - c->later_bytes) / b->bandwidth;
    const double later = c->later_exchanges * each + c->later_bytes / b->bandwidth;
    return now + fmax(0, later - c->backward * share_of(b->plan->keys.batch, ranks));
}

static double late(const bench *b, const cost *c)
{
    return fmax(0, c->waited - messages(b, c, nb_ranks()));
}

/* Nobody is late. */
static double predict(const bench *b, const cost *c, int32_t ranks)
{
    const int32_t batch = b->plan->keys.batch;
    const double own = share_of(batch, nb_ranks());
    const double divided = own < 1 ? (c->alone - (c->together - c->waited)) / (1 - own) : c->alone;
    const double most = fmin(fmax(divided, 0), c->alone), compute = c->alone - most * (1 - share_of(batch, ranks));
    return ranks == 1 ? c->alone : compute + messages(b, c, ranks);
}

static nb_status table_measured(const bench *b, const cost c[2], nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(b->c->ctx, &t));
    nb_table_column(t, "step", "training step", NB_LEFT);
    nb_table_column(t, "alone_ms", "one rank ms", NB_RIGHT);
    nb_table_column(t, "together_ms", "these ranks ms", NB_RIGHT);
    nb_table_column(t, "computed_ms", "computed ms", NB_RIGHT);
    nb_table_column(t, "waited_ms", "waited ms", NB_RIGHT);
    nb_table_column(t, "exchanges", "exchanges", NB_RIGHT);
    nb_table_column(t, "kilobytes", "kB in", NB_RIGHT);
    nb_table_column(t, "late_ms", "for who is late", NB_RIGHT);
    nb_table_column(t, "later_exchanges", "later", NB_RIGHT);
    nb_table_column(t, "later_kilobytes", "kB later", NB_RIGHT);
    nb_table_column(t, "predicted_ms", "predicted ms", NB_RIGHT);
    for (int32_t k = 0; k < 2; k++) {
        nb_table_row(t);
        nb_table_add_text(t, k ? "quantized" : "float");
        nb_table_add_real(t, 1e3 * c[k].alone, 2);
        nb_table_add_real(t, 1e3 * c[k].together, 2);
        nb_table_add_real(t, 1e3 * (c[k].together - c[k].waited), 2);
        nb_table_add_real(t, 1e3 * c[k].waited, 2);
        nb_table_add_real(t, c[k].exchanges, 0);
        nb_table_add_real(t, 1e-3 * c[k].bytes, 0);
        nb_table_add_real(t, 1e3 * late(b, &c[k]), 2);
        nb_table_add_real(t, c[k].later_exchanges, 0);
        nb_table_add_real(t, 1e-3 * c[k].later_bytes, 0);
        nb_table_add_real(t, 1e3 * predict(b, &c[k], nb_ranks()), 2);
    }
    *out = t;
    return NB_OK;
}

static nb_status table_predicted(const bench *b, const cost c[2], nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(b->c->ctx, &t));
    nb_table_column(t, "ranks", "ranks", NB_RIGHT);
    nb_table_column(t, "float_ms", "float ms", NB_RIGHT);
    nb_table_column(t, "float_gain", "times as fast", NB_RIGHT);
    nb_table_column(t, "quantized_ms", "quantized ms", NB_RIGHT);
    nb_table_column(t, "quantized_gain", "times as fast", NB_RIGHT);
    for (int32_t ranks = 1; ranks <= MOST_RANKS; ranks *= 2) {
        nb_table_row(t);
        nb_table_add_int(t, ranks);
        for (int32_t k = 0; k < 2; k++) {
            const double s =
                predict(b, &c[k], ranks) + late(b, &c[k]) * log2(ranks) / log2(fmax(2, (double)nb_ranks()));
            nb_table_add_real(t, 1e3 * s, 2);
            nb_table_add_real(t, c[k].alone / s, 2);
        }
    }
    *out = t;
    return NB_OK;
}

static nb_status print(bench *b, nb_status (*make)(const bench *b, const cost c[2], nb_table **out), const cost c[2])
{
    nb_table *t;
    char *text = NULL;
    NB_TRY(make(b, c, &t));
    nb_status st = nb_table_print(t, &text);
    if (st == NB_OK)
        fputs(text, stdout);
    nb_free(b->c->ctx, text);
    nb_table_free(t);
    return st;
}

static nb_status bench_all(bench *b)
{
    cost c[2] = {{0}};
    NB_TRY(open_all(b));
    measure_messages(b);
    NB_TRY(measure(b, false, &c[0]));
    NB_TRY(measure(b, true, &c[1]));
    cli_print_build();
    printf("batch %d, %d ranks of %d threads, median of %d steps; an exchange takes %.1f us and %.2f GB/s\n\n",
           b->plan->keys.batch, nb_ranks(), nb_threads(), b->rounds, 1e6 * b->latency * log2(nb_ranks()),
           1e-9 * b->bandwidth);
    NB_TRY(print(b, table_measured, c));
    printf("\nby the model on top of src/cli/bench_ranks.c, with messages as fast as these (beyond %d ranks for a "
           "batch of so "
           "many units, which this one has not):\n\n",
           nb_cut_units(b->plan->keys.batch));
    return print(b, table_predicted, c);
}

nb_status cli_bench_ranks(cli *c, int32_t rounds)
{
    bench b = {.c = c, .rounds = rounds};
    nb_status st = bench_all(&b);
    nb_free(c->ctx, b.pixels);
    nb_free(c->ctx, b.labels);
    nb_free(c->ctx, b.large);
    nb_train_plan_free(c->ctx, b.plan);
    cli_experiment_close(c, &b.exp);
    return st;
}
