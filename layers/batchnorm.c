/* batchnorm.c - batch normalization over N, H, W, per channel.
 *
 * train:   y = gamma * (x - mean) * rstd + beta with the batch's mean and biased variance; the running variance takes the
 *          unbiased one, as in PyTorch.
 * frozen:  the same with running statistics, i.e. a per-channel affine map. That is also evaluation, and what lower() says.
 * saved:   double partial sums, extremes, then mean[c], rstd[c] and three coefficient vectors.
 *
 * Sums are taken in double over a number of parts that depends on sizes alone, and added in order: the same bits for any
 * number of threads. */
#include "batchnorm.h"

#include <nibble/extend/quant.h>

#include "layer.h"

#include "base/check.h"
#include "core/cut_gather.h"
#include "kernels/sweeps/fused_sweep.h"
#include "kernels/sweeps/sweep.h"

#include <nibble/extend/lowering.h>

#include <math.h>
#include <string.h>

enum { GAMMA = NB_BN_GAMMA, BETA, MEAN, VAR };

typedef struct {
    float eps, momentum;
    bool zero_init;
} bn_attr;

static const nb_key bn_keys[] = {
    NB_KEY_FLOAT(bn_attr, eps, "1e-5", 1e-12, 1, "added to the variance inside the root"),
    NB_KEY_FLOAT(bn_attr, momentum, "0.1", 0, 1, "share of the new batch in the running statistics"),
    NB_KEY_BOOL(bn_attr, zero_init, "no", "start with gamma = 0, so that a residual branch starts silent"),
    {0}};

nb_bn nb_bn_of(nb_node *n)
{
    nb_bn b = {.n = n, .rows = nb_rows(&n->out), .c = nb_channels(&n->out)};
    b.per_image = b.rows / n->cut->images;
    b.all_rows = b.per_image * n->cut->batch;
    b.grain = b.c < NB_LAYER_GRAIN ? NB_LAYER_GRAIN / b.c : 1;
    b.n_parts = nb_tap_parts(n->cut->batch);
    b.sums = n->saved;
    b.extremes = (float *)(void *)(b.sums + (int64_t)NB_TAP_MAX_PARTS * 2 * b.c);
    b.mean = b.extremes + (int64_t)NB_TAP_MAX_PARTS * 2 * b.c;
    b.rstd = b.mean + b.c;
    b.mul = b.rstd + b.c;
    b.add = b.mul + b.c;
    b.off = b.add + b.c;
    return b;
}

int64_t nb_bn_part(const nb_bn *b, int64_t i)
{
    return nb_cut_part_at(b->n->cut, (int32_t)i) * b->per_image;
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
    NB_TRY(nb_graph_leaf(g, n, "var", per_channel, NB_NODE_BUFFER | NB_NODE_NONNEGATIVE, &var));
    for (int32_t c = 0; c < per_channel.d[0]; c++) {
        ((float *)gamma->out.data)[c] = ((const bn_attr *)n->attr)->zero_init ? 0.0f : 1.0f;
        ((float *)var->out.data)[c] = 1.0f;
    }
    /* mul and add of the affine map, and three more for the accumulator's unit */
    n->priv = nb_graph_alloc(g, 5 * (size_t)per_channel.d[0] * sizeof(double));
    return n->priv ? NB_OK : NB_E_NOMEM;
}

float nb_bn_eps(const nb_node *n)
{
    return ((const bn_attr *)n->attr)->eps;
}

nb_status nb_bn_prepare(nb_graph *g, nb_node *n)
{
    size_t c = (size_t)nb_channels(&n->out);
    n->saved_bytes = c * (NB_TAP_MAX_PARTS * 2 * (sizeof(double) + sizeof(float)) + 5 * sizeof(float));
    return nb_layer_need_float(g, n, 0);
}

void nb_bn_start(const nb_bn *b, int64_t part)
{
    float *min = b->extremes + part * 2 * b->c;
    memset(b->sums + part * 2 * b->c, 0, 2 * (size_t)b->c * sizeof *b->sums);
    for (int32_t c = 0; c < b->c; c++) {
        min[c] = INFINITY;
        min[b->c + c] = -INFINITY;
    }
}

void nb_bn_take(const nb_bn *b, int64_t part, bool extremes, const float *x, int64_t rows)
{
    double *sum = b->sums + part * 2 * b->c;
    float *min = extremes ? b->extremes + part * 2 * b->c : NULL;
    nb_k_channel_stats(sum, sum + b->c, min, extremes ? min + b->c : NULL, x, rows, b->c);
}

static void sum_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const nb_bn *b = arg;
    int64_t first = nb_bn_part(b, part);
    nb_bn_start(b, part);
    nb_bn_take(b, part, false, (const float *)b->n->in[0]->out.data + first * b->c, nb_bn_part(b, part + 1) - first);
}

void nb_bn_gather(const nb_bn *b, bool sums, bool extremes)
{
    const size_t values = 2 * (size_t)b->c;
    const nb_gathered both[] = {{b->sums, values * sizeof *b->sums}, {b->extremes, values * sizeof *b->extremes}};
    nb_gather_parts(b->n->cut, sums ? both : both + 1, sums + extremes);
}

void nb_bn_totals(const nb_bn *b, int32_t c, double *first, double *second)
{
    *first = *second = 0;
    for (int64_t r = 0; r < b->n_parts; r++) {
        *first += b->sums[r * 2 * b->c + c];
        *second += b->sums[(r * 2 + 1) * b->c + c];
    }
}

void nb_bn_batch_statistics(nb_bn *j)
{
    const bn_attr *a = j->n->attr;
    double rows = (double)j->all_rows;
    double m = (double)a->momentum;
    float *mean = leaf(j->n, MEAN);
    float *var = leaf(j->n, VAR);
    for (int32_t c = 0; c < j->c; c++) {
        double sum;
        double squares;
        nb_bn_totals(j, c, &sum, &squares);
        double mu = sum / rows;
        double biased = squares / rows - mu * mu;
        biased = biased < 0.0 ? 0.0 : biased; /* rounding; a NaN stays */
        double unbiased = j->all_rows > 1 ? biased * rows / (rows - 1) : biased;
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

static void running_statistics(const nb_bn *j)
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
    const nb_bn *j = arg;
    int64_t first = chunk * j->grain;
    int64_t rows = nb_chunk_end(j->rows, j->grain, chunk) - first;
    nb_k_channel_affine((float *)j->n->out.data + first * j->c, (const float *)j->n->in[0]->out.data + first * j->c,
                        j->mul, j->add, rows, j->c);
}

bool nb_bn_uses_batch(const nb_run *r)
{
    return r->train && !r->freeze_bn;
}

void nb_bn_round_shift(const nb_node *n, const double *mul, double *add, int32_t c)
{
    double *unit = add + c;
    if (!nb_accumulator_unit(n->in[0], unit, unit + c, unit + 2 * c))
        return;
    for (int32_t i = 0; i < c; i++)
        add[i] = nb_round_to_unit(add[i], mul[i] * unit[i]);
}

void nb_bn_forward_map(nb_bn *b, const nb_run *r)
{
    double *mul = b->n->priv;
    double *add = mul + b->c;
    if (nb_bn_uses_batch(r)) {
        nb_bn_batch_statistics(b);
        for (int32_t c = 0; c < b->c; c++) {
            mul[c] = (double)leaf(b->n, GAMMA)[c] * (double)b->rstd[c];
            add[c] = (double)leaf(b->n, BETA)[c] - (double)b->mean[c] * mul[c];
        }
    } else {
        running_statistics(b);
        bn_affine(b->n, mul, add);
        nb_bn_round_shift(b->n, mul, add, b->c);
    }
    for (int32_t c = 0; c < b->c; c++) {
        b->mul[c] = (float)mul[c];
        b->add[c] = (float)add[c];
    }
}

static void bn_forward(nb_node *n, const nb_run *r)
{
    nb_bn b = nb_bn_of(n);
    if (nb_bn_uses_batch(r)) {
        nb_cut_run(n->cut, sum_part, &b);
        nb_bn_gather(&b, true, false);
    }
    nb_bn_forward_map(&b, r);
    nb_parallel_for(nb_chunks(b.rows, b.grain), affine_chunk, &b);
}

void nb_bn_grad_start(const nb_bn *b, int64_t part)
{
    memset(b->sums + part * 2 * b->c, 0, 2 * (size_t)b->c * sizeof *b->sums);
}

void nb_bn_grad_rows(const nb_bn *b, int64_t part, int64_t first, int64_t end, const float *dy, const uint8_t *mask)
{
    double *sum = b->sums + part * 2 * b->c;
    nb_k_channel_grad_sums(sum, sum + b->c, dy + first * b->c, mask ? mask + first * nb_mask_bytes(b->c) : NULL,
                           (const float *)b->n->in[0]->out.data + first * b->c, b->mean, end - first, b->c);
}

void nb_bn_grad_part(const nb_bn *b, int64_t part, const float *dy, const uint8_t *mask)
{
    nb_bn_grad_start(b, part);
    nb_bn_grad_rows(b, part, nb_bn_part(b, part), nb_bn_part(b, part + 1), dy, mask);
}

static void grad_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const nb_bn *b = arg;
    nb_bn_grad_part(b, part, b->n->out.grad, NULL);
}

static void grad_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const nb_bn *j = arg;
    int64_t first = chunk * j->grain;
    int64_t rows = nb_chunk_end(j->rows, j->grain, chunk) - first;
    const nb_tensor *x = &j->n->in[0]->out;
    nb_k_channel_grad(x->grad + first * j->c, j->n->out.grad + first * j->c, NULL,
                      (const float *)x->data + first * j->c, &(nb_kgrad){j->mul, j->add, j->off}, rows, j->c,
                      !nb_layer_fresh(j->n, 0));
}

static void pass_leaf_grad(const nb_node *n, int32_t k, int32_t c, double v)
{
    float *grad = n->in[k]->out.grad;
    if (grad)
        grad[c] = (float)((nb_layer_fresh(n, k) ? 0.0 : (double)grad[c]) + v);
}

/* dx = mul * dy + add * x + off: with batch statistics, mean and variance depend on x as well. */
void nb_bn_backward_map(nb_bn *b, const nb_run *r)
{
    for (int32_t c = 0; c < b->c; c++) {
        double dy;
        double dyx;
        double rows = (double)b->all_rows;
        double rstd = (double)b->rstd[c];
        double mul = (double)leaf(b->n, GAMMA)[c] * rstd;
        nb_bn_totals(b, c, &dy, &dyx);
        double add = nb_bn_uses_batch(r) ? -mul * rstd * rstd * dyx / rows : 0.0;
        double off = nb_bn_uses_batch(r) ? -mul * dy / rows - add * (double)b->mean[c] : 0.0;
        b->mul[c] = (float)mul;
        b->add[c] = (float)add;
        b->off[c] = (float)off;
        pass_leaf_grad(b->n, GAMMA, c, dyx * rstd);
        pass_leaf_grad(b->n, BETA, c, dy);
    }
}

static void bn_backward(nb_node *n, const nb_run *r)
{
    nb_bn b = nb_bn_of(n);
    nb_cut_run(n->cut, grad_part, &b);
    nb_bn_gather(&b, true, false);
    nb_bn_backward_map(&b, r);
    if (n->in[0]->out.grad)
        nb_parallel_for(nb_chunks(b.rows, b.grain), grad_chunk, &b);
}

void nb_bn_moments(const nb_node *n, int32_t c, double *mean, double *deviation)
{
    *mean = (double)leaf(n, 2)[c];
    *deviation = fabs((double)leaf(n, 1)[c]);
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
    .prepare = nb_bn_prepare,
    .forward = bn_forward,
    .backward = bn_backward,
    .lower = bn_lower,
    .affine = bn_affine,
    .moments = nb_bn_moments,
    .fold = nb_bn_fold,
    .examples = (const char *const[]){"batchnorm", "batchnorm: {eps: 1e-3, momentum: 0.01}", NULL},
};
