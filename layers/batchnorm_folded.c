/* batchnorm_folded.c - batch norm whose factor stands before the quantizer of the weights, with the batch's statistics in
 * training (Krishnamoorthi 2018, arXiv:1806.08342, section 3.2.2; Jacob et al. 2018, section 3.2; white paper, table 7
 * b).
 *
 * What will be deployed is conv(x, q(gamma W / sigma)) + beta - gamma (mean - b) / sigma with running statistics, sigma =
 * sqrt(var + eps), b the layer's bias if it has one. conv -> batchnorm becomes
 *
 *   x, W, b ──────► unfolded = conv(x, W) + b          floats; its statistics are the batch norm's: mu_B, sigma_B
 *   W, gamma, var ► folded   = gamma W / sigma         as the running statistics stand before this batch
 *   x, q(folded) ─► conv, without bias
 *   conv ─────────► this op:  y = (conv - gamma (mu_B - b) / sigma) sigma / sigma_B + beta
 *
 * so that training sees the batch's statistics, but the weights are rounded as the running ones will have them, which do
 * not jump from batch to batch. Frozen, and in evaluation, it is what is deployed, and `unfolded` is not computed. sigma
 * is a constant of the backward pass, mu_B and sigma_B are functions of W and x.
 *
 * The nodes stand in this order: on the way back `unfolded` then adds to gradients that others have set, and need not
 * run at all when it is not used.
 * saved: as batchnorm.c, with the centre gamma (mu - b) / sigma in the place of the mean, and four vectors behind it. */
#include "batchnorm.h"

#include <nibble/extend/quant.h>

#include "layer.h"

#include "base/check.h"
#include "core/cut_gather.h"
#include "kernels/sweeps/sweep.h"

#include <nibble/extend/lowering.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GAMMA = NB_BN_GAMMA, BETA, MEAN, VAR, UNFOLDED, BIAS };

static const float *values(const nb_node *n, int32_t k)
{
    return n->in[k]->out.data;
}

static nb_status lower_nothing(nb_lowering *lo, const nb_node *n)
{
    (void)lo;
    (void)n;
    return NB_OK;
}

static void add_to_leaf(const nb_node *n, int32_t k, int32_t c, double v)
{
    float *grad = n->in[k]->out.grad;
    if (grad)
        grad[c] = (float)((double)grad[c] + v);
}

/* ---- unfolded: the layer itself, on floats, for the statistics ---- */

typedef struct {
    const nb_node *mac;
} unfolded_attr;

static nb_status unfolded_build(nb_graph *g, nb_node *n)
{
    (void)g;
    n->out.shape = ((const unfolded_attr *)n->attr)->mac->out.shape;
    return NB_OK;
}

/* The layer's own prepare reads its own attributes. */
static nb_status unfolded_prepare(nb_graph *g, nb_node *n)
{
    const nb_node *mac = ((const unfolded_attr *)n->attr)->mac;
    nb_node as_mac = *n;
    as_mac.attr = mac->attr;
    NB_TRY(mac->op->prepare(g, &as_mac));
    n->priv = as_mac.priv;
    n->saved_bytes = as_mac.saved_bytes;
    n->scratch_bytes = as_mac.scratch_bytes;
    return NB_OK;
}

static void unfolded_forward(nb_node *n, const nb_run *r)
{
    if (nb_bn_uses_batch(r))
        ((const unfolded_attr *)n->attr)->mac->op->forward(n, r);
    else
        memset(n->out.data, 0, (size_t)nb_count(&n->out) * sizeof(float)); /* who looks for NaN finds none */
}

static void unfolded_backward(nb_node *n, const nb_run *r)
{
    NB_ASSERT(!nb_layer_fresh(n, 0));
    if (nb_bn_uses_batch(r))
        ((const unfolded_attr *)n->attr)->mac->op->backward(n, r);
}

static const nb_op op_unfolded = {.name = "unfolded",
                                  .help = "a layer on its float weights, for the statistics of a folded batch norm",
                                  .attr_size = sizeof(unfolded_attr),
                                  .min_in = 2,
                                  .max_in = 3,
                                  .flags = NB_OP_INTERNAL | NB_OP_BWD_NEEDS_IN | NB_OP_BWD_SETS,
                                  .build = unfolded_build,
                                  .prepare = unfolded_prepare,
                                  .forward = unfolded_forward,
                                  .backward = unfolded_backward,
                                  .lower = lower_nothing};

/* ---- folded: gamma W / sigma ---- */

typedef struct {
    float eps;
} folded_attr;

enum { FOLDED_GAMMA = 1, FOLDED_VAR };

static nb_status folded_build(nb_graph *g, nb_node *n)
{
    (void)g;
    n->out.shape = n->in[0]->out.shape;
    return NB_OK;
}

static nb_status folded_prepare(nb_graph *g, nb_node *n)
{
    (void)g;
    n->saved_bytes = (size_t)n->out.shape.d[0] * sizeof(double); /* 1 / sigma: var moves on before backward */
    return NB_OK;
}

static double rstd_of(float var, float eps)
{
    return 1.0 / sqrt((double)var + (double)eps);
}

/* Reads leaves alone: fakequant.c calls it outside of a step, with nothing saved. */
static void folded_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    const int64_t per = nb_count(&n->out) / n->out.shape.d[0];
    const float *w = values(n, 0);
    float *y = n->out.data;
    double *saved = n->saved;
    for (int32_t c = 0; c < n->out.shape.d[0]; c++) {
        const double rstd = rstd_of(values(n, FOLDED_VAR)[c], ((const folded_attr *)n->attr)->eps);
        const double mul = (double)values(n, FOLDED_GAMMA)[c] * rstd;
        if (saved)
            saved[c] = rstd;
        for (int64_t k = c * per; k < (c + 1) * per; k++)
            y[k] = (float)((double)w[k] * mul);
    }
}

static void folded_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    const int64_t per = nb_count(&n->out) / n->out.shape.d[0];
    const float *w = values(n, 0), *dy = n->out.grad;
    const double *rstd = n->saved;
    float *dw = n->in[0]->out.grad;
    for (int32_t c = 0; c < n->out.shape.d[0]; c++) {
        const double mul = (double)values(n, FOLDED_GAMMA)[c] * rstd[c];
        double sum = 0;
        for (int64_t k = c * per; k < (c + 1) * per; k++) {
            sum += (double)dy[k] * (double)w[k];
            if (dw)
                dw[k] = (float)((double)dw[k] + (double)dy[k] * mul);
        }
        add_to_leaf(n, FOLDED_GAMMA, c, sum * rstd[c]);
    }
}

static const nb_op op_folded = {.name = "folded",
                                .help = "weights times the factor of the batch norm behind their layer",
                                .attr_size = sizeof(folded_attr),
                                .min_in = 3,
                                .max_in = 3,
                                .flags = NB_OP_INTERNAL | NB_OP_BWD_NEEDS_IN,
                                .build = folded_build,
                                .prepare = folded_prepare,
                                .forward = folded_forward,
                                .backward = folded_backward,
                                .lower = lower_nothing};

/* ---- the batch norm ---- */

typedef struct {
    nb_bn bn;                /* mean: the centre, mul: sigma / sigma_B, add: what is added, rstd: 1 / sigma_B */
    float *mu;               /* mean of `unfolded`, or the running one */
    float *d_mul, *d_add;    /* gradient of `unfolded`: d_mul * unfolded + d_add */
    float *zero;             /* [c] */
    const float *x, *mul_of; /* of a sweep: y = mul_of * x + add_of */
    const float *add_of;
    float *y;
} job;

static job job_of(nb_node *n)
{
    job j = {.bn = nb_bn_of(n)};
    j.mu = j.bn.off + j.bn.c;
    j.d_mul = j.mu + j.bn.c;
    j.d_add = j.d_mul + j.bn.c;
    j.zero = j.d_add + j.bn.c;
    return j;
}

static nb_status norm_prepare(nb_graph *g, nb_node *n)
{
    NB_TRY(nb_bn_prepare(g, n));
    n->saved_bytes += 4 * (size_t)nb_channels(&n->out) * sizeof(float);
    return NB_OK;
}

static double bias_of(const nb_node *n, int32_t c)
{
    return n->n_in > BIAS ? (double)values(n, BIAS)[c] : 0;
}

static double running_rstd(const nb_node *n, int32_t c)
{
    return rstd_of(values(n, VAR)[c], nb_bn_eps(n));
}

/* What is deployed: the weights have the factor. */
static void norm_affine(const nb_node *n, double *mul, double *add)
{
    for (int32_t c = 0; c < nb_channels(&n->out); c++) {
        const double factor = (double)values(n, GAMMA)[c] * running_rstd(n, c);
        mul[c] = 1;
        add[c] = (double)values(n, BETA)[c] - ((double)values(n, MEAN)[c] - bias_of(n, c)) * factor;
    }
}

static void sum_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const nb_bn *b = arg;
    const int64_t first = nb_bn_part(b, part);
    nb_bn_start(b, part);
    nb_bn_take(b, part, false, values(b->n, UNFOLDED) + first * b->c, nb_bn_part(b, part + 1) - first);
}

static void sweep_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    const nb_bn *b = &j->bn;
    const int64_t first = chunk * b->grain, rows = nb_chunk_end(b->rows, b->grain, chunk) - first;
    nb_k_channel_affine(j->y + first * b->c, j->x + first * b->c, j->mul_of, j->add_of, rows, b->c);
}

static void sweep(const job *j, float *y, const float *x, const float *mul, const float *add)
{
    job s = *j;
    s.y = y;
    s.x = x;
    s.mul_of = mul;
    s.add_of = add;
    nb_parallel_for(nb_chunks(j->bn.rows, j->bn.grain), sweep_chunk, &s);
}

/* sigma is taken before the batch moves it: it is the one in the weights. */
static void batch_map(job *j)
{
    nb_bn *b = &j->bn;
    double *rstd = b->n->priv;
    for (int32_t c = 0; c < b->c; c++)
        rstd[c] = running_rstd(b->n, c);
    nb_bn_batch_statistics(b);
    for (int32_t c = 0; c < b->c; c++) {
        const double k = (double)b->rstd[c] / rstd[c];
        const double centre = (double)values(b->n, GAMMA)[c] * ((double)b->mean[c] - bias_of(b->n, c)) * rstd[c];
        j->mu[c] = b->mean[c];
        b->mean[c] = (float)centre;
        b->mul[c] = (float)k;
        b->add[c] = (float)((double)values(b->n, BETA)[c] - centre * k);
    }
}

static void running_map(job *j)
{
    nb_bn *b = &j->bn;
    double *mul = b->n->priv, *add = mul + b->c;
    norm_affine(b->n, mul, add);
    nb_bn_round_shift(b->n, mul, add, b->c);
    for (int32_t c = 0; c < b->c; c++) {
        j->mu[c] = values(b->n, MEAN)[c];
        b->rstd[c] = (float)running_rstd(b->n, c);
        b->mean[c] = 0; /* no centre: only the sum of dy is read */
        b->mul[c] = 1;
        b->add[c] = (float)add[c];
    }
}

static void norm_forward(nb_node *n, const nb_run *r)
{
    job j = job_of(n);
    if (nb_bn_uses_batch(r)) {
        nb_cut_run(n->cut, sum_part, &j.bn);
        nb_bn_gather(&j.bn, true, false);
        batch_map(&j);
    } else {
        running_map(&j);
    }
    sweep(&j, n->out.data, values(n, 0), j.bn.mul, j.bn.add);
}

static void grad_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const nb_bn *b = arg;
    nb_bn_grad_part(b, part, b->n->out.grad, NULL);
}

/* y = k (conv - centre) + beta with k = sigma / sigma_B and centre = gamma (mu_B - b) / sigma: the gradient of sigma_B is
 * -k / sigma_B times the sum of dy (conv - centre), that of mu_B -gamma / sigma_B times the sum of dy; each value of
 * `unfolded` has 1 / rows of mu_B and (unfolded - mu_B) / (rows sigma_B) of sigma_B. */
static void backward_map(job *j)
{
    const nb_bn *b = &j->bn;
    const nb_node *n = b->n;
    const double rows = (double)b->all_rows;
    for (int32_t c = 0; c < b->c; c++) {
        double dy, dyx;
        nb_bn_totals(b, c, &dy, &dyx);
        const double rstd = (double)b->rstd[c], factor = (double)values(n, GAMMA)[c] * rstd;
        const double d_mul = -(double)b->mul[c] * dyx * rstd * rstd / rows;
        j->d_mul[c] = (float)d_mul;
        j->d_add[c] = (float)(-factor * dy / rows - d_mul * (double)j->mu[c]);
        j->zero[c] = 0;
        add_to_leaf(n, GAMMA, c, -((double)j->mu[c] - bias_of(n, c)) * rstd * dy);
        add_to_leaf(n, BETA, c, dy);
        if (n->n_in > BIAS)
            add_to_leaf(n, BIAS, c, factor * dy);
    }
}

static void norm_backward(nb_node *n, const nb_run *r)
{
    job j = job_of(n);
    NB_ASSERT(nb_layer_fresh(n, 0) && nb_layer_fresh(n, UNFOLDED)); /* nobody else reads them */
    nb_cut_run(n->cut, grad_part, &j.bn);
    nb_bn_gather(&j.bn, true, false);
    backward_map(&j);
    if (n->in[0]->out.grad)
        sweep(&j, n->in[0]->out.grad, n->out.grad, j.bn.mul, j.zero);
    if (n->in[UNFOLDED]->out.grad && nb_bn_uses_batch(r))
        sweep(&j, n->in[UNFOLDED]->out.grad, values(n, UNFOLDED), j.d_mul, j.d_add);
}

static nb_status norm_lower(nb_lowering *lo, const nb_node *n)
{
    double *mul = n->priv, *add = mul + nb_channels(&n->out);
    norm_affine(n, mul, add);
    return nb_lower_affine(lo, n, mul, add);
}

/* In the place of a batch norm: its name, attributes and leaves. */
static const nb_op op_norm = {.name = "folded_norm",
                              .help = "batch norm whose factor is in the weights before it",
                              .flags = NB_OP_BWD_NEEDS_IN | NB_OP_BWD_SETS,
                              .role = NB_ROLE_AFFINE,
                              .statistics_of = UNFOLDED,
                              .prepare = norm_prepare,
                              .forward = norm_forward,
                              .backward = norm_backward,
                              .lower = norm_lower,
                              .affine = norm_affine,
                              .moments = nb_bn_moments};

/* ---- the pass ---- */

static nb_status insert(nb_graph *g, nb_node *mac, const nb_op *op, const char *base, const void *attr,
                        nb_node *const *in, int32_t n_in, nb_node **out)
{
    char name[256];
    const int len = snprintf(name, sizeof name, "%s.%s", base, op->name);
    if (len < 0 || (size_t)len >= sizeof name)
        return nb_node_fail(g, mac, NB_E_CONFIG, "the name is too long");
    return nb_graph_insert(g, mac->id, op, name, attr, in, n_in, out);
}

nb_status nb_bn_fold(nb_graph *g, nb_node *n)
{
    nb_node *mac = n->in[0], *gamma = n->in[GAMMA], *var = n->in[VAR], *unfolded, *folded;
    nb_node *const factors[] = {mac->in[1], gamma, var};
    nb_graph_move(g, gamma->id, mac->id);
    nb_graph_move(g, var->id, mac->id);
    NB_TRY(insert(g, mac, &op_unfolded, mac->name, &(unfolded_attr){mac}, mac->in, mac->n_in, &unfolded));
    NB_TRY(insert(g, mac, &op_folded, mac->in[1]->name, &(folded_attr){nb_bn_eps(n)}, factors, 3, &folded));
    mac->in[1] = folded;
    n->op = &op_norm;
    n->in[n->n_in++] = unfolded;
    NB_ASSERT(n->in[UNFOLDED] == unfolded);
    if (mac->n_in > 2)
        n->in[n->n_in++] = mac->in[--mac->n_in];
    return NB_OK;
}
