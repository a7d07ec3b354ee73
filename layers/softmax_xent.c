/* softmax_xent.c - softmax and cross entropy: out[0] = mean loss of the batch, out[1] = number of correct answers.
 *
 * With smoothing e the target is 1 - e on the label plus e / classes everywhere, as in PyTorch. Ties of the largest
 * logit go to the lowest index. saved: probabilities, then each image's loss (double) and whether it was right. The
 * sums run in image order. Without labels there is nothing to do: the caller reads the logits. */
#include "layer.h"

#include "base/check.h"
#include "base/measure.h"

#include <nibble/extend/lowering.h>

#include <math.h>

enum { ROWS = 16 }; /* images per chunk */

typedef struct {
    float smoothing;
} xent_attr;

static const nb_key xent_keys[] = {
    NB_KEY_FLOAT(xent_attr, smoothing, "0", 0, 1, "share of the target spread evenly over all classes"), {0}};

typedef struct {
    double loss;
    int32_t correct;
} xent_row;

typedef struct {
    const nb_node *n;
    const int32_t *labels;
    int64_t batch, classes;
    double smoothing;
    xent_row *rows;
    float *prob;
    bool add;
} xent_job;

static nb_status xent_build(nb_graph *g, nb_node *n)
{
    const nb_tensor *x = &n->in[0]->out;
    int64_t classes = nb_count(x) / x->shape.d[0];
    if (g->info.classes > 0 && classes != g->info.classes)
        return nb_node_fail(g, n, NB_E_SHAPE, "%s gives %lld values per image, the data have %d classes",
                            n->in[0]->name, (long long)classes, g->info.classes);
    n->out.shape = nb_shape_of(1, 2, 0, 0, 0);
    return NB_OK;
}

static nb_status xent_prepare(nb_graph *g, nb_node *n)
{
    const nb_tensor *x = &n->in[0]->out;
    n->saved_bytes = (size_t)x->shape.d[0] * sizeof(xent_row) + (size_t)nb_count(x) * sizeof(float);
    return nb_layer_need_float(g, n, 0);
}

static xent_job make_job(const nb_node *n, const nb_run *r)
{
    const nb_tensor *x = &n->in[0]->out;
    xent_job j = {.n = n, .labels = r->labels, .batch = x->shape.d[0], .rows = n->saved};
    j.classes = nb_count(x) / j.batch;
    j.smoothing = (double)((const xent_attr *)n->attr)->smoothing;
    j.prob = (float *)(void *)(j.rows + j.batch);
    j.add = !nb_layer_fresh(n, 0);
    return j;
}

static double target(const xent_job *j, int64_t row, int64_t c)
{
    return (c == j->labels[row] ? 1.0 - j->smoothing : 0.0) + j->smoothing / (double)j->classes;
}

static void forward_row(const xent_job *j, int64_t row)
{
    const float *x = (const float *)j->n->in[0]->out.data + row * j->classes;
    float *prob = j->prob + row * j->classes;
    NB_ASSERT(j->labels[row] >= 0 && j->labels[row] < j->classes);
    const int32_t best = nb_argmax_float(x, j->classes);
    double max = (double)x[best];
    double sum = 0;
    double loss = 0;
    for (int64_t c = 0; c < j->classes; c++)
        sum += exp((double)x[c] - max);
    double log_sum = max + log(sum);
    for (int64_t c = 0; c < j->classes; c++) {
        double log_p = (double)x[c] - log_sum;
        double share = target(j, row, c);
        prob[c] = (float)exp(log_p);
        loss -= share != 0.0 ? share * log_p : 0.0; /* a share of 0 times log 0 is nothing */
    }
    j->rows[row] = (xent_row){.loss = loss, .correct = best == j->labels[row] && !isnan(loss)};
}

static void forward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const xent_job *j = arg;
    for (int64_t row = chunk * ROWS; row < nb_chunk_end(j->batch, ROWS, chunk); row++)
        forward_row(j, row);
}

static void xent_forward(nb_node *n, const nb_run *r)
{
    if (!r->labels)
        return;
    xent_job j = make_job(n, r);
    nb_parallel_for(nb_chunks(j.batch, ROWS), forward_chunk, &j);
    double loss = 0;
    int64_t correct = 0;
    for (int64_t row = 0; row < j.batch; row++) {
        loss += j.rows[row].loss;
        correct += j.rows[row].correct;
    }
    float *out = n->out.data;
    out[0] = (float)(loss / (double)j.batch);
    out[1] = (float)correct;
}

static void backward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const xent_job *j = arg;
    double seed = (double)j->n->out.grad[0] / (double)j->batch;
    float *dx = j->n->in[0]->out.grad;
    for (int64_t row = chunk * ROWS; row < nb_chunk_end(j->batch, ROWS, chunk); row++)
        for (int64_t c = 0; c < j->classes; c++) {
            int64_t i = row * j->classes + c;
            float d = (float)(((double)j->prob[i] - target(j, row, c)) * seed);
            dx[i] = j->add ? dx[i] + d : d;
        }
}

static void xent_backward(nb_node *n, const nb_run *r)
{
    if (!r->labels || !n->in[0]->out.grad)
        return;
    xent_job j = make_job(n, r);
    nb_parallel_for(nb_chunks(j.batch, ROWS), backward_chunk, &j);
}

static nb_status xent_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_output(lo, n);
}

const nb_op nb_op_softmax_xent = {
    .name = "softmax_xent",
    .help = "the loss: cross entropy of the softmax of its input",
    .keys = xent_keys,
    .attr_size = sizeof(xent_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_SETS,
    .role = NB_ROLE_LOSS,
    .build = xent_build,
    .prepare = xent_prepare,
    .forward = xent_forward,
    .backward = xent_backward,
    .lower = xent_lower,
    .examples = (const char *const[]){"softmax_xent", "softmax_xent: {smoothing: 0.1}", NULL},
};
