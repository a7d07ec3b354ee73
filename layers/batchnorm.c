/* batchnorm.c - batch normalization over N, H, W, per channel.
 *
 * train:  y = gamma * (x - mean) * rstd + beta with the batch's mean and biased variance; the running variance takes
 * the unbiased one, as in PyTorch. frozen: the same with running statistics, i.e. a per-channel affine map. That is
 * also evaluation, and what lower() says. saved:  double partial sums, then mean[c], rstd[c] and three coefficient
 * vectors. Sums are taken in double over a number of row ranges that depends on sizes alone, and added in order: the
 * same bits for any number of threads. */
#include <nibble/quant.h>

#include "layer.h"

#include "base/check.h"
#include "kernels/eltwise.h"

#include <nibble/lowering.h>

#include <math.h>
#include <string.h>

enum { MAX_RANGES = 32, GAMMA = 1, BETA, MEAN, VAR };

typedef struct {
    float eps, momentum;
    bool zero_init;
} bn_attr;

static const nb_key bn_keys[] = {
    NB_KEY_FLOAT(bn_attr, eps, "1e-5", 1e-12, 1, "added to the variance inside the root"),
    NB_KEY_FLOAT(bn_attr, momentum, "0.1", 0, 1, "share of the new batch in the running statistics"),
    NB_KEY_BOOL(bn_attr, zero_init, "no", "start with gamma = 0, so that a residual branch starts silent"),
    {0}};

typedef struct {
    nb_node *n;
    int64_t rows, n_ranges, grain; /* grain: rows per chunk of a sweep */
    int32_t c;
    double *sums; /* [n_ranges][2][c] */
    float *mean, *rstd, *mul, *add, *off;
} bn_job;

static bn_job make_job(nb_node *n)
{
    bn_job j = {.n = n, .rows = nb_rows(&n->out), .c = nb_channels(&n->out)};
    j.grain = j.c < NB_LAYER_GRAIN ? NB_LAYER_GRAIN / j.c : 1;
    j.n_ranges = nb_chunks(j.rows, j.grain);
    j.n_ranges = j.n_ranges < MAX_RANGES ? j.n_ranges : MAX_RANGES;
    j.sums = n->saved;
    j.mean = (float *)(void *)(j.sums + (int64_t)MAX_RANGES * 2 * j.c);
    j.rstd = j.mean + j.c;
    j.mul = j.rstd + j.c;
    j.add = j.mul + j.c;
    j.off = j.add + j.c;
    return j;
}

static float *leaf(const nb_node *n, int32_t k)
{
    return n->in[k]->out.data;
}

static nb_status bn_build(nb_graph *g, nb_node *n)
{
    const nb_shape *s = &n->in[0]->out.shape;
    n->out.shape = *s;
    nb_shape per_channel = nb_shape_of(1, s->d[s->ndim - 1], 0, 0, 0);
    nb_node *gamma;
    nb_node *var;
    NB_TRY(nb_graph_leaf(g, n, "gamma", per_channel, NB_NODE_PARAM, &gamma));
    NB_TRY(nb_graph_leaf(g, n, "beta", per_channel, NB_NODE_PARAM, NULL));
    NB_TRY(nb_graph_leaf(g, n, "mean", per_channel, NB_NODE_BUFFER, NULL));
    NB_TRY(nb_graph_leaf(g, n, "var", per_channel, NB_NODE_BUFFER, &var));
    for (int32_t c = 0; c < per_channel.d[0]; c++) {
        ((float *)gamma->out.data)[c] = ((const bn_attr *)n->attr)->zero_init ? 0.0f : 1.0f;
        ((float *)var->out.data)[c] = 1.0f;
    }
    /* mul and add of the affine map, and three more for the accumulator's unit */
    n->priv = nb_graph_alloc(g, 5 * (size_t)per_channel.d[0] * sizeof(double));
    return n->priv ? NB_OK : NB_E_NOMEM;
}

static nb_status bn_prepare(nb_graph *g, nb_node *n)
{
    size_t c = (size_t)nb_channels(&n->out);
    n->saved_bytes = c * (MAX_RANGES * 2 * sizeof(double) + 5 * sizeof(float));
    return nb_layer_need_float(g, n, 0);
}

static void clear_sums(const bn_job *j, int64_t range)
{
    memset(j->sums + range * 2 * j->c, 0, 2 * (size_t)j->c * sizeof *j->sums);
}

static void sum_range(void *arg, int64_t range, int32_t thread)
{
    (void)thread;
    const bn_job *j = arg;
    int64_t first = range * j->rows / j->n_ranges;
    int64_t last = (range + 1) * j->rows / j->n_ranges;
    double *sum = j->sums + range * 2 * j->c;
    clear_sums(j, range);
    nb_k_channel_sums(sum, sum + j->c, (const float *)j->n->in[0]->out.data + first * j->c, last - first, j->c);
}

/* The two totals of channel c, ranges in order. */
static void totals(const bn_job *j, int32_t c, double *first, double *second)
{
    *first = *second = 0;
    for (int64_t r = 0; r < j->n_ranges; r++) {
        *first += j->sums[r * 2 * j->c + c];
        *second += j->sums[(r * 2 + 1) * j->c + c];
    }
}

static void batch_statistics(bn_job *j)
{
    const bn_attr *a = j->n->attr;
    double rows = (double)j->rows;
    double m = (double)a->momentum;
    float *mean = leaf(j->n, MEAN);
    float *var = leaf(j->n, VAR);
    nb_parallel_for(j->n_ranges, sum_range, j);
    for (int32_t c = 0; c < j->c; c++) {
        double sum;
        double squares;
        totals(j, c, &sum, &squares);
        double mu = sum / rows;
        double biased = squares / rows - mu * mu;
        biased = biased < 0.0 ? 0.0 : biased; /* rounding; a NaN stays */
        double unbiased = j->rows > 1 ? biased * rows / (rows - 1) : biased;
        j->mean[c] = (float)mu;
        j->rstd[c] = (float)(1.0 / sqrt(biased + (double)a->eps));
        mean[c] = (float)((1 - m) * (double)mean[c] + m * mu);
        var[c] = (float)((1 - m) * (double)var[c] + m * unbiased);
    }
}

/* The frozen map, as lowering and folding see it. */
static void bn_affine(const nb_node *n, double *mul, double *add)
{
    const bn_attr *a = n->attr;
    for (int32_t c = 0; c < nb_channels(&n->out); c++) {
        mul[c] = (double)leaf(n, GAMMA)[c] / sqrt((double)leaf(n, VAR)[c] + (double)a->eps);
        add[c] = (double)leaf(n, BETA)[c] - (double)leaf(n, MEAN)[c] * mul[c];
    }
}

static void running_statistics(const bn_job *j)
{
    const bn_attr *a = j->n->attr;
    for (int32_t c = 0; c < j->c; c++) {
        j->mean[c] = leaf(j->n, MEAN)[c];
        j->rstd[c] = (float)(1.0 / sqrt((double)leaf(j->n, VAR)[c] + (double)a->eps));
    }
}

static void affine_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const bn_job *j = arg;
    int64_t first = chunk * j->grain;
    int64_t rows = nb_chunk_end(j->rows, j->grain, chunk) - first;
    nb_k_channel_affine((float *)j->n->out.data + first * j->c, (const float *)j->n->in[0]->out.data + first * j->c,
                        j->mul, j->add, rows, j->c);
}

static bool uses_batch(const nb_run *r)
{
    return r->train && !r->freeze_bn;
}

/* After integers, the frozen shift becomes an int32 bias in accumulator units: what evaluation shows is what that bias
 * gives. */
static void round_shift(const nb_node *n, const double *mul, double *add, int32_t c)
{
    double *unit = add + c;
    if (!nb_accumulator_unit(n->in[0], unit, unit + c, unit + 2 * c))
        return;
    for (int32_t i = 0; i < c; i++)
        add[i] = nb_round_to_unit(add[i], mul[i] * unit[i]);
}

static void bn_forward(nb_node *n, const nb_run *r)
{
    bn_job j = make_job(n);
    double *mul = n->priv;
    double *add = mul + j.c;
    if (uses_batch(r)) {
        batch_statistics(&j);
        for (int32_t c = 0; c < j.c; c++) {
            mul[c] = (double)leaf(n, GAMMA)[c] * (double)j.rstd[c];
            add[c] = (double)leaf(n, BETA)[c] - (double)j.mean[c] * mul[c];
        }
    } else {
        running_statistics(&j);
        bn_affine(n, mul, add);
        round_shift(n, mul, add, j.c);
    }
    for (int32_t c = 0; c < j.c; c++) {
        j.mul[c] = (float)mul[c];
        j.add[c] = (float)add[c];
    }
    nb_parallel_for(nb_chunks(j.rows, j.grain), affine_chunk, &j);
}

static void grad_range(void *arg, int64_t range, int32_t thread)
{
    (void)thread;
    const bn_job *j = arg;
    int64_t first = range * j->rows / j->n_ranges;
    int64_t last = (range + 1) * j->rows / j->n_ranges;
    double *sum = j->sums + range * 2 * j->c;
    clear_sums(j, range);
    nb_k_channel_grad_sums(sum, sum + j->c, j->n->out.grad + first * j->c,
                           (const float *)j->n->in[0]->out.data + first * j->c, j->mean, last - first, j->c);
}

static void grad_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const bn_job *j = arg;
    int64_t first = chunk * j->grain;
    int64_t rows = nb_chunk_end(j->rows, j->grain, chunk) - first;
    const nb_tensor *x = &j->n->in[0]->out;
    nb_k_channel_grad(x->grad + first * j->c, j->n->out.grad + first * j->c, (const float *)x->data + first * j->c,
                      j->mul, j->add, j->off, rows, j->c, !nb_layer_fresh(j->n, 0));
}

static void pass_leaf_grad(const nb_node *n, int32_t k, int32_t c, double v)
{
    float *grad = n->in[k]->out.grad;
    if (grad)
        grad[c] = (float)((nb_layer_fresh(n, k) ? 0.0 : (double)grad[c]) + v);
}

/* dx = mul * dy + add * x + off: with batch statistics, mean and variance depend on x as well. */
static void bn_backward(nb_node *n, const nb_run *r)
{
    bn_job j = make_job(n);
    nb_parallel_for(j.n_ranges, grad_range, &j);
    for (int32_t c = 0; c < j.c; c++) {
        double dy;
        double dyx;
        double rows = (double)j.rows;
        double rstd = (double)j.rstd[c];
        double mul = (double)leaf(n, GAMMA)[c] * rstd;
        totals(&j, c, &dy, &dyx);
        double add = uses_batch(r) ? -mul * rstd * rstd * dyx / rows : 0.0;
        double off = uses_batch(r) ? -mul * dy / rows - add * (double)j.mean[c] : 0.0;
        j.mul[c] = (float)mul;
        j.add[c] = (float)add;
        j.off[c] = (float)off;
        pass_leaf_grad(n, GAMMA, c, dyx * rstd);
        pass_leaf_grad(n, BETA, c, dy);
    }
    if (n->in[0]->out.grad)
        nb_parallel_for(nb_chunks(j.rows, j.grain), grad_chunk, &j);
}

static nb_status bn_lower(nb_lowering *lo, const nb_node *n)
{
    double *mul = n->priv;
    double *add = mul + nb_channels(&n->out);
    bn_affine(n, mul, add);
    return nb_lower_affine(lo, n, mul, add);
}

const nb_op nb_op_batchnorm = {
    .name = "batchnorm",
    .help = "batch normalization per channel; starts with gamma 1, beta 0",
    .keys = bn_keys,
    .attr_size = sizeof(bn_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_NEEDS_IN | NB_OP_BWD_SETS,
    .role = NB_ROLE_AFFINE,
    .build = bn_build,
    .prepare = bn_prepare,
    .forward = bn_forward,
    .backward = bn_backward,
    .lower = bn_lower,
    .affine = bn_affine,
    .examples = (const char *const[]){"batchnorm", "batchnorm: {eps: 1e-3, momentum: 0.01}", NULL},
};
