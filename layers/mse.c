/* mse.c - mean squared error of a network that gives its own input back (autoencoder): out[0] = mean over samples and values of
 * (x - target)^2, out[1] = the share of the targets' squares that is explained, as so many samples of the batch.
 *
 * The target is what the input layer gives: the normalised values of the pixels, looked up again here, so that they need
 * not be kept in memory until the end. saved: each sample's sums (double), added in their order. */
#include "layer.h"

#include "base/check.h"
#include "core/cut_gather.h"

#include <nibble/extend/lowering.h>

#include <math.h>

enum { ROWS = 16 }; /* samples per chunk */

typedef struct {
    const float *real; /* [c][256], of the input layer */
    int32_t c;
} mse_target;

typedef struct {
    double loss, energy;
} mse_row;

typedef struct {
    mse_target target;
    const float *x;
    float *dx;
    const uint8_t *pixels;
    int64_t batch, values;
    double seed;
    mse_row *all, *rows; /* rows: those that are here */
    bool add;
} mse_job;

static nb_status mse_build(nb_graph *g, nb_node *n)
{
    const nb_tensor *x = &n->in[0]->out;
    const int64_t values = nb_count(x) / x->shape.d[0], wanted = (int64_t)g->info.h * g->info.w * g->info.c;
    if (!g->input || values != wanted)
        return nb_node_fail(g, n, NB_E_SHAPE, "%s gives %lld values per sample, the input to compare with has %lld",
                            n->in[0]->name, (long long)values, (long long)wanted);
    g->info.task = NB_TASK_RECONSTRUCT;
    g->info.classes = (int32_t)values; /* outputs; the data's labels are no classes of theirs */
    g->info.class_names = NULL;
    mse_target *t = nb_graph_alloc(g, sizeof *t);
    if (!t)
        return NB_E_NOMEM;
    *t = (mse_target){g->input->priv, g->info.c};
    n->priv = t;
    n->out.shape = nb_shape_of(1, 2, 0, 0, 0);
    return NB_OK;
}

static nb_status mse_prepare(nb_graph *g, nb_node *n)
{
    n->saved_bytes = (size_t)n->cut->batch * sizeof(mse_row); /* of all ranks */
    return nb_layer_need_float(g, n, 0);
}

static mse_job make_job(const nb_node *n, const nb_run *r)
{
    const nb_tensor *x = &n->in[0]->out;
    mse_job j = {.target = *(const mse_target *)n->priv, .x = x->data, .dx = x->grad, .pixels = r->pixels};
    j.all = n->saved;
    j.rows = j.all + n->cut->first;
    j.batch = x->shape.d[0];
    j.values = nb_count(x) / j.batch;
    return j;
}

static float target(const mse_job *j, int64_t at)
{
    return j->target.real[at % j->target.c * 256 + j->pixels[at]];
}

static void forward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const mse_job *j = arg;
    for (int64_t row = chunk * ROWS; row < nb_chunk_end(j->batch, ROWS, chunk); row++) {
        mse_row sum = {0};
        for (int64_t i = row * j->values; i < (row + 1) * j->values; i++) {
            const double t = (double)target(j, i), d = (double)j->x[i] - t;
            sum.loss += d * d;
            sum.energy += t * t;
        }
        j->rows[row] = sum;
    }
}

static void mse_forward(nb_node *n, const nb_run *r)
{
    if (!r->labels)
        return;
    mse_job j = make_job(n, r);
    mse_row sum = {0};
    nb_parallel_for(nb_chunks(j.batch, ROWS), forward_chunk, &j);
    nb_gather_images(n->cut, j.all, sizeof *j.all);
    for (int64_t row = 0; row < n->cut->batch; row++) {
        sum.loss += j.all[row].loss;
        sum.energy += j.all[row].energy;
    }
    const double explained = sum.energy > sum.loss ? 1 - sum.loss / sum.energy : 0;
    float *out = n->out.data;
    out[0] = (float)(sum.loss / (double)(n->cut->batch * j.values));
    out[1] = (float)nearbyint(explained * (double)n->cut->batch);
}

static void backward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const mse_job *j = arg;
    const int64_t end = nb_chunk_end(j->batch, ROWS, chunk) * j->values;
    for (int64_t i = chunk * ROWS * j->values; i < end; i++) {
        const float d = (float)(2 * ((double)j->x[i] - (double)target(j, i)) * j->seed);
        j->dx[i] = j->add ? j->dx[i] + d : d;
    }
}

static void mse_backward(nb_node *n, const nb_run *r)
{
    if (!r->labels || !n->in[0]->out.grad)
        return;
    mse_job j = make_job(n, r);
    j.seed = (double)((const float *)n->out.grad)[0] / (double)(n->cut->batch * j.values);
    j.add = !nb_layer_fresh(n, 0);
    nb_parallel_for(nb_chunks(j.batch, ROWS), backward_chunk, &j);
}

static nb_status mse_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_output(lo, n);
}

const nb_op nb_op_mse = {
    .name = "mse",
    .help = "the loss of an autoencoder: mean squared error of its input to the network's own, normalised",
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_SETS,
    .role = NB_ROLE_LOSS,
    .build = mse_build,
    .prepare = mse_prepare,
    .forward = mse_forward,
    .backward = mse_backward,
    .lower = mse_lower,
    .examples = (const char *const[]){"mse", NULL},
};
